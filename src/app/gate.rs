//! The gate between the edge and the service: which route a request takes, and translations both ways.

use crate::domain::element::Element;
use crate::message::extract::Request;
use crate::message::profile::RouteRule;
use crate::metrics::Metrics;
use crate::proxy::gate::{Annotations, Gate, Inspected, Permitted, Reported, Route, Side};
use crate::proxy::refuse::{Hint, Kind, Problem, Row};
use crate::proxy::upstream::Upstream;
use crate::service::judge::Judged;
use crate::service::refusal::{Refusal, RefusedRow};
use crate::service::settle::Reported as Settled;
use crate::service::{Channel, Service, annotate};
use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// After how many seconds a core may come again where nothing could be judged.
const RETRY_AFTER_SECONDS: u32 = 5;

/// Where the core tells elements that are sealed to the channel.
const TOLD: &str = "hefu-elements";

/// One entry of the routing table.
#[derive(Debug)]
pub(super) struct Entry {
    /// The listener.
    pub(super) side: Side,
    /// What requests it takes.
    pub(super) rule: RouteRule,
    /// Where they go.
    pub(super) route: Route,
}

/// The gate of one process.
#[derive(Debug)]
pub struct ServiceGate {
    /// Longest path first, so that the most specific route wins.
    pub(super) routes: Vec<Entry>,
    pub(super) channels: BTreeMap<String, Arc<Channel>>,
    pub(super) service: Arc<Service>,
    pub(super) metrics: Arc<Metrics>,
}

/// What is remembered between permit and answer.
#[derive(Debug)]
pub struct Waiting {
    judged: Judged,
    spent: Duration,
}

#[async_trait]
impl Gate for ServiceGate {
    type Pending = Waiting;

    fn route(&self, side: Side, host: &str, path: &str) -> Route {
        let fits = |entry: &&Entry| {
            let host_fits = entry.rule.host.as_deref().is_none_or(|expected| expected == host);
            entry.side == side && host_fits && is_under(path, &entry.rule.path)
        };
        match self.routes.iter().find(fits) {
            Some(entry) => {
                if matches!(entry.route, Route::Streamed(_)) {
                    self.metrics.on_uninspected(match side {
                        Side::Core => "core",
                        Side::Notify => "notify",
                    });
                }
                entry.route.clone()
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
        let content_coding = text(request.headers, &header::CONTENT_ENCODING);
        if content_coding.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(Box::new(Problem::new(Kind::Unsupported)));
        }
        // Two lines of one dictionary could repeat a key, of which readers take either.
        if request.headers.get_all(TOLD).iter().count() > 1 {
            return Err(Box::new(Problem::new(Kind::Unreadable)));
        }
        let watched = channel.profile.headers.iter().flat_map(|name| {
            let values = request.headers.get_all(name.as_str()).into_iter();
            values.map(|value| (name.as_str(), value.as_bytes()))
        });
        let watched: Vec<_> = watched.collect();
        let read = Request {
            method: request.method.as_str(),
            path: request.path,
            query: request.query,
            content_type: text(request.headers, &header::CONTENT_TYPE),
            headers: &watched,
            told: text(request.headers, &HeaderName::from_static(TOLD)),
            body: request.body,
        };
        match self.service.judge(channel, &read).await {
            Ok((permit, judged)) => {
                let spent = begun.elapsed().saturating_sub(judged.waited());
                Ok(Permitted {
                    permit,
                    pending: Waiting { judged, spent },
                    annotations: Vec::new(),
                })
            }
            Err(refusal) => Err(Box::new(problem(&refusal))),
        }
    }

    async fn settle(&self, waiting: Waiting, reported: Reported<'_>) -> Annotations {
        let begun = Instant::now();
        let Waiting { judged, spent } = waiting;
        let channel = judged.channel().clone();
        let settled = match reported {
            Reported::Answer { status, headers, body } => {
                Settled::Answer { status, content_type: text(headers, &header::CONTENT_TYPE), body }
            }
            Reported::Unread { .. } | Reported::InDoubt(_) => Settled::InDoubt,
            Reported::NotSent => Settled::NotSent,
        };
        let annotations = self.service.settle(judged, settled);
        self.metrics.on_overhead(channel.name(), spent + begun.elapsed());
        fields(annotations)
    }

    fn refused(&self, _side: Side, kind: Kind) {
        self.metrics.on_framing_refusal(kind.status());
    }
}

/// Whether `path` is `prefix` or lies under it: `/pay` takes `/pay/x` and not `/payment`.
fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
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
    }
}

fn problem(refusal: &Refusal) -> Problem {
    let reason = refusal.first_reason();
    let hint = reason.hint();
    let kind = match refusal.status {
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
        ways_out: reason.ways_out().to_vec(),
        rows: refusal.rows.iter().map(row).collect(),
        hint: Some(Hint { code: hint.code, en: hint.en, zh: hint.zh }),
        retry_after: matches!(kind, Kind::Unavailable).then_some(RETRY_AFTER_SECONDS),
        annotations: fields(annotate::refused(refusal)),
        ..Problem::new(kind)
    }
}

/// Orders routes so that the most specific comes first: with a host before without, longer paths before shorter.
pub(super) fn by_specificity(routes: &mut [Entry]) {
    routes
        .sort_by_key(|entry| std::cmp::Reverse((entry.rule.host.is_some(), entry.rule.path.len())));
}

#[cfg(test)]
mod tests {
    use super::is_under;

    #[test]
    fn a_route_takes_whole_segments() {
        let check = |path, prefix, expected| {
            assert_eq!(is_under(path, prefix), expected, "{path} {prefix}");
        };
        check("/pay", "/pay", true);
        check("/pay/x", "/pay", true);
        check("/pay/x", "/pay/", true);
        check("/payment", "/pay", false);
        check("/pay", "/pay/", false);
        check("/anything", "/", true);
    }
}
