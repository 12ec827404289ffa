//! What was counted of how often the halves agree; each piece of evidence once a channel, whichever process counts it.

use crate::domain::clock::Timestamp;
use crate::domain::id::{ChannelName, Fingerprint, ProviderName};
use crate::domain::keep::PAYMENTS_KEPT;
use crate::reconcile::concordance::{Age, Book, Place, Rate, Said, Sample, Tally};
use crate::store::journal::StoreLost;
use crate::store::row::{Aggregate, Row, RowKey};
use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What tells evidence at a channel from other evidence. Who does not know the tuple cannot find it by this.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(String);

impl Mark {
    /// The mark of what `provider` was asked about `tuple` at `asked`, at `channel`.
    pub fn new(
        tuple: &Fingerprint,
        provider: &ProviderName,
        asked: Timestamp,
        channel: &ChannelName,
    ) -> Self {
        let text = format!("{channel}\n{provider}\n{}\n{tuple}", asked.as_millis());
        Self(hex::encode(Sha256::digest(text.as_bytes())))
    }
}

/// Concordance, and which evidence was counted.
#[async_trait]
pub trait ConcordanceStore: Send + Sync {
    /// Has `sample` counted, unless evidence of that mark was counted before; says whether that is so as far as memory knows. It
    /// shows as soon as it is durable.
    fn count(&self, mark: Mark, sample: Sample) -> bool;

    /// What may be expected of what was `said` at `place`.
    fn rate(&self, place: Place, said: Said, age: Option<Age>, now: Timestamp) -> Rate;

    /// Every place where something was counted, but for those of banks unless they are asked for.
    fn places(&self, banks: bool) -> Vec<(Place, Tally)>;

    /// Learns what other processes counted at places where this one did not count since.
    ///
    /// # Errors
    /// [`StoreLost`]: memory is as it was.
    async fn catch_up(&self) -> Result<(), StoreLost>;
}

/// A sample to be counted where it is kept.
#[derive(Clone, Debug)]
pub(in crate::store) struct Counting {
    /// The row that says that it was.
    pub(in crate::store) mark: Row,
    sample: Sample,
    places: Vec<Place>,
    /// Who learns what is counted then.
    book: Arc<Mutex<Book>>,
}

/// What is counted at places, by their keys.
pub(in crate::store) type Tallies = BTreeMap<RowKey, (Place, Tally)>;

impl Counting {
    /// What is counted at `places`; nothing where it has no JSON form, which none lacks.
    pub(in crate::store) fn new(
        mark: &Mark,
        sample: Sample,
        places: Vec<Place>,
        book: Arc<Mutex<Book>>,
    ) -> Option<Self> {
        let key = RowKey { of: Aggregate::Samples, name: mark.0.clone() };
        let until = sample.at.plus(PAYMENTS_KEPT);
        Some(Self { mark: Row::new(key, Some(until), &sample.agreed)?, sample, places, book })
    }

    /// The rows that change.
    pub(in crate::store) fn keys(&self) -> impl Iterator<Item = RowKey> {
        self.places.iter().map(RowKey::concordance)
    }

    /// Counts among what was counted.
    pub(in crate::store) fn count(&self, tallies: &mut Tallies) {
        for place in &self.places {
            let key = RowKey::concordance(place);
            let counted = tallies.entry(key).or_insert_with(|| (place.clone(), Tally::default()));
            counted.1.add(&self.sample);
        }
    }

    /// What is counted now is known.
    pub(in crate::store) fn learn(&self, tallies: Tallies) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, tally) in tallies.into_values() {
            book.put(place, tally);
        }
    }
}

/// What was counted in `rows`; one that cannot be read begins anew.
pub(in crate::store) fn tallies(rows: &[Row]) -> Tallies {
    let read = |row: &Row| Some((row.key.clone(), serde_json::from_str(&row.value).ok()?));
    rows.iter().filter_map(read).collect()
}

/// The rows of what is counted.
pub(in crate::store) fn rows(tallies: &Tallies) -> Vec<Row> {
    let row = |(key, counted): (&RowKey, &(Place, Tally))| {
        Row::new(key.clone(), Some(counted.1.at().plus(PAYMENTS_KEPT)), counted)
    };
    tallies.iter().filter_map(row).collect()
}
