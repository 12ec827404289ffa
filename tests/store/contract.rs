//! What every store promises.

use crate::cluster::apart;
use crate::place::{Place, place_of};
use crate::values::{
    NOW, admission, agreement, braking, channel, evidence, hold, leaving, order, payment, record,
    road, tuple,
};
use hefu::domain::answer::{Answer, Billable};
use hefu::domain::id::{AgreementId, MerchantId};
use hefu::domain::keep::Keep;
use hefu::domain::mismatch::{Mismatch, MismatchKind};
use hefu::domain::outcome::{Arrival, Decline, Outcome, Precedence, Suspects};
use hefu::domain::payment::Mode;
use hefu::policy::Effect;
use hefu::reconcile::hold::{Hold, HoldKey, Holding};
use hefu::route::attempts::Heard;
use hefu::store::journal::{Admission, Admitted, Journal as _, Leaving, Need, OrderKey};
use hefu::store::memory::{Limits, LoadError, MemoryStore};
use hefu::store::person::PersonStore as _;
use hefu::store::postgres::Postgres;
use hefu::store::row::RowKey;
use hefu::store::sqlite::{self, OpenError, Sqlite};
use hefu::store::{
    Agreement, AgreementStore as _, Charge, Evidence, EvidenceStore as _, HoldStore as _,
    InquiryStore as _, Owing, PaymentStore as _, Record, Unmapped, UnmappedStore as _,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;

/// Runs `test` on every kind of store.
pub(crate) async fn every(test: impl AsyncFn(MemoryStore)) {
    test(MemoryStore::new(Limits::default())).await;
    for place in Place::every() {
        test(place.open()).await;
    }
}

/// What a channel says of the order is about the payment that left.
#[tokio::test]
async fn a_payment_that_left_is_found_among_many_that_did_not() {
    every(async |store| {
        let refuse = |numbers: std::ops::Range<u128>| {
            for number in numbers {
                let order = Some(order("a").order);
                let effect = Effect::Refuse;
                store.put_record(Record { order, effect, ..record(number) });
            }
        };
        refuse(0..30);
        let record = Record { order: Some(order("a").order), ..record(30) };
        let leaving = Leaving { record: record.into(), ..leaving(30, "a") };
        assert_eq!(store.admit(admission(vec![leaving])).await, Ok(Admitted::Yes));
        refuse(31..60);
        let found = store.by_order(&channel(), &order("a").order);
        assert!(found.contains(&payment(30)) && found.contains(&payment(59)), "{found:?}");
        assert!(found.is_sorted());
    })
    .await;
}

/// What one process heard of a payment another knows when it looks; and what it knows beyond that stays.
#[tokio::test]
async fn what_another_process_heard_of_a_payment_is_known() {
    for place in Place::every() {
        let [here, there] = [place.open(), place.open()];
        assert_eq!(here.admit(admission(vec![leaving(1, "a")])).await, Ok(Admitted::Yes));
        let key = || vec![RowKey::payment(payment(1))];
        there.fetch(key()).await.unwrap();
        let record = there.record(payment(1)).unwrap();
        let arrive = |store: &MemoryStore, outcome, arrival| {
            store.arrive(&record, (outcome, None, arrival), Precedence::default(), NOW)
        };
        arrive(&there, Outcome::Succeeded, Arrival::Statement);
        there.complete(&record, None, Owing::Nothing);
        there.stated(&record);
        there.flush().await.unwrap();
        here.fetch(key()).await.unwrap();
        let known = here.record(payment(1)).unwrap();
        assert!(known.stated);
        assert_eq!(known.outcome, Some((Outcome::Succeeded, None, Arrival::Statement)));
        arrive(&here, Outcome::Reversed, Arrival::Query);
        here.fetch(key()).await.unwrap();
        let known = here.record(payment(1)).unwrap();
        assert_eq!(known.outcome, Some((Outcome::Reversed, None, Arrival::Query)));
    }
}

#[tokio::test]
async fn an_order_is_admitted_once() {
    every(async |store| {
        let admit = async |number, name: &str| {
            store.admit(admission(vec![leaving(number, name)])).await.unwrap()
        };
        assert_eq!(admit(1, "a").await, Admitted::Yes);
        assert_eq!(admit(2, "a").await, Admitted::AlreadySent);
        assert_eq!(admit(3, "b").await, Admitted::Yes);
        assert_eq!(store.expectations(&channel()), 2);
        assert!(store.record(payment(2)).is_none(), "what does not leave is not kept as if it had");
        // What did not leave may come again, and only its own payment gives it back.
        store.reopen(&order("a"), payment(2));
        assert_eq!(admit(2, "a").await, Admitted::AlreadySent);
        store.reopen(&order("a"), payment(1));
        assert_eq!(admit(4, "a").await, Admitted::Yes);
        assert_eq!(admit(5, "a").await, Admitted::AlreadySent);
        // Another merchant's order, another kind of message, and another step are others.
        for other in [
            OrderKey { merchant: Some(MerchantId("n".into())), ..order("a") },
            OrderKey { merchant: None, ..order("a") },
            OrderKey { scenario: hefu::domain::payment::Scenario::Payout, ..order("a") },
            OrderKey { confirms: true, ..order("a") },
        ] {
            let leaving = Leaving { order: Some(other), ..leaving(6, "") };
            assert_eq!(store.admit(admission(vec![leaving])).await, Ok(Admitted::Yes));
        }
    })
    .await;
}

#[tokio::test]
async fn a_batch_is_admitted_whole_or_not_at_all() {
    every(async |store| {
        let batch = |names: &[&str]| {
            let rows = names.iter().zip(1..).map(|(name, number)| leaving(number, name));
            store.admit(admission(rows.collect()))
        };
        assert_eq!(batch(&["a"]).await, Ok(Admitted::Yes));
        assert_eq!(batch(&["b", "a"]).await, Ok(Admitted::AlreadySent));
        assert_eq!(batch(&["c", "c"]).await, Ok(Admitted::AlreadySent));
        assert_eq!(
            batch(&["b", "c"]).await,
            Ok(Admitted::Yes),
            "nothing of the others was claimed"
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_held_is_not_admitted() {
    every(async |store| {
        let key = HoldKey::Tuple(tuple(1));
        assert_eq!(store.make_hold(hold(key.clone()), braking(9)), Holding::Made);
        let admit = async |number| store.admit(admission(vec![leaving(number, "a")])).await;
        assert_eq!(admit(1).await, Ok(Admitted::Held));
        let late = hefu::store::journal::Admission {
            now: NOW.plus(Duration::from_hours(2)),
            ..admission(vec![leaving(2, "late")])
        };
        assert_eq!(store.admit(late).await, Ok(Admitted::Yes), "a hold ends");
        assert!(store.release(&key).is_some());
        assert_eq!(admit(3).await, Ok(Admitted::Yes));
    })
    .await;
}

#[tokio::test]
async fn what_a_channel_said_since_outlives_an_answer_asked_for_before() {
    every(async |store| {
        let at = |secs| NOW.plus(Duration::from_secs(secs));
        let asked = |secs| Evidence { at: at(secs), ..evidence(Answer::Match) };
        let known = || store.evidence(&tuple(1), &channel(), None, NOW).map(|known| known.at);
        store.put_evidence(tuple(1), None, asked(0));
        store.contradict(&tuple(1), &channel(), None, at(2));
        store.put_evidence(tuple(1), None, asked(1));
        assert_eq!(known(), None);
        store.put_evidence(tuple(1), None, asked(3));
        assert_eq!(known(), Some(at(3)));
        store.put_evidence(tuple(1), None, asked(2));
        assert_eq!(known(), Some(at(3)), "a late answer does not supersede a later question's");
    })
    .await;
}

/// Two outcomes at once make one hold, and the second of them is no sign of a bad night.
#[tokio::test]
async fn a_hold_that_stands_is_not_a_pause() {
    every(async |store| {
        let make = |digit, most| store.make_hold(hold(HoldKey::Tuple(tuple(digit))), braking(most));
        assert_eq!(make(1, 1), Holding::Made);
        assert_eq!(make(1, 1), Holding::Standing);
        assert_eq!(make(2, 1), Holding::Paused);
        assert_eq!(make(2, 2), Holding::Made);
    })
    .await;
}

#[tokio::test]
async fn what_is_observed_is_kept_whatever_is_found() {
    every(async |store| {
        let observed = |number| hefu::store::journal::Admission {
            mode: Mode::Observe,
            ..admission(vec![leaving(number, "a")])
        };
        assert_eq!(store.admit(observed(1)).await, Ok(Admitted::Yes));
        assert_eq!(store.admit(observed(2)).await, Ok(Admitted::AlreadySent));
        assert_eq!(store.expectations(&channel()), 2);
        assert!(store.record(payment(2)).is_some());
    })
    .await;
}

/// Everything that is put is there after a restart, and what was taken away is not.
#[tokio::test]
async fn what_lasts_keeps_everything() {
    for place in Place::every() {
        keeps_everything(&place).await;
    }
}

async fn keeps_everything(place: &Place) {
    let store = place.open();
    let (channel, road, later) = (channel(), road(), NOW.plus(Duration::from_mins(30)));
    let id = |name: &str| AgreementId(name.into());
    store.put_evidence(tuple(1), None, evidence(Answer::Match));
    store.put_evidence(tuple(2), None, evidence(Answer::Match));
    store.contradict(&tuple(2), &channel, Some(&road), NOW);
    store.put_agreement(&channel, id("old"), agreement(1), true);
    store.put_agreement(&channel, id("new"), agreement(1), true);
    store.put_agreement(&channel, id("shut"), agreement(2), false);
    store.close_agreement(&channel, &id("shut"));
    store.remember(&channel, "key".into(), agreement(3), later);
    let (kept, released) = (HoldKey::Tuple(tuple(4)), HoldKey::Agreement(channel.clone(), id("a")));
    assert_eq!(store.make_hold(hold(kept.clone()), braking(9)), Holding::Made);
    assert_eq!(store.make_hold(hold(released.clone()), braking(9)), Holding::Made);
    assert!(store.release(&released).is_some());
    let admitted = store.admit(admission(vec![leaving(1, "a"), leaving(2, "b")])).await;
    assert_eq!(admitted, Ok(Admitted::Yes));
    let outcomes = [
        Outcome::NoMatch(Suspects::OneOf(crate::values::four())),
        Outcome::Declined(Decline::InsufficientFunds),
    ];
    let mismatch =
        Mismatch { kind: MismatchKind::MatchThenNoMatch, elements: crate::values::four() };
    store.arrive(
        &record(1),
        (outcomes[0], Some("66".into()), Arrival::Sync),
        Precedence::default(),
        NOW,
    );
    store.complete(&record(1), Some(mismatch), Owing::Nothing);
    // What was judged of it is another since it was put.
    store.verified_since(&record(2), evidence(Answer::NoMatch(crate::values::four())));
    store.put_record(record(3));
    store.arrive(&record(3), (outcomes[1], None, Arrival::Query), Precedence::default(), NOW);
    store.complete(&record(3), None, Owing::AsBefore);
    let unmapped = Unmapped {
        channel: channel.clone(),
        map: "final".into(),
        code: "Z9".into(),
        count: 0,
        last: NOW,
        payment: payment(1),
    };
    store.put_unmapped(unmapped.clone());
    store.put_unmapped(unmapped);
    store.flush().await.unwrap();
    let told = |store: &MemoryStore| {
        let agreements = ["old", "new", "shut"].map(|name| store.agreement(&channel, &id(name)));
        let evidence = [1, 2].map(|at| store.evidence(&tuple(at), &channel, Some(&road), NOW));
        let records = [1, 2, 3].map(|at| store.record(payment(at)));
        let bind = store.recall(&channel, "key", NOW);
        let rest = (store.holds(NOW), store.expectations(&channel), store.unmapped());
        format!("{agreements:#?} {evidence:#?} {records:#?} {bind:#?} {rest:#?}")
    };
    let before = told(&store);
    drop(store);
    let store = place.open();
    assert_eq!(told(&store), before);
    assert_eq!(store.expectations(&channel), 1);
    assert_eq!(store.holds(NOW).len(), 1);
    assert_eq!(store.unmapped()[0].count, 2);
    assert!(store.agreement(&channel, &id("old")).unwrap().closed);
    let again = store.admit(admission(vec![leaving(4, "a")])).await;
    assert_eq!(again, Ok(Admitted::AlreadySent), "an order is remembered");
}

/// Two processes: what one has not looked up, it does not take away.
#[tokio::test]
async fn closing_what_memory_does_not_know_removes_nothing() {
    for place in Place::every() {
        let [here, there] = [place.open(), place.open()];
        let id = AgreementId("a".into());
        there.put_agreement(&channel(), id.clone(), agreement(1), false);
        there.flush().await.unwrap();
        here.close_agreement(&channel(), &id);
        here.flush().await.unwrap();
        drop([here, there]);
        assert!(place.open().agreement(&channel(), &id).is_some());
    }
}

#[tokio::test]
async fn an_inquiry_that_was_cut_off_is_known() {
    for place in Place::every() {
        let inquiry = |number| crate::reserve::question(number, NOW);
        let store = place.open();
        for number in [1, 2] {
            store.open_inquiry(&inquiry(number)).await.unwrap();
        }
        let (answer, code, billable) = (Answer::Match, Some("0".into()), Billable::Yes);
        let charge = Charge {
            inquiry: inquiry(1).inquiry,
            answer,
            code,
            trouble: None,
            took_ms: None,
            billable,
        };
        store.close_inquiry(&charge, &inquiry(1), Heard::Right, NOW);
        drop(store);
        let store = place.open();
        assert_eq!(store.open_inquiries(), [inquiry(2).inquiry], "it may have been billed");
    }
}

/// Replicas have one database, and during an upgrade two processes one file: orders and holds are decided in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_admit_each_order_once() {
    for (place, orders) in Place::every().into_iter().zip([1_000, 10_000]) {
        let stores = [place.open(), place.open()].map(Arc::new);
        let mut racing = JoinSet::new();
        for order in 0..orders {
            for (at, store) in (1..).zip(&stores) {
                let store = Arc::clone(store);
                let leaving = leaving(order * 2 + at, &order.to_string());
                racing.spawn(async move { (order, store.admit(admission(vec![leaving])).await) });
            }
        }
        let mut left = BTreeMap::<u128, i32>::new();
        while let Some(told) = racing.join_next().await {
            let (order, admitted) = told.unwrap();
            *left.entry(order).or_default() += i32::from(admitted.unwrap() == Admitted::Yes);
        }
        assert!(left.values().all(|left| *left == 1), "{left:?}");
    }
}

/// What one process learned binds the very next admission of another, and is there when it looks.
#[tokio::test]
async fn what_one_process_learned_binds_the_other() {
    for place in Place::every() {
        let [here, there] = [place.open(), place.open()];
        let (channel, road, id) = (channel(), road(), AgreementId("a".into()));
        let admit = async |number, need: &Need| {
            let needs = vec![need.clone()];
            let leaving = Leaving { needs, ..leaving(number, &number.to_string()) };
            here.admit(admission(vec![leaving])).await.unwrap()
        };
        let held = HoldKey::Tuple(tuple(1));
        let unheld = Need::NotHeld(held.clone());
        let open = Need::Open(channel.clone(), id.clone());
        let unspoilt = Need::Uncontradicted {
            tuple: tuple(1),
            channel: channel.clone(),
            road: Some(road.clone()),
            since: NOW,
        };
        for (number, need) in (1..).zip([&unheld, &open, &unspoilt]) {
            assert_eq!(admit(number, need).await, Admitted::Yes, "nothing is known of it");
        }
        there.put_evidence(tuple(1), None, evidence(Answer::Match));
        there.put_agreement(&channel, id.clone(), agreement(1), false);
        there.remember(&channel, "key".into(), agreement(3), NOW.plus(Duration::from_mins(1)));
        there.flush().await.unwrap();
        for (number, need) in (11..).zip([&open, &unspoilt]) {
            assert_eq!(admit(number, need).await, Admitted::Yes);
        }
        assert!(here.agreement(&channel, &id).is_none());
        let keys = vec![open.key(), unspoilt.key(), RowKey::waiting(&channel, "key")];
        here.fetch(keys.clone()).await.unwrap();
        assert!(here.agreement(&channel, &id).is_some_and(|agreement| !agreement.closed));
        assert!(here.evidence(&tuple(1), &channel, Some(&road), NOW).is_some());
        assert!(here.recall(&channel, "key", NOW).is_some());
        assert_eq!(there.make_hold(hold(held.clone()), braking(9)), Holding::Made);
        there.close_agreement(&channel, &id);
        there.contradict(&tuple(1), &channel, None, NOW);
        there.flush().await.unwrap();
        assert_eq!(admit(21, &unheld).await, Admitted::Held);
        assert_eq!(admit(22, &open).await, Admitted::Overtaken);
        assert_eq!(admit(23, &unspoilt).await, Admitted::Overtaken);
        here.fetch(keys).await.unwrap();
        assert!(here.agreement(&channel, &id).is_some_and(|agreement| agreement.closed));
        assert!(here.evidence(&tuple(1), &channel, Some(&road), NOW).is_none());
        // A hold that was released there is looked up here before anybody is refused for it.
        here.fetch(vec![unheld.key()]).await.unwrap();
        assert!(here.hold(&held, NOW).is_some());
        assert!(there.release(&held).is_some());
        there.flush().await.unwrap();
        here.fetch(vec![unheld.key()]).await.unwrap();
        assert!(here.hold(&held, NOW).is_none());
        assert_eq!(admit(31, &unheld).await, Admitted::Yes);
    }
}

/// The core hung up: nobody will forward it, and the order may come again.
#[tokio::test]
async fn who_does_not_wait_any_more_claims_nothing() {
    for place in Place::every() {
        let store = place.open();
        let mut admit = Box::pin(store.admit(admission(vec![leaving(1, "a")])));
        assert!(futures::poll!(&mut admit).is_pending());
        drop(admit);
        store.flush().await.unwrap();
        let again = store.admit(admission(vec![leaving(2, "a")])).await;
        assert_eq!(again, Ok(Admitted::Yes));
        drop(store);
        assert_eq!(place.open().expectations(&channel()), 1);
    }
}

#[tokio::test]
async fn what_is_not_kept_any_more_is_purged() {
    for place in Place::every() {
        purges(&place).await;
    }
}

async fn purges(place: &Place) {
    let store = place.open();
    store.put_evidence(tuple(1), None, evidence(Answer::Match));
    store.put_agreement(&channel(), AgreementId("a".into()), agreement(1), false);
    assert_eq!(store.admit(admission(vec![leaving(1, "a")])).await, Ok(Admitted::Yes));
    store.purge(NOW.plus(Duration::from_hours(26)), Keep::default());
    store.flush().await.unwrap();
    drop(store);
    let store = place.open();
    assert!(store.evidence(&tuple(1), &channel(), None, NOW).is_none());
    assert!(store.agreement(&channel(), &AgreementId("a".into())).is_some(), "kept for ever");
    assert!(store.record(payment(1)).is_some(), "kept for long");
    let day = Duration::from_hours(24);
    store.purge(NOW.plus(day * 500), Keep { payments: day * 501, ..Keep::default() });
    store.flush().await.unwrap();
    drop(store);
    let store = place.open();
    assert!(store.record(payment(1)).is_some(), "kept longer than when it was written");
    store.purge(NOW.plus(day * 40), Keep { payments: day * 40, ..Keep::default() });
    store.flush().await.unwrap();
    drop(store);
    let store = place.open();
    assert!(store.record(payment(1)).is_none(), "kept shorter than when it was written");
    assert_eq!(store.expectations(&channel()), 0);
}

fn fresh() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("hefu.db");
    drop(MemoryStore::open(Limits::default(), sqlite::open(&path).unwrap(), |_| ()).unwrap());
    (dir, path)
}

/// A file that is not ours, that a later Hefu wrote, or that is damaged is said to be so, and left alone.
#[tokio::test]
async fn a_file_that_cannot_be_used_is_said_to_be_so() {
    let check = |spoil: &dyn Fn(&Path), expected: &dyn Fn(&OpenError) -> bool| {
        let (_dir, path) = fresh();
        spoil(&path);
        let before = std::fs::read(&path).unwrap();
        let error = Sqlite::open(&path).unwrap_err();
        assert!(expected(&error), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{error}");
    };
    let sql = |path: &Path, sql: &str| {
        rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
    };
    check(&|path| sql(path, "PRAGMA user_version = 99"), &|error| {
        matches!(error, OpenError::Newer { found: 99, .. })
    });
    check(&|path| sql(path, "PRAGMA application_id = 7"), &|error| {
        matches!(error, OpenError::Foreign(_))
    });
    check(
        &|path| std::fs::write(path, "no database, but long enough to be one").unwrap(),
        &|error| matches!(error, OpenError::Database { .. }),
    );
    // A row that cannot be read is not passed over.
    let (_dir, path) = fresh();
    sql(&path, "INSERT INTO holds (key, value) VALUES ('k', '{}')");
    let loaded = MemoryStore::open(Limits::default(), sqlite::open(&path).unwrap(), |_| ());
    assert!(matches!(loaded, Err(LoadError::Row { of: "holds", .. })));
}

/// A report of a later Hefu brought the schema up to date under an earlier one, which could not start again then; so did a backup,
/// which the earlier one could not use.
#[tokio::test]
async fn who_only_reads_changes_no_schema() {
    for place in Place::every() {
        drop(place.open());
        let refused = || match &place {
            Place::File(dir) => {
                let refused = sqlite::open_to_read(&dir.path().join("hefu.db"));
                refused.map(drop).unwrap_err().to_string()
            }
            Place::Shared(cluster) => apart(|| {
                let refused = Postgres::open_to_read(&place_of(cluster), &[]);
                refused.map(drop).unwrap_err().to_string()
            }),
        };
        match &place {
            Place::File(_) => place.sql("PRAGMA user_version = 1"),
            Place::Shared(_) => place.sql("UPDATE hefu_schema SET version = 1"),
        }
        let told = refused();
        assert!(told.contains("has schema 1 and this Hefu "), "{told}");
        assert_eq!(refused(), told);
        if let Place::File(dir) = &place {
            let copy = dir.path().join("copy.db");
            sqlite::back_up(&dir.path().join("hefu.db"), &copy).unwrap();
            let copy = rusqlite::Connection::open(copy).unwrap();
            let version: u32 =
                copy.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            assert_eq!(version, 1);
            assert_eq!(refused(), told);
        }
    }
}

/// Of more holds than memory has room for some were not known after a start, and what they held left.
#[tokio::test]
async fn every_hold_that_is_kept_binds() {
    for place in Place::every() {
        let few = Limits { holds: 2, ..Limits::default() };
        let store = place.open_within(few);
        let later = NOW.plus(Duration::from_hours(2));
        let on = |number| HoldKey::Tuple(tuple(number));
        // By name the last ends first, and makes room for another in memory.
        for (number, since) in [(9, NOW), (1, later), (2, later)] {
            let until = since.plus(Duration::from_hours(1));
            let hold = Hold { since, until, ..hold(on(number)) };
            assert_eq!(store.make_hold(hold, braking(9)), Holding::Made);
        }
        store.flush().await.unwrap();
        drop(store);
        let store = place.open_within(few);
        for number in [1, 2] {
            let needs = vec![Need::NotHeld(on(number))];
            let leaving = Leaving { needs, ..leaving(number.into(), &number.to_string()) };
            let admission = Admission { now: later, ..admission(vec![leaving]) };
            assert_eq!(store.admit(admission).await, Ok(Admitted::Held), "{number}");
        }
        // Who is alone knows both of them, and has room for no more.
        if let Place::File(_) = place {
            let more = Hold { since: later, ..hold(on(3)) };
            assert_eq!(store.make_hold(more, braking(9)), Holding::Paused);
        }
    }
}

/// Memory has no room for all of them: they are kept, looked up, and closed where they are kept, also by their card.
#[tokio::test]
async fn agreements_that_memory_has_no_room_for_are_kept_and_closed() {
    for place in Place::every() {
        let few = Limits { agreements: 1, ..Limits::default() };
        let store = place.open_within(few);
        let id = |name: &str| AgreementId(name.into());
        let other = |name: &str| (id(name), Agreement { merchant: None, ..agreement(1) });
        for (id, agreement) in [(id("a"), agreement(1)), (id("b"), agreement(2)), other("c")] {
            store.put_agreement(&channel(), id, agreement, false);
        }
        let standing = async |store: &MemoryStore| {
            let ids = ["a", "b", "c", "d", "e"].map(id);
            let kept = store.kept_agreements(&channel(), &ids).await.unwrap();
            kept.into_iter().map(|kept| kept.map(|it| it.closed)).collect::<Vec<_>>()
        };
        let open = Some(false);
        assert_eq!(standing(&store).await, [open, open, open, None, None]);
        store.fetch(vec![RowKey::agreement(&channel(), &id("a"))]).await.unwrap();
        assert!(store.agreement(&channel(), &id("a")).is_some(), "it is looked up");
        store.fetch(vec![RowKey::agreement(&channel(), &id("b"))]).await.unwrap();
        // The same card, and the same merchant.
        store.put_agreement(&channel(), id("d"), agreement(1), true);
        assert_eq!(standing(&store).await, [Some(true), open, open, open, None]);
        store.close_agreement(&channel(), &id("b"));
        assert_eq!(standing(&store).await, [Some(true), Some(true), open, open, None]);
        drop(store);
        // Another process knows none of its agreements.
        let [here, there] = [place.open_within(few), place.open()];
        here.put_agreement(&channel(), id("e"), agreement(1), true);
        assert_eq!(standing(&here).await, [Some(true), Some(true), open, Some(true), open]);
        drop(there);
    }
}

/// An agreement that memory had made room of stayed open beside the one that was bound anew, once memory had room again.
#[tokio::test]
async fn whatever_memory_forgets_an_agreement_is_closed_where_it_is_kept() {
    for place in Place::every() {
        let store = place.open_within(Limits { agreements: 1, ..Limits::default() });
        let [first, other, again] = ["a", "b", "c"].map(|id| AgreementId(id.into()));
        let theirs = Agreement { person: Some(tuple(9)), ..agreement(2) };
        store.put_agreement(&channel(), first.clone(), agreement(1), true);
        store.put_agreement(&channel(), other, theirs, true);
        let forgotten = store.forget(&[tuple(9)], NOW.plus(Duration::from_secs(1))).await.unwrap();
        assert_eq!(forgotten.agreements, 1);
        store.put_agreement(&channel(), again, agreement(1), true);
        let kept = store.kept_agreements(&channel(), &[first]).await.unwrap();
        assert!(kept[0].as_ref().unwrap().closed);
    }
}

/// A newer answer that is no match makes nothing good: who rests on the older one is still contradicted.
#[tokio::test]
async fn a_newer_no_match_drops_no_contradiction() {
    for place in Place::every() {
        let [here, there] = [place.open(), place.open()];
        let at = |secs| NOW.plus(Duration::from_secs(secs));
        here.put_evidence(tuple(1), None, evidence(Answer::Match));
        here.contradict(&tuple(1), &channel(), None, at(1));
        here.flush().await.unwrap();
        let answered = |answer, secs| Evidence { at: at(secs), ..evidence(answer) };
        let admit = async |number: u128| {
            let (tuple, channel, road) = (tuple(1), channel(), None);
            let needs = vec![Need::Uncontradicted { tuple, channel, road, since: NOW }];
            let leaving = Leaving { needs, ..leaving(number, &number.to_string()) };
            place.open().admit(admission(vec![leaving])).await.unwrap()
        };
        assert_eq!(admit(1).await, Admitted::Overtaken);
        there.put_evidence(tuple(1), None, answered(Answer::NoMatch(crate::values::four()), 2));
        there.flush().await.unwrap();
        assert_eq!(admit(2).await, Admitted::Overtaken);
        there.put_evidence(tuple(1), None, answered(Answer::Match, 3));
        there.flush().await.unwrap();
        assert_eq!(admit(3).await, Admitted::Yes, "asked for since, and a match");
    }
}

/// Two processes, each of which knows only its own.
#[tokio::test]
async fn of_two_holds_the_one_that_ends_later_stands() {
    for place in Place::every() {
        let [here, there] = [place.open(), place.open()];
        let key = HoldKey::Tuple(tuple(1));
        let long = hold(key.clone());
        let soon = NOW.plus(Duration::from_mins(1));
        let short = Hold { since: NOW.plus(Duration::from_secs(1)), until: soon, ..long.clone() };
        assert_eq!(here.make_hold(long.clone(), braking(9)), Holding::Made);
        here.flush().await.unwrap();
        assert_eq!(there.make_hold(short, braking(9)), Holding::Made);
        there.flush().await.unwrap();
        there.fetch(vec![RowKey::hold(&key)]).await.unwrap();
        assert_eq!(there.hold(&key, NOW), Some(long));
        assert!(there.release(&key).is_some());
        there.flush().await.unwrap();
        assert_eq!(place.open().hold(&key, NOW), None);
    }
}

/// A query settled where the evidence could not be looked up.
#[tokio::test]
async fn unknown_evidence_is_contradicted_where_it_is_kept() {
    for place in Place::every() {
        let [here, there] = [place.open(), place.open()];
        there.put_evidence(tuple(1), None, evidence(Answer::Match));
        there.flush().await.unwrap();
        here.contradict(&tuple(1), &channel(), None, NOW);
        here.contradict(&tuple(2), &channel(), None, NOW);
        here.flush().await.unwrap();
        drop([here, there]);
        let store = place.open();
        assert!(store.evidence(&tuple(1), &channel(), None, NOW).is_none());
    }
}
