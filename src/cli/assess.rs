//! `hefu assess`: how well a provider answers, on labelled data, before a contract is signed.

use crate::app::assess::{Assessed, Labelled, Trial};
use crate::cli::{Failure, check};
use crate::domain::element::{Element, ElementSet, Elements};
use crate::domain::identity::{IdNumber, IdType};
use crate::domain::pan::{AccountKind, Pan};
use crate::domain::person::{Mobile, Name};
use clap::Args;
use csv::StringRecord;
use serde_json::json;
use std::fs::File;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;

/// After how many answers progress is shown.
const SHOWN_EVERY: usize = 10;

/// Put labelled data to a provider, and say how right its answers are
///
/// The data is CSV with a head: the elements by name (`name`, `id_number`, `pan`, `phone`), and `truth`: `match`, `no_match`, or the
/// elements that are wrong (`phone`, or `name phone`). A bad line is reported with its number, and the rest goes on.
/// Elements are kept nowhere. The provider may bill what is asked; it is no part of `hefu statement`.
#[derive(Debug, Args)]
pub struct Assess {
    /// The configuration: a directory, or the `hefu.toml` in it
    #[arg(long, short, value_name = "PATH", default_value = "config/hefu.toml")]
    config: PathBuf,
    /// The provider, which need not be enabled
    #[arg(long)]
    provider: String,
    /// The labelled data
    #[arg(long, value_name = "FILE.csv")]
    data: PathBuf,
    /// How many lines are asked about at most
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
    /// How many at once
    #[arg(long, default_value_t = 4, value_name = "N")]
    at_once: usize,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Assess {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`]; [`Failure::Reported`] where a line was bad.
    pub async fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let config = check::load(&self.config, out)?;
        let open = File::open(&self.data)
            .map_err(|source| Failure::File { file: self.data.clone(), source })?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(open);
        let columns = Columns::read(reader.headers()?).map_err(|why| self.wrong(&why))?;
        let trial = Trial::new(&config, &self.provider, columns.set)?;
        let mut bad = Vec::new();
        let lines = reader.into_records().take(self.limit).filter_map(|record| {
            let read = record.map_err(|error| (position(error.position()), "not a line of CSV"));
            let read = read.and_then(|record| {
                columns.labelled(&record).map_err(|why| (position(record.position()), why))
            });
            read.map_err(|problem| bad.push(problem)).ok()
        });
        let assessed = trial.run(&config, lines, self.at_once, progress()).await;
        for (line, why) in &bad {
            writeln!(out, "{}:{line}: {why}", self.data.display())?;
        }
        if self.json {
            writeln!(out, "{:#}", as_json(&assessed))?;
        } else {
            writeln!(out, "{} about {}", self.provider, columns.set)?;
            print(out, &assessed)?;
        }
        if bad.is_empty() { Ok(()) } else { Err(Failure::Reported) }
    }

    fn wrong(&self, why: &str) -> Failure {
        Failure::Usage(format!("{}: {why}", self.data.display()))
    }
}

fn position(at: Option<&csv::Position>) -> u64 {
    at.map_or(0, csv::Position::line)
}

/// Shows on the standard error, where somebody looks, that it goes on.
fn progress() -> impl FnMut() {
    let (mut answers, looks) = (0_usize, std::io::stderr().is_terminal());
    move || {
        answers = answers.saturating_add(1);
        if looks && answers.is_multiple_of(SHOWN_EVERY) {
            // Whether it can be shown does not matter.
            let _ = write!(std::io::stderr(), "\r{answers} answers");
        }
    }
}

/// Where the data has what.
#[derive(Debug)]
struct Columns {
    elements: Vec<(usize, Element)>,
    truth: usize,
    set: ElementSet,
}

impl Columns {
    fn read(head: &StringRecord) -> Result<Self, String> {
        let (mut elements, mut truth, mut set) = (Vec::new(), None, ElementSet::EMPTY);
        for (at, name) in head.iter().enumerate() {
            // Spreadsheets begin their files with a mark.
            let name = name.trim_start_matches('\u{feff}').to_ascii_lowercase();
            match (name.as_str(), Element::from_word(&name)) {
                ("truth", _) => truth = Some(at),
                (
                    _,
                    Some(
                        element @ (Element::Name
                        | Element::IdNumber
                        | Element::Pan
                        | Element::Phone),
                    ),
                ) if !set.contains(element) => {
                    elements.push((at, element));
                    set = set.with(element);
                }
                (other, Some(_)) => return Err(format!("a column `{other}` too many")),
                (_, None) => (),
            }
        }
        let truth = truth.ok_or("its head names no column `truth`")?;
        Ok(Self { elements, truth, set })
    }

    /// One line; why not, never with a value.
    fn labelled(&self, record: &StringRecord) -> Result<Labelled, &'static str> {
        let at = |column| record.get(column).unwrap_or_default();
        let mut elements = Elements::default();
        for (column, element) in &self.elements {
            let text = at(*column);
            match element {
                Element::Name => elements.name = Name::parse(text).ok(),
                Element::IdNumber => {
                    elements.id_number = IdNumber::parse(text, IdType::ResidentId).ok();
                }
                Element::Pan => elements.pan = Pan::parse(text, AccountKind::Debit).ok(),
                Element::Phone => elements.phone = Mobile::parse(text).ok(),
                Element::Cvv2
                | Element::Expiry
                | Element::AccountLevel
                | Element::FaceImage
                | Element::IdCardImage
                | Element::BusinessName
                | Element::CreditCode
                | Element::CertificateNumber => (),
            }
        }
        if elements.set() != self.set {
            return Err("an element is not one");
        }
        Labelled::new(elements, at(self.truth))
            .ok_or("`truth` is `match`, `no_match`, or the elements that are wrong")
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn print(out: &mut impl Write, assessed: &Assessed) -> Result<(), Failure> {
    writeln!(out, "\n{:<14} {:>12} {:>15}", "answer", "truth: match", "truth: no_match")?;
    for (answer, [matches, others]) in assessed.assessment.confusion() {
        writeln!(out, "{answer:<14} {matches:>12} {others:>15}")?;
    }
    writeln!(out, "\n{:<14} {:>8} {:>8}   95 % interval", "right", "of", "share")?;
    for (of, count) in assessed.assessment.accuracy().into_iter().filter(|(_, it)| it.all() > 0.0) {
        let (low, high) = count.interval();
        let (all, share) = (count.all(), percent(count.agreed / count.all()));
        writeln!(out, "{of:<14} {all:>8} {share:>8}   {} to {}", percent(low), percent(high))?;
    }
    writeln!(
        out,
        "\n{:<14} {:>8} {:>8} {:>8}   95 % interval",
        "wrong element", "of", "caught", "named"
    )?;
    for (element, caught) in assessed.assessment.elements() {
        let (all, (low, high)) = (caught.count.all(), caught.count.interval());
        let share = percent(caught.count.agreed / all);
        writeln!(
            out,
            "{:<14} {all:>8} {share:>8} {:>8}   {} to {}",
            element.as_str(),
            caught.named,
            percent(low),
            percent(high),
        )?;
    }
    let Assessed { billed, uncertain, cost, .. } = assessed;
    writeln!(out, "\n{billed} billed, {uncertain} uncertain; cost {cost} fen at the first rate")?;
    Ok(())
}

fn as_json(assessed: &Assessed) -> serde_json::Value {
    let confusion = assessed.assessment.confusion().map(|(answer, [matches, others])| {
        json!({ "answer": answer, "truth_match": matches, "truth_no_match": others })
    });
    let accuracy = assessed.assessment.accuracy().map(|(of, count)| {
        let (low, high) = count.interval();
        json!({ "of": of, "right": count.agreed, "wrong": count.differed, "low": low, "high": high })
    });
    let elements = assessed.assessment.elements().map(|(element, caught)| {
        let (low, high) = caught.count.interval();
        json!({
            "element": element.as_str(), "caught": caught.count.agreed, "missed": caught.count.differed,
            "named": caught.named, "low": low, "high": high,
        })
    });
    json!({
        "confusion": confusion.collect::<Vec<_>>(), "accuracy": accuracy, "elements": elements.collect::<Vec<_>>(),
        "billed": assessed.billed, "uncertain": assessed.uncertain, "cost_fen": assessed.cost.to_string(),
    })
}
