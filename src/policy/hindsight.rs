//! Hindsight: whether what was decided in `observe` would have been a refusal, by the reasons that were kept.

use super::{Effect, Policy, Reason, ScenarioPolicy};
use crate::domain::answer::Answer;
use crate::domain::payment::Scenario;

/// What `enforce` would have done with a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Would {
    /// It would have left.
    Leave,
    /// It would have been refused.
    Refuse,
    /// Nobody knows: it would have asked, and nobody was asked.
    Ask,
}

/// What `enforce` would have done with a payment of `scenario` that was marked for `reasons`. `answer` is what was known of its
/// elements, or was said when somebody was asked afterwards; `refused_by_rule` is whether a rule behind the decision refuses.
pub fn would(
    policy: &Policy,
    scenario: Scenario,
    reasons: &[Reason],
    answer: Option<Answer>,
    refused_by_rule: bool,
) -> Would {
    let fallback = ScenarioPolicy::for_scenario(scenario);
    let settings = policy.scenarios.get(&scenario).unwrap_or(&fallback);
    let lifted = reasons.contains(&Reason::Lifted);
    let all = reasons.iter().map(|&reason| {
        if reason == Reason::Rule {
            effect(if refused_by_rule { Effect::Refuse } else { Effect::Annotate })
        } else if lifted && is_policys(reason) {
            // What a rule lifts is what policy says, and nothing else.
            Would::Leave
        } else if reason == Reason::NotAsked {
            answer.map_or(Would::Ask, |answer| effect(settings.on_answer(answer)))
        } else {
            effect(of(policy, settings, reason))
        }
    });
    let all: Vec<_> = all.collect();
    // One refusal is enough, whatever would have been asked.
    [Would::Refuse, Would::Ask]
        .into_iter()
        .find(|would| all.contains(would))
        .unwrap_or(Would::Leave)
}

const fn effect(effect: Effect) -> Would {
    match effect {
        Effect::Permit | Effect::Annotate => Would::Leave,
        Effect::Refuse => Would::Refuse,
    }
}

/// Whether it is policy's own word, which a rule may lift.
const fn is_policys(reason: Reason) -> bool {
    match reason {
        Reason::Held
        | Reason::Rule
        | Reason::VerificationRequired
        | Reason::BatchRefused
        | Reason::AccountUnknown
        | Reason::AccountLimit
        | Reason::AlreadySent
        | Reason::StoreLost => false,
        Reason::Holdout
        | Reason::Ambiguous
        | Reason::Unreadable
        | Reason::Unlisted
        | Reason::Sealed
        | Reason::ElementsMissing
        | Reason::NoMatch
        | Reason::CloseMatch
        | Reason::NoRecord
        | Reason::NotPossible
        | Reason::Limited
        | Reason::AttemptsSpent
        | Reason::Invalid
        | Reason::Unavailable
        | Reason::SpendCapped
        | Reason::NotAsked
        | Reason::NobodyCan
        | Reason::AgreementUnknown
        | Reason::AgreementContradicted
        | Reason::AgreementClosed
        | Reason::FirstStepUnseen
        | Reason::Unconfirmed
        | Reason::Combined
        | Reason::Asserted
        | Reason::Lifted => true,
    }
}

