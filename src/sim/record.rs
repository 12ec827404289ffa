//! What channels, providers and the core remember of each exchange, in memory, for the auditor.

use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::sim::{
    statement::State,
    world::{Element, Tuple},
};

/// SHA-256 of a body.
pub(super) type Digest = [u8; 32];

/// A simulated channel, by the name used in endpoints and in the audit.
pub(super) type Channel = &'static str;

/// The upstream that is nobody's channel: its traffic is not inspected.
pub(super) const PLAIN: Channel = "plain";

/// What a message is to the auditor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Part {
    /// It carries its own elements, or none that matter.
    #[default]
    Own,
    /// A debit that quotes an agreement in place of elements.
    ByAgreement,
    /// The core itself verifies through the channel: the first half of the tally, which has no second.
    Verification,
    /// It asks how another message ended, and may repeat.
    Query,
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
    /// Which of the message's elements that proves; all where empty.
    pub(super) proves: Vec<Element>,
    /// A payment was taken, and its end is not told with this answer.
    pub(super) pending: bool,
    /// What the answer to a query tells of money that went out, and may come back.
    pub(super) tells: Option<State>,
}

/// One request at a channel.
#[derive(Clone, Default)]
pub(super) struct AtChannel {
    pub(super) seq: u64,
    pub(super) channel: Channel,
    /// The order's key, joined by `|`; empty when the message could not be read.
    pub(super) order: String,
    pub(super) txn: String,
    pub(super) part: Part,
    /// The method, the query and the body.
    pub(super) received: Digest,
    pub(super) answered: Digest,
    pub(super) signed: bool,
    pub(super) tuple: Tuple,
    pub(super) agreement: Option<String>,
    pub(super) verdict: Verdict,
    /// The rows of a batch, or of the answer to a query about one.
    pub(super) rows: Vec<AtRow>,
    /// The peer's port: one per connection.
    pub(super) connection: u16,
    pub(super) hefu_headers: usize,
}

/// One row of a batch at a channel.
#[derive(Clone)]
pub(super) struct AtRow {
    /// The batch's key and the row's name.
    pub(super) order: String,
    pub(super) tuple: Tuple,
    pub(super) verdict: Verdict,
}

/// One inquiry at a provider.
#[derive(Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct AtProvider {
    pub(super) seq: u64,
    pub(super) provider: &'static str,
    /// Which of its products was asked, where it bills them apart.
    pub(super) product: &'static str,
    /// The buyer's own number of it, where the protocol has one.
    pub(super) inquiry: Option<String>,
    pub(super) authentic: bool,
    pub(super) tuple: Tuple,
    pub(super) answer: String,
    pub(super) matched: bool,
    /// Whether a bank compared it and found it right; absent where none did.
    pub(super) tried: Option<bool>,
    pub(super) billable: bool,
    /// Whether the provider itself failed: nothing was learned.
    pub(super) failed: bool,
    /// Whether the buyer cannot know whether it is billed: no answer came in time, or none that says so.
    pub(super) unsaid: bool,
}

/// One message of the core.
#[derive(Clone)]
pub(super) struct AtCore {
    pub(super) channel: Channel,
    pub(super) order: String,
    /// The keys of a batch's rows, in the order written.
    pub(super) rows: Vec<String>,
    pub(super) scenario: &'static str,
    /// Its elements are sealed to the channel, and Hefu was not told them.
    pub(super) hidden: bool,
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

/// What of a request must arrive unchanged, as one number. Signed headers are the channel's to check.
pub(super) fn digest(method: &str, query: &str, body: &[u8]) -> Digest {
    let mut all = format!("{method}?{query}\n").into_bytes();
    all.extend_from_slice(body);
    openssl::sha::sha256(&all)
}

/// Where entries are told as they are made.
type Teller = Box<dyn io::Write + Send>;

/// The three books and the clock that orders their entries.
#[derive(Default)]
pub(super) struct Log {
    clock: AtomicU64,
    channels: Mutex<Vec<AtChannel>>,
    providers: Mutex<Vec<AtProvider>>,
    core: Mutex<Vec<AtCore>>,
    teller: Mutex<Option<Teller>>,
}

impl Log {
    /// The next moment.
    pub(super) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// A line an entry goes to `teller` from now on.
    pub(super) fn tell(&self, teller: Teller) {
        *lock(&self.teller) = Some(teller);
    }

    pub(super) fn at_channel(&self, entry: AtChannel) {
        self.line(|| entry.line());
        self.channels().push(entry);
    }

    pub(super) fn at_provider(&self, entry: AtProvider) {
        self.line(|| entry.line());
        self.providers().push(entry);
    }

    pub(super) fn at_core(&self, entry: AtCore) {
        self.line(|| entry.line());
        self.core().push(entry);
    }

    fn line(&self, line: impl FnOnce() -> serde_json::Value) {
        if let Some(teller) = &mut *lock(&self.teller) {
            // Who does not listen any more need not be told.
            let _ = writeln!(teller, "{}", line()).and_then(|()| teller.flush());
        }
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
