//! Tries of clients: what one is told of them is its own, and all of them together leave payments theirs.

use crate::clients::{PHONE, alone, ask, sharing, terms};
use crate::{World, world};
use hefu::domain::answer::Answer;
use hefu::domain::id::MerchantId;
use hefu::route::attempts::Limits;
use hefu::service::clients::Terms;
use hefu::store::verification::{State, Verification};
use std::sync::Arc;
use std::time::Duration;

const WRONG: Answer = Answer::NoMatch(PHONE);

/// One source, at which a card has three wrong tries, of which one merchant has two.
fn few() -> World {
    let mut world = world();
    let service = Arc::get_mut(&mut world.service).unwrap();
    service.attempts = Limits::default();
    service.providers.truncate(1);
    world
}

/// One that asks in the name of M1, and shares nothing.
fn named() -> Arc<Terms> {
    Arc::new(Terms { merchant: MerchantId("M1".into()), ..alone("named") })
}

impl World {
    /// What the core is told of a payment of `merchant`.
    async fn debited(&self, merchant: &str, order: &str, phone: u8) -> String {
        self.send(&format!("{},\"merchant\":\"{merchant}\"", World::debit(order, phone)), "ok")
            .await
    }
}

/// What a client is told: the answer, and how many more wrong tries there are.
fn told(of: &Verification) -> (&'static str, Option<u32>) {
    match of.state {
        State::Asking { .. } => ("asking", None),
        State::Done(came) => (came.answer.as_str(), came.attempts_left),
    }
}

/// That others tried is theirs: who shares nothing is told of its own tries, and that a card was tried too often only by itself.
#[tokio::test]
async fn a_client_is_told_of_its_own_tries_alone() {
    let world = few();
    world.first.will(&[WRONG, WRONG, WRONG]);
    world.debited("M1", "1", 1).await;
    world.debited("M1", "2", 2).await;
    let client = terms("alone");
    assert_eq!(told(&ask(&world, &client, "a", 3).await), ("no_match", Some(1)));
    assert_eq!(world.first.asked(), 3);
    // There is none left; it made one.
    assert_eq!(told(&ask(&world, &client, "b", 4).await), ("unavailable", None));
    // Who shares with the payments is told of theirs.
    assert_eq!(told(&ask(&world, &sharing(), "b", 4).await), ("limited", Some(0)));
    assert_eq!(world.first.asked(), 3);
}

/// In whose name it asks, it learns nothing of them.
#[tokio::test]
async fn a_client_that_asks_in_anothers_name_is_told_of_its_own_tries_alone() {
    let world = few();
    world.first.will(&[WRONG, WRONG]);
    world.debited("M1", "1", 1).await;
    assert_eq!(told(&ask(&world, &named(), "a", 2).await), ("no_match", Some(1)));
    assert_eq!(told(&ask(&world, &named(), "b", 3).await), ("unavailable", None));
    assert_eq!(world.first.asked(), 2);
}

#[tokio::test]
async fn a_client_that_tried_too_often_itself_is_told_so() {
    let world = few();
    world.first.will(&[WRONG, WRONG]);
    let client = terms("alone");
    assert_eq!(told(&ask(&world, &client, "a", 1).await), ("no_match", Some(1)));
    assert_eq!(told(&ask(&world, &client, "b", 2).await), ("no_match", Some(0)));
    assert_eq!(told(&ask(&world, &client, "c", 3).await), ("limited", Some(0)));
    assert_eq!(world.first.asked(), 2);
    // That somebody else had it right, which ends the count, is no business of theirs either.
    world.later(Duration::from_secs(1));
    assert!(world.debited("M1", "1", 4).await.starts_with("decision: permit"));
    world.first.will(&[WRONG]);
    assert_eq!(told(&ask(&world, &client, "d", 5).await), ("no_match", Some(0)));
}

/// A source counts whoever asks there, and what it says of that is told as if nobody could be asked.
#[tokio::test]
async fn that_a_source_was_asked_too_often_is_told_to_nobody_who_did_not() {
    let (world, client) = (few(), terms("alone"));
    world.first.will(&[Answer::Limited]);
    for key in ["a", "b"] {
        assert_eq!(told(&ask(&world, &client, key, 1).await), ("unavailable", None), "{key}");
    }
    assert_eq!(told(&ask(&world, &client, "c", 2).await), ("unavailable", None));
    assert_eq!(world.first.asked(), 1);
}

/// However many clients try, and in whose name: payments have the try that is left to others.
#[tokio::test]
async fn clients_together_lock_no_card() {
    for other in [terms("other"), named(), sharing()] {
        let (world, client) = (few(), terms("alone"));
        world.first.will(&[WRONG, WRONG]);
        for (nth, who) in (0..).zip([&client, &other, &client, &other]) {
            ask(&world, who, &nth.to_string(), nth).await;
        }
        assert_eq!(world.first.asked(), 2, "{}", other.name);
        world.later(Duration::from_secs(1));
        for merchant in ["M1", "M2"] {
            let paid = world.debited(merchant, merchant, 5).await;
            assert!(paid.starts_with("decision: permit"), "{}: {paid}", other.name);
        }
    }
}

/// What a client tries in a merchant's name is none of the merchant's own tries.
#[tokio::test]
async fn a_client_takes_no_try_of_the_merchant_in_whose_name_it_asks() {
    let world = few();
    world.first.will(&[WRONG, WRONG]);
    ask(&world, &named(), "a", 1).await;
    ask(&world, &named(), "b", 2).await;
    assert_eq!(world.first.asked(), 2);
    world.later(Duration::from_secs(1));
    assert!(world.debited("M1", "1", 5).await.starts_with("decision: permit"));
    assert_eq!(world.first.asked(), 3);
}
