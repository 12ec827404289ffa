//! A person who is forgotten: in memory, in the database, and in the memories of others.

use crate::place::Place;
use crate::values::{NOW, agreement, braking, channel, evidence, hold, record, tuple};
use hefu::domain::answer::Answer;
use hefu::domain::clock::Timestamp;
use hefu::domain::id::{AgreementId, Fingerprint};
use hefu::reconcile::hold::{Hold, HoldKey, Holding};
use hefu::store::journal::Journal as _;
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::person::{Forgotten, PersonStore as _};
use hefu::store::row::RowKey;
use hefu::store::{
    Agreement, AgreementStore as _, Evidence, EvidenceStore as _, HoldStore as _, PaymentStore as _,
};
use std::time::Duration;

const EVERYTHING: Forgotten = Forgotten { evidence: 1, agreements: 1, waiting_binds: 1, holds: 1 };

fn person(digit: u8) -> Fingerprint {
    tuple(100 + digit)
}

fn id(digit: u8) -> AgreementId {
    AgreementId(digit.to_string().into())
}

/// Something of every kind about a person, as of `at`.
fn learn(store: &MemoryStore, digit: u8, at: Timestamp) {
    let whose = Some(person(digit));
    store.put_evidence(tuple(digit), whose, Evidence { at, ..evidence(Answer::Match) });
    let bind = Agreement { person: whose, at, ..agreement(digit) };
    store.put_agreement(&channel(), id(digit), bind.clone(), true);
    store.remember(&channel(), digit.to_string(), bind, at.plus(Duration::from_mins(30)));
    let held = Hold { person: whose, since: at, ..hold(HoldKey::Tuple(tuple(digit))) };
    assert_eq!(store.make_hold(held, braking(9)), Holding::Made);
}

/// What memory knows of a person.
fn known(store: &MemoryStore, digit: u8) -> usize {
    let key = HoldKey::Tuple(tuple(digit));
    [
        store.evidence(&tuple(digit), &channel(), None, NOW).is_some(),
        store.agreement(&channel(), &id(digit)).is_some(),
        store.recall(&channel(), &digit.to_string(), NOW).is_some(),
        store.hold(&key, NOW).is_some(),
    ]
    .into_iter()
    .filter(|known| *known)
    .count()
}

/// What is kept of a person, wherever that is.
async fn kept(store: &MemoryStore, digit: u8) -> usize {
    let keys = vec![
        RowKey::evidence(&tuple(digit)),
        RowKey::agreement(&channel(), &id(digit)),
        RowKey::waiting(&channel(), &digit.to_string()),
        RowKey::hold(&HoldKey::Tuple(tuple(digit))),
    ];
    store.fetch(keys).await.unwrap();
    known(store, digit)
}

#[tokio::test]
async fn a_person_is_forgotten_and_nobody_else() {
    let test = async |store: &MemoryStore| {
        learn(store, 1, NOW);
        learn(store, 2, NOW);
        store.put_record(record(1));
        assert_eq!((kept(store, 1).await, kept(store, 2).await), (4, 4));
        assert_eq!(store.forget(&[person(1), person(9)], NOW).await, Ok(EVERYTHING));
        assert_eq!((kept(store, 1).await, kept(store, 2).await), (0, 4));
        assert_eq!(store.forget(&[person(1)], NOW).await, Ok(Forgotten::default()));
        // An answer that was on its way is not kept; who comes again is known again.
        store.put_evidence(tuple(1), Some(person(1)), evidence(Answer::Match));
        assert_eq!(kept(store, 1).await, 0);
        learn(store, 1, NOW.plus(Duration::from_secs(1)));
        assert_eq!(store.forget_others().await, Ok(Forgotten::default()));
        assert_eq!(kept(store, 1).await, 4);
        assert!(store.record(crate::values::payment(1)).is_some(), "payments stay");
    };
    test(&MemoryStore::new(Limits::default())).await;
    for place in Place::every() {
        let store = place.open();
        test(&store).await;
        drop(store);
        let store = place.open();
        assert_eq!((known(&store, 1), known(&store, 2)), (4, 4));
        assert_eq!(store.forget_others().await, Ok(Forgotten::default()), "those came later");
        assert_eq!((known(&store, 1), known(&store, 2)), (4, 4));
    }
}

/// Another process has them in memory, and may write them again, until it looks.
#[tokio::test]
async fn a_person_is_forgotten_by_every_process() {
    for place in Place::every() {
        let [here, there] = [place.open(), place.open()];
        learn(&here, 1, NOW);
        learn(&here, 2, NOW);
        here.flush().await.unwrap();
        assert_eq!((kept(&there, 1).await, kept(&there, 2).await), (4, 4));
        assert_eq!(here.forget(&[person(1)], NOW).await, Ok(EVERYTHING));
        there.close_agreement(&channel(), &id(1));
        there.contradict(&tuple(1), &channel(), None, NOW);
        there.flush().await.unwrap();
        let written = Forgotten { holds: 1, waiting_binds: 1, ..EVERYTHING };
        assert_eq!(there.forget_others().await, Ok(written));
        assert_eq!(there.forget_others().await, Ok(Forgotten::default()));
        assert_eq!(known(&there, 1), 0);
        drop([here, there]);
        let store = place.open();
        assert_eq!((known(&store, 1), known(&store, 2)), (0, 4));
    }
}

/// Memory has no room for everything that is kept.
#[tokio::test]
async fn what_is_not_in_memory_is_forgotten_too() {
    for place in Place::every() {
        let store = place.open();
        learn(&store, 1, NOW);
        learn(&store, 2, NOW);
        store.flush().await.unwrap();
        drop(store);
        let limits = Limits { evidence: 0, agreements: 0, holds: 0, ..Limits::default() };
        let store = place.open_within(limits);
        // Who is alone knows all holds.
        let holds = usize::from(matches!(place, Place::File(_)));
        assert_eq!((known(&store, 1), known(&store, 2)), (holds, holds));
        assert_eq!(store.forget(&[person(1)], NOW).await, Ok(EVERYTHING));
        drop(store);
        let store = place.open();
        assert_eq!((known(&store, 1), known(&store, 2)), (0, 4));
    }
}
