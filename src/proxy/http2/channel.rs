//! HTTP/2 towards a channel: one stream for one message, on connections that are kept and shared.

use super::budget::{Budget, Watched};
use super::title_case;
use crate::proxy::answer::AnswerHead;
use crate::proxy::chunked::Chunked;
use crate::proxy::exchange::{Answer, Coming, Exchanged};
use crate::proxy::finished::Finished;
use crate::proxy::forward;
use crate::proxy::gate::InDoubt;
use crate::proxy::head::{self, Length};
use crate::proxy::pool::Key;
use crate::proxy::upstream::{Resolved, Upstream};
use crate::proxy::wire::{Body, Wire};
use bytes::{Bytes, BytesMut};
use dashmap::DashMap;
use futures::FutureExt as _;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{Request, Response, Uri};
use pingora_core::connectors::TransportConnector;
use pingora_core::protocols::Stream;
use pingora_core::protocols::tls::ALPN;
use pingora_core::upstreams::peer::HttpPeer;
use std::fmt::Write as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep_until, timeout};

/// The largest head of an answer.
const HEAD_BYTES_MAX: u32 = 64 * 1024;
/// How much of an answer over the limit waits within the process.
const BRIDGE_BYTES: usize = 64 * 1024;
/// Messages under way on a connection before the channel has told how many it takes.
const STREAMS_AT_FIRST: usize = 100;
/// The most connections to one address that are kept; one beyond them is for one message.
const LANES_MAX: usize = 64;

/// The connections that are kept, those to one address and with one way of making them together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<DashMap<Key, Vec<Lane>>>);

/// A connection.
#[derive(Clone, Debug)]
struct Lane {
    key: Key,
    sender: SendRequest<Bytes>,
    /// Its allowance; also tells it from others.
    budget: Arc<Budget>,
    /// Shared by each message under way, and by what is kept.
    under_way: Arc<()>,
    /// How long it is kept if nobody uses it.
    until: Instant,
}

impl Lane {
    /// Whether it is alive, as far as is known, and takes one more message now.
    fn has_room(&self) -> bool {
        // Beyond what the channel allows a message would wait within the process, and be told as in doubt.
        Arc::strong_count(&self.under_way) <= self.sender.current_max_send_streams()
            && self.sender.clone().ready().now_or_never().is_some_and(|ready| ready.is_ok())
    }
}

impl Kept {
    /// Sends the message as one stream and reads the answer. What may have left is never sent again, whatever the channel says of it.
    pub(crate) async fn exchange(
        &self,
        connector: &TransportConnector,
        upstream: &Upstream,
        (message, to_head): (&[u8], bool),
        finished: &mut Finished,
    ) -> Exchanged {
        let Some((mut lane, secure)) = self.connect(connector, upstream, finished).await else {
            return Exchanged::NotSent;
        };
        let Some((request, body)) = translate(message, secure) else {
            return Exchanged::NotSent;
        };
        let settings = upstream.settings();
        let (max, patience) = (settings.answer_bytes_max, settings.answer_timeout);
        let conversing = async {
            let (response, mut stream) =
                lane.sender.send_request(request, body.is_empty()).map_err(|_| InDoubt::Broken)?;
            if !body.is_empty() {
                stream.send_data(body, true).map_err(|_| InDoubt::Broken)?;
            }
            let response = response.await.map_err(|_| InDoubt::Broken)?;
            read(response, to_head, (max, patience)).await
        };
        match timeout(patience, conversing).await {
            Err(_) => {
                // It may be gone without a word: nothing more begins on it. What else is under way may end.
                self.forget(lane.key, &lane.budget);
                Exchanged::InDoubt(InDoubt::Late)
            }
            // Whether it is still good, a connection that broke says itself.
            Ok(Err(doubt)) => Exchanged::InDoubt(doubt),
            Ok(Ok(exchanged)) => {
                lane.budget.served();
                exchanged
            }
        }
    }

