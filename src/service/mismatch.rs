//! How the halves of payments differ: counted once, kept, told, and looked into.

use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{ChannelName, PaymentId};
use crate::domain::mismatch::{Mismatch, MismatchKind};
use crate::domain::outcome::{Arrival, Outcome};
use crate::service::Service;
use crate::service::settle::blamed;
use crate::service::webhook::Event;
use crate::store::journal::StoreLost;
use crate::store::mismatch::{KeptMismatch, Resolved};
use crate::store::row::{Aggregate, Row, RowKey};
use crate::store::shelf::{PAGE_MAX, Range, Swap};
use crate::store::{Owing, Record};

/// The most pages that one look goes through.
const PAGES_MAX: usize = 200;

/// Which mismatches are looked for, the newest payments first.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only those of this channel.
    pub channel: Option<ChannelName>,
    /// Only those of this kind.
    pub kind: Option<MismatchKind>,
    /// Only those that nobody looked into, and that no outcome made good.
    pub open: bool,
    /// Only those of payments since then.
    pub since: Timestamp,
    /// Only those before this one, as a page before told.
    pub before: Option<String>,
    /// How many at most.
    pub most: usize,
}

/// A mismatch as it stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The mismatch.
    pub mismatch: KeptMismatch,
    /// Whether the outcome that was missing came.
    pub came: bool,
}

/// Some mismatches.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The newest payments' first.
    pub mismatches: Vec<Standing>,
    /// Before which the next page begins, where there may be more.
    pub next: Option<String>,
}

impl Service {
    /// As [`Self::differ`]; and what counts mismatches besides counts it with it.
    pub(super) async fn count_mismatch(
        &self,
        record: &Record,
        mismatch: Mismatch,
        reported: (Outcome, Option<String>, Arrival),
    ) {
        if !self.differ(record, mismatch, reported).await {
            return;
        }
        if record.verified.as_ref().is_some_and(|evidence| evidence.beside.is_some()) {
            self.metrics.on_combined_mismatch(&record.channel, mismatch.kind);
        }
        if let Some(book) = &self.rules {
            book.count_mismatch(record, self.now());
        }
    }

    /// The halves of a payment differ: it is counted, kept and told, once, whichever replicas heard of it. Says whether this is the first.
    pub(super) async fn differ(
        &self,
        record: &Record,
        mismatch: Mismatch,
        reported: (Outcome, Option<String>, Arrival),
    ) -> bool {
        let first = self.differ_once(record, mismatch, Some(reported.clone())).await;
        if let Ok(first) = first {
            return first;
        }
        // Nobody knows whether another counted it: rather twice than never.
        let kept = self.kept_mismatch(record, mismatch, Some(reported));
        self.metrics.on_mismatch(&record.channel, kept.provider.as_deref(), mismatch);
        if let Some(row) = kept.row() {
            self.store.shelve(row);
        }
        self.tell(Event::Mismatch(&kept));
        true
    }

    /// As [`Self::differ`], unless it is known of the payment already, here or at another replica. Says whether it was not.
    pub(crate) async fn differ_once(
        &self,
        record: &Record,
        mismatch: Mismatch,
        reported: Option<(Outcome, Option<String>, Arrival)>,
    ) -> Result<bool, StoreLost> {
        let kept = self.kept_mismatch(record, mismatch, reported);
        let Some(row) = kept.row() else { return Ok(false) };
        let beside = self.telling(Event::Mismatch(&kept));
        let first = self.store.swap(Swap { beside, ..Swap::claim(row) }).await?;
        if first {
            self.metrics.on_mismatch(&record.channel, kept.provider.as_deref(), mismatch);
        }
        Ok(first)
    }

    fn kept_mismatch(
        &self,
        record: &Record,
        mismatch: Mismatch,
        reported: Option<(Outcome, Option<String>, Arrival)>,
    ) -> KeptMismatch {
        let kept = KeptMismatch::new(record, mismatch, blamed(record, mismatch), self.now());
        KeptMismatch { reported: reported.or(kept.reported.clone()), ..kept }
    }

    /// The order is known, and the channel itself tells another amount of it: nothing else of that is believed.
    pub(crate) async fn amounts_differ(
        &self,
        record: &Record,
        reported: (Outcome, Option<String>, Arrival),
    ) -> Result<(), StoreLost> {
        let (kind, elements) = (MismatchKind::AmountDiffers, ElementSet::EMPTY);
        let mismatch = Mismatch { kind, elements };
        if self.differ_once(record, mismatch, Some(reported)).await? && record.mismatch.is_none() {
            self.store.complete(record, Some(mismatch), Owing::AsBefore);
        }
        Ok(())
    }

