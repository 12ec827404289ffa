//! Who can write a shared store and has no key: what he writes is not believed.

use crate::cluster::Cluster;
use crate::keys::keys;
use crate::place::{key, place_of};
use hefu::crypto::keys::Keys;
use hefu::crypto::tag::Tagger;
use hefu::store::keys::{self, KeysError};
use hefu::store::postgres::Postgres;
use hefu::store::row::{Aggregate, Row, RowKey};
use hefu::store::writer::Backend as _;

fn row(of: Aggregate, name: &str, value: &str) -> Row {
    Row { key: RowKey { of, name: name.to_owned() }, until: None, value: value.to_owned() }
}

fn open(cluster: &Cluster, keys: &Keys) -> Result<Postgres, KeysError> {
    let mut store = Postgres::open(&place_of(cluster), &[]).unwrap();
    keys::check(&mut store, keys).map(|()| store)
}

fn write(store: &mut Postgres, rows: &[&Row]) {
    store.begin().unwrap();
    store.put(rows).unwrap();
    store.commit().unwrap();
}

/// What is read of the row of that key.
fn read(store: &mut Postgres, key: &RowKey) -> Result<Vec<Row>, String> {
    store.begin().unwrap();
    let read = store.read(&[key]).map_err(|error| error.to_string());
    store.roll_back();
    read
}

fn sql(cluster: &Cluster, sql: &str) -> u64 {
    cluster.config().connect(postgres::NoTls).unwrap().execute(sql, &[]).unwrap()
}

#[test]
fn a_row_that_was_not_written_by_hefu_is_refused() {
    let cluster = Cluster::start();
    let mut store = open(&cluster, &key(1, 1).into()).unwrap();
    for of in Aggregate::ALL.into_iter().filter(|of| *of != Aggregate::Keys) {
        let (true_one, false_one) = (row(of, "mine", "1"), row(of, "mine", "2"));
        let forged = |checksum: String| {
            let table = of.as_str();
            format!("UPDATE {table} SET value = '2', checksum = {checksum} WHERE key = 'mine'")
        };
        write(&mut store, &[&true_one, &row(of, "another", "2")]);
        assert_eq!(read(&mut store, &true_one.key), Ok(vec![true_one.clone()]));
        let stranger = Tagger::new([7; 16]);
        for (what, checksum) in [
            ("as it was", "checksum".to_owned()),
            ("none", "NULL".to_owned()),
            ("what needs no key", false_one.checksum(None).to_string()),
            ("of another key", false_one.checksum(Some(&stranger)).to_string()),
            (
                "of another row",
                format!("(SELECT checksum FROM {} WHERE key = 'another')", of.as_str()),
            ),
        ] {
            write(&mut store, &[&true_one]);
            assert_eq!(sql(&cluster, &forged(checksum)), 1);
            let said = read(&mut store, &true_one.key).unwrap_err();
            assert!(said.contains("is damaged: restore a backup"), "{what}: {said}");
        }
    }
}

#[test]
fn the_key_of_the_tags_outlives_the_keys_of_fingerprints() {
    let cluster = Cluster::start();
    let kept = row(Aggregate::Payments, "kept", "1");
    write(&mut open(&cluster, &keys((1, 1), &[])).unwrap(), &[&kept]);
    // A replica beside it, the next key, the one after it with the first given up.
    for keys in [
        keys((1, 1), &[]),
        keys((2, 2), &[(1, Some(1))]),
        keys((3, 3), &[(1, None), (2, Some(2))]),
        keys((3, 3), &[(1, None), (2, None)]),
    ] {
        let mut store = open(&cluster, &keys).unwrap();
        assert_eq!(read(&mut store, &kept.key), Ok(vec![kept.clone()]));
    }
}

#[test]
fn another_key_of_the_tags_is_not_believed() {
    let cluster = Cluster::start();
    let mine = keys((1, 1), &[]);
    let kept = row(Aggregate::Payments, "kept", "1");
    write(&mut open(&cluster, &mine).unwrap(), &[&kept]);
    let theirs = Tagger::new([7; 16]).wrapped(&key(1, 9), [0; 12]).unwrap();
    let put = row(Aggregate::Keys, "tags 1", &format!("\"{theirs}\""));
    let put = format!(
        "UPDATE fingerprint_keys SET value = '{}', checksum = {} WHERE key = 'tags 1'",
        put.value,
        put.checksum(None)
    );
    assert_eq!(sql(&cluster, &put), 1);
    assert_eq!(open(&cluster, &mine).unwrap_err(), KeysError::Untagged("1".to_owned()));
    // Where it is gone Hefu makes no other, with which all that is kept would be damaged.
    for gone in
        ["DELETE FROM fingerprint_keys WHERE key = 'tags 1'", "DELETE FROM fingerprint_keys"]
    {
        assert!(sql(&cluster, gone) > 0);
        assert_eq!(open(&cluster, &mine).unwrap_err(), KeysError::TagsLost, "{gone}");
    }
}

#[test]
fn who_only_reads_writes_nothing() {
    let cluster = Cluster::start();
    let (mine, next) = (keys((1, 1), &[]), keys((2, 2), &[(1, Some(1))]));
    let kept = row(Aggregate::Payments, "kept", "1");
    let mut store = Postgres::open(&place_of(&cluster), &[]).unwrap();
    // Of a store that is new there is nothing to be read, and it stays new.
    keys::check_to_read(&mut store, &mine).unwrap();
    write(&mut open(&cluster, &mine).unwrap(), &[&kept]);
    let mut store = Postgres::open(&place_of(&cluster), &[]).unwrap();
    keys::check_to_read(&mut store, &next).unwrap();
    assert_eq!(read(&mut store, &kept.key), Ok(vec![kept]));
    // A replica that does not know the next key still starts.
    open(&cluster, &mine).unwrap();
}
