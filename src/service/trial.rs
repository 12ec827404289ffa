//! Trials of rules on the payments that the store keeps, while it is in use: page after page, so that payments wait for none of it.

use crate::domain::clock::Timestamp;
use crate::domain::id::PaymentId;
use crate::policy::rules::Book;
use crate::policy::rules::life::{Trial, Tried};
use crate::service::Service;
use crate::service::backtest::{Backtest, Fate, Found, Sum};
use crate::service::managed::read;
use crate::store::Record;
use crate::store::journal::StoreLost;
use crate::store::row::Aggregate;
use crate::store::shelf::{PAGE_MAX, Range};
use serde::de::DeserializeOwned;
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

impl Service {
    /// Hands over the records of payments that were judged since then, by time.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn each_payment(
        &self,
        since: Timestamp,
        before: Option<Timestamp>,
        each: impl FnMut(Record),
    ) -> Result<(), StoreLost> {
        self.each_row(Aggregate::Payments, (since, before), false, each).await
    }

    /// Hands over the rows of a kind whose names hold the time, from one instant on and before another one, by time; where they
    /// must be `whole`, a damaged one ends that.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub(super) async fn each_row<T: DeserializeOwned>(
        &self,
        of: Aggregate,
        (since, before): (Timestamp, Option<Timestamp>),
        whole: bool,
        mut each: impl FnMut(T),
    ) -> Result<(), StoreLost> {
        let mut from = PaymentId::new(since, 0).to_string();
        let before =
            before.map_or_else(|| END.to_owned(), |before| PaymentId::new(before, 0).to_string());
        loop {
            let before = before.clone();
            let rows = self
                .store
                .range(Range { of, from, before, most: PAGE_MAX, last: false, whole })
                .await?;
            let Some(last) = rows.last() else { return Ok(()) };
            from = format!("{}\u{1}", last.key.name);
            let is_last = rows.len() < PAGE_MAX;
            for row in &rows {
                each(read(row)?);
            }
            if is_last {
                return Ok(());
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
