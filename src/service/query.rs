//! Queries on their way through: what the channel says of an earlier payment is an outcome of that payment.

use crate::domain::element::ElementSet;
use crate::domain::id::{ChannelName, MerchantId, OrderId, PaymentId};
use crate::domain::mismatch::{Mismatch, MismatchKind};
use crate::domain::outcome::{Arrival, Decline, Outcome};
use crate::domain::payment::Scenario;
use crate::message::outcome::{Reading, Told};
use crate::reconcile::arrival::Step;
use crate::reconcile::hold::HoldKey;
use crate::service::Service;
use crate::service::annotate::{self, Annotations};
use crate::service::judge::Pending;
use crate::service::settle::{Reported, Settled, compare, message, told};
use crate::store::Record;
use crate::store::journal::{OrderKey, StoreLost};
use crate::store::row::RowKey;
use std::collections::HashSet;
use std::time::Duration;

impl Service {
    /// Settles the payment that a query asks about with the answer. Yields the annotations, and whether they rest on an
    /// outcome that must not be lost.
    pub(crate) async fn settle_query(
        &self,
        pending: &Pending,
        reported: Reported<'_>,
    ) -> (Annotations, bool) {
        let told = told(&pending.channel.profile, message(pending), reported);
        match self.settle_queried(pending, told.map(Told::whole)).await {
            Some((of, settled)) => {
                let weighs = settled.as_ref().is_some_and(Settled::weighs);
                (annotate::queried(pending, &of, settled.as_ref()), weighs)
            }
            None => (annotate::judged(pending), false),
        }
    }

    /// Settles the payment that a query, or one row of it, asks about with what was read of the answer: nothing where nothing was
    /// sent. Yields that payment, where it is known, and what came of it, where it had left.
    pub(super) async fn settle_queried(
        &self,
        pending: &Pending,
        reading: Option<Reading>,
    ) -> Option<(Record, Option<Settled>)> {
        let Some(reading) = reading else {
            self.store.not_sent(pending.channel.name(), pending.record.payment);
            return None;
        };
        let of = self.queried(pending).await?;
        if !of.left() {
            return Some((of, None));
        }
        let reading = believed(reading, self.clock.surely_since(of.at));
        if of.amount.zip(reading.amount).is_some_and(|(known, told)| known != told) {
            let settled = Box::pin(self.queried_of_another_amount(&of, reading)).await;
            return Some((of, Some(settled)));
        }
        if reading.outcome.bears_upon_others() {
            // It may have been judged by another process, or before a restart.
            let _ = self.fetch_all(rests_on(&of)).await;
        }
        let mut settled = self.arrived(&pending.channel, &of, reading, Arrival::Query).await;
        let not_processed = settled.reading.outcome == Outcome::Declined(Decline::NotProcessed);
        match settled.step {
            Step::Ended | Step::Refined | Step::Confirmed if not_processed => self.reopen(&of),
            // A crash may have come between what was kept of it and this.
            Step::Nothing if not_processed && self.stands(&of, settled.reading.outcome) => {
                self.reopen(&of);
            }
            Step::Ended
            | Step::Refined
            | Step::Confirmed
            | Step::Nothing
            | Step::Noted
            | Step::Reversed
            | Step::Flipped => (),
        }
        if matches!(settled.step, Step::Nothing | Step::Confirmed) {
            settled.mismatch = self.standing_mismatch(&of, settled.reading.outcome);
        }
        Some((of, Some(settled)))
    }

    /// Whether `outcome` is what is known of a payment.
    fn stands(&self, of: &Record, outcome: Outcome) -> bool {
        let known = self.store.record(of.payment).and_then(|record| record.outcome);
        known.is_some_and(|(known, ..)| known == outcome)
    }

    /// How the halves of a payment differ that `outcome` is known of: who asks is told again, since a notification tells the core nothing
    /// beside it.
    fn standing_mismatch(&self, of: &Record, outcome: Outcome) -> Option<Mismatch> {
        let known = self.store.record(of.payment).filter(|_| self.stands(of, outcome))?;
        // It may be on its way into the record yet.
        known.mismatch.or_else(|| compare(&known, outcome))
    }

