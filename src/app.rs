//! Composition: a checked configuration becomes listeners, a service and an admin API. Binds everything before it serves anything.

pub mod gate;

use crate::admin::{Admin, Token, router};
use crate::config::{AdminAddress, ChannelMode, Config, InDoubt};
use crate::domain::clock::{Clock, Timestamp};
use crate::message::profile::RouteRule;
use crate::metrics::{Metrics, MetricsError};
use crate::provider::{Definition, Provider};
use crate::proxy::gate::{Route, Side};
use crate::proxy::upstream::{
    Invalid, OnDoubt, ServerName, Settings as UpstreamSettings, TlsSettings, Upstream,
};
use crate::proxy::{Edge, Limits};
use crate::route::Candidate;
use crate::service::verify::Flights;
use crate::service::{Binding, Channel, Entry as ProviderEntry, Service, Settings};
use crate::store::memory::{self, MemoryStore};
use gate::{Entry, ServiceGate, by_specificity};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinHandle;

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

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the time enters")]
    fn now(&self) -> Timestamp {
        let since =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Sockets bound and serving.
#[derive(Debug)]
pub struct Running {
    /// Where the core connects.
    pub core: SocketAddr,
    /// Where channels notify.
    pub notify: Option<SocketAddr>,
    /// Where the admin API is, if on TCP.
    pub admin: Option<SocketAddr>,
    /// The use cases, for those who run in the same process.
    pub service: Arc<Service>,
    drain: watch::Sender<bool>,
    state: Arc<Admin>,
    listeners: Vec<JoinHandle<()>>,
}

impl Running {
    /// Tells cores to go elsewhere, serves what they still send, and returns when the last connection is done.
    pub async fn drain(self) {
        self.state.ready.store(false, Ordering::Release);
        self.drain.send_replace(true);
        for listener in self.listeners {
            // A listener that panicked has nothing left to serve.
            let _ = listener.await;
        }
    }
}

/// Builds everything, binds every socket, then serves.
///
/// # Errors
/// [`StartError`]; nothing is served then.
pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
    let metrics = Arc::new(Metrics::new()?);
    let dump = config.dump();
    let channels = channels(&config);
    let service = Arc::new(service(&config, clock, metrics.clone())?);
    let gate = Arc::new(ServiceGate {
        routes: routes(&config)?,
        channels: channels
            .iter()
            .map(|channel| (channel.name().as_str().to_owned(), channel.clone()))
            .collect(),
        service: service.clone(),
        metrics,
    });
    let core = bind(config.listen.core).await?;
    let notify = match config.listen.notify {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let state = Arc::new(Admin {
        service: service.clone(),
        config: dump,
        channels: channels.iter().map(|channel| channel.name().clone()).collect(),
        token: Token::new(
            &config
                .listen
                .admin
                .as_ref()
                .map(|admin| String::from_utf8_lossy(admin.token.expose()))
                .unwrap_or_default(),
        ),
        ready: AtomicBool::new(true),
    });
    let admin = match &config.listen.admin {
        Some(admin) => serve_admin(&admin.address, state.clone()).await?,
        None => None,
    };
    let (drain, draining) = watch::channel(false);
    let edge = Arc::new(Edge::new(gate, limits(&config), draining));
    let mut running = Running {
        core: local(&core, config.listen.core),
        notify: notify
            .as_ref()
            .zip(config.listen.notify)
            .map(|(listener, asked)| local(listener, asked)),
        admin,
        service,
        drain,
        state,
        listeners: Vec::new(),
    };
    running.listeners.push(tokio::spawn(edge.clone().serve(Side::Core, core)));
    if let Some(notify) = notify {
        running.listeners.push(tokio::spawn(edge.serve(Side::Notify, notify)));
    }
    Ok(running)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Bind { address: address.to_string(), source })
}

