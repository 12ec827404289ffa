//! Why a rule holds or not: each condition with what it saw, what it came to, or that it was not looked at.

use super::Rule;
use super::attribute::Attribute;
use super::compile::Outline;
use super::given::{Given, Input};
use super::node::{Fault, Number, Test, Text};
use std::fmt;
use std::ops::Range;

/// What became of one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// It was evaluated.
    To(bool),
    /// It could not be.
    Fault(Fault),
    /// What stands before it decided.
    Skipped,
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::To(true) => "true",
            Self::To(false) => "false",
            Self::Fault(Fault::Overflow) => "overflow",
            Self::Fault(Fault::Missing) => "missing",
            Self::Skipped => "skipped",
        })
    }
}

/// A condition of a rule, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// As it is written.
    pub text: String,
    /// What it saw: names and values.
    pub saw: Vec<(String, String)>,
    /// What became of it.
    pub came: Came,
}

impl Rule {
    /// Explains the rule for a payment; `inputs` are those of its set.
    pub fn explain(&self, given: &Given<'_>, inputs: &[Input]) -> Vec<Part> {
        let mut walk = Walk { source: &self.source, given, inputs, parts: Vec::new() };
        walk.test(&self.condition.test, &self.condition.outline, false);
        walk.parts
    }
}

struct Walk<'a> {
    source: &'a str,
    given: &'a Given<'a>,
    inputs: &'a [Input],
    parts: Vec<Part>,
}

impl Walk<'_> {
    /// Walks as the evaluation does.
    fn test(&mut self, test: &Test, outline: &Outline, skipped: bool) -> Came {
        match (outline, test) {
            (Outline::All(of), Test::All(tests)) => self.chain(tests, of, skipped, false),
            (Outline::Any(of), Test::Any(tests)) => self.chain(tests, of, skipped, true),
            (Outline::If(of), Test::If(parts)) => {
                let ([test, yes, no], [of, of_yes, of_no]) = (&**parts, &**of);
                let came = self.test(test, of, skipped);
                let yes = self.test(yes, of_yes, came != Came::To(true));
                let no = self.test(no, of_no, came != Came::To(false));
                match came {
                    Came::To(true) => yes,
                    Came::To(false) => no,
                    Came::Fault(_) | Came::Skipped => came,
                }
            }
            (Outline::Not(of), Test::Not(test)) => match self.test(test, of, skipped) {
                Came::To(flag) => Came::To(!flag),
                other @ (Came::Fault(_) | Came::Skipped) => other,
            },
            (Outline::Part(span), test) => self.part(test, span.clone(), skipped),
            // An outline has the shape of its test.
            (Outline::All(_) | Outline::Any(_) | Outline::If(_) | Outline::Not(_), _) => {
                Came::Skipped
            }
        }
    }

    fn chain(&mut self, tests: &[Test], of: &[Outline], skipped: bool, decisive: bool) -> Came {
        let (mut decided, mut fault) = (skipped, None);
        let mut came = Came::To(!decisive);
        for (test, outline) in tests.iter().zip(of) {
            match self.test(test, outline, decided) {
                Came::To(flag) if flag == decisive => {
                    (decided, came) = (true, Came::To(decisive));
                }
                Came::Fault(error) => fault = fault.or(Some(error)),
                Came::To(_) | Came::Skipped => (),
            }
        }
        match fault {
            _ if skipped => Came::Skipped,
            Some(error) if !decided => Came::Fault(error),
            _ => came,
        }
    }

    fn part(&mut self, test: &Test, span: Range<usize>, skipped: bool) -> Came {
        let written = self.source.get(span).unwrap_or_default().to_owned();
        let mut values = Vec::new();
        if skipped {
            self.parts.push(Part { text: written, saw: values, came: Came::Skipped });
            return Came::Skipped;
        }
        sees(test, &mut |see| {
            let seen = self.seen(&see);
            if !values.contains(&seen) {
                values.push(seen);
            }
        });
        let came = test.holds(self.given).map_or_else(Came::Fault, Came::To);
        self.parts.push(Part { text: written, saw: values, came });
        came
    }

    fn seen(&self, see: &See) -> (String, String) {
        match see {
            See::Attribute(attribute) => {
                (attribute.to_string(), self.given.get(*attribute).to_string())
            }
            See::Input(input) => {
                let name = self.inputs.get(*input).map(Input::to_string);
                let value = self.given.inputs.get(*input).copied().flatten();
                let value = value.map_or_else(|| "-".to_owned(), |value| value.to_string());
                (name.unwrap_or_default(), value)
            }
        }
    }
}

/// What a condition looks at.
pub(super) enum See {
    Attribute(Attribute),
    Input(usize),
}

pub(super) fn sees(test: &Test, see: &mut impl FnMut(See)) {
    match test {
        Test::Always(_) => (),
        Test::Flag(attribute) | Test::Has(attribute) => see(See::Attribute(*attribute)),
        Test::Listed(input) => see(See::Input(*input)),
        Test::Not(test) => sees(test, see),
        Test::All(tests) | Test::Any(tests) => tests.iter().for_each(|test| sees(test, see)),
        Test::If(tests) => tests.iter().for_each(|test| sees(test, see)),
        Test::Same(tests) => tests.iter().for_each(|test| sees(test, see)),
        Test::Compare(_, left, right) | Test::Equal(left, right) => {
            number(left, see);
            number(right, see);
        }
        Test::OneOf(of, _) => number(of, see),
        Test::Is(left, right)
        | Test::Starts(left, right)
        | Test::Ends(left, right)
        | Test::Contains(left, right) => {
            text(left, see);
            text(right, see);
        }
        Test::Among(of, _) | Test::Matches(of, _) => text(of, see),
    }
}

fn number(of: &Number, see: &mut impl FnMut(See)) {
    match of {
        Number::Fixed(_) => (),
        Number::Of(attribute) => see(See::Attribute(*attribute)),
        Number::Input(input) => see(See::Input(*input)),
        Number::Size(of) => text(of, see),
        Number::Sum(_, pair) => pair.iter().for_each(|part| number(part, see)),
        Number::If(parts) => {
            sees(&parts.0, see);
            number(&parts.1, see);
            number(&parts.2, see);
        }
    }
}

fn text(of: &Text, see: &mut impl FnMut(See)) {
    match of {
        Text::Fixed(_) => (),
        Text::Of(attribute) => see(See::Attribute(*attribute)),
        Text::If(parts) => {
            sees(&parts.0, see);
            text(&parts.1, see);
            text(&parts.2, see);
        }
    }
}
