//! The edge: connections of the core and of the channels, judged by a [`Gate`] and served with Pingora.
//!
//! A request head is read strictly by ourselves ([`head`]) before anything else looks at it. A request on an inspected
//! route is then read whole, judged, and exchanged with the channel in one write and one answer; it never passes
//! Pingora's proxy filters, which forward the head before the body was seen. Anything else goes to Pingora's proxy,
//! which streams it. Upstream connections, their pool and their TLS are Pingora's for both.

mod answer;
mod chunked;
mod connection;
mod exchange;
mod forward;
pub mod gate;
pub mod head;
mod http2;
mod lent;
pub mod path;
pub mod refuse;
mod streamed;
pub mod upstream;
mod wire;

use exchange::Connector;
use gate::{Gate, Side};
use pingora_core::protocols::l4::stream::Stream;
use pingora_proxy::HttpProxy;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use streamed::Streamed;
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
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
            streamed: Duration::from_mins(10),
        }
    }
}

/// Everything that the connections of all listeners share.
pub struct Edge<G> {
    gate: Arc<G>,
    limits: Limits,
    connector: Connector,
    streamed: Arc<HttpProxy<Streamed>>,
    drain: watch::Receiver<bool>,
}

impl<G> fmt::Debug for Edge<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<G: Gate> Edge<G> {
    /// Serves for a gate. When `drain` turns true, connections are served on until idle, but each answer ends its own.
    pub fn new(gate: Arc<G>, limits: Limits, drain: watch::Receiver<bool>) -> Self {
        let idle = limits.idle_upstream_connections;
        Self {
            gate,
            limits,
            connector: Connector::new(idle),
            streamed: streamed::proxy(idle),
            drain,
        }
    }

    /// Accepts connections until drained; returns when the last one is done.
    pub async fn serve(self: Arc<Self>, side: Side, listener: TcpListener) {
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let mut drain = self.drain.clone();
        let draining = async move {
            if drain.wait_for(|drain| *drain).await.is_err() {
                // Whoever could have drained is gone: serve on.
                std::future::pending::<()>().await;
            }
        };
        tokio::pin!(draining);
        while let Some((slot, stream)) = tokio::select! {
            accepted = accept(&slots, &listener) => accepted,
            () = &mut draining => None,
        } {
            let edge = Arc::clone(&self);
            tokio::spawn(async move {
                connection::serve(edge, side, stream).await;
                drop(slot);
            });
        }
        drop(listener);
        let all = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        // Fails only for a closed semaphore, and nobody closes it.
        let _ = slots.acquire_many(all).await;
    }
}

/// The next connection, once there is room for it.
async fn accept(
    slots: &Arc<Semaphore>,
    listener: &TcpListener,
) -> Option<(OwnedSemaphorePermit, pingora_core::protocols::Stream)> {
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

fn prepare(stream: TcpStream) -> std::io::Result<pingora_core::protocols::Stream> {
    stream.set_nodelay(true)?;
    Ok(Box::new(Stream::from(stream)))
}
