//! Rows that memory does not hold; where there is no journal, it holds some of them.

use super::MemoryStore;
use crate::store::Record;
use crate::store::journal::StoreLost;
use crate::store::row::{Aggregate, Removal, Row, RowKey};
use crate::store::shelf::{Range, ShelfStore, Swap};
use crate::store::writer::Look;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::PoisonError;

/// The rows, where no journal keeps them.
pub(super) type Shelf = BTreeMap<RowKey, Row>;

impl MemoryStore {
    fn on_shelf<T>(&self, f: impl FnOnce(&mut Shelf) -> T) -> T {
        f(&mut self.shelf.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lay(&self, rows: &mut Shelf, row: Row) {
        let of = row.key.of;
        rows.insert(row.key.clone(), row);
        if rows.len() > self.limits.shelf {
            let oldest = rows.keys().find(|key| key.of == of).cloned();
            oldest.and_then(|oldest| rows.remove(&oldest));
        }
    }

    /// What memory itself knows of a range.
    fn known(&self, range: &Range) -> Vec<Row> {
        let mut rows: Vec<Row> = match range.of {
            Aggregate::Payments => self.records.iter().filter_map(|it| Row::payment(&it)).collect(),
            Aggregate::Expectations => {
                let row = |record: &Record| {
                    let since = *self.expected.get(&record.channel)?.get(&record.payment)?;
                    match since {
                        Some(since) => Row::owed_again(record, since),
                        None => Row::expectation(record),
                    }
                };
                self.records.iter().filter_map(|record| row(&record)).collect()
            }
            Aggregate::Evidence
            | Aggregate::Agreements
            | Aggregate::Waiting
            | Aggregate::Holds
            | Aggregate::Orders
            | Aggregate::Inquiries
            | Aggregate::Charges
            | Aggregate::Unmapped
            | Aggregate::Forgotten
            | Aggregate::Keys
            | Aggregate::Audit
            | Aggregate::Attempts
            | Aggregate::Spend
            | Aggregate::Concordance
            | Aggregate::Samples => Vec::new(),
            Aggregate::Mismatches
            | Aggregate::Statements
            | Aggregate::Webhooks
            | Aggregate::Managed
            | Aggregate::ListEntries
            | Aggregate::Accounts
            | Aggregate::Verifications
            | Aggregate::ClientUse => {
                let (first, end) = (range.from.clone(), range.before.clone());
                let key = |name| RowKey { of: range.of, name };
                if first >= end {
                    return Vec::new();
                }
                self.on_shelf(|it| {
                    it.range(key(first)..key(end)).map(|(_, row)| row.clone()).collect()
                })
            }
        };
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        range.cut(rows)
    }
}

#[async_trait]
impl ShelfStore for MemoryStore {
    fn shelve(&self, row: Row) {
        match &self.journal {
            Some(journal) => journal.put(|| Some(row)),
            None => self.on_shelf(|rows| self.lay(rows, row)),
        }
    }

    fn unshelve(&self, key: RowKey) {
        match &self.journal {
            Some(journal) => journal.remove(Removal { key, only: None }),
            None => self.on_shelf(|rows| drop(rows.remove(&key))),
        }
    }

    async fn swap(&self, swap: Swap) -> Result<bool, StoreLost> {
        if let Some(journal) = &self.journal {
            return journal.swap(swap).await;
        }
        Ok(self.on_shelf(|rows| {
            let fits = swap.fits(rows.get(&swap.key));
            match swap.new {
                Some(row) if fits => {
                    swap.beside.into_iter().chain([row]).for_each(|row| self.lay(rows, row));
                }
                None if fits => drop(rows.remove(&swap.key)),
                Some(_) | None => (),
            }
            fits
        }))
    }

    async fn page(&self, range: Range, marked: bool) -> Result<Vec<Row>, StoreLost> {
        match &self.journal {
            Some(journal) => journal.read(Look::Within(range, marked)).await,
            None => Ok(self.known(&range)),
        }
    }

    async fn rows_at(&self, keys: Vec<RowKey>) -> Result<Vec<Row>, StoreLost> {
        match &self.journal {
            Some(journal) => journal.read(Look::At(keys)).await,
            None => Ok(self
                .on_shelf(|rows| keys.iter().filter_map(|key| rows.get(key).cloned()).collect())),
        }
    }
}
