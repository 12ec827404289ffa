//! `hefu demo`: sidecar, simulators and traffic in one process, and at the end what Hefu found beside what is true.

mod collector;
mod notified;
pub mod report;
mod settled;
pub mod setup;

use crate::app::{self, Running};
use crate::cli::Failure;
use crate::sim::{self, Simulation};
use clap::Args;
use collector::Collector;
use report::Report;
use settled::Settled;
use setup::Place;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

/// How many of a thousand element mismatches are told later than by the answer: by a notification or a query.
const LATE_MISMATCHES: u64 = 250;

/// The most log bytes that are kept for the leak scan.
const LOG_MAX: usize = 64 * 1024 * 1024;

/// Watch Hefu at work on simulated traffic, or run for a while and compare what it found with what is true
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// How long (`30s`, `5m`); until Ctrl-C where absent
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    run_for: Option<Duration>,
    /// How many messages instead.
    #[arg(skip)]
    messages: Option<usize>,
    /// Messages a second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    rate: u32,
    /// The world's seed: people, cards, phones, and what befalls them
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Print one JSON object at the end, and nothing else
    #[arg(long)]
    json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| "a duration such as `30s` or `5m`".to_owned())?;
    Duration::try_from(span)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or("a duration above zero".to_owned())
}

impl Demo {
    /// A demo of a fixed length, for tests: it ends after so many messages, on whichever machine.
    pub const fn new(messages: usize, rate: u32, seed: u64) -> Self {
        Self { run_for: None, messages: Some(messages), rate, seed, json: true }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// Where something could not start, or what Hefu found is not what is true.
    pub async fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let log = Log::default();
        let captured = log.clone();
        // Fails where a subscriber is set already; the scan then reads fewer logs.
        let _ = tracing_subscriber::fmt()
            .with_env_filter("debug,hefu=trace,pingora_core=off,hyper=off,reqwest=off")
            .with_ansi(false)
            .with_writer(captured)
            .try_init();
        let report = self.observe(out, &log).await?;
        if self.json {
            writeln!(out, "{}", report.json())?;
        } else {
            report.print(out)?;
        }
        if report.is_sound() { Ok(()) } else { Err(Failure::Reported) }
    }

    /// Runs the demo and reports, without judging the report.
    ///
    /// # Errors
    /// Where something could not start.
    pub async fn observe(&self, out: &mut impl Write, log: &Log) -> Result<Report, Failure> {
        let place = Place::new()?;
        let settings = sim::Settings::new(self.seed, place.dir().to_owned());
        let simulation =
            Simulation::start(sim::Settings { late_mismatches: LATE_MISMATCHES, ..settings })
                .await?;
        let collector = Collector::start().await?;
        let config = place.configure(&simulation, Some(collector.address))?;
        let running = app::start(config).await?;
        if !self.json {
            self.welcome(out, &running, (&place, simulation.channels().len()))?;
        }
        let begun = Instant::now();
        let target = setup::target(&simulation, &running)?;
        let drive = simulation.drive(target.clone(), self.rate, self.stop(&simulation));
        tokio::pin!(drive);
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.tick().await;
        loop {
            tokio::select! {
                driven = &mut drive => break driven?,
                _ = tick.tick() => if !self.json { report::line(out, begun.elapsed(), &running)? },
            }
        }
        let seconds = begun.elapsed().as_secs();
        {
            let apply = setup::apply(&simulation, &running, &place);
            tokio::pin!(apply);
            loop {
                tokio::select! {
                    applied = &mut apply => break applied?,
                    _ = tick.tick() => if !self.json {
                        report::applied(out, begun.elapsed(), simulation.applied())?;
                    },
                }
            }
        }
        let mut settled = Settled::new(&place, &simulation, &running, target).await?;
        let api = setup::api_outputs(&running, &place).await;
        running.flush_spans().await;
        let mut shown = vec![log.bytes(), api, collector.bytes()];
        shown.extend(setup::store_files(&running, &place).await);
        let mut report = Report::new((self.seed, seconds), &simulation, &running, &shown)?;
        settled.settle(&place, &simulation, &running).await?;
        running.flush_spans().await;
        let mut shown = vec![setup::api_outputs(&running, &place).await, collector.bytes()];
        shown.extend(setup::store_files(&running, &place).await);
        report.settle(settled, &simulation, &running, &shown)?;
        running.drain().await;
        Ok(report)
    }

    async fn stop(&self, simulation: &Simulation) {
        if let Some(messages) = self.messages {
            let mut look = tokio::time::interval(Duration::from_millis(10));
            while simulation.messages() < messages {
                look.tick().await;
            }
            return;
        }
        match self.run_for {
            Some(run_for) => tokio::time::sleep(run_for).await,
            // Without a signal handler the demo would run on; nothing better is left to do.
            None => drop(tokio::signal::ctrl_c().await),
        }
    }

    fn welcome(
        &self,
        out: &mut impl Write,
        running: &Running,
        (place, channels): (&Place, usize),
    ) -> io::Result<()> {
        let admin = running.admin.map_or_else(String::new, |admin| format!("http://{admin}"));
        let token = place.token_file();
        let token = token.display();
        writeln!(
            out,
            "Hefu stands between a simulated payment core and {channels} simulated channels (seed {}).",
            self.seed
        )?;
        writeln!(
            out,
            "Seven simulated providers verify names, ID numbers, cards and phones; every signature is real.\n"
        )?;
        writeln!(out, "  core listener   http://{}", running.core)?;
        writeln!(
            out,
            "  metrics         curl -H \"Authorization: Bearer $(cat {token})\" {admin}/metrics"
        )?;
        writeln!(
            out,
            "  holds           hefu holds list --admin {admin} --admin-token-file {token}"
        )?;
        writeln!(
            out,
            "  one payment     hefu explain ID --admin {admin} --admin-token-file {token}"
        )?;
        match self.run_for {
            Some(run_for) => {
                writeln!(out, "  ends            after {run_for:?}, with the auditor's report\n")?;
            }
            None => {
                writeln!(out, "  ends            with Ctrl-C, and then the auditor's report\n")?;
            }
        }
        report::head(out)
    }
}

/// What was logged, kept for the leak scan.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The bytes so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() < LOG_MAX {
            log.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
