//! What a trace tells of use cases: what they wait for.

use crate::domain::trace::Said;
use crate::provider::trace;
use crate::service::Service;
use crate::service::verify::Gathered;
use crate::store::journal::StoreLost;

/// Waits for the journal, which a trace tells of: `why` is what it waits with.
pub(crate) fn journaled<F: Future>(
    why: &'static str,
    writing: F,
) -> impl Future<Output = F::Output> + use<F> {
    trace::part("journal", writing, move |_| vec![("hefu.journal", Said::Word(why))])
}

/// What a span says of gathering.
pub(crate) fn told(gathered: &Gathered) -> trace::Attributes {
    let evidence = match gathered {
        Gathered::Evidence { asked_now: true, .. } => "asked",
        Gathered::Evidence { asked_now: false, .. } => "known",
        Gathered::NoAnswer => "no_answer",
        Gathered::AttemptsSpent => "attempts_spent",
        Gathered::SpendCapped => "spend_capped",
        Gathered::NobodyCan => "nobody_can",
        Gathered::NotAsked => "not_asked",
    };
    let mut told = vec![("hefu.evidence", Said::Word(evidence))];
    if let Gathered::Evidence { evidence, .. } = gathered {
        told.push(("hefu.answer", Said::Word(evidence.answer.as_str())));
    }
    told
}

impl Service {
    /// Waits until all that was learned is durable.
    pub(crate) async fn flushed(&self) -> Result<(), StoreLost> {
        journaled("outcome", self.store.flush()).await
    }
}
