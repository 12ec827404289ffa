//! Concordance as it is looked up: what the database has counted, as soon as it has; where there is none, what memory counts itself.

use super::MemoryStore;
use super::kept::value;
use crate::domain::clock::Timestamp;
use crate::reconcile::concordance::{Age, Book, Place, Rate, Said, Sample, Tally};
use crate::store::concordance::{ConcordanceStore, Counting, Mark};
use crate::store::journal::StoreLost;
use crate::store::writer::Look;
use async_trait::async_trait;
use std::collections::{HashSet, VecDeque};
use std::sync::{MutexGuard, PoisonError};

/// Of which evidence memory knows that it was counted, oldest first.
#[derive(Debug, Default)]
pub(super) struct Counted {
    known: HashSet<Mark>,
    oldest: VecDeque<Mark>,
}

impl Counted {
    /// Whether it is new; of as many as there is room for.
    fn insert(&mut self, mark: &Mark, most: usize) -> bool {
        if !self.known.insert(mark.clone()) {
            return false;
        }
        self.oldest.push_back(mark.clone());
        if self.oldest.len() > most
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

impl MemoryStore {
    pub(super) fn known_book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ConcordanceStore for MemoryStore {
    fn count(&self, mark: Mark, sample: Sample) -> bool {
        let mut counted = self.sampled.lock().unwrap_or_else(PoisonError::into_inner);
        if !counted.insert(&mark, self.limits.samples) {
            return false;
        }
        drop(counted);
        let Some(journal) = &self.journal else {
            self.known_book().add(&sample, self.limits.places);
            return true;
        };
        let places = self.known_book().counts_at(&sample, self.limits.places);
        if let Some(counting) = Counting::new(&mark, sample, places, self.book.clone()) {
            journal.count(counting);
        }
        true
    }

    fn rate(&self, place: Place, said: Said, age: Option<Age>, now: Timestamp) -> Rate {
        self.known_book().rate(place, said, age, now)
    }

    fn places(&self, banks: bool) -> Vec<(Place, Tally)> {
        let book = self.known_book();
        let shown = book.places().filter(|(place, _)| banks || place.bank.is_none());
        shown.map(|(place, tally)| (place.clone(), tally.clone())).collect()
    }

    async fn catch_up(&self) -> Result<(), StoreLost> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let rows = journal.read(Look::Concordance(self.limits.places)).await?;
        let told = rows.iter().map(|row| value(row).map_err(|_| StoreLost));
        let told: Vec<(Place, Tally)> = told.collect::<Result<_, _>>()?;
        let mut book = self.known_book();
        for (place, tally) in told {
            book.put(place, tally);
        }
        Ok(())
    }
}
