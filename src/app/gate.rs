//! The gate between the edge and the service: which route a request takes, and translations both ways.

use super::access::{Access, listener};
use super::routes::Routes;
use super::traces::{self, Traces};
use crate::domain::element::Element;
use crate::domain::trace::Trace;
use crate::message::coding::{self, Undecoded};
use crate::message::extract::Request;
use crate::message::marked::{self, Marked};
use crate::message::profile;
use crate::metrics::{Metrics, Unread};
use crate::provider::trace;
use crate::proxy::finished::{Finished, Traced};
use crate::proxy::gate::{
    Annotations, Gate, Inspected, Permitted, Reported, Route, Side, Withheld,
};
use crate::proxy::head::{Framing, connection_names};
use crate::proxy::refuse::{Earlier, Hint, Kind, Problem, Row, Rule};
use crate::proxy::upstream::Upstream;
use crate::service::judge::Judged;
use crate::service::notify::Heard;
use crate::service::refusal::{Refusal, RefusedRow};
use crate::service::settle::Reported as Settled;
use crate::service::{Channel, Service, annotate};
use crate::store::journal::StoreLost;
use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// After how many seconds a core may come again where nothing could be judged.
const RETRY_AFTER_SECONDS: u32 = 5;

/// Where the core tells elements that are sealed to the channel.
const TOLD: &str = "hefu-elements";

/// Where the core marks a payment as funded by balance.
const ACCOUNT: &str = "hefu-account";

/// The gate of one process.
#[derive(Debug)]
pub struct ServiceGate {
    pub(super) routes: Routes,
    pub(super) channels: HashMap<String, Arc<Channel>>,
    pub(super) service: Arc<Service>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) access: Access,
    pub(super) traces: Traces,
    /// Whether the core's listener, and the channels', has TLS.
    pub(super) secure: [bool; 2],
}

/// What is remembered between permit and answer.
#[derive(Debug)]
pub struct Waiting {
    of: Of,
    spent: Duration,
    trace: Option<Trace>,
}

/// What waits for its answer.
#[derive(Debug)]
enum Of {
    /// A message of the core.
    Message(Judged),
    /// A notification of a channel.
    Notification(Box<Heard>),
}

#[async_trait]
impl Gate for ServiceGate {
    type Pending = Waiting;

    fn route(&self, side: Side, host: &str, path: &str) -> Route {
        match self.routes.find(side, host, path) {
            Some((route, _)) => {
                if matches!(route, Route::Streamed(_)) {
                    self.metrics.on_uninspected(match side {
                        Side::Core => "core",
                        Side::Notify => "notify",
                    });
                }
                route.clone()
            }
            None => Route::Unknown,
        }
    }

    async fn judge(
        &self,
        upstream: &Upstream,
        request: &Inspected<'_>,
    ) -> Result<Permitted<Waiting>, Box<Problem>> {
        let begun = Instant::now();
        let Some(channel) = self.channels.get(upstream.name()) else {
            return Err(Box::new(Problem::new(Kind::NoRoute)));
        };
        if request.side == Side::Notify {
            return self.hear(channel, request, begun);
        }
        let mut codings = request.headers.get_all(header::CONTENT_ENCODING).iter();
        if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Box::new(Problem::new(Kind::Unsupported)));
        }
        // Two lines of one dictionary could repeat a key, of which readers take either.
        if request.headers.get_all(TOLD).iter().count() > 1 {
            return Err(Box::new(Problem::new(Kind::Unreadable)));
        }
        let marked = marked(request.headers)?;
        let Some(watched) = watched(&channel.profile.headers, request.headers) else {
            let kind = Kind::Framing(Framing::Connection);
            self.refused(request.side, kind);
            return Err(Box::new(Problem::new(kind)));
        };
        let read = Request {
            method: request.method.as_str(),
            path: request.path,
            query: request.query,
            content_type: text(request.headers, &header::CONTENT_TYPE),
            headers: &watched,
            told: text(request.headers, &HeaderName::from_static(TOLD)),
            body: request.body,
        };
        // Providers see a span of ours as the parent of their own; the channel sees the core's.
        let ours = self.traces.current(request.trace);
        // What is large is moved each time it is wrapped.
        let judging = Box::pin(self.service.judge_marked(channel, &read, marked.as_ref()));
        let judging = async { trace::part("judge", judging, |_| Vec::new()).await };
        match trace::within(ours, judging).await {
            Ok((permit, judged)) => {
                behind_others().await;
                let spent = begun.elapsed().saturating_sub(judged.waited());
                Ok(Permitted {
                    permit,
                    pending: Waiting { of: Of::Message(judged), spent, trace: request.trace },
                    annotations: Vec::new(),
                })
            }
            Err(refusal) => Err(Box::new(problem(&refusal))),
        }
    }

    fn trace(&self, side: Side, host: &str, path: &str, fields: &HeaderMap) -> Option<Traced> {
        let route = || Some(self.routes.find(side, host, path)?.1.path.as_str().into());
        self.traces.begin(side, fields, route)
    }

    async fn settle(
        &self,
        waiting: Waiting,
        reported: Reported<'_>,
    ) -> Result<Annotations, Withheld> {
        let ours = self.traces.current(waiting.trace);
        let settling = Box::pin(self.settle_now(waiting, reported));
        let settling = async { trace::part("settle", settling, |_| Vec::new()).await };
        trace::within(ours, settling).await
    }

    fn refused(&self, _side: Side, kind: Kind) {
        self.metrics.on_framing_refusal(kind.status());
    }

    fn finished(&self, finished: Finished) {
        let (channel, ending) = (finished.upstream.as_deref(), finished.ending.as_str());
        self.metrics.on_request(listener(finished.side), channel, ending);
        let kept = self.traces.keeps(finished.trace.as_ref());
        if kept {
            self.tell(&finished);
        }
        self.access.push(self.service.clock.now(), finished, kept);
    }
}

