//! Outcomes that are overdue: looked for again and again, and told once, whichever replica finds them.

use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{ChannelName, PaymentId};
use crate::domain::mismatch::{Mismatch, MismatchKind};
use crate::reconcile::due::{Calendar, Level};
use crate::service::Service;
use crate::service::settle::arrived::untold_reversal;
use crate::store::journal::StoreLost;
use crate::store::row::{Aggregate, RowKey};
use crate::store::shelf::{PAGE_MAX, Range};
use crate::store::{Owed, Owing, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Of how many outcomes is remembered when they are due; beyond it they are looked up each time.
const WAITING_MAX: usize = 200_000;

/// What channels promise, and when they do not work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promises {
    /// By channel; a channel that is not here promises what [`Level::default`] says.
    pub levels: BTreeMap<ChannelName, Level>,
    /// When nothing is expected of them.
    pub calendar: Calendar,
}

/// What is known of outcomes that are owed, so that each is looked up once before it is due, and once then.
#[derive(Clone, Debug, Default)]
pub struct Swept {
    overdue: BTreeSet<PaymentId>,
    /// Since when it is owed, where that is not since the payment, and when it is due.
    waiting: BTreeMap<PaymentId, (Option<Timestamp>, Timestamp)>,
    /// By what is promised.
    promises: Promises,
}

impl Swept {
    /// Keeps of `before` what is known of `owed`; whether nothing is to be looked up at `now`.
    fn keep(&mut self, before: &Self, owed: &Owed, now: Timestamp) -> bool {
        if before.overdue.contains(&owed.payment) {
            return self.overdue.insert(owed.payment);
        }
        let waits = before.waiting.get(&owed.payment);
        let waits = waits.filter(|(since, due)| *since == owed.since && *due > now);
        if let Some(known) = waits {
            self.waiting.insert(owed.payment, *known);
        }
        waits.is_some()
    }

    fn note(&mut self, expected: &Expected, now: Timestamp) {
        let payment = expected.record.payment;
        if expected.due <= now {
            self.overdue.insert(payment);
        } else if self.waiting.len() < WAITING_MAX {
            self.waiting.insert(payment, (expected.since, expected.due));
        }
    }
}

/// An outcome that is owed.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The payment.
    pub record: Record,
    /// Since when it is owed, where that is not since the payment.
    pub since: Option<Timestamp>,
    /// When it is overdue.
    pub due: Timestamp,
}

impl Expected {
    /// Whether it is known how the payment ended, and nothing of that is to be confirmed: that it was undone, by who was asked.
    fn is_over(&self) -> bool {
        let outcome = self.record.outcome.as_ref();
        outcome.is_some_and(|(outcome, _, by)| {
            !outcome.is_open() && (self.since.is_none() || by.is_asked())
        })
    }
}

impl Promises {
    fn level(&self, channel: &ChannelName) -> Level {
        self.levels.get(channel).cloned().unwrap_or_default()
    }

    /// When an outcome of `record` is overdue that is owed since `since`, or since the payment.
    fn due(&self, record: &Record, since: Option<Timestamp>) -> Option<Timestamp> {
        let level = self.level(&record.channel);
        let (within, at) = (level.within(record.scenario)?, since.unwrap_or(record.at));
        Some(self.calendar.due(at, within, &record.channel, level.working_days))
    }

    /// Within which nothing is overdue.
    fn shortest(&self) -> Duration {
        let levels = self.levels.values().map(Level::shortest);
        levels.fold(Level::default().shortest(), Duration::min)
    }
}

