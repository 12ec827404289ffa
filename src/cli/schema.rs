//! `hefu schema`: the JSON Schema of the configuration.

use crate::cli::Failure;
use crate::config;
use clap::Args;
use std::io::Write;

/// Print the JSON Schema of the configuration files
#[derive(Debug, Args)]
pub struct Schema {}

impl Schema {
    /// Runs the command.
    ///
    /// # Errors
    /// Where the output cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        writeln!(out, "{:#}", config::schema())?;
        Ok(())
    }
}
