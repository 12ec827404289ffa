//! The end of the demo: what never came is missing; the core asks about it where it can, and a channel's statement settles the rest.

use crate::app::Running;
use crate::cli::Failure;
use crate::cli::client::{AdminArgs, Client};
use crate::cli::demo::setup::Place;
use crate::cli::settle::Settle;
use crate::domain::id::{ChannelName, OrderId};
use crate::domain::outcome::Outcome;
use crate::sim::{Count, Ended, Simulation, State, Target};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Settled {
    /// Outcomes that never came, beside those of which Hefu says so.
    pub(super) missing: Count,
    /// By channel.
    channels: BTreeMap<&'static str, Closed>,
    /// What the command said.
    pub(super) said: Vec<u8>,
}

/// How one channel's payments stand when everything came that comes.
#[derive(Clone, Debug, Default)]
pub(super) struct Closed {
    /// Whether a statement told it; else queries.
    by_statement: bool,
    /// By kind how the halves of payments differ, beside what Hefu says of them.
    mismatches: BTreeMap<String, Count>,
    /// How many payments are owed an outcome.
    pub(super) open: u64,
    /// How many do not stand as the channel's own books have them.
    pub(super) wrong: u64,
    /// Payments by the channel's own books.
    pub(super) ended: u64,
    /// Holds that rest on a payment whose halves do not differ.
    unfounded: u64,
}

impl Closed {
    /// What tells in the end how its payments ended.
    pub(super) const fn by(&self) -> &'static str {
        if self.by_statement { "statement" } else { "query" }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "by": self.by(), "payments": self.ended, "open": self.open, "wrong": self.wrong,
            "holds_unfounded": self.unfounded, "mismatches": as_json(&self.mismatches),
        })
    }
}

fn as_json(mismatches: &BTreeMap<String, Count>) -> serde_json::Map<String, Value> {
    let shown = |it: &Count| json!({ "true": it.truly, "found": it.found, "false": it.falsely });
    mismatches.iter().map(|(kind, it)| (kind.clone(), shown(it))).collect()
}

impl Settled {
    /// Looks for what is missing, and has the core ask about it.
    ///
    /// # Errors
    /// Where Hefu cannot be asked.
    pub(super) async fn new(
        place: &Place,
        simulation: &Simulation,
        running: &Running,
        target: Target,
    ) -> Result<Self, Failure> {
        let Some(admin) = running.admin else { return Ok(Self::default()) };
        let admin = AdminArgs::new(format!("http://{admin}"), place.token_file());
        let store = || Failure::Usage("the demo's store cannot be read".to_owned());
        running.sweep_at_the_end().await.map_err(|_| store())?;
        let missing = missing(simulation, &Client::new(&admin)?).await?;
        simulation.ask_ends(target).await?;
        Ok(Self { missing, ..Self::default() })
    }

    /// Settles the statements of those channels that write them, and looks how all payments stand then.
    ///
    /// # Errors
    /// Where Hefu cannot be asked, or a file cannot be written.
    pub(super) async fn settle(
        &mut self,
        place: &Place,
        simulation: &Simulation,
        running: &Running,
    ) -> Result<(), Failure> {
        let Some(admin) = running.admin else { return Ok(()) };
        let admin = AdminArgs::new(format!("http://{admin}"), place.token_file());
        for channel in simulation.channels() {
            let ended = simulation.ended(channel);
            let today = Timestamp::now().to_zoned(TimeZone::fixed(Offset::constant(8))).date();
            let days =
                [today.yesterday().unwrap_or(today), today, today.tomorrow().unwrap_or(today)];
            // On days without payments no line names them.
            let merchants: BTreeSet<&str> =
                ended.iter().filter_map(|it| Some(it.order.split_once('|')?.0)).collect();
            let merchants: Vec<String> = merchants.into_iter().map(str::to_owned).collect();
            let mut closed = Closed::default();
            for day in days {
                let lines: &[Ended] = if day == today { &ended } else { &[] };
                let Some((name, bytes)) = simulation.statement(channel, lines)? else { continue };
                closed.by_statement = true;
                let path = place.dir().join(name);
                std::fs::write(&path, bytes)?;
                let of = (day, merchants.clone());
                let settle = Settle::new(vec![path], channel, of, place.dir(), admin.clone());
                match settle.run(&mut self.said).await {
                    // What differs is judged below.
                    Ok(()) | Err(Failure::Reported) => (),
                    Err(failure) => return Err(failure),
                }
            }
            let open = running.service.store.expectations(&ChannelName::new(channel));
            closed.open = u64::try_from(open).unwrap_or(u64::MAX);
            for it in &ended {
                closed.ended += 1;
                let (outcome, _) = kept(running, channel, &it.order);
                let is_so = outcome.is_some_and(|outcome| stands_as(outcome, it.state));
                closed.wrong += u64::from(!is_so);
            }
            self.channels.insert(channel, closed);
        }
        let client = Client::new(&admin)?;
        let said = said(&client, "").await?;
        let holds = running.service.standing_holds();
        for (channel, closed) in &mut self.channels {
            let of_it = said.iter().filter(|it| it.channel == *channel);
            // What was overdue has come since, and is judged before that.
            let of_it = of_it.filter(|it| it.kind != MISSING);
            let said = of_it.map(|it| (it.order.clone(), it.kind.clone())).collect();
            closed.mismatches = simulation.in_the_end(channel, &said);
            let differing = simulation.differing(channel);
            let unfounded = holds.iter().filter(|hold| {
                let record = running.service.store.record(hold.payment);
                let order = record.and_then(|record| record.order);
                hold.channel.as_str() == *channel
                    && !order.is_some_and(|order| differing.contains(&*order.0))
            });
            closed.unfounded = u64::try_from(unfounded.count()).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    /// How one channel's payments stand.
    pub(super) fn of(&self, channel: &str) -> Option<&Closed> {
        self.channels.get(channel)
    }

    /// What does not hold of how payments stand in the end.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (channel, closed) in &self.channels {
            let differ = |it: &Count| it.found != it.truly || it.falsely > 0;
            for (kind, count) in closed.mismatches.iter().filter(|(_, count)| differ(count)) {
                faults.push(format!("{channel}: in the end, {kind}: {count:?}"));
            }
            for (what, count) in [
                ("payments owed an outcome in the end", closed.open),
                ("payments that do not stand as the channel has them", closed.wrong),
                ("holds on payments whose halves do not differ", closed.unfounded),
            ] {
                if count > 0 {
                    faults.push(format!("{channel}: {count} {what}"));
                }
            }
        }
        faults
    }

