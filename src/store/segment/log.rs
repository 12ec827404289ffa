//! What is in the log, as it was written, and by key where in it each row is.

use super::file::Frame;
use crate::domain::clock::Timestamp;
use crate::store::mark::{Mark, Marks};
use crate::store::row::{Aggregate, Row, RowKey};
use foldhash::quality::RandomState;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;

/// For how many rows a segment has room at most before anything is in it.
const ROWS_MAX: usize = 16_384;

/// In steps of how many bytes a value is compared with the last that its row had.
const STEP: usize = if cfg!(test) { 4 } else { 64 };

/// What became of a row.
#[derive(Clone, Copy, Debug)]
struct Change {
    of: Aggregate,
    /// How the value begins that the row had before in the segment, where this one begins so: that is not written again.
    head: Option<Head>,
    /// In which frame its line is, once that is committed.
    frame: usize,
    /// Where in that its line begins, the rest of the row's value begins, and both end.
    line: usize,
    from: usize,
    to: usize,
    until: Option<Timestamp>,
    /// Whether there is a row: else it is gone.
    is_row: bool,
    /// Whether there is nothing with its key in the database, nor in an earlier segment, so that nothing need go from there.
    is_first: bool,
}

/// Where the beginning of a value is: in which frame of the same segment, which was committed, and from where to where.
type Head = (usize, usize, usize);

/// What a line says of its row, before the value: its kind, its name, until when it is kept, and how many bytes of the value are as before.
#[derive(Deserialize)]
struct Said(String, String, Option<u64>, #[serde(default)] usize);

/// A line as it was written.
struct Line<'l> {
    key: RowKey,
    until: Option<Timestamp>,
    /// How many bytes of the value are as before.
    shared: usize,
    /// The rest of the value.
    rest: &'l [u8],
}

impl<'l> Line<'l> {
    /// Reads a line. Nothing where it was not written by this Hefu or one before it.
    fn read(line: &'l [u8]) -> Option<Self> {
        let mut said = serde_json::Deserializer::from_slice(line).into_iter();
        let Said(of, name, until, shared) = said.next()?.ok()?;
        let of = Aggregate::ALL.into_iter().find(|known| known.as_str() == of)?;
        let (key, until) = (RowKey { of, name }, until.map(Timestamp::from_millis));
        Some(Self { key, until, shared, rest: line.get(said.byte_offset()..)? })
    }
}

/// What was committed to one file of the log.
#[derive(Debug, Default)]
pub(super) struct Segment {
    frames: Vec<Frame>,
    /// How long they are together.
    bytes: u64,
    /// The last change of each row.
    changes: Changes,
}

type Changes = HashMap<Mark, Change, RandomState>;

