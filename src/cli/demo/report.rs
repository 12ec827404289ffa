//! The demo's report: what Hefu counted, and beside it what the auditor knows.

use super::notified::Notifications;
use super::settled::Settled;
use crate::app::Running;
use crate::cli::Failure;
use crate::metrics::Metrics;
use crate::sim::{Audit, ChannelAudit, Count, Simulation, Upgrades};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::time::Duration;

/// The fewest true mismatches that make a run worth a verdict on recall.
const TRUE_MISMATCHES_MIN: u64 = 10;
/// A run shorter than this may not meet enough of them.
const SECONDS_MIN: u64 = 25;

/// A finished run.
#[derive(Clone, Debug)]
pub struct Report {
    seed: u64,
    seconds: u64,
    audit: Audit,
    counted: Counted,
    notifications: Notifications,
    settled: Settled,
    upgrades: Upgrades,
    element_leaks: usize,
    forwarded_without_permit: u64,
}

/// What Hefu itself counted.
#[derive(Clone, Copy, Debug)]
struct Counted {
    permit: u64,
    annotate: u64,
    refuse: u64,
    uninspected: u64,
    inquiries: u64,
    /// What they cost for certain, and what they may cost besides, in fen.
    charged_fen: (u64, u64),
    /// Questions that were not put for want of attempts.
    denied: u64,
    /// Combinations that were tried, and those that settled a payment.
    combined: (u64, u64),
    /// Those whose halves then differed.
    combined_wrongly: u64,
    outcomes: [u64; 4],
    /// Spans that the collector took, which are searched for elements too.
    spans: u64,
    overhead_p50: u64,
    overhead_p99: u64,
}

impl Counted {
    fn new(metrics: &Metrics) -> Self {
        let charged = |billable| metrics.total("hefu_charges_fen_total", &[("billable", billable)]);
        let decided = |decision| metrics.total("hefu_payments_total", &[("decision", decision)]);
        Self {
            permit: decided("permit"),
            annotate: decided("annotate"),
            refuse: decided("refuse"),
            uninspected: metrics.total("hefu_uninspected_total", &[]),
            inquiries: metrics.total("hefu_verifications_total", &[]),
            charged_fen: (charged("yes"), charged("uncertain")),
            denied: metrics.total("hefu_attempts_denied_total", &[]),
            combined: (
                metrics.total("hefu_combinations_total", &[]),
                metrics.total("hefu_combinations_total", &[("result", "settled")]),
            ),
            combined_wrongly: metrics
                .total("hefu_combination_mismatches_total", &[("kind", "match_then_no_match")]),
            outcomes: ["sync", "notify", "query", "statement"]
                .map(|arrival| metrics.total("hefu_outcomes_total", &[("arrival", arrival)])),
            spans: metrics.total("hefu_spans_total", &[("result", "taken")]),
            overhead_p50: metrics.overhead_us(0.5),
            overhead_p99: metrics.overhead_us(0.99),
        }
    }
}

impl Report {
    /// Audits a run; `shown` is everything that Hefu logged, showed and stored, to be searched for elements.
    ///
    /// # Errors
    /// Where the leak scanner cannot be built.
    pub fn new(
        (seed, seconds): (u64, u64),
        simulation: &Simulation,
        running: &Running,
        shown: &[Vec<u8>],
    ) -> Result<Self, Failure> {
        let audit = simulation.audit();
        let scanner = simulation.leak_scanner()?;
        let told = simulation.told();
        let texts = shown.iter().map(Vec::as_slice).chain(told.iter().map(String::as_bytes));
        let element_leaks = texts.map(|text| scanner.scan(text).len()).sum();
        let counted = Counted::new(&running.service.metrics);
        let received = audit.sum(|channel| channel.payments);
        let forwarded_without_permit = received.saturating_sub(counted.permit + counted.annotate);
        let notifications = Notifications::new(simulation, running);
        Ok(Self {
            seed,
            seconds,
            audit,
            counted,
            notifications,
            settled: Settled::default(),
            upgrades: simulation.upgrades(),
            element_leaks,
            forwarded_without_permit,
        })
    }

