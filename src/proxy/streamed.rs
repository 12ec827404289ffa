//! Traffic that is not inspected: streamed through both ways, unbuffered, and never twice.

use super::Edge;
use super::answer::AnswerHead;
use super::connection::{Unread, connection};
use super::exchange::final_head;
use super::finished::{Ending as Ended, Finished};
use super::forward::{self, Ending};
use super::gate::{Annotations, Gate, InDoubt, Side};
use super::head::{Head, Length};
use super::refuse::{Kind, Problem, Unanswered};
use super::upstream::Upstream;
use super::wire::{Body, Broken, Wire};
use bytes::{Bytes, BytesMut};
use http::Method;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Why no answer came whole.
enum Cut {
    /// Nothing of it was passed on; the message may have been received.
    Unanswered(InDoubt),
    /// It broke off on its way to the core, or the core did.
    Broken,
}

/// What became of both connections.
struct Streamed {
    /// Whether the core's may serve another request.
    core: bool,
    /// Whether the upstream's may.
    upstream: bool,
}

impl<G: Gate> Edge<G> {
    /// Streams one request and its answer, within the limit; yields the connection where another may follow.
    pub(super) async fn stream(
        &self,
        finished: &mut Finished,
        wire: Wire,
        upstream: &Upstream,
        (raw, head): (&Bytes, &Head),
    ) -> Option<Wire> {
        finished.ending = Ended::Streamed;
        finished.ask();
        let streaming = async {
            if upstream.settings().http2 {
                self.send_whole(finished, wire, upstream, (raw, head)).await
            } else {
                self.stream_on(finished, wire, upstream, (raw, head)).await
            }
        };
        let next = timeout(self.limits.streamed, streaming).await.ok().flatten();
        finished.heard();
        next
    }

