//! Brown-outs over real sockets: one provider fails in every way, and what is decided has its reason, nothing leaves against policy, and
//! when it is well again it is not stormed. How fast the others stay is measured by `cargo bench --bench bench -- brown_outs`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test may panic, and its providers take time"
)]

#[path = "brown_outs/world.rs"]
mod world;

use futures::future::join_all;
use std::sync::Arc;
use world::{ILL, Way, World};

/// How many are debited while a provider is ill: some more than open its breaker.
const WHILE_ILL: usize = 40;
/// How many come at once when it is well again.
const AT_ONCE: usize = 60;

/// A world in which all are well, and each channel's questions go to its own provider.
async fn warm(way: Way, ill: usize) -> World {
    let world = World::new().await;
    for _ in 0..10 {
        world.assert_by_the_book(&world.debit(ill).await);
    }
    let asked = [ill, 1 - ill].map(|provider| world.providers[provider].asked());
    assert_eq!(asked, [10, 0], "{way:?}: affinity");
    world
}

async fn brown_out(world: World, way: Way, ill: usize) {
    let world = Arc::new(world);
    let (provider, well) = (&world.providers[ill], 1 - ill);
    provider.is(way);
    let mut took = Vec::new();
    for _ in 0..WHILE_ILL {
        let told = world.debit(ill).await;
        world.assert_by_the_book(&told);
        // There is another to ask, as far as the budget of retries allows.
        assert!(told.status != 503 || way == Way::Flaps, "{way:?}: {told:?}");
        // The other channel does not notice.
        let told = world.debit(well).await;
        world.assert_by_the_book(&told);
        took.push(told.took);
        assert!(told.status != 200 || told.verification.contains(world::name(well)), "{told:?}");
    }
    took.sort();
    println!("{way:?}: the other channel's took {:?} in the median", took[took.len() / 2]);
    let asked = provider.asked() - 10;
    match way {
        // Late answers are answers, as long as somebody waits for them.
        Way::Slow => {
            assert_eq!(asked, WHILE_ILL, "{way:?}");
            return Arc::into_inner(world).unwrap().end().await;
        }
        // How well it went before counts for a while; then half of it fails.
        Way::Flaps => {
            assert_eq!(asked, WHILE_ILL, "{way:?}");
            assert!(left_alone(&world, ill).await, "{way:?}: it is asked for ever");
        }
        // Whose certificate has expired is asked nothing.
        Way::Expired => assert_eq!(asked, 0),
        Way::Well | Way::Hangs | Way::Errors | Way::Garbled | Way::WrongSignature => {
            assert!((5..WHILE_ILL / 2).contains(&asked), "{way:?}: asked {asked} times");
        }
    }
    // It is well, and its answers wait: whoever comes, one question tries it, and all others go elsewhere.
    let shut = provider.gate.acquire_many(1_000).await.unwrap();
    provider.is(Way::Well);
    let before = provider.asked();
    let trial = loop {
        let told = tokio::spawn({
            let world = world.clone();
            async move { world.debit(ill).await }
        });
        while !told.is_finished() && provider.asked() == before {
            tokio::task::yield_now().await;
        }
        if provider.asked() > before {
            break told;
        }
        world.assert_by_the_book(&told.await.unwrap());
    };
    let storm = join_all((0..AT_ONCE).map(|_| world.debit(ill))).await;
    assert_eq!(provider.asked(), before + 1, "{way:?}: a stampede");
    for told in &storm {
        world.assert_by_the_book(told);
    }
    drop(shut);
    world.assert_by_the_book(&trial.await.unwrap());
    Arc::into_inner(world).unwrap().end().await;
}

/// Debits until the provider is not asked; whether it comes to that.
async fn left_alone(world: &World, ill: usize) -> bool {
    for _ in 0..100 {
        let before = world.providers[ill].asked();
        world.assert_by_the_book(&world.debit(ill).await);
        if world.providers[ill].asked() == before {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_fails_takes_nothing_down_and_is_not_stormed_after() {
    // In turn: where all of them make their keys and their connections at once, one may be held up for longer than a provider may take.
    let mut worlds = Vec::new();
    for (way, ill) in ILL {
        worlds.push((warm(way, ill).await, way, ill));
    }
    let all = worlds.into_iter().map(|(world, way, ill)| tokio::spawn(brown_out(world, way, ill)));
    for one in all.collect::<Vec<_>>() {
        one.await.unwrap();
    }
}