    /// What came at the end, when the statement was read; `shown` is everything that Hefu showed and stored then.
    ///
    /// # Errors
    /// Where the leak scanner cannot be built.
    pub(super) fn settle(
        &mut self,
        settled: Settled,
        simulation: &Simulation,
        running: &Running,
        shown: &[Vec<u8>],
    ) -> Result<(), Failure> {
        let scanner = simulation.leak_scanner()?;
        let texts = shown.iter().chain([&settled.said]);
        let leaks: usize = texts.map(|text| scanner.scan(text).len()).sum();
        self.element_leaks = self.element_leaks.saturating_add(leaks);
        self.counted.outcomes = Counted::new(&running.service.metrics).outcomes;
        self.settled = settled;
        Ok(())
    }

    /// The audit.
    pub const fn audit(&self) -> &Audit {
        &self.audit
    }

    /// How many elements were found in what Hefu logged and showed.
    pub const fn element_leaks(&self) -> usize {
        self.element_leaks
    }

    /// Whether everything that must hold of any run holds.
    pub fn is_sound(&self) -> bool {
        self.faults().is_empty()
    }

    /// What does not hold.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, channel) in &self.audit.channels {
            for (kind, count) in kinds(channel) {
                if count.found != count.truly || count.falsely > 0 {
                    faults.push(format!(
                        "{name}: {kind}: {} true, {} found, {} false; orders missed {:?}, mistaken {:?}",
                        count.truly, count.found, count.falsely, count.missed, count.mistaken
                    ));
                }
            }
            if channel.match_then_no_match.truly == 0 && self.seconds >= SECONDS_MIN {
                faults.push(format!("{name}: no true mismatch in the whole run"));
            }
        }
        let missing = &self.settled.missing;
        if missing.falsely > 0 || missing.found != missing.truly {
            faults.push(format!("missing outcomes: {missing:?}"));
        }
        faults.extend(self.settled.faults());
        faults.extend(self.notifications.faults());
        if self.upgrades.differing > 0 {
            let Upgrades { differing, asked, named, .. } = &self.upgrades;
            faults.push(format!("{differing} of {asked} upgrades differ: {named:?}"));
        }
        let all = self.audit.sum(|channel| channel.match_then_no_match.truly);
        if all < TRUE_MISMATCHES_MIN && self.seconds >= SECONDS_MIN {
            faults.push(format!("only {all} true mismatches"));
        }
        let ((certain, perhaps), billed) = (self.counted.charged_fen, self.audit.billed_fen());
        if !(certain..=certain + perhaps).contains(&billed) {
            faults.push(format!(
                "charged {certain} fen, {perhaps} uncertain; the providers {billed}"
            ));
        }
        for (what, count) in [
            ("signature failures", self.audit.sum(|channel| channel.signature_failures)),
            ("messages changed", self.audit.sum(|channel| channel.bytes_changed)),
            ("messages sent twice", self.audit.sum(|channel| channel.duplicates)),
            ("of our headers at a channel", self.audit.sum(|channel| channel.hefu_headers)),
            ("messages lost", self.audit.sum(|channel| channel.lost)),
            ("forwarded without a permit", self.forwarded_without_permit),
            ("elements leaked", u64::try_from(self.element_leaks).unwrap_or(u64::MAX)),
            ("inquiries turned away", self.audit.inquiries_turned_away),
            ("cards locked by what was asked", self.audit.tries.locked),
        ] {
            if count > 0 {
                faults.push(format!("{count} {what}"));
            }
        }
        faults
    }

    /// What came of attempts and combinations.
    fn print_asking(&self, out: &mut impl Write) -> io::Result<()> {
        let (counted, tries) = (&self.counted, &self.audit.tries);
        writeln!(
            out,
            "  attempts    {} cards locked, {} wrong tries in a row at most; {} questions not put; {} of a hostile merchant's {} messages left",
            tries.locked, tries.most_wrong, counted.denied, tries.hostile.1, tries.hostile.0
        )?;
        writeln!(
            out,
            "  combination {} of {} tried were settled, of which the channel contradicted {}, {} by our count",
            counted.combined.1,
            counted.combined.0,
            tries.combined_wrongly,
            counted.combined_wrongly
        )?;
        let (binds, refused, saved) = tries.binds;
        let share = |of: u64| 100 * saved / of.max(1);
        writeln!(
            out,
            "  binds       {binds}; {refused} did not match and were refused, {saved} were saved by combination: {} % of those, {} % of all",
            share(refused + saved),
            share(binds)
        )
    }

    /// What came of accounts that were to be upgraded.
    fn print_upgrades(&self, out: &mut impl Write) -> io::Result<()> {
        let Upgrades { asked, reached, sources, cost_fen, uncertain_fen, differing, .. } =
            &self.upgrades;
        writeln!(
            out,
            "  accounts    {} of {asked} reached class III, by {} sources, for {} fen and {} uncertain; the auditor disagrees on {differing}",
            reached.1, sources.1, cost_fen.1, uncertain_fen.1
        )
    }

    /// What came by itself, and how payments stand in the end.
    fn print_ends(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "\n  {:<12} {:>8} {:>6} {:>8}   {:<10} {:>8} {:>5} {:>6}",
            "channel", "notified", "forged", "believed", "settled by", "payments", "owed", "untrue"
        )?;
        for name in self.audit.channels.keys() {
            let notified = self.notifications.of(name).copied().unwrap_or_default();
            // Some channels only bind.
            let Some(ended) = self.settled.of(name).filter(|it| it.ended > 0) else { continue };
            writeln!(
                out,
                "  {name:<12} {:>8} {:>6} {:>8}   {:<10} {:>8} {:>5} {:>6}",
                notified.genuine,
                notified.forged,
                notified.forged_with_effect,
                ended.by(),
                ended.ended,
                ended.open,
                ended.wrong
            )?;
        }
        Ok(())
    }

    /// One object, with the keys that operators and CI rely on.
    pub fn json(&self) -> Value {
        let counted = &self.counted;
        let kind = |of: &dyn Fn(&ChannelAudit) -> &Count| {
            let sum = |part: &dyn Fn(&Count) -> u64| self.audit.sum(|channel| part(of(channel)));
            json!({ "true": sum(&|count| count.truly), "found": sum(&|count| count.found), "false": sum(&|count| count.falsely) })
        };
        let channels: serde_json::Map<String, Value> = self.audit.channels.iter().map(|(name, channel)| {
            let mismatches: serde_json::Map<String, Value> = kinds(channel).into_iter().map(|(kind, count)| {
                (kind.to_owned(), json!({ "true": count.truly, "found": count.found, "false": count.falsely }))
            }).collect();
            let notified = self.notifications.of(name).map(super::notified::Counted::json);
            let ended = self.settled.of(name).map(super::settled::Closed::json);
            ((*name).to_owned(), json!({
                "sent": channel.sent, "received": channel.received, "refused": channel.refused, "mismatches": mismatches,
                "notifications": notified, "ended": ended,
            }))
        }).collect();
        let [sync, notify, query, statement] = counted.outcomes;
        let tries = &self.audit.tries;
        let pair = |(truly, told): (u64, u64)| json!({ "true": truly, "told": told });
        json!({
            "seed": self.seed,
            "seconds": self.seconds,
            "requests": { "inspected": counted.permit + counted.annotate + counted.refuse, "uninspected": counted.uninspected },
            "decisions": { "permit": counted.permit, "annotate": counted.annotate, "refuse": counted.refuse },
            "inquiries": counted.inquiries,
            "charges_fen": { "certain": counted.charged_fen.0, "uncertain": counted.charged_fen.1, "true": self.audit.billed_fen() },
            "attempts": { "cards_locked": tries.locked, "most_wrong_in_a_row": tries.most_wrong, "denied": counted.denied,
                "hostile": { "sent": tries.hostile.0, "forwarded": tries.hostile.1 } },
            "combination": { "tried": counted.combined.0, "settled": counted.combined.1, "true": tries.combined, "mismatches": { "true": tries.combined_wrongly, "found": counted.combined_wrongly } },
            "upgrades": {
                "asked": self.upgrades.asked, "as_planned": self.upgrades.as_planned, "differing": self.upgrades.differing,
                "class_three": pair(self.upgrades.reached), "sources": pair(self.upgrades.sources),
                "cost_fen": pair(self.upgrades.cost_fen), "uncertain_fen": pair(self.upgrades.uncertain_fen),
            },
            "binds": { "sent": tries.binds.0, "refused": tries.binds.1, "saved": tries.binds.2 },
            "outcomes": { "sync": sync, "notify": notify, "query": query, "statement": statement },
            "notifications": self.notifications.json(),
            "mismatches": {
                "match_then_no_match": kind(&|channel| &channel.match_then_no_match),
                "unverified_then_no_match": kind(&|channel| &channel.unverified_then_no_match),
                "missing_outcome": { "true": self.settled.missing.truly, "found": self.settled.missing.found, "false": self.settled.missing.falsely },
            },
            "statement": self.settled.json(),
            "signature_failures": self.audit.sum(|channel| channel.signature_failures),
            "bytes_changed": self.audit.sum(|channel| channel.bytes_changed),
            "forwarded_without_permit": self.forwarded_without_permit,
            "element_leaks": self.element_leaks,
            "spans": counted.spans,
            "overhead_us": { "p50": counted.overhead_p50, "p99": counted.overhead_p99 },
            "channels": channels,
            "faults": self.faults(),
        })
    }

    /// For a person.
    ///
    /// # Errors
    /// Where the output cannot be written.
    #[expect(clippy::too_many_lines, reason = "a page, from top to bottom")]
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let counted = &self.counted;
        writeln!(
            out,
            "\nThe auditor's report (seed {}, {} s). It shares no code with Hefu.\n",
            self.seed, self.seconds
        )?;
        writeln!(
            out,
            "  {:<12} {:>7} {:>8} {:>8}   {:<26} {:>5} {:>6} {:>6}",
            "channel", "sent", "arrived", "refused", "mismatch", "true", "found", "false"
        )?;
        for (name, channel) in &self.audit.channels {
            let mut start = format!(
                "  {name:<12} {:>7} {:>8} {:>8}",
                channel.sent, channel.received, channel.refused
            );
            for (kind, count) in kinds(channel) {
                writeln!(
                    out,
                    "{start}   {kind:<26} {:>5} {:>6} {:>6}",
                    count.truly, count.found, count.falsely
                )?;
                start = " ".repeat(start.chars().count());
            }
        }
        self.print_ends(out)?;
        writeln!(
            out,
            "\n  decisions   {} permit, {} annotate, {} refuse; {} streamed uninspected",
            counted.permit, counted.annotate, counted.refuse, counted.uninspected
        )?;
        writeln!(out, "  inquiries   {} to providers", counted.inquiries)?;
        let (certain, perhaps) = counted.charged_fen;
        writeln!(
            out,
            "  charges     {certain} fen and {perhaps} uncertain; {} by the providers' own books",
            self.audit.billed_fen()
        )?;
        self.print_asking(out)?;
        self.print_upgrades(out)?;
        writeln!(out, "  in the end  {}", self.settled.line())?;
        let missing = &self.settled.missing;
        writeln!(
            out,
            "  missing     {} outcomes before that, {} found, {} false",
            missing.truly, missing.found, missing.falsely
        )?;
        writeln!(
            out,
            "  overhead    {} µs in the median, {} µs at the 99th percentile (time in Hefu)",
            counted.overhead_p50, counted.overhead_p99
        )?;
        writeln!(
            out,
            "  promises    {} signature failures, {} messages changed, {} without a permit, {} elements leaked",
            self.audit.sum(|channel| channel.signature_failures),
            self.audit.sum(|channel| channel.bytes_changed),
            self.forwarded_without_permit,
            self.element_leaks
        )?;
        let faults = self.faults();
        for fault in &faults {
            writeln!(out, "  FAULT       {fault}")?;
        }
        writeln!(
            out,
            "\n{}",
            if faults.is_empty() {
                "Both halves of the tally agree."
            } else {
                "What Hefu found is not what is true."
            }
        )
    }
}

