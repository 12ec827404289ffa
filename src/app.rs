//! Composition: a checked configuration becomes listeners, a service and an admin API. Binds everything before it serves anything.

mod access;
pub mod assess;
pub mod backup;
mod clients;
mod clock;
pub mod doctor;
pub mod gate;
pub mod handover;
mod listener;
pub mod lists;
mod managed;
pub mod noted;
mod reload;
mod routes;
pub mod rules;
mod running;
mod shown;
pub mod statement;
mod traces;
pub mod usage;
mod webhooks;

pub use clock::Unbelievable;
pub use reload::ReloadError;
pub use running::{Running, start, start_on};

use crate::admin::Admin;
use crate::clients::Clients;
use crate::config::{self, ChannelMode, Config, Storage};
use crate::domain::clock::Clock as _;
use crate::domain::id::ProviderName;
use crate::metrics::{Metrics, MetricsError};
use crate::provider::{Definition, HttpProvider, Provider};
use crate::proxy::upstream::Invalid;
use crate::proxy::{Doors, Limits};
use crate::route::Candidate;
use crate::route::budget::Budget;
use crate::service::afterwards::Sample;
use crate::service::attempts::Purse;
use crate::service::counts::Counts;
use crate::service::health::Watch;
use crate::service::routing::Routing;
use crate::service::validity::{Kinds, Sharing, Validity};
use crate::service::verify::Flights;
use crate::service::{Binding, Channel, Entry as ProviderEntry, Service, Settings};
use crate::store::Store;
use crate::store::keys::{self, KeysError};
use crate::store::memory::{self, MemoryStore};
use crate::store::postgres::{self, Postgres};
use crate::store::segment::SegmentError;
use crate::store::sqlite;
use crate::store::writer::Event;
use crate::telemetry::spans::Unusable;
use access::Access;
use clock::Steady;
use gate::ServiceGate;
use managed::InForce;
use reload::Fixed;
use shown::{admin_door, books, callers, door, promises, shown};
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use traces::Traces;

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A provider's definition does not compile.
    #[error("provider `{name}`: {problems}")]
    Provider {
        /// Which.
        name: String,
        /// What is wrong.
        problems: String,
    },
    /// A listener's certificate or key cannot be used.
    #[error("a listener's certificate or key cannot be used")]
    Door(#[source] openssl::error::ErrorStack),
    /// The access log cannot be written.
    #[error(transparent)]
    AccessLog(#[from] access::Unwritable),
    /// The collector cannot be sent to.
    #[error(transparent)]
    Spans(#[from] Unusable),
    /// The store cannot be opened.
    #[error(transparent)]
    File(#[from] sqlite::OpenError),
    /// What it keeps cannot be read.
    #[error(transparent)]
    LoadFile(#[from] memory::LoadError<SegmentError<sqlite::Error>>),
    /// The shared store cannot be opened.
    #[error(transparent)]
    Shared(#[from] postgres::OpenError),
    /// What it keeps cannot be read.
    #[error(transparent)]
    LoadShared(#[from] memory::LoadError<postgres::Error>),
    /// It was written under other keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// It was written at another time.
    #[error(transparent)]
    Clock(#[from] Unbelievable),
    /// Something panicked that must not.
    #[error("the store's thread panicked")]
    Panicked,
    /// What the admin API put in force does not go with the files.
    #[error("what was put in force through the admin API does not go with the files: {0}")]
    Managed(crate::config::Problems),
    /// What the admin API put in force cannot be read.
    #[error("what was put in force through the admin API cannot be read: {0}")]
    Unread(#[from] crate::store::journal::StoreLost),
    /// An upstream is of no use.
    #[error(transparent)]
    Upstream(#[from] Invalid),
    /// An address cannot be bound.
    #[error("cannot listen on `{address}`: {source}")]
    Bind {
        /// Which.
        address: String,
        /// Why.
        source: io::Error,
    },
}

/// What outlives a reload: all that was learned and counted.
struct Lasting {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    clock: Arc<Steady>,
    flights: Flights,
    access: Access,
    traces: Traces,
    counts: Arc<Counts>,
}

impl Lasting {
    fn new(config: &Config) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new()?);
        let access = Access::new(metrics.clone());
        access.direct(config.access_log.as_ref())?;
        let traces = Traces::new(metrics.clone());
        traces.direct(config.trace.as_ref())?;
        let counts = Arc::new(Counts::default());
        let store = store(config, metrics.clone(), &counts)?;
        let system: fn() -> Duration = clock::system;
        let clock = Steady::new(system, store.newest(), config.keep.payments)?;
        Ok(Self {
            store: Arc::new(store),
            metrics,
            clock: Arc::new(clock),
            flights: Flights::default(),
            access,
            traces,
            counts,
        })
    }
}

fn store(
    config: &Config,
    metrics: Arc<Metrics>,
    counts: &Arc<Counts>,
) -> Result<MemoryStore, StartError> {
    let book = rules::rulebook(config, counts);
    let limits =
        memory::Limits { evidence: config.evidence_in_memory, ..memory::Limits::default() };
    let begun = Instant::now();
    let tell = move |event| match event {
        Event::Committed(took) => metrics.on_commit(took),
        Event::Logged(bytes) => metrics.on_logged(bytes),
        Event::Damaged => metrics.on_damage(),
    };
    let store = match &config.store {
        Storage::Memory => {
            tracing::warn!("no `[store]`: what is learned is gone with the process");
            return Ok(MemoryStore::new(limits));
        }
        Storage::File(path) => {
            let mut backend = sqlite::open(path)?;
            keys::check(&mut backend, &config.keys)?;
            rules::recount(&mut backend, book.as_ref(), clock::system())?;
            MemoryStore::open(limits, backend, tell)?
        }
        // Its client has a runtime of its own, which must not be driven on a thread of ours.
        Storage::Postgres { config: place, authorities } => std::thread::scope(|scope| {
            let opening = scope.spawn(|| {
                let mut backend = Postgres::open(place, authorities)?;
                let theirs = backend.time().map_err(postgres::OpenError::Database)?;
                clock::near(theirs, clock::system())?;
                keys::check(&mut backend, &config.keys)?;
                rules::recount(&mut backend, book.as_ref(), clock::system())?;
                Ok(MemoryStore::open(limits, backend, tell)?)
            });
            opening.join().unwrap_or_else(|_| Err(StartError::Panicked))
        })?,
    };
    tracing::info!(place = %config.store, took = ?begun.elapsed(), "the store is open");
    Ok(store)
}

/// What one configuration yields, and a reload replaces as a whole.
struct Generation {
    gate: Arc<ServiceGate>,
    limits: Limits,
    doors: Doors,
    admin: Arc<Admin>,
    clients: Option<Arc<Clients>>,
    fixed: Fixed,
}

impl Generation {
    fn new(files: &Arc<Config>, in_force: &InForce, lasting: &Lasting) -> Result<Self, StartError> {
        let config = in_force.over(files, lasting.clock.now()).map_err(StartError::Managed)?;
        let config = &config;
        let channels = channels(config);
        shown::expect(&channels, &lasting.metrics);
        let service = Arc::new(service(config, lasting)?);
        let admin = Admin {
            service: service.clone(),
            config: config.dump(),
            door: admin_door(config)?,
            callers: callers(config),
            books: books(files, in_force, config),
            managed: in_force.managed().clone(),
            shown: shown(files, config),
            two_persons: config.managing.two_persons,
            channels: channels.iter().map(|channel| channel.name().clone()).collect(),
            inspected: channels.iter().map(|it| (it.name().clone(), it.clone())).collect(),
            promises: promises(config),
        };
        let clients = clients::clients(config, &service)?;
        let gate = ServiceGate {
            routes: routes::routes(config)?,
            channels: channels
                .into_iter()
                .map(|channel| (channel.name().as_str().to_owned(), channel))
                .collect(),
            service,
            metrics: lasting.metrics.clone(),
            access: lasting.access.clone(),
            traces: lasting.traces.clone(),
            secure: [config.listen.core_tls.is_some(), config.listen.notify_tls.is_some()],
        };
        Ok(Self {
            gate: Arc::new(gate),
            limits: limits(config),
            doors: Doors {
                core: config.listen.core_tls.as_ref().map(door).transpose()?,
                notify: config.listen.notify_tls.as_ref().map(door).transpose()?,
            },
            admin: Arc::new(admin),
            clients,
            fixed: Fixed::new(config),
        })
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        connections: config.limits.connections,
        // As many as there may be messages at once: whatever is kept beyond that is closed only to be opened again.
        idle_upstream_connections: config.limits.connections,
        head_bytes: config.limits.head,
        body_bytes: config.limits.body,
        idle: config.limits.idle,
        drain_idle: config.drain.idle,
        head: config.limits.head_deadline,
        body: config.limits.body_deadline,
        ..Limits::default()
    }
}

fn channels(config: &Config) -> Vec<Arc<Channel>> {
    let inspected = config.channels.values().filter_map(|channel| {
        let binding = match channel.mode {
            ChannelMode::Uninspected => return None,
            ChannelMode::Observe => Binding::Observe,
            ChannelMode::Enforce(percent) => Binding::Enforce(percent),
        };
        // Configuration allows plain HTTP on loopback only, so every answer is on a connection of the channel's own.
        Some(Arc::new(Channel { profile: channel.profile.clone(), binding }))
    });
    inspected.collect()
}

fn service(config: &Config, lasting: &Lasting) -> Result<Service, StartError> {
    Ok(Service {
        policy: config.policy.clone(),
        settings: Settings {
            match_valid_for: config.evidence.matched,
            other_valid_for: config.evidence.negative,
            inquiry_deadline: config.inquiry.deadline,
            batch_deadline: config.inquiry.batch_deadline,
            hold_for: config.holds.expiry,
            holds_per_hour: usize::try_from(config.holds.per_hour).unwrap_or(usize::MAX),
            tells: config.webhook.is_some(),
            routing: Routing {
                strategy: config.routing.strategy,
                lower_below: config.routing.lower_below,
            },
            ..Settings::default()
        },
        providers: providers(config)?,
        keys: config.keys.clone(),
        store: lasting.store.clone(),
        metrics: lasting.metrics.clone(),
        clock: lasting.clock.clone(),
        entropy: rand::random::<u128>,
        flights: lasting.flights.clone(),
        retries: Budget::new(config.inquiry.retries_percent),
        validity: Validity {
            kinds: kinds(&config.evidence.kinds),
            sources: config
                .evidence
                .sources
                .iter()
                .map(|(name, of)| (name.clone(), kinds(of)))
                .collect(),
        },
        sharing: Sharing {
            all: config.evidence.shared,
            same: config.evidence.same_merchant.clone(),
        },
        attempts: config.attempts,
        purse: Purse::new(config.merchant_cap),
        observe: Sample { percent: config.observe.sample_percent, cap: config.observe.cap },
        rules: rules::rulebook(config, &lasting.counts),
        tiers: rules::tiers(config),
    })
}

const fn kinds(kinds: &config::Kinds) -> Kinds {
    Kinds {
        matched: kinds.matched,
        close_match: kinds.close_match,
        no_match: kinds.no_match,
        no_record: kinds.no_record,
        not_possible: kinds.not_possible,
        limited: kinds.limited,
        invalid: kinds.invalid,
    }
}

/// A provider, as it is configured.
fn compiled(name: &ProviderName, settings: &config::Provider) -> Result<HttpProvider, StartError> {
    let refused = |problems: Vec<crate::provider::Problem>| StartError::Provider {
        name: name.to_string(),
        problems: problems
            .into_iter()
            .map(|problem| problem.message)
            .collect::<Vec<_>>()
            .join("; "),
    };
    let definition =
        Definition::parse(&settings.definition).map_err(|problem| refused(vec![problem]))?;
    definition.compile(settings.deployment(name.clone())).map_err(refused)
}

fn providers(config: &Config) -> Result<Vec<ProviderEntry>, StartError> {
    let mut entries = Vec::new();
    for (name, settings) in config.providers.iter().filter(|(_, provider)| provider.enabled) {
        let provider = compiled(name, settings)?;
        let capability = provider.capability();
        let candidate = Candidate {
            road: capability.road.clone(),
            source: capability.source.clone(),
            asks: capability.kind,
            sets: capability.sets.clone(),
            account_kinds: capability.account_kinds.clone(),
            id_types: capability.id_types.clone(),
            bins: settings.bins.clone(),
            scenarios: settings.scenarios.clone(),
            priority: settings.priority,
            weight: settings.weight,
        };
        let watch =
            Arc::new(Watch::new(settings.concurrency.try_into().unwrap_or(NonZeroUsize::MAX)));
        let (prices, shadow) = (settings.prices.clone(), settings.shadow);
        let provider = Arc::new(provider);
        entries.push(ProviderEntry {
            provider,
            candidate,
            watch,
            prices,
            cap: settings.cap,
            shadow,
        });
    }
    Ok(entries)
}