    /// Those that are wanted.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn mismatches(&self, wanted: &Wanted) -> Result<Found, StoreLost> {
        let from = PaymentId::new(wanted.since, 0).to_string();
        let mut before = wanted.before.clone().unwrap_or_else(|| "\u{10ffff}".to_owned());
        let mut found = Found::default();
        for _ in 0..PAGES_MAX {
            let range = Range {
                of: Aggregate::Mismatches,
                from: from.clone(),
                before: before.clone(),
                most: PAGE_MAX,
                last: true,
                whole: false,
            };
            let rows = self.store.range(range).await?;
            let more = rows.len() >= PAGE_MAX;
            if let Some(first) = rows.first() {
                before.clone_from(&first.key.name);
            }
            let kept = rows.iter().map(KeptMismatch::read).collect::<Result<Vec<_>, _>>();
            let kept = kept.map_err(|error| {
                tracing::error!(%error, "a mismatch cannot be read: was it written by another Hefu?");
                StoreLost
            })?;
            for standing in self.stand(kept).await?.into_iter().rev() {
                if !wanted.takes(&standing) {
                    continue;
                }
                let key = KeptMismatch::key(standing.mismatch.payment, standing.mismatch.kind).name;
                found.mismatches.push(standing);
                if found.mismatches.len() >= wanted.most {
                    found.next = Some(key);
                    return Ok(found);
                }
            }
            if !more {
                return Ok(found);
            }
        }
        found.next = Some(before);
        Ok(found)
    }

    /// How mismatches stand: a missing outcome may have come since.
    async fn stand(&self, kept: Vec<KeptMismatch>) -> Result<Vec<Standing>, StoreLost> {
        let missing = |it: &&KeptMismatch| it.kind == MismatchKind::MissingOutcome;
        let payments: Vec<_> = kept.iter().filter(missing).map(|it| it.payment).collect();
        if !payments.is_empty() {
            let keys = payments.iter().map(|payment| RowKey::payment(*payment)).collect();
            self.store.fetch_intact(keys).await?;
        }
        let came = |it: &KeptMismatch| {
            let record = Some(it).filter(missing).and_then(|it| self.store.record(it.payment));
            let outcome = record.and_then(|record| record.became.outcome);
            outcome.is_some_and(|(outcome, _, by)| match outcome {
                // Who told that it was undone is not who is asked.
                Outcome::Reversed => !matches!(by, Arrival::Sync | Arrival::Notify),
                Outcome::Accepted | Outcome::Unknown | Outcome::Unmapped => false,
                Outcome::Succeeded | Outcome::NoMatch(_) | Outcome::Declined(_) => true,
            })
        };
        Ok(kept.into_iter().map(|it| Standing { came: came(&it), mismatch: it }).collect())
    }

    /// A person looked into a mismatch. Says whether there is one.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn resolve(
        &self,
        payment: PaymentId,
        kind: MismatchKind,
        (who, note): (&str, &str),
    ) -> Result<bool, StoreLost> {
        let key = KeptMismatch::key(payment, kind);
        loop {
            let known = self.store.range(Range::one(&key)).await?;
            let Some(known) = known.into_iter().next() else { return Ok(false) };
            let resolved = Resolved { at: self.now(), who: who.to_owned(), note: note.to_owned() };
            let kept = KeptMismatch::read(&known).map_err(|_| StoreLost)?;
            let kept = KeptMismatch { resolved: Some(resolved), ..kept };
            let Row { value: was, .. } = known;
            let row = kept.row().ok_or(StoreLost)?;
            // Where another changed it meanwhile, the later one counts.
            if self.store.swap(Swap::replace(was, row)).await? {
                return Ok(true);
            }
        }
    }
}

impl Wanted {
    fn takes(&self, standing: &Standing) -> bool {
        let Standing { mismatch, came } = standing;
        let channel = self.channel.as_ref().is_none_or(|channel| *channel == mismatch.channel);
        let kind = self.kind.is_none_or(|kind| kind == mismatch.kind);
        channel && kind && !(self.open && (*came || mismatch.resolved.is_some()))
    }
}
