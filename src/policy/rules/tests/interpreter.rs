//! CEL's own interpreter beside ours.

use super::*;
use cel::{Context, Program};
use proptest::prelude::*;
use std::collections::HashMap;

/// The same payment for CEL's own interpreter: a map for each half of a name, without what is absent.
fn context(given: &Given<'_>, set: &Rules) -> Context<'static, 'static> {
    let mut maps: HashMap<&str, HashMap<String, cel::Value>> = HashMap::new();
    for attribute in Attribute::ALL {
        let (map, field) = attribute.name().split_once('.').unwrap();
        let map = maps.entry(map).or_default();
        let value: cel::Value = match given.get(attribute) {
            Value::Absent | Value::Unknown => continue,
            Value::Present => "it".into(),
            Value::Flag(flag) => flag.into(),
            Value::Number(number) => number.into(),
            Value::Text(text) => text.into(),
        };
        map.insert(field.to_owned(), value);
    }
    let mut context = Context::default();
    for (name, map) in maps {
        context.add_variable_from_value(name, map);
    }
    let (mut lists, mut counts) = (HashMap::new(), HashMap::<String, i64>::new());
    for (input, value) in set.inputs().iter().zip(given.inputs) {
        let value = value.unwrap();
        match input {
            Input::InList { attribute, list } => {
                let known = given.get(*attribute);
                let member =
                    if let Value::Text(text) = known { text.to_owned() } else { "it".to_owned() };
                lists.insert(list.to_string(), if value == 0 { vec![] } else { vec![member] });
            }
            Input::Count { .. } => drop(counts.insert(input.to_string(), value)),
        }
    }
    context
        .add_function("list", move |name: std::sync::Arc<String>| -> cel::Value {
            lists.get(&*name).cloned().unwrap_or_default().into()
        })
        .unwrap();
    for name in ["mismatches", "persons"] {
        let counts = counts.clone();
        let count = move |key: std::sync::Arc<String>, window: std::sync::Arc<String>| {
            counts[&format!("{name}(\"{key}\", \"{window}\")")]
        };
        context.add_function(name, count).unwrap();
    }
    context
        .add_function(
            "velocity",
            move |key: std::sync::Arc<String>,
                  scenario: std::sync::Arc<String>,
                  window: std::sync::Arc<String>| {
                counts[&format!("velocity(\"{key}\", \"{scenario}\", \"{window}\")")]
            },
        )
        .unwrap();
    context
}

