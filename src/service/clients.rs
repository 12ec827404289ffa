//! The verification service: what clients have verified, each within what it may. Their elements are kept by nobody.

mod asking;
pub mod batches;
mod keeping;
mod keys;
pub mod kinds;
pub mod onboarding;
pub mod quota;
mod reading;
pub mod room;
pub mod statement;
mod telling;

use crate::billing::price::Prices;
use crate::domain::element::{ElementSet, Elements};
use crate::domain::id::{ClientName, MerchantId, PaymentId};
use crate::domain::kind::Kind;
use crate::domain::payment::Scenario;
use crate::service::Service;
use crate::store::journal::StoreLost;
use crate::store::row::Row;
use crate::store::shelf::Range;
use crate::store::verification::{State, Verification};
use kinds::KindTerms;
use quota::Quota;
use std::fmt;
use tokio::sync::Mutex;

/// The terms on which a client has things verified.
#[derive(Debug)]
pub struct Terms {
    /// Its name.
    pub name: ClientName,
    /// In whose name it asks: whose spend its questions take, and whose evidence it shares if it does.
    pub merchant: MerchantId,
    /// As what its questions are asked.
    pub scenario: Scenario,
    /// Which elements it may ask about.
    pub sets: Vec<ElementSet>,
    /// What else it may ask: each kind once.
    pub kinds: Vec<KindTerms>,
    /// Whether evidence is shared with the payments of its merchant; else with nobody.
    pub shares: bool,
    /// How much it may have verified.
    pub quota: Quota,
    /// What it pays.
    pub prices: Prices,
    /// Whether it is told what was asked for it beside.
    pub is_told: bool,
    /// Held by whoever counts.
    pub turn: Mutex<()>,
}

impl Terms {
    /// Whose the evidence of a client is that shares it with nobody. A merchant has no line end in its name.
    pub fn own(name: &ClientName) -> MerchantId {
        MerchantId(format!("client\n{name}").into())
    }
}

/// What a client wants to be verified.
#[derive(Clone)]
pub struct Wanted {
    /// The client's name for this request: what comes again under it is the same.
    pub key: String,
    /// What is asked.
    pub kind: Kind,
    /// The elements.
    pub elements: Elements,
    /// What is verified together with what is read, where anything is to be.
    pub then: Option<Elements>,
    /// Whether it is told later what it came to, and does not wait.
    pub later: bool,
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wanted({:?})", self.elements.set())
    }
}

/// A verification, and whether it was asked for before under the same key.
pub type Asked = (Verification, bool);

/// What is told of a verification to who asked for it.
#[derive(Clone, Debug)]
pub struct Verified {
    /// How it stands.
    pub verification: Verification,
    /// Whether it was asked for before under the same key.
    pub before: bool,
    /// What was read: told here, once, and kept nowhere.
    pub read: Option<Box<Elements>>,
    /// The verification of what was read.
    pub then: Option<Verification>,
}

/// Some of what a client has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Those that can be read, the newest first.
    pub found: Vec<T>,
    /// Before which the next ones are, where there may be some.
    pub next: Option<PaymentId>,
}

impl<T> Page<T> {
    /// What `rows` have, which are `most` at most, by time. There are more where they are as many, be they read or not.
    fn of(rows: &[Row], most: usize, read: fn(&Row) -> Result<T, serde_json::Error>) -> Self {
        let oldest = rows.first().filter(|_| rows.len() >= most);
        let next = oldest.and_then(|row| PaymentId::parse(row.key.name.rsplit('\n').next()?));
        Self { found: rows.iter().rev().filter_map(|row| read(row).ok()).collect(), next }
    }
}

/// Of what there is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Of what the day has.
    Day,
    /// Of what the month has.
    Month,
}

/// Why nothing is told: nothing was asked, but for the store, which may have been lost since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The client may not ask about these elements together.
    #[error("you may not ask about these elements together")]
    Set,
    /// The key stands for another request.
    #[error("this `Idempotency-Key` was used for another request: use another one")]
    OtherContent,
    /// What the client may have verified it had.
    #[error("what you may have verified by your contract would be exceeded")]
    Over(Over),
    /// The store.
    #[error(
        "nothing can be kept now: try again under the same `Idempotency-Key`, and nobody is asked twice"
    )]
    Store(#[from] StoreLost),
}

impl Service {
    /// A client's own verification.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn verification_of(
        &self,
        client: &ClientName,
        id: PaymentId,
    ) -> Result<Option<Verification>, StoreLost> {
        let rows = self.store.range(Range::one(&Verification::key(client, id))).await?;
        rows.first().map(|row| Verification::read(row).map_err(|error| unread(&error))).transpose()
    }

    /// The last of a client's verifications, the newest first.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn verifications_of(
        &self,
        client: &ClientName,
        before: Option<PaymentId>,
        most: usize,
    ) -> Result<Page<Verification>, StoreLost> {
        let rows = self.store.range(Verification::last(client, before, most)).await?;
        Ok(Page::of(&rows, most, Verification::read))
    }

    /// Whether nobody is left who could say what a verification came to: it may have been asked, and billed.
    pub fn is_uncertain(&self, verification: &Verification) -> bool {
        match verification.state {
            State::Asking { until } => until <= self.now(),
            State::Done(_) => false,
        }
    }
}

fn unread(error: &serde_json::Error) -> StoreLost {
    tracing::error!(%error, "what a client asked cannot be read: was it written by another Hefu?");
    StoreLost
}
