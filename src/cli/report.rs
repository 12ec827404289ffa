//! `hefu report`: what verification was used for since a while, and what was or would have been refused beside what became of it.

use crate::app::rules::{Fate, Sum};
use crate::app::usage::{self, Known, Of, Seen};
use crate::billing::usage::{Counts, Use};
use crate::cli::{Failure, check};
use crate::domain::clock::Timestamp;
use crate::domain::payment::Scenario;
use clap::{Args, ValueEnum};
use jiff::{Span, SpanRelativeTo};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// What enforce refuses or would have, what became of it, and what verification was used for: inquiries, and how many reuse saved
#[derive(Debug, Args)]
pub struct Report {
    /// The configuration: a directory, or the `hefu.toml` in it
    #[arg(long, short, value_name = "PATH", default_value = "config/hefu.toml")]
    config: PathBuf,
    /// Since how long ago: 12h, 14d
    #[arg(long, default_value = "14d", value_parser = ago)]
    since: Duration,
    /// How it is printed
    #[arg(long, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// The columns of what was or would have been refused. What is refused in earnest is known to nobody; the rest left.
const REFUSED: [&str; 11] = [
    "channel",
    "scenario",
    "mode",
    "judged",
    "refused",
    "caught",
    "failed_anyway",
    "hurt",
    "unknown",
    "not_asked",
    "missed",
];

/// The columns of what was asked.
const HEAD: [&str; 8] =
    ["scenario", "elements", "provider", "asked", "matched", "billed", "uncertain", "reused"];

impl Report {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let config = check::load(&self.config, out)?;
        let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
        let since = Timestamp::from_millis(now).minus(self.since);
        let known = usage::read(&config, since, || ())?;
        match self.format {
            Format::Table => Self::print(out, &known),
            Format::Json => Ok(writeln!(out, "{:#}", Self::json(&known, since))?),
        }
    }

    fn print(out: &mut impl Write, Known { usage, hindsight }: &Known) -> Result<(), Failure> {
        let mut rows = vec![REFUSED.map(str::to_owned).to_vec()];
        rows.extend(hindsight.seen().iter().map(refusals));
        table(out, &rows)?;
        writeln!(out)?;
        let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
        rows.extend(usage.counts().iter().map(cells));
        table(out, &rows)?;
        let reused: u64 = usage.counts().values().map(|counts| counts.reused).sum();
        Ok(writeln!(out, "\n{reused} inquiries were saved: an earlier answer was reused")?)
    }

    fn json(Known { usage, hindsight }: &Known, since: Timestamp) -> Value {
        let used: Vec<Value> = usage.counts().iter().map(as_json).collect();
        let refused: Vec<Value> = hindsight.seen().iter().map(refusals_json).collect();
        let saved: u64 = usage.counts().values().map(|counts| counts.reused).sum();
        json!({
            "since_ms": since.as_millis(), "refusals": refused, "usage": used, "inquiries_saved": saved,
        })
    }
}

fn payments(of: &BTreeMap<Fate, Sum>, fate: Fate) -> u64 {
    of.get(&fate).map_or(0, |sum| sum.payments)
}

fn refusals(((channel, scenario, mode), seen): (&Of, &Seen)) -> Vec<String> {
    let all = |of: &BTreeMap<Fate, Sum>| of.values().map(|sum| sum.payments).sum::<u64>();
    let fate = |fate| payments(&seen.refused, fate);
    let counts = [
        seen.judged.payments,
        all(&seen.refused),
        fate(Fate::Mismatch),
        fate(Fate::Failed),
        fate(Fate::Good),
        fate(Fate::Unknown).saturating_add(fate(Fate::Refused)),
        all(&seen.not_asked),
        seen.missed.payments,
    ];
    let words = [channel.as_str(), scenario.as_str(), mode.as_str()].map(str::to_owned);
    let all = words.into_iter().chain(counts.map(|count| count.to_string()));
    all.collect()
}

fn refusals_json(((channel, scenario, mode), seen): (&Of, &Seen)) -> Value {
    let sum = |sum: &Sum| json!({ "payments": sum.payments, "fen": sum.fen });
    let fates = |of: &BTreeMap<Fate, Sum>| {
        let each = of.iter().map(|(fate, it)| (fate.as_str().to_owned(), sum(it)));
        Value::Object(each.collect::<Map<_, _>>())
    };
    json!({
        "channel": channel.as_str(), "scenario": scenario.as_str(), "mode": mode.as_str(),
        "judged": sum(&seen.judged), "refused": fates(&seen.refused), "not_asked": fates(&seen.not_asked),
        "missed": sum(&seen.missed),
    })
}

/// How long ago.
fn ago(text: &str) -> Result<Duration, String> {
    let span = text.parse::<Span>().ok();
    let span = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    span.and_then(|span| Duration::try_from(span).ok())
        .ok_or_else(|| "write how long ago as `12h` or `14d`".to_owned())
}

fn cells((of, counts): (&Use, &Counts)) -> Vec<String> {
    let Counts { asked, matched, billed, uncertain, reused } = *counts;
    let [asked, matched, billed, uncertain, reused] =
        [asked, matched, billed, uncertain, reused].map(|count| count.to_string());
    let scenario = of.scenario.map_or("-", Scenario::as_str).to_owned();
    let (set, provider) = (of.set.to_string(), of.provider.to_string());
    vec![scenario, set, provider, asked, matched, billed, uncertain, reused]
}

fn as_json((of, counts): (&Use, &Counts)) -> Value {
    json!({
        "scenario": of.scenario.map(Scenario::as_str), "elements": of.set.to_string(), "provider": of.provider.as_str(),
        "asked": counts.asked, "matched": counts.matched, "billed": counts.billed, "uncertain": counts.uncertain,
        "reused": counts.reused,
    })
}

/// Columns side by side: words to the left, numbers to the right.
fn table(out: &mut impl Write, rows: &[Vec<String>]) -> Result<(), Failure> {
    let mut widths = vec![0; rows.first().map_or(0, Vec::len)];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    for row in rows {
        for (at, (cell, width)) in row.iter().zip(widths.iter().copied()).enumerate() {
            if at < 3 {
                write!(out, "{cell:width$}  ")?;
            } else {
                write!(out, "{cell:>width$}  ")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}
