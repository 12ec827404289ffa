//! The table of decisions is their specification.

use super::*;

fn check(scenario: Scenario, mode: Mode, basis: Basis, expected: &str) {
    let facts = Facts { scenario, mode, basis, asserted: false, held: false, spared: false };
    assert_eq!(show(&decide(&Policy::default(), &facts)), expected, "{facts:?}");
}

fn show(decision: &Decision) -> String {
    let reasons: Vec<_> = decision.reasons().iter().map(|reason| reason.as_str()).collect();
    format!("{} {}", decision.effect().as_str(), reasons.join(" ")).trim().to_owned()
}

const fn answered(answer: Answer) -> Basis {
    Basis::Verified(Verification::Answered(answer))
}

#[test]
fn an_answer_decides_what_carries_elements() {
    use Mode::{Enforce, Observe};
    use Scenario::{Bind, Debit, Payout};
    check(Bind, Enforce, answered(Answer::Match), "permit");
    check(Bind, Enforce, answered(Answer::CloseMatch), "annotate close_match");
    check(Bind, Enforce, answered(Answer::NoMatch(ElementSet::EMPTY)), "refuse no_match");
    check(Debit, Enforce, answered(Answer::NoRecord), "refuse no_record");
    check(Debit, Enforce, answered(Answer::NotPossible), "annotate not_possible");
    check(Payout, Enforce, answered(Answer::Unavailable), "refuse unavailable");
    check(Bind, Observe, answered(Answer::NoMatch(ElementSet::EMPTY)), "annotate no_match");
    check(Bind, Enforce, Basis::Verified(Verification::NotAsked), "refuse not_asked");
    check(Bind, Observe, Basis::Verified(Verification::NotAsked), "annotate not_asked");
    check(Bind, Enforce, Basis::Verified(Verification::NobodyCan), "annotate nobody_can");
    check(Bind, Enforce, Basis::Incomplete, "refuse elements_missing");
    check(Debit, Enforce, Basis::Incomplete, "annotate elements_missing");
    check(Bind, Enforce, Basis::Sealed, "annotate sealed");
}

#[test]
fn an_agreement_decides_what_quotes_one() {
    use Mode::Enforce;
    use Scenario::Debit;
    check(Debit, Enforce, Basis::Agreement(Standing::Good), "permit");
    check(Debit, Enforce, Basis::Agreement(Standing::Unknown), "annotate agreement_unknown");
    check(
        Debit,
        Enforce,
        Basis::Agreement(Standing::Contradicted),
        "refuse agreement_contradicted",
    );
    check(Debit, Enforce, Basis::Agreement(Standing::Closed), "refuse agreement_closed");
    check(Debit, Mode::Observe, Basis::Agreement(Standing::Closed), "annotate agreement_closed");
}

#[test]
fn what_cannot_be_judged_is_refused_in_enforce_and_marked_in_observe() {
    for (basis, reason) in [
        (Basis::Unlisted, "unlisted"),
        (Basis::Ambiguous, "ambiguous"),
        (Basis::Unreadable, "unreadable"),
    ] {
        check(Scenario::Other, Mode::Enforce, basis, &format!("refuse {reason}"));
        check(Scenario::Other, Mode::Observe, basis, &format!("annotate {reason}"));
    }
}

#[test]
fn what_must_never_be_refused_is_not() {
    for scenario in Scenario::ALL.into_iter().filter(|scenario| !scenario.is_verified()) {
        for held in [false, true] {
            let facts = Facts {
                scenario,
                mode: Mode::Enforce,
                basis: Basis::Passing,
                asserted: false,
                held,
                spared: true,
            };
            assert_eq!(show(&decide(&Policy::default(), &facts)), "permit", "{facts:?}");
        }
    }
}

#[test]
fn a_hold_stops_money_coming_in_and_nothing_else() {
    for scenario in Scenario::ALL {
        let basis = answered(Answer::Match);
        let facts = Facts {
            scenario,
            mode: Mode::Enforce,
            basis,
            asserted: false,
            held: true,
            spared: false,
        };
        let expected = if matches!(scenario, Scenario::Debit | Scenario::Pay) {
            "refuse held"
        } else {
            "permit"
        };
        assert_eq!(show(&decide(&Policy::default(), &facts)), expected, "{facts:?}");
    }
}

#[test]
fn only_a_refusal_has_no_permit() {
    for mode in [Mode::Observe, Mode::Enforce] {
        for basis in
            [Basis::Passing, Basis::Unlisted, answered(Answer::Match), answered(Answer::NoRecord)]
        {
            let facts = Facts {
                scenario: Scenario::Bind,
                mode,
                basis,
                asserted: true,
                held: true,
                spared: false,
            };
            let decision = decide(&Policy::default(), &facts);
            assert_eq!(
                decision.effect() == Effect::Refuse,
                decision.into_permit().is_err(),
                "{facts:?}"
            );
        }
    }
}

