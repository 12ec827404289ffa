//! What is owed and does not come, what differs, who is told of it, and how it is found again.

use crate::{World, person, world, world_over, world_with};
use hefu::domain::answer::Answer;
use hefu::domain::clock::Timestamp;
use hefu::domain::element::ElementSet;
use hefu::domain::id::{ChannelName, OrderId, PaymentId};
use hefu::domain::mismatch::MismatchKind;
use hefu::domain::outcome::{Arrival, Outcome, Precedence};
use hefu::reconcile::due::Level;
use hefu::service::mismatch::Wanted;
use hefu::service::overdue::{Promises, Swept};
use hefu::service::search::Search;
use hefu::service::settle::Reported;
use hefu::service::webhook::Delivery;
use hefu::service::{Binding, Settings};
use hefu::store::Owing;
use hefu::store::hook::{Hook, Shelf};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::sqlite::{self, Sqlite};
use std::path::Path;
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

fn telling() -> Settings {
    Settings { tells: true, ..Settings::default() }
}

fn over(path: &Path) -> World {
    let store = MemoryStore::open(Limits::default(), sqlite::open(path).unwrap(), |_| ()).unwrap();
    world_over(store, Binding::Enforce(100), telling())
}

/// Every kind of store.
pub(crate) async fn every(test: impl AsyncFn(World)) {
    test(world_with(Binding::Enforce(100), telling())).await;
    let dir = tempfile::tempdir().unwrap();
    test(over(&dir.path().join("hefu.db"))).await;
}

impl World {
    pub(crate) async fn swept(&self, swept: &mut Swept) -> usize {
        self.service.sweep(&Promises::default(), swept).await.unwrap()
    }

    /// The mismatches that are kept, the newest payments' first: kind, order, and whether nobody and nothing made it good.
    async fn kept(&self, wanted: &Wanted) -> Vec<String> {
        let wanted = Wanted { most: 100, ..wanted.clone() };
        let found = self.service.mismatches(&wanted).await.unwrap().mismatches;
        let shown = found.iter().map(|it| {
            let order = it.mismatch.order.as_ref().map_or("-", |order| &order.0);
            let open = if it.came || it.mismatch.resolved.is_some() { "" } else { " open" };
            format!("{} {order}{open}", it.mismatch.kind.as_str())
        });
        shown.collect()
    }

    pub(crate) async fn waiting(&self) -> Vec<Hook> {
        self.service.hooks(Shelf::Waiting, None, 100).await.unwrap()
    }
}

pub(crate) fn event(hook: &Hook) -> String {
    let body: serde_json::Value = serde_json::from_str(&hook.body).unwrap();
    assert_eq!(body["id"], hook.id.to_string());
    let part = |name: &str| body[name].as_str().unwrap_or("-").to_owned();
    format!("{} {} {}", part("event"), part("order"), part("mismatch"))
}

#[tokio::test]
async fn an_outcome_that_does_not_come_is_missing_once() {
    every(async |world| {
        let mut swept = Swept::default();
        world.send(&World::debit("1", 0), "taken").await;
        world.send(&World::debit("2", 0), "ok").await;
        assert_eq!(world.swept(&mut swept).await, 0);
        world.later((HOUR * 2).saturating_sub(Duration::from_millis(1)));
        assert_eq!(world.swept(&mut swept).await, 0, "not yet");
        world.send(&World::debit("3", 0), "taken").await;
        world.later(Duration::from_millis(1));
        assert_eq!(world.swept(&mut swept).await, 1);
        assert_eq!(world.swept(&mut swept).await, 0, "it is known");
        assert_eq!(world.swept(&mut Swept::default()).await, 0, "to another process, too");
        assert_eq!(world.mismatches(), ["missing_outcome 1"]);
        assert_eq!(world.kept(&Wanted::default()).await, ["missing_outcome 1 open"]);
        assert_eq!(world.open(), 2, "it is owed all the same");
        // A later outcome closes it, and what it says counts.
        world.query("1", "ok", "phone").await;
        assert_eq!((world.open(), world.held()), (1, 1));
        let kept = world.kept(&Wanted::default()).await;
        assert_eq!(kept, ["missing_outcome 1", "match_then_no_match 1 open"]);
        world.later(HOUR * 2);
        assert_eq!(world.swept(&mut swept).await, 1);
        let open = Wanted { open: true, ..Wanted::default() };
        let kept = world.kept(&open).await;
        assert_eq!(kept, ["missing_outcome 3 open", "match_then_no_match 1 open"]);
        let one = Wanted { kind: Some(MismatchKind::MissingOutcome), ..Wanted::default() };
        assert_eq!(world.kept(&one).await, ["missing_outcome 3 open", "missing_outcome 1"]);
    })
    .await;
}

