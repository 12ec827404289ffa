//! Payments that the core marks as funded by balance: what counts against the account's limits, what gives back, and what a crash leaves.

use crate::accounts::{Desk, ICBC, OTHER, id, open, person};
use crate::cluster::Cluster;
use crate::{World, world_over};
use hefu::domain::account::{Class, Purpose, Strength};
use hefu::domain::clock::Clock as _;
use hefu::domain::id::{OrderId, PaymentId};
use hefu::domain::money::Fen;
use hefu::domain::outcome::{Arrival, Outcome, Precedence};
use hefu::message::extract::Request;
use hefu::message::marked;
use hefu::policy::Effect;
use hefu::service::annotate;
use hefu::service::judge::Judged;
use hefu::service::refusal::Refusal;
use hefu::service::settle::Reported;
use hefu::service::{Binding, Settings};
use hefu::store::Record;
use hefu::store::account::{Funding, funding_key};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::row::Row;
use hefu::tier::ledger::{Over, Payment};
use hefu::tier::usage::{Act, State};
use std::sync::Arc;
use std::time::Duration;

/// Authenticated so that no limit of the day is in the way.
const BY_A: &str = "a;strength=certificate";

/// A message of a kind, by whoever has the document, over so many fen.
fn message(kind: &str, order: &str, document: &str, fen: u64) -> String {
    format!(
        r#""type":"{kind}","order":"{order}","amount":"{fen}","name":"张三","id":"{document}","card":"{ICBC}","phone":"13800000000""#
    )
}

fn mine(kind: &str, order: &str, fen: u64) -> String {
    message(kind, order, "11010519491231002X", fen)
}

impl Desk {
    /// With an account `a` of that class.
    async fn of(self, class: Class) -> Self {
        let person = person(&[ICBC]);
        self.open("a", &person).await.unwrap();
        self.upgrade("a", class, &person).await;
        assert_eq!(self.class("a").await, Some(class));
        self
    }

    async fn judge(&self, mark: &str, message: &str) -> Result<Judged, Box<Refusal>> {
        let body = format!("{{{message}}}");
        let request = Request::post("/acme/", "application/json", body.as_bytes());
        let marked = (!mark.is_empty()).then(|| marked::parse(mark).unwrap());
        let World { service, channel, .. } = &self.world;
        let judged = service.judge_marked(channel, &request, marked.as_ref()).await;
        judged.map(|(_permit, judged)| judged)
    }

    /// Sends a message by that mark, has it come to something, and tells the decision and what is told of the account.
    async fn pay_so(&self, mark: &str, message: &str, reported: Reported<'_>) -> String {
        let told = match self.judge(mark, message).await {
            Ok(judged) => self.service().settle(judged, reported).await,
            Err(refusal) => annotate::refused(&refusal),
        };
        let shown = ["hefu-decision", "hefu-account"].into_iter();
        let shown = shown.filter_map(|name| told.iter().find(|(known, _)| *known == name));
        let shown: Vec<&str> = shown.map(|(_, value)| value.as_str()).collect();
        shown.join(" | ").replace(";mode=enforce", "")
    }

