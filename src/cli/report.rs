//! `hefu report`: what verification was used for, how it was answered, what it cost and how long it took; and what was or would have
//! been refused beside what became of it.

use crate::app::rules::{Fate, Sum};
use crate::app::usage::{self, Known, Line, Of, Seen, StatisticsBody, Wanted};
use crate::billing::month::Month;
use crate::billing::statistics::By;
use crate::cli::statement::progress;
use crate::cli::{Failure, check};
use crate::domain::clock::Timestamp;
use clap::{Args, ValueEnum};
use jiff::{Span, SpanRelativeTo};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// What enforce refuses or would have, what became of it; and inquiries: answers, reasons, cost, latency, and how many reuse saved
#[derive(Debug, Args)]
pub struct Report {
    /// The configuration: a directory, or the `hefu.toml` in it
    #[arg(long, short, value_name = "PATH", default_value = "config/hefu.toml")]
    config: PathBuf,
    /// Since how long ago: 12h, 14d
    #[arg(long, default_value = "14d", value_parser = ago)]
    since: Duration,
    /// Until how long ago
    #[arg(long, default_value = "0s", value_parser = ago)]
    until: Duration,
    /// A month instead, by China's calendar: 2026-11
    #[arg(long, conflicts_with_all = ["since", "until"])]
    month: Option<Month>,
    /// By what inquiries are counted: some of scenario, kind, elements, provider, bank
    #[arg(long, default_value = "scenario,kind,provider")]
    by: By,
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

/// The columns of how inquiries were answered, behind what they are counted by.
const ANSWERS: [&str; 11] = [
    "asked",
    "match",
    "close_match",
    "no_match",
    "no_record",
    "not_possible",
    "limited",
    "invalid",
    "unavailable",
    "open",
    "match_%",
];

/// The columns of what they cost, and how long they took.
const COST: [&str; 8] =
    ["billed", "cost_fen", "uncertain", "uncertain_fen", "reused", "p50_ms", "p90_ms", "p99_ms"];

/// The columns of why they did not match, or nobody was asked.
const REASONS: [&str; 2] = ["why", "count"];

impl Report {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let config = check::load(&self.config, out)?;
        let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
        let now = Timestamp::from_millis(now);
        let (since, until) = match self.month {
            Some(month) => (month.from(), month.until().min(now)),
            None => (now.minus(self.since), now.minus(self.until)),
        };
        if since > until {
            let detail = "it ends before it begins: `--since` is longer ago than `--until`, and a `--month` has begun";
            return Err(Failure::Usage(detail.to_owned()));
        }
        let wanted = Wanted { by: self.by.clone(), since, until };
        let known = usage::read(&config, &wanted, progress())?;
        match self.format {
            Format::Table => Self::print(out, &wanted, &known),
            Format::Json => Ok(writeln!(out, "{:#}", Self::json(&wanted, &known)?)?),
        }
    }

    fn print(out: &mut impl Write, wanted: &Wanted, known: &Known) -> Result<(), Failure> {
        let Known { counted, hindsight, unseen } = known;
        let lines = &counted.lines;
        let mut rows = vec![REFUSED.map(str::to_owned).to_vec()];
        rows.extend(hindsight.seen().iter().map(refusals));
        table(out, 3, &rows)?;
        let by: Vec<_> = wanted.by.dimensions().collect();
        let head = |columns: &[&str]| -> Vec<String> {
            let by = by.iter().map(|dimension| dimension.as_str());
            by.chain(columns.iter().copied()).map(str::to_owned).collect()
        };
        let words = |line: &Line| {
            let words = by.iter().map(|it| line.of.word(*it).unwrap_or_else(|| "-".to_owned()));
            words.collect::<Vec<_>>()
        };
        let beside = |columns: &[&str], cells: fn(&Line) -> Vec<String>| {
            let row = |line| words(line).into_iter().chain(cells(line)).collect();
            std::iter::once(head(columns)).chain(lines.iter().map(row)).collect::<Vec<_>>()
        };
        writeln!(out)?;
        table(out, by.len(), &beside(&ANSWERS, answers))?;
        writeln!(out)?;
        table(out, by.len(), &beside(&COST, cost))?;
        writeln!(out)?;
        let mut rows = vec![head(&REASONS)];
        for line in lines {
            for (why, count) in reasons(line) {
                rows.push(words(line).into_iter().chain([why, count.to_string()]).collect());
            }
        }
        table(out, by.len().saturating_add(1), &rows)?;
        if *unseen > 0 {
            let unreadable = counted.unreadable;
            writeln!(
                out,
                "\n{unseen} payments cannot be read: they are not in the first table, and {unreadable} of them in none"
            )?;
        }
        let reused = saved(lines);
        Ok(writeln!(out, "\n{reused} inquiries were saved: an earlier answer was reused")?)
    }

    fn json(wanted: &Wanted, known: &Known) -> Result<Value, Failure> {
        let Known { counted, hindsight, unseen } = known;
        let refused: Vec<Value> = hindsight.seen().iter().map(refusals_json).collect();
        let body = serde_json::to_value(StatisticsBody::new(wanted, counted));
        let mut all = body.map_err(std::io::Error::other)?;
        if let Some(all) = all.as_object_mut() {
            all.insert("refusals".to_owned(), refused.into());
            all.insert("refusals_unreadable".to_owned(), (*unseen).into());
            all.insert("inquiries_saved".to_owned(), saved(&counted.lines).into());
        }
        Ok(all)
    }
}

fn saved(lines: &[Line]) -> u64 {
    lines.iter().fold(0, |sum, line| sum.saturating_add(line.counts.reused))
}

fn answers(line: &Line) -> Vec<String> {
    let (counts, of) = (&line.counts, line.counts.answers);
    let share = counts.match_permille();
    let share = share.map_or_else(|| "-".to_owned(), |it| format!("{}.{}", it / 10, it % 10));
    let all = [
        counts.asked,
        of.matched,
        of.close_match,
        of.no_match,
        of.no_record,
        of.not_possible,
        of.limited,
        of.invalid,
        of.unavailable,
        of.open,
    ];
    all.iter().map(ToString::to_string).chain([share]).collect()
}

fn cost(line: &Line) -> Vec<String> {
    let Line { counts, cost, uncertain_cost, .. } = line;
    let (cost, uncertain_cost) = (cost.get(), uncertain_cost.get());
    let all = [counts.billed, cost, counts.uncertain, uncertain_cost, counts.reused];
    let took = |percent| {
        let took = counts.took.percentile(percent);
        took.map_or_else(|| "-".to_owned(), |ms| ms.to_string())
    };
    all.iter().map(ToString::to_string).chain([50, 90, 99].map(took)).collect()
}

fn reasons(line: &Line) -> impl Iterator<Item = (String, u64)> {
    let inquiries = line.counts.reasons.iter().map(|(why, count)| (why.clone(), *count));
    let payments =
        line.counts.untold.iter().map(|(why, count)| (format!("payments: {why}"), *count));
    inquiries.chain(payments)
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

/// Columns side by side: the first so many are words, to the left; the others numbers, to the right.
fn table(out: &mut impl Write, words: usize, rows: &[Vec<String>]) -> Result<(), Failure> {
    let mut widths = vec![0; rows.first().map_or(0, Vec::len)];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    for row in rows {
        for (at, (cell, width)) in row.iter().zip(widths.iter().copied()).enumerate() {
            if at < words {
                write!(out, "{cell:width$}  ")?;
            } else {
                write!(out, "{cell:>width$}  ")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}
