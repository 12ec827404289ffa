//! `hefu serve`: run the sidecar.

use crate::app::handover::{Sockets, succeed};
use crate::app::{self, ReloadError, Running};
use crate::cli::Failure;
use crate::cli::check::{directory, load, rendering};
use crate::config;
use crate::telemetry;
use clap::Args;
use sd_notify::NotifyState;
use std::io::Write as _;
use std::path::PathBuf;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the signals do, for `--help`.
const SIGNALS: &str = "\
Signals:
  SIGTERM, SIGINT, SIGQUIT  Drain: accept nothing more, tell kept connections to close with their next answer, serve
                            until all are done or idle (`[drain]` in hefu.toml). A second one ends at once
  SIGHUP                    Load the configuration, certificates and keys again; a bad one keeps the old.
                            `POST /v1/reload` of the admin API does the same
  SIGUSR2                   Upgrade: start this command anew on the bound sockets, and drain once it serves. What is in
                            memory (evidence, agreements, holds) is not handed over

Sockets passed by systemd (LISTEN_FDS) are used where their address is a configured one; readiness is told (NOTIFY_SOCKET).";

/// Run the sidecar
#[derive(Debug, Args)]
#[command(after_long_help = SIGNALS)]
pub struct Serve {
    /// The configuration: a directory, or the `hefu.toml` in it
    #[arg(long, short, value_name = "PATH", default_value = "config/hefu.toml")]
    config: PathBuf,
    /// Log as JSON lines
    #[arg(long)]
    log_json: bool,
}

impl Serve {
    /// Serves until a signal or a successor ends it, then drains.
    ///
    /// # Errors
    /// Where the configuration is bad or a socket cannot be bound.
    pub async fn run(&self, mut inherited: Sockets) -> Result<(), Failure> {
        telemetry::init(self.log_json);
        let config = load(&self.config, &mut std::io::stderr())?;
        let predecessor = inherited.take_predecessor();
        let mut stop = Stop::new()?;
        let (mut hangup, mut upgrade) =
            (signal(SignalKind::hangup())?, signal(SignalKind::user_defined2())?);
        let mut running = app::start_on(inherited, config).await?;
        tracing::info!(
            core = %running.core,
            notify = running.notify.map(tracing::field::display),
            admin = running.admin.map(tracing::field::display),
            metrics = running.metrics.map(tracing::field::display),
            verification = running.verification.map(tracing::field::display),
            pid = std::process::id(),
            "serving"
        );
        tell(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);
        if let Some(predecessor) = predecessor {
            tracing::info!("upgraded: what the process before this one had in memory is forgotten");
            predecessor.is_relieved();
        }
        let has_successor = loop {
            tokio::select! {
                () = stop.told() => break false,
                _ = hangup.recv() => drop(self.reload(&running).await),
                Some(asked) = running.asked.recv() => {
                    let reloaded = self.reload(&running).await.map_err(|error| (&error).into());
                    // Whoever asked may have gone.
                    let _ = asked.send(reloaded);
                }
                _ = upgrade.recv() => tokio::select! {
                    () = stop.told() => break false,
                    is_succeeded = hand_over(&running) => if is_succeeded { break true },
                },
            }
        };
        tracing::info!("draining: connections are served until idle; a second signal ends at once");
        let drained = async {
            if has_successor {
                running.retire().await
            } else {
                tell(&[NotifyState::Stopping]);
                running.drain().await
            }
        };
        tokio::select! {
            all = drained => if all {
                tracing::info!("drained");
            } else {
                tracing::warn!("the drain's deadline passed: what was under way is cut");
            },
            () = stop.told() => tracing::warn!("told twice: what was under way is cut"),
        }
        Ok(())
    }

    /// Loads the configuration again and says how that went.
    async fn reload(&self, running: &Running) -> Result<(), ReloadError> {
        let place = directory(&self.config);
        let loading = tokio::task::spawn_blocking(move || config::load(&place));
        let reloaded = match loading.await {
            Ok(loaded) => running.reload(loaded),
            // Only a panic ends it.
            Err(_) => Err(ReloadError::Nobody),
        };
        match &reloaded {
            Ok(()) => tracing::info!("the configuration was loaded again"),
            Err(ReloadError::Config(problems)) => {
                if !self.log_json {
                    // Nowhere is left to say that standard error is closed.
                    let _ = writeln!(std::io::stderr(), "{}", problems.render(rendering()));
                }
                for problem in problems {
                    let (line, column) = problem.place();
                    tracing::error!(
                        file = problem.file(),
                        line,
                        column,
                        hint = problem.hint(),
                        "{}",
                        problem.message()
                    );
                }
                tracing::error!(problems = problems.len(), "the old configuration stays");
            }
            Err(error) => tracing::error!(%error, "the old configuration stays"),
        }
        reloaded
    }
}

/// Starts this command anew; whether it serves now.
async fn hand_over(running: &Running) -> bool {
    let mut arguments = std::env::args_os();
    // As it was typed, so that a replaced file or link leads to the new version.
    let program = arguments.next().unwrap_or_default();
    tracing::info!(program = %program.display(), "upgrading");
    match succeed(running, program, arguments).await {
        Ok(pid) => {
            tracing::info!(pid, "the successor serves");
            true
        }
        Err(error) => {
            tracing::error!(%error, "there is no successor: this process serves on");
            false
        }
    }
}

/// Tells the service manager, where there is one.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// The signals that end the process.
struct Stop([Signal; 3]);

impl Stop {
    fn new() -> std::io::Result<Self> {
        let [terminate, interrupt, quit] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()].map(signal);
        Ok(Self([terminate?, interrupt?, quit?]))
    }

    async fn told(&mut self) {
        let [terminate, interrupt, quit] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
            _ = quit.recv() => (),
        }
    }
}
