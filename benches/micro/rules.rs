//! What rules cost: a set of fifty on one payment, beside CEL's own interpreter in the same run, and a backtest of a million payments.

use crate::timed;
use cel::{Context, Program};
use hefu::domain::answer::Answer;
use hefu::domain::clock::Timestamp;
use hefu::domain::element::ElementSet;
use hefu::domain::id::{Bank, ChannelName, Fingerprint, KeyId, PaymentId, ProviderName};
use hefu::domain::money::Fen;
use hefu::domain::outcome::{Arrival, Outcome};
use hefu::domain::payment::{Mode, Scenario};
use hefu::policy::Effect;
use hefu::policy::rules::{
    Action, Attribute, Book, Draft, Given, Names, OnError, RuleId, Rules, State, Value,
};
use hefu::service::backtest::{Backtest, Fate};
use hefu::store::{Became, Evidence, Judged, Record, Stakes, Witness};
use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RULES: usize = 50;
/// What velocity is told to be.
const INPUTS: [Option<i64>; 1] = [Some(4)];
const AT: Timestamp = Timestamp::from_millis(1_795_795_200_000);

/// Five conditions, and the guard of one of them; all are looked at, and some rules hold.
fn source(number: usize) -> String {
    let bins: Vec<String> = (0..9).map(|bin| format!("\"62{number:02}{bin:02}\"")).collect();
    format!(
        "payment.scenario == \"debit\" && has(payment.amount) && payment.amount > {number} && has(card.bin) && card.bin in [\"622848\", {}] && payment.channel != \"x{number}\" && velocity(\"card\", \"debit\", \"1h\") >= {}",
        bins.join(", "),
        number % 9,
    )
}

fn rules() -> Rules {
    let draft = |number| Draft {
        id: RuleId::parse(&format!("rule-{number}")).unwrap(),
        name: "".into(),
        action: Action::Annotate,
        state: State::Live,
        reason: "r".into(),
        owner: "".into(),
        schedule: None,
        expires: None,
        on_error: OnError::Skip,
        source: source(number).into(),
        trial: false,
    };
    Rules::compile((0..RULES).map(draft).collect(), &Names::default(), "bench").unwrap()
}

/// A payment with all that the rules look at.
fn given(inputs: &[Option<i64>; 1]) -> Given<'_> {
    let mut given = Given::new(AT);
    given.set(Attribute::Scenario, Value::Text("debit"));
    given.set(Attribute::Channel, Value::Text("acme"));
    given.set(Attribute::Amount, Value::Number(300_000));
    given.set(Attribute::Bin, Value::Text("622848"));
    given.with(inputs)
}

/// What the set costs for one payment.
pub(crate) fn nanos() -> f64 {
    let (set, given) = (rules(), given(&INPUTS));
    timed::nanos(|| set.judge(black_box(&given), 7))
}

/// The set beside the same in CEL's own interpreter.
pub(crate) fn compare() {
    let hits = rules().judge(&given(&INPUTS), 7).hits.len();
    let programs: Vec<Program> =
        (0..RULES).map(|number| Program::compile(&source(number)).unwrap()).collect();
    let mut context = Context::default();
    let text = |text: &str| cel::Value::from(text);
    let payment = HashMap::from([
        ("scenario", text("debit")),
        ("channel", text("acme")),
        ("amount", cel::Value::from(300_000_i64)),
    ]);
    context.add_variable_from_value("payment", payment);
    context.add_variable_from_value("card", HashMap::from([("bin", text("622848"))]));
    let count = |_: Arc<String>, _: Arc<String>, _: Arc<String>| 4_i64;
    context.add_function("velocity", count).unwrap();
    let run = || {
        let came = programs.iter().map(|program| program.execute(&context).unwrap());
        came.filter(|came| *came == cel::Value::Bool(true)).count()
    };
    assert_eq!(run(), hits, "the two agree on how many hold");
    println!("{:<24} {:>8.0} ns", "fifty rules", nanos());
    println!("{:<24} {:>8.0} ns, by CEL's interpreter", "the same", timed::nanos_of(500, run));
}

/// A payment at `at` of one of a thousand cards.
fn record(number: u64) -> Record {
    let at = Timestamp::from_millis(AT.as_millis() + number * 600);
    let mut digest = [0; 32];
    for (slot, byte) in digest.iter_mut().zip((number % 1000).to_be_bytes()) {
        *slot = byte;
    }
    let outcome = if number.is_multiple_of(50) { Outcome::Unknown } else { Outcome::Succeeded };
    Record {
        payment: PaymentId::new(at, u128::from(number)),
        at,
        channel: ChannelName::new("acme"),
        scenario: Scenario::Debit,
        order: None,
        amount: Some(Fen::new(number)),
        carried: ElementSet::EMPTY,
        mode: Mode::Enforce,
        effect: Effect::Permit,
        reasons: Vec::new(),
        verified: Some(Evidence {
            answer: Answer::Match,
            elements: ElementSet::EMPTY,
            witness: Witness::Provider(ProviderName::new("upv")),
            road: None,
            at: AT,
            until: at,
            beside: None,
            origin: None,
        }),
        asked_now: false,
        routed: None,
        held_out: None,
        judged_in: Duration::ZERO,
        became: Became { outcome: Some((outcome, None, Arrival::Sync)), ..Became::default() },
        judged: Judged::default(),
        row_of: None,
        stakes: Stakes {
            card: Some(Fingerprint { key: KeyId(1), digest }),
            bank: Some(Bank::new("622848")),
            ..Stakes::default()
        },
    }
}

/// A million payments by fifty rules on one thread; reading them from a store comes on top.
pub(crate) fn backtest() {
    const PAYMENTS: u64 = 1_000_000;
    let book = Book { rules: rules(), lists: BTreeMap::new(), banks: BTreeMap::new() };
    let mut test = Backtest::new(Arc::new(book), Timestamp::default());
    let mut spent = Duration::ZERO;
    for number in 0..PAYMENTS {
        let record = record(number);
        let begun = Instant::now();
        test.feed(&record);
        spent += begun.elapsed();
    }
    let found = test.found();
    let good = found.any.hits.get(&Fate::Good).copied().unwrap_or_default();
    println!(
        "backtest: {PAYMENTS} payments by {RULES} rules in {spent:.2?}, {} of them hit and good",
        good.payments
    );
}
