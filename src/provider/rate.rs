//! A limit on questions per second, by the virtual-scheduling form of the leaky bucket (ITU-T I.371).

use crate::domain::clock::Timestamp;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

const SECOND_US: u64 = 1_000_000;

/// Admits at most so many per second, a whole second's worth at once.
#[derive(Debug)]
pub(crate) struct Rate {
    interval_us: u64,
    /// When the next question would be due if they came evenly, in microseconds since the epoch.
    due_us: AtomicU64,
}

impl Rate {
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        let interval_us = SECOND_US / u64::from(per_second.get());
        Self { interval_us: interval_us.max(1), due_us: AtomicU64::new(0) }
    }

    /// Whether one more may be asked now; if so it is counted.
    pub(crate) fn admits(&self, now: Timestamp) -> bool {
        let now_us = now.as_millis().saturating_mul(1000);
        let next = |due: u64| {
            let due = due.max(now_us).saturating_add(self.interval_us);
            (due <= now_us.saturating_add(SECOND_US)).then_some(due)
        };
        self.due_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(per_second: u32, at_ms: &[u64], expected: &[bool]) {
        let rate = Rate::new(NonZeroU32::new(per_second).unwrap());
        let admitted: Vec<bool> =
            at_ms.iter().map(|ms| rate.admits(Timestamp::from_millis(1_000_000 + ms))).collect();
        assert_eq!(admitted, expected);
    }

    #[test]
    fn a_second_holds_so_many_and_no_more() {
        check(2, &[0, 0, 0], &[true, true, false]);
        check(2, &[0, 0, 499, 500, 500], &[true, true, false, true, false]);
        check(1, &[0, 999, 1000], &[true, false, true]);
        check(2, &[0, 0, 5000, 5000, 5000], &[true, true, true, true, false]);
    }
}
