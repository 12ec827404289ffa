//! Who else uses the store: one process alone, or several that share it.

use super::file::FileError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How a process is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// Nobody else is.
    Alone,
    /// Others are, and go through the database as well.
    Shared,
    /// Somebody is in alone, and was asked to share.
    NotYet,
}

/// A lock on a file, held exclusively by who is alone, and a file beside it that asks him to share. The lock goes with the process.
#[derive(Debug)]
pub(super) struct Door {
    lock: File,
    path: PathBuf,
    knock: PathBuf,
}

impl Door {
    pub(super) fn new(path: PathBuf, knock: PathBuf) -> Result<Self, FileError> {
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
        Ok(Self { lock: lock.map_err(FileError::of(&path))?, path, knock })
    }

    /// The file that is locked.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Goes in, or is in otherwise than before; where it fails, not at all.
    ///
    /// # Errors
    /// The system's, such as of a file system that has no locks.
    pub(super) fn enter(&self) -> Result<Entered, FileError> {
        // Only a lock that is there can be turned into another, and then it may be lost.
        match self.lock.try_lock() {
            Ok(()) => {
                self.answered()?;
                return Ok(Entered::Alone);
            }
            Err(TryLockError::WouldBlock) => (),
            Err(TryLockError::Error(error)) => return Err(self.wrong(error)),
        }
        match self.lock.try_lock_shared() {
            Ok(()) => Ok(Entered::Shared),
            Err(TryLockError::WouldBlock) => {
                let mut options = OpenOptions::new();
                let knocked = options.create(true).truncate(false).write(true).open(&self.knock);
                knocked.map_err(FileError::of(&self.knock))?;
                Ok(Entered::NotYet)
            }
            Err(TryLockError::Error(error)) => Err(self.wrong(error)),
        }
    }

    /// Whether somebody wants to share.
    pub(super) fn is_knocked(&self) -> bool {
        self.knock.exists()
    }

    /// Shares from now on.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn share(&self) -> Result<(), FileError> {
        self.answered()?;
        self.lock.lock_shared().map_err(|error| self.wrong(error))
    }

    /// Knocks no more. Whoever else does knocks again at once.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn give_up(&self) -> Result<(), FileError> {
        self.answered()
    }

    /// Goes out.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn leave(&self) -> Result<(), FileError> {
        self.lock.unlock().map_err(|error| self.wrong(error))
    }

    fn answered(&self) -> Result<(), FileError> {
        match std::fs::remove_file(&self.knock) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileError::of(&self.knock)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn wrong(&self, error: io::Error) -> FileError {
        FileError::of(&self.path)(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn who_knocks_is_let_in_and_who_is_left_is_alone() {
        let dir = TempDir::new().unwrap();
        let door = || Door::new(dir.path().join("lock"), dir.path().join("knock")).unwrap();
        let (first, second) = (door(), door());
        assert_eq!(first.enter().unwrap(), Entered::Alone);
        assert!(!first.is_knocked());
        assert_eq!(second.enter().unwrap(), Entered::NotYet);
        assert!(first.is_knocked());
        first.share().unwrap();
        assert!(!first.is_knocked());
        assert_eq!(second.enter().unwrap(), Entered::Shared);
        assert_eq!(first.enter().unwrap(), Entered::Shared);
        drop(first);
        assert_eq!(second.enter().unwrap(), Entered::Alone);
    }
}
