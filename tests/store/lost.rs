//! A database that fails: nothing is admitted on its word, nothing that was put is lost, and it goes on by itself.

use crate::skipped::skipped;
use crate::values::{NOW, admission, channel, evidence, leaving, tuple};
use hefu::domain::answer::Answer;
use hefu::domain::clock::Timestamp;
use hefu::domain::payment::Mode;
use hefu::store::journal::{Admission, Admitted, Journal as _, StoreLost};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::row::{Aggregate, Damaged, Removal, Row, RowKey};
use hefu::store::sqlite::{self, Sqlite};
use hefu::store::writer::{Backend, By, Event};
use hefu::store::{EvidenceStore as _, PaymentStore as _};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use tempfile::TempDir;

/// What happens at a commit.
const WORKS: u8 = 0;
const FAILS: u8 = 1;
/// It happens, and says that it did not: a connection that is lost at the wrong moment.
const LIES: u8 = 2;

/// It takes for ever: a disk that stalls, a server behind a network that swallows.
const HANGS: u8 = 3;

struct Faulty {
    inner: Sqlite,
    fault: Arc<AtomicU8>,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Inner(#[from] sqlite::Error),
    #[error("injected")]
    Injected,
}

impl Backend for Faulty {
    type Error = Fault;

    fn load(&mut self, of: Aggregate, most: usize, each: &mut dyn FnMut(Row)) -> Result<(), Fault> {
        Ok(self.inner.load(of, most, each)?)
    }

    fn begin(&mut self) -> Result<(), Fault> {
        Ok(self.inner.begin()?)
    }

    fn read(&mut self, keys: &[&RowKey]) -> Result<Vec<Row>, Fault> {
        Ok(self.inner.read(keys)?)
    }

    fn find(&mut self, of: Aggregate, by: By, whose: &[String]) -> Result<Vec<Row>, Fault> {
        Ok(self.inner.find(of, by, whose)?)
    }

    fn put(&mut self, rows: &[&Row]) -> Result<(), Fault> {
        Ok(self.inner.put(rows)?)
    }

    fn claim(&mut self, rows: &[&Row]) -> Result<Vec<bool>, Fault> {
        Ok(self.inner.claim(rows)?)
    }

    fn remove(&mut self, rows: &[&Removal]) -> Result<(), Fault> {
        Ok(self.inner.remove(rows)?)
    }

    fn purge(
        &mut self,
        of: Aggregate,
        now: Timestamp,
        most: usize,
    ) -> Result<Option<Damaged>, Fault> {
        Ok(self.inner.purge(of, now, most)?)
    }

    fn commit(&mut self) -> Result<(), Fault> {
        match self.fault.load(Ordering::Relaxed) {
            FAILS => Err(Fault::Injected),
            HANGS => {
                while self.fault.load(Ordering::Relaxed) == HANGS {
                    thread::yield_now();
                }
                Ok(self.inner.commit()?)
            }
            LIES => self.inner.commit().map_err(Fault::from).and(Err(Fault::Injected)),
            _ => Ok(self.inner.commit()?),
        }
    }

    fn roll_back(&mut self) {
        self.inner.roll_back();
    }
}

struct World {
    store: MemoryStore,
    fault: Arc<AtomicU8>,
    path: PathBuf,
    _dir: TempDir,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("hefu.db");
        let fault = Arc::new(AtomicU8::new(WORKS));
        let backend = Faulty { inner: Sqlite::open(&path).unwrap(), fault: fault.clone() };
        let store = MemoryStore::open(Limits::default(), backend, |_| ()).unwrap();
        Self { store, fault, path, _dir: dir }
    }

    fn set(&self, fault: u8) {
        self.fault.store(fault, Ordering::Relaxed);
    }

    /// Waits until the writer can write again.
    async fn recovered(&self) {
        self.set(WORKS);
        while self.store.flush().await.is_err() {}
    }

    fn restarted(self) -> MemoryStore {
        let Self { store, path, _dir, .. } = self;
        drop(store);
        MemoryStore::open(Limits::default(), sqlite::open(&path).unwrap(), |_| ()).unwrap()
    }
}

#[tokio::test]
async fn nothing_is_admitted_that_may_not_be_durable() {
    for fault in [FAILS, LIES] {
        let world = World::new();
        world.set(fault);
        let told = world.store.admit(admission(vec![leaving(1, "a")])).await;
        assert_eq!(told, Err(StoreLost));
        assert_eq!(world.store.expectations(&channel()), 0);
        world.recovered().await;
        // Whether it happened or not, the order did not leave, and may come again.
        let again = world.store.admit(admission(vec![leaving(2, "a")])).await;
        assert_eq!(again, Ok(Admitted::Yes), "fault {fault}");
        let store = world.restarted();
        assert_eq!(store.expectations(&channel()), 1, "fault {fault}");
    }
}

#[tokio::test]
async fn what_is_put_while_the_store_is_lost_is_kept_when_it_is_back() {
    let world = World::new();
    world.set(FAILS);
    world.store.put_evidence(tuple(1), None, evidence(Answer::Match));
    assert_eq!(world.store.flush().await, Err(StoreLost));
    let observed =
        Admission { mode: Mode::Observe, ..admission(vec![leaving(1, "a"), leaving(2, "b")]) };
    assert_eq!(world.store.admit(observed).await, Err(StoreLost));
    assert_eq!(world.store.expectations(&channel()), 2, "what leaves all the same is owed");
    world.recovered().await;
    let store = world.restarted();
    assert!(store.evidence(&tuple(1), &channel(), None, NOW).is_some());
    assert_eq!(store.expectations(&channel()), 2);
}

