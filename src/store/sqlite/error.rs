//! Why the embedded database cannot be used.

use crate::store::row::Damaged;
use crate::store::segment::SegmentError;
use std::io;
use std::path::PathBuf;

/// Why something could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the database or the disk said.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    /// A row is not as it was written.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// Its write-ahead log cannot be made durable.
    #[error("cannot sync the log of the store: {0}")]
    Sync(io::Error),
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be created or read.
    #[error("cannot open the store `{}`: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no database, or is locked for too long.
    #[error("cannot open the store `{}`: {source}", path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// It is another program's.
    #[error("`{}` is not a store of Hefu's: choose another file in `[store]`", .0.display())]
    Foreign(PathBuf),
    /// It is damaged.
    #[error("the store `{}` is damaged ({damage}): restore a backup", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What was found first.
        damage: String,
    },
    /// Its write-ahead log is not whole, as far as it was durable.
    #[error(
        "the log of the store, `{place}-wal`, is damaged: commits are gone. Restore a backup, or move `{place}-wal-end` away to start without them",
        place = path.display()
    )]
    Short {
        /// The store.
        path: PathBuf,
    },
    /// Its log.
    #[error("{0}")]
    Log(#[from] SegmentError<Error>),
    /// It was written by an earlier Hefu, and is only read.
    #[error(
        "the store `{}` has schema {found} and this Hefu {known}: one that serves brings it up to date when it starts. Until then use the Hefu that has it",
        path.display()
    )]
    Older {
        /// Which.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// It was written by a later Hefu.
    #[error("the store `{}` has schema {found} and this Hefu knows {known}: use the later one", path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// Ours.
        known: usize,
    },
}
