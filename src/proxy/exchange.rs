//! One message out, one answer back. At most once: nothing that may have left is ever sent again.

use super::answer::AnswerHead;
use super::finished::Finished;
use super::gate::InDoubt;
use super::http2;
use super::pool::{Key, Pool};
use super::upstream::{Resolved, Upstream};
use super::wire::{Body, Broken, Wire};
use crate::policy::Permit;
use bytes::Bytes;
use pingora_core::connectors::{ConnectorOptions, TransportConnector};
use std::fmt;
use std::sync::Arc;
use tokio::io::AsyncRead;

/// The most `1xx` heads before an answer.
const INTERIM_MAX: usize = 16;
/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Connections to upstreams, kept for the next message.
pub(super) struct Connector {
    transport: TransportConnector,
    pool: Arc<Pool>,
    http2: http2::channel::Kept,
}

/// What came of a message.
#[derive(Debug)]
pub(super) enum Exchanged {
    /// The whole answer.
    Answer(Answer),
    /// An answer that is over the limit: its beginning, and where the rest comes from.
    TooLarge(Box<Coming>),
    /// It may have been received; nothing can be read.
    InDoubt(InDoubt),
    /// No address could be reached, and not a byte left.
    NotSent,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: AnswerHead,
    pub(super) body: Bytes,
    /// Bytes follow the body on the connection: somebody reads this answer differently.
    pub(super) has_excess: bool,
}

/// An answer that is over the limit and still coming; its connection is never used again.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) head: AnswerHead,
    /// What was read of the body.
    pub(super) begun: Bytes,
    /// How the rest ends.
    pub(super) rest: Body,
    /// Whence it comes.
    pub(super) wire: Wire,
}

/// A connection, and the pool's key for it.
pub(super) struct Connected {
    pub(super) wire: Wire,
    key: Key,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    /// Keeps at most `idle` connections.
    pub(super) fn new(idle: usize) -> Self {
        // Its own pool keeps nothing.
        let transport = TransportConnector::new(Some(ConnectorOptions::new(1)));
        let pool = Arc::new(Pool::new(idle));
        Self { transport, pool, http2: http2::channel::Kept::default() }
    }

    /// Sends the message, head and body in one piece, and reads the answer; with it comes whether it is a `HEAD`. The permit is
    /// used up.
    ///
    /// The future must be driven to its end once begun: the money may move whether or not the core still waits.
    pub(super) async fn exchange(
        &self,
        _permit: Permit,
        upstream: &Upstream,
        message: (&[u8], bool),
        finished: &mut Finished,
    ) -> Exchanged {
        self.send(upstream, message, finished).await
    }

    /// Sends what needs no permit, as it is not inspected.
    pub(super) async fn send(
        &self,
        upstream: &Upstream,
        (message, to_head): (&[u8], bool),
        finished: &mut Finished,
    ) -> Exchanged {
        if upstream.settings().http2 {
            let message = (message, to_head);
            let exchanging = self.http2.exchange(&self.transport, upstream, message, finished);
            return Box::pin(exchanging).await;
        }
        let Some(Connected { wire, key }) = self.connect(upstream, finished).await else {
            return Exchanged::NotSent;
        };
        // From here on nothing is tried again, whatever happens.
        let settings = upstream.settings();
        let conversing = converse(wire, message, to_head, settings.answer_bytes_max);
        match tokio::time::timeout(settings.answer_timeout, conversing).await {
            Err(_) => Exchanged::InDoubt(InDoubt::Late),
            Ok(Err(doubt)) => Exchanged::InDoubt(doubt),
            Ok(Ok((exchanged, None))) => exchanged,
            Ok(Ok((exchanged, Some(wire)))) => {
                self.keep(upstream, Connected { wire, key });
                exchanged
            }
        }
    }

    /// Keeps a connection for the next message.
    pub(super) fn keep(&self, upstream: &Upstream, Connected { wire, key }: Connected) {
        self.pool.keep(key, wire.stream, upstream.settings().idle_timeout);
    }

    /// A kept connection that the channel has not closed, or a new one to the first address that can be reached; which, is noted.
    pub(super) async fn connect(
        &self,
        upstream: &Upstream,
        finished: &mut Finished,
    ) -> Option<Connected> {
        for Resolved { at, key, .. } in upstream.known_peers().iter() {
            if let Some(stream) = self.pool.take(*key) {
                finished.reached = Some(*at);
                return Some(Connected { wire: Wire::new(stream), key: *key });
            }
        }
        // Rare, and larger than the rest.
        Box::pin(self.connect_anew(upstream, finished)).await
    }

    async fn connect_anew(
        &self,
        upstream: &Upstream,
        finished: &mut Finished,
    ) -> Option<Connected> {
        for Resolved { at, key, peer } in upstream.resolve().await.iter() {
            match self.transport.new_stream(peer).await {
                Ok(stream) => {
                    finished.reached = Some(*at);
                    return Some(Connected { wire: Wire::new(stream), key: *key });
                }
                Err(error) => tracing::warn!(upstream = upstream.name(), %error, "cannot connect"),
            }
        }
        None
    }
}

/// Yields what came, and the connection where it may be used again.
async fn converse(
    mut wire: Wire,
    message: &[u8],
    to_head: bool,
    max: usize,
) -> Result<(Exchanged, Option<Wire>), InDoubt> {
    wire.write(message).await.map_err(|_| InDoubt::Broken)?;
    let head = final_head(&mut wire).await?;
    let mut body = head.body(to_head).ok_or(InDoubt::Garbled)?;
    let keeps_alive = head.keeps_alive(&body);
    let collected = body.collect(&mut wire, max).await.map_err(doubt)?;
    if !collected.is_whole {
        return Ok((
            Exchanged::TooLarge(Box::new(Coming { head, begun: collected.body, rest: body, wire })),
            None,
        ));
    }
    let has_excess = !wire.ahead.is_empty();
    let answer = Answer { head, body: collected.body, has_excess };
    Ok((Exchanged::Answer(answer), (keeps_alive && !has_excess).then_some(wire)))
}

/// The head of the answer, after those that only say that one will come.
pub(super) async fn final_head<S: AsyncRead + Unpin>(
    wire: &mut Wire<S>,
) -> Result<AnswerHead, InDoubt> {
    for _ in 0..=INTERIM_MAX {
        let raw = wire.read_head(HEAD_BYTES_MAX).await.map_err(doubt)?;
        let head = AnswerHead::read(raw).ok_or(InDoubt::Garbled)?;
        if head.status == 101 {
            return Err(InDoubt::Garbled);
        }
        if !head.is_interim() {
            return Ok(head);
        }
    }
    Err(InDoubt::Garbled)
}

fn doubt(broken: Broken) -> InDoubt {
    match broken {
        Broken::Gone => InDoubt::Broken,
        Broken::Malformed(_) => InDoubt::Garbled,
    }
}
