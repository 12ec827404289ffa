//! Where bytes are kept.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// A file, or what stands for one.
pub(super) trait Disk: std::fmt::Debug + Send {
    /// All of its bytes.
    fn bytes(&self) -> io::Result<Vec<u8>>;
    /// Writes some at a place; whether they outlast a power cut is not known before [`Self::sync`].
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// What was written outlasts a power cut.
    fn sync(&self) -> io::Result<()>;
}

impl Disk for File {
    fn bytes(&self) -> io::Result<Vec<u8>> {
        let (mut file, mut bytes) = (self, Vec::new());
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The file at `path`, which is made where there is none; nobody else reads it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)
}
