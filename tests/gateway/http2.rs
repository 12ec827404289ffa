//! HTTP/2 from the core and to the channel: the same judge, the same bytes; and what one connection may ask for.

use crate::peers::{Judgement, Peer, Plan, Reply, World, channel, ok, plan, soon};
use bytes::{Bytes, BytesMut};
use h2::SendStream;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

async fn connect(world: &World) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(path: &str) -> http::request::Builder {
    Request::builder().method("POST").uri(format!("http://bank{path}"))
}

/// Status, fields and body of the answer to one request.
async fn ask(
    sender: &SendRequest<Bytes>,
    request: Request<()>,
    body: &[u8],
) -> Result<(u16, HeaderMap, Vec<u8>), h2::Error> {
    let mut sender = soon(sender.clone().ready()).await?;
    let (response, mut stream) = sender.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        stream.send_data(Bytes::copy_from_slice(body), true)?;
    }
    let (parts, mut stream) = soon(response).await?.into_parts();
    let mut read = Vec::new();
    while let Some(piece) = soon(stream.data()).await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        read.extend_from_slice(&piece);
    }
    Ok((parts.status.as_u16(), parts.headers, read))
}

#[tokio::test]
async fn a_request_leaves_as_one_of_http1_with_the_same_body() {
    let bank = channel(|_| ok("done")).await;
    let world = World::with(&bank).await;
    let sender = connect(&world).await;
    for size in [0, 1, 500, 65_535, 65_536, 70_000, 1024 * 1024] {
        let body: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
        for told in [false, true] {
            let mut message =
                request("/pay/x").header("content-type", "text/x").header("hefu-account", "7");
            if told {
                message = message.header("content-length", size);
            }
            let (status, headers, answer) =
                ask(&sender, message.body(()).unwrap(), &body).await.unwrap();
            assert_eq!(
                (status, answer.as_slice(), headers["hefu-outcome"].to_str().unwrap()),
                (200, &b"done"[..], "unmapped")
            );
            assert!(!headers.contains_key("connection"));
            let sent = bank.messages().pop().unwrap();
            assert_eq!(sent.body, body);
            assert!(
                sent.head
                    .starts_with("POST /pay/x HTTP/1.1\r\nHost: bank\r\nContent-Type: text/x\r\n"),
                "{}",
                sent.head
            );
            assert!(
                sent.field("transfer-encoding").is_none() && sent.field("hefu-account").is_none(),
                "{}",
                sent.head
            );
        }
    }
    assert_eq!(world.judged(), 14);
}

#[tokio::test]
async fn streams_of_one_connection_are_judged_each() {
    let told = Arc::new(Notify::new());
    let later = Arc::clone(&told);
    let bank = channel(move |number| {
        if number == 0 { Reply::Wait(Arc::clone(&later), answer("slow")) } else { ok("quick") }
    })
    .await;
    let world = World::with(&bank).await;
    let sender = connect(&world).await;
    let slow = tokio::spawn({
        let sender = sender.clone();
        async move { ask(&sender, request("/pay/slow").body(()).unwrap(), b"1").await.unwrap().2 }
    });
    bank.arrived.notified().await;
    let quick = ask(&sender, request("/pay/quick").body(()).unwrap(), b"2").await.unwrap();
    assert_eq!(quick.2, b"quick");
    told.notify_one();
    assert_eq!(slow.await.unwrap(), b"slow");
}

