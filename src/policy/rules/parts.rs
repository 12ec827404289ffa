//! Parts: what the conditions of a set are made of, equal ones only once. Rules share most of what they ask, so that each part is
//! looked at once a payment at most, whichever rules have it; and the texts that attributes are compared with are numbered, so that
//! one look-up an attribute spares comparisons of texts in every rule.

use super::attribute::Attribute;
use super::given::{Given, Value};
use super::node::{Fault, Number, Test, Text};
use super::syntax::Order;
use std::collections::{BTreeSet, HashMap};

/// A condition, by the places of its parts in the set.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Part(usize),
    Not(Box<Self>),
    All(Box<[Self]>),
    Any(Box<[Self]>),
    If(Box<[Self; 3]>),
    Same(Box<[Self; 2]>),
}

/// What is looked at whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// An attribute is the text of this number.
    Word(Attribute, u32),
    /// An attribute is one of the texts of these numbers, in order.
    Words(Attribute, Box<[u32]>),
    /// A number that an attribute is compared with.
    Number(Attribute, Order, i64),
    /// Anything else.
    Test(Test),
}

/// So many words are few.
const FEW: usize = 32;

/// There is no text.
const NONE: u32 = 0;
/// The text is not one that the set asks for.
const OTHER: u32 = 1;

/// The parts of a set.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    all: Vec<Part>,
    /// The numbers of the texts that attributes are compared with.
    words: HashMap<Box<str>, u32, foldhash::quality::RandomState>,
    /// The attributes that are compared with texts.
    attributes: BTreeSet<Attribute>,
}

/// Where each part of a set is, while the set is made.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<Part, usize>);

impl Parts {
    /// Takes in the parts of `test`; equal conditions have equal shapes.
    pub(super) fn shape(&mut self, places: &mut Places, test: &Test) -> Shape {
        let part = match test {
            Test::All(tests) => {
                return Shape::All(tests.iter().map(|test| self.shape(places, test)).collect());
            }
            Test::Any(tests) => {
                return Shape::Any(tests.iter().map(|test| self.shape(places, test)).collect());
            }
            Test::Not(test) => return Shape::Not(Box::new(self.shape(places, test))),
            Test::If(parts) => {
                return Shape::If(Box::new(parts.each_ref().map(|test| self.shape(places, test))));
            }
            Test::Same(pair) => {
                return Shape::Same(Box::new(pair.each_ref().map(|test| self.shape(places, test))));
            }
            Test::Is(Text::Of(attribute), Text::Fixed(word))
            | Test::Is(Text::Fixed(word), Text::Of(attribute)) => {
                self.attributes.insert(*attribute);
                Part::Word(*attribute, self.number(word))
            }
            Test::Among(Text::Of(attribute), words) => {
                self.attributes.insert(*attribute);
                let mut numbers: Vec<_> = words.iter().map(|word| self.number(word)).collect();
                numbers.sort_unstable();
                Part::Words(*attribute, numbers.into())
            }
            Test::Compare(order, Number::Of(attribute), Number::Fixed(number)) => {
                Part::Number(*attribute, *order, *number)
            }
            Test::Always(_)
            | Test::Flag(_)
            | Test::Has(_)
            | Test::Listed(_)
            | Test::Compare(..)
            | Test::Equal(..)
            | Test::OneOf(..)
            | Test::Is(..)
            | Test::Among(..)
            | Test::Starts(..)
            | Test::Ends(..)
            | Test::Contains(..)
            | Test::Matches(..) => Part::Test(test.clone()),
        };
        Shape::Part(*places.0.entry(part).or_insert_with_key(|part| {
            self.all.push(part.clone());
            self.all.len().saturating_sub(1)
        }))
    }

    fn number(&mut self, text: &str) -> u32 {
        let next = u32::try_from(self.words.len()).unwrap_or(u32::MAX - 2).saturating_add(2);
        *self.words.entry(text.into()).or_insert(next)
    }

    /// A look at one payment.
    pub(super) fn look<'a>(&'a self, given: &'a Given<'a>) -> Look<'a> {
        let mut words = [NONE; Attribute::COUNT];
        for attribute in &self.attributes {
            if let Value::Text(text) = given.get(*attribute)
                && let Some(slot) = words.get_mut(attribute.slot())
            {
                *slot = self.words.get(text).copied().unwrap_or(OTHER);
            }
        }
        Look { parts: &self.all, given, words, came: vec![None; self.all.len()] }
    }
}

/// Of few, all are looked at together.
fn is_among(word: u32, words: &[u32]) -> bool {
    if words.len() <= FEW { words.contains(&word) } else { words.binary_search(&word).is_ok() }
}

/// A look at one payment: what its parts came to so far.
pub(super) struct Look<'a> {
    parts: &'a [Part],
    given: &'a Given<'a>,
    /// The numbers of its texts.
    words: [u32; Attribute::COUNT],
    came: Vec<Option<Result<bool, Fault>>>,
}

impl Look<'_> {
    /// Whether a condition of the set holds; as its test would come to by itself, faults included.
    pub(super) fn holds(&mut self, shape: &Shape) -> Result<bool, Fault> {
        match shape {
            Shape::Part(at) => self.part(*at),
            Shape::Not(of) => self.holds(of).map(|flag| !flag),
            Shape::All(of) => self.unless(of, false),
            Shape::Any(of) => self.unless(of, true),
            Shape::If(of) => {
                let [test, yes, no] = &**of;
                if self.holds(test)? { self.holds(yes) } else { self.holds(no) }
            }
            Shape::Same(of) => {
                let [left, right] = &**of;
                Ok(self.holds(left)? == self.holds(right)?)
            }
        }
    }

    fn unless(&mut self, of: &[Shape], decisive: bool) -> Result<bool, Fault> {
        let mut fault = None;
        for shape in of {
            // Mostly another rule has asked.
            let at = if let Shape::Part(at) = shape { Some(*at) } else { None };
            let came = at.and_then(|at| *self.came.get(at)?);
            match came.unwrap_or_else(|| self.holds(shape)) {
                Ok(flag) if flag == decisive => return Ok(decisive),
                Ok(_) => (),
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        fault.map_or(Ok(!decisive), Err)
    }

    fn part(&mut self, at: usize) -> Result<bool, Fault> {
        if let Some(Some(came)) = self.came.get(at) {
            return *came;
        }
        let came = match self.parts.get(at) {
            Some(Part::Word(attribute, word)) => self.word(*attribute).map(|it| it == *word),
            Some(Part::Words(attribute, words)) => {
                self.word(*attribute).map(|it| is_among(it, words))
            }
            Some(Part::Number(attribute, order, number)) => {
                if let Value::Number(value) = self.given.get(*attribute) {
                    Ok(order.holds(value, *number))
                } else {
                    Err(Fault::Missing)
                }
            }
            Some(Part::Test(test)) => test.holds(self.given),
            None => Err(Fault::Missing),
        };
        if let Some(slot) = self.came.get_mut(at) {
            *slot = Some(came);
        }
        came
    }

    /// The number of the text that `attribute` is.
    fn word(&self, attribute: Attribute) -> Result<u32, Fault> {
        let word = self.words.get(attribute.slot()).copied();
        word.filter(|word| *word != NONE).ok_or(Fault::Missing)
    }
}
