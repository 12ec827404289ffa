//! What one message asks for.

use crate::domain::element::{ElementSet, Elements};
use crate::domain::id::{AgreementId, MerchantId, OrderId};
use crate::domain::money::Fen;
use serde::{Deserialize, Serialize};

/// The most rows in one batch.
pub const ROWS_MAX: usize = 2_000;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// Money in without the payer at hand (代扣, 代收).
    Debit,
    /// Money in with the payer at hand (快捷).
    Pay,
    /// Money out to the payer's own account (提现).
    Withdraw,
    /// Money out to anybody (代付).
    Payout,
    /// Making an agreement.
    Bind,
    /// The core verifies through the channel.
    Verify,
    /// A one-time password is sent.
    Sms,
    /// An agreement ends.
    Unbind,
    /// Money goes back.
    Refund,
    /// A payment is undone before it settles.
    Void,
    /// The core asks how a payment stands.
    Query,
    /// The channel tells how a payment stands.
    Notify,
    /// Anything else that the profile lists.
    Other,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 13] = [
        Self::Debit,
        Self::Pay,
        Self::Withdraw,
        Self::Payout,
        Self::Bind,
        Self::Verify,
        Self::Sms,
        Self::Unbind,
        Self::Refund,
        Self::Void,
        Self::Query,
        Self::Notify,
        Self::Other,
    ];

    /// The word used in configuration, headers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debit => "debit",
            Self::Pay => "pay",
            Self::Withdraw => "withdraw",
            Self::Payout => "payout",
            Self::Bind => "bind",
            Self::Verify => "verify",
            Self::Sms => "sms",
            Self::Unbind => "unbind",
            Self::Refund => "refund",
            Self::Void => "void",
            Self::Query => "query",
            Self::Notify => "notify",
            Self::Other => "other",
        }
    }

    /// Reads the configuration word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.as_str() == word)
    }

    /// Whether policy judges it by elements or agreement.
    pub const fn is_verified(self) -> bool {
        match self {
            Self::Debit | Self::Pay | Self::Withdraw | Self::Payout | Self::Bind => true,
            Self::Verify
            | Self::Sms
            | Self::Unbind
            | Self::Refund
            | Self::Void
            | Self::Query
            | Self::Notify
            | Self::Other => false,
        }
    }

    /// Whether money moves and an outcome is owed.
    pub const fn moves_money(self) -> bool {
        match self {
            Self::Debit | Self::Pay | Self::Withdraw | Self::Payout => true,
            Self::Bind
            | Self::Verify
            | Self::Sms
            | Self::Unbind
            | Self::Refund
            | Self::Void
            | Self::Query
            | Self::Notify
            | Self::Other => false,
        }
    }

    /// Whether a hold stops it: only money coming in.
    pub const fn stops_at_hold(self) -> bool {
        matches!(self, Self::Debit | Self::Pay)
    }
}

/// One payment, as read from a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// What it is for.
    pub scenario: Scenario,
    /// Which order it belongs to, where the message can be read so far.
    pub order: Option<OrderId>,
    /// The core's merchant, where told.
    pub merchant: Option<MerchantId>,
    /// How much, where the message carries an amount.
    pub amount: Option<Fen>,
    /// The elements that were read or told.
    pub elements: Elements,
    /// Those of them that the core told beside the message, because the channel's copy is sealed.
    pub asserted: ElementSet,
    /// The agreement that it quotes.
    pub agreement: Option<AgreementId>,
    /// Which elements the success of the message proves, of those that it carries.
    pub checks: ElementSet,
}

/// How an agreement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Verified at its bind, neither closed nor contradicted.
    Good,
    /// A later outcome contradicted its elements.
    Contradicted,
    /// Unbound, superseded, or declared invalid by the channel.
    Closed,
    /// Never seen by us.
    Unknown,
}

impl Standing {
    /// The word used in documents and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Contradicted => "contradicted",
            Self::Closed => "closed",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether decisions bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Everything is forwarded and marked with what would have been done.
    Observe,
    /// Decisions bind.
    Enforce,
}

impl Mode {
    /// The word used in configuration, headers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}
