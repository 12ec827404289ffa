//! Functions, lists and what is counted.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not told apart here is one case, whatever is added"
)]

use super::{Compiler, Guards, Typed};
use crate::policy::rules::attribute::Attribute;
use crate::policy::rules::given::{Counted, Input, Key, WINDOWS, counted_payments, window};
use crate::policy::rules::mistake::What;
use crate::policy::rules::node::{Number, Pattern, Test, Text};
use crate::policy::rules::syntax::{Form, Tree};
use regex::RegexBuilder;

/// The longest pattern, and how large it may be compiled, both in bytes.
const PATTERN_MAX: usize = 256;
const PATTERN_COMPILED_MAX: usize = 1 << 16;

/// What it costs to match a pattern, to look for a text in another, to look into a list, and to count.
const PATTERN_COST: usize = 20;
const SEARCH_COST: usize = 5;
const LIST_COST: usize = 5;
const COUNT_COST: usize = 20;

impl Compiler<'_> {
    pub(super) fn within(&mut self, tree: &Tree, pair: &[Tree; 2], guards: Guards) -> Option<Test> {
        let [left, right] = pair;
        match &right.form {
            Form::Call(name, None, args) if name == "list" => {
                self.listed(left, right, args, guards)
            }
            Form::List(members) => {
                let of = self.typed(left, guards);
                if members.is_empty() {
                    return self.fail(right, What::EmptyList);
                }
                self.members(of?, members)
            }
            _ => self.fail(tree, What::Arguments("card.bin in list(\"…\")")),
        }
    }

    fn members(&mut self, of: Typed, members: &[Tree]) -> Option<Test> {
        let (mut numbers, mut words, mut wrong) = (Vec::new(), Vec::<Box<str>>::new(), false);
        for member in members {
            self.takes(1);
            let again = match (&of, &member.form) {
                (Typed::Number(_), Form::Number(number)) => {
                    let again = numbers.contains(number);
                    numbers.push(*number);
                    again.then(|| number.to_string())
                }
                (Typed::Text(text), Form::Text(word)) => {
                    wrong |= self.word(text, &Text::Fixed(word.as_str().into()), member).is_none();
                    let again = words.iter().any(|one| **one == **word);
                    words.push(word.as_str().into());
                    again.then(|| format!("{word:?}"))
                }
                (Typed::Number(_), Form::Text(word)) if word.parse::<i64>().is_ok() => {
                    wrong = true;
                    self.fail(member, What::Quoted(word.clone()))
                }
                _ => {
                    wrong = true;
                    let got = self.typed(member, Guards::default());
                    got.and_then(|got| self.fail(member, What::Differ(of.sort(), got.sort())))
                }
            };
            if let Some(again) = again {
                wrong = true;
                self.note(member, What::Twice(again));
            }
        }
        if wrong {
            return None;
        }
        numbers.sort_unstable();
        words.sort_unstable();
        Some(match of {
            Typed::Number(number) => Test::OneOf(number, numbers.into()),
            Typed::Text(text) => Test::Among(text, words.into()),
            Typed::Test(_) => return None,
        })
    }

    fn listed(&mut self, of: &Tree, call: &Tree, args: &[Tree], guards: Guards) -> Option<Test> {
        let attribute = match &of.form {
            Form::Name(name) => Attribute::from_name(name),
            _ => None,
        };
        let Some(attribute) = attribute else {
            // Says that there is no such attribute, where that is so.
            self.typed(of, guards)?;
            return self.fail(of, What::NeverListed);
        };
        let Some(kind) = attribute.about().list else { return self.fail(of, What::NeverListed) };
        let guarded = self.guarded(of, attribute, guards);
        let [Tree { form: Form::Text(list), .. }] = args else {
            return self.fail(call, What::Arguments("list(\"name\")"));
        };
        match self.names.lists.get(list) {
            Some(holds) if *holds == kind => (),
            Some(holds) => {
                return self.fail(call, What::OtherList(list.clone(), *holds, attribute));
            }
            None => {
                let known = self.names.lists.keys().cloned().collect();
                return self.fail(call, What::NoList(list.clone(), known));
            }
        }
        guarded?;
        self.takes(LIST_COST.saturating_add(attribute.about().cost));
        Some(Test::Listed(self.input(Input::InList { attribute, list: list.as_str().into() })))
    }

    fn input(&mut self, input: Input) -> usize {
        self.inputs.iter().position(|known| *known == input).unwrap_or_else(|| {
            self.inputs.push(input);
            self.inputs.len().saturating_sub(1)
        })
    }

    pub(super) fn call(
        &mut self,
        tree: &Tree,
        (name, on, args): (&str, Option<&Tree>, &[Tree]),
        guards: Guards,
    ) -> Option<Typed> {
        match (name, on, args) {
            ("startsWith" | "endsWith" | "contains", Some(on), [with]) => {
                let (text, with) = (self.text(on, guards), self.text(with, guards));
                let (text, with) = (text?, with?);
                self.takes(SEARCH_COST);
                Some(Typed::Test(match name {
                    "startsWith" => Test::Starts(text, with),
                    "endsWith" => Test::Ends(text, with),
                    _ => Test::Contains(text, with),
                }))
            }
            ("matches", Some(on), [pattern]) => {
                let text = self.text(on, guards);
                let pattern = self.pattern(pattern);
                Some(Typed::Test(Test::Matches(text?, pattern?)))
            }
            ("size", None, [of]) | ("size", Some(of), []) => {
                Some(Typed::Number(Number::Size(self.text(of, guards)?)))
            }
            ("velocity", None, [key, scenario, window]) => {
                self.velocity([key, scenario, window]).map(Typed::Number)
            }
            ("mismatches", None, [key, window]) => {
                let keys = [Key::Card, Key::Person, Key::Agreement];
                self.counted(Counted::Mismatches, key, window, (&keys, "card, person, agreement"))
            }
            ("persons", None, [key, window]) => {
                let keys = [Key::Card, Key::Phone];
                self.counted(Counted::Persons, key, window, (&keys, "card, phone"))
            }
            ("list", None, _) => self.fail(tree, What::LooseList),
            ("has", ..) => self.fail(tree, What::HasOf),
            (known, ..) => {
                let what = match known {
                    "startsWith" => What::Arguments("card.bin.startsWith(\"62\")"),
                    "endsWith" => What::Arguments("payment.merchant.endsWith(\"…\")"),
                    "contains" => What::Arguments("payment.merchant.contains(\"…\")"),
                    "matches" => What::Arguments("payment.merchant.matches(\"…\")"),
                    "size" => What::Arguments("size(payment.merchant)"),
                    "velocity" => What::Arguments("velocity(\"card\", \"debit\", \"1h\")"),
                    "mismatches" => What::Arguments("mismatches(\"card\", \"30d\")"),
                    "persons" => What::Arguments("persons(\"phone\", \"30d\")"),
                    _ => What::NoFunction(known.to_owned()),
                };
                self.fail(tree, what)
            }
        }
    }

    fn pattern(&mut self, tree: &Tree) -> Option<Pattern> {
        let Form::Text(pattern) = &tree.form else { return self.fail(tree, What::PatternMade) };
        if pattern.len() > PATTERN_MAX {
            return self.fail(tree, What::Pattern(format!("{} bytes", pattern.len())));
        }
        self.takes(PATTERN_COST);
        match RegexBuilder::new(pattern).size_limit(PATTERN_COMPILED_MAX).build() {
            Ok(regex) => Some(Pattern(regex)),
            Err(error) => {
                // The last line says what; those before draw the pattern.
                let text = error.to_string();
                let why = text.lines().last().unwrap_or_default();
                self.fail(tree, What::Pattern(why.trim_start_matches("error: ").to_owned()))
            }
        }
    }

    fn velocity(&mut self, [key, scenario, over]: [&Tree; 3]) -> Option<Number> {
        let form = What::Arguments("velocity(\"card\", \"debit\", \"1h\")");
        let Form::Text(word) = &scenario.form else { return self.fail(scenario, form) };
        let Some(counted) = counted_payments(word) else {
            return self.fail(scenario, What::NoScenario(word.clone()));
        };
        let keys = (&Key::ALL[..], "card, person, phone, merchant, agreement");
        match self.counted(counted, key, over, keys)? {
            Typed::Number(number) => Some(number),
            Typed::Test(_) | Typed::Text(_) => None,
        }
    }

    fn counted(
        &mut self,
        what: Counted,
        key: &Tree,
        over: &Tree,
        (keys, listed): (&[Key], &'static str),
    ) -> Option<Typed> {
        let form = What::Arguments("velocity(\"card\", \"debit\", \"1h\")");
        let (Form::Text(word), Form::Text(text)) = (&key.form, &over.form) else {
            return self.fail(key, form);
        };
        let Some(by) = Key::from_word(word).filter(|key| keys.contains(key)) else {
            return self.fail(key, What::NoKey(word.clone(), listed));
        };
        let Some(window) = window(text).filter(|window| WINDOWS.contains(window)) else {
            return self.fail(over, What::Window(text.clone()));
        };
        self.takes(COUNT_COST);
        let input = self.input(Input::Count { what, key: by, window });
        Some(Typed::Number(Number::Input(input)))
    }
}
