//! A log in front of a database. What is committed is written to a segment file, in one write and one sync; the database
//! takes it over later, many commits together, and never sees what came and went meanwhile.
//!
//! Only a process that has the store to itself has a log: what it is about to write is known to nobody else. Where another wants
//! in (a successor, a backup), everything is taken over, and both go through the database until one of them is left.

mod door;
#[cfg(test)]
mod faults;
mod file;
mod log;
mod look;
#[cfg(test)]
mod simulation;
mod taking;

use crate::domain::clock::Timestamp;
use crate::store::mark::Marks;
use crate::store::row::{Aggregate, Damaged, Removal, Row, RowKey};
use crate::store::shelf::{Found, Range};
use crate::store::writer::{Backend, By};
use door::{Door, Entered};
pub use file::FileError;
use file::Segments;
use log::{Log, Segment};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use taking::{Taker, take_over};
use tokio::time::Instant;

/// How much is written to one segment, in bytes, before the database takes it over.
const SEGMENT: u64 = 4 << 20;

/// How much is written to one while the database is at the other, in bytes, before it is waited for.
const SEGMENT_LONG: u64 = 8 << 20;

/// How much is written at most where the database does not take it over, in bytes; beyond it nothing is kept any more.
const SEGMENT_MAX: u64 = 64 << 20;

/// How often it is tried to have the database take over what it could not.
const TRY_EVERY: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 1 });

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
    /// What took the log over.
    #[error("the thread that takes over what was committed panicked")]
    Panicked,
    /// Another process does not share.
    #[error("another process has the store `{}` and does not share it: is it stopped?", path.display())]
    Busy {
        /// The file that is locked.
        path: PathBuf,
    },
}

/// A database with a log in front of it.
#[derive(Debug)]
pub struct Segmented<B: Backend> {
    taker: Taker<B>,
    door: Door,
    segments: Segments,
    state: State,
    /// Whether nobody else wrote since it was opened.
    alone_ever_since: bool,
    /// When the database last refused to take something over, which is said once.
    behind: Option<Instant>,
}

#[derive(Debug)]
enum State {
    /// Everything goes through the log.
    Alone(Box<Log>),
    /// Everything goes through the database.
    Shared {
        /// When to look whether that must be.
        look_at: Instant,
    },
    /// Not in: nothing may be written.
    Out,
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
        let taker = Taker::new(database);
        let mut store = Self { taker, door, segments, state, alone_ever_since: true, behind: None };
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
                    self.state = State::Alone(Box::default());
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
                self.door.give_up()?;
                return Err(SegmentError::Busy { path: self.door.path().to_owned() });
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Has the database take over what a crash left.
    fn recover(&mut self) -> Result<(), Failed<B>> {
        let (mut left, marks) = (Segment::default(), Marks::default());
        for commit in self.segments.read()? {
            let unread = || FileError::Unread { path: self.door.path().to_owned() };
            left.read(&commit, &marks).ok_or_else(unread)?;
        }
        if !left.is_empty() {
            let rows = left.sorted().len();
            tracing::info!(rows, "what was left in the log is taken over");
            take_over(&mut *self.taker.wait_for_database(), &left)
                .map_err(SegmentError::Database)?;
        }
        Ok(self.segments.clear()?)
    }

    /// Looks whether somebody wants in, or is gone.
    fn look_around(&mut self) -> Result<(), Failed<B>> {
        match &mut self.state {
            State::Alone(log) if !waits(self.behind, log) && self.door.is_knocked() => {
                match settle(&mut self.taker, &mut self.segments, log) {
                    // While the log has room he waits, and from now on nobody else does: the database is tried on its own thread.
                    Err(error @ SegmentError::Database(_)) if self.segments.len() < SEGMENT_MAX => {
                        if log.left.is_none() && !log.written.is_empty() {
                            self.segments.begin()?;
                            log.move_on();
                        }
                        self.fall_behind(&error);
                        return Ok(());
                    }
                    settled => settled?,
                }
                self.behind = None;
                self.let_in()
            }
            State::Alone(_) => Ok(()),
            State::Shared { look_at } if Instant::now() < *look_at => Ok(()),
            State::Shared { .. } | State::Out => self.enter(),
        }
    }

    /// Shares with whoever comes: for who reads for long, and looks at nobody who knocks meanwhile.
    ///
    /// # Errors
    /// [`SegmentError`].
    pub fn share(&mut self) -> Result<(), Failed<B>> {
        match &mut self.state {
            State::Alone(log) => {
                settle(&mut self.taker, &mut self.segments, log)?;
                self.let_in()
            }
            State::Shared { .. } | State::Out => Ok(()),
        }
    }

    /// Shares what is settled.
    fn let_in(&mut self) -> Result<(), Failed<B>> {
        self.door.share()?;
        self.state = State::Shared { look_at: Instant::now() + ALONE_EVERY };
        self.alone_ever_since = false;
        Ok(())
    }

