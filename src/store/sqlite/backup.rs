//! A copy of the store as it is at one instant.

use super::{BUSY_TIMEOUT, Older, OpenError, Sqlite, open_to_share};
use crate::store::segment::Segmented;
use rusqlite::{Connection, OpenFlags};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackUpError {
    /// The store.
    #[error("cannot read the store `{}`: {source}", path.display())]
    Store {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The backup, which must not be there before.
    #[error("cannot write the backup `{}`: {source}", path.display())]
    Copy {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The backup, or the store, cannot be used.
    #[error("`{}` cannot be used: {source}", path.display())]
    Bad {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<OpenError>,
    },
}

/// Copies the store at `path` to `to` as it is at one instant, while others go on writing it; yields the bytes of the copy. A
/// copy that cannot be used is removed.
///
/// # Errors
/// [`BackUpError`].
pub fn back_up(path: &Path, to: &Path) -> Result<u64, BackUpError> {
    let wrong = |source| BackUpError::Copy { path: to.to_owned(), source };
    // Nobody else reads it either.
    let copy = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(to);
    let copy = copy.map_err(wrong)?;
    let copied = settled(path).and_then(|_settled| copy_into(path, to)).and_then(|()| {
        // An empty one would be taken for a new store.
        if copy.metadata().map_err(wrong)?.len() == 0 {
            return Err(wrong(io::ErrorKind::UnexpectedEof.into()));
        }
        Sqlite::open_with(to, Older::Left, |_| Ok(None))
            .map_err(|source| BackUpError::Bad { path: to.to_owned(), source: Box::new(source) })?;
        copy.sync_all().and_then(|()| Ok(copy.metadata()?.len())).map_err(wrong)
    });
    if copied.is_err() {
        // What went wrong is said; that an unusable file stays is the lesser trouble.
        let _ = std::fs::remove_file(to);
    }
    copied
}

/// Has whoever uses the store leave nothing in the log, until it is dropped.
fn settled(path: &Path) -> Result<Option<Segmented<Sqlite>>, BackUpError> {
    let bad = |source| BackUpError::Bad { path: path.to_owned(), source: Box::new(source) };
    path.is_file().then(|| open_to_share(path, Older::Left)).transpose().map_err(bad)
}

fn copy_into(path: &Path, to: &Path) -> Result<(), BackUpError> {
    let wrong = |source| BackUpError::Store { path: path.to_owned(), source };
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let connection = connection.map_err(wrong)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(wrong)?;
    // As a whole path, which no special name of SQLite's is.
    let whole = std::path::absolute(to).ok().and_then(|to| to.to_str().map(str::to_owned));
    let unnamed = || rusqlite::Error::InvalidPath(to.to_owned());
    let whole = whole.ok_or_else(unnamed).map_err(wrong)?;
    connection.execute("VACUUM INTO ?1", [whole]).map(drop).map_err(wrong)
}
