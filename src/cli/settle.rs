//! `hefu settle`: a channel's statement files as the last word on outcomes.

mod file;

use crate::cli::client::{AdminArgs, Client};
use crate::cli::{Failure, check};
use crate::domain::money::Fen;
use crate::message::profile::Profile;
use crate::message::statement::{BadLine, Line, Statement};
use clap::Args;
use file::{Lines, Opened, Read1};
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};
use tokio::time::Instant;

/// How many lines go in one request.
const LINES_PER_PART: usize = 2_000;

/// How many payments that no statement names are shown.
const SHOWN_MAX: usize = 1_000;

/// The most merchants whose files are closed at once.
const MERCHANTS_MAX: usize = 1_000;

/// After how many lines progress is shown.
const SHOWN_EVERY: u64 = 20_000;

/// Read a channel's statement files as the last word on outcomes
///
/// Lines are read as the channel's profile says, and sent to the running Hefu without anything that it does not need: no card is
/// among it. What is not as is known is listed. Reading a file twice does no harm.
#[derive(Debug, Args)]
pub struct Settle {
    /// The channel's statement files, or zip files of them
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The channel
    #[arg(long)]
    channel: String,
    /// The statement's day, by China's calendar: 2026-11-28
    #[arg(long)]
    day: Option<Date>,
    /// These are all files of that day of the merchants that they name: what left on it for them and is neither in these files nor
    /// in those of the next day failed
    #[arg(long, requires = "day")]
    complete: bool,
    /// A merchant whose files are complete though no line names it, as on a day without payments; may be repeated
    #[arg(long = "merchant", value_name = "MERCHANT", requires = "complete")]
    merchants: Vec<String>,
    /// Close the day though more than a few known successes (10 and 5 %) would fail, which mostly means that a file is cut short
    #[arg(long, requires = "complete")]
    even_if_most_fail: bool,
    /// The configuration: a directory, or the `hefu.toml` in it
    #[arg(long, short, value_name = "PATH", default_value = "config/hefu.toml")]
    config: PathBuf,
    #[command(flatten)]
    admin: AdminArgs,
}

/// What was read so far.
#[derive(Debug, Default)]
struct Tally {
    lines: u64,
    settled: u64,
    known: u64,
    differ: u64,
    unjoined: u64,
    broken: u64,
    merchants: BTreeSet<String>,
}

/// What closing a day came to, as far as one call went.
#[derive(Debug, Deserialize)]
struct Closed {
    settled_days: Vec<String>,
    absent: u64,
    left: u64,
    named: Vec<Absent>,
    next: Value,
}

#[derive(Debug, Deserialize)]
struct Absent {
    payment: String,
    order: Option<String>,
    was: String,
}

/// One file, or one in a zip.
struct Part<'p> {
    name: String,
    statement: &'p Statement,
    profile: &'p Profile,
}

