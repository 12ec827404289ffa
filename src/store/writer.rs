//! One writer: whatever waits is committed together, and all who wait are told together.

mod batch;
#[cfg(test)]
mod simulation;

use crate::domain::clock::Timestamp;
use crate::domain::keep::Keep;
use crate::store::journal::{Admission, Admitted, StoreLost};
use crate::store::row::{Aggregate, Removal, Row, RowKey};
use batch::{Request, Told, commit};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

/// How many changes may wait; beyond it nothing is admitted.
const WAITING_MAX: usize = 65_536;

/// How many changes one commit takes at most.
const TOGETHER_MAX: usize = 1_024;

/// How many rows of a kind one commit purges, so that no payment waits long for it.
const PURGED_TOGETHER: usize = 500;

/// How long after a failed commit the next is tried.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// How long anybody waits for the database; then it counts as lost, and what it admits afterwards is given back.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// How long nothing must come until the database may put things in order.
const IDLE_AFTER: Duration = Duration::from_millis(100);

/// A database that keeps rows. One transaction at a time, begun and ended by the writer.
pub trait Backend: Send + 'static {
    /// Why something could not be kept.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Whether nobody else has written since it was opened, so that memory knows whatever is kept.
    fn alone(&self) -> bool {
        false
    }

    /// Nothing waits: a moment to put things in order. Says whether there is more to do.
    fn idle(&mut self) -> bool {
        false
    }

    /// From now on a transaction may be durable only with the first later one that is not so, but not without those before it.
    ///
    /// # Errors
    /// The database's.
    fn lazily(&mut self, _lazily: bool) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Every row of `of`, by name; where there are more than `most`, the last of them.
    ///
    /// # Errors
    /// The database's.
    fn load(
        &mut self,
        of: Aggregate,
        most: usize,
        each: &mut dyn FnMut(Row),
    ) -> Result<(), Self::Error>;

    /// Begins a transaction that no other writer's can interleave with.
    ///
    /// # Errors
    /// The database's.
    fn begin(&mut self) -> Result<(), Self::Error>;

    /// Those of the rows that there are.
    ///
    /// # Errors
    /// The database's.
    fn read(&mut self, keys: &[&RowKey]) -> Result<Vec<Row>, Self::Error>;

    /// The rows of `of`, one of [`Aggregate::PERSONAL`], that say that they are of one of `people`.
    ///
    /// # Errors
    /// The database's.
    fn find(&mut self, of: Aggregate, people: &[String]) -> Result<Vec<Row>, Self::Error>;

    /// Puts rows, no two of one key, in the place of any others with their keys.
    ///
    /// # Errors
    /// The database's.
    fn put(&mut self, rows: &[&Row]) -> Result<(), Self::Error>;

    /// Puts rows, no two of one key, unless their keys are taken; says of each whether it was put.
    ///
    /// # Errors
    /// The database's.
    fn claim(&mut self, rows: &[&Row]) -> Result<Vec<bool>, Self::Error>;

    /// Removes rows.
    ///
    /// # Errors
    /// The database's.
    fn remove(&mut self, rows: &[&Removal]) -> Result<(), Self::Error>;

    /// Removes at most `most` rows that are not kept beyond `now`.
    ///
    /// # Errors
    /// The database's.
    fn purge(&mut self, of: Aggregate, now: Timestamp, most: usize) -> Result<(), Self::Error>;

    /// Makes the transaction durable.
    ///
    /// # Errors
    /// The database's; then it is unknown whether it is.
    fn commit(&mut self) -> Result<(), Self::Error>;

    /// Gives the transaction up, if one is open.
    fn roll_back(&mut self);
}

/// Which rows are looked up.
#[derive(Clone, Debug)]
pub enum Look {
    /// Those with these keys.
    At(Vec<RowKey>),
    /// Whatever is kept of these people.
    Of(Vec<String>),
    /// Who was forgotten; only where another process may have been told, unless it is the `first` time.
    Forgotten {
        /// Whether one that crashed may have been told.
        first: bool,
    },
}

/// What waits to be committed.
enum Waiting {
    Put(Row),
    Remove(Removal),
    Purge(Timestamp, Keep),
    Admit(Box<Request>, oneshot::Sender<Result<Admitted, StoreLost>>),
    Read(Look, oneshot::Sender<Result<Vec<Row>, StoreLost>>),
    Flush(oneshot::Sender<Result<(), StoreLost>>),
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// Whether somebody waited in vain for the commit that is under way.
    hangs: bool,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What nobody waits for; beyond the limit it is given up, which the next commit that succeeds makes up for only where
    /// the row changes again.
    fn push(&self, queue: &mut Queue, waiting: Waiting) {
        if queue.waiting.len() < WAITING_MAX {
            queue.waiting.push(waiting);
            self.more.notify_one();
        } else {
            tracing::error!("the store is lost for too long: a change is not kept");
        }
    }
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
    /// Starts the thread; `on_commit` is told how long each commit took.
    ///
    /// # Errors
    /// The system's, where there can be no more threads.
    pub fn start<B: Backend>(
        backend: B,
        on_commit: impl Fn(Duration) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || run(backend, &theirs, &on_commit))?;
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