    async fn stream_on(
        &self,
        finished: &mut Finished,
        mut wire: Wire,
        upstream: &Upstream,
        (raw, head): (&Bytes, &Head),
    ) -> Option<Wire> {
        let mut upload = Upload::new(head.length);
        let mut out = forward::streamed_request(head, raw);
        // Nobody is connected to for what is malformed from the start.
        if let Err(broken) = upload.take(&mut wire.ahead, &mut out) {
            return self.refuse(finished, wire, Unread::from(broken), true).await;
        }
        wire.is_amid = !upload.done;
        if head.expects_continue && !upload.done && wire.ahead.is_empty() {
            wire.write(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
        }
        let Some(mut connected) = self.connector.connect(upstream, finished).await else {
            return self.not_reached(finished, wire, (head, upload.done)).await;
        };
        let patience = upstream.settings().answer_timeout;
        let sent = timeout(patience, connected.wire.write(&out)).await;
        let streamed = match sent {
            Err(_) => Err(Cut::Unanswered(InDoubt::Late)),
            Ok(Err(_)) => Err(Cut::Unanswered(InDoubt::Broken)),
            Ok(Ok(())) if upload.done => {
                let both = (&mut wire.stream, &mut connected.wire);
                answer(finished, both, (head, patience), || self.keeps_alive(head)).await
            }
            Ok(Ok(())) => {
                let both = (&mut wire, &mut connected.wire);
                self.stream_both(finished, both, head, (upload, patience)).await
            }
        };
        match streamed {
            Ok(Streamed { core, upstream: kept }) => {
                if kept {
                    self.connector.keep(upstream, connected);
                }
                self.close_unless(wire, core).await
            }
            Err(Cut::Broken) => None,
            Err(Cut::Unanswered(doubt)) if finished.side == Side::Notify => {
                self.unanswered(finished, wire, head, Unanswered::from(doubt)).await
            }
            Err(Cut::Unanswered(doubt)) => {
                self.in_doubt((finished, doubt, Annotations::new()), wire, head, upstream).await
            }
        }
    }

    /// Passes the rest of the body on while the answer may already come.
    async fn stream_both(
        &self,
        finished: &mut Finished,
        (core, upstream): (&mut Wire, &mut Wire),
        head: &Head,
        (mut upload, patience): (Upload, Duration),
    ) -> Result<Streamed, Cut> {
        let (from_core, mut to_core) = tokio::io::split(&mut core.stream);
        let (from_upstream, mut to_upstream) = tokio::io::split(&mut upstream.stream);
        let ahead = std::mem::take(&mut core.ahead);
        let mut from_core = Wire { stream: from_core, ahead, is_amid: true };
        let ahead = std::mem::take(&mut upstream.ahead);
        let mut from_upstream = Wire { stream: from_upstream, ahead, is_amid: false };
        let pace = self.limits.body;
        let uploaded = AtomicBool::new(false);
        let uploading = async {
            let ended = upload.run(&mut from_core, &mut to_upstream, pace).await;
            uploaded.store(ended.is_ok(), Ordering::Relaxed);
            ended
        };
        // The answer is due only when all was sent.
        let due = patience.saturating_add(self.limits.streamed);
        let both = (&mut to_core, &mut from_upstream);
        // Whoever is answered before is told that the connection ends.
        let keeps_alive = || uploaded.load(Ordering::Relaxed) && self.keeps_alive(head);
        let answering = answer(finished, both, (head, due), keeps_alive);
        tokio::pin!(answering);
        let answered = tokio::select! {
            // Of what comes at once, the end of the upload counts: nothing of it is left to read then.
            biased;
            uploaded = uploading => match uploaded {
                Ok(()) => answering.await,
                // An upstream that reads no more may have answered why.
                Err(Upset::Upstream) => answering.await.map(|_| Streamed { core: false, upstream: false }),
                Err(Upset::Core) => Err(Cut::Broken),
            },
            // Whoever answers before it has all does not want the rest.
            answered = &mut answering => answered.map(|_| Streamed { core: false, upstream: false }),
        };
        // Of the upstream's nothing is left where its connection may be used again.
        core.ahead = from_core.ahead;
        core.is_amid = !uploaded.load(Ordering::Relaxed);
        answered
    }

    /// No address could be reached, and not a byte left.
    async fn not_reached(
        &self,
        finished: &mut Finished,
        wire: Wire,
        (head, is_whole): (&Head, bool),
    ) -> Option<Wire> {
        if finished.side == Side::Notify {
            return self.unanswered(finished, wire, head, Unanswered::NotReached).await;
        }
        if !is_whole {
            return self.refuse(finished, wire, Unread::Refused(Kind::Unavailable), true).await;
        }
        self.gate.refused(finished.side, Kind::Unavailable);
        self.answer_problem(finished, wire, head, Problem::new(Kind::Unavailable)).await
    }

    /// Towards HTTP/2 a message is one piece, as where it is inspected.
    async fn send_whole(
        &self,
        finished: &mut Finished,
        mut wire: Wire,
        upstream: &Upstream,
        (raw, head): (&Bytes, &Head),
    ) -> Option<Wire> {
        let body = match self.read_body(&mut wire, head).await {
            Ok(body) => body,
            Err(unread) => return self.refuse(finished, wire, unread, true).await,
        };
        let message = forward::request(head, raw, &body, &Annotations::new());
        let message = (&*message, head.method == Method::HEAD);
        let exchanged = self.connector.send(upstream, message, finished).await;
        self.pass_on(finished, wire, (upstream, head), (exchanged, Annotations::new())).await
    }
}

/// The body of a request, as it goes on.
struct Upload {
    body: Body,
    chunked: bool,
    done: bool,
}

/// Who ended an upload.
enum Upset {
    Core,
    Upstream,
}

impl Upload {
    fn new(length: Length) -> Self {
        Self { body: Body::from(length), chunked: length == Length::Chunked, done: false }
    }

    /// Moves what came already.
    fn take(&mut self, ahead: &mut BytesMut, out: &mut BytesMut) -> Result<(), Broken> {
        let mut piece = BytesMut::new();
        self.done = self.body.take(ahead, &mut piece)?;
        self.put(&piece, out);
        Ok(())
    }

    fn put(&self, piece: &[u8], out: &mut BytesMut) {
        if self.chunked {
            forward::chunk(out, piece, self.done);
        } else {
            out.extend_from_slice(piece);
        }
    }