/// The sweep went by what it had read of a page: what came meanwhile was missing all the same.
#[tokio::test]
async fn what_comes_while_others_are_missed_is_not_missing() {
    let dir = tempfile::tempdir().unwrap();
    let world = over(&dir.path().join("hefu.db"));
    let store = &world.service.store;
    for order in ["1", "2"] {
        world.send(&World::debit(order, 0), "taken").await;
        world.later(Duration::from_millis(1));
    }
    world.later(HOUR * 3);
    let mut swept = Swept::default();
    let settle = async {
        while world.payment("1").mismatch.is_none() {
            tokio::task::yield_now().await;
        }
        let of = world.payment("2");
        let came = (Outcome::Succeeded, None, Arrival::Query);
        store.arrive(&of, came, Precedence::default(), world.service.clock.now());
        store.complete(&of, None, Owing::Nothing);
    };
    tokio::join!(world.swept(&mut swept), settle);
    assert_eq!(world.payment("2").mismatch, None);
    // However late it is found out.
    store.overdue(&world.payment("2"));
    assert_eq!(world.payment("2").mismatch, None);
    assert_eq!(world.open(), 1);
}

#[tokio::test]
async fn a_restart_and_a_replica_count_what_is_missing_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hefu.db");
    // Without a log in front of it, as replicas have it.
    let open = || {
        let store = MemoryStore::open(Limits::default(), Sqlite::open(&path).unwrap(), |_| ());
        world_over(store.unwrap(), Binding::Enforce(100), telling())
    };
    let world = open();
    world.send(&World::debit("1", 0), "taken").await;
    world.send(&World::debit("2", 0), "taken").await;
    let settled = world.service.clock.now();
    drop(world);
    // Two that have the store at once, neither of which saw the payments leave.
    let (one, other) = (open(), open());
    for world in [&one, &other] {
        assert_eq!(world.service.clock.now(), settled);
        world.later(HOUR * 3);
    }
    one.query("2", "ok", "ok").await;
    let found = [one.swept(&mut Swept::default()).await, other.swept(&mut Swept::default()).await];
    assert_eq!(found, [1, 0], "and what one heard of, the other does not miss");
    drop((one, other));
    let again = open();
    again.later(HOUR * 4);
    assert_eq!(again.swept(&mut Swept::default()).await, 0);
    assert_eq!(again.kept(&Wanted::default()).await, ["missing_outcome 1 open"]);
}

