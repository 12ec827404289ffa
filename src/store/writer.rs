//! One writer: whatever waits is committed together, and all who wait are told together.

use crate::domain::clock::Timestamp;
use crate::domain::payment::Mode;
use crate::store::journal::{Admission, Admitted, Leaving, StoreLost};
use crate::store::row::{Aggregate, Row};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How many changes may wait; beyond it nothing is admitted.
const WAITING_MAX: usize = 65_536;

/// How many changes one commit takes at most.
const TOGETHER_MAX: usize = 1_024;

/// How many rows of a kind one commit purges, so that no payment waits long for it.
const PURGED_TOGETHER: usize = 500;

/// How long after a failed commit the next is tried.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// A database that keeps rows. One transaction at a time, begun and ended by the writer.
pub trait Backend: Send + 'static {
    /// Why something could not be kept.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Every row of `of`, by key; of payments the newest `most`.
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

    /// Puts a row in the place of any other with its key.
    ///
    /// # Errors
    /// The database's.
    fn put(&mut self, row: &Row) -> Result<(), Self::Error>;

    /// Puts a row unless its key is taken; says whether it was put.
    ///
    /// # Errors
    /// The database's.
    fn claim(&mut self, row: &Row) -> Result<bool, Self::Error>;

    /// Removes a row; where `only` is given, only while it has this value.
    ///
    /// # Errors
    /// The database's.
    fn remove(&mut self, of: Aggregate, key: &str, only: Option<&str>) -> Result<(), Self::Error>;

    /// Whether there is a row with this key that is kept beyond `now`.
    ///
    /// # Errors
    /// The database's.
    fn stands(&mut self, of: Aggregate, key: &str, now: Timestamp) -> Result<bool, Self::Error>;

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

/// What waits to be committed.
enum Waiting {
    Put(Row),
    Remove { of: Aggregate, key: String, only: Option<String> },
    Purge(Timestamp),
    Admit(Box<Admission>, oneshot::Sender<Result<Admitted, StoreLost>>),
    Flush(oneshot::Sender<Result<(), StoreLost>>),
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
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
    pub fn write(&self, of: Aggregate, key: String, row: impl FnOnce(String) -> Option<Row>) {
        let mut queue = self.shared.lock();
        let change = match row(key.clone()) {
            Some(row) => Waiting::Put(row),
            None => Waiting::Remove { of, key, only: None },
        };
        self.shared.push(&mut queue, change);
    }

    /// Removes a row; where `only` is given, only while it has this value.
    pub fn remove(&self, of: Aggregate, key: String, only: Option<String>) {
        self.shared.push(&mut self.shared.lock(), Waiting::Remove { of, key, only });
    }

    /// Removes some of what is not kept beyond `now`; nothing while the queue is full.
    pub fn purge(&self, now: Timestamp) {
        // A store that is lost is purged the next time.
        let _ = self.wait(Waiting::Purge(now));
    }

    /// Admits a message.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn admit(&self, admission: Admission) -> Result<Admitted, StoreLost> {
        let (sender, receiver) = oneshot::channel();
        self.wait(Waiting::Admit(Box::new(admission), sender))?;
        receiver.await.map_err(|_| StoreLost)?
    }

    /// Waits until everything before is durable.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn flush(&self) -> Result<(), StoreLost> {
        let (sender, receiver) = oneshot::channel();
        self.wait(Waiting::Flush(sender))?;
        receiver.await.map_err(|_| StoreLost)?
    }

    fn wait(&self, waiting: Waiting) -> Result<(), StoreLost> {
        let mut queue = self.shared.lock();
        if queue.closed || queue.waiting.len() >= WAITING_MAX {
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
    let mut lost = false;
    loop {
        let (batch, closed) = take(shared);
        if batch.is_empty() {
            return;
        }
        let begun = Instant::now();
        match commit(&mut backend, &batch) {
            Ok(verdicts) => {
                on_commit(begun.elapsed());
                if std::mem::take(&mut lost) {
                    tracing::info!("the store can be written again");
                }
                tell(batch, verdicts);
            }
            Err(error) => {
                backend.roll_back();
                if !std::mem::replace(&mut lost, true) {
                    tracing::error!(%error, "the store cannot be written");
                }
                let again = refuse(batch);
                if closed {
                    return;
                }
                let mut queue = shared.lock();
                queue.waiting.splice(0..0, again);
                drop(shared.more.wait_timeout(queue, RETRY_AFTER));
            }
        }
    }
}

/// What waits, at most [`TOGETHER_MAX`]; empty only when the writer is closed.
fn take(shared: &Shared) -> (Vec<Waiting>, bool) {
    let queue = shared.lock();
    let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.closed;
    let mut queue = shared.more.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner);
    let count = queue.waiting.len().min(TOGETHER_MAX);
    (queue.waiting.drain(..count).collect(), queue.closed)
}

