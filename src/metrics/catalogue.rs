//! What metrics there are, whether or not they have a sample yet: for the reference, which is made of it.

use super::Metrics;
use prometheus::core::Collector;
use prometheus::proto::{MetricFamily, MetricType};
use std::sync::{Arc, Mutex, PoisonError};

/// A metric as it was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// What it says.
    pub help: String,
    /// Its labels.
    pub labels: Vec<String>,
}

/// A registry that remembers what was registered.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    inner: prometheus::Registry,
    described: Arc<Mutex<Vec<Described>>>,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn register(&self, collector: Box<dyn Collector>) -> Result<(), prometheus::Error> {
        let kind = match collector.collect().first().map(MetricFamily::get_field_type) {
            Some(MetricType::COUNTER) => "counter",
            Some(MetricType::HISTOGRAM) => "histogram",
            _ => "gauge",
        };
        let described = collector.desc().into_iter().map(|desc| Described {
            name: desc.fq_name.clone(),
            kind,
            help: desc.help.clone(),
            labels: desc.variable_labels.clone(),
        });
        self.described.lock().unwrap_or_else(PoisonError::into_inner).extend(described);
        self.inner.register(collector)
    }

    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.inner.gather()
    }
}

impl Metrics {
    /// Every metric, by name.
    pub fn catalogue(&self) -> Vec<Described> {
        let described = self.registry.described.lock().unwrap_or_else(PoisonError::into_inner);
        let mut described = described.clone();
        described.sort_by(|one, other| one.name.cmp(&other.name));
        described
    }
}
