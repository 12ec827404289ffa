//! From a tree to a compiled condition: types, guards, names. Every mistake is noted, not only the first.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not told apart here is one case, whatever is added"
)]

mod calls;

use super::attribute::{Attribute, Holds, Kind};
use super::bounds::Bounds;
use super::given::Input;
use super::mistake::{Mistake, Sort, What};
use super::node::{Number, Test, Text};
use super::syntax::{self, Form, Tree};
use std::collections::BTreeMap;
use std::ops::Range;

/// The most that one condition may cost: a part is 1, and what takes longer, or is looked up before, is more.
const COST_MAX: usize = 400;

/// What is configured, so that a rule can name it.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The channels; any where empty.
    pub channels: Vec<String>,
    /// The providers; any where empty.
    pub providers: Vec<String>,
    /// The banks; none where empty.
    pub banks: Vec<String>,
    /// The lists, and what each holds.
    pub lists: BTreeMap<String, Holds>,
}

/// A compiled condition.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) test: Test,
    /// What of it is explained by itself: as far as the outline goes, the test has its shape.
    pub(super) outline: Outline,
}

/// How a condition is made of parts that are explained one by one.
#[derive(Clone, Debug)]
pub(super) enum Outline {
    /// A part, and where it stands.
    Part(Range<usize>),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
    If(Box<[Self; 3]>),
}

/// Compiles `source`; what it needs to be looked up is added to `inputs`.
pub(super) fn compile(
    source: &str,
    names: &Names,
    inputs: &mut Vec<Input>,
) -> Result<Condition, Vec<Mistake>> {
    let tree = syntax::parse(source)?;
    let mut compiler = Compiler { names, inputs, mistakes: Vec::new(), cost: 0 };
    let condition = compiler.condition(&tree, Guards::default());
    let Compiler { mut mistakes, cost, .. } = compiler;
    if cost > COST_MAX {
        mistakes.push(Mistake::new(0..source.len(), What::TooMany));
    }
    if let Some((test, outline)) = condition.filter(|_| mistakes.is_empty()) {
        return Ok(Condition { test, outline });
    }
    mistakes.sort_by_key(|mistake| mistake.span.start);
    Err(mistakes)
}

/// The attributes that are known to be there: a bit each.
#[derive(Clone, Copy, Debug, Default)]
struct Guards(u32);

impl Guards {
    const fn with(self, attribute: Attribute) -> Self {
        Self(self.0 | 1 << attribute.slot())
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn holds(self, attribute: Attribute) -> bool {
        self.0 & 1 << attribute.slot() != 0
    }
}

/// What is certainly there where `tree` comes to `outcome`.
fn shows(tree: &Tree, outcome: bool) -> Guards {
    let every = |parts: &[Tree]| {
        parts.iter().fold(Guards::default(), |all, part| all.and(shows(part, outcome)))
    };
    if let (Form::Has(of), true) = (&tree.form, outcome)
        && let Form::Name(name) = &of.form
        && let Some(attribute) = Attribute::from_name(name)
    {
        return Guards::default().with(attribute);
    }
    if let Form::Not(part) = &tree.form {
        return shows(part, !outcome);
    }
    if let (Form::All(parts), true) | (Form::Any(parts), false) = (&tree.form, outcome) {
        return every(parts);
    }
    Guards::default()
}

/// A part, by what it comes to.
enum Typed {
    Test(Test),
    Number(Number),
    Text(Text),
}

impl Typed {
    const fn sort(&self) -> Sort {
        match self {
            Self::Test(_) => Sort::Flag,
            Self::Number(_) => Sort::Number,
            Self::Text(_) => Sort::Text,
        }
    }
}

struct Compiler<'a> {
    names: &'a Names,
    inputs: &'a mut Vec<Input>,
    mistakes: Vec<Mistake>,
    cost: usize,
}

