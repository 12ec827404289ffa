//! What bears the class of an account, on which day.

use crate::crypto::record::RecordKey;
use crate::domain::money::Fen;
use crate::policy::Effect;
use crate::store::account::Flag;
use crate::tier::rules::Book;
use std::collections::BTreeMap;

/// From `classes.toml`.
#[derive(Clone, Debug)]
pub struct Classes {
    /// The editions of the rules; no account has a class where there are none.
    pub book: Book,
    /// What a second of a person's waiting costs.
    pub second: Fen,
    /// What becomes of what the rules have something against.
    pub flagged: BTreeMap<Flag, Effect>,
    /// What becomes of a payment that balance may not fund.
    pub over_limit: Effect,
    /// By which records of accounts are signed, where they are.
    pub record_key: Option<RecordKey>,
}

impl Default for Classes {
    fn default() -> Self {
        Self {
            book: Book::default(),
            second: Fen::default(),
            flagged: BTreeMap::new(),
            over_limit: Effect::Refuse,
            record_key: None,
        }
    }
}
