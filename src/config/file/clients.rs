//! `[verification]` and `[[client]]`: the verification service, and who may use it.

use super::{FilePath, PriceFile, Time, WebhookFile};
use crate::config::problem::suggest;
use crate::config::read::At;
use crate::config::text::{Meaning, Size, Text};
use crate::domain::client::Scope;
use crate::domain::clock::Timestamp;
use crate::domain::element::Element;
use crate::domain::kind::Kind;
use crate::domain::payment::Scenario;
use schemars::JsonSchema;
use serde::Deserialize;

/// The elements of a set, as words.
type ElementWords = Vec<Text<Element>>;

/// `[verification]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct VerificationFile {
    /// The longest body.
    pub(in crate::config) body: Option<At<Text<Size>>>,
    /// The most connections at once.
    pub(in crate::config) connections: Option<At<usize>>,
    /// How long a head may take, and a connection may wait for one.
    pub(in crate::config) head_deadline: Option<Time>,
    /// How long a body may take.
    pub(in crate::config) body_deadline: Option<Time>,
    /// How many verifications may go on at once, more than eight for each of `batches`; beyond it clients are told to come again.
    pub(in crate::config) at_once: Option<At<usize>>,
    /// The longest body of a batch.
    pub(in crate::config) batch_body: Option<At<Text<Size>>>,
    /// How many batches may go on at once, at most half of them of one client where several may post them; twice as many may be read at once.
    pub(in crate::config) batches: Option<At<usize>>,
    /// The longest picture, in characters of base64; a body with one may be so much longer than `body`.
    pub(in crate::config) picture: Option<At<Text<Size>>>,
    /// How many pictures may be in memory at once; beyond it clients are told to come again.
    pub(in crate::config) pictures: Option<At<usize>>,
}

/// `[[client]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ClientFile {
    /// Its name: in metrics, and with what it had verified.
    #[schemars(required)]
    pub(in crate::config) name: Option<At<String>>,
    /// Its keys: two, while one follows another.
    #[schemars(required)]
    pub(in crate::config) keys: Option<At<Vec<At<KeyFile>>>>,
    /// What it may do: `verify`, `read`, `batch`, `statements`.
    #[schemars(required)]
    pub(in crate::config) may: Option<At<Vec<At<Text<ScopeWord>>>>>,
    /// The sets of elements that it may ask about.
    #[schemars(required)]
    pub(in crate::config) elements: Option<At<Vec<At<ElementWords>>>>,
    /// What else it may ask beside whether elements belong together.
    pub(in crate::config) kinds: Vec<At<KindFile>>,
    /// In whose name it asks: it has no more attempts than that merchant, and its spend is that merchant's. The client itself where absent.
    pub(in crate::config) merchant: Option<At<String>>,
    /// As what it asks, where providers are asked for some scenarios only.
    pub(in crate::config) scenario: Option<Text<Scenario>>,
    /// Whether it uses what is known by that merchant's payments, and they what it asks.
    pub(in crate::config) shares_evidence: bool,
    /// How many requests a second it may make.
    pub(in crate::config) per_second: Option<At<u32>>,
    /// How many verifications it may have within a day of China's calendar; any number where absent.
    pub(in crate::config) per_day: Option<At<u64>>,
    /// How many within a month.
    pub(in crate::config) per_month: Option<At<u64>>,
    /// What it pays for one that is charged.
    pub(in crate::config) price_fen: Option<u64>,
    /// What it pays by elements, and by how many there were within the month; instead of `price_fen`.
    pub(in crate::config) prices: Option<At<Vec<At<PriceFile>>>>,
    /// A key by which its requests must be signed: at least 32 random bytes. They need not be where absent.
    pub(in crate::config) signing_key_file: Option<FilePath>,
    /// Where it is told of what was asked while it did not wait.
    pub(in crate::config) webhook: Option<At<WebhookFile>>,
}

/// One of `kinds`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct KindFile {
    /// What is asked.
    #[schemars(required)]
    pub(in crate::config) kind: Option<At<Text<Kind>>>,
    /// The sets of elements with which it may be asked.
    #[schemars(required)]
    pub(in crate::config) elements: Option<At<Vec<At<ElementWords>>>>,
    /// What it pays for one that is charged.
    pub(in crate::config) price_fen: Option<u64>,
    /// What it pays by elements, and by how many there were within the month; instead of `price_fen`.
    pub(in crate::config) prices: Option<At<Vec<At<PriceFile>>>>,
}

/// One of `keys`; `hefu client-key` writes it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct KeyFile {
    /// Its number, with which the key begins.
    #[schemars(required)]
    pub(in crate::config) id: Option<At<String>>,
    /// The SHA-256 of the key, in hexadecimal.
    #[schemars(required)]
    pub(in crate::config) sha256: Option<At<String>>,
    /// Until when it is taken.
    pub(in crate::config) until: Option<At<Text<Timestamp>>>,
}

/// A scope, as it is written.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct ScopeWord(pub(in crate::config) Scope);

impl Meaning for ScopeWord {
    const WHAT: &'static str = "a scope";

    fn words() -> Vec<&'static str> {
        Scope::ALL.map(Scope::as_str).to_vec()
    }

    fn read(text: &str) -> Result<Self, String> {
        let hint = || suggest(text, Self::words());
        Scope::from_word(text).map(Self).ok_or_else(hint)
    }
}