    /// By kind over all channels.
    fn mismatches(&self) -> BTreeMap<String, Count> {
        let mut all = BTreeMap::<String, Count>::new();
        for (kind, count) in self.channels.values().flat_map(|closed| &closed.mismatches) {
            let sum = all.entry(kind.clone()).or_default();
            sum.truly = sum.truly.saturating_add(count.truly);
            sum.found = sum.found.saturating_add(count.found);
            sum.falsely = sum.falsely.saturating_add(count.falsely);
        }
        all
    }

    fn sum(&self, of: fn(&Closed) -> u64) -> u64 {
        self.channels.values().map(of).sum()
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "payments": self.sum(|it| it.ended), "open": self.sum(|it| it.open), "wrong": self.sum(|it| it.wrong),
            "holds_unfounded": self.sum(|it| it.unfounded), "mismatches": as_json(&self.mismatches()),
        })
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        let mismatches = self.mismatches();
        let all = |of: fn(&Count) -> u64| mismatches.values().map(of).sum::<u64>();
        format!(
            "{} payments, {} owed an outcome, {} not as the channel has them; {} mismatches told by any arrival, {} found, {} false",
            self.sum(|it| it.ended),
            self.sum(|it| it.open),
            self.sum(|it| it.wrong),
            all(|it| it.truly),
            all(|it| it.found),
            all(|it| it.falsely)
        )
    }
}

/// What Hefu keeps of the payment of an order that left: how it ended, and whether anything unproved is told of it. One that Hefu refused
/// is in nobody's books.
pub(super) fn kept(running: &Running, channel: &str, order: &str) -> (Option<Outcome>, bool) {
    let store = &running.service.store;
    let mut payments =
        store.by_order(&ChannelName::new(channel), &OrderId(order.into())).into_iter();
    let left = payments.find_map(|id| {
        let record = store.record(id)?;
        record.left().then_some(record)
    });
    left.map_or((None, false), |record| {
        (record.outcome.as_ref().map(|(outcome, ..)| *outcome), record.heard.is_some())
    })
}

/// Whether an outcome is how a payment stands.
pub(super) const fn stands_as(outcome: Outcome, state: State) -> bool {
    match outcome {
        Outcome::Succeeded => matches!(state, State::Succeeded),
        Outcome::NoMatch(_) | Outcome::Declined(_) => matches!(state, State::Failed),
        Outcome::Reversed => matches!(state, State::Returned),
        Outcome::Accepted | Outcome::Unknown | Outcome::Unmapped => false,
    }
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
    let payments: BTreeSet<(String, String)> = simulation
        .channels()
        .into_iter()
        .flat_map(|name| {
            simulation.ended(name).into_iter().map(move |it| (name.to_owned(), it.order))
        })
        .collect();
    let said = said(client, &format!("&kind={MISSING}")).await?.into_iter();
    let said: BTreeSet<_> = said.map(|it| (it.channel, it.order)).collect();
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
