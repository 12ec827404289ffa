//! What clients had verified, as it is kept: which elements, never what they were.

use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{ClientName, Fingerprint, PaymentId};
use crate::domain::keep::PAYMENTS_KEPT;
use crate::domain::kind::{Band, Kind};
use crate::store::row::{Aggregate, Row, RowKey};
use crate::store::shelf::Range;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a key of a client names one request.
pub const KEY_KEPT: Duration = Duration::from_hours(30 * 24);

/// What a verification came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Came {
    /// What is known.
    pub answer: Answer,
    /// When it was asked for: earlier than the verification, where that is known by earlier evidence.
    pub asked: Timestamp,
    /// Whether a source said so: what was not asked is charged to nobody.
    pub told: bool,
    /// How many more attempts the client has, where it may know and it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_left: Option<u32>,
    /// How alike things are, where that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<Band>,
    /// Which elements were read and told to the client: once, and not what they were.
    #[serde(default, skip_serializing_if = "is_none")]
    pub read: ElementSet,
    /// The verification of what was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<PaymentId>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
const fn is_none(set: &ElementSet) -> bool {
    set.is_empty()
}

/// How it stands with a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is being asked; after that time nobody is there any more who asks, and it may have been.
    Asking {
        /// That time.
        until: Timestamp,
    },
    /// It is done.
    Done(Came),
}

/// A verification. No element is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Its id.
    pub id: PaymentId,
    /// Whose it is.
    pub client: ClientName,
    /// When it was asked for.
    pub at: Timestamp,
    /// What was asked.
    #[serde(default)]
    pub kind: Kind,
    /// About which elements.
    pub set: ElementSet,
    /// How it stands.
    pub state: State,
    /// Of which batch it is which line, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<(PaymentId, u32)>,
    /// Whether the client is told what it comes to: it does not wait, or came again and does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub later: bool,
}

impl Verification {
    /// Under which it is kept: those of one client beside each other, by time.
    pub fn key(client: &ClientName, id: PaymentId) -> RowKey {
        RowKey { of: Aggregate::Verifications, name: format!("{client}\n{id}") }
    }

    /// As it is kept.
    pub fn row(&self) -> Option<Row> {
        Row::new(Self::key(&self.client, self.id), Some(self.at.plus(PAYMENTS_KEPT)), self)
    }

    /// Reads what is kept.
    ///
    /// # Errors
    /// Where another Hefu wrote it.
    pub fn read(row: &Row) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&row.value)
    }

    /// Some of a client's, by time: from one name on.
    pub fn from(client: &ClientName, from: String, most: usize) -> Range {
        let before = format!("{client}\u{b}");
        Range { of: Aggregate::Verifications, from, before, most, last: false, whole: true }
    }

    /// The last `most` of a client, before one of them.
    pub fn last(client: &ClientName, before: Option<PaymentId>, most: usize) -> Range {
        let before =
            before.map_or_else(|| format!("{client}\u{b}"), |id| Self::key(client, id).name);
        let (of, from) = (Aggregate::Verifications, format!("{client}\n"));
        Range { of, from, before, most, last: true, whole: false }
    }
}

/// What a client's key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The verification that it led to.
    pub id: PaymentId,
    /// What was asked, as a fingerprint: the key is for that and nothing else.
    pub content: Fingerprint,
}

impl Request {
    /// Under which it is kept; the key only as a fingerprint, since a client may make it of anything.
    pub fn key(client: &ClientName, key: &Fingerprint) -> RowKey {
        RowKey { of: Aggregate::ClientUse, name: format!("key\n{client}\n{key}") }
    }

    /// As it is kept.
    pub fn row(&self, key: RowKey) -> Option<Row> {
        Row::new(key, Some(self.id.at().plus(KEY_KEPT)), self)
    }

    /// Reads what is kept.
    ///
    /// # Errors
    /// Where another Hefu wrote it.
    pub fn read(row: &Row) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&row.value)
    }
}

/// How much a client has had, by China's calendar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The day of `of_day`.
    pub day: u64,
    /// How many within it.
    pub of_day: u64,
    /// The month of `of_month`.
    pub month: String,
    /// How many within it.
    pub of_month: u64,
}

impl Use {
    /// Under which it is kept.
    pub fn key(client: &ClientName) -> RowKey {
        RowKey { of: Aggregate::ClientUse, name: format!("use\n{client}") }
    }

    /// As it is kept, for longer than a month.
    pub fn row(&self, key: RowKey, now: Timestamp) -> Option<Row> {
        Row::new(key, Some(now.plus(KEY_KEPT * 2)), self)
    }

    /// Reads what is kept.
    ///
    /// # Errors
    /// Where another Hefu wrote it.
    pub fn read(row: &Row) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&row.value)
    }
}
