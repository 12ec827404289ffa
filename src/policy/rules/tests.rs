//! The table of mistakes, and what rules come to.

mod interpreter;

use super::*;
use crate::policy::rules::set::Draft;
use expect_test::expect_file;
use std::collections::BTreeMap;
use std::fmt::Write as _;

fn names() -> Names {
    Names {
        channels: vec!["first".into(), "second".into()],
        providers: vec!["upv".into()],
        banks: vec!["icbc".into()],
        lists: BTreeMap::from([
            ("bins".into(), Holds::Bins),
            ("stolen".into(), Holds::Cards),
            ("partners".into(), Holds::Merchants),
        ]),
    }
}

fn draft(source: &str) -> Draft {
    Draft {
        id: RuleId::parse("rule").unwrap(),
        name: "".into(),
        action: Action::Refuse,
        state: State::Live,
        reason: "r".into(),
        owner: "".into(),
        schedule: None,
        expires: None,
        on_error: OnError::Skip,
        source: source.into(),
        trial: false,
    }
}

fn compiled(source: &str) -> Result<Rules, Vec<Mistake>> {
    Rules::compile(vec![draft(source)], &names(), "v1").map_err(|defects| {
        let mistake = |defect: Defect| {
            let Flaw::Condition(mistake) = defect.flaw else { panic!("{:?}", defect.flaw) };
            mistake
        };
        defects.into_iter().map(mistake).collect()
    })
}

/// Conditions that somebody wrote, each with a mistake or two.
const MISTAKES: &[&str] = &[
    "",
    "payment.amout > 5000",
    "tx.amount > 5000",
    "amount > 5000",
    "payment > 5000",
    "has(payment.amount) && payment.amount > \"5000\"",
    "has(payment.amount) && payment.amount > 50.00",
    "has(payment.amount) && payment.amount > 5000u",
    "has(payment.amount) && payment.amount",
    "has(payment.amount) && payment.amount + 5",
    "payment.amount > 5000",
    "payment.amount > 5000 || has(payment.amount)",
    "!has(payment.amount) && payment.amount > 5000",
    "has(payment.hour) && payment.hour < 6",
    "has(payment.amuont)",
    "has(5)",
    "payment.scenario == debit",
    "payment.scenario == \"debt\"",
    "payment.scenario = \"debit\"",
    "payment.scenario in [\"debit\", \"refund\"]",
    "payment.scenario in [\"debit\", \"debit\"]",
    "payment.scenario in []",
    "payment.scenario == 5",
    "payment.scenario > \"debit\"",
    "payment.scenario",
    "\"debit\"",
    "payment.channel == \"fist\"",
    "has(verification.provider) && verification.provider == \"upvv\"",
    "has(verification.answer) && verification.answer == \"mismatch\"",
    "payment.held == \"true\"",
    "payment.held > true",
    "payment.scenario == \"debit\" and payment.held",
    "payment.scenario == \"debit\" AND NOT payment.held",
    "payment.scenario == \"debit\" & payment.held",
    "payment.hour < 6 | payment.hour > 22",
    "payment.hour => 22",
    "payment.hour <> 22",
    "payment.hour < 6;",
    "（payment.hour < 6）",
    "payment.scenario == “debit”",
    "金额 > 5000",
    "老板 == 1",
    "(payment.hour < 6",
    "payment.hour < 6)",
    "payment.scenario == \"debit",
    "payment.hour <",
    "payment.hour < && payment.held",
    "payment.held payment.asserted",
    "payment.hour < 24",
    "payment.hour > 23",
    "payment.weekday == 0",
    "1 == 1",
    "false",
    "payment.hour > 22 && payment.hour < 6",
    "payment.hour > 22 && payment.hour > 20",
    "payment.scenario == \"debit\" && payment.scenario == \"pay\"",
    "payment.held && !payment.held",
    "payment.held || payment.held",
    "has(card.bin) && card.bin in list(\"bin\")",
    "has(card.bin) && card.bin in list(\"stolen\")",
    "card.id in list(\"stolen\")",
    "has(card.id) && card.id == \"6200000000000005\"",
    "payment.hour in list(\"bins\")",
    "list(\"bins\")",
    "has(card.bin) && card.bin in bins",
    "velocity(\"card\", \"debit\") > 3",
    "velocity(\"crad\", \"debit\", \"1h\") > 3",
    "velocity(\"card\", \"debits\", \"1h\") > 3",
    "velocity(\"card\", \"debit\", \"1 hour\") > 3",
    "velocity(\"card\", \"debit\", \"90d\") > 3",
    "mismatches(\"merchant\", \"30d\") > 3",
    "persons(\"person\", \"30d\") > 3",
    "velocty(\"card\", \"debit\", \"1h\") > 3",
    "has(card.bin) && card.bin.startswith(\"62\")",
    "has(card.bin) && startsWith(card.bin, \"62\")",
    "has(card.bin) && card.bin.matches(\"(?=62)\")",
    "has(card.bin) && card.bin.matches(\"62[\")",
    "has(card.bin) && card.bin.matches(card.bin)",
    "payment.hour.startsWith(\"6\")",
    "size(payment.hour) > 3",
    "payment.hour / 2 > 3",
    "payment.hour % 2 == 0",
    "[1, 2].exists(x, x > 1)",
    "{\"a\": 1} == {\"a\": 1}",
    "payment[\"hour\"] > 3",
    "payment.hour == null",
    "payment.hour < (payment.held ? 6 : \"7\")",
    "payment.hour > 99999999999999999999",
    "((((((((((((((((((((((((((((((payment.held))))))))))))))))))))))))))))))",
];

