//! What verification was used for: by scenario, element set and provider.

use crate::domain::answer::Billable;
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::ProviderName;
use crate::domain::payment::Scenario;
use std::collections::BTreeMap;

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// For what kind of message; absent where that was not kept.
    pub scenario: Option<Scenario>,
    /// About which elements.
    pub set: ElementSet,
    /// Who was asked, or was asked before.
    pub provider: ProviderName,
}

/// How often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Inquiries.
    pub asked: u64,
    /// Of these, the ones that matched.
    pub matched: u64,
    /// Of these, the ones that are billed.
    pub billed: u64,
    /// Of these, the ones of which nobody knows whether they are.
    pub uncertain: u64,
    /// Payments for which an earlier answer was reused, so that nobody was asked.
    pub reused: u64,
}

/// What was used since an instant.
#[derive(Clone, Debug)]
pub struct Usage {
    since: Timestamp,
    counts: BTreeMap<Use, Counts>,
}

impl Usage {
    /// Nothing yet.
    pub const fn new(since: Timestamp) -> Self {
        Self { since, counts: BTreeMap::new() }
    }

    /// An inquiry was made at `at`; whether it `matched` and is billed.
    pub fn asked(&mut self, of: Use, at: Timestamp, matched: bool, billable: Billable) {
        let Some(counts) = self.of(of, at) else { return };
        let one = |count: &mut u64, is: bool| *count = count.saturating_add(u64::from(is));
        one(&mut counts.asked, true);
        one(&mut counts.matched, matched);
        one(&mut counts.billed, billable == Billable::Yes);
        one(&mut counts.uncertain, billable == Billable::Uncertain);
    }

    /// A payment at `at` rested on an earlier answer.
    pub fn reused(&mut self, of: Use, at: Timestamp) {
        if let Some(counts) = self.of(of, at) {
            counts.reused = counts.reused.saturating_add(1);
        }
    }

    /// What was counted, by scenario, set and provider.
    pub const fn counts(&self) -> &BTreeMap<Use, Counts> {
        &self.counts
    }

    fn of(&mut self, of: Use, at: Timestamp) -> Option<&mut Counts> {
        (at >= self.since).then(|| self.counts.entry(of).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_since_then_counts() {
        let at = Timestamp::from_millis;
        let of = |scenario| Use {
            scenario,
            set: ElementSet::EMPTY,
            provider: ProviderName::new("first"),
        };
        let mut usage = Usage::new(at(100));
        usage.asked(of(None), at(99), true, Billable::Yes);
        usage.asked(of(Some(Scenario::Bind)), at(100), true, Billable::Yes);
        usage.asked(of(Some(Scenario::Bind)), at(101), false, Billable::Uncertain);
        usage.asked(of(Some(Scenario::Debit)), at(101), false, Billable::No);
        usage.reused(of(Some(Scenario::Debit)), at(99));
        usage.reused(of(Some(Scenario::Debit)), at(102));
        let shown: Vec<_> = usage
            .counts()
            .iter()
            .map(|(of, counts)| {
                let Counts { asked, matched, billed, uncertain, reused } = *counts;
                (of.scenario, [asked, matched, billed, uncertain, reused])
            })
            .collect();
        let (bind, debit) = (Some(Scenario::Bind), Some(Scenario::Debit));
        let mut expected = vec![(bind, [2, 1, 1, 1, 0]), (debit, [1, 0, 0, 0, 1])];
        expected.sort();
        assert_eq!(shown, expected);
    }
}
