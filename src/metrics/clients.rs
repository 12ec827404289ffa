//! What is counted of the verification service, by the configured names of its clients.

use super::catalogue::Registry;
use super::{Metrics, MetricsError};
use crate::domain::answer::Answer;
use crate::domain::id::ClientName;
use prometheus::{IntCounterVec, Opts};

/// In place of a name where nobody knows who calls; no client is called so.
const NOBODY: &str = "-";

/// The metrics of the verification service.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    requests: IntCounterVec,
    verified: IntCounterVec,
}

impl Clients {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, MetricsError>(counter)
        };
        Ok(Self {
            requests: counter(
                "hefu_client_requests_total",
                "Requests of clients of the verification service, by what they were answered; `-` is nobody who is known.",
                &["client", "status"],
            )?,
            verified: counter(
                "hefu_client_verifications_total",
                "What clients had verified, and whether earlier evidence told it.",
                &["client", "answer", "evidence"],
            )?,
        })
    }
}

impl Metrics {
    /// A client's request was answered; nobody's, where it is not known who called.
    pub fn on_client_request(&self, client: Option<&ClientName>, status: u16) {
        let client = client.map_or(NOBODY, ClientName::as_str);
        self.clients.requests.with_label_values(&[client, &status.to_string()]).inc();
    }

    /// Something was verified for a client.
    pub fn on_client_verified(&self, client: &ClientName, answer: Answer, earlier: bool) {
        let evidence = if earlier { "earlier" } else { "asked" };
        let labels = [client.as_str(), answer.as_str(), evidence];
        self.clients.verified.with_label_values(&labels).inc();
    }
}
