//! Killed under load, again and again: what the core, the channels, the providers and Hefu wrote down agrees.

use crate::cluster::Cluster;
use crate::elements;
use crate::four_logs::{Findings, compare};
use crate::kept::Kept;
use crate::outside::{Kind, Outside};
use crate::statement;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::collections::BTreeSet;

/// How often it dies in a test; `make torture` says otherwise.
const KILLS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_logs_agree_after_kill_9() {
    killed(Kind::file()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_logs_agree_after_kill_9_with_a_shared_store() {
    killed(Kind::Shared(Cluster::start())).await;
}

#[expect(clippy::disallowed_methods, reason = "`make torture` says for how long")]
#[expect(clippy::print_stdout, reason = "seeds and what was compared are shown")]
async fn killed(kind: Kind) {
    let kills = std::env::var("HEFU_TORTURE").map_or(KILLS, |kills| kills.parse().unwrap());
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let begun = statement::month();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut outside = Outside::start(seed, &kind.text()).await;
    for _ in 0..kills {
        let hefu = outside.hefu().await;
        outside.more(rng.random_range(10..150)).await;
        drop(hefu);
    }
    let hefu = outside.hefu().await;
    outside.more(100).await;
    // The simulation takes its keys with it.
    let place = outside.place.copy();
    let (lines, listed) = outside.end(hefu).await;
    // Before anybody else opens the file, which would put its log in order.
    elements::nowhere(seed, &kind, &outside, &listed).await;
    agree(&compare(&lines, &Kept::read(&kind)), &listed, kills);
    statement::agrees(&place, &lines, &begun);
}

/// No fault, every difference in inquiries is listed by the admin API, and it was no comparison of nothing.
#[expect(clippy::print_stdout, reason = "what was compared is shown")]
pub(crate) fn agree(findings: &Findings, listed: &Value, kills: usize) {
    let Findings { faults, uncertain, counts } = findings;
    println!("{kills} kills: {counts:?}; {} inquiries uncertain", uncertain.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    let listed = listed.as_array().unwrap().iter();
    let id = |inquiry: &Value| {
        format!(
            "{} {}",
            inquiry["provider"].as_str().unwrap(),
            inquiry["inquiry"].as_str().unwrap()
        )
    };
    let listed: BTreeSet<String> = listed.map(id).collect();
    let missing: Vec<_> = uncertain.iter().filter(|it| !listed.contains(*it)).collect();
    assert!(missing.is_empty(), "uncertain and not listed: {missing:?}");
    for what in ["money messages that arrived", "outcomes that must last", "billed inquiries"] {
        assert!(counts.get(what).is_some_and(|count| *count > 10), "{what}: {counts:?}");
    }
}