#[test]
fn asserted_elements_are_always_shown() {
    let facts = Facts {
        scenario: Scenario::Bind,
        mode: Mode::Enforce,
        basis: answered(Answer::Match),
        asserted: true,
        held: false,
        spared: false,
    };
    assert_eq!(show(&decide(&Policy::default(), &facts)), "annotate asserted");
}

#[test]
fn a_set_is_verified_whole_or_not_at_all() {
    let policy = Policy::default();
    let set = |words: &[&str]| {
        words.iter().filter_map(|word| Element::from_word(word)).collect::<ElementSet>()
    };
    let check = |scenario, carried: &[&str], expected: Option<&[&str]>| {
        assert_eq!(
            set_to_verify(&policy, Wants { scenario, merchant: None, amount: None }, set(carried)),
            expected.map(set),
            "{carried:?}"
        );
    };
    check(
        Scenario::Bind,
        &["name", "id_number", "pan", "phone"],
        Some(&["name", "id_number", "pan", "phone"]),
    );
    check(
        Scenario::Bind,
        &["name", "id_number", "pan", "cvv2"],
        Some(&["name", "id_number", "pan"]),
    );
    check(Scenario::Bind, &["name", "pan", "phone"], None);
    check(Scenario::Payout, &["name", "pan"], Some(&["name", "pan"]));
    check(Scenario::Debit, &["pan"], None);
}

#[test]
fn a_batch_has_one_permit() {
    let row = |answer| {
        let basis = answered(answer);
        let (scenario, mode) = (Scenario::Debit, Mode::Enforce);
        decide(
            &Policy::default(),
            &Facts { scenario, mode, basis, asserted: false, held: false, spared: false },
        )
    };
    let check = |refused_rows, answers: &[Answer], expected: &str| {
        let policy = Policy { refused_rows, ..Policy::default() };
        let decided = decide_batch(&policy, answers.iter().map(|answer| row(*answer)).collect());
        let rows = decided.rows.iter().map(|(effect, reasons)| {
            let reasons: Vec<_> = reasons.iter().map(|reason| reason.as_str()).collect();
            format!("; {} {}", effect.as_str(), reasons.join(" ")).trim_end().to_owned()
        });
        let shown = format!("{}{}", decided.permit.is_some(), rows.collect::<String>());
        assert_eq!(shown, expected, "{answers:?}");
    };
    let (right, wrong) = (Answer::Match, Answer::NoMatch(ElementSet::EMPTY));
    check(Effect::Refuse, &[right, right], "true; permit; permit");
    check(Effect::Refuse, &[right, Answer::CloseMatch], "true; permit; annotate close_match");
    check(Effect::Refuse, &[right, wrong], "false; refuse batch_refused; refuse no_match");
    check(Effect::Annotate, &[right, wrong], "true; permit; annotate no_match");
}

/// What enforce would refuse with a row was seen on that row alone.
#[test]
fn the_rows_beside_one_that_would_be_refused_are_marked_in_observe() {
    let check = |refused_rows, bases: &[Basis], expected: &str| {
        let policy = Policy { refused_rows, ..Policy::default() };
        let rows = bases.iter().map(|&basis| {
            let (scenario, mode) = (Scenario::Debit, Mode::Observe);
            let facts =
                Facts { scenario, mode, basis, asserted: false, held: false, spared: false };
            decide(&policy, &facts)
        });
        let decided = decide_batch(&policy, rows.collect());
        assert!(decided.permit.is_some(), "{bases:?}");
        let rows = decided.rows.iter().map(|(effect, reasons)| {
            let would = hindsight::would(&policy, Scenario::Debit, reasons, None, false);
            let reasons: Vec<_> = reasons.iter().map(|reason| reason.as_str()).collect();
            format!("{} {} {would:?}", effect.as_str(), reasons.join(" "))
        });
        assert_eq!(rows.collect::<Vec<_>>().join("; "), expected, "{bases:?}");
    };
    let (right, wrong) = (answered(Answer::Match), answered(Answer::NoMatch(ElementSet::EMPTY)));
    let not_asked = Basis::Verified(Verification::NotAsked);
    check(
        Effect::Refuse,
        &[right, wrong, not_asked],
        "annotate batch_refused Refuse; annotate no_match Refuse; annotate batch_refused not_asked Refuse",
    );
    // Nobody knows what they would have said.
    check(Effect::Refuse, &[right, not_asked], "permit  Leave; annotate not_asked Ask");
    check(Effect::Annotate, &[right, wrong], "permit  Leave; annotate no_match Refuse");
}

