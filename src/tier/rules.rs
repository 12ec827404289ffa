//! Dated rules: which sources count, what each class needs and allows, what may be paid within a day.

use crate::domain::account::{Class, Purpose, Strength};
use crate::domain::clock::Timestamp;
use crate::domain::money::Fen;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Every edition, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    editions: Vec<Edition>,
}

impl Book {
    /// A book of `editions`, in any order.
    pub fn new(mut editions: Vec<Edition>) -> Self {
        editions.sort_by_key(|edition| edition.from);
        Self { editions }
    }

    /// Every edition, the oldest first.
    pub fn editions(&self) -> impl Iterator<Item = &Edition> {
        self.editions.iter()
    }

    /// The edition in force at `at`; nothing before the first.
    pub fn at(&self, at: Timestamp) -> Option<&Edition> {
        self.editions.iter().rev().find(|edition| edition.from <= at)
    }
}

/// The rules from one day on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    /// Since when they are in force.
    pub from: Timestamp,
    /// What they rest on, for whoever reads a record.
    pub basis: Box<str>,
    /// The sources that are known, by family. No other counts.
    pub sources: BTreeMap<Box<str>, Family>,
    /// What each class needs and allows.
    pub classes: BTreeMap<Class, Terms>,
    /// What may be paid within a day of China's calendar, from all accounts of a person, by how they were authenticated: without bounds
    /// where absent.
    pub daily: BTreeMap<Strength, Fen>,
    /// What a day's limit does not count.
    pub daily_excludes: BTreeSet<Purpose>,
    /// How many accounts one person may have.
    pub accounts: u32,
    /// How many of them may be of class III.
    pub class_three: u32,
    /// Of how many persons one phone number may be.
    pub persons_a_phone: u32,
    /// How long before a class lapses somebody is told.
    pub notice: Duration,
}

/// A family of sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// How its members count.
    pub counts: Counts,
    /// How long its word counts; for good where absent.
    pub valid_for: Option<Duration>,
    /// Which bank account must have been checked.
    pub account: AccountNeeded,
}

/// How the members of a family count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// All of them once.
    Once,
    /// Each of them once; what names no member does not count.
    Each,
    /// Not at all: it is known, and no lawful channel.
    Never,
}

impl Counts {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Once, Self::Each, Self::Never];

    /// The word used in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Each => "each",
            Self::Never => "never",
        }
    }
}

/// Which bank account must have been checked for the bank's word to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountNeeded {
    /// Any, or it is no bank.
    Any,
    /// A class I bank account or a credit card.
    ClassOneOrCredit,
}

impl AccountNeeded {
    /// Each.
    pub const ALL: [Self; 2] = [Self::Any, Self::ClassOneOrCredit];

    /// The word used in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ClassOneOrCredit => "class_one_or_credit",
        }
    }
}

/// What a class needs and allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// How many distinct sources it takes without meeting the person.
    pub sources: u32,
    /// Whether meeting the person is enough.
    pub face_to_face: bool,
    /// What balance may be used for.
    pub purposes: BTreeSet<Purpose>,
    /// What may be paid from balance since the first account was opened; without bounds where absent.
    pub lifetime: Option<Fen>,
    /// What may be paid within a year of China's calendar.
    pub yearly: Option<Fen>,
    /// What those two do not count.
    pub excludes: BTreeSet<Purpose>,
}
