//! Batches of clients, as they are kept: how many lines and who works at them, never what stands in them.

use crate::domain::clock::Timestamp;
use crate::domain::id::{ClientName, PaymentId};
use crate::domain::keep::PAYMENTS_KEPT;
use crate::domain::kind::Kind;
use crate::store::row::{Aggregate, Row, RowKey};
use crate::store::shelf::{PAGE_MAX, Range};
use serde::{Deserialize, Serialize};

/// How it stands with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Somebody works at it, who says so again and again.
    By {
        /// Who: an id that nobody else has.
        whom: PaymentId,
        /// When it is taken for left, unless they say so again.
        until: Timestamp,
    },
    /// Every line was begun.
    Ended,
}

/// A batch. No element is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Its id.
    pub id: PaymentId,
    /// Whose it is.
    pub client: ClientName,
    /// When it came.
    pub at: Timestamp,
    /// What is asked about its lines.
    #[serde(default)]
    pub kind: Kind,
    /// How many lines it has.
    pub lines: u32,
    /// How it stands.
    pub work: Work,
}

impl Batch {
    /// Under which it is kept.
    pub fn key(client: &ClientName, id: PaymentId) -> RowKey {
        RowKey { of: Aggregate::ClientUse, name: format!("batch\n{client}\n{id}") }
    }

    /// Under which is kept that one of its lines was begun.
    pub fn line_key(&self, line: u32) -> RowKey {
        let Self { client, id, .. } = self;
        RowKey { of: Aggregate::ClientUse, name: format!("line\n{client}\n{id}\n{line:06}") }
    }

    /// Its lines that were begun, by number: from after one of these names on.
    pub fn begun(&self, after: Option<&RowKey>) -> Range {
        let Self { client, id, .. } = self;
        let (of, most) = (Aggregate::ClientUse, PAGE_MAX);
        let from = after.map_or_else(
            || format!("line\n{client}\n{id}\n"),
            |after| format!("{}\u{1}", after.name),
        );
        let before = format!("line\n{client}\n{id}\u{b}");
        Range { of, from, before, most, last: false, whole: true }
    }

    /// The last `most` of a client, before one of them.
    pub fn last(client: &ClientName, before: Option<PaymentId>, most: usize) -> Range {
        let all = format!("batch\n{client}");
        let before = before.map_or_else(|| format!("{all}\u{b}"), |id| Self::key(client, id).name);
        let (of, from) = (Aggregate::ClientUse, format!("{all}\n"));
        Range { of, from, before, most, last: true, whole: false }
    }

    /// As it is kept.
    pub fn row(&self) -> Option<Row> {
        let key = Self::key(&self.client, self.id);
        Row::new(key, Some(self.at.plus(PAYMENTS_KEPT)), self)
    }

    /// Reads what is kept.
    ///
    /// # Errors
    /// Where another Hefu wrote it.
    pub fn read(row: &Row) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&row.value)
    }

    /// Whether nobody works at it any more, though there is work.
    pub fn is_left(&self, now: Timestamp) -> bool {
        match self.work {
            Work::By { until, .. } => until <= now,
            Work::Ended => false,
        }
    }
}
