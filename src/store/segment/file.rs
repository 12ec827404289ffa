//! One file of the log: frames, a commit each, written in place and synced one by one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The beginning of a file in use: what tells this use from earlier ones (8 bytes), its number, and the CRC-32 of both (4 bytes
/// each, little-endian). Zeros are no use.
const USE: usize = 16;

/// Before a commit's bytes: the use's eight bytes again, the number of the frame in it, how long it is, and the CRC-32 of all that
/// and of the bytes.
const HEADER: usize = 20;

/// What is about to be one frame.
#[derive(Debug)]
pub(super) struct Frame(Vec<u8>);

impl Default for Frame {
    fn default() -> Self {
        Self(vec![0; HEADER])
    }
}

impl Frame {
    pub(super) fn clear(&mut self) {
        self.0.truncate(HEADER);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.len() == HEADER
    }

    /// Where its content is written.
    pub(super) fn content(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

/// An open file.
#[derive(Debug)]
struct SegmentFile {
    file: File,
    nonce: u64,
    frames: u32,
    end: u64,
}

impl SegmentFile {
    /// Opens the file, or makes an empty one; nobody else reads it.
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        Ok(Self { file: options.open(path)?, nonce: 0, frames: 0, end: 0 })
    }

    /// The number of its use and what was committed to it, in that order; nothing where it is not in use. A last commit that is
    /// torn did not happen.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::InvalidData`] where something follows what cannot be read, which no crash makes.
    fn read(&self) -> io::Result<Option<(u32, Vec<Vec<u8>>)>> {
        let (mut first, mut bytes) = ([0; USE], Vec::new());
        match self.file.read_exact_at(&mut first, 0) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            Ok(()) if first != [0; USE] => (),
            Ok(()) | Err(_) => return Ok(None),
        }
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        let (nonce, number) = in_use(&first).ok_or_else(damaged)?;
        let mut file = &self.file;
        file.seek(SeekFrom::Start(length(USE)))?;
        file.read_to_end(&mut bytes)?;
        let (mut commits, mut expected, mut rest) = (Vec::new(), 0_u32, bytes.as_slice());
        while let Some((found, content)) = parse(nonce, rest)
            && found == expected
        {
            commits.push(content.to_vec());
            rest = rest.get(HEADER.saturating_add(content.len())..).unwrap_or_default();
            expected = expected.saturating_add(1);
        }
        let begins = nonce.to_le_bytes();
        let later = |(at, window): (usize, &[u8])| {
            window == begins && rest.get(at..).is_some_and(|rest| parse(nonce, rest).is_some())
        };
        if rest.windows(begins.len()).enumerate().any(later) {
            return Err(damaged());
        }
        Ok(Some((number, commits)))
    }

    /// Begins a new use of the file.
    ///
    /// # Errors
    /// The system's.
    fn reuse(&mut self, number: u32) -> io::Result<()> {
        let nonce: u64 = rand::random();
        let mut first = [nonce.to_le_bytes().as_slice(), &number.to_le_bytes()].concat();
        first.extend(checksum(&first, &[]).to_le_bytes());
        self.file.write_all_at(&first, 0)?;
        self.file.sync_data()?;
        // Not before: where it fails, nothing may be written here.
        (self.nonce, self.frames, self.end) = (nonce, 0, length(USE));
        Ok(())
    }

    /// Makes a frame durable.
    ///
    /// # Errors
    /// The system's; whether the frame is durable is not known then, and nothing may follow it.
    fn append(&mut self, frame: &mut Frame) -> io::Result<()> {
        let bytes = &mut frame.0;
        let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let long = u32::try_from(bytes.len().saturating_sub(HEADER)).map_err(too_long)?;
        let mut header = Vec::with_capacity(HEADER);
        header.extend(self.nonce.to_le_bytes());
        header.extend(self.frames.to_le_bytes());
        header.extend(long.to_le_bytes());
        let check = checksum(&header, bytes.get(HEADER..).unwrap_or_default());
        header.extend(check.to_le_bytes());
        if let Some(place) = bytes.get_mut(..HEADER) {
            place.copy_from_slice(&header);
        }
        self.file.write_all_at(bytes, self.end)?;
        self.file.sync_data()?;
        self.end = self.end.saturating_add(length(bytes.len()));
        self.frames = self.frames.saturating_add(1);
        Ok(())
    }

