//! Trials of rules on the payments that the store keeps, while it is in use: page after page, with which payments take turns.

use crate::domain::clock::Timestamp;
use crate::domain::id::PaymentId;
use crate::policy::rules::Book;
use crate::policy::rules::life::{Trial, Tried};
use crate::service::Service;
use crate::service::backtest::{Backtest, Fate, Found, Sum};
use crate::service::managed::read;
use crate::store::journal::StoreLost;
use crate::store::row::{Aggregate, Row};
use crate::store::shelf::{PAGE_MAX, Range};
use crate::store::{Record, Store};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What comes after every payment's name.
const END: &str = "\u{10ffff}";

/// What a version that is tried in shadow did to payments.
#[derive(Clone, Debug, Default)]
pub struct Shadowing {
    /// All payments that it judged, by what became of them.
    pub all: BTreeMap<Fate, Sum>,
    /// Those that any of its rules hit.
    pub hits: BTreeMap<Fate, Sum>,
    /// How many each of its rules hit.
    pub rules: BTreeMap<String, u64>,
}

/// How the rules of a version are called while it is tried.
pub fn suffix(version: u64) -> String {
    format!("-v{version}")
}

fn summed(sums: &BTreeMap<Fate, Sum>) -> u64 {
    sums.values().map(|sum| sum.payments).sum()
}

/// What a record of a trial says, of all payments and of those that were hit.
pub fn trial(
    tried: Tried,
    (since, at): (Timestamp, Timestamp),
    all: &BTreeMap<Fate, Sum>,
    hits: &BTreeMap<Fate, Sum>,
) -> Trial {
    let of = |fate| hits.get(&fate).map_or(0, |sum| sum.payments);
    Trial {
        tried,
        at,
        since,
        payments: summed(all),
        hits: summed(hits),
        caught: of(Fate::Mismatch),
        hurt: of(Fate::Good),
        unknown: of(Fate::Unknown).saturating_add(of(Fate::Refused)),
    }
}

/// Rows of a kind whose names hold the time, from one instant on and before another one, by time, page after page.
#[derive(Debug)]
pub(super) struct Pages {
    range: Option<Range>,
    marked: bool,
}

impl Pages {
    /// From the first on. A damaged row is stepped over; where they are `marked`, it is there without its value.
    pub(super) fn new(
        of: Aggregate,
        (since, before): (Timestamp, Option<Timestamp>),
        marked: bool,
    ) -> Self {
        let name = |at| PaymentId::new(at, 0).to_string();
        let (from, before) = (name(since), before.map_or_else(|| END.to_owned(), name));
        let range = Range { of, from, before, most: PAGE_MAX, last: false, whole: false };
        Self { range: Some(range), marked }
    }

    /// The next page; nothing is on the one after the last.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub(super) async fn next(&mut self, store: &dyn Store) -> Result<Vec<Row>, StoreLost> {
        let Some(range) = self.range.take() else { return Ok(Vec::new()) };
        let rows = store.page(range.clone(), self.marked).await?;
        if let Some(last) = rows.last().filter(|_| rows.len() >= PAGE_MAX) {
            self.range = Some(Range { from: format!("{}\u{1}", last.key.name), ..range });
        }
        Ok(rows)
    }
}

impl Service {
    /// Hands over the records of payments that were judged since then, by time.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn each_payment(
        &self,
        since: Timestamp,
        before: Option<Timestamp>,
        mut each: impl FnMut(Record),
    ) -> Result<(), StoreLost> {
        let mut pages = Pages::new(Aggregate::Payments, (since, before), false);
        loop {
            let rows = pages.next(&*self.store).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in &rows {
                each(read(row)?);
            }
            // A million payments are some seconds of work, between which others have theirs done.
            tokio::task::yield_now().await;
        }
    }

    /// Tries `book` on payments since then; `progress` is told of when each was judged.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn backtest(
        &self,
        book: Arc<Book>,
        since: Timestamp,
        mut progress: impl FnMut(Timestamp) + Send,
    ) -> Result<Found, StoreLost> {
        let mut test = Backtest::new(book, since);
        self.each_payment(since.minus(test.warm_up()), None, |record| {
            progress(record.at);
            test.feed(&record);
        })
        .await?;
        Ok(test.found())
    }

    /// What `version` did to payments while it was tried in shadow since then; `progress` is told of when each was judged.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn shadowed(
        &self,
        version: u64,
        since: Timestamp,
        mut progress: impl FnMut(Timestamp) + Send,
    ) -> Result<Shadowing, StoreLost> {
        let (mut came, suffix) = (Shadowing::default(), suffix(version));
        self.each_payment(since, None, |record| {
            progress(record.at);
            let Some(ruled) =
                record.stakes.rules.as_deref().filter(|ruled| ruled.trial == Some(version))
            else {
                return;
            };
            let fate = Fate::of(&record);
            came.all.entry(fate).or_default().add(&record);
            let mut is_hit = false;
            for rule in ruled.shadows.iter().filter(|rule| rule.ends_with(&suffix)) {
                let count = came.rules.entry(rule.clone()).or_default();
                *count = count.saturating_add(1);
                is_hit = true;
            }
            if is_hit {
                came.hits.entry(fate).or_default().add(&record);
            }
        })
        .await?;
        Ok(came)
    }
}
