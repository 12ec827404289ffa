//! What the store in memory keeps in the journal behind it, and reads from there at the start; and admission.

use super::amend::Amend;
use super::{Limits, LoadError, MemoryStore, has_room};
use crate::domain::answer::Billable;
use crate::domain::clock::Timestamp;
use crate::domain::id::{AgreementId, ChannelName, Fingerprint, PaymentId};
use crate::domain::keep::{Keep, PAYMENTS_KEPT};
use crate::domain::payment::Mode;
use crate::reconcile::hold::{Hold, HoldKey};
use crate::route::attempts::{Denied, Heard};
use crate::store::journal::{Admission, Admitted, Journal, Leaving, Need, OrderKey, StoreLost};
use crate::store::reserve::{Attempts, Reservation, Reserved, Settling};
use crate::store::row::{Aggregate, Removal, Row, RowKey};
use crate::store::shelf::Swap;
use crate::store::writer::{Backend, Event, Look, Writer};
use crate::store::{
    Agreement, AgreementStore as _, Charge, HoldStore as _, InquiryStore, Judged, OpenInquiry,
    Owed, Record, Unmapped,
};
use async_trait::async_trait;
use dashmap::mapref::entry::Entry;
use serde::de::DeserializeOwned;
use std::collections::{BTreeSet, HashSet};
use std::panic::resume_unwind;
use std::sync::{PoisonError, mpsc};
use std::{mem, thread};

/// How many rows are handed over at once, and how often before the first are understood: some megabytes.
const PAGE_AHEAD: usize = 1_000;
const PAGES_AHEAD: usize = 8;

impl MemoryStore {
    /// A store that knows what `backend` keeps, and keeps everything there from now on; `tell` is told what
    /// happens there.
    ///
    /// # Errors
    /// [`LoadError`]: a row that cannot be read is never passed over.
    pub fn open<B: Backend>(
        limits: Limits,
        mut backend: B,
        tell: impl Fn(Event) + Send + 'static,
    ) -> Result<Self, LoadError<B::Error>> {
        let store = Self::load(limits, &mut backend)?;
        let journal = Writer::start(backend, tell).map_err(LoadError::Thread)?;
        Ok(Self { journal: Some(journal), ..store })
    }

    /// What `backend` keeps.
    pub(super) fn load<B: Backend>(
        limits: Limits,
        backend: &mut B,
    ) -> Result<Self, LoadError<B::Error>> {
        // Who is alone looks nowhere else than in memory for holds, so that none that stands may be unknown.
        let holds = if backend.alone() { usize::MAX } else { limits.holds };
        let store = Self::new(Limits { holds, ..limits });
        for of in Aggregate::ALL {
            // Orders are looked up where they are claimed; one whose key is damaged would not be found there. Of a shared store
            // they are not read here: there may be very many, and its own checksums tell.
            let most = match of {
                Aggregate::Orders if backend.alone() => {
                    backend.load(of, usize::MAX, &mut |_| ()).map_err(LoadError::Database)?;
                    continue;
                }
                Aggregate::Orders
                | Aggregate::Charges
                | Aggregate::Forgotten
                | Aggregate::Keys
                | Aggregate::Audit
                | Aggregate::Attempts
                | Aggregate::Spend
                | Aggregate::Mismatches
                | Aggregate::Statements
                | Aggregate::Webhooks
                | Aggregate::Managed
                | Aggregate::ListEntries
                | Aggregate::Accounts
                | Aggregate::Verifications
                | Aggregate::ClientUse
                | Aggregate::Samples => continue,
                Aggregate::Evidence => limits.evidence,
                Aggregate::Agreements | Aggregate::Waiting => limits.agreements,
                Aggregate::Holds => holds,
                Aggregate::Payments => limits.records,
                Aggregate::Expectations => limits.expectations,
                Aggregate::Inquiries => limits.inquiries,
                Aggregate::Unmapped => limits.unmapped,
                Aggregate::Concordance => limits.places,
            };
            store.load_rows(backend, of, most)?;
        }
        Ok(Self { limits, ..store })
    }

    /// Takes the last `most` rows of `of` into memory. They are read and checked here and understood on a thread beside, in their
    /// order: of a million that is most of the work.
    fn load_rows<B: Backend>(
        &self,
        backend: &mut B,
        of: Aggregate,
        most: usize,
    ) -> Result<(), LoadError<B::Error>> {
        thread::scope(|scope| {
            let (sender, pages) = mpsc::sync_channel::<Vec<Row>>(PAGES_AHEAD);
            let understand = move || pages.iter().flatten().try_for_each(|row| self.restore(&row));
            let understanding = scope.spawn(understand);
            let mut page = Vec::new();
            let loaded = backend.load(of, most, &mut |row| {
                page.push(row);
                if page.len() >= PAGE_AHEAD {
                    // Who has found something wrong takes no more, and says so in the end.
                    let _ = sender.send(mem::take(&mut page));
                }
            });
            let _ = sender.send(page);
            drop(sender);
            let understood = understanding.join().unwrap_or_else(|panic| resume_unwind(panic));
            loaded.map_err(LoadError::Database)?;
            understood.map_err(|source| LoadError::Row { of: of.as_str(), source })
        })
    }

