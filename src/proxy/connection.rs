//! One connection of the core, request by request.

mod relay;

use super::Edge;
use super::exchange::{Answer, Exchanged};
use super::finished::{Ending as Ended, Finished};
use super::forward;
use super::gate::{Annotations, Gate, InDoubt, Inspected, Permitted, Reported, Route, Side};
use super::head::{self, Framing, Head, Length};
use super::http2;
use super::refuse::{Kind, Problem, Unanswered};
use super::upstream::{OnDoubt, Upstream};
use super::wire::{Body, Broken, Wire};
use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http::Method;
use pingora_core::protocols::tls::server::handshake;
use pingora_core::protocols::{Stream, l4};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tokio::time::error::Elapsed;

/// How long, and how much of, what the core still sends is taken after the connection's last answer: closing at once
/// would reset the connection, and the core would never read the answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_READS_MAX: usize = 2048;

/// Why no request can be read.
pub(super) enum Unread {
    /// Nobody is there to answer.
    Gone,
    /// The core is told why.
    Refused(Kind),
}

impl From<Broken> for Unread {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Gone => Self::Gone,
            Broken::Malformed(framing) => Self::Refused(Kind::Framing(framing)),
        }
    }
}

/// Serves requests until either side wants to stop, each by the edge that is in force when it begins.
pub(super) async fn serve<G: Gate>(
    edges: Arc<ArcSwap<Edge<G>>>,
    side: Side,
    stream: l4::stream::Stream,
) {
    let first = edges.load_full();
    let Some(stream) = first.greet(side, stream).await else { return };
    let mut wire = Wire::new(stream);
    if !first.is_asked(&mut wire).await {
        return;
    }
    match tokio::time::timeout(first.limits.head, http2::begins(&mut wire)).await {
        Ok(true) => return Box::pin(http2::serve(edges, side, wire)).await,
        Ok(false) => {}
        Err(_) => {
            let mut finished = Finished::begin(side);
            Box::pin(first.refuse(&mut finished, wire, Unread::Refused(Kind::Slow), true)).await;
            first.gate.finished(finished.end());
            return;
        }
    }
    drop(first);
    while edges.load_full().is_asked(&mut wire).await {
        // A connection that waits for the next one is no larger than it must be.
        match Box::pin(edges.load_full().serve_one(side, wire)).await {
            Some(next) => wire = next,
            None => return,
        }
    }
}

impl<G: Gate> Edge<G> {
    /// Serves one request; yields the connection where another may follow.
    pub(super) async fn serve_one(&self, side: Side, wire: Wire) -> Option<Wire> {
        let mut finished = Finished::begin(side);
        let next = self.serve_noting(&mut finished, wire).await;
        self.gate.finished(finished.end());
        next
    }

    /// Notes in `finished` what comes of it.
    async fn serve_noting(&self, finished: &mut Finished, mut wire: Wire) -> Option<Wire> {
        let side = finished.side;
        let read = match self.read_head(&mut wire).await {
            Ok(raw) => match check(side, &raw) {
                Ok(head) => Ok((raw, head)),
                Err(framing) => Err(Unread::Refused(Kind::Framing(framing))),
            },
            Err(unread) => Err(unread),
        };
        let (raw, head) = match read {
            Ok(read) => read,
            Err(unread) => return Box::pin(self.refuse(finished, wire, unread, true)).await,
        };
        finished.method = Some(head.method.clone());
        finished.trace = self.gate.trace(side, &head.host, &head.path, &head.fields);
        match self.gate.route(side, &head.host, &head.path) {
            Route::Inspected(upstream) => {
                finished.upstream = Some(upstream.name().into());
                self.inspect(finished, wire, &upstream, (&raw, &head)).await
            }
            Route::Streamed(upstream) => {
                finished.upstream = Some(upstream.name().into());
                Box::pin(self.stream(finished, wire, &upstream, (&raw, &head))).await
            }
            Route::Unknown => {
                let unread = Unread::Refused(Kind::NoRoute);
                Box::pin(self.refuse(finished, wire, unread, has_body(&head))).await
            }
        }
    }