fn answer(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn what_is_streamed_on_http1_is_streamed_here() {
    let large = "x".repeat(300_000);
    let bank = channel(move |_| ok(&large)).await;
    let world = World::with(&bank).await;
    let sender = connect(&world).await;
    for path in ["/file/x", "/pay/larger-than-the-limit"] {
        let (status, _, body) =
            ask(&sender, request(path).body(()).unwrap(), &vec![7; 100_000]).await.unwrap();
        assert_eq!((status, body.len()), (200, 300_000), "{path}");
        assert_eq!(bank.messages().pop().unwrap().body.len(), 100_000);
    }
}

/// Refused with this status, or reset by the library; either way not a byte and no connection reaches the channel.
#[tokio::test]
async fn what_has_two_readings_is_refused() {
    let bank = channel(|_| ok("never")).await;
    let world = World::with(&bank).await;
    let check = async |message: http::request::Builder, body: &[u8], expected: Option<u16>| {
        let sender = connect(&world).await;
        let message = message.body(()).unwrap();
        let shown = format!("{message:?}");
        let told = ask(&sender, message, body).await.ok().map(|(status, ..)| status);
        assert_eq!(told, expected, "{shown}");
    };
    check(request("/pay/x").header("host", "other"), b"1", Some(400)).await;
    check(request("/pay/%2e%2e/y"), b"1", Some(400)).await;
    check(request("/pay//x"), b"1", Some(400)).await;
    check(request("/pay/x").header("x-original-url", "/y"), b"1", Some(400)).await;
    check(
        request("/pay/x").header("content-type", "a").header("content-type", "b"),
        b"1",
        Some(400),
    )
    .await;
    check(request("/nowhere"), b"1", Some(404)).await;
    check(request("/pay/x").header("content-length", "5"), b"123", None).await;
    check(request("/pay/x").header("content-length", "2"), b"123", None).await;
    check(request("/pay/x").header("x-long", "y".repeat(20_000)), b"1", Some(431)).await;
    let many =
        (0..120).fold(request("/pay/x"), |message, at| message.header(format!("x-{at}"), "1"));
    check(many, b"1", Some(431)).await;
    check(request("/pay/x"), &vec![7; 1024 * 1024 + 1], Some(413)).await;
    assert_eq!((world.judged(), bank.connections()), (0, 0));
}

#[tokio::test]
async fn a_refusal_is_told() {
    let bank = channel(|_| ok("never")).await;
    let mut plan = plan(&[bank.address]);
    plan.judgement = Judgement::Refuse;
    let world = plan.serve().await;
    let sender = connect(&world).await;
    let (status, headers, body) =
        ask(&sender, request("/pay/x").body(()).unwrap(), b"1").await.unwrap();
    assert_eq!(
        (
            status,
            headers["hefu-decision"].to_str().unwrap(),
            headers["content-type"].to_str().unwrap()
        ),
        (403, "refuse", "application/problem+json")
    );
    assert!(String::from_utf8(body).unwrap().contains("\"forwarded\":false"));
    assert_eq!(bank.connections(), 0);
}

/// A core that goes away before the permit sent nothing; after it, the exchange is finished.
#[tokio::test]
async fn a_reset_before_the_permit_sends_nothing_and_after_it_changes_nothing() {
    let bank = channel(|_| ok("done")).await;
    let hold = Arc::new(Notify::new());
    let mut plan = plan(&[bank.address]);
    plan.hold = Some(Arc::clone(&hold));
    let world = plan.serve().await;
    let sender = connect(&world).await;
    let mut ready = sender.clone().ready().await.unwrap();
    let (response, mut stream) =
        ready.send_request(request("/pay/x").body(()).unwrap(), false).unwrap();
    stream.send_data(Bytes::from_static(b"1"), true).unwrap();
    soon(world.gate.judging.notified()).await;
    stream.send_reset(h2::Reason::CANCEL);
    drop(response);
    // The reset has arrived when a later message on the same connection has: judged beside the first.
    let later = tokio::spawn({
        let sender = sender.clone();
        async move { ask(&sender, request("/pay/y").body(()).unwrap(), b"2").await.unwrap().0 }
    });
    soon(world.gate.judging.notified()).await;
    hold.notify_one();
    hold.notify_one();
    soon(world.gate.settling.notified()).await;
    hold.notify_one();
    assert_eq!(soon(later).await.unwrap(), 200);
    let settled = world.settled();
    assert!(settled.contains(&"NotSent".to_owned()) && settled.len() == 2, "{settled:?}");
    assert_eq!(bank.messages().len(), 1);
}

#[tokio::test]
async fn draining_serves_what_is_under_way_and_takes_no_more() {
    let told = Arc::new(Notify::new());
    let later = Arc::clone(&told);
    let bank = channel(move |_| Reply::Wait(Arc::clone(&later), answer("done"))).await;
    let world = World::with(&bank).await;
    let sender = connect(&world).await;
    let asked = tokio::spawn({
        let sender = sender.clone();
        async move { ask(&sender, request("/pay/x").body(()).unwrap(), b"1").await.unwrap().2 }
    });
    bank.arrived.notified().await;
    world.drain.send_replace(true);
    told.notify_one();
    assert_eq!(soon(asked).await.unwrap(), b"done");
    soon(world.served).await.unwrap();
    assert!(ask(&sender, request("/pay/x").body(()).unwrap(), b"1").await.is_err());
}

// --- raw frames ---------------------------------------------------------------------------------------------------------

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A literal field, without indexing or Huffman coding (RFC 7541 section 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        field.push(u8::try_from(text.len()).unwrap());
        field.extend(text.bytes());
    }
    field
}

fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| self::field(name, value)).collect()
}

const LEGAL: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "bank"), (":path", "/pay/x")];

/// What became of a connection after these frames.
#[derive(Debug, PartialEq)]
enum End {
    /// GOAWAY with this code, or the connection closed without a word: 0xffff.
    Away(u32),
    /// The first stream was reset.
    Reset,
    /// The first stream was answered.
    Answered,
}

async fn end_of(world: &World, frames: impl IntoIterator<Item = Vec<u8>>) -> End {
    let mut core = Peer::connect(world.address).await;
    core.send(PREFACE).await;
    core.send(frame(4, 0, 0, &[])).await;
    let (mut reader, mut writer) = core.stream.split();
    let frames: Vec<Vec<u8>> = frames.into_iter().collect();
    let sending = async {
        for frame in frames {
            if writer.write_all(&frame).await.is_err() {
                break;
            }
        }
        std::future::pending::<End>().await
    };
    let reading = async {
        let mut read = BytesMut::new();
        loop {
            while read.len() >= 9 {
                let length =
                    usize::from(read[0]) << 16 | usize::from(read[1]) << 8 | usize::from(read[2]);
                if read.len() < 9 + length {
                    break;
                }
                let whole = read.split_to(9 + length);
                match whole[3] {
                    1 => return End::Answered,
                    3 => return End::Reset,
                    7 => {
                        return End::Away(u32::from_be_bytes([
                            whole[13], whole[14], whole[15], whole[16],
                        ]));
                    }
                    _ => {}
                }
            }
            if reader.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return End::Away(0xffff);
            }
        }
    };
    soon(async {
        tokio::select! { end = sending => end, end = reading => end }
    })
    .await
}

const CALM: End = End::Away(0xb);

#[tokio::test]
async fn a_connection_has_a_budget_beside_its_requests() {
    let bank = channel(|_| ok("done")).await;
    let world = World::with(&bank).await;
    let flood = |frame: Vec<u8>| std::iter::repeat_n(frame, 100_000);
    assert_eq!(end_of(&world, flood(frame(4, 0, 0, &[]))).await, CALM, "SETTINGS");
    assert_eq!(end_of(&world, flood(frame(6, 0, 0, &[0; 8]))).await, CALM, "PING");
    assert_eq!(end_of(&world, flood(frame(2, 0, 1, &[0, 0, 0, 0, 9]))).await, CALM, "PRIORITY");
    assert_eq!(end_of(&world, flood(frame(8, 0, 0, &[0, 0, 0, 1]))).await, CALM, "WINDOW_UPDATE");
    assert_eq!(end_of(&world, flood(frame(77, 0, 0, &[]))).await, CALM, "unknown");
    let open = [frame(
        1,
        4,
        1,
        &fields(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "bank"),
            (":path", "/pay/x"),
        ]),
    )];
    let empty = open.iter().cloned().chain(flood(frame(0, 0, 1, &[])));
    assert!(matches!(end_of(&world, empty).await, End::Away(_)), "empty DATA");
    let headless = [frame(1, 0, 1, &fields(&LEGAL))].into_iter().chain(flood(frame(9, 0, 1, &[])));
    assert!(matches!(end_of(&world, headless).await, End::Away(_)), "CONTINUATION");
    let resets = (0..50_000_u32).flat_map(|at| {
        let stream = 2 * at + 1;
        [
            frame(
                1,
                5,
                stream,
                &fields(&[
                    (":method", "GET"),
                    (":scheme", "http"),
                    (":authority", "nobody"),
                    (":path", "/nowhere"),
                ]),
            ),
            frame(3, 0, stream, &[0, 0, 0, 8]),
        ]
    });
    let end = end_of(&world, resets).await;
    assert!(matches!(end, End::Away(_) | End::Answered), "rapid reset: {end:?}");
    // An honest connection is none of that.
    assert_eq!(end_of(&world, [frame(1, 5, 1, &fields(&LEGAL))]).await, End::Answered);
}

/// A stream that is reset is over for HTTP/2, and what it began was not: it made room for another each time.
#[tokio::test]
async fn resets_do_not_get_round_the_limit_of_requests() {
    let bank = channel(|_| ok("never")).await;
    let mut plan = plan(&[bank.address]);
    plan.hold = Some(Arc::default());
    let world = plan.serve().await;
    let sender = connect(&world).await;
    for _ in 0..128 {
        let mut ready = soon(sender.clone().ready()).await.unwrap();
        let (_response, mut stream) =
            ready.send_request(request("/pay/x").body(()).unwrap(), true).unwrap();
        soon(world.gate.judging.notified()).await;
        stream.send_reset(h2::Reason::CANCEL);
    }
    let refused = ask(&sender, request("/pay/x").body(()).unwrap(), b"").await.unwrap_err();
    assert_eq!(refused.reason(), Some(h2::Reason::REFUSED_STREAM));
}

