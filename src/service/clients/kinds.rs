//! What a client may ask beside whether elements belong together, and asking it: each kind by its own terms.

use super::Terms;
use crate::billing::price::Prices;
use crate::domain::element::ElementSet;
use crate::domain::kind::Kind;
use crate::provider::More;
use crate::service::Service;
use crate::service::verify::{Gathered, Question};
use crate::store::Evidence;
use std::sync::Arc;

/// On which terms a client asks something else.
#[derive(Clone, Debug)]
pub struct KindTerms {
    /// What.
    pub kind: Kind,
    /// About which elements.
    pub sets: Vec<ElementSet>,
    /// What it pays for it.
    pub prices: Prices,
}

impl Terms {
    /// Whether the client may ask this.
    pub fn takes(&self, kind: Kind, set: ElementSet) -> bool {
        match kind {
            Kind::Elements => self.sets.contains(&set),
            Kind::Face
            | Kind::Liveness
            | Kind::IdCard
            | Kind::Business
            | Kind::Education
            | Kind::Railway => self.of(kind).is_some_and(|terms| terms.sets.contains(&set)),
        }
    }

    /// What it pays for this.
    pub(super) fn prices_of(&self, kind: Kind) -> &Prices {
        // What was asked on terms that are gone since is priced as everything else.
        self.of(kind).map_or(&self.prices, |terms| &terms.prices)
    }

    /// Whether it may send pictures.
    pub fn sends_pictures(&self) -> bool {
        let mut sets = self.kinds.iter().flat_map(|terms| &terms.sets);
        sets.any(|set| set.meets(ElementSet::PICTURES))
    }

    fn of(&self, kind: Kind) -> Option<&KindTerms> {
        self.kinds.iter().find(|terms| terms.kind == kind)
    }
}

impl Service {
    /// What is known of what a client asks, or is told now.
    pub(super) async fn find_out(
        self: &Arc<Self>,
        question: &Question<'_>,
    ) -> Result<(Evidence, More), Gathered> {
        if question.kind.is_of_the_moment() {
            return self.ask_afresh(question).await;
        }
        match self.gather(question).await {
            Gathered::Evidence { evidence, .. } => Ok((evidence, More::NOTHING)),
            none => Err(none),
        }
    }
}
