//! What is known already.

use super::{About, Gathered, Question};
use crate::metrics::EvidenceUse;
use crate::service::Service;
use crate::store::row::RowKey;

impl Service {
    /// The evidence that is known under another key; from then on it is known under this one.
    pub(super) async fn carried(&self, question: &Question<'_>) -> Option<Gathered> {
        let About { tuple, others, person, .. } = &question.about;
        for other in others {
            self.fetch(RowKey::evidence(other)).await;
            self.store.carry_evidence(other, *tuple, *person);
        }
        if others.is_empty() { None } else { self.kept(question) }
    }

    /// The evidence that is known already.
    pub(super) fn kept(&self, question: &Question<'_>) -> Option<Gathered> {
        let (tuple, now) = (&question.about.tuple, self.now());
        let evidence = match question.channel {
            Some(channel) => {
                self.store.evidence(tuple, channel.name(), channel.profile.road.as_ref(), now)?
            }
            None => self.store.uncontradicted(tuple, now)?,
        };
        self.metrics.on_evidence(EvidenceUse::Hit);
        Some(Gathered::Evidence { evidence, asked_now: false, routed: None })
    }
}
