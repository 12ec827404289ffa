//! Concordance as it is fed and used: each outcome that says something of what a provider had said is counted, once.

use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{Bank, ChannelName, ProviderName};
use crate::domain::outcome::Outcome;
use crate::reconcile::concordance::{Age, Level, Place, Rate, Said, Sample, shows};
use crate::reconcile::{Expected, Verified};
use crate::service::Service;
use crate::store::concordance::Mark;
use crate::store::{Evidence, Record, Witness};

/// Evidence for which advice is asked.
#[derive(Clone, Debug)]
pub struct Given {
    /// Who said it; whoever may have where absent.
    pub provider: Option<ProviderName>,
    /// Of which elements.
    pub elements: ElementSet,
    /// Whose card it is, where that is known.
    pub bank: Option<Bank>,
    /// What was said.
    pub said: Said,
    /// How old that is, where that is known.
    pub age: Option<Age>,
}

/// What may be expected of evidence at one channel.
#[derive(Clone, Debug)]
pub struct Advice {
    /// Who said it.
    pub provider: ProviderName,
    /// Where the debit would be sent.
    pub channel: ChannelName,
    /// How often that channel bears it out.
    pub rate: Rate,
}

impl Service {
    /// Counts what `outcome` shows of the evidence that a payment rested on, if it is the first that shows anything at its channel.
    pub(crate) fn count(&self, record: &Record, outcome: Outcome) {
        if !record.scenario.is_verified() {
            return;
        }
        let (Some(evidence), Some((tuple, _))) = (&record.verified, record.stakes.tuple) else {
            return;
        };
        let Witness::Provider(provider) = &evidence.witness else { return };
        let verified = Verified { answer: evidence.answer, elements: evidence.elements };
        let expected = Expected { verified: Some(verified), checks: record.stakes.checks };
        let Some((said, agreed)) = shows(&expected, record.stakes.asserted, outcome) else {
            return;
        };
        let sample = Sample {
            place: Place {
                provider: provider.clone(),
                elements: evidence.elements,
                channel: Some(record.channel.clone()),
                bank: record.stakes.bank.clone(),
            },
            said,
            age: Age::of(record.at.since(evidence.at)),
            agreed,
            at: self.now(),
        };
        let mark = Mark::new(&tuple, provider, evidence.at, &record.channel);
        if self.store.count(mark, sample) {
            self.metrics.on_sample(provider, &record.channel, said, agreed);
        }
    }

    /// What may be expected of what a provider `said` of `elements`, at a channel and a bank.
    pub fn concordance(
        &self,
        provider: &ProviderName,
        elements: ElementSet,
        (channel, bank): (Option<&ChannelName>, Option<&Bank>),
        (said, age): (Said, Option<Age>),
    ) -> Rate {
        let place = Place {
            provider: provider.clone(),
            elements,
            channel: channel.cloned(),
            bank: bank.filter(|_| channel.is_some()).cloned(),
        };
        self.store.rate(place, said, age, self.now())
    }

    /// The evidence that a payment rested on, where it says whether the elements belong together.
    pub fn given(&self, record: &Record) -> Option<Given> {
        let evidence = record.verified.as_ref()?;
        let Witness::Provider(provider) = &evidence.witness else { return None };
        Some(Given {
            provider: Some(provider.clone()),
            elements: evidence.elements,
            bank: record.stakes.bank.clone(),
            said: Said::of(evidence.answer)?,
            age: Some(Age::of(record.at.since(evidence.at))),
        })
    }

    /// How often the channel of a payment bears out what the evidence that it rested on says.
    pub fn concordance_of(&self, record: &Record) -> Option<Rate> {
        let Given { provider, elements, bank, said, age } = self.given(record)?;
        let at = (Some(&record.channel), bank.as_ref());
        Some(self.concordance(&provider?, elements, at, (said, age)))
    }

    /// Of a thousand answers such as `evidence`, how many a channel and a bank bear out; nothing where too little is known.
    pub(crate) fn borne_out(
        &self,
        channel: &ChannelName,
        bank: Option<&Bank>,
        evidence: Option<&Evidence>,
        now: Timestamp,
    ) -> Option<u16> {
        let evidence = evidence?;
        let Witness::Provider(provider) = &evidence.witness else { return None };
        let said = (Said::of(evidence.answer)?, Some(Age::of(now.since(evidence.at))));
        let rate = self.concordance(provider, evidence.elements, (Some(channel), bank), said);
        let known = Some(rate.count.expected()).filter(|_| rate.level != Level::Nowhere);
        // Numbers with a fraction become whole by their text.
        known.and_then(|share| format!("{:.0}", share * 1000.0).parse().ok())
    }

    /// Where a debit that rests on such evidence is best sent: every provider that may have said it and every channel, those first
    /// at which the elements are most likely to pass.
    pub fn advise(&self, given: &Given, channels: &[ChannelName]) -> Vec<Advice> {
        let named = |name: &ProviderName| given.provider.as_ref().is_none_or(|only| only == name);
        let providers = self.providers.iter().map(|entry| entry.provider.name());
        let mut advice: Vec<_> = providers
            .filter(|name| named(name))
            .flat_map(|provider| channels.iter().map(move |channel| (provider, channel)))
            .map(|(provider, channel)| {
                let at = (Some(channel), given.bank.as_ref());
                let rate = self.concordance(provider, given.elements, at, (given.said, given.age));
                Advice { provider: provider.clone(), channel: channel.clone(), rate }
            })
            .collect();
        let passes = |advice: &Advice| match given.said {
            Said::Match => advice.rate.count.expected(),
            Said::NoMatch => 1.0 - advice.rate.count.expected(),
        };
        // Where nothing is known, last: half is what is expected of whatever one does not know.
        let known = |advice: &Advice| advice.rate.level != Level::Nowhere;
        advice.sort_by(|one, other| {
            known(other).cmp(&known(one)).then(passes(other).total_cmp(&passes(one)))
        });
        advice
    }
}
