//! What Hefu remembers, behind traits by aggregate: fingerprints and answers, never an element.

pub mod account;
pub mod audit;
pub mod batch;
pub mod concordance;
mod disk;
mod floor;
pub mod hook;
pub mod journal;
mod keep;
pub mod keys;
pub mod managed;
mod mark;
pub mod memory;
pub mod mismatch;
pub mod onboarding;
pub mod person;
pub mod postgres;
pub mod reading;
mod record;
pub mod reserve;
pub mod row;
pub mod segment;
pub mod shelf;
pub mod sqlite;
mod stakes;
pub mod verification;
pub mod writer;

use crate::domain::account::Source;
use crate::domain::answer::{Answer, Billable};
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{
    AgreementId, Bank, ChannelName, Fingerprint, MerchantId, OrderId, PaymentId, ProviderName, Road,
};
use crate::domain::kind::Kind;
use crate::domain::mismatch::Mismatch;
use crate::domain::outcome::{Arrival, Outcome, Precedence};
use crate::domain::payment::Scenario;
use crate::reconcile::arrival::Step;
use crate::reconcile::hold::{Braking, Hold, HoldKey, Holding};
use crate::route::attempts::{Denied, Heard};
use crate::store::audit::AuditStore;
use crate::store::concordance::ConcordanceStore;
use crate::store::journal::{Journal, StoreLost};
use crate::store::person::PersonStore;
use crate::store::reserve::{Attempts, Reservation, Reserved};
use crate::store::shelf::ShelfStore;
use crate::tier::class::Checked;
use async_trait::async_trait;
pub use record::{Became, Hearsay, Judged, Moment, Owed, Owing, Record};
use serde::{Deserialize, Deserializer, Serialize};
pub use stakes::{Found, Other, Ruled, Stakes};
use std::borrow::Cow;

/// Who said it: a provider that was asked, or a channel in answer to the core's own message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// A verification provider.
    Provider(ProviderName),
    /// A channel, at no charge.
    Channel(ChannelName),
}

impl Witness {
    /// The configured name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Provider(name) => name.as_str(),
            Self::Channel(name) => name.as_str(),
        }
    }
}

/// An answer that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was answered.
    pub answer: Answer,
    /// About which elements.
    pub elements: ElementSet,
    /// By whom.
    pub witness: Witness,
    /// Through which house.
    pub road: Option<Road>,
    /// When it was asked for: what a channel said since then is the newer word.
    pub at: Timestamp,
    /// Until when it may be used.
    pub until: Timestamp,
    /// What another source vouches for beside it, where a payment was settled by combination. Never kept as evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Box<Evidence>>,
    /// From where it comes, where it confirms who somebody is, and accounts are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<Origin>>,
}

/// From where evidence comes that may count towards the class of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// By the answer to which inquiry.
    pub inquiry: PaymentId,
    /// Which source, however it was reached.
    pub source: Source,
    /// What bank account was checked, where one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Checked>,
}

/// Evidence by tuple.
pub trait EvidenceStore: Send + Sync {
    /// Evidence for exactly this tuple that is valid at `now` and not contradicted for `channel` or its road.
    fn evidence(
        &self,
        tuple: &Fingerprint,
        channel: &ChannelName,
        road: Option<&Road>,
        now: Timestamp,
    ) -> Option<Evidence>;
    /// Evidence for exactly this tuple that is valid at `now` and that no channel contradicted.
    fn uncontradicted(&self, tuple: &Fingerprint, now: Timestamp) -> Option<Evidence>;
    /// Keeps evidence on a `person`; an answer supersedes what was asked before it, and the contradictions of that time.
    fn put_evidence(&self, tuple: Fingerprint, person: Option<Fingerprint>, evidence: Evidence);
    /// Keeps what is known under `from` under `to` as well, which is the same tuple under another key.
    fn carry_evidence(&self, from: &Fingerprint, to: Fingerprint, person: Option<Fingerprint>);
    /// An outcome of `channel` at `at` contradicts the evidence for that channel and its road.
    fn contradict(
        &self,
        tuple: &Fingerprint,
        channel: &ChannelName,
        road: Option<&Road>,
        at: Timestamp,
    );
}

/// An outcome that contradicts evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Contradiction {
    channel: ChannelName,
    road: Option<Road>,
    at: Timestamp,
}

impl Contradiction {
    /// Whether evidence that was asked for at `since` is no evidence at `channel` for it.
    fn holds_for(&self, channel: &ChannelName, road: Option<&Road>, since: Timestamp) -> bool {
        self.at >= since
            && (self.channel == *channel || (road.is_some() && self.road.as_ref() == road))
    }
}

