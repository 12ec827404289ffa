//! What becomes of webhooks.

use super::Metrics;

impl Metrics {
    /// Something was told, and taken or not.
    pub fn on_webhook(&self, taken: bool) {
        let result = if taken { "taken" } else { "failed" };
        self.webhooks.with_label_values(&[result]).inc();
    }
}