    /// It is not in use any more, durably.
    ///
    /// # Errors
    /// The system's.
    fn clear(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() > 0 {
            self.file.write_all_at(&[0; USE], 0)?;
            self.file.sync_data()?;
        }
        Ok(())
    }
}

/// Why a file of the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system's word.
    #[error("the log of the store, `{}`: {source}", path.display())]
    System {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in its middle cannot be read.
    #[error("the log of the store, `{}`, is damaged: restore a backup", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
}

impl FileError {
    pub(super) fn of(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| match source.kind() {
            io::ErrorKind::InvalidData => Self::Damaged { path: path.to_owned() },
            _ => Self::System { path: path.to_owned(), source },
        }
    }
}

/// Two files by turns: one is written while the database takes over what is in the other.
#[derive(Debug)]
pub(super) struct Segments {
    files: [(PathBuf, SegmentFile); 2],
    number: u32,
}

impl Segments {
    pub(super) fn open(paths: [PathBuf; 2]) -> Result<Self, FileError> {
        let open = |path: PathBuf| {
            let file = SegmentFile::open(&path).map_err(FileError::of(&path))?;
            Ok((path, file))
        };
        let [first, second] = paths;
        Ok(Self { files: [open(first)?, open(second)?], number: 0 })
    }

    /// Every commit, from the first.
    pub(super) fn read(&mut self) -> Result<Vec<Vec<u8>>, FileError> {
        let mut uses = Vec::new();
        for (path, file) in &self.files {
            uses.extend(file.read().map_err(FileError::of(path))?);
        }
        uses.sort_by_key(|(number, _)| *number);
        self.number = uses.last().map_or(self.number, |(number, _)| *number);
        Ok(uses.into_iter().flat_map(|(_, commits)| commits).collect())
    }

    /// The next commit is the first of a segment; the other file is not needed any more, but for what was written last. Where this
    /// fails, that file goes on being written.
    pub(super) fn begin(&mut self) -> Result<(), FileError> {
        let number = self.number.saturating_add(1);
        self.with(number, |file| file.reuse(number))?;
        self.number = number;
        Ok(())
    }

    pub(super) fn append(&mut self, frame: &mut Frame) -> Result<(), FileError> {
        self.with(self.number, |file| file.append(frame))
    }

    /// How much is in the segment that is written, in bytes.
    pub(super) const fn len(&self) -> u64 {
        let [(_, even), (_, odd)] = &self.files;
        if self.number.is_multiple_of(2) { even.end } else { odd.end }
    }

    /// Nothing that was committed is needed any more. The older file goes first: what is in it must not be read without what came
    /// after it.
    pub(super) fn clear(&mut self) -> Result<(), FileError> {
        self.with(self.number.saturating_add(1), SegmentFile::clear)?;
        self.with(self.number, SegmentFile::clear)
    }

    /// The file of the use of that number.
    fn with(
        &mut self,
        number: u32,
        does: impl FnOnce(&mut SegmentFile) -> io::Result<()>,
    ) -> Result<(), FileError> {
        let [even, odd] = &mut self.files;
        let (path, file) = if number.is_multiple_of(2) { even } else { odd };
        does(file).map_err(FileError::of(path))
    }
}

