//! Questions of the moment: asked each time, and their answers are nobody's evidence.

use super::{Gathered, Question, Whose};
use crate::provider::{Inquiry, More, trace};
use crate::service::Service;
use crate::store::Evidence;
use std::sync::Arc;

impl Service {
    /// Of whom an inquiry asks, and for whom.
    pub(super) fn whose(&self, question: &Question<'_>, inquiry: &Inquiry) -> Whose {
        Whose {
            of: self.asked_about(&inquiry.elements),
            merchant: question.merchant.map(|merchant| self.sharing.owner(merchant).clone()),
            client: question.client.cloned(),
            scenario: question.scenario,
            observed: question.observed,
        }
    }

    /// Asks about `question` now, whatever was answered before; what comes of it is kept nowhere but as a charge. Whoever calls this
    /// waits for as long as providers take: what is paid for is told.
    pub(crate) async fn ask_afresh(
        self: &Arc<Self>,
        question: &Question<'_>,
    ) -> Result<(Evidence, More), Gathered> {
        let mut plan = self.plan(question);
        // Nobody is asked beside: a picture goes to as few as may be.
        self.take_trials(&mut plan);
        if plan.order.is_empty() {
            return Err(Gathered::NobodyCan);
        }
        let (plan, _) = self.routed(plan, question);
        let inquiry = Inquiry {
            id: self.new_id(self.now()),
            elements: question.elements.restricted(question.set),
            set: question.set,
        };
        let whose = self.whose(question, &inquiry);
        trace::carried(self.consult(&plan, &inquiry, &whose)).await.map_err(Gathered::from)
    }
}
