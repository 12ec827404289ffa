//! The files as they are written: `hefu.toml` and `policy.toml` here, channels and code maps in their own modules.
//!
//! Everything is optional for the deserializer, so that a missing key hides no other mistake; the checks ask for what they need.

pub(super) mod asking;
pub(super) mod calendar;
pub(super) mod channel;
pub(super) mod classes;
pub(super) mod clients;
pub(super) mod codes;
pub(super) mod listen;
pub(super) mod operator;
pub(super) mod routing;
pub(super) mod rules;
pub(super) mod statement;

use super::read::At;
use super::text::{Host, InDoubt, Name, Rate, RoutePath, Size, Text};
use crate::domain::clock::Timestamp;
use crate::domain::element::Element;
use crate::domain::payment::Scenario;
use crate::policy::Effect;
use asking::{
    AttemptsFile, BelievedFile, CombinationFile, InquiryFile, ObserveFile, PackageFile, SpendFile,
};
pub(super) use listen::{DoorFile, ListenFile};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A duration with its place.
pub(super) type Time = At<Text<Duration>>;
/// A file's path with its place; relative to the configuration directory.
pub(super) type FilePath = At<PathBuf>;

/// `hefu.toml`: where this Hefu stands, and what it stands between.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HefuFile {
    /// Where it listens.
    #[schemars(required)]
    pub(super) listen: Option<At<ListenFile>>,
    /// Limits on what the core sends.
    pub(super) limits: LimitsFile,
    /// How the process ends.
    pub(super) drain: DrainFile,
    /// The access log.
    pub(super) log: LogFile,
    /// What outlives the process.
    pub(super) store: StoreFile,
    /// Who is told what happens.
    pub(super) webhook: Option<At<WebhookFile>>,
    /// Who takes spans of the work on messages; nobody where absent.
    pub(super) trace: Option<At<TraceFile>>,
    /// Keys.
    #[schemars(required)]
    pub(super) secrets: Option<At<SecretsFile>>,
    /// The channels in use, by the name in their profile.
    pub(super) channels: BTreeMap<At<String>, At<DeployedFile>>,
    /// The providers in use, by the name of their definition's file.
    pub(super) providers: BTreeMap<At<Text<Name>>, At<ProviderFile>>,
    /// Who may use the admin API.
    pub(super) operator: Vec<At<operator::OperatorFile>>,
    /// The verification service.
    pub(super) verification: Option<At<clients::VerificationFile>>,
    /// Who may use it.
    pub(super) client: Vec<At<clients::ClientFile>>,
    /// Traffic that streams through uninspected, where no channel's route matches.
    pub(super) passthrough: Vec<At<PassthroughFile>>,
}

/// `[limits]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsFile {
    /// The longest body.
    pub(super) body: Option<At<Text<Size>>>,
    /// The longest head.
    pub(super) head: Option<At<Text<Size>>>,
    /// The most headers.
    pub(super) headers: Option<At<usize>>,
    /// The most connections from the core at once.
    pub(super) connections: Option<At<usize>>,
    /// How long a head may take.
    pub(super) head_deadline: Option<Time>,
    /// How long a body may take.
    pub(super) body_deadline: Option<Time>,
    /// How long a connection may wait between requests.
    pub(super) idle: Option<Time>,
}

/// `[drain]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DrainFile {
    /// How long a kept connection may still bring a request.
    pub(super) idle: Option<Time>,
    /// When the process ends, whatever is under way.
    pub(super) deadline: Option<Time>,
}

/// `[log]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogFile {
    /// A line of JSON for each request: `"stdout"`, or a file that is opened anew at every reload. None is written where absent.
    pub(super) access: Option<FilePath>,
}

