//! A budget of retries: a share of the questions, so that a failure is not answered by twice the load.

use std::sync::atomic::{AtomicU32, Ordering};

/// What one retry costs, in what [`Budget`] counts.
const RETRY: u32 = 100;

/// What may be saved up at most: a hundred retries.
const MOST: u32 = 100 * RETRY;

/// What there is at first: enough for a breaker to see that a provider is down.
const FIRST: u32 = 10 * RETRY;

/// How many retries may be made.
#[derive(Debug)]
pub struct Budget {
    /// What each question adds: how many retries a hundred questions may make.
    share: u32,
    left: AtomicU32,
}

impl Budget {
    /// One that lets a hundred questions make `percent` retries, and some at the beginning.
    pub const fn new(percent: u32) -> Self {
        Self { share: percent, left: AtomicU32::new(FIRST) }
    }

    /// A question is asked for the first time.
    pub fn deposit(&self) {
        let more = |left: u32| Some(left.saturating_add(self.share).min(MOST));
        // It always has something to store.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Whether one may be asked again; if so it is counted.
    pub fn withdraw(&self) -> bool {
        let less = |left: u32| left.checked_sub(RETRY);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_retries_a_hundred_questions() {
        let check = |percent, questions, expected: usize| {
            let budget = Budget::new(percent);
            let first = std::iter::from_fn(|| budget.withdraw().then_some(())).count();
            assert_eq!(first, 10);
            (0..questions).for_each(|_| budget.deposit());
            let then = std::iter::from_fn(|| budget.withdraw().then_some(())).count();
            assert_eq!(then, expected, "{percent} of {questions}");
        };
        check(20, 4, 0);
        check(20, 5, 1);
        check(20, 100, 20);
        check(100, 7, 7);
        check(0, 1_000, 0);
        check(20, 10_000, 100);
    }
}
