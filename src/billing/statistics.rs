//! What inquiries came to: how they were answered and why, what they cost, and how long they took, by whatever a reader has them counted.

use crate::billing::month::Month;
use crate::billing::price::Prices;
use crate::domain::answer::{Answer, Billable};
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::ProviderName;
use crate::domain::kind::Kind;
use crate::domain::money::Fen;
use crate::domain::payment::Scenario;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

/// The most groups: more are no table that somebody reads.
pub const GROUPS_MAX: usize = 10_000;

/// By what inquiries are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// For what kind of message.
    Scenario,
    /// What was asked.
    Kind,
    /// About which elements.
    Elements,
    /// Who was asked.
    Provider,
    /// Which bank issued the card.
    Bank,
}

impl Dimension {
    /// Each.
    pub const ALL: [Self; 5] =
        [Self::Scenario, Self::Kind, Self::Elements, Self::Provider, Self::Bank];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scenario => "scenario",
            Self::Kind => "kind",
            Self::Elements => "elements",
            Self::Provider => "provider",
            Self::Bank => "bank",
        }
    }
}

/// Some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By(BTreeSet<Dimension>);

/// Not some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("by what to count is some of `scenario,kind,elements,provider,bank`, with commas")]
pub struct InvalidBy;

impl By {
    /// Each, in one order.
    pub fn dimensions(&self) -> impl Iterator<Item = Dimension> {
        self.0.iter().copied()
    }
}

impl Default for By {
    fn default() -> Self {
        Self([Dimension::Scenario, Dimension::Kind, Dimension::Provider].into())
    }
}

impl FromStr for By {
    type Err = InvalidBy;

    fn from_str(text: &str) -> Result<Self, InvalidBy> {
        let read = |word: &str| Dimension::ALL.into_iter().find(|it| it.as_str() == word.trim());
        text.split(',').map(read).collect::<Option<_>>().map(Self).ok_or(InvalidBy)
    }
}

/// What is counted, and when it must have been asked.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// By what.
    pub by: By,
    /// The first instant.
    pub since: Timestamp,
    /// The first instant after.
    pub until: Timestamp,
}

impl Wanted {
    /// From when to when inquiries are read: whole months, since what one costs depends on how many there were in its month.
    pub fn months(&self) -> (Timestamp, Timestamp) {
        let first = Month::of(self.since).map_or(self.since, |month| month.from());
        // The first instant after is in it no more.
        let last = self.until.minus(Duration::from_millis(1));
        let last = Month::of(last).map_or(self.until, |month| month.until());
        (first, last)
    }

    fn takes(&self, at: Timestamp) -> bool {
        self.since <= at && at < self.until
    }
}

/// What is counted together. What is not known, or not told apart, is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Of {
    /// For what kind of message.
    pub scenario: Option<Scenario>,
    /// What was asked.
    pub kind: Option<Kind>,
    /// About which elements.
    pub elements: Option<ElementSet>,
    /// Who was asked, or was asked before; nobody, where nobody told, or a channel did.
    pub provider: Option<ProviderName>,
    /// The issuer of the card, as the operator names it.
    pub bank: Option<Box<str>>,
}

impl Of {
    /// What is told apart of it.
    fn told_apart(self, by: &By) -> Self {
        let is = |dimension| by.0.contains(&dimension);
        Self {
            scenario: self.scenario.filter(|_| is(Dimension::Scenario)),
            kind: self.kind.filter(|_| is(Dimension::Kind)),
            elements: self.elements.filter(|_| is(Dimension::Elements)),
            provider: self.provider.filter(|_| is(Dimension::Provider)),
            bank: self.bank.filter(|_| is(Dimension::Bank)),
        }
    }

    /// The word for what it is by one dimension.
    pub fn word(&self, dimension: Dimension) -> Option<String> {
        match dimension {
            Dimension::Scenario => self.scenario.map(|it| it.as_str().to_owned()),
            Dimension::Kind => self.kind.map(|it| it.as_str().to_owned()),
            Dimension::Elements => self.elements.map(|it| it.to_string()),
            Dimension::Provider => self.provider.as_ref().map(ToString::to_string),
            Dimension::Bank => self.bank.as_ref().map(ToString::to_string),
        }
    }
}

/// An inquiry.
#[derive(Clone, Debug)]
pub struct Inquiry {
    /// For what kind of message.
    pub scenario: Option<Scenario>,
    /// What was asked.
    pub kind: Option<Kind>,
    /// About which elements.
    pub set: ElementSet,
    /// Who was asked.
    pub provider: ProviderName,
    /// The issuer of the card.
    pub bank: Option<Box<str>>,
    /// When.
    pub at: Timestamp,
    /// What it came to; nothing, where nobody knows that, or not yet.
    pub came: Option<Came>,
}

