//! What all simulated channels share: the ground they stand on, their two ends, their HTTP server, and the bank behind them.

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
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::sim::{
    core::Payer,
    notices::Desk,
    providers::Scripts,
    record::{AtChannel, AtRow, Channel, Log, Part, Verdict, digest},
    statement::Ended,
    upgrades::Clerk,
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
    /// What providers are told to say.
    pub(super) scripts: Scripts,
    /// What channels tell by themselves.
    pub(super) desk: Desk,
    /// What the core was told of accounts.
    pub(super) clerk: Clerk,
}

/// A request as a gateway gets it.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

impl Request<'_> {
    /// A header's text, or an empty one.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A gateway's answer, and what the books keep of the exchange.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) order: String,
    pub(super) txn: String,
    pub(super) part: Part,
    pub(super) signed: bool,
    pub(super) tuple: Tuple,
    pub(super) agreement: Option<String>,
    pub(super) verdict: Verdict,
    pub(super) rows: Vec<AtRow>,
    pub(super) body: Vec<u8>,
    pub(super) content_type: &'static str,
    /// Other headers, names in lower case.
    pub(super) headers: Vec<(&'static str, String)>,
}

/// A channel as its protocol knows it: bytes in, bytes out.
pub(super) trait Gateway: Send + Sync {
    /// Reads, judges and answers one request.
    fn answer(&self, request: &Request<'_>) -> Answer;

    /// How the payments that it took really ended.
    fn ended(&self) -> Vec<Ended>;
}

/// Both ends of a channel, with fresh keys.
pub(super) struct Ends {
    /// The channel itself.
    pub(super) gateway: Box<dyn Gateway>,
    /// The core's side of it.
    pub(super) payer: Arc<dyn Payer>,
    /// Key files by name: `*.key.pem` is private, other `*.pem` public.
    pub(super) key_files: Vec<(&'static str, Vec<u8>)>,
}

/// A running channel.
pub(super) struct Running {
    pub(super) name: Channel,
    /// How its share of the journeys compares with the other channels'.
    pub(super) weight: u32,
    pub(super) ends: Ends,
    hub: Arc<Hub>,
    delay_ms: AtomicU64,
    begun: AtomicU64,
}

impl Running {
    pub(super) fn new(name: Channel, weight: u32, ends: Ends, hub: Arc<Hub>) -> Arc<Self> {
        Arc::new(Self {
            name,
            weight,
            ends,
            hub,
            delay_ms: AtomicU64::new(0),
            begun: AtomicU64::new(0),
        })
    }

    /// The fault knob: every answer waits this long from now on.
    pub(super) fn delay(&self, by: Duration) {
        self.delay_ms.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many journeys over it there were before this one.
    pub(super) fn begun(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::Relaxed)
    }

    /// Starts the server.
    pub(super) async fn serve(self: &Arc<Self>) -> io::Result<(SocketAddr, JoinHandle<()>)> {
        serve(Router::new().fallback(handle).with_state(Arc::clone(self))).await
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

async fn handle(
    State(running): State<Arc<Running>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    head: Parts,
    body: Bytes,
) -> Response {
    let seq = running.hub.log.tick();
    let wait = running.delay_ms.load(Ordering::Relaxed);
    if wait > 0 {
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    let (method, query) = (head.method.as_str(), head.uri.query().unwrap_or_default());
    let (path, headers) = (head.uri.path(), &head.headers);
    let answer =
        running.ends.gateway.answer(&Request { method, path, query, headers, body: &body });
    running.hub.log.at_channel(AtChannel {
        seq,
        channel: running.name,
        order: answer.order,
        txn: answer.txn,
        part: answer.part,
        received: digest(method, query, &body),
        answered: openssl::sha::sha256(&answer.body),
        signed: answer.signed,
        tuple: answer.tuple,
        agreement: answer.agreement,
        verdict: answer.verdict,
        rows: answer.rows,
        connection: peer.port(),
        hefu_headers: headers.keys().filter(|name| name.as_str().starts_with("hefu-")).count(),
    });
    let mut response = ([(header::CONTENT_TYPE, answer.content_type)], answer.body).into_response();
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
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
