//! `hefu serve`: run the sidecar.

use crate::app::{self, SystemClock};
use crate::cli::Failure;
use crate::cli::check::load;
use crate::telemetry;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Run the sidecar
#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration: a directory, or the `hefu.toml` in it
    #[arg(long, short, value_name = "PATH", default_value = "config/hefu.toml")]
    config: PathBuf,
    /// Log as JSON lines
    #[arg(long)]
    log_json: bool,
}

impl Serve {
    /// Serves until SIGTERM or SIGINT, then drains.
    ///
    /// # Errors
    /// Where the configuration is bad or a socket cannot be bound.
    pub async fn run(&self) -> Result<(), Failure> {
        telemetry::init(self.log_json);
        let config = load(&self.config, &mut std::io::stderr())?;
        let running = app::start(config, Arc::new(SystemClock)).await?;
        tracing::info!(
            core = %running.core,
            notify = running.notify.map(tracing::field::display),
            admin = running.admin.map(tracing::field::display),
            "serving"
        );
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => (),
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        tracing::info!("draining: connections are served until idle; a second signal ends at once");
        tokio::select! {
            () = running.drain() => (),
            _ = terminate.recv() => (),
            _ = tokio::signal::ctrl_c() => (),
        }
        Ok(())
    }
}
