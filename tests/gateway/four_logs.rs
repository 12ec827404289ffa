//! The four logs side by side: what the core sent and was told, what channels and providers saw, what Hefu kept. It shares
//! nothing with those who wrote them.

use crate::kept::Kept;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Where Hefu's name of a provider is not the simulation's with something behind it.
const PROVIDERS: [(&str, &str); 4] = [
    ("tencent-bankcard4e", "tencent"),
    ("aliyun-bankcard4", "aliyun"),
    ("operator3-market", "operator3"),
    ("unionpay-auth72", "unionpay72"),
];

const MONEY: [&str; 4] = ["debit", "pay", "payout", "withdraw"];

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What must not be, by kind.
    pub(crate) faults: Vec<String>,
    /// Inquiries whose answer nobody knows any more: each is listed by Hefu as open.
    pub(crate) uncertain: Vec<String>,
    /// What there was to compare.
    pub(crate) counts: BTreeMap<&'static str, usize>,
}

impl Findings {
    fn fault(&mut self, kind: &str, what: impl std::fmt::Display) {
        self.faults.push(format!("{kind}: {what}"));
    }

    fn count(&mut self, what: &'static str, more: usize) {
        *self.counts.entry(what).or_default() += more;
    }
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap_or_default()
}

/// A value's word: `"accepted"`, or the name in `{"no_match": …}`.
fn word(value: &Value) -> &str {
    let inner = || value.as_object()?.keys().next().map(String::as_str);
    value.as_str().or_else(inner).unwrap_or_default()
}

/// The names of a message's payments: its rows, or its order.
fn names(line: &Value) -> Vec<&str> {
    let rows: Vec<&str> =
        line["rows"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    if rows.is_empty() { vec![text(line, "order")] } else { rows }
}

/// Compares.
pub(crate) fn compare(lines: &[Value], kept: &Kept) -> Findings {
    let mut findings = Findings::default();
    let at = |place: &'static str| lines.iter().filter(move |line| line["at"] == *place);
    let core: Vec<&Value> = at("core").filter(|line| line["channel"] != "plain").collect();
    let mut attempts = HashMap::<&str, Vec<&Value>>::new();
    for line in &core {
        attempts.entry(text(line, "message")).or_default().push(line);
    }
    let mut arrivals = HashMap::<&str, Vec<&Value>>::new();
    for line in at("channel") {
        arrivals.entry(text(line, "message")).or_default().push(line);
    }
    let books = Books::new(kept);
    findings.count("messages", attempts.len());
    findings.count("kept payments", kept.payments.len());
    channels(&mut findings, &attempts, &arrivals, &books);
    for (message, attempts) in &attempts {
        told(&mut findings, attempts, arrivals.get(message).map_or(&[], Vec::as_slice), &books);
    }
    left(&mut findings, &core, &arrivals, &books);
    inquiries(&mut findings, at("provider"), kept);
    findings
}

/// Hefu's own book, by what others know.
struct Books<'k> {
    by_id: HashMap<&'k str, &'k Value>,
    by_order: HashMap<(&'k str, &'k str), Vec<&'k Value>>,
    by_batch: HashMap<&'k str, Vec<&'k Value>>,
    owed: BTreeSet<&'k str>,
    held_for: BTreeSet<&'k str>,
}

impl<'k> Books<'k> {
    fn new(kept: &'k Kept) -> Self {
        let mut books = Self {
            by_id: HashMap::new(),
            by_order: HashMap::new(),
            by_batch: HashMap::new(),
            owed: kept.expectations.iter().filter_map(|row| row[1].as_str()).collect(),
            held_for: kept.holds.iter().map(|hold| text(hold, "payment")).collect(),
        };
        for payment in &kept.payments {
            books.by_id.insert(text(payment, "payment"), payment);
            let order = (text(payment, "channel"), text(payment, "order"));
            books.by_order.entry(order).or_default().push(payment);
            if let Some(batch) = payment["row_of"][0].as_str() {
                books.by_batch.entry(batch).or_default().push(payment);
            }
        }
        books
    }

    /// Whether its outcome is still owed.
    fn is_owed(&self, payment: &Value) -> bool {
        self.owed.contains(text(payment, "payment"))
    }
}

/// Whether it may have left, by Hefu's own word.
fn may_have_left(payment: &Value) -> bool {
    payment["effect"] != "refuse" && payment["not_sent"] == false
}

