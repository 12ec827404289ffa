//! The checked configuration, and its defaults. Whoever holds a value of these types need not check it again.

pub use super::access_log::AccessLog;
pub use super::api::Admin;
use super::api::Managing;
pub use super::classes::Classes;
use super::clients::Verification;
use super::text::InDoubt;
use crate::billing::price::Prices;
use crate::crypto::keys::Keys;
use crate::domain::chance::Share;
use crate::domain::element::ElementSet;
use crate::domain::id::{ChannelName, MerchantId, ProviderName};
use crate::domain::keep::Keep;
use crate::domain::money::Fen;
use crate::domain::payment::Scenario;
use crate::message::profile::Profile;
use crate::policy::Policy;
use crate::policy::rules::Book;
use crate::reconcile::due::{Calendar, Level};
use crate::route::attempts;
use crate::route::concordance::Strategy;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where Hefu listens.
    pub listen: Listen,
    /// Limits on what the core sends.
    pub limits: Limits,
    /// How the process ends.
    pub drain: Drain,
    /// Where a line goes for each request, if anywhere.
    pub access_log: Option<AccessLog>,
    /// Where is kept what is learned.
    pub store: Storage,
    /// How long it is kept.
    pub keep: Keep,
    /// How many pieces of evidence are in memory at most.
    pub evidence_in_memory: usize,
    /// Make fingerprints.
    pub keys: Keys,
    /// The channels in use.
    pub channels: BTreeMap<ChannelName, Channel>,
    /// Profiles of channels that are not in use; `hefu extract` reads them.
    pub unused: BTreeMap<ChannelName, Profile>,
    /// Traffic that streams through uninspected.
    pub passthrough: Vec<Passthrough>,
    /// The providers in use.
    pub providers: BTreeMap<ProviderName, Provider>,
    /// What is asked of payments.
    pub policy: Policy,
    /// Holds.
    pub holds: Holds,
    /// How long evidence is believed.
    pub evidence: Evidence,
    /// Inquiries.
    pub inquiry: Inquiry,
    /// How often may be asked about one card and one person.
    pub attempts: attempts::Limits,
    /// What may be spent for one merchant within a day; without bounds where absent.
    pub merchant_cap: Option<Fen>,
    /// What is asked about payments that are observed.
    pub observe: Observe,
    /// When nothing is expected of channels.
    pub calendar: Calendar,
    /// What bears the class of an account.
    pub classes: Classes,
    /// Who is told what happens.
    pub webhook: Option<Webhook>,
    /// Who takes spans, if anybody.
    pub trace: Option<Tracing>,
    /// The risk team's rules, as files say.
    pub rules: Arc<Book>,
    /// What others stand beside that come through the admin API.
    pub managing: Managing,
    /// Who is asked first.
    pub routing: Routing,
    /// The verification service, where there is one.
    pub verification: Option<Verification>,
}

/// Who takes spans.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// Where the collector is.
    pub otlp: String,
    /// Of which share of the messages whose core says nothing of a trace.
    pub share: Share,
    /// How long it may take.
    pub timeout: Duration,
}

/// Who is told what happens.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where they are.
    pub url: String,
    /// By which it is signed.
    pub key: Secret,
    /// How long they may take.
    pub timeout: Duration,
}

impl Config {
    /// The profile of the channel called `name`, in use or not.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        let name = ChannelName::new(name);
        self.channels.get(&name).map(|channel| &channel.profile).or_else(|| self.unused.get(&name))
    }
}

/// Where is kept what is learned.
#[derive(Clone, Debug)]
pub enum Storage {
    /// In memory: gone with the process.
    Memory,
    /// In this file.
    File(PathBuf),
    /// In a database that replicas share.
    Postgres {
        /// How it is reached; its `Debug` hides the password.
        config: Box<tokio_postgres::Config>,
        /// The authorities to trust; the system's where empty.
        authorities: Vec<X509>,
    },
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Postgres { config, .. } => {
                write!(f, "PostgreSQL {:?}", config.get_hosts())?;
                config.get_dbname().map_or(Ok(()), |name| write!(f, " {name}"))
            }
        }
    }
}

