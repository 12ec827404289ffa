//! A log in front of a database. What is committed is written to a segment file, in one write and one sync; the database
//! takes it over later, many commits together, and never sees what came and went meanwhile.
//!
//! Only a process that has the store to itself has a log: what it is about to write is known to nobody else. Where another wants
//! in (a successor, a backup), everything is taken over, and both go through the database until one of them is left.

mod door;
#[cfg(test)]
mod faults;
mod file;
#[cfg(test)]
mod simulation;

use crate::domain::clock::Timestamp;
use crate::store::row::{Aggregate, Damaged, Removal, Row, RowKey};
use crate::store::shelf::{Found, Range};
use crate::store::writer::{Backend, By};
use door::{Door, Entered};
pub use file::FileError;
use file::{Frame, Segments};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use tokio::time::Instant;

/// How much is written to one segment, in bytes, before the database takes it over.
const SEGMENT: u64 = 4 << 20;

/// How much is written at most where the database does not take it over, in bytes; beyond it nothing is kept any more.
const SEGMENT_MAX: u64 = 64 << 20;

/// How many rows the database takes over at once, at least: some milliseconds, in which payments wait.
const TAKEN_TOGETHER: usize = 256;

/// How long to wait until others share what they have.
const ENTER_WITHIN: Duration = Duration::from_millis(if cfg!(test) { 2 } else { 10_000 });

/// How often one who waits for that looks.
const LOOK_EVERY: Duration = Duration::from_millis(if cfg!(test) { 0 } else { 20 });

/// How often one who shares looks whether he is alone.
const ALONE_EVERY: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 1 });

/// Why something could not be kept, or a log not be used.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError<E: std::error::Error> {
    /// The database.
    #[error(transparent)]
    Database(E),
    /// A file of the log.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process does not share.
    #[error("another process has the store `{}` and does not share it: is it stopped?", path.display())]
    Busy {
        /// The file that is locked.
        path: PathBuf,
    },
}

/// What is to be under a key: a row, or nothing.
type Change = Option<Row>;

/// A database with a log in front of it.
#[derive(Debug)]
pub struct Segmented<B: Backend> {
    database: B,
    door: Door,
    segments: Segments,
    state: State,
    /// Whether nobody else wrote since it was opened.
    alone_ever_since: bool,
    /// Whether the database refused to take something over, which is said once.
    behind: bool,
}

#[derive(Debug)]
enum State {
    /// Everything goes through the log.
    Alone(Log),
    /// Everything goes through the database.
    Shared {
        /// When to look whether that must be.
        look_at: Instant,
    },
    /// Not in: nothing may be written.
    Out,
}

/// What is not in the database yet. What is nearer to the top is later.
#[derive(Debug, Default)]
struct Log {
    /// Of the open transaction.
    open: HashMap<RowKey, Change>,
    frame: Frame,
    /// In the segment that is written.
    written: HashMap<RowKey, Change>,
    /// In the other segment, from which the database takes over one after the other.
    left: Left,
    /// How many rows the last commit wrote.
    just_written: usize,
    /// Whether a commit failed, or no segment has begun, so that nothing can be written to it.
    failed: bool,
}

/// What the database does not have of a segment, by key.
#[derive(Debug, Default)]
struct Left {
    changes: Vec<(RowKey, Change)>,
    /// How many of them it has.
    taken: usize,
}

impl Left {
    /// What is in `segment` comes after all of these, and in the place of those of its keys.
    fn extend(&mut self, segment: &mut HashMap<RowKey, Change>) {
        let mut changes: Vec<_> = segment.drain().collect();
        let kept: HashSet<&RowKey> = changes.iter().map(|(key, _)| key).collect();
        let rest = self.changes.split_off(self.taken.min(self.changes.len()));
        let rest: Vec<_> = rest.into_iter().filter(|(key, _)| !kept.contains(key)).collect();
        changes.extend(rest);
        changes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        *self = Self { changes, taken: 0 };
    }

    fn all(&self) -> &[(RowKey, Change)] {
        self.changes.get(self.taken..).unwrap_or_default()
    }

    fn get(&self, key: &RowKey) -> Option<&Change> {
        let all = self.all();
        let at = all.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        all.get(at).map(|(_, change)| change)
    }
}