/// Whether its end is known.
fn is_ended(payment: &Value) -> bool {
    let outcome = &payment["outcome"];
    !outcome.is_null() && !["accepted", "unknown", "unmapped"].contains(&word(&outcome[0]))
}

/// What reached channels: the core's own words, once for each time it sent them, money once at all, and known.
fn channels(
    findings: &mut Findings,
    attempts: &HashMap<&str, Vec<&Value>>,
    arrivals: &HashMap<&str, Vec<&Value>>,
    books: &Books<'_>,
) {
    let mut orders = HashMap::<_, usize>::new();
    for (message, arrivals) in arrivals {
        let arrival = arrivals[0];
        let what = format!("{} {} {}", arrival["channel"], arrival["kind"], arrival["order"]);
        let Some(sent) = attempts.get(message) else {
            findings.fault("nobody sent it", &what);
            continue;
        };
        if arrivals.iter().any(|arrival| arrival["signed"] != true) {
            findings.fault("its signature does not hold", &what);
        }
        let may_leave = sent.iter().filter(|one| one["problem"].is_null()).count();
        if arrivals.len() > may_leave {
            findings.fault("forwarded more often than sent", &what);
        }
        if !MONEY.contains(&text(sent[0], "scenario")) {
            continue;
        }
        findings.count("money messages that arrived", 1);
        let order = (text(arrival, "channel"), text(arrival, "kind"), text(arrival, "order"));
        let before = orders.entry(order).or_default();
        *before += arrivals.len();
        if *before > 1 {
            findings.fault("forwarded twice", &what);
        }
        for name in names(sent[0]) {
            let known = books.by_order.get(&(text(arrival, "channel"), name));
            let known = known.into_iter().flatten();
            let scenario = &sent[0]["scenario"];
            let known = known.filter(|it| may_have_left(it) && it["scenario"] == *scenario);
            let known: Vec<_> = known.collect();
            let [payment] = known.as_slice() else {
                let ids = known.iter().map(|payment| text(payment, "payment")).collect::<Vec<_>>();
                findings.fault("not recorded, or more than once", format!("{what} {ids:?}"));
                continue;
            };
            if payment["mode"] != "enforce" {
                findings.fault("not enforced", &what);
            }
            if !is_ended(payment) {
                findings.count("money messages that are owed", 1);
                if !books.is_owed(payment) {
                    findings.fault("left and forgotten", format!("{what} {name}"));
                }
            }
        }
    }
}

/// What the core was told of one message, against where it came.
fn told(findings: &mut Findings, attempts: &[&Value], arrivals: &[&Value], books: &Books<'_>) {
    for attempt in attempts {
        let what = format!("{} {} {}", attempt["channel"], attempt["scenario"], attempt["order"]);
        let headers = &attempt["headers"];
        let id = text(headers, "hefu-payment").trim_matches('"');
        if attempt["status"].is_null() {
            findings.count("attempts without an answer", 1);
        } else if !attempt["problem"].is_null() {
            findings.count("attempts that were refused", 1);
        } else if arrivals.is_empty() {
            findings.fault("answered and never left", &what);
        }
        let mut outcome = text(headers, "hefu-outcome").split(';');
        // The answer to a query tells of the payment that it asks about.
        let of = outcome.clone().find_map(|it| it.strip_prefix("payment="));
        let (of, outcome) = (of.map_or(id, |of| of.trim_matches('"')), outcome.next().unwrap());
        if ["no_match", "reversed"].contains(&outcome) {
            findings.count("outcomes that must last", 1);
            let Some(payment) = books.by_id.get(of) else {
                findings.fault("an outcome is lost", format!("{what}: no record"));
                continue;
            };
            if word(&payment["outcome"][0]) != outcome {
                findings.fault("an outcome is lost", format!("{what}: {}", payment["outcome"]));
            }
            findings.count("outcomes that hold", usize::from(books.held_for.contains(of)));
        }
        for row in text(headers, "hefu-rows").split(", ").filter(|row| row.contains("=no_match")) {
            let number: u64 = row.split(';').next().unwrap().parse().unwrap();
            if !row.contains("outcome=no_match") {
                continue;
            }
            findings.count("outcomes that must last", 1);
            // A query tells of the rows of a batch under the batch's order.
            let (channel, batch) =
                (text(attempt, "channel"), format!("{}|", text(attempt, "order")));
            let asked = books.by_order.iter().filter(|((of, order), _)| {
                attempt["scenario"] == "query" && *of == channel && order.starts_with(&batch)
            });
            let asked = asked.flat_map(|(_, payments)| payments);
            let rows = books.by_batch.get(id).into_iter().flatten().chain(asked);
            let mut rows = rows.filter(|payment| payment["row_of"][1] == number);
            if !rows.any(|payment| word(&payment["outcome"][0]) == "no_match") {
                findings.fault("an outcome is lost", format!("{what}: row {number}"));
            }
        }
    }
    let refused = |attempt: &&Value| attempt["problem"]["forwarded"] == false;
    if attempts.iter().all(refused) && !arrivals.is_empty() {
        findings.fault("told that it did not leave, and it did", attempts[0]);
    }
}