impl Segment {
    /// Whether nothing was written.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn latest(&self, mark: Mark) -> Option<Latest<'_>> {
        self.found(self.changes.get(&mark)?)
    }

    fn found(&self, change: &Change) -> Option<Latest<'_>> {
        Some(self.latest_in(self.frames.get(change.frame)?, change))
    }

    fn latest_in<'l>(&'l self, frame: &'l Frame, change: &Change) -> Latest<'l> {
        let head = change.head.and_then(|head| self.head(head)).unwrap_or_default();
        Latest { change: *change, head, frame }
    }

    fn head(&self, (frame, from, to): Head) -> Option<&[u8]> {
        self.frames.get(frame)?.bytes().get(from..to)
    }

    /// The beginning of the value that a row has, as far as it is in one place.
    fn begins(&self, mark: Mark) -> Option<Head> {
        let Change { head, frame, from, to, .. } = *self.changes.get(&mark)?;
        Some(head.unwrap_or((frame, from, to)))
    }

    /// As much of that as `value` begins with.
    fn shared(&self, mark: Mark, value: &[u8]) -> Option<Head> {
        let (frame, from, to) = self.begins(mark)?;
        let (known, _) = self.head((frame, from, to))?.as_chunks::<STEP>();
        let (value, _) = value.as_chunks::<STEP>();
        let steps = known.iter().zip(value).take_while(|(known, value)| known == value).count();
        let to = from.saturating_add(steps.saturating_mul(STEP));
        (steps > 0).then_some((frame, from, to))
    }

    /// Its changes, by key.
    pub(super) fn sorted(&self) -> Vec<(RowKey, Latest<'_>)> {
        let latest = self.changes.values().filter_map(|change| self.found(change));
        let mut changes: Vec<_> =
            latest.filter_map(|latest| Some((latest.key()?, latest))).collect();
        changes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        changes
    }

    /// Takes over the changes of a transaction, which leaves none.
    fn commit(&mut self, changes: &mut Changes, frame: Frame) {
        let length = u64::try_from(frame.bytes().len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length);
        self.frames.push(frame);
        let at = self.frames.len().saturating_sub(1);
        for (mark, change) in changes.drain() {
            if !change.is_row && change.is_first {
                // It came and went meanwhile.
                self.changes.remove(&mark);
            } else {
                self.changes.insert(mark, Change { frame: at, ..change });
            }
        }
    }

    /// Takes over a commit as it was read from a file. Nothing where it was not written by this Hefu or one before it.
    pub(super) fn read(&mut self, commit: &[u8], marks: &Marks) -> Option<()> {
        let (mut frame, mut changes) = (Frame::default(), Changes::default());
        for line in commit.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Line { key, until, shared, rest } = Line::read(line)?;
            let mark = marks.of(&key);
            let head = match shared {
                0 => None,
                shared => {
                    let (frame, from, to) = self.begins(mark)?;
                    let ends = from.checked_add(shared).filter(|ends| *ends <= to)?;
                    Some((frame, from, ends))
                }
            };
            let begun = head.and_then(|head| self.head(head)).unwrap_or_default();
            let value = (shared > 0 || !rest.is_empty()).then(|| [begun, rest].concat());
            let is_json = |value: &Vec<u8>| serde_json::from_slice::<&RawValue>(value).is_ok();
            value.as_ref().is_none_or(is_json).then_some(())?;
            let change = write(&mut frame, &key, until, (head, value.as_deref()));
            changes.insert(mark, change);
        }
        self.commit(&mut changes, frame);
        Some(())
    }
}

/// Appends a line for a change of a row, without what its value shares with the one before.
fn write(
    frame: &mut Frame,
    key: &RowKey,
    until: Option<Timestamp>,
    (head, value): (Option<Head>, Option<&[u8]>),
) -> Change {
    let content = frame.content();
    let line = content.len();
    let shared = head.map_or(0, |(_, from, to)| to.saturating_sub(from));
    let said = (key.of.as_str(), &key.name, until.map(Timestamp::as_millis));
    // What has a JSON form is never refused by a buffer.
    let _ = match shared {
        0 => serde_json::to_writer(&mut *content, &said),
        shared => serde_json::to_writer(&mut *content, &(said.0, said.1, said.2, shared)),
    };
    let from = content.len();
    content.extend(value.and_then(|value| value.get(shared..)).unwrap_or_default());
    let to = content.len();
    content.push(b'\n');
    let (of, is_row) = (key.of, value.is_some());
    Change { of, head, frame: 0, line, from, to, until, is_row, is_first: false }
}

/// What is not in the database yet. What is later lies over what is earlier.
#[derive(Debug, Default)]
pub(super) struct Log {
    marks: Marks,
    /// Of the open transaction.
    open: Changes,
    pub(super) frame: Frame,
    /// In the segment that is written.
    pub(super) written: Segment,
    /// In the other segment, which the database takes over.
    pub(super) left: Option<Arc<Segment>>,
    /// Whether a commit failed, or no segment has begun, so that nothing can be written to it.
    pub(super) failed: bool,
}