/// The table is the specification of what people are told: `UPDATE_EXPECT=1` rewrites it.
#[test]
fn every_mistake_is_told_in_two_languages() {
    let mut table = String::new();
    let mut kinds = std::collections::BTreeSet::new();
    for source in MISTAKES {
        let mistakes = compiled(source).err();
        let _ = writeln!(table, "{source}");
        for Mistake { span, what } in mistakes.unwrap_or_default() {
            kinds.insert(format!("{what:?}").split(['(', ' ']).next().unwrap().to_owned());
            let before = source.get(..span.start).unwrap().chars().count();
            let width = source.get(span).unwrap().chars().count().max(1);
            let (en, zh) = (what.en(), what.zh());
            let _ = writeln!(table, "{}{}", " ".repeat(before), "^".repeat(width));
            let _ = writeln!(table, "    {}\n    {}", en.message, en.hint);
            let _ = writeln!(table, "    {}\n    {}", zh.message, zh.hint);
        }
        table.push('\n');
    }
    assert!(MISTAKES.len() >= 40 && kinds.len() >= 40, "{}: {kinds:?}", kinds.len());
    expect_file!["../../../tests/rules/mistakes.txt"].assert_eq(&table);
    for source in MISTAKES {
        assert!(compiled(source).is_err(), "`{source}` has no mistake");
    }
}

fn given<'a>(values: &[(Attribute, Value<'a>)], inputs: &'a [Option<i64>]) -> Given<'a> {
    let mut given = Given::new(Timestamp::from_millis(1_795_795_200_000));
    given.set(Attribute::Scenario, Value::Text("debit"));
    given.set(Attribute::Channel, Value::Text("first"));
    for (attribute, value) in values {
        given.set(*attribute, *value);
    }
    given.with(inputs)
}

