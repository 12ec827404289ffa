//! What must outlive the process, and the one admission without which nothing leaves that moves money.

use crate::domain::clock::Timestamp;
use crate::domain::id::{
    AgreementId, ChannelName, Fingerprint, MerchantId, OrderId, PaymentId, Road,
};
use crate::domain::keep::Keep;
use crate::domain::payment::{Mode, Scenario};
use crate::reconcile::hold::HoldKey;
use crate::store::row::{Aggregate, Row, RowKey};
use crate::store::{Contradiction, Record};
use async_trait::async_trait;
use serde::Deserialize;
use serde::de::IgnoredAny as Ignored;
use std::collections::HashSet;

/// What one order's money message is known by: it leaves once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderKey {
    /// The channel.
    pub channel: ChannelName,
    /// The merchant, where the message names one.
    pub merchant: Option<MerchantId>,
    /// The kind of money message.
    pub scenario: Scenario,
    /// Whether it is the step that confirms an earlier one.
    pub confirms: bool,
    /// The order, as the channel names it.
    pub order: OrderId,
}

impl OrderKey {
    /// Reads the name of a claim in the store.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '\n');
        let (channel, merchant) = (parts.next()?, parts.next()?);
        let scenario = Scenario::from_word(parts.next()?)?;
        let confirms = parts.next()? == "confirm";
        Some(Self {
            channel: ChannelName::new(channel),
            merchant: (!merchant.is_empty()).then(|| MerchantId(merchant.into())),
            scenario,
            confirms,
            order: OrderId(parts.next()?.into()),
        })
    }

    /// What holds the last payment that left with this order before the order was opened again, whichever step it was: what a channel
    /// says may be about that one.
    pub fn before(&self) -> RowKey {
        RowKey { of: Aggregate::Orders, name: self.with_step(BEFORE) }
    }

    /// Whether a key is of those that [`Self::before`] yields.
    pub(super) fn is_before(key: &RowKey) -> bool {
        key.name.split('\n').nth(3) == Some(BEFORE)
    }
}

/// The word that stands where else a step does.
const BEFORE: &str = "before";

impl OrderKey {
    /// By what its claim is found in the store.
    pub(super) fn name(&self) -> String {
        self.with_step(if self.confirms { "confirm" } else { "first" })
    }

    /// The parts before the order have no line feed, and an order has none either.
    fn with_step(&self, step: &str) -> String {
        let merchant = self.merchant.as_ref().map_or("", |merchant| &merchant.0);
        [self.channel.as_str(), merchant, self.scenario.as_str(), step, &self.order.0].join("\n")
    }
}

/// What must be so where a payment is admitted. A row that is not there is in nobody's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// It is not held.
    NotHeld(HoldKey),
    /// The agreement that it rests on is not closed.
    Open(ChannelName, AgreementId),
    /// The evidence that it rests on was not contradicted since it was asked for, at the channel or on its road.
    Uncontradicted {
        /// Whose evidence, under any key.
        tuple: Fingerprint,
        /// The channel.
        channel: ChannelName,
        /// Its road.
        road: Option<Road>,
        /// When it was asked for.
        since: Timestamp,
    },
}

impl Need {
    /// The row that tells.
    pub fn key(&self) -> RowKey {
        match self {
            Self::NotHeld(key) => RowKey::hold(key),
            Self::Open(channel, id) => RowKey::agreement(channel, id),
            Self::Uncontradicted { tuple, .. } => RowKey::evidence(tuple),
        }
    }

    /// Whether it is so at `now`, where `row` is what is kept under its key. What cannot be read is not.
    pub(super) fn is_met_by(&self, row: &Row, now: Timestamp) -> bool {
        match self {
            Self::NotHeld(_) => row.until.is_some_and(|until| until <= now),
            Self::Open(..) => {
                let agreement = serde_json::from_str(&row.value);
                agreement.is_ok_and(|(_, _, Closed { closed }): (Ignored, Ignored, _)| !closed)
            }
            Self::Uncontradicted { channel, road, since, .. } => {
                let kept = serde_json::from_str(&row.value);
                kept.is_ok_and(|(_, Contradicted { contradicted }): (Ignored, _)| {
                    !contradicted.iter().any(|by| by.holds_for(channel, road.as_ref(), *since))
                })
            }
        }
    }
}

