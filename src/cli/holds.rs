//! `hefu holds`: see what waits, and free a customer.

use crate::cli::client::{AdminArgs, Client};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::Write;

/// See what is held, and release it
#[derive(Debug, Args)]
pub struct Holds {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the holds that stand, oldest first
    List {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Release holds by key, or all of a channel's
    Release {
        /// Keys as `hefu holds list` shows them
        #[arg(required_unless_present = "channel")]
        keys: Vec<String>,
        /// All of this channel's
        #[arg(long)]
        channel: Option<String>,
        /// Why; goes into the log and the audit, so no name and no number of a person's
        #[arg(long)]
        note: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

impl Holds {
    /// Runs the command.
    ///
    /// # Errors
    /// Where the admin listener cannot be reached or refuses.
    pub async fn run(&self, out: &mut impl Write) -> Result<(), super::Failure> {
        match &self.action {
            Action::List { admin } => {
                let holds: Vec<Value> = Client::new(admin)?.get("/v1/holds").await?;
                for hold in &holds {
                    let field = |name: &str| {
                        hold.get(name).and_then(Value::as_str).unwrap_or("-").to_owned()
                    };
                    writeln!(out, "{}\t{}\t{}", field("key"), field("channel"), field("payment"))?;
                }
                writeln!(out, "{} held", holds.len())?;
            }
            Action::Release { keys, channel, note, admin } => {
                let body = json!({ "keys": keys, "channel": channel, "note": note });
                let released: Value = Client::new(admin)?
                    .post("/v1/holds/release", "application/json", body.to_string())
                    .await?;
                writeln!(
                    out,
                    "{} released",
                    released.get("released").and_then(Value::as_u64).unwrap_or_default()
                )?;
            }
        }
        Ok(())
    }
}
