//! In `observe` nobody waits for a provider; of a sample is asked afterwards, within a cap of its own.

use crate::{World, world_with};
use hefu::domain::answer::Answer;
use hefu::domain::element::{Element, ElementSet};
use hefu::domain::id::OrderId;
use hefu::domain::mismatch::MismatchKind;
use hefu::domain::money::Fen;
use hefu::service::afterwards::Sample;
use hefu::service::mismatch::Wanted;
use hefu::service::settle::Reported;
use hefu::service::{Binding, Channel, Settings};
use hefu::store::Record;
use std::sync::Arc;
use std::time::Duration;

/// A world that observes, and asks afterwards.
fn observing(percent: u32, fen: u64) -> World {
    let mut world = world_with(Binding::Observe, Settings::default());
    let service = Arc::get_mut(&mut world.service).unwrap();
    service.observe = Sample { percent, cap: Fen::new(fen) };
    world
}

impl World {
    /// What the edge does: the message is judged, answered and settled, and only then is asked.
    async fn observe(&self, message: &str, code: &str) -> usize {
        let mut judged = self.judge(&self.channel, message).await.unwrap();
        let later = judged.later();
        assert_eq!(self.first.asked() + self.second.asked(), 0, "before it was answered");
        let answer = format!(r#"{{"code":"{code}"}}"#);
        let body = answer.as_bytes();
        self.service
            .settle(judged, Reported::Answer { status: 200, content_type: None, body })
            .await;
        let asked = later.len();
        for later in later {
            self.service.clone().ask_afterwards(self.channel.clone(), later).await;
        }
        asked
    }

    /// What is kept of an order's payment.
    fn record_of(&self, order: &str) -> Record {
        let order = OrderId(order.into());
        let payment = self.service.store.by_order(self.channel.name(), &order);
        self.service.store.record(*payment.last().unwrap()).unwrap()
    }

    fn mismatches_of(&self, kind: &str) -> u64 {
        self.service.metrics.total("hefu_mismatches_total", &[("kind", kind)])
    }
}

#[tokio::test]
async fn nobody_is_asked_unless_that_is_set() {
    let world = observing(0, 1_000);
    assert_eq!(world.observe(&World::debit("1", 0), "ok").await, 0);
    assert_eq!(world.first.asked(), 0);
    // A sample that may cost nothing is asked about nowhere.
    let world = observing(100, 0);
    assert_eq!(world.observe(&World::debit("1", 0), "ok").await, 1);
    assert_eq!(world.first.asked(), 0);
}

/// What comes of it is evidence for the next, and beside the outcome that is known it says how the halves differ.
#[tokio::test]
async fn what_was_observed_is_compared_afterwards() {
    let world = observing(100, 1_000);
    world.observe(&World::debit("1", 0), "name").await;
    assert_eq!((world.first.asked(), world.mismatches_of("match_then_no_match")), (1, 1));
    // It stands in the record and in the list as well, once; and the channel's word prevails over the provider's later one.
    let record = world.record_of("1");
    assert_eq!(record.mismatch.unwrap().kind, MismatchKind::MatchThenNoMatch);
    assert_eq!(record.verified.unwrap().witness.as_str(), "first");
    let wanted = Wanted { most: 10, ..Wanted::default() };
    let listed = world.service.mismatches(&wanted).await.unwrap().mismatches;
    let kinds: Vec<_> = listed.iter().map(|one| one.mismatch.kind.as_str()).collect();
    assert_eq!((kinds, world.held()), (vec!["match_then_no_match"], 1));
    let binding = Binding::Enforce(100);
    let enforced = Arc::new(Channel { binding, profile: world.channel.profile.clone() });
    let refusal = world.judge(&enforced, &World::debit("2", 0)).await.unwrap_err();
    assert_eq!(refusal.first_reason().as_str(), "held");
    world.later(Duration::from_secs(1));
    let bind = World::debit("3", 0).replace("debit", "bind");
    world.judge(&enforced, &bind).await.unwrap();
    assert_eq!(world.first.asked(), 2, "its answer is no evidence here");
    let world = observing(100, 1_000);
    world.first.will(&[Answer::NoMatch(ElementSet::EMPTY.with(Element::Phone))]);
    world.observe(&World::debit("1", 0), "ok").await;
    assert_eq!((world.first.asked(), world.mismatches_of("no_match_then_success")), (1, 1));
    let told = world.send(&World::debit("2", 0), "ok").await;
    assert!(told.starts_with("decision: annotate;reason=no_match;mode=observe"), "{told}");
    assert_eq!(world.first.asked(), 1, "it is known");
}

/// An outcome that comes only then is compared with what was said meanwhile.
#[tokio::test]
async fn what_comes_after_the_question_is_compared_with_its_answer() {
    let world = observing(100, 1_000);
    world.observe(&World::debit("1", 0), "taken").await;
    assert_eq!((world.first.asked(), world.mismatches_of("match_then_no_match")), (1, 0));
    world.query("1", "ok", "phone").await;
    assert_eq!(world.mismatches_of("match_then_no_match"), 1);
    assert_eq!(world.mismatches_of("unverified_then_no_match"), 0);
}

/// Three at 30 fen are within a fen less than four of them cost.
#[tokio::test]
async fn a_sample_is_asked_within_its_cap() {
    let world = observing(100, 119);
    for phone in 0..6 {
        let mut judged =
            world.judge(&world.channel, &World::debit(&phone.to_string(), phone)).await.unwrap();
        for later in judged.later() {
            world.service.clone().ask_afterwards(world.channel.clone(), later).await;
        }
    }
    assert_eq!((world.first.asked(), world.second.asked()), (3, 0));
}