impl Log {
    fn look(&self, key: &RowKey) -> Option<&Change> {
        let Self { open, written, left, .. } = self;
        open.get(key).or_else(|| written.get(key)).or_else(|| left.get(key))
    }

    /// What is in the log of a range, the latest of each key last.
    fn within<'l>(&'l self, range: &'l Range) -> impl Iterator<Item = (&'l RowKey, &'l Change)> {
        let left = self.left.all().iter().map(|(key, change)| (key, change));
        left.chain(&self.written).chain(&self.open).filter(|(key, _)| range.takes(key))
    }

    fn change(&mut self, key: &RowKey, change: Change) {
        let until = change.as_ref().and_then(|row| row.until.map(Timestamp::as_millis));
        let content = self.frame.content();
        // What has a JSON form is never refused by a buffer.
        let _ = serde_json::to_writer(&mut *content, &(key.of.as_str(), &key.name, until));
        if let Some(row) = &change {
            content.extend(row.value.as_bytes());
        }
        content.push(b'\n');
        self.open.insert(key.clone(), change);
    }

    fn put(&mut self, row: &Row) {
        self.change(&row.key, Some(row.clone()));
    }

    /// What is in the log and not kept beyond `now`.
    fn not_kept(&self, of: Aggregate, now: Timestamp) -> Vec<RowKey> {
        let ended = |change: &Change| {
            let until = change.as_ref().filter(|row| row.key.of == of).and_then(|row| row.until);
            until.is_some_and(|until| until <= now)
        };
        let left = self.left.all().iter().map(|(key, change)| (key, change));
        let ends = left.chain(&self.written).filter(|(_, change)| ended(change));
        ends.map(|(key, _)| key).filter(|key| self.look(key).is_some_and(ended)).cloned().collect()
    }

    fn give_up(&mut self) {
        self.open.clear();
        self.frame.clear();
    }
}

/// The changes of one commit, as they were written; nothing where they were not written by this Hefu or one before it.
fn changes(commit: &[u8]) -> Option<Vec<(RowKey, Change)>> {
    let lines = commit.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let change = |line| {
        let mut parts = serde_json::Deserializer::from_slice(line).into_iter::<&RawValue>();
        let key = parts.next()?.ok()?;
        let value = parts.next().transpose().ok()?;
        let (of, name, until): (String, String, Option<u64>) =
            serde_json::from_str(key.get()).ok()?;
        let of = Aggregate::ALL.into_iter().find(|known| known.as_str() == of)?;
        let (key, until) = (RowKey { of, name }, until.map(Timestamp::from_millis));
        let row = |value: &RawValue| Row { key: key.clone(), until, value: value.get().to_owned() };
        let change = value.map(row);
        Some((key, change))
    };
    lines.map(change).collect()
}

/// Has the database make changes, in one transaction.
fn take_over<B: Backend>(database: &mut B, changes: &[(RowKey, Change)]) -> Result<(), B::Error> {
    let (mut rows, mut removals) = (Vec::new(), Vec::new());
    for (key, change) in changes {
        match change {
            Some(row) => rows.push(row),
            None => removals.push(Removal { key: key.clone(), only: None }),
        }
    }
    let mut taken = || {
        database.begin()?;
        database.put(&rows)?;
        database.remove(&removals.iter().collect::<Vec<_>>())?;
        database.commit()
    };
    let taken = taken();
    if taken.is_err() {
        database.roll_back();
    }
    taken
}

/// A file beside the store.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

type Failed<B> = SegmentError<<B as Backend>::Error>;