/// What policy does for one reason.
const fn of(policy: &Policy, settings: &ScenarioPolicy, reason: Reason) -> Effect {
    match reason {
        Reason::FirstStepUnseen if settings.confirmed_by_sms => Effect::Refuse,
        // What a holdout spares would be refused, were it not for chance: what became of it says whether that would be right.
        Reason::Held
        | Reason::Holdout
        | Reason::Ambiguous
        | Reason::Unreadable
        | Reason::Unlisted
        | Reason::VerificationRequired
        | Reason::Unconfirmed
        | Reason::BatchRefused
        | Reason::AccountUnknown
        | Reason::AccountLimit
        | Reason::AlreadySent
        | Reason::StoreLost => Effect::Refuse,
        Reason::Combined
        | Reason::Asserted
        | Reason::Lifted
        | Reason::Rule
        | Reason::FirstStepUnseen => Effect::Annotate,
        Reason::Sealed => settings.sealed,
        Reason::ElementsMissing => settings.missing,
        Reason::NoMatch => settings.no_match,
        Reason::CloseMatch => settings.close_match,
        Reason::NoRecord => settings.no_record,
        Reason::NotPossible | Reason::NobodyCan => settings.not_possible,
        Reason::Limited | Reason::AttemptsSpent => settings.limited,
        Reason::Invalid => settings.invalid,
        Reason::Unavailable | Reason::SpendCapped | Reason::NotAsked => settings.unavailable,
        Reason::AgreementUnknown => policy.agreements.unknown,
        Reason::AgreementContradicted => policy.agreements.contradicted,
        Reason::AgreementClosed => policy.agreements.closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::element::ElementSet;
    use crate::domain::payment::{Mode, Standing};
    use crate::policy::{Basis, Facts, Verification, decide};

    /// What observing keeps tells what enforcing does: the one is derived from the other for all that policy judges.
    #[test]
    fn what_is_kept_in_observe_tells_what_enforce_does() {
        let answers = [
            Answer::Match,
            Answer::CloseMatch,
            Answer::NoMatch(ElementSet::EMPTY),
            Answer::NoRecord,
            Answer::NotPossible,
            Answer::Limited,
            Answer::Invalid,
            Answer::Unavailable,
        ];
        let verified = [
            Verification::Combined,
            Verification::AttemptsSpent,
            Verification::SpendCapped,
            Verification::NobodyCan,
        ];
        let answered = answers.map(Verification::Answered);
        let standings =
            [Standing::Good, Standing::Unknown, Standing::Contradicted, Standing::Closed];
        let bases = [
            Basis::Passing,
            Basis::ConfirmsPermitted,
            Basis::ConfirmsUnseen,
            Basis::Unlisted,
            Basis::Ambiguous,
            Basis::Unreadable,
            Basis::Sealed,
            Basis::Incomplete,
            Basis::Unconfirmed,
        ];
        let bases = bases
            .into_iter()
            .chain(verified.into_iter().chain(answered).map(Basis::Verified))
            .chain(standings.map(Basis::Agreement));
        let policy = Policy::default();
        for basis in bases {
            for scenario in Scenario::ALL {
                for (held, asserted) in [(false, false), (true, false), (false, true)] {
                    let facts =
                        |mode| Facts { scenario, mode, basis, asserted, held, spared: false };
                    let kept = decide(&policy, &facts(Mode::Observe));
                    let would = would(&policy, scenario, kept.reasons(), None, false);
                    let enforced = decide(&policy, &facts(Mode::Enforce)).effect();
                    assert_eq!(would, effect(enforced), "{facts:?}", facts = facts(Mode::Enforce));
                }
            }
        }
    }

    #[test]
    fn what_nobody_was_asked_is_not_known() {
        let check = |reasons: &[Reason], answer, rule, expected| {
            let would = would(&Policy::default(), Scenario::Debit, reasons, answer, rule);
            assert_eq!(would, expected, "{reasons:?} {answer:?} {rule}");
        };
        let (no, yes) = (Some(Answer::NoMatch(ElementSet::EMPTY)), Some(Answer::Match));
        check(&[], None, false, Would::Leave);
        check(&[Reason::NotAsked], None, false, Would::Ask);
        check(&[Reason::NotAsked], no, false, Would::Refuse);
        check(&[Reason::NotAsked], yes, false, Would::Leave);
        check(&[Reason::Held, Reason::NotAsked], None, false, Would::Refuse);
        check(&[Reason::NotAsked, Reason::Rule], None, false, Would::Ask);
        check(&[Reason::Rule, Reason::NotAsked], None, true, Would::Refuse);
        check(&[Reason::Rule], None, false, Would::Leave);
        check(&[Reason::NoMatch, Reason::Lifted], no, false, Would::Leave);
        check(&[Reason::Held, Reason::NoMatch, Reason::Lifted], no, false, Would::Refuse);
        check(&[Reason::Holdout, Reason::NoMatch], no, false, Would::Refuse);
    }
}
