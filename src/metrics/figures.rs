//! What was counted, as somebody reads it: a scrape, a demo's summary, a test.

use super::{Metrics, MetricsError, SECONDS};
use prometheus::{Encoder as _, TextEncoder};

impl Metrics {
    /// The sum of a counter over all label values that fit `labels`; zero for a name that is not there.
    pub fn total(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let fits = |metric: &prometheus::proto::Metric| {
            labels.iter().all(|(key, value)| {
                metric.get_label().iter().any(|pair| pair.name() == *key && pair.value() == *value)
            })
        };
        let families = self.registry.gather();
        let metrics = families
            .iter()
            .filter(|family| family.name() == name)
            .flat_map(prometheus::proto::MetricFamily::get_metric);
        let sum: f64 = metrics
            .filter(|metric| fits(metric))
            .map(|metric| metric.get_counter().get_value())
            .sum();
        to_count(sum)
    }

    /// The `quantile` (0 to 1) of the overhead over all channels in microseconds, interpolated within its bucket.
    pub fn overhead_us(&self, quantile: f64) -> u64 {
        let families = self.registry.gather();
        let metrics = families.iter().filter(|family| family.name() == "hefu_overhead_seconds");
        let mut counts = [0_u64; SECONDS.len()];
        let mut all = 0;
        for metric in metrics.flat_map(prometheus::proto::MetricFamily::get_metric) {
            let histogram = metric.get_histogram();
            all += histogram.get_sample_count();
            for (count, bucket) in counts.iter_mut().zip(histogram.get_bucket()) {
                *count += bucket.cumulative_count();
            }
        }
        let wanted = quantile * to_float(all);
        let (mut below, mut lower) = (0.0, 0.0);
        for (count, upper) in counts.iter().zip(SECONDS) {
            let count = to_float(*count);
            if count >= wanted && count > below {
                let share = (wanted - below) / (count - below);
                return to_count((lower + share * (upper - lower)) * 1e6);
            }
            (below, lower) = (count, upper);
        }
        to_count(lower * 1e6)
    }

    /// The text exposition (version 0.0.4).
    ///
    /// # Errors
    /// [`MetricsError`] where the encoder fails.
    pub fn render(&self) -> Result<Vec<u8>, MetricsError> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// A sample that is a count: counters hold whole numbers below 2^53.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and holds counts only"
)]
fn to_count(value: f64) -> u64 {
    value.round() as u64
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "counts below 2^53")]
fn to_float(count: u64) -> f64 {
    count as f64
}
