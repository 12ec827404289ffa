//! The verification service's settings: where it is, and who may use it.

use super::settings::{Door, Secret, Webhook};
use crate::billing::price::Prices;
use crate::domain::client::Scope;
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{ClientName, MerchantId};
use crate::domain::kind::Kind;
use crate::domain::payment::Scenario;
use std::net::SocketAddr;
use std::time::Duration;

/// The verification service.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Where it listens.
    pub address: SocketAddr,
    /// TLS there.
    pub door: Option<Door>,
    /// The longest body, in bytes.
    pub body: usize,
    /// The most connections at once.
    pub connections: usize,
    /// How long a head may take, and a connection may wait for one.
    pub head_deadline: Duration,
    /// How long a body may take.
    pub body_deadline: Duration,
    /// How many verifications may go on at once.
    pub at_once: usize,
    /// The longest body of a batch, in bytes.
    pub batch_body: usize,
    /// How many batches may go on at once.
    pub batches: usize,
    /// The longest picture, in characters of base64.
    pub picture: usize,
    /// How many pictures may be in memory at once.
    pub pictures: usize,
    /// Who may use it.
    pub clients: Vec<Client>,
}

/// Who may use it.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its name.
    pub name: ClientName,
    /// Its keys. Never empty.
    pub keys: Vec<ClientKey>,
    /// What it may do. Never empty.
    pub may: Vec<Scope>,
    /// What it may ask about. Never empty.
    pub sets: Vec<ElementSet>,
    /// What else it may ask: each kind once.
    pub kinds: Vec<ClientKind>,
    /// In whose name it asks, where not in its own.
    pub merchant: Option<MerchantId>,
    /// As what it asks.
    pub scenario: Scenario,
    /// Whether it shares evidence with that merchant's payments.
    pub shares: bool,
    /// How many requests a second it may make.
    pub per_second: u32,
    /// How many verifications it may have within a day and within a month.
    pub quota: [Option<u64>; 2],
    /// What it pays.
    pub prices: Prices,
    /// By which its requests must be signed.
    pub signing: Option<Secret>,
    /// Where it is told of what was asked while it did not wait.
    pub webhook: Option<Webhook>,
}

/// What a client may ask beside whether elements belong together.
#[derive(Clone, Debug)]
pub struct ClientKind {
    /// What.
    pub kind: Kind,
    /// About which elements. Never empty.
    pub sets: Vec<ElementSet>,
    /// What it pays for it.
    pub prices: Prices,
}

/// One of a client's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientKey {
    /// Its number.
    pub id: String,
    /// The SHA-256 of it all.
    pub digest: [u8; 32],
    /// Until when it is taken.
    pub until: Option<Timestamp>,
}
