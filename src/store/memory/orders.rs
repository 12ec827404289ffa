//! Orders: which payments there are of one, and which of them holds it.

use super::MemoryStore;
use super::kept::value;
use crate::domain::id::{ChannelName, OrderId, PaymentId};
use crate::store::journal::{Admission, Admitted, Leaving, OrderKey, StoreLost};
use crate::store::row::RowKey;
use crate::store::writer::Look;
use std::collections::HashSet;
use std::sync::PoisonError;

/// How many payments of one order are found by it: those that left, and the last of those that were refused.
const PAYMENTS_OF_AN_ORDER_MAX: usize = 16;

impl MemoryStore {
    /// Has a payment be found by its order.
    pub(super) fn know_order(
        &self,
        channel: &ChannelName,
        order: Option<&OrderId>,
        (payment, has_left): (PaymentId, bool),
    ) {
        let Some(order) = order else { return };
        let mut payments = self.by_order.entry((channel.clone(), order.clone())).or_default();
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
        // One is the rule.
        payments.reserve_exact(1);
        payments.insert(at, payment);
    }

    /// What admission finds where no journal stands behind.
    pub(super) fn claim(&self, admission: &Admission) -> Admitted {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let payments = &admission.payments;
        let claim = |payment: &Leaving| Some((payment.order.clone()?, payment.record.payment));
        let orders_of = || payments.iter().filter_map(|payment| payment.order.as_ref());
        // Two rows of one batch may not be one order either.
        let mut own = HashSet::new();
        let is_twice = payments.len() > 1 && !orders_of().all(|order| own.insert(order));
        if is_twice || orders_of().any(|order| orders.claimed.contains_key(order)) {
            return Admitted::AlreadySent;
        }
        for (order, payment) in payments.iter().filter_map(claim) {
            if orders.oldest.len() >= self.limits.orders
                && let Some(oldest) = orders.oldest.pop_front()
            {
                orders.claimed.remove(&oldest);
            }
            orders.claimed.insert(order.clone(), payment);
            orders.oldest.push_back(order);
        }
        Admitted::Yes
    }

    /// Takes back a claim of that payment's, where no journal stands behind.
    pub(super) fn give_back(&self, order: &OrderKey, payment: PaymentId) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.claimed.get(order) == Some(&payment) {
            orders.claimed.remove(order);
            orders.oldest.retain(|other| other != order);
        }
    }

    /// Claims an order that was given back, unless another did, where no journal stands behind.
    pub(super) fn take_back(&self, order: &OrderKey, payment: PaymentId) -> bool {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.claimed.contains_key(order) {
            return false;
        }
        orders.claimed.insert(order.clone(), payment);
        orders.oldest.push_back(order.clone());
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
            return Ok(orders.filter_map(|order| known.claimed.get(&order).copied()).collect());
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
