//! Queries about batches: answered row by row, or as a whole.

use super::{NOT_PROCESSED, Named};
use crate::domain::id::{OrderId, PaymentId};
use crate::domain::payment::ROWS_MAX;
use crate::message::outcome::Reading;
use crate::service::Service;
use crate::service::annotate::{self, Annotations, RowNote};
use crate::service::judge::Pending;
use crate::service::managed::read;
use crate::service::settle::Settled;
use crate::store::Record;
use crate::store::journal::StoreLost;
use crate::store::row::RowKey;
use futures::{StreamExt as _, stream};
use std::collections::{BTreeMap, BTreeSet};

/// Of how many rows payments are looked up at once.
const ROWS_AT_ONCE: usize = 64;

impl Service {
    /// Settles the payments of the batch that a query asks about, each with what the answer tells of its row; what the answer tells where
    /// it is one payment that is asked about.
    pub(super) async fn settle_rows(
        &self,
        pending: &Pending,
        rows: BTreeMap<String, Reading>,
    ) -> Result<(Annotations, bool), Box<Reading>> {
        let order = pending.record.order.as_ref();
        let of = self.queried(pending, order).await;
        // A batch is claimed by its first row.
        if let Some(of) = of {
            if of.row_of.is_none() {
                let one = if rows.len() == 1 { rows.into_values().next() } else { None };
                return Err(Box::new(one.unwrap_or(Reading::UNKNOWN)));
            }
            // It may have left through another process, which knows its rows.
            drop(self.rows_of(&of).await);
        }
        let settled = stream::iter(rows)
            .map(|(row, reading)| async move {
                let order = OrderId(format!("{}|{row}", order?.0).into());
                let of = self.queried(pending, Some(&order)).await?;
                let settled = self.settle_of(pending, &of, reading).await;
                Some((of, settled))
            })
            .buffered(ROWS_AT_ONCE)
            .filter_map(std::future::ready)
            .collect::<Vec<_>>()
            .await;
        Ok(told_of(pending, &settled))
    }

    /// Settles each payment of a batch that a query asks about with what the answer says of the whole; nothing where it is no batch that
    /// is asked about. One that was certainly not processed may leave once more: it is claimed for all its rows, and so opened by all.
    pub(super) async fn settle_whole(
        &self,
        pending: &Pending,
        of: &Record,
        reading: &Reading,
    ) -> Option<(Annotations, bool)> {
        // Its first row has a name of its own, by which that alone is asked about.
        let claim = of.claim().filter(|_| of.claims_for_batch())?;
        let asked = reading.order.as_ref().or(pending.record.order.as_ref());
        if asked != Some(&claim.order) {
            return None;
        }
        let (rows, are_all) = self.rows_of(of).await;
        if !rows.iter().any(|row| row.payment == of.payment) {
            return None;
        }
        // What it tells of money is the sum.
        let reading = Reading { amount: None, ..reading.clone() };
        let reading = &reading;
        let settled = stream::iter(rows)
            .map(|row| async move {
                let settled = self.settle_of(pending, &row, reading.clone()).await;
                (row, settled)
            })
            .buffered(ROWS_AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let was_not_processed = |(row, settled): &(Record, Option<Settled>)| {
            let known = self.store.record(row.payment);
            let told = settled.as_ref().map(|settled| settled.reading.outcome);
            told == Some(NOT_PROCESSED) && known.is_some_and(|known| known.failed())
        };
        if are_all && settled.iter().all(was_not_processed) {
            self.reopen(of);
        }
        Some(told_of(pending, &settled))
    }

    /// The records of a batch's rows, in their order, whatever memory has room for.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn kept_rows(&self, batch: PaymentId) -> Result<Vec<Record>, StoreLost> {
        let mut rows = Vec::new();
        let numbers: Vec<usize> = (1..=ROWS_MAX).collect();
        for numbers in numbers.chunks(ROWS_AT_ONCE) {
            let ids: Vec<_> = numbers.iter().map(|number| batch.row(*number)).collect();
            let keys = ids.iter().copied().map(RowKey::payment).collect();
            let kept = self.store.rows_at(keys).await?;
            let kept: Result<Vec<Record>, _> = kept.iter().map(read).collect();
            let mut kept: BTreeMap<_, _> = kept?.into_iter().map(|it| (it.payment, it)).collect();
            // Memory may know what is not kept yet.
            let known = |id: PaymentId| self.store.record(id).or_else(|| kept.remove(&id));
            let known: Vec<_> = ids.into_iter().filter_map(known).collect();
            if known.is_empty() {
                break;
            }
            rows.extend(known);
        }
        Ok(rows)
    }