    /// The channel tells another amount than left: its answer is of something else, and settles nothing.
    async fn queried_of_another_amount(&self, of: &Record, reading: Reading) -> Settled {
        tracing::warn!(channel = of.channel.as_str(), payment.id = %of.payment, "the answer to a query tells another amount");
        let reported = (reading.outcome, reading.code.clone(), Arrival::Query);
        // Where it cannot be kept, whoever asks again finds it again.
        let _ = self.amounts_differ(of, reported).await;
        let reading = Reading { outcome: Outcome::Unknown, unmapped_in: None, ..reading };
        let (kind, elements) = (MismatchKind::AmountDiffers, ElementSet::EMPTY);
        let mismatch = Some(Mismatch { kind, elements });
        Settled { reading, step: Step::Nothing, mismatch }
    }

    /// The payment that a query asks about.
    async fn queried(&self, pending: &Pending) -> Option<Record> {
        let Record { order, stakes, .. } = &pending.record;
        let (channel, merchant) = (pending.channel.name(), stakes.merchant.as_ref());
        let named = Named { channel, merchant, order: order.as_ref()?, scenarios: &[] };
        self.named(&named).await.0
    }

    /// What the core itself asks to be undone is no reversal when the channel tells it; unless the channel certainly refused.
    pub(crate) async fn settle_undoing(&self, pending: &Pending, reported: Reported<'_>) {
        let told = told(&pending.channel.profile, message(pending), reported).map(Told::whole);
        let stays = told.is_none_or(|reading| {
            matches!(reading.outcome, Outcome::Declined(_) | Outcome::NoMatch(_))
        });
        let Some(order) = pending.undoes.as_ref().filter(|_| !stays) else { return };
        let (channel, merchant) = (pending.channel.name(), pending.record.stakes.merchant.as_ref());
        let named = Named { channel, merchant, order, scenarios: &[] };
        if let Some(of) = self.named(&named).await.0.filter(Record::left) {
            self.store.undo(&of);
        }
    }

    /// The payment that a channel's word is about: of those of its order the one that holds it, or the last that left, or else was
    /// refused. And whether all that is kept could be looked at.
    pub(crate) async fn named(&self, by: &Named<'_>) -> (Option<Record>, Result<(), StoreLost>) {
        let looked_up = self.fetch_payments(by).await;
        // The order may have been opened again, and have left again, through another process.
        let mut claims = by.claims();
        let known = self.payments(by);
        claims.extend(known.iter().flat_map(claims_of));
        claims.extend(known.iter().filter_map(|of| Some(of.claim()?.before())));
        let holders = self.store.holders(claims).await;
        let (holders, held) = match holders {
            Ok(holders) => (holders, Ok(())),
            Err(lost) => (HashSet::new(), Err(lost)),
        };
        let again = self.fetch_payments(by).await;
        let known = self.known(by, &holders);
        let kept =
            known.iter().filter(|record| record.left()).map(|of| RowKey::payment(of.payment));
        let kept: Vec<RowKey> = kept.collect();
        // Another process may have heard more of it.
        let more = if kept.is_empty() { Ok(()) } else { self.fetch_all(kept).await };
        (self.known(by, &holders), looked_up.and(held).and(again).and(more))
    }

    /// As [`Self::named`], of what memory knows, where `holders` hold their orders. Where one of them is not known, nothing is: what
    /// is said is not of a payment before it.
    pub(crate) fn known(&self, by: &Named<'_>, holders: &HashSet<PaymentId>) -> Option<Record> {
        let payments = self.store.by_order(by.channel, by.order);
        let is_lost = |payment| holders.contains(payment) && self.store.record(*payment).is_none();
        if payments.iter().any(is_lost) {
            return None;
        }
        let records = self.payments(by);
        let left = || records.iter().rev().filter(|record| record.left());
        let holder = left().find(|record| holders.contains(&record.payment));
        holder.or_else(|| left().next()).or(records.last()).cloned()
    }

