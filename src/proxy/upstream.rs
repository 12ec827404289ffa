//! Who a route leads to: addresses, TLS, and limits. A channel, or the core behind a notify route.

use arc_swap::ArcSwap;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use pingora_core::protocols::tls::ALPN;
use pingora_core::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy, PeerOptions};
use pingora_core::utils::tls::CertKey;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
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
    /// Who signs that certificate; the system's authorities where empty.
    pub authorities: Vec<X509>,
    /// Our certificate with its chain, and its key.
    pub client: Option<(Vec<X509>, PKey<Private>)>,
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

/// One place where an upstream is.
#[derive(Clone, Debug)]
pub struct Address {
    /// `host:port`.
    pub place: String,
    /// Absent for plain HTTP.
    pub tls: Option<TlsSettings>,
}

/// The settings of one upstream.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The channel's name.
    pub name: String,
    /// Tried in order, and only while nothing was sent.
    pub addresses: Vec<Address>,
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
    /// Whether it speaks HTTP/2: agreed on under TLS, known beforehand without.
    pub http2: bool,
}

/// Settings that are of no use.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// There is nobody to connect to.
    #[error("upstream `{0}` has no address")]
    NoAddress(String),
    /// Nothing would be verified.
    #[error("`{0}` has TLS without a server name")]
    NoServerName(String),
    /// A certificate or key cannot be used.
    #[error("upstream `{0}` has a certificate or key that cannot be used")]
    Certificate(String, #[source] ErrorStack),
}

/// An upstream, ready to be connected to.
#[derive(Debug)]
pub struct Upstream {
    settings: Settings,
    /// One for each address, in their order.
    templates: Vec<Template>,
    /// The peers that the addresses last resolved to, for finding pooled connections without asking DNS again.
    resolved: ArcSwap<Vec<HttpPeer>>,
}

/// What all peers of one address have in common.
#[derive(Debug)]
struct Template {
    place: String,
    secure: bool,
    server_name: String,
    client: Option<Arc<CertKey>>,
    ca: Option<Arc<Box<[X509]>>>,
    group: u64,
}

impl Upstream {
    /// Makes the peers, as far as the addresses need no resolving.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn new(settings: Settings) -> Result<Self, Invalid> {
        if settings.addresses.is_empty() {
            return Err(Invalid::NoAddress(settings.name));
        }
        let templates = settings.addresses.iter().map(|at| Template::new(&settings.name, at));
        let templates: Vec<Template> = templates
            .collect::<Result<_, _>>()
            .map_err(|error| Invalid::Certificate(settings.name.clone(), error))?;
        let literal = templates.iter().map(|template| {
            let address = template.place.parse().ok()?;
            Some(peer(&settings, template, address))
        });
        let literal: Option<Vec<HttpPeer>> = literal.collect();
        let resolved = ArcSwap::from_pointee(literal.unwrap_or_default());
        Ok(Self { settings, templates, resolved })
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
        let mut peers = Vec::with_capacity(self.templates.len());
        for template in &self.templates {
            let found = tokio::time::timeout(
                self.settings.connect_timeout,
                tokio::net::lookup_host(&template.place),
            )
            .await;
            if let Ok(Ok(found)) = found {
                peers.extend(found.map(|address| peer(&self.settings, template, address)));
            }
        }
        let peers = Arc::new(peers);
        self.resolved.store(Arc::clone(&peers));
        peers
    }
}

fn peer(settings: &Settings, template: &Template, address: SocketAddr) -> HttpPeer {
    let mut peer = HttpPeer::new(address, template.secure, template.server_name.clone());
    peer.client_cert_key.clone_from(&template.client);
    peer.group_key = template.group;
    let mut options = PeerOptions::new();
    options.alpn = if settings.http2 { ALPN::H2 } else { ALPN::H1 };
    options.ca.clone_from(&template.ca);
    options.connection_timeout = Some(settings.connect_timeout);
    options.total_connection_timeout = Some(settings.connect_timeout);
    options.read_timeout = Some(settings.answer_timeout);
    options.write_timeout = Some(settings.answer_timeout);
    options.idle_timeout = Some(settings.idle_timeout);
    options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
    peer.options = options;
    peer
}

impl Template {
    /// The pool must never lend a connection that was made under another authority or certificate: they are hashed into
    /// the pool's key, which by itself knows neither the authority nor more of a certificate than its serial.
    fn new(name: &str, address: &Address) -> Result<Self, ErrorStack> {
        let mut group = DefaultHasher::new();
        name.hash(&mut group);
        let mut template = Self {
            place: address.place.clone(),
            secure: address.tls.is_some(),
            server_name: String::new(),
            client: None,
            ca: None,
            group: 0,
        };
        if let Some(tls) = &address.tls {
            template.server_name.clone_from(&tls.server_name.0);
            for certificate in &tls.authorities {
                certificate.to_der()?.hash(&mut group);
            }
            if !tls.authorities.is_empty() {
                template.ca = Some(Arc::new(tls.authorities.clone().into_boxed_slice()));
            }
            if let Some((chain, key)) = &tls.client {
                for certificate in chain {
                    certificate.to_der()?.hash(&mut group);
                }
                key.public_key_to_der()?.hash(&mut group);
                template.client = Some(Arc::new(CertKey::new(chain.clone(), key.clone())));
            }
        }
        template.group = group.finish();
        Ok(template)
    }
}
