//! Mismatches: the two halves of a payment differ.

use crate::domain::element::ElementSet;
use serde::{Deserialize, Serialize};

/// How the halves differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MismatchKind {
    /// Verification matched, and the channel says that the elements do not.
    MatchThenNoMatch,
    /// Verification did not match, and the channel, which checks the same elements, succeeded.
    NoMatchThenSuccess,
    /// Nothing comparable was verified, and the channel says that the elements do not match.
    UnverifiedThenNoMatch,
    /// The outcome is overdue.
    MissingOutcome,
    /// The payment succeeded and was undone.
    ReversedAfterSuccess,
    /// The channel reports another amount.
    AmountDiffers,
    /// A higher arrival turned one final outcome into another.
    OutcomeFlipped,
}

impl MismatchKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::MatchThenNoMatch,
        Self::NoMatchThenSuccess,
        Self::UnverifiedThenNoMatch,
        Self::MissingOutcome,
        Self::ReversedAfterSuccess,
        Self::AmountDiffers,
        Self::OutcomeFlipped,
    ];

    /// The word used in headers, metrics and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MatchThenNoMatch => "match_then_no_match",
            Self::NoMatchThenSuccess => "no_match_then_success",
            Self::UnverifiedThenNoMatch => "unverified_then_no_match",
            Self::MissingOutcome => "missing_outcome",
            Self::ReversedAfterSuccess => "reversed_after_success",
            Self::AmountDiffers => "amount_differs",
            Self::OutcomeFlipped => "outcome_flipped",
        }
    }

    /// Whether the channel says that the elements do not match.
    pub const fn is_no_match(self) -> bool {
        match self {
            Self::MatchThenNoMatch | Self::UnverifiedThenNoMatch => true,
            Self::NoMatchThenSuccess
            | Self::MissingOutcome
            | Self::ReversedAfterSuccess
            | Self::AmountDiffers
            | Self::OutcomeFlipped => false,
        }
    }

    /// What was answered to a verification before, and what the debit says instead, where it says so.
    pub const fn correction(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::MatchThenNoMatch => Some(("match", "no_match")),
            Self::NoMatchThenSuccess => Some(("no_match", "match")),
            Self::UnverifiedThenNoMatch
            | Self::MissingOutcome
            | Self::ReversedAfterSuccess
            | Self::AmountDiffers
            | Self::OutcomeFlipped => None,
        }
    }
}

/// A difference, and the elements on which it rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// How the halves differ.
    pub kind: MismatchKind,
    /// On which elements.
    pub elements: ElementSet,
}
