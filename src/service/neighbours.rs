//! What other processes judged, counted here too, so that windows are those of all replicas.
//!
//! Payments are read where they are kept, some seconds after they were judged, so that all of them are committed by then: what
//! others judged within the last ten seconds may not be counted yet, and what took them longer to keep never is. Mismatches that
//! others found are counted within a minute, of payments of the last three days. A window that a new rule brings is filled from
//! what is kept, some seconds after the rule is in force.

use crate::domain::clock::Timestamp;
use crate::domain::id::PaymentId;
use crate::policy::rules::given::Counted;
use crate::service::Service;
use crate::service::counts::Stream;
use crate::service::rules::{Rulebook, Seen};
use crate::store::Record;
use crate::store::journal::StoreLost;
use crate::store::mismatch::KeptMismatch;
use crate::store::row::{Aggregate, RowKey};
use crate::store::shelf::{PAGE_MAX, Range};
use std::collections::HashSet;
use std::time::Duration;

/// How long after a payment was judged its record is kept for sure.
pub const LAG: Duration = Duration::from_secs(5);
/// How often is looked for mismatches.
const MISMATCHES_EVERY: Duration = Duration::from_mins(1);
/// Of payments since when.
const MISMATCHES_SINCE: Duration = Duration::from_hours(3 * 24);
/// How many of them at most; beyond it the last ones count.
const MISMATCHES_MAX: usize = 5_000;

/// How far others were followed.
#[derive(Debug, Default)]
pub struct Followed {
    /// The windows that are filled.
    filled: HashSet<Stream>,
    /// Those that are not yet, and since when they count what this process judges.
    fresh: Option<(Timestamp, HashSet<Stream>)>,
    /// Before this, everything was seen.
    seen: Timestamp,
    mismatches_at: Timestamp,
}

impl Followed {
    /// Where the windows of `book` were filled at `now`, when the process started.
    pub fn filled(book: Option<&Rulebook>, now: Timestamp) -> Self {
        let filled = book.into_iter().flat_map(Rulebook::streams).collect();
        Self { filled, fresh: None, seen: now, mismatches_at: now }
    }
}

impl Service {
    /// Counts what others judged since `followed`, where the store is shared with others; and fills windows that are new.
    ///
    /// # Errors
    /// [`StoreLost`]: what was not read is read the next time.
    pub async fn follow(&self, followed: &mut Followed, shared: bool) -> Result<(), StoreLost> {
        let (now, book) = (self.now(), self.rules.as_ref());
        let Some(book) = book else {
            // What is counted no more is not followed, and is filled again when it is.
            *followed = Followed { seen: now, mismatches_at: now, ..Followed::default() };
            return Ok(());
        };
        let streams: HashSet<Stream> = book.streams().collect();
        followed.filled.retain(|stream| streams.contains(stream));
        if let Some((_, fresh)) = &mut followed.fresh {
            fresh.retain(|stream| streams.contains(stream));
        }
        let known = |stream: &Stream| {
            let is_fresh = followed.fresh.as_ref().is_some_and(|(_, fresh)| fresh.contains(stream));
            is_fresh || followed.filled.contains(stream)
        };
        let new: HashSet<Stream> =
            streams.iter().copied().filter(|stream| !known(stream)).collect();
        if !new.is_empty() && followed.fresh.is_none() {
            followed.fresh = Some((now, new));
        }
        if let Some((since, fresh)) = followed.fresh.take_if(|(since, _)| now.since(*since) >= LAG)
        {
            if shared {
                // Those that were there before are followed up to there, and from there on all are.
                self.follow_payments(book, followed, since.plus(LAG)).await?;
            }
            self.fill(book, &fresh, since).await?;
            followed.filled.extend(fresh);
        }
        if shared {
            self.follow_payments(book, followed, now).await?;
            self.follow_mismatches(book, followed, now).await?;
        }
        Ok(())
    }

