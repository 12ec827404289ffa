//! Decisions: facts and policy in, a decision out. Pure and total; the only place where a [`Permit`] is made.
#![deny(clippy::wildcard_enum_match_arm)]

pub mod facts;
pub mod hindsight;
pub mod package;
pub mod reason;
pub mod rules;

use crate::domain::answer::Answer;
use crate::domain::chance::Share;
use crate::domain::element::{Element, ElementSet};
use crate::domain::id::MerchantId;
use crate::domain::payment::{Mode, Scenario, Standing};
pub use facts::{Basis, Facts, Verification};
pub use package::{Package, Wants};
pub use reason::Reason;
use rules::{Action, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The right to forward one message. It cannot be copied, and only [`decide`] makes one.
#[derive(Debug)]
pub struct Permit(());

/// What a rule does to a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Forward.
    Permit,
    /// Forward, and tell the core why one might not.
    Annotate,
    /// Do not forward.
    Refuse,
}

impl Effect {
    /// The word used in configuration, headers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Annotate => "annotate",
            Self::Refuse => "refuse",
        }
    }

    /// Reads the configuration word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Permit, Self::Annotate, Self::Refuse]
            .into_iter()
            .find(|effect| effect.as_str() == word)
    }
}

/// What is done with one message, and why.
#[derive(Debug)]
pub struct Decision {
    permit: Option<Permit>,
    effect: Effect,
    reasons: Vec<Reason>,
    /// Whether enforce would refuse it: not known, and so not said, where nobody was asked in observe.
    refusable: bool,
}

impl Decision {
    /// What is done.
    pub const fn effect(&self) -> Effect {
        self.effect
    }

    /// Why, in order of precedence; empty for a plain permit.
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// The permit, or the reasons for which there is none.
    ///
    /// # Errors
    /// The reasons of a refusal.
    pub fn into_permit(self) -> Result<Permit, Vec<Reason>> {
        self.permit.ok_or(self.reasons)
    }
}

/// What is done with a batch, and with each of its rows.
#[derive(Debug)]
pub struct BatchDecision {
    /// The right to forward the whole, where there is one.
    pub permit: Option<Permit>,
    /// What is done with each row, and why, in the order given.
    pub rows: Vec<(Effect, Vec<Reason>)>,
}

/// What admission found against a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: its orders are claimed, and it is durable that it may leave.
    Nothing,
    /// A money message of one of its orders may have left before.
    AlreadySent,
    /// A tuple or agreement is held.
    Held,
    /// The store cannot be written.
    StoreLost,
}

/// What policy asks of one scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioPolicy {
    /// The elements without which a message cannot be verified.
    pub required: ElementSet,
    /// What is done where the message carries fewer.
    pub missing: Effect,
    /// `close_match`.
    pub close_match: Effect,
    /// `no_match`.
    pub no_match: Effect,
    /// `no_record`.
    pub no_record: Effect,
    /// `not_possible`, also where no provider can answer for this card.
    pub not_possible: Effect,
    /// `limited`.
    pub limited: Effect,
    /// `invalid`.
    pub invalid: Effect,
    /// `unavailable`: nobody could be asked, or nobody answered in time.
    pub unavailable: Effect,
    /// The channel's elements are sealed, and nothing was told beside the message.
    pub sealed: Effect,
    /// Whether what yields an agreement must be confirmed by SMS in a later step, of which the first was permitted here.
    pub confirmed_by_sms: bool,
    /// How long such a payment waits for all providers together, where that is its own.
    pub deadline: Option<Duration>,
}

/// What policy asks of agreements that debits quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreementPolicy {
    /// One that Hefu never saw.
    pub unknown: Effect,
    /// One whose elements an outcome contradicted.
    pub contradicted: Effect,
    /// One that was unbound, superseded, or declared invalid.
    pub closed: Effect,
}

