//! A backup is the store as it was at one instant, whatever is written meanwhile.

use crate::values::{NOW, admission, evidence, leaving, tuple};
use hefu::domain::answer::Answer;
use hefu::store::EvidenceStore as _;
use hefu::store::journal::{Admitted, Journal as _};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::sqlite::{self, BackUpError, Sqlite, back_up};
use hefu::store::writer::Backend as _;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tempfile::TempDir;

fn open(path: &Path) -> MemoryStore {
    MemoryStore::open(Limits::default(), sqlite::open(path).unwrap(), |_| ()).unwrap()
}

#[tokio::test]
async fn a_backup_is_one_instant_and_restores() {
    let dir = TempDir::new().unwrap();
    let [path, copy] = ["hefu.db", "copy.db"].map(|name| dir.path().join(name));
    let store = open(&path);
    store.put_evidence(tuple(1), None, evidence(Answer::Match));
    let admit = async |store: &MemoryStore, number: u128| {
        store.admit(admission(vec![leaving(number, &number.to_string())])).await.unwrap()
    };
    for number in 0..200 {
        assert_eq!(admit(&store, number).await, Admitted::Yes);
    }
    // More leave while it is copied.
    let (from, to) = (path.clone(), copy.clone());
    let copying = tokio::task::spawn_blocking(move || back_up(&from, &to));
    let mut number = 200;
    while !copying.is_finished() {
        assert_eq!(admit(&store, number).await, Admitted::Yes);
        number += 1;
    }
    let bytes = copying.await.unwrap().unwrap();
    let about = std::fs::metadata(&copy).unwrap();
    assert_eq!((about.len(), about.permissions().mode() & 0o777), (bytes, 0o600));
    drop(store);
    // Restored: what left before is known; of what left meanwhile, the first ones.
    std::fs::rename(&copy, &path).unwrap();
    for side in ["wal", "shm", "log0", "log1"].map(|side| format!("hefu.db-{side}")) {
        let _ = std::fs::remove_file(dir.path().join(side));
    }
    let store = open(&path);
    let channel = crate::values::channel();
    assert!(store.evidence(&tuple(1), &channel, None, NOW).is_some());
    let mut known = Vec::new();
    for order in 0..number {
        let again = leaving(1_000_000 + order, &order.to_string());
        known.push(store.admit(admission(vec![again])).await.unwrap() == Admitted::AlreadySent);
    }
    assert!(known.iter().take(200).all(|known| *known));
    assert!(known.is_sorted_by(|earlier, later| earlier >= later), "a hole in {known:?}");
}

#[test]
fn what_is_there_is_not_written_over() {
    let dir = TempDir::new().unwrap();
    let [path, copy] = ["hefu.db", "copy.db"].map(|name| dir.path().join(name));
    drop(open(&path));
    std::fs::write(&copy, "precious").unwrap();
    assert!(matches!(back_up(&path, &copy), Err(BackUpError::Copy { .. })));
    assert_eq!(std::fs::read(&copy).unwrap(), b"precious");
    // No name is special, and one that cannot be written is no success.
    let plain = dir.path().join(":memory:");
    let bytes = back_up(&path, &plain).unwrap();
    assert!(bytes > 0 && std::fs::metadata(&plain).unwrap().len() == bytes);
    let odd = dir.path().join(OsStr::from_bytes(b"\xff.db"));
    assert!(back_up(&path, &odd).is_err() && !odd.exists());
    // Nothing is left of a copy of nothing.
    let (nothing, copy) = (dir.path().join("nothing"), dir.path().join("copy2.db"));
    assert!(matches!(back_up(&nothing, &copy), Err(BackUpError::Store { .. })));
    assert!(!copy.exists() && !nothing.exists());
}

/// Hefu did not start for as long as somebody read its store, who had come first.
#[tokio::test]
async fn who_reads_for_long_shares_with_who_comes_later() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("hefu.db");
    drop(open(&path));
    let reading = sqlite::open_to_read(&path).unwrap();
    let store = open(&path);
    let admitted = store.admit(admission(vec![leaving(1, "1")])).await;
    assert_eq!(admitted, Ok(Admitted::Yes));
    drop(reading);
}

/// Whoever opened the store kept all others from writing while its pages were checked.
#[test]
fn who_opens_the_store_waits_for_nobody_who_writes() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("hefu.db");
    let mut writing = Sqlite::open(&path).unwrap();
    writing.begin().unwrap();
    drop(Sqlite::open(&path).unwrap());
    writing.commit().unwrap();
}
