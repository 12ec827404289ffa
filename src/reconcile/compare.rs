//! The comparison of the two halves: one exhaustive match.

use crate::domain::answer::Answer;
use crate::domain::element::ElementSet;
use crate::domain::mismatch::{Mismatch, MismatchKind};
use crate::domain::outcome::{Decline, Outcome};

/// The first half: what was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What the answer was.
    pub answer: Answer,
    /// Of which elements.
    pub elements: ElementSet,
}

/// What a message's outcome is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// What was verified, at the bind for an agreement.
    pub verified: Option<Verified>,
    /// Which elements the channel's success proves.
    pub checks: ElementSet,
}

/// What the comparison shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Both halves say the same of elements that both checked.
    Agree,
    /// They differ.
    Differ(Mismatch),
    /// The outcome says nothing about elements, or about other ones than were verified.
    Silent,
}

/// Compares the halves.
///
/// A `no_match` shows that the channel checked what it names. A success proves only what the message's `checks` lists,
/// and so does a lack of funds, which is found after the elements were checked.
pub fn compare(expected: &Expected, outcome: Outcome) -> Finding {
    let differ = |kind, elements| Finding::Differ(Mismatch { kind, elements });
    match (outcome, expected.verified) {
        (Outcome::NoMatch(suspects), Some(verified))
            if meets(verified.elements, suspects.set()) =>
        {
            match verified.answer {
                Answer::Match | Answer::CloseMatch => {
                    differ(MismatchKind::MatchThenNoMatch, suspects.set())
                }
                Answer::NoMatch(_) => Finding::Agree,
                Answer::NoRecord
                | Answer::NotPossible
                | Answer::Limited
                | Answer::Invalid
                | Answer::Unavailable => {
                    differ(MismatchKind::UnverifiedThenNoMatch, suspects.set())
                }
            }
        }
        (Outcome::NoMatch(suspects), Some(_) | None) => {
            differ(MismatchKind::UnverifiedThenNoMatch, suspects.set())
        }
        (Outcome::Succeeded | Outcome::Declined(Decline::InsufficientFunds), Some(verified)) => {
            let proved = expected.checks.intersection(verified.elements);
            match verified.answer {
                Answer::Match | Answer::CloseMatch if !proved.is_empty() => Finding::Agree,
                Answer::NoMatch(told)
                    if told.is_empty() && proved == verified.elements && !proved.is_empty() =>
                {
                    differ(MismatchKind::NoMatchThenSuccess, proved)
                }
                Answer::NoMatch(told) if meets(told, proved) => {
                    differ(MismatchKind::NoMatchThenSuccess, told.intersection(proved))
                }
                Answer::Match
                | Answer::CloseMatch
                | Answer::NoMatch(_)
                | Answer::NoRecord
                | Answer::NotPossible
                | Answer::Limited
                | Answer::Invalid
                | Answer::Unavailable => Finding::Silent,
            }
        }
        (
            Outcome::Succeeded
            | Outcome::Accepted
            | Outcome::Declined(_)
            | Outcome::Unknown
            | Outcome::Reversed
            | Outcome::Unmapped,
            Some(_) | None,
        ) => Finding::Silent,
    }
}

fn meets(left: ElementSet, right: ElementSet) -> bool {
    !left.intersection(right).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::element::Element;
    use crate::domain::outcome::Suspects;

    fn set(words: &str) -> ElementSet {
        words.split_whitespace().map(|word| Element::from_word(word).unwrap()).collect()
    }

    const FOUR: &str = "name id_number pan phone";

    fn check(verified: Option<(Answer, &str)>, checks: &str, outcome: Outcome, expected: &str) {
        let verified =
            verified.map(|(answer, elements)| Verified { answer, elements: set(elements) });
        let shown = match compare(&Expected { verified, checks: set(checks) }, outcome) {
            Finding::Agree => "agree".to_owned(),
            Finding::Silent => "silent".to_owned(),
            Finding::Differ(mismatch) => {
                format!("{}: {}", mismatch.kind.as_str(), mismatch.elements)
            }
        };
        assert_eq!(shown, expected, "{verified:?} [{checks}] {outcome:?}");
    }

    fn named(words: &str) -> Outcome {
        Outcome::NoMatch(Suspects::Named(set(words)))
    }

    #[test]
    fn a_no_match_shows_that_the_channel_checked() {
        let matched = Some((Answer::Match, FOUR));
        check(matched, "", named("phone"), "match_then_no_match: phone");
        check(
            matched,
            FOUR,
            Outcome::NoMatch(Suspects::OneOf(set("name phone"))),
            "match_then_no_match: name phone",
        );
        check(
            Some((Answer::Match, "name id_number pan")),
            FOUR,
            named("phone"),
            "unverified_then_no_match: phone",
        );
        check(matched, FOUR, named("cvv2"), "unverified_then_no_match: cvv2");
        check(None, FOUR, named("phone"), "unverified_then_no_match: phone");
        check(Some((Answer::NoMatch(ElementSet::EMPTY), FOUR)), FOUR, named("phone"), "agree");
        check(
            Some((Answer::NoRecord, FOUR)),
            FOUR,
            named("phone"),
            "unverified_then_no_match: phone",
        );
    }

    #[test]
    fn a_success_proves_only_what_the_message_checks() {
        let no_match = |told: &str| Some((Answer::NoMatch(set(told)), FOUR));
        let poor = Outcome::Declined(Decline::InsufficientFunds);
        check(Some((Answer::Match, FOUR)), FOUR, Outcome::Succeeded, "agree");
        check(Some((Answer::Match, FOUR)), FOUR, poor, "agree");
        check(Some((Answer::Match, FOUR)), "", Outcome::Succeeded, "silent");
        check(
            no_match(""),
            FOUR,
            Outcome::Succeeded,
            "no_match_then_success: name id_number pan phone",
        );
        check(no_match(""), "name pan", Outcome::Succeeded, "silent");
        check(no_match("phone"), "pan phone", poor, "no_match_then_success: phone");
        check(no_match("phone"), "pan", Outcome::Succeeded, "silent");
        check(no_match("phone"), "", Outcome::Succeeded, "silent");
        check(None, FOUR, Outcome::Succeeded, "silent");
    }

    #[test]
    fn what_says_nothing_of_elements_is_silent() {
        for outcome in [
            Outcome::Accepted,
            Outcome::Unknown,
            Outcome::Unmapped,
            Outcome::Reversed,
            Outcome::Declined(Decline::CardState),
        ] {
            check(Some((Answer::Match, FOUR)), FOUR, outcome, "silent");
            check(Some((Answer::NoMatch(ElementSet::EMPTY), FOUR)), FOUR, outcome, "silent");
        }
    }
}