impl ServiceGate {
    /// Has whoever takes spans be told of a request.
    fn tell(&self, finished: &Finished) {
        let settings = finished.upstream.as_deref().and_then(|name| {
            let upstreams = self.routes.upstreams(finished.side);
            upstreams.map(Upstream::settings).find(|it| it.name == name)
        });
        // Where none was reached, the first of them is whom it was for.
        let reached = finished.reached.unwrap_or_default();
        let place = settings.and_then(|settings| settings.addresses.get(reached));
        let to = place.map(|at| traces::Upstream { place: &at.place, secure: at.tls.is_some() });
        let secure = match finished.side {
            Side::Core => self.secure[0],
            Side::Notify => self.secure[1],
        };
        self.traces.finished(finished, secure, to);
    }

    async fn settle_now(
        &self,
        waiting: Waiting,
        reported: Reported<'_>,
    ) -> Result<Annotations, Withheld> {
        let begun = Instant::now();
        let Waiting { of, spent, .. } = waiting;
        let channel = match &of {
            Of::Message(judged) => judged.channel().clone(),
            Of::Notification(heard) => heard.channel().clone(),
        };
        let decoded = match reported {
            Reported::Answer { headers, body, .. } => decode(headers, body),
            Reported::Unread { .. } => Err(Unread::Framing),
            Reported::InDoubt(_) | Reported::NotSent => Ok(Cow::default()),
        };
        if let Err(why) = decoded {
            self.metrics.on_unread(channel.name(), why);
        }
        let settled = match (reported, &decoded) {
            (Reported::Answer { status, headers, .. }, Ok(body)) => {
                Settled::Answer { status, content_type: text(headers, &header::CONTENT_TYPE), body }
            }
            // The channel will hear that it was taken, and not come again: what else the core said does not matter.
            (Reported::Answer { status, .. } | Reported::Unread { status }, _)
                if matches!(of, Of::Notification(_)) =>
            {
                Settled::Answer { status, content_type: None, body: b"" }
            }
            (Reported::NotSent, _) => Settled::NotSent,
            (Reported::Answer { .. } | Reported::Unread { .. } | Reported::InDoubt(_), _) => {
                Settled::InDoubt
            }
        };
        let told = match of {
            Of::Message(mut judged) => {
                let later = judged.later();
                let told = fields(self.service.settle(judged, settled).await);
                if settled != Settled::NotSent {
                    for later in later {
                        let asking = self.service.clone().ask_afterwards(channel.clone(), later);
                        tokio::spawn(asking);
                    }
                }
                Ok(told)
            }
            Of::Notification(heard) => {
                // Rarer, and larger than the rest.
                let kept = Box::pin(self.service.heard(*heard, settled)).await;
                kept.map(|()| Annotations::new()).map_err(|StoreLost| Withheld)
            }
        };
        behind_others().await;
        self.metrics.on_overhead(channel.name(), spent + begun.elapsed());
        told
    }

    /// Reads a notification. It goes on whatever it says.
    fn hear(
        &self,
        channel: &Arc<Channel>,
        request: &Inspected<'_>,
        begun: Instant,
    ) -> Result<Permitted<Waiting>, Box<Problem>> {
        let headers = channel.profile.notify.as_ref().map_or(&[][..], |notify| &notify.headers);
        let read = Request {
            method: request.method.as_str(),
            path: request.path,
            query: request.query,
            content_type: text(request.headers, &header::CONTENT_TYPE),
            // One that the core does not get proves nothing.
            headers: &watched(headers, request.headers).unwrap_or_default(),
            told: None,
            body: request.body,
        };
        let heard = self.service.hear(channel, &read);
        let (permit, heard) = heard.ok_or_else(|| Box::new(Problem::new(Kind::NoRoute)))?;
        let (of, spent) = (Of::Notification(Box::new(heard)), begun.elapsed());
        let pending = Waiting { of, spent, trace: request.trace };
        Ok(Permitted { permit, pending, annotations: Annotations::new() })
    }
}

/// Lets everything else that has come be judged or settled first, so that what leaves then leaves together: whoever is sent
/// something while there is nothing else to do must be woken each time, which costs more than judging does.
async fn behind_others() {
    tokio::task::yield_now().await;
}

