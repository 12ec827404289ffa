//! What the payment path costs, where that can be known without a clock: instructions and allocations, counted by valgrind, and held to what they were;
//! and the file that the bench writes.
//!
//! `cargo nextest run --test speed`; times are measured by `make bench`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]
#![expect(
    clippy::print_stdout,
    reason = "a test shows its figures, and the bench's report its own"
)]

#[path = "speed/counts.rs"]
mod counts;
#[path = "../benches/pure.rs"]
mod pure;
#[path = "../benches/side_by_side/report.rs"]
#[expect(dead_code, reason = "the bench prints and writes it")]
mod report;
#[path = "speed/report.rs"]
mod reported;
#[path = "deploy/skipped.rs"]
mod skipped;
#[path = "../benches/side_by_side/stats.rs"]
mod stats;
#[path = "../benches/world.rs"]
mod world;
