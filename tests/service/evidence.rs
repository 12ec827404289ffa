//! What providers and the core's own verifications say, and what it is worth.

use crate::{World, person, world};
use hefu::domain::answer::Answer;
use hefu::domain::element::{Element, ElementSet};
use hefu::provider::Trouble;
use hefu::service::Settings;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn the_most_telling_answer_counts_whoever_gave_it() {
    let check = async |first, second, expected: &str| {
        let world = world();
        world.first.will(&[first]);
        world.second.will(&[second]);
        let told = world.send(&World::debit("1", 0), "ok").await;
        assert!(told.starts_with(expected), "{first:?} {second:?}: {told}");
    };
    let not_possible = "decision: annotate;reason=not_possible";
    check(Answer::NoRecord, Answer::NotPossible, "403 no_record").await;
    check(Answer::NotPossible, Answer::NoRecord, "403 no_record").await;
    check(Answer::NotPossible, Answer::Limited, not_possible).await;
    check(Answer::NotPossible, Answer::Unavailable, not_possible).await;
    check(Answer::NotPossible, Answer::Match, "decision: permit").await;
}

/// The customer corrects what he typed wrongly, or has the bank correct it: what is not a match goes stale fast.
#[tokio::test]
async fn what_is_no_match_has_a_short_life() {
    let check = async |answer: Answer, life: Duration| {
        let mut world = world();
        Arc::get_mut(&mut world.service).unwrap().providers.pop();
        world.first.will(&[answer]);
        for (order, later, asked) in [
            ("1", Duration::ZERO, 1),
            ("2", life.checked_sub(Duration::from_millis(1)).unwrap(), 1),
            ("3", Duration::from_millis(1), 2),
        ] {
            world.later(later);
            world.send(&World::debit(order, 0), "ok").await;
            assert_eq!(world.first.asked(), asked, "{answer:?} {order}");
        }
    };
    let Settings { match_valid_for, other_valid_for, .. } = Settings::default();
    assert!(other_valid_for * 1_000 < match_valid_for);
    check(Answer::Match, match_valid_for).await;
    check(Answer::NoMatch(ElementSet::EMPTY.with(Element::Phone)), other_valid_for).await;
    check(Answer::NoRecord, other_valid_for).await;
    check(Answer::NotPossible, other_valid_for).await;
    check(Answer::CloseMatch, other_valid_for).await;
    check(Answer::Invalid, other_valid_for).await;
}

/// What one provider's protocol cannot write is no word of its on the person.
#[tokio::test]
async fn who_cannot_write_an_element_was_not_asked() {
    let world = world();
    world.first.will_not(Answer::Invalid, Trouble::Unwritable);
    let told = world.send(&World::debit("1", 0), "ok").await;
    assert!(told.contains(r#"match;provider="second""#), "{told}");
}

/// The core's verification through the channel proves what the channel checks, and no more.
#[tokio::test]
async fn a_verification_proves_no_more_than_it_checks() {
    let verify = format!(r#""type":"verify_three","order":"v",{}"#, person(0));
    let three = World::debit("1", 0).replace(r#","phone":"13800000000""#, "");
    let check = async |code: &str, of_three: &str| {
        let world = world();
        world.send(&verify, code).await;
        let told = world.send(&three, "ok").await;
        assert!(told.contains(of_three), "{code}: {told}");
        let told = world.send(&World::debit("2", 0), "ok").await;
        assert!(told.contains(r#"match;provider="first""#), "{code}: {told}");
    };
    check("ok", r#"match;provider="acme""#).await;
    check("name", "403 no_match [name]").await;
    // The phone is none of the three, and of name or phone nobody knows which it was.
    check("phone", "reason=nobody_can").await;
    check("some", "reason=nobody_can").await;
}

/// The holder of a document that no provider takes is no outage, which would be one for ever.
#[tokio::test]
async fn where_nobody_can_be_asked_nobody_can() {
    let check = async |first, second, expected: &str| {
        let world = world();
        world.first.will_not(Answer::NotPossible, first);
        world.second.will_not(Answer::Unavailable, second);
        let told = world.send(&World::debit("1", 0), "ok").await;
        assert!(told.starts_with(expected), "{first:?} {second:?}: {told}");
    };
    let nobody_can = "decision: annotate;reason=nobody_can";
    check(Trouble::NotAsked, Trouble::NotAsked, nobody_can).await;
    check(Trouble::Unwritable, Trouble::NotAsked, nobody_can).await;
    check(Trouble::NotAsked, Trouble::Rate, "503 unavailable").await;
    check(Trouble::NotAsked, Trouble::Silence, "503 unavailable").await;
}