/// `[store]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StoreFile {
    /// The database, which is created where there is none; its directory must be there. Without it everything that was learned
    /// is gone with the process, and an order may leave twice.
    pub(super) file: Option<FilePath>,
    /// Instead of a file, the database that replicas share: `host=db.internal user=hefu dbname=hefu`; of several (`host=db1,db2`)
    /// the first that can be written. Beyond a socket or this machine it is reached by TLS only.
    pub(super) postgres: Option<At<String>>,
    /// The password of that user.
    pub(super) password_file: Option<FilePath>,
    /// The authorities to trust; the system's where absent.
    pub(super) ca_file: Option<FilePath>,
    /// How many pieces of evidence are kept in memory, half a KiB each; the others are looked up where they are kept.
    pub(super) evidence_in_memory: Option<At<usize>>,
    /// How long is kept what has no end of its own.
    pub(super) keep: KeepFile,
}

/// `[store.keep]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeepFile {
    /// Records of payments, their orders and expectations.
    pub(super) payments: Option<Time>,
    /// Inquiries and what they came to.
    pub(super) charges: Option<Time>,
}

/// `[secrets]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SecretsFile {
    /// The key of fingerprints: at least 32 random bytes.
    #[schemars(required)]
    pub(super) fingerprint_key_file: Option<FilePath>,
    /// The number of that key; a new key gets a new number.
    #[schemars(required)]
    pub(super) fingerprint_key_id: Option<u16>,
    /// The keys before it, and the one to come: nothing is written with them, and what is under them is found.
    pub(super) other_keys: Vec<At<OtherKeyFile>>,
    /// The private Ed25519 key, in PEM, by which records of accounts are signed for whoever inspects; none are told where absent.
    pub(super) record_key_file: Option<FilePath>,
}

/// `[[secrets.other_keys]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OtherKeyFile {
    /// Its number.
    #[schemars(required)]
    pub(super) id: Option<u16>,
    /// The key; left out once it is given up, and nothing under it can be found any more.
    pub(super) file: Option<FilePath>,
    /// Until when evidence, holds and entries of lists are looked up under it too; for ever where absent.
    pub(super) until: Option<At<Text<Timestamp>>>,
}

/// `[channels.NAME]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeployedFile {
    /// Where it is, tried in order, and only while nothing was sent.
    #[schemars(required)]
    pub(super) upstreams: Option<At<Vec<At<String>>>>,
    /// How its certificate is checked, and who we are to it.
    pub(super) tls: Option<TlsFile>,
    /// Whether it speaks HTTP/2.
    pub(super) http2: Option<bool>,
    /// How long connecting may take.
    pub(super) connect_timeout: Option<Time>,
    /// How long its answer may take.
    pub(super) answer_timeout: Option<Time>,
    /// How long a connection to it is kept.
    pub(super) idle_timeout: Option<Time>,
    /// The longest answer that is read; a longer one is passed on unread.
    pub(super) answer_max: Option<At<Text<Size>>>,
    /// What the core gets where no answer came.
    pub(super) in_doubt: Option<Text<InDoubt>>,
    /// Keys that open sealed payloads, by the name in the profile.
    pub(super) keys: BTreeMap<At<String>, FilePath>,
    /// Where the core takes its notifications.
    pub(super) notify_core: Option<At<String>>,
    /// How long it may take to tell an outcome.
    pub(super) due: DueFile,
}

/// `[channels.NAME.due]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DueFile {
    /// Of a debit.
    pub(super) debit: Option<Time>,
    /// Of a payment with the payer at hand.
    pub(super) pay: Option<Time>,
    /// Of a withdrawal.
    pub(super) withdraw: Option<Time>,
    /// Of a payout.
    pub(super) payout: Option<Time>,
    /// Whether only working days count, by `calendar.toml`.
    pub(super) working_days: Option<bool>,
}

/// `[webhook]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebhookFile {
    /// Who is told.
    #[schemars(required)]
    pub(super) url: Option<At<String>>,
    /// The key by which it is signed: at least 32 random bytes.
    #[schemars(required)]
    pub(super) key_file: Option<FilePath>,
    /// How long they may take to take it.
    pub(super) timeout: Option<Time>,
}

/// `[trace]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TraceFile {
    /// Where the collector takes OTLP by HTTP, its path included.
    #[schemars(required)]
    pub(super) otlp: Option<At<String>>,
    /// Of which share of the messages spans are kept whose core sends no `traceparent`; of the others as the core wants.
    pub(super) share: Option<At<f64>>,
    /// How long the collector may take.
    pub(super) timeout: Option<Time>,
}