/// The headers that are read. `None` where `Connection` names one: it would be judged here and dropped on the way.
fn watched<'h>(read: &[String], headers: &'h HeaderMap) -> Option<Vec<(&'h str, &'h [u8])>> {
    if read.is_empty() {
        return Some(Vec::new());
    }
    if connection_names(headers).iter().any(|name| profile::watched(read, name).is_some()) {
        return None;
    }
    let named = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    Some(named.filter(|(name, _)| profile::watched(read, name).is_some()).collect())
}

/// By which balance a message is to be funded, where the core says so.
fn marked(headers: &HeaderMap) -> Result<Option<Marked>, Box<Problem>> {
    let mut values = headers.get_all(ACCOUNT).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let unreadable = |detail: String| {
        let problem = Problem::new(Kind::Unreadable);
        Box::new(Problem { detail: Some(detail), ..problem })
    };
    if values.next().is_some() {
        return Err(unreadable(format!("{}: told twice", marked::HEADER)));
    }
    let read = value.to_str().map_err(|_| unreadable(format!("{}: no text", marked::HEADER)))?;
    marked::parse(read).map(Some).map_err(|error| unreadable(error.to_string()))
}

/// An answer's body as its reader has it.
fn decode<'b>(headers: &'b HeaderMap, body: &'b [u8]) -> Result<Cow<'b, [u8]>, Unread> {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter().map(HeaderValue::as_bytes);
    coding::decode(codings, body).map_err(|why| match why {
        Undecoded::Coding => Unread::Coding,
        Undecoded::Garbled => Unread::Garbled,
        Undecoded::TooLarge => Unread::TooLarge,
    })
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn fields(annotations: annotate::Annotations) -> Annotations {
    let field = |(name, value): (&'static str, String)| {
        Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
    };
    annotations.into_iter().filter_map(field).collect()
}

fn row(row: &RefusedRow) -> Row {
    Row {
        row: row.number,
        reasons: row.reasons.iter().map(|reason| reason.as_str()).collect(),
        elements: row.elements.iter().map(Element::as_str).collect(),
        attempts_left: row.attempts_left,
    }
}

fn problem(refusal: &Refusal) -> Problem {
    let reason = refusal.first_reason();
    let hint = reason.hint();
    let kind = match refusal.status {
        409 => Kind::AlreadySent,
        415 => Kind::Unsupported,
        422 => Kind::Unreadable,
        503 => Kind::Unavailable,
        _ => Kind::Refused,
    };
    Problem {
        title: Some(reason.title()),
        detail: refusal.detail.clone(),
        payment: Some(refusal.payment.to_string()),
        reasons: refusal.reasons.iter().map(|reason| reason.as_str()).collect(),
        elements: refusal.elements.iter().map(Element::as_str).collect(),
        attempts_left: refusal.attempts_left,
        earlier: refusal.earlier.as_ref().map(|it| Earlier {
            payment: it.payment.to_string(),
            state: it.state,
            differs: it.differs.clone(),
        }),
        ways_out: reason.ways_out().to_vec(),
        rows: refusal.rows.iter().map(row).collect(),
        hint: Some(Hint { code: hint.code, en: hint.en, zh: hint.zh }),
        rule: refusal
            .rule
            .as_ref()
            .map(|rule| Rule { id: rule.id.to_string(), reason: rule.reason.to_string() }),
        retry_after: matches!(kind, Kind::Unavailable).then_some(RETRY_AFTER_SECONDS),
        annotations: fields(annotate::refused(refusal)),
        ..Problem::new(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::watched;
    use http::{HeaderMap, HeaderName, HeaderValue};

    /// A message was judged by a header that `Connection` had dropped before the channel saw it, and `msg_tp` was not looked at.
    #[test]
    fn what_is_judged_by_a_header_is_forwarded_with_it() {
        let check = |watches: &[&str], fields: &[(&str, &str)], expected: Option<&[&str]>| {
            let fields = fields.iter().map(|(name, value)| {
                (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
            });
            let fields: HeaderMap = fields.collect();
            let watches: Vec<String> = watches.iter().map(|name| (*name).to_owned()).collect();
            let found = watched(&watches, &fields);
            let names = found.map(|found| found.iter().map(|(name, _)| *name).collect::<Vec<_>>());
            assert_eq!(names.as_deref(), expected, "{fields:?}");
        };
        let msg_tp = ("Msg-Tp", "Q");
        check(&["msg-tp"], &[msg_tp, ("x-y", "1")], Some(&["msg-tp"]));
        check(&["msg-tp"], &[msg_tp, msg_tp], Some(&["msg-tp", "msg-tp"]));
        check(&["msg-tp"], &[msg_tp, ("msg_tp", "R")], Some(&["msg-tp", "msg_tp"]));
        check(&["msg-tp"], &[msg_tp, ("connection", "keep-alive, X")], Some(&["msg-tp"]));
        check(&["msg-tp"], &[msg_tp, ("connection", "close, MSG-TP")], None);
        check(&["msg-tp"], &[msg_tp, ("connection", "x"), ("connection", "msg-tp")], None);
        check(&["msg-tp"], &[("connection", "msg_tp")], None);
        check(&[], &[msg_tp, ("connection", "msg-tp")], Some(&[]));
    }
}
