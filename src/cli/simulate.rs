//! `hefu simulate`: the simulated channels and providers alone, for a core in development; or with a core of its own, for a Hefu
//! in another process.

use crate::cli::Failure;
use crate::cli::demo::setup;
use crate::sim::{Listeners, Settings, Simulation, Target};
use clap::Args;
use reqwest::Url;
use std::io::{self, Write};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// Run the simulated channels and providers alone, for a core in development
#[derive(Debug, Args)]
pub struct Simulate {
    /// The world's seed
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Key files go into a new directory under this one
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Write a configuration with which `hefu serve` stands before this simulation, its keys included, into this directory
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,
    /// In that configuration Hefu listens on 7000, 7001, 7070 and, for everybody, 7071 (metrics), instead of on free ports
    #[arg(long, requires = "config")]
    usual_ports: bool,
    /// Print what the core, the channels and the providers see, a line of JSON each, without elements
    #[arg(long)]
    lines: bool,
    /// Run the simulated core too, and have it send everything here; it repeats what it hears nothing of. The first Ctrl-C ends it
    #[arg(long, value_name = "URL")]
    core: Option<Url>,
    /// Messages of that core a second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    rate: u32,
    /// How many people the world has
    #[arg(long, default_value_t = 4000)]
    people: usize,
}

impl Simulate {
    /// Runs until Ctrl-C or SIGTERM. With a core, the first one lets that finish what it has under way; the second ends the rest.
    ///
    /// # Errors
    /// Where the simulation cannot start.
    pub async fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let settings =
            Settings { people: self.people, ..Settings::new(self.seed, self.dir.clone()) };
        let mut terminate = signal(SignalKind::terminate())?;
        let simulation = Simulation::start(settings).await?;
        writeln!(out, "endpoints:")?;
        for (name, url) in simulation.endpoints() {
            writeln!(out, "  {name:<12} {url}")?;
        }
        writeln!(out, "keys (removed at the end):")?;
        for (name, file) in simulation.key_files() {
            writeln!(out, "  {name:<26} {}", file.display())?;
        }
        if let Some(dir) = &self.config {
            let listeners = if self.usual_ports { Listeners::Usual } else { Listeners::Free };
            setup::write(dir, &simulation, listeners)?;
            writeln!(out, "configuration: {}", dir.display())?;
        }
        writeln!(out, "running until Ctrl-C")?;
        out.flush()?;
        if self.lines {
            simulation.tell(Box::new(io::stdout()));
        }
        let mut stop = async || {
            tokio::select! {
                // Without a handler it would run on; nothing better is left to do.
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        };
        if let Some(url) = &self.core {
            let target = Target { repeats: true, ..setup::through(&simulation, url.clone()) };
            simulation.drive(target, self.rate, stop()).await?;
            writeln!(
                out,
                "{}",
                if self.lines { "{\"over\":\"core\"}" } else { "the core has ended" }
            )?;
            out.flush()?;
        }
        stop().await;
        Ok(())
    }
}
