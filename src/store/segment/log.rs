//! What is in the log, as it was written, and by key where in it each row is.

use super::file::Frame;
use crate::domain::clock::Timestamp;
use crate::store::row::{Aggregate, Row, RowKey};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;

/// For how many rows a segment has room at most before anything is in it.
const ROWS_MAX: usize = 16_384;

/// What became of a row.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// Where it is in its frame; it is gone, where absent.
    place: Option<Place>,
    /// Whether there is nothing with its key in the database, nor in an earlier segment, so that nothing need go from there.
    is_first: bool,
}

/// Where a row's value is in a frame, and until when the row is kept.
#[derive(Clone, Copy, Debug)]
struct Place {
    until: Option<Timestamp>,
    from: usize,
    to: usize,
}

impl Place {
    fn value<'f>(&self, frame: &'f Frame) -> &'f [u8] {
        frame.bytes().get(self.from..self.to).unwrap_or_default()
    }

    fn row(&self, key: &RowKey, frame: &Frame) -> Row {
        // It was JSON when it was written, and is nothing else now.
        let value = String::from_utf8_lossy(self.value(frame)).into_owned();
        Row { key: key.clone(), until: self.until, value }
    }
}

/// What was committed to one file of the log.
#[derive(Debug, Default)]
pub(super) struct Segment {
    frames: Vec<Frame>,
    /// How long they are together.
    bytes: u64,
    /// The last change of each key, and in which frame it is.
    changes: HashMap<RowKey, (usize, Change)>,
}

impl Segment {
    /// Whether nothing was written.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn latest(&self, key: &RowKey) -> Option<Latest<'_>> {
        self.found(self.changes.get(key)?)
    }

    fn found(&self, (frame, change): &(usize, Change)) -> Option<Latest<'_>> {
        Some(Latest { change: *change, frame: self.frames.get(*frame)? })
    }

    /// Its changes, by key.
    pub(super) fn sorted(&self) -> Vec<(&RowKey, Latest<'_>)> {
        let changes = self.changes.iter();
        let mut changes: Vec<_> =
            changes.filter_map(|(key, change)| Some((key, self.found(change)?))).collect();
        changes.sort_unstable_by_key(|(key, _)| *key);
        changes
    }

    /// Takes over the changes of a transaction, which leaves none.
    fn commit(&mut self, changes: &mut HashMap<RowKey, Change>, frame: Frame) {
        let at = self.frames.len();
        let length = u64::try_from(frame.bytes().len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length);
        self.frames.push(frame);
        for (key, change) in changes.drain() {
            if change.place.is_none() && change.is_first {
                // It came and went meanwhile.
                self.changes.remove(&key);
            } else {
                self.changes.insert(key, (at, change));
            }
        }
    }

    /// Takes over a commit as it was read from a file. Nothing where it was not written by this Hefu or one before it.
    pub(super) fn read(&mut self, commit: &[u8]) -> Option<()> {
        let mut frame = Frame::default();
        let mut changes = HashMap::new();
        for line in commit.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut said = serde_json::Deserializer::from_slice(line).into_iter();
            let (of, name, until): (String, String, Option<u64>) = said.next()?.ok()?;
            let of = Aggregate::ALL.into_iter().find(|known| known.as_str() == of)?;
            let value = line.get(said.byte_offset()..)?;
            let value = Some(value).filter(|value| !value.is_empty());
            let is_json = |value| serde_json::from_slice::<&RawValue>(value).is_ok();
            value.is_none_or(is_json).then_some(())?;
            let key = RowKey { of, name };
            let place = write(&mut frame, &key, until.map(Timestamp::from_millis), value);
            changes.insert(key, Change { place, is_first: false });
        }
        self.commit(&mut changes, frame);
        Some(())
    }
}

/// Appends a line for a change of a row; says where its value is.
fn write(
    frame: &mut Frame,
    key: &RowKey,
    until: Option<Timestamp>,
    value: Option<&[u8]>,
) -> Option<Place> {
    let content = frame.content();
    // What has a JSON form is never refused by a buffer.
    let said = (key.of.as_str(), &key.name, until.map(Timestamp::as_millis));
    let _ = serde_json::to_writer(&mut *content, &said);
    let from = content.len();
    content.extend(value.unwrap_or_default());
    let to = content.len();
    content.push(b'\n');
    value.map(|_| Place { until, from, to })
}

