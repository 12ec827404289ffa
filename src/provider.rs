//! Who answers verification inquiries.

use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::element::{ElementSet, Elements};
use crate::domain::id::{PaymentId, ProviderName, Road};
use async_trait::async_trait;

/// One inquiry.
#[derive(Clone, Debug)]
pub struct Inquiry {
    /// Its id; providers see it as their request number.
    pub id: PaymentId,
    /// The elements, restricted to the set.
    pub elements: Elements,
    /// Which elements are asked about.
    pub set: ElementSet,
}

/// Whether an inquiry is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billable {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It may have reached the provider.
    Uncertain,
}

/// What came of an inquiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The normalised answer.
    pub answer: Answer,
    /// The provider's own code, bounded ASCII.
    pub code: Option<String>,
    /// Whether it is charged.
    pub billable: Billable,
}

/// Someone who answers.
#[async_trait]
pub trait Provider: Send + Sync {
    /// The configured name.
    fn name(&self) -> &ProviderName;
    /// The house that it belongs to.
    fn road(&self) -> Option<&Road>;
    /// Asks; a technical failure is [`Answer::Unavailable`].
    async fn ask(&self, inquiry: &Inquiry, now: Timestamp) -> Reply;
}
