//! HTTP/2 (RFC 9113), both sides: translated at the door, so that one strict reader, one judge and one writer serve both versions.
//!
//! A request of the core becomes one HTTP/1.1 request on a connection within the process, where it is read, judged and answered
//! as any other; its answer becomes the stream's. Framing that HTTP/2 itself forbids never gets that far: the library resets it.

mod budget;
pub(super) mod channel;

use super::Edge;
use super::answer::AnswerHead;
use super::gate::{Gate, Side};
use super::head::stays_here;
use super::wire::{Body, Wire};
use arc_swap::ArcSwap;
use budget::{Budget, Watched};
use bytes::{BufMut, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response, header};
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// What a client of HTTP/2 sends first (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Requests under way on one connection.
const STREAMS_MAX: u32 = 64;
/// Requests that are served for one connection, with those that the core gave up: they are driven to their end all the same. Who
/// has its answer may ask again before the last is quite over.
const TASKS_MAX: usize = 128;
/// Streams that the core reset, or that broke the rules, before the connection is ended.
const RESETS_MAX: usize = 64;
/// How much of a message waits within the process, each way.
const BRIDGE_BYTES: usize = 64 * 1024;
/// The longest head of an answer, as on HTTP/1.1.
const ANSWER_HEAD_MAX: usize = 64 * 1024;
/// How long a connection that is told why it ends may take to hear it.
const LINGER: Duration = Duration::from_secs(1);

/// Whether a connection begins as HTTP/2 does. Reads only as far as it takes to tell.
pub(super) async fn begins(wire: &mut Wire) -> bool {
    loop {
        let known = wire.ahead.len().min(PREFACE.len());
        if wire.ahead.get(..known) != PREFACE.get(..known) {
            return false;
        }
        if known == PREFACE.len() {
            return true;
        }
        match wire.fill().await {
            Ok(1..) => {}
            Ok(_) | Err(_) => return false,
        }
    }
}