/// An agreement between a payer and a merchant at a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// The core's merchant.
    pub merchant: Option<MerchantId>,
    /// The tuple that was bound, and of which elements, where we saw it.
    pub tuple: Option<(Fingerprint, ElementSet)>,
    /// The tuple whoever sends it, where evidence on it is a merchant's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anyone: Option<Fingerprint>,
    /// The card that was bound.
    pub card: Option<Fingerprint>,
    /// The same card under the other keys that were read: what is bound with those closes with this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_cards: Vec<Fingerprint>,
    /// Who bound it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Fingerprint>,
    /// The same under the other keys that were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_persons: Vec<Fingerprint>,
    /// The issuing bank.
    pub bank: Option<Bank>,
    /// Which of them the core merely told beside the bind.
    pub asserted: ElementSet,
    /// What was verified at the bind, where we verified.
    pub verified: Option<Evidence>,
    /// Whether its elements were verified at its bind, by us or by the channel's own check.
    pub good: bool,
    /// Whether it was unbound, superseded, or declared invalid.
    pub closed: bool,
    /// When it was made or learned.
    pub at: Timestamp,
}

/// Agreements, and what waits between the steps of a bind.
#[async_trait]
pub trait AgreementStore: Send + Sync {
    /// The agreement `id` at `channel`.
    fn agreement(&self, channel: &ChannelName, id: &AgreementId) -> Option<Agreement>;
    /// The agreements `ids` at `channel` as they are kept, whatever memory has room for, and whoever changed them.
    ///
    /// # Errors
    /// [`StoreLost`].
    async fn kept_agreements(
        &self,
        channel: &ChannelName,
        ids: &[AgreementId],
    ) -> Result<Vec<Option<Agreement>>, StoreLost>;
    /// Keeps an agreement; where `closes_same_card`, earlier ones of its card and merchant at the channel close.
    fn put_agreement(
        &self,
        channel: &ChannelName,
        id: AgreementId,
        agreement: Agreement,
        closes_same_card: bool,
    );
    /// Closes an agreement.
    fn close_agreement(&self, channel: &ChannelName, id: &AgreementId);
    /// Keeps what the first step of a bind found, until `until`.
    fn remember(&self, channel: &ChannelName, key: String, bind: Agreement, until: Timestamp);
    /// What the first step left under `key`, if it is still kept at `now`.
    fn recall(&self, channel: &ChannelName, key: &str, now: Timestamp) -> Option<Agreement>;
}

/// Holds.
#[async_trait]
pub trait HoldStore: Send + Sync {
    /// The hold on `key` that stands at `now`.
    fn hold(&self, key: &HoldKey, now: Timestamp) -> Option<Hold>;
    /// Makes a hold unless one stands, or `braking` says that there were enough within the hour.
    fn make_hold(&self, hold: Hold, braking: Braking<'_>) -> Holding;
    /// Ends a hold; says whether there was one.
    fn release(&self, key: &HoldKey) -> Option<Hold>;
    /// The holds that stand at `now`, oldest first: those that memory knows.
    fn holds(&self, now: Timestamp) -> Vec<Hold>;
    /// The same as they are kept, whoever made them.
    ///
    /// # Errors
    /// [`StoreLost`].
    async fn kept_holds(&self, now: Timestamp) -> Result<Vec<Hold>, StoreLost>;
}

/// Records of payments, and which of them are still owed an outcome.
pub trait PaymentStore: Send + Sync {
    /// Keeps a record; the oldest go where there is no room.
    fn put_record(&self, record: Record);
    /// Notes an outcome of `record`'s payment, if it comes to anything beside what is known of it.
    fn arrive(
        &self,
        record: &Record,
        outcome: (Outcome, Option<String>, Arrival),
        precedence: Precedence,
        at: Timestamp,
    ) -> Step;
    /// Notes what is said of `record`'s payment and not believed, and says whether it is new: other than the outcome that is
    /// known, and not less believed than what was said before.
    fn hear(&self, record: &Record, said: Hearsay) -> bool;
    /// What arrived last is taken care of, in one commit: how the halves differ, where they do, and what is owed from then on.
    fn complete(&self, record: &Record, mismatch: Option<Mismatch>, owing: Owing);
    /// Providers were asked about `record`'s payment after it was over: what they said is compared with what comes from now on.
    fn verified_since(&self, record: &Record, evidence: Evidence);
    /// A statement named `record`'s payment.
    fn stated(&self, record: &Record);
    /// The outcome of `record`'s payment is overdue.
    fn overdue(&self, record: &Record);
    /// The core asks by `by` for `record`'s payment to be undone, and that it was is no news then; or the channel refused that.
    fn undo(&self, record: &Record, by: PaymentId, refused: bool);
    /// Nothing of it was sent: nothing is owed.
    fn not_sent(&self, channel: &ChannelName, payment: PaymentId);
    /// The record of `payment`.
    fn record(&self, payment: PaymentId) -> Option<Record>;
    /// Whether memory has a record of `payment`.
    fn has_record(&self, payment: PaymentId) -> bool;
    /// The records of a batch's rows that are kept, in their order.
    fn rows(&self, batch: PaymentId) -> Vec<Record>;
    /// The payments of an order that moves money, oldest first: those that memory knows.
    fn by_order(&self, channel: &ChannelName, order: &OrderId) -> Vec<PaymentId>;
    /// How many outcomes `channel` owes.
    fn expectations(&self, channel: &ChannelName) -> usize;
}

/// A code that no map knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmapped {
    /// The channel that told it.
    pub channel: ChannelName,
    /// The code map that does not know it.
    pub map: String,
    /// The code.
    pub code: String,
    /// How often it came.
    pub count: u64,
    /// When it came last.
    pub last: Timestamp,
    /// In the answer to which payment it came last.
    pub payment: PaymentId,
}

