//! `hefu statement`: what verification cost in a month, and the provider's own bill beside it.

use crate::app::statement::{self, Known};
use crate::billing::invoice::{Billed, Difference, compare};
use crate::billing::month::Month;
use crate::billing::price::Prices;
use crate::billing::statement::Line;
use crate::cli::{Failure, check};
use crate::domain::id::{PaymentId, ProviderName};
use clap::{Args, ValueEnum};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};

/// After how many rows progress is shown.
const SHOWN_EVERY: u64 = 50_000;

/// What verification cost in a month: counts, cost, what reuse saved, what is uncertain; and where a provider's bill differs
#[derive(Debug, Args)]
pub struct Statement {
    /// The configuration: a directory, or the `hefu.toml` in it
    #[arg(long, short, value_name = "PATH", default_value = "config/hefu.toml")]
    config: PathBuf,
    /// The month, by China's calendar: 2026-11
    #[arg(long)]
    month: Month,
    /// Only this provider
    #[arg(long)]
    provider: Option<String>,
    /// The provider's own bill: CSV with a head, of which `inquiry` is our id and `fen` or `yuan` what it costs; needs --provider
    #[arg(long, value_name = "FILE.csv", requires = "provider")]
    invoice: Option<PathBuf>,
    /// How it is printed
    #[arg(long, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

/// The columns of a line.
const HEAD: [&str; 9] = [
    "provider",
    "elements",
    "billed",
    "free",
    "uncertain",
    "cost_fen",
    "uncertain_fen",
    "reused",
    "saved_fen",
];

impl Statement {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`]; [`Failure::Reported`] where the bill differs.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let config = check::load(&self.config, out)?;
        let one = self.provider.as_deref().map(ProviderName::new);
        let prices: BTreeMap<ProviderName, Prices> =
            config.providers.iter().map(|(name, it)| (name.clone(), it.prices.clone())).collect();
        if let Some(name) = one.as_ref().filter(|name| !prices.contains_key(name)) {
            let known: Vec<_> = prices.keys().map(ProviderName::as_str).collect();
            let message =
                format!("no provider `{name}` is configured; there are: {}", known.join(", "));
            return Err(Failure::Usage(message));
        }
        let bill = self.invoice.as_deref().map(bill).transpose()?;
        let known = statement::read(&config, self.month, one.as_ref(), progress())?;
        let mut lines = known.tally.lines(&prices);
        lines.retain(|line| one.as_ref().is_none_or(|name| *name == line.provider));
        let prices = one.as_ref().and_then(|name| prices.get(name)).cloned().unwrap_or_default();
        let differences = bill.map(|bill| differences(&known, bill, &prices));
        match self.format {
            Format::Table => table(out, self.month, &lines, differences.as_deref()),
            Format::Csv => separated(out, &lines, differences.as_deref()),
            Format::Json => {
                let lines: Vec<Value> = lines.iter().map(as_json).collect();
                let differences = differences.as_ref().map(|all| {
                    let one = |(what, line, id): &Shown| json!({ "difference": what, "line": line, "inquiry": id });
                    all.iter().map(one).collect::<Vec<_>>()
                });
                let month = self.month.to_string();
                let all = json!({ "month": month, "lines": lines, "differences": differences });
                Ok(writeln!(out, "{all:#}")?)
            }
        }?;
        if differences.is_some_and(|all| !all.is_empty()) { Err(Failure::Reported) } else { Ok(()) }
    }
}

/// A difference: what, at which line of the bill, of which inquiry.
type Shown = (&'static str, Option<u64>, Option<String>);

/// Shows on the standard error, where somebody looks, that it goes on.
pub(super) fn progress() -> impl FnMut() + Send {
    let (mut rows, looks) = (0_u64, std::io::stderr().is_terminal());
    move || {
        rows = rows.saturating_add(1);
        if looks && rows.is_multiple_of(SHOWN_EVERY) {
            // Whether it can be shown does not matter.
            let _ = write!(std::io::stderr(), "\r{rows} rows read");
        }
    }
}

/// Reads a provider's bill.
fn bill(path: &Path) -> Result<Vec<Billed>, Failure> {
    let wrong = |what: String| Failure::Usage(format!("{}: {what}", path.display()));
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|error| wrong(error.to_string()))?;
    let head = reader.headers().map_err(|error| wrong(error.to_string()))?.clone();
    let column = |name: &str| {
        // Spreadsheets begin their files with a mark.
        head.iter().position(|it| it.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name))
    };
    let id = column("inquiry").ok_or_else(|| {
        wrong("its head names no column `inquiry`: rename the one that has our id, the order number at the provider".to_owned())
    })?;
    let (fen, yuan) = (column("fen"), column("yuan"));
    let mut bill = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let at = |column: Option<usize>| column.and_then(|column| record.get(column));
        let id = at(Some(id)).and_then(PaymentId::parse).ok_or_else(|| {
            wrong(format!(
                "line {line}: `inquiry` is no id of ours, which has 26 letters and digits"
            ))
        })?;
        let price = |text: Option<&str>, scale: i64| {
            let text = text.filter(|text| !text.is_empty());
            let price = text.map(Decimal::from_str_exact);
            price.transpose().map(|price| price.map(|it| it.saturating_mul(scale.into())))
        };
        let not_a_price =
            |_| wrong(format!("line {line}: no price, such as `0.285` yuan or `28.5` fen"));
        let fen = price(at(fen), 1).map_err(not_a_price)?;
        let yuan = price(at(yuan), 100).map_err(not_a_price)?;
        bill.push(Billed { line, id, fen: fen.or(yuan) });
    }
    Ok(bill)
}

fn differences(known: &Known, bill: Vec<Billed>, prices: &Prices) -> Vec<Shown> {
    let shown = |difference: Difference| {
        let (line, id) = difference.place();
        (difference.as_str(), line, id.map(|id| id.to_string()))
    };
    compare(&known.asked, bill, prices).into_iter().map(shown).collect()
}

fn cells(line: &Line) -> [String; 9] {
    let Line { provider, set, counts, cost, uncertain, saved } = line;
    [
        provider.to_string(),
        set.to_string(),
        counts.billed.to_string(),
        counts.free.to_string(),
        counts.uncertain.to_string(),
        cost.to_string(),
        uncertain.to_string(),
        counts.reused.to_string(),
        saved.to_string(),
    ]
}

fn as_json(line: &Line) -> Value {
    let Line { provider, set, counts, cost, uncertain, saved } = line;
    json!({
        "provider": provider.as_str(), "elements": set.to_string(), "billed": counts.billed, "free": counts.free,
        "uncertain": counts.uncertain, "cost_fen": cost.get(), "uncertain_fen": uncertain.get(), "reused": counts.reused,
        "saved_fen": saved.get(),
    })
}

/// Columns side by side, the sum below, and what differs.
fn table(
    out: &mut impl Write,
    month: Month,
    lines: &[Line],
    differences: Option<&[Shown]>,
) -> Result<(), Failure> {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(lines.iter().map(cells));
    let mut widths = [0; 9];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    writeln!(out, "{month}, by China's calendar")?;
    for row in &rows {
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            if at < 2 {
                write!(out, "{cell:width$}  ")?;
            } else {
                write!(out, "{cell:>width$}  ")?;
            }
        }
        writeln!(out)?;
    }
    let sum = |of: fn(&Line) -> u64| lines.iter().map(of).fold(0, u64::saturating_add);
    let (cost, saved) = (sum(|line| line.cost.get()), sum(|line| line.saved.get()));
    let uncertain = sum(|line| line.uncertain.get());
    writeln!(out, "{}", yuan("cost", cost))?;
    writeln!(out, "{}", yuan("more, if all that is uncertain is billed", uncertain))?;
    writeln!(out, "{}", yuan("saved by reuse", saved))?;
    for (what, line, id) in differences.unwrap_or_default() {
        let line = line.map_or_else(|| "-".to_owned(), |line| format!("line {line}"));
        writeln!(out, "{line}\t{what}\t{}", id.as_deref().unwrap_or("-"))?;
    }
    if let Some(differences) = differences {
        writeln!(out, "the bill differs in {} places", differences.len())?;
    }
    Ok(())
}

fn yuan(what: &str, fen: u64) -> String {
    format!("{what}: {}.{:02} yuan", fen / 100, fen % 100)
}

/// As CSV: the lines, or only what differs where there is a bill.
fn separated(
    out: &mut impl Write,
    lines: &[Line],
    differences: Option<&[Shown]>,
) -> Result<(), Failure> {
    let mut writer = csv::Writer::from_writer(out);
    if let Some(differences) = differences {
        writer.write_record(["difference", "line", "inquiry"])?;
        for (what, line, id) in differences {
            let line = line.map(|line| line.to_string()).unwrap_or_default();
            writer.write_record([what, line.as_str(), id.as_deref().unwrap_or_default()])?;
        }
    } else {
        writer.write_record(HEAD)?;
        for line in lines {
            writer.write_record(cells(line))?;
        }
    }
    Ok(writer.flush()?)
}