/// What chance spares is what verification alone refuses: no hold, no other reason, and nothing where decisions do not bind.
#[test]
fn a_holdout_lets_only_what_does_not_match_leave() {
    let check = |basis, mode, held, expected: &str| {
        let facts =
            Facts { scenario: Scenario::Debit, mode, basis, asserted: false, held, spared: true };
        assert_eq!(show(&decide(&Policy::default(), &facts)), expected, "{facts:?}");
    };
    let no_match = answered(Answer::NoMatch(ElementSet::EMPTY));
    check(no_match, Mode::Enforce, false, "annotate holdout no_match");
    check(answered(Answer::NoRecord), Mode::Enforce, false, "annotate holdout no_record");
    check(no_match, Mode::Enforce, true, "refuse held holdout no_match");
    check(no_match, Mode::Observe, false, "annotate no_match");
    check(answered(Answer::Match), Mode::Enforce, false, "permit");
    check(answered(Answer::NotPossible), Mode::Enforce, false, "annotate not_possible");
    for basis in [
        answered(Answer::Limited),
        answered(Answer::Invalid),
        answered(Answer::Unavailable),
        Basis::Verified(Verification::NotAsked),
        Basis::Unlisted,
        Basis::Ambiguous,
        Basis::Unreadable,
        Basis::Agreement(Standing::Contradicted),
        Basis::Agreement(Standing::Closed),
    ] {
        let facts = Facts {
            scenario: Scenario::Debit,
            mode: Mode::Enforce,
            basis,
            asserted: false,
            held: false,
            spared: true,
        };
        assert_eq!(decide(&Policy::default(), &facts).effect(), Effect::Refuse, "{basis:?}");
    }
}

/// Everything that rules can make of a decision, by its invariants.
#[test]
fn rules_close_and_only_policy_lets_them_open() {
    use crate::policy::rules::{Action, Hit, Verdict};
    let no_record = answered(Answer::NoRecord);
    let bases = [
        Basis::Passing,
        Basis::Unlisted,
        Basis::Ambiguous,
        Basis::Sealed,
        answered(Answer::Match),
        answered(Answer::NoMatch(ElementSet::EMPTY)),
        no_record,
        Basis::Agreement(Standing::Good),
        Basis::Agreement(Standing::Closed),
        Basis::ConfirmsPermitted,
    ];
    let lifting = Policy { rules_lift: [Reason::NoRecord].into(), ..Policy::default() };
    for (basis, held, mode, actions) in bases.into_iter().flat_map(|basis| {
        (0..32_u8).map(move |bits| {
            let mode = if bits & 16 == 0 { Mode::Enforce } else { Mode::Observe };
            (basis, bits % 3 == 0, mode, bits & 15)
        })
    }) {
        let hit = |rule: usize| Hit { rule, action: Action::ALL[rule], binds: true };
        let hits = (0..4).filter(|rule| actions >> rule & 1 == 1).map(hit).collect::<Vec<_>>();
        let verdict = Verdict { hits, faults: Vec::new() };
        let has = |action| verdict.binding(action).is_some();
        let facts =
            Facts { scenario: Scenario::Debit, mode, basis, asserted: false, held, spared: false };
        let plain = decide(&Policy::default(), &facts);
        let ruled = decide_by(&Policy::default(), &facts, Some(&verdict));
        assert!(ruled.effect() >= plain.effect(), "{facts:?} {verdict:?}: a rule opens");
        if !basis.is_ruled() {
            assert_eq!(show(&ruled), show(&plain), "{facts:?}");
            continue;
        }
        let closes =
            has(Action::Refuse) || (has(Action::RequireVerification) && !basis.is_verified());
        if closes {
            let expected = if mode == Mode::Enforce { Effect::Refuse } else { Effect::Annotate };
            assert_eq!(ruled.effect(), expected, "{facts:?} {verdict:?}");
        }
        let lifted = decide_by(&lifting, &facts, Some(&verdict));
        let opens = lifted.effect() < ruled.effect();
        let may = has(Action::Permit) && basis == no_record && !closes && !held;
        assert_eq!(opens, may && mode == Mode::Enforce, "{facts:?} {verdict:?}");
        // A shadow changes nothing.
        let shadows = verdict.hits.iter().map(|hit| Hit { binds: false, ..*hit }).collect();
        let shadows = Verdict { hits: shadows, faults: Vec::new() };
        assert_eq!(show(&decide_by(&lifting, &facts, Some(&shadows))), show(&plain), "{facts:?}");
    }
}
