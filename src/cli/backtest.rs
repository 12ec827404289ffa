//! `hefu backtest`: what rules would have done to the payments that are kept.

use crate::app::rules::{self, Fate, Found, Sum, Tally};
use crate::cli::rules::{Format, ago, progress, read};
use crate::cli::{Failure, check};
use clap::Args;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Try rules on the payments that are kept: what they would have caught, whom they would have hurt, and of what nobody knows
///
/// The store is read only. Every rule of the file that is not retired is tried as if it were live.
#[derive(Debug, Args)]
pub struct Backtest {
    /// The configuration: a directory, or the `hefu.toml` in it
    #[arg(long, short, value_name = "PATH", default_value = "config/hefu.toml")]
    config: PathBuf,
    /// The rules: a file as in `rules/`, or a decision table as `.csv`; those of the configuration where absent
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// How far back
    #[arg(long, default_value = "7d", value_parser = ago)]
    since: Duration,
    /// How it is printed
    #[arg(long, default_value = "table")]
    format: Format,
}

impl Backtest {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let config = check::load(&self.config, out)?;
        let book = read(&config, &self.config, self.rules.as_deref(), out)?;
        let names: Vec<[String; 3]> = book
            .rules
            .rules()
            .iter()
            .map(|rule| {
                [rule.id.to_string(), rule.action.as_str().into(), rule.state.as_str().into()]
            })
            .collect();
        let found = rules::backtest(&config, book, self.since, progress())?;
        match self.format {
            Format::Table => Ok(table(out, &names, &found)?),
            Format::Json => {
                let rules = names.iter().zip(&found.rules).map(|([id, action, state], tally)| {
                    let mut shown = as_json(tally);
                    shown.insert("rule".into(), json!(id));
                    shown.insert("action".into(), json!(action));
                    shown.insert("state".into(), json!(state));
                    Value::Object(shown)
                });
                let all = json!({
                    "payments": sums(&found.all), "rules": rules.collect::<Vec<_>>(),
                    "any_rule": as_json(&found.any), "lacks": found.lacks, "looked_up": found.looked_up,
                });
                Ok(writeln!(out, "{all:#}")?)
            }
        }
    }
}

fn sums(of: &BTreeMap<Fate, Sum>) -> Value {
    let of = of.iter().map(|(fate, sum)| {
        (fate.as_str().to_owned(), json!({ "payments": sum.payments, "fen": sum.fen }))
    });
    Value::Object(of.collect())
}

fn as_json(tally: &Tally) -> Map<String, Value> {
    let days = tally.days.iter().map(|(day, sum)| (day.clone(), sums(sum)));
    let samples = tally.samples.iter().map(|(fate, ids)| {
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        (fate.as_str().to_owned(), json!(ids))
    });
    let mut shown = Map::new();
    shown.insert("hits".into(), sums(&tally.hits));
    shown.insert("days".into(), Value::Object(days.collect()));
    shown.insert("samples".into(), Value::Object(samples.collect()));
    shown.insert("not_rebuilt".into(), json!(tally.not_rebuilt));
    shown
}

fn of(sums: &BTreeMap<Fate, Sum>, fate: Fate) -> Sum {
    sums.get(&fate).copied().unwrap_or_default()
}

/// A count with its amount in yuan.
fn shown(sum: Sum) -> String {
    format!("{} ({}.{:02})", sum.payments, sum.fen / 100, sum.fen % 100)
}

fn table(out: &mut impl Write, names: &[[String; 3]], found: &Found) -> std::io::Result<()> {
    let fates = Fate::ALL.map(Fate::as_str);
    let mut head = vec!["rule", "action", "state"];
    head.extend(fates);
    head.push("not_rebuilt");
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    let cells = |tally: &Tally| {
        let mut cells: Vec<String> =
            Fate::ALL.into_iter().map(|fate| shown(of(&tally.hits, fate))).collect();
        cells.push(tally.not_rebuilt.to_string());
        cells
    };
    for (name, tally) in names.iter().zip(&found.rules) {
        rows.push(name.iter().cloned().chain(cells(tally)).collect());
    }
    let any = ["any rule", "", ""].map(str::to_owned);
    rows.push(any.into_iter().chain(cells(&found.any)).collect());
    let everything = Tally { hits: found.all.clone(), ..Tally::default() };
    let all = ["all payments", "", ""].map(str::to_owned);
    rows.push(all.into_iter().chain(cells(&everything)).collect());
    writeln!(out, "payments, and their amounts in yuan")?;
    columns(out, &rows)?;
    let head = std::iter::once("day").chain(fates).map(str::to_owned);
    let mut rows = vec![head.collect::<Vec<_>>()];
    for (day, sums) in &found.any.days {
        let cells = Fate::ALL.into_iter().map(|fate| shown(of(sums, fate)));
        rows.push(std::iter::once(day.clone()).chain(cells).collect());
    }
    writeln!(out, "\nby day, by any rule")?;
    columns(out, &rows)?;
    writeln!(out, "\n{}", rebuilt(found))?;
    writeln!(out, "\nsamples, for `hefu explain`")?;
    for (name, tally) in names.iter().zip(&found.rules) {
        for (fate, ids) in &tally.samples {
            let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
            writeln!(
                out,
                "{}  {}  {}",
                name.first().map_or("", |id| id),
                fate.as_str(),
                ids.join(" ")
            )?;
        }
    }
    Ok(())
}

/// What was rebuilt, and what could not be.
fn rebuilt(found: &Found) -> String {
    let mut lines = Vec::new();
    if !found.looked_up.is_empty() {
        let all = found.looked_up.join(", ");
        lines.push(format!(
            "looked up anew (lists as they are today, windows from the payments themselves): {all}"
        ));
    }
    if found.lacks.is_empty() {
        lines.push("nothing that a rule needed was not kept".to_owned());
    }
    for (what, payments) in &found.lacks {
        lines.push(format!(
            "not kept, and so a rule could not be evaluated for {payments} payments: {what}"
        ));
    }
    lines.join("\n")
}

/// Columns side by side.
fn columns(out: &mut impl Write, rows: &[Vec<String>]) -> std::io::Result<()> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing into a string does not fail.
            let _infallible = write!(line, "{cell:width$}  ");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