/// A file system of two megabytes, where this machine lets us make one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new() -> Option<Self> {
        let disk = Self(TempDir::new().unwrap());
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m", "hefu-test"]).arg(disk.0.path());
        mount.output().is_ok_and(|made| made.status.success()).then_some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_resumes_by_itself() {
    let Some(disk) = SmallDisk::new() else {
        return skipped("a full disk: this user may not mount a small tmpfs");
    };
    let path = disk.0.path().join("hefu.db");
    let open =
        || MemoryStore::open(Limits::default(), sqlite::open(&path).unwrap(), |_| ()).unwrap();
    let store = open();
    let admit = async |number: u128| {
        store.admit(admission(vec![leaving(number, &number.to_string())])).await
    };
    assert_eq!(admit(0).await, Ok(Admitted::Yes));
    let filler = disk.0.path().join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    // The log may have room for some.
    let mut left = 1;
    while admit(left).await == Ok(Admitted::Yes) {
        left += 1;
        assert!(left < 10_000, "the disk is not full");
    }
    assert_eq!(admit(left + 1).await, Err(StoreLost));
    fs::remove_file(&filler).unwrap();
    drop(file);
    while store.flush().await.is_err() {}
    for number in [left, left + 1] {
        assert_eq!(admit(number).await, Ok(Admitted::Yes), "what did not leave may come again");
    }
    drop(store);
    let again = open().admit(admission(vec![leaving(99_999, "0")])).await;
    assert_eq!(again, Ok(Admitted::AlreadySent));
}

/// That the database takes nothing over was an error in the log, once, until nothing was kept any more.
#[tokio::test]
async fn what_the_database_has_not_taken_over_is_told() {
    let dir = TempDir::new().unwrap();
    let (told, heard) = mpsc::channel();
    let tell = move |event| {
        let _ = told.send(event);
    };
    let backend = sqlite::open(&dir.path().join("hefu.db")).unwrap();
    let store = MemoryStore::open(Limits::default(), backend, tell).unwrap();
    assert_eq!(store.admit(admission(vec![leaving(1, "1")])).await, Ok(Admitted::Yes));
    let mut logged = heard.iter().filter_map(|event| match event {
        Event::Logged(bytes) => Some(bytes),
        Event::Committed(_) | Event::Damaged => None,
    });
    assert!(logged.any(|bytes| bytes > 0));
    // Where nothing comes, it does so now.
    assert!(logged.any(|bytes| bytes == 0));
}

#[tokio::test]
async fn a_store_on_a_read_only_file_system_is_not_opened() {
    let Some(disk) = SmallDisk::new() else {
        return skipped("a read-only file system: this user may not mount a small tmpfs");
    };
    let path = disk.0.path().join("hefu.db");
    let remount = |how: &str| {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{how}")]).arg(disk.0.path());
        mount.output().is_ok_and(|made| made.status.success())
    };
    // A file that is open for writing keeps a file system from being read-only: here it is so from the start.
    drop(sqlite::open(&path).unwrap());
    assert!(remount("ro"));
    assert!(sqlite::open(&path).is_err(), "a store that cannot be written is not opened");
    assert!(remount("rw"));
    let store = MemoryStore::open(Limits::default(), sqlite::open(&path).unwrap(), |_| ()).unwrap();
    assert_eq!(store.admit(admission(vec![leaving(1, "1")])).await, Ok(Admitted::Yes));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_and_what_is_admitted_too_late_is_given_back() {
    let world = World::new();
    world.set(HANGS);
    let told = world.store.admit(admission(vec![leaving(1, "a")])).await;
    assert_eq!(told, Err(StoreLost));
    tokio::time::resume();
    // Who comes after that does not wait at all.
    {
        let mut next = pin!(world.store.admit(admission(vec![leaving(3, "b")])));
        assert_eq!(futures::poll!(&mut next), Poll::Ready(Err(StoreLost)));
    }
    world.recovered().await;
    let again = world.store.admit(admission(vec![leaving(2, "a")])).await;
    assert_eq!(again, Ok(Admitted::Yes));
    assert_eq!(world.restarted().expectations(&channel()), 1);
}

/// One that waits behind a commit that hangs leaves in `observe` all the same: that it is owed is not taken back when it is
/// admitted at last.
#[tokio::test(start_paused = true)]
async fn what_left_while_a_commit_hung_is_owed() {
    let world = World::new();
    let observed = |number, name: &str| Admission {
        mode: Mode::Observe,
        ..admission(vec![leaving(number, name)])
    };
    world.set(HANGS);
    let (first, second) =
        tokio::join!(world.store.admit(observed(1, "a")), world.store.admit(observed(2, "b")));
    assert_eq!((first, second), (Err(StoreLost), Err(StoreLost)));
    tokio::time::resume();
    world.recovered().await;
    world.store.flush().await.unwrap();
    assert_eq!(world.restarted().expectations(&channel()), 2);
}
