//! What was undone: by whoever that is told, whenever, and whoever asked for it.

use crate::outcomes::{event, every};
use crate::{World, world_over};
use hefu::domain::id::OrderId;
use hefu::domain::mismatch::MismatchKind;
use hefu::domain::outcome::{Arrival, Decline, Outcome, Precedence};
use hefu::reconcile::arrival::Step;
use hefu::service::overdue::Swept;
use hefu::service::settle::Reported;
use hefu::service::statement::{Came, Difference};
use hefu::service::{Binding, Settings};
use hefu::store::Owing;
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::row::RowKey;
use hefu::store::sqlite::Sqlite;
use std::time::Duration;

/// That it was undone was told first: it was then known as undone, and that it had succeeded was never told.
#[tokio::test]
async fn a_reversal_that_is_heard_before_the_success_is_one() {
    let mut words = Vec::new();
    for undone_by in ["notify", "query", "statement"] {
        for success_by in ["sync", "notify", "query", "statement"] {
            words.push((undone_by, success_by));
        }
    }
    for (undone_by, success_by) in words {
        every(async |world| {
            let name = format!("undone by {undone_by}, success by {success_by}");
            let world = world.pinned();
            let judged = world.judge(&world.channel, &World::debit("1", 0)).await.unwrap();
            let tell = async |by: &str, state: &str| match by {
                "notify" => {
                    let told = format!(
                        r#""of":"debit","order":"1","amount":"100","code":"ok","state":"{state}""#
                    );
                    world.told(&told).await;
                }
                "query" => drop(world.query("1", "ok", state).await),
                _ => drop(world.stated(&format!("debit|1|100|{state}")).await),
            };
            tell(undone_by, "back").await;
            // What was merely told is owed until who can be asked confirms it.
            let told = undone_by == "notify";
            let open = (world.open(), world.mismatches());
            assert_eq!(open, (usize::from(told), Vec::new()), "{name}");
            if success_by == "sync" {
                world.settle(judged, "ok").await;
            } else {
                tell(success_by, "ok").await;
            }
            let expected = (usize::from(told), vec!["reversed_after_success 1".to_owned()]);
            assert_eq!((world.open(), world.mismatches()), expected, "{name}");
            for by in ["query", "statement", "notify"] {
                tell(by, "ok").await;
            }
            assert_eq!((world.open(), world.mismatches()), expected, "{name}, once more");
            let of = world.service.store.by_order(world.channel.name(), &OrderId("1".into()));
            let record = world.service.store.record(of[0]).unwrap();
            assert_eq!(
                record.outcome.as_ref().map(|(it, ..)| *it),
                Some(Outcome::Reversed),
                "{name}"
            );
            assert_eq!(record.mismatch.map(|it| it.kind), Some(MismatchKind::ReversedAfterSuccess));
            tell("query", "back").await;
            assert_eq!((world.open(), world.mismatches()), (0, expected.1), "{name}, confirmed");
            let events = world.waiting().await;
            let events: Vec<_> = events.iter().map(event).collect();
            assert_eq!(events, ["mismatch 1 reversed_after_success"], "{name}");
        })
        .await;
    }
}

