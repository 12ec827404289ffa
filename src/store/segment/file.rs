//! Files of the log: frames, a commit each, written in place and synced one by one.

use crate::store::disk::{Disk, open};
use crate::store::floor::Floor;
use std::io;
use std::path::{Path, PathBuf};

/// The beginning of a file in use: what tells this use from others (8 bytes), its number, how many frames the use before it has at
/// least, and the CRC-32 of all that (4 bytes each, little-endian). Zeros are no use.
const USE: usize = 20;

/// Said instead of how many frames the use before has, where nothing before is needed any more.
const NOTHING_BEFORE: u32 = u32::MAX;

/// Noted where nothing in the log is needed any more; no use has the number 0.
const NOTHING: [u8; 8] = [0; 8];

/// Before a commit's bytes: the use's eight bytes again, the number of the frame in it, how long it is, and the CRC-32 of all that
/// and of the bytes.
const HEADER: usize = 20;

/// How much room a frame is given at most before anything is in it, in bytes.
const ROOM_MAX: usize = 64 << 10;

/// What is about to be one frame.
#[derive(Debug)]
pub(super) struct Frame(Vec<u8>);

impl Default for Frame {
    fn default() -> Self {
        Self(vec![0; HEADER])
    }
}

impl Frame {
    /// An empty one, with room for about as much as this one has.
    pub(super) fn next(&self) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len().min(ROOM_MAX));
        bytes.resize(HEADER, 0);
        Self(bytes)
    }

    pub(super) fn clear(&mut self) {
        self.0.truncate(HEADER);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.len() == HEADER
    }

    /// All of it, its content where it was written.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Where its content is written.
    pub(super) fn content(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

/// An open file.
#[derive(Debug)]
struct SegmentFile {
    disk: Box<dyn Disk>,
    nonce: u64,
    frames: u32,
    end: u64,
}

/// What is in a file.
#[derive(Debug)]
struct Use {
    number: u32,
    /// How many frames the use before it has at least; nothing before is needed where absent.
    before: Option<u32>,
    /// What was committed, in that order.
    commits: Vec<Vec<u8>>,
}

impl SegmentFile {
    fn on(disk: Box<dyn Disk>) -> Self {
        Self { disk, nonce: 0, frames: 0, end: 0 }
    }

    /// What is in the file; nothing where it is not in use. A last commit that is torn did not happen.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::InvalidData`] where something follows what cannot be read, which no crash makes.
    fn read(&self) -> io::Result<Option<Use>> {
        let bytes = self.disk.bytes()?;
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        let Some((first, mut rest)) = bytes.split_first_chunk::<USE>() else { return Ok(None) };
        if *first == [0; USE] {
            // Before its first use, nothing was written to it.
            let unused = rest.iter().all(|byte| *byte == 0);
            return if unused { Ok(None) } else { Err(damaged()) };
        }
        let (nonce, number, before) = in_use(first).ok_or_else(damaged)?;
        let (mut commits, mut expected) = (Vec::new(), 0_u32);
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
        Ok(Some(Use { number, before, commits }))
    }

    /// Begins a new use of the file, after one with so many frames.
    ///
    /// # Errors
    /// The system's.
    fn reuse(&mut self, number: u32, before: Option<u32>) -> io::Result<()> {
        let nonce: u64 = rand::random();
        let before = before.unwrap_or(NOTHING_BEFORE).to_le_bytes();
        let mut first = [nonce.to_le_bytes().as_slice(), &number.to_le_bytes(), &before].concat();
        first.extend(checksum(&first, &[]).to_le_bytes());
        self.disk.write(&first, 0)?;
        self.disk.sync()?;
        // Not before: where it fails, nothing may be written here.
        (self.nonce, self.frames, self.end) = (nonce, 0, length(USE));
        Ok(())
    }

    /// Makes a frame durable; says how many are.
    ///
    /// # Errors
    /// The system's; whether the frame is durable is not known then, and nothing may follow it.
    fn append(&mut self, frame: &mut Frame) -> io::Result<u32> {
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
        self.disk.write(bytes, self.end)?;
        self.disk.sync()?;
        self.end = self.end.saturating_add(length(bytes.len()));
        self.frames = self.frames.saturating_add(1);
        Ok(self.frames)
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
    /// It is whole, and what it says is not understood.
    #[error(
        "the log of the store, `{}`, was written by another version, or is damaged: start the one that wrote it once and end it, or restore a backup",
        path.display()
    )]
    Unread {
        /// Which.
        path: PathBuf,
    },
    /// Its end is gone, though it was durable.
    #[error(
        "the log of the store, `{}`, is damaged: commits at its end are gone. Restore a backup, or move `{}` away to start without them",
        path.display(),
        floor.display()
    )]
    Short {
        /// Which.
        path: PathBuf,
        /// Where it is noted that it was longer.
        floor: PathBuf,
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

/// Two files by turns: one is written while the database takes over what is in the other. Beside them is noted how much is in them
/// at least: the number of the use that is written, and how many frames it has (4 bytes each).
#[derive(Debug)]
pub(super) struct Segments {
    files: [(PathBuf, SegmentFile); 2],
    floor: Floor<8>,
    number: u32,
}

impl Segments {
    /// The files at these paths, which are made where there are none; nobody else reads them.
    pub(super) fn open(paths: [PathBuf; 2], floor: PathBuf) -> Result<Self, FileError> {
        let open = |path: PathBuf| {
            let disk: Box<dyn Disk> = Box::new(open(&path).map_err(FileError::of(&path))?);
            Ok((path, disk))
        };
        let [first, second] = paths;
        Ok(Self::on([open(first)?, open(second)?], Floor::open(floor)))
    }

    pub(super) fn on(disks: [(PathBuf, Box<dyn Disk>); 2], floor: Floor<8>) -> Self {
        let files = disks.map(|(path, disk)| (path, SegmentFile::on(disk)));
        Self { files, floor, number: 0 }
    }

    /// Every commit that is needed, from the first.
    pub(super) fn read(&mut self) -> Result<Vec<Vec<u8>>, FileError> {
        let said = self.floor.read();
        let floor = said.filter(|said| *said != NOTHING).map(noted);
        let mut uses = Vec::new();
        for (path, file) in &self.files {
            let read = file.read().map_err(FileError::of(path))?;
            uses.extend(read.map(|of| (path.clone(), of)));
        }
        uses.sort_by_key(|(_, of)| of.number);
        if let Some((number, frames)) = floor {
            let whole = match uses.iter().find(|(_, of)| of.number == number) {
                Some((_, of)) => frames <= of.commits.len(),
                // It is needed no more.
                None => uses.last().is_some_and(|(_, of)| number < of.number),
            };
            if !whole {
                let [(even, _), (odd, _)] = &self.files;
                let path = if number.is_multiple_of(2) { even } else { odd }.clone();
                return Err(FileError::Short { path, floor: self.floor.path().to_owned() });
            }
        }
        let Some((path, last)) = uses.pop() else { return Ok(Vec::new()) };
        self.number = last.number;
        let mut commits = last.commits;
        if let Some(count) = last.before {
            // What came after it must not be read without it, or without its end.
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            let follows = |(_, of): &(PathBuf, Use)| {
                of.number.checked_add(1) == Some(last.number) && of.commits.len() >= count
            };
            let (_, before) = uses.pop().filter(follows).ok_or(FileError::Damaged { path })?;
            commits = [before.commits, commits].concat();
        }
        if said.is_none() && !commits.is_empty() {
            let path = self.floor.path().display();
            tracing::warn!(%path, "there is no note of how far the store's log was durable: had its end been cut off, nobody would see");
        }
        Ok(commits)
    }

    /// The next commit is the first of a segment; the other file is not needed any more, but for what was written last. Where this
    /// fails, that file goes on being written.
    pub(super) fn begin(&mut self) -> Result<(), FileError> {
        let [(_, even), (_, odd)] = &self.files;
        let written = if self.number.is_multiple_of(2) { even } else { odd };
        let before = (self.number > 0).then_some(written.frames);
        self.reuse(before)
    }

    /// Nothing that was committed is needed any more.
    pub(super) fn clear(&mut self) -> Result<(), FileError> {
        self.reuse(None)
    }

    fn reuse(&mut self, before: Option<u32>) -> Result<(), FileError> {
        let number = self.number.saturating_add(1);
        self.with(number, |file| file.reuse(number, before))?;
        self.number = number;
        if before.is_some() {
            self.note(0);
        } else {
            self.floor.note(&NOTHING);
        }
        self.floor.sync();
        Ok(())
    }

    pub(super) fn append(&mut self, frame: &mut Frame) -> Result<(), FileError> {
        let frames = self.with(self.number, |file| file.append(frame))?;
        self.note(frames);
        Ok(())
    }

    /// The use that is written has that many frames, which are durable.
    fn note(&mut self, frames: u32) {
        let said = u64::from(frames) << 32 | u64::from(self.number);
        self.floor.note(&said.to_le_bytes());
    }

    /// How much is in the segment that is written, in bytes.
    pub(super) const fn len(&self) -> u64 {
        let [(_, even), (_, odd)] = &self.files;
        if self.number.is_multiple_of(2) { even.end } else { odd.end }
    }

    /// The file of the use of that number.
    fn with<T>(
        &mut self,
        number: u32,
        does: impl FnOnce(&mut SegmentFile) -> io::Result<T>,
    ) -> Result<T, FileError> {
        let [even, odd] = &mut self.files;
        let (path, file) = if number.is_multiple_of(2) { even } else { odd };
        does(file).map_err(FileError::of(path))
    }
}

/// What is noted of the use that is written: its number, and how many frames it has.
fn noted(said: [u8; 8]) -> (u32, usize) {
    let said = u64::from_le_bytes(said);
    let half = |of: u64| u32::try_from(of & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    (half(said), usize::try_from(said >> 32).unwrap_or(usize::MAX))
}

fn length(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

/// What the beginning of a file says of its use: what tells it from others, its number, and how many frames the one before has.
fn in_use(first: &[u8; USE]) -> Option<(u64, u32, Option<u32>)> {
    let (said, check) = first.split_last_chunk()?;
    let (nonce, rest) = said.split_first_chunk()?;
    let (number, before) = rest.split_first_chunk()?;
    let intact = checksum(said, &[]) == u32::from_le_bytes(*check);
    let before = Some(u32::from_le_bytes(before.try_into().ok()?));
    let before = before.filter(|count| *count != NOTHING_BEFORE);
    intact.then_some((u64::from_le_bytes(*nonce), u32::from_le_bytes(*number), before))
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

    fn segment(path: &NamedTempFile) -> SegmentFile {
        SegmentFile::on(Box::new(path.reopen().unwrap()))
    }

    /// A file of three commits, and where each ends.
    fn three() -> (NamedTempFile, Vec<u64>) {
        let path = NamedTempFile::new().unwrap();
        let mut file = segment(&path);
        file.reuse(7, None).unwrap();
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
        let read = segment(path).read()?;
        Ok(read.map(|of| (of.number, of.commits.len())))
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
        let mut file = segment(&path);
        file.reuse(8, None).unwrap();
        let mut frame = Frame::default();
        frame.content().extend(b"one");
        file.append(&mut frame).unwrap();
        assert_eq!(commits(&path).unwrap(), Some((8, 1)));
        file.reuse(9, None).unwrap();
        assert_eq!(commits(&path).unwrap(), Some((9, 0)));
    }

    fn segments(dir: &tempfile::TempDir) -> Segments {
        let path = |name: &str| dir.path().join(name);
        Segments::open([path("0"), path("1")], path("end")).unwrap()
    }

    fn append(segments: &mut Segments, content: &str) {
        let mut frame = Frame::default();
        frame.content().extend(content.as_bytes());
        segments.append(&mut frame).unwrap();
    }

    fn read(dir: &tempfile::TempDir) -> Result<Vec<String>, FileError> {
        let read = segments(dir).read()?;
        Ok(read.into_iter().map(|commit| String::from_utf8(commit).unwrap()).collect())
    }

    /// Has whatever is written to the file of that index fail; yields what undoes that.
    fn break_file(segments: &mut Segments, index: usize) -> Box<dyn Disk> {
        let (path, file) = &mut segments.files[index];
        std::mem::replace(&mut file.disk, Box::new(std::fs::File::open(path).unwrap()))
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
            assert!(read(&dir).unwrap().contains(&letter.to_owned()), "{letter}");
            assert!(segments.begin().is_err());
            append(&mut segments, "again");
            segments.files[other].1.disk = whole;
            segments.begin().unwrap();
        }
        assert_eq!(read(&dir).unwrap(), ["c", "again"]);
    }

    /// What is cleared is not read again; where that fails, all of it is.
    #[test]
    fn the_log_is_cleared_as_a_whole() {
        for count in [1, 2, 3] {
            let dir = tempfile::TempDir::new().unwrap();
            let mut segments = segments(&dir);
            for number in 0..count {
                segments.begin().unwrap();
                append(&mut segments, &number.to_string());
            }
            let older = usize::from(segments.number.is_multiple_of(2));
            let whole = break_file(&mut segments, older);
            assert!(segments.clear().is_err());
            let last: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            let last = &last[last.len().saturating_sub(2)..];
            assert_eq!(read(&dir).unwrap(), last, "{count}");
            segments.files[older].1.disk = whole;
            segments.clear().unwrap();
            assert!(read(&dir).unwrap().is_empty(), "{count}");
            segments.begin().unwrap();
            append(&mut segments, "next");
            assert_eq!(read(&dir).unwrap(), ["next"], "{count}");
        }
    }

    /// A segment is not read without the end of the one before it.
    #[test]
    fn a_gap_between_two_segments_is_damage() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut segments = segments(&dir);
        segments.begin().unwrap();
        append(&mut segments, "a");
        append(&mut segments, "b");
        segments.begin().unwrap();
        append(&mut segments, "c");
        assert_eq!(read(&dir).unwrap(), ["a", "b", "c"]);
        let path = dir.path().join("1");
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(matches!(read(&dir), Err(FileError::Damaged { .. })), "{cut}");
            let mut zeros = whole.clone();
            zeros[cut..].fill(0);
            std::fs::write(&path, zeros).unwrap();
            assert!(matches!(read(&dir), Err(FileError::Damaged { .. })), "{cut}");
        }
        std::fs::write(&path, &whole).unwrap();
        // A beginning that is lost is no file that was never used.
        let path = dir.path().join("0");
        let mut zeros = std::fs::read(&path).unwrap();
        zeros[..USE].fill(0);
        std::fs::write(&path, zeros).unwrap();
        assert!(matches!(read(&dir), Err(FileError::Damaged { .. })));
    }

    /// The end of the last segment, of which no other tells.
    #[test]
    fn an_end_that_is_gone_is_damage_as_far_as_it_is_noted() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut segments = segments(&dir);
        for letters in [["a", "b"], ["c", "d"]] {
            segments.begin().unwrap();
            for letter in letters {
                append(&mut segments, letter);
            }
        }
        let [log, end] = ["0", "end"].map(|name| dir.path().join(name));
        let (whole, noted) = (std::fs::read(&log).unwrap(), std::fs::read(&end).unwrap());
        append(&mut segments, "e");
        let longer = std::fs::read(&log).unwrap();
        // As a power cut may leave it: what was noted last is not there.
        std::fs::write(&end, &noted).unwrap();
        for cut in (0..=longer.len()).rev() {
            std::fs::write(&log, &longer[..cut]).unwrap();
            let read = read(&dir);
            if cut < whole.len() {
                assert!(read.is_err_and(|error| error.to_string().contains("damaged")), "{cut}");
            } else {
                let is_whole = cut == longer.len();
                assert_eq!(read.unwrap().len(), if is_whole { 5 } else { 4 }, "{cut}");
            }
        }
        std::fs::write(&log, &whole[..whole.len() - 1]).unwrap();
        // What only tells of it is not needed; without it, it is a torn end.
        for lost in [&[][..], b"no note"] {
            std::fs::write(&end, lost).unwrap();
            assert_eq!(read(&dir).unwrap(), ["a", "b", "c"]);
        }
        std::fs::write(&end, &noted).unwrap();
        std::fs::remove_file(&log).unwrap();
        assert!(matches!(read(&dir), Err(FileError::Short { .. })));
        // Nothing in it was needed.
        std::fs::write(&log, &longer).unwrap();
        let mut segments =
            Segments::open(["0", "1"].map(|name| dir.path().join(name)), end).unwrap();
        segments.read().unwrap();
        segments.clear().unwrap();
        for name in ["0", "1"] {
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
        assert!(read(&dir).unwrap().is_empty());
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
