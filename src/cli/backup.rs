//! `hefu backup`: a copy of the store at one instant.

use crate::app::backup;
use crate::cli::{Failure, check};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;
use tokio::time::Instant;

/// Copy the store to a file while Hefu runs; the copy is checked, and readable by this user only
#[derive(Debug, Args)]
pub struct Backup {
    /// The configuration: a directory, or the `hefu.toml` in it
    #[arg(long, short, value_name = "PATH", default_value = "config/hefu.toml")]
    config: PathBuf,
    /// The copy; it must not be there
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

impl Backup {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let config = check::load(&self.config, out)?;
        let begun = Instant::now();
        let bytes = backup::back_up(&config, &self.to)?;
        let (file, took) = (self.to.display(), begun.elapsed());
        writeln!(out, "{file}: {bytes} bytes, copied and checked in {took:.1?}")?;
        Ok(())
    }
}