    /// Has the database take over the segment that is full, or any where nothing else is to be done, and begins the next. Says whether it
    /// has taken one over.
    fn move_on(&mut self, idle: bool) -> Result<bool, Failed<B>> {
        let State::Alone(log) = &mut self.state else { return Ok(false) };
        if self.taker.is_busy() && self.segments.len() < SEGMENT_LONG {
            return Ok(false);
        }
        let took = collect(&mut self.taker, log)?;
        if log.left.is_none() {
            if log.written.is_empty() || !(idle || self.segments.len() >= SEGMENT) {
                return Ok(took);
            }
            self.segments.begin()?;
            log.move_on();
        }
        let has_room = self.segments.len() < SEGMENT_MAX;
        if has_room && self.behind.is_some_and(|tried| tried.elapsed() < TRY_EVERY) {
            return Ok(took);
        }
        log.left.iter().for_each(|left| self.taker.take(left));
        if self.taker.is_busy() && has_room {
            return Ok(took);
        }
        Ok(collect(&mut self.taker, log)? || took)
    }

    /// Leaves nothing in the log that the database does not have.
    fn settle(&mut self) -> Result<(), Failed<B>> {
        if let State::Alone(log) = &mut self.state
            && !(log.written.is_empty() && log.left.is_none())
        {
            settle(&mut self.taker, &mut self.segments, log)?;
            self.segments.begin()?;
            log.failed = false;
        }
        Ok(())
    }

    /// As [`Self::move_on`]; that the database cannot is no reason to stop while there is room.
    fn try_to_move_on(&mut self, idle: bool) -> Result<(), Failed<B>> {
        let moved = self.move_on(idle);
        match &moved {
            Ok(true) => self.behind = None,
            // Nobody knows: it is under way, or nothing was to be done.
            Ok(false) => (),
            Err(error) => self.fall_behind(error),
        }
        if self.segments.len() >= SEGMENT_MAX { moved.map(drop) } else { Ok(()) }
    }

    fn fall_behind(&mut self, error: &Failed<B>) {
        if self.behind.replace(Instant::now()).is_none() {
            tracing::error!(%error, "the database takes nothing over from the log");
        }
    }
}

/// Whether who knocks has to wait for the database, which fails: while its thread has something to try, or just was in vain.
fn waits(behind: Option<Instant>, log: &Log) -> bool {
    behind.is_some_and(|tried| log.left.is_some() || tried.elapsed() < TRY_EVERY)
}

/// Learns what came of the segment that the database was to take over, which is over; says whether there was one.
fn collect<B: Backend>(taker: &mut Taker<B>, log: &mut Log) -> Result<bool, Failed<B>> {
    let Some(came) = taker.wait() else { return Ok(false) };
    came?;
    log.left = None;
    Ok(true)
}

/// Has the database take over everything, so that nothing is in the log.
fn settle<B: Backend>(
    taker: &mut Taker<B>,
    segments: &mut Segments,
    log: &mut Log,
) -> Result<(), Failed<B>> {
    // What failed is tried again.
    let _ = collect(taker, log);
    // Even where only some of it can be taken over.
    log.lie_over_the_database();
    let mut database = taker.wait_for_database();
    for segment in log.left.as_deref().into_iter().chain([&log.written]) {
        take_over(&mut *database, segment).map_err(SegmentError::Database)?;
    }
    // Where there was nothing to take over, too.
    database.lazily(false).map_err(SegmentError::Database)?;
    log.settled();
    // Until the next segment has begun there is none that could be written.
    log.failed = true;
    Ok(segments.clear()?)
}

impl<B: Backend> Backend for Segmented<B> {
    type Error = Failed<B>;

    fn alone(&self) -> bool {
        self.alone_ever_since
    }

    fn idle(&mut self) {
        let looked = self.look_around();
        // It is tried again, and said when something is to be written.
        let _ = looked.and_then(|()| self.try_to_move_on(true));
        if !self.taker.is_busy() {
            self.taker.wait_for_database().idle();
        }
    }

    fn logged(&self) -> u64 {
        match &self.state {
            State::Alone(log) => log.bytes(),
            State::Shared { .. } | State::Out => 0,
        }
    }

    fn load(
        &mut self,
        of: Aggregate,
        most: usize,
        each: &mut dyn FnMut(Row),
    ) -> Result<(), Failed<B>> {
        self.settle()?;
        self.taker.wait_for_database().load(of, most, each).map_err(SegmentError::Database)
    }

    fn begin(&mut self) -> Result<(), Failed<B>> {
        self.look_around()?;
        if let State::Alone(log) = &mut self.state {
            log.give_up();
            if log.failed {
                settle(&mut self.taker, &mut self.segments, log)?;
                self.segments.begin()?;
                log.failed = false;
            }
            self.try_to_move_on(false)
        } else {
            self.taker.wait_for_database().begin().map_err(SegmentError::Database)
        }
    }

    fn read(&mut self, keys: &[&RowKey]) -> Result<Vec<Row>, Failed<B>> {
        match &self.state {
            State::Alone(log) => look::read(log, &mut self.taker, keys),
            State::Shared { .. } | State::Out => self.taker.look(|database| database.read(keys)),
        }
    }

