//! Something changed what is kept: it is said, and never served.

use crate::cluster::{Cluster, apart};
use crate::place::{Place, key, place_of};
use crate::values::{NOW, admission, braking, channel, evidence, hold, leaving, payment, tuple};
use hefu::domain::answer::Answer;
use hefu::domain::clock::Timestamp;
use hefu::domain::keep::Keep;
use hefu::reconcile::hold::{HoldKey, Holding};
use hefu::store::journal::{Admitted, Journal as _, Leaving, Need, StoreLost};
use hefu::store::keys;
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::postgres::Postgres;
use hefu::store::row::{Aggregate, Row, RowKey};
use hefu::store::shelf::{PAGE_MAX, Range, ShelfStore as _, Swap};
use hefu::store::sqlite::{self, Sqlite};
use hefu::store::writer::{Backend, Event};
use hefu::store::{EvidenceStore as _, HoldStore as _, PaymentStore as _};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// What may happen to a row, each of which leaves it a row: a bit of its value, its end, its key.
const CHANGES: [&str; 4] = [
    "UPDATE {table} SET value = replace(value, 'false', 'true ')",
    "UPDATE {table} SET value = replace(value, '17', '16')",
    "UPDATE {table} SET until = until + 1",
    "UPDATE {table} SET key = replace(key, 'b', 'c')",
];

fn row(of: Aggregate) -> Row {
    let key = RowKey { of, name: "a\nb".to_owned() };
    Row { key, until: Some(NOW), value: r#"{"closed":false,"n":17}"#.to_owned() }
}

/// Has every change found in every table, wherever the row is read.
fn check<B: Backend>(mut backend: B, sql: &dyn Fn(&str)) {
    for of in Aggregate::ALL {
        for change in CHANGES {
            let row = row(of);
            backend.begin().unwrap();
            backend.put(&[&row]).unwrap();
            backend.commit().unwrap();
            backend.begin().unwrap();
            assert_eq!(backend.read(&[&row.key]).unwrap(), std::slice::from_ref(&row));
            backend.commit().unwrap();
            sql(&change.replace("{table}", of.as_str()));
            let what = format!("{} {change}", of.as_str());
            let mut served = Vec::new();
            let loaded = backend.load(of, 9, &mut |row| served.push(row));
            assert_eq!(served, [], "{what}");
            let error = loaded.unwrap_err().to_string();
            assert!(error.contains(&format!("of `{}` is damaged", of.as_str())), "{error}");
            backend.roll_back();
            if !change.contains("SET key") {
                backend.begin().unwrap();
                assert!(backend.read(&[&row.key]).is_err(), "{what}");
                backend.roll_back();
            }
            sql(&format!("DELETE FROM {}", of.as_str()));
        }
    }
}

fn shared(cluster: &Cluster, sql: &str) {
    cluster.config().connect(postgres::NoTls).unwrap().batch_execute(sql).unwrap();
}

fn file(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn whatever_changes_in_a_row_is_found() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("hefu.db");
    check(Sqlite::open(&path).unwrap(), &|sql| file(&path, sql));
    let cluster = Cluster::start();
    check(Postgres::open(&place_of(&cluster), &[]).unwrap(), &|sql| shared(&cluster, sql));
    let mut tagged = Postgres::open(&place_of(&cluster), &[]).unwrap();
    keys::check(&mut tagged, &key(1, 1).into()).unwrap();
    shared(&cluster, "DELETE FROM fingerprint_keys");
    check(tagged, &|sql| shared(&cluster, sql));
}

/// Hefu does not start on it, and says which row; on rows from before there were checksums it does.
#[tokio::test]
async fn a_store_with_a_changed_row_is_not_opened() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("hefu.db");
    let open = || MemoryStore::open(Limits::default(), sqlite::open(&path).unwrap(), |_| ());
    let store = open().unwrap();
    store.put_evidence(tuple(1), None, evidence(Answer::Match));
    let made = store.make_hold(hold(HoldKey::Tuple(tuple(2))), braking(9));
    assert_eq!(made, Holding::Made);
    assert_eq!(store.admit(admission(vec![leaving(1, "a")])).await, Ok(Admitted::Yes));
    drop(store);
    for (table, change, back) in [
        (
            "evidence",
            "value = replace(value, 'match', 'mbtch')",
            "value = replace(value, 'mbtch', 'match')",
        ),
        ("holds", "until = until - 1", "until = until + 1"),
        ("orders", "key = key || 'a'", "key = substr(key, 1, length(key) - 1)"),
    ] {
        file(&path, &format!("UPDATE {table} SET {change}"));
        let error = open().err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(&format!("of `{table}` is damaged: restore")), "{table}: {error}");
        file(&path, &format!("UPDATE {table} SET {back}"));
        assert!(open().is_ok(), "{table}");
    }
    file(&path, "UPDATE evidence SET checksum = NULL");
    assert!(open().is_ok());
}