#[test]
fn a_condition_comes_to_what_it_says() {
    let check = |source: &str, values: &[(Attribute, Value<'_>)], expected| {
        let set = compiled(source).unwrap_or_else(|mistakes| panic!("{source}: {mistakes:?}"));
        let given = given(values, &[Some(3)]);
        assert_eq!(set.rules()[0].holds(&given), expected, "{source}");
    };
    let amount = |fen| (Attribute::Amount, Value::Number(fen));
    let guarded = "has(payment.amount) && payment.amount > 500000";
    check(guarded, &[amount(500_001)], Ok(true));
    check(guarded, &[amount(500_000)], Ok(false));
    check(guarded, &[], Ok(false));
    check("!has(payment.amount) || payment.amount > 5", &[], Ok(true));
    check("has(payment.amount) ? payment.amount > 5 : payment.hour == 0", &[], Ok(true));
    check("payment.scenario in [\"pay\", \"debit\"]", &[], Ok(true));
    check("payment.hour in [1, 2, 3]", &[], Ok(false));
    check("velocity(\"card\", \"debit\", \"1h\") >= 3", &[], Ok(true));
    check("payment.hour == 0 // 凌晨，don't ask \"\n && !payment.held", &[], Ok(true));
    check("payment.channel.matches(\"^f.rst$\")", &[], Ok(true));
    check("size(payment.channel) == 5", &[], Ok(true));
    let huge = "has(payment.amount) && payment.amount * 3 > 5";
    check(huge, &[amount(i64::MAX)], Err(Fault::Overflow));
    check(&format!("{huge} && payment.hour == 7"), &[amount(i64::MAX)], Ok(false));
}

#[test]
fn each_condition_is_explained() {
    let check = |source: &str, expected: &str| {
        let set = compiled(source).unwrap_or_else(|mistakes| panic!("{source}: {mistakes:?}"));
        let given = given(&[(Attribute::Amount, Value::Number(7))], &[Some(3)]);
        let parts = set.rules()[0].explain(&given, set.inputs());
        let told: Vec<String> = parts
            .iter()
            .map(|part| {
                let saw: Vec<_> =
                    part.saw.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("{} [{}] {}", part.text, saw.join(" "), part.came)
            })
            .collect();
        assert_eq!(told.join("\n"), expected, "{source}");
    };
    check(
        "payment.scenario != \"pay\" && (payment.held || !(payment.hour > 5)) && has(payment.amount) && payment.amount > 9 && payment.weekday == 6",
        "payment.scenario != \"pay\" [payment.scenario=\"debit\"] true\n\
         payment.held [payment.held=false] false\n\
         payment.hour > 5 [payment.hour=0] false\n\
         has(payment.amount) [payment.amount=7] true\n\
         payment.amount > 9 [payment.amount=7] false\n\
         payment.weekday == 6 [] skipped",
    );
    check(
        "velocity(\"card\", \"debit\", \"60m\") > 2",
        "velocity(\"card\", \"debit\", \"60m\") > 2 [velocity(\"card\", \"debit\", \"1h\")=3] true",
    );
    check("(payment.hour + 1) * 2 == 2", "(payment.hour + 1) * 2 == 2 [payment.hour=0] true");
}

#[test]
fn places_are_right_beyond_ascii() {
    let source = "payment.channel != \"中文\" && payment.hourr < 6";
    let mistakes = compiled(source).unwrap_err();
    let found: Vec<_> =
        mistakes.iter().map(|mistake| source.get(mistake.span.clone()).unwrap()).collect();
    assert_eq!(found, ["\"中文\"", "payment.hourr"]);
}

/// A condition is bounded by what it costs, not only by how long it is.
#[test]
fn what_is_costly_is_bounded() {
    let check = |count: usize, part: &dyn Fn(usize) -> String, fits: bool| {
        let source = (0..count).map(part).collect::<Vec<_>>().join(" || ");
        let too_many = |mistakes: Vec<Mistake>| {
            mistakes.iter().map(|it| it.what.clone()).collect::<Vec<_>>() == [What::TooMany]
        };
        let came = compiled(&source).map(drop).map_err(too_many);
        assert_eq!(came, if fits { Ok(()) } else { Err(true) }, "{count} of {source}");
    };
    let channel = |nth: usize| format!("payment.channel.contains(\"{nth}\")");
    check(30, &channel, true);
    check(60, &channel, false);
    let pattern = |nth: usize| format!("payment.channel.matches(\"{nth}\")");
    check(10, &pattern, true);
    check(20, &pattern, false);
    let window = |nth: usize| format!("velocity(\"card\", \"debit\", \"{}m\") > 5", nth + 1);
    check(10, &window, true);
    check(20, &window, false);
    let rate = |nth: usize| format!("verification.concordance == {nth}");
    let rate = |nth: usize| format!("(has(verification.concordance) && {})", rate(nth));
    check(5, &rate, true);
    check(12, &rate, false);
    // What is cheap may be much.
    check(90, &|nth| format!("payment.minute == {nth}"), true);
    check(150, &|nth| format!("payment.minute == {nth}"), false);
}

fn rule(id: &str, action: Action, state: State, source: &str) -> Draft {
    Draft { id: RuleId::parse(id).unwrap(), action, state, ..draft(source) }
}

#[test]
fn a_set_has_no_twins() {
    let check = |drafts: Vec<Draft>, expected: &[(usize, Flaw)]| {
        let found = Rules::compile(drafts, &names(), "v1").err().unwrap_or_default();
        let found: Vec<_> = found.into_iter().map(|defect| (defect.rule, defect.flaw)).collect();
        assert_eq!(found, expected);
    };
    let one = |id, source| rule(id, Action::Refuse, State::Live, source);
    let id = |id| RuleId::parse(id).unwrap();
    check(vec![one("a", "payment.held"), one("a", "payment.asserted")], &[(1, Flaw::SameId)]);
    check(
        vec![
            one("a", "payment.held && payment.hour<6"),
            one("b", "payment.held &&  payment.hour < 6"),
        ],
        &[(1, Flaw::SameAs(id("a")))],
    );
    let shadow = rule("b", Action::Annotate, State::Shadow, "payment.held");
    check(vec![one("a", "payment.held"), shadow], &[]);
}

#[test]
fn every_rule_is_evaluated_and_only_what_is_live_binds() {
    let states = [State::Draft, State::Shadow, State::Live, State::Retired, State::Canary(40)];
    let ids = ["a", "b", "c", "d", "e"];
    let drafts = states.iter().zip(ids).map(|(state, id)| {
        rule(
            id,
            Action::ALL[ids.iter().position(|it| *it == id).unwrap() % 4],
            *state,
            if id == "e" { "payment.hour < 1" } else { "payment.hour == 0" },
        )
    });
    let set = Rules::compile(drafts.collect(), &names(), "v1").unwrap();
    let given = given(&[], &[]);
    let mut bound = 0;
    for order in 0..1000_u64 {
        let verdict = set.judge(&given, order.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let hits: Vec<_> = verdict.hits.iter().map(|hit| (hit.rule, hit.binds)).collect();
        assert_eq!(hits[..2], [(1, false), (2, true)]);
        assert_eq!((hits.len(), hits[2].0), (3, 4));
        bound += i32::from(hits[2].1);
    }
    assert!((340..460).contains(&bound), "{bound} of 1000 for 40 %");
}

/// What a set says of each of its rules, which is what each says by itself.
fn verdict(sources: &[String], given: &Given<'_>) -> Verdict {
    let drafts = sources
        .iter()
        .enumerate()
        .map(|(at, source)| rule(&format!("rule-{at}"), Action::Refuse, State::Live, source));
    let set = Rules::compile(drafts.collect(), &names(), "v1").unwrap();
    let verdict = set.judge(given, 0);
    for (at, rule) in set.rules().iter().enumerate() {
        let fault = verdict.faults.iter().find(|(place, _)| *place == at);
        let came = match fault {
            Some((_, fault)) => Err(*fault),
            None => Ok(verdict.hits.iter().any(|hit| hit.rule == at)),
        };
        assert_eq!(came, rule.holds(given), "{}", rule.source);
    }
    verdict
}

/// One that cannot be evaluated, for its sum is beyond 64 bits.
const BEYOND: &str = "payment.weekday * 9223372036854775807 > 1";

#[test]
fn what_rules_share_faults_in_each_that_needs_it() {
    let sources = [
        BEYOND.to_owned(),
        format!("payment.held || {BEYOND}"),
        format!("!payment.held || {BEYOND}"),
        format!("!({BEYOND})"),
        format!("payment.held && {BEYOND}"),
        format!("{BEYOND} && payment.hour == 0"),
        format!("{BEYOND} ? payment.held : payment.asserted"),
        format!("({BEYOND}) == payment.held"),
    ];
    assert_eq!(verdict(&sources, &given(&[], &[])).faults.len(), 6);
}

#[test]
fn the_first_of_two_faults_is_told() {
    use Fault::{Missing, Overflow};
    let missing = "velocity(\"card\", \"debit\", \"1h\") > 0";
    let deep = (0..10)
        .fold(missing.to_owned(), |of, _| format!("payment.held || (!payment.asserted && ({of}))"));
    let sources = [
        deep,
        format!("{BEYOND} && {missing}"),
        format!("{missing} && {BEYOND}"),
        format!("{missing} || {BEYOND}"),
        format!("(payment.held || {missing}) && {BEYOND}"),
        format!("{BEYOND} || (payment.held || {missing})"),
    ];
    let verdict = verdict(&sources, &given(&[], &[None]));
    let told: Vec<Fault> = verdict.faults.iter().map(|(_, fault)| *fault).collect();
    assert_eq!(told, [Missing, Overflow, Missing, Missing, Missing, Overflow]);
}

#[test]
fn of_many_parts_each_is_itself() {
    let source = |at: i64| format!("payment.minute >= {at} && payment.minute * 3 < {}", at * 4);
    let sources: Vec<String> = (1..300).map(source).collect();
    for minute in [1, 63, 64, 65, 127, 128, 200, 299] {
        let given = given(&[(Attribute::Minute, Value::Number(minute))], &[]);
        let hits = verdict(&sources, &given).hits.len();
        let holds = |at: &i64| minute >= *at && minute * 3 < at * 4;
        assert_eq!(hits, (1..300).filter(holds).count(), "{minute}");
    }
}

#[test]
fn a_rule_that_sleeps_is_a_shadow_until_it_wakes() {
    let now = given(&[], &[]).at;
    let check = |until: Option<u64>, binds: bool| {
        let mut set = Rules::compile(vec![draft("payment.hour == 0")], &names(), "v1").unwrap();
        let id = RuleId::parse("rule").unwrap();
        if let Some(until) = until {
            assert!(set.sleep(&id, Timestamp::from_millis(until)));
        }
        let hits: Vec<_> =
            set.judge(&given(&[], &[]), 0).hits.iter().map(|hit| hit.binds).collect();
        assert_eq!(hits, [binds], "{until:?}");
        assert!(!set.sleep(&RuleId::parse("other").unwrap(), now));
    };
    check(None, true);
    check(Some(now.as_millis() + 1), false);
    check(Some(now.as_millis()), true);
}

#[test]
fn a_schedule_may_pass_midnight_and_rules_expire() {
    // Saturday 2026-11-28 00:00 in China.
    let check = |from, to, days: [bool; 7], expires: Option<u64>, expected: bool| {
        let schedule = Some(Schedule { days, from, to });
        let expires = expires.map(Timestamp::from_millis);
        let draft = Draft { schedule, expires, ..draft("payment.hour == 0") };
        let set = Rules::compile(vec![draft], &names(), "v1").unwrap();
        assert_eq!(
            set.judge(&given(&[], &[]), 0).hits.len(),
            usize::from(expected),
            "{from} {to} {days:?}"
        );
    };
    let all = [true; 7];
    let mut friday = [false; 7];
    friday[4] = true;
    check(0, 60, all, None, true);
    check(1, 60, all, None, false);
    check(1320, 60, friday, None, true);
    check(0, 60, friday, None, false);
    check(0, 60, all, Some(1_795_795_200_001), true);
    check(0, 60, all, Some(1_795_795_200_000), false);
}
