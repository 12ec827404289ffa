//! The verification service over a store that is lost for a moment: what is paid for is kept.

use crate::clients::{answer, ask, ended, lines, stand, terms, wanted};
use crate::{World, world_over};
use hefu::domain::answer::Answer;
use hefu::domain::clock::Timestamp;
use hefu::service::clients::room::Room;
use hefu::service::clients::{AskError, Terms};
use hefu::service::{Binding, Settings};
use hefu::store::journal::StoreLost;
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::row::{Aggregate, Damaged, Removal, Row, RowKey};
use hefu::store::shelf::{Found, Range};
use hefu::store::sqlite::{self, Sqlite};
use hefu::store::writer::{Backend, By};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// How a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Fails,
    /// It happens, and says that it did not: a connection that is lost at the wrong moment.
    Lies,
}

/// Which commits fail: those that put a row with a word in its name or value, so many of them.
#[derive(Clone, Debug, Default)]
struct Fault(Arc<Mutex<(&'static str, Option<How>, usize)>>);

impl Fault {
    fn strike(&self, word: &'static str, how: How, times: usize) {
        *self.0.lock().unwrap() = (word, Some(how), times);
    }

    /// How many are still to fail.
    fn left(&self) -> usize {
        self.0.lock().unwrap().2
    }

    fn meets(&self, row: &Row) -> bool {
        let (word, ..) = *self.0.lock().unwrap();
        row.key.name.contains(word) || row.value.contains(word)
    }

    fn next(&self) -> Option<How> {
        let (_, how, left) = &mut *self.0.lock().unwrap();
        *left = left.checked_sub(1)?;
        *how
    }
}

struct Faulty {
    inner: Sqlite,
    fault: Fault,
    met: bool,
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Inner(#[from] sqlite::Error),
    #[error("injected")]
    Injected,
}

impl Backend for Faulty {
    type Error = Failed;

    fn load(
        &mut self,
        of: Aggregate,
        most: usize,
        each: &mut dyn FnMut(Row),
    ) -> Result<(), Failed> {
        Ok(self.inner.load(of, most, each)?)
    }

    fn range(&mut self, range: &Range) -> Result<Found, Failed> {
        Ok(self.inner.range(range)?)
    }

    fn begin(&mut self) -> Result<(), Failed> {
        self.met = false;
        Ok(self.inner.begin()?)
    }

    fn read(&mut self, keys: &[&RowKey]) -> Result<Vec<Row>, Failed> {
        Ok(self.inner.read(keys)?)
    }

    fn find(&mut self, of: Aggregate, by: By, whose: &[String]) -> Result<Vec<Row>, Failed> {
        Ok(self.inner.find(of, by, whose)?)
    }

    fn put(&mut self, rows: &[&Row]) -> Result<(), Failed> {
        self.met |= rows.iter().any(|row| self.fault.meets(row));
        Ok(self.inner.put(rows)?)
    }

    fn claim(&mut self, rows: &[&Row]) -> Result<Vec<bool>, Failed> {
        Ok(self.inner.claim(rows)?)
    }

    fn remove(&mut self, rows: &[&Removal]) -> Result<(), Failed> {
        Ok(self.inner.remove(rows)?)
    }

    fn purge(
        &mut self,
        of: Aggregate,
        now: Timestamp,
        most: usize,
    ) -> Result<Option<Damaged>, Failed> {
        Ok(self.inner.purge(of, now, most)?)
    }

    fn commit(&mut self) -> Result<(), Failed> {
        match if self.met { self.fault.next() } else { None } {
            None => Ok(self.inner.commit()?),
            Some(How::Fails) => Err(Failed::Injected),
            Some(How::Lies) => self.inner.commit().map_err(Failed::from).and(Err(Failed::Injected)),
        }
    }

    fn roll_back(&mut self) {
        self.inner.roll_back();
    }
}

/// A world whose store fails as is told.
fn failing(dir: &Path) -> (Arc<World>, Fault) {
    let fault = Fault::default();
    fault.strike("", How::Fails, 0);
    let inner = Sqlite::open(&dir.join("hefu.db")).unwrap();
    let backend = Faulty { inner, fault: fault.clone(), met: false };
    let store = MemoryStore::open(Limits::default(), backend, |_| ()).unwrap();
    (Arc::new(world_over(store, Binding::Enforce(100), Settings::default())), fault)
}

/// Another one over the same file.
fn beside(dir: &Path) -> World {
    let backend = Sqlite::open(&dir.join("hefu.db")).unwrap();
    let store = MemoryStore::open(Limits::default(), backend, |_| ()).unwrap();
    world_over(store, Binding::Enforce(100), Settings::default())
}

/// What a month came to: charged, free, and open.
async fn counted(world: &World, client: &Terms) -> (u64, u64, u64) {
    let lines = world.service.statement_of(client, "2023-11".parse().unwrap()).await.unwrap();
    lines.iter().fold((0, 0, 0), |sum, line| {
        let counts = line.counts;
        (sum.0 + counts.charged, sum.1 + counts.free, sum.2 + counts.open)
    })
}

/// What was asked was paid for: it is told and charged once the store is back, whether or not the commit that failed had happened.
#[tokio::test]
async fn what_was_answered_is_kept_though_the_store_was_lost() {
    for how in [How::Fails, How::Lies] {
        let dir = TempDir::new().unwrap();
        let ((world, fault), client) = (failing(dir.path()), terms("alone"));
        fault.strike("\"done\"", how, 2);
        let told = ask(&world, &client, "a", 0).await;
        assert_eq!(answer(&told), Some(Answer::Match), "{how:?}");
        let kept = world.service.verification_of(&client.name, told.id).await.unwrap();
        assert_eq!(kept, Some(told), "{how:?}");
        assert_eq!((world.first.asked(), counted(&world, &client).await), (1, (1, 0, 0)));
        // Nor is a batch left for it. One after the other, since no question can be kept with what is lost.
        fault.strike("\"done\"", how, 2);
        let room = Room::new(1);
        let batch = world.service.batch_for(&client, lines("b", &[0, 1, 2]), room, ()).await;
        let there = beside(dir.path());
        let batch = ended(&there, &batch.unwrap()).await;
        assert_eq!(stand(&there, &batch).await, "match match match", "{how:?}");
        assert_eq!((world.first.asked(), counted(&there, &client).await), (3, (4, 0, 0)));
    }
}

/// It is tried for as long as somebody may still be asking; then it is uncertain, and nobody pays for it.
#[tokio::test]
async fn what_cannot_be_kept_in_time_is_uncertain() {
    let dir = TempDir::new().unwrap();
    let ((world, fault), client) = (failing(dir.path()), terms("alone"));
    fault.strike("\"done\"", How::Fails, 1_000_000);
    let asking = tokio::spawn({
        let (world, client) = (world.clone(), client.clone());
        async move { world.service.verify_for(&client, wanted("a", 0), ()).await }
    });
    while fault.left() == 1_000_000 {
        tokio::task::yield_now().await;
    }
    let known = beside(dir.path());
    let page = known.service.verifications_of(&client.name, None, 9).await.unwrap();
    assert_eq!((page.len(), known.service.is_uncertain(&page[0])), (1, false));
    world.later(Duration::from_mins(2));
    let lost = tokio::time::timeout(Duration::from_secs(20), asking).await.unwrap().unwrap();
    assert_eq!(lost.unwrap_err(), AskError::Store(StoreLost));
    fault.strike("", How::Fails, 0);
    let known = ask(&world, &client, "a", 0).await;
    assert_eq!((answer(&known), world.service.is_uncertain(&known)), (None, true));
    assert_eq!((world.first.asked(), counted(&world, &client).await), (1, (0, 0, 1)));
}
