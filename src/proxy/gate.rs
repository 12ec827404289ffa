//! What the edge asks before it forwards, and tells after: the service implements it.

use super::finished::{Finished, Traced};
use super::refuse::{Kind, Problem};
use super::upstream::Upstream;
use crate::domain::trace::Trace;
use crate::policy::Permit;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::sync::Arc;

/// Which listener a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The core's: requests to channels.
    Core,
    /// The channels': notifications to the core.
    Notify,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub enum Route {
    /// Read whole, judged, and forwarded with a permit only.
    Inspected(Arc<Upstream>),
    /// Streamed through, unread.
    Streamed(Arc<Upstream>),
    /// Nowhere.
    Unknown,
}

/// A request whose body is complete.
#[derive(Clone, Copy, Debug)]
pub struct Inspected<'a> {
    /// Which listener it came by.
    pub side: Side,
    /// The method.
    pub method: &'a Method,
    /// The path that the route was found by: decoded, lower-cased.
    pub path: &'a str,
    /// The raw query.
    pub query: Option<&'a str>,
    /// Every field, `Hefu-*` included.
    pub headers: &'a HeaderMap,
    /// The body, without a transfer coding.
    pub body: &'a Bytes,
    /// Where it stands in a trace.
    pub trace: Option<Trace>,
}

/// Fields of ours.
pub type Annotations = Vec<(HeaderName, HeaderValue)>;

/// A message that may be forwarded.
#[derive(Debug)]
pub struct Permitted<P> {
    /// The right to forward it.
    pub permit: Permit,
    /// What is remembered until the answer.
    pub pending: P,
    /// What the core is told beside a notification. Nothing of ours reaches a channel: the edge drops them elsewhere.
    pub annotations: Annotations,
}

/// Why a message that may have left has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InDoubt {
    /// The connection broke, before or in the answer.
    Broken,
    /// No whole answer in time.
    Late,
    /// What came is no answer.
    Garbled,
}

/// What came of a permitted message.
#[derive(Clone, Copy, Debug)]
pub enum Reported<'a> {
    /// The channel's whole answer.
    Answer {
        /// Its status.
        status: u16,
        /// Its fields.
        headers: &'a HeaderMap,
        /// Its body, without a transfer coding.
        body: &'a [u8],
    },
    /// The channel's answer goes on to the core, but is not to be believed: it is over the limit, or bytes follow it.
    Unread {
        /// Its status.
        status: u16,
    },
    /// It may have reached the channel, and nothing can be read.
    InDoubt(InDoubt),
    /// Not a byte left: no address could be reached, or the core hung up before.
    NotSent,
}

/// The core's acknowledgement must not reach the channel: what it acknowledges would be lost. The channel will come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withheld;

/// The judge beside the edge.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// What is remembered of a message between its permit and its answer. Judging ends when it is made and settling
    /// begins when it comes back: between the two the channel has the time.
    type Pending: Send;

    /// Finds the route of a request. The path is decoded and lower-cased, the host lower-cased and without a port.
    fn route(&self, side: Side, host: &str, path: &str) -> Route;

    /// The trace that a request is a part of.
    fn trace(&self, side: Side, host: &str, path: &str, fields: &HeaderMap) -> Option<Traced> {
        let _ = (side, host, path, fields);
        None
    }

    /// Decides on a message, and records what must be durable before it leaves.
    ///
    /// # Errors
    /// The refusal. Nothing is sent.
    async fn judge(
        &self,
        upstream: &Upstream,
        request: &Inspected<'_>,
    ) -> Result<Permitted<Self::Pending>, Box<Problem>>;

    /// Takes note of what came of a permitted message, before whoever sent it hears of it. It is called once for each permit.
    /// Yields the annotations of the answer to the core; those of an answer to a channel are dropped.
    ///
    /// # Errors
    /// [`Withheld`] for a notification only.
    async fn settle(
        &self,
        pending: Self::Pending,
        reported: Reported<'_>,
    ) -> Result<Annotations, Withheld>;

    /// The edge itself answered, for metrics.
    fn refused(&self, side: Side, kind: Kind) {
        let _ = (side, kind);
    }

    /// A request is over, whatever came of it.
    fn finished(&self, finished: Finished) {
        let _ = finished;
    }
}
