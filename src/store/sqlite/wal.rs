//! How far the write-ahead log of `SQLite` is durable, noted beside it. After a crash `SQLite` takes what it cannot read there for the
//! end, and what came after it for never written; and where pages after it were copied to the database before, the pages of two
//! times are mixed. So it is read first, as far as was noted.
//!
//! For that to be enough nothing is copied to the database that was not noted: checkpoints are ours.
//! The format is of <https://www.sqlite.org/fileformat2.html#walformat>.

use crate::store::floor::Floor;
use crate::store::segment::beside;
use rusqlite::Connection;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many pages are in the log before they are copied to the database: as `SQLite` has it.
const CHECKPOINT: u32 = 1_000;

/// The head of the log: magic, version, size of a page, number, two salts, two sums; 4 bytes each, big-endian.
const HEAD: usize = 32;

/// Before each page: its number, how many the database has after a commit, the salts of the head, the sums up to here.
const FRAME: usize = 24;

/// What is noted: the salts, the sums, and how many frames there are.
type Said = [u8; 20];

/// Nothing in the log is needed.
const NOTHING: Said = [0; 20];

/// The log of an open database.
#[derive(Debug)]
pub(super) struct Wal {
    path: PathBuf,
    file: Option<File>,
    floor: Floor<20>,
    /// Told by `SQLite`: how many frames there are after a commit that wrote any.
    told: Arc<AtomicU32>,
    frames: u32,
    is_synced: bool,
    is_noted: bool,
    /// Whether it could not be noted, which is said once.
    fails: bool,
}

impl Wal {
    /// From now on nothing is copied to the database but by us.
    pub(super) fn new(path: &Path, connection: &mut Connection) -> rusqlite::Result<Self> {
        let told = Arc::new(AtomicU32::new(0));
        let tell = told.clone();
        connection.wal_hook(Some(move |_: &mut _, count| {
            tell.store(u32::try_from(count).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            path: beside(path, "-wal"),
            file: None,
            floor: Floor::open(beside(path, "-wal-end")),
            told,
            frames: 0,
            is_synced: true,
            is_noted: true,
            fails: false,
        })
    }

    /// A commit was made, and is durable with all before it but where it was made `lazily`.
    ///
    /// # Errors
    /// The system's: what was made lazily before is not known to be durable.
    pub(super) fn committed(&mut self, connection: &Connection, lazily: bool) -> io::Result<()> {
        let told = self.told.swap(0, Ordering::Relaxed);
        if told > 0 {
            (self.frames, self.is_synced, self.is_noted) = (told, !lazily, false);
        }
        let is_full = self.frames >= CHECKPOINT;
        if self.is_noted || (lazily && !is_full) {
            return Ok(());
        }
        // A commit that changes nothing has SQLite sync nothing.
        if !self.is_synced {
            self.file()?.sync_data()?;
            self.is_synced = true;
        }
        self.note();
        if is_full {
            self.floor.sync();
            // Where it fails it is tried again after the next commit.
            Self::checkpoint(connection);
        }
        Ok(())
    }

    /// The database is closed. Where nothing in the log is needed any more, that is noted.
    pub(super) fn close(&mut self, connection: &Connection) {
        let is_durable = self.committed(connection, false).is_ok();
        let noted = self.floor.read();
        // What another process noted meanwhile still says something.
        if is_durable && Self::checkpoint(connection) && self.floor.read() == noted {
            self.floor.note(&NOTHING);
        }
        self.floor.sync();
    }

    /// What was noted outlasts a power cut.
    pub(super) fn sync(&mut self) {
        self.floor.sync();
    }

    fn note(&mut self) {
        match self.end() {
            Ok(said) => {
                // Another process may have noted something since.
                self.floor.read();
                self.floor.note(&said);
                (self.is_noted, self.fails) = (true, false);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.fails, true) {
                    let path = self.path.display();
                    tracing::warn!(%path, %error, "how far the store's log is durable cannot be noted: were its end cut off, nobody would see");
                }
            }
        }
    }

    /// What is to be noted of the frames that there are.
    fn end(&mut self) -> io::Result<Said> {
        let frames = self.frames;
        let file = self.file()?;
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, 0)?;
        let size = u64::from(number(&head, 8)).saturating_add(length(FRAME));
        let before = u64::from(frames.saturating_sub(1)).saturating_mul(size);
        let mut frame = [0; FRAME];
        file.read_exact_at(&mut frame, before.saturating_add(length(HEAD)))?;
        let mut said = NOTHING;
        said[..16].copy_from_slice(&frame[8..]);
        said[16..].copy_from_slice(&frames.to_be_bytes());
        Ok(said)
    }

