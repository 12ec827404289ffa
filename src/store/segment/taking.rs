//! The database behind the log: it takes segments over on a thread of its own, so that no commit waits for its pages and
//! syncs while it keeps up.

use super::SegmentError;
use super::log::{Latest, Segment};
use crate::domain::clock::Timestamp;
use crate::store::row::{Aggregate, Damaged, Removal, RowKey};
use crate::store::writer::{Backend, transact};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// How many rows the database takes over in one transaction: so many payments fit into the pages that `SQLite` keeps in memory.
const TAKEN_TOGETHER: usize = if cfg!(test) { 8 } else { 1_024 };

/// How much nicer the thread is than those who commit. It still has a quarter of a processor beside one that never sleeps, which is
/// more than twice what it needs then.
const NICER: i32 = 5;

type Taken<B> = Result<Option<Damaged>, <B as Backend>::Error>;

/// What is not kept any more: of each kind, beyond when, and how many at most are to go.
type Purges = BTreeMap<Aggregate, (Timestamp, usize)>;

/// What the database has been told to take over.
#[derive(Debug)]
enum Taking<B: Backend> {
    UnderWay(JoinHandle<Taken<B>>),
    Done(Taken<B>),
}

/// A database that takes over segments.
#[derive(Debug)]
pub(super) struct Taker<B: Backend> {
    /// By which is looked up meanwhile. Closed first: the last that is closed removes `SQLite`'s own log.
    reader: Option<B>,
    database: Arc<Mutex<B>>,
    taking: Option<Taking<B>>,
    /// What is to be purged once the next segment is taken over.
    purges: Purges,
    /// A row of which nobody knows whether it is to be purged.
    damaged: Option<Damaged>,
}

/// Has the database make the changes of a segment. When that has succeeded, they are durable.
pub(super) fn take_over<B: Backend>(database: &mut B, segment: &Segment) -> Result<(), B::Error> {
    let changes = segment.sorted();
    let mut parts = changes.chunks(TAKEN_TOGETHER).peekable();
    while let Some(part) = parts.next() {
        // The last makes all of them durable.
        database.lazily(parts.peek().is_some())?;
        transact(database, |database| take_part(database, part))?;
    }
    // So is the note of it.
    database.idle();
    Ok(())
}

fn take_part<B: Backend>(
    database: &mut B,
    changes: &[(RowKey, Latest<'_>)],
) -> Result<(), B::Error> {
    let (mut rows, mut removals) = (Vec::new(), Vec::new());
    for (key, latest) in changes {
        match latest.row(key) {
            Some(row) => rows.push(row),
            None => removals.push(Removal { key: key.clone(), only: None }),
        }
    }
    database.put(&rows.iter().collect::<Vec<_>>())?;
    database.remove(&removals.iter().collect::<Vec<_>>())
}

fn purge<B: Backend>(
    database: &mut B,
    (of, (now, most)): (Aggregate, (Timestamp, usize)),
) -> Taken<B> {
    transact(database, |database| database.purge(of, now, most))
}

impl<B: Backend> Taker<B> {
    pub(super) fn new(database: B) -> Self {
        let reader = database.reader();
        let database = Arc::new(Mutex::new(database));
        Self { reader, database, taking: None, purges: Purges::new(), damaged: None }
    }

    /// The database; waits for all of a segment, where one is being taken over.
    pub(super) fn wait_for_database(&self) -> MutexGuard<'_, B> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks something up. What is being taken over may be there or not.
    ///
    /// # Errors
    /// The database's.
    pub(super) fn look<T>(
        &mut self,
        look: impl FnOnce(&mut B) -> Result<T, B::Error>,
    ) -> Result<T, SegmentError<B::Error>> {
        let looked = match (&self.taking, &mut self.reader) {
            (Some(Taking::UnderWay(_)), Some(reader)) => look(reader),
            (Some(_) | None, _) => look(&mut self.wait_for_database()),
        };
        looked.map_err(SegmentError::Database)
    }

    /// Begins to take a segment over; what was begun before is over.
    pub(super) fn take(&mut self, segment: &Arc<Segment>) {
        let purges = std::mem::take(&mut self.purges);
        let (database, segment) = (self.database.clone(), segment.clone());
        let take = move || {
            let mut database = database.lock().unwrap_or_else(PoisonError::into_inner);
            take_over(&mut *database, &segment)?;
            // What cannot be purged now is the next time.
            let damaged = purges.into_iter().filter_map(|one| purge(&mut *database, one).ok()?);
            Ok(damaged.collect::<Vec<_>>().pop())
        };
        let nicely = {
            let take = take.clone();
            move || {
                if let Err(error) = rustix::process::nice(NICER) {
                    tracing::debug!(%error, "the database's thread is not nicer than others");
                }
                take()
            }
        };
        let begun = self
            .reader
            .as_ref()
            .map(|_| thread::Builder::new().name("takeover".to_owned()).spawn(nicely));
        self.taking = Some(match begun {
            Some(Ok(thread)) => Taking::UnderWay(thread),
            // Where there can be no more threads, a commit waits.
            Some(Err(_)) | None => Taking::Done(take()),
        });
    }

    /// Whether it is at one.
    pub(super) fn is_busy(&self) -> bool {
        matches!(&self.taking, Some(Taking::UnderWay(thread)) if !thread.is_finished())
    }

    /// What came of the segment that was begun, once; waits for it.
    pub(super) fn wait(&mut self) -> Option<Result<(), SegmentError<B::Error>>> {
        let taken = match self.taking.take()? {
            Taking::UnderWay(thread) => thread.join(),
            Taking::Done(taken) => Ok(taken),
        };
        Some(match taken {
            Ok(Ok(damaged)) => {
                self.damaged = damaged;
                Ok(())
            }
            Ok(Err(error)) => Err(SegmentError::Database(error)),
            Err(_) => {
                self.wait_for_database().roll_back();
                Err(SegmentError::Panicked)
            }
        })
    }

    /// Removes what is not kept beyond `now` after the next segment; yields a row of which nobody knows whether it is.
    pub(super) fn put_off(
        &mut self,
        of: Aggregate,
        now: Timestamp,
        most: usize,
    ) -> Option<Damaged> {
        self.purges.insert(of, (now, most));
        self.damaged.take()
    }

    /// Removes what is not kept beyond `now`, at once or, where a segment is being taken over, after the next; yields a row of which nobody
    /// knows whether it is, as soon as one is known.
    ///
    /// # Errors
    /// The database's.
    pub(super) fn purge(&mut self, of: Aggregate, now: Timestamp, most: usize) -> Taken<B> {
        if self.is_busy() {
            return Ok(self.put_off(of, now, most));
        }
        let damaged = purge(&mut *self.wait_for_database(), (of, (now, most)))?;
        Ok(damaged.or(self.damaged.take()))
    }
}
