//! The verification service over a store that is lost for a moment: what is paid for is kept, and what is not kept is not claimed.

use crate::clients::{
    alone, answer, ask, ended, knows_businesses, lines, merchant, onboards, stand, terms, wanted,
};
use crate::{World, world_over};
use hefu::domain::answer::Answer;
use hefu::domain::clock::{Clock as _, Timestamp};
use hefu::service::clients::batches::LEASE;
use hefu::service::clients::onboarding::Merchant;
use hefu::service::clients::quota::Quota;
use hefu::service::clients::room::Room;
use hefu::service::clients::{AskError, Over, Terms, Wanted};
use hefu::service::webhook::Delivery;
use hefu::service::{Binding, Settings};
use hefu::store::batch::Work;
use hefu::store::journal::StoreLost;
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::onboarding::Stand;
use hefu::store::row::{Aggregate, Damaged, Removal, Row, RowKey};
use hefu::store::shelf::{Found, Range};
use hefu::store::sqlite::{self, Sqlite};
use hefu::store::verification::{State, Verification};
use hefu::store::writer::{Backend, By};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tempfile::TempDir;

/// How a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Fails,
    /// It happens, and says that it did not: a connection that is lost at the wrong moment.
    Lies,
}

/// Which commits fail: those that put a row with a word in its name or value, or remove one with it in its name, so many of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fault(Arc<Mutex<Vec<Strike>>>, Arc<Looks>);

/// Looks at ranges of rows: of which kind, and from where. Those at accounts may fail, and the next may wait.
#[derive(Debug, Default)]
struct Looks {
    all: Mutex<Vec<(Aggregate, String)>>,
    fail: AtomicBool,
    wait: Mutex<Option<mpsc::Receiver<()>>>,
}

#[derive(Clone, Copy, Debug)]
struct Strike {
    word: &'static str,
    removes: bool,
    how: How,
    /// How many are still to fail.
    left: usize,
    /// How many met it, failed or not.
    met: usize,
}

impl Fault {
    /// Commits that put such a row, and no others.
    pub(crate) fn strike(&self, word: &'static str, how: How, times: usize) {
        let removes = false;
        *self.0.lock().unwrap() = vec![Strike { word, removes, how, left: times, met: 0 }];
    }

    /// Commits that remove such a row as well.
    fn strike_removal(&self, word: &'static str, times: usize) {
        let (removes, how) = (true, How::Fails);
        self.0.lock().unwrap().push(Strike { word, removes, how, left: times, met: 0 });
    }

    /// No commit fails any more.
    fn heal(&self) {
        self.0.lock().unwrap().iter_mut().for_each(|strike| strike.left = 0);
    }

    /// How often somebody looked at rows of a kind whose names begin so.
    pub(crate) fn looks(&self, of: Aggregate, begin: &str) -> usize {
        let all = self.1.all.lock().unwrap();
        all.iter().filter(|(kind, from)| *kind == of && from.starts_with(begin)).count()
    }

    /// Whether looks at accounts fail from now on.
    pub(crate) fn hide(&self, fail: bool) {
        self.1.fail.store(fail, Ordering::Relaxed);
    }

    /// The next look at accounts waits, and all after it, until what this yields is gone.
    pub(crate) fn wait(&self) -> mpsc::Sender<()> {
        let (sender, receiver) = mpsc::channel();
        *self.1.wait.lock().unwrap() = Some(receiver);
        sender
    }

    /// How many are still to fail, of the first kind.
    fn left(&self) -> usize {
        self.0.lock().unwrap()[0].left
    }

    /// How many commits were of the last kind.
    fn met(&self) -> usize {
        self.0.lock().unwrap().last().unwrap().met
    }

    /// Which strikes a commit meets that puts or removes this.
    fn meets(&self, removes: bool, texts: [&str; 2]) -> Vec<usize> {
        let strikes = self.0.lock().unwrap();
        let meets = |strike: &Strike| {
            strike.removes == removes && texts.iter().any(|text| text.contains(strike.word))
        };
        strikes.iter().enumerate().filter(|(_, it)| meets(it)).map(|(at, _)| at).collect()
    }

    /// How a commit fails that meets these.
    fn next(&self, met: &[usize]) -> Option<How> {
        let mut strikes = self.0.lock().unwrap();
        let mut how = None;
        for at in met {
            let Some(strike) = strikes.get_mut(*at) else { continue };
            strike.met += 1;
            if how.is_none() && strike.left > 0 {
                strike.left -= 1;
                how = Some(strike.how);
            }
        }
        how
    }
}

