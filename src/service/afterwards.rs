//! Asking afterwards: in `observe` nobody waits for a provider. Of a sample of what had no evidence is asked once the channel has
//! answered, within a cap of its own.

use crate::domain::element::{ElementSet, Elements};
use crate::domain::id::{MerchantId, PaymentId};
use crate::domain::kind::Kind;
use crate::domain::money::Fen;
use crate::domain::outcome::{Arrival, Outcome};
use crate::domain::payment::{Mode, Payment, Scenario};
use crate::policy::{Basis, Verification};
use crate::service::facts::Known;
use crate::service::judge::Judged;
use crate::service::settle;
use crate::service::verify::{About, Gathered, Question};
use crate::service::{Channel, Service};
use crate::store::mismatch::KeptMismatch;
use crate::store::{Owing, Record};
use futures::future::join;
use std::sync::Arc;
use tokio::time::Instant;

/// Of what is asked, and for how much. Nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Of how many of a hundred payments that had no evidence.
    pub percent: u32,
    /// What may be spent on them within a day.
    pub cap: Fen,
}

/// What is asked once a payment is over. Its elements are in memory until then, and nowhere else.
#[derive(Debug)]
pub struct Later {
    payment: PaymentId,
    scenario: Scenario,
    merchant: Option<MerchantId>,
    elements: Elements,
    set: ElementSet,
    about: About,
}

impl Judged {
    /// What is to be asked afterwards.
    pub fn later(&mut self) -> Vec<Later> {
        match self {
            Self::One(pending) => pending.later.take().map(|later| *later).into_iter().collect(),
            Self::Batch(batch) => {
                let rows = batch.rows.iter_mut();
                rows.filter_map(|row| row.later.take().map(|later| *later)).collect()
            }
        }
    }
}

impl Service {
    /// Whether `payment` is in the sample, and then what is to be asked.
    pub(super) fn sampled(
        &self,
        mode: Mode,
        basis: Basis,
        known: &Known,
        (id, payment): (PaymentId, &Payment),
    ) -> Option<Box<Later>> {
        let unknown = basis == Basis::Verified(Verification::NotAsked) && mode == Mode::Observe;
        let Sample { percent, .. } = self.observe;
        if !unknown || percent == 0 || self.draw() % 100 >= u64::from(percent) {
            return None;
        }
        let (tuple, set) = known.tuple?;
        let others = known.others.iter().map(|other| other.tuple).collect();
        Some(Box::new(Later {
            payment: id,
            scenario: payment.scenario,
            merchant: known.merchant.clone(),
            elements: payment.elements.restricted(set),
            set,
            about: About { tuple, others, anyone: known.anyones().collect(), person: known.person },
        }))
    }

    /// Asks, now that the message is over. What comes of it is evidence for the next one, and is kept with the payment: it is compared
    /// with what the channel has said, and with what it says from now on.
    pub async fn ask_afterwards(self: Arc<Self>, channel: Arc<Channel>, later: Later) {
        let question = Question {
            channel: Some(&channel),
            scenario: later.scenario,
            merchant: later.merchant.as_ref(),
            client: None,
            kind: Kind::Elements,
            elements: &later.elements,
            set: later.set,
            about: later.about.clone(),
            side: None,
            may_ask: true,
            observed: true,
            deadline: Instant::now() + self.waits_for(later.scenario),
        };
        let gathered = self.gather(&question).await;
        let Gathered::Evidence { evidence, asked_now: true, .. } = gathered else { return };
        let Some(record) = self.store.record(later.payment) else { return };
        self.store.verified_since(&record, evidence.clone());
        // An outcome that came since it was read has been compared with nothing: this reads it.
        let Some(record) = self.store.record(later.payment) else { return };
        if let Some(reported) = record.outcome.clone() {
            self.compare_since(&channel, &record, reported).await;
        }
    }

    /// Compares the halves once the second is known: what was told of a payment that nobody had verified may read otherwise now.
    async fn compare_since(
        &self,
        channel: &Channel,
        record: &Record,
        reported: (Outcome, Option<String>, Arrival),
    ) {
        let outcome = reported.0;
        self.count(record, outcome);
        let known = record.mismatch;
        let mismatch = settle::compare(record, outcome).filter(|new| known != Some(*new));
        // Begun first, so that it stands first in what is kept and told.
        let differing = async {
            if let Some(mismatch) = mismatch {
                self.differ(record, mismatch, reported).await;
            }
        };
        let acting = async {
            if let Some(mismatch) = mismatch {
                self.store.complete(record, Some(mismatch), Owing::AsBefore);
                // What it differed by before is said better by this.
                if let Some(known) = known.filter(|known| known.kind != mismatch.kind) {
                    self.store.unshelve(KeptMismatch::key(record.payment, known.kind));
                }
            }
            // The provider was asked later, and yet it is the channel's word that prevails.
            if let Outcome::NoMatch(suspects) = outcome {
                self.contradict(channel, record, suspects.set(), mismatch.or(known));
            }
        };
        join(differing, acting).await;
    }
}