    /// Passes the rest on, each piece within `pace`.
    async fn run<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &mut self,
        core: &mut Wire<R>,
        upstream: &mut W,
        pace: Duration,
    ) -> Result<(), Upset> {
        let (mut piece, mut out) = (BytesMut::new(), BytesMut::new());
        while !self.done {
            piece.clear();
            out.clear();
            let read = timeout(pace, self.body.read(core, &mut piece)).await;
            self.done = read.map_err(|_| Upset::Core)?.map_err(|_| Upset::Core)?;
            self.put(&piece, &mut out);
            let written = timeout(pace, put(upstream, &out)).await;
            written.map_err(|_| Upset::Upstream)?.map_err(|_| Upset::Upstream)?;
        }
        Ok(())
    }
}

async fn put<W: AsyncWrite + Unpin>(to: &mut W, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// Reads the answer and passes it on as it comes.
async fn answer<W: AsyncWrite + Unpin, S: AsyncRead + Unpin>(
    finished: &mut Finished,
    (core, upstream): (&mut W, &mut Wire<S>),
    (head, patience): (&Head, Duration),
    keeps_alive: impl Fn() -> bool,
) -> Result<Streamed, Cut> {
    let coming = timeout(patience, final_head(upstream)).await;
    let answer = coming.map_err(|_| Cut::Unanswered(InDoubt::Late))?.map_err(Cut::Unanswered)?;
    let body = answer.body(head.method == Method::HEAD);
    let mut rest = body.ok_or(Cut::Unanswered(InDoubt::Garbled))?;
    let kept = answer.keeps_alive(&rest);
    let mut begun = BytesMut::new();
    // What came with the head goes on with it.
    let whole = rest.take(&mut upstream.ahead, &mut begun);
    whole.map_err(|_| Cut::Unanswered(InDoubt::Garbled))?;
    let relaying = Relaying::of(head, &rest, keeps_alive());
    let begun = begun.freeze();
    finished.status = Some(answer.status);
    let relayed =
        relaying.pass_on(finished, core, upstream, ((&answer, &begun, &mut rest), patience));
    relayed.await.ok_or(Cut::Broken)?;
    Ok(Streamed { core: relaying.keep_alive, upstream: kept && upstream.ahead.is_empty() })
}

/// An answer: its head, what was read of its body, and how the rest ends.
type Begun<'a> = (&'a AnswerHead, &'a [u8], &'a mut Body);

/// How an answer that comes in pieces is passed on.
pub(super) struct Relaying {
    ending: Ending,
    connection: Option<&'static str>,
    /// Whether the core's connection may serve another request afterwards.
    pub(super) keep_alive: bool,
}

impl Relaying {
    /// An answer that ends as `body` does.
    pub(super) fn of(head: &Head, body: &Body, may_stay: bool) -> Self {
        let ending = match body {
            Body::Fixed(_) => Ending::AsTold,
            Body::Chunked(_) | Body::UntilClose if head.is_http11 => Ending::Chunks,
            Body::Chunked(_) | Body::UntilClose => Ending::Close,
        };
        let keep_alive = may_stay && ending != Ending::Close;
        Self { ending, connection: connection(head, keep_alive), keep_alive }
    }

    /// Passes all of it on. `None` where either connection broke, or a piece took longer than `patience`.
    pub(super) async fn pass_on<W: AsyncWrite + Unpin, S: AsyncRead + Unpin>(
        &self,
        finished: &mut Finished,
        core: &mut W,
        upstream: &mut Wire<S>,
        ((head, begun, rest), patience): (Begun<'_>, Duration),
    ) -> Option<()> {
        let mut out =
            forward::answer(head, &finished.said, self.ending, self.connection, begun.len());
        let mut done = rest.is_done();
        self.put(&mut out, begun, done);
        let mut piece = BytesMut::new();
        loop {
            timeout(patience, put(core, &out)).await.ok()?.ok()?;
            finished.written(out.len());
            if done {
                return Some(());
            }
            out.clear();
            piece.clear();
            done = timeout(patience, rest.read(upstream, &mut piece)).await.ok()?.ok()?;
            self.put(&mut out, &piece, done);
        }
    }

    fn put(&self, out: &mut BytesMut, piece: &[u8], last: bool) {
        if self.ending == Ending::Chunks {
            forward::chunk(out, piece, last);
        } else {
            out.extend_from_slice(piece);
        }
    }
}
