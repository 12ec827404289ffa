//! `hefu report` of a short run over simulated traffic, beside what the providers and the core wrote down, and what the store keeps.

use crate::kept::Kept;
use crate::outside::{Kind, Outside};
use crate::process::Place;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// Hefu's name of each provider, and the simulation's.
const PROVIDERS: [(&str, &str); 4] = [
    ("tencent-bankcard4e", "tencent"),
    ("aliyun-bankcard4", "aliyun"),
    ("operator3-market", "operator3"),
    ("unionpay-auth72", "unionpay72"),
];

/// Kinds of message whose payments are judged by their elements.
const VERIFIED: [&str; 5] = ["debit", "pay", "bind", "withdraw", "payout"];

fn report(place: &Place, format: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
    command.arg("report").arg("--config").arg(place.path());
    let done = command.args(["--since", "1h", "--format", format]).output().unwrap();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && errors.is_empty(), "{errors}");
    String::from_utf8(done.stdout).unwrap()
}

fn text<'v>(of: &'v Value, key: &str) -> &'v str {
    of[key].as_str().unwrap_or("-")
}

fn number(of: &Value, key: &str) -> u64 {
    of[key].as_u64().unwrap_or_else(|| panic!("{key}: {of}"))
}

/// By scenario, elements and provider: asked, matched, billed, uncertain, reused.
type Usage = BTreeMap<(String, String, String), [u64; 5]>;

fn usage(told: &Value) -> Usage {
    let rows = told["usage"].as_array().unwrap().iter();
    let of =
        |row: &Value| ["scenario", "elements", "provider"].map(|key| text(row, key).to_owned());
    let counts = |row: &Value| {
        ["asked", "matched", "billed", "uncertain", "reused"].map(|key| number(row, key))
    };
    rows.map(|row| (of(row).into(), counts(row))).collect()
}

/// The same from the rows of the store, which know nothing of reports.
fn kept_usage(kept: &Kept) -> Usage {
    let mut usage = Usage::new();
    let mut add = |of: [&Value; 3], counts: [bool; 5]| {
        let of = of.map(|part| part.as_str().unwrap_or("-").to_owned());
        for (sum, one) in usage.entry(of.into()).or_default().iter_mut().zip(counts) {
            *sum += u64::from(one);
        }
    };
    for charge in &kept.charges {
        let (asked, billable) = (&charge["inquiry"], &charge["billable"]);
        let counts =
            [true, charge["answer"] == "match", billable == "yes", billable == "uncertain"];
        let [asks, matched, billed, uncertain] = counts;
        let of = [&asked["scenario"], &asked["set"], &asked["provider"]];
        add(of, [asks, matched, billed, uncertain, false]);
    }
    for open in &kept.inquiries {
        add(
            [&open["scenario"], &open["set"], &open["provider"]],
            [true, false, false, true, false],
        );
    }
    for payment in kept.payments.iter().filter(|payment| payment["asked_now"] != true) {
        let verified = &payment["verified"];
        let provider = &verified["witness"]["provider"];
        if provider.is_string() {
            add(
                [&payment["scenario"], &verified["elements"], provider],
                [false, false, false, false, true],
            );
        }
    }
    usage
}

/// What each provider wrote down of itself: asked, matched and billed, by Hefu's name of it and the elements that it was asked about.
fn theirs(lines: &[Value]) -> BTreeMap<(String, String), [u64; 3]> {
    let mut theirs = BTreeMap::<_, [u64; 3]>::new();
    for line in lines.iter().filter(|line| line["at"] == "provider") {
        let (ours, _) = PROVIDERS.iter().find(|(_, theirs)| line["provider"] == *theirs).unwrap();
        let counts = theirs.entry(((*ours).to_owned(), text(line, "elements").to_owned()));
        let counts = counts.or_default();
        for (sum, is) in
            counts.iter_mut().zip([true, line["matched"] == true, line["billable"] == true])
        {
            *sum += u64::from(is);
        }
    }
    theirs
}