/// What an inquiry came to.
#[derive(Clone, Debug)]
pub struct Came {
    /// What was answered.
    pub answer: Answer,
    /// Why, in a word of ours, where that is not the provider's own word.
    pub trouble: Option<Box<str>>,
    /// Whether it is billed.
    pub billable: Billable,
    /// How many milliseconds it took, where it was sent.
    pub took_ms: Option<u32>,
}

/// How often each was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// All elements belong together.
    pub matched: u64,
    /// Nearly.
    pub close_match: u64,
    /// They do not.
    pub no_match: u64,
    /// There is no record of it.
    pub no_record: u64,
    /// It cannot be answered.
    pub not_possible: u64,
    /// Asked too often.
    pub limited: u64,
    /// A format was refused.
    pub invalid: u64,
    /// Nothing was learned.
    pub unavailable: u64,
    /// Nobody knows, or not yet.
    pub open: u64,
}

impl Answers {
    const fn of(&mut self, answer: Option<Answer>) -> &mut u64 {
        match answer {
            Some(Answer::Match) => &mut self.matched,
            Some(Answer::CloseMatch) => &mut self.close_match,
            Some(Answer::NoMatch(_)) => &mut self.no_match,
            Some(Answer::NoRecord) => &mut self.no_record,
            Some(Answer::NotPossible) => &mut self.not_possible,
            Some(Answer::Limited) => &mut self.limited,
            Some(Answer::Invalid) => &mut self.invalid,
            Some(Answer::Unavailable) => &mut self.unavailable,
            None => &mut self.open,
        }
    }
}

/// How long inquiries took, to three digits: exact below a second, to 10 ms below ten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency(BTreeMap<u32, u64>);

impl Latency {
    fn add(&mut self, ms: u32) {
        let digits = ms.checked_ilog10().unwrap_or_default();
        let unit = 10_u32.saturating_pow(digits.saturating_sub(2));
        one(self.0.entry(ms.saturating_sub(ms % unit)).or_default());
    }

    /// Of how many that is known.
    pub fn known(&self) -> u64 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// What so many of a hundred did not exceed.
    pub fn percentile(&self, percent: u64) -> Option<u32> {
        let rank = self.known().saturating_mul(percent).div_ceil(100);
        let mut seen = 0_u64;
        let reached = self.0.iter().find(|(_, count)| {
            seen = seen.saturating_add(**count);
            seen >= rank
        });
        reached.map(|(ms, _)| *ms)
    }
}

/// What is counted of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Inquiries.
    pub asked: u64,
    /// How they were answered.
    pub answers: Answers,
    /// Those that did not match, by why: the answer, and the elements at fault or our word for the trouble where known.
    pub reasons: BTreeMap<String, u64>,
    /// Inquiries that are billed.
    pub billed: u64,
    /// Inquiries of which nobody knows whether they are.
    pub uncertain: u64,
    /// How long they took.
    pub took: Latency,
    /// Payments that rested on an answer which was kept before, so that nobody was asked.
    pub reused: u64,
    /// Payments of which nobody told anything, by why.
    pub untold: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Of a thousand inquiries, how many matched, rounded down, so that only all are all; none where nobody was asked.
    pub fn match_permille(&self) -> Option<u64> {
        self.answers.matched.saturating_mul(1000).checked_div(self.asked)
    }

    fn add(&mut self, came: Option<&Came>) {
        one(&mut self.asked);
        one(self.answers.of(came.map(|came| came.answer)));
        if let Some(why) = why(came) {
            one(self.reasons.entry(why).or_default());
        }
        match came.map_or(Billable::Uncertain, |came| came.billable) {
            Billable::Yes => one(&mut self.billed),
            Billable::Uncertain => one(&mut self.uncertain),
            Billable::No => (),
        }
        if let Some(ms) = came.and_then(|came| came.took_ms) {
            self.took.add(ms);
        }
    }
}

const fn one(count: &mut u64) {
    *count = count.saturating_add(1);
}

/// Why it is no match.
fn why(came: Option<&Came>) -> Option<String> {
    let Some(Came { answer, trouble, .. }) = came else { return Some("open".to_owned()) };
    let word = answer.as_str();
    match (answer, trouble) {
        (Answer::Match, _) => None,
        (Answer::NoMatch(at_fault), None) if !at_fault.is_empty() => {
            Some(format!("{word}: {at_fault}"))
        }
        (_, Some(trouble)) => Some(format!("{word}: {trouble}")),
        (_, None) => Some(word.to_owned()),
    }
}

/// A group, and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which.
    pub of: Of,
    /// How often.
    pub counts: Counts,
    /// Its share of what the billed ones of each month cost.
    pub cost: Fen,
    /// Its share of what the uncertain ones cost besides, if all of them are billed.
    pub uncertain_cost: Fen,
}

