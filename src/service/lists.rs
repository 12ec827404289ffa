//! Lists that rules look into, kept in the store: what is told is fingerprinted as it is read, and nothing plain is kept.

use crate::crypto::keys::Keys;
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
use std::collections::{BTreeMap, BTreeSet};

/// The most entries of one list that the store keeps under each key; a file beside the configuration may have more.
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

/// An entry as it is kept: a fingerprint stays one, and of a plain value one is made under every key that is there, the current one
/// first. Agreements have their card and person under the key of their time, and meet no other.
pub fn fingerprinted(keys: &Keys, holds: Holds, value: &str) -> Option<Vec<String>> {
    if Member::read(holds, value).is_ok() {
        return Some(vec![value.to_owned()]);
    }
    let prints: Vec<_> = match holds {
        Holds::Cards => {
            let pan = Pan::parse(value, AccountKind::Debit).ok()?;
            keys.all().map(|key| key.card(&pan)).collect()
        }
        Holds::Phones => {
            let phone = Mobile::parse(value).ok()?;
            keys.all().map(|key| key.phone(&phone)).collect()
        }
        Holds::Persons => {
            let id_number = Some(IdNumber::parse(value, IdType::ResidentId).ok()?);
            let person = Elements { id_number, ..Elements::default() };
            keys.all().filter_map(|key| key.person(&person)).collect()
        }
        Holds::Bins | Holds::Merchants | Holds::Agreements => return None,
    };
    Some(prints.iter().map(ToString::to_string).collect())
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
        let (mut rows, mut told) = (BTreeMap::new(), BTreeSet::new());
        for line in lines {
            let values = fingerprinted(&self.keys, holds, line.value.trim())
                .ok_or(ListError::Value(line.number, holds.as_str()))?;
            told.extend(values.first().cloned());
            for value in values {
                let key = entry_key(list, &value);
                let row = Row::new(key, line.note.expires, &line.note).ok_or(StoreLost)?;
                rows.insert(value, row);
            }
        }
        let is_new = |value: &&String| !known.contains_key(*value);
        let more = rows.keys().filter(is_new).count();
        let most = ENTRIES_MAX.saturating_mul(self.keys.all().count());
        if known.len().saturating_add(more) > most {
            return Err(ListError::Full);
        }
        // Each counts once, under however many keys it is kept.
        let new = told.iter().filter(is_new).count();
        let done = Imported { new, known: told.len().saturating_sub(new) };
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
            let mut values = fingerprinted(&self.keys, holds, value.trim())
                .ok_or(ListError::Value(number, holds.as_str()))?;
            values.retain(|value| known.contains_key(value));
            removed = removed.saturating_add(usize::from(!values.is_empty()));
            for value in values {
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
    use crate::crypto::fingerprint::Fingerprinter;
    use crate::crypto::keys::Other;
    use crate::domain::id::KeyId;

    #[test]
    fn what_is_plain_is_fingerprinted_and_what_is_wrong_is_not_taken() {
        let [key, before] = [1, 2]
            .map(|id| Fingerprinter::new(KeyId(id), &[u8::try_from(id).unwrap(); 32]).unwrap());
        let check = |holds, value: &str, expected: Option<String>| {
            let expected = expected.map(|it| vec![it]);
            assert_eq!(fingerprinted(&key.clone().into(), holds, value), expected, "{value}");
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
        // Under every key that is there, so that it is met under whichever there is of it, and taken out under all.
        let others = [KeyId(2), KeyId(3)].map(|id| Other {
            id,
            key: Some(before.clone()).filter(|it| it.id() == id),
            until: None,
        });
        let keys = Keys { current: key.clone(), others: others.into() };
        let phone = Mobile::parse("13800000000").unwrap();
        let both = [&key, &before].map(|key| key.phone(&phone).to_string()).to_vec();
        assert_eq!(fingerprinted(&keys, Holds::Phones, "13800000000"), Some(both));
    }
}
