//! The edge: connections of the core and of the channels, judged by a [`Gate`] and served with Pingora.
//!
//! A request head is read strictly by ourselves ([`head`]) before anything else looks at it. A request on an inspected
//! route is then read whole, judged, and exchanged with the channel in one write and one answer. Anything else streams
//! through, piece by piece. Neither passes Pingora's proxy filters, which forward the head before the body was seen, and read
//! heads again that were read strictly before. Upstream connections and their TLS are Pingora's for
//! both; those that wait for the next message are kept by a pool of our own.

mod answer;
mod chunked;
mod connection;
mod exchange;
pub mod finished;
mod forward;
pub mod gate;
pub mod head;
mod http2;
pub mod path;
mod pool;
pub mod refuse;
mod streamed;
pub mod upstream;
mod wire;

use arc_swap::ArcSwap;
use exchange::Connector;
use gate::{Gate, Side};
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{AlpnError, SslAcceptor, SslMethod, SslVerifyMode, select_next_proto};
use openssl::x509::X509;
use pingora_core::protocols::l4::stream::Stream;
use std::fmt;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How long accepting pauses when the system refuses, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What one connection, and all of them, may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections per listener; more wait in the system's backlog.
    pub connections: usize,
    /// Idle connections kept to upstreams.
    pub idle_upstream_connections: usize,
    /// One request head.
    pub head_bytes: usize,
    /// One request body on an inspected route.
    pub body_bytes: usize,
    /// Without a request.
    pub idle: Duration,
    /// Without a request while draining.
    pub drain_idle: Duration,
    /// From the first byte of a head to its last.
    pub head: Duration,
    /// From the head to the last byte of the body.
    pub body: Duration,
    /// For the core to take an answer.
    pub write: Duration,
    /// For one streamed request with its answer.
    pub streamed: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            idle_upstream_connections: 512,
            head_bytes: 16 * 1024,
            body_bytes: 1024 * 1024,
            idle: Duration::from_secs(75),
            drain_idle: Duration::from_secs(30),
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
            streamed: Duration::from_mins(10),
        }
    }
}

/// TLS towards those who connect; plain where absent.
#[derive(Clone, Default)]
pub struct Doors {
    /// On the core's listener.
    pub core: Option<Arc<SslAcceptor>>,
    /// On the channels' listener.
    pub notify: Option<Arc<SslAcceptor>>,
}

/// Makes a listener's TLS: 1.2 at least, HTTP/2 and HTTP/1.1 (RFC 7301), and certificates of `clients` where there are any.
///
/// # Errors
/// Where the certificate, the key or an authority cannot be used.
pub fn door(
    chain: &[X509],
    key: &PKey<Private>,
    clients: &[X509],
) -> Result<Arc<SslAcceptor>, ErrorStack> {
    door_for(chain, key, clients, b"\x02h2\x08http/1.1")
}

/// The same for those who speak other protocols, the preferred one first.
///
/// # Errors
/// Where they cannot be used.
pub fn door_for(
    chain: &[X509],
    key: &PKey<Private>,
    clients: &[X509],
    protocols: &'static [u8],
) -> Result<Arc<SslAcceptor>, ErrorStack> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
    builder.set_private_key(key)?;
    let mut chain = chain.iter();
    if let Some(own) = chain.next() {
        builder.set_certificate(own)?;
    }
    for link in chain {
        builder.add_extra_chain_cert(link.clone())?;
    }
    for authority in clients {
        builder.cert_store_mut().add_cert(authority.clone())?;
        builder.add_client_ca(authority)?;
    }
    if !clients.is_empty() {
        builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    builder.set_alpn_select_callback(move |_, offered| {
        select_next_proto(protocols, offered).ok_or(AlpnError::NOACK)
    });
    Ok(Arc::new(builder.build()))
}

/// What serves requests: the gate and the limits now in force, and what outlives them.
pub struct Edge<G> {
    gate: Arc<G>,
    limits: Limits,
    doors: Doors,
    connector: Arc<Connector>,
    drain: watch::Receiver<bool>,
}

impl fmt::Debug for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Doors({}, {})", self.core.is_some(), self.notify.is_some())
    }
}

impl<G> fmt::Debug for Edge<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<G: Gate> Edge<G> {
    /// Serves for a gate. When `drain` turns true, connections are served on until idle, but each answer ends its own.
    pub fn new(gate: Arc<G>, limits: Limits, drain: watch::Receiver<bool>) -> Self {
        Self {
            gate,
            limits,
            doors: Doors::default(),
            connector: Arc::new(Connector::new(limits.idle_upstream_connections)),
            drain,
        }
    }

    /// The same edge with TLS towards those who connect from now on.
    #[must_use]
    pub fn behind(self, doors: Doors) -> Self {
        Self { doors, ..self }
    }

    /// The same edge for another gate, with the same kept connections to upstreams. The number of connections stays.
    #[must_use]
    pub fn with(&self, gate: Arc<G>, limits: Limits) -> Self {
        Self {
            gate,
            limits,
            doors: self.doors.clone(),
            connector: Arc::clone(&self.connector),
            drain: self.drain.clone(),
        }
    }

    /// Accepts connections until drained; returns when the last one is done. Each request is served by what `edges` holds
    /// when it begins.
    pub async fn serve(edges: Arc<ArcSwap<Self>>, side: Side, listener: TcpListener) {
        let edge = edges.load_full();
        let slots = Arc::new(Semaphore::new(edge.limits.connections));
        let draining = edge.draining();
        tokio::pin!(draining);
        let spawn = |slot: OwnedSemaphorePermit, stream| {
            let edges = Arc::clone(&edges);
            tokio::spawn(async move {
                connection::serve(edges, side, stream).await;
                drop(slot);
            });
        };
        while let Some((slot, stream)) = tokio::select! {
            accepted = accept(&slots, &listener) => accepted,
            () = &mut draining => None,
        } {
            spawn(slot, stream);
        }
        // Whoever the system let in already would be reset when the socket closes.
        let last = std::iter::from_fn(|| waiting(&listener)).take(edge.limits.connections);
        let last: Vec<_> = last.collect();
        drop(listener);
        for stream in last {
            if let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
                spawn(slot, stream);
            }
        }
        let all = u32::try_from(edge.limits.connections).unwrap_or(u32::MAX);
        // Fails only for a closed semaphore, and nobody closes it.
        let _ = slots.acquire_many(all).await;
    }

    /// Returns when draining begins.
    async fn draining(&self) {
        let mut drain = self.drain.clone();
        if drain.wait_for(|drain| *drain).await.is_err() {
            // Whoever could have drained is gone: serve on.
            std::future::pending::<()>().await;
        }
    }
}

/// The next connection, once there is room for it.
async fn accept(
    slots: &Arc<Semaphore>,
    listener: &TcpListener,
) -> Option<(OwnedSemaphorePermit, Stream)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await.and_then(|(stream, _)| prepare(stream)) {
            Ok(stream) => return Some((slot, stream)),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A connection that waits in the backlog. The system is asked itself: the runtime may not have heard of it yet.
fn waiting(listener: &TcpListener) -> Option<Stream> {
    let socket = listener.as_fd().try_clone_to_owned().ok()?;
    let (stream, _) = std::net::TcpListener::from(socket).accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    TcpStream::from_std(stream).and_then(prepare).ok()
}

fn prepare(stream: TcpStream) -> std::io::Result<Stream> {
    stream.set_nodelay(true)?;
    Ok(Stream::from(stream))
}
