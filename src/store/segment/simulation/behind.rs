//! One process, and a database that is slow, or fails for long.

use super::{Database, World};
use crate::domain::clock::Timestamp;
use crate::store::row::{Aggregate, Removal, Row, RowKey};
use crate::store::segment::{self, Segmented, State};
use crate::store::writer::{Backend, By};
use std::fs;

fn order(number: usize) -> Row {
    Row {
        key: RowKey { of: Aggregate::Orders, name: format!("{number:03}") },
        until: None,
        value: "[1]".to_owned(),
    }
}

/// Each commit waited while the database took over some hundred rows, wrote its pages and synced them; and a purge did, once a second, and
/// whoever looked for a person or a card.
#[test]
fn no_commit_waits_for_the_database() {
    let (world, mut store) = World::alone(9, true);
    let ended = Row { until: Some(Timestamp::from_millis(5)), ..order(0) };
    let gate = {
        let mut disk = world.disk.lock().unwrap();
        disk.rows.insert(ended.key.clone(), ended.clone());
        disk.gate.clone()
    };
    let closed = gate.lock().unwrap();
    let mut commit = |number, is_free| {
        let row = order(number);
        store.begin().unwrap();
        assert_eq!(store.claim(&[&row]).unwrap(), [is_free]);
        store.commit().unwrap();
        store.idle();
        store.purge(Aggregate::Orders, Timestamp::from_millis(5), 10).unwrap();
        assert_eq!(store.read(&[&row.key]).unwrap(), [row]);
        assert_eq!(store.find(Aggregate::Holds, By::Person, &["1".to_owned()]).unwrap(), []);
    };
    commit(1, true);
    commit(2, true);
    commit(1, false);
    assert_eq!(world.disk.lock().unwrap().rows.len(), 1, "the database is at it");
    assert!(store.logged() > 0);
    drop(closed);
    // What was to be purged meanwhile goes with what is taken over next.
    store.taker.wait().unwrap().unwrap();
    assert!(world.disk.lock().unwrap().rows.contains_key(&ended.key));
    store.idle();
    store.taker.wait().unwrap().unwrap();
    assert!(!world.disk.lock().unwrap().rows.contains_key(&ended.key));
    store.load(Aggregate::Orders, 1, &mut |_| ()).unwrap();
    assert_eq!(world.disk.lock().unwrap().rows.len(), 2);
    assert_eq!(store.logged(), 0);
}

/// Who had the file locked was waited for on the committing thread, once for each kind of rows.
#[test]
fn nothing_is_purged_by_who_commits_while_the_database_fails() {
    let (world, mut store) = World::alone(13, false);
    let ended = Row { until: Some(Timestamp::from_millis(5)), ..order(0) };
    world.disk.lock().unwrap().rows.insert(ended.key.clone(), ended.clone());
    let is_kept = || world.disk.lock().unwrap().rows.contains_key(&ended.key);
    world.disk.lock().unwrap().until_faults = Some(0);
    store.purge(Aggregate::Orders, Timestamp::from_millis(5), 10).unwrap();
    world.disk.lock().unwrap().until_faults = None;
    store.purge(Aggregate::Orders, Timestamp::from_millis(5), 10).unwrap();
    assert!(is_kept());
    // With what is taken over next.
    commit(&mut store, &[order(1)]).unwrap();
    store.idle();
    assert!(!is_kept());
    store.purge(Aggregate::Orders, Timestamp::from_millis(5), 10).unwrap();
}

/// Nothing was kept any more, though the log had room for it.
#[test]
fn who_knocks_while_the_database_fails_stops_nobody() {
    let (mut world, store) = World::alone(12, false);
    let commit = |world: &mut World, number| {
        let store = world.processes[0].as_mut().unwrap();
        store.begin().unwrap();
        assert_eq!(store.claim(&[&order(number)]).unwrap(), [true]);
        store.commit().unwrap();
        matches!(store.state, State::Alone(_))
    };
    let knock = world.dir.path().join("db-knock");
    world.processes[0] = Some(store);
    world.disk.lock().unwrap().until_faults = Some(0);
    assert!(commit(&mut world, 1));
    world.come(1);
    assert!(world.processes[1].is_none(), "nobody is let in to what is not all there");
    assert!(!knock.exists(), "who gave up wants in no more");
    fs::write(&knock, []).unwrap();
    assert!(commit(&mut world, 2));
    world.disk.lock().unwrap().until_faults = None;
    assert!(commit(&mut world, 3), "it has only just come to itself");
    assert!(!commit(&mut world, 4), "who knocked is in");
    assert_eq!(world.disk.lock().unwrap().rows.len(), 4);
}

/// What was taken over before the database failed was taken for what it never had, and not removed from it: the order was refused.
#[test]
fn what_a_settling_that_failed_took_over_can_go() {
    let (world, mut store) = World::alone(11, false);
    let rows: Vec<Row> = (0..20).map(order).collect();
    store.begin().unwrap();
    store.claim(&rows.iter().collect::<Vec<_>>()).unwrap();
    store.commit().unwrap();
    world.disk.lock().unwrap().until_faults = Some(6);
    assert!(store.load(Aggregate::Orders, 1, &mut |_| ()).is_err());
    let some = world.disk.lock().unwrap().rows.len();
    assert!(some > 0 && some < rows.len(), "{some}");
    world.disk.lock().unwrap().until_faults = None;
    store.begin().unwrap();
    store.remove(&[&Removal::from(&rows[0])]).unwrap();
    store.commit().unwrap();
    store.begin().unwrap();
    assert_eq!(store.claim(&[&rows[0]]).unwrap(), [true]);
    store.roll_back();
    store.load(Aggregate::Orders, 1, &mut |_| ()).unwrap();
    assert_eq!(world.disk.lock().unwrap().rows.len(), rows.len() - 1);
}

/// Some megabytes.
fn much() -> Vec<Row> {
    let row = |number| Row {
        key: RowKey { of: Aggregate::Charges, name: format!("{number}") },
        until: None,
        value: format!("\"{}\"", "x".repeat(1_000)),
    };
    (0..2_000).map(row).collect()
}

fn commit(store: &mut Segmented<Database>, rows: &[Row]) -> Result<(), segment::Failed<Database>> {
    store.begin()?;
    store.put(&rows.iter().collect::<Vec<_>>())?;
    store.commit()
}

/// The database keeps up with commits that are larger than a segment.
#[test]
fn the_log_does_not_grow_while_much_comes() {
    for (is_read_meanwhile, most) in [(false, segment::SEGMENT), (true, segment::SEGMENT_LONG)] {
        let (_world, mut store) = World::alone(8, is_read_meanwhile);
        let rows = much();
        for number in 0..20 {
            commit(&mut store, &rows).unwrap();
            let long = store.segments.len();
            assert!(long < most + segment::SEGMENT, "{long} bytes after {number} commits");
        }
    }
}

/// Every second commit went in, and the log grew for as long as the database failed.
#[test]
fn the_log_is_bounded_while_the_database_fails() {
    for is_read_meanwhile in [false, true] {
        let (world, mut store) = World::alone(10, is_read_meanwhile);
        world.disk.lock().unwrap().faults = 100;
        let rows = much();
        while commit(&mut store, &rows).is_ok() {
            assert!(store.segments.len() < segment::SEGMENT_MAX + segment::SEGMENT);
        }
        for _ in 0..5 {
            store.roll_back();
            assert!(commit(&mut store, &rows).is_err());
        }
        world.disk.lock().unwrap().faults = 0;
        store.roll_back();
        commit(&mut store, &rows).unwrap();
    }
}