impl Compiler<'_> {
    /// Counts what a part costs.
    const fn takes(&mut self, cost: usize) {
        self.cost = self.cost.saturating_add(cost);
    }

    fn note(&mut self, tree: &Tree, what: What) {
        self.mistakes.push(Mistake::new(tree.span.clone(), what));
    }

    fn fail<T>(&mut self, tree: &Tree, what: What) -> Option<T> {
        self.note(tree, what);
        None
    }

    /// A yes/no part whose own parts are explained one by one.
    fn condition(&mut self, tree: &Tree, guards: Guards) -> Option<(Test, Outline)> {
        self.takes(1);
        if let Form::All(parts) = &tree.form {
            let (tests, outlines) = self.chain(parts, guards, true)?;
            return Some((Test::All(tests.into()), Outline::All(outlines)));
        }
        if let Form::Any(parts) = &tree.form {
            let (tests, outlines) = self.chain(parts, guards, false)?;
            return Some((Test::Any(tests.into()), Outline::Any(outlines)));
        }
        if let Form::Not(part) = &tree.form {
            let (test, outline) = self.condition(part, guards)?;
            return Some((Test::Not(Box::new(test)), Outline::Not(Box::new(outline))));
        }
        if let Form::If(parts) = &tree.form {
            let [test, yes, no] = &**parts;
            let compiled = self.condition(test, guards);
            let yes = self.condition(yes, guards.and(shows(test, true)));
            let no = self.condition(no, guards.and(shows(test, false)));
            let ((test, of), (yes, of_yes), (no, of_no)) = (compiled?, yes?, no?);
            let outline = Outline::If(Box::new([of, of_yes, of_no]));
            return Some((Test::If(Box::new([test, yes, no])), outline));
        }
        let test = self.test(tree, guards, What::NoCondition)?;
        match Bounds::default().narrow(&test) {
            Ok(true) => Some((test, Outline::Part(tree.span.clone()))),
            Ok(false) => self.fail(tree, What::Always),
            Err(_) => self.fail(tree, What::Never),
        }
    }

    /// The parts of `&&` (where `outcome`) or `||`: each is evaluated where those before came to `outcome`.
    fn chain(
        &mut self,
        parts: &[Tree],
        mut guards: Guards,
        outcome: bool,
    ) -> Option<(Vec<Test>, Vec<Outline>)> {
        let mut bounds = Bounds::default();
        let (mut tests, mut outlines) = (Vec::new(), Vec::new());
        for part in parts {
            let compiled = self.condition(part, guards);
            guards = guards.and(shows(part, outcome));
            let Some((test, outline)) = compiled else { continue };
            if tests.contains(&test) {
                self.note(part, What::Again(Bounds::about(&test)));
            } else if outcome {
                match bounds.narrow(&test) {
                    Ok(true) => (),
                    Ok(false) => self.note(part, What::Again(Bounds::about(&test))),
                    Err(attribute) => self.note(part, What::Contradicts(attribute)),
                }
            }
            tests.push(test);
            outlines.push(outline);
        }
        (tests.len() == parts.len()).then_some((tests, outlines))
    }

    /// A yes/no part that is explained whole.
    fn test(&mut self, tree: &Tree, guards: Guards, else_: fn(Sort) -> What) -> Option<Test> {
        match self.typed(tree, guards)? {
            Typed::Test(test) => Some(test),
            other => self.fail(tree, else_(other.sort())),
        }
    }

    fn number(&mut self, tree: &Tree, guards: Guards) -> Option<Number> {
        match self.typed(tree, guards)? {
            Typed::Number(number) => Some(number),
            other => self.fail(tree, What::Wrong(Sort::Number, other.sort())),
        }
    }

    fn text(&mut self, tree: &Tree, guards: Guards) -> Option<Text> {
        match self.typed(tree, guards)? {
            Typed::Text(text) => Some(text),
            other => self.fail(tree, What::Wrong(Sort::Text, other.sort())),
        }
    }

    fn typed(&mut self, tree: &Tree, guards: Guards) -> Option<Typed> {
        self.takes(1);
        match &tree.form {
            Form::Flag(flag) => Some(Typed::Test(Test::Always(*flag))),
            Form::Number(number) => Some(Typed::Number(Number::Fixed(*number))),
            Form::Text(text) => Some(Typed::Text(Text::Fixed(text.as_str().into()))),
            Form::Name(name) => self.attribute(tree, name, guards),
            Form::Has(of) => self.has(of).map(Typed::Test),
            Form::Not(part) => {
                let test = self.test(part, guards, |got| What::Wrong(Sort::Flag, got))?;
                Some(Typed::Test(Test::Not(Box::new(test))))
            }
            // Within another part: explained with it.
            Form::All(_) | Form::Any(_) => {
                self.condition(tree, guards).map(|(test, _)| Typed::Test(test))
            }
            Form::If(parts) => self.either(tree, parts, guards),
            Form::Compare(order, pair) => {
                let [left, right] = self.pair(pair, guards);
                let (left, right) = self.alike(pair, left?, right?)?;
                match (left, right) {
                    (Typed::Number(left), Typed::Number(right)) => {
                        Some(Typed::Test(Test::Compare(*order, left, right)))
                    }
                    (left, _) => self.fail(tree, What::NoOrder(left.sort())),
                }
            }
            Form::Equal(pair) => self.equal(pair, guards).map(Typed::Test),
            Form::Differ(pair) => {
                let equal = self.equal(pair, guards)?;
                Some(Typed::Test(Test::Not(Box::new(equal))))
            }
            Form::In(pair) => self.within(tree, pair, guards).map(Typed::Test),
            Form::Sum(sum, pair) => {
                let [left, right] = &**pair;
                let (left, right) = (self.number(left, guards), self.number(right, guards));
                Some(Typed::Number(Number::Sum(*sum, Box::new([left?, right?]))))
            }
            Form::Negate(part) => {
                let number = self.number(part, guards)?;
                let pair = Box::new([Number::Fixed(0), number]);
                Some(Typed::Number(Number::Sum(syntax::Sum::Minus, pair)))
            }
            Form::List(_) => self.fail(tree, What::LooseList),
            Form::Call(name, on, args) => {
                self.call(tree, (name.as_str(), on.as_deref(), args.as_slice()), guards)
            }
            Form::Strange(what) => {
                let digits = what.starts_with(|first: char| first.is_ascii_digit() || first == '-');
                let what = what.clone();
                self.fail(tree, if digits { What::NotWhole(what) } else { What::Strange(what) })
            }
        }
    }

    fn attribute(&mut self, tree: &Tree, name: &str, guards: Guards) -> Option<Typed> {
        let Some(attribute) = Attribute::from_name(name) else {
            let half = Attribute::ALL.iter().any(|it| it.name().split('.').next() == Some(name));
            let name = name.to_owned();
            return self.fail(tree, if half { What::Half(name) } else { What::Unknown(name) });
        };
        let about = attribute.about();
        self.takes(about.cost);
        let typed = match about.kind {
            Kind::Print => return self.fail(tree, What::OnlyListed(attribute)),
            Kind::Text(_) => Typed::Text(Text::Of(attribute)),
            Kind::Number(..) => Typed::Number(Number::Of(attribute)),
            Kind::Flag => Typed::Test(Test::Flag(attribute)),
        };
        self.guarded(tree, attribute, guards)?;
        Some(typed)
    }

    fn guarded(&mut self, tree: &Tree, attribute: Attribute, guards: Guards) -> Option<()> {
        if attribute.about().nullable && !guards.holds(attribute) {
            return self.fail(tree, What::Unguarded(attribute));
        }
        Some(())
    }

    fn has(&mut self, of: &Tree) -> Option<Test> {
        let Form::Name(name) = &of.form else { return self.fail(of, What::HasOf) };
        match Attribute::from_name(name) {
            Some(attribute) if attribute.about().nullable => {
                self.takes(attribute.about().cost);
                Some(Test::Has(attribute))
            }
            Some(attribute) => self.fail(of, What::AlwaysThere(attribute)),
            None => self.fail(of, What::Unknown(name.clone())),
        }
    }

    fn either(&mut self, tree: &Tree, parts: &[Tree; 3], guards: Guards) -> Option<Typed> {
        let [test, yes, no] = parts;
        let compiled = self.test(test, guards, |got| What::Wrong(Sort::Flag, got));
        let one = self.typed(yes, guards.and(shows(test, true)));
        let other = self.typed(no, guards.and(shows(test, false)));
        match (compiled?, one?, other?) {
            (test, Typed::Test(yes), Typed::Test(no)) => {
                Some(Typed::Test(Test::If(Box::new([test, yes, no]))))
            }
            (test, Typed::Number(yes), Typed::Number(no)) => {
                Some(Typed::Number(Number::If(Box::new((test, yes, no)))))
            }
            (test, Typed::Text(yes), Typed::Text(no)) => {
                Some(Typed::Text(Text::If(Box::new((test, yes, no)))))
            }
            (_, yes, no) => self.fail(tree, What::Differ(yes.sort(), no.sort())),
        }
    }

    /// Both sides of a comparison. A bare word beside a text is a text without its quotes.
    fn pair(&mut self, pair: &[Tree; 2], guards: Guards) -> [Option<Typed>; 2] {
        let [left, right] = pair;
        let bare = |one: &Tree, other: &Tree| match (&one.form, &other.form) {
            (Form::Name(name), Form::Name(of)) if !name.contains('.') => {
                let about = Attribute::from_name(of)?.about();
                let text = matches!(about.kind, Kind::Text(_));
                (text && Attribute::from_name(name).is_none()).then(|| name.clone())
            }
            _ => None,
        };
        if let Some(name) = bare(right, left) {
            return [self.typed(left, guards), self.fail(right, What::Unquoted(name))];
        }
        if let Some(name) = bare(left, right) {
            return [self.fail(left, What::Unquoted(name)), self.typed(right, guards)];
        }
        [self.typed(left, guards), self.typed(right, guards)]
    }

    /// Both sides where they are of one sort.
    fn alike(&mut self, pair: &[Tree; 2], left: Typed, right: Typed) -> Option<(Typed, Typed)> {
        let (sorts, [left_tree, right_tree]) = ((left.sort(), right.sort()), pair);
        if sorts.0 == sorts.1 {
            return Some((left, right));
        }
        for (tree, other) in [(left_tree, sorts.1), (right_tree, sorts.0)] {
            if let Form::Text(text) = &tree.form
                && other == Sort::Number
                && text.parse::<i64>().is_ok()
            {
                return self.fail(tree, What::Quoted(text.clone()));
            }
        }
        self.fail(right_tree, What::Differ(sorts.0, sorts.1))
    }

    fn equal(&mut self, pair: &[Tree; 2], guards: Guards) -> Option<Test> {
        let [left, right] = self.pair(pair, guards);
        let (left, right) = self.alike(pair, left?, right?)?;
        let [left_tree, right_tree] = pair;
        Some(match (left, right) {
            (Typed::Number(left), Typed::Number(right)) => Test::Equal(left, right),
            (Typed::Test(left), Typed::Test(right)) => Test::Same(Box::new([left, right])),
            (Typed::Text(left), Typed::Text(right)) => {
                self.word(&left, &right, right_tree)?;
                self.word(&right, &left, left_tree)?;
                Test::Is(left, right)
            }
            (Typed::Number(_) | Typed::Test(_) | Typed::Text(_), _) => return None,
        })
    }

    /// A text that an attribute is compared with must be one that it can be.
    fn word(&mut self, of: &Text, text: &Text, place: &Tree) -> Option<()> {
        let (Text::Of(attribute), Text::Fixed(word)) = (of, text) else { return Some(()) };
        let known = match attribute {
            Attribute::Channel => &self.names.channels,
            Attribute::Provider => &self.names.providers,
            Attribute::BankName => &self.names.banks,
            _ => {
                let Kind::Text(words) = attribute.about().kind else { return Some(()) };
                return if words.is_empty() || words.contains(&&**word) {
                    Some(())
                } else {
                    self.fail(place, What::NoSuchWord(*attribute, word.to_string()))
                };
            }
        };
        // Where no bank is said there is none, and a rule that names one would never fire.
        let is_any = known.is_empty() && *attribute != Attribute::BankName;
        if is_any || known.iter().any(|one| **one == **word) {
            return Some(());
        }
        let known = known.clone();
        self.fail(place, What::NotConfigured(*attribute, word.to_string(), known))
    }
}
