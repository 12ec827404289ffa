//! `hefu agreements import`: load what was bound before Hefu came.

use crate::cli::client::{AdminArgs, Client};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;

/// How many lines go in one request.
const LINES_PER_PART: usize = 5_000;

/// Load agreements that were bound before
#[derive(Debug, Args)]
pub struct Agreements {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Import a file of JSON lines with `agreement`, `merchant`, `name`, `id_number`, `pan` and `phone`
    ///
    /// Only `agreement` is required. Elements are fingerprinted as they are read and kept nowhere else.
    /// A bad line is reported with its number, and the rest goes on.
    Import {
        /// The file
        file: PathBuf,
        /// The channel at which the agreements were made
        #[arg(long)]
        channel: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

impl Agreements {
    /// Runs the command.
    ///
    /// # Errors
    /// Where the file cannot be read, the admin listener refuses, or a line was bad.
    pub async fn run(&self, out: &mut impl Write) -> Result<(), super::Failure> {
        let Action::Import { file, channel, admin } = &self.action;
        let client = Client::new(admin)?;
        let safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !channel.chars().all(safe) {
            return Err(super::Failure::Usage(
                "a channel's name has letters, digits, `-` and `_` only".to_owned(),
            ));
        }
        let open = File::open(file)
            .map_err(|source| super::Failure::File { file: file.clone(), source })?;
        let total = open.metadata().map_or(0, |metadata| metadata.len());
        let mut reader = BufReader::new(open);
        let (mut imported, mut refused, mut first_line, mut done) = (0, 0, 0, 0_u64);
        loop {
            let mut part = String::new();
            let mut lines = 0_usize;
            while lines < LINES_PER_PART && part.len() < 2_000_000 {
                let read = reader
                    .read_line(&mut part)
                    .map_err(|source| super::Failure::File { file: file.clone(), source })?;
                if read == 0 {
                    break;
                }
                lines = lines.saturating_add(1);
                done = done.saturating_add(u64::try_from(read).unwrap_or_default());
            }
            if lines == 0 {
                break;
            }
            let result: Value = client
                .post(&format!("/v1/agreements/import?channel={channel}"), "text/plain", part)
                .await?;
            imported += result.get("imported").and_then(Value::as_u64).unwrap_or_default();
            for line in result.get("refused").and_then(Value::as_array).into_iter().flatten() {
                let number = line
                    .get("line")
                    .and_then(Value::as_u64)
                    .unwrap_or_default()
                    .saturating_add(first_line);
                let error = line.get("error").and_then(Value::as_str).unwrap_or("refused");
                writeln!(out, "{}:{number}: {error}", file.display())?;
                refused += 1;
            }
            first_line = first_line.saturating_add(u64::try_from(lines).unwrap_or_default());
            if std::io::stderr().is_terminal() {
                let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
                let _ = write!(std::io::stderr(), "\r{percent:>3} %");
            }
        }
        writeln!(out, "{imported} imported, {refused} refused")?;
        if refused > 0 { Err(super::Failure::Reported) } else { Ok(()) }
    }
}
