//! `hefu reload`: load the configuration again, as SIGHUP does, and hear how that went.

use crate::cli::Failure;
use crate::cli::client::{AdminArgs, Client};
use clap::Args;
use std::io::Write;

/// Have a running Hefu load its configuration, certificates and keys again; a bad one keeps the old, and is told
#[derive(Debug, Args)]
pub struct Reload {
    #[command(flatten)]
    admin: AdminArgs,
}

impl Reload {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`], with every problem of the configuration.
    pub async fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        Client::new(&self.admin)?.tell("/v1/reload").await?;
        writeln!(out, "the configuration was loaded again")?;
        Ok(())
    }
}