    /// The payments of the batch of a row, as they are kept now; and whether these are certainly all.
    async fn rows_of(&self, of: &Record) -> (Vec<Record>, bool) {
        let Some((batch, _)) = of.row_of else { return (Vec::new(), false) };
        let (mut rows, mut looked) = (Vec::new(), Ok(()));
        let numbers: Vec<usize> = (1..=ROWS_MAX).collect();
        for numbers in numbers.chunks(ROWS_AT_ONCE) {
            let ids = || numbers.iter().map(|number| batch.row(*number));
            // Another process may have heard more of them.
            looked = looked.and(self.fetch_all(ids().map(RowKey::payment).collect()).await);
            let known: Vec<_> = ids().filter_map(|row| self.store.record(row)).collect();
            if known.is_empty() {
                break;
            }
            rows.extend(known);
        }
        // Where one is damaged, or there was no room for all of them, they have a gap.
        let numbered = (1..).zip(&rows).all(|(number, row)| row.row_of == Some((batch, number)));
        (rows, looked.is_ok() && numbered)
    }

    /// Brings into memory the batches whose rows are named and not known: only the batch has a claim by which it is found.
    ///
    /// # Errors
    /// [`StoreLost`]: one of them may be known after all.
    pub(in crate::service) async fn fetch_batches(
        &self,
        named: &[Named<'_>],
    ) -> Result<(), StoreLost> {
        let unknown = |by: &&Named<'_>| self.store.by_order(by.channel, by.order).is_empty();
        let mut wholes = BTreeMap::new();
        for by in named.iter().filter(unknown) {
            if let Some((whole, _row)) = by.order.0.rsplit_once('|') {
                wholes.insert(whole.to_owned(), *by);
            }
        }
        let orders: Vec<_> =
            wholes.into_iter().map(|(order, by)| (OrderId(order.into()), by)).collect();
        let wholes: Vec<_> =
            orders.iter().map(|(order, by)| Named { order, scenarios: &[], ..*by }).collect();
        if wholes.is_empty() {
            return Ok(());
        }
        self.store.holders(wholes.iter().flat_map(Named::claims).collect()).await?;
        let first = wholes.iter().flat_map(|by| self.store.by_order(by.channel, by.order));
        let first: BTreeSet<PaymentId> = first.collect();
        self.fetch_all(first.iter().map(|first| RowKey::payment(*first)).collect()).await?;
        for first in first {
            if let Some(first) = self.store.record(first).filter(Record::claims_for_batch) {
                drop(self.rows_of(&first).await);
            }
        }
        Ok(())
    }
}

/// What the core is told of the rows that were settled, and whether it rests on what must not be lost.
fn told_of(pending: &Pending, settled: &[(Record, Option<Settled>)]) -> (Annotations, bool) {
    let weighs = settled.iter().filter_map(|(_, settled)| settled.as_ref()).any(Settled::weighs);
    let notes = settled.iter().filter_map(|(record, settled)| {
        let (_, number) = record.row_of?;
        Some(RowNote { number, record, settled: settled.as_ref() })
    });
    (annotate::queried_rows(pending, notes.collect()), weighs)
}
