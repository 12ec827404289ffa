//! Mismatches, as they are kept: one of a kind for each payment.

use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{Bank, ChannelName, OrderId, PaymentId};
use crate::domain::keep::PAYMENTS_KEPT;
use crate::domain::mismatch::{Mismatch, MismatchKind};
use crate::domain::money::Fen;
use crate::domain::outcome::{Arrival, Outcome};
use crate::domain::payment::Scenario;
use crate::store::Record;
use crate::store::row::{Aggregate, Row, RowKey};
use serde::{Deserialize, Serialize};

/// That a person looked into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// When.
    pub at: Timestamp,
    /// Who, as far as is known.
    pub who: String,
    /// What came of it, in their words.
    pub note: String,
}

/// A mismatch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptMismatch {
    /// Of which payment.
    pub payment: PaymentId,
    /// At which channel.
    pub channel: ChannelName,
    /// What it was for.
    pub scenario: Scenario,
    /// Its order.
    pub order: Option<OrderId>,
    /// Its amount.
    pub amount: Option<Fen>,
    /// The issuing bank.
    pub bank: Option<Bank>,
    /// How the halves differ.
    pub kind: MismatchKind,
    /// On which elements.
    pub elements: ElementSet,
    /// Whose word is contradicted.
    pub provider: Option<String>,
    /// What was reported, by which code and arrival, that made it known.
    pub reported: Option<(Outcome, Option<String>, Arrival)>,
    /// When it became known.
    pub at: Timestamp,
    /// Whether a person looked into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Resolved>,
}

impl KeptMismatch {
    /// That the halves of `record` differ, as is known since `at`.
    pub fn new(record: &Record, mismatch: Mismatch, provider: Option<&str>, at: Timestamp) -> Self {
        Self {
            payment: record.payment,
            channel: record.channel.clone(),
            scenario: record.scenario,
            order: record.order.clone(),
            amount: record.amount,
            bank: record.stakes.bank.clone(),
            kind: mismatch.kind,
            elements: mismatch.elements,
            provider: provider.map(str::to_owned),
            reported: record.outcome.clone(),
            at,
            resolved: None,
        }
    }

    /// Under which it is kept: by payment, which is by time, and by kind.
    pub fn key(payment: PaymentId, kind: MismatchKind) -> RowKey {
        RowKey { of: Aggregate::Mismatches, name: format!("{payment}\n{}", kind.as_str()) }
    }

    /// As it is kept.
    pub fn row(&self) -> Option<Row> {
        let key = Self::key(self.payment, self.kind);
        Row::new(key, Some(self.at.plus(PAYMENTS_KEPT)), self)
    }

    /// Reads what is kept.
    ///
    /// # Errors
    /// Where another Hefu wrote it.
    pub fn read(row: &Row) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&row.value)
    }
}