impl World {
    /// The channel tells that a payment was undone, by itself, or when it is asked, or in its statement.
    async fn undone(&self, by: &str, order: &str) {
        let told =
            format!(r#""of":"debit","order":"{order}","amount":"100","code":"ok","state":"back""#);
        match by {
            "notify" => drop(self.told(&told).await),
            "query" => drop(self.query(order, "ok", "back").await),
            _ => drop(self.stated(&format!("debit|{order}|100|back")).await),
        }
    }
}

/// The core's refund was on its way when the channel told that the payment was undone: that was told as a reversal. If the channel then
/// refuses the refund, it is one.
#[tokio::test]
async fn a_reversal_while_the_cores_refund_is_under_way_is_none_unless_it_is_refused() {
    // What comes of the refund, and whether it was a reversal then.
    let answers =
        [("ok", 0), ("taken", 0), ("ZZ", 0), ("in doubt", 0), ("poor", 1), ("not sent", 1)];
    for (answer, reversals) in answers {
        for by in ["notify", "query", "statement"] {
            every(async |world| {
                let (world, name) = (world.pinned(), format!("{answer} {by}"));
                world.send(&World::debit("1", 0), "ok").await;
                let refund = r#""type":"refund","order":"2","original":"1""#;
                let refund = world.judge(&world.channel, refund).await.unwrap();
                world.undone(by, "1").await;
                assert_eq!(world.mismatches(), [""; 0], "{name}");
                match answer {
                    "in doubt" => {
                        world.service.settle(refund, Reported::InDoubt).await;
                    }
                    "not sent" => {
                        world.service.settle(refund, Reported::NotSent).await;
                    }
                    code => world.settle(refund, code).await,
                }
                let told = |count| match count {
                    0 => Vec::new(),
                    count => vec![format!("reversed_after_success {count}")],
                };
                assert_eq!(world.mismatches(), told(reversals), "{name}");
                let events = world.waiting().await.len();
                assert_eq!(events, usize::try_from(reversals).unwrap(), "{name}");
                // Whoever tells it again tells no more.
                for by in ["notify", "query", "statement"] {
                    world.undone(by, "1").await;
                }
                assert_eq!(world.mismatches(), told(reversals), "{name}");
            })
            .await;
        }
    }
}

/// One refund was refused, and another was not: it is the core's.
#[tokio::test]
async fn one_refund_of_several_that_is_not_refused_is_enough() {
    for refused in [0, 1] {
        let world = crate::world().pinned();
        world.send(&World::debit("1", 0), "ok").await;
        let mut refunds = Vec::new();
        for order in ["2", "3"] {
            let refund = format!(r#""type":"refund","order":"{order}","original":"1""#);
            refunds.push(world.judge(&world.channel, &refund).await.unwrap());
        }
        world.undone("notify", "1").await;
        for (nth, refund) in refunds.into_iter().enumerate() {
            world.settle(refund, if nth == refused { "poor" } else { "ok" }).await;
        }
        assert_eq!(world.mismatches(), [""; 0], "{refused}");
    }
}

/// The refund leaves through one replica, which never heard of the payment; the reversal is told to another.
#[tokio::test]
async fn a_refund_at_one_replica_is_the_cores_at_another() {
    for (answer, reversals) in [("ok", 0), ("poor", 1)] {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let backend = Sqlite::open(&dir.path().join("hefu.db")).unwrap();
            let store = MemoryStore::open(Limits::default(), backend, |_| ()).unwrap();
            world_over(store, Binding::Enforce(100), Settings::default()).pinned()
        };
        let [first, second, third] = [(); 3].map(|()| open());
        first.send(&World::debit("1", 0), "ok").await;
        first.service.store.flush().await.unwrap();
        let refund = r#""type":"refund","order":"2","original":"1""#;
        let refund = second.judge(&second.channel, refund).await.unwrap();
        let of = first.service.store.by_order(first.channel.name(), &OrderId("1".into()))[0];
        while second.service.store.record(of).is_none_or(|of| !of.is_undone()) {
            tokio::task::yield_now().await;
        }
        second.service.store.flush().await.unwrap();
        third.undone("notify", "1").await;
        third.service.store.flush().await.unwrap();
        second.settle(refund, answer).await;
        let kind = [("kind", "reversed_after_success")];
        let counted = [&first, &second, &third]
            .map(|world| world.service.metrics.total("hefu_mismatches_total", &kind));
        assert_eq!(counted, [0, reversals, 0], "{answer}");
        second.service.store.flush().await.unwrap();
        let kept = open().service.store.record(of).unwrap();
        assert_eq!(kept.mismatch.is_some(), reversals > 0, "{answer}");
    }
}

/// Two replicas hear of a payment that was taken, each before it knows what the other heard. Yields a third, which finds what is kept then.
async fn at_once(heard: [(Outcome, Arrival); 2]) -> (World, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hefu.db");
    let open = || {
        let store = MemoryStore::open(Limits::default(), Sqlite::open(&path).unwrap(), |_| ());
        world_over(store.unwrap(), Binding::Enforce(100), Settings::default()).pinned()
    };
    let (one, other) = (open(), open());
    one.send(&World::debit("1", 0), "taken").await;
    one.service.store.flush().await.unwrap();
    let of = one.service.store.by_order(one.channel.name(), &OrderId("1".into()))[0];
    other.service.store.fetch(vec![RowKey::payment(of)]).await.unwrap();
    for (world, (outcome, arrival)) in [&one, &other].into_iter().zip(heard) {
        let record = world.service.store.record(of).unwrap();
        let now = record.at.plus(Duration::from_mins(1));
        let reported = (outcome, None, arrival);
        let step = world.service.store.arrive(&record, reported, Precedence::default(), now);
        assert_eq!(step, Step::Ended);
        let owing = match outcome {
            Outcome::Reversed => Owing::Since(now),
            _ if arrival.is_asked() => Owing::Nothing,
            _ => Owing::NoOutcome,
        };
        world.service.store.complete(&record, None, owing);
        world.service.store.flush().await.unwrap();
    }
    (open(), dir)
}

async fn told(world: &World, state: &str) {
    let told = format!(r#""of":"debit","order":"1","amount":"100","code":"ok","state":"{state}""#);
    world.told(&told).await;
}

/// One replica heard that it had succeeded, and another that it was undone: neither knew both, and unless it was told once more that it
/// was undone, nobody told of it.
#[tokio::test]
async fn a_success_at_one_replica_and_its_reversal_at_another_are_told_once() {
    for then in ["back", "ok", "asked ok", "stated ok", "nothing"] {
        let heard = [(Outcome::Reversed, Arrival::Notify), (Outcome::Succeeded, Arrival::Notify)];
        let (third, _dir) = at_once(heard).await;
        match then {
            "asked ok" => drop(third.query("1", "ok", "ok").await),
            "stated ok" => {
                let came = third.stated("debit|1|100|ok").await;
                assert_eq!(came, [Came::Differs(Difference::Reversed)]);
            }
            "nothing" => {
                // It is owed until somebody confirms that it was undone.
                third.later(Duration::from_hours(24 * 30));
                third.swept(&mut Swept::default()).await;
            }
            state => told(&third, state).await,
        }
        let told =
            || third.mismatches().iter().filter(|it| *it == "reversed_after_success 1").count();
        assert_eq!(told(), 1, "{then}");
        third.query("1", "ok", "back").await;
        assert_eq!((third.open(), told()), (0, 1), "{then}");
    }
}

/// Asked too early, the channel knew of no such payment, and another replica was told that it had succeeded: which of the two copies
/// counted was decided by who was asked, and the success was lost.
#[tokio::test]
async fn a_success_at_one_replica_outlives_that_it_was_not_known_at_another() {
    let not_known = Outcome::Declined(Decline::NotProcessed);
    let heard = [(not_known, Arrival::Query), (Outcome::Succeeded, Arrival::Notify)];
    for heard in [heard, [heard[1], heard[0]]] {
        let (third, _dir) = at_once(heard).await;
        let store = &third.service.store;
        let of = store.by_order(third.channel.name(), &OrderId("1".into()))[0];
        let outcome = store.record(of).unwrap().became.outcome.unwrap();
        assert_eq!(outcome.0, Outcome::Succeeded, "{heard:?}");
    }
}

/// What was merely told to be undone was owed for ever where who was asked said that it had failed.
#[tokio::test]
async fn what_was_undone_because_it_failed_is_owed_no_more() {
    for by in ["query", "statement"] {
        let world = crate::world().pinned();
        world.send(&World::debit("1", 0), "taken").await;
        told(&world, "back").await;
        assert_eq!(world.open(), 1, "{by}");
        match by {
            "query" => drop(world.query("1", "ok", "poor").await),
            _ => drop(world.stated("debit|1|100|poor").await),
        }
        assert_eq!((world.open(), world.mismatches()), (0, Vec::new()), "{by}");
        let of = world.service.store.by_order(world.channel.name(), &OrderId("1".into()))[0];
        let outcome = world.service.store.record(of).unwrap().became.outcome.unwrap();
        assert_eq!(outcome.0, Outcome::Reversed, "{by}");
    }
}

/// While the core's request was under way at one replica, another was told that the payment was undone: the answer, that it succeeded,
/// took away what was owed, and nobody told of the reversal.
#[tokio::test]
async fn an_answer_takes_away_nothing_that_another_replica_is_owed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hefu.db");
    let open = || {
        let store = MemoryStore::open(Limits::default(), Sqlite::open(&path).unwrap(), |_| ());
        world_over(store.unwrap(), Binding::Enforce(100), Settings::default()).pinned()
    };
    let (one, other) = (open(), open());
    let judged = one.judge(&one.channel, &World::debit("1", 0)).await.unwrap();
    one.service.store.flush().await.unwrap();
    told(&other, "back").await;
    one.settle(judged, "ok").await;
    one.service.store.flush().await.unwrap();
    let third = open();
    third.later(Duration::from_hours(24 * 30));
    third.swept(&mut Swept::default()).await;
    let told = third.mismatches();
    assert!(told.contains(&"reversed_after_success 1".to_owned()), "{told:?}");
}
