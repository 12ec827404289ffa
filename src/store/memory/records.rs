//! Records of payments: as memory has them, and as they are put.

use super::MemoryStore;
use crate::domain::id::PaymentId;
use crate::store::row::Row;
use crate::store::{Became, Judged, Record};
use dashmap::mapref::one::RefMut;
use foldhash::quality::RandomState;
use std::sync::PoisonError;

impl MemoryStore {
    /// What is known of a payment: at least `record`.
    pub(super) fn known_record(
        &self,
        record: &Record,
    ) -> RefMut<'_, PaymentId, Box<Record>, RandomState> {
        if let Some(known) = self.records.get_mut(&record.payment) {
            return known;
        }
        self.keep_record(record.clone());
        self.records.entry(record.payment).or_insert_with(|| Box::new(record.clone()))
    }

    /// Changes what became of a payment, which is kept if `change` says that it is something else now.
    pub(super) fn change_record(&self, record: &Record, change: impl FnOnce(&mut Became) -> bool) {
        let changed = change(&mut self.known_record(record).became);
        if changed {
            self.write_record(record.payment);
        }
    }

    /// A record that made room for others stays in the journal.
    pub(super) fn write_record(&self, payment: PaymentId) {
        if let Some(journal) = &self.journal {
            journal.put(|| self.record_row(payment));
        }
    }

    /// The row of a record. As it was put it is known no longer: most are put twice.
    pub(super) fn record_row(&self, payment: PaymentId) -> Option<Row> {
        let mut record = self.records.get_mut(&payment)?;
        let row = Row::payment(&record);
        record.judged = Judged::default();
        row
    }

    pub(super) fn keep_record(&self, record: impl Into<Box<Record>>) {
        let record = record.into();
        let payment = record.payment;
        self.know_order(
            &record.channel,
            record.order.as_ref().filter(|_| record.scenario.moves_money()),
            (payment, record.left()),
        );
        if self.records.insert(payment, record).is_some() {
            return;
        }
        let mut order = self.record_order.lock().unwrap_or_else(PoisonError::into_inner);
        order.push_back(payment);
        let oldest = if order.len() > self.limits.records { order.pop_front() } else { None };
        drop(order);
        let Some((_, oldest)) = oldest.and_then(|oldest| self.records.remove(&oldest)) else {
            return;
        };
        if let Some(order) = oldest.order {
            let mark = self.marks.of((&oldest.channel, &order));
            self.by_order.remove_if_mut(&mark, |_, payments| payments.forget(oldest.payment));
        }
    }
}
