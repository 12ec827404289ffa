//! What Hefu says that verification cost, beside what the providers themselves wrote down.

use crate::process::Place;
use jiff::Zoned;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Hefu's name of each provider, the simulation's, and what it bills, in fen, by `hefu.toml` of the simulation.
pub(crate) const PRICES: [(&str, &str, u64); 4] = [
    ("tencent-bankcard4e", "tencent", 60),
    ("aliyun-bankcard4", "aliyun", 50),
    ("operator3-market", "operator3", 20),
    ("unionpay-auth72", "unionpay72", 80),
];

/// The month, as China has it.
pub(crate) fn month() -> String {
    let now: Zoned = jiff::Timestamp::now().to_zoned(TimeZone::fixed(jiff::tz::offset(8)));
    now.strftime("%Y-%m").to_string()
}

/// `hefu statement`: whether it succeeds, and what it says.
fn statement(place: &Place, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
    command.arg("statement").arg("--config").arg(place.path()).args(arguments);
    let done = command.output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    (done.status.success(), said)
}

/// To the fen, but for what is uncertain: what each provider billed between `begun`, a month, and now.
pub(crate) fn agrees(place: &Place, lines: &[Value], begun: &str) {
    let asked: Vec<&Value> = lines.iter().filter(|line| line["at"] == "provider").collect();
    let mut ours = BTreeMap::<String, (u64, u64)>::new();
    for month in BTreeSet::from([begun.to_owned(), month()]) {
        let (fine, said) = statement(place, &["--month", &month, "--format", "json"]);
        assert!(fine, "{said}");
        let said: Value = serde_json::from_str(&said).unwrap();
        for line in said["lines"].as_array().unwrap() {
            let fen = |what: &str| line[what].as_u64().unwrap();
            let sum = ours.entry(line["provider"].as_str().unwrap().to_owned()).or_default();
            *sum = (sum.0 + fen("cost_fen"), sum.1 + fen("uncertain_fen"));
        }
    }
    for (name, theirs, price) in PRICES {
        let billed = asked
            .iter()
            .filter(|line| line["provider"] == theirs && line["billable"] == true)
            .count();
        let billed = u64::try_from(billed).unwrap() * price;
        let (cost, uncertain) = ours.get(name).copied().unwrap_or_default();
        assert!(
            (cost..=cost + uncertain).contains(&billed),
            "{name}: we have {cost} fen and {uncertain} uncertain, they {billed}"
        );
    }
    let all: u64 = ours.values().map(|(cost, _)| cost).sum();
    assert!(all > 1_000, "it is no statement of nothing");
    bill(place, &asked, begun);
}

/// The bill of a provider that writes our ids: nothing differs but what was uncertain, and every forged line is found.
fn bill(place: &Place, asked: &[&Value], month: &str) {
    let of = |name: &str| {
        let theirs = PRICES.iter().find(|(ours, ..)| *ours == name).unwrap().1;
        let billed = asked.iter().filter(move |line| {
            line["provider"] == theirs && line["billable"] == true && line["inquiry"].is_string()
        });
        billed.map(|line| line["inquiry"].as_str().unwrap()).collect::<Vec<_>>()
    };
    let with_ids =
        PRICES.iter().filter(|(name, ..)| !of(name).is_empty()).max_by_key(|it| of(it.0).len());
    let Some((name, _, price)) = with_ids else { return };
    let mut text = "inquiry,fen\n".to_owned();
    text.extend(of(name).iter().map(|id| format!("{id},{price}\n")));
    let check = |text: &str| {
        place.write("bill.csv", text);
        let path = place.path().join("bill.csv");
        let file = path.to_str().unwrap();
        let arguments =
            ["--month", month, "--provider", name, "--invoice", file, "--format", "csv"];
        let (same, said) = statement(place, &arguments);
        let mut differences: Vec<String> = said.lines().skip(1).map(str::to_owned).collect();
        assert_eq!(same, differences.is_empty(), "{said}");
        differences.retain(|line| !line.starts_with("uncertain_and_billed"));
        differences
    };
    assert_eq!(check(&text), Vec::<String>::new());
    let ids = of(name);
    let (first, last) = (ids.first().unwrap(), ids.last().unwrap());
    let forged = text.replacen(&format!("{last},{price}\n"), "", 1);
    let dear = price + 1;
    let forged =
        format!("{forged}{first},{price}\n00000000000000000000000000,{price}\n{last},{dear}\n");
    let found = check(&forged);
    let words: Vec<&str> = found.iter().filter_map(|line| line.split(',').next()).collect();
    assert_eq!(words, ["billed_twice", "never_asked", "other_rate"], "{found:?}");
}
