//! `hefu simulate`: the simulated channels and providers alone, for a core in development.

use crate::cli::Failure;
use crate::sim::{Settings, Simulation};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// Run the simulated channels and providers alone, for a core in development
#[derive(Debug, Args)]
pub struct Simulate {
    /// The world's seed
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Key files go into a new directory under this one
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

impl Simulate {
    /// Runs until Ctrl-C.
    ///
    /// # Errors
    /// Where the simulation cannot start.
    pub async fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let simulation = Simulation::start(Settings::new(self.seed, self.dir.clone())).await?;
        writeln!(out, "endpoints:")?;
        for (name, url) in simulation.endpoints() {
            writeln!(out, "  {name:<12} {url}")?;
        }
        writeln!(out, "keys (removed at the end):")?;
        for (name, file) in simulation.key_files() {
            writeln!(out, "  {name:<26} {}", file.display())?;
        }
        writeln!(out, "running until Ctrl-C")?;
        out.flush()?;
        tokio::signal::ctrl_c().await?;
        Ok(())
    }
}
