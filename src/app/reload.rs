//! Reloading: a new configuration is in force as a whole, or the old one stays.

use super::{Running, StartError};
use crate::admin::Stays;
use crate::config::clients::Verification;
use crate::config::{Config, Problems};
use crate::crypto::keys::Keys;
use crate::metrics::Loaded;

/// Why the old configuration stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The files have problems.
    #[error("{0}")]
    Config(Problems),
    /// It cannot be composed.
    #[error(transparent)]
    Start(#[from] StartError),
    /// These keys cannot change in a running process.
    #[error(
        "cannot change without an upgrade (SIGUSR2) or a restart: {}",
        .0.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
    )]
    Fixed(Vec<&'static str>),
    /// Nobody listens for the request to reload.
    #[error("this process does not reload")]
    Nobody,
}

/// What a running process cannot change: sockets are bound once, and a store is checked against its keys when it is opened.
pub(super) struct Fixed {
    values: Vec<(&'static str, String)>,
    keys: Keys,
}

impl Fixed {
    pub(super) fn new(config: &Config) -> Self {
        let listen = &config.listen;
        let values = vec![
            ("listen.core", listen.core.to_string()),
            ("listen.notify", format!("{:?}", listen.notify)),
            ("listen.admin", format!("{:?}", listen.admin.as_ref().map(|admin| &admin.address))),
            (
                "listen.admin_tls",
                listen.admin.as_ref().is_some_and(|it| it.api.door.is_some()).to_string(),
            ),
            ("listen.metrics", format!("{:?}", listen.metrics)),
            ("listen.verification", place(config, |it| it.address.to_string())),
            ("listen.verification_tls", place(config, |it| it.door.is_some().to_string())),
            ("verification.connections", place(config, |it| it.connections.to_string())),
            ("verification.head_deadline", place(config, |it| format!("{:?}", it.head_deadline))),
            ("verification.at_once", place(config, |it| it.at_once.to_string())),
            ("verification.batches", place(config, |it| it.batches.to_string())),
            ("verification.pictures", place(config, |it| it.pictures.to_string())),
            ("store", format!("{:?}", config.store)),
            ("store.evidence_in_memory", config.evidence_in_memory.to_string()),
            ("store.keep", format!("{:?}", config.keep)),
            ("webhook", format!("{:?}", config.webhook)),
            ("limits.connections", config.limits.connections.to_string()),
        ];
        Self { values, keys: config.keys.clone() }
    }

    /// The keys in which `other` differs.
    pub(super) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let values = self.values.iter().zip(&other.values);
        let mut keys: Vec<_> =
            values.filter(|(old, new)| old != new).map(|((key, _), _)| *key).collect();
        if !self.keys.is_same(&other.keys) {
            keys.push("secrets");
        }
        keys
    }
}

/// What is said of the verification service, where there is one.
fn place(config: &Config, of: impl FnOnce(&Verification) -> String) -> String {
    config.verification.as_ref().map(of).unwrap_or_default()
}

impl From<&ReloadError> for Stays {
    fn from(error: &ReloadError) -> Self {
        let problems = match error {
            ReloadError::Config(problems) => problems.len(),
            ReloadError::Fixed(keys) => keys.len(),
            ReloadError::Start(_) | ReloadError::Nobody => 1,
        };
        Self { why: error.to_string(), problems }
    }
}

impl Running {
    /// Puts a configuration in force: requests that begin from now on are served by it, those under way by the old one.
    /// What was learned and counted stays, and so do kept connections whose authorities and certificates did not change.
    ///
    /// # Errors
    /// [`ReloadError`]: nothing changed.
    pub fn reload(&self, loaded: Result<Config, Problems>) -> Result<(), ReloadError> {
        // Whoever has moved the file says so by the same signal, whether or not the configuration is good.
        self.desk.lasting.access.reopen();
        let reloaded =
            loaded.map_err(ReloadError::Config).and_then(|config| self.desk.reload(config));
        self.service.metrics.on_load(Loaded::Files, reloaded.is_ok());
        reloaded
    }
}
