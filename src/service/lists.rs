//! Lists that rules look into, kept in the store: what is told is fingerprinted as it is read, and nothing plain is kept.

use crate::crypto::fingerprint::Fingerprinter;
use crate::domain::clock::Timestamp;
use crate::domain::element::Elements;
use crate::domain::identity::{IdNumber, IdType};
use crate::domain::pan::{AccountKind, Pan};
use crate::domain::person::Mobile;
use crate::policy::rules::Holds;
use crate::policy::rules::list::Member;
use crate::service::Service;
use crate::service::managed::{change, read};
use crate::store::Store;
use crate::store::journal::StoreLost;
use crate::store::managed::{EntryNote, Revision, entry_key, list_key};
use crate::store::row::{Aggregate, Row};
use crate::store::shelf::{PAGE_MAX, Range};
use std::collections::BTreeMap;

/// The most entries of one list that the store keeps; a file beside the configuration may have more.
pub const ENTRIES_MAX: usize = 100_000;

/// Why a list is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// A line has no such value; the text is not repeated.
    #[error("line {0}: not a {1}; nothing was changed")]
    Value(u64, &'static str),
    /// There is no room.
    #[error("a list has at most {ENTRIES_MAX} entries here; nothing was changed")]
    Full,
    /// The store.
    #[error("the store cannot be read or written now; what was changed may be kept")]
    Store(#[from] StoreLost),
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Entries that were not there.
    pub new: usize,
    /// Entries that were; they are as they are told now.
    pub known: usize,
}

/// A line that is told: its number, the value, and what is told beside it.
#[derive(Debug)]
pub struct Line {
    /// From 1.
    pub number: u64,
    /// The value, plain or a fingerprint; kept nowhere as it is told.
    pub value: String,
    /// What is told beside it.
    pub note: EntryNote,
}

/// An entry as it is kept: a fingerprint stays one, and of a plain value one is made.
pub fn fingerprinted(key: &Fingerprinter, holds: Holds, value: &str) -> Option<String> {
    if Member::read(holds, value).is_ok() {
        return Some(value.to_owned());
    }
    match holds {
        Holds::Cards => {
            let pan = Pan::parse(value, AccountKind::Debit).ok()?;
            Some(key.card(&pan).to_string())
        }
        Holds::Phones => Some(key.phone(&Mobile::parse(value).ok()?).to_string()),
        Holds::Persons => {
            let id_number = Some(IdNumber::parse(value, IdType::ResidentId).ok()?);
            key.person(&Elements { id_number, ..Elements::default() }).map(|it| it.to_string())
        }
        Holds::Bins | Holds::Merchants | Holds::Agreements => None,
    }
}

/// The entries of `list` that the store keeps, by value.
///
/// # Errors
/// [`StoreLost`].
pub async fn entries(
    store: &dyn Store,
    list: &str,
) -> Result<BTreeMap<String, EntryNote>, StoreLost> {
    let prefix = format!("{list}\n");
    let (mut from, before) = (prefix.clone(), format!("{list}\u{b}"));
    let mut found = BTreeMap::new();
    loop {
        // A list that lacks an entry would let through whom it stops.
        let (of, before) = (Aggregate::ListEntries, before.clone());
        let rows = store
            .range(Range { of, from, before, most: PAGE_MAX, last: false, whole: true })
            .await?;
        let Some(end) = rows.last() else { return Ok(found) };
        from = format!("{}\u{1}", end.key.name);
        for row in &rows {
            let value = row.key.name.strip_prefix(&prefix).unwrap_or_default();
            found.insert(value.to_owned(), read(row)?);
        }
        if rows.len() < PAGE_MAX {
            return Ok(found);
        }
    }
}

impl Service {
    /// Adds lines to a list, all of them or none.
    ///
    /// # Errors
    /// [`ListError`].
    pub async fn add_to_list(
        &self,
        (list, holds): (&str, Holds),
        lines: &[Line],
    ) -> Result<Imported, ListError> {
        let known = entries(&*self.store, list).await?;
        let mut rows = BTreeMap::new();
        for line in lines {
            let value = fingerprinted(&self.keys.current, holds, line.value.trim())
                .ok_or(ListError::Value(line.number, holds.as_str()))?;
            let key = entry_key(list, &value);
            let row = Row::new(key, line.note.expires, &line.note).ok_or(StoreLost)?;
            rows.insert(value, row);
        }
        let new = rows.keys().filter(|value| !known.contains_key(*value)).count();
        if known.len().saturating_add(new) > ENTRIES_MAX {
            return Err(ListError::Full);
        }
        let done = Imported { new, known: rows.len().saturating_sub(new) };
        for row in rows.into_values() {
            self.store.shelve(row);
        }
        self.list_changed(list).await?;
        Ok(done)
    }

    /// Takes values out of a list, and yields how many stood there.
    ///
    /// # Errors
    /// [`ListError`].
    pub async fn remove_from_list(
        &self,
        (list, holds): (&str, Holds),
        values: &[String],
    ) -> Result<usize, ListError> {
        let known = entries(&*self.store, list).await?;
        let mut removed = 0_usize;
        for (number, value) in (1..).zip(values) {
            let value = fingerprinted(&self.keys.current, holds, value.trim())
                .ok_or(ListError::Value(number, holds.as_str()))?;
            if known.contains_key(&value) {
                removed = removed.saturating_add(1);
                self.store.unshelve(entry_key(list, &value));
            }
        }
        self.list_changed(list).await?;
        Ok(removed)
    }

    /// Others are told by its count that a list was changed; what was put before is durable with it.
    async fn list_changed(&self, list: &str) -> Result<(), StoreLost> {
        let counted = change(&*self.store, list_key(list), |revision: &mut Revision| {
            revision.0 = revision.0.saturating_add(1);
            Ok::<_, StoreLost>(())
        });
        counted.await?;
        self.store.flush().await
    }
}

/// What is told of an entry that nobody told more of.
pub fn note(author: &str, reason: &str, added: Timestamp, expires: Option<Timestamp>) -> EntryNote {
    EntryNote { reason: reason.to_owned(), author: author.to_owned(), added, expires }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::KeyId;

    #[test]
    fn what_is_plain_is_fingerprinted_and_what_is_wrong_is_not_taken() {
        let key = Fingerprinter::new(KeyId(1), &[1; 32]).unwrap();
        let check = |holds, value: &str, expected: Option<String>| {
            assert_eq!(fingerprinted(&key, holds, value), expected, "{value}");
        };
        let card =
            key.card(&Pan::parse("6200000000000005", AccountKind::Debit).unwrap()).to_string();
        check(Holds::Cards, "6200 0000 0000 0005", Some(card.clone()));
        check(Holds::Cards, &card, Some(card.clone()));
        check(Holds::Cards, "6200000000000006", None);
        let phone = key.phone(&Mobile::parse("13800000000").unwrap()).to_string();
        check(Holds::Phones, "13800000000", Some(phone));
        let id_number = IdNumber::parse("11010519491231002X", IdType::ResidentId).ok();
        let person = key.person(&Elements { id_number, ..Elements::default() }).unwrap();
        check(Holds::Persons, "11010519491231002X", Some(person.to_string()));
        check(Holds::Bins, "622848", Some("622848".to_owned()));
        check(Holds::Bins, "62284", None);
    }
}