/// The lines of a table below its head: its words, which may have spaces in them, and its numbers.
fn rows<'t>(table: &'t str, head: &str) -> Vec<(Vec<&'t str>, Vec<u64>)> {
    let below = table.lines().skip_while(|line| !line.starts_with(head)).skip(1);
    let rows = below.take_while(|line| !line.trim().is_empty()).map(|line| {
        let cells = line.split_whitespace();
        let is_number = |cell: &&str| cell.bytes().all(|byte| byte.is_ascii_digit());
        let (numbers, words): (Vec<&str>, Vec<&str>) = cells.partition(is_number);
        (words, numbers.into_iter().map(|cell| cell.parse().unwrap()).collect())
    });
    rows.collect()
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the seed, and what was compared, are shown")]
async fn the_report_of_a_run_is_what_the_providers_wrote_down() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let kind = Kind::file();
    let mut outside = Outside::start(seed, &kind.text()).await;
    let hefu = outside.hefu().await;
    outside.more(500).await;
    // The simulation takes its keys with it.
    let place = outside.place.copy();
    let (lines, _) = outside.end(hefu).await;
    let kept = Kept::read(&kind);
    let told: Value = serde_json::from_str(&report(&place, "json")).unwrap();
    let ours = usage(&told);
    assert_eq!(ours, kept_usage(&kept), "seed {seed}");
    let reused: u64 = ours.values().map(|counts| counts[4]).sum();
    assert_eq!(number(&told, "inquiries_saved"), reused);
    // By provider and elements, whatever it was asked for: to the last inquiry, but for what nobody knows.
    let mut sums = BTreeMap::<_, [u64; 5]>::new();
    for ((_, elements, provider), counts) in &ours {
        let sum = sums.entry((provider.clone(), elements.clone())).or_default();
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let theirs = theirs(&lines);
    let asked: u64 = theirs.values().map(|[asked, ..]| asked).sum();
    println!("{asked} inquiries of {} kinds, {reused} reused", theirs.len());
    assert!(asked > 100 && reused > 10, "it is no report of nothing");
    for (of, [asked, matched, billed]) in &theirs {
        let [our_asked, our_matched, our_billed, uncertain, _] =
            sums.get(of).copied().unwrap_or_default();
        let within = |ours: u64, theirs: u64| (ours..=ours + uncertain).contains(&theirs);
        let same =
            our_asked == *asked && within(our_matched, *matched) && within(our_billed, *billed);
        assert!(same, "seed {seed}: {of:?}: {:?}, by themselves {:?}", sums.get(of), theirs[of]);
    }
    let unasked = sums.iter().find(|(of, counts)| counts[0] > 0 && !theirs.contains_key(*of));
    assert_eq!(unasked, None, "seed {seed}: nobody knows of it");
    refusals(&told, &kept, &lines);
    same_as_a_table(&report(&place, "table"), &told, reused);
}

/// What was refused, by what the core was told.
fn refusals(told: &Value, kept: &Kept, lines: &[Value]) {
    let fates = |of: &Value| {
        let sums = of.as_object().unwrap().values();
        sums.map(|sum| number(sum, "payments")).sum::<u64>()
    };
    let (mut judged, mut refused) = (0, 0);
    for row in told["refusals"].as_array().unwrap() {
        assert_eq!(row["mode"], "enforce", "{row}");
        judged += number(&row["judged"], "payments");
        refused += fates(&row["refused"]);
        assert_eq!(fates(&row["not_asked"]), 0, "{row}");
    }
    let verified = |payment: &&Value| VERIFIED.contains(&text(payment, "scenario"));
    let sent = |payment: &&Value| payment["not_sent"] == false;
    let all: Vec<&Value> = kept.payments.iter().filter(verified).filter(sent).collect();
    let by_us = all.iter().filter(|payment| payment["effect"] == "refuse").count();
    assert_eq!((judged, refused), (all.len().try_into().unwrap(), by_us.try_into().unwrap()));
    // Each message of which the core was told a refusal is one of them, or a row of one.
    let ids: Vec<&str> = all.iter().map(|payment| text(payment, "payment")).collect();
    let refusals = lines.iter().filter(|line| {
        line["at"] == "core"
            && line["problem"]["type"] == "urn:hefu:refused"
            && line["problem"]["rows"].is_null()
    });
    let mut seen = 0;
    for line in refusals {
        assert!(ids.contains(&text(&line["problem"], "payment")), "{line}");
        seen += 1;
    }
    assert!(seen > 0 && refused >= seen, "{seen} of {refused}");
}

/// The table says what the object says.
fn same_as_a_table(table: &str, told: &Value, reused: u64) {
    let words = |row: &Value, keys: &[&str]| -> Vec<String> {
        let words = keys.iter().flat_map(|key| text(row, key).split(' '));
        words.map(str::to_owned).collect()
    };
    let expected: Vec<_> = told["usage"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let counts = ["asked", "matched", "billed", "uncertain", "reused"];
            (
                words(row, &["scenario", "elements", "provider"]),
                counts.map(|key| number(row, key)).to_vec(),
            )
        })
        .collect();
    let shown = |rows: Vec<(Vec<&str>, Vec<u64>)>| -> Vec<(Vec<String>, Vec<u64>)> {
        rows.into_iter()
            .map(|(words, numbers)| (words.into_iter().map(str::to_owned).collect(), numbers))
            .collect()
    };
    assert_eq!(shown(rows(table, "scenario")), expected, "{table}");
    let of = |row: &Value, what: &str, fate: &str| {
        row[what][fate]["payments"].as_u64().unwrap_or_default()
    };
    let expected: Vec<_> = told["refusals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let by = |fate| of(row, "refused", fate);
            let fates = row["refused"].as_object().unwrap().keys();
            let all = fates.map(|fate| by(fate)).sum();
            let numbers = vec![
                number(&row["judged"], "payments"),
                all,
                by("caught"),
                by("failed_anyway"),
                by("hurt"),
                by("unknown") + by("refused_before"),
                0,
                number(&row["missed"], "payments"),
            ];
            (words(row, &["channel", "scenario", "mode"]), numbers)
        })
        .collect();
    assert_eq!(shown(rows(table, "channel")), expected, "{table}");
    let saved = format!("{reused} inquiries were saved: an earlier answer was reused");
    assert_eq!(table.lines().last(), Some(&*saved));
}
