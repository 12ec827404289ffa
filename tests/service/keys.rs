//! One key of fingerprints after another, over one store.

use crate::{World, key, person, world_keyed, world_ruled};
use hefu::crypto::keys::{Keys, Other};
use hefu::domain::answer::Answer;
use hefu::domain::clock::Timestamp;
use hefu::policy::rules::Holds;
use hefu::policy::rules::list::{List, Member};
use hefu::service::forget::Told;
use hefu::service::lists::{self, Line, note};
use hefu::service::{Binding, Settings};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::sqlite::{self, Sqlite};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Written with key `current`, read with the others, until a day from now.
fn world(path: &Path, current: u8, others: &[u8]) -> World {
    let store = MemoryStore::open(Limits::default(), sqlite::open(path).unwrap(), |_| ()).unwrap();
    world_keyed(store, Binding::Enforce(100), Settings::default(), keys(current, others))
}

fn keys(current: u8, others: &[u8]) -> Keys {
    let until = Timestamp::from_millis(1_700_000_000_000).plus(Duration::from_hours(24));
    let other = |number: &u8| {
        let key = key(*number);
        Other { id: key.id(), key: Some(key), until: Some(until) }
    };
    Keys { others: others.iter().map(other).collect(), ..key(current).into() }
}

/// A world under key 1, then one under key 2 that reads key 1 as well.
async fn rotated(first: impl AsyncFn(&World)) -> (tempfile::TempDir, World) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hefu.db");
    let before = world(&path, 1, &[]);
    first(&before).await;
    before.service.store.flush().await.unwrap();
    drop(before);
    let after = world(&path, 2, &[1]);
    (dir, after)
}

#[tokio::test]
async fn evidence_under_the_key_before_is_found_and_carried_over() {
    let (dir, after) = rotated(async |before| {
        before.send(&World::debit("1", 0), "ok").await;
        before.send(&World::debit("2", 1), "ok").await;
    })
    .await;
    let told = after.send(&World::debit("3", 0), "ok").await;
    assert!(told.contains("verification: match"), "{told}");
    assert_eq!(after.first.asked(), 0);
    after.service.store.flush().await.unwrap();
    drop(after);
    // What was used is under the new key now; what was not is not found without the old one.
    let later = world(&dir.path().join("hefu.db"), 2, &[]);
    later.send(&World::debit("4", 0), "ok").await;
    assert_eq!(later.first.asked(), 0);
    later.send(&World::debit("5", 1), "ok").await;
    assert_eq!(later.first.asked(), 1);
}

#[tokio::test]
async fn after_its_time_the_key_before_is_not_looked_under() {
    let (_dir, after) =
        rotated(async |before| drop(before.send(&World::debit("1", 0), "ok").await)).await;
    after.later(Duration::from_hours(24));
    after.send(&World::debit("2", 0), "ok").await;
    assert_eq!(after.first.asked(), 1);
}

/// A contradiction goes with the evidence, and a hold stands under whichever key it was made.
#[tokio::test]
async fn what_is_held_under_the_key_before_is_held() {
    let (_dir, after) = rotated(async |before| {
        before.send(&World::debit("1", 0), "phone").await;
        assert_eq!(before.held(), 1);
    })
    .await;
    assert_eq!(after.send(&World::debit("2", 0), "ok").await, "403 held not_asked []");
    // A bind whose success proves the elements ends it.
    let bind = format!(r#""type":"bind","order":"b",{}"#, person(0));
    after.later(Duration::from_secs(1));
    after.send(&bind, "ok").await;
    assert_eq!(after.held(), 0);
    let told = after.send(&World::debit("3", 0), "ok").await;
    assert!(told.starts_with("decision: permit"), "{told}");
}

/// While replicas change over one by one, either finds what the other writes.
#[tokio::test]
async fn the_key_to_come_is_read_before_it_is_written_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hefu.db");
    let [old, new] = [world(&path, 1, &[2]), world(&path, 2, &[1])];
    new.send(&World::debit("1", 0), "phone").await;
    new.service.store.flush().await.unwrap();
    assert!(old.send(&World::debit("2", 0), "ok").await.starts_with("403 held"));
    let asked = old.first.asked();
    old.first.will(&[Answer::Match]);
    new.send(&World::debit("3", 1), "ok").await;
    new.service.store.flush().await.unwrap();
    old.send(&World::debit("4", 1), "ok").await;
    assert_eq!(old.first.asked(), asked);
}

