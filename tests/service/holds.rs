//! What is held, for how long, and what sets it free.

use crate::{World, world};
use hefu::domain::answer::Answer;
use hefu::service::{Binding, Channel};
use std::sync::Arc;
use std::time::Duration;

/// The channel says no while a provider is being asked: the provider's word is the older one, however late it comes.
#[tokio::test]
async fn a_late_answer_does_not_undo_the_channels_word() {
    for verified in [true, false] {
        let world = Arc::new(world());
        // Either the evidence of the first debit is too old by now, or there never was any.
        let binding = if verified { Binding::Enforce(100) } else { Binding::Observe };
        let channel = Arc::new(Channel { binding, profile: world.channel.profile.clone() });
        let earlier = world.judge(&channel, &World::debit("1", 0)).await.unwrap();
        let before = world.first.asked();
        world.later(Duration::from_hours(90 * 24));
        let all = world.first.gate.acquire_many(1000).await.unwrap();
        let waiting = world.clone();
        let waiting = tokio::spawn(async move { waiting.send(&World::debit("2", 0), "ok").await });
        while world.first.asked() == before {
            tokio::task::yield_now().await;
        }
        world.later(Duration::from_secs(1));
        world.settle(earlier, "phone").await;
        world.later(Duration::from_secs(1));
        drop(all);
        assert_eq!(waiting.await.unwrap(), "403 held []");
        assert_eq!(world.held(), 1);
        // Nor is it evidence at this channel: a bind asks again, and that answer is the newer word.
        let bind = World::debit("3", 0).replace("debit", "bind");
        assert!(world.send(&bind, "ok").await.starts_with("decision: permit"));
        assert_eq!((world.first.asked(), world.held()), (before + 2, 0));
    }
}

/// The way out that every refusal names, at a channel whose bind yields no agreement and for which no provider can answer.
#[tokio::test]
async fn a_bind_that_checks_everything_frees_whether_it_yields_or_not() {
    let bind = |kind: &str| World::debit("b", 0).replace("debit", kind);
    for (kind, code, held) in
        [("bind_only", "ok", 0), ("bind", "ok", 0), ("bind", "taken", 1), ("bind_only", "poor", 1)]
    {
        let world = world();
        world.send(&World::debit("1", 0), "phone").await;
        world.later(Duration::from_secs(1));
        world.first.will(&[Answer::NotPossible]);
        world.second.will(&[Answer::NotPossible]);
        world.send(&bind(kind), code).await;
        assert_eq!(world.held(), held, "{kind} {code}");
    }
    // A bind that yields the agreement that was contradicted sets that free as well.
    let world = world();
    let debit = |order: &str| {
        format!(r#""type":"by_agreement","order":"{order}","amount":"100","agreement":"A-ok""#)
    };
    world.send(&bind("bind"), "ok").await;
    world.send(&debit("1"), "phone").await;
    assert!(world.send(&debit("2"), "ok").await.starts_with("403 held"));
    world.later(Duration::from_secs(1));
    world.send(&bind("bind"), "ok").await;
    assert!(world.send(&debit("3"), "ok").await.starts_with("decision: permit"));
}

/// An expiry that was mistyped says nothing of the elements that a later debit is verified by.
#[tokio::test]
async fn a_no_match_on_other_elements_holds_and_contradicts_nothing() {
    let world = world();
    world.send(&World::debit("1", 0), "secret").await;
    assert_eq!(world.held(), 0);
    assert!(world.send(&World::debit("2", 0), "ok").await.starts_with("decision: permit"));
    assert_eq!(world.first.asked(), 1);
    let debit = r#""type":"by_agreement","order":"3","amount":"100","agreement":"never seen""#;
    world.send(debit, "secret").await;
    assert_eq!(world.held(), 0);
    world.send(&debit.replace('3', "4"), "phone").await;
    assert_eq!(world.held(), 1);
}
