//! Who a route leads to: addresses, TLS, and limits. A channel, or the core behind a notify route.

use super::pool::Key;
use arc_swap::ArcSwap;
use futures::future::{BoxFuture, join_all};
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use pingora_core::protocols::tls::ALPN;
use pingora_core::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy, Peer as _, PeerOptions};
use pingora_core::utils::tls::CertKey;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

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
    resolved: ArcSwap<Vec<Resolved>>,
    lookup: Lookup,
}

/// A peer, and the number of the address that it was resolved from.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) at: usize,
    /// Which kept connections are as good as a new one.
    pub(super) key: Key,
    pub(super) peer: HttpPeer,
}

/// Asks DNS for `host:port`.
type Lookup = fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

fn system(place: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
    Box::pin(async move { Ok(tokio::net::lookup_host(place).await?.collect()) })
}

/// What all peers of one address have in common.
#[derive(Debug)]
struct Template {
    place: String,
    /// Whether DNS says where it is.
    is_name: bool,
    secure: bool,
    server_name: String,
    client: Option<Arc<CertKey>>,
    ca: Option<Arc<Box<[X509]>>>,
    group: u64,
    /// What it resolved to when that last succeeded.
    last: ArcSwap<Vec<SocketAddr>>,
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
        let upstream = Self { settings, templates, resolved: ArcSwap::default(), lookup: system };
        if !upstream.needs_dns() {
            upstream.resolved.store(Arc::new(upstream.peers()));
        }
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
    pub(super) fn known_peers(&self) -> Arc<Vec<Resolved>> {
        self.resolved.load_full()
    }

    /// Resolves the addresses, in order; one that does not resolve now is where it last was.
    pub(super) async fn resolve(&self) -> Arc<Vec<Resolved>> {
        if self.needs_dns() {
            let patience = self.settings.connect_timeout;
            join_all(self.templates.iter().filter(|template| template.is_name).map(
                async |template| {
                    let found = timeout(patience, (self.lookup)(template.place.clone())).await;
                    match found {
                        Ok(Ok(found)) if !found.is_empty() => template.last.store(Arc::new(found)),
                        Ok(_) | Err(_) => {
                            tracing::warn!(
                                upstream = self.name(),
                                place = template.place,
                                "no address"
                            );
                        }
                    }
                },
            ))
            .await;
            self.resolved.store(Arc::new(self.peers()));
        }
        self.known_peers()
    }

    fn peers(&self) -> Vec<Resolved> {
        let peers = self.templates.iter().enumerate().flat_map(|(at, template)| {
            let last = template.last.load_full();
            let made = |address: &SocketAddr| {
                let peer = peer(&self.settings, template, *address);
                Resolved { at, key: Key { address: *address, how: peer.reuse_hash() }, peer }
            };
            last.iter().map(made).collect::<Vec<_>>()
        });
        peers.collect()
    }

    fn needs_dns(&self) -> bool {
        self.templates.iter().any(|template| template.is_name)
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
        let literal: Option<SocketAddr> = address.place.parse().ok();
        let mut template = Self {
            place: address.place.clone(),
            is_name: literal.is_none(),
            secure: address.tls.is_some(),
            server_name: String::new(),
            client: None,
            ca: None,
            group: 0,
            last: ArcSwap::from_pointee(literal.into_iter().collect()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// What DNS says of each name, in turn; then nothing any more.
    static SAYS: Mutex<Vec<Said>> = Mutex::new(Vec::new());

    /// A name, and its addresses or why there are none.
    type Said = (&'static str, io::Result<&'static [&'static str]>);

    fn says(answers: Vec<Said>) {
        SAYS.lock().unwrap().extend(answers);
    }

    fn scripted(place: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let mut says = SAYS.lock().unwrap();
        let at = says.iter().position(|(name, _)| *name == place);
        let answer = at.map_or_else(|| Err(io::ErrorKind::TimedOut.into()), |at| says.remove(at).1);
        let found = answer.map(|all| all.iter().map(|address| address.parse().unwrap()).collect());
        Box::pin(std::future::ready(found))
    }

    fn upstream(places: &[&str]) -> Arc<Upstream> {
        let addresses = places.iter().map(|at| Address { place: (*at).to_owned(), tls: None });
        let settings = Settings {
            name: "bank".to_owned(),
            addresses: addresses.collect(),
            connect_timeout: Duration::from_secs(1),
            answer_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            answer_bytes_max: 0,
            on_doubt: OnDoubt::Close,
            http2: false,
        };
        Arc::new(Upstream { lookup: scripted, ..Upstream::new(settings).unwrap() })
    }

    fn places(peers: &[Resolved]) -> Vec<String> {
        peers.iter().map(|Resolved { peer, .. }| peer.address().to_string()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_lookup_keeps_the_addresses_and_a_later_one_moves_them() {
        let gone = || Err(io::ErrorKind::NotFound.into());
        let bank = upstream(&["a:1", "b:2", "127.0.0.9:3"]);
        assert!(bank.known_peers().is_empty());
        let check = async |answers, expected: &[&str]| {
            says(answers);
            assert_eq!(places(&bank.resolve().await), expected);
            assert_eq!(places(&bank.known_peers()), expected);
        };
        check(vec![], &["127.0.0.9:3"]).await;
        let both: &[&str] = &["10.0.0.1:1", "10.0.0.2:1"];
        check(
            vec![("a:1", Ok(both)), ("b:2", gone())],
            &["10.0.0.1:1", "10.0.0.2:1", "127.0.0.9:3"],
        )
        .await;
        check(
            vec![("a:1", gone()), ("b:2", Ok(&["10.0.0.3:2"]))],
            &["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:2", "127.0.0.9:3"],
        )
        .await;
        check(
            vec![("a:1", Ok(&["10.0.0.4:1"])), ("b:2", Ok(&[]))],
            &["10.0.0.4:1", "10.0.0.3:2", "127.0.0.9:3"],
        )
        .await;
        check(vec![], &["10.0.0.4:1", "10.0.0.3:2", "127.0.0.9:3"]).await;
    }
}
