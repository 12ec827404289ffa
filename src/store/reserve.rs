//! Reserving: an inquiry is kept together with the attempts and the money that it takes, in one transaction where they are kept,
//! so that replicas and what comes after a crash count as one.

use crate::domain::clock::Timestamp;
use crate::domain::id::{Fingerprint, PaymentId};
use crate::domain::keep::PAYMENTS_KEPT;
use crate::domain::money::Fen;
use crate::route::attempts::{self, Asking, Denied, Heard, Limits, Subject, Tally};
use crate::route::spend::{Account, Cap};
use crate::store::OpenInquiry;
use crate::store::journal::StoreLost;
use crate::store::row::{Aggregate, Row, RowKey};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// What is kept of a day is of no use after it.
const DAY: Duration = Duration::from_hours(24);

/// A card or person of whom is asked, as fingerprints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Of {
    /// Which of the two.
    pub subject: Subject,
    /// Under the key with which is written.
    pub key: Fingerprint,
    /// Under the other keys that are read.
    pub others: Vec<Fingerprint>,
}

impl Of {
    fn row(&self, key: &Fingerprint) -> RowKey {
        let name = format!("{}\n{key}", self.subject.as_str());
        RowKey { of: Aggregate::Attempts, name }
    }

    fn rows(&self) -> impl Iterator<Item = RowKey> {
        std::iter::once(&self.key).chain(&self.others).map(|key| self.row(key))
    }
}

/// Attempts that a question takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// Of whom is asked.
    pub of: Vec<Of>,
    /// Who asks, where, and when.
    pub asking: Asking,
    /// How often may be asked.
    pub limits: Limits,
    /// Whether what is left is told by the tries of the client alone, as far as it may know of others.
    pub alone: bool,
}

impl Attempts {
    /// The rows that tell.
    pub(super) fn rows(&self) -> Vec<RowKey> {
        self.of.iter().flat_map(Of::rows).collect()
    }

    /// How many are left of every subject.
    pub(super) fn left(
        &self,
        rows: &HashMap<RowKey, Row>,
    ) -> Result<Result<u32, Denied>, StoreLost> {
        let mut least = u32::MAX;
        for of in &self.of {
            let mut tallies =
                of.rows().map(|key| tally(rows, &key)).collect::<Result<Vec<_>, _>>()?;
            if self.alone {
                for tally in &mut tallies {
                    tally.keep_own(&self.asking);
                }
            }
            match attempts::left(of.subject, &tallies, &self.asking, &self.limits) {
                Ok(left) => least = least.min(left),
                Err(denied) => return Ok(Err(denied)),
            }
        }
        Ok(Ok(least))
    }

    /// Until when a tally that changes at `now` may matter.
    fn until(&self, now: Timestamp) -> Timestamp {
        now.plus(self.limits.wrong_for.max(self.limits.limited_for).max(DAY))
    }

    /// The row of `of` as it is once the attempt came to something.
    fn settled(&self, row: &Row, came_to: (PaymentId, Heard), now: Timestamp) -> Option<Row> {
        // What cannot be read is not changed: the attempt stays counted.
        let mut tally: Tally = serde_json::from_str(&row.value).ok()?;
        tally.settle(&self.asking, came_to, &self.limits, now);
        Row::new(row.key.clone(), Some(self.until(now)), &tally)
    }
}

fn tally(rows: &HashMap<RowKey, Row>, key: &RowKey) -> Result<Tally, StoreLost> {
    let Some(row) = rows.get(key) else { return Ok(Tally::default()) };
    serde_json::from_str(&row.value).map_err(|error| unread(key, &error))
}

fn unread(key: &RowKey, error: &serde_json::Error) -> StoreLost {
    tracing::error!(%error, of = key.of.as_str(), "a row cannot be read: nobody is asked for it");
    StoreLost
}

/// Where it is kept what `account` spends on the day of `at`, in fen.
pub fn spent_by(account: &Account, at: Timestamp) -> RowKey {
    RowKey { of: Aggregate::Spend, name: format!("{:06}\n{account}", at.china_day()) }
}

