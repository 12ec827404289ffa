//! `hefu rules`: check the risk team's rules, explain what they say of a payment, and keep their lists.

use crate::app::rules::{self, Came};
use crate::app::{lists, rules::Book};
use crate::cli::{Failure, check};
use crate::config::{self, Config};
use crate::domain::id::PaymentId;
use clap::{Args, Subcommand, ValueEnum};
use jiff::{Span, SpanRelativeTo};
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// After how many payments progress is shown.
const SHOWN_EVERY: u64 = 50_000;

/// Check the risk team's rules, explain what they say of a payment, keep their lists
#[derive(Debug, Args)]
pub struct Rules {
    /// The configuration: a directory, or the `hefu.toml` in it
    #[arg(long, short, global = true, value_name = "PATH", default_value = "config/hefu.toml")]
    config: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check rules and try their examples; every mistake with its place, in English and Chinese
    #[command(alias = "test")]
    Check {
        /// A file of rules, or a decision table as `.csv`; those of the configuration where absent
        file: Option<PathBuf>,
    },
    /// Say of a payment that is kept what each rule and each condition comes to
    Explain {
        /// The payment's id
        id: String,
        /// A file of rules; those of the configuration where absent
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
    },
    /// Write a decision table as rules
    Convert {
        /// The table, as `.csv`
        table: PathBuf,
    },
    /// The lists that rules look into
    #[command(subcommand)]
    List(List),
}

#[derive(Debug, Subcommand)]
enum List {
    /// Add entries of a CSV file to a list; plain cards, ID numbers and phone numbers are fingerprinted as they are read
    Import {
        /// The list
        name: String,
        /// The file, whose head names `value` and may name `reason`, `author` and `expires`; `-` for the standard input
        file: PathBuf,
        /// Who adds them, where a line does not say; and who did it, in the audit
        #[arg(long)]
        author: String,
        /// Why, where a line does not say
        #[arg(long)]
        reason: String,
    },
    /// Print a list as it is kept
    Export {
        /// The list
        name: String,
    },
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    /// Columns.
    Table,
    /// One JSON object.
    Json,
}

impl Rules {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        match &self.action {
            Action::Convert { table } => {
                let toml = config::rules_of_table(table);
                let toml = toml.or_else(|problems| {
                    writeln!(out, "{}", problems.render(check::rendering()))?;
                    Err(Failure::Reported)
                })?;
                return Ok(write!(out, "{toml}")?);
            }
            Action::Check { .. } | Action::Explain { .. } | Action::List(_) => (),
        }
        let config = check::load(&self.config, out)?;
        match &self.action {
            Action::Convert { .. } => Ok(()),
            Action::Check { file } => {
                let book = read(&config, &self.config, file.as_deref(), out)?;
                for rule in book.rules.rules() {
                    let (action, state) = (rule.action.as_str(), rule.state.as_str());
                    writeln!(out, "{:<24} {action:<21} {state:<8} {}", rule.id, rule.owner)?;
                }
                let (rules, needs) = (book.rules.rules().len(), book.rules.inputs().len());
                Ok(writeln!(out, "{rules} rules, {needs} look-ups a payment, no problem")?)
            }
            Action::Explain { id, rules } => {
                let book = read(&config, &self.config, rules.as_deref(), out)?;
                explain(&config, book, id, out)
            }
            Action::List(List::Import { name, file, author, reason }) => {
                let dir = check::directory(&self.config);
                let done = lists::import(&config, &dir, name, file, (author, reason))?;
                writeln!(out, "{} entries are new, {} are there already", done.new, done.known)?;
                if !done.audited {
                    writeln!(out, "there is no `[store]`, and so no audit in which that stands")?;
                }
                Ok(())
            }
            Action::List(List::Export { name }) => {
                let dir = check::directory(&self.config);
                Ok(out.write_all(lists::export(&config, &dir, name)?.as_bytes())?)
            }
        }
    }
}