/// The last change of a row that the log has, and the frame where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latest<'l> {
    change: Change,
    /// How its value begins, where that is not in its line.
    head: &'l [u8],
    frame: &'l Frame,
}

impl Latest<'_> {
    /// Whether there is a row.
    pub(super) const fn is_row(&self) -> bool {
        self.change.is_row
    }

    fn is_kept_at(&self, now: Timestamp) -> bool {
        self.change.until.is_none_or(|until| now < until)
    }

    /// The row's key, which every line has.
    fn key(&self) -> Option<RowKey> {
        let Change { of, line, to, .. } = self.change;
        // Behind `["`, its kind, and `",`.
        let name = line.saturating_add(of.as_str().len()).saturating_add(4);
        let mut said = serde_json::Deserializer::from_slice(self.frame.bytes().get(name..to)?);
        Some(RowKey { of, name: String::deserialize(&mut said).ok()? })
    }

    /// The row, unless it is gone.
    pub(super) fn row(&self, key: &RowKey) -> Option<Row> {
        let Change { from, to, until, is_row, .. } = self.change;
        let rest = self.frame.bytes().get(from..to).filter(|_| is_row)?;
        // It was JSON when it was written, and is nothing else now.
        let value = String::from_utf8([self.head, rest].concat())
            .unwrap_or_else(|wrong| String::from_utf8_lossy(wrong.as_bytes()).into_owned());
        Some(Row { key: key.clone(), until, value })
    }
}

