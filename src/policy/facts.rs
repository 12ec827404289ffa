//! What a decision rests on: fetched before, handed in, and kept for the explanation.

use crate::domain::answer::Answer;
use crate::domain::payment::{Mode, Scenario, Standing};

/// What verification yielded for the elements of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Fresh evidence, or a provider's answer now.
    Answered(Answer),
    /// All did not match, and each part did, as two sources say: the phone is settled by combination.
    Combined,
    /// No evidence, and nobody was asked (observe, or the store is lost).
    NotAsked,
    /// The card or the person was asked about as often as may be.
    AttemptsSpent,
    /// What may be spent within the day is spent.
    SpendCapped,
    /// No configured provider can answer this element set for this kind of card and document.
    NobodyCan,
}

/// What there is to judge a message by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A listed message that is never refused by policy: query, refund, void, unbind, SMS and the like.
    Passing,
    /// An inspected route, but a message that the profile does not list.
    Unlisted,
    /// Two readers could read it differently.
    Ambiguous,
    /// It cannot be read at all.
    Unreadable,
    /// Its elements are sealed, and nothing was told beside it.
    Sealed,
    /// It lacks elements that policy requires.
    Incomplete,
    /// A bind in one step, where policy requires one that is confirmed by SMS.
    Unconfirmed,
    /// It carries elements.
    Verified(Verification),
    /// It quotes an agreement.
    Agreement(Standing),
    /// A later step of a bind whose first step was permitted.
    ConfirmsPermitted,
    /// A later step of a bind whose first step Hefu did not see.
    ConfirmsUnseen,
}

impl Basis {
    /// Whether a `match` stands behind it now; what an agreement rests on may be years old.
    pub const fn is_verified(self) -> bool {
        match self {
            Self::Verified(Verification::Answered(Answer::Match)) | Self::ConfirmsPermitted => true,
            Self::Passing
            | Self::Unlisted
            | Self::Ambiguous
            | Self::Unreadable
            | Self::Sealed
            | Self::Incomplete
            | Self::Unconfirmed
            | Self::Verified(_)
            | Self::Agreement(_)
            | Self::ConfirmsUnseen => false,
        }
    }

    /// Whether rules judge it: what policy judges too, and what could be read.
    pub const fn is_ruled(self) -> bool {
        match self {
            Self::Passing | Self::Unlisted | Self::Ambiguous | Self::Unreadable => false,
            Self::Sealed
            | Self::Incomplete
            | Self::Unconfirmed
            | Self::Verified(_)
            | Self::Agreement(_)
            | Self::ConfirmsPermitted
            | Self::ConfirmsUnseen => true,
        }
    }
}

/// Everything that a decision may depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What the message is for.
    pub scenario: Scenario,
    /// Whether the decision binds.
    pub mode: Mode,
    /// What there is to judge by.
    pub basis: Basis,
    /// Whether the elements were told by the core beside the message.
    pub asserted: bool,
    /// Whether the tuple or the agreement is held.
    pub held: bool,
    /// Whether chance is for letting it leave though verification says that it does not match.
    pub spared: bool,
}
