//! What must outlive the process, and the one admission without which nothing leaves that moves money.

use crate::domain::clock::Timestamp;
use crate::domain::id::{ChannelName, MerchantId, OrderId, PaymentId};
use crate::domain::payment::{Mode, Scenario};
use crate::reconcile::hold::HoldKey;
use crate::store::Record;
use crate::store::row::Row;
use async_trait::async_trait;
use std::fmt;

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

impl fmt::Display for OrderKey {
    /// One key in the store; the parts before the order have no line feed, and an order has none either.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, merchant, scenario, confirms, order } = self;
        let merchant = merchant.as_ref().map_or("", |merchant| &merchant.0);
        let step = if *confirms { "confirm" } else { "first" };
        write!(f, "{channel}\n{merchant}\n{}\n{step}\n{}", scenario.as_str(), order.0)
    }
}

impl Leaving {
    /// The row by which it claims its order, where it names one.
    pub(super) fn claim(&self) -> Option<Row> {
        Row::order(self.order.as_ref()?, self.record.payment, self.record.at)
    }
}

/// A payment that is about to leave: its record, and whether an outcome is owed from then on.
#[derive(Clone, Debug)]
pub struct Leaving {
    /// What is kept of it.
    pub record: Record,
    /// What it is known by, where it moves money and names an order.
    pub order: Option<OrderKey>,
    /// What must not be held.
    pub holds: Vec<HoldKey>,
    /// Whether an outcome is owed.
    pub expects: bool,
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

    /// Waits until everything that was put before is durable.
    ///
    /// # Errors
    /// [`StoreLost`]: it is not, and will be tried again.
    async fn flush(&self) -> Result<(), StoreLost>;

    /// Removes some of what is not kept beyond `now`; called again and again, all of it.
    fn purge(&self, now: Timestamp);
}
