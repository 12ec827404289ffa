//! What accounts are judged by, and what bounds what is done for them within a process.

use crate::crypto::record::RecordKey;
use crate::domain::id::{Fingerprint, ProviderName};
use crate::domain::money::Fen;
use crate::policy::Effect;
use crate::store::account::Flag;
use crate::tier::rules::Book;
use dashmap::DashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore};

/// How many questions confirm, of how many, to a provider of which nothing is known.
const CONFIRMED: (u32, u32) = (9, 10);

/// How many persons' changes are made at once at most, within this process.
const LANES: usize = 64;

/// How many upgrades run at once: each keeps a person's elements in memory.
const RUNNING_MAX: usize = 64;

/// What accounts are judged by.
#[derive(Debug)]
pub struct Tiers {
    /// The rules, by day.
    pub book: Book,
    /// What a second of a person's waiting costs.
    pub second: Fen,
    /// The banks' names, by what their cards begin with.
    pub banks: BTreeMap<Box<str>, Box<str>>,
    /// What becomes of what the rules have something against.
    pub flagged: BTreeMap<Flag, Effect>,
    /// What becomes of a payment that balance may not fund.
    pub over_limit: Effect,
    /// By which records of accounts are signed, where they are.
    pub record_key: Option<RecordKey>,
    /// How often each provider confirmed, of how often it was asked for an upgrade, since the configuration was loaded.
    pub confirmed: DashMap<ProviderName, (u32, u32)>,
    /// How many more upgrades may run at once.
    pub running: Arc<Semaphore>,
    /// Where changes of one person's accounts wait for each other, within this process.
    pub lanes: Vec<Mutex<()>>,
}

impl Default for Tiers {
    fn default() -> Self {
        Self {
            book: Book::default(),
            second: Fen::new(1),
            banks: BTreeMap::new(),
            flagged: BTreeMap::new(),
            over_limit: Effect::Refuse,
            record_key: None,
            confirmed: DashMap::new(),
            running: Arc::new(Semaphore::new(RUNNING_MAX)),
            lanes: (0..LANES).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Tiers {
    /// Notes whether a provider confirmed what it was asked for an upgrade.
    pub(in crate::service) fn count(&self, provider: &ProviderName, confirmed: bool) {
        let mut tally = self.confirmed.entry(provider.clone()).or_insert(CONFIRMED);
        *tally = (tally.0.saturating_add(u32::from(confirmed)), tally.1.saturating_add(1));
    }

    /// Of a thousand questions to a provider, how many it confirms.
    pub(in crate::service) fn confirmed(&self, provider: &ProviderName) -> u16 {
        let (yes, all) = self.confirmed.get(provider).map_or(CONFIRMED, |tally| *tally);
        let share = u64::from(yes).saturating_mul(1000).checked_div(u64::from(all));
        share.and_then(|share| u16::try_from(share).ok()).unwrap_or(1000)
    }

    /// Where changes of what is of `person` wait for each other, within this process.
    pub(super) fn lane(&self, person: &Fingerprint) -> Option<&Mutex<()>> {
        let [.., last] = person.digest;
        self.lanes.get(usize::from(last) % LANES)
    }
}
