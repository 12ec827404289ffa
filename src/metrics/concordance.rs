//! How often the halves agree. By bank it is in the API only: banks are as many as there are beginnings of card numbers.

use super::catalogue::Registry;
use super::{Metrics, MetricsError};
use crate::domain::answer::Answer;
use crate::domain::id::{ChannelName, ProviderName};
use crate::reconcile::concordance::{Count, Place, Said};
use prometheus::{GaugeVec, IntCounterVec, Opts};

#[derive(Clone, Debug)]
pub(super) struct Concordance {
    samples: IntCounterVec,
    rate: GaugeVec,
    counted: GaugeVec,
    shadow: IntCounterVec,
}

impl Concordance {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let samples = IntCounterVec::new(
            Opts::new(
                "hefu_concordance_samples_total",
                "First outcomes that say something of what a provider said, by whether they bear it out.",
            ),
            &["provider", "channel", "said", "agreed"],
        )?;
        let rate = GaugeVec::new(
            Opts::new(
                "hefu_concordance_ratio",
                "The share of what a provider said that the channel is expected to bear out, and the bounds of its 95 % interval.",
            ),
            &["provider", "channel", "elements", "said", "bound"],
        )?;
        let counted = GaugeVec::new(
            Opts::new(
                "hefu_concordance_samples",
                "How many samples that rests on, as they weigh now.",
            ),
            &["provider", "channel", "elements", "said"],
        )?;
        let shadow = IntCounterVec::new(
            Opts::new(
                "hefu_shadow_answers_total",
                "What providers on trial say, beside what was answered in earnest.",
            ),
            &["provider", "answer", "in_earnest"],
        )?;
        registry.register(Box::new(shadow.clone()))?;
        registry.register(Box::new(samples.clone()))?;
        registry.register(Box::new(rate.clone()))?;
        registry.register(Box::new(counted.clone()))?;
        Ok(Self { samples, rate, counted, shadow })
    }
}

impl Metrics {
    /// An outcome was the first to say something of what a provider had said at a channel.
    pub fn on_sample(
        &self,
        provider: &ProviderName,
        channel: &ChannelName,
        said: Said,
        agreed: bool,
    ) {
        let agreed = if agreed { "yes" } else { "no" };
        let labels = [provider.as_str(), channel.as_str(), said.as_str(), agreed];
        self.concordance.samples.with_label_values(&labels).inc();
    }

    /// A provider on trial answered what another had `answered` in earnest.
    pub fn on_shadow(&self, provider: &ProviderName, answer: Answer, answered: Answer) {
        let labels = [provider.as_str(), answer.as_str(), answered.as_str()];
        self.concordance.shadow.with_label_values(&labels).inc();
    }

    /// What is counted at a channel, where anything is.
    pub fn set_concordance(&self, place: &Place, said: Said, count: Count) {
        let (Some(channel), None) = (&place.channel, &place.bank) else { return };
        if count.all() <= 0.0 {
            return;
        }
        let (elements, (low, high)) = (place.elements.to_string(), count.interval());
        let at = [place.provider.as_str(), channel.as_str(), &elements, said.as_str()];
        let [provider, channel, set, word] = at;
        for (bound, value) in [("low", low), ("expected", count.expected()), ("high", high)] {
            let labels = [provider, channel, set, word, bound];
            self.concordance.rate.with_label_values(&labels).set(value);
        }
        self.concordance.counted.with_label_values(&at).set(count.all());
    }
}
