//! The listeners of HTTP APIs: so many connections and no more, each with its deadlines.

mod unstalled;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use openssl::ssl::{Ssl, SslAcceptor};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_openssl::SslStream;
use unstalled::Unstalled;

/// The longest head, in bytes.
const HEAD_MAX: usize = 16 << 10;
/// The most headers.
const HEADERS_MAX: usize = 64;
/// How long hands may be shaken, and somebody may take nothing of what they are told.
const STALLED_FOR: Duration = Duration::from_secs(10);
/// After what pause is tried again to accept where the system cannot, for want of descriptors say.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How many there may be.
    pub(super) connections: usize,
    /// How long a head may take, and how long one may be idle.
    pub(super) head: Duration,
}

/// Where somebody connects.
pub(super) trait Listen: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next of them.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        // What is told is told at once; where that cannot be set, it is a little later.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

impl Listen for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// Serves whoever connects, with TLS where `door` has it when they come, until it is drained; then what was begun.
pub(super) async fn serve<L: Listen>(
    (listener, name): (L, &'static str),
    routes: Router,
    door: impl Fn() -> Option<Arc<SslAcceptor>> + Send,
    bounds: Bounds,
    mut draining: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    let drained = draining.clone();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            // Nobody is left to say so, or it is said.
            _ = draining.wait_for(|draining| *draining) => break,
            accepted = accept(&listener, name, &room) => accepted,
        };
        let Some((stream, place)) = accepted else {
            tokio::time::sleep(AGAIN_AFTER).await;
            continue;
        };
        let (door, routes, draining) = (door(), routes.clone(), drained.clone());
        connections.spawn(async move {
            match door {
                Some(door) => {
                    let Some(stream) = shaken(&door, stream).await else { return };
                    talk(stream, routes, bounds, draining).await;
                }
                None => talk(stream, routes, bounds, draining).await,
            }
            drop(place);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The next connection that there is room for; others wait in the system's queue.
async fn accept<L: Listen>(
    listener: &L,
    name: &'static str,
    room: &Arc<Semaphore>,
) -> Option<(L::Stream, OwnedSemaphorePermit)> {
    let place = room.clone().acquire_owned().await.ok()?;
    match listener.next().await {
        Ok(stream) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, listener = name, "a listener cannot accept");
            None
        }
    }
}

async fn shaken<S>(door: &SslAcceptor, stream: S) -> Option<SslStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = SslStream::new(Ssl::new(door.context()).ok()?, stream).ok()?;
    let shaken = timeout(STALLED_FOR, Pin::new(&mut stream).accept()).await;
    matches!(shaken, Ok(Ok(()))).then_some(stream)
}

/// Serves one connection.
async fn talk<S>(stream: S, routes: Router, bounds: Bounds, mut draining: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_header_size(HEAD_MAX)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX);
    let stream = TokioIo::new(Unstalled::new(stream, STALLED_FOR));
    let mut talking = pin!(builder.serve_connection(stream, TowerToHyperService::new(routes)));
    tokio::select! {
        // Whoever breaks off has what they wanted.
        _ = talking.as_mut() => return,
        _ = draining.wait_for(|draining| *draining) => (),
    }
    talking.as_mut().graceful_shutdown();
    let _ = talking.await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    /// Somebody who has sent `said` before anybody reads it.
    async fn sends(to: &TcpListener, said: &str) -> TcpStream {
        let mut stream = TcpStream::connect(to.local_addr().unwrap()).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        stream
    }

    /// All that they are told until their connection is closed.
    async fn told(mut stream: TcpStream) -> String {
        let mut told = Vec::new();
        // A connection that is reset was closed as well.
        let _ = stream.read_to_end(&mut told).await;
        String::from_utf8(told).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_half_a_head_or_nothing_more_keeps_no_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let whole = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let (half, idle) = (sends(&listener, "GET / HT").await, sends(&listener, whole).await);
        let closes = whole.replace("a\r\n", "a\r\nConnection: close\r\n");
        let last = sends(&listener, &closes).await;
        let (bounds, (_drain, draining)) =
            (Bounds { connections: 1, head: Duration::from_secs(10) }, watch::channel(false));
        let (begun, routes) = (Instant::now(), Router::new().route("/", get(async || "here")));
        let serving = serve((listener, "test"), routes, || None, bounds, draining);
        let serving = tokio::spawn(serving);
        assert!(told(last).await.ends_with("here"));
        // There is one place, which each of the others had for as long as it might.
        assert!(begun.elapsed() >= 2 * bounds.head);
        assert!(!told(half).await.contains("here"));
        assert!(told(idle).await.ends_with("here"));
        serving.abort();
    }
}
