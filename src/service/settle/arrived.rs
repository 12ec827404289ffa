//! An outcome of a payment came, by whatever way.

use super::{Settled, compare};
use crate::domain::element::ElementSet;
use crate::domain::id::PaymentId;
use crate::domain::mismatch::{Mismatch, MismatchKind};
use crate::domain::outcome::{Arrival, Decline, Outcome};
use crate::message::outcome::Reading;
use crate::reconcile::arrival::Step;
use crate::service::query::Named;
use crate::service::{Channel, Service};
use crate::store::journal::{OrderKey, StoreLost};
use crate::store::row::RowKey;
use crate::store::{Moment, Owing, Record, Unmapped};
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
        let reported = || (reading.outcome, reading.code.clone(), arrival);
        let step = self.store.arrive(record, reported(), channel.profile.precedence, self.now());
        let differ = |kind| Some(Mismatch { kind, elements: ElementSet::EMPTY });
        let mismatch = match step {
            Step::Nothing | Step::Confirmed => {
                let known = self.store.record(record.payment);
                known.as_ref().and_then(|known| unsettling(known, reading.outcome, arrival))
            }
            Step::Noted => None,
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
            let differing = Box::pin(self.count_mismatch(record, mismatch, reported()));
            Box::pin(join(differing, async { act() })).await;
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
        let may_be_open = match step {
            Step::Flipped => true,
            Step::Nothing | Step::Confirmed => {
                let known = self.store.record(record.payment);
                let known = known.as_ref().unwrap_or(record);
                let stands = known.outcome.as_ref().is_some_and(|it| it.0 == Outcome::Succeeded);
                stands && known.timeline.iter().any(|moment| moment.outcome.is_failure())
            }
            Step::Noted | Step::Ended | Step::Refined | Step::Reversed | Step::Overtaken => false,
        };
        // Rare, and larger than the rest.
        if may_be_open { Box::pin(self.claim_opened(record)).await } else { Ok(()) }
    }

    async fn claim_opened(&self, record: &Record) -> Result<(), StoreLost> {
        let claimed = match self.claimed_for(record).await {
            Ok(Some((order, by))) => self.store.claim_again(&order, by).await.map(|_| ()),
            Ok(None) => Ok(()),
            Err(lost) => Err(lost),
        };
        if claimed.is_err() {
            tracing::error!(channel = record.channel.as_str(), payment.id = %record.payment, "an order that succeeded may be open: the store cannot be written");
        }
        claimed
    }

    /// What is claimed for a payment, and by which: a batch is claimed by its first row.
    async fn claimed_for(
        &self,
        record: &Record,
    ) -> Result<Option<(OrderKey, PaymentId)>, StoreLost> {
        let claim = |of: &Record| Some((of.claim()?, of.payment));
        let (None, Some((batch, _))) = (claim(record), record.row_of) else {
            return Ok(claim(record));
        };
        let first = batch.row(1);
        if self.store.record(first).is_none() {
            self.store.fetch_intact(vec![RowKey::payment(first)]).await?;
        }
        Ok(self.store.record(first).as_ref().and_then(claim))
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
        if arrival != Arrival::Sync && ends_order(reading.outcome) {
            self.owe_no_others(record);
        }
    }

    /// In `observe` an order may leave again. What names the order is said of one of those payments, and nobody will say more of the
    /// others.
    fn owe_no_others(&self, record: &Record) {
        let Some(order) = &record.order else { return };
        let payments = self.store.by_order(&record.channel, order).into_iter();
        for other in payments.filter_map(|payment| self.store.record(payment)) {
            let open = other.outcome.as_ref().is_none_or(|(outcome, ..)| outcome.is_open());
            if open && other.left() && is_again(record, &other) {
                self.store.complete(&other, None, Owing::NoOutcome);
            }
        }
    }

    /// Whether what names the order of `record` is said of another payment, and it is known since how that ended.
    pub(in crate::service) async fn ended_with_another(
        &self,
        record: &Record,
    ) -> Result<bool, StoreLost> {
        let Some(order) = &record.order else { return Ok(false) };
        let (channel, merchant) = (&record.channel, record.stakes.merchant.as_ref());
        let scenarios = [record.scenario];
        let named = Named { channel, merchant, order, scenarios: &scenarios };
        let (of, looked_up) = self.named(&named).await;
        looked_up?;
        let since = |moment: &Moment| {
            let success = moment.outcome == Outcome::Succeeded;
            ends_order(moment.outcome) && (success || moment.at >= record.at)
        };
        let of = of.filter(|of| is_again(record, of));
        Ok(of.is_some_and(|of| of.timeline.iter().any(since)))
    }

    /// What is owed after an outcome. Whoever told that it was undone may be wrong, however often; who can be asked is not.
    fn owing(&self, record: &Record, (outcome, step): (Outcome, Step), arrival: Arrival) -> Owing {
        let told = outcome == Outcome::Reversed && !arrival.is_asked();
        if !record.scenario.moves_money() || outcome.is_open() {
            return Owing::AsBefore;
        }
        match step {
            Step::Nothing => Owing::AsBefore,
            Step::Confirmed if told => Owing::AsBefore,
            Step::Ended | Step::Reversed if told => Owing::Since(self.now()),
            Step::Overtaken => {
                let known =
                    self.store.record(record.payment).and_then(|known| known.became.outcome);
                match known {
                    Some((.., by)) if !by.is_asked() => Owing::Since(self.now()),
                    Some(_) | None => Owing::Nothing,
                }
            }
            // Another may have been told that it was undone, and only who is asked confirms that.
            Step::Ended | Step::Flipped | Step::Refined if !arrival.is_asked() => Owing::NoOutcome,
            Step::Noted
            | Step::Ended
            | Step::Confirmed
            | Step::Refined
            | Step::Reversed
            | Step::Flipped => Owing::Nothing,
        }
    }
}

