//! Whose an agreement is, and what may change it.

use crate::{World, person, world, world_over};
use hefu::domain::answer::Answer;
use hefu::domain::element::{Element, ElementSet};
use hefu::service::agreements::Told;
use hefu::service::settle::Reported;
use hefu::service::{Binding, Settings};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::sqlite;
use std::time::Duration;

/// Another merchant who quotes an agreement learns nothing of it, and can do nothing to it.
#[tokio::test]
async fn an_agreement_is_its_merchants() {
    let world = world();
    let quote = |kind: &str, order: &str, merchant: &str| {
        format!(
            r#""type":"{kind}","order":"{order}","merchant":"{merchant}","amount":"100","agreement":"A-ok""#
        )
    };
    let bind = format!(r#""type":"bind","order":"b","merchant":"m",{}"#, person(0));
    world.send(&bind, "ok").await;
    for (order, code) in [("1", "ok"), ("2", "phone"), ("3", "gone")] {
        let told = world.send(&quote("by_agreement", order, "foreign"), code).await;
        assert!(told.starts_with("decision: annotate;reason=agreement_unknown"), "{code}: {told}");
        assert!(!told.contains("verification"), "{code}: {told}");
    }
    world.send(&quote("unbind", "4", "foreign"), "ok").await;
    assert_eq!(world.held(), 0);
    let told = world.send(&quote("by_agreement", "5", "m"), "ok").await;
    assert!(told.starts_with("decision: permit"), "{told}");
    // Where one of the two is not known, it may be theirs.
    let unnamed = quote("by_agreement", "6", "m").replace(r#""merchant":"m","#, "");
    assert!(world.send(&unnamed, "ok").await.starts_with("decision: permit"));
}

/// What memory had against an agreement was believed until the process ended, whatever another one released or bound since.
#[tokio::test]
async fn an_agreement_is_looked_up_before_anybody_is_refused_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let file = sqlite::open(&dir.path().join("hefu.db")).unwrap();
        let store = MemoryStore::open(Limits::default(), file, |_| ()).unwrap();
        world_over(store, Binding::Enforce(100), Settings::default())
    };
    let bind = |order: &str| format!(r#""type":"bind","order":"{order}",{}"#, person(0));
    let quote = |order: &str| {
        format!(r#""type":"by_agreement","order":"{order}","amount":"100","agreement":"A-ok""#)
    };
    let there = open();
    there.send(&bind("1"), "ok").await;
    there.send(&quote("2"), "phone").await;
    assert_eq!(there.send(&quote("3"), "ok").await, "403 held agreement_contradicted []");
    there.service.store.flush().await.unwrap();
    let here = open();
    let held: Vec<_> = here.service.standing_holds().into_iter().map(|hold| hold.key).collect();
    here.service.release_holds(&held, "the customer called").await;
    here.service.store.flush().await.unwrap();
    let told = there.send(&quote("4"), "gone").await;
    assert!(told.starts_with("decision: permit"), "{told}");
    assert_eq!(there.send(&quote("5"), "ok").await, "403 agreement_closed []");
    there.service.store.flush().await.unwrap();
    here.later(Duration::from_secs(1));
    here.send(&bind("6"), "ok").await;
    here.service.store.flush().await.unwrap();
    let told = there.send(&quote("7"), "ok").await;
    assert!(told.starts_with("decision: permit"), "{told}");
}

#[tokio::test]
async fn importing_again_reopens_nothing() {
    let world = world();
    let import = async || {
        let told = Told { agreement: "old".into(), ..Told::default() };
        world.import(&told).await.unwrap();
    };
    let quote = |kind: &str, order: &str| {
        format!(r#""type":"{kind}","order":"{order}","amount":"100","agreement":"old""#)
    };
    import().await;
    world.send(&quote("unbind", "1"), "ok").await;
    import().await;
    let told = world.send(&quote("by_agreement", "2"), "ok").await;
    assert_eq!(told, "403 agreement_closed []");
    // Nor does it forget what was verified at a bind since.
    let bind = format!(r#""type":"bind","order":"b",{}"#, person(0));
    world.send(&bind, "ok").await;
    let told = Told { agreement: "A-ok".into(), ..Told::default() };
    world.import(&told).await.unwrap();
    let told = world.send(&quote("by_agreement", "3").replace("old", "A-ok"), "ok").await;
    assert!(told.contains("verification: match"), "{told}");
}

/// A name of any length was kept as the channel told it: a database that takes no such key would have refused all that waits.
#[tokio::test]
async fn what_a_channel_calls_an_agreement_is_kept_only_where_it_is_a_name() {
    let check = async |name: &str, outcome: &str| {
        let world = world();
        let answer = format!(r#"{{"code":"ok","agreement":"{name}"}}"#);
        let body = answer.as_bytes();
        let answer = Reported::Answer { status: 200, content_type: None, body };
        let bind = World::debit("1", 0).replace("debit", "bind");
        let told = world.send_answered(&bind, answer).await;
        assert!(told.contains(&format!("outcome: {outcome}")), "{told}");
        world.service.agreement_standing(world.channel.name(), name).is_some()
    };
    assert!(check("A1", "succeeded").await);
    assert!(!check(&"x".repeat(3_000), "succeeded").await);
    assert!(!check("A\\u0000", "unknown").await);
}

/// A debit that quotes an agreement and carries `elements`.
fn by_both(order: &str, agreement: &str, elements: &str) -> String {
    format!(
        r#""type":"by_both","order":"{order}","merchant":"m","amount":"100","agreement":"{agreement}",{elements}"#
    )
}

const NO_PHONE: Answer = Answer::NoMatch(ElementSet::EMPTY.with(Element::Phone));

/// Any agreement, seen or not, let whatever stood beside it leave unverified: another card, and what matches nobody.
#[tokio::test]
async fn an_agreement_speaks_for_no_other_elements_than_were_bound() {
    let world = world();
    let bind = format!(r#""type":"bind","order":"b","merchant":"m",{}"#, person(0));
    world.send(&bind, "ok").await;
    assert_eq!(world.first.asked(), 1);
    // What was bound: nobody is asked again.
    let told = world.send(&by_both("1", "A-ok", &person(0)), "ok").await;
    assert!(told.starts_with("decision: permit"), "{told}");
    assert_eq!(world.first.asked(), 1);
    // Others are verified, whether the agreement is good or was never seen.
    world.first.will(&[NO_PHONE]);
    let told = world.send(&by_both("2", "A-ok", &person(1)), "ok").await;
    assert_eq!(told, "403 no_match [phone]");
    let told = world.send(&by_both("3", "never", &person(1)), "ok").await;
    assert_eq!(told, "403 no_match [phone]");
    let told = world.send(&by_both("4", "A-ok", &person(2)), "ok").await;
    assert!(told.starts_with("decision: permit"), "{told}");
    // What matches does not make an agreement known.
    let told = world.send(&by_both("5", "never", &person(2)), "ok").await;
    assert!(told.starts_with("decision: annotate;reason=agreement_unknown"), "{told}");
    // Nor are elements overlooked that are none.
    let told = world.send(&by_both("6", "A-ok", r#""card":"62""#), "ok").await;
    assert_eq!(told, "403 invalid [pan]");
}

/// A card alone is held against the one that was bound, and proves nothing where none is known.
#[tokio::test]
async fn a_card_beside_an_agreement_is_the_one_that_was_bound() {
    let world = world();
    let bind = format!(r#""type":"bind","order":"b","merchant":"m",{}"#, person(0));
    world.send(&bind, "ok").await;
    let check = async |order: &str, agreement: &str, card: &str, expected: &str| {
        let card = format!(r#""card":"{card}""#);
        let told = world.send(&by_both(order, agreement, &card), "ok").await;
        assert!(told.starts_with(expected), "{order}: {told}");
    };
    check("1", "A-ok", "6200000000000005", "decision: permit").await;
    check("2", "A-ok", "6200000000000013", "decision: annotate;reason=elements_missing").await;
    check("3", "never", "6200000000000013", "decision: annotate;reason=agreement_unknown").await;
}

/// Beside a good agreement the hold on the tuple was not looked at; beside good elements those on the agreement and its tuple are.
#[tokio::test]
async fn an_agreement_and_elements_beside_it_may_both_be_held() {
    let world = world();
    let bind = format!(r#""type":"bind","order":"b","merchant":"m",{}"#, person(0));
    world.send(&bind, "ok").await;
    let debit = |order: &str, phone| {
        World::debit(order, phone).replace("\"order\"", "\"merchant\":\"m\",\"order\"")
    };
    world.send(&debit("1", 1), "phone").await;
    let told = world.send(&by_both("2", "A-ok", &person(1)), "ok").await;
    assert!(told.starts_with("403 held"), "{told}");
    let quote =
        r#""type":"by_agreement","order":"3","merchant":"m","amount":"100","agreement":"A-ok""#;
    world.send(quote, "phone").await;
    let told = world.send(&by_both("4", "A-ok", &person(2)), "ok").await;
    assert!(told.starts_with("403 held"), "{told}");
    world.send(r#""type":"unbind","order":"u","merchant":"m","agreement":"A-ok""#, "ok").await;
    let told = world.send(&by_both("5", "A-ok", &person(3)), "ok").await;
    assert!(told.contains("agreement_closed"), "{told}");
}
