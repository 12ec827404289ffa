//! `hefu report` of a short run over simulated traffic, beside what the providers and the core wrote down, and what the store keeps.

use crate::kept::Kept;
use crate::outside::{Kind, Outside};
use crate::process::Place;
use crate::statement::PRICES;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
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

/// What the simulated cards begin with, and who issued them; whose `629906` is nobody knows.
const BANKS: [(&str, &str); 7] = [
    ("629901", "HARBOUR"),
    ("628801", "HARBOUR"),
    ("629902", "DELTA"),
    ("628802", "DELTA"),
    ("629903", "ORCHARD"),
    ("629904", "GRANITE"),
    ("629905", "LANTERN"),
];

/// By what it is counted where everything is told apart.
const ALL: [&str; 5] = ["scenario", "kind", "elements", "provider", "bank"];

fn report(place: &Place, by: &[&str], format: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
    command.arg("report").arg("--config").arg(place.path()).arg("--by").arg(by.join(","));
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

/// What is counted of a group: asked, matched, billed, uncertain, reused; and how long each took of which that is known.
type Usage = BTreeMap<[String; 5], ([u64; 5], Vec<u64>)>;

fn usage(told: &Value) -> BTreeMap<[String; 5], ([u64; 5], Value)> {
    let rows = told["groups"].as_array().unwrap().iter();
    let of = |row: &Value| ALL.map(|key| text(row, key).to_owned());
    let counts = |row: &Value| {
        let [asked, billed, uncertain, reused] =
            ["asked", "billed", "uncertain", "reused"].map(|key| number(row, key));
        [asked, number(&row["answers"], "match"), billed, uncertain, reused]
    };
    let some = rows.filter(|row| counts(row) != [0; 5]);
    some.map(|row| (of(row), (counts(row), row["latency"].clone()))).collect()
}

/// The same from the rows of the store, which know nothing of reports.
fn kept_usage(kept: &Kept) -> Usage {
    let mut usage = Usage::new();
    let mut add = |of: [&Value; 4], bank: &Value, counts: [bool; 5], took: &Value| {
        let [scenario, kind, set, provider] =
            of.map(|part| part.as_str().unwrap_or("-").to_owned());
        let issuer = BANKS.iter().find(|(bin, _)| bank == bin).map_or("-", |(_, name)| *name);
        let of = [scenario, kind, set, provider, issuer.to_owned()];
        let (sums, times) = usage.entry(of).or_default();
        sums.iter_mut().zip(counts).for_each(|(sum, one)| *sum += u64::from(one));
        times.extend(took.as_u64());
    };
    for charge in &kept.charges {
        let (asked, billable) = (&charge["inquiry"], &charge["billable"]);
        let counts =
            [true, charge["answer"] == "match", billable == "yes", billable == "uncertain", false];
        let of = [&asked["scenario"], &asked["kind"], &asked["set"], &asked["provider"]];
        add(of, &asked["bank"], counts, &charge["took_ms"]);
    }
    for open in &kept.inquiries {
        let of = [&open["scenario"], &open["kind"], &open["set"], &open["provider"]];
        add(of, &open["bank"], [true, false, false, true, false], &Value::Null);
    }
    let elements = Value::from("elements");
    let earlier = |payment: &&Value| {
        payment["asked_now"] != true && VERIFIED.contains(&text(payment, "scenario"))
    };
    for payment in kept.payments.iter().filter(earlier) {
        let verified = &payment["verified"];
        // None where a channel said so.
        let provider = &verified["witness"]["provider"];
        if verified.is_object() {
            let of = [&payment["scenario"], &elements, &verified["elements"], provider];
            let bank = &payment["stakes"]["bank"];
            add(of, bank, [false, false, false, false, true], &Value::Null);
        }
    }
    usage
}

/// Nearest rank, of times to three digits.
fn percentile(times: &[u64], percent: usize) -> Value {
    let short = |ms: &u64| {
        let digits = u32::try_from(ms.to_string().len()).unwrap();
        ms - ms % 10_u64.pow(digits.max(3) - 3)
    };
    let mut times: Vec<u64> = times.iter().map(short).collect();
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100);
    rank.checked_sub(1).map_or(Value::Null, |at| times[at].into())
}

