//! A raw channel, a raw core, and a gate that remembers.

use arc_swap::ArcSwap;
use async_trait::async_trait;
use hefu::domain::payment::{Mode, Scenario};
use hefu::policy::{self, Basis, Facts, Permit, Policy};
use hefu::proxy::gate::{Gate, Inspected, Permitted, Reported, Route, Side, Withheld};
use hefu::proxy::refuse::{Kind, Problem};
use hefu::proxy::upstream::{Address, OnDoubt, Settings, Upstream};
use hefu::proxy::{Doors, Edge, Limits};
use http::{HeaderName, HeaderValue};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("this takes too long")
}

/// What a channel does with a request that it has read.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Answers and keeps the connection.
    Answer(Vec<u8>),
    /// Answers and closes.
    Last(Vec<u8>),
    /// Closes without a word.
    Close,
    /// Answers when told to.
    Wait(Arc<Notify>, Vec<u8>),
    /// Never answers.
    Silence,
}

pub(crate) fn ok(body: &str) -> Reply {
    Reply::Answer(
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes(),
    )
}

/// One message, as it came over the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) connection: usize,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Everything that reached a channel.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    pub(crate) messages: Vec<Message>,
}

pub(crate) struct Channel {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) arrived: Arc<Notify>,
}

impl Channel {
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.seen.lock().unwrap().messages.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }
}

/// A channel that replies by the number of the request, from 0.
pub(crate) async fn channel(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, arrived): (Arc<Mutex<Seen>>, Arc<Notify>) = Default::default();
    let channel = Channel { address, seen: Arc::clone(&seen), arrived: Arc::clone(&arrived) };
    let reply = Arc::new(reply);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = {
                let mut seen = seen.lock().unwrap();
                seen.connections += 1;
                seen.connections
            };
            tokio::spawn(talk(
                stream,
                connection,
                Arc::clone(&seen),
                Arc::clone(&arrived),
                Arc::clone(&reply),
            ));
        }
    });
    channel
}

pub(crate) async fn talk<S, F>(
    stream: S,
    connection: usize,
    seen: Arc<Mutex<Seen>>,
    arrived: Arc<Notify>,
    reply: Arc<F>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(usize) -> Reply,
{
    let mut peer = Peer { stream, ahead: Vec::new() };
    loop {
        let message = peer.message(false).await;
        let number = {
            let mut seen = seen.lock().unwrap();
            let Some(mut message) = message else { return };
            message.connection = connection;
            seen.messages.push(message);
            seen.messages.len() - 1
        };
        arrived.notify_one();
        match reply(number) {
            Reply::Answer(bytes) => peer.send(&bytes).await,
            Reply::Last(bytes) => return peer.send(&bytes).await,
            Reply::Close => return,
            Reply::Wait(told, bytes) => {
                told.notified().await;
                peer.send(&bytes).await;
            }
            Reply::Silence => std::future::pending().await,
        }
    }
}

/// One end of a connection, speaking raw HTTP/1.1.
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    pub(crate) ahead: Vec<u8>,
}

impl Peer<TcpStream> {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), ahead: Vec::new() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Sends; a peer that closed meanwhile is no failure here.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    async fn fill(&mut self) -> bool {
        self.stream.read_buf(&mut self.ahead).await.is_ok_and(|read| read > 0)
    }

    /// The next message; `None` where the connection ends before it is whole.
    pub(crate) async fn message(&mut self, to_head: bool) -> Option<Message> {
        let end = loop {
            if let Some(at) = self.ahead.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill().await {
                return None;
            }
        };
        let head = String::from_utf8(self.ahead.drain(..end).collect()).unwrap();
        let mut message = Message { connection: 0, head, body: Vec::new() };
        if message.field("transfer-encoding").is_some() {
            message.body = self.chunks().await?;
        } else if let Some(length) = message.field("content-length").filter(|_| !to_head) {
            let length: usize = length.parse().unwrap();
            while self.ahead.len() < length {
                if !self.fill().await {
                    return None;
                }
            }
            message.body = self.ahead.drain(..length).collect();
        } else if message.head.starts_with("HTTP/1.1 200") && !to_head {
            while self.fill().await {}
            message.body = std::mem::take(&mut self.ahead);
        }
        Some(message)
    }

    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(at) = self.ahead.windows(2).position(|window| window == b"\r\n") {
                    break self.ahead.drain(..at + 2).collect::<Vec<_>>();
                }
                if !self.fill().await {
                    return None;
                }
            };
            let size =
                usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
            while self.ahead.len() < size + 2 {
                if !self.fill().await {
                    return None;
                }
            }
            body.extend(self.ahead.drain(..size));
            self.ahead.drain(..2);
            if size == 0 {
                return Some(body);
            }
        }
    }

    /// An answer that must come.
    pub(crate) async fn answer(&mut self) -> Message {
        soon(self.message(false)).await.expect("no answer")
    }

    /// Whether the connection ends with nothing more to read.
    pub(crate) async fn is_closed(&mut self) -> bool {
        soon(async { while self.fill().await {} }).await;
        self.ahead.is_empty()
    }
}

/// What the gate is to say.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Judgement {
    Permit,
    Refuse,
}

