//! One process, and a database that is slow, or fails for long.

use super::{Database, World};
use crate::domain::clock::Timestamp;
use crate::store::row::{Aggregate, Removal, Row, RowKey};
use crate::store::segment::{self, Segmented};
use crate::store::writer::Backend;

/// Each commit waited while the database took over some hundred rows, wrote its pages and synced them.
#[test]
fn no_commit_waits_for_the_database() {
    let mut world = World::new(9, true);
    let (gate, faults) = {
        let mut disk = world.disk.lock().unwrap();
        (disk.gate.clone(), std::mem::take(&mut disk.faults))
    };
    assert!(faults > 0);
    world.come(0);
    let mut store = world.processes[0].take().unwrap();
    let (early, late) = (world.row(), Row { value: "[5]".to_owned(), ..world.row() });
    let closed = gate.lock().unwrap();
    let mut commit = |row: &Row, is_free| {
        store.begin().unwrap();
        assert_eq!(store.claim(&[row]).unwrap(), [is_free]);
        store.commit().unwrap();
        store.idle();
        store.purge(Aggregate::Charges, Timestamp::from_millis(0), 1).unwrap();
        assert_eq!(store.read(&[&row.key]).unwrap().len(), 1);
    };
    commit(&early, true);
    commit(&Row { key: RowKey { name: "other".to_owned(), ..late.key.clone() }, ..late }, true);
    commit(&early, false);
    assert!(world.disk.lock().unwrap().rows.is_empty(), "the database is at it");
    drop(closed);
    store.load(Aggregate::Orders, 1, &mut |_| ()).unwrap();
    assert_eq!(world.disk.lock().unwrap().rows.len(), 2);
}

/// What was taken over before the database failed was taken for what it never had, and not removed from it: the order was refused.
#[test]
fn what_a_settling_that_failed_took_over_can_go() {
    let mut world = World::new(11, false);
    world.disk.lock().unwrap().faults = 0;
    world.come(0);
    let mut store = world.processes[0].take().unwrap();
    let row = |name: usize| Row {
        key: RowKey { of: Aggregate::Orders, name: format!("{name:03}") },
        until: None,
        value: "[1]".to_owned(),
    };
    let rows: Vec<Row> = (0..20).map(row).collect();
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
        let mut world = World::new(8, is_read_meanwhile);
        world.disk.lock().unwrap().faults = 0;
        world.come(0);
        let mut store = world.processes[0].take().unwrap();
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
        let mut world = World::new(10, is_read_meanwhile);
        world.disk.lock().unwrap().faults = 0;
        world.come(0);
        let mut store = world.processes[0].take().unwrap();
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
