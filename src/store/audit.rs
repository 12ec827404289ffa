//! What persons did through the admin API. Entries are chained by hash, so that one that is changed or taken away shows.

use crate::domain::clock::Timestamp;
use crate::domain::keep::PAYMENTS_KEPT;
use crate::store::journal::StoreLost;
use crate::store::person::Forgotten;
use crate::store::row::{Aggregate, Row, RowKey};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest as _, Sha256};

/// The most entries of one [`Page`].
pub const PAGE_MAX: u64 = 500;

/// The name of the row that says where the chain ends; after every number.
const HEAD: &str = "head";

/// What was done, and what it came to. No element, and no fingerprint of one, is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Holds were released by hand.
    ReleaseHolds {
        /// Where all of a channel's were asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
        /// Why, in the words of who did it.
        note: String,
        /// How many stood.
        released: usize,
        /// Which payments had made them; the first so many.
        payments: Vec<String>,
    },
    /// Agreements were imported: one call, of which a file may take many.
    ImportAgreements {
        /// The channel.
        channel: String,
        /// How many lines there were.
        lines: usize,
        /// How many of them are good.
        imported: usize,
        /// How many are not.
        refused: usize,
    },
    /// A person was forgotten.
    ForgetPerson {
        /// What the request is filed under.
        reference: String,
        /// How much was kept of them.
        #[serde(flatten)]
        forgotten: Forgotten,
    },
    /// Lines of a channel's statement were taken for the last word: one call, of which a file may take many.
    SettleStatement {
        /// The channel.
        channel: String,
        /// How many lines there were.
        lines: usize,
        /// How many of them settled a payment.
        settled: u64,
        /// How many are not as is known.
        differences: usize,
    },
    /// A day of a channel's statement was taken for complete.
    CloseStatementDay {
        /// The channel.
        channel: String,
        /// The day.
        day: String,
        /// How many lines it has.
        lines: u64,
        /// Whose files were read: how many merchants are named.
        merchants: usize,
        /// Whether it was closed however many successes it turns into failures.
        even_if_most_fail: bool,
        /// How many payments failed because no statement names them.
        absent: u64,
    },
    /// A mismatch was looked into.
    ResolveMismatch {
        /// Of which payment.
        payment: String,
        /// Of which kind.
        kind: &'static str,
        /// What came of it, in the words of who did it.
        note: String,
    },
    /// Webhooks that were given up are told once more.
    RedeliverWebhooks {
        /// How many.
        redelivered: usize,
    },
    /// A version of rules was proposed.
    ProposeRules {
        /// Which.
        version: u64,
        /// What it is for.
        note: String,
    },
    /// A version is tried beside what is in force.
    ShadowRules {
        /// Which.
        version: u64,
    },
    /// What is tried beside what is in force is tried no more.
    EndShadow {
        /// Which it was.
        version: u64,
    },
    /// Rules are tried on the payments that are kept.
    Backtest {
        /// Which version; those that came with the call, or are in force, where absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        /// Payments since then.
        since_ms: u64,
    },
    /// A version was put in force.
    ApproveRules {
        /// Which.
        version: u64,
        /// What was in force before.
        before: u64,
        /// Why.
        note: String,
    },
    /// A version was turned down.
    RejectRules {
        /// Which.
        version: u64,
        /// Why.
        note: String,
    },
    /// What was in force before is in force again.
    RollBackRules {
        /// What was in force.
        from: u64,
        /// What is now.
        to: u64,
        /// Why.
        note: String,
    },
    /// A rule does not bind for a while.
    SnoozeRule {
        /// Which.
        rule: String,
        /// Until when.
        until_ms: u64,
        /// Why.
        note: String,
    },
    /// A rule that slept binds again.
    WakeRule {
        /// Which.
        rule: String,
    },
    /// Entries were added to a list.
    ImportList {
        /// Which.
        list: String,
        /// How many are new.
        new: usize,
        /// How many were there already.
        known: usize,
        /// Why, where no line says.
        reason: String,
    },
    /// Entries were added to the file of a list, by `hefu rules list import`: who did it is who the command was told.
    ImportListFile {
        /// Which.
        list: String,
        /// How many are new.
        new: usize,
        /// How many were there already, and are as they were told now.
        known: usize,
        /// Why, where no line says.
        reason: String,
    },
    /// Entries were taken out of a list.
    RemoveFromList {
        /// Which.
        list: String,
        /// How many stood there.
        removed: usize,
        /// Why.
        reason: String,
    },
    /// A channel was turned.
    TurnChannel {
        /// Which.
        channel: String,
        /// For which percentage of orders decisions bind; what its file says where absent.
        enforce: Option<u8>,
        /// Until when, where not for good.
        #[serde(skip_serializing_if = "Option::is_none")]
        until_ms: Option<u64>,
        /// Why.
        note: String,
    },
    /// The glass was broken: a channel is observed for a while.
    BreakGlass {
        /// Which.
        channel: String,
        /// Until when.
        until_ms: u64,
        /// Why.
        note: String,
    },
    /// A channel is as its file says again.
    ResetChannel {
        /// Which.
        channel: String,
        /// Why.
        note: String,
    },
    /// A provider was turned.
    TurnProvider {
        /// Which.
        provider: String,
        /// Whether it is asked; what its file says where absent.
        enabled: Option<bool>,
        /// Its priority; what its file says where absent.
        priority: Option<u32>,
        /// Why.
        note: String,
    },
    /// A provider is as its file says again.
    ResetProvider {
        /// Which.
        provider: String,
        /// Why.
        note: String,
    },
    /// A provider was asked by hand.
    TestProvider {
        /// Which.
        provider: String,
        /// What it answered, or why it was not asked.
        answer: &'static str,
    },
    /// The configuration was loaded again.
    Reload {
        /// Whether it is in force.
        succeeded: bool,
        /// How many problems it has.
        problems: usize,
    },
}