    /// The payments that memory knows, oldest first.
    pub(crate) fn payments(&self, by: &Named<'_>) -> Vec<Record> {
        let payments = self.store.by_order(by.channel, by.order);
        let records = payments.into_iter().filter_map(|payment| self.store.record(payment));
        records.filter(|record| by.fits(record)).collect()
    }

    /// Whether several payments of the order left, one after the other.
    pub(crate) fn left_again(&self, by: &Named<'_>) -> bool {
        self.payments(by).iter().filter(|record| record.left()).nth(1).is_some()
    }

    /// Brings into memory the payments of an order that are known by name only.
    async fn fetch_payments(&self, by: &Named<'_>) -> Result<(), StoreLost> {
        let payments = self.store.by_order(by.channel, by.order);
        let unknown = payments.iter().filter(|payment| self.store.record(**payment).is_none());
        let unknown: Vec<RowKey> = unknown.map(|payment| RowKey::payment(*payment)).collect();
        if unknown.is_empty() { Ok(()) } else { self.fetch_all(unknown).await }
    }
}

/// By what a channel, or the core in a query, names a payment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) channel: &'a ChannelName,
    pub(crate) merchant: Option<&'a MerchantId>,
    pub(crate) order: &'a OrderId,
    /// Which kinds of payment are meant; any where empty.
    pub(crate) scenarios: &'a [Scenario],
}

impl Named<'_> {
    fn fits(&self, record: &Record) -> bool {
        // Merchants number their orders each for himself.
        let of = record.stakes.merchant.as_ref();
        let merchant = self.merchant.is_none() || of.is_none() || self.merchant == of;
        merchant && self.takes(record.scenario)
    }

    fn takes(&self, scenario: Scenario) -> bool {
        self.scenarios.is_empty() || self.scenarios.contains(&scenario)
    }

    /// What a payment of the order may have claimed.
    pub(crate) fn claims(&self) -> Vec<RowKey> {
        let claim = |scenario, confirms| OrderKey {
            channel: self.channel.clone(),
            merchant: self.merchant.cloned(),
            scenario,
            confirms,
            order: self.order.clone(),
        };
        let money = Scenario::ALL.into_iter().filter(|scenario| scenario.moves_money());
        let money = money.filter(|scenario| self.takes(*scenario));
        let claims = money.flat_map(|scenario| {
            let (first, confirm) = (claim(scenario, false), claim(scenario, true));
            [RowKey::order(&first), RowKey::order(&confirm), first.before()]
        });
        claims.collect()
    }
}

/// By what is found who holds the order of a payment: it, or one that left later. Both steps of a payment that takes two.
pub(crate) fn claims_of(of: &Record) -> Vec<RowKey> {
    let both = |claim: OrderKey| [OrderKey { confirms: !claim.confirms, ..claim.clone() }, claim];
    of.claim().into_iter().flat_map(both).map(|claim| RowKey::order(&claim)).collect()
}

/// What an outcome of the payment bears upon.
pub(crate) fn rests_on(of: &Record) -> Vec<RowKey> {
    let stakes = &of.stakes;
    let tuple = stakes.tuple.map(|(tuple, _)| tuple);
    let agreement = stakes.agreement.as_ref();
    let evidence = tuple.iter().map(RowKey::evidence);
    let agreements = agreement.map(|id| RowKey::agreement(&of.channel, id));
    let held = agreement.map(|id| HoldKey::Agreement(of.channel.clone(), id.clone()));
    // Held under whichever key the process that made the hold writes with.
    let held = held.into_iter().chain(stakes.holds().map(HoldKey::Tuple));
    evidence.chain(agreements).chain(held.map(|key| RowKey::hold(&key))).collect()
}

/// What a query's answer says of a payment that is surely `old`. That the query itself failed says nothing of the payment, and that
/// the channel knows of no such payment says so only when it is old enough: before, it means "not yet".
fn believed(reading: Reading, old: Duration) -> Reading {
    let not_processed = reading.outcome == Outcome::Declined(Decline::NotProcessed);
    let believed = if not_processed {
        reading.believed_after.is_some_and(|after| after <= old)
    } else {
        !reading.outer
    };
    if believed {
        reading
    } else {
        Reading { outcome: Outcome::Unknown, unmapped_in: None, ..reading }
    }
}
