//! `hefu extract`: what a captured message yields, and what the answers to it say.

mod captured;
mod report;

pub use captured::{Captured, NotCaptured};
pub use report::{Report, read, report};

use crate::cli::Failure;
use crate::cli::check::{load, rendering};
use crate::config;
use crate::message::profile::Profile;
use clap::Args;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The most bytes that are read.
const MESSAGE_MAX: u64 = 16 * 1024 * 1024;

/// Show what a captured message yields: scenario and masked fields, or why it is ambiguous; and what answers to it say
#[derive(Debug, Args)]
pub struct Extract {
    /// The captured request: request line, headers, an empty line, and the body byte for byte; `-` is standard input
    message: PathBuf,
    /// A captured answer to it: the body, or the whole response; may be repeated
    #[arg(long = "answer", value_name = "FILE")]
    answers: Vec<PathBuf>,
    /// The channel, of a whole configuration
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "profile",
        required_unless_present = "profile"
    )]
    channel: Option<String>,
    /// The configuration: a directory, or the `hefu.toml` in it
    #[arg(long, short, value_name = "PATH", default_value = "config/hefu.toml")]
    config: PathBuf,
    /// A profile alone, such as `channels/acme.toml`; its code maps are looked for in `codes/` beside that folder
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// With a profile alone: a public key that opens sealed content, under its name in the profile; may be repeated
    #[arg(long = "key", value_name = "NAME=FILE", value_parser = named_file, requires = "profile")]
    keys: Vec<(String, PathBuf)>,
}

fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("write NAME=FILE")?;
    Ok((name.to_owned(), PathBuf::from(file)))
}

impl Extract {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure::Reported`] where the message yields no payment.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let profile = self.profile()?;
        let message = read_file(&self.message)?;
        let mut answers = Vec::new();
        for file in &self.answers {
            let name = file.file_name().unwrap_or(file.as_os_str());
            answers.push((name.to_string_lossy().into_owned(), read_file(file)?));
        }
        let report = report(&profile, &message, &answers)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        write!(out, "{}", report.text)?;
        if report.is_payment { Ok(()) } else { Err(Failure::Reported) }
    }

    fn profile(&self) -> Result<Profile, Failure> {
        if let Some(file) = &self.profile {
            let keys: BTreeMap<_, _> = self.keys.iter().cloned().collect();
            return config::profile(file, &keys).or_else(|problems| {
                writeln!(std::io::stderr(), "{}", problems.render(rendering()))?;
                Err(Failure::Reported)
            });
        }
        let config = load(&self.config, &mut std::io::stderr())?;
        let name = self.channel.as_deref().unwrap_or_default();
        config.profile(name).cloned().ok_or_else(|| {
            Failure::Usage(format!("there is no channel `{name}` in the configuration"))
        })
    }
}

fn read_file(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().take(MESSAGE_MAX).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(MESSAGE_MAX).read_to_end(&mut bytes))
    };
    match read {
        Ok(_) => Ok(bytes),
        Err(source) => Err(Failure::File { file: file.to_owned(), source }),
    }
}
