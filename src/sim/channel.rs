//! What both simulated channels share: the ground they stand on, their HTTP server, and the bank behind them.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, State},
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::sim::{
    record::{AtChannel, Channel, Log, Verdict},
    world::{Card, CardState, Element, Tuple, World},
};

/// The ground that everything in the simulation stands on.
pub(super) struct Hub {
    pub(super) seed: u64,
    pub(super) world: World,
    pub(super) log: Log,
    /// How many of a thousand element mismatches are told by a query only.
    pub(super) late_mismatches: u64,
    /// How many of a thousand inquiries fail for technical reasons.
    pub(super) provider_faults: u64,
}

/// A gateway's answer, and what the books keep of the exchange.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) order: String,
    pub(super) txn: String,
    pub(super) signed: bool,
    pub(super) tuple: Tuple,
    pub(super) agreement: Option<String>,
    pub(super) verdict: Verdict,
    pub(super) body: String,
    pub(super) content_type: &'static str,
}

/// A channel as its protocol knows it: bytes in, bytes out.
pub(super) trait Gateway: Send + Sync + 'static {
    /// Which channel this is.
    const CHANNEL: Channel;
    /// Reads, judges and answers one request.
    fn answer(&self, path: &str, body: &[u8]) -> Answer;
}

/// A running channel.
pub(super) struct Running<G> {
    pub(super) gateway: G,
    hub: Arc<Hub>,
    delay_ms: AtomicU64,
}

impl<G: Gateway> Running<G> {
    pub(super) fn new(gateway: G, hub: Arc<Hub>) -> Arc<Self> {
        Arc::new(Self { gateway, hub, delay_ms: AtomicU64::new(0) })
    }

    /// The fault knob: every answer waits this long from now on.
    pub(super) fn delay(&self, by: Duration) {
        self.delay_ms.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Starts the server.
    pub(super) async fn serve(self: &Arc<Self>) -> io::Result<(SocketAddr, JoinHandle<()>)> {
        serve(Router::new().fallback(handle::<G>).with_state(Arc::clone(self))).await
    }
}

/// Listens on a free port of 127.0.0.1.
pub(super) async fn serve(routes: Router) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    let task = tokio::spawn(async move {
        // The server ends when the simulation is dropped; there is nobody to tell of an error.
        let _ = axum::serve(listener, service).await;
    });
    Ok((address, task))
}

async fn handle<G: Gateway>(
    State(running): State<Arc<Running<G>>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let seq = running.hub.log.tick();
    let wait = running.delay_ms.load(Ordering::Relaxed);
    if wait > 0 {
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    let answer = running.gateway.answer(uri.path(), &body);
    running.hub.log.channels().push(AtChannel {
        seq,
        channel: G::CHANNEL,
        order: answer.order,
        txn: answer.txn,
        received: openssl::sha::sha256(&body),
        answered: openssl::sha::sha256(answer.body.as_bytes()),
        signed: answer.signed,
        tuple: answer.tuple,
        agreement: answer.agreement,
        verdict: answer.verdict,
        connection: peer.port(),
        hefu_headers: headers.keys().filter(|name| name.as_str().starts_with("hefu-")).count(),
    });
    ([(header::CONTENT_TYPE, answer.content_type)], answer.body).into_response()
}

/// What the issuing bank finds when it is asked about a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Right,
    Mismatch,
    State(CardState),
    NoBalance,
}

/// Asks the issuing bank: the elements first, then the state, then the balance.
pub(super) fn ask_bank<'a>(
    hub: &'a Hub,
    told: &Tuple,
    debit_fen: u64,
) -> (Finding, Vec<Element>, Option<&'a Card>) {
    let Some(card) = told.pan.as_deref().and_then(|pan| hub.world.card(pan)) else {
        return (Finding::Mismatch, vec![Element::Pan], None);
    };
    let wrong = card.at_bank().differing(told);
    let finding = if !wrong.is_empty() {
        Finding::Mismatch
    } else if card.state != CardState::Normal {
        Finding::State(card.state)
    } else if debit_fen > card.balance_fen {
        Finding::NoBalance
    } else {
        Finding::Right
    };
    (finding, wrong, Some(card))
}