/// The rules of `file`, or those of the configuration; every problem is said on `out`.
pub(super) fn read(
    config: &Config,
    place: &Path,
    file: Option<&Path>,
    out: &mut impl Write,
) -> Result<Arc<Book>, Failure> {
    let Some(file) = file else { return Ok(config.rules.clone()) };
    match config::rules(config, &check::directory(place), file) {
        Ok(book) => Ok(Arc::new(book)),
        Err(problems) => {
            writeln!(out, "{}", problems.render(check::rendering()))?;
            Err(Failure::Reported)
        }
    }
}

fn explain(
    config: &Config,
    book: Arc<Book>,
    id: &str,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let payment = PaymentId::parse(id.trim_matches('"'))
        .ok_or_else(|| Failure::Usage("a payment's id has 26 letters and digits".to_owned()))?;
    let explained = rules::explain(config, book, payment)?
        .ok_or_else(|| Failure::Usage(format!("no payment {payment} is kept")))?;
    if explained.as_decided {
        writeln!(out, "as it was decided: the same rules, with what they saw")?;
    } else {
        let what = "other rules than judged it: windows are counted from the payments before it, lists are those of today";
        writeln!(out, "{what}")?;
    }
    if !explained.not_kept.is_empty() {
        writeln!(out, "not kept of it: {}", explained.not_kept.join(", "))?;
    }
    for rule in explained.rules {
        let came = match rule.came {
            Ok(true) => "hits",
            Ok(false) => "does not hit",
            Err(_) => "cannot be evaluated",
        };
        let did = rule.did.map_or_else(String::new, |did| format!(" (did then: {did})"));
        writeln!(out, "{} {came}{did}", rule.id)?;
        for part in rule.parts {
            let saw: Vec<_> =
                part.saw.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            let mark = match part.came {
                Came::To(true) => "✓",
                Came::To(false) => "✗",
                Came::Fault(_) => "!",
                Came::Skipped => "·",
            };
            writeln!(out, "  {mark} {}  →  {}  {}", part.text, part.came, saw.join(", "))?;
        }
    }
    Ok(())
}

/// Reads how far back: `7d`.
pub(super) fn ago(text: &str) -> Result<Duration, String> {
    let wrong = |_| "write it as `7d`, `12h` or `30m`".to_owned();
    let span: Span = text.parse().map_err(wrong)?;
    let days = SpanRelativeTo::days_are_24_hours();
    let ago = span.to_duration(days).map_err(wrong)?;
    Duration::try_from(ago).map_err(|_| "it is not negative".to_owned())
}

/// Shows on the standard error, where somebody looks, how far it is: it is told of each payment, and how much of the time is behind
/// it, in thousandths.
pub(super) fn progress() -> impl FnMut(u64) + Send {
    let (mut read, looks) = (0_u64, std::io::stderr().is_terminal());
    let begun = Instant::now();
    move |behind| {
        read = read.saturating_add(1);
        if looks && read.is_multiple_of(SHOWN_EVERY) {
            // The line is written over; whether it can be shown does not matter.
            let far = how_far(read, behind, begun.elapsed());
            let _ = write!(std::io::stderr(), "\r{far}\x1b[K");
        }
    }
}

/// How far it is, after so long.
fn how_far(read: u64, behind: u64, spent: Duration) -> String {
    let left = spent.as_millis().saturating_mul(u128::from(1000_u64.saturating_sub(behind)));
    match left.checked_div(u128::from(behind).saturating_mul(1000)) {
        Some(left) => format!("{read} payments read, {} %, {left} s left", behind / 10),
        None => format!("{read} payments read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_how_far_it_is() {
        let check = |read, behind, secs, expected: &str| {
            assert_eq!(how_far(read, behind, Duration::from_secs(secs)), expected);
        };
        check(50_000, 250, 2, "50000 payments read, 25 %, 6 s left");
        check(200_000, 1000, 8, "200000 payments read, 100 %, 0 s left");
        // All of them are of the first moments.
        check(50_000, 0, 2, "50000 payments read");
    }
}
