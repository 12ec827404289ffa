//! The store as it is looked up: in memory, bounded, sharded. Gone with the process, unless a journal stands behind it.

mod agreements;
pub(super) mod amend;
mod audit;
mod concordance;
mod holds;
mod kept;
mod orders;
mod person;
mod records;
mod shelf;
#[cfg(test)]
mod simulation;

use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{
    AgreementId, Bank, ChannelName, Fingerprint, MerchantId, OrderId, PaymentId, Road,
};
use crate::domain::mismatch::{Mismatch, MismatchKind};
use crate::domain::outcome::{Arrival, Outcome, Precedence};
use crate::domain::payment::ROWS_MAX;
use crate::reconcile::arrival::{Step, arrive};
use crate::reconcile::concordance::Book;
use crate::reconcile::hold::{Brake, Hold, HoldKey};
use crate::store::OpenInquiry;
use crate::store::mark::{Mark, Marks};
use crate::store::row::{Aggregate, Removal, Row, RowKey};
use crate::store::writer::{Change, Writer};
use crate::store::{
    Agreement, Contradiction, Evidence, EvidenceStore, Hearsay, Judged, Owing, PaymentStore,
    Record, Unmapped, UnmappedStore,
};
use amend::Amend;
use audit::Chain;
use concordance::Counted;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::quality::RandomState;
use orders::OfOrder;
use person::People;
use serde::{Deserialize, Serialize};
use shelf::Shelf;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tuples with evidence; beyond it the evidence of some other tuple goes, which costs an inquiry and nothing else.
    pub evidence: usize,
    /// Agreements and waiting binds, each; beyond it some other agreement goes from memory, and is looked up where it is kept; a
    /// new waiting bind is not kept.
    pub agreements: usize,
    /// Holds; beyond it none is made. What nobody else has, is known however many there are.
    pub holds: usize,
    /// Records for `explain`; beyond it the oldest goes.
    pub records: usize,
    /// Open expectations by channel; beyond it the count stands still.
    pub expectations: usize,
    /// Inquiries that are open, of those that a crash left; beyond it the oldest are not shown.
    pub inquiries: usize,
    /// Orders that are claimed, where no journal keeps them; beyond it the oldest is forgotten.
    pub orders: usize,
    /// Unmapped codes; beyond it the one that was not seen for longest goes.
    pub unmapped: usize,
    /// Cards, persons and accounts of which attempts and spend are counted, where no journal keeps them; beyond it nobody is asked.
    pub attempts: usize,
    /// Places where concordance is counted; beyond it no other bank is told apart from its channel.
    pub places: usize,
    /// Evidence of which it is known in memory that it was counted; beyond it the oldest is looked up where it is kept.
    pub samples: usize,
    /// Entries of the audit, where no journal keeps them; beyond it the oldest goes.
    pub audit: usize,
    /// Mismatches, days of statements and what is to be told, where no journal keeps them; beyond it the oldest of a kind goes.
    pub shelf: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            evidence: 1_000_000,
            agreements: 1_000_000,
            holds: 100_000,
            records: 100_000,
            expectations: 1_000_000,
            inquiries: 10_000,
            orders: 1_000_000,
            unmapped: 1_000,
            attempts: 1_000_000,
            places: 20_000,
            samples: 100_000,
            audit: 10_000,
            shelf: 100_000,
        }
    }
}

/// By keys that nobody outside chooses: a quicker hash will do. All others are hashed as the standard library does.
type Drawn<K, V> = DashMap<K, V, RandomState>;

type CardKey = (ChannelName, Option<MerchantId>, Fingerprint);

