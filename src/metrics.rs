//! Every metric, as typed events. No method takes text from a message, so no element can become a label.

mod asking;
mod catalogue;
mod clients;
mod concordance;
mod edge;
mod figures;
mod hearing;
mod loaded;
mod rules;
mod webhook;

use crate::domain::answer::{Answer, Billable};
use crate::domain::element::ElementSet;
use crate::domain::id::{ChannelName, ProviderName};
use crate::domain::mismatch::Mismatch;
use crate::domain::outcome::{Arrival, Belief, Outcome};
use crate::domain::payment::{Mode, Scenario};
use crate::policy::Effect;
use crate::route::breaker::Stands;
use prometheus::core::{Collector as _, MetricVec, MetricVecBuilder};
use prometheus::proto::{LabelPair, Metric};
use prometheus::{
    CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts,
};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use catalogue::Registry;

pub use asking::Combining;
pub use catalogue::Described;
pub use hearing::Hearing;
pub use loaded::Loaded;

/// From 20 µs on: overhead is measured in tens of microseconds, providers in tens of milliseconds.
const SECONDS: [f64; 16] = [
    0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 1.0, 3.0, 10.0,
];

/// How an evidence look-up ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvidenceUse {
    /// Fresh evidence for exactly these elements.
    Hit,
    /// None: a provider must be asked.
    Miss,
    /// None, and another message is asking the same question already.
    Coalesced,
}

/// Why an answer was passed on and not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Its content coding is not known here.
    Coding,
    /// It is not what its content coding says.
    Garbled,
    /// Decoded it is too large.
    TooLarge,
    /// It is over the limit as it is, or bytes follow it.
    Framing,
}

/// The metrics of one process.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    payments: IntCounterVec,
    uninspected: IntCounterVec,
    framing: IntCounterVec,
    verifications: IntCounterVec,
    verification_seconds: HistogramVec,
    evidence: IntCounterVec,
    outcomes: IntCounterVec,
    mismatches: IntCounterVec,
    holds_open: IntGaugeVec,
    holds_paused: IntCounterVec,
    expectations_open: IntGaugeVec,
    unmapped: IntCounterVec,
    unread: IntCounterVec,
    notifications: IntCounterVec,
    webhooks: IntCounterVec,
    unlisted: IntCounterVec,
    rules: rules::RuleMetrics,
    overhead: HistogramVec,
    commit: Histogram,
    logged: IntGauge,
    damaged: IntCounter,
    provider_up: IntGaugeVec,
    breaker: IntGaugeVec,
    withheld: IntCounterVec,
    charges: CounterVec,
    asking: asking::Asking,
    reload: IntGauge,
    /// What could not be loaded the last time.
    failed: Arc<Mutex<BTreeSet<Loaded>>>,
    clock: Gauge,
    edge: edge::Edge,
    concordance: concordance::Concordance,
    clients: clients::Clients,
}

/// Removes what is told of others than whom `keeps` says, of metrics with one label.
fn keep_only<T: MetricVecBuilder>(metrics: &MetricVec<T>, keeps: impl Fn(&str) -> bool) {
    for family in metrics.collect() {
        let labels = family.get_metric().iter().flat_map(Metric::get_label).map(LabelPair::value);
        for name in labels.filter(|name| !keeps(name)) {
            // Another may have removed it.
            let _ = metrics.remove_label_values(&[name]);
        }
    }
}