/// Commits a batch; what each admission in it found, in order.
fn commit<B: Backend>(backend: &mut B, batch: &[Waiting]) -> Result<Vec<Admitted>, B::Error> {
    let mut verdicts = Vec::new();
    backend.begin()?;
    for waiting in batch {
        match waiting {
            Waiting::Put(row) => backend.put(row)?,
            Waiting::Remove { of, key, only } => backend.remove(*of, key, only.as_deref())?,
            Waiting::Admit(admission, _) => verdicts.push(admit(backend, admission)?),
            Waiting::Purge(now) => Aggregate::ALL
                .into_iter()
                .try_for_each(|of| backend.purge(of, *now, PURGED_TOGETHER))?,
            Waiting::Flush(_) => (),
        }
    }
    backend.commit()?;
    Ok(verdicts)
}

fn admit<B: Backend>(backend: &mut B, admission: &Admission) -> Result<Admitted, B::Error> {
    let verdict = claim(backend, admission)?;
    if verdict == Admitted::Yes || admission.mode == Mode::Observe {
        for Leaving { record, expects, .. } in &admission.payments {
            let expectation = expects.then(|| Row::expectation(record)).flatten();
            for row in Row::payment(record).into_iter().chain(expectation) {
                backend.put(&row)?;
            }
        }
    }
    Ok(verdict)
}

/// Claims every order, or none.
fn claim<B: Backend>(backend: &mut B, admission: &Admission) -> Result<Admitted, B::Error> {
    let holds = admission.payments.iter().flat_map(|payment| &payment.holds);
    for hold in holds {
        if backend.stands(Aggregate::Holds, &hold.to_string(), admission.now)? {
            return Ok(Admitted::Held);
        }
    }
    let mut claimed: Vec<Row> = Vec::new();
    for row in admission.payments.iter().filter_map(Leaving::claim) {
        if backend.claim(&row)? {
            claimed.push(row);
        } else {
            for row in claimed {
                backend.remove(row.of, &row.key, None)?;
            }
            return Ok(Admitted::AlreadySent);
        }
    }
    Ok(Admitted::Yes)
}

/// Everything in the batch is durable. Who does not listen any more need not be told.
fn tell(batch: Vec<Waiting>, verdicts: Vec<Admitted>) {
    let mut verdicts = verdicts.into_iter();
    for waiting in batch {
        match waiting {
            Waiting::Put(_) | Waiting::Remove { .. } | Waiting::Purge(_) => (),
            Waiting::Admit(_, sender) => {
                let _ = sender.send(verdicts.next().ok_or(StoreLost));
            }
            Waiting::Flush(sender) => {
                let _ = sender.send(Ok(()));
            }
        }
    }
}

/// Nothing in the batch is known to be durable: what must be tried again. A commit that failed may have happened all the
/// same, so what it claimed is given back, if it is ours.
fn refuse(batch: Vec<Waiting>) -> Vec<Waiting> {
    let mut again = Vec::new();
    for waiting in batch {
        match waiting {
            Waiting::Put(_) | Waiting::Remove { .. } => again.push(waiting),
            Waiting::Purge(_) => (),
            Waiting::Admit(admission, sender) => {
                let rows = admission.payments.iter().flat_map(|leaving| {
                    [leaving.claim(), Row::expectation(&leaving.record)].into_iter().flatten()
                });
                again.extend(rows.map(|Row { of, key, value, .. }| Waiting::Remove {
                    of,
                    key,
                    only: Some(value),
                }));
                let _ = sender.send(Err(StoreLost));
            }
            Waiting::Flush(sender) => {
                let _ = sender.send(Err(StoreLost));
            }
        }
    }
    again
}
