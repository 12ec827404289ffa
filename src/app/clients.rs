//! The verification service's listener: so many connections and no more, each with its deadlines; and what one configuration makes of it.

mod unstalled;

use super::StartError;
use crate::clients::access::{Client, Key};
use crate::clients::signed::SigningKey;
use crate::clients::{Clients, Live, router};
use crate::config::{self, Config};
use crate::proxy;
use crate::service::Service;
use crate::service::clients::Terms;
use crate::service::clients::kinds::KindTerms;
use crate::service::clients::quota::Quota;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use openssl::ssl::{Ssl, SslAcceptor};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_openssl::SslStream;
use unstalled::Unstalled;

/// The longest head, in bytes.
const HEAD_MAX: usize = 16 << 10;
/// The most headers.
const HEADERS_MAX: usize = 64;
/// How long hands may be shaken, and a client may take nothing of what it is told.
const STALLED_FOR: Duration = Duration::from_secs(10);
/// After what pause is tried again to accept where the system cannot, for want of descriptors say.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What a configuration makes of the service, where there is one.
pub(super) fn clients(
    config: &Config,
    service: &Arc<Service>,
) -> Result<Option<Arc<Clients>>, StartError> {
    let Some(set) = &config.verification else { return Ok(None) };
    let door = set.door.as_ref().map(|door| {
        proxy::door_for(&door.own.chain, &door.own.key, &door.clients, b"\x08http/1.1")
    });
    Ok(Some(Arc::new(Clients {
        service: service.clone(),
        clients: set.clients.iter().map(client).collect(),
        body_max: set.body,
        batch_max: set.batch_body,
        batches: set.batches,
        pictures: set.pictures,
        picture_max: set.picture,
        body_within: set.body_deadline,
        door: door.transpose().map_err(StartError::Door)?,
    })))
}

fn client(client: &config::clients::Client) -> Client {
    let merchant = client.merchant.clone().unwrap_or_else(|| Terms::own(&client.name));
    let keys = client.keys.iter().map(|key| Key {
        id: key.id.clone(),
        digest: key.digest,
        until: key.until,
    });
    let [day, month] = client.quota;
    Client {
        keys: keys.collect(),
        may: client.may.clone(),
        per_second: client.per_second,
        signing: client.signing.as_ref().map(|key| SigningKey::new(key.expose())),
        terms: Arc::new(Terms {
            name: client.name.clone(),
            merchant,
            scenario: client.scenario,
            sets: client.sets.clone(),
            kinds: client.kinds.iter().map(kind).collect(),
            shares: client.shares,
            quota: Quota { day, month },
            prices: client.prices.clone(),
            is_told: client.webhook.is_some(),
            turn: Mutex::default(),
        }),
    }
}

fn kind(kind: &config::clients::ClientKind) -> KindTerms {
    let (prices, sets) = (kind.prices.clone(), kind.sets.clone());
    KindTerms { kind: kind.kind, sets, prices }
}

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    connections: usize,
    head: Duration,
}

impl From<&config::clients::Verification> for Bounds {
    fn from(set: &config::clients::Verification) -> Self {
        Self { connections: set.connections, head: set.head_deadline }
    }
}

/// Serves whoever connects, until it is drained; then what was begun.
pub(super) async fn serve(
    listener: TcpListener,
    live: Live,
    bounds: Bounds,
    mut draining: watch::Receiver<bool>,
) {
    let (routes, room) = (router(live.clone()), Arc::new(Semaphore::new(bounds.connections)));
    let mut connections = JoinSet::new();
    let drained = draining.clone();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            // Nobody is left to say so, or it is said.
            _ = draining.wait_for(|draining| *draining) => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, place)) = accepted else {
            tokio::time::sleep(AGAIN_AFTER).await;
            continue;
        };
        let door = live.current().door.clone();
        let (routes, draining) = (routes.clone(), drained.clone());
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
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // What is told is told at once; where that cannot be set, it is a little later.
            let _ = stream.set_nodelay(true);
            Some((stream, place))
        }
        Err(error) => {
            tracing::warn!(%error, "the listener of the verification service cannot accept");
            None
        }
    }
}

async fn shaken(door: &SslAcceptor, stream: TcpStream) -> Option<SslStream<TcpStream>> {
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