/// Codes that no map knows, so that an operator can complete the maps.
pub trait UnmappedStore: Send + Sync {
    /// Counts `seen`, of which the count is not read. Where there is no room, the code that was not seen for longest goes.
    fn put_unmapped(&self, seen: Unmapped);
    /// All of them, by channel, map and code.
    fn unmapped(&self) -> Vec<Unmapped>;
}

/// A question that is put to one provider. From before it is sent until its answer is kept, it may be billed and nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenInquiry {
    /// Its id, of which the provider's order number is made.
    pub id: PaymentId,
    /// Who is asked.
    pub provider: ProviderName,
    /// About which elements.
    pub set: ElementSet,
    /// For what kind of message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<Scenario>,
    /// What is asked; absent where an older Hefu kept it, or a newer one a kind of its own.
    #[serde(default, deserialize_with = "known", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// What the card's number begins with, where there is a card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bank: Option<Bank>,
    /// When.
    pub at: Timestamp,
}

fn known<'de, D: Deserializer<'de>>(word: D) -> Result<Option<Kind>, D::Error> {
    Ok(Kind::from_word(&Cow::<str>::deserialize(word)?))
}

/// What became of an inquiry: one charge, billable or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// What was asked.
    pub inquiry: OpenInquiry,
    /// What was answered.
    pub answer: Answer,
    /// The provider's own code.
    pub code: Option<Box<str>>,
    /// Why nothing was learned, in a word of ours, where that is not the provider's own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Cow<'static, str>>,
    /// How many milliseconds the provider took, where it was sent to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u32>,
    /// Whether it is billed.
    pub billable: Billable,
}

/// Inquiries and their charges.
#[async_trait]
pub trait InquiryStore: Send + Sync {
    /// Keeps an inquiry with the attempts and the money that it takes, durably, if they are to be had: it may be sent then.
    ///
    /// # Errors
    /// [`StoreLost`]: it must not be sent.
    async fn open_inquiry(&self, reservation: &Reservation) -> Result<Reserved, StoreLost>;
    /// Its answer came, or will not: what was reserved for it is settled at `now`.
    fn close_inquiry(&self, charge: &Charge, of: &Reservation, heard: Heard, now: Timestamp);
    /// How many more attempts may be made.
    ///
    /// # Errors
    /// [`StoreLost`].
    async fn attempts_left(&self, attempts: &Attempts) -> Result<Result<u32, Denied>, StoreLost>;
    /// The inquiries that are open, oldest first: those on the way, and those that a crash left uncertain.
    fn open_inquiries(&self) -> Vec<OpenInquiry>;
}

/// Everything together, for those who compose.
pub trait Store:
    EvidenceStore
    + AgreementStore
    + HoldStore
    + PaymentStore
    + UnmappedStore
    + InquiryStore
    + PersonStore
    + AuditStore
    + ShelfStore
    + ConcordanceStore
    + Journal
{
}

impl<T> Store for T where
    T: EvidenceStore
        + AgreementStore
        + HoldStore
        + PaymentStore
        + UnmappedStore
        + InquiryStore
        + PersonStore
        + AuditStore
        + ShelfStore
        + ConcordanceStore
        + Journal
{
}