struct Faulty {
    inner: Sqlite,
    fault: Fault,
    met: Vec<usize>,
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
        let Looks { all, fail, wait } = &*self.fault.1;
        all.lock().unwrap().push((range.of, range.from.clone()));
        if range.of == Aggregate::Accounts {
            if fail.load(Ordering::Relaxed) {
                return Err(Failed::Injected);
            }
            let gone = wait.lock().unwrap().take();
            if let Some(gone) = gone {
                let _ = gone.recv();
            }
        }
        Ok(self.inner.range(range)?)
    }

    fn begin(&mut self) -> Result<(), Failed> {
        self.met.clear();
        Ok(self.inner.begin()?)
    }

    fn read(&mut self, keys: &[&RowKey]) -> Result<Vec<Row>, Failed> {
        Ok(self.inner.read(keys)?)
    }

    fn find(&mut self, of: Aggregate, by: By, whose: &[String]) -> Result<Vec<Row>, Failed> {
        Ok(self.inner.find(of, by, whose)?)
    }

    fn put(&mut self, rows: &[&Row]) -> Result<(), Failed> {
        for row in rows {
            self.met.extend(self.fault.meets(false, [&row.key.name, &row.value]));
        }
        Ok(self.inner.put(rows)?)
    }

    fn claim(&mut self, rows: &[&Row]) -> Result<Vec<bool>, Failed> {
        Ok(self.inner.claim(rows)?)
    }

    fn remove(&mut self, rows: &[&Removal]) -> Result<(), Failed> {
        for row in rows {
            self.met.extend(self.fault.meets(true, [&row.key.name, ""]));
        }
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
        self.met.sort_unstable();
        self.met.dedup();
        match self.fault.next(&self.met) {
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
    let (store, fault) = failing_store(dir);
    (Arc::new(world_over(store, Binding::Enforce(100), Settings::default())), fault)
}

/// A store that fails as is told.
pub(crate) fn failing_store(dir: &Path) -> (MemoryStore, Fault) {
    let fault = Fault::default();
    fault.strike("", How::Fails, 0);
    let inner = Sqlite::open(&dir.join("hefu.db")).unwrap();
    let backend = Faulty { inner, fault: fault.clone(), met: Vec::new() };
    (MemoryStore::open(Limits::default(), backend, |_| ()).unwrap(), fault)
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
    let page = known.service.verifications_of(&client.name, None, 9).await.unwrap().found;
    assert_eq!((page.len(), known.service.is_uncertain(&page[0])), (1, false));
    world.later(Duration::from_mins(2));
    let lost = tokio::time::timeout(Duration::from_secs(20), asking).await.unwrap().unwrap();
    assert_eq!(lost.unwrap_err(), AskError::Store(StoreLost));
    fault.strike("", How::Fails, 0);
    let known = ask(&world, &client, "a", 0).await;
    assert_eq!((answer(&known), world.service.is_uncertain(&known)), (None, true));
    assert_eq!((world.first.asked(), counted(&world, &client).await), (1, (0, 0, 1)));
}

/// Nobody asked under a key of which was not known whether it is taken: it is there for the same again, and neither stands in a
/// statement nor takes of what may be verified.
#[tokio::test]
async fn a_key_that_may_have_been_taken_is_there_for_the_same_again() {
    // Who comes again may not wait any more.
    for (how, later) in
        [(How::Fails, false), (How::Lies, false), (How::Fails, true), (How::Lies, true)]
    {
        let dir = TempDir::new().unwrap();
        let (world, fault) = failing(dir.path());
        let quota = Quota { day: Some(4), month: None };
        let client = Arc::new(Terms { quota, ..alone("alone") });
        fault.strike("key\n", how, 1);
        let lost = world.service.verify_for(&client, wanted("a", 0), ()).await;
        assert_eq!(lost.unwrap_err(), AskError::Store(StoreLost), "{how:?}");
        assert_eq!(world.first.asked(), 0);
        let again = async {
            loop {
                let again = Wanted { later, ..wanted("a", 0) };
                match world.service.verify_for(&client, again, ()).await {
                    Ok((known, _)) if answer(&known).is_some() => break known,
                    // It may be found before it is given back.
                    Ok(_) | Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        let again = tokio::time::timeout(Duration::from_secs(20), again).await;
        assert_eq!(answer(&again.expect("it is asked")), Some(Answer::Match), "{how:?}");
        assert_eq!((world.first.asked(), counted(&world, &client).await), (1, (1, 0, 0)));
        // Nor has a batch that was not begun.
        let post = async || {
            let room = Room::new(8);
            world.service.batch_for(&client, lines("b", &[0, 0, 0]), room, ()).await
        };
        fault.strike("key\n", how, 1);
        assert_eq!(post().await.unwrap_err(), AskError::Store(StoreLost), "{how:?}");
        let again = async {
            loop {
                tokio::task::yield_now().await;
                let Ok(batch) = post().await else { continue };
                if world.service.lines_of(&batch).await.unwrap().len() == 3 {
                    break batch;
                }
            }
        };
        let again = tokio::time::timeout(Duration::from_secs(20), again).await;
        let batch = ended(&world, &again.expect("it is asked")).await;
        assert_eq!(stand(&world, &batch).await, "match match match", "{how:?}");
        let more = world.service.verify_for(&client, wanted("c", 0), ()).await;
        assert_eq!(more.unwrap_err(), AskError::Over(Over::Day));
    }
}

/// Where another process went on with what a key led to, the key stays with it, and what was counted stays counted.
#[tokio::test]
async fn a_key_is_not_given_back_where_another_went_on_with_what_it_led_to() {
    let dir = TempDir::new().unwrap();
    let (world, fault) = failing(dir.path());
    let quota = Quota { day: Some(3), month: None };
    let client = Arc::new(Terms { quota, ..alone("alone") });
    let post = async |world: &World| {
        let room = Room::new(8);
        world.service.batch_for(&client, lines("b", &[0, 1, 2]), room, ()).await
    };
    // It is kept, and it is not known that it is; nor can it be taken back for a while.
    fault.strike("key\n", How::Lies, 1);
    fault.strike_removal("batch\n", usize::MAX);
    assert_eq!(post(&world).await.unwrap_err(), AskError::Store(StoreLost));
    while fault.met() == 0 {
        tokio::task::yield_now().await;
    }
    // Another process finds it left, and goes on with it.
    let other = beside(dir.path());
    other.later(LEASE + Duration::from_secs(1));
    let looks = || fault.looks(Aggregate::ClientUse, "batch\n");
    let before = looks();
    let batch = post(&other).await.unwrap();
    let batch = ended(&other, &batch).await;
    assert_eq!(stand(&other, &batch).await, "match match match");
    let asked = other.first.asked();
    fault.heal();
    let tried = async {
        // It is found that the row is another's.
        while looks() == before {
            tokio::task::yield_now().await;
        }
        // Whatever follows that at once is over when this is kept.
        for _ in 0..3 {
            world.service.store.flush().await.unwrap();
            world.service.batch_of(&client.name, batch.id).await.unwrap().unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), tried).await.unwrap();
    let again = post(&other).await.unwrap();
    assert_eq!((again.id, other.first.asked()), (batch.id, asked), "its key stands for it");
    let more = other.service.verify_for(&client, wanted("c", 0), ()).await;
    assert_eq!(more.unwrap_err(), AskError::Over(Over::Day), "it stays counted");
}

/// A step that was kept late is known as one's own, whether or not the commit that failed had happened.
#[tokio::test]
async fn an_onboarding_goes_on_though_the_store_was_lost_at_a_step() {
    for how in [How::Fails, How::Lies] {
        let dir = TempDir::new().unwrap();
        let (mut world, fault) = failing(dir.path());
        knows_businesses(Arc::get_mut(&mut world).unwrap());
        let client = Arc::new(onboards("lender", Quota::default()));
        // Each of its rows but the first tells of a verification.
        fault.strike("\"verification\":", how, 3);
        let done = world.service.onboard_for(&client, merchant("a"), ()).await.unwrap();
        assert_eq!((done.stand(world.clock.now()), fault.left()), (Stand::Approved, 0), "{how:?}");
        let kept = world.service.onboarding_of(&client.name, done.id).await.unwrap();
        assert_eq!(kept, Some(done), "{how:?}");
        assert_eq!((world.first.asked(), world.second.asked()), (1, 2), "{how:?}");
    }
}

/// What is done and what is told of it are one commit: who looks elsewhere finds both, or none.
#[tokio::test]
async fn what_a_client_is_told_of_is_kept_with_what_it_is_told() {
    let dir = TempDir::new().unwrap();
    let (world, fault) = failing(dir.path());
    let client = Arc::new(Terms { is_told: true, ..alone("told") });
    let there = beside(dir.path());
    let told = async || {
        let hooks = there.service.to_tell_whom(Some(&client.name), 10).await.unwrap();
        hooks.into_iter().map(|hook| hook.body).collect::<Vec<_>>()
    };
    fault.strike("verification_done", How::Fails, 3);
    let later = Wanted { later: true, ..wanted("a", 0) };
    let (begun, _) = world.service.verify_for(&client, later, ()).await.unwrap();
    let done = async {
        loop {
            let found = there.service.verification_of(&client.name, begun.id).await.unwrap();
            match found.map(|it: Verification| it.state) {
                Some(State::Done(_)) => break,
                Some(State::Asking { .. }) | None => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), done).await.unwrap();
    let bodies = told().await;
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert!(bodies[0].contains("verification_done") && bodies[0].contains(&begun.id.to_string()));
    fault.strike("batch_done", How::Fails, 3);
    let room = Room::new(8);
    let batch = world.service.batch_for(&client, lines("b", &[0, 1]), room, ()).await.unwrap();
    ended(&there, &batch).await;
    let bodies = told().await;
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert!(bodies[0].contains("batch_done") && bodies[0].contains(&batch.id.to_string()));
}

/// As is an onboarding, where nobody waits for it.
#[tokio::test]
async fn an_onboarding_is_kept_with_what_is_told_of_it() {
    let dir = TempDir::new().unwrap();
    let (mut world, fault) = failing(dir.path());
    knows_businesses(Arc::get_mut(&mut world).unwrap());
    let client = Arc::new(Terms { is_told: true, ..onboards("told", Quota::default()) });
    let there = beside(dir.path());
    fault.strike("onboarding_done", How::Fails, 3);
    let later = Merchant { later: true, ..merchant("a") };
    let begun = world.service.onboard_for(&client, later, ()).await.unwrap();
    assert_eq!(begun.stand(world.clock.now()), Stand::Working);
    let over = async {
        loop {
            let found = there.service.onboarding_of(&client.name, begun.id).await.unwrap().unwrap();
            if found.work == Work::Ended {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    let over = tokio::time::timeout(Duration::from_secs(20), over).await.unwrap();
    assert_eq!((over.stand(world.clock.now()), fault.left()), (Stand::Approved, 0));
    let hooks = there.service.to_tell_whom(Some(&client.name), 10).await.unwrap();
    assert_eq!(hooks.len(), 1, "{hooks:?}");
    let body: serde_json::Value = serde_json::from_str(&hooks[0].body).unwrap();
    assert_eq!((&body["event"], &body["status"]), (&"onboarding_done".into(), &"approved".into()));
    assert_eq!(body["onboarding"], begun.id.to_string());
}

/// As operations' are: all of them, or those that are named.
#[tokio::test]
async fn what_a_client_did_not_take_for_days_is_told_again_when_somebody_asks() {
    let world = crate::world();
    let client = Arc::new(Terms { is_told: true, ..alone("told") });
    let to = Some(&client.name);
    for key in ["a", "b"] {
        let later = Wanted { later: true, ..wanted(key, 0) };
        let (begun, _) = world.service.verify_for(&client, later, ()).await.unwrap();
        while answer(&ask(&world, &client, key, 0).await).is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.client, client.name);
    }
    let mut waiting = Vec::new();
    while waiting.len() < 2 {
        waiting.extend(world.service.to_tell_whom(to, 10).await.unwrap());
    }
    world.later(Duration::from_hours(73));
    for hook in world.service.to_tell_whom(to, 10).await.unwrap() {
        let failed = Delivery::Failed("timed out".to_owned());
        world.service.told_of(&hook, failed).await.unwrap();
    }
    assert_eq!(world.service.to_tell_whom(to, 10).await.unwrap(), []);
    assert_eq!(world.service.redeliver(Some(&[waiting[1].id])).await, Ok(1));
    let again = world.service.to_tell_whom(to, 10).await.unwrap();
    assert_eq!(again.iter().map(|hook| hook.id).collect::<Vec<_>>(), [waiting[1].id]);
    assert_eq!(world.service.redeliver(None).await, Ok(1));
    let again = world.service.to_tell_whom(to, 10).await.unwrap();
    assert_eq!(again.iter().map(|hook| hook.id).collect::<Vec<_>>(), [waiting[0].id]);
    // What is told to a client is told to nobody else.
    assert_eq!(world.service.to_tell(10).await.unwrap(), []);
}

/// Around midnight one replica is at the next day while another is still at the last one: what a day has is had once.
#[tokio::test]
async fn clocks_that_differ_at_midnight_give_no_day_twice() {
    let dir = TempDir::new().unwrap();
    let (ahead, behind) = (beside(dir.path()), beside(dir.path()));
    let quota = Quota { day: Some(3), month: None };
    let client = Arc::new(Terms { quota, ..alone("few") });
    // A second after 2023-11-15, 24:00 in China, and one before.
    ahead.later(Duration::from_secs(64_001));
    behind.later(Duration::from_secs(63_999));
    let asks = async |world: &World, key: &str| {
        let came = world.service.verify_for(&client, wanted(key, 0), ()).await;
        came.map(drop).map_err(|error| error == AskError::Over(Over::Day))
    };
    for (key, world, expected) in [
        ("a", &behind, Ok(())),
        ("b", &ahead, Ok(())),
        ("c", &behind, Ok(())),
        ("d", &ahead, Ok(())),
        ("e", &ahead, Err(true)),
        ("f", &behind, Err(true)),
        ("g", &ahead, Err(true)),
    ] {
        assert_eq!(asks(world, key).await, expected, "{key}");
    }
}
