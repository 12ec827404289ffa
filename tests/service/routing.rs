//! Whom a question goes to, and when it goes no further.

use crate::{World, world};
use hefu::domain::answer::Answer;
use hefu::domain::id::Road;
use hefu::provider::Trouble;
use hefu::route::Candidate;
use std::sync::Arc;
use std::time::Duration;

/// A world in which the providers are otherwise.
fn world_where(change: impl FnOnce(&mut Candidate, &mut Candidate)) -> World {
    let mut world = world();
    let service = Arc::get_mut(&mut world.service).unwrap();
    let [first, second] = service.providers.as_mut_slice() else { return world };
    change(&mut first.candidate, &mut second.candidate);
    world
}

impl World {
    /// How often each was asked.
    fn questions(&self) -> (u64, u64) {
        (self.first.asked(), self.second.asked())
    }

    /// How often a provider was not asked, for a reason.
    fn withheld(&self, provider: &str, reason: &str) -> u64 {
        let labels = [("provider", provider), ("reason", reason)];
        self.service.metrics.total("hefu_inquiries_withheld_total", &labels)
    }
}

/// What it has said is its source's word: whoever asks there gets the same, and pays again.
#[tokio::test]
async fn a_source_that_has_spoken_is_not_asked_again() {
    let check = async |answer, same, expected: (u64, u64)| {
        let world = world_where(|first, second| {
            if same {
                second.source = first.source.clone();
            }
        });
        world.first.will(&[answer]);
        world.send(&World::debit("1", 0), "ok").await;
        assert_eq!(world.questions(), expected, "{answer:?}, {same}");
    };
    check(Answer::NoRecord, true, (1, 0)).await;
    check(Answer::NoRecord, false, (1, 1)).await;
    check(Answer::NotPossible, true, (1, 0)).await;
    check(Answer::NotPossible, false, (1, 1)).await;
    // It has said nothing.
    check(Answer::Unavailable, true, (1, 1)).await;
    check(Answer::Limited, false, (1, 0)).await;
}

/// An answer may name the registry more closely than the provider's file does: both have spoken.
#[tokio::test]
async fn a_source_has_spoken_by_either_name() {
    let check = async |of_second: &str, expected: (u64, u64)| {
        let world = world_where(|first, second| {
            first.source = "operator".into();
            second.source = of_second.into();
        });
        world.first.names.lock().unwrap().replace("operator:cmcc".into());
        world.first.will(&[Answer::NoRecord]);
        world.send(&World::debit("1", 0), "ok").await;
        assert_eq!(world.questions(), expected, "{of_second}");
    };
    check("operator", (1, 0)).await;
    check("operator:cmcc", (1, 0)).await;
    check("operator:cucc", (1, 1)).await;
}

#[tokio::test]
async fn the_channels_own_road_is_asked_first() {
    let world = world_where(|first, _| first.road = Road::new("elsewhere"));
    world.send(&World::debit("1", 0), "ok").await;
    assert_eq!(world.questions(), (1, 0), "neither is on the channel's road");
    let world = world_where(|_, second| second.road = Road::new("acme"));
    world.send(&World::debit("1", 0), "ok").await;
    assert_eq!(world.questions(), (0, 1));
}

/// Five failures open it; then the other is asked at once, and one question at a time tries whether it is back.
#[tokio::test]
async fn a_provider_that_fails_is_left_alone_for_a_while() {
    let world = world();
    for at in 0..5 {
        world.first.will_not(Answer::Unavailable, Trouble::Silence);
        let told = world.send(&World::debit(&at.to_string(), at), "ok").await;
        assert!(told.contains(r#"match;provider="second""#), "{told}");
    }
    world.send(&World::debit("5", 5), "ok").await;
    assert_eq!((world.questions(), world.withheld("first", "breaker")), ((5, 6), 1));
    world.later(Duration::from_secs(2));
    world.send(&World::debit("6", 6), "ok").await;
    assert_eq!(world.questions(), (6, 6));
}

/// A business answer is one of somebody who is well, and our own map's gaps are not the provider's trouble.
#[tokio::test]
async fn whoever_answers_is_well() {
    let check = async |answer, trouble: Option<Trouble>| {
        let world = world();
        for at in 0..8 {
            match trouble {
                Some(trouble) => world.first.will_not(answer, trouble),
                None => world.first.will(&[answer]),
            }
            world.send(&World::debit(&at.to_string(), at), "ok").await;
        }
        assert_eq!(world.first.asked(), 8, "{answer:?} {trouble:?}");
    };
    check(Answer::NoRecord, None).await;
    check(Answer::Limited, None).await;
    check(Answer::Unavailable, Some(Trouble::Unmapped)).await;
    check(Answer::Unavailable, Some(Trouble::Rate)).await;
}

/// Where everybody fails, not everybody is asked for everything: ten questions to others, and a fifth of what comes.
#[tokio::test]
async fn a_failure_is_not_answered_by_twice_the_load() {
    let world = world();
    for at in 0..4 {
        // Good ones in between, so that no breaker opens.
        for good in 0..2 {
            world.send(&World::debit(&format!("{at}-{good}"), at * 2 + good), "ok").await;
        }
    }
    let before = world.questions();
    assert_eq!(before, (8, 0));
    // A breaker would stop it sooner: each question is a day after the one before.
    for at in 0..30_u8 {
        world.later(Duration::from_hours(24 * 91));
        world.first.will(&[Answer::Unavailable]);
        world.second.will(&[Answer::Unavailable]);
        let told = world.send(&World::debit(&format!("late-{at}"), at % 10), "ok").await;
        assert!(told.starts_with("503 unavailable"), "{told}");
    }
    let (first, second) = world.questions();
    assert_eq!((first, second), (38, 17), "10, and a fifth of 38");
    assert_eq!(world.withheld("second", "retries"), 13);
}

/// Beyond as many as may ask it at once, another is asked; nobody waits in line.
#[tokio::test]
async fn a_provider_that_is_busy_is_not_waited_for() {
    let mut world = world();
    let service = Arc::get_mut(&mut world.service).unwrap();
    service.providers[0].watch =
        Arc::new(hefu::service::health::Watch::new(std::num::NonZeroUsize::MIN));
    let world = Arc::new(world);
    let shut = world.first.gate.acquire_many(1000).await.unwrap();
    let (of, slow) = (world.clone(), World::debit("1", 0));
    let slow = tokio::spawn(async move { of.send(&slow, "ok").await });
    while world.first.asked() == 0 {
        tokio::task::yield_now().await;
    }
    let told = world.send(&World::debit("2", 1), "ok").await;
    assert!(told.contains(r#"match;provider="second""#), "{told}");
    assert_eq!(world.withheld("first", "concurrency"), 1);
    drop(shut);
    assert!(slow.await.unwrap().contains(r#"match;provider="first""#));
}