/// The store.
#[derive(Debug, Default)]
pub struct MemoryStore {
    limits: Limits,
    evidence: Drawn<Fingerprint, Kept>,
    agreements: DashMap<(ChannelName, AgreementId), Agreement>,
    by_card: DashMap<CardKey, Vec<AgreementId>>,
    /// Whether there was no room for an agreement once.
    lacks_agreements: AtomicBool,
    waiting: DashMap<(ChannelName, String), (Agreement, Timestamp)>,
    holds: DashMap<HoldKey, Hold>,
    brakes: DashMap<(ChannelName, Option<Bank>, bool), Brake>,
    /// Boxed, since they are large and the map moves what it holds when it grows.
    records: Drawn<PaymentId, Box<Record>>,
    record_order: Mutex<VecDeque<PaymentId>>,
    by_order: Drawn<Mark, OfOrder>,
    marks: Marks,
    /// What is owed, by whom, and since when where that is not since the payment.
    expected: DashMap<ChannelName, BTreeMap<PaymentId, Option<Timestamp>>>,
    unmapped: Mutex<BTreeMap<(ChannelName, String, String), Unmapped>>,
    orders: Mutex<Orders>,
    inquiries: Drawn<PaymentId, OpenInquiry>,
    /// Attempts and spend, where no journal keeps them.
    counted: Mutex<HashMap<RowKey, Row>>,
    /// Who was forgotten, and when, as far as this process knows.
    forgotten: Mutex<People>,
    /// Whether that was looked up since the start.
    looked: AtomicBool,
    audit: Mutex<Chain>,
    shelf: Mutex<Shelf>,
    book: Arc<Mutex<Book>>,
    sampled: Mutex<Counted>,
    journal: Option<Writer>,
}

/// The orders that are claimed, and in which order they were.
#[derive(Debug, Default)]
struct Orders {
    claimed: HashMap<Mark, PaymentId, RandomState>,
    oldest: VecDeque<Mark>,
}

