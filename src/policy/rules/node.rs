//! Compiled conditions: typed, every name a slot, nothing left to look up. Evaluation allocates nothing.

use super::attribute::Attribute;
use super::given::{Given, Value};
use super::syntax::{Order, Sum};
use regex::Regex;
use std::hash::{Hash, Hasher};

/// Why a condition could not be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A sum is beyond 64 bits.
    Overflow,
    /// What it needs could not be had.
    Missing,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Test {
    Always(bool),
    Flag(Attribute),
    Has(Attribute),
    /// Whether an input is 1.
    Listed(usize),
    Not(Box<Self>),
    All(Box<[Self]>),
    Any(Box<[Self]>),
    If(Box<[Self; 3]>),
    Same(Box<[Self; 2]>),
    Compare(Order, Number, Number),
    Equal(Number, Number),
    /// A number is one of these, in order.
    OneOf(Number, Box<[i64]>),
    Is(Text, Text),
    /// A text is one of these, in order.
    Among(Text, Box<[Box<str>]>),
    Starts(Text, Text),
    Ends(Text, Text),
    Contains(Text, Text),
    Matches(Text, Pattern),
}

/// A whole number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Number {
    Fixed(i64),
    Of(Attribute),
    Input(usize),
    Size(Text),
    Sum(Sum, Box<[Self; 2]>),
    If(Box<(Test, Self, Self)>),
}

/// A text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Text {
    Fixed(Box<str>),
    Of(Attribute),
    If(Box<(Test, Self, Self)>),
}

/// A regular expression; its matching takes linear time.
#[derive(Clone, Debug)]
pub(super) struct Pattern(pub(super) Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

impl Test {
    /// Whether it holds. As in CEL, a fault is outweighed by what decides without it.
    pub(super) fn holds(&self, given: &Given<'_>) -> Result<bool, Fault> {
        Ok(match self {
            Self::Always(flag) => *flag,
            Self::Flag(attribute) => match given.get(*attribute) {
                Value::Flag(flag) => flag,
                Value::Absent
                | Value::Unknown
                | Value::Present
                | Value::Number(_)
                | Value::Text(_) => {
                    return Err(Fault::Missing);
                }
            },
            Self::Has(attribute) => match given.get(*attribute) {
                Value::Unknown => return Err(Fault::Missing),
                Value::Absent => false,
                Value::Present | Value::Flag(_) | Value::Number(_) | Value::Text(_) => true,
            },
            Self::Listed(input) => given_input(given, *input)? != 0,
            Self::Not(test) => !test.holds(given)?,
            Self::All(tests) => return unless(tests, given, false),
            Self::Any(tests) => return unless(tests, given, true),
            Self::If(parts) => {
                let [test, yes, no] = &**parts;
                return if test.holds(given)? { yes.holds(given) } else { no.holds(given) };
            }
            Self::Same(pair) => {
                let [left, right] = &**pair;
                left.holds(given)? == right.holds(given)?
            }
            Self::Compare(order, left, right) => {
                let (left, right) = (left.value(given)?, right.value(given)?);
                order.holds(left, right)
            }
            Self::Equal(left, right) => left.value(given)? == right.value(given)?,
            Self::OneOf(number, of) => of.binary_search(&number.value(given)?).is_ok(),
            Self::Is(left, right) => left.value(given)? == right.value(given)?,
            Self::Among(text, of) => {
                let text = text.value(given)?;
                of.binary_search_by(|one| (**one).cmp(text)).is_ok()
            }
            Self::Starts(text, with) => text.value(given)?.starts_with(with.value(given)?),
            Self::Ends(text, with) => text.value(given)?.ends_with(with.value(given)?),
            Self::Contains(text, part) => text.value(given)?.contains(part.value(given)?),
            Self::Matches(text, pattern) => pattern.0.is_match(text.value(given)?),
        })
    }
}

/// `decisive` where one test comes to it, else the opposite; a fault where none does and one failed.
fn unless(tests: &[Test], given: &Given<'_>, decisive: bool) -> Result<bool, Fault> {
    let mut fault = None;
    for test in tests {
        match test.holds(given) {
            Ok(flag) if flag == decisive => return Ok(decisive),
            Ok(_) => (),
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    fault.map_or(Ok(!decisive), Err)
}

fn given_input(given: &Given<'_>, input: usize) -> Result<i64, Fault> {
    given.inputs.get(input).copied().flatten().ok_or(Fault::Missing)
}

impl Number {
    pub(super) fn value(&self, given: &Given<'_>) -> Result<i64, Fault> {
        match self {
            Self::Fixed(number) => Ok(*number),
            Self::Of(attribute) => match given.get(*attribute) {
                Value::Number(number) => Ok(number),
                Value::Absent
                | Value::Unknown
                | Value::Present
                | Value::Flag(_)
                | Value::Text(_) => Err(Fault::Missing),
            },
            Self::Input(input) => given_input(given, *input),
            Self::Size(text) => {
                Ok(i64::try_from(text.value(given)?.chars().count()).unwrap_or(i64::MAX))
            }
            Self::Sum(sum, pair) => {
                let [left, right] = &**pair;
                let (left, right) = (left.value(given)?, right.value(given)?);
                let sum = match sum {
                    Sum::Plus => left.checked_add(right),
                    Sum::Minus => left.checked_sub(right),
                    Sum::Times => left.checked_mul(right),
                };
                sum.ok_or(Fault::Overflow)
            }
            Self::If(parts) => {
                let (test, yes, no) = &**parts;
                if test.holds(given)? { yes.value(given) } else { no.value(given) }
            }
        }
    }
}

impl Text {
    pub(super) fn value<'a>(&'a self, given: &Given<'a>) -> Result<&'a str, Fault> {
        match self {
            Self::Fixed(text) => Ok(text),
            Self::Of(attribute) => text_of(given, *attribute),
            Self::If(parts) => {
                let (test, yes, no) = &**parts;
                if test.holds(given)? { yes.value(given) } else { no.value(given) }
            }
        }
    }
}

fn text_of<'a>(given: &Given<'a>, attribute: Attribute) -> Result<&'a str, Fault> {
    match given.get(attribute) {
        Value::Text(text) => Ok(text),
        Value::Absent | Value::Unknown | Value::Present | Value::Flag(_) | Value::Number(_) => {
            Err(Fault::Missing)
        }
    }
}
