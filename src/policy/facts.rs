//! What a decision rests on: fetched before, handed in, and kept for the explanation.

use crate::domain::answer::Answer;
use crate::domain::payment::{Mode, Scenario, Standing};

/// What verification yielded for the elements of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Fresh evidence, or a provider's answer now.
    Answered(Answer),
    /// No evidence, and nobody was asked (observe, or the store is lost).
    NotAsked,
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
    /// It carries elements.
    Verified(Verification),
    /// It quotes an agreement.
    Agreement(Standing),
    /// A later step of a bind whose first step was permitted.
    ConfirmsPermitted,
    /// A later step of a bind whose first step Hefu did not see.
    ConfirmsUnseen,
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
