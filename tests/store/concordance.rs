//! Concordance is counted once for each piece of evidence and channel, by however many processes, and outlives them.

use crate::contract::every;
use crate::place::Place as Kept;
use crate::values::{NOW, channel, four, tuple};
use hefu::domain::id::{Bank, ChannelName, ProviderName};
use hefu::reconcile::concordance::{Age, Level, Place, Said, Sample};
use hefu::store::concordance::{ConcordanceStore as _, Mark};
use hefu::store::journal::Journal as _;
use hefu::store::memory::{Limits, MemoryStore};

fn place() -> Place {
    Place {
        provider: ProviderName::new("first"),
        elements: four(),
        channel: Some(channel()),
        bank: Some(Bank::new("620000")),
    }
}

fn mark(digit: u8, at: &ChannelName) -> Mark {
    Mark::new(&tuple(digit), &ProviderName::new("first"), NOW, at)
}

fn sample(agreed: bool) -> Sample {
    Sample { place: place(), said: Said::Match, age: Age::Day, agreed, at: NOW }
}

/// What is counted at the place, and at all channels: agreed and differed.
fn counted(store: &MemoryStore) -> [(f64, f64); 2] {
    let all = Place { channel: None, bank: None, ..place() };
    let places = store.places(true);
    [place(), all].map(|at| {
        let tally = places.iter().find(|(place, _)| *place == at).map(|(_, tally)| tally);
        let count = tally.map(|tally| tally.count(Said::Match, None, NOW)).unwrap_or_default();
        (count.agreed, count.differed)
    })
}

#[tokio::test]
async fn evidence_counts_once_a_channel() {
    every(async |store| {
        let other = ChannelName::new("other");
        assert!(store.count(mark(1, &channel()), sample(true)));
        assert!(!store.count(mark(1, &channel()), sample(false)), "the first outcome counts");
        assert!(store.count(mark(2, &channel()), sample(false)));
        let there = Place { channel: Some(other.clone()), ..place() };
        assert!(store.count(mark(1, &other), Sample { place: there, ..sample(true) }));
        store.flush().await.unwrap();
        store.catch_up().await.unwrap();
        assert_eq!(counted(&store), [(1.0, 1.0), (2.0, 1.0)]);
        let rate = store.rate(place(), Said::Match, Some(Age::Day), NOW);
        assert_eq!((rate.level, rate.count.all()), (Level::Provider, 3.0), "three are too few");
    })
    .await;
}

/// Memory need not know all that was counted: the database does.
#[tokio::test]
async fn what_was_counted_outlives_the_process() {
    for kept in Kept::every() {
        let store = kept.open();
        store.count(mark(1, &channel()), sample(true));
        drop(store);
        let store = kept.open();
        assert_eq!(counted(&store), [(1.0, 0.0); 2]);
        assert!(store.count(mark(1, &channel()), sample(true)), "memory does not know");
        assert!(store.count(mark(2, &channel()), sample(false)));
        store.catch_up().await.unwrap();
        assert_eq!(counted(&store), [(1.0, 1.0); 2]);
    }
}

#[tokio::test]
async fn replicas_count_together() {
    let [_, shared] = Kept::every();
    let (one, other) =
        (shared.open(), shared.open_within(Limits { samples: 1, ..Limits::default() }));
    for digit in 0..50 {
        // Both hear of all, each of half of them first.
        let (first, second) = if digit % 2 == 0 { (&one, &other) } else { (&other, &one) };
        first.count(mark(digit, &channel()), sample(digit % 5 != 0));
        first.flush().await.unwrap();
        second.count(mark(digit, &channel()), sample(false));
    }
    for store in [&one, &other] {
        store.flush().await.unwrap();
    }
    for store in [&one, &other] {
        store.catch_up().await.unwrap();
        assert_eq!(counted(store), [(40.0, 10.0); 2]);
    }
}