/// Where Hefu listens.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The payment core's requests.
    pub core: SocketAddr,
    /// TLS on it.
    pub core_tls: Option<Door>,
    /// The channels' notifications.
    pub notify: Option<SocketAddr>,
    /// TLS on it.
    pub notify_tls: Option<Door>,
    /// The admin API.
    pub admin: Option<Admin>,
    /// Metrics and health, for those who scrape and probe from outside.
    pub metrics: Option<SocketAddr>,
}

/// TLS towards those who connect.
#[derive(Clone, Debug)]
pub struct Door {
    /// Our certificate and key.
    pub own: ClientCertificate,
    /// Who signs the certificates of those who connect; nobody needs one where empty.
    pub clients: Vec<X509>,
}

/// Bytes that are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes; every use is a place to review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Limits on what the core sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest body, in bytes.
    pub body: usize,
    /// The longest head, in bytes.
    pub head: usize,
    /// The most headers.
    pub headers: usize,
    /// The most connections at once.
    pub connections: usize,
    /// How long a head may take.
    pub head_deadline: Duration,
    /// How long a body may take.
    pub body_deadline: Duration,
    /// How long a connection may wait between requests.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1 << 20,
            head: 16 << 10,
            headers: 100,
            connections: 1024,
            head_deadline: Duration::from_secs(10),
            body_deadline: Duration::from_secs(30),
            idle: Duration::from_mins(1),
        }
    }
}

/// How the process ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long a kept connection may still bring a request.
    pub idle: Duration,
    /// When the process ends, whatever is under way.
    pub deadline: Duration,
}

impl Default for Drain {
    /// The deadline leaves room for a request that begins when `idle` is over: its body and its answer.
    fn default() -> Self {
        Self { idle: Duration::from_secs(30), deadline: Duration::from_mins(2) }
    }
}

/// A channel in use.
#[derive(Clone, Debug)]
pub struct Channel {
    /// What its messages look like.
    pub profile: Profile,
    /// Whether it is inspected, and whether decisions bind.
    pub mode: ChannelMode,
    /// Where it is: tried in order, and only while nothing was sent. Never empty.
    pub upstreams: Vec<Upstream>,
    /// Where the core takes its notifications.
    pub notify_core: Option<Upstream>,
    /// Whether it speaks HTTP/2.
    pub http2: bool,
    /// How long it may take, and how much it may say.
    pub patience: Patience,
    /// What the core gets where no answer came.
    pub in_doubt: InDoubt,
    /// How long it may take to tell an outcome.
    pub level: Level,
}

/// How long a channel may take, and how much it may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long connecting may take.
    pub connect: Duration,
    /// How long its answer may take.
    pub answer: Duration,
    /// How long an idle connection to it is kept.
    pub idle: Duration,
    /// The longest answer that is read, in bytes; a longer one is passed on unread.
    pub answer_max: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            answer: Duration::from_secs(30),
            idle: Duration::from_mins(1),
            answer_max: 1 << 20,
        }
    }
}

/// Whether a channel is inspected, and whether decisions bind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelMode {
    /// Bodies are not read.
    Uninspected,
    /// Everything is forwarded and marked.
    #[default]
    Observe,
    /// Decisions bind for this percentage (1 to 100) of orders; the rest is observed.
    Enforce(u8),
}

/// A server that requests go to.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The host: a name or an address, IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// TLS; absent only on loopback.
    pub tls: Option<Tls>,
}

/// TLS towards an upstream. Its certificate is always verified.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The name in its certificate, also sent as SNI. Never empty.
    pub server_name: String,
    /// The authorities to trust; the system's where empty.
    pub authorities: Vec<X509>,
    /// Who we are to it.
    pub client: Option<ClientCertificate>,
}

/// A certificate of ours with its key.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The chain, our own first. Never empty.
    pub chain: Vec<X509>,
    /// The private key of the first.
    pub key: PKey<Private>,
}

/// Uninspected traffic.
#[derive(Clone, Debug)]
pub struct Passthrough {
    /// The host, in lower case; any where absent.
    pub host: Option<String>,
    /// What the canonical path begins with, in lower case.
    pub path: String,
    /// Where it goes.
    pub upstream: Upstream,
}

