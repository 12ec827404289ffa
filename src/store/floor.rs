//! What is durable at least, noted in a small file beside what it is about, so that an end that is gone is told from one that was
//! never written whole.
//!
//! A note is made after the sync that it tells of, by one write without a sync of its own. So it outlasts a process that is killed;
//! after a power cut it may be an older one, never one that tells of more than is there.

use crate::store::disk::{Disk, open};
use std::io;
use std::path::{Path, PathBuf};

/// How far apart the two places for notes are, which take turns: what a disk writes whole or not at all.
const SECTOR: u64 = 512;

/// The note of `N` bytes that was made last.
#[derive(Debug)]
pub(super) struct Floor<const N: usize> {
    path: PathBuf,
    /// Nothing where it cannot be opened.
    disk: Option<Box<dyn Disk>>,
    turn: u64,
    is_synced: bool,
    /// Whether it is known not to work, which is said once.
    fails: bool,
}

impl<const N: usize> Floor<N> {
    /// The one at `path`, which is made where there is none.
    pub(super) fn open(path: PathBuf) -> Self {
        match open(&path) {
            Ok(disk) => Self::on(path, Box::new(disk)),
            Err(error) => {
                let mut closed = Self { path, disk: None, turn: 0, is_synced: true, fails: false };
                closed.fail(&error);
                closed
            }
        }
    }

    pub(super) fn on(path: PathBuf, disk: Box<dyn Disk>) -> Self {
        Self { path, disk: Some(disk), turn: 0, is_synced: true, fails: false }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was noted last; nothing where nothing was, or it cannot be read any more.
    pub(super) fn read(&mut self) -> Option<[u8; N]> {
        let bytes = match self.disk.as_ref()?.bytes() {
            Ok(bytes) => bytes,
            Err(error) => {
                self.fail(&error);
                return None;
            }
        };
        let last =
            [0, SECTOR].into_iter().filter_map(|at| note(&bytes, at)).max_by_key(|last| last.0);
        if last.is_none() && bytes.iter().any(|byte| *byte != 0) {
            self.fail(&io::ErrorKind::InvalidData.into());
        }
        let (turn, said) = last?;
        self.turn = turn;
        Some(said)
    }

    /// Notes what is durable by now. That this fails is no reason to stop: what was noted before holds as well.
    pub(super) fn note(&mut self, said: &[u8; N]) {
        let Some(disk) = &self.disk else { return };
        let turn = self.turn.wrapping_add(1);
        let mut bytes = [turn.to_le_bytes().as_slice(), said].concat();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        match disk.write(&bytes, (turn % 2).wrapping_mul(SECTOR)) {
            Ok(()) => (self.turn, self.is_synced, self.fails) = (turn, false, false),
            Err(error) => self.fail(&error),
        }
    }

    /// What was noted outlasts a power cut.
    pub(super) fn sync(&mut self) {
        if self.is_synced {
            return;
        }
        match self.disk.as_ref().map(|disk| disk.sync()) {
            Some(Err(error)) => self.fail(&error),
            Some(Ok(())) | None => self.is_synced = true,
        }
    }

    fn fail(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.fails, true) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "what the end of the store's log was cannot be read or noted: were it cut off, nobody would see");
        }
    }
}

/// The note at that place, if it is whole, and whose turn it was.
fn note<const N: usize>(bytes: &[u8], at: u64) -> Option<(u64, [u8; N])> {
    let bytes = bytes.get(usize::try_from(at).ok()?..)?;
    let (turn, rest) = bytes.split_first_chunk()?;
    let (said, rest) = rest.split_first_chunk()?;
    let check = crc32fast::hash(bytes.get(..bytes.len().checked_sub(rest.len())?)?);
    (*rest.first_chunk()? == check.to_le_bytes()).then_some((u64::from_le_bytes(*turn), *said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    #[test]
    fn the_last_note_is_read_and_where_it_is_torn_the_one_before() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("end");
        let floor = || Floor::<3>::open(path.clone());
        assert_eq!(floor().read(), None);
        for turn in 1..9_u8 {
            let mut noting = floor();
            noting.read();
            noting.note(&[turn; 3]);
            noting.sync();
            let whole = fs::read(&path).unwrap();
            assert_eq!(floor().read(), Some([turn; 3]));
            let begins = usize::from(turn % 2) * 512;
            for at in begins..begins + 8 + 3 + 4 {
                let mut torn = whole.clone();
                torn[at] ^= 1;
                fs::write(&path, &torn).unwrap();
                assert_eq!(floor().read(), (turn > 1).then_some([turn - 1; 3]), "{turn} {at}");
            }
            fs::write(&path, &whole).unwrap();
        }
    }
}
