//! Providers on trial: a sample of what others were asked is put to them after the fact, charged and recorded, and nothing rests on
//! what they say.

use crate::domain::answer::Answer;
use crate::domain::chance::Share;
use crate::provider::Inquiry;
use crate::route::Plan;
use crate::service::Service;
use crate::service::verify::{Asked, Put, Whose};

impl Service {
    /// Takes those on trial out of `plan`, and yields them: they could answer, and are not asked in earnest.
    pub(super) fn take_trials(&self, plan: &mut Plan) -> Vec<usize> {
        let on_trial =
            |at: &usize| self.providers.get(*at).is_some_and(|entry| entry.shadow > Share::NONE);
        let (trials, order) = plan.order.iter().copied().partition(on_trial);
        plan.order = order;
        trials
    }

    /// Puts to those on trial what was `answered` in earnest, for as many questions as they have a share in.
    pub(super) async fn shadow(
        &self,
        trials: &[usize],
        (inquiry, whose): (&Inquiry, &Whose),
        answered: Answer,
    ) {
        for entry in trials.iter().filter_map(|at| self.providers.get(*at)) {
            if !entry.shadow.takes(self.draw()) {
                continue;
            }
            let name = entry.provider.name();
            match self.turn(entry, false) {
                Ok(turn) => {
                    if let Put::Asked(Asked { reply, .. }) =
                        self.put(entry, turn, inquiry, whose).await
                    {
                        self.metrics.on_shadow(name, reply.answer, answered);
                    }
                }
                Err(why) => self.metrics.on_withheld(name, why.as_str()),
            }
        }
    }
}