/// A condition made of parts, guarded as it must be.
#[expect(clippy::too_many_lines, reason = "a line for each attribute")]
fn conditions() -> impl Strategy<Value = String> {
    let numbers = prop::sample::select(vec![
        "payment.hour",
        "payment.minute",
        "payment.weekday",
        "(payment.hour + 2) * 3",
        "(payment.minute - payment.hour)",
        "-payment.hour",
        "size(payment.channel)",
        "(payment.held ? 3 : payment.hour)",
        "velocity(\"card\", \"debit\", \"1h\")",
        "payment.minute * 4611686018427387904",
        "velocity(\"merchant\", \"any\", \"7d\")",
        "mismatches(\"card\", \"30d\")",
        "persons(\"phone\", \"1d\")",
        "(has(verification.age) ? verification.age : 9)",
        "(has(verification.concordance) ? verification.concordance : -1)",
        "(has(account.left) ? account.left - payment.hour : 7)",
    ]);
    let order = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
    let number = (numbers, order, -5_i64..30)
        .prop_map(|(left, order, right)| format!("{left} {order} {right}"));
    let text = prop::sample::select(vec![
        "payment.scenario == \"debit\"",
        "payment.scenario != \"pay\"",
        "payment.scenario in [\"pay\", \"bind\"]",
        "payment.channel == \"first\"",
        "payment.channel.startsWith(\"f\")",
        "payment.channel.endsWith(\"nd\")",
        "payment.channel.contains(\"ir\")",
        "payment.channel.matches(\"^[fs]\")",
        "payment.held",
        "payment.held == payment.asserted",
        "payment.held != (payment.hour < 7)",
        "(payment.held ? \"a\" : payment.channel) == \"first\"",
        "has(payment.merchant) && payment.merchant == \"商户\"",
        "has(payment.merchant) && size(payment.merchant) == 2",
        "has(payment.amount) && payment.amount in [1, 2, 300000]",
        "has(payment.amount) && payment.amount > 250000",
        "!has(payment.amount) || payment.amount * 2 < 7",
        "has(payment.amount) ? payment.amount == 2 : payment.held",
        "has(card.bin) && card.bin in list(\"bins\")",
        "has(card.id) && card.id in list(\"stolen\")",
        "!has(verification.answer) || verification.answer != \"match\"",
        "payment.batch",
        "verification.combined",
        "has(card.kind) && card.kind in [\"credit\", \"corporate\"]",
        "has(card.bank) && card.bank == \"icbc\"",
        "has(agreement.standing) && agreement.standing != \"good\"",
        "has(agreement.id) && has(person.id)",
        "has(phone.id) == has(card.id)",
        "has(verification.provider) && verification.provider == \"upv\"",
        "has(verification.road) ? verification.road.contains(\"up\") : payment.batch",
        "has(verification.age) && verification.age >= 86400",
        "has(verification.concordance) && verification.concordance < 500",
        "has(payment.merchant) && payment.merchant in list(\"partners\")",
        "has(account.class) && account.class in [\"I\", \"II\"]",
        "has(account.limit) && account.limit != \"daily_limit\"",
        "has(account.second_account) && account.second_account",
        "has(account.shared_phone) ? account.shared_phone : payment.held",
        "!has(account.second_class_three) || !account.second_class_three",
        "has(person.accounts) && person.accounts > 1",
    ]);
    let leaf = prop_oneof![number, text.prop_map(str::to_owned)];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let of = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            of.clone().prop_map(|parts| format!("({})", parts.join(") && ("))),
            of.prop_map(|parts| format!("({})", parts.join(") || ("))),
            inner.clone().prop_map(|part| format!("!({part})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("({a}) ? ({b}) : ({c})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// What rules accept means what it means in CEL, faults included.
    #[test]
    fn cels_own_interpreter_agrees(
        source in conditions(),
        scenario in prop::sample::select(vec!["debit", "pay", "withdraw", "payout", "bind"]),
        channel in prop::sample::select(vec!["first", "second"]),
        amount in prop::option::of(prop::sample::select(vec![0, 1, 2, 3, 300_000, i64::MAX])),
        merchant in prop::option::of(prop::sample::select(vec!["商户", "m"])),
        bin in prop::option::of(Just("622848")),
        card: bool, held: bool, asserted: bool, member in 0_i64..2, count in 0_i64..9,
        minute in 0_u64..10_080,
        answer in prop::option::of(prop::sample::select(vec!["match", "no_record"])),
        more: u64,
    ) {
        // What is never or always so is refused; what remains must agree.
        let Ok(set) = compiled(&source) else { return Ok(()) };
        let inputs: Vec<_> = set.inputs().iter().map(|input| Some(match input {
            Input::InList { .. } => member,
            Input::Count { .. } => count,
        })).collect();
        let mut given = Given::new(Timestamp::from_millis(1_795_795_200_000 + minute * 60_000));
        let text = |text: Option<&'static str>| text.map_or(Value::Absent, Value::Text);
        given.set(Attribute::Scenario, Value::Text(scenario));
        given.set(Attribute::Channel, Value::Text(channel));
        given.set(Attribute::Merchant, text(merchant));
        given.set(Attribute::Amount, amount.map_or(Value::Absent, Value::Number));
        given.set(Attribute::Bin, text(bin));
        given.set(Attribute::Card, if card { Value::Present } else { Value::Absent });
        given.set(Attribute::Held, Value::Flag(held));
        given.set(Attribute::Asserted, Value::Flag(asserted));
        given.set(Attribute::Answer, text(answer));
        // Of every other attribute one of its values, or none where it may be lacking, by three bits each.
        let (flag, print) = (|on| Value::Flag(on), |on| if on { Value::Present } else { Value::Absent });
        let bits = |at: u64| usize::try_from(more >> (3 * at) & 7).unwrap();
        let word = |at, words: &'static [&'static str]| text(words.get(bits(at)).copied());
        let number = |at, numbers: &[i64]| numbers.get(bits(at)).map_or(Value::Absent, |it| Value::Number(*it));
        let maybe = |at| [false, true].get(bits(at)).map_or(Value::Absent, |it| Value::Flag(*it));
        for (attribute, value) in [
            (Attribute::Batch, flag(more & 1 == 1)),
            (Attribute::Combined, flag(more & 2 == 2)),
            (Attribute::Person, print(more & 4 == 4)),
            (Attribute::Phone, print(bits(1) & 1 == 1)),
            (Attribute::Agreement, print(bits(1) & 2 == 2)),
            (Attribute::CardKind, word(2, &["debit", "credit", "passbook", "corporate"])),
            (Attribute::Standing, word(3, &["good", "contradicted", "closed", "unknown"])),
            (Attribute::BankName, word(4, &["icbc", "ccb"])),
            (Attribute::Provider, word(5, &["upv", "other"])),
            (Attribute::Road, word(6, &["cup", "up", "house"])),
            (Attribute::Age, number(7, &[0, 7, 86_399, 86_400, i64::MAX])),
            (Attribute::Concordance, number(8, &[0, 499, 500, 1_000])),
            (Attribute::AccountClass, word(9, &["I", "II", "III"])),
            (Attribute::AccountLimit, word(10, &["no_class", "daily_limit"])),
            (Attribute::AccountLeft, number(11, &[0, 5, i64::MAX])),
            (Attribute::SecondAccount, maybe(12)),
            (Attribute::SharedPhone, maybe(13)),
            (Attribute::SecondClassThree, maybe(14)),
            (Attribute::PersonAccounts, number(15, &[0, 1, 2, 100])),
        ] {
            given.set(attribute, value);
        }
        let given = given.with(&inputs);
        let ours = set.rules()[0].holds(&given);
        let program = Program::compile(&source).unwrap();
        let theirs = program.execute(&context(&given, &set));
        match (ours, &theirs) {
            (Ok(ours), Ok(cel::Value::Bool(theirs))) => prop_assert_eq!(ours, *theirs, "{}", source),
            (Err(Fault::Overflow), Err(cel::ExecutionError::Overflow(..))) => (),
            _ => prop_assert!(false, "{source}: {ours:?} and {theirs:?}"),
        }
        // Its set comes to the same.
        let verdict = set.try_all(&given);
        prop_assert_eq!(verdict.hits.len(), usize::from(ours == Ok(true)));
        prop_assert_eq!(verdict.faults.first().map(|(_, fault)| *fault), ours.err());
        // What is explained comes to the same.
        let explained = set.rules()[0].explain(&given, set.inputs());
        prop_assert!(!explained.is_empty());
    }

    /// Whatever is written, it is refused with a place within the text or compiled; nothing panics.
    #[test]
    fn anything_may_be_written(source in "[a-z.()&|!=<>\"0-9 +*?:,\\[\\]（“金额]{0,40}") {
        for mistake in compiled(&source).err().unwrap_or_default() {
            prop_assert!(source.get(mistake.span.clone()).is_some(), "{source:?} {mistake:?}");
            let _ = (mistake.what.en(), mistake.what.zh());
        }
    }
}
