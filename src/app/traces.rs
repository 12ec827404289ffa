//! Which requests are traced, and their spans: made of what the edge saw once they are over.

use super::clock;
use crate::config::Tracing;
use crate::domain::trace::{Role, Said, Span, Spans, Trace};
use crate::metrics::Metrics;
use crate::provider::trace::{Attributes, Current};
use crate::proxy::finished::{self, Ending, Finished, Traced};
use crate::proxy::gate::Side;
use crate::telemetry::spans::{Became, Collector, Queue, Unusable};
use arc_swap::ArcSwapOption;
use http::{HeaderMap, Method};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long the last spans may take.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Who takes spans, for the whole process; cheap to clone.
#[derive(Clone)]
pub(super) struct Traces {
    open: Arc<ArcSwapOption<Open>>,
    metrics: Arc<Metrics>,
}

struct Open {
    settings: Tracing,
    queue: Arc<Queue>,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.open.load();
        f.debug_tuple("Traces").field(&open.as_ref().map(|open| &open.settings)).finish()
    }
}

/// What the edge does not know of whom a request was for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upstream<'a> {
    /// Where it is, as configured: `host:port`.
    pub(super) place: &'a str,
    /// Whether that is under TLS.
    pub(super) secure: bool,
}

impl Traces {
    /// Nobody takes spans yet.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { open: Arc::default(), metrics }
    }

    /// Has `settings` hold from now on; what waits for the collector before them still goes there.
    pub(super) fn direct(&self, settings: Option<&Tracing>) -> Result<(), Unusable> {
        if self.open.load().as_ref().map(|open| &open.settings) == settings {
            return Ok(());
        }
        let open = settings.map(|settings| self.open(settings)).transpose()?;
        self.open.store(open.map(Arc::new));
        Ok(())
    }

    fn open(&self, settings: &Tracing) -> Result<Open, Unusable> {
        let metrics = self.metrics.clone();
        let heard = move |became, spans| match became {
            Became::Taken => metrics.on_spans_taken(spans),
            Became::Failed => metrics.on_spans_failed(spans),
            Became::Dropped => metrics.on_spans_dropped(spans),
        };
        let collector =
            Collector { url: &settings.otlp, timeout: settings.timeout, wall: clock::system };
        let queue = Arc::new(Queue::new(&collector, Arc::new(heard))?);
        Ok(Open { settings: settings.clone(), queue })
    }

    /// The trace that a request is a part of: the core's, or one that begins here. A channel's is its own, and what it wants to
    /// be kept is not for it to say.
    pub(super) fn begin(
        &self,
        side: Side,
        fields: &HeaderMap,
        route: impl FnOnce() -> Option<Box<str>>,
    ) -> Option<Traced> {
        let open = self.open.load();
        let told = match side {
            Side::Core => finished::trace(fields),
            Side::Notify => None,
        };
        let at = match told {
            Some(told) => Trace::joined(told, rand::random()),
            None if open.as_ref()?.settings.share.takes(rand::random()) => {
                Trace::begun(rand::random(), rand::random())
            }
            None => return None,
        };
        let route = if at.is_sampled() && open.is_some() { route() } else { None };
        Some(Traced { at, route })
    }

    /// What is done for a request, as those who do it see it.
    pub(super) fn current(&self, at: Option<Trace>) -> Option<Current> {
        let open = self.open.load();
        let queue = open.as_ref().map(|open| -> Arc<dyn Spans> { open.queue.clone() });
        at.map(|at| Current { at, spans: queue.filter(|_| at.is_sampled()) })
    }

    /// Whether the spans of a trace are kept.
    pub(super) fn keeps(&self, traced: Option<&Traced>) -> bool {
        traced.is_some_and(|traced| traced.at.is_sampled()) && self.open.load().is_some()
    }

    /// A request is over.
    pub(super) fn finished(&self, finished: &Finished, secure: bool, to: Option<Upstream<'_>>) {
        let open = self.open.load();
        let (Some(open), Some(traced)) = (open.as_ref(), &finished.trace) else { return };
        if !traced.at.is_sampled() {
            return;
        }
        if let Some(span) = to.and_then(|to| asked(finished, traced, to)) {
            open.queue.record(span);
        }
        open.queue.record(served(finished, traced, secure));
    }

    /// Waits for the last spans to be sent.
    pub(super) async fn flush(&self) {
        let Some(open) = self.open.load_full() else { return };
        if tokio::time::timeout(FLUSH_WITHIN, open.queue.flush()).await.is_err() {
            tracing::warn!("the last spans are not sent");
        }
    }
}