#[tokio::test]
async fn a_new_bind_closes_what_the_same_card_bound_under_the_key_before() {
    let bind =
        |order: &str| format!(r#""type":"bind","order":"{order}","merchant":"m",{}"#, person(0));
    let (_dir, after) = rotated(async |before| drop(before.send(&bind("1"), "ok").await)).await;
    let quote =
        r#""type":"by_agreement","order":"2","merchant":"m","amount":"100","agreement":"A-ok""#;
    assert!(after.send(quote, "ok").await.starts_with("decision: permit"));
    let answer = br#"{"code":"ok","agreement":"A-new"}"#;
    let (status, content_type, body) = (200, None, answer.as_slice());
    let answer = hefu::service::settle::Reported::Answer { status, content_type, body };
    after.send_answered(&bind("3"), answer).await;
    let again = quote.replace("\"2\"", "\"4\"");
    assert_eq!(after.send(&again, "ok").await, "403 agreement_closed []");
}

/// Rules look into the list `stopped` as it is kept now.
async fn look_into_list(world: &mut World) {
    let service = Arc::get_mut(&mut world.service).unwrap();
    let entries = lists::entries(&*service.store, "stopped").await.unwrap();
    let book = Arc::make_mut(&mut service.rules.as_mut().unwrap().book);
    let list = book.lists.get_mut("stopped").unwrap();
    *list = List::new(list.holds);
    for value in entries.keys() {
        list.add(Member::read(list.holds, value).unwrap(), None);
    }
}

/// Persons and phones were looked for under the current key alone, agreements had no other, and nothing was taken out under the key before.
#[tokio::test]
async fn whom_a_list_stops_it_stops_under_every_key() {
    let check = async |holds: Holds, value: &str, quoted: &str| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hefu.db");
        let what = holds.as_str();
        let when = format!(
            "payment.scenario == \"debit\" && has({what}.id) && {what}.id in list(\"stopped\")"
        );
        let rules = format!(
            "[[list]]\nname = 'stopped'\nholds = '{what}'\n[[rule]]\nid = 'stop'\naction = 'refuse'\nstate = 'live'\nowner = 'risk'\nreason = 'r_1'\nwhen = '''{when}'''\n"
        );
        let world = |current, others: &[u8]| {
            let file = sqlite::open(&path).unwrap();
            let store = MemoryStore::open(Limits::default(), file, |_| ()).unwrap();
            let (binding, keys) = (Binding::Enforce(100), keys(current, others));
            world_ruled(store, binding, Settings::default(), keys, &rules)
        };
        let bind = |merchant: &str| {
            format!(r#""type":"bind","order":"{merchant}","merchant":"{merchant}",{}"#, person(0))
        };
        let quote = |order: &str, merchant: &str, id: &str| {
            format!(
                r#""type":"by_agreement","order":"{order}","merchant":"{merchant}","amount":"100","agreement":"{id}""#
            )
        };
        let list = ("stopped", holds);
        let told = note("risk", "fraud", Timestamp::default(), None);
        let lines = [Line { number: 1, value: value.to_owned(), note: told }];
        let before = world(1, &[]);
        before.send(&bind("old"), "ok").await;
        before.service.add_to_list(list, &lines).await.unwrap();
        before.service.store.flush().await.unwrap();
        drop(before);
        let mut after = world(2, &[1]);
        look_into_list(&mut after).await;
        assert_eq!(after.send(&World::debit("1", 0), "ok").await, "403 rule []", "{what}");
        after
            .send_answered(&bind("new"), crate::answer(r#"{"code":"ok","agreement":"A-new"}"#))
            .await;
        for (order, merchant, id) in [("2", "old", "A-ok"), ("3", "new", "A-new")] {
            let told = after.send(&quote(order, merchant, id), "ok").await;
            assert!(told.starts_with(quoted), "{what} {merchant}: {told}");
        }
        let removed = after.service.remove_from_list(list, &[value.to_owned()]).await;
        assert_eq!(removed, Ok(1), "{what}");
        look_into_list(&mut after).await;
        let told = after.send(&World::debit("4", 0), "ok").await;
        assert!(told.starts_with("decision: permit"), "{what}: {told}");
        let added = after.service.add_to_list(list, &lines).await.unwrap();
        assert_eq!((added.new, added.known), (1, 0), "{what}");
        look_into_list(&mut after).await;
        let told = after.send(&quote("5", "old", "A-ok"), "ok").await;
        assert!(told.starts_with(quoted), "{what}: {told}");
    };
    check(Holds::Cards, "6200000000000005", "403 rule").await;
    check(Holds::Persons, "11010519491231002X", "403 rule").await;
    // A debit by agreement tells no phone number.
    check(Holds::Phones, "13800000000", "decision: permit").await;
}

/// Also after the time in which it is read.
#[tokio::test]
async fn a_person_is_forgotten_under_every_key() {
    let bind = format!(r#""type":"bind","order":"1",{}"#, person(0));
    let (_dir, after) = rotated(async |before| drop(before.send(&bind, "ok").await)).await;
    after.later(Duration::from_hours(48));
    let told = Told {
        id_number: Some("11010519491231002X".into()),
        reference: "T-1".into(),
        ..Told::default()
    };
    let forgotten = after.service.forget(&told).await.unwrap();
    assert_eq!((forgotten.agreements, forgotten.evidence), (1, 1), "{forgotten:?}");
}

/// The process that sees the re-bind writes under another key than the one that made the hold, and did not see that.
#[tokio::test]
async fn a_rebind_ends_a_hold_that_another_process_made_under_the_key_before() {
    let dir = tempfile::tempdir().unwrap();
    let process = |current, others: &[u8]| {
        let file = Sqlite::open(&dir.path().join("hefu.db")).unwrap();
        let store = MemoryStore::open(Limits::default(), file, |_| ()).unwrap();
        world_keyed(store, Binding::Observe, Settings::default(), keys(current, others))
    };
    let (before, after) = (process(1, &[]), process(2, &[1]));
    after.later(Duration::from_secs(1));
    before.send(&World::debit("1", 0), "phone").await;
    before.service.store.flush().await.unwrap();
    let held = || process(1, &[]).service.standing_holds().len();
    assert_eq!((held(), after.service.standing_holds().len()), (1, 0));
    after.send(&format!(r#""type":"bind","order":"2",{}"#, person(0)), "ok").await;
    after.service.store.flush().await.unwrap();
    assert_eq!(held(), 0);
}