fn kinds(channel: &ChannelAudit) -> [(&'static str, &Count); 2] {
    [
        ("match_then_no_match", &channel.match_then_no_match),
        ("unverified_then_no_match", &channel.unverified_then_no_match),
    ]
}

/// How many upgrades are over, below the live table.
pub(super) fn applied(
    out: &mut impl Write,
    elapsed: Duration,
    (done, all): (usize, usize),
) -> io::Result<()> {
    writeln!(out, "{:>5} {done} of {all} accounts brought as far as they come", elapsed.as_secs())
}

/// The head of the live table.
pub(super) fn head(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>5} {:>9} {:>9} {:>9} {:>9} {:>11} {:>6} {:>9}",
        "s", "permit", "annotate", "refuse", "inquiries", "mismatches", "holds", "p50 µs"
    )
}

/// One line of the live table.
pub(super) fn line(out: &mut impl Write, elapsed: Duration, running: &Running) -> io::Result<()> {
    let metrics = &running.service.metrics;
    let counted = Counted::new(metrics);
    writeln!(
        out,
        "{:>5} {:>9} {:>9} {:>9} {:>9} {:>11} {:>6} {:>9}",
        elapsed.as_secs(),
        counted.permit,
        counted.annotate,
        counted.refuse,
        counted.inquiries,
        metrics.total("hefu_mismatches_total", &[]),
        running.service.standing_holds().len(),
        counted.overhead_p50
    )
}
