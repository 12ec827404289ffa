//! Reading what is kept from its beginning to its end, one row at a time, for whoever reports.

use crate::domain::clock::Timestamp;
use crate::domain::id::PaymentId;
use crate::domain::keep::PAYMENTS_KEPT;
use crate::store::Record;
use crate::store::memory::LoadError;
use crate::store::row::Aggregate;
use crate::store::writer::Backend;
use serde::de::DeserializeOwned;

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

/// How many payments were judged at `since` or later, where the database can tell without reading them.
pub fn payments_count<B: Backend>(backend: &mut B, since: Timestamp) -> Option<u64> {
    // Where it cannot tell, whoever reads on is told why.
    backend.ending(Aggregate::Payments, since.plus(PAYMENTS_KEPT)).unwrap_or_default()
}

/// Hands over the records of payments that were judged at `since` or later, by time; of those before only the name is read.
///
/// # Errors
/// As [`each`].
pub fn payments_since<B: Backend>(
    backend: &mut B,
    since: Timestamp,
    mut each: impl FnMut(Record),
) -> Result<(), LoadError<B::Error>> {
    // Names hold the time and sort by it.
    let first = PaymentId::new(since, 0).to_string();
    let (of, mut wrong) = (Aggregate::Payments, None);
    let read = backend.load(of, usize::MAX, &mut |row| {
        if row.key.name < first {
            return;
        }
        match serde_json::from_str(&row.value) {
            Ok(value) => each(value),
            Err(source) => wrong = Some(LoadError::Row { of: of.as_str(), source }),
        }
    });
    read.map_err(LoadError::Database)?;
    wrong.map_or(Ok(()), Err)
}
