//! What is read at the start, where it is more than is read at once.

use crate::cluster::Cluster;
use crate::place::place_of;
use hefu::domain::clock::Timestamp;
use hefu::store::postgres::Postgres;
use hefu::store::row::{Aggregate, Row, RowKey};
use hefu::store::sqlite::{self, Sqlite};
use hefu::store::writer::Backend;
use tempfile::TempDir;

/// More than two pages, and not a whole number of them.
const ROWS: usize = 20_003;

fn name(number: usize) -> String {
    format!("{number:06}")
}

fn check<B: Backend>(mut backend: B) {
    let of = Aggregate::Evidence;
    let row = |number| Row {
        key: RowKey { of, name: name(number) },
        until: Some(Timestamp::from_millis(u64::try_from(number).unwrap())),
        value: number.to_string(),
    };
    let rows: Vec<Row> = (0..ROWS).map(row).collect();
    backend.begin().unwrap();
    backend.put(&rows.iter().collect::<Vec<_>>()).unwrap();
    backend.commit().unwrap();
    for most in [0, 1, 9_999, 10_000, 10_001, 20_000, ROWS - 1, ROWS, ROWS + 1, usize::MAX] {
        let mut loaded = Vec::new();
        backend.load(of, most, &mut |row| loaded.push(row)).unwrap();
        assert_eq!(loaded.len(), most.min(ROWS), "{most}");
        assert!(loaded == rows[ROWS - loaded.len()..], "the last {most}, in order");
    }
    let mut none = 0;
    backend.load(Aggregate::Holds, 9, &mut |_| none += 1).unwrap();
    assert_eq!(none, 0);
}

#[test]
fn the_last_rows_are_loaded_in_order() {
    let dir = TempDir::new().unwrap();
    check(Sqlite::open(&dir.path().join("hefu.db")).unwrap());
    check(sqlite::open(&dir.path().join("logged.db")).unwrap());
    let cluster = Cluster::start();
    check(Postgres::open(&place_of(&cluster), &[]).unwrap());
}

/// A record of some 1,300 bytes took a page of its own, of 4,096.
#[test]
fn a_payment_takes_little_more_than_its_record() {
    let (dir, payments, bytes) = (TempDir::new().unwrap(), 2_000, 1_300);
    let path = dir.path().join("hefu.db");
    let mut store = Sqlite::open(&path).unwrap();
    let row = |number| Row {
        key: RowKey { of: Aggregate::Payments, name: format!("{number:026}") },
        until: Some(Timestamp::from_millis(1)),
        value: format!("{number:0bytes$}"),
    };
    let rows: Vec<Row> = (0..payments).map(row).collect();
    for slice in rows.chunks(200) {
        store.begin().unwrap();
        store.put(&slice.iter().collect::<Vec<_>>()).unwrap();
        store.commit().unwrap();
    }
    // Closing it moves everything into the file.
    drop(store);
    let each = usize::try_from(path.metadata().unwrap().len()).unwrap() / payments;
    assert!(each < bytes * 3 / 2, "{each}");
}
