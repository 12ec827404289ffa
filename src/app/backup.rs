//! A backup of the store, while Hefu runs.

use crate::config::{Config, Storage};
use crate::store::sqlite::{self, BackUpError};
use std::path::Path;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Nothing is kept.
    #[error("there is no `[store]` to back up")]
    Memory,
    /// Another tool's work.
    #[error(
        "the store is in PostgreSQL, which has backups of its own: `pg_dump`, or a base backup and the log (`pg_basebackup`)"
    )]
    Shared,
    /// It did not come about.
    #[error(transparent)]
    File(#[from] BackUpError),
}

/// Copies the store to `to`, which must not be there; yields the bytes of the copy.
///
/// # Errors
/// [`Failed`].
pub fn back_up(config: &Config, to: &Path) -> Result<u64, Failed> {
    match &config.store {
        Storage::Memory => Err(Failed::Memory),
        Storage::Postgres { .. } => Err(Failed::Shared),
        Storage::File(path) => Ok(sqlite::back_up(path, to)?),
    }
}
