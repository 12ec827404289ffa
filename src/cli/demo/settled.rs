//! The end of the demo: what never came is missing, and a channel's statement settles what it can.

use crate::app::Running;
use crate::cli::Failure;
use crate::cli::client::{AdminArgs, Client};
use crate::cli::demo::setup::Place;
use crate::cli::settle::Settle;
use crate::domain::id::{ChannelName, OrderId};
use crate::domain::outcome::Outcome;
use crate::sim::{Count, Ended, Simulation};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Settled {
    /// Outcomes that never came, beside those of which Hefu says so.
    pub(super) missing: Count,
    /// By kind how the halves of payments differ of which notifications are told, beside what Hefu says of them after the statement.
    mismatches: BTreeMap<String, Count>,
    /// What the command said.
    pub(super) said: Vec<u8>,
    /// How many payments are owed an outcome after it, of those channels.
    open: u64,
    /// How many do not stand as the channel's own books have them.
    wrong: u64,
    /// Payments by the channels' own books.
    ended: u64,
}

impl Settled {
    /// Looks for what is missing, and settles.
    ///
    /// # Errors
    /// Where Hefu cannot be asked, or a file cannot be written.
    pub(super) async fn new(
        place: &Place,
        simulation: &Simulation,
        running: &Running,
    ) -> Result<Self, Failure> {
        let Some(admin) = running.admin else { return Ok(Self::default()) };
        let admin = AdminArgs::new(format!("http://{admin}"), place.token_file());
        let store = || Failure::Usage("the demo's store cannot be read".to_owned());
        running.sweep_at_the_end().await.map_err(|_| store())?;
        let client = Client::new(&admin)?;
        let mut settled = Self { missing: missing(simulation, &client).await?, ..Self::default() };
        for channel in simulation.channels() {
            let ended = simulation.ended(channel);
            // Not every channel writes statements.
            if ended.is_empty() {
                continue;
            }
            let today = Timestamp::now().to_zoned(TimeZone::fixed(Offset::constant(8))).date();
            let days =
                [today.yesterday().unwrap_or(today), today, today.tomorrow().unwrap_or(today)];
            // On days without payments no line names them.
            let merchants: BTreeSet<&str> =
                ended.iter().filter_map(|it| it.order.split('|').next()).collect();
            let merchants: Vec<String> = merchants.into_iter().map(str::to_owned).collect();
            for day in days {
                let lines: &[Ended] = if day == today { &ended } else { &[] };
                let path = place.dir().join(format!("{channel}-{day}.zip"));
                std::fs::write(&path, simulation.statement(lines)?)?;
                let of = (day, merchants.clone());
                let settle = Settle::new(vec![path], channel, of, place.dir(), admin.clone());
                match settle.run(&mut settled.said).await {
                    // What differs is judged below.
                    Ok(()) | Err(Failure::Reported) => (),
                    Err(failure) => return Err(failure),
                }
            }
            let name = ChannelName::new(channel);
            let open = running.service.store.expectations(&name);
            settled.open += u64::try_from(open).unwrap_or(u64::MAX);
            for it in &ended {
                settled.ended += 1;
                settled.wrong += u64::from(!stands(running, &name, it));
            }
            let said = said(&client, "").await?;
            let of_it = said.into_iter().filter(|it| it.channel == channel);
            // What was overdue came by the statement, and is judged before it.
            let said = of_it.filter(|it| it.kind != MISSING).map(|it| (it.order, it.kind));
            settled.mismatches.extend(simulation.in_the_end(channel, &said.collect()));
        }
        Ok(settled)
    }

    /// What was not found of mismatches by then, or invented.
    pub(super) fn differences(&self) -> impl Iterator<Item = String> {
        let differ = |it: &Count| it.found != it.truly || it.falsely > 0;
        let wrong = self.mismatches.iter().filter(move |(_, count)| differ(count));
        wrong.map(|(kind, count)| format!("after the statement, {kind}: {count:?}"))
    }