impl Log {
    /// What the log has of a row.
    pub(super) fn latest(&self, key: &RowKey) -> Option<Latest<'_>> {
        let mark = self.marks.of(key);
        if let Some(change) = self.open.get(&mark) {
            return Some(self.written.latest_in(&self.frame, change));
        }
        self.written.latest(mark).or_else(|| self.left.as_ref()?.latest(mark))
    }

    /// What it has of the rows of a kind.
    fn all(&self, of: Aggregate) -> impl Iterator<Item = Latest<'_>> {
        let open = self.open.values().map(|it| self.written.latest_in(&self.frame, it));
        let written = self.written.changes.iter().filter(|(mark, _)| !self.open.contains_key(mark));
        let written = written.filter_map(|(_, change)| self.written.found(change));
        let is_over =
            |mark| self.open.contains_key(mark) || self.written.changes.contains_key(mark);
        let left = self.left.iter().flat_map(move |left| {
            let under = left.changes.iter().filter(move |(mark, _)| !is_over(*mark));
            under.filter_map(|(_, change)| left.found(change))
        });
        left.chain(written).chain(open).filter(move |latest| latest.change.of == of)
    }

    /// Those of its rows of a kind whose keys are asked for; nothing in the place of one that is gone.
    pub(super) fn rows(
        &self,
        of: Aggregate,
        is_asked_for: impl Fn(&RowKey) -> bool,
    ) -> impl Iterator<Item = (RowKey, Option<Row>)> {
        self.all(of).filter_map(move |latest| {
            let key = latest.key().filter(&is_asked_for)?;
            let row = latest.row(&key);
            Some((key, row))
        })
    }

    /// What is in the log and not kept beyond `now`.
    pub(super) fn not_kept(&self, of: Aggregate, now: Timestamp) -> Vec<RowKey> {
        let ended = self.all(of).filter(|latest| !latest.is_kept_at(now));
        ended.filter_map(|latest| latest.key()).collect()
    }

    /// Puts a row. Where it `is_first`, neither the database nor an earlier segment has anything with its key, so that the database need
    /// not be told should it go again.
    pub(super) fn put(&mut self, row: &Row, is_first: bool) {
        let (mark, value) = (self.marks.of(&row.key), row.value.as_bytes());
        let value = (self.written.shared(mark, value), Some(value));
        let change = write(&mut self.frame, &row.key, row.until, value);
        self.change(mark, Change { is_first, ..change });
    }

    /// Removes a row.
    pub(super) fn remove(&mut self, key: &RowKey) {
        let change = write(&mut self.frame, key, None, (None, None));
        self.change(self.marks.of(key), change);
    }

    fn change(&mut self, mark: Mark, change: Change) {
        let earlier = self.open.get(&mark).or_else(|| self.written.changes.get(&mark));
        let is_first = earlier.map_or(change.is_first, |earlier| earlier.is_first);
        self.open.insert(mark, Change { is_first, ..change });
    }

    /// How long is all that was committed, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let left = self.left.as_ref().map_or(0, |left| left.bytes);
        self.written.bytes.saturating_add(left)
    }

    /// What is open was committed.
    pub(super) fn commit(&mut self) {
        let next = self.frame.next();
        self.written.commit(&mut self.open, std::mem::replace(&mut self.frame, next));
    }

    pub(super) fn give_up(&mut self) {
        self.open.clear();
        self.frame.clear();
    }

    /// The segment that was written is left to the database, which has what was before it; the next has begun.
    pub(super) fn move_on(&mut self) {
        let room = self.written.changes.len().min(ROWS_MAX);
        let changes = Changes::with_capacity_and_hasher(room, RandomState::default());
        let next = Segment { changes, ..Segment::default() };
        self.left = Some(Arc::new(std::mem::replace(&mut self.written, next)));
    }

    /// From now on the database may have rows of what is written.
    pub(super) fn lie_over_the_database(&mut self) {
        for change in self.written.changes.values_mut().chain(self.open.values_mut()) {
            change.is_first = false;
        }
    }

    /// The database has all that was committed, and what is open goes on where nothing is before it.
    pub(super) fn settled(&mut self) {
        let mut frame = Frame::default();
        for change in self.open.values_mut() {
            let latest = self.written.latest_in(&self.frame, change);
            let Some(key) = latest.key() else { continue };
            let value = latest.row(&key).map(|row| row.value.into_bytes());
            let whole = write(&mut frame, &key, change.until, (None, value.as_deref()));
            *change = Change { is_first: change.is_first, ..whole };
        }
        self.frame = frame;
        (self.written, self.left) = (Segment::default(), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: char) -> RowKey {
        RowKey { of: Aggregate::Expectations, name: name.to_string() }
    }

    fn row(name: char) -> Row {
        Row { key: key(name), until: None, value: "1".to_owned() }
    }

    /// A row of each payment was removed from the database, where it never was.
    #[test]
    fn what_came_and_went_is_not_taken_over() {
        // `f` is put first, `p` put, `r` removed; `,` commits, `;` also leaves the segment to the database, `!` has it settled, `?` fails to.
        let check = |steps: &str, expected: &str| {
            let mut log = Log::default();
            for step in steps.chars() {
                match step {
                    'f' => log.put(&row('x'), log.latest(&key('x')).is_none()),
                    'p' => log.put(&row('x'), false),
                    'r' => log.remove(&key('x')),
                    ',' => log.commit(),
                    ';' => {
                        log.commit();
                        log.move_on();
                    }
                    '?' => log.lie_over_the_database(),
                    _ => {
                        log.lie_over_the_database();
                        log.settled();
                    }
                }
            }
            log.commit();
            let shown = |(key, latest): &(RowKey, Latest<'_>)| {
                format!("{}{}", key.name, if latest.is_row() { "+" } else { "-" })
            };
            let taken: String = log.written.sorted().iter().map(shown).collect();
            assert_eq!(taken, expected, "{steps}");
            let latest = log.latest(&key('x')).map(|latest| latest.is_row());
            assert_ne!(latest, Some(expected != "x+"), "{steps}");
        };
        check("f", "x+");
        check("fr", "");
        check("f,r", "");
        check("f,p,r", "");
        check("f,r,p", "x+");
        check("f,rp,r", "");
        check("f,r,f,r", "");
        // What may be beneath has to go.
        check("pr", "x-");
        check("p,r", "x-");
        check("rf,r", "x-");
        check("f;r", "x-");
        check("f;rf,r", "x-");
        check("p,fr", "x-");
        check("f,r!", "x-");
        check("f!r", "x-");
        check("f,?r", "x-");
        check("f?r", "x-");
    }

    /// As it is in the file, whatever came before and after it.
    #[test]
    fn what_was_committed_is_read_again() {
        let mut log = Log::default();
        let value = r#"{"a":"\n张 ]"}"#;
        let kept =
            Row { until: Some(Timestamp::from_millis(7)), value: value.to_owned(), ..row('l') };
        log.put(&kept, false);
        log.remove(&key('g'));
        log.put(&row('x'), true);
        let bytes = log.frame.content().clone();
        let content = bytes.get(Frame::default().bytes().len()..).unwrap();
        let (mut segment, marks) = (Segment::default(), Marks::default());
        segment.read(content, &marks).unwrap();
        let found = |name| segment.latest(marks.of(key(name))).map(|latest| latest.row(&key(name)));
        assert_eq!(found('l'), Some(Some(kept)));
        assert_eq!(found('g'), Some(None));
        assert_eq!(found('x'), Some(Some(row('x'))));
        assert_eq!(found('y'), None);
        // Nothing is before these.
        for wrong in ["[\"orders\",\"x\",null,4]1", "[\"orders\",\"x\",null,4,1]1"] {
            assert!(Segment::default().read(wrong.as_bytes(), &marks).is_none(), "{wrong}");
        }
        for wrong in ["[", "[\"expectations\"]", "[\"no\",\"x\",null]1", "[\"orders\",\"x\",null]{"]
        {
            assert!(Segment::default().read(wrong.as_bytes(), &marks).is_none(), "{wrong}");
        }
    }

    /// Each outcome wrote the record of its payment once more.
    #[test]
    fn what_begins_as_before_is_not_written_again() {
        let (begin, marks) = ("x".repeat(10 * STEP), Marks::default());
        let value = |end: &str| format!("\"{begin}{end}\"");
        let put = |log: &mut Log, value: &str| {
            log.put(&Row { value: value.to_owned(), ..row('x') }, false);
        };
        let latest =
            |log: &Log| log.latest(&key('x')).and_then(|it| it.row(&key('x'))).map(|row| row.value);
        // Each step commits the value with such an end, `!` has it settled before that.
        let check = |steps: &[&str], expected: usize| {
            let (mut log, mut written) = (Log::default(), Segment::default());
            let mut length = 0;
            for step in steps {
                let value = value(step.trim_start_matches('!'));
                put(&mut log, &value);
                if step.starts_with('!') {
                    log.settled();
                    written = Segment::default();
                }
                assert_eq!(latest(&log).as_ref(), Some(&value), "{steps:?}");
                let bytes = log.frame.bytes().to_vec();
                log.commit();
                assert_eq!(latest(&log).as_ref(), Some(&value), "{steps:?}");
                let content = bytes.get(Frame::default().bytes().len()..).unwrap();
                written.read(content, &marks).unwrap();
                let read = written.latest(marks.of(key('x'))).and_then(|it| it.row(&key('x')));
                assert_eq!(read.map(|row| row.value), Some(value), "{steps:?}");
                length = content.len();
            }
            assert_eq!(length / begin.len(), expected, "{steps:?}: {length}");
        };
        check(&["a"], 1);
        check(&["a", "b"], 0);
        check(&["a", "b", "cd", "e"], 0);
        check(&["a", "", "a"], 0);
        // The same once more, of whole steps: not a byte is left.
        check(&["cd", "cd"], 0);
        check(&["张", "张a"], 0);
        check(&["a", "!b"], 1);
        check(&["a", "b", "!c", "d"], 0);
    }
}
