//! Parts: what the conditions of a set are made of, equal ones only once. Rules share most of what they ask, so that a part is evaluated
//! once a payment, whichever rules have it, and what it came to is a bit: most rules are decided by one look at some bits. (One that cannot
//! be evaluated is asked again.) The texts that attributes are compared with are numbered, so that one look-up an attribute spares comparisons of texts in every rule.

use super::attribute::Attribute;
use super::given::{Given, Value};
use super::node::{Fault, Number, Test, Text};
use super::syntax::Order;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A condition, by the places of its parts in the set.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// A part, and what it must come to.
    Part(usize, bool),
    Not(Box<Self>),
    All(Group),
    Any(Group),
    If(Box<[Self; 3]>),
    Same(Box<[Self; 2]>),
}

/// Conditions of which all must hold, or any.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    /// Each, in order.
    of: Box<[Shape]>,
    /// Those that are parts.
    parts: Box<[Block]>,
}

/// Of 64 parts of a set those that hold and those that do not, a bit each: as a group wants them, or as they came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Block {
    /// Which 64.
    at: usize,
    holds: u64,
    fails: u64,
}

/// How many parts are in a block.
const BLOCK: usize = 64;

/// In which block a part is, and its bit there.
const fn bit(part: usize) -> (usize, u64) {
    (part / BLOCK, 1 << (part % BLOCK))
}

impl FromIterator<Shape> for Group {
    fn from_iter<I: IntoIterator<Item = Shape>>(of: I) -> Self {
        let of: Box<[Shape]> = of.into_iter().collect();
        let mut parts = BTreeMap::new();
        for shape in &of {
            let Shape::Part(part, is) = shape else { continue };
            let (at, bit) = bit(*part);
            let block: &mut Block = parts.entry(at).or_insert(Block { at, ..Block::default() });
            *(if *is { &mut block.holds } else { &mut block.fails }) |= bit;
        }
        Self { of, parts: parts.into_values().collect() }
    }
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
            Test::Not(test) => {
                let shape = self.shape(places, test);
                // Twice negated it stays: a rule that is written otherwise may stand beside another.
                if let Shape::Part(at, true) = shape {
                    return Shape::Part(at, false);
                }
                return Shape::Not(Box::new(shape));
            }
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
        let at = *places.0.entry(part).or_insert_with_key(|part| {
            self.all.push(part.clone());
            self.all.len().saturating_sub(1)
        });
        Shape::Part(at, true)
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
        let came = vec![Block::default(); self.all.len().div_ceil(BLOCK)];
        Look { parts: &self.all, given, words, came }
    }
}

impl Block {
    /// Whether one of its parts came to what is decisive.
    const fn decides(self, came: Self, decisive: bool) -> bool {
        let (one, other) =
            if decisive { (came.holds, came.fails) } else { (came.fails, came.holds) };
        self.holds & one | self.fails & other != 0
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
    /// Those that hold, and those that do not; not those that could not be evaluated, nor those that were not asked.
    came: Vec<Block>,
}

impl Look<'_> {
    /// Whether a condition of the set holds; as its test would come to by itself, faults included.
    pub(super) fn holds(&mut self, shape: &Shape) -> Result<bool, Fault> {
        match shape {
            Shape::Part(at, is) => self.part(*at).map(|came| came == *is),
            Shape::Not(of) => self.holds(of).map(|flag| !flag),
            Shape::All(group) => self.unless(group, false),
            Shape::Any(group) => self.unless(group, true),
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

    /// What a group comes to: what is `decisive` where one of it does, whatever the others do.
    fn unless(&mut self, group: &Group, decisive: bool) -> Result<bool, Fault> {
        // Mostly another rule has asked, and that decides.
        if group.parts.iter().any(|of| of.decides(self.came(of.at), decisive)) {
            return Ok(decisive);
        }
        let mut faults = false;
        for of in &group.parts {
            let came = self.came(of.at);
            let mut open = (of.holds | of.fails) & !(came.holds | came.fails);
            while open != 0 {
                let next = usize::try_from(open.trailing_zeros()).unwrap_or_default();
                open &= open.wrapping_sub(1);
                faults |= self.ask(of.at.saturating_mul(BLOCK).saturating_add(next)).is_err();
                if of.decides(self.came(of.at), decisive) {
                    return Ok(decisive);
                }
            }
        }
        let mut nested = None;
        for (at, shape) in group.of.iter().enumerate() {
            if matches!(shape, Shape::Part(..)) {
                continue;
            }
            match self.holds(shape) {
                Ok(flag) if flag == decisive => return Ok(decisive),
                Ok(_) => (),
                // Kept, since to evaluate it again would double the time with each level.
                Err(fault) => nested = nested.or(Some((at, fault))),
            }
        }
        if faults {
            // The first that cannot be evaluated says why.
            let before = nested.map_or(group.of.len(), |(at, _)| at);
            for shape in group.of.iter().take(before) {
                if let Shape::Part(part, _) = shape {
                    self.part(*part)?;
                }
            }
        }
        nested.map_or(Ok(!decisive), |(_, fault)| Err(fault))
    }

    fn came(&self, at: usize) -> Block {
        self.came.get(at).copied().unwrap_or_default()
    }

    /// What a part comes to.
    fn part(&mut self, part: usize) -> Result<bool, Fault> {
        let (at, bit) = bit(part);
        let came = self.came(at);
        if (came.holds | came.fails) & bit == 0 {
            self.ask(part)
        } else {
            Ok(came.holds & bit != 0)
        }
    }

    fn ask(&mut self, at: usize) -> Result<bool, Fault> {
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
        let (block, bit) = bit(at);
        if let (Some(block), Ok(holds)) = (self.came.get_mut(block), came) {
            *(if holds { &mut block.holds } else { &mut block.fails }) |= bit;
        }
        came
    }

    /// The number of the text that `attribute` is.
    fn word(&self, attribute: Attribute) -> Result<u32, Fault> {
        let word = self.words.get(attribute.slot()).copied();
        word.filter(|word| *word != NONE).ok_or(Fault::Missing)
    }
}