    /// The newest time that is known of: no clock has said a later one to who wrote the store.
    pub fn newest(&self) -> Option<Timestamp> {
        let payments = self.records.iter().map(|record| record.at).max();
        let evidence = self.evidence.iter().map(|kept| kept.evidence.at).max();
        let holds = self.holds.iter().map(|hold| hold.since).max();
        payments.max(evidence).max(holds)
    }

    /// Takes a row into memory, where memory knows less.
    #[expect(clippy::too_many_lines, reason = "each kind of rows once")]
    fn restore(&self, row: &Row) -> Result<(), serde_json::Error> {
        match row.key.of {
            Aggregate::Evidence => {
                let (tuple, kept) = value(row)?;
                self.learn(tuple, kept);
            }
            Aggregate::Agreements => {
                let (channel, id, agreement): (_, _, Agreement) = value(row)?;
                match self.agreement(&channel, &id) {
                    None if self.was_forgotten(agreement.person, agreement.at) => (),
                    Some(known) if known.at >= agreement.at => {
                        if agreement.closed {
                            self.agreements.entry((channel, id)).and_modify(|it| it.closed = true);
                        }
                    }
                    Some(_) | None => drop(self.keep_agreement(&channel, id, agreement, false)),
                }
            }
            Aggregate::Waiting => {
                let (key, bind) = value(row)?;
                if has_room(&self.waiting, &key, self.limits.agreements) {
                    self.waiting.entry(key).or_insert(bind);
                }
            }
            Aggregate::Holds => {
                let hold: Hold = value(row)?;
                if !self.was_forgotten(hold.person, hold.since)
                    && has_room(&self.holds, &hold.key, self.limits.holds)
                {
                    match self.holds.entry(hold.key.clone()) {
                        // What ends later counts; of a hold that ends as late, what is kept.
                        Entry::Occupied(known) if hold.until < known.get().until => (),
                        entry => drop(entry.insert(hold)),
                    }
                }
            }
            Aggregate::Payments => {
                let record: Record = value(row)?;
                // What was heard here since may not be kept yet.
                if let Some(mut known) = self.records.get_mut(&record.payment) {
                    known.join(record);
                } else {
                    self.keep_record(record);
                }
            }
            Aggregate::Expectations => {
                let Owed { channel, payment, since } = value(row)?;
                self.owe(&channel, payment, since);
            }
            Aggregate::Inquiries => {
                let inquiry: OpenInquiry = value(row)?;
                self.inquiries.insert(inquiry.id, inquiry);
            }
            Aggregate::Orders => {
                let payment = value(row)?;
                if let Some(order) = OrderKey::parse(&row.key.name) {
                    self.know_order(&order.channel, Some(&order.order), (payment, true));
                }
            }
            Aggregate::Charges
            | Aggregate::Forgotten
            | Aggregate::Keys
            | Aggregate::Audit
            | Aggregate::Attempts
            | Aggregate::Spend
            | Aggregate::Mismatches
            | Aggregate::Statements
            | Aggregate::Webhooks
            | Aggregate::Managed
            | Aggregate::ListEntries
            | Aggregate::Accounts
            | Aggregate::Verifications
            | Aggregate::ClientUse
            | Aggregate::Samples => (),
            Aggregate::Concordance => {
                let (place, tally) = value(row)?;
                self.known_book().put(place, tally);
            }
            Aggregate::Unmapped => {
                let unmapped: Unmapped = value(row)?;
                let key = (unmapped.channel.clone(), unmapped.map.clone(), unmapped.code.clone());
                self.unmapped.lock().unwrap_or_else(PoisonError::into_inner).insert(key, unmapped);
            }
        }
        Ok(())
    }

    /// Has the journal keep for `key` what `row` finds in memory, or nothing where that is gone; no lock of the caller's may
    /// be open.
    pub(super) fn write(&self, key: RowKey, row: impl FnOnce(&Self, RowKey) -> Option<Row>) {
        if let Some(journal) = &self.journal {
            journal.write(key, |key| row(self, key));
        }
    }

