//! What the outcome of a payment bears upon.

use crate::domain::account::AccountId;
use crate::domain::element::ElementSet;
use crate::domain::id::{AgreementId, Bank, Fingerprint, MerchantId, OrderId};
use crate::store::account::Funder;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// The same elements under another key that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// Their tuple.
    pub tuple: Fingerprint,
    /// The tuple as told by the merchant to the channel, where the core told any of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Fingerprint>,
    /// The tuple whoever sends it, where evidence on it is a merchant's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anyone: Option<Fingerprint>,
}

impl Other {
    /// What a hold may be on.
    pub fn holds(self) -> impl Iterator<Item = Fingerprint> {
        [Some(self.tuple), self.told, self.anyone].into_iter().flatten()
    }
}

/// What is compared with the outcome of a payment, and what it bears upon: outcomes come late, and more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case")]
pub struct Stakes {
    /// The core's merchant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merchant: Option<MerchantId>,
    /// By which order it was admitted, where it is the one that claimed it, and whether as the step that confirms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<(OrderId, bool)>,
    /// The tuple, and of which elements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuple: Option<(Fingerprint, ElementSet)>,
    /// Which of them the core told: the channel may have read others.
    pub asserted: ElementSet,
    /// The tuple as told by this merchant to this channel, where the core told any of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<Fingerprint>,
    /// The tuple whoever sends it, where evidence on it is a merchant's own: what a hold is on that binds everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anyone: Option<Fingerprint>,
    /// The same under the other keys that are read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Other>,
    /// The card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card: Option<Fingerprint>,
    /// The card under the other keys that are read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_cards: Vec<Fingerprint>,
    /// The person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<Fingerprint>,
    /// The person under the other keys that are read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_persons: Vec<Fingerprint>,
    /// The phone number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<Fingerprint>,
    /// The phone number under the other keys that are read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_phones: Vec<Fingerprint>,
    /// The issuing bank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bank: Option<Bank>,
    /// The agreement that it quotes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<AgreementId>,
    /// Which elements its success proves, of those that it carried.
    pub checks: ElementSet,
    /// Which elements the success of such a message proves at most.
    pub proves: ElementSet,
    /// The account whose balance funds it, where that is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// What the risk team's rules said of it, where there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Arc<Ruled>>,
}

impl Stakes {
    /// The tuple whoever sends it, under whichever key.
    pub fn anyones(&self) -> impl Iterator<Item = Fingerprint> {
        self.anyone.into_iter().chain(self.others.iter().filter_map(|other| other.anyone))
    }

    /// What a hold may be on, under whichever key.
    pub fn holds(&self) -> impl Iterator<Item = Fingerprint> {
        let own = self.tuple.map(|(tuple, _)| tuple).into_iter().chain(self.told);
        let others = self.others.iter().copied().flat_map(Other::holds);
        own.chain(self.anyone).chain(others)
    }
}

/// What rules said of a payment, and what they saw of it that is kept nowhere else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ruled {
    /// The set by which it was judged, whole.
    pub set: Arc<str>,
    /// The rule behind the decision, and its reason, where one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<(String, String)>,
    /// The rules that held and bound.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hits: Vec<String>,
    /// The rules that held and did not bind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadows: Vec<String>,
    /// The rules that could not be evaluated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// The process that judged it, where it counted it for rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Arc<str>>,
    /// The version that was tried beside the set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<u64>,
    /// Whether a hold stood; one that stops no such payment is no reason, and so stands nowhere else.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// What was looked up for the set, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Option<i64>>,
    /// The kind of account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Cow<'static, str>>,
    /// Of a thousand such answers, how many were borne out then, where rules asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concordance: Option<u16>,
    /// What was seen of the account whose balance was to fund it, where rules asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub funder: Option<Found<Box<Funder>>>,
    /// How many accounts the person had open, where rules asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounts: Option<Found<u32>>,
}

/// What was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found<T> {
    /// There was none.
    Nothing,
    /// It was this.
    This(T),
}
