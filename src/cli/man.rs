//! `hefu man`: the manual pages, made of the same definitions as `--help`.

use crate::cli::{Cli, Failure};
use clap::{Args, CommandFactory as _};
use std::io::Write;
use std::path::PathBuf;

/// Print the manual page, or write one for each command into a directory
#[derive(Debug, Args)]
pub struct Man {
    /// Where the pages go: `/usr/local/share/man/man1`
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    /// Runs the command.
    ///
    /// # Errors
    /// Where a page cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        match &self.dir {
            Some(dir) => clap_mangen::generate_to(Cli::command(), dir)?,
            None => clap_mangen::Man::new(Cli::command()).render(out)?,
        }
        Ok(())
    }
}
