//! Queries on their way through: what the channel says of an earlier payment is an outcome of that payment.

mod batch;

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
use crate::store::journal::{OrderKey, StoreLost};
use crate::store::row::RowKey;
use crate::store::{Owing, Record};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// The channel knows of no such payment.
const NOT_PROCESSED: Outcome = Outcome::Declined(Decline::NotProcessed);

impl Service {
    /// Settles the payment that a query asks about with the answer. Yields the annotations, and whether they rest on an
    /// outcome that must not be lost.
    pub(crate) async fn settle_query(
        &self,
        pending: &Pending,
        reported: Reported<'_>,
    ) -> (Annotations, bool) {
        let told = told(&pending.channel.profile, message(pending), reported);
        let reading = match told {
            Some(Told::Rows(rows)) => match self.settle_rows(pending, rows).await {
                Ok(settled) => return settled,
                Err(reading) => Some(*reading),
            },
            Some(Told::Whole(reading)) => Some(reading),
            None => None,
        };
        let Some((of, reading)) = self.queried_of(pending, reading).await else {
            return (annotate::judged(pending), false);
        };
        if let Some(settled) = self.settle_whole(pending, &of, &reading).await {
            return settled;
        }
        let settled = self.settle_of(pending, &of, reading).await;
        let weighs = settled.as_ref().is_some_and(Settled::weighs);
        (annotate::queried(pending, &of, settled.as_ref()), weighs)
    }

    /// Settles the payment that a row of a query asks about with what was read of the answer. Yields what came of it, where it had left.
    pub(super) async fn settle_queried(
        &self,
        pending: &Pending,
        reading: Option<Reading>,
    ) -> Option<Settled> {
        let (of, reading) = self.queried_of(pending, reading).await?;
        self.settle_of(pending, &of, reading).await
    }

    /// The payment that a query, or one row of it, asks about, and what was read of the answer: nothing where nothing was sent.
    async fn queried_of(
        &self,
        pending: &Pending,
        reading: Option<Reading>,
    ) -> Option<(Record, Reading)> {
        let Some(reading) = reading else {
            self.store.not_sent(pending.channel.name(), pending.record.payment);
            return None;
        };
        let named = match &reading.order {
            Some(order) => self.queried(pending, Some(order)).await,
            None => None,
        };
        let of = match named {
            Some(of) => of,
            None => self.queried(pending, pending.record.order.as_ref()).await?,
        };
        Some((of, reading))
    }

    /// Settles a payment that is asked about, where it left.
    async fn settle_of(&self, pending: &Pending, of: &Record, reading: Reading) -> Option<Settled> {
        if !of.left() {
            return None;
        }
        let reading = believed(reading, self.clock.surely_since(of.at));
        if of.amount.zip(reading.amount).is_some_and(|(known, told)| known != told) {
            return Some(Box::pin(self.queried_of_another_amount(of, reading)).await);
        }
        if reading.outcome.bears_upon_others() {
            // It may have been judged by another process, or before a restart.
            let _ = self.fetch_all(rests_on(of)).await;
        }
        let mut settled = self.arrived(&pending.channel, of, reading, Arrival::Query).await;
        // What succeeded once was processed, however often that is denied: its order stays claimed. And a crash may have come between
        // what was kept of it and this, so each such word opens it once more.
        let failed = self.store.record(of.payment).as_ref().unwrap_or(of).failed();
        if settled.reading.outcome == NOT_PROCESSED && failed && !of.claims_for_batch() {
            self.reopen(of);
        }
        if settled.mismatch.is_none() && matches!(settled.step, Step::Nothing | Step::Confirmed) {
            settled.mismatch = self.standing_mismatch(of, settled.reading.outcome);
        }
        Some(settled)
    }

