//! One writer: whatever waits is committed together, and all who wait are told together.

mod backend;
mod batch;
mod look;
#[cfg(test)]
pub(in crate::store) mod model;
mod queue;
#[cfg(test)]
mod simulation;
mod told;

use crate::domain::clock::Timestamp;
use crate::domain::keep::Keep;
use crate::store::audit::Note;
use crate::store::concordance::Counting;
use crate::store::journal::{Admission, Admitted, StoreLost};
use crate::store::memory::amend::Amend;
use crate::store::reserve::{Reservation, Reserved};
use crate::store::row::{Removal, Row, RowKey};
use crate::store::shelf::Swap;
pub(in crate::store) use backend::transact;
pub use backend::{Backend, By, Ended};
pub use batch::note;
use batch::{Request, commit};
pub use look::Look;
use queue::{Call, Called, Shared, take};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use told::{refuse, refuse_flush, tell};

/// How many changes may wait; beyond it nothing is admitted.
const WAITING_MAX: usize = 65_536;

/// How many changes one commit takes at most.
const TOGETHER_MAX: usize = 1_024;

/// How often who calls the writer lets all others go first, while more come to be committed each time.
const PASSES_MAX: usize = 4;

/// How many rows of a kind one commit purges, so that no payment waits long for it.
const PURGED_TOGETHER: usize = 500;

/// How long after a failed commit the next is tried.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// How long anybody waits for the database; then it counts as lost, and what it admits afterwards is given back.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// How long nothing must come until the database may put things in order.
const IDLE_AFTER: Duration = Duration::from_millis(100);

/// How long what nobody waits for is left for others to join, where nobody else has the store: a commit of its own costs a sync.
const LINGER: Duration = Duration::from_millis(10);

/// What who has the store is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Changes became durable, within this time.
    Committed(Duration),
    /// So many bytes of what is durable are in a log before the database only.
    Logged(u64),
    /// Something was refused, given up or stepped over, for a row that is not as it was written.
    Damaged,
}

/// A change of one row.
#[derive(Debug)]
pub(super) enum Change {
    /// It is put.
    Put(Row),
    /// It goes.
    Remove(Removal),
}

/// What waits to be committed.
enum Waiting {
    Put(Row),
    Remove(Removal),
    /// A row, and what changes in the same commit.
    PutWith(Row, Change),
    Amend(Amend),
    Count(Box<Counting>),
    Purge(Timestamp, Keep),
    /// Given back to who made it, with what was found.
    Admit(Box<Request>, oneshot::Sender<Result<(Admitted, Box<Request>), StoreLost>>),
    Reserve(Box<Reservation>, oneshot::Sender<Result<Reserved, StoreLost>>),
    Read(Look, oneshot::Sender<Result<Vec<Row>, StoreLost>>),
    Swap(Swap, oneshot::Sender<Result<bool, StoreLost>>),
    /// Told once; tried again it is nobody's to hear of.
    Note(Note, Option<oneshot::Sender<Result<(), StoreLost>>>),
    Flush(oneshot::Sender<Result<(), StoreLost>>),
}

