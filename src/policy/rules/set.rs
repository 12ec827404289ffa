//! A set of rules: checked as a whole, evaluated as a whole.

use super::compile::{self, Names};
use super::explain::{See, sees};
use super::given::{Given, Input};
use super::mistake::Mistake;
use super::parts::{Parts, Places};
use super::{Action, Attribute, Fault, OnError, Rule, RuleId, Schedule, State};
use crate::domain::clock::Timestamp;
use crate::policy::Reason;

/// The most rules of one set: each costs time on every payment.
pub(super) const RULES_MAX: usize = 1_000;
/// The most inputs of one set: each is looked up for every payment.
pub(super) const INPUTS_MAX: usize = 128;

/// A rule before it is compiled.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its name.
    pub id: RuleId,
    /// What people call it.
    pub name: Box<str>,
    /// What it does.
    pub action: Action,
    /// How far it is.
    pub state: State,
    /// The reason that a core is told.
    pub reason: Box<str>,
    /// Who answers for it.
    pub owner: Box<str>,
    /// When it applies.
    pub schedule: Option<Schedule>,
    /// From when on it applies no more.
    pub expires: Option<Timestamp>,
    /// What it does that cannot be evaluated.
    pub on_error: OnError,
    /// Its condition.
    pub source: Box<str>,
    /// Whether it is only tried, beside one that may say the same.
    pub trial: bool,
}

/// A mistake of a set: which rule, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// The rule's place in the set.
    pub rule: usize,
    /// What is wrong.
    pub flaw: Flaw,
}

/// What is wrong with a rule in its set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// In its condition.
    Condition(Mistake),
    /// Another rule has its name.
    SameId,
    /// Another rule of the same action has the same condition.
    SameAs(RuleId),
    /// There are too many rules.
    TooManyRules,
    /// The set needs too much to be looked up.
    TooManyInputs,
}

/// A set of rules.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_field_names, reason = "a set of rules has rules")]
pub struct Rules {
    rules: Vec<Rule>,
    inputs: Vec<Input>,
    /// The attributes that any rule reads: a bit each.
    read: u32,
    parts: Parts,
    /// What it is called where it is recorded: made of its text.
    pub version: std::sync::Arc<str>,
    /// The version that is only tried in it, where one is.
    pub trial: Option<u64>,
}

/// A rule that holds for a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its place in the set.
    pub rule: usize,
    /// What it does.
    pub action: Action,
    /// Whether it binds; a shadow does not.
    pub binds: bool,
}

/// What a set says of one payment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The rules that hold, in the order of the set.
    pub hits: Vec<Hit>,
    /// Those that could not be evaluated.
    pub faults: Vec<(usize, Fault)>,
}

impl Verdict {
    /// The first rule that binds with `action`; which one is said of many has no further meaning.
    pub fn binding(&self, action: Action) -> Option<usize> {
        self.hits.iter().find(|hit| hit.binds && hit.action == action).map(|hit| hit.rule)
    }

    /// The rule that stands behind a decision for `reasons`, where one does.
    pub fn behind(&self, reasons: &[Reason]) -> Option<usize> {
        let by = |reason, action| reasons.contains(&reason).then(|| self.binding(action)).flatten();
        by(Reason::Rule, Action::Refuse)
            .or_else(|| by(Reason::VerificationRequired, Action::RequireVerification))
            .or_else(|| by(Reason::Rule, Action::Annotate))
            .or_else(|| by(Reason::Lifted, Action::Permit))
    }
}