/// TLS towards an upstream.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsFile {
    /// The name in its certificate; the host of the URL where absent.
    pub(super) server_name: Option<At<String>>,
    /// The authorities to trust; the system's where absent.
    pub(super) ca_file: Option<FilePath>,
    /// Our certificate.
    pub(super) client_cert_file: Option<FilePath>,
    /// Its private key.
    pub(super) client_key_file: Option<FilePath>,
}

/// `[providers.NAME]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProviderFile {
    /// Where it is.
    #[schemars(required)]
    pub(super) url: Option<At<String>>,
    /// How its certificate is checked, and who we are to it.
    pub(super) tls: Option<TlsFile>,
    /// Files with its credentials, by the name in the definition.
    pub(super) credentials: BTreeMap<String, FilePath>,
    /// Plain facts of our account there, as `var.NAME` in the definition: key ids, merchant numbers.
    pub(super) vars: BTreeMap<String, String>,
    /// Whether it is asked.
    pub(super) enabled: Option<bool>,
    /// Lower is asked first; before that, whoever is on the channel's own road.
    pub(super) priority: Option<u32>,
    /// Of those with one priority, how often it is asked first.
    pub(super) weight: Option<At<u32>>,
    /// What the numbers of the cards begin with for which it is asked: 1 to 6 digits each; any where absent.
    pub(super) bins: Option<Vec<At<String>>>,
    /// The scenarios for which it is asked; any where absent.
    pub(super) scenarios: Option<Vec<At<Text<Scenario>>>>,
    /// How many questions may be on their way to it at once; beyond it others are asked.
    pub(super) concurrency: Option<At<u32>>,
    /// How many questions it is asked a second at most, as its quota says; beyond it others are asked.
    pub(super) per_second: Option<At<u32>>,
    /// What one billable inquiry costs.
    pub(super) price_fen: Option<u64>,
    /// What it costs by elements, and by how many there were within the month; instead of `price_fen`.
    pub(super) prices: Option<At<Vec<At<PriceFile>>>>,
    /// What it may cost within a day of China's calendar; beyond it others are asked.
    pub(super) fen_per_day: Option<u64>,
    /// Which share of the questions that others are asked it is asked as well, after the fact: recorded, and never used.
    pub(super) shadow: Option<At<f64>>,
    /// How long one inquiry may take.
    pub(super) timeout: Option<Time>,
}

/// One step of a price list. Those for the same elements follow each other.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PriceFile {
    /// The set it is for; every set that is not listed where absent.
    pub(super) elements: Option<Vec<Text<Element>>>,
    /// The last billable inquiry of the month that costs so much; the last step has none.
    pub(super) up_to: Option<u64>,
    /// What each costs, with at most four decimals: `"28.5"`.
    #[schemars(required)]
    pub(super) fen: Option<At<Text<Rate>>>,
}

/// `[[passthrough]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PassthroughFile {
    /// The host; any where absent.
    pub(super) host: Option<Text<Host>>,
    /// What the path begins with.
    #[schemars(required)]
    pub(super) path: Option<At<Text<RoutePath>>>,
    /// Where it goes.
    #[schemars(required)]
    pub(super) upstream: Option<At<String>>,
    /// How its certificate is checked, and who we are to it.
    pub(super) tls: Option<TlsFile>,
}

/// `policy.toml`: what is asked of payments, and from when on it binds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PolicyFile {
    /// Per channel: `"uninspected"`, `"observe"`, or `{ enforce = PERCENT }`.
    pub(super) mode: BTreeMap<At<String>, ModeFile>,
    /// Per scenario: what a message needs, and what each answer leads to.
    pub(super) scenario: BTreeMap<At<Text<Scenario>>, ScenarioFile>,
    /// Debits by agreement.
    pub(super) agreements: AgreementsFile,
    /// Batches.
    pub(super) batch: BatchFile,
    /// Holds.
    pub(super) holds: HoldsFile,
    /// Evidence.
    pub(super) evidence: EvidenceFile,
    /// Inquiries.
    pub(super) inquiry: InquiryFile,
    /// What is required of some payments of a scenario, by merchant and amount.
    pub(super) package: Vec<At<PackageFile>>,
    /// Where a phone may be settled by combination; nowhere where absent.
    pub(super) combination: Vec<At<CombinationFile>>,
    /// How often may be asked about one card and one person.
    pub(super) attempts: AttemptsFile,
    /// What may be spent.
    pub(super) spend: SpendFile,
    /// What is asked about payments that are observed.
    pub(super) observe: ObserveFile,
    /// The risk team's rules.
    pub(super) rules: rules::RulesPolicyFile,
    /// Who is asked first.
    pub(super) routing: routing::RoutingFile,
    /// What leaves though verification refuses it.
    pub(super) holdout: routing::HoldoutFile,
}

