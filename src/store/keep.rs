//! When each kind of rows goes.

use crate::domain::clock::Timestamp;
use crate::domain::keep::{Keep, PAYMENTS_KEPT};
use crate::store::row::Aggregate;
use std::time::Duration;

/// How long after its end goes what has one: by the clock of another process, or by this one's when it is right again, it may
/// still stand.
const ENDED_FOR: Duration = Duration::from_hours(24);

/// What goes at `now`: the rows of `of` that end no later than this. Rows are written to end after [`PAYMENTS_KEPT`], so
/// that a setting holds for those that are there already, too.
pub(super) fn until(keep: Keep, of: Aggregate, now: Timestamp) -> Timestamp {
    let kept = match of {
        Aggregate::Payments
        | Aggregate::Expectations
        | Aggregate::Orders
        | Aggregate::Audit
        | Aggregate::Mismatches
        | Aggregate::Statements => keep.payments,
        Aggregate::Inquiries | Aggregate::Charges | Aggregate::Verifications => keep.charges,
        Aggregate::Evidence
        | Aggregate::Agreements
        | Aggregate::Waiting
        | Aggregate::Holds
        | Aggregate::Unmapped
        | Aggregate::Forgotten
        | Aggregate::Concordance
        | Aggregate::Samples
        | Aggregate::Keys
        | Aggregate::Attempts
        | Aggregate::Spend
        | Aggregate::Webhooks
        | Aggregate::Managed
        | Aggregate::ListEntries
        | Aggregate::Accounts
        | Aggregate::ClientUse => return now.minus(ENDED_FOR),
    };
    now.plus(PAYMENTS_KEPT).minus(kept)
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
            let goes = |now: Timestamp| ends <= until(keep, of, now);
            assert!(goes(at.plus(day * days)), "{of:?}");
            assert!(!goes(at.plus(day * days).minus(Duration::from_millis(1))), "{of:?}");
        };
        let keep = Keep { payments: day * 3_000, charges: day * 40 };
        check(Keep::default(), Aggregate::Payments, 400);
        check(Keep::default(), Aggregate::Charges, 400);
        check(keep, Aggregate::Payments, 3_000);
        check(keep, Aggregate::Expectations, 3_000);
        check(keep, Aggregate::Orders, 3_000);
        check(keep, Aggregate::Audit, 3_000);
        check(keep, Aggregate::Inquiries, 40);
        check(keep, Aggregate::Verifications, 40);
        check(keep, Aggregate::Charges, 40);
        assert_eq!(until(keep, Aggregate::Holds, at.plus(day)), at, "it ends when its row says");
    }
}