impl<B: Backend> Segmented<B> {
    /// Puts a log before the database that `open` opens, in files beside `path`. What a crash left in them is taken over first.
    /// `open` is told whether nobody else has the database open.
    ///
    /// # Errors
    /// [`SegmentError`], and those of `open`.
    pub fn open<E: From<Failed<B>>>(
        path: &Path,
        open: impl FnOnce(bool) -> Result<B, E>,
    ) -> Result<Self, E> {
        let wrong = |error| E::from(SegmentError::File(error));
        let door = Door::new(beside(path, "-lock"), beside(path, "-knock")).map_err(wrong)?;
        let entered = door.enter().map_err(wrong)?;
        if entered == Entered::Shared {
            door.leave().map_err(wrong)?;
        }
        let logs = ["-log0", "-log1"].map(|suffix| beside(path, suffix));
        let mut segments = Segments::open(logs, beside(path, "-log-end")).map_err(wrong)?;
        if entered == Entered::Alone {
            // What is damaged, or another version's, is said before the database is touched.
            segments.read().map_err(wrong)?;
        }
        let database = open(entered == Entered::Alone)?;
        // The files are there after a power cut, too; where a directory has no sync, they were anyway.
        let dir = path.parent().map(File::open);
        let _ = dir.and_then(Result::ok).map(|dir| dir.sync_all());
        Ok(Self::over(door, segments, database)?)
    }

    fn over(door: Door, segments: Segments, database: B) -> Result<Self, Failed<B>> {
        let state = State::Out;
        let mut store =
            Self { database, door, segments, state, alone_ever_since: true, behind: false };
        store.enter()?;
        Ok(store)
    }

