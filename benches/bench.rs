//! Measures Hefu. One program, since the library is optimised anew for each; its first word says what:
//!
//! * `micro`: what each stage of an inspected exchange costs, and rules beside CEL's own interpreter.
//! * `exchange`: exchanges without sockets, for a profiler (`exchange 100000`: so many).
//! * `store`: the embedded store at size (`store 100000` takes another number of pieces of evidence).
//! * `side_by_side`: whole exchanges beside a bare Pingora proxy and what others proxy with (`side_by_side 9`: nine rounds;
//!   `side_by_side 9 hefu_memory`: of that one and a bare Pingora only).
//! * `growth`: the same with more of everything (`growth connections rules`: of those only).
//! * `brown_outs`: payments while a provider fails (`brown_outs 10`: ten seconds each).
//!
//! `cargo bench --bench bench -- growth`; `make bench` does them all.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench may panic")]
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench measures and prints")]

mod brown_outs;
mod micro;
mod pure;
mod side_by_side;
mod stages;
mod store;
mod timed;
mod world;

use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

/// As in the program, and for all that it is compared with in this one.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // `cargo bench` adds a flag of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["micro"] => micro::run(),
        ["exchange", count @ ..] => exchange(number(count).unwrap_or(100_000)),
        ["store", size @ ..] => store::run(number(size)),
        ["side_by_side", rounds, only @ ..] => side_by_side::run(rounds.parse().ok(), only),
        ["side_by_side"] => side_by_side::run(None, &[]),
        ["growth", axes @ ..] => side_by_side::growth::run(axes),
        ["brown_outs", seconds @ ..] => brown_outs::run(number(seconds)),
        // Processes that a bench starts.
        ["peer", role @ ..] => side_by_side::peers::be(role),
        _ => {
            println!("one of: micro, exchange, store, side_by_side, growth, brown_outs");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// So many exchanges, and nothing else.
fn exchange(count: u32) {
    let dir = tempfile::tempdir().unwrap();
    let mut pure = pure::Pure::new(dir.path());
    (0..count).for_each(|_| pure.exchange());
}

/// How many or how long, where that is told.
fn number<N: std::str::FromStr>(words: &[&str]) -> Option<N> {
    words.first().and_then(|word| word.parse().ok())
}
