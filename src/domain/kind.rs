//! Kinds of verification: what is asked about elements, and of what an answer to it is made.

use crate::domain::element::{Element, ElementSet};
use serde::{Deserialize, Serialize};

/// Who a person is, by name and document.
const WHO: ElementSet = ElementSet::EMPTY.with(Element::Name).with(Element::IdNumber);

/// What is asked. Two kinds with the same elements are two questions: neither's answer is the other's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Whether elements of a person or card belong together.
    #[default]
    Elements,
    /// Whether a face is that of the person whom the other elements name.
    Face,
    /// Whether a picture is of a living person who is there, and not of a photo or a screen.
    Liveness,
    /// What stands on a picture of an identity card.
    IdCard,
    /// Whether a business is registered under a code, and `name` stands for it by law.
    Business,
    /// Whether the register of graduates knows a person.
    Education,
    /// Whether the railway knows a person.
    Railway,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Elements,
        Self::Face,
        Self::Liveness,
        Self::IdCard,
        Self::Business,
        Self::Education,
        Self::Railway,
    ];

    /// The word in configuration, the API and provider maps.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Elements => "elements",
            Self::Face => "face",
            Self::Liveness => "liveness",
            Self::IdCard => "id_card",
            Self::Business => "business",
            Self::Education => "education",
            Self::Railway => "railway",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The elements without which it is no such question.
    pub const fn needs(self) -> ElementSet {
        match self {
            Self::Elements => ElementSet::EMPTY,
            Self::Face | Self::Liveness => ElementSet::EMPTY.with(Element::FaceImage),
            Self::IdCard => ElementSet::EMPTY.with(Element::IdCardImage),
            Self::Business => ElementSet::EMPTY.with(Element::CreditCode),
            Self::Education | Self::Railway => WHO,
        }
    }

    /// The elements that it may be asked with.
    pub const fn takes(self) -> ElementSet {
        match self {
            Self::Elements => ElementSet::OF_PERSON.union(ElementSet::SECRET),
            Self::Face => ElementSet::OF_PERSON.with(Element::FaceImage),
            // Of nobody by name: that somebody lives is no right try of who is named beside.
            Self::Liveness => ElementSet::EMPTY.with(Element::FaceImage),
            Self::IdCard => ElementSet::EMPTY.with(Element::IdCardImage),
            Self::Business => WHO.with(Element::BusinessName).with(Element::CreditCode),
            Self::Education => WHO.with(Element::CertificateNumber),
            Self::Railway => WHO,
        }
    }

    /// Whether it is asked anew each time, and its answer is nobody's evidence later: a face that was there is not there now, and
    /// who has its picture must not be told what it came to by sending it again. What was read is kept by nobody, so that it
    /// cannot be told again.
    pub const fn is_of_the_moment(self) -> bool {
        match self {
            Self::Elements | Self::Business | Self::Education | Self::Railway => false,
            Self::Face | Self::Liveness | Self::IdCard => true,
        }
    }

    /// Whether the answer may say how alike things are.
    pub const fn has_likeness(self) -> bool {
        match self {
            Self::Elements | Self::IdCard | Self::Business | Self::Education | Self::Railway => {
                false
            }
            Self::Face | Self::Liveness => true,
        }
    }

    /// The elements that a match yields: they are told once to who asked, and kept nowhere.
    pub const fn reads(self) -> ElementSet {
        match self {
            Self::Elements
            | Self::Face
            | Self::Liveness
            | Self::Business
            | Self::Education
            | Self::Railway => ElementSet::EMPTY,
            Self::IdCard => ElementSet::EMPTY.with(Element::Name).with(Element::IdNumber),
        }
    }

    /// Whether a match says who a person is, so that its source may stand behind their account.
    pub const fn says_who(self) -> bool {
        match self {
            Self::Elements | Self::Education | Self::Railway => true,
            // A likeness to the register's picture is the register's word once more, and needs a picture that no account has; a
            // business is no person.
            Self::Face | Self::Liveness | Self::IdCard | Self::Business => false,
        }
    }
}

/// How alike things are, in the bands that the provider's map cuts its score into. The score itself is nobody's: it would tell
/// whoever tries pictures which of them is nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    /// Too little for a match.
    Low,
    /// Enough.
    Middle,
    /// More than enough.
    High,
}

impl Band {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Middle => "middle",
            Self::High => "high",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_and_what_a_kind_needs_it_takes() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_word(kind.as_str()), Some(kind));
            assert!(kind.takes().is_superset(kind.needs()), "{kind:?}");
        }
        assert_eq!(Kind::from_word("faces"), None);
        assert!(Band::Low < Band::Middle && Band::Middle < Band::High);
    }
}