impl Rules {
    /// Checks and compiles a set.
    ///
    /// # Errors
    /// Every mistake of every rule.
    pub fn compile(drafts: Vec<Draft>, names: &Names, version: &str) -> Result<Self, Vec<Defect>> {
        let mut set = Self { version: version.into(), ..Self::default() };

        let mut places = Places::default();
        let mut defects = Vec::new();
        for (rule, draft) in drafts.into_iter().enumerate() {
            let mut found = |flaw| defects.push(Defect { rule, flaw });
            if rule >= RULES_MAX {
                found(Flaw::TooManyRules);
                break;
            }
            if set.rules.iter().any(|other| other.id == draft.id) {
                found(Flaw::SameId);
            }
            match compile::compile(&draft.source, names, &mut set.inputs) {
                Ok(condition) => {
                    let shape = set.parts.shape(&mut places, &condition.test);
                    sees(&condition.test, &mut |see| match see {
                        See::Attribute(attribute) => set.read |= 1 << attribute.slot(),
                        See::Input(_) => (),
                    });
                    let same = set.rules.iter().find(|other| {
                        other.action == draft.action
                            && other.shape == shape
                            && other.schedule == draft.schedule
                            && other.state != State::Retired
                    });
                    if let Some(same) =
                        same.filter(|_| draft.state != State::Retired && !draft.trial)
                    {
                        found(Flaw::SameAs(same.id.clone()));
                    }
                    let Draft { id, name, action, state, reason, owner, .. } = draft;
                    set.rules.push(Rule {
                        id,
                        name,
                        action,
                        state,
                        reason,
                        owner,
                        schedule: draft.schedule,
                        expires: draft.expires,
                        on_error: draft.on_error,
                        source: draft.source,
                        asleep: None,
                        condition,
                        shape,
                    });
                }
                Err(mistakes) => mistakes.into_iter().map(Flaw::Condition).for_each(found),
            }
            if set.inputs.len() > INPUTS_MAX {
                defects.push(Defect { rule, flaw: Flaw::TooManyInputs });
                break;
            }
        }
        if defects.is_empty() { Ok(set) } else { Err(defects) }
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule at `place`.
    pub fn get(&self, place: usize) -> Option<&Rule> {
        self.rules.get(place)
    }

    /// What must be looked up before it is evaluated, in the order in which it is given.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Has a rule bind nothing until then; says whether there is such a rule.
    pub fn sleep(&mut self, id: &RuleId, until: Timestamp) -> bool {
        let rule = self.rules.iter_mut().find(|rule| rule.id == *id);
        rule.map(|rule| rule.asleep = Some(until)).is_some()
    }

    /// Whether a rule reads `attribute`, but for looking it up in a list.
    pub const fn reads(&self, attribute: Attribute) -> bool {
        self.read & 1 << attribute.slot() != 0
    }

    /// Whether nothing of it is ever evaluated.
    pub fn is_idle(&self) -> bool {
        !self.rules.iter().any(|rule| rule.state.is_evaluated())
    }

    /// Evaluates every rule that is not retired as if it were live, and whether it is over or not: for a backtest.
    pub fn try_all(&self, given: &Given<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        let mut look = self.parts.look(given);
        for (rule, it) in self.rules.iter().enumerate() {
            let on = it.schedule.is_none_or(|schedule| schedule.is_on(given));
            if it.state == State::Retired || !on {
                continue;
            }
            match look.holds(&it.shape) {
                Ok(true) => verdict.hits.push(Hit { rule, action: it.action, binds: true }),
                Ok(false) => (),
                Err(fault) => verdict.faults.push((rule, fault)),
            }
        }
        verdict
    }

    /// Evaluates every rule, whatever the others say. `draw` is the order's: every message of an order fares alike.
    pub fn judge(&self, given: &Given<'_>, draw: u64) -> Verdict {
        let mut verdict = Verdict::default();
        let mut look = self.parts.look(given);
        for (rule, it) in self.rules.iter().enumerate() {
            if !it.state.is_evaluated() || !it.applies(given) {
                continue;
            }
            let hit = match look.holds(&it.shape) {
                Ok(hit) => hit,
                Err(fault) => {
                    verdict.faults.push((rule, fault));
                    it.on_error == OnError::Apply
                }
            };
            if hit {
                let binds = it.binds(draw) && it.asleep.is_none_or(|until| until <= given.at);
                verdict.hits.push(Hit { rule, action: it.action, binds });
            }
        }
        verdict
    }
}

impl Rule {
    /// Whether it binds for an order.
    fn binds(&self, draw: u64) -> bool {
        match self.state {
            State::Live => true,
            State::Canary(percent) => {
                // Each rule chooses other orders, so that canaries can be told apart.
                let mix =
                    |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                let mixed = self.id.as_str().bytes().fold(draw ^ 0xcbf2_9ce4_8422_2325, mix);
                (mixed >> 32) % 100 < u64::from(percent)
            }
            State::Draft | State::Shadow | State::Retired => false,
        }
    }
}
