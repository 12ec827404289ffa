//! What a command did on the host itself, noted in the audit whether Hefu runs or not.

use crate::app::clock;
use crate::config::{Config, Storage};
use crate::crypto::keys::Keys;
use crate::domain::clock::Timestamp;
use crate::store::audit::{Action, Note};
use crate::store::postgres::Postgres;
use crate::store::row::Aggregate;
use crate::store::writer::{self, Backend};
use crate::store::{keys, sqlite};
use std::fmt::Display;

/// Why something is not done.
#[derive(Debug, thiserror::Error)]
#[error("it cannot be audited, and so was not done: {0}")]
pub struct Unaudited(String);

/// Notes that `who` did something, durably; says whether there is anywhere to note it.
pub(super) fn note(config: &Config, who: &str, action: Action) -> Result<bool, Unaudited> {
    let at = Timestamp::from_millis(0).plus(clock::system());
    let note = Note { at, who: who.to_owned(), action };
    match &config.store {
        Storage::Memory => return Ok(false),
        Storage::File(path) => append(&mut sqlite::open(path).map_err(why)?, &config.keys, &note)?,
        // Its client has a runtime of its own, which must not be driven on a thread of ours.
        Storage::Postgres { config: place, authorities } => std::thread::scope(|scope| {
            let noting = scope.spawn(|| {
                let backend = Postgres::open(place, authorities);
                append(&mut backend.map_err(why)?, &config.keys, &note)
            });
            noting.join().unwrap_or_else(|_| Err(why("writing it ended by a defect")))
        })?,
    }
    Ok(true)
}

fn append<B: Backend>(backend: &mut B, keys: &Keys, note: &Note) -> Result<(), Unaudited> {
    // It is Hefu that has a store remember a key: one that is only prepared for is not in use.
    keys::check_to_read(backend, keys).map_err(why)?;
    if backend.is_shared() {
        let mut is_known = false;
        backend.load(Aggregate::Keys, 1, &mut |_| is_known = true).map_err(why)?;
        if !is_known {
            // The key of its rows' tags is drawn then.
            return Err(why("no Hefu has opened the store yet: start one first"));
        }
    }
    let noted = writer::note(backend, note).map_err(why)?;
    noted.map_err(|_| why("the end of the audit cannot be read"))
}

fn why(error: impl Display) -> Unaudited {
    Unaudited(error.to_string())
}
