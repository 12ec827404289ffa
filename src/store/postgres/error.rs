//! Why the shared database cannot be used.

use crate::store::row::Damaged;
use std::io;
use std::time::Duration;

/// Why something could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the database or the way to it said.
    #[error("{}", said(.0))]
    Database(#[from] tokio_postgres::Error),
    /// It did not answer: it hangs, or nothing reaches it. What was asked may have been done.
    #[error("PostgreSQL did not answer within {0:?}")]
    Slow(Duration),
    /// The system's, where there can be no more of what drives a connection.
    #[error("no connection can be driven: {0}")]
    Runtime(io::Error),
    /// The connection was lost in the middle of a transaction.
    #[error("the connection is lost")]
    Lost,
    /// A row is not as it was written.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// Without values: what a database adds in detail may show them.
fn said(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(error), _) => format!("{} ({})", error.message(), error.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be reached, or refuses.
    #[error("cannot open the store in PostgreSQL: {0}")]
    Database(#[from] Error),
    /// The authorities cannot be used.
    #[error("cannot use the authorities of the store: {0}")]
    Tls(#[from] openssl::error::ErrorStack),
    /// It was written by a later Hefu.
    #[error(
        "the store in PostgreSQL has schema {found} and this Hefu knows {known}: use the later one"
    )]
    Newer {
        /// Its version.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// It was written by an earlier Hefu, or by none, and is only read.
    #[error(
        "the store in PostgreSQL has schema {found} and this Hefu {known}: one that serves brings it up to date when it starts. Until then use the Hefu that has it"
    )]
    Older {
        /// Its version.
        found: usize,
        /// Ours.
        known: usize,
    },
}