/// Ten thousand names for the price of one: the header list is bounded, decoded or not.
#[tokio::test]
async fn a_compressed_bomb_is_refused() {
    let bank = channel(|_| ok("never")).await;
    let world = World::with(&bank).await;
    let mut block = fields(&LEGAL);
    // One field into the table (RFC 7541 section 6.2.1), then references to it.
    block.extend([0x40, 1, b'x', 127]);
    block.extend([b'y'; 127]);
    block.extend(std::iter::repeat_n(0xbe, 10_000));
    let end = end_of(&world, [frame(1, 5, 1, &block)]).await;
    assert_ne!(end, End::Away(0xffff));
    assert_eq!(bank.connections(), 0);
}

#[tokio::test]
async fn framing_that_http2_forbids_is_reset() {
    let bank = channel(|_| ok("never")).await;
    let world = World::with(&bank).await;
    let check = async |list: &[(&str, &str)]| {
        let end = end_of(&world, [frame(1, 5, 1, &fields(list))]).await;
        assert!(matches!(end, End::Reset | End::Away(1)), "{list:?}: {end:?}");
    };
    let with = |more: &[(&'static str, &'static str)]| [&LEGAL[..], more].concat();
    check(&LEGAL[..3]).await;
    check(&with(&[(":path", "/pay/y")])).await;
    check(&with(&[("x-a", "1"), (":path", "/pay/y")])).await;
    check(&with(&[("X-Upper", "1")])).await;
    check(&with(&[("connection", "close")])).await;
    check(&with(&[("transfer-encoding", "chunked")])).await;
    check(&with(&[("te", "gzip")])).await;
    check(&with(&[("x-a", "1\r\nx-b: 2")])).await;
    check(&with(&[("x-a", "\0")])).await;
    check(&[(":method", "GET"), (":scheme", "http"), (":authority", "bank"), (":path", "")]).await;
    // Two authorities are the strict reader's to refuse.
    let end = end_of(&world, [frame(1, 5, 1, &fields(&with(&[("host", "other")])))]).await;
    assert_eq!(end, End::Answered);
    assert_eq!((world.judged(), bank.connections()), (0, 0));
}

// --- to the channel -----------------------------------------------------------------------------------------------------

/// What a channel of HTTP/2 does with its nth stream.
pub(crate) type Doing = fn(usize) -> Does;

#[derive(Clone, Copy)]
pub(crate) enum Does {
    Answers,
    Refuses,
    Leaves,
    /// Never answers.
    Silent,
    /// Resets an answer without a length after more than the limit.
    BreaksOff,
    /// Sends as much and then nothing, until it is given up.
    Stalls,
}

/// Streams that a channel takes at once on one connection.
pub(crate) const STREAMS: usize = 4;

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    pub(crate) closed: usize,
    pub(crate) given_up: usize,
    pub(crate) requests: Vec<(String, HeaderMap, Vec<u8>)>,
}

async fn channel2(does: fn(usize) -> Does) -> (std::net::SocketAddr, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let told = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            told.lock().unwrap().connections += 1;
            let seen = Arc::clone(&told);
            tokio::spawn(async move {
                let mut builder = h2::server::Builder::new();
                builder.max_concurrent_streams(u32::try_from(STREAMS).unwrap());
                let mut connection = builder.handshake::<_, Bytes>(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let number = seen.lock().unwrap().requests.len();
                    let (parts, mut stream) = request.into_parts();
                    // The connection must be polled for the body to come, so a stream is served beside it.
                    let seen = Arc::clone(&seen);
                    let doing = does(number);
                    if matches!(doing, Does::Leaves) {
                        seen.lock().unwrap().requests.push((
                            parts.uri.to_string(),
                            parts.headers,
                            Vec::new(),
                        ));
                        return;
                    }
                    tokio::spawn(async move {
                        let mut body = Vec::new();
                        while let Some(Ok(piece)) = stream.data().await {
                            let _ = stream.flow_control().release_capacity(piece.len());
                            body.extend_from_slice(&piece);
                        }
                        seen.lock().unwrap().requests.push((
                            parts.uri.to_string(),
                            parts.headers,
                            body,
                        ));
                        if matches!(doing, Does::Refuses) {
                            return respond.send_reset(h2::Reason::REFUSED_STREAM);
                        }
                        if matches!(doing, Does::Silent) {
                            return std::future::pending().await;
                        }
                        let response =
                            http::Response::builder().header("x-bank", "1").body(()).unwrap();
                        let mut stream = respond.send_response(response, false).unwrap();
                        match doing {
                            Does::BreaksOff => {
                                send_most(&mut stream).await;
                                stream.send_reset(h2::Reason::INTERNAL_ERROR);
                            }
                            Does::Stalls => {
                                send_most(&mut stream).await;
                                poll_fn(|context| stream.poll_reset(context)).await.unwrap();
                                seen.lock().unwrap().given_up += 1;
                            }
                            _ => {
                                stream.send_data(Bytes::from(vec![b'z'; 100_000]), true).unwrap();
                            }
                        }
                    });
                }
                seen.lock().unwrap().closed += 1;
            });
        }
    });
    (address, seen)
}

