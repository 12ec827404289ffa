//! The database behind the log: it takes segments over on a thread of its own, so that no commit waits for its pages and syncs.

use super::SegmentError;
use super::log::{Latest, Segment};
use crate::store::row::{Removal, RowKey};
use crate::store::writer::Backend;
use rustix::process::setpriority_process;
use rustix::thread::gettid;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// How many rows the database takes over in one transaction: what its pages come to is no more than it has in memory.
const TAKEN_TOGETHER: usize = 1_024;

/// How nice the thread is to others: enough to keep pace where payments leave no processor idle, at a tenth of one.
const NICE: i32 = 10;

type Taken<B> = Result<(), <B as Backend>::Error>;

/// How far the database is with a segment.
#[derive(Debug)]
enum Taking<B: Backend> {
    Under(JoinHandle<Taken<B>>),
    Done(Taken<B>),
}

/// A database that takes over segments.
#[derive(Debug)]
pub(super) struct Taker<B: Backend> {
    /// By which is looked up meanwhile; closed before the database.
    reader: Option<B>,
    database: Arc<Mutex<B>>,
    taking: Option<Taking<B>>,
}

/// Has the database make the changes of a segment. When that has succeeded, they are durable.
pub(super) fn take_over<B: Backend>(database: &mut B, segment: &Segment) -> Taken<B> {
    let changes = segment.sorted();
    let mut parts = changes.chunks(TAKEN_TOGETHER).peekable();
    while let Some(part) = parts.next() {
        // The last makes all of them durable.
        database.lazily(parts.peek().is_some())?;
        let taken = take_part(database, part);
        if taken.is_err() {
            database.roll_back();
            return taken;
        }
    }
    database.idle();
    Ok(())
}

fn take_part<B: Backend>(database: &mut B, changes: &[(&RowKey, Latest<'_>)]) -> Taken<B> {
    let (mut rows, mut removals) = (Vec::new(), Vec::new());
    for (key, latest) in changes {
        match latest.row(key) {
            Some(row) => rows.push(row),
            None => removals.push(Removal { key: (*key).clone(), only: None }),
        }
    }
    database.begin()?;
    database.put(&rows.iter().collect::<Vec<_>>())?;
    database.remove(&removals.iter().collect::<Vec<_>>())?;
    database.commit()
}

impl<B: Backend> Taker<B> {
    pub(super) fn new(database: B) -> Self {
        let reader = database.reader();
        Self { reader, database: Arc::new(Mutex::new(database)), taking: None }
    }

    /// The database, once it has taken over what it is at.
    pub(super) fn database(&self) -> MutexGuard<'_, B> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks something up. What the database takes over meanwhile may be there or not.
    ///
    /// # Errors
    /// The database's.
    pub(super) fn look<T>(
        &mut self,
        look: impl FnOnce(&mut B) -> Result<T, B::Error>,
    ) -> Result<T, SegmentError<B::Error>> {
        let looked = match (&self.taking, &mut self.reader) {
            (Some(Taking::Under(_)), Some(reader)) => look(reader),
            (Some(_) | None, _) => look(&mut self.database()),
        };
        looked.map_err(SegmentError::Database)
    }

    /// Begins to take a segment over; what was begun before is over.
    pub(super) fn take(&mut self, segment: &Arc<Segment>) {
        let begun = self.reader.as_ref().map(|_| {
            let (database, segment) = (self.database.clone(), segment.clone());
            let take = move || {
                // Whoever commits goes first.
                let _ = setpriority_process(Some(gettid()), NICE);
                let mut database = database.lock().unwrap_or_else(PoisonError::into_inner);
                take_over(&mut *database, &segment)
            };
            thread::Builder::new().name("takeover".to_owned()).spawn(take)
        });
        self.taking = Some(match begun {
            Some(Ok(thread)) => Taking::Under(thread),
            // Where there can be no more threads, a commit waits.
            Some(Err(_)) | None => Taking::Done(take_over(&mut *self.database(), segment)),
        });
    }

    /// Whether it is at one.
    pub(super) fn is_busy(&self) -> bool {
        matches!(&self.taking, Some(Taking::Under(thread)) if !thread.is_finished())
    }

    /// What came of the segment that was begun, once.
    pub(super) fn wait(&mut self) -> Option<Result<(), SegmentError<B::Error>>> {
        let taken = match self.taking.take()? {
            Taking::Under(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Taking::Done(taken) => taken,
        };
        Some(taken.map_err(SegmentError::Database))
    }
}
