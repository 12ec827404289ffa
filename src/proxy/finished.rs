//! What came of one request, as the edge saw it: for the access log and for metrics. It holds no byte of a message.

use super::gate::{Annotations, Side};
use super::refuse::Kind;
use crate::domain::trace::{Trace, TraceParent};
use http::{HeaderMap, Method};
use std::time::Duration;
use tokio::time::Instant;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The channel's answer went to the core, or the core's to the channel.
    Answered,
    /// It was streamed through, unread.
    Streamed,
    /// The answer was passed on and could not be read.
    Unread,
    /// Verification, a hold, policy or a rule refused it.
    Refused,
    /// The order's message may have left before.
    AlreadySent,
    /// The message is unreadable or ambiguous.
    Unreadable,
    /// The request has no single reading, is late, or over a limit.
    Framing,
    /// It belongs to no route.
    NoRoute,
    /// It could not be judged.
    Unavailable,
    /// Nobody could be reached: nothing was sent.
    Unreachable,
    /// It was sent, and nothing came that can be read.
    InDoubt,
    /// A notification was not acknowledged.
    NotAcknowledged,
    /// Whoever asked went away before it was sent, or before the answer was written.
    Gone,
}

impl Ending {
    /// Every one.
    pub const ALL: [Self; 13] = [
        Self::Answered,
        Self::Streamed,
        Self::Unread,
        Self::Refused,
        Self::AlreadySent,
        Self::Unreadable,
        Self::Framing,
        Self::NoRoute,
        Self::Unavailable,
        Self::Unreachable,
        Self::InDoubt,
        Self::NotAcknowledged,
        Self::Gone,
    ];

    /// The label of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Streamed => "streamed",
            Self::Unread => "unread",
            Self::Refused => "refused",
            Self::AlreadySent => "already_sent",
            Self::Unreadable => "unreadable",
            Self::Framing => "framing",
            Self::NoRoute => "no_route",
            Self::Unavailable => "unavailable",
            Self::Unreachable => "unreachable",
            Self::InDoubt => "in_doubt",
            Self::NotAcknowledged => "not_acknowledged",
            Self::Gone => "gone",
        }
    }

    /// The flag of the access log; none where all went as it should.
    pub const fn flag(self) -> Option<&'static str> {
        match self {
            Self::Answered => None,
            Self::Streamed => Some("ST"),
            Self::Unread => Some("UR"),
            Self::Refused => Some("RF"),
            Self::AlreadySent => Some("AS"),
            Self::Unreadable => Some("UM"),
            Self::Framing => Some("FR"),
            Self::NoRoute => Some("NR"),
            Self::Unavailable => Some("CJ"),
            Self::Unreachable => Some("UF"),
            Self::InDoubt => Some("ID"),
            Self::NotAcknowledged => Some("NA"),
            Self::Gone => Some("GO"),
        }
    }
}

impl From<Kind> for Ending {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Refused => Self::Refused,
            Kind::AlreadySent => Self::AlreadySent,
            Kind::Unreadable | Kind::Unsupported => Self::Unreadable,
            Kind::Framing(_) | Kind::Slow | Kind::TooLarge => Self::Framing,
            Kind::NoRoute => Self::NoRoute,
            Kind::Unavailable => Self::Unavailable,
            Kind::InDoubt => Self::InDoubt,
        }
    }
}

/// The trace that a request says it belongs to. Two would be none, as the standard has it.
pub fn trace(fields: &HeaderMap) -> Option<TraceParent> {
    let mut told = fields.get_all("traceparent").iter();
    let trace = TraceParent::parse(told.next()?.to_str().ok()?);
    trace.filter(|_| told.next().is_none())
}

/// The trace that a request is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// Where the request stands in it.
    pub at: Trace,
    /// The configured path that its route was found by, where spans are kept.
    pub route: Option<Box<str>>,
}

/// What came of one request.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Which listener it came by.
    pub side: Side,
    /// The configured name of whom it was for, where a route was found.
    pub upstream: Option<Box<str>>,
    /// Which of the upstream's addresses it went to, where one was reached; from 0.
    pub reached: Option<usize>,
    /// Its method, where its head could be read.
    pub method: Option<Method>,
    /// The status that was written; none where the connection was closed instead.
    pub status: Option<u16>,
    /// How it ended.
    pub ending: Ending,
    /// The length of its body, where that was read.
    pub received: usize,
    /// The length of what was written, head included.
    pub sent: usize,
    /// From its first byte until the answer was written.
    pub total: Duration,
    /// Of it, what judging took, providers included.
    pub judged: Duration,
    /// Of it, what the upstream took, connecting included.
    pub exchanged: Duration,
    /// When the upstream's time began, where it was asked.
    pub asked: Option<Instant>,
    /// What the core was told beside the answer.
    pub said: Annotations,
    /// The trace that it belongs to, where there is one.
    pub trace: Option<Traced>,
    /// When its first byte was there.
    pub begun: Instant,
}

impl Finished {
    /// A request begins; until more is known, it is one of which nothing came.
    pub(super) fn begin(side: Side) -> Self {
        Self {
            side,
            upstream: None,
            reached: None,
            method: None,
            status: None,
            ending: Ending::Gone,
            received: 0,
            sent: 0,
            total: Duration::ZERO,
            judged: Duration::ZERO,
            exchanged: Duration::ZERO,
            asked: None,
            said: Annotations::new(),
            trace: None,
            begun: Instant::now(),
        }
    }

    /// The upstream is asked from now on.
    pub(super) fn ask(&mut self) {
        self.asked = Some(Instant::now());
    }

    /// The upstream's time is over.
    pub(super) fn heard(&mut self) {
        self.exchanged = self.asked.map(|asked| asked.elapsed()).unwrap_or_default();
    }

    /// `bytes` of the answer are written; what the connection does after them is no time of the request's.
    pub(super) fn written(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes);
        self.total = self.begun.elapsed();
    }

    /// It is over.
    pub(super) fn end(mut self) -> Self {
        if self.total.is_zero() {
            self.total = self.begun.elapsed();
        }
        self
    }

    /// We answered it ourselves.
    pub(super) fn own(&mut self, kind: Kind) {
        (self.ending, self.status) = (kind.into(), Some(kind.status()));
    }
}