/// The risk team's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// By scenario; one that is absent is judged by [`ScenarioPolicy::default`].
    pub scenarios: BTreeMap<Scenario, ScenarioPolicy>,
    /// Debits by agreement.
    pub agreements: AgreementPolicy,
    /// What is done with a batch of which a row is refused: the whole is refused, or it leaves with the rows annotated.
    pub refused_rows: Effect,
    /// What is required of some payments: the first that takes one counts.
    pub packages: Vec<Package>,
    /// Where a phone may be settled by combination: nowhere by default.
    pub combination: Vec<Combination>,
    /// The reasons that a rule may lift: such a payment leaves, annotated. None by default, so that no rule forwards what was
    /// not verified.
    pub rules_lift: BTreeSet<Reason>,
    /// Which share of what verification alone refuses leaves all the same, so that refusals can be seen to be right.
    pub holdout: Share,
}

/// Merchants for whom, and scenarios in which, a phone may be settled by combination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combination {
    /// The merchants.
    pub merchants: Vec<MerchantId>,
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
}

impl Default for ScenarioPolicy {
    fn default() -> Self {
        Self {
            required: [Element::Name, Element::IdNumber, Element::Pan].into_iter().collect(),
            missing: Effect::Refuse,
            close_match: Effect::Annotate,
            no_match: Effect::Refuse,
            no_record: Effect::Refuse,
            not_possible: Effect::Annotate,
            limited: Effect::Refuse,
            invalid: Effect::Refuse,
            unavailable: Effect::Refuse,
            sealed: Effect::Annotate,
            confirmed_by_sms: false,
            deadline: None,
        }
    }
}

impl Default for AgreementPolicy {
    fn default() -> Self {
        Self { unknown: Effect::Annotate, contradicted: Effect::Refuse, closed: Effect::Refuse }
    }
}

impl ScenarioPolicy {
    /// The defaults for `scenario`: money coming in may lack elements, money going out needs no document.
    pub fn for_scenario(scenario: Scenario) -> Self {
        let name_and_pan = ElementSet::EMPTY.with(Element::Name).with(Element::Pan);
        match scenario {
            Scenario::Debit | Scenario::Pay => {
                Self { missing: Effect::Annotate, ..Self::default() }
            }
            Scenario::Withdraw | Scenario::Payout => {
                Self { required: name_and_pan, ..Self::default() }
            }
            Scenario::Bind
            | Scenario::Verify
            | Scenario::Sms
            | Scenario::Unbind
            | Scenario::Refund
            | Scenario::Void
            | Scenario::Query
            | Scenario::Notify
            | Scenario::Other => Self::default(),
        }
    }

