//! How well a provider answers where the truth is known: what it says against labels.

use crate::domain::answer::Answer;
use crate::domain::element::{Element, ElementSet};
use crate::reconcile::concordance::{Count, Said};
use std::collections::BTreeMap;

/// What is true of the elements of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// They belong together.
    Match,
    /// They do not; the elements at fault where that is known, else the empty set.
    NoMatch(ElementSet),
}

impl Truth {
    /// Reads a label: `match`, `no_match`, or the elements that are wrong.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "match" => Some(Self::Match),
            "no_match" => Some(Self::NoMatch(ElementSet::EMPTY)),
            words => {
                let wrong = ElementSet::try_from(words.to_owned()).ok()?;
                Some(Self::NoMatch(wrong)).filter(|_| !wrong.is_empty())
            }
        }
    }
}

/// What a provider made of lines in which one element is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Caught {
    /// How many it did not take for right, and took for right.
    pub count: Count,
    /// How many of which it named the element.
    pub named: u64,
}

/// What a provider said against what is true.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assessment {
    /// By what was answered: of how many lines that match, and that do not.
    answers: BTreeMap<&'static str, [u64; 2]>,
    /// Of what it said at all, how much is right.
    right: BTreeMap<Said, Count>,
    elements: BTreeMap<Element, Caught>,
}

const RIGHT: Count = Count { agreed: 1.0, differed: 0.0 };
const WRONG: Count = Count { agreed: 0.0, differed: 1.0 };

impl Assessment {
    /// Adds one answer.
    pub fn add(&mut self, truth: Truth, answer: Answer) {
        let [matches, others] = self.answers.entry(answer.as_str()).or_default();
        let column = match truth {
            Truth::Match => matches,
            Truth::NoMatch(_) => others,
        };
        *column = column.saturating_add(1);
        let Some(said) = Said::of(answer) else { return };
        let right = (said == Said::Match) == (truth == Truth::Match);
        let count = self.right.entry(said).or_default();
        *count = count.plus(if right { RIGHT } else { WRONG });
        let Truth::NoMatch(wrong) = truth else { return };
        for element in Element::ALL.into_iter().filter(|element| wrong.contains(*element)) {
            let caught = self.elements.entry(element).or_default();
            caught.count = caught.count.plus(if right { RIGHT } else { WRONG });
            let named = matches!(answer, Answer::NoMatch(told) if told.contains(element));
            caught.named = caught.named.saturating_add(named.into());
        }
    }

    /// By what was answered: of how many lines that match, and that do not.
    pub fn confusion(&self) -> impl Iterator<Item = (&'static str, [u64; 2])> {
        self.answers.iter().map(|(answer, counts)| (*answer, *counts))
    }

    /// Of what it said, how much is right: of all, of its matches, of its others.
    pub fn accuracy(&self) -> [(&'static str, Count); 3] {
        let of = |said| self.right.get(&said).copied().unwrap_or_default();
        let (matches, others) = (of(Said::Match), of(Said::NoMatch));
        [
            ("all", matches.plus(others)),
            (Said::Match.as_str(), matches),
            (Said::NoMatch.as_str(), others),
        ]
    }

    /// Of lines in which an element is wrong, how many it caught.
    pub fn elements(&self) -> impl Iterator<Item = (Element, Caught)> {
        self.elements.iter().map(|(element, caught)| (*element, *caught))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_label(text: &str, expected: Option<Truth>) {
        assert_eq!(Truth::parse(text), expected, "{text}");
    }

    const PHONE: ElementSet = ElementSet::EMPTY.with(Element::Phone);

    #[test]
    fn a_label_says_what_is_true() {
        check_label(" match ", Some(Truth::Match));
        check_label("no_match", Some(Truth::NoMatch(ElementSet::EMPTY)));
        check_label("phone", Some(Truth::NoMatch(PHONE)));
        check_label("name phone", Some(Truth::NoMatch(PHONE.with(Element::Name))));
        check_label("", None);
        check_label("yes", None);
    }

    #[test]
    fn what_it_says_stands_beside_what_is_true() {
        let mut assessed = Assessment::default();
        for (truth, answer, many) in [
            (Truth::Match, Answer::Match, 90),
            (Truth::Match, Answer::NoMatch(PHONE), 6),
            (Truth::Match, Answer::NoRecord, 4),
            (Truth::NoMatch(PHONE), Answer::NoMatch(PHONE), 30),
            (Truth::NoMatch(PHONE), Answer::NoMatch(ElementSet::EMPTY), 10),
            (Truth::NoMatch(PHONE), Answer::Match, 10),
            (Truth::NoMatch(ElementSet::EMPTY), Answer::NoMatch(PHONE), 2),
        ] {
            (0..many).for_each(|_| assessed.add(truth, answer));
        }
        let confusion: Vec<_> = assessed.confusion().collect();
        assert_eq!(confusion, [("match", [90, 10]), ("no_match", [6, 42]), ("no_record", [4, 0])]);
        let counts = assessed.accuracy().map(|(of, count)| (of, count.agreed, count.differed));
        assert_eq!(counts, [("all", 132.0, 16.0), ("match", 90.0, 10.0), ("no_match", 42.0, 6.0)]);
        let elements: Vec<_> = assessed.elements().collect();
        let count = Count { agreed: 40.0, differed: 10.0 };
        assert_eq!(elements, [(Element::Phone, Caught { count, named: 30 })]);
    }
}
