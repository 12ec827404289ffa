//! What is kept of a person, and how it is forgotten.

use crate::domain::clock::Timestamp;
use crate::domain::id::Fingerprint;
use crate::store::journal::StoreLost;
use async_trait::async_trait;
use serde::Serialize;
use std::time::Duration;

/// How long it is known that somebody was forgotten: until every process that knew them has looked, or ended.
pub(super) const TOLD_ON: Duration = Duration::from_hours(7 * 24);

/// How much was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Answers of providers and channels.
    pub evidence: usize,
    /// Agreements.
    pub agreements: usize,
    /// Binds that waited for their next step.
    pub waiting_binds: usize,
    /// Holds.
    pub holds: usize,
}

/// Whatever is kept of people, across all that says whose it is.
#[async_trait]
pub trait PersonStore: Send + Sync {
    /// Forgets what was kept of `people` until `now`, in memory and durably, and has other processes do the same when they
    /// [look](Self::forget_others).
    ///
    /// # Errors
    /// [`StoreLost`]: some of it may be kept still; it is to be tried again.
    async fn forget(&self, people: &[Fingerprint], now: Timestamp) -> Result<Forgotten, StoreLost>;

    /// Forgets whom another process forgot, and what was written of them by one that did not know.
    ///
    /// # Errors
    /// [`StoreLost`]: it is to be tried again.
    async fn forget_others(&self) -> Result<Forgotten, StoreLost>;
}