/// Whether two payments are of one order, which left again.
fn is_again(one: &Record, other: &Record) -> bool {
    let order = |of: &Record| (of.scenario, of.stakes.merchant.clone(), of.stakes.claim.clone());
    one.payment != other.payment && order(one) == order(other)
}

/// Whether nothing more is to come of an order of which that is said. That no such order is known may be said of one that is on its way.
fn ends_order(outcome: Outcome) -> bool {
    !outcome.is_open() && outcome != Outcome::Declined(Decline::NotProcessed)
}

/// How the halves differ by a word that changes nothing of what is known.
fn unsettling(known: &Record, told: Outcome, arrival: Arrival) -> Option<Mismatch> {
    match told {
        Outcome::Reversed | Outcome::Succeeded => untold_reversal(known),
        // The channel denies what it told; it stays so until it says otherwise than that it knows of nothing.
        Outcome::Declined(Decline::NotProcessed) if arrival == Arrival::Query => {
            let stands = |(outcome, _, by): &(Outcome, _, Arrival)| {
                *outcome == Outcome::Succeeded && *by != Arrival::Statement
            };
            let stands = known.outcome.as_ref().is_some_and(stands);
            let kind = MismatchKind::OutcomeFlipped;
            let mismatch = Mismatch { kind, elements: ElementSet::EMPTY };
            // What was undone it may not know any more, nor what it has stated.
            (stands && !known.is_undone() && known.mismatch.is_none()).then_some(mismatch)
        }
        Outcome::Accepted
        | Outcome::Unknown
        | Outcome::Unmapped
        | Outcome::NoMatch(_)
        | Outcome::Declined(_) => None,
    }
}

/// That a payment was undone which had succeeded, where one replica heard of the one and another, before that was kept, of the other:
/// neither told it.
pub(in crate::service) fn untold_reversal(known: &Record) -> Option<Mismatch> {
    let kind = MismatchKind::ReversedAfterSuccess;
    let told = known.mismatch.is_some_and(|mismatch| mismatch.kind == kind);
    let mismatch = Mismatch { kind, elements: ElementSet::EMPTY };
    (known.is_reversed() && !told).then_some(mismatch)
}