/// Serves the requests of one connection until either side wants to stop, each by the edge that is in force when it begins.
pub(super) async fn serve<G: Gate>(edges: Arc<ArcSwap<Edge<G>>>, side: Side, wire: Wire) {
    let edge = edges.load_full();
    let budget = Arc::new(Budget::default());
    let watched = Watched::of_core(wire, Arc::clone(&budget));
    let head_bytes = u32::try_from(edge.limits.head_bytes).unwrap_or(u32::MAX);
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(head_bytes)
        .max_concurrent_reset_streams(RESETS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(Some(RESETS_MAX))
        .max_send_buffer_size(BRIDGE_BYTES);
    let handshake = timeout(edge.limits.head, builder.handshake::<_, Bytes>(watched));
    let Ok(Ok(mut connection)) = handshake.await else { return };
    let draining = edge.draining();
    tokio::pin!(draining);
    let mut tasks = JoinSet::new();
    let mut leaving = false;
    let mut idle_until = Instant::now() + edge.limits.idle;
    loop {
        tokio::select! {
            () = budget.overdrawn() => {
                tracing::warn!("an HTTP/2 connection asks for too much beside its requests");
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                let _ = timeout(LINGER, poll_fn(|context| connection.poll_closed(context))).await;
                break;
            }
            accepted = connection.accept() => match accepted {
                Some(Ok((_, mut respond))) if tasks.len() >= TASKS_MAX => {
                    respond.send_reset(Reason::REFUSED_STREAM);
                }
                Some(Ok((request, respond))) => {
                    let (edge, budget) = (edges.load_full(), Arc::clone(&budget));
                    tasks.spawn(async move {
                        if exchange(edge, side, request, respond).await {
                            budget.served();
                        }
                    });
                }
                Some(Err(_)) | None => break,
            },
            Some(_) = tasks.join_next() => idle_until = Instant::now() + edge.limits.idle,
            () = &mut draining, if !leaving => {
                leaving = true;
                idle_until = Instant::now() + edge.limits.drain_idle;
                connection.graceful_shutdown();
            }
            () = sleep_until(idle_until), if tasks.is_empty() => {
                if leaving {
                    break;
                }
                // Whoever sends just now is still served.
                leaving = true;
                idle_until = Instant::now() + edge.limits.head;
                connection.graceful_shutdown();
            }
        }
    }
    // What was permitted is driven to its end, whether or not the core still waits.
    drop(connection);
    while tasks.join_next().await.is_some() {}
}

/// One request, through a connection within the process; whether the core waited for what came of it.
async fn exchange<G: Gate>(
    edge: Arc<Edge<G>>,
    side: Side,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> bool {
    let write = edge.limits.write;
    let (ours, theirs) = tokio::io::duplex(BRIDGE_BYTES);
    let inner = tokio::spawn(async move {
        edge.serve_one(side, Wire::new(Box::new(theirs))).await;
    });
    let (reader, mut writer) = tokio::io::split(ours);
    let mut wire = Wire { stream: reader, ahead: BytesMut::new(), is_amid: false };
    let to_head = *request.method() == Method::HEAD;
    let mut is_given_up = false;
    let asking = async {
        let asked = ask(request, &mut writer).await;
        if asked.is_ok() {
            // From here on only a core that goes away matters, and its request then goes away with it.
            let _ = poll_fn(|context| respond.poll_reset(context)).await;
        }
        is_given_up = true;
        let _ = writer.shutdown().await;
        std::future::pending::<()>().await;
    };
    let answered = tokio::select! {
        head = answer_head(&mut wire) => head,
        () = asking => None,
    };
    let relayed = match answered {
        Some(head) => relay(head, &mut wire, &mut respond, (to_head, write)).await,
        None => None,
    };
    if relayed.is_none() {
        // As a connection of HTTP/1.1 that is closed without an answer.
        respond.send_reset(Reason::INTERNAL_ERROR);
    }
    drop((wire, writer));
    // A panic in it was counted by the runtime, and there is nobody to answer any more.
    let _ = inner.await;
    relayed.is_some() || !is_given_up
}

/// Writes the request as HTTP/1.1 has it.
async fn ask(
    request: Request<RecvStream>,
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let (parts, mut body) = request.into_parts();
    let chunked = !body.is_end_stream() && !parts.headers.contains_key(header::CONTENT_LENGTH);
    writer.write_all(&head_of(&parts, chunked)).await?;
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(io::Error::other)?;
        let length = piece.len();
        if chunked && length > 0 {
            writer.write_all(format!("{length:x}\r\n").as_bytes()).await?;
            writer.write_all(&piece).await?;
            writer.write_all(b"\r\n").await?;
        } else {
            writer.write_all(&piece).await?;
        }
        body.flow_control().release_capacity(length).map_err(io::Error::other)?;
    }
    // Trailers are dropped, as those of HTTP/1.1 are.
    if chunked {
        writer.write_all(b"0\r\n\r\n").await?;
    }
    writer.flush().await
}

/// The head of HTTP/1.1. What it must not say is left to its strict reader: two hosts that differ, or none.
fn head_of(parts: &http::request::Parts, chunked: bool) -> BytesMut {
    let mut out = BytesMut::with_capacity(1024);
    out.put_slice(parts.method.as_str().as_bytes());
    out.put_u8(b' ');
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    out.put_slice(target.as_bytes());
    out.put_slice(b" HTTP/1.1\r\n");
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    if let Some(authority) = authority {
        put(&mut out, "Host", authority.as_bytes());
    }
    for (name, value) in &parts.headers {
        let same = authority.is_some_and(|at| at.as_bytes().eq_ignore_ascii_case(value.as_bytes()));
        let repeats_host = *name == header::HOST && same;
        let own = matches!(*name, header::TE | header::EXPECT | header::TRAILER | header::COOKIE);
        if !repeats_host && !own {
            put(&mut out, &title_case(name.as_str()), value.as_bytes());
        }
    }
    let cookies: Vec<&[u8]> =
        parts.headers.get_all(header::COOKIE).iter().map(http::HeaderValue::as_bytes).collect();
    if !cookies.is_empty() {
        // RFC 9113 section 8.2.3: HTTP/2 may cut it into crumbs.
        put(&mut out, "Cookie", &cookies.join(&b"; "[..]));
    }
    if chunked {
        put(&mut out, "Transfer-Encoding", b"chunked");
    }
    out.put_slice(b"\r\n");
    out
}

fn put(out: &mut BytesMut, name: &str, value: &[u8]) {
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// A field's name as old gateways expect it: `Content-Type`.
pub(super) fn title_case(name: &str) -> String {
    let mut begins = true;
    name.chars()
        .map(|c| {
            let cased = if begins { c.to_ascii_uppercase() } else { c };
            begins = c == '-';
            cased
        })
        .collect()
}

async fn answer_head<S: AsyncRead + Unpin>(wire: &mut Wire<S>) -> Option<AnswerHead> {
    loop {
        let head = AnswerHead::read(wire.read_head(ANSWER_HEAD_MAX).await.ok()?)?;
        if !head.is_interim() {
            return Some(head);
        }
    }
}

/// Relays the answer to the stream, piece by piece as the core takes it.
async fn relay<S: AsyncRead + Unpin>(
    head: AnswerHead,
    wire: &mut Wire<S>,
    respond: &mut SendResponse<Bytes>,
    (to_head, write): (bool, Duration),
) -> Option<()> {
    let mut body = head.body(to_head)?;
    let mut response = Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(head.status).ok()?;
    *response.headers_mut() = passing(&head.fields);
    let ends = matches!(body, Body::Fixed(0));
    let mut stream = respond.send_response(response, ends).ok()?;
    if ends {
        return Some(());
    }
    let mut piece = BytesMut::new();
    loop {
        let done = body.read(wire, &mut piece).await.ok()?;
        timeout(write, send(&mut stream, piece.split().freeze(), done)).await.ok()??;
        if done {
            return Some(());
        }
    }
}

/// The fields that HTTP/2 may carry.
fn passing(fields: &HeaderMap) -> HeaderMap {
    let ours = |name: &header::HeaderName| super::head::is_reserved(name.as_str());
    let pass = fields.iter().filter(|(name, _)| ours(name) || !stays_here(name.as_str()));
    pass.map(|(name, value)| (name.clone(), value.clone())).collect()
}

async fn send(stream: &mut SendStream<Bytes>, mut bytes: Bytes, ends: bool) -> Option<()> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let room = poll_fn(|context| stream.poll_capacity(context)).await?.ok()?;
        let now = bytes.split_to(room.min(bytes.len()));
        stream.send_data(now, false).ok()?;
    }
    if ends { stream.send_data(Bytes::new(), true).ok() } else { Some(()) }
}

#[cfg(test)]
mod tests {
    use super::title_case;

    #[test]
    fn names_are_written_as_old_gateways_expect() {
        assert_eq!(title_case("content-type"), "Content-Type");
        assert_eq!(title_case("x-yop-request-id"), "X-Yop-Request-Id");
        assert_eq!(title_case("date"), "Date");
    }
}