/// A provider in use: its definition, to be compiled by whoever speaks to providers, and what is set for it here.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The definition's file, relative to the configuration directory.
    pub file: String,
    /// The definition's text: valid TOML.
    pub definition: String,
    /// Where it is.
    pub upstream: Upstream,
    /// Its credentials, by the name in the definition.
    pub credentials: BTreeMap<String, Secret>,
    /// Plain facts of our account there, as `var.NAME` in the definition.
    pub vars: BTreeMap<String, String>,
    /// Whether it is asked.
    pub enabled: bool,
    /// Lower is asked first; before that, whoever is on the channel's own road.
    pub priority: u32,
    /// Of those with one priority, how often it is asked first.
    pub weight: NonZeroU32,
    /// What the numbers of the cards begin with for which it is asked; any where empty.
    pub bins: Vec<Box<str>>,
    /// The scenarios for which it is asked; any where empty.
    pub scenarios: Vec<Scenario>,
    /// How many questions may be on their way to it at once.
    pub concurrency: NonZeroU32,
    /// How many questions it is asked a second at most.
    pub per_second: Option<NonZeroU32>,
    /// What billable inquiries cost.
    pub prices: Prices,
    /// What it may cost within a day; without bounds where absent.
    pub cap: Option<Fen>,
    /// Which share of the questions that others are asked it is asked as well, and nothing rests on what it says.
    pub shadow: Share,
    /// How long one inquiry may take.
    pub timeout: Duration,
}

/// Holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holds {
    /// How long one lasts where nothing settles it.
    pub expiry: Duration,
    /// How many new ones one bank at one channel may have within an hour before they pause.
    pub per_hour: u32,
}

impl Default for Holds {
    fn default() -> Self {
        Self { expiry: Duration::from_hours(7 * 24), per_hour: 50 }
    }
}

/// How long evidence is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// A match.
    pub matched: Duration,
    /// Any other answer that says something of the tuple.
    pub negative: Duration,
    /// By what was answered, where it differs.
    pub kinds: Kinds,
    /// By the source of the answer, where it differs.
    pub sources: BTreeMap<Box<str>, Kinds>,
    /// Whether a message of one merchant may use what is known by those of others.
    pub shared: bool,
    /// Numbers of one and the same merchant, each with the first of them.
    pub same_merchant: BTreeMap<MerchantId, MerchantId>,
}

/// How long each kind of answer is believed, where that is set for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// `match`
    pub matched: Option<Duration>,
    /// `close_match`
    pub close_match: Option<Duration>,
    /// `no_match`
    pub no_match: Option<Duration>,
    /// `no_record`
    pub no_record: Option<Duration>,
    /// `not_possible`
    pub not_possible: Option<Duration>,
    /// `limited`
    pub limited: Option<Duration>,
    /// `invalid`
    pub invalid: Option<Duration>,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            matched: Duration::from_hours(90 * 24),
            negative: Duration::from_mins(15),
            kinds: Kinds::default(),
            sources: BTreeMap::new(),
            shared: false,
            same_merchant: BTreeMap::new(),
        }
    }
}

/// Inquiries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// How long a payment waits for all providers together.
    pub deadline: Duration,
    /// How long a batch waits for all its rows together.
    pub batch_deadline: Duration,
    /// How many of a hundred questions may be put to another provider because one failed.
    pub retries_percent: u32,
}

impl Default for Inquiry {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(3),
            batch_deadline: Duration::from_secs(30),
            retries_percent: 20,
        }
    }
}

/// What is asked about payments that are observed: nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observe {
    /// Of how many of a hundred.
    pub sample_percent: u32,
    /// What may be spent on them within a day.
    pub cap: Fen,
}

/// Who is asked first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// How that is found.
    pub strategy: Strategy,
    /// Below which concordance a provider is asked last, where there is such a bound.
    pub lower_below: Option<Share>,
}

/// The elements that policy can ask for.
pub(super) const VERIFIABLE: ElementSet = {
    use crate::domain::element::Element;
    ElementSet::EMPTY
        .with(Element::Name)
        .with(Element::IdNumber)
        .with(Element::Pan)
        .with(Element::Phone)
};
