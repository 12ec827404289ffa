//! Who a route leads to: addresses, TLS, and limits. A channel, or the core behind a notify route.

use arc_swap::ArcSwap;
use openssl::pkey::PKey;
use openssl::x509::X509;
use pingora_core::protocols::tls::ALPN;
use pingora_core::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy, PeerOptions};
use pingora_core::utils::tls::CertKey;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What the core gets when a message may have reached the channel and nothing can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDoubt {
    /// A closed connection, as the channel itself would have left it.
    #[default]
    Close,
    /// `504` with `forwarded: true`.
    Problem,
}

/// The settings of TLS towards an upstream.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The name that the upstream's certificate must carry.
    pub server_name: ServerName,
    /// PEM: who signs that certificate; the system's authorities where absent.
    pub ca_file: Option<PathBuf>,
    /// PEM: our certificate with its chain, and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A name to verify a certificate by.
///
/// INVARIANT: not empty. Pingora takes an empty name as leave to verify nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerName(String);

impl ServerName {
    /// `None` where the name is empty.
    pub fn new(name: &str) -> Option<Self> {
        (!name.trim().is_empty()).then(|| Self(name.to_owned()))
    }
}

/// The settings of one upstream.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The channel's name.
    pub name: String,
    /// `host:port`, tried in order, and only while nothing was sent.
    pub addresses: Vec<String>,
    /// Absent for plain HTTP.
    pub tls: Option<TlsSettings>,
    /// For one address, TLS handshake included.
    pub connect_timeout: Duration,
    /// From the first byte sent to the last byte of the answer.
    pub answer_timeout: Duration,
    /// How long a connection is kept for the next message; below the channel's own.
    pub idle_timeout: Duration,
    /// A larger answer is streamed on, unread.
    pub answer_bytes_max: usize,
    /// What the core gets when nothing can be read.
    pub on_doubt: OnDoubt,
}

/// Settings that are of no use.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// There is nobody to connect to.
    #[error("upstream `{0}` has no address")]
    NoAddress(String),
    /// A file cannot be read.
    #[error("cannot read `{0}`")]
    File(PathBuf, #[source] std::io::Error),
    /// A file holds no certificate or key.
    #[error("no certificate or key in `{0}`")]
    Pem(PathBuf),
}

/// An upstream, ready to be connected to.
#[derive(Debug)]
pub struct Upstream {
    settings: Settings,
    template: Template,
    /// The peers that the addresses last resolved to, for finding pooled connections without asking DNS again.
    resolved: ArcSwap<Vec<HttpPeer>>,
}

/// What all peers of an upstream have in common.
#[derive(Debug)]
struct Template {
    server_name: String,
    client: Option<Arc<CertKey>>,
    ca: Option<Arc<Box<[X509]>>>,
    group: u64,
}

impl Upstream {
    /// Loads the certificates.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn new(settings: Settings) -> Result<Self, Invalid> {
        if settings.addresses.is_empty() {
            return Err(Invalid::NoAddress(settings.name));
        }
        let template = Template::load(&settings)?;
        let literal: Option<Vec<SocketAddr>> =
            settings.addresses.iter().map(|address| address.parse().ok()).collect();
        let mut upstream = Self { settings, template, resolved: ArcSwap::default() };
        let peers =
            literal.unwrap_or_default().into_iter().map(|address| upstream.peer(address)).collect();
        upstream.resolved = ArcSwap::from_pointee(peers);
        Ok(upstream)
    }

    /// The channel's name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Its settings.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The peers as last resolved, in order.
    pub(super) fn known_peers(&self) -> Arc<Vec<HttpPeer>> {
        self.resolved.load_full()
    }

    /// Resolves the addresses, in order; one that does not resolve is left out.
    pub(super) async fn resolve(&self) -> Arc<Vec<HttpPeer>> {
        let mut peers = Vec::with_capacity(self.settings.addresses.len());
        for address in &self.settings.addresses {
            let found = tokio::time::timeout(
                self.settings.connect_timeout,
                tokio::net::lookup_host(address),
            )
            .await;
            if let Ok(Ok(found)) = found {
                peers.extend(found.map(|address| self.peer(address)));
            }
        }
        let peers = Arc::new(peers);
        self.resolved.store(Arc::clone(&peers));
        peers
    }

    fn peer(&self, address: SocketAddr) -> HttpPeer {
        let settings = &self.settings;
        let mut peer =
            HttpPeer::new(address, settings.tls.is_some(), self.template.server_name.clone());
        peer.client_cert_key.clone_from(&self.template.client);
        peer.group_key = self.template.group;
        let mut options = PeerOptions::new();
        options.alpn = ALPN::H1;
        options.ca.clone_from(&self.template.ca);
        options.connection_timeout = Some(settings.connect_timeout);
        options.total_connection_timeout = Some(settings.connect_timeout);
        options.read_timeout = Some(settings.answer_timeout);
        options.write_timeout = Some(settings.answer_timeout);
        options.idle_timeout = Some(settings.idle_timeout);
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
        peer.options = options;
        peer
    }
}

impl Template {
    fn load(settings: &Settings) -> Result<Self, Invalid> {
        let mut group = DefaultHasher::new();
        settings.name.hash(&mut group);
        let Some(tls) = &settings.tls else {
            return Ok(Self {
                server_name: String::new(),
                client: None,
                ca: None,
                group: group.finish(),
            });
        };
        let ca = match &tls.ca_file {
            None => None,
            Some(file) => Some(Arc::new(certificates(file, &mut group)?.into_boxed_slice())),
        };
        let client = match &tls.client {
            None => None,
            Some((chain, key_file)) => {
                let chain = certificates(chain, &mut group)?;
                let pem = read(key_file, &mut group)?;
                let key =
                    PKey::private_key_from_pem(&pem).map_err(|_| Invalid::Pem(key_file.clone()))?;
                Some(Arc::new(CertKey::new(chain, key)))
            }
        };
        Ok(Self { server_name: tls.server_name.0.clone(), client, ca, group: group.finish() })
    }
}

/// The pool must never lend a connection that was made under another authority or certificate: their bytes are hashed
/// into the pool's key, which by itself knows neither the authority nor more of a certificate than its serial.
fn read(file: &Path, group: &mut DefaultHasher) -> Result<Vec<u8>, Invalid> {
    let pem = std::fs::read(file).map_err(|error| Invalid::File(file.to_owned(), error))?;
    pem.hash(group);
    Ok(pem)
}

fn certificates(file: &Path, group: &mut DefaultHasher) -> Result<Vec<X509>, Invalid> {
    let stack = X509::stack_from_pem(&read(file, group)?).unwrap_or_default();
    if stack.is_empty() { Err(Invalid::Pem(file.to_owned())) } else { Ok(stack) }
}