/// The writer's handle; when it is dropped, what waits is committed and the thread ends.
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("waiting", &self.shared.lock().waiting.len())
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the thread; `tell` is told what happens.
    ///
    /// # Errors
    /// The system's, where there can be no more threads.
    pub fn start<B: Backend>(
        backend: B,
        tell: impl Fn(Event) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || run(backend, &theirs, &tell))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Puts the row that `row` yields, if any. It is read under the queue's lock, so that of two changes to one key the later
    /// one is written later.
    pub fn put(&self, row: impl FnOnce() -> Option<Row>) {
        let mut queue = self.shared.lock();
        if let Some(row) = row() {
            self.shared.push(&mut queue, Waiting::Put(row));
        }
    }

    /// As [`Self::put`], and what changes `beside` it, if anything, in the same commit.
    pub(super) fn put_with(&self, row: impl FnOnce() -> Option<Row>, beside: Option<Change>) {
        let mut queue = self.shared.lock();
        let change = match (row(), beside) {
            (Some(row), Some(beside)) => Waiting::PutWith(row, beside),
            (Some(row), None) | (None, Some(Change::Put(row))) => Waiting::Put(row),
            (None, Some(Change::Remove(removal))) => Waiting::Remove(removal),
            (None, None) => return,
        };
        self.shared.push(&mut queue, change);
    }

    /// Puts the row that `row` yields for `key`, and removes what is kept for it where it yields none.
    pub fn write(&self, key: RowKey, row: impl FnOnce(RowKey) -> Option<Row>) {
        let mut queue = self.shared.lock();
        let change = match row(key.clone()) {
            Some(row) => Waiting::Put(row),
            None => Waiting::Remove(Removal { key, only: None }),
        };
        self.shared.push(&mut queue, change);
    }

    /// Removes a row.
    pub fn remove(&self, removal: Removal) {
        self.shared.push(&mut self.shared.lock(), Waiting::Remove(removal));
    }

    /// Changes a row that memory does not know.
    pub(super) fn amend(&self, amend: Amend) {
        self.shared.push(&mut self.shared.lock(), Waiting::Amend(amend));
    }

    /// Counts a sample where it is kept, unless its evidence was counted there.
    pub(super) fn count(&self, counting: Counting) {
        self.shared.push(&mut self.shared.lock(), Waiting::Count(Box::new(counting)));
    }

    /// Removes some of what `keep` does not keep beyond `now`; nothing while the queue is full.
    pub fn purge(&self, now: Timestamp, keep: Keep) {
        // A store that is lost is purged the next time.
        let _ = self.wait(Waiting::Purge(now, keep));
    }

    /// Admits a message; yields the rows of its payments, too, in their order.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn admit(&self, admission: &Admission) -> Result<(Admitted, Vec<Row>), StoreLost> {
        let request = Box::new(Request::new(admission));
        let (admitted, request) = self.told(|sender| Waiting::Admit(request, sender)).await?;
        Ok((admitted, request.payments))
    }

    /// Keeps a question and what it takes, if that is to be had.
    ///
    /// # Errors
    /// [`StoreLost`]: it must not be put.
    pub async fn reserve(&self, reservation: &Reservation) -> Result<Reserved, StoreLost> {
        let reservation = Box::new(reservation.clone());
        self.told(|sender| Waiting::Reserve(reservation, sender)).await
    }

    /// Those of the rows that there are, everything before being committed.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn read(&self, look: Look) -> Result<Vec<Row>, StoreLost> {
        self.told(|sender| Waiting::Read(look, sender)).await
    }

    /// Changes a row if it is as is told, everything before being committed.
    ///
    /// # Errors
    /// [`StoreLost`]: it is not tried again, and may have been changed.
    pub(super) async fn swap(&self, swap: Swap) -> Result<bool, StoreLost> {
        self.told(|sender| Waiting::Swap(swap, sender)).await
    }

    /// Notes what was done, with everything before it.
    ///
    /// # Errors
    /// [`StoreLost`]: it is tried again, unless it is said that a change is not kept.
    pub async fn note(&self, note: Note) -> Result<(), StoreLost> {
        self.told(|sender| Waiting::Note(note, Some(sender))).await
    }

    /// Waits until everything before is durable.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn flush(&self) -> Result<(), StoreLost> {
        self.told(Waiting::Flush).await
    }

    async fn told<T>(
        &self,
        waiting: impl FnOnce(oneshot::Sender<Result<T, StoreLost>>) -> Waiting,
    ) -> Result<T, StoreLost> {
        let (sender, mut receiver) = oneshot::channel();
        let call = self.wait(waiting(sender))?;
        if call.is_some() {
            // Everything else that has come may be in the same commit, and what comes meanwhile.
            let mut urgent = 1;
            for _ in 0..PASSES_MAX {
                tokio::task::yield_now().await;
                let before = std::mem::replace(&mut urgent, self.shared.lock().urgent);
                if urgent <= before {
                    break;
                }
            }
        }
        drop(call);
        if let Ok(told) = timeout(WAIT_MAX, &mut receiver).await {
            return told.map_err(|_| StoreLost)?;
        }
        self.shared.lock().hangs = true;
        // What was told in the last moment counts: the writer takes back only what it could not tell.
        receiver.close();
        receiver.try_recv().unwrap_or(Err(StoreLost))
    }

    fn wait(&self, waiting: Waiting) -> Result<Option<Call<'_>>, StoreLost> {
        let mut queue = self.shared.lock();
        // Where one waited in vain, nobody else need.
        if queue.closed || queue.hangs || queue.waiting.len() >= WAITING_MAX {
            return Err(StoreLost);
        }
        Ok(self.shared.add(&mut queue, waiting).then(|| Call(&self.shared)))
    }
}