    const fn on_answer(&self, answer: Answer) -> Effect {
        match answer {
            Answer::Match => Effect::Permit,
            Answer::CloseMatch => self.close_match,
            Answer::NoMatch(_) => self.no_match,
            Answer::NoRecord => self.no_record,
            Answer::NotPossible => self.not_possible,
            Answer::Limited => self.limited,
            Answer::Invalid => self.invalid,
            Answer::Unavailable => self.unavailable,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        let judged = Scenario::ALL.into_iter().filter(|scenario| scenario.is_verified());
        Self {
            scenarios: judged
                .map(|scenario| (scenario, ScenarioPolicy::for_scenario(scenario)))
                .collect(),
            agreements: AgreementPolicy::default(),
            refused_rows: Effect::Refuse,
            packages: Vec::new(),
            combination: Vec::new(),
            rules_lift: BTreeSet::new(),
            holdout: Share::NONE,
        }
    }
}

/// The elements that a verification of a message asks about: all of the usual four that it carries.
///
/// `None` where those do not hold what policy requires.
pub fn set_to_verify(policy: &Policy, wants: Wants<'_>, carried: ElementSet) -> Option<ElementSet> {
    const USUAL: ElementSet = ElementSet::EMPTY
        .with(Element::Name)
        .with(Element::IdNumber)
        .with(Element::Pan)
        .with(Element::Phone);
    let set = carried.intersection(USUAL);
    let package = policy.packages.iter().find(|package| package.takes(wants));
    let own = policy.scenarios.get(&wants.scenario);
    let required = package.map(|package| package.required);
    let required = required.or(own.map(|settings| settings.required)).unwrap_or(USUAL);
    set.is_superset(required).then_some(set)
}

/// Whether a phone may be settled by combination: for a merchant who is named, in that scenario.
pub fn combines(policy: &Policy, scenario: Scenario, merchant: Option<&MerchantId>) -> bool {
    let Some(merchant) = merchant else { return false };
    policy
        .combination
        .iter()
        .any(|one| one.merchants.contains(merchant) && one.scenarios.contains(&scenario))
}

/// Whether what yields an agreement in `scenario` must be confirmed by SMS in a later step.
pub fn confirms_by_sms(policy: &Policy, scenario: Scenario) -> bool {
    policy.scenarios.get(&scenario).is_some_and(|settings| settings.confirmed_by_sms)
}

/// Decides, where there are no rules. `observe` turns every refusal into an annotation with the same reasons.
pub fn decide(policy: &Policy, facts: &Facts) -> Decision {
    decide_by(policy, facts, None)
}

/// Decides, with what the risk team's rules say of the message.
pub fn decide_by(policy: &Policy, facts: &Facts, verdict: Option<&Verdict>) -> Decision {
    let (mut effect, mut reasons) = judge(policy, facts.scenario, facts.basis);
    // Of what verification alone refuses; rules and holds have the last word.
    if facts.spared && effect == Effect::Refuse && is_held_out(facts) {
        effect = Effect::Annotate;
        reasons.insert(0, Reason::Holdout);
    }
    if let Some(verdict) = verdict.filter(|_| facts.basis.is_ruled()) {
        effect = rule(policy, facts, verdict, (effect, &mut reasons));
    }
    if facts.held && facts.scenario.stops_at_hold() {
        effect = Effect::Refuse;
        reasons.insert(0, Reason::Held);
    }
    if facts.asserted {
        effect = effect.max(Effect::Annotate);
        reasons.push(Reason::Asserted);
    }
    let mut refusable = effect == Effect::Refuse;
    if facts.mode == Mode::Observe {
        refusable = refusable && reasons.first() != Some(&Reason::NotAsked);
        effect = effect.min(Effect::Annotate);
    }
    let permit = (effect != Effect::Refuse).then_some(Permit(()));
    Decision { permit, effect, reasons, refusable }
}

/// What rules make of a decision: first what one lifts, then what others close.
fn rule(
    policy: &Policy,
    facts: &Facts,
    verdict: &Verdict,
    (mut effect, reasons): (Effect, &mut Vec<Reason>),
) -> Effect {
    let binds = |action| verdict.binding(action).is_some();
    let liftable = reasons.iter().all(|reason| policy.rules_lift.contains(reason));
    if effect == Effect::Refuse && binds(Action::Permit) && liftable {
        effect = Effect::Annotate;
        reasons.push(Reason::Lifted);
    }
    if binds(Action::Annotate) {
        effect = effect.max(Effect::Annotate);
        reasons.push(Reason::Rule);
    }
    if binds(Action::RequireVerification) && !facts.basis.is_verified() {
        effect = Effect::Refuse;
        reasons.insert(0, Reason::VerificationRequired);
    }
    if binds(Action::Refuse) {
        effect = Effect::Refuse;
        reasons.retain(|reason| *reason != Reason::Rule);
        reasons.insert(0, Reason::Rule);
    }
    effect
}

/// Decides on a batch whose rows were decided one by one: one message has one permit.
///
/// Where a row is refused, the whole is, and its other rows for that reason; or, as policy says, refused rows leave annotated. `observe`
/// marks the other rows all the same.
pub fn decide_batch(policy: &Policy, rows: Vec<Decision>) -> BatchDecision {
    let whole = policy.refused_rows == Effect::Refuse;
    let marked = whole && rows.iter().any(|row| row.refusable);
    let refused = whole && rows.iter().any(|row| row.effect == Effect::Refuse);
    let rows = rows.into_iter().map(|Decision { mut effect, mut reasons, refusable, .. }| {
        if marked && !refusable {
            effect = effect.max(Effect::Annotate);
            reasons.insert(0, Reason::BatchRefused);
        }
        (if refused { Effect::Refuse } else { effect.min(Effect::Annotate) }, reasons)
    });
    BatchDecision { rows: rows.collect(), permit: (!refused).then_some(Permit(())) }
}

/// The last word on a message, with what admission found. Yields the permit, and why it might have been withheld.
///
/// # Errors
/// The reason for which the permit is withdrawn: in `enforce`, and for what policy judges; nothing else waits for a store.
pub fn admit(
    permit: Permit,
    mode: Mode,
    scenario: Scenario,
    found: Found,
) -> Result<(Permit, Option<Reason>), Reason> {
    let reason = match found {
        Found::Nothing => return Ok((permit, None)),
        Found::AlreadySent => Reason::AlreadySent,
        Found::Held => Reason::Held,
        Found::StoreLost => Reason::StoreLost,
    };
    match mode {
        Mode::Enforce if scenario.is_verified() => Err(reason),
        Mode::Enforce | Mode::Observe => Ok((permit, Some(reason))),
    }
}

/// The last word on a message that balance is to fund, where that has `reason` against it. Yields the permit, and why it might have been
/// withheld.
///
/// # Errors
/// The reason for which the permit is withdrawn: in `enforce`, where `effect` says so; what nobody can count now leaves neither.
pub fn fund(
    permit: Permit,
    mode: Mode,
    reason: Reason,
    effect: Effect,
) -> Result<(Permit, Reason), Reason> {
    let refuses = effect == Effect::Refuse || reason == Reason::StoreLost;
    match mode {
        Mode::Enforce if refuses => Err(reason),
        Mode::Enforce | Mode::Observe => Ok((permit, reason)),
    }
}

/// Whether a holdout may let it leave: what a provider said of the elements is all that is against it, and would be obeyed.
const fn is_held_out(facts: &Facts) -> bool {
    matches!(facts.mode, Mode::Enforce)
        && matches!(
            facts.basis,
            Basis::Verified(Verification::Answered(Answer::NoMatch(_) | Answer::NoRecord))
        )
}

/// The one of two bases by which more is done against a message; the first where both do the same.
pub fn stricter(policy: &Policy, scenario: Scenario, one: Basis, other: Basis) -> Basis {
    let effect = |basis| judge(policy, scenario, basis).0;
    if effect(other) > effect(one) { other } else { one }
}

fn judge(policy: &Policy, scenario: Scenario, basis: Basis) -> (Effect, Vec<Reason>) {
    let fallback = ScenarioPolicy::for_scenario(scenario);
    let settings = policy.scenarios.get(&scenario).unwrap_or(&fallback);
    let (effect, reason) = match basis {
        Basis::Passing
        | Basis::ConfirmsPermitted
        | Basis::Verified(Verification::Answered(Answer::Match))
        | Basis::Agreement(Standing::Good) => return (Effect::Permit, Vec::new()),
        Basis::Unlisted => (Effect::Refuse, Reason::Unlisted),
        Basis::Ambiguous => (Effect::Refuse, Reason::Ambiguous),
        Basis::Unreadable => (Effect::Refuse, Reason::Unreadable),
        Basis::Sealed => (settings.sealed, Reason::Sealed),
        Basis::Incomplete => (settings.missing, Reason::ElementsMissing),
        Basis::Unconfirmed => (Effect::Refuse, Reason::Unconfirmed),
        Basis::ConfirmsUnseen if settings.confirmed_by_sms => {
            (Effect::Refuse, Reason::FirstStepUnseen)
        }
        Basis::ConfirmsUnseen => (Effect::Annotate, Reason::FirstStepUnseen),
        Basis::Verified(Verification::Answered(answer)) => {
            (settings.on_answer(answer), Reason::from_answer(answer))
        }
        Basis::Verified(Verification::NotAsked) => (settings.unavailable, Reason::NotAsked),
        Basis::Verified(Verification::Combined) => (Effect::Permit, Reason::Combined),
        Basis::Verified(Verification::AttemptsSpent) => (settings.limited, Reason::AttemptsSpent),
        Basis::Verified(Verification::SpendCapped) => (settings.unavailable, Reason::SpendCapped),
        Basis::Verified(Verification::NobodyCan) => (settings.not_possible, Reason::NobodyCan),
        Basis::Agreement(Standing::Unknown) => {
            (policy.agreements.unknown, Reason::AgreementUnknown)
        }
        Basis::Agreement(Standing::Contradicted) => {
            (policy.agreements.contradicted, Reason::AgreementContradicted)
        }
        Basis::Agreement(Standing::Closed) => (policy.agreements.closed, Reason::AgreementClosed),
    };
    (effect, vec![reason])
}

#[cfg(test)]
mod tests;
