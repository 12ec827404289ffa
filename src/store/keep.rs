//! How long each kind of rows is kept.

use crate::domain::clock::Timestamp;
use crate::store::row::{Aggregate, PAYMENTS_KEPT};
use std::time::Duration;

/// How long is kept what has no end of its own. Evidence, waiting binds and holds have: evidence goes when it may not be used
/// any more, since what it was good for stands in the payments that rested on it. Agreements stay until they are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Records of payments, their orders and expectations: an order that comes again after that may leave again.
    pub payments: Duration,
    /// Inquiries and what they came to.
    pub charges: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self { payments: PAYMENTS_KEPT, charges: PAYMENTS_KEPT }
    }
}

impl Keep {
    /// What goes at `now`: the rows of `of` that end no later than this. Rows are written to end after [`PAYMENTS_KEPT`], so
    /// that a setting holds for those that are there already, too.
    pub(super) fn until(&self, of: Aggregate, now: Timestamp) -> Timestamp {
        let kept = match of {
            Aggregate::Payments | Aggregate::Expectations | Aggregate::Orders => self.payments,
            Aggregate::Inquiries | Aggregate::Charges => self.charges,
            Aggregate::Evidence
            | Aggregate::Agreements
            | Aggregate::Waiting
            | Aggregate::Holds
            | Aggregate::Unmapped => return now,
        };
        now.plus(PAYMENTS_KEPT).minus(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_goes_when_the_setting_says() {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let day = Duration::from_hours(24);
        let check = |keep: Keep, of, days: u32| {
            let ends = at.plus(PAYMENTS_KEPT);
            let goes = |now: Timestamp| ends <= keep.until(of, now);
            assert!(goes(at.plus(day * days)), "{of:?}");
            assert!(!goes(at.plus(day * days).minus(Duration::from_millis(1))), "{of:?}");
        };
        let keep = Keep { payments: day * 3_000, charges: day * 40 };
        check(Keep::default(), Aggregate::Payments, 400);
        check(Keep::default(), Aggregate::Charges, 400);
        check(keep, Aggregate::Payments, 3_000);
        check(keep, Aggregate::Expectations, 3_000);
        check(keep, Aggregate::Orders, 3_000);
        check(keep, Aggregate::Inquiries, 40);
        check(keep, Aggregate::Charges, 40);
        assert_eq!(keep.until(Aggregate::Evidence, at), at, "it ends when its row says");
    }
}
