//! What channels, providers and the core remember of each exchange, in memory, for the auditor.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crate::sim::world::{Element, Tuple};

/// SHA-256 of a body.
pub(super) type Digest = [u8; 32];

/// A simulated channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Channel {
    UnionPay,
    Baofoo,
    /// The upstream that is nobody's channel: its traffic is not inspected.
    Plain,
}

impl Channel {
    /// The name used in endpoints and in the audit.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::UnionPay => "unionpay",
            Self::Baofoo => "baofoo",
            Self::Plain => "plain",
        }
    }
}

/// What a channel's answer says about the payment.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    pub(super) code: String,
    /// The elements that the answer names, or suspects.
    pub(super) said: Vec<Element>,
    /// The elements that really differ at the bank, whatever the answer says.
    pub(super) wrong: Vec<Element>,
    /// The channel checked the elements and found them right.
    pub(super) proved: bool,
    /// A payment was taken, and its end is told by a query only.
    pub(super) pending: bool,
}

/// One request at a channel.
#[derive(Clone)]
pub(super) struct AtChannel {
    pub(super) seq: u64,
    pub(super) channel: Channel,
    /// The order's key, joined by `|`; empty when the message could not be read.
    pub(super) order: String,
    pub(super) txn: String,
    pub(super) received: Digest,
    pub(super) answered: Digest,
    pub(super) signed: bool,
    pub(super) tuple: Tuple,
    pub(super) agreement: Option<String>,
    pub(super) verdict: Verdict,
    /// The peer's port: one per connection.
    pub(super) connection: u16,
    pub(super) hefu_headers: usize,
}

/// One inquiry at a provider.
#[derive(Clone)]
pub(super) struct AtProvider {
    pub(super) seq: u64,
    pub(super) provider: &'static str,
    pub(super) authentic: bool,
    pub(super) tuple: Tuple,
    pub(super) answer: String,
    pub(super) matched: bool,
    pub(super) billable: bool,
}

/// One message of the core.
#[derive(Clone)]
pub(super) struct AtCore {
    pub(super) channel: Channel,
    pub(super) order: String,
    pub(super) scenario: &'static str,
    pub(super) sent: Digest,
    /// The answer's bytes, when there was an answer that came from the channel.
    pub(super) received: Option<Digest>,
    pub(super) status: Option<u16>,
    /// Whether the answer's signature held (or its payload opened); nothing when Hefu answered itself.
    pub(super) signed: Option<bool>,
    /// The `Hefu-*` headers of the answer.
    pub(super) headers: Vec<(String, String)>,
    /// The problem body, when Hefu refused.
    pub(super) problem: Option<String>,
}

/// The three books and the clock that orders their entries.
#[derive(Default)]
pub(super) struct Log {
    clock: AtomicU64,
    channels: Mutex<Vec<AtChannel>>,
    providers: Mutex<Vec<AtProvider>>,
    core: Mutex<Vec<AtCore>>,
}

impl Log {
    /// The next moment.
    pub(super) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn channels(&self) -> MutexGuard<'_, Vec<AtChannel>> {
        lock(&self.channels)
    }

    pub(super) fn providers(&self) -> MutexGuard<'_, Vec<AtProvider>> {
        lock(&self.providers)
    }

    pub(super) fn core(&self) -> MutexGuard<'_, Vec<AtCore>> {
        lock(&self.core)
    }
}

/// A lock that survives a panic elsewhere: the books are append-only.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
