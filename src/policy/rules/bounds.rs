//! What a chain of `&&` leaves possible of each attribute: so that a rule that would never fire is a mistake, not a surprise.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not told apart here is one case, whatever is added"
)]

use super::attribute::{Attribute, Kind};
use super::node::{Number, Test, Text};
use super::syntax::Order;
use std::collections::BTreeMap;

/// What is left possible of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Left {
    /// Between these, both included, and none of those.
    Between(i64, i64, Vec<i64>),
    /// One of these, where they are known, and none of those.
    Words(Option<Vec<Box<str>>>, Vec<Box<str>>),
    Flag(Option<bool>),
}

impl Left {
    fn of(attribute: Attribute) -> Self {
        match attribute.about().kind {
            Kind::Number(low, high) => Self::Between(low, high, Vec::new()),
            Kind::Text([]) | Kind::Print => Self::Words(None, Vec::new()),
            Kind::Text(words) => {
                Self::Words(Some(words.iter().map(|word| (*word).into()).collect()), Vec::new())
            }
            Kind::Flag => Self::Flag(None),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Between(low, high, not) => low > high || (low == high && not.contains(low)),
            Self::Words(only, _) => only.as_ref().is_some_and(Vec::is_empty),
            Self::Flag(_) => false,
        }
    }
}

