//! Orders: which payments there are of one, and which of them holds it.

use super::MemoryStore;
use super::kept::value;
use crate::domain::id::{ChannelName, OrderId, PaymentId};
use crate::store::journal::{Admission, Admitted, Leaving, OrderKey, StoreLost};
use crate::store::row::RowKey;
use crate::store::writer::Look;
use dashmap::mapref::entry;
use std::collections::HashSet;
use std::collections::hash_map::Entry;
use std::sync::PoisonError;

/// How many payments of one order are found by it: those that left, and the last of those that were refused.
const PAYMENTS_OF_AN_ORDER_MAX: usize = 16;

/// The payments of one order, the oldest first. One is the rule, and has no memory of its own.
#[derive(Debug)]
pub(super) struct OfOrder {
    first: PaymentId,
    more: Vec<PaymentId>,
}

impl OfOrder {
    pub(super) fn all(&self) -> Vec<PaymentId> {
        std::iter::once(&self.first).chain(&self.more).copied().collect()
    }

    /// Leaves one out; says whether none is left.
    pub(super) fn forget(&mut self, payment: PaymentId) -> bool {
        if self.first != payment {
            self.more.retain(|other| *other != payment);
            return false;
        }
        if self.more.is_empty() {
            return true;
        }
        self.first = self.more.remove(0);
        false
    }
}

impl MemoryStore {
    /// Has a payment be found by its order.
    pub(super) fn know_order(
        &self,
        channel: &ChannelName,
        order: Option<&OrderId>,
        (payment, has_left): (PaymentId, bool),
    ) {
        let Some(order) = order else { return };
        let mut known = match self.by_order.entry(self.marks.of((channel, order))) {
            entry::Entry::Vacant(vacant) => {
                vacant.insert(OfOrder { first: payment, more: Vec::new() });
                return;
            }
            entry::Entry::Occupied(known) => known,
        };
        let mut payments = known.get().all();
        if payments.binary_search(&payment).is_ok() {
            return;
        }
        if payments.len() >= PAYMENTS_OF_AN_ORDER_MAX {
            // What left is what a channel's word is about.
            let left = |of: &PaymentId| self.records.get(of).is_none_or(|record| record.left());
            match payments.iter().position(|of| !left(of)) {
                Some(spare) => drop(payments.remove(spare)),
                None if has_left => drop(payments.remove(0)),
                None => return,
            }
        }
        let at = payments.partition_point(|of| *of < payment);
        payments.insert(at, payment);
        let first = payments.remove(0);
        known.insert(OfOrder { first, more: payments });
    }

    /// What admission finds where no journal stands behind.
    pub(super) fn claim(&self, admission: &Admission) -> Admitted {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let claim = |payment: &Leaving| {
            Some((self.marks.of(payment.order.as_ref()?), payment.record.payment))
        };
        let mut own = Vec::new();
        for (order, payment) in admission.payments.iter().filter_map(claim) {
            match orders.claimed.entry(order) {
                // Two rows of one batch may not be one order either.
                Entry::Occupied(_) => {
                    for order in own {
                        orders.claimed.remove(&order);
                    }
                    return Admitted::AlreadySent;
                }
                Entry::Vacant(vacant) => {
                    own.push(*vacant.key());
                    vacant.insert(payment);
                }
            }
        }
        orders.oldest.extend(own);
        while orders.oldest.len() > self.limits.orders
            && let Some(oldest) = orders.oldest.pop_front()
        {
            orders.claimed.remove(&oldest);
        }
        Admitted::Yes
    }

    /// Takes back a claim of that payment's, where no journal stands behind.
    pub(super) fn give_back(&self, order: &OrderKey, payment: PaymentId) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = self.marks.of(order);
        if orders.claimed.get(&mark) == Some(&payment) {
            orders.claimed.remove(&mark);
            orders.oldest.retain(|other| *other != mark);
        }
    }

    /// Claims an order that was given back, unless another did, where no journal stands behind.
    pub(super) fn take_back(&self, order: &OrderKey, payment: PaymentId) -> bool {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = self.marks.of(order);
        if orders.claimed.contains_key(&mark) {
            return false;
        }
        orders.claimed.insert(mark, payment);
        orders.oldest.push_back(mark);
        true
    }

    /// Who holds these orders, whoever admitted it; found by its order from then on.
    pub(super) async fn held_by(
        &self,
        orders: Vec<RowKey>,
    ) -> Result<HashSet<PaymentId>, StoreLost> {
        let Some(journal) = &self.journal else {
            let known = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
            let orders = orders.iter().filter_map(|key| OrderKey::parse(&key.name));
            let claimed = |order: OrderKey| known.claimed.get(&self.marks.of(&order)).copied();
            return Ok(orders.filter_map(claimed).collect());
        };
        let mut holders = HashSet::new();
        for row in journal.read(Look::At(orders)).await? {
            let payment: PaymentId = value(&row).map_err(|error| {
                tracing::error!(%error, "an order cannot be read: was it written by another Hefu?");
                StoreLost
            })?;
            if let Some(OrderKey { channel, order, .. }) = OrderKey::parse(&row.key.name) {
                self.know_order(&channel, Some(&order), (payment, true));
            }
            if !OrderKey::is_before(&row.key) {
                holders.insert(payment);
            }
        }
        Ok(holders)
    }
}
