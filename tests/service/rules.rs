//! What the risk team's rules do to payments, and what they may not do.

use crate::{World, config_of, key, world_ruled};
use hefu::domain::answer::Answer;
use hefu::domain::clock::Timestamp;
use hefu::domain::id::{OrderId, PaymentId};
use hefu::service::backtest::Backtest;
use hefu::service::rules::Explanation;
use hefu::service::{Binding, Settings};
use hefu::store::memory::{Limits, MemoryStore};
use std::time::Duration;

/// A rule's text.
fn rule(id: &str, action: &str, state: &str, when: &str) -> String {
    format!(
        "[[rule]]\nid = '{id}'\naction = '{action}'\nstate = {state}\nowner = 'risk'\nreason = 'r_1'\nwhen = '''{when}'''\n"
    )
}

fn world(binding: Binding, rules: &str) -> World {
    let store = MemoryStore::new(Limits::default());
    world_ruled(store, binding, Settings::default(), key(1).into(), rules)
}

const ENFORCE: Binding = Binding::Enforce(100);

/// The first line of what a core sees of a debit.
async fn told(world: &World, order: &str) -> String {
    let told = world.send(&World::debit(order, 0), "ok").await;
    told.lines().next().unwrap().to_owned()
}

/// The payment of an order.
fn kept(world: &World, order: &str) -> PaymentId {
    let payments = world.service.store.by_order(world.channel.name(), &OrderId(order.into()));
    *payments.first().unwrap()
}

fn counted(world: &World, rule: &str, mode: &str) -> u64 {
    world.service.metrics.total("hefu_rule_hits_total", &[("rule", rule), ("mode", mode)])
}

#[tokio::test]
async fn an_action_does_what_it_says() {
    let check =
        async |action: &str, state: &str, binding, answer: Option<Answer>, expected: &str| {
            let world = world(binding, &rule("one", action, state, "payment.channel == \"acme\""));
            for provider in [&world.first, &world.second] {
                provider.will(&answer.into_iter().collect::<Vec<_>>());
            }
            assert_eq!(told(&world, "1").await, expected, "{action} {state} {answer:?}");
        };
    let (live, shadow) = ("'live'", "'shadow'");
    let permit = "decision: permit;mode=enforce";
    check("refuse", live, ENFORCE, None, "403 rule []").await;
    check("refuse", shadow, ENFORCE, None, permit).await;
    check("refuse", "'draft'", ENFORCE, None, permit).await;
    let marked = "decision: annotate;reason=rule;mode=enforce;rule=\"one\"";
    check("annotate", live, ENFORCE, None, marked).await;
    // Nobody is asked in observe, and nothing is refused.
    let observed = "decision: annotate;reason=rule;mode=observe;rule=\"one\"";
    check("refuse", live, Binding::Observe, None, observed).await;
    check("require_verification", live, ENFORCE, None, permit).await;
    let close = Some(Answer::CloseMatch);
    check("require_verification", live, ENFORCE, close, "403 verification_required close_match []")
        .await;
    // Policy does not say that a rule may lift anything.
    check("permit", live, ENFORCE, Some(Answer::NoRecord), "403 no_record []").await;
    check("permit", live, ENFORCE, None, permit).await;
}

#[tokio::test]
async fn the_strongest_action_prevails_and_every_rule_is_counted() {
    let always = "payment.channel == \"acme\"";
    let rules = [
        rule("a", "permit", "'live'", always),
        rule("b", "annotate", "'live'", always),
        rule("c", "refuse", "'live'", always),
        rule("d", "refuse", "'shadow'", "!(payment.channel != \"acme\")"),
        rule(
            "e",
            "annotate",
            "'live'",
            "has(payment.amount) && payment.amount * 9223372036854775807 > 1",
        ),
    ];
    let world = world(ENFORCE, &rules.concat());
    assert_eq!(told(&world, "1").await, "403 rule []");
    let hits = ["a", "b", "c"].map(|rule| counted(&world, rule, "live"));
    assert_eq!(
        (hits, counted(&world, "d", "shadow"), counted(&world, "e", "live")),
        ([1; 3], 1, 0)
    );
    let errors = |rule| world.service.metrics.total("hefu_rule_errors_total", &[("rule", rule)]);
    assert_eq!((errors("e"), errors("a")), (1, 0));
}

#[tokio::test]
async fn a_card_is_counted_within_its_window() {
    let when = "velocity(\"card\", \"debit\", \"1h\") >= 3";
    let world = world(ENFORCE, &rule("often", "refuse", "'live'", when));
    for order in ["1", "2", "3"] {
        assert_eq!(told(&world, order).await, "decision: permit;mode=enforce", "{order}");
    }
    assert_eq!(told(&world, "4").await, "403 rule []");
    world.later(Duration::from_secs(3600 + 61));
    assert_eq!(told(&world, "5").await, "decision: permit;mode=enforce");
}

