//! Whom to ask for the sources that a class still wants: the cheapest set of them.

use crate::domain::account::{Class, Source};
use crate::domain::clock::Timestamp;
use crate::domain::money::Fen;
use crate::tier::class::{Classed, Finding};
use crate::tier::rules::Edition;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

/// A question that could be put: a way to a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// What it would find, if it is confirmed.
    pub finds: Finding,
    /// What it costs.
    pub price: Fen,
    /// How long it takes.
    pub latency: Duration,
    /// Of a thousand such questions, how many are confirmed.
    pub confirmed: u16,
}

impl Way {
    /// What a confirmation by it is expected to cost, in thousandths of fen: its price and its time, as often as it takes.
    pub fn expected_cost(&self, second_costs: Fen) -> u64 {
        let millis = u64::try_from(self.latency.as_millis()).unwrap_or(u64::MAX);
        let price = self.price.get().saturating_mul(1000);
        let once = price.saturating_add(millis.saturating_mul(second_costs.get()));
        once.saturating_mul(1000) / u64::from(self.confirmed.max(1))
    }
}

/// Whom to ask, by the position of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The class is reached.
    Reached,
    /// It takes so many more sources, and these are the cheapest, in the order in which to ask.
    Ask(Vec<usize>),
    /// It takes more sources than there are ways to; so many are missing.
    OutOfReach(u32),
}

/// The plan for `target`, where so much is `classed` by now and perhaps the person was met; of these ways, where a second costs so much. Every source is reached by its cheapest way, and the cheapest sources are
/// asked first: each counts as one, whatever it costs, so no other set is cheaper.
pub fn plan(
    edition: &Edition,
    (classed, met): (&Classed, bool),
    target: Class,
    (ways, second_costs): (&[Way], Fen),
    at: Timestamp,
) -> Plan {
    let Some(terms) = edition.classes.get(&target) else { return Plan::OutOfReach(u32::MAX) };
    let have = u32::try_from(classed.counted.len()).unwrap_or(u32::MAX);
    let missing = terms.sources.saturating_sub(have);
    if missing == 0 || (met && terms.face_to_face) {
        return Plan::Reached;
    }
    let mut cheapest: BTreeMap<Source, (u64, usize)> = BTreeMap::new();
    for (position, way) in ways.iter().enumerate() {
        let Ok(source) = edition.counts_as(&way.finds, at) else { continue };
        if classed.counted.contains_key(&source) {
            continue;
        }
        let this = (way.expected_cost(second_costs), position);
        let best = cheapest.entry(source).or_insert(this);
        if this.cmp(best) == Ordering::Less {
            *best = this;
        }
    }
    let mut ask: Vec<_> = cheapest.into_values().collect();
    ask.sort_unstable();
    let found = u32::try_from(ask.len()).unwrap_or(u32::MAX);
    if found < missing {
        return Plan::OutOfReach(missing.saturating_sub(found));
    }
    ask.truncate(usize::try_from(missing).unwrap_or(usize::MAX));
    Plan::Ask(ask.into_iter().map(|(_, position)| position).collect())
}
