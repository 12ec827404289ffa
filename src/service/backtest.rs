//! Backtests: what a set of rules would have done to recorded payments, told apart by what became of them.
//!
//! The facts that were recorded are replayed. Windows are counted anew from the payments themselves, lists are those of today, and what
//! is kept nowhere (a kind of account or a phone number that no rule asked for then) makes a rule fail, which is told.

use crate::domain::clock::Timestamp;
use crate::domain::id::PaymentId;
use crate::domain::outcome::Outcome;
use crate::policy::rules::Book;
use crate::service::counts::Counts;
use crate::service::rules::{Rulebook, Seen};
use crate::store::Record;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How many payments of each class are named for a rule.
const SAMPLES_MAX: usize = 5;

/// What became of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// The channel said that the elements do not match: to refuse it would have been right.
    Mismatch,
    /// It succeeded: to refuse it would have hurt.
    Good,
    /// It failed for another reason: to refuse it would have lost nothing.
    Failed,
    /// Nobody knows: no outcome, an unknown one, or one that is still owed.
    Unknown,
    /// It was refused already, and so nobody knows either.
    Refused,
}

impl Fate {
    /// Every fate.
    pub const ALL: [Self; 5] =
        [Self::Mismatch, Self::Good, Self::Failed, Self::Unknown, Self::Refused];

    /// The word in reports: what a rule that hits it would have done.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mismatch => "caught",
            Self::Good => "hurt",
            Self::Failed => "failed_anyway",
            Self::Unknown => "unknown",
            Self::Refused => "refused_before",
        }
    }

    pub(crate) fn of(record: &Record) -> Self {
        if !record.left() {
            return Self::Refused;
        }
        if record.mismatch.is_some_and(|mismatch| mismatch.kind.is_no_match()) {
            return Self::Mismatch;
        }
        match record.outcome.as_ref().map(|(outcome, _, _)| *outcome) {
            Some(Outcome::NoMatch(_)) => Self::Mismatch,
            Some(Outcome::Succeeded) => Self::Good,
            Some(Outcome::Declined(_) | Outcome::Reversed) => Self::Failed,
            Some(Outcome::Accepted | Outcome::Unknown | Outcome::Unmapped) | None => Self::Unknown,
        }
    }
}

/// So many payments, and their amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub payments: u64,
    /// Their amounts in fen, of those that have one.
    pub fen: u64,
}

impl Sum {
    pub(crate) fn add(&mut self, record: &Record) {
        self.payments = self.payments.saturating_add(1);
        let fen = record.amount.map_or(0, crate::domain::money::Fen::get);
        self.fen = self.fen.saturating_add(fen);
    }
}

/// What a rule, or the set, would have done.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// What it would have hit, by what became of it.
    pub hits: BTreeMap<Fate, Sum>,
    /// The same by day of China's calendar (`2026-11-28`).
    pub days: BTreeMap<String, BTreeMap<Fate, Sum>>,
    /// Some of those payments.
    pub samples: BTreeMap<Fate, Vec<PaymentId>>,
    /// For how many payments it could not be evaluated: what it needs is not known any more.
    pub not_rebuilt: u64,
}

impl Tally {
    fn hit(&mut self, record: &Record, fate: Fate, day: &str) {
        self.hits.entry(fate).or_default().add(record);
        let days = match self.days.get_mut(day) {
            Some(day) => day,
            None => self.days.entry(day.to_owned()).or_default(),
        };
        days.entry(fate).or_default().add(record);
        let samples = self.samples.entry(fate).or_default();
        if samples.len() < SAMPLES_MAX {
            samples.push(record.payment);
        }
    }
}

/// A backtest under way: payments are fed by time.
#[derive(Debug)]
pub struct Backtest {
    book: Rulebook,
    since: Timestamp,
    /// By rule, in the order of the set.
    rules: Vec<Tally>,
    any: Tally,
    /// All payments, by what became of them.
    all: BTreeMap<Fate, Sum>,
    lacks: BTreeMap<String, u64>,
    day: (u64, String),
}

/// What a backtest found.
#[derive(Clone, Debug)]
pub struct Found {
    /// By rule, in the order of the set.
    pub rules: Vec<Tally>,
    /// By any rule of the set.
    pub any: Tally,
    /// All payments that were looked at.
    pub all: BTreeMap<Fate, Sum>,
    /// What could not be rebuilt, and of how many payments for want of which a rule could not be evaluated.
    pub lacks: BTreeMap<String, u64>,
    /// What was looked up anew, since records do not say it: lists as they are today, windows counted from the payments themselves.
    pub looked_up: Vec<String>,
}

impl Backtest {
    /// A backtest of `book` on payments since `since`.
    pub fn new(book: Arc<Book>, since: Timestamp) -> Self {
        let rules = book.rules.rules().iter().map(|_| Tally::default()).collect();
        let book = Rulebook { book, counts: Arc::new(Counts::default()) };
        let (any, all, day) = (Tally::default(), BTreeMap::new(), (u64::MAX, String::new()));
        Self { book, since, rules, any, all, lacks: BTreeMap::new(), day }
    }

    /// How long before its beginning payments must be fed already, so that windows are full.
    pub fn warm_up(&self) -> Duration {
        self.book.longest().unwrap_or_default()
    }

    /// Takes the next payment, by time.
    pub fn feed(&mut self, record: &Record) {
        if record.at >= self.since && record.scenario.is_verified() {
            self.try_rules(record);
        }
        self.book.recount(record);
    }

    fn try_rules(&mut self, record: &Record) {
        let fate = Fate::of(record);
        self.all.entry(fate).or_default().add(record);
        let seen = Seen::recorded(record);
        let inputs = self.book.look_up(&seen);
        let given = seen.given(&self.book.book).with(&inputs);
        let verdict = self.book.book.rules.try_all(&given);
        for (rule, _) in &verdict.faults {
            if let Some(tally) = self.rules.get_mut(*rule) {
                tally.not_rebuilt = tally.not_rebuilt.saturating_add(1);
            }
        }
        if !verdict.faults.is_empty() {
            for lacking in self.book.lacking(&given) {
                let count = self.lacks.entry(lacking).or_default();
                *count = count.saturating_add(1);
            }
        }
        if verdict.hits.is_empty() {
            return;
        }
        self.turn_to(record.at);
        for hit in &verdict.hits {
            if let Some(tally) = self.rules.get_mut(hit.rule) {
                tally.hit(record, fate, &self.day.1);
            }
        }
        self.any.hit(record, fate, &self.day.1);
    }

    /// Writes the day anew where it is another.
    fn turn_to(&mut self, at: Timestamp) {
        let day = at.as_secs().saturating_add(8 * 3600) / 86_400;
        if self.day.0 != day {
            let seconds = i64::try_from(day.saturating_mul(86_400)).unwrap_or_default();
            let date = jiff::Timestamp::from_second(seconds).unwrap_or_default();
            self.day = (day, date.strftime("%Y-%m-%d").to_string());
        }
    }

    /// What it found.
    pub fn found(self) -> Found {
        let looked_up = self.book.book.rules.inputs().iter().map(ToString::to_string).collect();
        let Self { rules, any, all, lacks, .. } = self;
        Found { rules, any, all, lacks, looked_up }
    }
}