#[derive(Deserialize)]
struct Closed {
    closed: bool,
}

#[derive(Deserialize)]
struct Contradicted {
    contradicted: Vec<Contradiction>,
}

/// A payment that is about to leave: its record, and whether an outcome is owed from then on.
#[derive(Clone, Debug)]
pub struct Leaving {
    /// What is kept of it.
    pub record: Box<Record>,
    /// What it is known by, where it moves money and names an order.
    pub order: Option<OrderKey>,
    /// What must be so.
    pub needs: Vec<Need>,
    /// Whether an outcome is owed.
    pub expects: bool,
}

impl Leaving {
    /// The row by which it claims its order, where it names one.
    pub(super) fn claim(&self) -> Option<Row> {
        Row::order(self.order.as_ref()?, self.record.payment, self.record.at)
    }
}

/// One message that is about to leave: all its payments do, or none.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Its payments.
    pub payments: Vec<Leaving>,
    /// In `observe` it leaves whatever is found, and its payments are kept all the same.
    pub mode: Mode,
    /// When.
    pub now: Timestamp,
}

/// What admission found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It may leave; its orders are claimed, its expectations are open, and both are durable.
    Yes,
    /// A money message of one of its orders may have left before.
    AlreadySent,
    /// A tuple or agreement is held.
    Held,
    /// What it rests on is so no more: another process learned better, and it must be judged again.
    Overtaken,
}

impl From<&Need> for Admitted {
    /// What a need that is not met comes to.
    fn from(need: &Need) -> Self {
        match need {
            Need::NotHeld(_) => Self::Held,
            Need::Open(..) | Need::Uncontradicted { .. } => Self::Overtaken,
        }
    }
}

/// The store cannot be written: nothing is known to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be written")]
pub struct StoreLost;

/// Durability on the payment path.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Admits a message, durably.
    ///
    /// # Errors
    /// [`StoreLost`]: nothing is claimed, or will not stay claimed.
    async fn admit(&self, admission: Admission) -> Result<Admitted, StoreLost>;

    /// The order's message, which `payment` claimed, certainly did not leave, or may leave again.
    fn reopen(&self, order: &OrderKey, payment: PaymentId);

    /// What `payment` claimed is its own again after all, unless the order left once more meanwhile. Says whether it is.
    ///
    /// # Errors
    /// [`StoreLost`]: nobody knows.
    async fn claim_again(&self, order: &OrderKey, payment: PaymentId) -> Result<bool, StoreLost>;

    /// The payments that hold the orders with these keys, whoever admitted them. From then on they are found by their orders.
    ///
    /// # Errors
    /// [`StoreLost`].
    async fn holders(&self, orders: Vec<RowKey>) -> Result<HashSet<PaymentId>, StoreLost>;

    /// Brings what the database keeps under `keys` into memory, where that knows less: another process may have put it there,
    /// or there was no room for it.
    ///
    /// # Errors
    /// [`StoreLost`]: memory is as it was.
    async fn fetch(&self, keys: Vec<RowKey>) -> Result<(), StoreLost>;

    /// As [`Self::fetch`], but a row that is damaged is said and stepped over, as if it were not kept: for sweeps, which one row
    /// must not stop, and never for what is decided on.
    ///
    /// # Errors
    /// [`StoreLost`].
    async fn fetch_intact(&self, keys: Vec<RowKey>) -> Result<(), StoreLost>;

    /// Waits until everything that was put before is durable.
    ///
    /// # Errors
    /// [`StoreLost`]: it is not, and will be tried again.
    async fn flush(&self) -> Result<(), StoreLost>;

    /// Removes some of what `keep` does not keep beyond `now`; called again and again, all of it.
    fn purge(&self, now: Timestamp, keep: Keep);
}
