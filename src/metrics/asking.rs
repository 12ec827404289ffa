//! What is counted of asking: attempts that are not to be had, money, and combinations.

use super::catalogue::Registry;
use super::{Metrics, MetricsError, keep_only};
use crate::domain::id::{ChannelName, ProviderName};
use crate::domain::mismatch::MismatchKind;
use crate::route::attempts::Denied;
use prometheus::{GaugeVec, IntCounterVec, Opts};

/// What trying a combination came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combining {
    /// Both sides vouched for their parts.
    Settled,
    /// One of them did not.
    Unsettled,
}

/// The metrics of asking.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    spend: GaugeVec,
    attempts: IntCounterVec,
    combinations: IntCounterVec,
    combined_mismatches: IntCounterVec,
}

impl Asking {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, MetricsError>(counter)
        };
        let spend = GaugeVec::new(
            Opts::new("hefu_spend_cap_ratio", "What share of its daily cap a provider has had."),
            &["provider"],
        )?;
        registry.register(Box::new(spend.clone()))?;
        Ok(Self {
            spend,
            attempts: counter(
                "hefu_attempts_denied_total",
                "Questions that were not put, since a card or a person was asked about too often.",
                &["reason"],
            )?,
            combinations: counter(
                "hefu_combinations_total",
                "Payments whose phone might be settled by combination, and whether it was.",
                &["channel", "result"],
            )?,
            combined_mismatches: counter(
                "hefu_combination_mismatches_total",
                "Payments settled by combination whose halves differ; they are in hefu_mismatches_total too.",
                &["channel", "kind"],
            )?,
        })
    }

    /// From now on it is told of those caps that there are.
    pub(super) fn keep_caps(&self, is_capped: impl Fn(&str) -> bool) {
        keep_only(&self.spend, is_capped);
    }
}

impl Metrics {
    /// Nobody was asked at a source, since there were no attempts left.
    pub fn on_denied(&self, denied: Denied) {
        self.asking.attempts.with_label_values(&[denied.as_str()]).inc();
    }

    /// What share of its cap a provider has had today.
    pub fn set_spend_ratio(&self, provider: &ProviderName, ratio: f64) {
        self.asking.spend.with_label_values(&[provider.as_str()]).set(ratio);
    }

    /// A combination was tried.
    pub fn on_combination(&self, channel: &ChannelName, came_to: Combining) {
        let result = match came_to {
            Combining::Settled => "settled",
            Combining::Unsettled => "unsettled",
        };
        self.asking.combinations.with_label_values(&[channel.as_str(), result]).inc();
    }

    /// The halves of a payment differ that was settled by combination.
    pub fn on_combined_mismatch(&self, channel: &ChannelName, kind: MismatchKind) {
        let labels = [channel.as_str(), kind.as_str()];
        self.asking.combined_mismatches.with_label_values(&labels).inc();
    }
}