/// What each provider wrote down of itself: asked, matched and billed, by Hefu's name of it, the elements and the card's bank.
fn theirs(lines: &[Value]) -> BTreeMap<[String; 3], [u64; 3]> {
    let mut theirs = BTreeMap::<_, [u64; 3]>::new();
    for line in lines.iter().filter(|line| line["at"] == "provider") {
        let (ours, _) = PROVIDERS.iter().find(|(_, theirs)| line["provider"] == *theirs).unwrap();
        let of = [*ours, text(line, "elements"), text(line, "bank")].map(str::to_owned);
        let counts = theirs.entry(of).or_default();
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

/// The banks, as the operator names them.
fn banks(place: &Place) {
    let mut named = BTreeMap::<&str, Vec<&str>>::new();
    for (bin, name) in BANKS {
        named.entry(name).or_default().push(bin);
    }
    let bank = |(name, bins)| format!("[[bank]]\nname = \"{name}\"\nbins = {bins:?}\n");
    std::fs::create_dir_all(place.path().join("rules")).unwrap();
    place.write("rules/banks.toml", named.iter().map(bank).collect::<String>());
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the seed, and what was compared, are shown")]
async fn the_report_of_a_run_is_what_the_providers_wrote_down() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let kind = Kind::file();
    let mut outside = Outside::start(seed, &kind.text()).await;
    banks(&outside.place);
    let hefu = outside.hefu().await;
    outside.more(500).await;
    // The simulation takes its keys with it.
    let place = outside.place.copy();
    let (lines, _) = outside.end(hefu).await;
    let kept = Kept::read(&kind);
    let told: Value = serde_json::from_str(&report(&place, &ALL, "json")).unwrap();
    let ours = usage(&told);
    let shown = kept_usage(&kept).into_iter().map(|(of, (counts, times))| {
        let [p50, p90, p99] = [50, 90, 99].map(|percent| percentile(&times, percent));
        let latency = json!({ "known": times.len(), "p50_ms": p50, "p90_ms": p90, "p99_ms": p99 });
        (of, (counts, latency))
    });
    assert_eq!(ours, shown.collect::<BTreeMap<_, _>>(), "seed {seed}");
    let reused: u64 = ours.values().map(|(counts, _)| counts[4]).sum();
    assert_eq!(number(&told, "inquiries_saved"), reused);
    by_themselves(&ours, &theirs(&lines), seed);
    costs(&told);
    refusals(&told, &kept, &lines);
    let by = ["scenario", "elements", "provider"];
    let told: Value = serde_json::from_str(&report(&place, &by, "json")).unwrap();
    same_as_a_table(&report(&place, &by, "table"), &told, reused);
}

/// By provider, elements and bank, whatever it was asked for: to the last inquiry, but for what nobody knows.
fn by_themselves(
    ours: &BTreeMap<[String; 5], ([u64; 5], Value)>,
    theirs: &BTreeMap<[String; 3], [u64; 3]>,
    seed: u64,
) {
    let mut sums = BTreeMap::<_, [u64; 5]>::new();
    for ([_, kind, elements, provider, bank], (counts, _)) in ours {
        assert_eq!(kind, "elements");
        let of = [provider, elements, bank].map(Clone::clone);
        let sum = sums.entry(of).or_default();
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let asked: u64 = theirs.values().map(|[asked, ..]| asked).sum();
    let banks: BTreeSet<_> = theirs.keys().map(|[_, _, bank]| bank.as_str()).collect();
    assert!(asked > 100 && banks.len() > 5, "it is no report of nothing: {asked}, {banks:?}");
    for (of, [asked, matched, billed]) in theirs {
        let [our_asked, our_matched, our_billed, uncertain, _] =
            sums.get(of).copied().unwrap_or_default();
        let within = |ours: u64, theirs: u64| (ours..=ours + uncertain).contains(&theirs);
        let same =
            our_asked == *asked && within(our_matched, *matched) && within(our_billed, *billed);
        assert!(same, "seed {seed}: {of:?}: {:?}, by themselves {:?}", sums.get(of), theirs[of]);
    }
    let unasked = sums.iter().find(|(of, counts)| counts[0] > 0 && !theirs.contains_key(*of));
    assert_eq!(unasked, None, "seed {seed}: nobody knows of it");
}

/// Each answer is counted once, each that is no match has a reason, and each that is billed costs its price.
fn costs(told: &Value) {
    let sum =
        |of: &Value| of.as_object().unwrap().values().map(|it| it.as_u64().unwrap()).sum::<u64>();
    let mut fen = 0;
    for row in told["groups"].as_array().unwrap() {
        let [asked, matched] = [number(row, "asked"), number(&row["answers"], "match")];
        assert_eq!((sum(&row["answers"]), sum(&row["reasons"])), (asked, asked - matched), "{row}");
        let price = PRICES.iter().find(|(ours, ..)| text(row, "provider") == *ours);
        let price = price.map_or(0, |(.., price)| *price);
        for [count, cost] in [["billed", "cost_fen"], ["uncertain", "uncertain_fen"]] {
            assert_eq!(number(row, cost), number(row, count) * price, "{row}");
        }
        fen += number(row, "cost_fen");
    }
    assert!(fen > 1_000, "it is no report of nothing");
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

/// The words of a row, as they stand in a table.
fn words(row: &Value, keys: &[&str]) -> Vec<String> {
    keys.iter().flat_map(|key| text(row, key).split(' ')).map(str::to_owned).collect()
}

fn shown(rows: Vec<(Vec<&str>, Vec<u64>)>) -> Vec<(Vec<String>, Vec<u64>)> {
    let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
    rows.into_iter().map(|(words, numbers)| (owned(words), numbers)).collect()
}

/// The table says what the object says.
fn same_as_a_table(table: &str, told: &Value, reused: u64) {
    let by = ["scenario", "elements", "provider"];
    let groups = told["groups"].as_array().unwrap();
    let below = |column: &str,
                 numbers: &dyn Fn(&Value) -> Vec<u64>,
                 more: &dyn Fn(&Value) -> Vec<String>| {
        let expected =
            groups.iter().map(|row| ([words(row, &by), more(row)].concat(), numbers(row)));
        let head = table.lines().find(|line| line.starts_with("scenario") && line.contains(column));
        assert_eq!(shown(rows(table, head.unwrap())), expected.collect::<Vec<_>>(), "{table}");
    };
    let answers = [
        "match",
        "close_match",
        "no_match",
        "no_record",
        "not_possible",
        "limited",
        "invalid",
        "unavailable",
        "open",
    ];
    below(
        " asked ",
        &|row| {
            let answers = answers.map(|key| number(&row["answers"], key));
            std::iter::once(number(row, "asked")).chain(answers).collect()
        },
        &|row| {
            let share = row["match_permille"].as_u64();
            vec![share.map_or("-".to_owned(), |it| format!("{}.{}", it / 10, it % 10))]
        },
    );
    let took = ["p50_ms", "p90_ms", "p99_ms"];
    below(
        " billed ",
        &|row| {
            let counts = ["billed", "cost_fen", "uncertain", "uncertain_fen", "reused"];
            let counts = counts.map(|key| number(row, key)).into_iter();
            counts.chain(took.iter().filter_map(|key| row["latency"][key].as_u64())).collect()
        },
        &|row| {
            let unknown = took.iter().filter(|key| row["latency"][key].is_null());
            unknown.map(|_| "-".to_owned()).collect()
        },
    );
    reasons(table, groups, &by);
    same_refusals(table, told);
    let saved = format!("{reused} inquiries were saved: an earlier answer was reused");
    assert_eq!(table.lines().last(), Some(&*saved));
}

/// What was refused, too.
fn same_refusals(table: &str, told: &Value) {
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
}

/// Every reason has a line.
fn reasons(table: &str, groups: &[Value], by: &[&str]) {
    let mut expected = Vec::new();
    for row in groups {
        let group: Vec<_> = by.iter().map(|key| text(row, key)).collect();
        for (field, begins) in [("reasons", ""), ("untold", "payments: ")] {
            for (why, count) in row[field].as_object().unwrap() {
                let line = format!("{} {begins}{why} {count}", group.join(" "));
                expected.push(line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
            }
        }
    }
    let below = table.lines().skip_while(|line| !line.contains(" why ")).skip(1);
    let lines = below.take_while(|line| !line.trim().is_empty());
    let lines = lines.map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(lines.collect::<Vec<_>>(), expected, "{table}");
    assert!(!expected.is_empty());
}