/// An entry before it has its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// Who, as far as is known.
    pub who: String,
    /// What.
    pub action: Action,
}

/// An entry in its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Noted {
    /// Number, time, who, and the action, as the text that is hashed.
    pub entry: Box<RawValue>,
    /// The hash of the entry before it; zeros before the first.
    pub previous: String,
    /// The SHA-256 of `previous`, a line feed, and `entry`, in hexadecimal.
    pub hash: String,
}

#[derive(Serialize)]
struct Entry<'n> {
    number: u64,
    at_ms: u64,
    who: &'n str,
    #[serde(flatten)]
    action: &'n Action,
}

/// Where the chain ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of the last entry; 0 where there is none.
    pub number: u64,
    /// Its hash.
    pub hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { number: 0, hash: "0".repeat(64) }
    }
}

impl Head {
    /// The next entry; the chain ends there from now on.
    pub(super) fn append(&mut self, note: &Note) -> Option<Noted> {
        let number = self.number.saturating_add(1);
        let Note { at, who, action } = note;
        let entry = Entry { number, at_ms: at.as_millis(), who, action };
        let Ok(entry) = to_raw_value(&entry) else { return None };
        let hash = Sha256::new().chain_update(&self.hash).chain_update("\n");
        let hash = hex::encode(hash.chain_update(entry.get()).finalize());
        let previous = std::mem::replace(&mut self.hash, hash.clone());
        self.number = number;
        Some(Noted { entry, previous, hash })
    }

    /// What its row says.
    pub(super) fn of(row: &Row) -> Option<Self> {
        serde_json::from_str(&row.value).ok()
    }

    /// Where the last entry says that the chain ends, for want of a head.
    pub(super) fn of_last(last: &Row) -> Option<Self> {
        let noted: Noted = serde_json::from_str(&last.value).ok()?;
        Some(Self { number: last.key.name.parse().ok()?, hash: noted.hash })
    }
}

/// Under which the head is kept.
pub(super) fn head_key() -> RowKey {
    RowKey { of: Aggregate::Audit, name: HEAD.to_owned() }
}

/// Under which an entry is kept: by name they are in their order.
pub(super) fn key(number: u64) -> RowKey {
    RowKey { of: Aggregate::Audit, name: format!("{number:020}") }
}

/// The rows of entries that are appended to a chain, and of its end.
pub(super) fn rows(mut head: Head, notes: &[&Note]) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    for note in notes {
        let entry = head.append(note)?;
        let until = Some(note.at.plus(PAYMENTS_KEPT));
        rows.push(Row::new(key(head.number), until, &entry)?);
    }
    rows.push(Row::new(head_key(), None, &head)?);
    Some(rows)
}

/// Some entries.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Where the chain ends now.
    pub head: Head,
    /// The entries, the newest first.
    pub entries: Vec<Noted>,
}

/// What persons did.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Notes what was done, durably.
    ///
    /// # Errors
    /// [`StoreLost`]: it is tried again, and may stand twice where a commit was lost after it happened.
    async fn note(&self, note: Note) -> Result<(), StoreLost>;

    /// Up to [`PAGE_MAX`] numbers before `before`, or the last ones: those of their entries that are kept.
    ///
    /// # Errors
    /// [`StoreLost`].
    async fn audit(&self, before: Option<u64>) -> Result<Page, StoreLost>;
}

/// The numbers of a page, the newest first.
pub(super) fn numbers(head: &Head, before: Option<u64>) -> impl Iterator<Item = u64> {
    let last = before.map_or(head.number, |before| head.number.min(before.saturating_sub(1)));
    (last.saturating_sub(PAGE_MAX).saturating_add(1)..=last).rev()
}