/// A simple condition on one attribute.
enum Fact<'a> {
    Between(i64, i64),
    Not(i64),
    OneOf(Vec<&'a str>),
    NoneOf(Vec<&'a str>),
    Flag(bool),
}

/// What is left possible, by attribute.
#[derive(Debug, Default)]
pub(super) struct Bounds(BTreeMap<Attribute, Left>);

impl Bounds {
    /// Adds a condition. Says whether it adds something; true also where it is too much to know.
    ///
    /// # Errors
    /// Its attribute, where nothing is left possible.
    pub(super) fn narrow(&mut self, test: &Test) -> Result<bool, String> {
        let Some((attribute, fact)) = fact(test, true) else {
            return match test {
                Test::Always(true) => Ok(false),
                Test::Always(false) => Err("false".to_owned()),
                _ if fixed(test) == Some(true) => Ok(false),
                _ if fixed(test) == Some(false) => Err("false".to_owned()),
                _ => Ok(true),
            };
        };
        let left = self.0.entry(attribute).or_insert_with(|| Left::of(attribute));
        let before = left.clone();
        let possible = apply(left, &fact) && !left.is_empty();
        if possible { Ok(*left != before) } else { Err(attribute.name().to_owned()) }
    }

    /// The attribute that a condition is about.
    pub(super) fn about(test: &Test) -> String {
        fact(test, true).map_or_else(|| "&&".to_owned(), |(attribute, _)| attribute.to_string())
    }
}

/// Whether it comes to the same for every payment.
fn fixed(test: &Test) -> Option<bool> {
    match test {
        Test::Compare(order, Number::Fixed(left), Number::Fixed(right)) => Some(match order {
            Order::Less => left < right,
            Order::AtMost => left <= right,
            Order::More => left > right,
            Order::AtLeast => left >= right,
        }),
        Test::Equal(Number::Fixed(left), Number::Fixed(right)) => Some(left == right),
        Test::Is(left, right) if left == right => Some(true),
        Test::Is(Text::Fixed(left), Text::Fixed(right)) => Some(left == right),
        Test::Equal(left, right) if left == right => Some(true),
        Test::Not(test) => fixed(test).map(|flag| !flag),
        _ => None,
    }
}

/// Applies `fact`; false where that is impossible at once.
fn apply(left: &mut Left, fact: &Fact<'_>) -> bool {
    match (left, fact) {
        (Left::Between(low, high, not), Fact::Between(least, most)) => {
            *low = (*low).max(*least);
            *high = (*high).min(*most);
            while low <= high && not.contains(low) {
                *low = low.saturating_add(1);
            }
            while low <= high && not.contains(high) {
                *high = high.saturating_sub(1);
            }
            let (low, high) = (*low, *high);
            not.retain(|number| low < *number && *number < high);
        }
        (Left::Between(low, high, not), Fact::Not(number)) => {
            if *low == *number {
                *low = low.saturating_add(1);
            } else if *high == *number {
                *high = high.saturating_sub(1);
            } else if (*low..*high).contains(number) && !not.contains(number) {
                not.push(*number);
            }
        }
        (Left::Words(only, not), Fact::OneOf(words)) => {
            let stays = |word: &&&str| !not.iter().any(|one| &**one == **word);
            match only {
                Some(only) => only.retain(|one| words.contains(&&**one)),
                None => {
                    *only = Some(words.iter().filter(stays).map(|word| (*word).into()).collect());
                }
            }
        }
        (Left::Words(only, not), Fact::NoneOf(words)) => {
            if let Some(only) = only {
                only.retain(|one| !words.contains(&&**one));
            }
            for word in words {
                if only.is_none() && !not.iter().any(|one| &**one == *word) {
                    not.push((*word).into());
                }
            }
        }
        (Left::Flag(flag), Fact::Flag(wanted)) => {
            let possible = flag.is_none_or(|flag| flag == *wanted);
            *flag = Some(*wanted);
            return possible;
        }
        (Left::Between(..) | Left::Words(..) | Left::Flag(_), _) => (),
    }
    true
}

/// What `test` says of one attribute where it comes to `outcome`.
fn fact(test: &Test, outcome: bool) -> Option<(Attribute, Fact<'_>)> {
    match test {
        Test::Not(test) => fact(test, !outcome),
        Test::Flag(attribute) => Some((*attribute, Fact::Flag(outcome))),
        Test::Compare(order, Number::Of(attribute), Number::Fixed(number)) => {
            Some((*attribute, ordered(*order, *number, outcome)))
        }
        Test::Compare(order, Number::Fixed(number), Number::Of(attribute)) => {
            let turned = match order {
                Order::Less => Order::More,
                Order::AtMost => Order::AtLeast,
                Order::More => Order::Less,
                Order::AtLeast => Order::AtMost,
            };
            Some((*attribute, ordered(turned, *number, outcome)))
        }
        Test::Equal(Number::Of(attribute), Number::Fixed(number))
        | Test::Equal(Number::Fixed(number), Number::Of(attribute)) => {
            let fact = if outcome { Fact::Between(*number, *number) } else { Fact::Not(*number) };
            Some((*attribute, fact))
        }
        Test::OneOf(Number::Of(attribute), numbers) => {
            let (low, high) = (numbers.first()?, numbers.last()?);
            outcome.then_some((*attribute, Fact::Between(*low, *high)))
        }
        Test::Is(Text::Of(attribute), Text::Fixed(word))
        | Test::Is(Text::Fixed(word), Text::Of(attribute)) => {
            Some((*attribute, worded(vec![word], outcome)))
        }
        Test::Among(Text::Of(attribute), words) => {
            Some((*attribute, worded(words.iter().map(|word| &**word).collect(), outcome)))
        }
        _ => None,
    }
}

fn worded(words: Vec<&str>, outcome: bool) -> Fact<'_> {
    if outcome { Fact::OneOf(words) } else { Fact::NoneOf(words) }
}

fn ordered<'a>(order: Order, number: i64, outcome: bool) -> Fact<'a> {
    let (below, above) = (number.checked_sub(1), number.checked_add(1));
    let nothing = (i64::MAX, i64::MIN);
    let (low, high) = match (order, outcome) {
        (Order::Less, true) | (Order::AtLeast, false) => {
            below.map_or(nothing, |high| (i64::MIN, high))
        }
        (Order::AtMost, true) | (Order::More, false) => (i64::MIN, number),
        (Order::More, true) | (Order::AtMost, false) => {
            above.map_or(nothing, |low| (low, i64::MAX))
        }
        (Order::AtLeast, true) | (Order::Less, false) => (number, i64::MAX),
    };
    Fact::Between(low, high)
}