    /// Whether `outcome` is what is known of a payment.
    fn stands(&self, of: &Record, outcome: Outcome) -> bool {
        let known = self.store.record(of.payment).and_then(|record| record.became.outcome);
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
    async fn queried(&self, pending: &Pending, order: Option<&OrderId>) -> Option<Record> {
        let merchant = pending.record.stakes.merchant.as_ref();
        let channel = pending.channel.name();
        let scenarios = message(pending).map_or(&[][..], |message| &message.of);
        let named = Named { channel, merchant, order: order?, scenarios };
        self.named(&named).await.0
    }

    /// What the core itself asks to be undone is no reversal when the channel tells it, which may be before it answers. Nothing waits
    /// for a payment that memory does not know: that is looked for beside.
    pub(crate) fn undoing(self: &Arc<Self>, pending: &Pending) {
        let Some(order) = pending.undoes.clone() else { return };
        let (channel, by) = (pending.channel.clone(), pending.record.payment);
        let merchant = pending.record.stakes.merchant.clone();
        let named = Named {
            channel: channel.name(),
            merchant: merchant.as_ref(),
            order: &order,
            scenarios: &[],
        };
        if let Some(of) = self.known(&named, &HashSet::new()).filter(Record::left) {
            self.store.undo(&of, by, false);
            return;
        }
        let service = self.clone();
        tokio::spawn(async move {
            let (channel, merchant) = (channel.name(), merchant.as_ref());
            let named = Named { channel, merchant, order: &order, scenarios: &[] };
            if let Some(of) = service.named(&named).await.0.filter(Record::left) {
                service.store.undo(&of, by, false);
            }
        });
    }

    /// What the core itself asked to be undone: where the channel certainly refused, and tells all the same that it was undone, or has
    /// told so meanwhile, that is a reversal.
    pub(crate) async fn settle_undoing(&self, pending: &Pending, reported: Reported<'_>) {
        let told = told(&pending.channel.profile, message(pending), reported).map(Told::whole);
        let refused = told.is_none_or(|reading| {
            matches!(reading.outcome, Outcome::Declined(_) | Outcome::NoMatch(_))
        });
        let Some(order) = pending.undoes.as_ref() else { return };
        let (channel, merchant) = (pending.channel.name(), pending.record.stakes.merchant.as_ref());
        let named = Named { channel, merchant, order, scenarios: &[] };
        let Some(of) = self.named(&named).await.0.filter(Record::left) else { return };
        self.store.undo(&of, pending.record.payment, refused);
        let known = self.store.record(of.payment).filter(|known| refused && known.is_reversed());
        let Some(known) = known else { return };
        let mismatch =
            Mismatch { kind: MismatchKind::ReversedAfterSuccess, elements: ElementSet::EMPTY };
        if let Some(reported) = known.outcome.clone() {
            self.count_mismatch(&known, mismatch, reported).await;
            self.store.complete(&known, Some(mismatch), Owing::AsBefore);
        }
    }

    /// The payment that a channel's word is about: of those of its order the one that holds it, or the last that left, or else was
    /// refused. And whether all that is kept could be looked at.
    pub(crate) async fn named(&self, by: &Named<'_>) -> (Option<Record>, Result<(), StoreLost>) {
        let looked_up = self.fetch_payments(by).await;
        let looked_up = looked_up.and(self.fetch_batches(std::slice::from_ref(by)).await);
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

    /// Whether several payments of the order left, one after the other; the two steps of one are one.
    pub(crate) fn left_again(&self, by: &Named<'_>) -> bool {
        let mut left = self.payments(by);
        left.retain(Record::left);
        let Some(last) = left.pop() else { return false };
        let confirms = |of: &Record| of.stakes.claim.as_ref().map(|(_, confirms)| *confirms);
        let other_step = |of: &Record| {
            confirms(of).zip(confirms(&last)).is_some_and(|(one, other)| one != other)
        };
        !left.iter().all(other_step)
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

    /// What a payment of the order may have claimed, which may name no merchant.
    pub(crate) fn claims(&self) -> Vec<RowKey> {
        let claim = |merchant: Option<&MerchantId>, scenario, confirms| OrderKey {
            channel: self.channel.clone(),
            merchant: merchant.cloned(),
            scenario,
            confirms,
            order: self.order.clone(),
        };
        let money = Scenario::ALL.into_iter().filter(|scenario| scenario.moves_money());
        let money = money.filter(|scenario| self.takes(*scenario));
        let claims = money.flat_map(|scenario| {
            let merchants = std::iter::once(None).chain(self.merchant.map(Some));
            merchants.flat_map(move |merchant| {
                let first = claim(merchant, scenario, false);
                let confirm = claim(merchant, scenario, true);
                [RowKey::order(&first), RowKey::order(&confirm), first.before()]
            })
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
    let believed = if reading.outcome == NOT_PROCESSED {
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
