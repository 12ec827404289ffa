//! `hefu extract`: what a captured message yields.

use crate::cli::Failure;
use crate::cli::check::load;
use crate::message::extract::{self, ExtractError, Part, Payments, Request};
use crate::message::profile::Profile;
use clap::Args;
use std::io::{Read, Write};
use std::path::PathBuf;

/// The most bytes that are read.
const MESSAGE_MAX: u64 = 16 * 1024 * 1024;

/// Show what a captured message yields: scenario and masked fields, or why it is ambiguous
#[derive(Debug, Args)]
pub struct Extract {
    /// The body of the message; `-` is standard input
    file: PathBuf,
    /// The channel
    #[arg(long)]
    channel: String,
    /// The path that the message was sent to, where the profile asks
    #[arg(long, default_value = "/")]
    path: String,
    /// The message's `Content-Type`; the profile's own where absent
    #[arg(long)]
    content_type: Option<String>,
    /// How the message was sent; `GET` is read from the query
    #[arg(long, default_value = "POST")]
    method: String,
    /// The query of a `GET`, without `?`
    #[arg(long)]
    query: Option<String>,
    /// A header of the message that the profile reads, as `Name: value`; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The configuration: a directory, or the `hefu.toml` in it
    #[arg(long, short, value_name = "PATH", default_value = "config/hefu.toml")]
    config: PathBuf,
}

impl Extract {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure::Reported`] where the message yields no payment.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let config = load(&self.config, &mut std::io::stderr())?;
        let profile = config.profile(&self.channel).ok_or_else(|| {
            Failure::Usage(format!("there is no channel `{}` in the configuration", self.channel))
        })?;
        let body =
            self.read().map_err(|source| Failure::File { file: self.file.clone(), source })?;
        let fallback = profile.request.content_types.first().map(String::as_str);
        let headers: Vec<_> = self.headers.iter().filter_map(|line| line.split_once(':')).collect();
        let headers: Vec<_> = headers
            .into_iter()
            .map(|(name, value)| (name.trim().to_lowercase(), value.trim()))
            .filter(|(name, _)| profile.headers.contains(name))
            .collect();
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let request = Request {
            method: &self.method.to_uppercase(),
            headers: &headers,
            path: &self.path.to_lowercase(),
            query: self.query.as_deref(),
            content_type: self.content_type.as_deref().or(fallback),
            told: None,
            body: body.strip_suffix(b"\n").unwrap_or(&body),
        };
        show(out, profile, &request)
    }

    fn read(&self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if self.file.as_os_str() == "-" {
            std::io::stdin().take(MESSAGE_MAX).read_to_end(&mut body)?;
        } else {
            std::fs::File::open(&self.file)?.take(MESSAGE_MAX).read_to_end(&mut body)?;
        }
        Ok(body)
    }
}

fn show(out: &mut impl Write, profile: &Profile, request: &Request<'_>) -> Result<(), Failure> {
    let extracted = match extract::extract(profile, request) {
        Ok(extracted) => extracted,
        Err(error) => {
            writeln!(out, "no payment: {error}")?;
            if error == ExtractError::Unlisted {
                writeln!(out, "hint: add a [[message]] for it, or try --path")?;
            }
            return Err(Failure::Reported);
        }
    };
    match &extracted.payments {
        Payments::One(part) => show_part(out, part),
        Payments::Rows(rows) => {
            writeln!(out, "batch      {}", extracted.order.as_ref().map_or("-", |order| &order.0))?;
            for (at, part) in rows.iter().enumerate() {
                writeln!(out, "\nrow {}", at.saturating_add(1))?;
                show_part(out, part)?;
            }
            Ok(())
        }
    }
}

fn show_part(out: &mut impl Write, part: &Part) -> Result<(), Failure> {
    let payment = &part.payment;
    writeln!(out, "scenario   {}", payment.scenario.as_str())?;
    let order = payment.order.as_ref().map_or("-", |order| &order.0);
    writeln!(out, "order      {order}")?;
    if let Some(amount) = payment.amount {
        writeln!(out, "amount     {amount} fen")?;
    }
    if let Some(agreement) = &payment.agreement {
        writeln!(out, "agreement  {}", agreement.0)?;
    }
    let elements = &payment.elements;
    writeln!(out, "elements   {}", elements.set())?;
    if let Some(pan) = &elements.pan {
        writeln!(out, "  pan      {} ({})", pan.masked(), pan.kind().as_str())?;
    }
    if let Some(id) = &elements.id_number {
        writeln!(out, "  id       {}", id.kind().as_str())?;
    }
    writeln!(out, "checks     {}", payment.checks)?;
    for invalid in &part.invalid {
        writeln!(out, "invalid    {}: {invalid}", invalid.element())?;
    }
    if !part.sealed.is_empty() {
        writeln!(out, "sealed     {} (to be told in `Hefu-Elements`)", part.sealed)?;
    }
    Ok(())
}