    /// A kept connection that is alive and has room, or a new one to the first address that can be reached; and whether it
    /// has TLS. Which address it is to is noted.
    async fn connect(
        &self,
        connector: &TransportConnector,
        upstream: &Upstream,
        finished: &mut Finished,
    ) -> Option<(Lane, bool)> {
        let (patience, idle) =
            (upstream.settings().connect_timeout, upstream.settings().idle_timeout);
        for Resolved { at, key, peer } in upstream.known_peers().iter() {
            if let Some(lane) = self.take(*key, idle) {
                finished.reached = Some(*at);
                return Some((lane, peer.is_tls()));
            }
        }
        for Resolved { at, key, peer } in upstream.resolve().await.iter() {
            match timeout(patience, self.greet(connector, (*key, peer), idle)).await {
                Ok(Some(lane)) => {
                    finished.reached = Some(*at);
                    return Some((lane, peer.is_tls()));
                }
                Ok(None) | Err(_) => {
                    tracing::warn!(upstream = upstream.name(), "cannot connect with HTTP/2");
                }
            }
        }
        None
    }

    /// Connects, and makes sure that the channel speaks HTTP/2 before anything is said.
    async fn greet(
        &self,
        connector: &TransportConnector,
        (key, peer): (Key, &HttpPeer),
        idle: Duration,
    ) -> Option<Lane> {
        let stream: Stream = connector.new_stream(peer).await.ok()?;
        if peer.is_tls() && stream.selected_alpn_proto() != Some(ALPN::H2) {
            return None;
        }
        let budget = Arc::new(Budget::default());
        let watched = Watched::of_channel(stream, Arc::clone(&budget));
        let mut builder = h2::client::Builder::new();
        builder.enable_push(false).max_header_list_size(HEAD_BYTES_MAX);
        builder.initial_max_send_streams(STREAMS_AT_FIRST);
        let (sender, connection) = builder.handshake(watched).await.ok()?;
        let (under_way, until) = (Arc::default(), Instant::now() + idle);
        let lane = Lane { key, sender, budget: Arc::clone(&budget), under_way, until };
        self.keep(&lane);
        tokio::spawn(self.clone().drive(connection, key, budget));
        Some(lane)
    }

    /// The first that has room: those that were needed at a rush only are used no more, and close.
    fn take(&self, key: Key, idle: Duration) -> Option<Lane> {
        let mut lanes = self.0.get_mut(&key)?;
        let lane = lanes.iter_mut().find(|lane| lane.has_room())?;
        lane.until = Instant::now() + idle;
        Some(lane.clone())
    }

    fn keep(&self, lane: &Lane) {
        let mut lanes = self.0.entry(lane.key).or_default();
        if lanes.len() < LANES_MAX {
            lanes.push(lane.clone());
        }
    }

    /// Nothing more begins on it.
    fn forget(&self, key: Key, budget: &Arc<Budget>) {
        self.0.remove_if_mut(&key, |_, lanes| {
            lanes.retain(|lane| !Arc::ptr_eq(&lane.budget, budget));
            lanes.is_empty()
        });
    }

    /// Moves what goes over a connection until it ends; the streams on it learn of that by themselves.
    async fn drive(self, connection: impl Future, key: Key, budget: Arc<Budget>) {
        let mut connection = pin!(connection);
        let has_ended = tokio::select! {
            _ = &mut connection => true,
            () = budget.overdrawn() => {
                tracing::warn!("a channel's connection asks for too much beside its answers");
                false
            }
            () = self.unused(key, &budget) => false,
        };
        self.forget(key, &budget);
        if !has_ended {
            // Payments that are under way on it may end, within one more allowance.
            budget.renew();
            tokio::select! {
                _ = connection => {}
                () = budget.overdrawn() => {}
            }
        }
    }

    /// Returns once nothing more begins on it: it idled for too long, or is not kept any more.
    async fn unused(&self, key: Key, budget: &Arc<Budget>) {
        while let Some(until) = self.until(key, budget).filter(|until| Instant::now() < *until) {
            sleep_until(until).await;
        }
    }

    fn until(&self, key: Key, budget: &Arc<Budget>) -> Option<Instant> {
        let lanes = self.0.get(&key)?;
        let lane = lanes.iter().find(|lane| Arc::ptr_eq(&lane.budget, budget))?;
        Some(lane.until)
    }
}

