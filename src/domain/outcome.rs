//! What a channel reports of a payment, normalised.

use crate::domain::element::ElementSet;
use serde::{Deserialize, Serialize};

/// Elements that a `no_match` points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspects {
    /// The channel named these.
    Named(ElementSet),
    /// One of these; the channel does not say which. They blame the set and no single element.
    OneOf(ElementSet),
}

impl Suspects {
    /// The elements, however they were told.
    pub const fn set(self) -> ElementSet {
        match self {
            Self::Named(set) | Self::OneOf(set) => set,
        }
    }
}

/// Why a channel declined, other than for elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decline {
    /// Not enough balance.
    InsufficientFunds,
    /// The card is lost, frozen, expired or the like.
    CardState,
    /// Over an amount limit.
    Limit,
    /// Too often.
    Frequency,
    /// The one-time password was wrong or late.
    Otp,
    /// The agreement is missing, closed or expired.
    AgreementInvalid,
    /// The bank or card does not support the business.
    Unsupported,
    /// A risk system said no.
    Risk,
    /// The channel did not process the message.
    NotProcessed,
    /// The channel has seen the order before.
    Duplicate,
    /// Anything else that is certainly a failure.
    Other,
}

impl Decline {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::InsufficientFunds,
        Self::CardState,
        Self::Limit,
        Self::Frequency,
        Self::Otp,
        Self::AgreementInvalid,
        Self::Unsupported,
        Self::Risk,
        Self::NotProcessed,
        Self::Duplicate,
        Self::Other,
    ];

    /// The word used in code maps, headers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "insufficient_funds",
            Self::CardState => "card_state",
            Self::Limit => "limit",
            Self::Frequency => "frequency",
            Self::Otp => "otp",
            Self::AgreementInvalid => "agreement_invalid",
            Self::Unsupported => "unsupported",
            Self::Risk => "risk",
            Self::NotProcessed => "not_processed",
            Self::Duplicate => "duplicate",
            Self::Other => "other",
        }
    }

    /// Reads the configuration word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|decline| decline.as_str() == word)
    }
}

/// What a channel reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Taken for processing; accepted is not paid.
    Accepted,
    /// Done.
    Succeeded,
    /// The elements do not belong together.
    NoMatch(Suspects),
    /// Certainly not done, for another reason.
    Declined(Decline),
    /// Neither success nor failure: it must be asked.
    Unknown,
    /// Done, and undone since.
    Reversed,
    /// A code that the map does not know: counted, and judged by nobody.
    Unmapped,
}

impl Outcome {
    /// The word used in headers and metrics; a decline's own reason where there is one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Succeeded => "succeeded",
            Self::NoMatch(_) => "no_match",
            Self::Declined(_) => "declined",
            Self::Unknown => "unknown",
            Self::Reversed => "reversed",
            Self::Unmapped => "unmapped",
        }
    }

    /// Whether it says something of evidence or an agreement, and not of its payment alone.
    pub const fn bears_upon_others(self) -> bool {
        match self {
            Self::NoMatch(_) | Self::Declined(Decline::AgreementInvalid) => true,
            Self::Accepted
            | Self::Succeeded
            | Self::Declined(_)
            | Self::Unknown
            | Self::Reversed
            | Self::Unmapped => false,
        }
    }

    /// Whether the payment failed.
    pub const fn is_failure(self) -> bool {
        match self {
            Self::NoMatch(_) | Self::Declined(_) => true,
            Self::Accepted | Self::Succeeded | Self::Unknown | Self::Reversed | Self::Unmapped => {
                false
            }
        }
    }

    /// Whether more is still to come.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Accepted | Self::Unknown | Self::Unmapped => true,
            Self::Succeeded | Self::NoMatch(_) | Self::Declined(_) | Self::Reversed => false,
        }
    }
}

/// How an outcome reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// In the answer to the message itself.
    Sync,
    /// In a notification from the channel.
    Notify,
    /// In the answer to a query.
    Query,
    /// In a statement file.
    Statement,
}

impl Arrival {
    /// The word used in headers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Notify => "notify",
            Self::Query => "query",
            Self::Statement => "statement",
        }
    }
}

impl Arrival {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Sync, Self::Notify, Self::Query, Self::Statement];

    /// Whether it is the channel's word when it was asked: whoever merely told something may be wrong.
    pub const fn is_asked(self) -> bool {
        match self {
            Self::Query | Self::Statement => true,
            Self::Sync | Self::Notify => false,
        }
    }

    /// Reads the configuration word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arrival| arrival.as_str() == word)
    }
}

/// Which of two arrivals that disagree is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precedence([Arrival; 4]);

impl Default for Precedence {
    fn default() -> Self {
        Self([Arrival::Statement, Arrival::Query, Arrival::Notify, Arrival::Sync])
    }
}

impl Precedence {
    /// From the weightiest to the least; `None` unless each arrival stands there once.
    pub fn new(order: [Arrival; 4]) -> Option<Self> {
        Arrival::ALL.iter().all(|arrival| order.contains(arrival)).then_some(Self(order))
    }

    /// How much an arrival weighs against others.
    pub fn weight(self, arrival: Arrival) -> usize {
        self.0.iter().rev().position(|known| *known == arrival).unwrap_or_default()
    }

    /// How much what arrived weighs against whatever else did. That the channel, when it was asked, knew of no such payment weighs less
    /// than any other word of how it ended, whoever heard of that: it was asked too early, or of what it does not keep.
    pub fn weight_of(self, (outcome, arrival): (Outcome, Arrival)) -> usize {
        let was_not_known =
            outcome == Outcome::Declined(Decline::NotProcessed) && arrival == Arrival::Query;
        if was_not_known { 0 } else { self.weight(arrival).saturating_add(1) }
    }
}

/// Why a notification's word is believed, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Belief {
    /// Anybody may have said it.
    Claimed,
    /// The core answered as it does to what it verified itself.
    Acknowledged,
    /// It is the channel's by a pinned key.
    Verified,
}

impl Belief {
    /// The word used in metrics, logs and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Acknowledged => "acknowledged",
            Self::Verified => "verified",
        }
    }
}
