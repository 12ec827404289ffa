//! `hefu healthcheck`: whether a Hefu may get traffic, for images that have no curl.

use crate::cli::Failure;
use crate::cli::client::{ClientError, plain};
use clap::Args;
use std::io::Write;
use std::time::Duration;

/// How long the answer may take.
const WITHIN: Duration = Duration::from_secs(3);

/// Ask a running Hefu whether it may get traffic: ends with 0 if so. Needs no token
#[derive(Debug, Args)]
pub struct Healthcheck {
    /// The admin listener or the metrics listener: `http://127.0.0.1:7070` or `unix:/run/hefu/admin.sock`
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7070", env = "HEFU_ADMIN")]
    admin: String,
    /// Ask whether it lives, which it does while it drains
    #[arg(long)]
    live: bool,
}

impl Healthcheck {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`] where it cannot be reached, or says no.
    pub async fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let (http, base) = plain(&self.admin, WITHIN).map_err(ClientError::from)?;
        let path = if self.live { "/healthz" } else { "/readyz" };
        let response = http.get(format!("{base}{path}")).send().await;
        let response = response.map_err(ClientError::from)?;
        let status = response.status();
        if !status.is_success() {
            return Err(Failure::Usage(format!("{path} says {status}")));
        }
        writeln!(out, "{}", if self.live { "alive" } else { "ready" })?;
        Ok(())
    }
}