    fn file(&mut self) -> io::Result<&File> {
        match &mut self.file {
            Some(file) => Ok(file),
            none => Ok(none.insert(File::open(&self.path)?)),
        }
    }

    /// Copies the pages to the database; whether these are all.
    fn checkpoint(connection: &Connection) -> bool {
        let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        copied.is_ok_and(|(busy, all, copied)| busy == 0 && all == copied)
    }
}

/// Reads the log of the database at `path`, which nobody has open, as far as it is noted to be durable.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] where it is not all there; the system's.
pub(super) fn check(path: &Path) -> io::Result<()> {
    let mut floor = Floor::open(beside(path, "-wal-end"));
    let path = beside(path, "-wal");
    let said = floor.read().filter(|said| *said != NOTHING);
    let file = match (File::open(&path), said) {
        (Ok(file), _) => file,
        (Err(error), None) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Who closes the database removes it, as the command `sqlite3` does.
        (Err(error), Some(_)) if error.kind() == io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), "the store's log is gone: unless another program had the store open since, restore a backup");
            // The empty one that SQLite begins now is not held against it, should this start be cut short.
            floor.note(&NOTHING);
            floor.sync();
            return Ok(());
        }
        (Err(error), _) => return Err(error),
    };
    let Some(said) = said else {
        if file.metadata()?.len() > 0 && floor.read().is_none() {
            let path = floor.path().display();
            tracing::warn!(%path, "there is no note of how far the store's log was durable: had its end been cut off, nobody would see");
        }
        return Ok(());
    };
    verify(BufReader::new(file), &said).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => io::ErrorKind::InvalidData.into(),
        _ => error,
    })
}

fn verify(mut log: impl Read, said: &Said) -> io::Result<()> {
    let intact =
        |is: bool| if is { Ok(()) } else { Err(io::Error::from(io::ErrorKind::InvalidData)) };
    let mut head = [0; HEAD];
    log.read_exact(&mut head)?;
    let magic = number(&head, 0);
    let big = magic & 1 == 1;
    let mut sums = sum((0, 0), &head[..24], big);
    intact(magic & !1 == 0x377f_0682 && said_sums(&head[24..]) == sums)?;
    let salts = &head[16..24];
    // All that was in it is in the database, and it was begun again since.
    if salts != &said[..8] {
        return Ok(());
    }
    let mut frame = [0; FRAME];
    // `SQLite` has none that are larger.
    let mut page = vec![0; usize::try_from(number(&head, 8)).unwrap_or(0).min(65_536)];
    for _ in 0..number(said, 16) {
        log.read_exact(&mut frame)?;
        log.read_exact(&mut page)?;
        sums = sum(sums, &frame[..8], big);
        sums = sum(sums, &page, big);
        intact(frame[8..16] == *salts && said_sums(&frame[16..]) == sums)?;
    }
    intact(said_sums(&said[8..16]) == sums)
}

/// The number at that place, or 0 where there is none.
fn number(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn said_sums(bytes: &[u8]) -> (u32, u32) {
    (number(bytes, 0), number(bytes, 4))
}

/// The sums with some more words in them.
fn sum(mut sums: (u32, u32), bytes: &[u8], big: bool) -> (u32, u32) {
    let (pairs, _) = bytes.as_chunks::<8>();
    for [a, b, c, d, e, f, g, h] in pairs {
        let word = |bytes| if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        sums.0 = sums.0.wrapping_add(word([*a, *b, *c, *d])).wrapping_add(sums.1);
        sums.1 = sums.1.wrapping_add(word([*e, *f, *g, *h])).wrapping_add(sums.0);
    }
    sums
}

fn length(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another program closed the database and took its log away; the next start began an empty one and was cut short, and that was
    /// held against it for ever after.
    #[test]
    fn a_log_that_is_gone_is_not_held_against_the_start_after_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hefu.db");
        let log = beside(&path, "-wal");
        let mut floor = Floor::open(beside(&path, "-wal-end"));
        floor.note(&[1; 20]);
        floor.sync();
        drop(floor);
        std::fs::write(&log, "").unwrap();
        let lost = check(&path).unwrap_err();
        assert_eq!(lost.kind(), io::ErrorKind::InvalidData, "what was noted is not there");
        std::fs::remove_file(&log).unwrap();
        check(&path).unwrap();
        std::fs::write(&log, "").unwrap();
        check(&path).unwrap();
    }
}
