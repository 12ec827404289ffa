//! What the edge saw of requests, whatever was decided.

use super::Metrics;
use super::catalogue::Registry;
use prometheus::{IntCounter, IntCounterVec, Opts};

/// The counters of the edge.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    requests: IntCounterVec,
    lines_lost: IntCounter,
    spans: IntCounterVec,
}

impl Edge {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("hefu_requests_total", "Requests, by whom they were for and how they ended."),
            &["listener", "channel", "ending"],
        )?;
        let lines_lost = IntCounter::new(
            "hefu_access_log_lines_lost_total",
            "Lines of the access log that there was no room for, or that could not be written.",
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(lines_lost.clone()))?;
        let spans = IntCounterVec::new(
            Opts::new("hefu_spans_total", "Spans, and whether the collector took them."),
            &["result"],
        )?;
        registry.register(Box::new(spans.clone()))?;
        Ok(Self { requests, lines_lost, spans })
    }
}

impl Metrics {
    /// A request came by `listener` for `channel`, a configured name where a route was found, and ended.
    pub fn on_request(&self, listener: &'static str, channel: Option<&str>, ending: &'static str) {
        let labels = [listener, channel.unwrap_or("none"), ending];
        self.edge.requests.with_label_values(&labels).inc();
    }

    /// The collector took so many spans.
    pub fn on_spans_taken(&self, spans: u64) {
        self.edge.spans.with_label_values(&["taken"]).inc_by(spans);
    }

    /// The collector did not take so many spans.
    pub fn on_spans_failed(&self, spans: u64) {
        self.edge.spans.with_label_values(&["failed"]).inc_by(spans);
    }

    /// There was no room for so many spans.
    pub fn on_spans_dropped(&self, spans: u64) {
        self.edge.spans.with_label_values(&["dropped"]).inc_by(spans);
    }

    /// Lines of the access log are lost.
    pub fn on_access_lines_lost(&self, lines: u64) {
        self.edge.lines_lost.inc_by(lines);
    }
}