/// The request itself: the names of OpenTelemetry's stable conventions for HTTP servers, and ours. The path ends where its route
/// does, since what follows may hold anything.
fn served(finished: &Finished, traced: &Traced, secure: bool) -> Span {
    let mut said: Attributes = vec![
        ("http.request.method", method(finished)),
        ("url.scheme", Said::Word(if secure { "https" } else { "http" })),
        ("hefu.listener", Said::Word(super::access::listener(finished.side))),
        ("hefu.ending", Said::Word(finished.ending.as_str())),
    ];
    if let Some(route) = &traced.route {
        said.push(("url.path", Said::Name(route.clone())));
        said.push(("http.route", Said::Name(route.clone())));
    }
    if let Some(channel) = &finished.upstream {
        said.push(("hefu.channel", Said::Name(channel.clone())));
    }
    if let Some(status) = finished.status {
        said.push(("http.response.status_code", Said::Number(status.into())));
    }
    for (ours, header) in [
        ("hefu.payment", "hefu-payment"),
        ("hefu.decision", "hefu-decision"),
        ("hefu.mismatch", "hefu-mismatch"),
    ] {
        let told = finished.said.iter().find(|(name, _)| name == header);
        if let Some(told) = told.and_then(|(_, value)| value.to_str().ok()) {
            said.push((ours, Said::Name(told.trim_matches('"').into())));
        }
    }
    let error = error(finished, 500);
    let failed = error.is_some();
    said.extend(error.map(|error| ("error.type", error)));
    let ended = finished.begun + finished.total;
    span(traced.at, (Role::Server, named(finished, traced)), (finished.begun, ended), said, failed)
}

/// What the upstream was asked.
fn asked(finished: &Finished, traced: &Traced, to: Upstream<'_>) -> Option<Span> {
    let begun = finished.asked?;
    let scheme = if to.secure { "https" } else { "http" };
    let path = traced.route.as_deref().unwrap_or_default();
    let mut said: Attributes = vec![
        ("http.request.method", method(finished)),
        ("url.full", Said::Name(format!("{scheme}://{}{path}", to.place).into())),
    ];
    if let Some((host, port)) = to.place.rsplit_once(':') {
        said.push(("server.address", Said::Name(host.trim_matches(['[', ']']).into())));
        said.extend(port.parse().ok().map(|port| ("server.port", Said::Number(port))));
    }
    if let Some(channel) = &finished.upstream {
        said.push(("hefu.channel", Said::Name(channel.clone())));
    }
    if answered(finished.ending) {
        let status = finished.status.map(u64::from);
        said.extend(status.map(|status| ("http.response.status_code", Said::Number(status))));
    }
    let error = error(finished, 400);
    let failed = error.is_some();
    said.extend(error.map(|error| ("error.type", error)));
    let at = traced.at.within(rand::random());
    let ended = begun + finished.exchanged;
    Some(span(at, (Role::Client, named(finished, traced)), (begun, ended), said, failed))
}

fn span(
    at: Trace,
    (role, name): (Role, String),
    (begun, ended): (Instant, Instant),
    said: Attributes,
    failed: bool,
) -> Span {
    Span { at, role, name, begun: begun.into_std(), ended: ended.into_std(), said, failed }
}

/// Whether the status is the upstream's own.
const fn answered(ending: Ending) -> bool {
    matches!(ending, Ending::Answered | Ending::Streamed | Ending::Unread)
}

/// Why it failed: a status from `from` on, or how it ended.
fn error(finished: &Finished, from: u16) -> Option<Said> {
    match finished.ending {
        Ending::Unavailable
        | Ending::Unreachable
        | Ending::InDoubt
        | Ending::NotAcknowledged
        | Ending::Gone => Some(Said::Word(finished.ending.as_str())),
        Ending::Answered
        | Ending::Streamed
        | Ending::Unread
        | Ending::Refused
        | Ending::AlreadySent
        | Ending::Unreadable
        | Ending::Framing
        | Ending::NoRoute => {
            let status = finished.status.filter(|status| *status >= from);
            status.map(|status| Said::Name(status.to_string().into()))
        }
    }
}

/// Methods are words that anybody may make up.
fn method(finished: &Finished) -> Said {
    Said::Word(match finished.method.as_ref() {
        Some(&Method::GET) => "GET",
        Some(&Method::POST) => "POST",
        Some(&Method::PUT) => "PUT",
        Some(&Method::DELETE) => "DELETE",
        Some(&Method::HEAD) => "HEAD",
        Some(&Method::OPTIONS) => "OPTIONS",
        Some(&Method::PATCH) => "PATCH",
        _ => "_OTHER",
    })
}

fn named(finished: &Finished, traced: &Traced) -> String {
    let method = match method(finished) {
        Said::Word("_OTHER") | Said::Name(_) | Said::Number(_) => "HTTP",
        Said::Word(method) => method,
    };
    traced.route.as_deref().map_or_else(|| method.to_owned(), |route| format!("{method} {route}"))
}
