//! Reading what is kept from its beginning to its end, one row at a time, for whoever reports.

use crate::domain::clock::Timestamp;
use crate::domain::id::PaymentId;
use crate::store::Record;
use crate::store::memory::LoadError;
use crate::store::row::{Aggregate, Row};
use crate::store::shelf::Range;
use crate::store::writer::Backend;
use serde::de::DeserializeOwned;

/// How many are read at once: nobody waits for them.
const PAGE: usize = 10_000;

/// Hands every row of `of` to `each`, by name. Rows whose name holds the time come by it.
///
/// # Errors
/// [`LoadError`]; what was handed over until then is not all.
pub fn each<B: Backend, T: DeserializeOwned>(
    backend: &mut B,
    of: Aggregate,
    mut each: impl FnMut(T),
) -> Result<(), LoadError<B::Error>> {
    let mut wrong = None;
    let read = backend.load(of, usize::MAX, &mut |row| match serde_json::from_str(&row.value) {
        Ok(value) => each(value),
        Err(source) => wrong = Some(LoadError::Row { of: of.as_str(), source }),
    });
    read.map_err(LoadError::Database)?;
    wrong.map_or(Ok(()), Err)
}

/// Hands over the records of payments that were judged at `since` or later, by time; of those before nothing is read.
///
/// # Errors
/// As [`each`].
pub fn payments_since<B: Backend>(
    backend: &mut B,
    since: Timestamp,
    mut each: impl FnMut(Record),
) -> Result<(), LoadError<B::Error>> {
    let of = Aggregate::Payments;
    pages(backend, of, ((since, None), true), |row| {
        let value = serde_json::from_str(&row.value);
        each(value.map_err(|source| LoadError::Row { of: of.as_str(), source })?);
        Ok(())
    })
}

/// Hands over the rows of a kind whose names hold the time, from one instant on and before another one, by time; one that is damaged
/// without its value.
///
/// # Errors
/// As [`each`].
pub fn between<B: Backend>(
    backend: &mut B,
    of: Aggregate,
    (since, before): (Timestamp, Timestamp),
    mut each: impl FnMut(&Row),
) -> Result<(), LoadError<B::Error>> {
    pages(backend, of, ((since, Some(before)), false), |row| {
        each(row);
        Ok(())
    })
}

fn pages<B: Backend>(
    backend: &mut B,
    of: Aggregate,
    ((since, before), whole): ((Timestamp, Option<Timestamp>), bool),
    mut each: impl FnMut(&Row) -> Result<(), LoadError<B::Error>>,
) -> Result<(), LoadError<B::Error>> {
    let name = |at| PaymentId::new(at, 0).to_string();
    let (mut from, end) = (name(since), before.map_or_else(|| char::MAX.to_string(), name));
    loop {
        let before = end.clone();
        let range = Range { of, from, before, most: PAGE, last: false, whole };
        let rows = backend.range(&range).map_err(LoadError::Database)?.marked(&range);
        for row in &rows {
            each(row)?;
        }
        match rows.last().filter(|_| rows.len() >= PAGE) {
            Some(last) => from = format!("{}\u{1}", last.key.name),
            None => return Ok(()),
        }
    }
}