    /// Goes in, alone or beside others.
    fn enter(&mut self) -> Result<(), Failed<B>> {
        self.state = State::Out;
        let begun = Instant::now();
        loop {
            match self.door.enter()? {
                Entered::Alone => {
                    self.recover()?;
                    self.segments.begin()?;
                    self.state = State::Alone(Log::default());
                    return Ok(());
                }
                // Who shares has nothing in the log; what is in it was left by one who crashed in between.
                Entered::Shared if self.segments.read()?.is_empty() => {
                    self.state = State::Shared { look_at: Instant::now() + ALONE_EVERY };
                    self.alone_ever_since = false;
                    return Ok(());
                }
                Entered::Shared => self.door.leave()?,
                Entered::NotYet => (),
            }
            if begun.elapsed() >= ENTER_WITHIN {
                return Err(SegmentError::Busy { path: self.door.path().to_owned() });
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Has the database take over what a crash left.
    fn recover(&mut self) -> Result<(), Failed<B>> {
        let mut left = HashMap::new();
        for commit in self.segments.read()? {
            let unread = || FileError::Damaged { path: self.door.path().to_owned() };
            left.extend(changes(&commit).ok_or_else(unread)?);
        }
        if !left.is_empty() {
            tracing::info!(rows = left.len(), "what was left in the log is taken over");
            self.database.lazily(false).map_err(SegmentError::Database)?;
            let mut all = Left::default();
            all.extend(&mut left);
            take_over(&mut self.database, all.all()).map_err(SegmentError::Database)?;
        }
        Ok(self.segments.clear()?)
    }

    /// Looks whether somebody wants in, or is gone.
    fn look_around(&mut self) -> Result<(), Failed<B>> {
        match &mut self.state {
            State::Alone(log) if self.door.is_knocked() => {
                settle(&mut self.database, &mut self.segments, log)?;
                self.door.share()?;
                self.state = State::Shared { look_at: Instant::now() + ALONE_EVERY };
                self.alone_ever_since = false;
                Ok(())
            }
            State::Alone(_) => Ok(()),
            State::Shared { look_at } if Instant::now() < *look_at => Ok(()),
            State::Shared { .. } | State::Out => self.enter(),
        }
    }

    /// Has the database take over a little, and begins the next segment when this one is full, or nothing else is to be done.
    /// Says whether there is more to take over.
    fn move_on(&mut self, idle: bool) -> Result<bool, Failed<B>> {
        let State::Alone(log) = &mut self.state else { return Ok(false) };
        if log.left.all().is_empty() {
            if log.written.is_empty() || !(idle || self.segments.len() >= SEGMENT) {
                return Ok(false);
            }
            self.segments.begin()?;
            log.left.extend(&mut log.written);
        }
        // Twice as much as comes, or the log would grow as long as much comes.
        let together = TAKEN_TOGETHER.max(log.just_written.saturating_mul(2));
        let all = log.left.all();
        let some = all.get(..together).unwrap_or(all);
        // The last makes all of them durable; the segment may be written over then.
        let last = some.len() == all.len();
        let taken = self.database.lazily(!last).and_then(|()| take_over(&mut self.database, some));
        taken.map_err(SegmentError::Database)?;
        log.left.taken = log.left.taken.saturating_add(some.len());
        if last {
            self.database.idle();
        }
        Ok(!last)
    }

    /// Leaves nothing in the log that the database does not have.
    fn settle(&mut self) -> Result<(), Failed<B>> {
        if let State::Alone(log) = &mut self.state
            && !(log.written.is_empty() && log.left.all().is_empty())
        {
            settle(&mut self.database, &mut self.segments, log)?;
            self.segments.begin()?;
            log.failed = false;
        }
        Ok(())
    }

    /// As [`Self::move_on`]; that the database cannot is no reason to stop while there is room.
    fn try_to_move_on(&mut self, idle: bool) -> Result<bool, Failed<B>> {
        match self.move_on(idle) {
            Ok(more) => {
                self.behind = false;
                Ok(more)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.behind, true) {
                    tracing::error!(%error, "the database takes nothing over from the log");
                }
                if self.segments.len() >= SEGMENT_MAX { Err(error) } else { Ok(false) }
            }
        }
    }
}

/// Has the database take over everything, so that nothing is in the log.
fn settle<B: Backend>(
    database: &mut B,
    segments: &mut Segments,
    log: &mut Log,
) -> Result<(), Failed<B>> {
    database.lazily(false).map_err(SegmentError::Database)?;
    log.left.extend(&mut log.written);
    if !log.left.all().is_empty() {
        take_over(database, log.left.all()).map_err(SegmentError::Database)?;
    }
    log.left = Left::default();
    // Until the next segment has begun there is none that could be written.
    log.failed = true;
    Ok(segments.clear()?)
}

impl<B: Backend> Backend for Segmented<B> {
    type Error = Failed<B>;

    fn alone(&self) -> bool {
        self.alone_ever_since
    }

    fn idle(&mut self) -> bool {
        let looked = self.look_around();
        let more = looked.and_then(|()| self.try_to_move_on(true));
        self.database.idle();
        // It is tried again, and said when something is to be written.
        more.unwrap_or(false)
    }

    fn load(
        &mut self,
        of: Aggregate,
        most: usize,
        each: &mut dyn FnMut(Row),
    ) -> Result<(), Failed<B>> {
        self.settle()?;
        self.database.load(of, most, each).map_err(SegmentError::Database)
    }

    fn begin(&mut self) -> Result<(), Failed<B>> {
        self.look_around()?;
        if let State::Alone(log) = &mut self.state {
            log.give_up();
            if log.failed {
                settle(&mut self.database, &mut self.segments, log)?;
                self.segments.begin()?;
                log.failed = false;
            }
            self.try_to_move_on(false).map(drop)
        } else {
            self.database.begin().map_err(SegmentError::Database)
        }
    }

    fn read(&mut self, keys: &[&RowKey]) -> Result<Vec<Row>, Failed<B>> {
        let (mut rows, mut below) = (Vec::new(), Vec::new());
        for key in keys {
            let change = match &self.state {
                State::Alone(log) => log.look(key),
                State::Shared { .. } | State::Out => None,
            };
            match change {
                Some(change) => rows.extend(change.clone()),
                None => below.push(*key),
            }
        }
        rows.extend(self.database.read(&below).map_err(SegmentError::Database)?);
        Ok(rows)
    }

    fn find(&mut self, of: Aggregate, by: By, whose: &[String]) -> Result<Vec<Row>, Failed<B>> {
        self.settle()?;
        self.database.find(of, by, whose).map_err(SegmentError::Database)
    }

    fn range(&mut self, range: &Range) -> Result<Found, Failed<B>> {
        let State::Alone(log) = &self.state else {
            return self.database.range(range).map_err(SegmentError::Database);
        };
        // Nobody looks through all that is in the log for one row.
        if let Some(key) = range.only() {
            return match log.look(&key) {
                Some(change) => {
                    let rows = range.cut(change.iter().cloned().collect());
                    Ok(Found { rows, damaged: Vec::new() })
                }
                None => self.database.range(range).map_err(SegmentError::Database),
            };
        }
        // What is not in the database yet lies over what is, of which it may take as many away.
        let over: BTreeMap<&RowKey, &Change> = log.within(range).collect();
        let wider = Range { most: range.most.saturating_add(over.len()), ..range.clone() };
        let below = self.database.range(&wider).map_err(SegmentError::Database)?;
        let Found { rows: below, mut damaged } = below;
        damaged.retain(|Damaged(key)| !over.contains_key(key));
        let mut rows: BTreeMap<RowKey, Row> =
            below.into_iter().map(|row| (row.key.clone(), row)).collect();
        for (key, change) in over {
            match change {
                Some(row) => drop(rows.insert(key.clone(), row.clone())),
                None => drop(rows.remove(key)),
            }
        }
        Ok(Found { rows: range.cut(rows.into_values().collect()), damaged })
    }

    fn put(&mut self, rows: &[&Row]) -> Result<(), Failed<B>> {
        match &mut self.state {
            State::Alone(log) => {
                for row in rows {
                    log.put(row);
                }
                Ok(())
            }
            State::Shared { .. } | State::Out => {
                self.database.put(rows).map_err(SegmentError::Database)
            }
        }
    }

    fn claim(&mut self, rows: &[&Row]) -> Result<Vec<bool>, Failed<B>> {
        if !matches!(self.state, State::Alone(_)) {
            return self.database.claim(rows).map_err(SegmentError::Database);
        }
        let taken = self.read(&rows.iter().map(|row| &row.key).collect::<Vec<_>>())?;
        let taken: HashSet<RowKey> = taken.into_iter().map(|row| row.key).collect();
        let free = |row: &&Row| !taken.contains(&row.key);
        let put: Vec<&Row> = rows.iter().copied().filter(free).collect();
        self.put(&put)?;
        Ok(rows.iter().map(free).collect())
    }

    fn remove(&mut self, rows: &[&Removal]) -> Result<(), Failed<B>> {
        if !matches!(self.state, State::Alone(_)) {
            return self.database.remove(rows).map_err(SegmentError::Database);
        }
        let conditional = rows.iter().filter(|removal| removal.only.is_some());
        let conditional: Vec<&RowKey> = conditional.map(|removal| &removal.key).collect();
        let now: HashMap<RowKey, String> =
            self.read(&conditional)?.into_iter().map(|row| (row.key, row.value)).collect();
        let State::Alone(log) = &mut self.state else { return Ok(()) };
        for Removal { key, only } in rows {
            if only.is_none() || now.get(key) == only.as_ref() {
                log.change(key, None);
            }
        }
        Ok(())
    }

    fn purge(
        &mut self,
        of: Aggregate,
        now: Timestamp,
        most: usize,
    ) -> Result<Option<Damaged>, Failed<B>> {
        let State::Alone(log) = &mut self.state else {
            return self.database.purge(of, now, most).map_err(SegmentError::Database);
        };
        for key in log.not_kept(of, now).into_iter().take(most) {
            log.change(&key, None);
        }
        let database = &mut self.database;
        let mut purged = || {
            database.begin()?;
            let damaged = database.purge(of, now, most)?;
            database.commit()?;
            Ok(damaged)
        };
        let purged = purged();
        if purged.is_err() {
            self.database.roll_back();
        }
        purged.map_err(SegmentError::Database)
    }

    fn commit(&mut self) -> Result<(), Failed<B>> {
        match &mut self.state {
            State::Alone(log) if log.frame.is_empty() => Ok(()),
            State::Alone(log) => {
                let written = self.segments.append(&mut log.frame);
                log.failed = written.is_err();
                written?;
                log.just_written = log.open.len();
                log.written.extend(log.open.drain());
                log.give_up();
                Ok(())
            }
            State::Shared { .. } | State::Out => {
                self.database.commit().map_err(SegmentError::Database)
            }
        }
    }

    fn roll_back(&mut self) {
        match &mut self.state {
            State::Alone(log) => log.give_up(),
            State::Shared { .. } | State::Out => self.database.roll_back(),
        }
    }

    fn is_damage(error: &Failed<B>) -> bool {
        matches!(error, SegmentError::Database(error) if B::is_damage(error))
    }
}

impl<B: Backend> Drop for Segmented<B> {
    fn drop(&mut self) {
        if let State::Alone(log) = &mut self.state
            && let Err(error) = settle(&mut self.database, &mut self.segments, log)
        {
            tracing::error!(%error, "what is in the log is taken over at the next start");
        }
    }
}
