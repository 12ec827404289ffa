//! What providers and the core's own verifications say, and what it is worth.

use crate::{World, world};
use hefu::domain::answer::Answer;
use hefu::provider::Trouble;

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

/// What one provider's protocol cannot write is no word of its on the person.
#[tokio::test]
async fn who_cannot_write_an_element_was_not_asked() {
    let world = world();
    world.first.will_not(Answer::Invalid, Trouble::Unwritable);
    let told = world.send(&World::debit("1", 0), "ok").await;
    assert!(told.contains(r#"match;provider="second""#), "{told}");
}