/// The message as HTTP/2 has it: an authority and no Host, no connection's own fields.
fn translate(message: &[u8], tls: bool) -> Option<(Request<()>, Bytes)> {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n")?.checked_add(4)?;
    let (raw, body) = message.split_at_checked(end)?;
    let head = head::check_head(raw).ok()?;
    if head.length == Length::Chunked {
        return None;
    }
    let host = head.fields.get(http::header::HOST)?.to_str().ok()?;
    let target = std::str::from_utf8(raw.get(head.target.clone())?).ok()?;
    let scheme = if tls { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(target).build().ok()?;
    let mut request = Request::builder().method(head.method.clone()).uri(uri).body(()).ok()?;
    let fields = head.fields.iter().filter(|(name, _)| *name != http::header::HOST);
    let passing = fields.filter(|(name, _)| !head::stays_here(name.as_str()));
    request.headers_mut().extend(passing.map(|(name, value)| (name.clone(), value.clone())));
    Some((request, Bytes::copy_from_slice(body)))
}

/// Reads the answer whole; one over the limit goes on over a connection within the process.
async fn read(
    response: Response<RecvStream>,
    to_head: bool,
    (max, patience): (usize, Duration),
) -> Result<Exchanged, InDoubt> {
    let (parts, mut stream) = response.into_parts();
    let head = AnswerHead::read(head_of(&parts)).ok_or(InDoubt::Garbled)?;
    head.body(to_head).ok_or(InDoubt::Garbled)?;
    let mut body = BytesMut::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.map_err(|_| InDoubt::Broken)?;
        // What cannot be released is a connection that is gone, and the next read says so.
        let _ = stream.flow_control().release_capacity(piece.len());
        body.extend_from_slice(&piece);
        if body.len() > max {
            return Ok(Exchanged::TooLarge(Box::new(go_on(
                (head, body.freeze()),
                stream,
                patience,
            ))));
        }
    }
    Ok(Exchanged::Answer(Answer { head, body: body.freeze(), has_excess: false }))
}

/// The head of HTTP/1.1.
fn head_of(parts: &http::response::Parts) -> Bytes {
    let mut text = String::with_capacity(256);
    let reason = parts.status.canonical_reason().unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = write!(text, "HTTP/1.1 {} {reason}\r\n", parts.status.as_u16());
    let mut out = BytesMut::from(text.as_bytes());
    for (name, value) in &parts.headers {
        super::put(&mut out, &title_case(name.as_str()), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.freeze()
}

fn go_on((head, begun): (AnswerHead, Bytes), mut stream: RecvStream, patience: Duration) -> Coming {
    let length = head.fields.get(http::header::CONTENT_LENGTH);
    let length = length.and_then(|length| head::decimal(length.as_bytes()));
    let so_far = u64::try_from(begun.len()).unwrap_or(u64::MAX);
    // Where no length tells when it is whole, the last chunk does.
    let by_chunks = length.is_none();
    let rest = length.map_or_else(
        || Body::Chunked(Chunked::new()),
        |whole| Body::Fixed(whole.saturating_sub(so_far)),
    );
    let (mut near, far) = tokio::io::duplex(BRIDGE_BYTES);
    tokio::spawn(async move {
        let mut out = BytesMut::new();
        // What breaks off, or falls silent, ends without its last chunk.
        while let Ok(Ok(piece)) = timeout(patience, stream.data()).await.map(Option::transpose) {
            let last = piece.is_none();
            let piece = piece.unwrap_or_default();
            let _ = stream.flow_control().release_capacity(piece.len());
            out.clear();
            if by_chunks {
                forward::chunk(&mut out, &piece, last);
            } else {
                out.extend_from_slice(&piece);
            }
            if near.write_all(&out).await.is_err() || last {
                break;
            }
        }
    });
    Coming { head, begun, rest, wire: Wire::new(Box::new(far)) }
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn a_message_has_an_authority_and_no_host() {
        let raw = b"POST /a?b=1 HTTP/1.1\r\nHost: bank.example:8443\r\nX-Odd: 1\r\nContent-Length: 4\r\n\r\nbody";
        let (request, body) = translate(raw, true).unwrap();
        assert_eq!(request.uri().to_string(), "https://bank.example:8443/a?b=1");
        let names: Vec<_> = request.headers().keys().map(http::HeaderName::as_str).collect();
        assert_eq!((names, &body[..]), (vec!["x-odd", "content-length"], &b"body"[..]));
        assert!(translate(b"POST /a HTTP/1.1\r\n\r\n", true).is_none());
    }
}