    fn find(&mut self, of: Aggregate, by: By, whose: &[String]) -> Result<Vec<Row>, Failed<B>> {
        let look = |store: &mut Self| match &store.state {
            State::Alone(log) => look::find(log, &mut store.taker, (of, by), whose),
            State::Shared { .. } | State::Out => {
                store.taker.look(|database| database.find(of, by, whose))
            }
        };
        match look(self) {
            // What is damaged may have been written anew.
            Err(error) if Self::is_damage(&error) => {
                self.settle()?;
                look(self)
            }
            found => found,
        }
    }

    fn range(&mut self, range: &Range) -> Result<Found, Failed<B>> {
        match &self.state {
            State::Alone(log) => look::range(log, &mut self.taker, range),
            State::Shared { .. } | State::Out => self.taker.look(|database| database.range(range)),
        }
    }

    fn put(&mut self, rows: &[&Row]) -> Result<(), Failed<B>> {
        match &mut self.state {
            State::Alone(log) => rows.iter().for_each(|row| log.put(row, false)),
            State::Shared { .. } | State::Out => {
                self.taker.wait_for_database().put(rows).map_err(SegmentError::Database)?;
            }
        }
        Ok(())
    }

    fn put_first(&mut self, rows: &[&Row]) -> Result<(), Failed<B>> {
        let State::Alone(log) = &mut self.state else { return self.put(rows) };
        for row in rows {
            log.put(row, log.latest(&row.key).is_none());
        }
        Ok(())
    }

    fn claim(&mut self, rows: &[&Row]) -> Result<Vec<bool>, Failed<B>> {
        let State::Alone(log) = &mut self.state else {
            return self.taker.wait_for_database().claim(rows).map_err(SegmentError::Database);
        };
        let known = |row: &&Row| log.latest(&row.key).map(|latest| latest.is_row());
        let known: Vec<Option<bool>> = rows.iter().map(known).collect();
        let below = rows.iter().zip(&known).filter(|(_, known)| known.is_none());
        let below: Vec<&RowKey> = below.map(|(row, _)| &row.key).collect();
        let below = self.taker.look(|database| database.read(&below))?;
        let below: HashSet<RowKey> = below.into_iter().map(|row| row.key).collect();
        let claim = |(row, known): (&&Row, Option<bool>)| {
            let is_free = !known.unwrap_or_else(|| below.contains(&row.key));
            if is_free {
                log.put(row, known.is_none());
            }
            is_free
        };
        Ok(rows.iter().zip(known).map(claim).collect())
    }

    fn remove(&mut self, rows: &[&Removal]) -> Result<(), Failed<B>> {
        if !matches!(self.state, State::Alone(_)) {
            return self.taker.wait_for_database().remove(rows).map_err(SegmentError::Database);
        }
        let conditional = rows.iter().filter(|removal| removal.only.is_some());
        let conditional: Vec<&RowKey> = conditional.map(|removal| &removal.key).collect();
        let now: HashMap<RowKey, String> =
            self.read(&conditional)?.into_iter().map(|row| (row.key, row.value)).collect();
        let State::Alone(log) = &mut self.state else { return Ok(()) };
        for Removal { key, only } in rows {
            if only.is_none() || now.get(key) == only.as_ref() {
                log.remove(key);
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
            let purged = self.taker.wait_for_database().purge(of, now, most);
            return purged.map_err(SegmentError::Database);
        };
        for key in log.not_kept(of, now).into_iter().take(most) {
            log.remove(&key);
        }
        if self.behind.is_some() {
            // Who has the file locked would be waited for here, for each kind.
            return Ok(self.taker.put_off(of, now, most));
        }
        // That the database cannot is no reason to keep nothing.
        let purged = self.taker.purge(of, now, most).map_err(SegmentError::Database);
        Ok(purged.unwrap_or_else(|error| {
            self.fall_behind(&error);
            None
        }))
    }

    fn commit(&mut self) -> Result<(), Failed<B>> {
        match &mut self.state {
            State::Alone(log) if log.frame.is_empty() => Ok(()),
            State::Alone(log) => {
                let written = self.segments.append(&mut log.frame);
                log.failed = written.is_err();
                written?;
                log.commit();
                Ok(())
            }
            State::Shared { .. } | State::Out => {
                self.taker.wait_for_database().commit().map_err(SegmentError::Database)
            }
        }
    }

    fn roll_back(&mut self) {
        match &mut self.state {
            State::Alone(log) => log.give_up(),
            State::Shared { .. } | State::Out => self.taker.wait_for_database().roll_back(),
        }
    }

    fn is_damage(error: &Failed<B>) -> bool {
        matches!(error, SegmentError::Database(error) if B::is_damage(error))
    }
}

impl<B: Backend> Drop for Segmented<B> {
    fn drop(&mut self) {
        if let State::Alone(log) = &mut self.state
            && let Err(error) = settle(&mut self.taker, &mut self.segments, log)
        {
            tracing::error!(%error, "what is in the log is taken over at the next start");
        }
    }
}