    /// Removes some of what `keep` does not keep beyond `now`; nothing while the queue is full.
    pub fn purge(&self, now: Timestamp, keep: Keep) {
        // A store that is lost is purged the next time.
        let _ = self.wait(Waiting::Purge(now, keep));
    }

    /// Admits a message.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn admit(&self, admission: &Admission) -> Result<Admitted, StoreLost> {
        let request = Box::new(Request::new(admission));
        self.told(|sender| Waiting::Admit(request, sender)).await
    }

    /// Those of the rows that there are, everything before being committed.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn read(&self, look: Look) -> Result<Vec<Row>, StoreLost> {
        self.told(|sender| Waiting::Read(look, sender)).await
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
        let (sender, receiver) = oneshot::channel();
        self.wait(waiting(sender))?;
        let Ok(told) = timeout(WAIT_MAX, receiver).await else {
            self.shared.lock().hangs = true;
            return Err(StoreLost);
        };
        told.map_err(|_| StoreLost)?
    }

    fn wait(&self, waiting: Waiting) -> Result<(), StoreLost> {
        let mut queue = self.shared.lock();
        // Where one waited in vain, nobody else need.
        if queue.closed || queue.hangs || queue.waiting.len() >= WAITING_MAX {
            return Err(StoreLost);
        }
        queue.waiting.push(waiting);
        self.shared.more.notify_one();
        Ok(())
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

fn run<B: Backend>(mut backend: B, shared: &Shared, on_commit: &dyn Fn(Duration)) {
    let (mut lost, mut busy) = (false, false);
    loop {
        let Some((batch, closed)) = take(shared, if busy { Duration::ZERO } else { IDLE_AFTER })
        else {
            busy = backend.idle();
            continue;
        };
        if batch.is_empty() {
            return;
        }
        let begun = Instant::now();
        match keep(&mut backend, shared, batch, closed) {
            Ok(()) => {
                on_commit(begun.elapsed());
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
) -> Result<(), B::Error> {
    let (again, kept) = match commit(backend, &batch) {
        Ok(told) => (tell(batch, told), Ok(())),
        Err(error) => {
            backend.roll_back();
            (refuse(batch), Err(error))
        }
    };
    let mut queue = shared.lock();
    queue.hangs = false;
    if kept.is_ok() || !closed {
        queue.waiting.splice(0..0, again);
    }
    drop(queue);
    kept
}

/// What waits, at most [`TOGETHER_MAX`], and nothing where nothing comes within `wait`; empty only when the writer is closed.
fn take(shared: &Shared, wait: Duration) -> Option<(Vec<Waiting>, bool)> {
    let queue = shared.lock();
    let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.closed;
    let waited = shared.more.wait_timeout_while(queue, wait, idle);
    let (mut queue, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
    if timed_out.timed_out() {
        return None;
    }
    let count = queue.waiting.len().min(TOGETHER_MAX);
    Some((queue.waiting.drain(..count).collect(), queue.closed))
}

/// Everything in the batch is durable. Who does not listen any more need not be told; but what was claimed for a message that
/// nobody forwards now is given back.
fn tell(batch: Vec<Waiting>, told: Told) -> Vec<Waiting> {
    let Told { verdicts, rows } = told;
    let (mut verdicts, mut rows) = (verdicts.into_iter(), rows.into_iter());
    let mut again = Vec::new();
    for waiting in batch {
        match waiting {
            Waiting::Put(_) | Waiting::Remove(_) | Waiting::Purge(..) => (),
            Waiting::Admit(request, sender) => {
                let verdict = verdicts.next().ok_or(StoreLost);
                if sender.send(verdict) == Err(Ok(Admitted::Yes)) {
                    again.extend(request.undone().map(Waiting::Remove));
                }
            }
            Waiting::Read(_, sender) => {
                let _ = sender.send(rows.next().ok_or(StoreLost));
            }
            Waiting::Flush(sender) => {
                let _ = sender.send(Ok(()));
            }
        }
    }
    again
}

/// Nothing in the batch is known to be durable: what must be tried again. A commit that failed may have happened all the
/// same, so what it claimed is given back, if it is ours.
fn refuse(batch: Vec<Waiting>) -> Vec<Waiting> {
    let mut again = Vec::new();
    for waiting in batch {
        match waiting {
            Waiting::Put(_) | Waiting::Remove(_) => again.push(waiting),
            Waiting::Purge(..) => (),
            Waiting::Admit(request, sender) => {
                again.extend(request.undone().map(Waiting::Remove));
                let _ = sender.send(Err(StoreLost));
            }
            Waiting::Read(_, sender) => {
                let _ = sender.send(Err(StoreLost));
            }
            Waiting::Flush(sender) => {
                let _ = sender.send(Err(StoreLost));
            }
        }
    }
    again
}
