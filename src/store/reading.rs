//! Reading what is kept from its beginning to its end, one row at a time, for whoever reports.

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
