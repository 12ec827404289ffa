//! How much a client may have verified within a day and within a month, by China's calendar, whichever process counts.

use super::{AskError, Over, Terms, unread};
use crate::billing::month::Month;
use crate::domain::clock::Timestamp;
use crate::service::Service;
use crate::store::journal::StoreLost;
use crate::store::shelf::{Range, Swap};
use crate::store::verification::Use;
use std::time::Duration;

/// How often is tried to count where other processes count, too.
const TRIES: usize = 50;

/// The most of them; without bounds where absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Within a day.
    pub day: Option<u64>,
    /// Within a month.
    pub month: Option<u64>,
}

impl Quota {
    /// What is used after `many` more, of what was `used` before `now`.
    fn after(&self, used: Option<Use>, many: u64, now: Timestamp) -> Result<Use, Over> {
        let (day, month) = (now.china_day(), Month::of(now).ok_or(Over::Month)?.to_string());
        let mut after = Use { day, of_day: many, month, of_month: many };
        if let Some(used) = used {
            // Whose clock is behind another's counts where that one does: no day is had twice.
            if used.day >= after.day {
                after.day = used.day;
                after.of_day = after.of_day.saturating_add(used.of_day);
            }
            // Names of months are in their order.
            if used.month >= after.month {
                after.month = used.month;
                after.of_month = after.of_month.saturating_add(used.of_month);
            }
        }
        // The longer wait first: who comes again tomorrow would be told the same.
        if self.month.is_some_and(|most| after.of_month > most) {
            return Err(Over::Month);
        }
        if self.day.is_some_and(|most| after.of_day > most) {
            return Err(Over::Day);
        }
        Ok(after)
    }
}

impl Over {
    /// How long it is until there is more.
    pub fn wait(self, now: Timestamp) -> Duration {
        let next = match self {
            Self::Day => Timestamp::china_midnight(now.china_day().saturating_add(1)),
            Self::Month => Month::of(now).map_or(now, |month| month.until()),
        };
        next.since(now)
    }
}

/// What is used where `many` that were counted at `at` are given back.
fn before(used: Use, (many, at): (u64, Timestamp)) -> Use {
    let same_day = used.day == at.china_day();
    let same_month = Month::of(at).is_some_and(|month| month.to_string() == used.month);
    let back = |of: u64, same: bool| if same { of.saturating_sub(many) } else { of };
    let (of_day, of_month) = (back(used.of_day, same_day), back(used.of_month, same_month));
    Use { of_day, of_month, ..used }
}

impl Service {
    /// Counts `many` more of a client's verifications, where it may have them.
    ///
    /// # Errors
    /// [`AskError::Over`]; nothing is counted.
    pub(super) async fn count_for(&self, terms: &Terms, many: u64) -> Result<(), AskError> {
        self.change_use(terms, |used, now| terms.quota.after(used, many, now)).await
    }

    /// Gives back so many that were counted then, and that nobody asked. Where the store is lost, they stay counted.
    pub(super) async fn uncount_for(&self, terms: &Terms, counted: (u64, Timestamp)) {
        let back = |used: Option<Use>, _| Ok(before(used.unwrap_or_default(), counted));
        let _ = self.change_use(terms, back).await;
    }

