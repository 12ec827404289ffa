//! Rows, as every database keeps them: by aggregate a key, how long it is kept, and the value as JSON.

use crate::domain::clock::Timestamp;
use crate::domain::id::PaymentId;
use crate::store::Record;
use crate::store::journal::OrderKey;
use serde::Serialize;
use std::time::Duration;

/// How long payments, their orders and their expectations are kept at least: past every channel's statement and the period
/// in which a debit can be disputed.
pub const PAYMENTS_KEPT: Duration = Duration::from_hours(400 * 24);

/// A kind of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aggregate {
    /// Evidence by tuple.
    Evidence,
    /// Agreements by channel and id.
    Agreements,
    /// What the first step of a bind left.
    Waiting,
    /// Holds by what they hold.
    Holds,
    /// Records of payments.
    Payments,
    /// Payments whose outcome is owed.
    Expectations,
    /// Orders whose money message left.
    Orders,
    /// Codes that no map knows.
    Unmapped,
}

impl Aggregate {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Evidence,
        Self::Agreements,
        Self::Waiting,
        Self::Holds,
        Self::Payments,
        Self::Expectations,
        Self::Orders,
        Self::Unmapped,
    ];

    /// The name of its table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Agreements => "agreements",
            Self::Waiting => "waiting_binds",
            Self::Holds => "holds",
            Self::Payments => "payments",
            Self::Expectations => "expectations",
            Self::Orders => "orders",
            Self::Unmapped => "unmapped_codes",
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its kind.
    pub of: Aggregate,
    /// What it is found by.
    pub key: String,
    /// Until when it is kept; for ever where there is no end.
    pub until: Option<Timestamp>,
    /// Its value, as JSON. No element is in it, only fingerprints.
    pub value: String,
}

impl Row {
    /// A row of `value`; nothing where it has no JSON form, which none of ours lacks.
    pub fn new<T: Serialize>(
        of: Aggregate,
        key: impl Into<String>,
        until: Option<Timestamp>,
        value: &T,
    ) -> Option<Self> {
        match serde_json::to_string(value) {
            Ok(value) => Some(Self { of, key: key.into(), until, value }),
            Err(error) => {
                tracing::error!(of = of.as_str(), %error, "a value has no JSON form");
                None
            }
        }
    }

    /// The row of a record.
    pub fn payment(record: &Record) -> Option<Self> {
        let until = record.at.plus(PAYMENTS_KEPT);
        Self::new(Aggregate::Payments, record.payment.to_string(), Some(until), record)
    }

    /// The row of what `record` is owed.
    pub fn expectation(record: &Record) -> Option<Self> {
        let until = record.at.plus(PAYMENTS_KEPT);
        let key = record.payment.to_string();
        Self::new(Aggregate::Expectations, key, Some(until), &(&record.channel, record.payment))
    }

    /// The row by which `payment` claims its order at `at`.
    pub fn order(order: &OrderKey, payment: PaymentId, at: Timestamp) -> Option<Self> {
        Self::new(Aggregate::Orders, order.to_string(), Some(at.plus(PAYMENTS_KEPT)), &payment)
    }
}
