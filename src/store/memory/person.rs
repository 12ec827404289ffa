//! How people are forgotten: first in memory, so that nothing writes them again, then in the database, where there may be more.

use super::MemoryStore;
use super::kept::value;
use crate::domain::clock::Timestamp;
use crate::domain::id::{AgreementId, ChannelName, Fingerprint};
use crate::reconcile::hold::Hold;
use crate::store::Agreement;
use crate::store::journal::{Journal as _, StoreLost};
use crate::store::person::{Forgotten, PersonStore, TOLD_ON};
use crate::store::row::{Aggregate, Removal, Row, RowKey};
use crate::store::writer::Look;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// Whom to forget, and until when what is kept of them goes.
pub(super) type People = BTreeMap<Fingerprint, Timestamp>;

/// Whether what was kept of `person` at `at` goes.
fn goes(people: &People, person: Option<Fingerprint>, at: Timestamp) -> bool {
    person.and_then(|person| people.get(&person)).is_some_and(|until| at <= *until)
}

#[async_trait]
impl PersonStore for MemoryStore {
    async fn forget(&self, people: &[Fingerprint], now: Timestamp) -> Result<Forgotten, StoreLost> {
        if let Some(journal) = &self.journal {
            for person in people {
                journal.put(|| {
                    let key = RowKey::forgotten(person);
                    Row::new(key, Some(now.plus(TOLD_ON)), &(person, now))
                });
            }
        }
        {
            let mut known = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|_, at| now < at.plus(TOLD_ON));
        }
        self.forget_all(&people.iter().map(|person| (*person, now)).collect()).await
    }

    async fn forget_others(&self) -> Result<Forgotten, StoreLost> {
        let Some(journal) = &self.journal else { return Ok(Forgotten::default()) };
        let first = !self.looked.swap(true, Ordering::Relaxed);
        let rows = journal.read(Look::Forgotten { first }).await;
        let rows = rows.inspect_err(|_| self.looked.store(false, Ordering::Relaxed))?;
        let told = rows.iter().map(|row| value(row).map_err(|_| StoreLost));
        let mut people: People = told.collect::<Result<_, _>>()?;
        {
            let known = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
            people.retain(|person, at| known.get(person).is_none_or(|known| known < at));
        }
        if people.is_empty() {
            return Ok(Forgotten::default());
        }
        self.forget_all(&people).await
    }
}

impl MemoryStore {
    /// Whether what was kept of `person` at `at` was forgotten since: an answer that was on its way, or a row that another
    /// process wrote before it knew.
    pub(super) fn was_forgotten(&self, person: Option<Fingerprint>, at: Timestamp) -> bool {
        let people = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        goes(&people, person, at)
    }

    async fn forget_all(&self, people: &People) -> Result<Forgotten, StoreLost> {
        let known = || self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        known().extend(people);
        let forgotten = self.forget_now(people).await;
        if forgotten.is_err() {
            // So that it is done when they are told of again.
            known().retain(|person, _| !people.contains_key(person));
        }
        forgotten
    }

    async fn forget_now(&self, people: &People) -> Result<Forgotten, StoreLost> {
        let mut gone = self.remove_people(people);
        if let Some(journal) = &self.journal {
            let names = people.keys().map(Fingerprint::to_string).collect();
            for row in journal.read(Look::Of(names)).await? {
                if is_theirs(people, &row)? {
                    journal.remove(Removal::from(&row));
                    gone.insert(row.key);
                }
            }
            self.flush().await?;
        }
        let count = |of| gone.iter().filter(|key| key.of == of).count();
        Ok(Forgotten {
            evidence: count(Aggregate::Evidence),
            agreements: count(Aggregate::Agreements),
            waiting_binds: count(Aggregate::Waiting),
            holds: count(Aggregate::Holds),
        })
    }

    /// Removes what memory has of them; yields its keys.
    fn remove_people(&self, people: &People) -> BTreeSet<RowKey> {
        let mut gone = BTreeSet::new();
        self.evidence.retain(|tuple, kept| {
            let goes = goes(people, kept.person, kept.evidence.at);
            gone.extend(goes.then(|| RowKey::evidence(tuple)));
            !goes
        });
        let mut bound = Vec::new();
        self.agreements.retain(|(channel, id), agreement| {
            let goes = goes(people, agreement.person, agreement.at);
            gone.extend(goes.then(|| RowKey::agreement(channel, id)));
            if goes {
                bound.push(((channel.clone(), id.clone()), agreement.clone()));
            }
            !goes
        });
        for (key, agreement) in &bound {
            self.unlist(key, agreement);
        }
        self.waiting.retain(|(channel, key), (bind, _)| {
            let goes = goes(people, bind.person, bind.at);
            gone.extend(goes.then(|| RowKey::waiting(channel, key)));
            !goes
        });
        self.holds.retain(|key, hold| {
            let goes = goes(people, hold.person, hold.since);
            gone.extend(goes.then(|| RowKey::hold(key)));
            !goes
        });
        gone
    }
}

/// Whether a row is of one of them, and was kept before they were forgotten.
fn is_theirs(people: &People, row: &Row) -> Result<bool, StoreLost> {
    let theirs = match row.key.of {
        Aggregate::Evidence => value(row).map(|(_, kept): (Fingerprint, super::Kept)| {
            goes(people, kept.person, kept.evidence.at)
        }),
        Aggregate::Agreements => {
            value(row).map(|(_, _, it): (ChannelName, AgreementId, Agreement)| {
                goes(people, it.person, it.at)
            })
        }
        Aggregate::Waiting => {
            type Waiting = ((ChannelName, String), (Agreement, Timestamp));
            value(row).map(|(_, (bind, _)): Waiting| goes(people, bind.person, bind.at))
        }
        Aggregate::Holds => value(row).map(|hold: Hold| goes(people, hold.person, hold.since)),
        Aggregate::Payments
        | Aggregate::Expectations
        | Aggregate::Orders
        | Aggregate::Inquiries
        | Aggregate::Charges
        | Aggregate::Unmapped
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
        | Aggregate::Concordance
        | Aggregate::Samples => Ok(false),
    };
    theirs.map_err(|error| {
        tracing::error!(%error, of = row.key.of.as_str(), "a row cannot be read: was it written by another Hefu?");
        StoreLost
    })
}