/// Permits or refuses everything under `/pay`, streams `/file`, and remembers.
pub(crate) struct Judge {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) judgement: Judgement,
    /// Judging waits for it, where it is set.
    pub(crate) hold: Option<Arc<Notify>>,
    pub(crate) judging: Notify,
    pub(crate) judged: Mutex<Vec<(String, Vec<u8>)>>,
    pub(crate) settled: Mutex<Vec<String>>,
    pub(crate) settling: Notify,
    pub(crate) refused: Mutex<Vec<u16>>,
}

fn permit() -> Permit {
    let (scenario, mode, basis) = (Scenario::Query, Mode::Enforce, Basis::Passing);
    let facts = Facts { scenario, mode, basis, asserted: false, held: false, spared: false };
    policy::decide(&Policy::default(), &facts).into_permit().expect("a query is permitted")
}

#[async_trait]
impl Gate for Judge {
    type Pending = ();

    fn route(&self, _: Side, host: &str, path: &str) -> Route {
        match (host, path.split('/').nth(1)) {
            ("bank", Some("pay")) => Route::Inspected(Arc::clone(&self.upstream)),
            ("bank", Some("file")) => Route::Streamed(Arc::clone(&self.upstream)),
            _ => Route::Unknown,
        }
    }

    async fn judge(
        &self,
        _: &Upstream,
        request: &Inspected<'_>,
    ) -> Result<Permitted<()>, Box<Problem>> {
        self.judging.notify_one();
        if let Some(hold) = &self.hold {
            hold.notified().await;
        }
        self.judged.lock().unwrap().push((request.path.to_owned(), request.body.to_vec()));
        match self.judgement {
            Judgement::Permit => {
                let annotations = vec![(
                    HeaderName::from_static("hefu-payment"),
                    HeaderValue::from_static("\"1\""),
                )];
                Ok(Permitted { permit: permit(), pending: (), annotations })
            }
            Judgement::Refuse => {
                let mut problem = Problem::new(Kind::Refused);
                problem.annotations = vec![(
                    HeaderName::from_static("hefu-decision"),
                    HeaderValue::from_static("refuse"),
                )];
                Err(Box::new(problem))
            }
        }
    }

    async fn settle(
        &self,
        (): (),
        reported: Reported<'_>,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Withheld> {
        let told = match reported {
            Reported::Answer { status, body, .. } => format!("{status} {}", body.len()),
            other => format!("{other:?}"),
        };
        self.settled.lock().unwrap().push(told);
        self.settling.notify_one();
        Ok(vec![(HeaderName::from_static("hefu-outcome"), HeaderValue::from_static("unmapped"))])
    }

    fn refused(&self, _: Side, kind: Kind) {
        self.refused.lock().unwrap().push(kind.status());
    }
}

/// A served edge.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) notify: SocketAddr,
    pub(crate) gate: Arc<Judge>,
    pub(crate) drain: watch::Sender<bool>,
    pub(crate) served: tokio::task::JoinHandle<()>,
}

pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) judgement: Judgement,
    pub(crate) hold: Option<Arc<Notify>>,
    pub(crate) doors: Doors,
}

pub(crate) fn plan(addresses: &[SocketAddr]) -> Plan {
    let settings = Settings {
        name: "bank".into(),
        addresses: addresses
            .iter()
            .map(|address| Address { place: address.to_string(), tls: None })
            .collect(),
        connect_timeout: Duration::from_secs(5),
        answer_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        answer_bytes_max: 256 * 1024,
        on_doubt: OnDoubt::Problem,
        http2: false,
    };
    let limits = Limits { idle: PATIENCE, head: PATIENCE, body: PATIENCE, ..Limits::default() };
    let doors = Doors::default();
    Plan { settings, limits, judgement: Judgement::Permit, hold: None, doors }
}

impl Plan {
    pub(crate) async fn serve(self) -> World {
        let gate = Arc::new(Judge {
            upstream: Arc::new(Upstream::new(self.settings).unwrap()),
            judgement: self.judgement,
            hold: self.hold,
            judging: Notify::new(),
            judged: Mutex::default(),
            settled: Mutex::default(),
            settling: Notify::new(),
            refused: Mutex::default(),
        });
        let (drain, draining) = watch::channel(false);
        let edge = Edge::new(Arc::clone(&gate), self.limits, draining).behind(self.doors);
        let edges = Arc::new(ArcSwap::from_pointee(edge));
        let core = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let channels = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, notify) = (core.local_addr().unwrap(), channels.local_addr().unwrap());
        tokio::spawn(Edge::serve(Arc::clone(&edges), Side::Notify, channels));
        let served = tokio::spawn(Edge::serve(edges, Side::Core, core));
        World { address, notify, gate, drain, served }
    }
}

impl World {
    /// A world with one channel.
    pub(crate) async fn with(channel: &Channel) -> Self {
        plan(&[channel.address]).serve().await
    }

    pub(crate) async fn core(&self) -> Peer<TcpStream> {
        Peer::connect(self.address).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Message {
        let mut core = self.core().await;
        soon(core.send(request)).await;
        core.answer().await
    }

    pub(crate) fn settled(&self) -> Vec<String> {
        self.gate.settled.lock().unwrap().clone()
    }

    pub(crate) fn judged(&self) -> usize {
        self.gate.judged.lock().unwrap().len()
    }
}

/// A POST to the inspected route.
pub(crate) fn post(body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST /pay/x HTTP/1.1\r\nHost: bank\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    request.extend_from_slice(body);
    request
}
