//! What a month comes to, by provider and element set.

use crate::billing::Asked;
use crate::billing::month::Month;
use crate::billing::price::Prices;
use crate::domain::answer::Billable;
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::ProviderName;
use crate::domain::money::Fen;
use std::collections::BTreeMap;

/// What is counted of one provider and element set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Inquiries that are billed.
    pub billed: u64,
    /// Inquiries that are not.
    pub free: u64,
    /// Inquiries of which nobody here knows: the provider may have got them.
    pub uncertain: u64,
    /// Payments that an earlier answer of this provider verified.
    pub reused: u64,
}

/// A line of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who was asked.
    pub provider: ProviderName,
    /// About which elements.
    pub set: ElementSet,
    /// How often.
    pub counts: Counts,
    /// What the billed ones cost.
    pub cost: Fen,
    /// What the uncertain ones cost besides, if all of them are billed.
    pub uncertain: Fen,
    /// What those that were not asked would have cost besides.
    pub saved: Fen,
}

/// A month, as it is counted.
#[derive(Clone, Debug)]
pub struct Tally {
    month: Month,
    counts: BTreeMap<(ProviderName, ElementSet), Counts>,
}

impl Tally {
    /// Nothing of `month` yet.
    pub const fn new(month: Month) -> Self {
        Self { month, counts: BTreeMap::new() }
    }

    /// An inquiry; says whether it is of this month.
    pub fn asked(&mut self, asked: &Asked) -> bool {
        let Some(counts) = self.of(&asked.provider, asked.set, asked.at) else { return false };
        let count = match asked.billable {
            Billable::Yes => &mut counts.billed,
            Billable::No => &mut counts.free,
            Billable::Uncertain => &mut counts.uncertain,
        };
        *count = count.saturating_add(1);
        true
    }

    /// A payment at `at` that an earlier answer verified.
    pub fn reused(&mut self, provider: &ProviderName, set: ElementSet, at: Timestamp) {
        if let Some(counts) = self.of(provider, set, at) {
            counts.reused = counts.reused.saturating_add(1);
        }
    }

    fn of(
        &mut self,
        provider: &ProviderName,
        set: ElementSet,
        at: Timestamp,
    ) -> Option<&mut Counts> {
        let key = || (provider.clone(), set);
        self.month.contains(at).then(|| self.counts.entry(key()).or_default())
    }

    /// The lines, by provider and set; `prices` knows each provider's list.
    pub fn lines(&self, prices: &BTreeMap<ProviderName, Prices>) -> Vec<Line> {
        let free = Prices::default();
        let line = |((provider, set), counts): (&(ProviderName, ElementSet), &Counts)| {
            let prices = prices.get(provider).unwrap_or(&free);
            Line {
                provider: provider.clone(),
                set: *set,
                counts: *counts,
                cost: prices.cost(*set, counts.billed),
                uncertain: prices.more(*set, counts.billed, counts.uncertain),
                saved: prices.more(*set, counts.billed, counts.reused),
            }
        };
        self.counts.iter().map(line).collect()
    }
}
