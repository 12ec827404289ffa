//! `hefu report`: what verification was used for since a while, by scenario, element set and provider.

use crate::app::usage;
use crate::billing::usage::{Counts, Use};
use crate::cli::{Failure, check};
use crate::domain::clock::Timestamp;
use crate::domain::payment::Scenario;
use clap::{Args, ValueEnum};
use jiff::{Span, SpanRelativeTo};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// What verification was used for: inquiries by scenario, elements and provider, and how many were saved by reuse
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

/// The columns of a line.
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
        let usage = usage::read(&config, since, || ())?;
        match self.format {
            Format::Table => {
                let mut rows = vec![HEAD.map(str::to_owned)];
                rows.extend(usage.counts().iter().map(cells));
                table(out, &rows)
            }
            Format::Json => {
                let lines: Vec<Value> = usage.counts().iter().map(as_json).collect();
                let all = json!({ "since_ms": since.as_millis(), "usage": lines });
                Ok(writeln!(out, "{all:#}")?)
            }
        }
    }
}

/// How long ago.
fn ago(text: &str) -> Result<Duration, String> {
    let span = text.parse::<Span>().ok();
    let span = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    span.and_then(|span| Duration::try_from(span).ok())
        .ok_or_else(|| "write how long ago as `12h` or `14d`".to_owned())
}

fn cells((of, counts): (&Use, &Counts)) -> [String; 8] {
    let Counts { asked, matched, billed, uncertain, reused } = *counts;
    let [asked, matched, billed, uncertain, reused] =
        [asked, matched, billed, uncertain, reused].map(|count| count.to_string());
    let scenario = of.scenario.map_or("-", Scenario::as_str).to_owned();
    let (set, provider) = (of.set.to_string(), of.provider.to_string());
    [scenario, set, provider, asked, matched, billed, uncertain, reused]
}

fn as_json((of, counts): (&Use, &Counts)) -> Value {
    json!({
        "scenario": of.scenario.map(Scenario::as_str), "elements": of.set.to_string(), "provider": of.provider.as_str(),
        "asked": counts.asked, "matched": counts.matched, "billed": counts.billed, "uncertain": counts.uncertain,
        "reused": counts.reused,
    })
}

/// Columns side by side: words to the left, numbers to the right.
fn table(out: &mut impl Write, rows: &[[String; 8]]) -> Result<(), Failure> {
    let mut widths = [0; 8];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    for row in rows {
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
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
