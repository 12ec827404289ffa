//! Over a database: what is kept before something leaves, and what happens while it cannot be.

use crate::{World, person, world_over};
use hefu::domain::answer::Answer;
use hefu::provider::Trouble;
use hefu::service::overdue::{Promises, Swept};
use hefu::service::{Binding, Settings};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::sqlite::Sqlite;
use rusqlite::Connection;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A world over a file, without a log in front of it, and another's view of that file.
pub(crate) fn world_over_file() -> (TempDir, Arc<World>, Connection) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("hefu.db");
    let backend = Sqlite::open(&path).unwrap();
    let store = MemoryStore::open(Limits::default(), backend, |_| ()).unwrap();
    let world = world_over(store, Binding::Enforce(100), Settings::default());
    (dir, Arc::new(world), Connection::open(path).unwrap())
}

fn kept(file: &Connection, table: &str) -> Vec<String> {
    let sql = format!("SELECT value FROM {table} ORDER BY key");
    let mut rows = file.prepare(&sql).unwrap();
    rows.query_map((), |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// It may be billed from the moment at which it is sent; each provider that is asked is one charge.
#[tokio::test]
async fn an_inquiry_is_kept_before_it_is_sent() {
    let (_dir, world, file) = world_over_file();
    world.first.will_not(Answer::Unavailable, Trouble::Silence);
    let all = world.first.gate.acquire_many(1000).await.unwrap();
    let waiting = world.clone();
    let waiting = tokio::spawn(async move { waiting.send(&World::debit("1", 0), "ok").await });
    while world.first.asked() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((kept(&file, "inquiries").len(), kept(&file, "charges").len()), (1, 0));
    assert_eq!(world.service.store.open_inquiries().len(), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(200)).await;
    tokio::time::resume();
    drop(all);
    assert!(waiting.await.unwrap().starts_with("decision: permit"));
    world.service.store.flush().await.unwrap();
    assert!(kept(&file, "inquiries").is_empty() && world.service.store.open_inquiries().is_empty());
    let charges = kept(&file, "charges");
    let of = |provider: &str, answer: &str| {
        let says = |charge: &&String| {
            charge.contains(&format!("\"provider\":\"{provider}\"")) && charge.contains(answer)
        };
        charges.iter().filter(says).count()
    };
    assert_eq!((charges.len(), of("first", "unavailable"), of("second", "match")), (2, 1, 1));
    let took = |charge: &String| {
        let charge: serde_json::Value = serde_json::from_str(charge).unwrap();
        charge["inquiry"]["provider"] == "first" && charge["took_ms"].as_u64().unwrap() >= 200
    };
    assert!(charges.iter().any(took), "{charges:?}");
}

/// Another keeps the file locked for longer than anybody waits.
#[tokio::test(start_paused = true)]
async fn nobody_is_asked_and_no_money_leaves_while_the_store_is_lost() {
    let (_dir, world, file) = world_over_file();
    let known = World::debit("1", 0);
    tokio::time::resume();
    assert!(world.send(&known, "ok").await.starts_with("decision: permit"));
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    tokio::time::pause();
    let asked = world.first.asked();
    let unknown = world.send(&World::debit("2", 1), "ok").await;
    assert!(unknown.starts_with("503 "), "{unknown}");
    assert_eq!(world.first.asked() + world.second.asked(), asked, "asked without a record");
    assert_eq!(world.send(&World::debit("3", 0), "ok").await, "503 store_lost []");
    // What is never refused passes all the same.
    let query = world.send(r#""type":"query","order":"1""#, "ok").await;
    assert!(query.starts_with("decision: permit"), "{query}");
    file.execute_batch("ROLLBACK").unwrap();
    tokio::time::resume();
    while world.service.store.flush().await.is_err() {}
    for (order, phone) in [("2", 1), ("3", 0)] {
        let again = world.send(&World::debit(order, phone), "ok").await;
        assert!(again.starts_with("decision: permit"), "{again}");
    }
}

/// Of four outcomes that are overdue, what is owed or what is known of it is damaged for two: the others are found all the same.
#[tokio::test]
async fn one_damaged_row_does_not_stop_a_sweep() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("hefu.db");
    // With room for what is not damaged.
    let limits = Limits { records: 2, ..Limits::default() };
    let store = MemoryStore::open(limits, Sqlite::open(&path).unwrap(), |_| ()).unwrap();
    let world = world_over(store, Binding::Enforce(100), Settings::default());
    for order in ["1", "2", "3", "4"] {
        world.send(&World::debit(order, 0), "taken").await;
        // Ids of one instant are in no order, and what memory has room for goes by when it came.
        world.later(Duration::from_millis(1));
    }
    world.service.store.flush().await.unwrap();
    let file = Connection::open(path).unwrap();
    for (table, nth) in [("expectations", 0), ("payments", 1)] {
        let key = format!("(SELECT key FROM {table} ORDER BY key LIMIT 1 OFFSET {nth})");
        let sql = format!("UPDATE {table} SET until = until + 1 WHERE key = {key}");
        assert_eq!(file.execute(&sql, ()).unwrap(), 1);
    }
    world.later(Duration::from_hours(24));
    let mut swept = Swept::default();
    assert_eq!(world.service.sweep(&Promises::default(), &mut swept).await, Ok(2));
    assert_eq!(world.service.sweep(&Promises::default(), &mut swept).await, Ok(0));
}

/// The end of a payment was kept, and a crash came before its expectation was closed: when that was due it was told to be missing,
/// and nothing closed it.
#[tokio::test]
async fn what_ended_before_a_crash_is_not_missing_after_it() {
    let (_dir, world, file) = world_over_file();
    world.send(&World::debit("1", 0), "taken").await;
    world.service.store.flush().await.unwrap();
    file.execute("CREATE TABLE saved AS SELECT * FROM expectations", ()).unwrap();
    world.query("1", "ok", "ok").await;
    world.service.store.flush().await.unwrap();
    assert_eq!(kept(&file, "expectations").len(), 0);
    file.execute("INSERT INTO expectations SELECT * FROM saved", ()).unwrap();
    world.later(Duration::from_hours(24));
    let mut swept = Swept::default();
    assert_eq!(world.service.sweep(&Promises::default(), &mut swept).await, Ok(0));
    world.service.store.flush().await.unwrap();
    assert_eq!(kept(&file, "expectations").len(), 0);
}

/// A card's secret may be asked for each time: what was verified with one is no evidence, and no fingerprint is made of it.
#[tokio::test]
async fn what_was_verified_with_a_secret_is_not_kept() {
    for (kind, secret, kept_of_it) in [("verify", "", 1), ("verify_secret", r#","cvv2":"123""#, 0)]
    {
        let (_dir, world, file) = world_over_file();
        let verify = format!(r#""type":"{kind}","order":"v",{}{secret}"#, person(0));
        assert!(world.send(&verify, "ok").await.contains("outcome: succeeded"));
        world.service.store.flush().await.unwrap();
        assert_eq!(kept(&file, "evidence").len(), kept_of_it, "{kind}");
        // What was kept is used again, and what was not is asked for.
        assert!(world.send(&World::debit("1", 0), "ok").await.starts_with("decision: permit"));
        assert_eq!(world.first.asked() == 0, kept_of_it == 1, "{kind}");
    }
}
