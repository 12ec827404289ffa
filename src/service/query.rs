//! Queries on their way through: what the channel says of an earlier payment is an outcome of that payment.

use crate::domain::clock::Timestamp;
use crate::domain::id::OrderId;
use crate::domain::outcome::{Arrival, Decline, Outcome};
use crate::domain::payment::Scenario;
use crate::message::outcome::{Reading, Told};
use crate::reconcile::arrival::Step;
use crate::service::Service;
use crate::service::annotate::{self, Annotations};
use crate::service::judge::Pending;
use crate::service::settle::{Reported, message, told};
use crate::store::Record;
use crate::store::journal::OrderKey;
use crate::store::row::RowKey;

impl Service {
    /// Settles the payment that a query asks about with the answer. Yields the annotations, and whether they rest on an
    /// outcome that must not be lost.
    pub(crate) async fn settle_query(
        &self,
        pending: &Pending,
        reported: Reported<'_>,
    ) -> (Annotations, bool) {
        let told = told(&pending.channel.profile, message(pending), reported);
        let Some(reading) = told.map(Told::whole) else {
            self.store.not_sent(pending.channel.name(), pending.record.payment);
            return (annotate::judged(pending), false);
        };
        let Some(of) = self.queried(pending).await else {
            return (annotate::judged(pending), false);
        };
        if !of.left() {
            return (annotate::queried(pending, &of, None), false);
        }
        let reading = believed(reading, of.at, self.now());
        let settled = self.arrived(&pending.channel, &of, reading, Arrival::Query);
        let not_processed = settled.reading.outcome == Outcome::Declined(Decline::NotProcessed);
        match settled.step {
            Step::Ended | Step::Refined | Step::Confirmed if not_processed => self.reopen(&of),
            Step::Ended
            | Step::Refined
            | Step::Confirmed
            | Step::Nothing
            | Step::Noted
            | Step::Reversed
            | Step::Flipped => (),
        }
        let weighs = settled.weighs();
        (annotate::queried(pending, &of, Some(&settled)), weighs)
    }

    /// The payment that a query asks about: of those of its order the last that left, or else was refused.
    async fn queried(&self, pending: &Pending) -> Option<Record> {
        let order = pending.record.order.as_ref()?;
        let known = self.last_of(pending, order).await;
        if known.as_ref().is_some_and(Record::left) {
            return known;
        }
        self.fetch_all(claims(pending, order)).await;
        self.last_of(pending, order).await
    }

    async fn last_of(&self, pending: &Pending, order: &OrderId) -> Option<Record> {
        let mut payments = self.store.by_order(pending.channel.name(), order);
        payments.reverse();
        let unknown = payments.iter().filter(|payment| self.store.record(**payment).is_none());
        let unknown: Vec<RowKey> = unknown.map(|payment| RowKey::payment(*payment)).collect();
        if !unknown.is_empty() {
            self.fetch_all(unknown).await;
        }
        let asks = &pending.record.stakes.merchant;
        let asked = |record: &Record| {
            // Merchants number their orders each for himself.
            let of = &record.stakes.merchant;
            asks.is_none() || of.is_none() || asks == of
        };
        let records = payments.into_iter().filter_map(|payment| self.store.record(payment));
        let records: Vec<Record> = records.filter(asked).collect();
        let left = records.iter().find(|record| record.left());
        left.or_else(|| records.first()).cloned()
    }
}

/// What a payment of the order may have claimed.
fn claims(pending: &Pending, order: &OrderId) -> Vec<RowKey> {
    let claim = |scenario, confirms| OrderKey {
        channel: pending.channel.name().clone(),
        merchant: pending.record.stakes.merchant.clone(),
        scenario,
        confirms,
        order: order.clone(),
    };
    let money = Scenario::ALL.into_iter().filter(|scenario| scenario.moves_money());
    let both = money.flat_map(|scenario| [claim(scenario, false), claim(scenario, true)]);
    both.map(|claim| RowKey::order(&claim)).collect()
}

/// What a query's answer says of a payment of `at`, at `now`. That the query itself failed says nothing of the payment, and that
/// the channel knows of no such payment says so only when it is old enough: before, it means "not yet".
fn believed(reading: Reading, at: Timestamp, now: Timestamp) -> Reading {
    let not_processed = reading.outcome == Outcome::Declined(Decline::NotProcessed);
    let believed = if not_processed {
        reading.believed_after.is_some_and(|after| at.plus(after) <= now)
    } else {
        !reading.outer
    };
    if believed {
        reading
    } else {
        Reading { outcome: Outcome::Unknown, unmapped_in: None, ..reading }
    }
}
