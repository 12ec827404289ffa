//! What persons did is kept in one chain, whoever notes it.

use crate::cluster::apart;
use crate::contract::every;
use crate::place::Place;
use crate::values::NOW;
use hefu::domain::keep::Keep;
use hefu::store::audit::{Action, AuditStore, Note, PAGE_MAX, Page};
use hefu::store::journal::Journal as _;
use hefu::store::memory::MemoryStore;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

fn note(number: usize) -> Note {
    let action = Action::Reload { succeeded: false, problems: number };
    Note { at: NOW, who: "made-up".to_owned(), action }
}

/// The problems that the entries of a page tell, the newest first, if each follows the one before it.
fn told(page: &Page) -> Vec<u64> {
    let mut expected = page.head.hash.clone();
    let entries = page.entries.iter().map(|noted| {
        assert_eq!(noted.hash, expected, "the chain ends elsewhere, or is broken");
        let content = format!("{}\n{}", noted.previous, noted.entry.get());
        assert_eq!(noted.hash, hex::encode(Sha256::digest(content)));
        expected.clone_from(&noted.previous);
        let entry: Value = serde_json::from_str(noted.entry.get()).unwrap();
        assert_eq!((&entry["who"], &entry["action"]), (&"made-up".into(), &"reload".into()));
        assert_eq!(entry["at_ms"], NOW.as_millis());
        entry["problems"].as_u64().unwrap()
    });
    entries.collect()
}

async fn all(store: &impl AuditStore) -> Vec<u64> {
    told(&store.audit(None).await.unwrap())
}

#[tokio::test]
async fn what_persons_did_is_chained_and_told_by_pages() {
    every(async |store| {
        assert!(all(&store).await.is_empty());
        let count = PAGE_MAX + 3;
        for number in 1..=count {
            store.note(note(usize::try_from(number).unwrap())).await.unwrap();
        }
        let page = store.audit(None).await.unwrap();
        assert_eq!(told(&page), (4..=count).rev().collect::<Vec<_>>());
        let mut rest = store.audit(Some(4)).await.unwrap();
        assert_eq!(rest.head.number, count);
        rest.head.hash.clone_from(&page.entries.last().unwrap().previous);
        assert_eq!(told(&rest), [3, 2, 1]);
        assert!(store.audit(Some(1)).await.unwrap().entries.is_empty());
        assert!(store.audit(Some(0)).await.unwrap().entries.is_empty());
    })
    .await;
}

/// Replicas, or the two processes of an upgrade, at once; and after them another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_note_at_once_make_one_chain() {
    for place in Place::every() {
        let stores = [place.open(), place.open()];
        let noting = stores.iter().enumerate().map(async |(at, store)| {
            for number in 0..50 {
                store.note(note(number * 2 + at)).await.unwrap();
            }
        });
        futures::future::join_all(noting).await;
        drop(stores);
        let store = place.open();
        store.note(note(100)).await.unwrap();
        let mut entries = all(&store).await;
        assert_eq!(entries.first(), Some(&100));
        entries.sort_unstable();
        assert_eq!(entries, (0..=100).collect::<Vec<_>>());
    }
}

fn sql(place: &Place, sql: &str) {
    match place {
        Place::File(dir) => {
            let path = dir.path().join("hefu.db");
            rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
        }
        Place::Shared(cluster) => apart(|| {
            let mut client = cluster.config().connect(postgres::NoTls).unwrap();
            client.batch_execute(sql).unwrap();
        }),
    }
}

/// Entries go with payments, the end of the chain stays; and where somebody took that away, it goes on after the last entry.
#[tokio::test]
async fn a_chain_outlives_its_beginning_and_its_head() {
    let keep = Keep { payments: Duration::from_hours(24), ..Keep::default() };
    let purge = async |store: &MemoryStore| {
        store.purge(NOW.plus(Duration::from_hours(25)), keep);
        store.flush().await.unwrap();
    };
    for place in Place::every() {
        let store = place.open();
        store.note(note(1)).await.unwrap();
        store.note(note(2)).await.unwrap();
        purge(&store).await;
        assert!(all(&store).await.is_empty());
        let next = Note { at: NOW.plus(Duration::from_hours(24)), ..note(3) };
        store.note(next).await.unwrap();
        purge(&store).await;
        drop(store);
        sql(&place, "DELETE FROM audit WHERE key = 'head'");
        let store = place.open();
        store.note(note(4)).await.unwrap();
        let page = store.audit(None).await.unwrap();
        assert_eq!((page.head.number, page.entries.len()), (4, 2));
        assert_eq!(page.entries[0].previous, page.entries[1].hash);
    }
}