/// There are more groups than anybody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are more than {GROUPS_MAX} groups: count by less")]
pub struct TooMany;

/// What is priced together: a provider's inquiries about one set within a month.
type Cell = (ProviderName, ElementSet, Option<Month>);

/// What is shared out evenly, so that the shares of all are the whole to the fen.
#[derive(Clone, Copy, Debug, Default)]
struct Shared {
    all: u64,
    /// How many have their share: from the beginning those that no group has.
    served: u64,
}

impl Shared {
    fn take(&mut self, count: u64, whole: Fen) -> Fen {
        let until = |served: u64| {
            let share = u128::from(whole.get()).saturating_mul(served.into());
            u64::try_from(share.checked_div(self.all.into()).unwrap_or_default())
                .unwrap_or(u64::MAX)
        };
        let served = self.served.saturating_add(count);
        let share = Fen::new(until(served).saturating_sub(until(self.served)));
        self.served = served;
        share
    }
}

/// Inquiries and payments, as they are counted.
#[derive(Debug)]
pub struct Tally {
    wanted: Wanted,
    groups: BTreeMap<Of, (Counts, BTreeMap<Cell, [u64; 2]>)>,
    /// Of whole months: those that are billed, and those of which nobody knows.
    cells: BTreeMap<Cell, [Shared; 2]>,
    too_many: bool,
}

impl Tally {
    /// Nothing yet.
    pub const fn new(wanted: Wanted) -> Self {
        Self { wanted, groups: BTreeMap::new(), cells: BTreeMap::new(), too_many: false }
    }

    /// An inquiry of one of [`Wanted::months`].
    pub fn asked(&mut self, inquiry: Inquiry) {
        let Inquiry { scenario, kind, set, provider, bank, at, came } = inquiry;
        let billed = match came.as_ref().map_or(Billable::Uncertain, |came| came.billable) {
            Billable::Yes => Some(0),
            Billable::Uncertain => Some(1),
            Billable::No => None,
        };
        let cell = billed.map(|which| ((provider.clone(), set, Month::of(at)), which));
        let (elements, provider) = (Some(set), Some(provider));
        let group = self.group(Of { scenario, kind, elements, provider, bank }, at);
        let is_counted = group.is_some();
        if let Some((counts, shares)) = group {
            counts.add(came.as_ref());
            if let Some((cell, which)) = &cell
                && let Some(count) = shares.entry(cell.clone()).or_default().get_mut(*which)
            {
                one(count);
            }
        }
        if let Some((cell, which)) = cell
            && let Some(shared) = self.cells.entry(cell).or_default().get_mut(which)
        {
            one(&mut shared.all);
            if !is_counted {
                one(&mut shared.served);
            }
        }
    }

    /// A payment at `at` rested on an earlier answer.
    pub fn reused(&mut self, of: Of, at: Timestamp) {
        if let Some((counts, _)) = self.group(of, at) {
            one(&mut counts.reused);
        }
    }

    /// Of a payment at `at` nobody told anything.
    pub fn untold(&mut self, of: Of, why: &'static str, at: Timestamp) {
        if let Some((counts, _)) = self.group(of, at) {
            one(counts.untold.entry(why).or_default());
        }
    }

    fn group(&mut self, of: Of, at: Timestamp) -> Option<&mut (Counts, BTreeMap<Cell, [u64; 2]>)> {
        if !self.wanted.takes(at) {
            return None;
        }
        let of = of.told_apart(&self.wanted.by);
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&of) {
            self.too_many = true;
            return None;
        }
        Some(self.groups.entry(of).or_default())
    }

    /// Every group, in one order; `prices` knows each provider's list.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn lines(mut self, prices: &BTreeMap<ProviderName, Prices>) -> Result<Vec<Line>, TooMany> {
        if self.too_many {
            return Err(TooMany);
        }
        let free = Prices::default();
        let mut line = |(of, (counts, shares)): (Of, (Counts, BTreeMap<Cell, [u64; 2]>))| {
            let mut sums = [Fen::default(); 2];
            for (cell, [billed, uncertain]) in shares {
                let Some([sure, unsure]) = self.cells.get_mut(&cell) else { continue };
                let (prices, set) = (prices.get(&cell.0).unwrap_or(&free), cell.1);
                let cost = prices.cost(set, sure.all);
                let more = prices.more(set, sure.all, unsure.all);
                let shares = [sure.take(billed, cost), unsure.take(uncertain, more)];
                for (sum, share) in sums.iter_mut().zip(shares) {
                    *sum = Fen::new(sum.get().saturating_add(share.get()));
                }
            }
            let [cost, uncertain_cost] = sums;
            Line { of, counts, cost, uncertain_cost }
        };
        Ok(std::mem::take(&mut self.groups).into_iter().map(&mut line).collect())
    }
}

#[cfg(test)]
mod tests;