    async fn change_use(
        &self,
        terms: &Terms,
        change: impl Fn(Option<Use>, Timestamp) -> Result<Use, Over>,
    ) -> Result<(), AskError> {
        if terms.quota == Quota::default() {
            return Ok(());
        }
        // Those of this process one after the other: where others count, too, what was read is no more.
        let _turn = terms.turn.lock().await;
        for _ in 0..TRIES {
            let key = Use::key(&terms.name);
            let rows = self.store.range(Range::one(&key)).await?;
            let known = rows.first().map(|row| (row.value.clone(), Use::read(row)));
            let (was, used) = match known {
                Some((was, used)) => (Some(was), Some(used.map_err(|error| unread(&error))?)),
                None => (None, None),
            };
            let now = self.now();
            let after = change(used, now).map_err(AskError::Over)?;
            let new = Some(after.row(key.clone(), now).ok_or(StoreLost)?);
            if self.store.swap(Swap { key, was, new, beside: Vec::new() }).await? {
                return Ok(());
            }
        }
        Err(AskError::Store(StoreLost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An instant, how many, and the count of the day and of the month after it, or until when is to be waited.
    type Told = (&'static str, u64, Result<(u64, u64), &'static str>);

    #[test]
    fn a_day_and_a_month_are_chinas() {
        let at = |text: &str| {
            let at = text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
            Timestamp::from_millis(u64::try_from(at).unwrap())
        };
        // Each is an instant, how many, and the count of the day and of the month after it, or until when is to be waited.
        let check = |story: &[Told]| {
            let (quota, mut used) = (Quota { day: Some(3), month: Some(5) }, None);
            for (now, many, expected) in story {
                let now = at(now);
                match (quota.after(used.clone(), *many, now), expected) {
                    (Ok(after), Ok(expected)) => {
                        assert_eq!((after.of_day, after.of_month), *expected, "{now:?}");
                        used = Some(after);
                    }
                    (Err(over), Err(until)) => assert_eq!(now.plus(over.wait(now)), at(until)),
                    (came, expected) => panic!("{now:?}: {came:?} and not {expected:?}"),
                }
            }
        };
        check(&[
            ("2026-11-29T15:59:59Z", 3, Ok((3, 3))),
            ("2026-11-29T15:59:59.999Z", 1, Err("2026-11-29T16:00:00Z")),
            ("2026-11-29T16:00:00Z", 1, Ok((1, 4))),
            ("2026-11-29T16:00:01Z", 1, Ok((2, 5))),
            ("2026-11-29T16:00:02Z", 1, Err("2026-11-30T16:00:00Z")),
            ("2026-11-30T15:59:59Z", 1, Err("2026-11-30T16:00:00Z")),
            ("2026-11-30T16:00:00Z", 3, Ok((3, 3))),
            ("2026-11-30T16:00:01Z", 1, Err("2026-12-01T16:00:00Z")),
            ("2026-12-01T15:59:59Z", 1, Err("2026-12-01T16:00:00Z")),
            ("2026-12-01T16:00:00Z", 3, Err("2026-12-31T16:00:00Z")),
            ("2026-12-01T16:00:00Z", 2, Ok((2, 5))),
        ]);
        // One clock is past midnight, another is not yet: both count at the later day, and month.
        check(&[
            ("2026-11-30T15:59:59Z", 1, Ok((1, 1))),
            ("2026-11-30T16:00:01Z", 1, Ok((1, 1))),
            ("2026-11-30T15:59:59Z", 1, Ok((2, 2))),
            ("2026-11-30T16:00:02Z", 1, Ok((3, 3))),
            ("2026-11-30T15:59:59Z", 1, Err("2026-11-30T16:00:00Z")),
            ("2026-11-30T16:00:02Z", 1, Err("2026-12-01T16:00:00Z")),
        ]);
    }

    #[test]
    fn what_was_not_asked_is_given_back_to_its_day_and_month() {
        let at = Timestamp::from_millis(1_795_878_000_000);
        let quota = Quota { day: Some(9), month: Some(9) };
        let used = quota.after(None, 5, at).unwrap();
        let back = before(used.clone(), (3, at));
        assert_eq!((back.of_day, back.of_month), (2, 2));
        let day_before = Timestamp::from_millis(1_795_878_000_000 - 86_400_000);
        let back = before(used.clone(), (3, day_before));
        assert_eq!((back.of_day, back.of_month), (5, 2));
        let long_before = Timestamp::from_millis(1_795_878_000_000 - 40 * 86_400_000);
        assert_eq!(before(used.clone(), (3, long_before)), used);
    }
}