    /// Shakes hands where the listener has TLS, within the deadline of a head.
    async fn greet(&self, side: Side, stream: l4::stream::Stream) -> Option<Stream> {
        let acceptor = match side {
            Side::Core => self.doors.core.as_ref(),
            Side::Notify => self.doors.notify.as_ref(),
        };
        let Some(acceptor) = acceptor else { return Some(Box::new(stream)) };
        let shaking = Box::pin(handshake(acceptor, stream));
        match tokio::time::timeout(self.limits.head, shaking).await {
            Ok(Ok(stream)) => Some(Box::new(stream)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => None,
        }
    }

    /// Whether a request begins: its first byte may take as long as a connection may idle, while draining and else.
    async fn is_asked(&self, wire: &mut Wire) -> bool {
        if !wire.ahead.is_empty() {
            return true;
        }
        // What was read is done with, and whoever waits holds no memory for it.
        wire.ahead = BytesMut::new();
        let drained = async {
            self.draining().await;
            tokio::time::sleep(self.limits.drain_idle).await;
        };
        tokio::select! {
            // What has come is served, however late it is.
            biased;
            filled = wire.fill() => matches!(filled, Ok(1..)),
            () = tokio::time::sleep(self.limits.idle) => false,
            () = drained => false,
        }
    }

    /// The head is due as a whole once its first byte came.
    async fn read_head(&self, wire: &mut Wire) -> Result<Bytes, Unread> {
        let reading = wire.read_head(self.limits.head_bytes);
        match within(self.limits.head, reading).await {
            Ok(read) => Ok(read?),
            Err(_) => Err(Unread::Refused(Kind::Slow)),
        }
    }

    /// Reads the body whole, asks the gate, and only with a permit forwards.
    async fn inspect(
        &self,
        finished: &mut Finished,
        mut wire: Wire,
        upstream: &Upstream,
        (raw, head): (&Bytes, &Head),
    ) -> Option<Wire> {
        let side = finished.side;
        let body = match self.read_body(&mut wire, head).await {
            Ok(body) => body,
            Err(unread) => {
                return Box::pin(self.refuse(finished, wire, unread, has_body(head))).await;
            }
        };
        finished.received = body.len();
        let begun = Instant::now();
        let (method, query) = (&head.method, head.query.as_deref());
        let (path, headers) = (&*head.path, &head.fields);
        let trace = finished.trace.as_ref().map(|traced| traced.at);
        let request = Inspected { side, method, path, query, headers, body: &body, trace };
        let judged = self.gate.judge(upstream, &request).await;
        finished.judged = begun.elapsed();
        let Permitted { permit, pending, annotations } = match judged {
            Ok(permitted) => permitted,
            Err(problem) if side == Side::Notify => {
                let unread = Unread::Refused(problem.kind);
                return Box::pin(self.refuse(finished, wire, unread, false)).await;
            }
            Err(problem) => {
                return Box::pin(self.answer_problem(finished, wire, head, *problem)).await;
            }
        };
        if wire.is_gone() {
            let _ = self.gate.settle(pending, Reported::NotSent).await;
            return None;
        }
        let message =
            forward::request(head, raw, &body, &to_core(side == Side::Notify, annotations));
        let message = (&*message, head.method == Method::HEAD);
        finished.ask();
        let exchanged = self.connector.exchange(permit, upstream, message, finished).await;
        finished.heard();
        let reported = match &exchanged {
            Exchanged::Answer(answer) if answer.has_excess => {
                Reported::Unread { status: answer.head.status }
            }
            Exchanged::Answer(Answer { head, body, .. }) => {
                Reported::Answer { status: head.status, headers: &head.fields, body }
            }
            Exchanged::TooLarge(answer) => Reported::Unread { status: answer.head.status },
            Exchanged::InDoubt(doubt) => Reported::InDoubt(*doubt),
            Exchanged::NotSent => Reported::NotSent,
        };
        let Ok(annotations) = self.gate.settle(pending, reported).await else {
            return Box::pin(self.unanswered(finished, wire, head, Unanswered::NotKept)).await;
        };
        let annotations = to_core(side == Side::Core, annotations);
        match exchanged {
            Exchanged::Answer(answer) => {
                self.relay(finished, wire, head, (answer, annotations)).await
            }
            other => {
                // Rare, and larger than the rest.
                let told = (other, annotations);
                Box::pin(self.pass_on(finished, wire, (upstream, head), told)).await
            }
        }
    }

    /// Passes on what came, or tells that nothing did.
    pub(super) async fn pass_on(
        &self,
        finished: &mut Finished,
        wire: Wire,
        (upstream, head): (&Upstream, &Head),
        (exchanged, annotations): (Exchanged, Annotations),
    ) -> Option<Wire> {
        let side = finished.side;
        match exchanged {
            Exchanged::Answer(answer) => {
                self.relay(finished, wire, head, (answer, annotations)).await
            }
            Exchanged::TooLarge(answer) => {
                finished.ending = Ended::Unread;
                finished.said = annotations;
                let patience = upstream.settings().answer_timeout;
                let relaying = self.relay_on(finished, wire, head, (*answer, patience));
                tokio::time::timeout(patience, relaying).await.ok().flatten()
            }
            Exchanged::InDoubt(doubt) if side == Side::Notify => {
                self.unanswered(finished, wire, head, Unanswered::from(doubt)).await
            }
            Exchanged::InDoubt(doubt) => {
                self.in_doubt((finished, doubt, annotations), wire, head, upstream).await
            }
            Exchanged::NotSent if side == Side::Notify => {
                self.unanswered(finished, wire, head, Unanswered::NotReached).await
            }
            Exchanged::NotSent => {
                let mut problem = Problem::new(Kind::Unavailable);
                problem.annotations = annotations;
                self.gate.refused(side, problem.kind);
                let next = self.answer_problem(finished, wire, head, problem).await;
                finished.ending = Ended::Unreachable;
                next
            }
        }
    }

    /// Tells a channel that the core has not acknowledged, and nothing else: it will come again.
    pub(super) async fn unanswered(
        &self,
        finished: &mut Finished,
        wire: Wire,
        head: &Head,
        why: Unanswered,
    ) -> Option<Wire> {
        tracing::warn!(?why, "a notification is not acknowledged");
        (finished.ending, finished.status) = (Ended::NotAcknowledged, Some(why.status()));
        let keep_alive = !wire.is_amid && self.keeps_alive(head);
        self.finish(finished, wire, &why.to_bytes(keep_alive), keep_alive).await
    }

    pub(super) async fn read_body(&self, wire: &mut Wire, head: &Head) -> Result<Bytes, Unread> {
        if head::overrides(head) {
            return Err(Unread::Refused(Kind::Framing(Framing::Override)));
        }
        let max = self.limits.body_bytes;
        let fits = match head.length {
            Length::Fixed(length) => match usize::try_from(length) {
                // Mostly all of it has come with the head.
                Ok(length) if length <= max && length <= wire.ahead.len() => {
                    return Ok(wire.ahead.split_to(length).freeze());
                }
                length => length.is_ok_and(|length| length <= max),
            },
            Length::Chunked => true,
        };
        let mut body = Body::from(head.length);
        let reading = Box::pin(async {
            // Nobody is invited to send what will be refused, or what is already coming.
            if head.expects_continue && fits && wire.ahead.is_empty() {
                wire.write(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| Broken::Gone)?;
            }
            body.collect(wire, max).await
        });
        match tokio::time::timeout(self.limits.body, reading).await {
            Err(_) => Err(Unread::Refused(Kind::Slow)),
            Ok(Ok(collected)) if !collected.is_whole => Err(Unread::Refused(Kind::TooLarge)),
            Ok(Ok(collected)) => Ok(collected.body),
            Ok(Err(broken)) => Err(broken.into()),
        }
    }

    pub(super) async fn in_doubt(
        &self,
        (finished, doubt, annotations): (&mut Finished, InDoubt, Annotations),
        wire: Wire,
        head: &Head,
        upstream: &Upstream,
    ) -> Option<Wire> {
        tracing::warn!(upstream = upstream.name(), ?doubt, "a message is in doubt");
        finished.ending = Ended::InDoubt;
        match upstream.settings().on_doubt {
            OnDoubt::Close => {
                finished.said = annotations;
                None
            }
            OnDoubt::Problem => {
                let mut problem = Problem::new(Kind::InDoubt);
                problem.annotations = annotations;
                self.answer_problem(finished, wire, head, problem).await
            }
        }
    }

    /// Answers a request whose head was read.
    pub(super) async fn answer_problem(
        &self,
        finished: &mut Finished,
        wire: Wire,
        head: &Head,
        problem: Problem,
    ) -> Option<Wire> {
        finished.own(problem.kind);
        let keep_alive = !wire.is_amid && self.keeps_alive(head);
        let out = problem.to_bytes(keep_alive, head.method != Method::HEAD);
        finished.said = problem.annotations;
        self.finish(finished, wire, &out, keep_alive).await
    }

    /// Answers a request that was not read whole, and closes.
    pub(super) async fn refuse(
        &self,
        finished: &mut Finished,
        mut wire: Wire,
        unread: Unread,
        more_may_come: bool,
    ) -> Option<Wire> {
        let Unread::Refused(kind) = unread else { return None };
        self.gate.refused(finished.side, kind);
        finished.own(kind);
        let out = match finished.side {
            Side::Core => Problem::new(kind).to_bytes(false, true),
            Side::Notify => kind.to_channel(),
        };
        let closing = async {
            wire.write(&out).await.ok()?;
            finished.written(out.len());
            wire.stream.shutdown().await.ok()?;
            if more_may_come {
                linger(&mut wire).await;
            }
            Some(())
        };
        let _ = tokio::time::timeout(self.limits.write.min(LINGER), closing).await;
        None
    }

    pub(super) async fn finish(
        &self,
        finished: &mut Finished,
        mut wire: Wire,
        out: &[u8],
        keep_alive: bool,
    ) -> Option<Wire> {
        // A core that does not read its answer must not hold the connection for ever.
        let written = within(self.limits.write, wire.write(out)).await;
        if !matches!(written, Ok(Ok(()))) {
            finished.ending = Ended::Gone;
            return None;
        }
        finished.written(out.len());
        if keep_alive { Some(wire) } else { Box::pin(self.close_unless(wire, keep_alive)).await }
    }

    /// Closes the connection after its last answer.
    pub(super) async fn close_unless(&self, mut wire: Wire, keep_alive: bool) -> Option<Wire> {
        if !keep_alive {
            // Closing was not the core's wish where we drain, or where it has not sent all: it may have sent more already.
            let may_have_sent = wire.is_amid || *self.drain.borrow();
            let closing = async {
                wire.stream.shutdown().await.ok()?;
                if may_have_sent {
                    linger(&mut wire).await;
                }
                Some(())
            };
            let _ = tokio::time::timeout(LINGER, closing).await;
        }
        keep_alive.then_some(wire)
    }

    pub(super) fn keeps_alive(&self, head: &Head) -> bool {
        head.keep_alive && !*self.drain.borrow()
    }
}

/// As [`tokio::time::timeout`]; what is done at once sets no timer.
async fn within<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    let mut work = pin!(work);
    match futures::poll!(&mut work) {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => Box::pin(tokio::time::timeout(limit, work)).await,
    }
}

/// Takes what the core still sends, until it closes.
async fn linger(wire: &mut Wire) {
    for _ in 0..LINGER_READS_MAX {
        wire.ahead.clear();
        if !matches!(wire.fill().await, Ok(1..)) {
            break;
        }
    }
}

/// Nothing of ours reaches a channel.
fn to_core(goes_to_core: bool, annotations: Annotations) -> Annotations {
    if goes_to_core { annotations } else { Annotations::new() }
}

/// Judges the head's bytes.
fn check(side: Side, raw: &Bytes) -> Result<Head, Framing> {
    let head = head::read_head(raw)?;
    // A channel that speaks in our name would be believed by the core.
    if side == Side::Notify && head.fields.keys().any(|name| head::is_reserved(name.as_str())) {
        return Err(Framing::Reserved);
    }
    Ok(head)
}

fn has_body(head: &Head) -> bool {
    head.length != Length::Fixed(0)
}

/// What the core is told about its connection; nothing where that is understood.
pub(super) const fn connection(head: &Head, keep_alive: bool) -> Option<&'static str> {
    match (keep_alive, head.is_http11) {
        (false, _) => Some("close"),
        (true, false) => Some("keep-alive"),
        (true, true) => None,
    }
}
