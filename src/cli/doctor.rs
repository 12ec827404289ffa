//! `hefu doctor`: what would keep Hefu from doing its work here, and what to do about it.

use crate::app::doctor::{Finding, State, examine};
use crate::cli::Failure;
use crate::cli::check::{directory, rendering};
use crate::config;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// Look at configuration, clock, limits, disk, store, channels, providers and the core; each line with what to do. Sends no message
#[derive(Debug, Args)]
pub struct Doctor {
    /// The configuration: a directory, or the `hefu.toml` in it
    #[arg(long, short, value_name = "PATH", default_value = "config/hefu.toml")]
    config: PathBuf,
}

impl Doctor {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure::Reported`] where something is bad.
    pub async fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let config = match config::load(&directory(&self.config)) {
            Ok(config) => config,
            Err(problems) => {
                let count = problems.len();
                writeln!(out, "bad   configuration      {count} problems, below")?;
                writeln!(out, "      mend what is named; `hefu check` says it again")?;
                writeln!(out, "{}", problems.render(rendering()))?;
                return Err(Failure::Reported);
            }
        };
        let (channels, providers) = (config.channels.len(), config.providers.len());
        writeln!(out, "good  configuration      {channels} channels, {providers} providers")?;
        // It blocks, and nothing else is to be done meanwhile.
        let findings = tokio::task::spawn_blocking(move || examine(&config)).await;
        let findings = findings.map_err(std::io::Error::other)?;
        for Finding { what, state, seen, remedy } in &findings {
            let state = match state {
                State::Good => "good",
                State::Doubtful => "hmm",
                State::Bad => "bad",
            };
            writeln!(out, "{state:<5} {what:<18} {seen}")?;
            if let Some(remedy) = remedy {
                writeln!(out, "      {remedy}")?;
            }
        }
        let worst = findings.iter().map(|finding| finding.state).max();
        if worst == Some(State::Bad) { Err(Failure::Reported) } else { Ok(()) }
    }
}
