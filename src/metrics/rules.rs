//! What the risk team's rules did. Rules are named in configuration, so that their names are bounded labels.

use super::catalogue::Registry;
use super::{Metrics, MetricsError};
use crate::policy::rules::{Action, RuleId};
use prometheus::{IntCounterVec, Opts};

/// The metrics of rules.
#[derive(Clone, Debug)]
pub(super) struct RuleMetrics {
    hits: IntCounterVec,
    errors: IntCounterVec,
}

impl RuleMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let hits = IntCounterVec::new(
            Opts::new("hefu_rule_hits_total", "Payments for which a rule of the risk team held."),
            &["rule", "effect", "mode"],
        )?;
        let errors = IntCounterVec::new(
            Opts::new(
                "hefu_rule_errors_total",
                "Payments for which a rule could not be evaluated.",
            ),
            &["rule"],
        )?;
        registry.register(Box::new(hits.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        Ok(Self { hits, errors })
    }
}

impl Metrics {
    /// A rule held; `mode` is `live`, `observe` (it binds, and the channel is observed) or `shadow`.
    pub fn on_rule_hit(&self, rule: &RuleId, action: Action, mode: &'static str) {
        self.rules.hits.with_label_values(&[rule.as_str(), action.as_str(), mode]).inc();
    }

    /// A rule could not be evaluated.
    pub fn on_rule_error(&self, rule: &RuleId) {
        self.rules.errors.with_label_values(&[rule.as_str()]).inc();
    }
}