    pub(super) fn write_evidence(&self, tuple: &Fingerprint) {
        self.write(RowKey::evidence(tuple), |store, key| {
            let kept = store.evidence.get(tuple)?;
            Row::new(key, Some(kept.evidence.until), &(tuple, kept.value()))
        });
    }

    /// As memory has it now, or as it was when it had to make room.
    pub(super) fn write_agreement(&self, channel: &ChannelName, id: &AgreementId, was: Agreement) {
        if let Some(journal) = &self.journal {
            journal.put(|| {
                let key = RowKey::agreement(channel, id);
                Row::new(key, None, &(channel, id, self.agreement(channel, id).unwrap_or(was)))
            });
        }
    }

    pub(super) fn write_hold(&self, key: &HoldKey) {
        if let Some(journal) = &self.journal {
            journal.put(|| Row::hold(self.holds.get(key)?.value()));
        }
    }

    pub(super) fn owe_no_more(&self, channel: &ChannelName, payment: PaymentId) {
        if let Some(mut expected) = self.expected.get_mut(channel) {
            expected.remove(&payment);
        }
    }

    pub(super) fn close_expectation(&self, channel: &ChannelName, payment: PaymentId) {
        self.owe_no_more(channel, payment);
        if let Some(journal) = &self.journal {
            journal.remove(Removal { key: RowKey::expectation(payment), only: None });
        }
    }

    pub(super) fn owe(&self, channel: &ChannelName, payment: PaymentId, since: Option<Timestamp>) {
        let mut expected = self.expected.entry(channel.clone()).or_default();
        if expected.len() < self.limits.expectations {
            expected.insert(payment, since);
        }
    }

    /// Whether a need is met, as far as memory knows.
    fn meets(&self, need: &Need, now: Timestamp) -> bool {
        match need {
            Need::NotHeld(key) => self.hold(key, now).is_none(),
            Need::Open(channel, id) => self.agreement(channel, id).is_none_or(|it| !it.closed),
            Need::Uncontradicted { tuple, channel, road, since } => self
                .evidence
                .get(tuple)
                .is_none_or(|kept| !kept.is_contradicted(channel, road.as_ref(), *since)),
        }
    }

    /// Reserves where no journal stands behind.
    fn reserve(&self, reservation: &Reservation) -> Result<Reserved, StoreLost> {
        let now = reservation.inquiry.at;
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= self.limits.attempts {
            counted.retain(|_, row| row.until.is_none_or(|until| now < until));
        }
        if counted.len() >= self.limits.attempts {
            // What is not counted is not asked: to forget a count would be to give its attempts away.
            tracing::error!("nobody is asked: there is no room for more attempts");
            return Err(StoreLost);
        }
        let reserved = reservation.decide(&mut counted, &mut BTreeSet::new());
        counted.remove(&RowKey::inquiry(reservation.inquiry.id));
        reserved
    }

    fn settle(&self, settling: &Settling) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = counted.get_mut(&settling.key)
            && let Some(settled) = settling.apply(row)
        {
            *row = settled;
        }
    }

    /// Takes into memory what is looked up; a hold with one of `keys` that is not there was released.
    async fn learn_rows(&self, keys: Vec<RowKey>, look: Look) -> Result<(), StoreLost> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let held = keys.iter().filter(|key| key.of == Aggregate::Holds);
        let held: Vec<Hold> = held
            .filter_map(|key| self.holds.get(&HoldKey::parse(&key.name)?).map(|hold| hold.clone()))
            .collect();
        let rows = journal.read(look).await?;
        // A hold that was released elsewhere is no hold; one that was made here meanwhile is.
        for hold in held {
            let key = RowKey::hold(&hold.key);
            if rows.iter().all(|row| row.key != key) {
                self.holds.remove_if(&hold.key, |_, now| *now == hold);
            }
        }
        for row in rows {
            if let Err(error) = self.restore(&row) {
                let of = row.key.of.as_str();
                tracing::error!(%error, of, "a row cannot be read: was it written by another Hefu?");
                return Err(StoreLost);
            }
        }
        Ok(())
    }
}

pub(super) fn value<T: DeserializeOwned>(row: &Row) -> Result<T, serde_json::Error> {
    serde_json::from_str(&row.value)
}

#[async_trait]
impl InquiryStore for MemoryStore {
    async fn open_inquiry(&self, reservation: &Reservation) -> Result<Reserved, StoreLost> {
        let reserved = match &self.journal {
            Some(journal) => journal.reserve(reservation).await?,
            None => self.reserve(reservation)?,
        };
        if matches!(reserved, Reserved::Yes(_)) {
            let inquiry = &reservation.inquiry;
            self.inquiries.insert(inquiry.id, inquiry.clone());
        }
        Ok(reserved)
    }