/// Whether a channel is inspected, and whether decisions bind.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ModeFile {
    /// Bodies are not read.
    Uninspected,
    /// Everything is forwarded and marked.
    Observe,
    /// Decisions bind for this percentage of orders; the rest is observed.
    Enforce(At<u8>),
}

/// `[scenario.NAME]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ScenarioFile {
    /// The elements without which a message cannot be verified.
    pub(super) required: Option<Vec<At<Text<Element>>>>,
    /// Where the message carries fewer.
    pub(super) missing: Option<Text<Effect>>,
    /// `close_match`
    pub(super) close_match: Option<Text<Effect>>,
    /// `no_match`
    pub(super) no_match: Option<Text<Effect>>,
    /// `no_record`
    pub(super) no_record: Option<Text<Effect>>,
    /// `not_possible`
    pub(super) not_possible: Option<Text<Effect>>,
    /// `limited`
    pub(super) limited: Option<Text<Effect>>,
    /// `invalid`
    pub(super) invalid: Option<Text<Effect>>,
    /// `unavailable`
    pub(super) unavailable: Option<Text<Effect>>,
    /// Elements sealed to the channel, and nothing told beside the message.
    pub(super) sealed: Option<Text<Effect>>,
    /// Whether what yields an agreement must be confirmed by SMS in a later step, of which the first was permitted here.
    pub(super) confirmed_by_sms: Option<bool>,
    /// How long such a payment waits for all providers together; as long as `[inquiry]` says where absent.
    pub(super) deadline: Option<Time>,
}

/// `[agreements]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AgreementsFile {
    /// One that Hefu never saw.
    pub(super) unknown: Option<Text<Effect>>,
    /// One whose elements an outcome contradicted.
    pub(super) contradicted: Option<Text<Effect>>,
    /// One that was unbound, superseded, or declared invalid.
    pub(super) closed: Option<Text<Effect>>,
}

/// `[holds]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HoldsFile {
    /// How long a hold lasts where nothing settles it.
    pub(super) expiry: Option<Time>,
    /// How many new holds one bank at one channel may have within an hour before they pause; each process counts its own.
    pub(super) per_hour: Option<At<u32>>,
}

/// `[evidence]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EvidenceFile {
    /// How long a match is believed.
    #[serde(rename = "match")]
    pub(super) matched: Option<Time>,
    /// How long any other answer is believed.
    pub(super) negative: Option<Time>,
    /// `close_match`
    pub(super) close_match: Option<Time>,
    /// `no_match`
    pub(super) no_match: Option<Time>,
    /// `no_record`
    pub(super) no_record: Option<Time>,
    /// `not_possible`
    pub(super) not_possible: Option<Time>,
    /// `limited`
    pub(super) limited: Option<Time>,
    /// `invalid`
    pub(super) invalid: Option<Time>,
    /// By the source of the answer, as definitions of providers name it: `police`; `operator` is `operator:cmcc` too.
    pub(super) source: BTreeMap<At<String>, BelievedFile>,
    /// Whether a message of one merchant may use what is known by those of others.
    pub(super) shared: bool,
    /// Numbers of one and the same merchant, which may have one at every channel.
    pub(super) same_merchant: Vec<Vec<String>>,
}

/// `[batch]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BatchFile {
    /// A batch of which a row is refused: `refuse` it whole, or `annotate` the row and let it leave.
    pub(super) refused_rows: Option<At<Text<Effect>>>,
}