#[tokio::test]
async fn what_was_reversed_is_owed_until_it_is_confirmed() {
    every(async |world| {
        let pinned = world.pinned();
        pinned.send(&World::debit("1", 0), "ok").await;
        assert_eq!(pinned.open(), 0);
        pinned.told(r#""of":"debit","order":"1","amount":"100","code":"ok","state":"back""#).await;
        assert_eq!(
            (pinned.open(), pinned.mismatches()),
            (1, vec!["reversed_after_success 1".to_owned()])
        );
        let mut swept = Swept::default();
        pinned.later(HOUR);
        assert_eq!(pinned.swept(&mut swept).await, 0, "since then, and not since the payment");
        pinned.later(HOUR);
        assert_eq!(pinned.swept(&mut swept).await, 1);
        pinned.query("1", "ok", "back").await;
        assert_eq!(pinned.open(), 0, "the query confirms it");
        let kept = pinned.kept(&Wanted { open: true, ..Wanted::default() }).await;
        assert_eq!(kept, ["reversed_after_success 1 open"]);
    })
    .await;
}

#[tokio::test]
async fn what_a_channel_promises_is_its_own() {
    let world = world();
    world.send(&World::debit("1", 0), "taken").await;
    let level = Level { debit: HOUR / 2, ..Level::default() };
    let promises =
        Promises { levels: [(world.channel.name().clone(), level)].into(), ..Promises::default() };
    world.later(HOUR);
    let mut swept = Swept::default();
    assert_eq!(world.service.sweep(&Promises::default(), &mut swept).await, Ok(0));
    let expected = world.service.expectations(&promises, None, 10).await.unwrap();
    assert_eq!(expected.len(), 1);
    assert_eq!(expected[0].due, expected[0].record.at.plus(HOUR / 2));
    assert_eq!(world.service.sweep(&promises, &mut swept).await, Ok(1));
}

#[tokio::test]
async fn what_is_not_due_yet_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    // With room for one payment, so that what is read shows.
    let limits = Limits { records: 1, ..Limits::default() };
    let database = sqlite::open(&dir.path().join("hefu.db")).unwrap();
    let store = MemoryStore::open(limits, database, |_| ()).unwrap();
    let world = world_over(store, Binding::Enforce(100), telling());
    let promising = |debit| {
        let of = |debit| Level { debit, ..Level::default() };
        let hasty = (ChannelName::new("hasty"), of(HOUR / 60));
        let levels = [hasty, (world.channel.name().clone(), of(debit))].into();
        Promises { levels, ..Promises::default() }
    };
    let mut swept = Swept::default();
    world.send(&World::debit("1", 0), "taken").await;
    let owed = world.service.expectations(&promising(HOUR * 2), None, 10).await.unwrap();
    let payment = owed[0].record.payment;
    let mut others = 2..;
    let mut is_read = async |debit, found| {
        world.send(&World::debit(&others.next().unwrap().to_string(), 0), "ok").await;
        assert!(world.service.store.record(payment).is_none());
        assert_eq!(world.service.sweep(&promising(debit), &mut swept).await, Ok(found));
        world.service.store.record(payment).is_some()
    };
    world.later(HOUR);
    assert!(is_read(HOUR * 2, 0).await, "when it is due, nobody knows yet");
    assert!(!is_read(HOUR * 2, 0).await, "in an hour");
    assert!(is_read(HOUR * 3, 0).await, "and something else is promised");
    assert!(!is_read(HOUR * 3, 0).await);
    world.later(HOUR * 2);
    assert!(is_read(HOUR * 3, 1).await);
    assert!(!is_read(HOUR * 3, 0).await, "nor what is known to be missing");
}

