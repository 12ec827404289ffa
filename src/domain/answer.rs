//! What a provider says to an inquiry.

use crate::domain::element::ElementSet;
use serde::{Deserialize, Serialize};

/// The normalised answer to one inquiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// All elements belong together.
    Match,
    /// They belong together but for a difference that the provider tolerates (a rare character, say).
    CloseMatch,
    /// They do not; the elements at fault where the provider tells, else the empty set.
    NoMatch(ElementSet),
    /// The source has no such record.
    NoRecord,
    /// The question cannot be answered: bank or card not supported, no phone on file, card state.
    NotPossible,
    /// Asked too often.
    Limited,
    /// An element's format was refused.
    Invalid,
    /// A technical failure: nothing was learned.
    Unavailable,
}

impl Answer {
    /// The word used in headers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::CloseMatch => "close_match",
            Self::NoMatch(_) => "no_match",
            Self::NoRecord => "no_record",
            Self::NotPossible => "not_possible",
            Self::Limited => "limited",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
        }
    }

    /// Reads the configuration word; a `no_match` names no elements yet.
    pub fn from_word(word: &str) -> Option<Self> {
        const ALL: [Answer; 8] = [
            Answer::Match,
            Answer::CloseMatch,
            Answer::NoMatch(ElementSet::EMPTY),
            Answer::NoRecord,
            Answer::NotPossible,
            Answer::Limited,
            Answer::Invalid,
            Answer::Unavailable,
        ];
        ALL.into_iter().find(|answer| answer.as_str() == word)
    }

    /// How much it tells of the tuple: where several were asked, the highest counts.
    pub const fn telling(self) -> u8 {
        match self {
            Self::Match => 7,
            Self::CloseMatch => 6,
            Self::NoMatch(_) => 5,
            Self::NoRecord => 4,
            Self::NotPossible => 3,
            Self::Limited => 2,
            Self::Invalid => 1,
            Self::Unavailable => 0,
        }
    }
}

/// Whether a provider charges for an inquiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Billable {
    /// By its price list it does.
    Yes,
    /// By its price list it does not, or it never got the request.
    No,
    /// It may have got the request, and did not say.
    Uncertain,
}

impl Billable {
    /// The word used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Uncertain => "uncertain",
        }
    }
}