    fn close_inquiry(&self, charge: &Charge, of: &Reservation, heard: Heard, now: Timestamp) {
        let id = charge.inquiry.id;
        self.inquiries.remove(&id);
        let billed = charge.billable != Billable::No;
        for settling in of.settling(heard, billed, now) {
            match &self.journal {
                Some(journal) => journal.amend(Amend::Settle(Box::new(settling))),
                None => self.settle(&settling),
            }
        }
        if let Some(journal) = &self.journal {
            // In this order: what is open and charged was charged.
            let until = Some(charge.inquiry.at.plus(PAYMENTS_KEPT));
            journal.put(|| Row::new(RowKey::charge(id), until, charge));
            journal.remove(Removal { key: RowKey::inquiry(id), only: None });
        }
    }

    async fn attempts_left(&self, attempts: &Attempts) -> Result<Result<u32, Denied>, StoreLost> {
        let Some(journal) = &self.journal else {
            return attempts.left(&self.counted.lock().unwrap_or_else(PoisonError::into_inner));
        };
        let rows = journal.read(Look::At(attempts.rows())).await?;
        attempts.left(&rows.into_iter().map(|row| (row.key.clone(), row)).collect())
    }

    fn open_inquiries(&self) -> Vec<OpenInquiry> {
        let mut open: Vec<_> = self.inquiries.iter().map(|inquiry| inquiry.clone()).collect();
        open.sort_by_key(|inquiry| (inquiry.at, inquiry.id));
        open
    }
}

#[async_trait]
impl Journal for MemoryStore {
    async fn admit(&self, admission: Admission) -> Result<Admitted, StoreLost> {
        let Admission { mode, .. } = admission;
        let mut needs = admission.payments.iter().flat_map(|payment| &payment.needs);
        let unmet = needs.find(|need| !self.meets(need, admission.now));
        let (admitted, rows) = match (unmet, &self.journal) {
            (Some(unmet), _) => (Ok(unmet.into()), Vec::new()),
            (None, Some(journal)) => match journal.admit(&admission).await {
                Ok((admitted, rows)) => (Ok(admitted), rows),
                Err(lost) => (Err(lost), Vec::new()),
            },
            (None, None) => (Ok(self.claim(&admission)), Vec::new()),
        };
        if admitted == Ok(Admitted::Yes) || mode == Mode::Observe {
            let mut rows = rows.into_iter();
            for Leaving { mut record, expects, .. } in admission.payments {
                let payment = record.payment;
                // What leaves all the same is written as soon as that is possible again.
                if let (Err(StoreLost), Some(journal)) = (admitted, &self.journal) {
                    journal.put(|| Row::expectation(&record).filter(|_| expects));
                }
                if expects {
                    self.owe(&record.channel, payment, None);
                }
                record.judged = rows.next().map_or_else(Judged::default, |row| row.judged(payment));
                self.keep_record(record);
                if admitted.is_err() {
                    self.write_record(payment);
                }
            }
        }
        admitted
    }

    fn reopen(&self, order: &OrderKey, payment: PaymentId) {
        if let Some(journal) = &self.journal {
            if let Some(claim) = Row::order(order, payment, Timestamp::default()) {
                // Kept first: should a crash come in between, the order is not opened yet.
                if self.records.get(&payment).is_none_or(|record| record.left()) {
                    journal.put(|| Row::left_before(order, payment));
                }
                journal.remove(Removal::from(&claim));
            }
            return;
        }
        self.give_back(order, payment);
    }

    async fn claim_again(&self, order: &OrderKey, payment: PaymentId) -> Result<bool, StoreLost> {
        let Some(journal) = &self.journal else { return Ok(self.take_back(order, payment)) };
        let claim = Row::order(order, payment, payment.at()).ok_or(StoreLost)?;
        journal.swap(Swap::claim(claim)).await
    }

    async fn holders(&self, orders: Vec<RowKey>) -> Result<HashSet<PaymentId>, StoreLost> {
        self.held_by(orders).await
    }

    async fn fetch(&self, keys: Vec<RowKey>) -> Result<(), StoreLost> {
        self.learn_rows(keys.clone(), Look::At(keys)).await
    }

    async fn fetch_intact(&self, keys: Vec<RowKey>) -> Result<(), StoreLost> {
        // A hold that is damaged must not be taken for one that was released.
        self.learn_rows(Vec::new(), Look::Intact(keys)).await
    }

    async fn flush(&self) -> Result<(), StoreLost> {
        match &self.journal {
            Some(journal) => journal.flush().await,
            None => Ok(()),
        }
    }

    fn purge(&self, now: Timestamp, keep: Keep) {
        if let Some(journal) = &self.journal {
            journal.purge(now, keep);
        }
    }
}
