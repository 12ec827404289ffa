//! What the core asks of an earlier payment, and the channel answers, is an outcome of that payment.

use crate::{World, world, world_over, world_with};
use expect_test::{Expect, expect};
use hefu::domain::answer::Answer;
use hefu::domain::element::{Element, ElementSet};
use hefu::domain::id::OrderId;
use hefu::domain::outcome::{Decline, Outcome};
use hefu::service::overdue::Swept;
use hefu::service::settle::Reported;
use hefu::service::statement::Came;
use hefu::service::{Binding, Settings};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::sqlite::{self, Sqlite};
use hefu::store::{PaymentStore as _, Record};
use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

impl World {
    /// Asks of an order: the query's own code, and the payment's.
    pub(crate) async fn query(&self, order: &str, code: &str, state: &str) -> String {
        let message = format!(r#""type":"query","order":"{order}""#);
        let answer = format!(r#"{{"code":"{code}","state":"{state}"}}"#);
        let (content_type, body) = (None, answer.as_bytes());
        let told = Reported::Answer { status: 200, content_type, body };
        let told = self.send_answered(&message, told).await;
        let told = told.strip_prefix("decision: permit;mode=enforce").unwrap_or(&told);
        // Ids are random.
        let id = |line: &str| match line.split_once(r#";payment=""#) {
            Some((before, after)) => format!("{before};of{}", after.get(27..).unwrap()),
            None => line.to_owned(),
        };
        told.trim().lines().map(id).collect::<Vec<_>>().join("\n")
    }

    async fn asks(&self, order: &str, code: &str, state: &str, expected: Expect) {
        expected.assert_eq(&self.query(order, code, state).await);
    }

    fn owed(&self) -> usize {
        self.service.store.expectations(self.channel.name())
    }

    /// The first payment of an order.
    pub(crate) fn payment(&self, order: &str) -> Record {
        let of = self.service.store.by_order(self.channel.name(), &OrderId(order.into()));
        self.service.store.record(of[0]).unwrap()
    }
}

/// As one channel tells it of withdrawals: beside a status that goes on saying success stands that the money came back.
#[tokio::test]
async fn money_that_an_outer_layer_says_came_back_did() {
    for (state, mismatch) in
        [("ok", "\nmismatch: reversed_after_success;suspects=\"\""), ("taken", "")]
    {
        let world = world();
        world.send(&World::debit("1", 0), "taken").await;
        world.query("1", "ok", state).await;
        let told = world.query("1", "returned", "ok").await;
        let reversed = "outcome: reversed;code=\"returned\";arrival=query;of";
        assert_eq!((told, world.owed()), (format!("{reversed}{mismatch}"), 0), "{state}");
    }
}

#[tokio::test]
async fn what_was_taken_ends_by_a_query() {
    let world = world();
    world.send(&World::debit("1", 0), "taken").await;
    assert_eq!((world.owed(), world.held()), (1, 0));
    // The query's own failure is not the payment's, nor is what no map knows.
    world
        .asks("1", "broken", "phone", expect!["outcome: unknown;code=\"broken\";arrival=query;of"])
        .await;
    world.asks("1", "ok", "ZZ", expect!["outcome: unmapped;code=\"ZZ\";arrival=query;of"]).await;
    world
        .asks("1", "ok", "taken", expect!["outcome: accepted;code=\"taken\";arrival=query;of"])
        .await;
    assert_eq!((world.owed(), world.held()), (1, 0));
    world
        .asks(
            "1",
            "ok",
            "phone",
            expect![[r#"
        outcome: no_match;suspects="phone";code="phone";arrival=query;of
        mismatch: match_then_no_match;provider="first";suspects="phone""#]],
        )
        .await;
    assert_eq!((world.owed(), world.held()), (0, 1));
    // The debit outcome prevails, and it is counted and acted upon once; whoever asks again is told again.
    world.check(&World::debit("2", 0), "ok", expect!["403 held not_asked []"]).await;
    world
        .asks(
            "1",
            "ok",
            "phone",
            expect![[r#"
        outcome: no_match;suspects="phone";code="phone";arrival=query;of
        mismatch: match_then_no_match;provider="first";suspects="phone""#]],
        )
        .await;
    let metrics = String::from_utf8(world.service.metrics.render().unwrap()).unwrap();
    assert!(metrics.contains(r#"kind="match_then_no_match",provider="first"} 1"#), "{metrics}");
    // What nobody knows is nobody's outcome.
    world.asks("9", "ok", "phone", expect![""]).await;
}

#[tokio::test]
async fn a_failure_may_turn_out_to_be_a_success_and_a_success_come_back() {
    let world = world();
    world.send(&World::debit("1", 0), "poor").await;
    world
        .asks(
            "1",
            "ok",
            "ok",
            expect![[r#"
        outcome: succeeded;code="ok";arrival=query;of
        mismatch: outcome_flipped;suspects="""#]],
        )
        .await;
    world
        .asks(
            "1",
            "ok",
            "back",
            expect![[r#"
        outcome: reversed;code="back";arrival=query;of
        mismatch: reversed_after_success;suspects="""#]],
        )
        .await;
    world
        .asks("1", "ok", "ok", expect![[r#"outcome: succeeded;code="ok";arrival=query;of"#]])
        .await;
    world
        .asks(
            "1",
            "ok",
            "back",
            expect![[r#"
        outcome: reversed;code="back";arrival=query;of
        mismatch: reversed_after_success;suspects="""#]],
        )
        .await;
    // A better reason is no flip; but what it says of the elements counts.
    world.send(&World::debit("2", 0), "poor").await;
    world
        .asks(
            "2",
            "ok",
            "phone",
            expect![[r#"
        outcome: no_match;suspects="phone";code="phone";arrival=query;of
        mismatch: match_then_no_match;provider="first";suspects="phone""#]],
        )
        .await;
    assert_eq!(world.held(), 1);
}

/// "No such trade" is believed of a payment that is old enough, and never of one that the channel knew.
#[tokio::test]
async fn an_order_reopens_only_when_it_certainly_was_not_processed() {
    let world = world();
    world.send(&World::debit("1", 0), "taken").await;
    world
        .check(&World::debit("1", 0), "ok", expect!["409 already_sent [] earlier accepted []"])
        .await;
    world.later(Duration::from_secs(15 * 60 - 1));
    world
        .asks("1", "none", "", expect![[r#"outcome: unknown;code="none";arrival=query;of"#]])
        .await;
    world
        .check(&World::debit("1", 0), "ok", expect!["409 already_sent [] earlier accepted []"])
        .await;
    assert_eq!(world.owed(), 1);
    world.later(Duration::from_secs(1));
    world
        .asks(
            "1",
            "none",
            "",
            expect![[r#"outcome: declined;reason=not_processed;code="none";arrival=query;of"#]],
        )
        .await;
    assert_eq!(world.owed(), 0);
    let again = world.send(&World::debit("1", 0), "ok").await;
    assert!(again.starts_with("decision: permit"), "{again}");
    // It succeeded now: whatever a query says, it does not leave a third time.
    world.later(Duration::from_hours(1));
    world
        .asks(
            "1",
            "none",
            "",
            expect![[r#"
        outcome: declined;reason=not_processed;code="none";arrival=query;of
        mismatch: outcome_flipped;suspects="""#]],
        )
        .await;
    world
        .check(&World::debit("1", 0), "ok", expect!["409 already_sent [] earlier succeeded []"])
        .await;
    // However often it is said.
    world.query("1", "none", "").await;
    assert_eq!(world.mismatches(), ["outcome_flipped 1"]);
    world
        .check(&World::debit("1", 0), "ok", expect!["409 already_sent [] earlier succeeded []"])
        .await;
}

/// An order that comes again with another amount, or of another card, is told so (abuse case 36).
#[tokio::test]
async fn an_order_that_comes_again_as_another_is_told_so() {
    let world = world();
    world.send(&World::debit("1", 0), "ok").await;
    let dearer = World::debit("1", 0).replace(r#""amount":"100""#, r#""amount":"101""#);
    world.check(&dearer, "ok", expect!["409 already_sent [] earlier succeeded [amount]"]).await;
}

/// A channel that takes back that the elements do not match takes back the hold that this made.
#[tokio::test]
async fn what_a_channel_takes_back_holds_nobody() {
    let world = world();
    let judged = world.judge(&world.channel, &World::debit("1", 0)).await.unwrap();
    world.later(Duration::from_secs(1));
    let body = br#"{"code":"phone"}"#;
    world.service.settle(judged, Reported::Answer { status: 200, content_type: None, body }).await;
    assert_eq!(world.held(), 1);
    world.query("1", "ok", "ok").await;
    assert_eq!(world.held(), 0);
    // That it failed for another reason takes it back as well: the hold stayed for a week.
    world.send(&World::debit("2", 1), "phone").await;
    assert_eq!(world.held(), 1);
    world.query("2", "ok", "name").await;
    assert_eq!(world.held(), 1, "another element is another reason to hold");
    world.query("2", "ok", "poor").await;
    assert_eq!(world.held(), 0);
    // Nor does it differ from the verification any more: whoever asked again was told so, and reports counted it as caught.
    world
        .asks(
            "2",
            "ok",
            "poor",
            expect![[
                r#"outcome: declined;reason=insufficient_funds;code="poor";arrival=query;of"#
            ]],
        )
        .await;
    assert_eq!(world.payment("2").mismatch, None);
}

/// Of an order that left again in `observe`, what was said was of the payment that held it: the other one was owed for ever, and missing.
#[tokio::test]
async fn the_end_of_an_order_ends_whatever_left_of_it() {
    let check = async |state: &str, owed: usize, missing: usize| {
        let world = world_with(Binding::Observe, Settings::default());
        world.send(&World::debit("1", 0), "taken").await;
        world.later(Duration::from_mins(20));
        world.send_answered(&World::debit("1", 0), Reported::InDoubt).await;
        assert_eq!(world.owed(), 2);
        world.query("1", if state == "none" { state } else { "ok" }, state).await;
        assert_eq!(world.owed(), owed, "{state}");
        world.later(Duration::from_hours(3));
        assert_eq!(world.swept(&mut Swept::default()).await, missing, "{state}");
    };
    check("ok", 0, 0).await;
    check("poor", 0, 0).await;
    check("taken", 2, 2).await;
    // The later one may be on its way yet.
    check("none", 1, 1).await;
}

/// The same where another process than hears of the order sent it again.
#[tokio::test]
async fn the_end_of_an_order_ends_what_another_process_sent_of_it() {
    let check = async |state: &str, owed: usize, missing: usize| {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let file = Sqlite::open(&dir.path().join("hefu.db")).unwrap();
            let store = MemoryStore::open(Limits::default(), file, |_| ()).unwrap();
            world_over(store, Binding::Observe, Settings::default())
        };
        let (here, there) = (open(), open());
        here.send(&World::debit("1", 0), "taken").await;
        there.send_answered(&World::debit("1", 0), Reported::InDoubt).await;
        here.query("1", "ok", state).await;
        here.service.store.flush().await.unwrap();
        here.later(Duration::from_hours(3));
        assert_eq!(here.swept(&mut Swept::default()).await, missing, "{state}");
        here.service.store.flush().await.unwrap();
        assert_eq!(open().owed(), owed, "{state}");
    };
    check("ok", 0, 0).await;
    check("poor", 0, 0).await;
    check("taken", 2, 2).await;
}

/// A channel whose payouts and debits are numbered alike was asked about the one, and the other was settled: the last that left.
#[tokio::test]
async fn a_query_is_of_the_kind_that_it_asks_about() {
    let world = world();
    let payout = World::debit("1", 0).replace("debit", "payout");
    for message in [&payout, &World::debit("1", 0)] {
        world.send(message, "taken").await;
        world.later(Duration::from_millis(1));
    }
    let asked = r#""type":"query_payout","order":"1""#;
    world.send_answered(asked, crate::answer(r#"{"code":"ok","state":"ok"}"#)).await;
    let store = &world.service.store;
    let sent = store.by_order(world.channel.name(), &OrderId("1".into()));
    let sent = sent.into_iter().filter_map(|payment| store.record(payment));
    let settled = sent.map(|it| (it.scenario.as_str(), it.became.outcome.unwrap().0.as_str()));
    assert_eq!(settled.collect::<Vec<_>>(), [("payout", "succeeded"), ("debit", "accepted")]);
}

#[tokio::test]
async fn a_query_of_a_refused_order_is_told_so() {
    let world = world();
    world.first.will(&[Answer::NoMatch(ElementSet::EMPTY.with(Element::Phone))]);
    world.check(&World::debit("1", 0), "ok", expect!["403 no_match [phone]"]).await;
    world.asks("1", "none", "", expect!["queried: refuse;reason=no_match;of"]).await;
}

/// A success of before does not settle what was learned since.
#[tokio::test]
async fn an_old_success_ends_no_newer_hold() {
    let world = world_with(Binding::Observe, Settings::default());
    world.send(&World::debit("1", 0), "taken").await;
    world.later(Duration::from_secs(1));
    world.send(&World::debit("2", 0), "phone").await;
    assert_eq!(world.held(), 1);
    world.query("1", "ok", "ok").await;
    assert_eq!(world.held(), 1);
    world.later(Duration::from_secs(1));
    world.send(&World::debit("3", 0), "ok").await;
    assert_eq!(world.held(), 0);
}

/// What left before a restart, or by another process, is found where it is kept.
#[tokio::test]
async fn a_query_finds_what_another_process_sent() {
    let dir = tempfile::tempdir().unwrap();
    let few = Limits { records: 1, ..Limits::default() };
    for limits in [Limits::default(), few] {
        let file = || sqlite::open(&dir.path().join(format!("{}.db", limits.records))).unwrap();
        let store = |limits| MemoryStore::open(limits, file(), |_| ()).unwrap();
        let before = world_over(store(limits), Binding::Enforce(100), Settings::default());
        before.send(&World::debit("1", 0), "taken").await;
        before.send(&World::debit("2", 1), "taken").await;
        before.service.store.flush().await.unwrap();
        drop(before);
        let after = world_over(store(limits), Binding::Enforce(100), Settings::default());
        assert_eq!(after.owed(), 2);
        after
            .asks(
                "1",
                "ok",
                "phone",
                expect![[r#"
            outcome: no_match;suspects="phone";code="phone";arrival=query;of
            mismatch: match_then_no_match;provider="first";suspects="phone""#]],
            )
            .await;
        assert_eq!((after.owed(), after.held()), (1, 1));
        after.service.store.flush().await.unwrap();
        drop(after);
        let last = world_over(store(limits), Binding::Enforce(100), Settings::default());
        assert_eq!((last.owed(), last.held()), (1, 1));
    }
}

/// The answer to a query that told another amount settled the payment all the same: a debit of 100 was paid, by an answer about 1.
#[tokio::test]
async fn an_answer_of_another_amount_settles_nothing() {
    let asks = async |world: &World, state: &str, amount: &str| {
        let answer = format!(r#"{{"code":"ok","state":"{state}"{amount}}}"#);
        let (content_type, body) = (None, answer.as_bytes());
        let answer = Reported::Answer { status: 200, content_type, body };
        world.send_answered(r#""type":"query","order":"1""#, answer).await
    };
    let differ = "mismatch: amount_differs";
    // What the core is told, what is owed, what is held, and how many amounts differ.
    let check = async |state: &str, amount: &str, expected: (&str, usize, usize, u64)| {
        let world = world();
        world.send(&World::debit("1", 0), "taken").await;
        for _ in 0..2 {
            let told = asks(&world, state, amount).await;
            let said = if expected.3 > 0 { told.contains(differ) } else { !told.contains(differ) };
            assert!(said && told.contains(expected.0), "{state} {amount}: {told}");
            let kind = [("kind", "amount_differs")];
            let counted = world.service.metrics.total("hefu_mismatches_total", &kind);
            let found = (world.owed(), world.held(), counted);
            assert_eq!(found, (expected.1, expected.2, expected.3), "{state} {amount}");
        }
        // The right amount settles it.
        assert!(asks(&world, "ok", r#","amount":"100""#).await.contains("outcome: "));
        assert_eq!(world.owed(), 0, "{state} {amount}");
    };
    check("ok", r#","amount":"100""#, ("outcome: succeeded", 0, 0, 0)).await;
    check("ok", "", ("outcome: succeeded", 0, 0, 0)).await;
    check("ok", r#","amount":"""#, ("outcome: succeeded", 0, 0, 0)).await;
    check("ok", r#","amount":"1""#, ("outcome: unknown", 1, 0, 1)).await;
    check("phone", r#","amount":"101""#, ("outcome: unknown", 1, 0, 1)).await;
    check("ok", r#","amount":"0""#, ("outcome: unknown", 1, 0, 1)).await;
    // Of what failed nothing came.
    check("poor", r#","amount":"0""#, ("outcome: declined", 0, 0, 0)).await;
    check("ok", r#","amount":"1.00""#, ("outcome: unknown", 1, 0, 0)).await;
}

/// Merchants number their orders each for himself.
#[tokio::test]
async fn a_query_settles_no_other_merchants_payment() {
    let world = world();
    let debit = |merchant| format!(r#"{},"merchant":"{merchant}""#, World::debit("1", 0));
    world.send(&debit("m1"), "taken").await;
    let asks = async |merchant| {
        let message = format!(r#""type":"query","order":"1","merchant":"{merchant}""#);
        let body = br#"{"code":"ok","state":"ok"}"#.as_slice();
        let told = Reported::Answer { status: 200, content_type: None, body };
        world.send_answered(&message, told).await
    };
    assert!(!asks("m2").await.contains("outcome"));
    assert_eq!(world.owed(), 1);
    assert!(asks("m1").await.contains("outcome: succeeded"));
    assert_eq!(world.owed(), 0);
}

/// Issue 3, 8c: a wrong code opened the order again, and another replica sent it. What a channel says of the order then is about the
/// payment that holds it, whichever clock is ahead.
#[tokio::test]
async fn what_is_said_of_an_order_that_left_again_through_another_replica_is_of_the_later_payment()
{
    for (ahead, stated) in [(0, false), (1, false), (0, true), (1, true)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hefu.db");
        let store = || {
            let backend = Sqlite::open(&path).unwrap();
            MemoryStore::open(Limits::default(), backend, |_| ()).unwrap()
        };
        let replicas =
            [0, 1].map(|_| world_over(store(), Binding::Enforce(100), Settings::default()));
        replicas[ahead].later(Duration::from_secs(1));
        let [here, there] = &replicas;
        let mut sent = Vec::new();
        for (world, code) in [(here, "otp"), (there, "taken")] {
            let told = world.send(&World::debit("1", 0), code).await;
            assert!(told.starts_with("decision: permit"), "{told}");
            world.service.store.flush().await.unwrap();
            let known = world.service.store.by_order(world.channel.name(), &OrderId("1".into()));
            sent.extend(known.into_iter().filter(|it| !sent.contains(it)).collect::<Vec<_>>());
        }
        if stated {
            assert_eq!(here.stated("debit|1|100|ok").await, [Came::Settled]);
        } else {
            here.asks(
                "1",
                "ok",
                "ok",
                expect![[r#"outcome: succeeded;code="ok";arrival=query;of"#]],
            )
            .await;
            here.service.store.flush().await.unwrap();
        }
        let kept = store();
        let outcome = |payment| kept.record(payment).unwrap().became.outcome.unwrap().0;
        assert_eq!(sent.len(), 2);
        let outcomes = [outcome(sent[0]), outcome(sent[1])];
        assert_eq!(outcomes, [Outcome::Declined(Decline::Otp), Outcome::Succeeded]);
        assert_eq!(kept.expectations(here.channel.name()), 0);
    }
}

/// The rows of a batch that were only taken were never settled, since the answers to queries about rows were not read.
#[tokio::test]
async fn a_query_about_rows_settles_each() {
    let world = world();
    let told = r#"{"code":"ok","rows":[{"no":"0","code":"taken"},{"no":"1","code":"taken"},{"no":"2","code":"taken"}]}"#;
    world.send_answered(&crate::batch("B1", &[0, 1, 2]), crate::answer(told)).await;
    assert_eq!((world.owed(), world.held()), (3, 0));
    let asked =
        r#""type":"queries","order":"B1","rows":[{"no":"0"},{"no":"1"},{"no":"2"},{"no":"9"}]"#;
    // The query's own failure is no row's.
    world.send_answered(asked, crate::answer(r#"{"code":"broken"}"#)).await;
    assert_eq!(world.owed(), 3);
    let told = r#"{"code":"ok","rows":[{"no":"1","state":"phone"},{"no":"0","state":"ok"},{"no":"9","state":"ok"}]}"#;
    let shown = world.send_answered(asked, crate::answer(told)).await;
    expect![[r#"
        decision: permit;mode=enforce
        rows: 2;decision=permit;outcome=no_match;mismatch=match_then_no_match;suspects="phone""#]]
    .assert_eq(&shown);
    assert_eq!((world.owed(), world.held()), (1, 1));
}

/// A query that names the batch alone is answered row by row, and settled none: what was only taken stayed owed.
#[tokio::test]
async fn a_query_about_a_batch_settles_each_row_that_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = || Sqlite::open(&dir.path().join("hefu.db")).unwrap();
    let open = || {
        let store = MemoryStore::open(Limits::default(), file(), |_| ()).unwrap();
        world_over(store, Binding::Enforce(100), Settings::default())
    };
    let asked = |order: &str| format!(r#""type":"query_all","order":"{order}""#);
    let told = r#"{"code":"ok","rows":[{"no":"1","state":"phone"},{"no":"0","state":"ok"},{"no":"9","state":"ok"}]}"#;
    let world = open();
    let taken = r#"{"code":"ok","rows":[{"no":"0","code":"taken"},{"no":"1","code":"taken"},{"no":"2","code":"taken"}]}"#;
    world.send_answered(&crate::batch("B1", &[0, 1, 2]), crate::answer(taken)).await;
    world.send_answered(&crate::batch("B2", &[3, 4]), Reported::InDoubt).await;
    // The query's own failure is no row's, nor is what is told twice.
    let garbled = r#"{"code":"ok","rows":[{"no":"0","state":"ok"},{"no":"0","state":"phone"}]}"#;
    for answer in [r#"{"code":"broken"}"#, garbled] {
        world.send_answered(&asked("B1"), crate::answer(answer)).await;
        assert_eq!((world.owed(), world.held()), (5, 0), "{answer}");
    }
    let shown = world.send_answered(&asked("B1"), crate::answer(told)).await;
    expect![[r#"
        decision: permit;mode=enforce
        rows: 2;decision=permit;outcome=no_match;mismatch=match_then_no_match;suspects="phone""#]]
    .assert_eq(&shown);
    assert_eq!((world.owed(), world.held()), (3, 1));
    drop(world);
    // Whoever asks again is told again, also after a restart.
    let world = open();
    assert_eq!(world.send_answered(&asked("B1"), crate::answer(told)).await, shown);
    assert_eq!((world.owed(), world.held()), (3, 1));
    let one = r#"{"code":"ok","rows":[{"no":"0","state":"ok"}]}"#;
    world.send_answered(&asked("B2"), crate::answer(one)).await;
    assert_eq!((world.owed(), world.held()), (2, 1));
}

const NONE: &str = r#"{"code":"none"}"#;
const PAID: &str = r#"{"code":"ok","rows":[{"no":"1","state":"ok"}]}"#;
const CLOSED: &str = "409 already_sent []";

/// A batch of three rows that one process sent, and of which nothing is known; another; and what opens a third.
async fn batch_in_doubt(dir: &Path) -> (World, World, impl Fn() -> World) {
    let path = dir.join("hefu.db");
    let open = move || {
        let store = MemoryStore::open(Limits::default(), Sqlite::open(&path).unwrap(), |_| ());
        world_over(store.unwrap(), Binding::Enforce(100), Settings::default()).pinned()
    };
    let (here, there) = (open(), open());
    here.send_answered(&crate::batch("B1", &[0, 1, 2]), Reported::InDoubt).await;
    here.service.store.flush().await.unwrap();
    for world in [&here, &there] {
        world.later(Duration::from_mins(20));
    }
    (here, there, open)
}

impl World {
    async fn asks_of_batch(&self, answer: &str) {
        let asked = r#""type":"query_all","order":"B1""#;
        self.send_answered(asked, crate::answer(answer)).await;
        self.service.store.flush().await.unwrap();
    }

    async fn sends_batch_again(&self) -> String {
        self.send(&crate::batch("B1", &[0, 1, 2]), "taken").await
    }
}

/// That a channel knew of no such batch ended its first row, the others stayed owed, and all of them could leave again; that it knew
/// of no such row opened the whole, though the others may have been paid.
#[tokio::test]
async fn a_batch_leaves_again_only_when_none_of_it_was_processed() {
    let check = async |answers: &[&str], owed: usize, again: &str| {
        let dir = tempfile::tempdir().unwrap();
        // Another process asks than sent it.
        let (_here, there, open) = batch_in_doubt(dir.path()).await;
        for answer in answers {
            there.asks_of_batch(answer).await;
        }
        assert_eq!(open().owed(), owed, "{answers:?}");
        assert_eq!(there.sends_batch_again().await, again, "{answers:?}");
    };
    let first = r#"{"code":"ok","rows":[{"no":"0","state":"none"}]}"#;
    check(&[NONE], 0, "decision: permit;mode=enforce").await;
    check(&[first], 2, CLOSED).await;
    check(&[PAID, NONE], 0, CLOSED).await;
    check(&[NONE, PAID], 0, CLOSED).await;
    check(&[NONE, NONE, PAID, NONE], 0, CLOSED).await;
}

/// One process knew the rows as they left, and another that one of them was paid; or one of them cannot be read.
#[tokio::test]
async fn a_batch_of_which_not_all_is_known_stays_closed() {
    for damaged in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (here, there, _open) = batch_in_doubt(dir.path()).await;
        if damaged {
            let row = here.service.store.by_order(here.channel.name(), &OrderId("B1|1".into()))[0];
            let file = Connection::open(dir.path().join("hefu.db")).unwrap();
            let sql = "UPDATE payments SET until = until + 1 WHERE key = ?1";
            assert_eq!(file.execute(sql, [row.to_string()]), Ok(1));
            there.asks_of_batch(NONE).await;
        } else {
            there.asks_of_batch(PAID).await;
            here.asks_of_batch(NONE).await;
        }
        assert_eq!(here.sends_batch_again().await, CLOSED, "{damaged}");
    }
}

/// What is told of one row by its own name was taken for what is told of the batch.
#[tokio::test]
async fn a_query_of_one_row_settles_that_row() {
    for row in [0, 1] {
        let dir = tempfile::tempdir().unwrap();
        let (_here, there, open) = batch_in_doubt(dir.path()).await;
        there.query(&format!("B1|{row}"), "ok", "ok").await;
        there.service.store.flush().await.unwrap();
        assert_eq!(open().owed(), 2, "{row}");
    }
}

/// Another process than sent the batch is told of one of its rows: only the batch has a claim, and the row was not known.
#[tokio::test]
async fn a_row_is_known_to_a_process_that_did_not_send_its_batch() {
    let dir = tempfile::tempdir().unwrap();
    let (_here, there, open) = batch_in_doubt(dir.path()).await;
    let told = r#""of":"debit","order":"B1|2","amount":"100","code":"ok","state":"ok""#;
    assert_eq!(there.told(told).await, "verified settled");
    assert_eq!(open().owed(), 2);
}

/// Of one payment such a query tells one row, whatever that is called.
#[tokio::test]
async fn a_query_that_is_answered_by_rows_settles_one_payment() {
    let check = async |rows: &str, owed: usize| {
        let world = world();
        world.send(&World::debit("1", 0), "taken").await;
        let told = format!(r#"{{"code":"ok","rows":[{rows}]}}"#);
        world.send_answered(r#""type":"query_all","order":"1""#, crate::answer(&told)).await;
        assert_eq!(world.owed(), owed, "{rows}");
    };
    check(r#"{"no":"0","state":"ok"}"#, 0).await;
    check(r#"{"state":"phone"}"#, 0).await;
    check(r#"{"no":"0","state":"taken"}"#, 1).await;
    check(r#"{"no":"0","state":"ok"},{"no":"1","state":"ok"}"#, 1).await;
    check("", 1).await;
}

/// A query that names the order otherwise than the payment did settled nothing.
#[tokio::test]
async fn an_answer_that_names_the_order_settles_that() {
    let check = async |answer: &str, owed: usize| {
        let world = world();
        world.send(&World::debit("T1", 0), "taken").await;
        let asked = r#""type":"query_by_number","number":"N1","merchant":"m1""#;
        world.send_answered(asked, crate::answer(answer)).await;
        assert_eq!(world.owed(), owed, "{answer}");
    };
    check(r#"{"code":"ok","state":"ok","named":"T1"}"#, 0).await;
    check(r#"{"code":"ok","state":"poor","named":"T1"}"#, 0).await;
    check(r#"{"code":"ok","state":"taken","named":"T1"}"#, 1).await;
    check(r#"{"code":"broken","state":"ok","named":"T1"}"#, 1).await;
    check(r#"{"code":"ok","state":"ok","named":"T2"}"#, 1).await;
    check(r#"{"code":"ok","state":"ok","named":"T1","named":"T2"}"#, 1).await;
    check(r#"{"code":"ok","state":"ok"}"#, 1).await;
}

/// Two merchants number alike: what was told to the one was taken for the payment of the other, which left later.
#[tokio::test]
async fn an_answer_that_names_the_order_is_of_the_merchant_that_asks() {
    let world = world();
    for merchant in ["m1", "m2"] {
        let named = format!(r#""merchant":"{merchant}","order""#);
        world.send(&World::debit("T1", 0).replace(r#""order""#, &named), "taken").await;
        world.later(Duration::from_millis(1));
    }
    let asked = |merchant: &str| {
        format!(r#""type":"query_by_number","number":"N1","merchant":"{merchant}""#)
    };
    let told = r#"{"code":"ok","state":"ok","named":"T1"}"#;
    world.send_answered(&asked("m1"), crate::answer(told)).await;
    let store = &world.service.store;
    let sent = store.by_order(world.channel.name(), &OrderId("T1".into()));
    let outcomes =
        sent.into_iter().map(|payment| store.record(payment).unwrap().became.outcome.unwrap().0);
    assert_eq!(outcomes.collect::<Vec<_>>(), [Outcome::Succeeded, Outcome::Accepted]);
    // A payment that names no merchant is found all the same, by a process that did not send it.
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let file = Sqlite::open(&dir.path().join("hefu.db")).unwrap();
        let store = MemoryStore::open(Limits::default(), file, |_| ()).unwrap();
        world_over(store, Binding::Enforce(100), Settings::default())
    };
    let (here, there) = (open(), open());
    here.send(&World::debit("T1", 0), "taken").await;
    there.send_answered(&asked("m1"), crate::answer(told)).await;
    there.service.store.flush().await.unwrap();
    assert_eq!(open().owed(), 0);
}

/// A query that merely said that a debit failed took back what the answer had said: the hold went, and so did who is to blame.
#[tokio::test]
async fn that_it_failed_takes_back_no_reason() {
    for by in ["query", "statement"] {
        let world = world();
        world.send(&World::debit("1", 0), "phone").await;
        if by == "query" {
            world.query("1", "ok", "failed").await;
        } else {
            world.stated("debit|1|100|failed").await;
        }
        assert_eq!(world.held(), 1, "{by}");
        let of = world.service.store.by_order(world.channel.name(), &OrderId("1".into()))[0];
        let record = world.service.store.record(of).unwrap();
        let (outcome, code, arrival) = record.became.outcome.unwrap();
        assert!(matches!(outcome, Outcome::NoMatch(_)), "{by}: {outcome:?}");
        assert_eq!((code.as_deref(), arrival.as_str()), (Some("phone"), by));
    }
}

/// Asked too early, a channel knew of no such order, and it was opened again; or the payer might type the password once more. That it
/// had succeeded after all was not believed, and the order could leave once more: the payer would have paid twice.
#[tokio::test]
async fn an_order_that_succeeded_after_all_does_not_leave_again() {
    let dir = tempfile::tempdir().unwrap();
    for (nth, opened_by) in ["query", "password"].into_iter().enumerate() {
        for lasting in [false, true] {
            let store = if lasting {
                let file = dir.path().join(format!("{nth}.db"));
                MemoryStore::open(Limits::default(), Sqlite::open(&file).unwrap(), |_| ()).unwrap()
            } else {
                MemoryStore::new(Limits::default())
            };
            let world = world_over(store, Binding::Enforce(100), Settings::default()).pinned();
            if opened_by == "query" {
                world.send(&World::debit("1", 0), "taken").await;
                world.later(Duration::from_mins(20));
                world.query("1", "none", "").await;
            } else {
                world.send(&World::debit("1", 0), "otp").await;
            }
            let told = r#""of":"debit","order":"1","amount":"100","code":"ok","state":"ok""#;
            assert_eq!(world.told(told).await, "verified settled", "{opened_by}");
            assert_eq!(world.mismatches(), ["outcome_flipped 1"], "{opened_by}");
            world
                .check(
                    &World::debit("1", 0),
                    "ok",
                    expect!["409 already_sent [] earlier succeeded []"],
                )
                .await;
            // A crash came between what was kept of it and the claim: the next word that it succeeded looks again.
            let store = &world.service.store;
            let asked = store.by_order(world.channel.name(), &OrderId("1".into()));
            let mut asked = asked.into_iter().filter_map(|payment| store.record(payment));
            let record = asked.find(|record| record.claim().is_some()).unwrap();
            store.reopen(&record.claim().unwrap(), record.payment);
            world.told(told).await;
            world
                .check(
                    &World::debit("1", 0),
                    "ok",
                    expect!["409 already_sent [] earlier succeeded []"],
                )
                .await;
            // Whoever sent it again meanwhile holds it.
            world.send(&World::debit("2", 1), "otp").await;
            world.send(&World::debit("2", 1), "taken").await;
            let told = told.replace(r#""order":"1""#, r#""order":"2""#);
            assert_eq!(world.told(&told).await, "verified settled", "{opened_by}");
            assert_eq!(world.owed(), 0, "{opened_by}");
        }
    }
}