    /// What does not hold, and how often.
    pub(super) const fn faults(&self) -> [(&'static str, u64); 2] {
        [
            ("outcomes owed after the statement", self.open),
            ("payments that do not stand as the statement says", self.wrong),
        ]
    }

    pub(super) fn json(&self) -> Value {
        let mismatches: serde_json::Map<String, Value> = self
            .mismatches
            .iter()
            .map(|(kind, it)| {
                (kind.clone(), json!({ "true": it.truly, "found": it.found, "false": it.falsely }))
            })
            .collect();
        json!({ "payments": self.ended, "open": self.open, "wrong": self.wrong, "mismatches": mismatches })
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        let all = |of: fn(&Count) -> u64| self.mismatches.values().map(of).sum::<u64>();
        format!(
            "{} payments, {} of them owed an outcome after it, {} not as it says; {} mismatches told by any arrival, {} found, {} false",
            self.ended,
            self.open,
            self.wrong,
            all(|it| it.truly),
            all(|it| it.found),
            all(|it| it.falsely)
        )
    }
}

/// Whether a payment stands in the end as the channel's own books have it. One that Hefu refused is not in them.
fn stands(running: &Running, channel: &ChannelName, it: &Ended) -> bool {
    let store = &running.service.store;
    let payments = store.by_order(channel, &OrderId(it.order.as_str().into()));
    let mut left = payments.into_iter().filter_map(|payment| {
        let record = store.record(payment)?;
        record.left().then_some(record.outcome)
    });
    let outcome = left.next().flatten();
    outcome.is_some_and(|(outcome, ..)| match outcome {
        Outcome::Succeeded => it.succeeded,
        Outcome::NoMatch(_) | Outcome::Declined(_) => !it.succeeded,
        Outcome::Reversed | Outcome::Accepted | Outcome::Unknown | Outcome::Unmapped => false,
    })
}

/// The kind of what never came.
const MISSING: &str = "missing_outcome";

/// A mismatch that Hefu lists.
struct Said {
    channel: String,
    order: String,
    kind: String,
}

/// The mismatches that Hefu lists, of those that `which` asks for.
async fn said(client: &Client, which: &str) -> Result<Vec<Said>, Failure> {
    let (mut said, mut before) = (Vec::new(), String::new());
    loop {
        let page: Value = client.get(&format!("/v1/mismatches?most=500{which}{before}")).await?;
        for it in page.get("mismatches").and_then(Value::as_array).into_iter().flatten() {
            let field = |name| it.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            said.push(Said {
                channel: field("channel"),
                order: field("order"),
                kind: field("kind"),
            });
        }
        match page.get("next").and_then(Value::as_str) {
            Some(next) => before = format!("&before={next}"),
            None => return Ok(said),
        }
    }
}

/// What never came, beside what Hefu says.
async fn missing(simulation: &Simulation, client: &Client) -> Result<Count, Failure> {
    // Of channels that write no statements the books do not tell what a query was answered: that it is under way, perhaps.
    let payments: BTreeSet<(String, String)> = simulation
        .channels()
        .into_iter()
        .flat_map(|name| {
            simulation.ended(name).into_iter().map(move |it| (name.to_owned(), it.order))
        })
        .collect();
    let writes = |channel: &str| payments.iter().any(|(name, _)| name == channel);
    let said = said(client, &format!("&kind={MISSING}")).await?.into_iter();
    let said: BTreeSet<_> =
        said.filter(|it| writes(&it.channel)).map(|it| (it.channel, it.order)).collect();
    let truth: BTreeSet<_> = simulation
        .never_told()
        .into_iter()
        .map(|(channel, order)| (channel.to_owned(), order))
        // To refunds nothing is owed.
        .filter(|order| payments.contains(order))
        .collect();
    let count = |set: BTreeSet<&(String, String)>| u64::try_from(set.len()).unwrap_or(u64::MAX);
    let few = |set: BTreeSet<&(String, String)>| {
        set.into_iter().take(10).map(|(channel, order)| format!("{channel} {order}")).collect()
    };
    Ok(Count {
        truly: count(truth.iter().collect()),
        found: count(truth.intersection(&said).collect()),
        falsely: count(said.difference(&truth).collect()),
        missed: few(truth.difference(&said).collect()),
        mistaken: few(said.difference(&truth).collect()),
    })
}
