//! Brown-outs, timed: while one provider fails, in every way, what do payments over the other channel take, and what over its own? Each
//! calm is measured just before, in the same run.
//!
//! Everything is one process on the cores that there are; a provider takes 20 ms.

#[path = "../tests/brown_outs/world.rs"]
mod world;

use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use world::{ILL, Told, Way, World};

/// How long each is measured.
const SECONDS: u64 = 4;
/// How long before that it goes on already, so that a breaker has opened, or closed.
const SETTLES: Duration = Duration::from_secs(1);
/// How often somebody is debited over each channel.
const EVERY: Duration = Duration::from_millis(10);

pub(crate) fn run(seconds: Option<u64>) {
    let seconds = seconds.unwrap_or(SECONDS);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!(
            "{:<15} {:<9} {:>24} {:>7} {:>15} {:>24} {:>9} {:>6}",
            "",
            "",
            "other channel p50 ms",
            "ratio",
            "p99 ms",
            "own channel p50, p99 ms",
            "asked",
            "503"
        );
        let mut worst = 0.0_f64;
        for (way, ill) in ILL {
            worst = worst.max(measure(way, ill, Duration::from_secs(seconds)).await);
        }
        println!("the other channel's p50 was at most {worst:.3} of that in calm");
    });
}

/// Prints what one way of failing does, and yields the ratio of the other channel's p50 to that in the calm before.
async fn measure(way: Way, ill: usize, lasts: Duration) -> f64 {
    let world = Arc::new(World::new().await);
    drive(&world, SETTLES).await;
    let calm = drive(&world, lasts).await;
    world.providers[ill].is(way);
    drive(&world, SETTLES).await;
    let before = world.providers[ill].asked();
    let sick = drive(&world, lasts).await;
    let asked = world.providers[ill].asked() - before;
    let well = 1 - ill;
    let of = |all: &[Vec<Told>; 2], channel: usize| {
        let mut took: Vec<_> =
            all[channel].iter().map(|told| told.took.as_secs_f64() * 1e3).collect();
        took.sort_by(f64::total_cmp);
        let at = |hundredths: usize| took[(took.len() - 1) * hundredths / 100];
        (at(50), at(99))
    };
    let (before, after, own) = (of(&calm, well), of(&sick, well), of(&sick, ill));
    // Nobody on the well provider's road is verified by the ill one.
    assert!(sick[well].iter().all(|told| !told.verification.contains(world::name(ill))));
    let unanswered = sick.iter().flatten().filter(|told| told.status == 503).count();
    let ratio = after.0 / before.0;
    println!(
        "{:<15} {:<9} {:>10.2} -> {:>10.2} {ratio:>7.3} {:>6.1} -> {:>5.1} {:>15.1}, {:>7.1} {asked:>9} {unanswered:>6}",
        format!("{way:?}"),
        world::name(ill),
        before.0,
        after.0,
        before.1,
        after.1,
        own.0,
        own.1,
    );
    Arc::into_inner(world).unwrap().end().await;
    ratio
}

/// Debits at a fixed rate over both channels; every answer is by the book.
async fn drive(world: &Arc<World>, lasts: Duration) -> [Vec<Told>; 2] {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut under_way, until) = (JoinSet::new(), tokio::time::Instant::now() + lasts);
    while tokio::time::Instant::now() < until {
        every.tick().await;
        for road in [world::UNIONPAY, world::RESELLER] {
            let world = world.clone();
            under_way.spawn(async move { (road, world.debit(road).await) });
        }
    }
    let mut all = [Vec::new(), Vec::new()];
    while let Some(done) = under_way.join_next().await {
        let (road, told) = done.unwrap();
        world.assert_by_the_book(&told);
        all[road].push(told);
    }
    all
}