/// What is not in the database yet. What is later lies over what is earlier.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Of the open transaction.
    open: HashMap<RowKey, Change>,
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
    frame: &'l Frame,
}

impl Latest<'_> {
    /// Whether there is a row.
    pub(super) const fn is_row(&self) -> bool {
        self.change.place.is_some()
    }

    fn is_kept_at(&self, now: Timestamp) -> bool {
        let until = self.change.place.and_then(|place| place.until);
        until.is_none_or(|until| now < until)
    }

    /// The row, unless it is gone.
    pub(super) fn row(&self, key: &RowKey) -> Option<Row> {
        self.change.place.map(|place| place.row(key, self.frame))
    }
}

impl Log {
    /// What the log has of a row.
    pub(super) fn latest(&self, key: &RowKey) -> Option<Latest<'_>> {
        if let Some(change) = self.open.get(key) {
            return Some(Latest { change: *change, frame: &self.frame });
        }
        self.written.latest(key).or_else(|| self.left.as_ref()?.latest(key))
    }

    fn keys(&self) -> impl Iterator<Item = &RowKey> {
        let left = self.left.iter().flat_map(|left| left.changes.keys());
        left.chain(self.written.changes.keys()).chain(self.open.keys())
    }

    /// Those of its rows whose keys are asked for; nothing in the place of one that is gone.
    pub(super) fn rows(
        &self,
        is_asked_for: impl Fn(&RowKey) -> bool,
    ) -> impl Iterator<Item = (&RowKey, Option<Row>)> {
        let keys = self.keys().filter(move |key| is_asked_for(key));
        keys.filter_map(|key| Some((key, self.latest(key)?.row(key))))
    }

    /// What is in the log and not kept beyond `now`.
    pub(super) fn not_kept(&self, of: Aggregate, now: Timestamp) -> Vec<RowKey> {
        let ended = |key: &&RowKey| self.latest(key).is_some_and(|latest| !latest.is_kept_at(now));
        self.keys().filter(|key| key.of == of).filter(ended).cloned().collect()
    }

    /// Puts a row. Where it `is_first`, neither the database nor an earlier segment has anything with its key, so that the database need
    /// not be told should it go again.
    pub(super) fn put(&mut self, row: &Row, is_first: bool) {
        let place = write(&mut self.frame, &row.key, row.until, Some(row.value.as_bytes()));
        self.change(&row.key, place, is_first);
    }

    /// Removes a row.
    pub(super) fn remove(&mut self, key: &RowKey) {
        let place = write(&mut self.frame, key, None, None);
        self.change(key, place, false);
    }

    fn change(&mut self, key: &RowKey, place: Option<Place>, is_first: bool) {
        let earlier = self.open.get(key).or_else(|| self.written.changes.get(key).map(|it| &it.1));
        let is_first = earlier.map_or(is_first, |earlier| earlier.is_first);
        self.open.insert(key.clone(), Change { place, is_first });
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
        let next = Segment { changes: HashMap::with_capacity(room), ..Segment::default() };
        self.left = Some(Arc::new(std::mem::replace(&mut self.written, next)));
    }

    /// From now on the database may have rows of what is written.
    pub(super) fn lie_over_the_database(&mut self) {
        let written = self.written.changes.values_mut().map(|(_, change)| change);
        for change in written.chain(self.open.values_mut()) {
            change.is_first = false;
        }
    }

    /// The database has all that was committed.
    pub(super) fn settled(&mut self) {
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
            let shown = |(key, latest): &(&RowKey, Latest<'_>)| {
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
        let mut segment = Segment::default();
        segment.read(content).unwrap();
        let found = |name| segment.latest(&key(name)).map(|latest| latest.row(&key(name)));
        assert_eq!(found('l'), Some(Some(kept)));
        assert_eq!(found('g'), Some(None));
        assert_eq!(found('x'), Some(Some(row('x'))));
        assert_eq!(found('y'), None);
        for wrong in ["[", "[\"expectations\"]", "[\"no\",\"x\",null]1", "[\"orders\",\"x\",null]{"]
        {
            assert!(Segment::default().read(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