#[tokio::test]
async fn a_mismatch_is_counted_against_the_card() {
    let when = "mismatches(\"card\", \"30d\") >= 1";
    let world = world(ENFORCE, &rule("burnt", "annotate", "'live'", when));
    world.send(&World::debit("1", 0), "phone").await;
    // Another phone, and so another tuple, which is not held.
    let told = world.send(&World::debit("2", 1), "ok").await;
    assert!(told.starts_with("decision: annotate;reason=rule"), "{told}");
}

/// The record says by which set it was judged, whole, and what was looked up; and it explains the same later.
#[tokio::test]
async fn what_was_judged_is_kept_and_explained() {
    let when = "velocity(\"card\", \"any\", \"1h\") == 0 && payment.held";
    let world = world(ENFORCE, &rule("first", "annotate", "'shadow'", when));
    world.judge(&world.channel, &World::debit("1", 0)).await.unwrap();
    let id = kept(&world, "1");
    let record = world.service.store.record(id).unwrap();
    let ruled = record.stakes.rules.as_deref().unwrap();
    let book = world.service.rules.as_ref().unwrap();
    assert_eq!((&*ruled.set, &ruled.inputs), (&*book.book.rules.version, &vec![Some(0)]));
    let parts = |explanation: Explanation| {
        let [explained] = <[_; 1]>::try_from(explanation.rules).unwrap();
        let parts = explained.parts.iter().map(|part| part.came.to_string());
        (explained.came, explained.did, parts.collect::<Vec<_>>().join(" "))
    };
    let explanation = book.explain(&record);
    assert!(explanation.as_decided && explanation.looked_up.is_empty(), "{explanation:?}");
    assert_eq!(parts(explanation), (Ok(false), Some("nothing"), "true false".to_owned()));
    // By now the payment itself was counted.
    let explanation = book.explain_now(&record);
    assert_eq!(explanation.looked_up, ["velocity(\"card\", \"any\", \"1h\")"]);
    assert!(!explanation.as_decided, "{explanation:?}");
    assert_eq!(parts(explanation), (Ok(false), None, "false skipped".to_owned()));
}

/// Where there are no rules nothing is looked up, and nothing is kept.
#[tokio::test]
async fn no_rules_leave_no_trace() {
    let world = world(ENFORCE, "");
    assert!(world.service.rules.is_none());
    world.send(&World::debit("1", 0), "ok").await;
    let id = kept(&world, "1");
    assert!(world.service.store.record(id).unwrap().stakes.rules.is_none());
}

/// What no rule asked for then is not known of a payment; a backtest says of what, and of how many.
#[tokio::test]
async fn a_backtest_says_what_it_could_not_rebuild() {
    let world = world(ENFORCE, "");
    for order in ["1", "2"] {
        world.send(&World::debit(order, 0), "ok").await;
    }
    let tried = |rules: &str, ids: &[PaymentId]| {
        let book = config_of(rules).rules;
        let mut test = Backtest::new(book, Timestamp::default());
        for id in ids {
            test.feed(&world.service.store.record(*id).unwrap());
        }
        test.found()
    };
    let rules = [
        rule("a", "refuse", "'live'", "has(phone.id)"),
        rule("b", "refuse", "'live'", "has(card.kind) && card.kind == \"credit\""),
        rule("c", "refuse", "'live'", "velocity(\"phone\", \"any\", \"1h\") == 0"),
        rule("d", "refuse", "'live'", "velocity(\"card\", \"any\", \"1h\") == 1"),
    ];
    let found = tried(&rules.concat(), &[kept(&world, "1"), kept(&world, "2")]);
    let not_rebuilt: Vec<_> = found.rules.iter().map(|tally| tally.not_rebuilt).collect();
    assert_eq!(not_rebuilt, [0, 2, 0, 0]);
    let (phone, card) =
        ("velocity(\"phone\", \"any\", \"1h\")", "velocity(\"card\", \"any\", \"1h\")");
    let lacks: Vec<_> = found.lacks.iter().map(|(what, count)| (&**what, *count)).collect();
    assert_eq!(lacks, [("card.kind", 2)]);
    assert_eq!(found.looked_up, [phone, card]);
    // A hold that stopped no such payment was no reason then; of what it stops it is known.
    let bind = world.recorded(&World::debit("3", 0).replace("debit", "bind"), "ok").await;
    let rules = rule("e", "refuse", "'live'", "payment.held");
    let found = tried(&rules, &[bind.payment, kept(&world, "1")]);
    let lacks: Vec<_> = found.lacks.into_iter().collect();
    assert_eq!(lacks, [("payment.held".to_owned(), 1)]);
}