/// A question that is about to be put to one provider, and all that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The question.
    pub inquiry: OpenInquiry,
    /// The attempts.
    pub attempts: Attempts,
    /// What it may cost.
    pub cost: Fen,
    /// The accounts that it is spent from, of those that have a cap.
    pub caps: Vec<Cap>,
}

/// Whether a question may be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// It is kept, and may be put. What each account had spent before, and has by now.
    Yes(BTreeMap<Account, (Fen, Fen)>),
    /// There are no attempts.
    Denied(Denied),
    /// This account would be overdrawn.
    Capped(Account),
}

impl Reservation {
    fn account(&self, account: &Account) -> RowKey {
        spent_by(account, self.inquiry.at)
    }

    fn accounts(&self) -> impl Iterator<Item = RowKey> {
        self.caps.iter().map(|cap| self.account(&cap.account))
    }

    /// The rows on which is decided.
    pub(super) fn rows(&self) -> Vec<RowKey> {
        self.attempts.rows().into_iter().chain(self.accounts()).collect()
    }

    /// Decides on `rows`, and changes those that change, whose keys go into `changed`.
    pub(super) fn decide(
        &self,
        rows: &mut HashMap<RowKey, Row>,
        changed: &mut BTreeSet<RowKey>,
    ) -> Result<Reserved, StoreLost> {
        if let Err(denied) = self.attempts.left(rows)? {
            return Ok(Reserved::Denied(denied));
        }
        let (mut spent, mut put) = (BTreeMap::new(), Vec::new());
        let at = self.inquiry.at;
        for cap in &self.caps {
            let key = self.account(&cap.account);
            let before = rows.get(&key).map_or(Ok(Fen::default()), |row| {
                serde_json::from_str(&row.value).map_err(|error| unread(&key, &error))
            })?;
            let Some(after) = cap.after(before, self.cost) else {
                return Ok(Reserved::Capped(cap.account.clone()));
            };
            put.extend(Row::new(key, Some(at.plus(DAY)), &after));
            spent.insert(cap.account.clone(), (before, after));
        }
        let Attempts { of, asking, limits, .. } = &self.attempts;
        for of in of {
            let key = of.row(&of.key);
            let mut tally = tally(rows, &key)?;
            tally.reserve(asking, self.inquiry.id, limits);
            put.extend(Row::new(key, Some(self.attempts.until(at)), &tally));
        }
        let until = Some(at.plus(PAYMENTS_KEPT));
        put.extend(Row::new(RowKey::inquiry(self.inquiry.id), until, &self.inquiry));
        for row in put {
            changed.insert(row.key.clone());
            rows.insert(row.key.clone(), row);
        }
        Ok(Reserved::Yes(spent))
    }

    /// What is to change once it came to something: rows, each with what happens to it.
    pub(super) fn settling(&self, heard: Heard, billed: bool, now: Timestamp) -> Vec<Settling> {
        let attempts = self.attempts.of.iter().map(|of| Settling {
            key: of.row(&of.key),
            change: Change::Attempt(self.attempts.clone(), (self.inquiry.id, heard), now),
        });
        let refunds = self.accounts().filter(|_| !billed);
        let refunds = refunds.map(|key| Settling { key, change: Change::Refund(self.cost) });
        attempts.chain(refunds).collect()
    }
}

/// What changes in one row when a question came to something.
#[derive(Clone, Debug)]
pub(super) struct Settling {
    pub(super) key: RowKey,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Attempt(Attempts, (PaymentId, Heard), Timestamp),
    Refund(Fen),
}

impl Settling {
    /// Whether it must not be made again where nobody knows whether it was: money that is given back twice is spent twice.
    pub(super) const fn is_once(&self) -> bool {
        match self.change {
            Change::Refund(_) => true,
            Change::Attempt(..) => false,
        }
    }

    /// The row as it is then.
    pub(super) fn apply(&self, row: &Row) -> Option<Row> {
        match &self.change {
            Change::Attempt(attempts, came_to, now) => attempts.settled(row, *came_to, *now),
            Change::Refund(fen) => {
                let spent: Fen = serde_json::from_str(&row.value).ok()?;
                let left = Fen::new(spent.get().saturating_sub(fen.get()));
                Row::new(row.key.clone(), row.until, &left)
            }
        }
    }
}

#[cfg(test)]
mod simulation;
