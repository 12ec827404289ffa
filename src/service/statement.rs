//! A channel's statement: the last word on how payments stand.

use crate::domain::id::PaymentId;
use crate::domain::outcome::{Arrival, Belief, Outcome};
use crate::message::outcome::Reading;
use crate::message::statement::Line;
use crate::reconcile::arrival::Step;
use crate::service::query::{Named, claims_of, rests_on};
use crate::service::{Channel, Service};
use crate::store::journal::StoreLost;
use crate::store::row::RowKey;
use crate::store::{Hearsay, Record};
use std::collections::HashSet;

/// What a line came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// It settled the payment, or settled it better.
    Settled,
    /// It is known already.
    Known,
    /// It is not as is known.
    Differs(Difference),
}

/// How a statement and what is known differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// No such order is known.
    UnknownOrder,
    /// The order was refused, or could not be sent.
    NeverSent,
    /// Of another amount.
    AmountDiffers,
    /// What had failed succeeded, or the other way round.
    OutcomeFlipped,
    /// What had succeeded was undone.
    Reversed,
    /// Its code is in no map.
    Unmapped,
}

impl Difference {
    /// The word used by the API and the command.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownOrder => "unknown_order",
            Self::NeverSent => "never_sent",
            Self::AmountDiffers => "amount_differs",
            Self::OutcomeFlipped => "outcome_flipped",
            Self::Reversed => "reversed_after_success",
            Self::Unmapped => "unmapped",
        }
    }
}

impl Service {
    /// Takes a statement's lines for what they say, in their order. What each came to, and of which payment.
    ///
    /// # Errors
    /// [`StoreLost`]: it must be read again, which does no harm.
    pub async fn state(
        &self,
        channel: &Channel,
        lines: &[Line],
    ) -> Result<Vec<(Came, Option<PaymentId>)>, StoreLost> {
        let name = channel.name();
        let named = lines.iter().map(|line| Named {
            channel: name,
            merchant: line.merchant.as_ref(),
            order: &line.order,
            scenarios: &line.scenarios,
        });
        let named: Vec<Named<'_>> = named.collect();
        self.fetch_batches(&named).await?;
        let holders = self.look_up(&named, lines).await?;
        let mut came = Vec::new();
        for (line, by) in lines.iter().zip(&named) {
            let of = self.known(by, &holders);
            let payment = of.as_ref().map(|of| of.payment);
            let what = match of {
                None => Came::Differs(Difference::UnknownOrder),
                Some(of) if !of.left() => Came::Differs(Difference::NeverSent),
                // Of the payment before it, perhaps: if no other line tells of it, it fails with its day.
                Some(of) if line.outcome.is_failure() && self.left_again(by) => {
                    let (outcome, code) = (line.outcome, line.code.clone());
                    self.store.hear(&of, Hearsay { outcome, code, belief: Belief::Verified });
                    Came::Known
                }
                Some(of) => self.state_one(channel, &of, line).await?,
            };
            came.push((what, payment));
        }
        self.store.flush().await?;
        Ok(came)
    }

    /// Brings into memory what is kept of orders, of their payments, and of what their outcomes bear upon: a few looks for all.
    /// Yields who holds the orders.
    async fn look_up(
        &self,
        named: &[Named<'_>],
        lines: &[Line],
    ) -> Result<HashSet<PaymentId>, StoreLost> {
        let claims = |(by, line): (&Named<'_>, &Line)| {
            let known = self.payments(by);
            if !known.iter().any(Record::left) {
                return by.claims();
            }
            // Whatever of it left later than what is known, through another process or before a restart, holds the same order; and what
            // failed may be what left before it.
            let failed = known.iter().filter(|_| line.outcome.is_failure());
            let before = failed.filter_map(|of| Some(of.claim()?.before()));
            before.chain(known.iter().flat_map(claims_of)).collect()
        };
        let claims: Vec<RowKey> = named.iter().zip(lines).flat_map(claims).collect();
        let holders =
            if claims.is_empty() { HashSet::new() } else { self.store.holders(claims).await? };
        // Another process may know more of them.
        let payments = named.iter().flat_map(|by| self.store.by_order(by.channel, by.order));
        let payments: Vec<PaymentId> = payments.collect();
        self.look_at(payments.iter()).await?;
        // What was known for longest may have made room for the others.
        self.look_at(payments.iter().filter(|it| self.store.record(**it).is_none())).await?;
        let rest: Vec<RowKey> = named
            .iter()
            .filter_map(|by| self.known(by, &holders))
            .filter(|of| of.outcome.as_ref().is_none_or(|(.., by)| *by != Arrival::Statement))
            .flat_map(|of| rests_on(&of))
            .collect();
        if !rest.is_empty() {
            self.store.fetch_intact(rest).await?;
        }
        Ok(holders)
    }

    async fn look_at(
        &self,
        payments: impl Iterator<Item = &PaymentId> + Send,
    ) -> Result<(), StoreLost> {
        let keys: Vec<RowKey> = payments.map(|payment| RowKey::payment(*payment)).collect();
        if keys.is_empty() { Ok(()) } else { self.store.fetch_intact(keys).await }
    }

    async fn state_one(
        &self,
        channel: &Channel,
        of: &Record,
        line: &Line,
    ) -> Result<Came, StoreLost> {
        self.store.stated(of);
        let reported = (line.outcome, line.code.clone(), Arrival::Statement);
        if of.amount.zip(line.amount).is_some_and(|(known, told)| known != told) {
            self.amounts_differ(of, reported).await?;
            return Ok(Came::Differs(Difference::AmountDiffers));
        }
        if of.outcome.as_ref() == Some(&reported) {
            if line.outcome == Outcome::Succeeded {
                self.claim_if_open(of, Step::Nothing).await?;
            }
            return Ok(Came::Known);
        }
        let reading = Reading {
            outcome: line.outcome,
            code: line.code.clone(),
            unmapped_in: line.unmapped_in.clone(),
            ..Reading::UNKNOWN
        };
        let settled = self.arrived(channel, of, reading, Arrival::Statement).await;
        Ok(match settled.step {
            Step::Flipped => Came::Differs(Difference::OutcomeFlipped),
            Step::Reversed | Step::Overtaken => Came::Differs(Difference::Reversed),
            Step::Nothing | Step::Confirmed if settled.mismatch.is_some() => {
                Came::Differs(Difference::Reversed)
            }
            Step::Noted | Step::Nothing if line.outcome == Outcome::Unmapped => {
                Came::Differs(Difference::Unmapped)
            }
            Step::Nothing => Came::Known,
            Step::Noted | Step::Ended | Step::Confirmed | Step::Refined => Came::Settled,
        })
    }
}