impl Settle {
    /// Settles all files of a day of some merchants.
    pub fn new(
        files: Vec<PathBuf>,
        channel: &str,
        (day, merchants): (Date, Vec<String>),
        config: &Path,
        admin: AdminArgs,
    ) -> Self {
        let (channel, config) = (channel.to_owned(), config.to_owned());
        let (complete, even_if_most_fail) = (true, false);
        Self {
            files,
            channel,
            day: Some(day),
            complete,
            merchants,
            even_if_most_fail,
            config,
            admin,
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`]; [`Failure::Reported`] where a line is broken or not as is known.
    pub async fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let config = check::load(&self.config, out)?;
        let unknown = || Failure::Usage(format!("no channel `{}` is configured", self.channel));
        let profile = config.profile(&self.channel).ok_or_else(unknown)?;
        if profile.statements.is_empty() {
            let message = format!("the profile of `{}` has no `[[statement]]`", self.channel);
            return Err(Failure::Usage(message));
        }
        let client = Client::new(&self.admin)?;
        let (mut tally, begun) = (Tally::default(), Instant::now());
        for path in &self.files {
            self.read(path, profile, &client, (&mut tally, out)).await?;
        }
        let took = begun.elapsed().as_secs_f64();
        let Tally { lines, settled, known, differ, unjoined, broken, mut merchants } = tally;
        writeln!(
            out,
            "{lines} lines: {settled} settled, {known} known, {differ} differ, {unjoined} to be joined by hand, {broken} broken; {:.0} lines a second",
            rate(lines, took)
        )?;
        if let Some(day) = self.day.filter(|_| self.complete) {
            if broken > 0 {
                writeln!(out, "{day} is not complete: a line that is broken may be any payment's")?;
            } else {
                merchants.extend(self.merchants.iter().cloned());
                self.close((day, lines, &merchants), &client, out).await?;
            }
        }
        if broken.saturating_add(differ) > 0 { Err(Failure::Reported) } else { Ok(()) }
    }

    /// Reads one file, or all files in a zip.
    async fn read(
        &self,
        path: &Path,
        profile: &Profile,
        client: &Client,
        (tally, out): (&mut Tally, &mut impl Write),
    ) -> Result<(), Failure> {
        let failed = |source| Failure::File { file: path.to_owned(), source };
        let total = std::fs::metadata(path).map_err(failed)?.len();
        match Opened::open(path).map_err(failed)? {
            Opened::Plain(file) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let part = part(profile, &name, path.display().to_string()).ok_or_else(|| {
                    Failure::Usage(format!(
                        "no `[[statement]]` of `{}` reads a file called `{name}`",
                        self.channel
                    ))
                })?;
                self.part(&part, file, client, (tally, out, Some(total))).await
            }
            Opened::Zip(mut archive) => {
                let mut read = 0_usize;
                for at in 0..archive.len() {
                    let broken = |error| Failure::File {
                        file: path.to_owned(),
                        source: std::io::Error::other(error),
                    };
                    let entry = archive.by_index(at).map_err(broken)?;
                    let whole = entry.name().map_err(broken)?.into_owned();
                    let name = whole.rsplit(['/', '\\']).next().unwrap_or_default();
                    let shown = format!("{}/{name}", path.display());
                    let Some(part) = part(profile, name, shown).filter(|_| entry.is_file()) else {
                        continue;
                    };
                    read = read.saturating_add(1);
                    let total = Some(entry.size());
                    self.part(&part, entry, client, (tally, out, total)).await?;
                }
                if read == 0 {
                    let message = format!(
                        "{}: no file in it is read by a `[[statement]]` of `{}`",
                        path.display(),
                        self.channel
                    );
                    return Err(Failure::Usage(message));
                }
                Ok(())
            }
        }
    }

    async fn part(
        &self,
        part: &Part<'_>,
        from: impl Read,
        client: &Client,
        (tally, out, total): (&mut Tally, &mut impl Write, Option<u64>),
    ) -> Result<(), Failure> {
        let failed = |source| Failure::File { file: part.name.clone().into(), source };
        let (mut lines, mut waiting) = (Lines::new(from), Vec::new());
        let head = u64::try_from(part.statement.head).unwrap_or(u64::MAX);
        loop {
            let read = match lines.next().map_err(failed)? {
                Read1::End => break,
                Read1::TooLong => Err("it is longer than any line of a statement".to_owned()),
                Read1::Line if lines.number <= head => continue,
                Read1::Line => {
                    match part.statement.read(&part.profile.codes, &lines.line, self.day) {
                        Ok(line) => Ok(line),
                        Err(BadLine::Unjoined) => {
                            tally.unjoined = tally.unjoined.saturating_add(1);
                            writeln!(out, "{}:{}: {}", part.name, lines.number, BadLine::Unjoined)?;
                            Ok(None)
                        }
                        Err(error) => Err(error.to_string()),
                    }
                }
            };
            tally.lines = tally.lines.saturating_add(1);
            match read {
                Ok(None) => (),
                Ok(Some(line)) => {
                    // One more than are closed at once is enough to be told so.
                    if self.complete && tally.merchants.len() <= MERCHANTS_MAX {
                        tally.merchants.extend(line.merchant.iter().map(|it| it.0.to_string()));
                    }
                    waiting.push((lines.number, line));
                }
                Err(error) => {
                    tally.broken = tally.broken.saturating_add(1);
                    writeln!(out, "{}:{}: {error}", part.name, lines.number)?;
                }
            }
            if waiting.len() >= LINES_PER_PART {
                self.send(part, &waiting, client, (tally, out)).await?;
                waiting.clear();
            }
            if lines.number.is_multiple_of(SHOWN_EVERY) {
                progress(&part.name, lines.bytes, total);
            }
        }
        if !waiting.is_empty() {
            self.send(part, &waiting, client, (tally, out)).await?;
        }
        Ok(())
    }

    async fn send(
        &self,
        part: &Part<'_>,
        waiting: &[(u64, Line)],
        client: &Client,
        (tally, out): (&mut Tally, &mut impl Write),
    ) -> Result<(), Failure> {
        let mut body = String::new();
        for (number, line) in waiting {
            body.push_str(&as_json(*number, line).to_string());
            body.push('\n');
        }
        let path = format!("/v1/statements/lines?channel={}", self.channel);
        let came: Value = client.post(&path, "application/x-ndjson", body).await?;
        let count = |name| came.get(name).and_then(Value::as_u64).unwrap_or_default();
        tally.settled = tally.settled.saturating_add(count("settled"));
        tally.known = tally.known.saturating_add(count("known"));
        for it in came.get("differences").and_then(Value::as_array).into_iter().flatten() {
            let field = |name| it.get(name).and_then(Value::as_str).unwrap_or("-");
            let line = it.get("line").and_then(Value::as_u64).unwrap_or_default();
            tally.differ = tally.differ.saturating_add(1);
            writeln!(
                out,
                "{}:{line}: {}\t{}\t{}",
                part.name,
                field("difference"),
                field("payment"),
                field("order")
            )?;
        }
        Ok(())
    }

    async fn close(
        &self,
        (day, lines, merchants): (Date, u64, &BTreeSet<String>),
        client: &Client,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        let (mut absent, mut left, mut shown, mut next) = (0_u64, 0_u64, 0_usize, Value::Null);
        let days = loop {
            let body = json!({
                "channel": self.channel, "day": day.to_string(), "lines": lines, "merchants": merchants,
                "even_if_most_fail": self.even_if_most_fail, "next": next,
            });
            let closed: Closed =
                client.post("/v1/statements/days", "application/json", body.to_string()).await?;
            (absent, left) =
                (absent.saturating_add(closed.absent), left.saturating_add(closed.left));
            for it in closed.named.iter().take(SHOWN_MAX.saturating_sub(shown)) {
                let order = it.order.as_deref().unwrap_or("-");
                writeln!(out, "absent\t{}\t{order}\twas {}", it.payment, it.was)?;
            }
            shown = shown.saturating_add(closed.named.len());
            next = closed.next;
            if next.is_null() {
                break closed.settled_days;
            }
        };
        if days.is_empty() {
            writeln!(
                out,
                "{day} is complete; what it lacks is judged once the next day's is, too"
            )?;
        } else {
            let days = days.join(", ");
            writeln!(out, "settled: {days}; {absent} payments in no statement failed")?;
        }
        if left > 0 {
            writeln!(
                out,
                "{left} payments of other merchants are in no statement yet, and were left as they are"
            )?;
        }
        Ok(())
    }
}

/// How a file of this name is read.
fn part<'p>(profile: &'p Profile, name: &str, shown: String) -> Option<Part<'p>> {
    let statement = profile.statements.iter().find(|it| it.file.is_match(name))?;
    Some(Part { name: shown, statement, profile })
}

fn as_json(number: u64, line: &Line) -> Value {
    json!({
        "line": number, "order": line.order.0, "merchant": line.merchant.as_ref().map(|it| &it.0),
        "amount_fen": line.amount.map(Fen::get), "scenarios": line.scenarios, "outcome": line.outcome,
        "code": line.code, "unmapped_in": line.unmapped_in,
    })
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "shown, rounded")]
fn rate(lines: u64, seconds: f64) -> f64 {
    lines as f64 / seconds.max(1e-9)
}

/// Shows on the standard error, where somebody looks, how far it is.
fn progress(name: &str, bytes: u64, total: Option<u64>) {
    if std::io::stderr().is_terminal() {
        let total = total.unwrap_or_default().max(1);
        let percent = bytes.saturating_mul(100).checked_div(total).unwrap_or_default().min(100);
        let done = usize::try_from(percent / 5).unwrap_or_default();
        // Whether it can be shown does not matter.
        let _ = write!(std::io::stderr(), "\r[{:<20}] {percent:>3} % {name}", "#".repeat(done));
    }
}