/// The metrics could not be registered or written.
#[derive(Debug, thiserror::Error)]
#[error("metrics could not be registered or written")]
pub struct MetricsError(#[from] prometheus::Error);

impl Metrics {
    /// Registers every metric on a registry of its own.
    ///
    /// # Errors
    /// [`MetricsError`] where a name is taken, which would be a defect of this file.
    #[expect(clippy::too_many_lines, reason = "a list with one entry a metric")]
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let counter =
            |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, MetricsError> {
                let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
                registry.register(Box::new(counter.clone()))?;
                Ok(counter)
            };
        let gauge =
            |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, MetricsError> {
                let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
                registry.register(Box::new(gauge.clone()))?;
                Ok(gauge)
            };
        let seconds =
            |name: &str, help: &str, labels: &[&str]| -> Result<HistogramVec, MetricsError> {
                let histogram = HistogramVec::new(
                    HistogramOpts::new(name, help).buckets(SECONDS.to_vec()),
                    labels,
                )?;
                registry.register(Box::new(histogram.clone()))?;
                Ok(histogram)
            };
        let reload = IntGauge::new(
            "hefu_config_last_reload_successful",
            "Whether the last load of the configuration succeeded.",
        )?;
        registry.register(Box::new(reload.clone()))?;
        let logged = IntGauge::new(
            "hefu_store_log_bytes",
            "How much of what is durable is only in the log in front of the store's file, which takes it over; where it cannot, nothing more is kept once 64 MiB have come.",
        )?;
        registry.register(Box::new(logged.clone()))?;
        let damaged = IntCounter::new(
            "hefu_store_damaged_rows_total",
            "How often something was refused for a row of the store that is not as it was written.",
        )?;
        registry.register(Box::new(damaged.clone()))?;
        let clock = Gauge::new(
            "hefu_clock_offset_seconds",
            "How far the system's clock is ahead of the time that is used, or behind where negative; it is followed gradually.",
        )?;
        registry.register(Box::new(clock.clone()))?;
        let charges = CounterVec::new(
            Opts::new(
                "hefu_charges_fen_total",
                "What inquiries cost at the first rate of the price list; `hefu statement` knows the others.",
            ),
            &["provider", "billable"],
        )?;
        registry.register(Box::new(charges.clone()))?;
        let concordance = concordance::Concordance::new(&registry)?;
        let clients = clients::Clients::new(&registry)?;
        let build =
            GaugeVec::new(Opts::new("hefu_build_info", "The running version."), &["version"])?;
        registry.register(Box::new(build.clone()))?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        reload.set(1);
        Ok(Self {
            payments: counter(
                "hefu_payments_total",
                "Messages judged on inspected routes.",
                &["channel", "scenario", "decision", "mode"],
            )?,
            uninspected: counter(
                "hefu_uninspected_total",
                "Requests streamed through without a look.",
                &["listener"],
            )?,
            framing: counter(
                "hefu_framing_refusals_total",
                "Requests refused before they were judged.",
                &["status"],
            )?,
            verifications: counter(
                "hefu_verifications_total",
                "Inquiries answered.",
                &["provider", "elements", "answer"],
            )?,
            verification_seconds: seconds(
                "hefu_verification_seconds",
                "Time that providers take to answer.",
                &["provider"],
            )?,
            evidence: counter("hefu_evidence_total", "Look-ups of evidence.", &["result"])?,
            outcomes: counter(
                "hefu_outcomes_total",
                "Outcomes that channels reported.",
                &["channel", "outcome", "arrival"],
            )?,
            mismatches: counter(
                "hefu_mismatches_total",
                "Payments whose halves differ.",
                &["channel", "provider", "kind", "elements"],
            )?,
            holds_open: gauge("hefu_holds_open", "Holds that stand.", &["channel"])?,
            holds_paused: counter(
                "hefu_holds_paused",
                "Holds and contradictions not made because of the rate.",
                &["channel", "bank"],
            )?,
            expectations_open: gauge(
                "hefu_expectations_open",
                "Payments whose outcome is owed.",
                &["channel"],
            )?,
            webhooks: counter(
                "hefu_webhooks_total",
                "What was told by webhook, and taken or not.",
                &["result"],
            )?,
            unmapped: counter(
                "hefu_unmapped_codes_total",
                "Result codes that the code map does not know.",
                &["channel"],
            )?,
            unread: counter(
                "hefu_answers_unread_total",
                "Answers that were passed on and could not be read.",
                &["channel", "reason"],
            )?,
            notifications: counter(
                "hefu_notifications_total",
                "Notifications, how far they are believed, and what they came to.",
                &["channel", "belief", "result"],
            )?,
            rules: rules::RuleMetrics::new(&registry)?,
            unlisted: counter(
                "hefu_unlisted_total",
                "Messages that the profile does not list.",
                &["channel"],
            )?,
            overhead: seconds(
                "hefu_overhead_seconds",
                "Time in Hefu, without channel and provider.",
                &["channel"],
            )?,
            logged,
            damaged,
            commit: seconds(
                "hefu_journal_commit_seconds",
                "From the first payment of a group until all of it is durable.",
                &[],
            )?
            .with_label_values::<&str>(&[]),
            provider_up: gauge(
                "hefu_provider_up",
                "Whether the provider's last answer was more than a technical failure.",
                &["provider"],
            )?,
            breaker: gauge(
                "hefu_breaker_state",
                "How the provider's breaker stands: 0 closed, 1 half open, 2 open.",
                &["provider"],
            )?,
            charges,
            asking: asking::Asking::new(&registry)?,
            withheld: counter(
                "hefu_inquiries_withheld_total",
                "Providers that were not asked, though they could answer.",
                &["provider", "reason"],
            )?,
            reload,
            failed: Arc::default(),
            clock,
            edge: edge::Edge::new(&registry)?,
            clients,
            concordance,
            registry,
        })
    }

    /// A message was judged.
    pub fn on_decision(
        &self,
        channel: &ChannelName,
        scenario: Scenario,
        effect: Effect,
        mode: Mode,
    ) {
        self.payments
            .with_label_values(&[
                channel.as_str(),
                scenario.as_str(),
                effect.as_str(),
                mode.as_str(),
            ])
            .inc();
    }

    /// A request was streamed through on the listener `listener`.
    pub fn on_uninspected(&self, listener: &'static str) {
        self.uninspected.with_label_values(&[listener]).inc();
    }

    /// A request was refused with `status` before it was judged.
    pub fn on_framing_refusal(&self, status: u16) {
        self.framing.with_label_values(&[&status.to_string()]).inc();
    }

    /// A provider answered, or failed to.
    pub fn on_answer(
        &self,
        provider: &ProviderName,
        elements: ElementSet,
        answer: Answer,
        took: Duration,
    ) {
        let elements = elements.to_string();
        self.verifications
            .with_label_values(&[provider.as_str(), &elements, answer.as_str()])
            .inc();
        self.verification_seconds
            .with_label_values(&[provider.as_str()])
            .observe(took.as_secs_f64());
        self.provider_up
            .with_label_values(&[provider.as_str()])
            .set(i64::from(answer != Answer::Unavailable));
    }

    /// An inquiry was charged, at `fen`.
    pub fn on_charge(&self, provider: &ProviderName, billable: Billable, fen: Decimal) {
        // What is free by its price list costs nothing, and is one of its kind all the same.
        let fen = match billable {
            Billable::Yes | Billable::Uncertain => fen.to_f64().unwrap_or_default(),
            Billable::No => 0.0,
        };
        self.charges.with_label_values(&[provider.as_str(), billable.as_str()]).inc_by(fen);
    }

    /// A provider was not asked, though it could answer.
    pub fn on_withheld(&self, provider: &ProviderName, reason: &'static str) {
        self.withheld.with_label_values(&[provider.as_str(), reason]).inc();
    }

    /// How a provider's breaker stands.
    pub fn set_breaker(&self, provider: &ProviderName, stands: Stands) {
        let state = match stands {
            Stands::Closed => 0,
            Stands::HalfOpen => 1,
            Stands::Open => 2,
        };
        self.breaker.with_label_values(&[provider.as_str()]).set(state);
    }

    /// From now on it is told how those providers are that are asked, and of those caps that there are: what was told last of others
    /// would stay for ever.
    pub fn keep_providers(
        &self,
        is_asked: impl Fn(&str) -> bool,
        is_capped: impl Fn(&str) -> bool,
    ) {
        keep_only(&self.provider_up, &is_asked);
        keep_only(&self.breaker, is_asked);
        self.asking.keep_caps(is_capped);
    }

    /// Evidence was looked up.
    pub fn on_evidence(&self, result: EvidenceUse) {
        let result = match result {
            EvidenceUse::Hit => "hit",
            EvidenceUse::Miss => "miss",
            EvidenceUse::Coalesced => "coalesced",
        };
        self.evidence.with_label_values(&[result]).inc();
    }

    /// A channel reported an outcome.
    pub fn on_outcome(&self, channel: &ChannelName, outcome: Outcome, arrival: Arrival) {
        self.outcomes
            .with_label_values(&[channel.as_str(), outcome.as_str(), arrival.as_str()])
            .inc();
        if outcome == Outcome::Unmapped {
            self.unmapped.with_label_values(&[channel.as_str()]).inc();
        }
    }

    /// The halves of a payment differ; `witness` is the configured name of who verified, where anybody did.
    pub fn on_mismatch(&self, channel: &ChannelName, witness: Option<&str>, mismatch: Mismatch) {
        let elements = mismatch.elements.to_string();
        let labels =
            [channel.as_str(), witness.unwrap_or("none"), mismatch.kind.as_str(), &elements];
        self.mismatches.with_label_values(&labels).inc();
    }

    /// So many holds stand at `channel`.
    pub fn set_holds_open(&self, channel: &ChannelName, count: usize) {
        self.holds_open
            .with_label_values(&[channel.as_str()])
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A hold was not made because `channel` and `bank` (a configured name) had too many within the hour.
    pub fn on_hold_paused(&self, channel: &ChannelName, bank: Option<&str>) {
        self.holds_paused.with_label_values(&[channel.as_str(), bank.unwrap_or("unknown")]).inc();
    }

    /// So many outcomes are owed by `channel`.
    pub fn set_expectations_open(&self, channel: &ChannelName, count: usize) {
        self.expectations_open
            .with_label_values(&[channel.as_str()])
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// An answer was passed on and not read.
    pub fn on_unread(&self, channel: &ChannelName, why: Unread) {
        let reason = match why {
            Unread::Coding => "coding",
            Unread::Garbled => "garbled",
            Unread::TooLarge => "too_large",
            Unread::Framing => "framing",
        };
        tracing::warn!(channel = channel.as_str(), reason, "an answer was not read");
        self.unread.with_label_values(&[channel.as_str(), reason]).inc();
    }

    /// A notification was taken for what it is worth.
    pub fn on_notification(&self, channel: &ChannelName, belief: Belief, hearing: Hearing) {
        let labels = [channel.as_str(), belief.as_str(), hearing.as_str()];
        self.notifications.with_label_values(&labels).inc();
    }

    /// What `channel` proves by a key may page somebody at its first time: its series are there before.
    pub fn expect_notifications(&self, channel: &ChannelName) {
        for hearing in [Hearing::UnknownOrder, Hearing::NeverSent] {
            let labels = [channel.as_str(), Belief::Verified.as_str(), hearing.as_str()];
            self.notifications.with_label_values(&labels).inc_by(0);
        }
    }

    /// A message was not listed.
    pub fn on_unlisted(&self, channel: &ChannelName) {
        self.unlisted.with_label_values(&[channel.as_str()]).inc();
    }

    /// An exchange spent `overhead` in Hefu itself.
    pub fn on_overhead(&self, channel: &ChannelName, overhead: Duration) {
        self.overhead.with_label_values(&[channel.as_str()]).observe(overhead.as_secs_f64());
    }

    /// A group of changes became durable.
    pub fn on_commit(&self, took: Duration) {
        self.commit.observe(took.as_secs_f64());
    }

    /// So many bytes of what is durable are in the log in front of the store's file only.
    pub fn on_logged(&self, bytes: u64) {
        self.logged.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A row of the store is not as it was written, and what needs it was refused.
    pub fn on_damage(&self) {
        self.damaged.inc();
    }

    /// The system's clock was compared with the time that is used; it is `offset` seconds ahead of it.
    pub fn on_clock(&self, offset: f64) {
        self.clock.set(offset);
    }
}