fn length(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

/// What the beginning of a file says of its use.
fn in_use(first: &[u8; USE]) -> Option<(u64, u32)> {
    let (said, check) = first.split_last_chunk()?;
    let (nonce, number) = said.split_first_chunk()?;
    let intact = checksum(said, &[]) == u32::from_le_bytes(*check);
    intact.then_some((u64::from_le_bytes(*nonce), u32::from_le_bytes(number.try_into().ok()?)))
}

/// The frame of the use at the beginning of the bytes, if it is whole: its number, and its content.
fn parse(nonce: u64, bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let (said, check) = header.split_last_chunk()?;
    let (of, said_of_it) = said.split_first_chunk()?;
    let (frame, long) = said_of_it.split_first_chunk()?;
    let long = u32::from_le_bytes(long.try_into().ok()?);
    let content = rest.get(..usize::try_from(long).ok()?)?;
    let intact = checksum(said, content) == u32::from_le_bytes(*check);
    (intact && u64::from_le_bytes(*of) == nonce).then_some((u32::from_le_bytes(*frame), content))
}

fn checksum(header: &[u8], content: &[u8]) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(header);
    checksum.update(content);
    checksum.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tempfile::NamedTempFile;

    /// A file of three commits, and where each ends.
    fn three() -> (NamedTempFile, Vec<u64>) {
        let path = NamedTempFile::new().unwrap();
        let mut file = SegmentFile::open(path.path()).unwrap();
        file.reuse(7).unwrap();
        let mut ends = Vec::new();
        for content in ["one", "and two", "three"] {
            let mut frame = Frame::default();
            frame.content().extend(content.as_bytes());
            file.append(&mut frame).unwrap();
            ends.push(file.end);
        }
        (path, ends)
    }

    fn commits(path: &NamedTempFile) -> io::Result<Option<(u32, usize)>> {
        let read = SegmentFile::open(path.path()).unwrap().read()?;
        Ok(read.map(|(number, commits)| (number, commits.len())))
    }

    #[test]
    fn what_was_synced_is_read_and_a_torn_end_is_none() {
        let (path, ends) = three();
        assert_eq!(commits(&path).unwrap(), Some((7, 3)));
        for cut in (0..*ends.last().unwrap()).rev() {
            path.as_file().set_len(cut).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let expected = (cut >= length(USE)).then_some((7, whole));
            assert_eq!(commits(&path).unwrap(), expected, "{cut}");
        }
    }

    #[test]
    fn an_earlier_use_is_not_read_again() {
        let (path, _) = three();
        let mut file = SegmentFile::open(path.path()).unwrap();
        file.reuse(8).unwrap();
        let mut frame = Frame::default();
        frame.content().extend(b"one");
        file.append(&mut frame).unwrap();
        assert_eq!(commits(&path).unwrap(), Some((8, 1)));
        file.clear().unwrap();
        assert_eq!(commits(&path).unwrap(), None);
    }

    fn segments(dir: &tempfile::TempDir) -> Segments {
        Segments::open(["0", "1"].map(|name| dir.path().join(name))).unwrap()
    }

    fn append(segments: &mut Segments, content: &str) {
        let mut frame = Frame::default();
        frame.content().extend(content.as_bytes());
        segments.append(&mut frame).unwrap();
    }

    fn read(dir: &tempfile::TempDir) -> Vec<String> {
        let read = segments(dir).read().unwrap();
        read.into_iter().map(|commit| String::from_utf8(commit).unwrap()).collect()
    }

    /// Has whatever is written to the file of that index fail; yields what undoes that.
    fn break_file(segments: &mut Segments, index: usize) -> File {
        let (path, file) = &mut segments.files[index];
        std::mem::replace(&mut file.file, File::open(path).unwrap())
    }

    #[test]
    fn where_a_segment_cannot_begin_the_one_before_goes_on() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut segments = segments(&dir);
        segments.begin().unwrap();
        append(&mut segments, "a");
        // The second time both files have been in use before.
        for letter in ["b", "c"] {
            let other = usize::from(!segments.number.is_multiple_of(2)) ^ 1;
            let whole = break_file(&mut segments, other);
            assert!(segments.begin().is_err());
            append(&mut segments, letter);
            assert!(read(&dir).contains(&letter.to_owned()), "{letter}");
            assert!(segments.begin().is_err());
            append(&mut segments, "again");
            segments.files[other].1.file = whole;
            segments.begin().unwrap();
        }
        assert_eq!(read(&dir), ["c", "again"]);
    }

    #[test]
    fn the_older_file_is_cleared_first() {
        for count in [2, 3] {
            let dir = tempfile::TempDir::new().unwrap();
            let mut segments = segments(&dir);
            for number in 0..count {
                segments.begin().unwrap();
                append(&mut segments, &number.to_string());
            }
            // A crash between the two.
            let newer = usize::from(!segments.number.is_multiple_of(2));
            break_file(&mut segments, newer);
            assert!(segments.clear().is_err());
            assert_eq!(read(&dir), [(count - 1).to_string()]);
        }
    }

    proptest! {
        /// A bit that turns in what is followed by something is damage; nothing changed is ever read.
        #[test]
        fn a_turned_bit_is_never_read(at in 0..500_usize, bit in 0..8_u32) {
            let (path, ends) = three();
            let mut bytes = std::fs::read(path.path()).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            std::fs::write(path.path(), &bytes).unwrap();
            let whole = ends.iter().filter(|end| usize::try_from(**end).unwrap() <= at).count();
            match commits(&path) {
                // As one that was torn.
                Ok(read) => prop_assert_eq!((read, whole), (Some((7, 2)), 2)),
                Err(error) => prop_assert!(error.kind() == io::ErrorKind::InvalidData && whole < 2),
            }
        }
    }
}