fn local(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

/// The admin API lives as long as the process: it answers while the rest drains.
async fn serve_admin(
    address: &AdminAddress,
    state: Arc<Admin>,
) -> Result<Option<SocketAddr>, StartError> {
    match address {
        AdminAddress::Tcp(address) => {
            let listener = bind(*address).await?;
            let bound = local(&listener, *address);
            tokio::spawn(async move { axum::serve(listener, router(state)).await });
            Ok(Some(bound))
        }
        AdminAddress::Unix(path) => {
            // A socket that a dead process left would refuse the bind; nothing else is removed.
            let is_socket = std::fs::symlink_metadata(path)
                .is_ok_and(|metadata| metadata.file_type().is_socket());
            if is_socket {
                let _ = std::fs::remove_file(path);
            }
            let listener = UnixListener::bind(path).map_err(|source| StartError::Bind {
                address: path.display().to_string(),
                source,
            })?;
            tokio::spawn(async move { axum::serve(listener, router(state)).await });
            Ok(None)
        }
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        connections: config.limits.connections,
        head_bytes: config.limits.head,
        body_bytes: config.limits.body,
        idle: config.limits.idle,
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

fn service(
    config: &Config,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> Result<Service, StartError> {
    Ok(Service {
        policy: config.policy.clone(),
        settings: Settings {
            match_valid_for: config.evidence.matched,
            other_valid_for: config.evidence.negative,
            inquiry_deadline: config.inquiry.deadline,
            batch_deadline: config.inquiry.batch_deadline,
            hold_for: config.holds.expiry,
            holds_per_hour: usize::try_from(config.holds.per_hour).unwrap_or(usize::MAX),
            ..Settings::default()
        },
        providers: providers(config)?,
        fingerprinter: config.fingerprinter.clone(),
        store: Arc::new(MemoryStore::new(memory::Limits::default())),
        metrics,
        clock,
        entropy: rand::random::<u128>,
        flights: Flights::default(),
    })
}

fn routes(config: &Config) -> Result<Vec<Entry>, StartError> {
    let mut routes = Vec::new();
    for (name, channel) in &config.channels {
        let upstream = Arc::new(upstream(name.as_str(), &channel.upstreams, channel)?);
        for rule in &channel.profile.routes {
            let route = match channel.mode {
                ChannelMode::Uninspected => Route::Streamed(upstream.clone()),
                ChannelMode::Observe | ChannelMode::Enforce(_) => {
                    Route::Inspected(upstream.clone())
                }
            };
            routes.push(Entry { side: Side::Core, rule: rule.clone(), route });
        }
        if let (Some(notify), Some(core)) = (&channel.notify, &channel.notify_core) {
            let core =
                Arc::new(self::upstream(name.as_str(), std::slice::from_ref(core), channel)?);
            let rule = RouteRule { host: None, path: notify.path.clone() };
            routes.push(Entry { side: Side::Notify, rule, route: Route::Streamed(core) });
        }
    }
    for passthrough in &config.passthrough {
        let patience = crate::config::Patience::default();
        let settings = settings(
            "passthrough",
            std::slice::from_ref(&passthrough.upstream),
            &patience,
            OnDoubt::Close,
        );
        let rule = RouteRule { host: passthrough.host.clone(), path: passthrough.path.clone() };
        routes.push(Entry {
            side: Side::Core,
            rule,
            route: Route::Streamed(Arc::new(Upstream::new(settings)?)),
        });
    }
    by_specificity(&mut routes);
    Ok(routes)
}

fn upstream(
    name: &str,
    addresses: &[crate::config::Upstream],
    channel: &crate::config::Channel,
) -> Result<Upstream, Invalid> {
    let on_doubt = match channel.in_doubt {
        InDoubt::Close => OnDoubt::Close,
        InDoubt::Problem => OnDoubt::Problem,
    };
    Upstream::new(settings(name, addresses, &channel.patience, on_doubt))
}

fn settings(
    name: &str,
    addresses: &[crate::config::Upstream],
    patience: &crate::config::Patience,
    on_doubt: OnDoubt,
) -> UpstreamSettings {
    let tls = addresses.first().and_then(|first| first.tls.as_ref()).and_then(|tls| {
        Some(TlsSettings {
            server_name: ServerName::new(&tls.server_name)?,
            authorities: tls.authorities.clone(),
            client: tls.client.as_ref().map(|client| (client.chain.clone(), client.key.clone())),
        })
    });
    UpstreamSettings {
        name: name.to_owned(),
        addresses: addresses.iter().map(address).collect(),
        tls,
        connect_timeout: patience.connect,
        answer_timeout: patience.answer,
        idle_timeout: patience.idle,
        answer_bytes_max: patience.answer_max,
        on_doubt,
    }
}

/// `host:port`, with brackets around an IPv6 address.
fn address(upstream: &crate::config::Upstream) -> String {
    let (host, port) = (&upstream.host, upstream.port);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn providers(config: &Config) -> Result<Vec<ProviderEntry>, StartError> {
    let mut entries = Vec::new();
    for (name, settings) in config.providers.iter().filter(|(_, provider)| provider.enabled) {
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
        let provider = definition.compile(settings.deployment(name.clone())).map_err(refused)?;
        let capability = provider.capability();
        let candidate = Candidate {
            sets: capability.sets.clone(),
            account_kinds: capability.account_kinds.clone(),
            priority: settings.priority,
        };
        entries.push(ProviderEntry { provider: Arc::new(provider), candidate });
    }
    Ok(entries)
}