/// Sends so much that more than the limit has left when the last of it may.
async fn send_most(stream: &mut SendStream<Bytes>) {
    let mut left = 400_000;
    while left > 0 {
        stream.reserve_capacity(left.min(10_000));
        let room = poll_fn(|context| stream.poll_capacity(context)).await.unwrap().unwrap();
        let now = room.min(left);
        stream.send_data(Bytes::from(vec![b'z'; now]), false).unwrap();
        left -= now;
    }
}

/// Where a channel is that answers every stream.
pub(crate) async fn answering() -> std::net::SocketAddr {
    channel2(|_| Does::Answers).await.0
}

async fn world2(does: Doing) -> (World, Arc<Mutex<Seen>>) {
    let (plan, seen) = plan2(does).await;
    (plan.serve().await, seen)
}

pub(crate) async fn plan2(does: Doing) -> (Plan, Arc<Mutex<Seen>>) {
    let (address, seen) = channel2(does).await;
    let mut plan = plan(&[address]);
    plan.settings.http2 = true;
    (plan, seen)
}

#[tokio::test]
async fn a_channel_of_http2_gets_an_authority_and_the_same_body() {
    let (world, seen) = world2(|_| Does::Answers).await;
    let body = vec![7; 200_000];
    for _ in 0..3 {
        let answer = world.ask(crate::peers::post(&body)).await;
        assert_eq!(
            (answer.status(), answer.body.len(), answer.field("X-Bank")),
            (200, 100_000, Some("1"))
        );
    }
    let seen = seen.lock().unwrap();
    let (uri, headers, sent) = &seen.requests[2];
    assert_eq!((seen.connections, seen.requests.len(), uri.as_str()), (1, 3, "http://bank/pay/x"));
    assert!(
        *sent == body && !headers.contains_key("host") && headers["content-length"] == "200000"
    );
    assert_eq!(world.settled(), ["200 100000"; 3]);
}

fn refuses_first(number: usize) -> Does {
    if number == 0 { Does::Refuses } else { Does::Answers }
}

fn leaves_first(number: usize) -> Does {
    if number == 0 { Does::Leaves } else { Does::Answers }
}

/// Also where the protocol would allow it: what may have left is never sent again.
#[tokio::test]
async fn a_refused_stream_or_a_lost_connection_is_in_doubt_and_not_sent_again() {
    let table: [(Doing, usize); 2] = [(refuses_first, 1), (leaves_first, 2)];
    for (does, connections) in table {
        let (world, seen) = world2(does).await;
        assert_eq!(world.ask(crate::peers::post(b"1")).await.status(), 504);
        assert_eq!(seen.lock().unwrap().requests.len(), 1);
        assert_eq!(world.ask(crate::peers::post(b"2")).await.status(), 200);
        let seen = seen.lock().unwrap();
        assert_eq!((seen.requests.len(), seen.connections), (2, connections));
        assert_eq!(world.settled(), ["InDoubt(Broken)", "200 100000"]);
    }
}

#[tokio::test]
async fn a_channel_that_cannot_be_reached_was_sent_nothing() {
    let mut plan = plan(&[crate::channel::dead()]);
    plan.settings.http2 = true;
    let world = plan.serve().await;
    let answer = world.ask(crate::peers::post(b"1")).await;
    assert_eq!((answer.status(), world.settled()), (503, vec!["NotSent".to_owned()]));
}
