//! Why an account is not opened, shown, or paid from.

use super::USAGE_NAME_MAX;
use crate::domain::account::InvalidAccountId;
use crate::domain::element::InvalidElement;
use crate::domain::money::Fen;
use crate::store::account::Flag;
use crate::store::journal::StoreLost;
use crate::tier::ledger::Over;
use crate::tier::usage::Refused;

/// Why an account is not opened, shown, or paid from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Not the name of one.
    #[error(transparent)]
    Id(#[from] InvalidAccountId),
    /// An element is not valid.
    #[error(transparent)]
    Element(#[from] InvalidElement),
    /// Nobody is told.
    #[error("tell the `id_number` of whose account it is")]
    Nobody,
    /// There is none.
    #[error("no such account is open")]
    Unknown,
    /// It is closed.
    #[error("the account is closed")]
    Closed,
    /// It is somebody else's.
    #[error("the account is of another person")]
    Another,
    /// It is not known how it will be.
    #[error("the time lies ahead: an account is told as it is, or was")]
    Later,
    /// No edition of the rules is in force.
    #[error("no edition of `classes.toml` is in force on that day")]
    NoRules,
    /// The rules are against it.
    #[error("{}", flagged(*.0))]
    Flagged(Flag),
    /// Not the name of a use of balance.
    #[error("`usage` is 1 to {USAGE_NAME_MAX} letters, digits and `-_.:`")]
    Usage,
    /// What was told of a use of balance comes to nothing.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A limit is in the way; what is left of it, where it is one of money.
    #[error("over the account's limit: {}", .0.as_str())]
    Over(Over, Option<Fen>),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreLost),
}

const fn flagged(flag: Flag) -> &'static str {
    match flag {
        Flag::SecondAccount => "the person has as many accounts as one may have",
        Flag::SecondClassThree => "the person has as many accounts of class III as one may have",
        Flag::SharedPhone => "the phone number is of as many persons as it may be",
    }
}
