//! The files of a statement, and what is in zip files, line by line: never more than a line in memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _};
use std::path::Path;
use zip::ZipArchive;

/// The longest line.
const LINE_MAX: u64 = 64 * 1024;

/// The most files in one zip.
const ENTRIES_MAX: usize = 1_000;

/// How zip files begin.
const ZIP: [u8; 4] = *b"PK\x03\x04";

/// A file that lines are read from.
pub(super) enum Opened {
    /// As it is.
    Plain(File),
    /// Files in a zip.
    Zip(Box<ZipArchive<File>>),
}

impl Opened {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut begin = [0; 4];
        let zipped = file.read_exact(&mut begin).is_ok() && begin == ZIP;
        file.rewind()?;
        if !zipped {
            return Ok(Self::Plain(file));
        }
        let archive = ZipArchive::new(file).map_err(io::Error::other)?;
        if archive.len() > ENTRIES_MAX {
            return Err(io::Error::other(format!("a zip of more than {ENTRIES_MAX} files")));
        }
        Ok(Self::Zip(Box::new(archive)))
    }
}

/// A line that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read1 {
    /// It stands in the buffer, without its end.
    Line,
    /// It is longer than any line of a statement.
    TooLong,
    /// There is none.
    End,
}

/// Lines of anything, numbered from 1.
pub(super) struct Lines<R> {
    from: BufReader<R>,
    /// The line that was read last.
    pub(super) line: Vec<u8>,
    /// Its number.
    pub(super) number: u64,
    /// How many bytes were read.
    pub(super) bytes: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(from: R) -> Self {
        let from = BufReader::with_capacity(64 * 1024, from);
        Self { from, line: Vec::new(), number: 0, bytes: 0 }
    }

    /// Reads the next line.
    pub(super) fn next(&mut self) -> io::Result<Read1> {
        self.line.clear();
        let read = (&mut self.from).take(LINE_MAX).read_until(b'\n', &mut self.line)?;
        self.count(read);
        if read == 0 {
            return Ok(Read1::End);
        }
        self.number = self.number.saturating_add(1);
        if self.line.last() != Some(&b'\n') && u64::try_from(read) == Ok(LINE_MAX) {
            self.skip()?;
            return Ok(Read1::TooLong);
        }
        while matches!(self.line.last(), Some(b'\n' | b'\r')) {
            self.line.pop();
        }
        Ok(Read1::Line)
    }

    /// Reads on to the end of the line, and keeps nothing of it.
    fn skip(&mut self) -> io::Result<()> {
        loop {
            self.line.clear();
            let read = (&mut self.from).take(LINE_MAX).read_until(b'\n', &mut self.line)?;
            self.count(read);
            if read == 0 || self.line.last() == Some(&b'\n') {
                return Ok(());
            }
        }
    }

    fn count(&mut self, read: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(read).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use zip::write::SimpleFileOptions;

    fn lines(bytes: &[u8]) -> Vec<(u64, Option<String>)> {
        let (mut lines, mut all) = (Lines::new(bytes), Vec::new());
        loop {
            match lines.next().unwrap() {
                Read1::End => return all,
                Read1::TooLong => all.push((lines.number, None)),
                Read1::Line => {
                    let line = String::from_utf8(lines.line.clone()).unwrap();
                    all.push((lines.number, Some(line)));
                }
            }
        }
    }

    #[test]
    fn lines_end_as_they_may_and_no_line_is_too_long_for_memory() {
        let line = |number, text: &str| (number, Some(text.to_owned()));
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"a\r\n\nb"), [line(1, "a"), line(2, ""), line(3, "b")]);
        let long = [vec![b'x'; 200_000], b"\nb\n".to_vec()].concat();
        assert_eq!(lines(&long), [(1, None), line(2, "b")]);
        assert_eq!(lines(&vec![b'x'; 200_000]), [(1, None)]);
    }

    #[test]
    fn a_zip_is_known_by_how_it_begins() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, zipped) = (dir.path().join("a.zip"), dir.path().join("b"));
        std::fs::write(&plain, "PK is how it begins").unwrap();
        let mut writer = zip::ZipWriter::new(File::create(&zipped).unwrap());
        writer.start_file("in/ZM_1", SimpleFileOptions::default()).unwrap();
        writer.write_all(b"1\n2\n").unwrap();
        writer.finish().unwrap();
        assert!(matches!(Opened::open(&plain).unwrap(), Opened::Plain(_)));
        let Opened::Zip(mut archive) = Opened::open(&zipped).unwrap() else { panic!("no zip") };
        let mut lines = Lines::new(archive.by_index(0).unwrap());
        assert_eq!(lines.next().unwrap(), Read1::Line);
        assert_eq!(lines.line, b"1");
    }
}
