//! A refusal, as the service means it; the edge writes it.

use crate::domain::element::ElementSet;
use crate::domain::id::PaymentId;
use crate::policy::Reason;
use crate::policy::rules::RuleId;
use crate::service::balance::Funded;
use crate::service::earlier::Earlier;

/// Why a message is not forwarded. Nothing of it was sent, though with 409 an earlier one of its order may have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The message's id.
    pub payment: PaymentId,
    /// The HTTP status: 403, 409, 415, 422 or 503.
    pub status: u16,
    /// Why, in order of precedence; never empty.
    pub reasons: Vec<Reason>,
    /// The elements at fault, where they are known.
    pub elements: ElementSet,
    /// How many more attempts there are to verify these elements' card and person, where that is what matters.
    pub attempts_left: Option<u32>,
    /// The payment of its order that may have left before, where that is the reason.
    pub earlier: Option<Earlier>,
    /// What is wrong with the message, where it cannot be read: a path of the profile, never a value.
    pub detail: Option<String>,
    /// The refused rows, where it is a batch.
    pub rows: Vec<RefusedRow>,
    /// The rule behind it, where one is.
    pub rule: Option<RuleNote>,
    /// The account that was to fund it, where that is known.
    pub funded: Option<Funded>,
}

/// What is told of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleNote {
    /// Its name.
    pub id: RuleId,
    /// Its own reason, which cores map.
    pub reason: Box<str>,
}

/// A row of a batch that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// Its number, from 1.
    pub number: usize,
    /// Why.
    pub reasons: Vec<Reason>,
    /// The elements at fault, where they are known.
    pub elements: ElementSet,
    /// How many more attempts there are to verify its card and person, where that is what matters.
    pub attempts_left: Option<u32>,
}

impl Refusal {
    /// The reason that comes first.
    pub fn first_reason(&self) -> Reason {
        self.reasons.first().copied().unwrap_or(Reason::Unreadable)
    }
}