/// What needs it while Hefu runs is refused; the rest goes on.
#[tokio::test]
async fn who_needs_a_row_that_changed_is_not_admitted() {
    let [_, place] = Place::every();
    let Place::Shared(cluster) = &place else { return };
    let [here, there] = [place.open(), place.open()];
    let held = HoldKey::Tuple(tuple(1));
    assert_eq!(there.make_hold(hold(held.clone()), braking(9)), Holding::Made);
    there.flush().await.unwrap();
    let admit = async |number: u128, needs: Vec<Need>| {
        let leaving = Leaving { needs, ..leaving(number, &number.to_string()) };
        here.admit(admission(vec![leaving])).await
    };
    // It would have ended long ago.
    let until = "UPDATE holds SET value = replace(value, '\"until\":17', '\"until\":16')";
    apart(|| shared(cluster, until));
    assert_eq!(admit(1, vec![Need::NotHeld(held.clone())]).await, Err(StoreLost));
    assert_eq!(admit(2, Vec::new()).await, Ok(Admitted::Yes));
    assert_eq!(admit(3, vec![Need::NotHeld(held)]).await, Err(StoreLost));
    assert_eq!(here.expectations(&channel()), 1);
}

/// What waits together with what needs it is kept all the same, at once.
#[tokio::test]
async fn who_does_not_need_a_row_that_changed_is_admitted_beside_who_does() {
    let [_, place] = Place::every();
    let Place::Shared(cluster) = &place else { return };
    let [here, there] = [place.open(), place.open()];
    let held = HoldKey::Tuple(tuple(2));
    assert_eq!(there.make_hold(hold(held.clone()), braking(9)), Holding::Made);
    there.flush().await.unwrap();
    apart(|| shared(cluster, "UPDATE holds SET until = until + 1"));
    let admits = (1..=64_u128).map(|number| {
        let needs = (number % 16 == 0).then(|| Need::NotHeld(held.clone()));
        let leaving =
            Leaving { needs: needs.into_iter().collect(), ..leaving(number, &number.to_string()) };
        here.admit(admission(vec![leaving]))
    });
    let told = futures::future::join_all(admits).await;
    for (number, told) in (1_u128..).zip(told) {
        let expected = if number % 16 == 0 { Err(StoreLost) } else { Ok(Admitted::Yes) };
        assert_eq!(told, expected, "{number}");
    }
    assert_eq!(here.flush().await, Ok(()));
}

/// A bit that turns may leave bytes that are no text: the row is damaged, and no commit beside it fails for it.
#[test]
fn text_that_is_none_any_more_is_damage() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("hefu.db");
    let mut backend = Sqlite::open(&path).unwrap();
    for column in ["value", "key"] {
        let row = row(Aggregate::Charges);
        backend.begin().unwrap();
        backend.put(&[&row]).unwrap();
        backend.commit().unwrap();
        file(&path, &format!("UPDATE charges SET {column} = CAST(x'61fe' AS TEXT)"));
        let error = backend.load(Aggregate::Charges, 9, &mut |_| ()).unwrap_err();
        assert!(<Sqlite as Backend>::is_damage(&error), "{column}: {error}");
        file(&path, "DELETE FROM charges");
    }
}

