//! The audit: kept in the database and read from there; in memory only where there is none.

use super::MemoryStore;
use super::kept::value;
use crate::store::audit::{AuditStore, Head, Note, Noted, Page, head_key, key, numbers};
use crate::store::journal::StoreLost;
use crate::store::writer::Look;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::PoisonError;

/// The chain, where no journal keeps it.
#[derive(Debug, Default)]
pub(super) struct Chain {
    head: Head,
    entries: BTreeMap<u64, Noted>,
}

#[async_trait]
impl AuditStore for MemoryStore {
    async fn note(&self, note: Note) -> Result<(), StoreLost> {
        if let Some(journal) = &self.journal {
            return journal.note(note).await;
        }
        let mut chain = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = chain.head.append(&note).ok_or(StoreLost)?;
        let number = chain.head.number;
        chain.entries.insert(number, noted);
        if chain.entries.len() > self.limits.audit {
            chain.entries.pop_first();
        }
        Ok(())
    }

    async fn audit(&self, before: Option<u64>) -> Result<Page, StoreLost> {
        let Some(journal) = &self.journal else {
            let chain = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
            let head = chain.head.clone();
            let kept = numbers(&head, before).filter_map(|number| chain.entries.get(&number));
            return Ok(Page { entries: kept.cloned().collect(), head });
        };
        let read = |row| value(row).map_err(|_| StoreLost);
        let head = journal.read(Look::At(vec![head_key()])).await?;
        let head: Head = head.first().map(read).transpose()?.unwrap_or_default();
        let keys = numbers(&head, before).map(key).collect();
        let mut rows = journal.read(Look::At(keys)).await?;
        rows.sort_by(|a, b| b.key.cmp(&a.key));
        let entries = rows.iter().map(|row| value(row).map_err(|_| StoreLost));
        Ok(Page { entries: entries.collect::<Result<_, _>>()?, head })
    }
}
