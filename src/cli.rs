//! The `hefu` command: one file a subcommand, and the only place that prints.

pub mod agreements;
pub mod assess;
pub mod audit;
pub mod backtest;
pub mod backup;
pub mod check;
pub mod client;
pub mod client_key;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod extract;
pub mod forget;
pub mod healthcheck;
pub mod holds;
pub mod man;
pub mod reload;
pub mod report;
pub mod rules;
pub mod schema;
pub mod serve;
pub mod settle;
pub mod simulate;
pub mod statement;
pub mod token;

use crate::app::handover::Sockets;
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// Hefu (合符): verifies payments inline, and watches whether verification and outcome agree
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Check(check::Check),
    Extract(extract::Extract),
    Demo(demo::Demo),
    Simulate(simulate::Simulate),
    Explain(explain::Explain),
    Holds(holds::Holds),
    Agreements(agreements::Agreements),
    Forget(forget::Forget),
    Audit(audit::Audit),
    Backup(backup::Backup),
    Rules(rules::Rules),
    Backtest(backtest::Backtest),
    Statement(statement::Statement),
    Doctor(doctor::Doctor),
    Healthcheck(healthcheck::Healthcheck),
    Reload(reload::Reload),
    Report(report::Report),
    Settle(settle::Settle),
    Assess(assess::Assess),
    Schema(schema::Schema),
    Token(token::Token),
    ClientKey(client_key::ClientKey),
    Man(man::Man),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The admin listener.
    #[error(transparent)]
    Client(#[from] client::ClientError),
    /// A file.
    #[error("cannot read `{}`: {source}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Hefu could not start.
    #[error(transparent)]
    Start(#[from] crate::app::StartError),
    /// There is no backup.
    #[error(transparent)]
    Backup(#[from] crate::app::backup::Failed),
    /// There is no statement.
    #[error(transparent)]
    Statement(#[from] crate::app::statement::Failed),
    /// A list was not changed.
    #[error(transparent)]
    List(#[from] crate::app::lists::ListError),
    /// A provider cannot be assessed.
    #[error(transparent)]
    Assess(#[from] crate::app::assess::Failed),
    /// A table cannot be written.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// The simulator could not start.
    #[error(transparent)]
    Sim(#[from] crate::sim::SimError),
    /// The arguments do not make sense together.
    #[error("{0}")]
    Usage(String),
    /// Output or the runtime.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Everything was said already.
    #[error("")]
    Reported,
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Before there are threads: what is inherited is taken out of the environment.
    let inherited = Sockets::from_env();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(run(cli.command, inherited)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output may stop reading: that is no failure of ours.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    if !matches!(failure, Failure::Reported) {
        // Nowhere is left to say that standard error is closed.
        let _ = writeln!(io::stderr(), "hefu: {failure}");
    }
    ExitCode::FAILURE
}

async fn run(command: Command, inherited: Sockets) -> Result<(), Failure> {
    let mut out = io::stdout();
    match command {
        Command::Serve(serve) => serve.run(inherited).await,
        Command::Check(check) => check.run(&mut out),
        Command::Extract(extract) => extract.run(&mut out),
        Command::Demo(demo) => demo.run(&mut out).await,
        Command::Simulate(simulate) => simulate.run(&mut out).await,
        Command::Explain(explain) => explain.run(&mut out).await,
        Command::Holds(holds) => holds.run(&mut out).await,
        Command::Agreements(agreements) => agreements.run(&mut out).await,
        Command::Forget(forget) => forget.run(&mut out).await,
        Command::Audit(audit) => audit.run(&mut out).await,
        Command::Backup(backup) => backup.run(&mut out),
        Command::Rules(rules) => rules.run(&mut out),
        Command::Backtest(backtest) => backtest.run(&mut out),
        Command::Statement(statement) => statement.run(&mut out),
        Command::Doctor(doctor) => doctor.run(&mut out).await,
        Command::Healthcheck(healthcheck) => healthcheck.run(&mut out).await,
        Command::Reload(reload) => reload.run(&mut out).await,
        Command::Report(report) => report.run(&mut out),
        Command::Settle(settle) => settle.run(&mut out).await,
        Command::Assess(assess) => assess.run(&mut out).await,
        Command::Schema(schema) => schema.run(&mut out),
        Command::Token(token) => token.run(&mut out),
        Command::ClientKey(key) => key.run(&mut out),
        Command::Man(man) => man.run(&mut out),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "hefu", &mut out);
            Ok(())
        }
    }
}
