//! In which order providers are asked: by priority, or by what each is expected to cost; who is asked last for having been wrong
//! too often; and how long whoever asks waits.

use crate::domain::chance::{Routed, Share};
use crate::domain::element::ElementSet;
use crate::domain::id::{Bank, ProviderName};
use crate::domain::kind::Kind;
use crate::domain::pan::Pan;
use crate::domain::payment::Scenario;
use crate::reconcile::concordance::{ENOUGH, Level, Rate, Said};
use crate::route::Plan;
use crate::route::concordance::{Costs, Known, Strategy, lower, rank};
use crate::service::verify::Question;
use crate::service::{Channel, Entry, Service};
use rust_decimal::prelude::ToPrimitive as _;
use std::time::Duration;

/// How the order is found in which providers are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// How.
    pub strategy: Strategy,
    /// A provider whose word the channel surely bears out less often than this is asked last; none where absent.
    pub lower_below: Option<Share>,
}

impl Service {
    /// How long a payment waits for all providers together.
    pub(super) fn waits_for(&self, scenario: Scenario) -> Duration {
        let own = self.policy.scenarios.get(&scenario).and_then(|settings| settings.deadline);
        own.unwrap_or(self.settings.inquiry_deadline)
    }

    /// How long after it was asked may be answered: who is asked of the moment is waited for, however late they were asked.
    pub(super) fn answered_within(&self, scenario: Scenario, kind: Kind) -> Duration {
        let asked = |entry: &&Entry| kind.is_of_the_moment() && entry.candidate.asks == kind;
        let all = self.providers.iter().filter(asked).map(|entry| entry.provider.timeout());
        self.waits_for(scenario).saturating_add(all.max().unwrap_or_default())
    }

    /// The plan as it stands after what is known of each, and how it came about where that was not by priority alone.
    pub(super) fn routed(&self, mut plan: Plan, question: &Question<'_>) -> (Plan, Option<Routed>) {
        let bank = question.elements.pan.as_ref().map(|pan: &Pan| Bank::new(pan.bin()));
        let rate = |entry: &Entry| {
            let at = (question.channel.map(Channel::name), bank.as_ref());
            self.concordance(entry.provider.name(), question.set, at, (Said::Match, None))
        };
        let entry = |at: usize| self.providers.get(at);
        let name = |at: usize| entry(at).map(|entry| entry.provider.name().clone());
        match (self.settings.routing.strategy, self.settings.routing.lower_below) {
            (Strategy::Priority, None) => (plan, None),
            (Strategy::Priority, Some(below)) => {
                let is_low = |at| entry(at).is_some_and(|entry| is_low(rate(entry), below));
                let lowered: Vec<ProviderName> =
                    lower(&mut plan, is_low).into_iter().filter_map(name).collect();
                let routed = (!lowered.is_empty()).then(|| Routed {
                    lowered,
                    propensity: Share::ALL,
                    ..Routed::default()
                });
                (plan, routed)
            }
            (Strategy::Concordance(costs), _) => {
                let known = |at| entry(at).map(|entry| known(entry, question.set, rate(entry)));
                self.ranked(plan, |at| known(at).unwrap_or_default(), costs)
            }
        }
    }

    fn ranked(
        &self,
        plan: Plan,
        known: impl Fn(usize) -> Known,
        costs: Costs,
    ) -> (Plan, Option<Routed>) {
        let ranked = rank(plan, known, costs, self.draw());
        let expected = ranked.expected.iter().filter_map(|expected| {
            Some((self.providers.get(expected.at)?.provider.name().clone(), expected.cost))
        });
        let routed = Routed {
            expected: expected.collect(),
            explored: ranked.explored,
            propensity: ranked.propensity,
            lowered: Vec::new(),
        };
        (ranked.plan, Some(routed))
    }
}

/// What is known of a provider where its word is worth `rate`.
fn known(entry: &Entry, set: ElementSet, rate: Rate) -> Known {
    Known {
        price: entry.prices.first(set).to_f64().unwrap_or_default(),
        latency: entry.watch.latency(),
        mismatch: (rate.level != Level::Nowhere).then(|| 1.0 - rate.count.expected()),
        tried: rate.tried,
    }
}

/// Whether it is sure enough that a provider's word is borne out less often than `below` at this channel: what it does at others
/// says nothing here.
fn is_low(rate: Rate, below: Share) -> bool {
    match rate.level {
        Level::Bank | Level::Channel => {
            rate.count.all() >= ENOUGH && rate.count.interval().1 < below.ratio()
        }
        Level::Provider | Level::Nowhere => false,
    }
}