    async fn pay(&self, mark: &str, message: &str, code: &str) -> String {
        let answer = format!(r#"{{"code":"{code}"}}"#);
        let (content_type, body) = (None, answer.as_bytes());
        self.pay_so(mark, message, Reported::Answer { status: 200, content_type, body }).await
    }

    /// What may still be consumed, in fen.
    async fn left(&self) -> u64 {
        let shown = self.service().account(&id("a"), None).await.unwrap();
        let left = shown.left(Purpose::Consumption, Strength::Certificate).unwrap();
        left.map_or(u64::MAX, |(left, _)| left.get())
    }
}

#[tokio::test]
async fn only_what_is_marked_counts() {
    let desk = Desk::new().of(Class::I).await;
    assert_eq!(desk.pay("", &mine("debit", "0", 90_000), "ok").await, "permit");
    assert_eq!(desk.left().await, 100_000);
    assert_eq!(
        desk.pay(BY_A, &mine("debit", "1", 30_000), "ok").await,
        r#"permit | "a";class=I;left=70000;limit=lifetime_limit"#
    );
    assert_eq!(
        desk.pay(BY_A, &mine("payout", "2", 70_001), "ok").await,
        r#"refuse;reason=account_limit | "a";class=I;left=70000;limit=lifetime_limit;over=lifetime_limit"#
    );
    // By the strictest reading of how whoever pays was authenticated, where the core does not say.
    assert_eq!(
        desk.pay("a", &mine("payout", "3", 100_001), "ok").await,
        r#"refuse;reason=account_limit | "a";class=I;left=70000;limit=lifetime_limit;over=lifetime_limit"#
    );
    let investing = "a;strength=certificate;purpose=investment";
    assert_eq!(
        desk.pay(investing, &mine("debit", "4", 1), "ok").await,
        r#"refuse;reason=account_limit | "a";class=I;left=0;limit=purpose;over=purpose"#
    );
    assert_eq!(
        desk.pay("nobody", &mine("payout", "5", 1), "ok").await,
        "refuse;reason=account_unknown"
    );
    // What moves no money is not funded.
    assert_eq!(desk.pay(BY_A, &mine("verify", "6", 1), "ok").await, "permit");
    assert_eq!(desk.left().await, 70_000);
    // An account that is closed pays nothing.
    desk.service().close_account(&id("a")).await.unwrap();
    assert_eq!(
        desk.pay(BY_A, &mine("payout", "7", 1), "ok").await,
        "refuse;reason=account_unknown"
    );
}

#[tokio::test]
async fn a_batch_has_no_account() {
    let desk = Desk::new().of(Class::I).await;
    let rows = r#""type":"debits","order":"b","rows":[{"no":"1","amount":"1"}]"#;
    let refusal = desk.judge(BY_A, rows).await.unwrap_err();
    assert_eq!(refusal.status, 422);
    assert!(refusal.detail.unwrap().contains("Hefu-Account"));
}

/// How a payment of 30,000 fen ends, and what is left of 100,000 then.
#[tokio::test]
async fn what_certainly_failed_gives_back_and_what_is_unknown_does_not() {
    let answer = |code: &str| format!(r#"{{"code":"{code}"}}"#);
    for (code, left) in [
        ("ok", 70_000),
        ("taken", 70_000),
        ("poor", 100_000),
        ("failed", 100_000),
        ("phone", 100_000),
        ("back", 100_000),
        ("nonsense", 70_000),
    ] {
        let desk = Desk::new().of(Class::I).await;
        let body = answer(code);
        let (content_type, body) = (None, body.as_bytes());
        let reported = Reported::Answer { status: 200, content_type, body };
        desk.pay_so(BY_A, &mine("debit", "1", 30_000), reported).await;
        assert_eq!(desk.left().await, left, "{code}");
    }
    for (reported, left) in [(Reported::InDoubt, 70_000), (Reported::NotSent, 100_000)] {
        let desk = Desk::new().of(Class::I).await;
        desk.pay_so(BY_A, &mine("debit", "1", 30_000), reported).await;
        assert_eq!(desk.left().await, left, "{reported:?}");
    }
}

#[tokio::test]
async fn later_words_count_too() {
    let check = async |code: &str, words: &[(&str, &str)], left: u64| {
        let desk = Desk::new().of(Class::I).await;
        desk.pay(BY_A, &mine("debit", "1", 30_000), code).await;
        for (code, state) in words {
            desk.world.query("1", code, state).await;
        }
        assert_eq!(desk.left().await, left, "{code} {words:?}");
    };
    check("taken", &[("ok", "failed")], 100_000).await;
    check("taken", &[("ok", "ok"), ("ok", "ok")], 70_000).await;
    check("ok", &[("ok", "back")], 100_000).await;
    check("taken", &[("ok", "taken"), ("ok", "poor"), ("ok", "poor")], 100_000).await;
    // It was said to have failed, and succeeded all the same: it counts again.
    check("failed", &[("ok", "ok")], 70_000).await;
    check("failed", &[("broken", "")], 100_000).await;
}

#[tokio::test]
async fn a_refund_that_the_core_tells_gives_back_for_good() {
    let desk = Desk::new().of(Class::I).await;
    let judged = desk.judge(BY_A, &mine("debit", "1", 30_000)).await.unwrap();
    let told = desk
        .service()
        .settle(
            judged,
            Reported::Answer { status: 200, content_type: None, body: br#"{"code":"ok"}"# },
        )
        .await;
    let payment = told.iter().find(|(name, _)| *name == "hefu-payment").unwrap().1.clone();
    let payment = payment.trim_matches('"').to_owned();
    let part = Act::Release(Some(Fen::new(10_000)));
    assert_eq!(desk.act("a", &payment, part).await, Ok(State::Committed));
    assert_eq!(desk.left().await, 80_000);
    assert_eq!(desk.act("a", &payment, Act::Release(None)).await, Ok(State::Released));
    desk.world.query("1", "ok", "ok").await;
    assert_eq!(desk.left().await, 100_000);
}

/// The rules of 2016: a withdrawal to one's own bank account is not counted in class II and III, and in class I it is (unconfirmed).
#[tokio::test]
async fn withdrawals_to_the_same_name_follow_the_rule_of_the_day() {
    let one = Desk::new().of(Class::I).await;
    one.pay(BY_A, &mine("withdraw", "1", 30_000), "ok").await;
    assert_eq!(one.left().await, 70_000);
    let two = Desk::new().of(Class::II).await;
    let year = 10_000_000;
    assert_eq!(
        two.pay(BY_A, &mine("withdraw", "1", year + 1), "ok").await,
        r#"permit | "a";class=II"#
    );
    assert_eq!(two.left().await, year);
    // To somebody else's account it is a transfer, whatever the message and the core call it.
    for mark in [BY_A, "a;strength=certificate;purpose=own_bank_account"] {
        let told = two.pay(mark, &message("withdraw", mark, OTHER, 1_000), "ok").await;
        assert!(told.contains("class=II;left=99"), "{told}");
    }
    assert_eq!(two.left().await, year - 2_000);
    two.pay(BY_A, &mine("payout", "2", 500), "ok").await;
    assert_eq!(two.left().await, year - 2_500);
    let own = "a;strength=weak;purpose=own_bank_account";
    assert_eq!(two.pay(own, &mine("payout", "3", 500_000), "ok").await, r#"permit | "a";class=II"#);
    assert_eq!(two.left().await, year - 2_500);
}

#[tokio::test]
async fn what_leaves_over_a_limit_is_marked_and_counts() {
    let over = r#"annotate;reason=account_limit | "a";class=I;left=0;limit=lifetime_limit;over=lifetime_limit"#;
    let mut desk = Desk::new().of(Class::I).await;
    Arc::get_mut(&mut desk.world.service).unwrap().tiers.over_limit = Effect::Annotate;
    assert_eq!(desk.pay(BY_A, &mine("debit", "1", 130_000), "ok").await, over);
    assert_eq!(desk.left().await, 0);
    assert_eq!(
        desk.pay("nobody", &mine("debit", "2", 1), "ok").await,
        "annotate;reason=account_unknown"
    );
    // Nothing is refused where decisions do not bind.
    let store = MemoryStore::new(Limits::default());
    let world = world_over(store, Binding::Observe, Settings::default());
    let desk = Desk::over(world).of(Class::I).await;
    let told = desk.pay(BY_A, &mine("debit", "1", 130_000), "poor").await;
    assert!(told.ends_with("over=lifetime_limit"), "{told}");
    assert_eq!(desk.left().await, 100_000, "it failed");
}

/// The order may have left before: what was counted for the second try is given back.
#[tokio::test]
async fn what_is_not_admitted_does_not_count() {
    let desk = Desk::new().of(Class::I).await;
    desk.pay_so(BY_A, &mine("debit", "1", 30_000), Reported::InDoubt).await;
    let told = desk.pay(BY_A, &mine("debit", "1", 30_000), "ok").await;
    assert!(told.starts_with("refuse;reason=already_sent"), "{told}");
    assert_eq!(desk.left().await, 70_000);
}

/// A crash came between what is counted and the admission; and after it.
#[tokio::test]
async fn what_never_left_is_given_back_and_what_may_have_left_is_not() {
    let desk = Desk::new().of(Class::I).await;
    let at = desk.world.clock.now();
    for (number, admitted) in [(1, false), (2, true)] {
        let payment = PaymentId::new(at, number);
        let (amount, purpose, strength) =
            (Fen::new(10_000), Purpose::Consumption, Strength::Certificate);
        let act = Act::Reserve(Payment { amount, purpose, strength, at });
        desk.act("a", &payment.to_string(), act).await.unwrap();
        let funding = Funding { account: id("a"), admitted };
        desk.service().store.shelve(Row::new(funding_key(payment), None, &funding).unwrap());
    }
    desk.pay_so(BY_A, &mine("debit", "1", 10_000), Reported::InDoubt).await;
    desk.pay(BY_A, &mine("debit", "2", 10_000), "ok").await;
    desk.pay(BY_A, &mine("debit", "3", 10_000), "poor").await;
    let mut from = String::new();
    assert_eq!(desk.service().sweep_funded(&mut from).await, Ok(0), "they may be on their way");
    assert_eq!(desk.left().await, 60_000);
    desk.world.later(Duration::from_hours(2));
    // What never left, and the two that ended, of which no other word came.
    assert_eq!(desk.service().sweep_funded(&mut from).await, Ok(3));
    assert_eq!(desk.left().await, 70_000);
    assert_eq!(desk.service().sweep_funded(&mut from).await, Ok(0));
    assert_eq!(desk.left().await, 70_000);
}

impl Desk {
    fn record(&self, order: &str) -> Record {
        let store = &self.service().store;
        let of = store.by_order(self.world.channel.name(), &OrderId(order.into()));
        store.record(of[0]).unwrap()
    }

    async fn swept(&self) -> usize {
        self.world.later(Duration::from_hours(2));
        self.service().sweep_funded(&mut String::new()).await.unwrap()
    }
}

/// Another replica heard of the success and counted it, and then this one gave back what it had heard fail: it was paid, and not counted.
#[tokio::test]
async fn what_replicas_heard_in_halves_is_counted_as_it_ended() {
    let desk = Desk::new().of(Class::I).await;
    desk.pay(BY_A, &mine("debit", "1", 30_000), "failed").await;
    assert_eq!(desk.left().await, 100_000);
    let (record, store) = (desk.record("1"), &desk.service().store);
    let word = (Outcome::Succeeded, None, Arrival::Notify);
    store.arrive(&record, word, Precedence::default(), record.at);
    assert_eq!(desk.swept().await, 1);
    assert_eq!(desk.left().await, 70_000);
    // Whatever is heard later is followed again.
    desk.world.query("1", "ok", "back").await;
    assert_eq!(desk.left().await, 100_000);
    assert_eq!((desk.swept().await, desk.swept().await), (1, 0));
}

/// The store was lost while it was counted, and in observe it left all the same: that its record names no account was taken for a refusal.
#[tokio::test]
async fn what_left_and_may_be_counted_is_not_given_back() {
    let desk = Desk::new().of(Class::I).await;
    desk.pay("", &mine("debit", "1", 10_000), "ok").await;
    let record = desk.record("1");
    let (amount, purpose, strength) =
        (Fen::new(10_000), Purpose::Consumption, Strength::Certificate);
    let act = Act::Reserve(Payment { amount, purpose, strength, at: record.at });
    desk.act("a", &record.payment.to_string(), act).await.unwrap();
    let funding = Funding { account: id("a"), admitted: true };
    let row = Row::new(funding_key(record.payment), None, &funding).unwrap();
    desk.service().store.shelve(row);
    assert_eq!((desk.swept().await, desk.left().await), (1, 90_000));
}

/// The core had a part of it undone, and said so; that the channel tells of it gives back no more.
#[tokio::test]
async fn what_the_core_has_undone_it_gives_back_itself() {
    let desk = Desk::new().of(Class::I).await;
    desk.pay(BY_A, &mine("debit", "1", 30_000), "ok").await;
    desk.world.send(r#""type":"refund","order":"9","original":"1""#, "ok").await;
    let part = Act::Release(Some(Fen::new(10_000)));
    desk.act("a", &desk.record("1").payment.to_string(), part).await.unwrap();
    desk.world.query("1", "ok", "back").await;
    assert_eq!((desk.swept().await, desk.left().await), (0, 80_000));
}

/// An account that is closed paid all the same: the limits are the person's.
#[tokio::test]
async fn what_a_closed_account_pays_counts() {
    let mut desk = Desk::new().of(Class::I).await;
    Arc::get_mut(&mut desk.world.service).unwrap().tiers.over_limit = Effect::Annotate;
    desk.service().close_account(&id("a")).await.unwrap();
    let told = desk.pay(BY_A, &mine("debit", "1", 30_000), "ok").await;
    assert!(told.starts_with("annotate;reason=account_unknown | "), "{told}");
    assert_eq!(desk.left().await, 70_000);
}

/// 64 payments of one account at once through two replicas over one database: what leaves is never more than the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_limit_is_exceeded_by_payments_through_two_replicas() {
    let cluster = Cluster::start();
    let replica = || {
        let world = world_over(open(&cluster), Binding::Enforce(100), Settings::default());
        Arc::new(Desk::over(world))
    };
    let [one, two] = [replica(), replica()];
    let person = person(&[]);
    one.open("a", &person).await.unwrap();
    one.upgrade("a", Class::I, &person).await;
    let mut tasks = Vec::new();
    for at in 0..64 {
        let desk = if at % 2 == 0 { one.clone() } else { two.clone() };
        tasks.push(tokio::spawn(async move {
            // Of four, one fails for certain, and leaves room for another.
            let code = if at % 4 == 0 { "poor" } else { "ok" };
            let told = desk.pay(BY_A, &mine("debit", &at.to_string(), 3_000), code).await;
            u64::from(told.starts_with("permit") && code == "ok")
        }));
    }
    let mut paid = 0;
    for task in tasks {
        paid += task.await.unwrap();
    }
    assert!((1..=33).contains(&paid), "{paid} of 30 yuan, of 1,000");
    for desk in [&one, &two] {
        assert_eq!(desk.left().await, 100_000 - paid * 3_000, "what is known is what was paid");
    }
    let shown = one.service().account(&id("a"), None).await.unwrap();
    let over = shown.left(Purpose::Consumption, Strength::Certificate).unwrap().unwrap().1;
    assert_eq!(over, Over::Lifetime);
}
