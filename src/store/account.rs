//! Payment accounts as they are kept. What changes together hangs on the row of whose accounts they are: it is swapped, and the rest goes
//! beside it.

use crate::domain::account::{AccountId, Class, Source};
use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::id::{Fingerprint, PaymentId, ProviderName};
use crate::domain::money::Fen;
use crate::store::row::{Aggregate, RowKey};
use crate::tier::class::Finding;
use crate::tier::ledger::{Ledger, Over};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

fn key(name: String) -> RowKey {
    RowKey { of: Aggregate::Accounts, name }
}

/// The row of an account.
pub fn account_key(id: &AccountId) -> RowKey {
    key(format!("account\n{id}"))
}

/// The row of whose accounts they are.
pub fn holder_key(person: &Fingerprint) -> RowKey {
    key(format!("holder\n{person}"))
}

/// The row of a phone number.
pub fn phone_key(phone: &Fingerprint) -> RowKey {
    key(format!("phone\n{phone}"))
}

/// The row of a use of balance, as the core names it.
pub fn usage_key(id: &AccountId, usage: &str) -> RowKey {
    key(format!("usage\n{id}\n{usage}"))
}

/// The row by which it is found that balance funds a payment whose end is not known.
pub fn funding_key(payment: PaymentId) -> RowKey {
    key(format!("{FUNDING}{payment}"))
}

/// What the names of those begin with.
pub const FUNDING: &str = "funding\n";

/// The row by which an account is found whose class is to be looked at then.
pub fn lapse_key(due: Timestamp, id: &AccountId) -> RowKey {
    key(format!("{}{id}", lapses_before(due)))
}

/// Before which the names stand of those that are to be looked at before `due`.
pub fn lapses_before(due: Timestamp) -> String {
    format!("{LAPSES}{:015}\n", due.as_millis())
}

/// What the names of those begin with.
pub const LAPSES: &str = "lapse\n";

/// The row of an account's upgrade.
pub fn upgrade_key(id: &AccountId) -> RowKey {
    key(format!("upgrade\n{id}"))
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Whose.
    pub person: Fingerprint,
    /// The phone number told for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Fingerprint>,
    /// When the person was met face to face.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<Timestamp>,
    /// What class it was meant to have since when, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meant: Vec<(Timestamp, Class)>,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Timestamp>,
    /// What the rules have against it, where policy let it pass.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub flags: BTreeSet<Flag>,
    /// What class it had when it was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands: Option<Class>,
    /// Of which end of its class somebody was told before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noticed: Option<Timestamp>,
}

impl Account {
    /// What class it was meant to have at `at`.
    pub fn meant(&self, at: Timestamp) -> Option<Class> {
        self.meant.iter().rev().find(|(since, _)| *since <= at).map(|(_, class)| *class)
    }

    /// Whether its holder was met by `at`.
    pub fn met(&self, at: Timestamp) -> bool {
        self.met.is_some_and(|met| met <= at)
    }
}

/// What the rules have against an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// Its holder has as many accounts as one may have.
    SecondAccount,
    /// Its holder has as many accounts of class III as one may have.
    SecondClassThree,
    /// Its phone number is of as many persons as it may be.
    SharedPhone,
}

impl Flag {
    /// Every flag.
    pub const ALL: [Self; 3] = [Self::SecondAccount, Self::SecondClassThree, Self::SharedPhone];

    /// The word in configuration and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SecondAccount => "second_account",
            Self::SecondClassThree => "second_class_three",
            Self::SharedPhone => "shared_phone",
        }
    }
}

/// Whose accounts they are: what is known of the person, and what was paid from all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Their open accounts, and what class each is meant to have.
    pub accounts: BTreeMap<AccountId, Option<Class>>,
    /// Who confirmed who they are. None is taken away: the class of any past day can be told again.
    pub findings: Vec<Finding>,
    /// What was paid from balance.
    pub ledger: Ledger,
    /// How often the row changed, so that no two changes leave it alike.
    pub changes: u64,
}

/// Of whom a phone number is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phone {
    /// The persons, with the accounts for which they told it.
    pub persons: BTreeMap<Fingerprint, BTreeSet<AccountId>>,
}

/// How an account comes to a higher class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// Which.
    pub target: Class,
    /// How far it is.
    pub progress: Progress,
    /// Who was asked, in order.
    pub steps: Vec<Asked>,
    /// Whether the last of them is being asked now, by whoever runs it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asking: bool,
    /// Who is to be asked after the last of them, in order, as far as is known by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub planned: Vec<Planned>,
    /// When it began.
    pub at: Timestamp,
    /// Until when whoever runs it has it to themselves.
    pub lease: Timestamp,
}

impl Upgrade {
    /// Whether somebody runs it at `now`.
    pub fn is_run(&self, now: Timestamp) -> bool {
        self.progress == Progress::Running && self.lease > now
    }

    /// Whether whoever ran it is gone, and it goes on once the elements are told again.
    pub fn is_cut_off(&self, now: Timestamp) -> bool {
        self.progress == Progress::Running && !self.is_run(now)
    }
}

/// How far an upgrade is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Sources are being asked.
    Running,
    /// The class is reached.
    Reached,
    /// So many sources are missing, and there is no way to them with the elements that were told.
    OutOfReach {
        /// How many.
        missing: u32,
    },
    /// So many are missing, and who could tell cannot be asked now: no attempts, no money, or nobody answers.
    Stalled {
        /// How many.
        missing: u32,
    },
}

impl Progress {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Reached => "reached",
            Self::OutOfReach { .. } => "out_of_reach",
            Self::Stalled { .. } => "stalled",
        }
    }
}

/// A question that an upgrade is to put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// To whom.
    pub provider: ProviderName,
    /// For which source.
    pub source: Source,
    /// What it costs.
    pub cost: Fen,
}

/// A question that an upgrade put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Whom.
    pub provider: ProviderName,
    /// For which source.
    pub source: Source,
    /// About which tuple.
    pub tuple: Fingerprint,
    /// By which inquiry, once it was put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inquiry: Option<PaymentId>,
    /// What was answered; nobody knows where absent, and it may have been billed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// What it cost; what it may cost, where nobody knows whether that is billed.
    pub cost: Fen,
    /// Whether nobody knows whether that is billed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncertain: bool,
    /// When.
    pub at: Timestamp,
}

/// What rules saw of the account whose balance was to fund a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funder {
    /// Its class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// What might still be paid for the like, and which limit that is; no limit bounds it where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<(Fen, Over)>,
    /// What the rules had against it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub flags: BTreeSet<Flag>,
}

/// That balance funds a payment whose end is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funding {
    /// Whose.
    pub account: AccountId,
    /// Whether the payment was admitted: else a crash may have come before that.
    pub admitted: bool,
}