    /// Fills every window that is not filled, before anything is judged here.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn fill_at_start(&self, followed: &mut Followed) -> Result<(), StoreLost> {
        let Some(book) = &self.rules else { return Ok(()) };
        let fresh = book.streams().filter(|stream| !followed.filled.contains(stream)).collect();
        self.fill(book, &fresh, followed.seen).await?;
        followed.filled.extend(fresh);
        Ok(())
    }

    /// Fills `fresh` with what was judged before `since`, by whomever.
    async fn fill(
        &self,
        book: &Rulebook,
        fresh: &HashSet<Stream>,
        since: Timestamp,
    ) -> Result<(), StoreLost> {
        let Some(longest) = fresh.iter().map(|stream| stream.window).max() else { return Ok(()) };
        let mut counted = 0_u64;
        self.each_payment(since.minus(longest), Some(since), |record| {
            counted = counted.saturating_add(1);
            let seen = Seen::recorded(&record);
            if record.scenario.is_verified() {
                book.count_in(&seen, |stream| fresh.contains(stream));
            }
            if record.mismatch.is_some() {
                book.count_mismatch_in(&seen, record.at, |stream| fresh.contains(stream));
            }
        })
        .await?;
        tracing::info!(counted, "payments were counted for windows that are new");
        Ok(())
    }

    async fn follow_payments(
        &self,
        book: &Rulebook,
        followed: &mut Followed,
        now: Timestamp,
    ) -> Result<(), StoreLost> {
        let before = now.minus(LAG);
        if before <= followed.seen {
            return Ok(());
        }
        let filled = &followed.filled;
        self.each_payment(followed.seen, Some(before), |record| {
            if record.scenario.is_verified() && !book.is_ours(&record) {
                book.count_in(&Seen::recorded(&record), |stream| filled.contains(stream));
            }
        })
        .await?;
        followed.seen = before;
        Ok(())
    }

    async fn follow_mismatches(
        &self,
        book: &Rulebook,
        followed: &mut Followed,
        now: Timestamp,
    ) -> Result<(), StoreLost> {
        let counts = book.streams().any(|stream| stream.what == Counted::Mismatches);
        if !counts || now.since(followed.mismatches_at) < MISMATCHES_EVERY {
            return Ok(());
        }
        let from = PaymentId::new(now.minus(MISMATCHES_SINCE), 0).to_string();
        let (mut before, mut looked_at) = ("\u{10ffff}".to_owned(), 0_usize);
        while looked_at < MISMATCHES_MAX {
            let (of, from, until) = (Aggregate::Mismatches, from.clone(), before.clone());
            let range = Range { of, from, before: until, most: PAGE_MAX, last: true, whole: false };
            let rows = self.store.range(range).await?;
            let Some(first) = rows.first() else { break };
            before.clone_from(&first.key.name);
            looked_at = looked_at.saturating_add(rows.len());
            for row in &rows {
                let Ok(kept) = KeptMismatch::read(row) else { continue };
                if book.counts.has_met(kept.payment) {
                    continue;
                }
                if let Some(record) = self.known_or(kept.payment, false).await? {
                    book.count_mismatch(&record, kept.at);
                }
            }
        }
        followed.mismatches_at = now;
        Ok(())
    }

    /// The record of a payment, where it is kept, whatever memory has room for.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn kept_record(&self, payment: PaymentId) -> Result<Option<Record>, StoreLost> {
        self.known_or(payment, true).await
    }

    /// As memory knows it, or as it is kept: a damaged one is refused, or stepped over where it need not be `whole`.
    async fn known_or(&self, payment: PaymentId, whole: bool) -> Result<Option<Record>, StoreLost> {
        if let Some(record) = self.store.record(payment) {
            return Ok(Some(record));
        }
        let range = Range { whole, ..Range::one(&RowKey::payment(payment)) };
        let rows = self.store.range(range).await?;
        rows.first().map(crate::service::managed::read).transpose()
    }
}
