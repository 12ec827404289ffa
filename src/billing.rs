//! What verification costs: prices, what a month comes to, and the provider's own bill beside it. Pure.
#![deny(clippy::wildcard_enum_match_arm, clippy::float_arithmetic)]

pub mod invoice;
pub mod month;
pub mod price;
pub mod statement;
pub mod statistics;

use crate::domain::answer::Billable;
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{PaymentId, ProviderName};

/// An inquiry that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its id, of which the provider's order number is made.
    pub id: PaymentId,
    /// Who was asked.
    pub provider: ProviderName,
    /// About which elements.
    pub set: ElementSet,
    /// When it was sent, which says in which month it is billed.
    pub at: Timestamp,
    /// Whether it is billed; [`Billable::Uncertain`] too where its answer is not known.
    pub billable: Billable,
}

#[cfg(test)]
mod tests;
