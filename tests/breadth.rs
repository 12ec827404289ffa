//! Generated messages of every type of every channel that ships, in great number: legal ones pass unchanged, and of mutated ones
//! whatever is forwarded reads the same to every reader. `HEFU_BREADTH=10000` is the full measure (`make breadth`).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may panic, says how much it saw, and is told by its environment how much to do"
)]

#[path = "breadth/alike.rs"]
mod alike;
#[path = "breadth/legal.rs"]
mod legal;
#[path = "breadth/mutate.rs"]
mod mutate;
#[path = "breadth/readers.rs"]
mod readers;
#[path = "breadth/world.rs"]
mod world;
