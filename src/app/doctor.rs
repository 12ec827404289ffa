//! What would keep Hefu from doing its work on this machine, and what to do about each. Nothing is changed, and no message is sent.

mod machine;
mod network;

use crate::config::{Config, Storage};
use std::time::Duration;

/// How long one thing may take that is looked at over a network.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Good,
    /// It will do for now, or cannot be told.
    Doubtful,
    /// Hefu will not work as it should.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: String,
    /// How it stands.
    pub state: State,
    /// What was seen.
    pub seen: String,
    /// What to do, where there is something to do.
    pub remedy: Option<String>,
}

impl Finding {
    fn good(what: &str, seen: impl Into<String>) -> Self {
        Self { what: what.to_owned(), state: State::Good, seen: seen.into(), remedy: None }
    }

    fn doubtful(what: &str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (seen, remedy) = (seen.into(), Some(remedy.into()));
        Self { what: what.to_owned(), state: State::Doubtful, seen, remedy }
    }

    fn bad(what: &str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Bad, ..Self::doubtful(what, seen, remedy) }
    }
}

/// Looks at everything that `config` needs. Blocks, for `PATIENCE` at most for each thing that is out of reach.
pub fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![machine::clock(), machine::files(config)];
    match &config.store {
        Storage::Memory => findings.push(Finding::doubtful(
            "store",
            "none: what is learned is gone with the process, and an order may leave twice after a restart",
            "set `[store] file` or `[store] postgres`",
        )),
        Storage::File(path) => findings.extend(machine::store(path)),
        Storage::Postgres { config: place, authorities } => {
            findings.push(network::database(place, authorities));
        }
    }
    findings.extend(network::doors(config));
    findings.extend(network::channels(config));
    findings.extend(network::providers(config));
    findings.extend(network::notified(config));
    findings
}