#[tokio::test]
async fn a_person_looks_into_a_mismatch() {
    every(async |world| {
        world.send(&World::debit("1", 0), "phone").await;
        world.later(Duration::from_millis(1));
        world.send(&World::debit("2", 1), "phone").await;
        let found =
            world.service.mismatches(&Wanted { most: 1, ..Wanted::default() }).await.unwrap();
        let newest = &found.mismatches[0].mismatch;
        assert_eq!(newest.order, Some(OrderId("2".into())));
        let (payment, kind) = (newest.payment, newest.kind);
        let next = Wanted { before: found.next, ..Wanted::default() };
        assert_eq!(world.kept(&next).await, ["match_then_no_match 1 open"]);
        let resolve =
            |kind| world.service.resolve(payment, kind, ("li.lei", "the phone was changed"));
        assert_eq!(resolve(MismatchKind::OutcomeFlipped).await, Ok(false));
        assert_eq!(resolve(kind).await, Ok(true));
        let open = Wanted { open: true, ..Wanted::default() };
        assert_eq!(world.kept(&open).await, ["match_then_no_match 1 open"]);
        let all = world.kept(&Wanted::default()).await;
        assert_eq!(all, ["match_then_no_match 2", "match_then_no_match 1 open"]);
        let other = Wanted { channel: Some(ChannelName::new("other")), ..Wanted::default() };
        assert_eq!(world.kept(&other).await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn what_waits_to_be_tried_again_keeps_nothing_newer_from_being_told() {
    let dir = tempfile::tempdir().unwrap();
    let world = over(&dir.path().join("hefu.db"));
    let now = world.service.clock.now();
    let put = |number: u64, about: u64, next: Timestamp| {
        let id = |number| PaymentId::new(now.plus(Duration::from_millis(number)), 0);
        let (body, failed) = ("{}".to_owned(), None);
        let (id, about) = (id(number), id(about));
        let hook = Hook { id, at: now, about, to: None, body, attempts: 0, next, failed };
        world.service.store.shelve(hook.row(Shelf::Waiting).unwrap());
        id
    };
    for number in 0..2_100 {
        put(number, number, now.plus(HOUR));
    }
    put(2_100, 7, now);
    let newer = [put(2_101, 2_101, now), put(2_102, 2_102, now), put(2_103, 2_103, now)];
    world.service.store.flush().await.unwrap();
    let ids = async |most| {
        let hooks = world.service.to_tell(most).await.unwrap();
        hooks.iter().map(|hook| hook.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(2).await, newer[..2], "but what is about one payment is told in its order");
    assert_eq!(ids(2).await, newer[2..]);
}

#[tokio::test]
async fn whoever_listens_is_told_in_order() {
    every(async |world| {
        world.send(&World::debit("1", 0), "phone").await;
        world.send(&World::debit("2", 1), "phone").await;
        let events: Vec<_> = world.waiting().await.iter().map(event).collect();
        let three = |order: &str| {
            [
                format!("mismatch {order} match_then_no_match"),
                format!("verification_corrected {order} match_then_no_match"),
                "hold_made - -".to_owned(),
            ]
        };
        assert_eq!(events, [three("1"), three("2")].concat());
        // Of each payment the first; nobody else tells it meanwhile, nor what comes after it.
        let first = world.service.to_tell(10).await.unwrap();
        assert_eq!(first.len(), 2);
        assert_eq!(world.service.to_tell(10).await.unwrap(), []);
        let (taken, failed) = (&first[0], &first[1]);
        world.service.told_of(taken, Delivery::Taken).await.unwrap();
        world.service.told_of(failed, Delivery::Failed("503".to_owned())).await.unwrap();
        let next = world.service.to_tell(10).await.unwrap();
        assert_eq!(next.iter().map(|hook| hook.about).collect::<Vec<_>>(), [taken.about]);
        world.later(Duration::from_secs(1));
        let again = world.service.to_tell(10).await.unwrap();
        assert_eq!(again.len(), 1);
        assert_eq!((again[0].id, again[0].attempts), (failed.id, 1));
        // Who dies with it has it told by another.
        world.later(Duration::from_mins(2));
        assert_eq!(world.service.to_tell(10).await.unwrap().len(), 2);
        // What is not taken for days is given up, and told once more when somebody asks.
        world.later(Duration::from_hours(73));
        for hook in world.service.to_tell(10).await.unwrap() {
            world.service.told_of(&hook, Delivery::Failed("timed out".to_owned())).await.unwrap();
        }
        let dead = world.service.hooks(Shelf::Dead, None, 10).await.unwrap();
        assert_eq!((dead.len(), world.waiting().await.len()), (2, 3));
        assert_eq!(world.service.redeliver(Some(&[dead[0].id])).await, Ok(1));
        assert_eq!(world.service.redeliver(None).await, Ok(1));
        assert_eq!(world.waiting().await.len(), 5);
        assert_eq!(world.service.hooks(Shelf::Dead, None, 10).await.unwrap(), []);
        let bodies: String = world.waiting().await.into_iter().map(|hook| hook.body).collect();
        assert!(!bodies.contains("6200000000000005") && !bodies.contains("1380000000"), "{bodies}");
    })
    .await;
}

/// One of those that share a store.
fn replica(path: &Path) -> World {
    let store = MemoryStore::open(Limits::default(), Sqlite::open(path).unwrap(), |_| ());
    world_over(store.unwrap(), Binding::Enforce(100), telling()).pinned()
}

/// Two replicas that heard of one outcome before either knew of the other's word counted its mismatch twice, and told it twice.
#[tokio::test]
async fn one_mismatch_at_two_replicas_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let open = || replica(&dir.path().join("hefu.db"));
    let (one, other) = (open(), open());
    let counted = |kind: &str| {
        let of =
            |world: &World| world.service.metrics.total("hefu_mismatches_total", &[("kind", kind)]);
        of(&one) + of(&other)
    };
    let told = |order: &str, state: &str| {
        format!(r#""of":"debit","order":"{order}","amount":"100","code":"ok","state":"{state}""#)
    };
    // The answer is on its way to one of them when the channel notifies the other.
    for (nth, order) in (1..).zip(["1", "2", "3"]) {
        let judged = one.judge(&one.channel, &World::debit(order, nth)).await.unwrap();
        assert_eq!(other.told(&told(order, "phone")).await, "verified settled");
        one.settle(judged, "phone").await;
        assert_eq!(counted("match_then_no_match"), u64::from(nth), "{order}");
    }
    // At the same instant, by queries; and a success that came back.
    one.send(&World::debit("4", 4), "taken").await;
    one.service.store.flush().await.unwrap();
    let asked = [&one, &other].map(|world| world.query("4", "ok", "name"));
    futures::future::join_all(asked).await;
    assert_eq!(counted("match_then_no_match"), 4);
    one.send(&World::debit("5", 5), "ok").await;
    let judged = one.judge(&one.channel, r#""type":"query","order":"5""#).await.unwrap();
    assert_eq!(other.told(&told("5", "back")).await, "verified settled");
    let body = br#"{"code":"ok","state":"back"}"#;
    let (content_type, body) = (None, body.as_slice());
    one.service.settle(judged, Reported::Answer { status: 200, content_type, body }).await;
    assert_eq!(counted("reversed_after_success"), 1);
    let events: Vec<_> = one.waiting().await.iter().map(event).collect();
    let of = |what: &str| events.iter().filter(|it| it.starts_with(what)).count();
    assert_eq!((of("mismatch"), of("verification_corrected")), (5, 4), "{events:?}");
}

/// The answer of one replica came after a notification to the other, and was written over what that told: the success was lost, and
/// the tuple held.
#[tokio::test]
async fn a_late_answer_at_one_replica_undoes_no_word_at_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let open = || replica(&dir.path().join("hefu.db"));
    let (one, other) = (open(), open());
    for (order, nth, answer) in [("1", 1, "taken"), ("2", 2, "phone"), ("3", 3, "garbled")] {
        let judged = one.judge(&one.channel, &World::debit(order, nth)).await.unwrap();
        let told =
            format!(r#""of":"debit","order":"{order}","amount":"100","code":"ok","state":"ok""#);
        assert_eq!(other.told(&told).await, "verified settled");
        one.settle(judged, answer).await;
        one.service.store.flush().await.unwrap();
        let third = open();
        let of = OrderId(order.into());
        let kept = third.service.store.by_order(third.channel.name(), &of);
        let record = third.service.store.record(kept[0]).unwrap();
        let outcome = record.became.outcome.map(|(outcome, ..)| outcome);
        assert_eq!(outcome, Some(Outcome::Succeeded), "{answer}");
        assert_eq!((third.open(), third.held(), one.held()), (0, 0, 0), "{answer}");
    }
    assert_eq!(one.mismatches(), [""; 0]);
}

#[tokio::test]
async fn nobody_is_told_where_nobody_listens() {
    let world = world();
    world.send(&World::debit("1", 0), "phone").await;
    assert_eq!(world.waiting().await, []);
}

#[tokio::test]
async fn payments_are_found_by_order_by_card_by_document_and_by_time() {
    every(async |world| {
        world.send(&World::debit("1", 0), "ok").await;
        world.later(HOUR);
        world.send(&World::debit("2", 1), "ok").await;
        let since = world.service.clock.now();
        world.later(Duration::from_millis(1));
        world.first.will(&[Answer::NoMatch(ElementSet::EMPTY)]);
        let other = person(2).replace("6200000000000005", "6200000000000013");
        let message = format!(r#""type":"debit","order":"3","amount":"100",{other}"#);
        world.send(&message, "ok").await;
        let found = async |search: Search| {
            let found = world.service.search(&Search { most: 10, ..search }).await.unwrap();
            let orders = found.payments.iter().map(|it| it.order.as_ref().unwrap().0.to_string());
            orders.collect::<Vec<_>>()
        };
        assert_eq!(found(Search::default()).await, ["3", "2", "1"]);
        assert_eq!(found(Search { since, ..Search::default() }).await, ["3", "2"]);
        let channel = Some(world.channel.name().clone());
        let order = Some(OrderId("2".into()));
        assert_eq!(found(Search { channel, order, ..Search::default() }).await, ["2"]);
        let pan = Some("6200000000000005".to_owned());
        assert_eq!(found(Search { pan: pan.clone(), ..Search::default() }).await, ["2", "1"]);
        let id_number = Some("11010519491231002X".to_owned());
        assert_eq!(found(Search { id_number, ..Search::default() }).await, ["3", "2", "1"]);
        // By the phone that it carried, whatever card it was.
        let phone = |number: &str| Some(format!("1380000000{number}"));
        assert_eq!(found(Search { phone: phone("1"), ..Search::default() }).await, ["2"]);
        assert_eq!(found(Search { phone: phone("2"), ..Search::default() }).await, ["3"]);
        let both = Search { phone: phone("2"), pan: pan.clone(), ..Search::default() };
        assert_eq!(found(both).await, [""; 0]);
        assert_eq!(found(Search { phone: phone("9"), ..Search::default() }).await, [""; 0]);
        let wrong = Search { phone: Some("1380000".to_owned()), most: 1, ..Search::default() };
        assert!(world.service.search(&wrong).await.is_err());
        let nobody = Some("6200000000000021".to_owned());
        assert_eq!(found(Search { pan: nobody, ..Search::default() }).await, [""; 0]);
        // A page at a time.
        let page =
            world.service.search(&Search { pan, most: 1, ..Search::default() }).await.unwrap();
        let rest = Search { before: page.next, ..Search::default() };
        assert_eq!(found(rest).await, ["1"]);
    })
    .await;
}

/// One bank fails everything for an hour, however that is told: its holds pause, other banks' do not, the book goes on, and operations
/// is told.
#[tokio::test]
async fn an_issuers_bad_night_stays_its_own() {
    let settings = Settings { holds_per_hour: 3, ..telling() };
    let world = world_with(Binding::Enforce(100), settings).pinned();
    let debit = |order: &str, card: &str, phone: u8| {
        let person = person(phone).replace("6200000000000005", card);
        format!(r#""type":"debit","order":"{order}","amount":"100",{person}"#)
    };
    let (sick, well) = ("6200000000000005", "6230000000000009");
    for phone in 0..9 {
        let order = format!("s{phone}");
        world.send(&debit(&order, sick, phone), "taken").await;
        match phone % 3 {
            0 => {
                let told = format!(
                    r#""of":"debit","order":"{order}","amount":"100","code":"ok","state":"phone""#
                );
                world.told(&told).await;
            }
            1 => drop(world.query(&order, "ok", "phone").await),
            _ => drop(world.stated(&format!("debit|{order}|100|phone")).await),
        }
        world.later(Duration::from_mins(5));
    }
    assert_eq!(world.held(), 3, "the first so many");
    assert_eq!(world.service.metrics.total("hefu_holds_paused", &[]), 6);
    assert_eq!(world.mismatches(), ["match_then_no_match 9"], "each is counted all the same");
    assert_eq!(world.open(), 0);
    // What was not held goes on, at that bank and at others, whose holds are made.
    assert!(world.send(&debit("x", sick, 8), "ok").await.starts_with("decision: permit"));
    assert!(world.send(&debit("y", well, 0), "phone").await.starts_with("decision: permit"));
    assert_eq!(world.held(), 4);
    let made =
        world.waiting().await.iter().filter(|hook| event(hook).starts_with("hold_made")).count();
    assert_eq!(made, 4);
    world.later(HOUR);
    world.send(&debit("z", sick, 7), "phone").await;
    assert_eq!(world.held(), 5, "the night is over");
}