#[cfg(test)]
impl Writer {
    /// A writer without a thread.
    pub(in crate::store) fn by_hand() -> Self {
        Self { shared: Arc::default(), thread: None }
    }

    /// Commits what waits, where anything does; whether that succeeded and nothing waits any more.
    pub(in crate::store) fn commit<B: Backend>(&self, backend: &mut B) -> bool {
        let waits = || !self.shared.lock().waiting.is_empty();
        if !waits() {
            return true;
        }
        let Some((batch, closed)) = take(&self.shared, Duration::ZERO, Duration::ZERO) else {
            return false;
        };
        keep(backend, &self.shared, batch, closed, &|_| ()).is_ok() && !waits()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.more.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's thread panicked");
        }
    }
}

fn run<B: Backend>(mut backend: B, shared: &Shared, on: &dyn Fn(Event)) {
    let mut lost = false;
    loop {
        // Another process may look for it.
        let linger = if backend.alone() { LINGER } else { Duration::ZERO };
        let Some((batch, closed)) = take(shared, IDLE_AFTER, linger) else {
            backend.idle();
            on(Event::Logged(backend.logged()));
            continue;
        };
        if batch.is_empty() {
            return;
        }
        let begun = Instant::now();
        match keep(&mut backend, shared, batch, closed, on) {
            Ok(()) => {
                on(Event::Committed(begun.elapsed()));
                on(Event::Logged(backend.logged()));
                if std::mem::take(&mut lost) {
                    tracing::info!("the store can be written again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut lost, true) {
                    tracing::error!(%error, "the store cannot be written");
                }
                if closed {
                    return;
                }
                let queue = shared.lock();
                // What the remedy waits for is time, whatever else comes meanwhile.
                drop(shared.more.wait_timeout_while(queue, RETRY_AFTER, |queue| !queue.closed));
            }
        }
    }
}

/// Commits a batch and tells who waits; what must be done after it comes before all that waits by then.
fn keep<B: Backend>(
    backend: &mut B,
    shared: &Shared,
    batch: Vec<Waiting>,
    closed: bool,
    on: &dyn Fn(Event),
) -> Result<(), B::Error> {
    let mut again = Vec::new();
    let kept = keep_parts(backend, batch, &mut again, &mut false, on);
    let mut queue = shared.lock();
    queue.hangs = false;
    if kept.is_ok() || !closed {
        // What is given back, or tried again, has waited for long enough.
        if !again.is_empty() {
            (queue.urgent, queue.called) = (queue.urgent.max(1), Called::Now);
        }
        queue.waiting.splice(0..0, again);
    }
    drop(queue);
    kept
}

/// Commits what waits together; where a row of it is damaged, in ever smaller parts, until only what needs that row is left out.
/// `again` takes what is to be tried again, and `lacks` says whether a change is given up, so that what came before is not all kept.
fn keep_parts<B: Backend>(
    backend: &mut B,
    mut batch: Vec<Waiting>,
    again: &mut Vec<Waiting>,
    lacks: &mut bool,
    on: &dyn Fn(Event),
) -> Result<(), B::Error> {
    if *lacks {
        batch.retain_mut(|waiting| !refuse_flush(waiting));
    }
    let error = match commit(backend, &batch) {
        Ok(told) => {
            for damaged in &told.damaged {
                on(Event::Damaged);
                tracing::error!("{damaged}; it is stepped over");
            }
            again.extend(tell(batch, told));
            return Ok(());
        }
        Err(error) => error,
    };
    backend.roll_back();
    if !B::is_damage(&error) {
        again.extend(refuse(batch));
        return Err(error);
    }
    if batch.len() > 1 {
        let rest = batch.split_off(batch.len() / 2);
        let first = keep_parts(backend, batch, again, lacks, on);
        if first.is_err() {
            again.extend(refuse(rest));
            return first;
        }
        return keep_parts(backend, rest, again, lacks, on);
    }
    on(Event::Damaged);
    tracing::error!(%error, "what needs this row is refused, and not kept");
    for waiting in refuse(batch) {
        // Nobody waits for it; as long as the row is there, it would fail again. Nothing rests on a count.
        *lacks |= !matches!(waiting, Waiting::Remove(_) | Waiting::Count(_));
    }
    Ok(())
}
