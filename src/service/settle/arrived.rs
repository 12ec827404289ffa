//! An outcome of a payment came, by whatever way.

use super::{Settled, compare};
use crate::domain::element::ElementSet;
use crate::domain::mismatch::{Mismatch, MismatchKind};
use crate::domain::outcome::{Arrival, Decline, Outcome};
use crate::message::outcome::Reading;
use crate::reconcile::arrival::Step;
use crate::service::{Channel, Service};
use crate::store::journal::StoreLost;
use crate::store::{Owing, Record, Unmapped};
use futures::future::join;

impl Service {
    /// An outcome of a payment came: it is weighed against what is known, compared, counted, and acted upon; once.
    pub(crate) async fn arrived(
        &self,
        channel: &Channel,
        record: &Record,
        reading: Reading,
        arrival: Arrival,
    ) -> Settled {
        let name = channel.name();
        self.metrics.on_outcome(name, reading.outcome, arrival);
        if let (Some(map), Some(code)) = (&reading.unmapped_in, &reading.code) {
            self.store.put_unmapped(Unmapped {
                channel: name.clone(),
                map: map.clone(),
                code: code.clone(),
                count: 0,
                last: self.now(),
                payment: record.payment,
            });
        }
        let reported = (reading.outcome, reading.code.clone(), arrival);
        let step =
            self.store.arrive(record, reported.clone(), channel.profile.precedence, self.now());
        let differ = |kind| Some(Mismatch { kind, elements: ElementSet::EMPTY });
        let mismatch = match step {
            // One replica heard of the success, and another, before that was kept, that it was undone.
            Step::Nothing | Step::Confirmed if reading.outcome == Outcome::Reversed => {
                let known = self.store.record(record.payment).filter(Record::is_reversed);
                let told = |it: &Record| {
                    let kind = it.mismatch.map(|mismatch| mismatch.kind);
                    kind == Some(MismatchKind::ReversedAfterSuccess)
                };
                known.filter(|it| !told(it)).and(differ(MismatchKind::ReversedAfterSuccess))
            }
            Step::Nothing | Step::Noted | Step::Confirmed => None,
            Step::Ended | Step::Refined => compare(record, reading.outcome),
            Step::Reversed | Step::Overtaken => {
                // The core may have asked for it since it left.
                let known = self.store.record(record.payment);
                let asked_for = known.as_ref().unwrap_or(record).is_undone();
                differ(MismatchKind::ReversedAfterSuccess).filter(|_| !asked_for)
            }
            // How the halves differ says more than that they were said to agree.
            Step::Flipped => {
                compare(record, reading.outcome).or_else(|| differ(MismatchKind::OutcomeFlipped))
            }
        };
        if reading.outcome == Outcome::Succeeded {
            // Before anything else is kept of it; where it cannot be written, the word comes again.
            let _ = self.claim_if_open(record, step).await;
        }
        let act = || self.acted_upon(channel, record, (&reading, step, mismatch), arrival);
        if let Some(mismatch) = mismatch {
            // Begun first, so that it stands first in what is kept and told; and nothing waits between what was heard and what is made of it.
            let differing = Box::pin(self.count_mismatch(record, mismatch, reported));
            join(differing, async { act() }).await;
        } else {
            act();
        }
        self.followed(record).await;
        Settled { reading, step, mismatch }
    }

    /// Of a payment that succeeded after it had failed, the order was opened again, perhaps: it must not leave once more. A crash or a
    /// lost store may have come between what was kept of it and this, so each word that it succeeded looks once more.
    ///
    /// # Errors
    /// [`StoreLost`]: it may be open.
    pub(in crate::service) async fn claim_if_open(
        &self,
        record: &Record,
        step: Step,
    ) -> Result<(), StoreLost> {
        let known = self.store.record(record.payment);
        let known = known.as_ref().unwrap_or(record);
        let stands = known.outcome.as_ref().is_some_and(|it| it.0 == Outcome::Succeeded);
        let has_failed = || known.timeline.iter().any(|moment| moment.outcome.is_failure());
        let may_be_open = match step {
            Step::Flipped => true,
            Step::Nothing | Step::Confirmed => stands && has_failed(),
            Step::Noted | Step::Ended | Step::Refined | Step::Reversed | Step::Overtaken => false,
        };
        let Some(order) = record.claim().filter(|_| may_be_open) else { return Ok(()) };
        let claimed = self.store.claim_again(&order, record.payment).await;
        if claimed.is_err() {
            tracing::error!(channel = record.channel.as_str(), payment.id = %record.payment, "an order that succeeded may be open: the store cannot be written");
        }
        claimed.map(|_| ())
    }

    /// What an outcome comes to beside how it differs, all of it kept at once.
    fn acted_upon(
        &self,
        channel: &Channel,
        record: &Record,
        (reading, step, mismatch): (&Reading, Step, Option<Mismatch>),
        arrival: Arrival,
    ) {
        match step {
            Step::Nothing | Step::Noted | Step::Confirmed => (),
            Step::Ended | Step::Refined | Step::Reversed | Step::Overtaken | Step::Flipped => {
                self.count(record, reading.outcome);
                self.react(channel, record, reading.outcome, mismatch);
                // It failed for another reason, or did not fail.
                let other = !matches!(reading.outcome, Outcome::NoMatch(_));
                if other && matches!(step, Step::Flipped | Step::Refined) {
                    self.take_back(channel, record);
                }
                // The payer may type the password again, under the same order; a batch has none. A word that comes later may be
                // about an earlier try.
                let otp = reading.outcome == Outcome::Declined(Decline::Otp);
                let first = matches!(step, Step::Ended | Step::Refined) && arrival == Arrival::Sync;
                if otp && first && record.row_of.is_none() {
                    self.reopen(record);
                }
            }
        }
        if step != Step::Nothing || mismatch.is_some() {
            let owing = self.owing(record, (reading.outcome, step), arrival);
            self.store.complete(record, mismatch, owing);
        }
    }

    /// What is owed after an outcome. Whoever told that it was undone may be wrong, however often; who can be asked is not.
    fn owing(&self, record: &Record, (outcome, step): (Outcome, Step), arrival: Arrival) -> Owing {
        let by_itself = |by| matches!(by, Arrival::Sync | Arrival::Notify);
        let told = outcome == Outcome::Reversed && by_itself(arrival);
        if !record.scenario.moves_money() || outcome.is_open() {
            return Owing::AsBefore;
        }
        match step {
            Step::Nothing => Owing::AsBefore,
            Step::Confirmed if told => Owing::AsBefore,
            Step::Reversed if told => Owing::Since(self.now()),
            Step::Overtaken => {
                let known = self.store.record(record.payment).and_then(|known| known.outcome);
                match known {
                    Some((.., by)) if by_itself(by) => Owing::Since(self.now()),
                    Some(_) | None => Owing::Nothing,
                }
            }
            Step::Noted
            | Step::Ended
            | Step::Confirmed
            | Step::Refined
            | Step::Reversed
            | Step::Flipped => Owing::Nothing,
        }
    }
}
