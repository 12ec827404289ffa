//! Combination (组合认证): what the bank does not know of the phone, the operator may. Each side is asked about its own part, and
//! each answer is evidence on that part alone: nothing of it is ever evidence on all four elements.

use crate::domain::answer::Answer;
use crate::domain::element::ElementSet;
use crate::domain::payment::Payment;
use crate::metrics::Combining;
use crate::policy;
use crate::route::combination::{self, PARTS, Side};
use crate::service::Service;
use crate::service::verify::{About, Gathered, Question};
use crate::store::{Evidence, Witness};
use std::sync::Arc;

impl Service {
    /// The bank's word on the card with the operator's on the phone beside it, where both match and may settle what `evidence`
    /// says of all four.
    pub(super) async fn combined(
        self: &Arc<Self>,
        question: &Question<'_>,
        payment: &Payment,
        evidence: &Evidence,
    ) -> Option<Evidence> {
        let Answer::NoMatch(at_fault) = evidence.answer else { return None };
        let own = policy::combines(&self.policy, payment.scenario, question.merchant);
        if !own || !combination::may_settle(question.set, at_fault, payment.checks) {
            return None;
        }
        let [bank, operator] = PARTS;
        let settled = match self.vouched(question, bank).await {
            Some(bank) => {
                let beside = self.vouched(question, operator).await.map(Box::new);
                beside.map(|beside| Evidence { beside: Some(beside), ..bank })
            }
            None => None,
        };
        let came_to = if settled.is_some() { Combining::Settled } else { Combining::Unsettled };
        if let Some(channel) = question.channel {
            self.metrics.on_combination(channel.name(), came_to);
        }
        settled
    }

    /// The word of one side on its part, where it is a match.
    async fn vouched(
        self: &Arc<Self>,
        question: &Question<'_>,
        (side, set): (Side, ElementSet),
    ) -> Option<Evidence> {
        let (current, scope) = (&self.keys.current, self.sharing.scope(question.merchant));
        let others: Vec<_> = self.keys.read_at(self.now()).collect();
        let all = std::iter::once(current).chain(others.iter().copied());
        let about = About {
            tuple: current.tuple_of(scope, question.elements, set)?,
            anyone: all.filter_map(|key| scope.and(key.tuple(question.elements, set))).collect(),
            others: others
                .iter()
                .filter_map(|key| key.tuple_of(scope, question.elements, set))
                .collect(),
            person: current.person(question.elements),
        };
        let part = Question { set, about, side: Some(side), ..question.clone() };
        let Gathered::Evidence { evidence, .. } = self.gather(&part).await else { return None };
        let theirs = match &evidence.witness {
            // What a channel checks, it checks with the bank.
            Witness::Channel(_) => side == Side::Bank,
            Witness::Provider(name) => self
                .providers
                .iter()
                .any(|entry| entry.provider.name() == name && side.takes(&entry.candidate.source)),
        };
        Some(evidence).filter(|evidence| theirs && evidence.answer == Answer::Match)
    }
}