/// Sweeps read ranges and the payments that they name. What is decided on is never read so.
#[tokio::test]
async fn one_damaged_row_does_not_stop_a_sweep() {
    for place in Place::every() {
        let store = place.open();
        let row = |number: usize| Row {
            key: RowKey { of: Aggregate::Mismatches, name: format!("{number:06}") },
            until: None,
            value: r#"{"n":17}"#.to_owned(),
        };
        let all = PAGE_MAX * 2 + 100;
        (0..all).for_each(|number| store.shelve(row(number)));
        let admitted =
            admission((1..5).map(|number| leaving(number, &number.to_string())).collect());
        assert_eq!(store.admit(admitted).await, Ok(Admitted::Yes));
        drop(store);
        let few = Limits { records: 1, ..Limits::default() };
        let damages = Arc::new(AtomicUsize::new(0));
        let counted = damages.clone();
        let store = place.open_telling(few, move |event| {
            counted.fetch_add(usize::from(event == Event::Damaged), Ordering::Relaxed);
        });
        let told = || damages.swap(0, Ordering::Relaxed);
        place.sql("UPDATE mismatches SET value = replace(value, '7', '8') WHERE key IN ('000003', '000700', '001000')");
        let broken = [3, 700, 1000];
        let range = |from: usize, last, whole| Range {
            of: Aggregate::Mismatches,
            from: row(from).key.name,
            before: "9".to_owned(),
            most: PAGE_MAX,
            last,
            whole,
        };
        let intact = |from: usize, to: usize| -> Vec<Row> {
            (from..to).filter(|number| !broken.contains(number)).map(row).collect()
        };
        // A page is full, so that who turns pages goes on.
        let read = async |from, last| store.range(range(from, last, false)).await.unwrap();
        assert!(read(0, false).await == intact(0, PAGE_MAX + 1));
        assert_eq!(told(), 1);
        assert!(read(PAGE_MAX + 1, false).await == intact(PAGE_MAX + 1, PAGE_MAX * 2 + 3));
        assert_eq!(told(), 2);
        assert!(read(0, true).await == intact(all - PAGE_MAX - 2, all));
        assert_eq!(told(), 2);
        assert!(read(1001, false).await == intact(1001, all));
        assert_eq!(told(), 0);
        // What must be whole is refused, and what is damaged is not taken for absent.
        assert_eq!(store.range(range(0, false, true)).await, Err(StoreLost));
        assert_eq!(store.range(Range::one(&row(3).key)).await, Err(StoreLost));
        assert_eq!(store.range(Range::one(&row(4).key)).await, Ok(vec![row(4)]));
        assert_eq!(told(), 2);
        assert_eq!(store.swap(Swap::claim(row(3))).await, Ok(false));
        assert_eq!(store.swap(Swap::replace(row(3).value, row(3))).await, Ok(false));
        assert_eq!(told(), 2);
        let key = |number| RowKey::payment(payment(number));
        place.sql(
            "UPDATE payments SET until = until + 1 WHERE key = (SELECT min(key) FROM payments)",
        );
        assert_eq!(store.fetch(vec![key(1), key(2)]).await, Err(StoreLost));
        assert_eq!(told(), 1);
        assert_eq!(store.fetch_intact(vec![key(1), key(2)]).await, Ok(()));
        assert_eq!(told(), 1);
        let known = [1, 2].map(|number| store.record(payment(number)).is_some());
        assert_eq!(known, [false, true]);
        // An order may not leave again because its claim is damaged.
        place.sql("UPDATE orders SET until = until + 1 WHERE key LIKE '%\n1'");
        let again =
            async |number: u128, name| store.admit(admission(vec![leaving(number, name)])).await;
        assert_ne!(again(8, "1").await, Ok(Admitted::Yes));
        assert_eq!(again(9, "9").await, Ok(Admitted::Yes));
    }
}

