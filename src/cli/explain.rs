//! `hefu explain`: why a payment was decided as it was.

use crate::cli::client::{AdminArgs, Client, ClientError};
use clap::Args;
use serde_json::Value;
use std::io::{self, Write};

/// Say why a payment was decided as it was, and what to tell the customer
#[derive(Debug, Args)]
pub struct Explain {
    /// The payment's id, as in the header `Hefu-Payment`
    id: String,
    /// Print the record as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Explain {
    /// Runs the command.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn run(&self, out: &mut impl Write) -> Result<(), super::Failure> {
        let client = Client::new(&self.admin)?;
        let id = self.id.trim_matches('"');
        if !id.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(ClientError::Refused {
                status: 400,
                detail: "a payment id has letters and digits only".to_owned(),
            }
            .into());
        }
        let payment: Value = client.get(&format!("/v1/payments/{id}")).await?;
        if self.json {
            writeln!(out, "{payment:#}")?;
            return Ok(());
        }
        match payment.get("rows").and_then(Value::as_array) {
            Some(rows) => {
                writeln!(out, "batch {id}, {} rows\n", rows.len())?;
                rows.iter().try_for_each(|row| print(out, row))?;
            }
            None => print(out, &payment)?,
        }
        Ok(())
    }
}

fn print(out: &mut impl Write, payment: &Value) -> io::Result<()> {
    let text = |pointer: &str| match payment.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    };
    for (label, pointer) in [
        ("payment", "/payment"),
        ("row", "/row"),
        ("channel", "/channel"),
        ("scenario", "/scenario"),
        ("order", "/order"),
        ("amount (fen)", "/amount_fen"),
        ("carried", "/carried"),
        ("mode", "/mode"),
        ("decision", "/decision"),
        ("reasons", "/reasons"),
        ("rule", "/rules/rule"),
        ("  its reason", "/rules/reason"),
        ("  of set", "/rules/set"),
        ("rules that held", "/rules/hits"),
        ("  as shadows", "/rules/shadows"),
        ("verification", "/verification/answer"),
        ("  by", "/verification/provider"),
        ("  of", "/verification/elements"),
        ("  asked now", "/verification/asked_now"),
        ("  borne out", "/concordance/expected"),
        ("  at least", "/concordance/low"),
        ("  at most", "/concordance/high"),
        ("  asked by chance", "/routing/explored"),
        ("  likely by", "/routing/propensity"),
        ("  asked last", "/routing/lowered"),
        ("held out of", "/holdout"),
        ("judged in (µs)", "/judged_in_us"),
        ("outcome", "/outcome/outcome"),
        ("  code", "/outcome/code"),
        ("mismatch", "/mismatch/kind"),
        ("  on", "/mismatch/elements"),
    ] {
        writeln!(out, "{label:<16} {}", text(pointer))?;
    }
    writeln!(out, "\n{}\n{}", text("/en"), text("/zh"))
}