impl Service {
    /// Looks for outcomes that are overdue. Each is a mismatch, once; how many were found.
    ///
    /// # Errors
    /// [`StoreLost`]: the rest is found the next time.
    pub async fn sweep(&self, promises: &Promises, swept: &mut Swept) -> Result<usize, StoreLost> {
        let now = self.now();
        // Ids of the last instant that may be overdue are before the next one's.
        let end = now.minus(promises.shortest()).plus(Duration::from_millis(1));
        let before = PaymentId::new(end, 0).to_string();
        if swept.promises != *promises {
            let promises = promises.clone();
            *swept = Swept { promises, waiting: BTreeMap::new(), ..std::mem::take(swept) };
        }
        let (mut from, mut found) = (String::new(), 0_usize);
        let mut seen = Swept { promises: swept.promises.clone(), ..Swept::default() };
        loop {
            let owed = self.owed(from, before.clone()).await?;
            let full = owed.len() >= PAGE_MAX;
            from = owed.last().map_or(String::new(), |last| format!("{}\u{1}", last.payment));
            let new = owed.into_iter().filter(|owed| !seen.keep(swept, owed, now)).collect();
            for mut expected in self.expected(promises, new).await? {
                if expected.due <= now {
                    // Those before it took their time.
                    let payment = expected.record.payment;
                    self.store.fetch_intact(vec![RowKey::payment(payment)]).await?;
                    if let Some(record) = self.store.record(payment) {
                        expected.record = record;
                    }
                }
                let record = &expected.record;
                if let Some((mismatch, reported)) =
                    untold_reversal(record).zip(record.outcome.clone())
                {
                    self.count_mismatch(record, mismatch, reported).await;
                    self.store.complete(record, Some(mismatch), Owing::AsBefore);
                }
                if expected.is_over() {
                    // A crash came between what was kept of its end and this. That it was undone may be told since this was read, and a
                    // confirmation owed.
                    let first = expected.since.is_none();
                    let owing = if first { Owing::NoOutcome } else { Owing::Nothing };
                    self.store.complete(record, None, owing);
                    continue;
                }
                let due = expected.due <= now;
                if due && Box::pin(self.ended_with_another(record)).await? {
                    // Who heard how it ended did not know of this one.
                    self.store.complete(record, None, Owing::NoOutcome);
                    continue;
                }
                if due && self.is_missing(&expected).await? {
                    found = found.saturating_add(1);
                }
                seen.note(&expected, now);
            }
            if !full {
                break;
            }
        }
        *swept = seen;
        Ok(found)
    }

    /// Notes that an outcome is missing; whether nobody had.
    async fn is_missing(&self, expected: &Expected) -> Result<bool, StoreLost> {
        let record = &expected.record;
        let (kind, elements) = (MismatchKind::MissingOutcome, ElementSet::EMPTY);
        let first = self.differ_once(record, Mismatch { kind, elements }, None).await?;
        if first {
            self.store.overdue(record);
            tracing::warn!(channel = record.channel.as_str(), payment.id = %record.payment, "an outcome is overdue");
        }
        Ok(first)
    }

    async fn owed(&self, from: String, before: String) -> Result<Vec<Owed>, StoreLost> {
        let of = Aggregate::Expectations;
        let rows = self
            .store
            .range(Range { of, from, before, most: PAGE_MAX, last: false, whole: false })
            .await?;
        let owed = rows.iter().map(|row| serde_json::from_str(&row.value));
        owed.collect::<Result<_, _>>().map_err(|error| {
            tracing::error!(%error, "an expectation cannot be read: was it written by another Hefu?");
            StoreLost
        })
    }

    /// What is known of payments whose outcome is owed, as it is kept.
    async fn expected(
        &self,
        promises: &Promises,
        owed: Vec<Owed>,
    ) -> Result<Vec<Expected>, StoreLost> {
        if owed.is_empty() {
            return Ok(Vec::new());
        }
        let keys = owed.iter().map(|owed| RowKey::payment(owed.payment)).collect();
        self.store.fetch_intact(keys).await?;
        let expected = |Owed { payment, since, .. }| {
            let record = self.store.record(payment)?;
            Some(Expected { due: promises.due(&record, since)?, record, since })
        };
        Ok(owed.into_iter().filter_map(expected).collect())
    }

    /// Some of the outcomes that are owed, the oldest payments first, from after `after`.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn expectations(
        &self,
        promises: &Promises,
        after: Option<PaymentId>,
        most: usize,
    ) -> Result<Vec<Expected>, StoreLost> {
        let from = after.map_or_else(String::new, |after| format!("{after}\u{1}"));
        let mut owed = self.owed(from, "\u{10ffff}".to_owned()).await?;
        owed.truncate(most);
        self.expected(promises, owed).await
    }
}