/// A row whose end is another than was written is not taken away for it: the order would leave again.
#[tokio::test]
async fn what_did_not_end_is_not_purged() {
    for place in Place::every() {
        let damages = Arc::new(AtomicUsize::new(0));
        let counted = damages.clone();
        let store = place.open_telling(Limits::default(), move |event| {
            counted.fetch_add(usize::from(event == Event::Damaged), Ordering::Relaxed);
        });
        let row = |name: &str, until: Timestamp| Row {
            key: RowKey { of: Aggregate::Mismatches, name: name.to_owned() },
            until: Some(until),
            value: "{}".to_owned(),
        };
        let later = NOW.plus(Duration::from_hours(24));
        for (name, until) in [("changed", later), ("ended", NOW), ("later", later)] {
            store.shelve(row(name, until));
        }
        drop(store);
        place.sql("UPDATE mismatches SET until = 1 WHERE key = 'changed'");
        let counted = damages.clone();
        let store = place.open_telling(Limits::default(), move |event| {
            counted.fetch_add(usize::from(event == Event::Damaged), Ordering::Relaxed);
        });
        assert_eq!(damages.swap(0, Ordering::Relaxed), 0);
        store.purge(NOW.plus(Duration::from_hours(1)), Keep::default());
        store.flush().await.unwrap();
        assert_eq!(damages.load(Ordering::Relaxed), 1);
        let kept = async |name: &str| {
            let key = RowKey { of: Aggregate::Mismatches, name: name.to_owned() };
            store.range(Range::one(&key)).await.map(|rows| rows.len())
        };
        assert_eq!(kept("changed").await, Err(StoreLost));
        assert_eq!(kept("ended").await, Ok(0));
        assert_eq!(kept("later").await, Ok(1));
    }
}

/// So many ended rows are damaged that one purge would look at no other: what ended after them was kept for ever.
#[tokio::test]
async fn what_is_damaged_keeps_nothing_else_from_being_purged() {
    for place in Place::every() {
        let row = |name: String, until: Timestamp| Row {
            key: RowKey { of: Aggregate::Mismatches, name },
            until: Some(until),
            value: "{}".to_owned(),
        };
        let store = place.open();
        for nth in 0..600 {
            store.shelve(row(format!("damaged {nth:03}"), NOW));
        }
        store.shelve(row("ended".to_owned(), NOW.plus(Duration::from_secs(1))));
        drop(store);
        place.sql("UPDATE mismatches SET value = '[]' WHERE key LIKE 'damaged%'");
        let store = place.open();
        store.purge(NOW.plus(Duration::from_hours(1)), Keep::default());
        store.flush().await.unwrap();
        let key = |name: &str| RowKey { of: Aggregate::Mismatches, name: name.to_owned() };
        assert_eq!(store.range(Range::one(&key("ended"))).await, Ok(Vec::new()));
        assert_eq!(store.range(Range::one(&key("damaged 007"))).await, Err(StoreLost));
    }
}

/// A commit in the middle of the log is not passed over as a torn end would be.
#[tokio::test]
async fn a_log_that_changed_in_its_middle_is_not_read() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("hefu.db");
    let store = MemoryStore::open(Limits::default(), sqlite::open(&path).unwrap(), |_| ()).unwrap();
    for number in 0..5 {
        let told = store.admit(admission(vec![leaving(number, &number.to_string())])).await;
        assert_eq!(told, Ok(Admitted::Yes));
    }
    // As a crash would leave it.
    let copy = TempDir::new().unwrap();
    for entry in fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let logs = ["hefu.db-log0", "hefu.db-log1"].map(|name| copy.path().join(name));
    let log = logs.iter().find(|log| fs::read(log).unwrap().len() > 1000).unwrap();
    let whole = fs::read(log).unwrap();
    for at in [40, whole.len() / 3, whole.len() / 2] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(log, bytes).unwrap();
        let error = sqlite::open(&copy.path().join("hefu.db")).unwrap_err().to_string();
        assert!(error.contains("hefu.db-log") && error.contains("damaged"), "{error}");
    }
    fs::write(log, whole).unwrap();
    assert!(sqlite::open(&copy.path().join("hefu.db")).is_ok());
}
