//! Spend: what may be spent on inquiries within a day, by provider, by merchant, and on what is merely observed.

use crate::domain::clock::Timestamp;
use crate::domain::id::{MerchantId, ProviderName};
use crate::domain::money::Fen;
use std::fmt;

/// At how many percent of a cap operations are told.
pub const ALERT_PERCENT: u64 = 80;

/// What is spent from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// What one provider is paid.
    Provider(ProviderName),
    /// What is asked for one merchant.
    Merchant(MerchantId),
    /// What is asked about payments that were forwarded anyway.
    Observed,
}

impl Account {
    /// The word used in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Provider(_) => "provider_cap",
            Self::Merchant(_) => "merchant_cap",
            Self::Observed => "observe_cap",
        }
    }
}

impl fmt::Display for Account {
    /// One key in the store.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provider(name) => write!(f, "provider\n{name}"),
            Self::Merchant(name) => write!(f, "merchant\n{}", name.0),
            Self::Observed => f.write_str("observed"),
        }
    }
}

/// The most that one account spends within a day of China's calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Which.
    pub account: Account,
    /// So much.
    pub most: Fen,
}

impl Cap {
    /// What is spent after `cost` more; nothing where that would be more than may be.
    pub fn after(&self, spent: Fen, cost: Fen) -> Option<Fen> {
        let after = spent.get().checked_add(cost.get())?;
        (after <= self.most.get()).then_some(Fen::new(after))
    }

    /// Whether what went from `before` to `after` passed [`ALERT_PERCENT`] by that.
    pub const fn alerts(&self, before: Fen, after: Fen) -> bool {
        let line = self.most.get().saturating_mul(ALERT_PERCENT);
        before.get().saturating_mul(100) < line && after.get().saturating_mul(100) >= line
    }
}

/// What was spent by an account on the day of `at`, as long as that is today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// The last time that anything was spent.
    pub at: Timestamp,
    /// By then.
    pub fen: Fen,
}

impl Spent {
    /// What is spent today.
    pub const fn today(self, now: Timestamp) -> Fen {
        if self.at.china_day() == now.china_day() { self.fen } else { Fen::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_is_never_passed_and_told_of_once() {
        let check = |most, spent, cost, expected: Option<u64>, alerts| {
            let cap = Cap { account: Account::Observed, most: Fen::new(most) };
            let after = cap.after(Fen::new(spent), Fen::new(cost));
            assert_eq!(after.map(Fen::get), expected, "{spent} + {cost} of {most}");
            let told = after.is_some_and(|after| cap.alerts(Fen::new(spent), after));
            assert_eq!(told, alerts, "{spent} + {cost} of {most}");
        };
        check(100, 0, 30, Some(30), false);
        check(100, 60, 30, Some(90), true);
        check(100, 50, 30, Some(80), true);
        check(100, 80, 20, Some(100), false);
        check(100, 80, 21, None, false);
        check(0, 0, 1, None, false);
        // What is free is free.
        check(0, 0, 0, Some(0), false);
        check(u64::MAX, u64::MAX, 1, None, false);
    }

    #[test]
    fn a_day_ends_at_midnight_in_china() {
        let at = Timestamp::from_millis(1_795_878_000_000);
        let spent = Spent { at, fen: Fen::new(7) };
        let later = |minutes| at.plus(std::time::Duration::from_mins(minutes));
        assert_eq!(spent.today(later(59)), Fen::new(7));
        assert_eq!(spent.today(later(60)), Fen::new(0));
    }
}
