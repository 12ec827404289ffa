//! Under which keys a store was written. Under another key everything in it would be there and never be found; and where others can
//! write it, what is not tagged by its own key was not written by Hefu.

use crate::crypto::fingerprint::Fingerprinter;
use crate::crypto::keys::Keys;
use crate::crypto::tag::Tagger;
use crate::domain::id::{Fingerprint, KeyId};
use crate::store::row::{Aggregate, Row, RowKey};
use crate::store::writer::Backend;

/// The most keys that a store remembers; there are as many numbers.
const KEYS_MAX: usize = 1 << 16;

/// How rows begin that keep the key of the tags, before the number of the fingerprint key that it is kept under.
const WRAPPED: &str = "tags ";

/// Why a store cannot be used with the keys that are configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The database, or a row of it.
    #[error("the keys of the store cannot be read: {0}")]
    Store(String),
    /// There may be something under a key that is not configured.
    #[error(
        "the store was written under fingerprint key {0}, which is not configured: name it in `[[secrets.other_keys]]`, with its file as long as there is one"
    )]
    Unknown(u16),
    /// The number is another key's.
    #[error(
        "the store was written under another fingerprint key {0} than the file holds: put the right file back, or give this key a number of its own"
    )]
    Another(u16),
    /// No key that is there opens the key of the rows' tags.
    #[error(
        "the key of the rows' tags is kept under fingerprint key {0}, whose file is not there or is another: put it back"
    )]
    Untagged(String),
    /// There are rows, and no key of their tags.
    #[error(
        "the key of the rows' tags is gone from `fingerprint_keys`, or the store is of a Hefu that had none: restore a backup, or begin a new store"
    )]
    TagsLost,
    /// The library that wraps keys.
    #[error("the key of the rows' tags cannot be wrapped")]
    Unwrapped,
}

/// Whether the store remembers what it did not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Write,
    Read,
}

/// Checks that everything in the store is under one of `keys`, and has it remember the one that is written with.
///
/// # Errors
/// [`KeysError`]; nothing was written.
pub fn check<B: Backend>(backend: &mut B, keys: &Keys) -> Result<(), KeysError> {
    check_for(backend, keys, Use::Write)
}

/// As [`check`], for who only reads: nothing is written in any case.
///
/// # Errors
/// [`KeysError`].
pub fn check_to_read<B: Backend>(backend: &mut B, keys: &Keys) -> Result<(), KeysError> {
    check_for(backend, keys, Use::Read)
}

fn check_for<B: Backend>(backend: &mut B, keys: &Keys, to: Use) -> Result<(), KeysError> {
    let checked = check_within(backend, keys, to);
    if checked.is_err() {
        backend.roll_back();
    }
    checked
}

fn check_within<B: Backend>(backend: &mut B, keys: &Keys, to: Use) -> Result<(), KeysError> {
    let failed = |error: B::Error| KeysError::Store(error.to_string());
    // Replicas may start at once: the second waits, and finds what the first put.
    backend.begin().map_err(failed)?;
    let mut rows = Vec::new();
    backend.load(Aggregate::Keys, KEYS_MAX, &mut |row| rows.push(row)).map_err(failed)?;
    let (wrapped, told): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| row.key.name.starts_with(WRAPPED));
    for row in &told {
        let known: Fingerprint = serde_json::from_str(&row.value)
            .map_err(|error| KeysError::Store(error.to_string()))?;
        let KeyId(id) = known.key;
        if !keys.knows(known.key) {
            return Err(KeysError::Unknown(id));
        }
        if keys.all().any(|key| key.id() == known.key && key.check() != known) {
            return Err(KeysError::Another(id));
        }
    }
    let current = &keys.current;
    let key = RowKey { of: Aggregate::Keys, name: current.id().0.to_string() };
    let mut new = Vec::new();
    if told.iter().all(|row| row.key != key) {
        new.extend(Row::new(key, None, &current.check()));
    }
    if backend.is_shared() {
        let is_new = told.is_empty() && wrapped.is_empty() && is_empty(backend);
        let (tagger, row) = tagger(&wrapped, keys, is_new)?;
        new.extend(row);
        backend.tag_by(tagger);
    }
    match to {
        Use::Write => {
            backend.put(&new.iter().collect::<Vec<_>>()).map_err(failed)?;
            backend.commit().map_err(failed)
        }
        Use::Read => {
            backend.roll_back();
            Ok(())
        }
    }
}

/// Whether nothing was ever kept; what cannot be read was.
fn is_empty<B: Backend>(backend: &mut B) -> bool {
    Aggregate::ALL.into_iter().filter(|of| *of != Aggregate::Keys).all(|of| {
        let mut found = false;
        backend.load(of, 1, &mut |_| found = true).is_ok() && !found
    })
}

/// The key of the tags, drawn where the store is new; with the row by which it is kept under the current fingerprint key, where that
/// is not there.
fn tagger(wrapped: &[Row], keys: &Keys, is_new: bool) -> Result<(Tagger, Option<Row>), KeysError> {
    let name = |key: &Fingerprinter| format!("{WRAPPED}{}", key.id().0);
    let opened = keys.all().find_map(|key| {
        let row = wrapped.iter().find(|row| row.key.name == name(key))?;
        let text: String = serde_json::from_str(&row.value).ok()?;
        Tagger::unwrapped(&text, key)
    });
    let tagger = match (opened, wrapped.first()) {
        (Some(tagger), _) => tagger,
        (None, Some(row)) => {
            let under = row.key.name.trim_start_matches(WRAPPED);
            return Err(KeysError::Untagged(under.to_owned()));
        }
        (None, None) if is_new => Tagger::new(rand::random()),
        // Another key would have all that is kept be damaged for good.
        (None, None) => return Err(KeysError::TagsLost),
    };
    let name = name(&keys.current);
    if wrapped.iter().any(|row| row.key.name == name) {
        return Ok((tagger, None));
    }
    let text = tagger.wrapped(&keys.current, rand::random()).ok_or(KeysError::Unwrapped)?;
    Ok((tagger, Row::new(RowKey { of: Aggregate::Keys, name }, None, &text)))
}
