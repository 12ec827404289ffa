//! `hefu check`: every problem of a configuration at once.

use crate::cli::Failure;
use crate::config::{self, Config, Rendering};
use clap::{Args, ValueEnum};
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};

/// Validate configuration, profiles and code maps; report every problem with file, line, column and a hint
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration: a directory, or the `hefu.toml` in it
    #[arg(long, short, value_name = "PATH", default_value = "config/hefu.toml")]
    config: PathBuf,
    /// How problems are printed
    #[arg(long, default_value = "human")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Human,
    Json,
}

impl Check {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure::Reported`] where there was a problem.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let rendering = match self.format {
            Format::Human => rendering(),
            Format::Json => Rendering::Json,
        };
        match config::load(&directory(&self.config)) {
            Ok(config) => {
                match self.format {
                    Format::Human => writeln!(
                        out,
                        "{}: {} channels, {} providers, no problem",
                        self.config.display(),
                        config.channels.len(),
                        config.providers.len()
                    )?,
                    Format::Json => writeln!(out, "[]")?,
                }
                Ok(())
            }
            Err(problems) => {
                writeln!(out, "{}", problems.render(rendering))?;
                Err(Failure::Reported)
            }
        }
    }
}

/// Loads a configuration, or says every problem on `out`.
pub(super) fn load(path: &Path, out: &mut impl Write) -> Result<Config, Failure> {
    config::load(&directory(path)).or_else(|problems| {
        writeln!(out, "{}", problems.render(rendering()))?;
        Err(Failure::Reported)
    })
}

/// In colour for a person at a terminal.
pub(super) fn rendering() -> Rendering {
    if std::io::stdout().is_terminal() && std::io::stderr().is_terminal() {
        Rendering::Colour
    } else {
        Rendering::Plain
    }
}

/// The configuration's directory, also where its main file was named.
pub(super) fn directory(path: &Path) -> PathBuf {
    let is_file = path.extension().is_some_and(|extension| extension == "toml");
    let parent = path.parent().filter(|parent| is_file && !parent.as_os_str().is_empty());
    match parent {
        Some(parent) => parent.to_owned(),
        None if is_file => PathBuf::from("."),
        None => path.to_owned(),
    }
}
