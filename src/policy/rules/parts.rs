//! Words: the texts that conditions compare attributes with, numbered once for a set. One look-up a payment and attribute spares
//! comparisons of texts in every rule.

use super::attribute::Attribute;
use super::given::{Given, Value};
use super::node::{Test, Text};
use std::collections::{BTreeSet, HashMap};

/// What is no word of the set.
const OTHER: u32 = 1;

/// The words of a set, and the attributes that are compared with them.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    numbers: HashMap<Box<str>, u32>,
    attributes: BTreeSet<Attribute>,
}

impl Words {
    fn number(&mut self, text: &str) -> u32 {
        // 0 says that nobody looked, 1 that there is no such word.
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX - 2).saturating_add(2);
        *self.numbers.entry(text.into()).or_insert(next)
    }

    /// `test`, with words numbered where an attribute is compared with fixed texts.
    pub(super) fn numbered(&mut self, test: Test) -> Test {
        let mut all = |tests: Box<[Test]>| {
            Vec::from(tests).into_iter().map(|test| self.numbered(test)).collect::<Box<[_]>>()
        };
        match test {
            Test::All(tests) => Test::All(all(tests)),
            Test::Any(tests) => Test::Any(all(tests)),
            Test::Not(test) => Test::Not(Box::new(self.numbered(*test))),
            Test::If(parts) => Test::If(Box::new(parts.map(|test| self.numbered(test)))),
            Test::Same(pair) => Test::Same(Box::new(pair.map(|test| self.numbered(test)))),
            Test::Is(Text::Of(attribute), Text::Fixed(word))
            | Test::Is(Text::Fixed(word), Text::Of(attribute)) => {
                self.attributes.insert(attribute);
                Test::Word(attribute, self.number(&word), word)
            }
            Test::Among(Text::Of(attribute), words) => {
                self.attributes.insert(attribute);
                let mut numbers: Vec<_> = words.iter().map(|word| self.number(word)).collect();
                numbers.sort_unstable();
                Test::Words(attribute, numbers.into(), words)
            }
            Test::Always(_)
            | Test::Flag(_)
            | Test::Has(_)
            | Test::Listed(_)
            | Test::Compare(..)
            | Test::Equal(..)
            | Test::OneOf(..)
            | Test::Is(..)
            | Test::Word(..)
            | Test::Among(..)
            | Test::Words(..)
            | Test::Starts(..)
            | Test::Ends(..)
            | Test::Contains(..)
            | Test::Matches(..) => test,
        }
    }

    /// The same payment, with the numbers of its words in this set.
    pub(super) fn spelled<'a>(&self, given: &Given<'a>) -> Given<'a> {
        let mut given = *given;
        for attribute in &self.attributes {
            // Where there is no text nobody looked, and the condition finds that out.
            if let Value::Text(text) = given.get(*attribute) {
                let number = self.numbers.get(text).copied().unwrap_or(OTHER);
                given.spell(*attribute, number);
            }
        }
        given
    }
}
