//! What one run of something short takes.

use std::time::Instant;

/// How often, all in all; the middle one counts.
const BATCHES: usize = 9;

/// How many runs are timed together.
const RUNS: u32 = 20_000;

/// The median over batches of what one run takes, in nanoseconds.
pub(crate) fn nanos<T>(run: impl FnMut() -> T) -> f64 {
    nanos_of(RUNS, run)
}

/// The same for what takes longer, or keeps what it makes: so many runs a batch.
pub(crate) fn nanos_of<T>(runs: u32, mut run: impl FnMut() -> T) -> f64 {
    let mut batches: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..runs {
                std::hint::black_box(run());
            }
            begun.elapsed().as_secs_f64() * 1e9 / f64::from(runs)
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    batches[BATCHES / 2]
}