/// Why what was kept cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError<E: std::error::Error> {
    /// The database.
    #[error("the store cannot be read: {0}")]
    Database(#[source] E),
    /// A row.
    #[error(
        "a row of `{of}` cannot be read ({source}): restore a backup, or use the Hefu that wrote it"
    )]
    Row {
        /// Its table.
        of: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The journal's thread.
    #[error("the journal's thread cannot be started: {0}")]
    Thread(#[source] io::Error),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    evidence: Evidence,
    contradicted: Vec<Contradiction>,
    /// Whose evidence it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    person: Option<Fingerprint>,
}

impl Kept {
    /// What was learned here or by another process: what was asked for later supersedes, and contradictions since then add up.
    fn catch_up(&mut self, other: Self) {
        if other.evidence.at >= self.evidence.at {
            self.evidence = other.evidence;
        }
        for contradiction in other.contradicted {
            self.contradict(contradiction);
        }
        // What confirms makes good for what was said before it; who asked earlier may still rest on the answer of then.
        if self.evidence.answer == Answer::Match {
            self.contradicted.retain(|by| by.at >= self.evidence.at);
        }
        self.person = other.person.or(self.person);
    }

    fn contradict(&mut self, new: Contradiction) {
        match self.contradicted.iter_mut().find(|by| by.channel == new.channel) {
            Some(known) if known.at >= new.at => (),
            Some(known) => *known = new,
            None => self.contradicted.push(new),
        }
    }

    fn is_contradicted(
        &self,
        channel: &ChannelName,
        road: Option<&Road>,
        since: Timestamp,
    ) -> bool {
        self.contradicted.iter().any(|by| by.holds_for(channel, road, since))
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Keeps evidence in memory, beside what is known of its tuple.
    fn learn(&self, tuple: Fingerprint, kept: Kept) {
        if self.was_forgotten(kept.person, kept.evidence.at) {
            return;
        }
        if !has_room(&self.evidence, &tuple, self.limits.evidence) {
            let victim = self.evidence.iter().next().map(|entry| *entry.key());
            if let Some(victim) = victim {
                self.evidence.remove(&victim);
            }
        }
        match self.evidence.entry(tuple) {
            Entry::Vacant(vacant) => drop(vacant.insert(kept)),
            Entry::Occupied(mut known) => known.get_mut().catch_up(kept),
        }
    }
}

/// Evidence as it is put where `known` is kept: another process may have learned more. Nothing where that cannot be read.
pub(super) fn beside(put: &Row, known: &Row) -> Option<Row> {
    if put.key.of == Aggregate::Holds {
        // Whole, so that who made it can end it, and who made the shorter one ends nothing.
        return (known.until > put.until).then(|| known.clone());
    }
    if put.key.of == Aggregate::Payments {
        // Each process writes what it heard, and may not have heard what another did.
        let mut joined: Record = kept::value(put).ok()?;
        joined.join(kept::value(known).ok()?);
        return Row::payment(&joined);
    }
    let (tuple, new): (Fingerprint, Kept) = kept::value(put).ok()?;
    let (_, mut kept): (Fingerprint, Kept) = kept::value(known).ok()?;
    kept.catch_up(new);
    Row::new(put.key.clone(), Some(kept.evidence.until), &(tuple, kept))
}

/// Whether `key` may be put: it is there already, or there is room.
fn has_room<K: Eq + Hash, V, S: BuildHasher + Clone>(
    map: &DashMap<K, V, S>,
    key: &K,
    most: usize,
) -> bool {
    map.len() < most || map.contains_key(key)
}

impl EvidenceStore for MemoryStore {
    fn evidence(
        &self,
        tuple: &Fingerprint,
        channel: &ChannelName,
        road: Option<&Road>,
        now: Timestamp,
    ) -> Option<Evidence> {
        let kept = self.evidence.get(tuple)?;
        let contradicted = kept.is_contradicted(channel, road, kept.evidence.at);
        (now < kept.evidence.until && !contradicted).then(|| kept.evidence.clone())
    }

    fn uncontradicted(&self, tuple: &Fingerprint, now: Timestamp) -> Option<Evidence> {
        let kept = self.evidence.get(tuple)?;
        let contradicted = kept.contradicted.iter().any(|by| by.at >= kept.evidence.at);
        (now < kept.evidence.until && !contradicted).then(|| kept.evidence.clone())
    }

    fn put_evidence(&self, tuple: Fingerprint, person: Option<Fingerprint>, evidence: Evidence) {
        self.learn(tuple, Kept { evidence, contradicted: Vec::new(), person });
        self.write_evidence(&tuple);
    }

    fn carry_evidence(&self, from: &Fingerprint, to: Fingerprint, person: Option<Fingerprint>) {
        let known = self.evidence.get(from).map(|kept| Kept { person, ..kept.clone() });
        if let Some(kept) = known {
            self.learn(to, kept);
            self.write_evidence(&to);
        }
    }

    fn contradict(
        &self,
        tuple: &Fingerprint,
        channel: &ChannelName,
        road: Option<&Road>,
        at: Timestamp,
    ) {
        let by = Contradiction { channel: channel.clone(), road: road.cloned(), at };
        let known = self.evidence.get_mut(tuple).map(|mut kept| kept.contradict(by.clone()));
        match (known, &self.journal) {
            (Some(()), _) => self.write_evidence(tuple),
            (None, Some(journal)) => journal.amend(Amend::Contradict(*tuple, by)),
            (None, None) => (),
        }
    }
}

impl PaymentStore for MemoryStore {
    fn put_record(&self, record: Record) {
        let payment = record.payment;
        self.keep_record(record);
        self.write_record(payment);
    }

    fn arrive(
        &self,
        record: &Record,
        outcome: (Outcome, Option<String>, Arrival),
        precedence: Precedence,
        at: Timestamp,
    ) -> Step {
        let mut record = self.known_record(record);
        let known = record.outcome.as_ref().map(|(outcome, _, arrival)| (*outcome, *arrival));
        // A notification that comes once more, after others, tells nothing of now.
        let step = if record.was_told(&outcome) {
            Step::Nothing
        } else {
            arrive(known, record.succeeded(), (outcome.0, outcome.2), precedence)
        };
        match step {
            Step::Nothing => (),
            Step::Overtaken => record.note_moment(outcome, at),
            Step::Confirmed => record.confirm(outcome, at),
            Step::Refined => {
                // That the elements do not match is taken back, or is said once more after this.
                record.mismatch = record.mismatch.filter(|known| !known.kind.is_no_match());
                record.note(outcome, at);
            }
            Step::Noted | Step::Ended | Step::Reversed | Step::Flipped => {
                record.note(outcome, at);
            }
        }
        step
    }

    fn hear(&self, record: &Record, said: Hearsay) -> bool {
        let mut record = self.known_record(record);
        let known = record.outcome.as_ref().is_some_and(|(known, ..)| *known == said.outcome);
        let heard = record.heard.as_ref();
        if known || heard.is_some_and(|heard| *heard == said || heard.belief > said.belief) {
            return false;
        }
        record.heard = Some(said);
        let payment = record.payment;
        drop(record);
        self.write_record(payment);
        true
    }

    fn complete(&self, record: &Record, mismatch: Option<Mismatch>, owing: Owing) {
        let payment = record.payment;
        if let Some(mut record) = self.records.get_mut(&payment) {
            // What was overdue came.
            let overdue = |it: &Mismatch| it.kind == MismatchKind::MissingOutcome;
            let came = owing != Owing::AsBefore && record.mismatch.as_ref().is_some_and(overdue);
            if mismatch.is_some() || came {
                record.mismatch = mismatch;
            }
        }
        match owing {
            Owing::AsBefore => (),
            Owing::Since(since) => self.owe(&record.channel, payment, Some(since)),
            Owing::NoOutcome | Owing::Nothing => self.owe_no_more(&record.channel, payment),
        }
        let Some(journal) = &self.journal else { return };
        let beside = match owing {
            Owing::AsBefore => None,
            Owing::Since(since) => Row::owed_again(record, since).map(Change::Put),
            Owing::NoOutcome => Row::expectation(record)
                .map(|Row { key, value, .. }| Change::Remove(Removal { key, only: Some(value) })),
            Owing::Nothing => {
                let key = RowKey::expectation(payment);
                Some(Change::Remove(Removal { key, only: None }))
            }
        };
        journal.put_with(|| self.record_row(payment), beside);
    }

    fn verified_since(&self, record: &Record, evidence: Evidence) {
        let mut known = self.known_record(record);
        (known.verified, known.asked_now) = (Some(evidence), true);
        known.judged = Judged::default();
        drop(known);
        self.write_record(record.payment);
    }

    fn stated(&self, record: &Record) {
        self.change_record(record, |record| !std::mem::replace(&mut record.stated, true));
    }

    fn overdue(&self, record: &Record) {
        let (kind, elements) = (MismatchKind::MissingOutcome, ElementSet::EMPTY);
        let missing = Mismatch { kind, elements };
        self.change_record(record, |record| {
            // It may have come since whoever says so looked.
            let owed = record.outcome.as_ref().is_none_or(|(outcome, _, by)| {
                outcome.is_open() || (*outcome == Outcome::Reversed && !by.is_asked())
            });
            let first = owed && record.mismatch.is_none();
            if first {
                record.mismatch = Some(missing);
            }
            first
        });
    }

    fn undo(&self, record: &Record, by: PaymentId, refused: bool) {
        self.change_record(record, |record| record.undo(by, refused));
    }

    fn not_sent(&self, channel: &ChannelName, payment: PaymentId) {
        if let Some(mut record) = self.records.get_mut(&payment) {
            record.not_sent = true;
        }
        self.write_record(payment);
        self.close_expectation(channel, payment);
    }

    fn has_record(&self, payment: PaymentId) -> bool {
        self.records.contains_key(&payment)
    }

    fn record(&self, payment: PaymentId) -> Option<Record> {
        self.records.get(&payment).map(|record| Record::clone(&record))
    }

    fn rows(&self, batch: PaymentId) -> Vec<Record> {
        (1..=ROWS_MAX).filter_map(|number| self.record(batch.row(number))).collect()
    }

    fn by_order(&self, channel: &ChannelName, order: &OrderId) -> Vec<PaymentId> {
        let found = self.by_order.get(&self.marks.of((channel, order)));
        found.map_or_else(Vec::new, |payments| payments.all())
    }

    fn expectations(&self, channel: &ChannelName) -> usize {
        self.expected.get(channel).map_or(0, |expected| expected.len())
    }
}

impl UnmappedStore for MemoryStore {
    fn put_unmapped(&self, seen: Unmapped) {
        let key = (seen.channel.clone(), seen.map.clone(), seen.code.clone());
        let mut unmapped = self.unmapped.lock().unwrap_or_else(PoisonError::into_inner);
        let count = unmapped.get(&key).map_or(0, |known| known.count).saturating_add(1);
        if unmapped.len() >= self.limits.unmapped && count == 1 {
            let oldest = unmapped.iter().min_by_key(|(_, known)| known.last);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                unmapped.remove(&oldest);
            }
        }
        unmapped.insert(key.clone(), Unmapped { count, ..seen });
        drop(unmapped);
        let name = format!("{}\n{}\n{}", key.0, key.1, key.2);
        self.write(RowKey { of: Aggregate::Unmapped, name }, |store, name| {
            let unmapped = store.unmapped.lock().unwrap_or_else(PoisonError::into_inner);
            Row::new(name, None, unmapped.get(&key)?)
        });
    }

    fn unmapped(&self) -> Vec<Unmapped> {
        let unmapped = self.unmapped.lock().unwrap_or_else(PoisonError::into_inner);
        unmapped.values().cloned().collect()
    }
}