/// What Hefu says that left, against what arrived: what did not is in doubt, and owed.
fn left(
    findings: &mut Findings,
    core: &[&Value],
    arrivals: &HashMap<&str, Vec<&Value>>,
    books: &Books<'_>,
) {
    let money = core.iter().filter(|line| MONEY.contains(&text(line, "scenario")));
    let arrived: BTreeSet<(&str, &str)> = money
        .filter(|line| arrivals.contains_key(text(line, "message")))
        .flat_map(|line| names(line).into_iter().map(|name| (text(line, "channel"), name)))
        .collect();
    for (order, payments) in &books.by_order {
        let moves = |payment: &&&Value| MONEY.contains(&text(payment, "scenario"));
        for payment in payments.iter().filter(moves).filter(|payment| may_have_left(payment)) {
            if arrived.contains(order) {
                continue;
            }
            findings.count("admitted and in doubt", 1);
            if is_ended(payment) {
                findings.fault("an outcome of what never left", payment);
            } else if !books.is_owed(payment) {
                findings.fault("in doubt and forgotten", payment);
            }
        }
    }
}

/// Hefu's count of inquiries against each provider's own.
fn inquiries<'l>(findings: &mut Findings, lines: impl Iterator<Item = &'l Value>, kept: &Kept) {
    let theirs = |hefu: &Value| {
        let known = PROVIDERS.iter().find(|(ours, _)| hefu == *ours);
        known.unwrap().1
    };
    let mut asked = BTreeMap::<&str, Vec<&Value>>::new();
    for line in lines {
        asked.entry(text(line, "provider")).or_default().push(line);
    }
    let charges: HashMap<&str, &Value> =
        kept.charges.iter().map(|charge| (text(&charge["inquiry"], "id"), charge)).collect();
    let open: HashMap<&str, &Value> =
        kept.inquiries.iter().map(|inquiry| (text(inquiry, "id"), inquiry)).collect();
    for (id, inquiry) in &open {
        if !charges.contains_key(id) {
            findings.uncertain.push(format!("{} {id}", text(inquiry, "provider")));
        }
    }
    findings.count("inquiries", charges.len());
    for (provider, asked) in &asked {
        let billed = asked.iter().filter(|line| line["billable"] == true).count();
        findings.count("billed inquiries", billed);
        let ours = charges.values().filter(|it| theirs(&it["inquiry"]["provider"]) == *provider);
        let with = |word: &str| ours.clone().filter(|charge| charge["billable"] == *word).count();
        let (yes, uncertain) = (with("yes"), with("uncertain"));
        let open_here = open
            .iter()
            .filter(|(id, it)| theirs(&it["provider"]) == *provider && !charges.contains_key(*id));
        let in_doubt = uncertain + open_here.count();
        if billed < yes || billed > yes + in_doubt {
            let what = format!("{provider} {billed}, we {yes} and {in_doubt} uncertain");
            findings.fault("another count of billed inquiries", what);
        }
        let mut seen = BTreeSet::new();
        for line in asked.iter().filter(|line| line["inquiry"].is_string()) {
            let id = text(line, "inquiry");
            if !seen.insert(id) {
                findings.fault("asked twice", id);
            }
            let charge = charges.get(id).map(|charge| text(charge, "billable"));
            match (charge, open.contains_key(id)) {
                (None, true) | (Some("uncertain"), _) => (),
                (None, false) => findings.fault("asked and forgotten", id),
                (Some(ours), _) if (ours == "yes") == (line["billable"] == true) => (),
                (Some(ours), _) => findings.fault("billed otherwise", format!("{ours}: {line}")),
            }
        }
        let known_by_id = asked.iter().any(|line| line["inquiry"].is_string());
        for charge in ours.filter(|charge| known_by_id && charge["billable"] == "yes") {
            let id = text(&charge["inquiry"], "id");
            if !seen.contains(id) {
                findings.fault("billed and never asked", id);
            }
        }
    }
}
