//! What the writer asks of a database.

use crate::crypto::tag::Tagger;
use crate::domain::clock::Timestamp;
use crate::store::row::{Aggregate, Damaged, Removal, Row, RowKey};
use crate::store::shelf::{Found, Range};

/// By what rows are found, but for their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The person.
    Person,
    /// The card.
    Card,
}

impl By {
    /// Where the value of a row of `of` says it, from the outside in; nowhere, where such rows are not found by it.
    pub(in crate::store) const fn path(self, of: Aggregate) -> Option<&'static [&'static str]> {
        match (self, of) {
            (Self::Person, Aggregate::Evidence) => Some(&["1", "person"]),
            (Self::Person, Aggregate::Agreements) => Some(&["2", "person"]),
            (Self::Person, Aggregate::Waiting) => Some(&["1", "0", "person"]),
            (Self::Person, Aggregate::Holds) => Some(&["person"]),
            (Self::Card, Aggregate::Agreements) => Some(&["2", "card"]),
            (
                Self::Person | Self::Card,
                Aggregate::Evidence
                | Aggregate::Waiting
                | Aggregate::Holds
                | Aggregate::Payments
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
                | Aggregate::Concordance
                | Aggregate::Samples
                | Aggregate::Managed
                | Aggregate::ListEntries
                | Aggregate::Verifications
                | Aggregate::ClientUse
                | Aggregate::Accounts,
            ) => None,
        }
    }

    /// Whether a row says that it is of one of these, which JSON writes as they are.
    pub(in crate::store) fn finds(self, row: &Row, whose: &[String]) -> bool {
        let Some(path) = self.path(row.key.of) else { return false };
        if !whose.iter().any(|one| row.value.contains(&**one)) {
            return false;
        }
        let value = serde_json::from_str::<serde_json::Value>(&row.value).unwrap_or_default();
        let said = value.pointer(&format!("/{}", path.join("/"))).and_then(|said| said.as_str());
        said.is_some_and(|said| whose.iter().any(|one| one == said))
    }
}

/// How many times as many rows are looked at where the first that ended are damaged.
const PAST_DAMAGED: usize = 20;

/// Rows that are not kept any more.
#[derive(Debug, Default)]
pub struct Ended {
    pub(in crate::store) removals: Vec<Removal>,
    /// One of those of which it is not known whether they are: they stay.
    pub(in crate::store) damaged: Option<Damaged>,
}

impl Ended {
    /// At how many rows to look for `most` that ended; and where all of those are damaged, and stay for ever, past them.
    pub(in crate::store) fn looks(most: usize) -> [i64; 2] {
        [most, most.saturating_mul(PAST_DAMAGED)]
            .map(|most| i64::try_from(most).unwrap_or(i64::MAX))
    }

    /// Whether there was nothing but what is damaged.
    pub(in crate::store) fn is_stuck(&self) -> bool {
        self.removals.is_empty() && self.damaged.is_some()
    }

    pub(in crate::store) fn take(&mut self, row: Result<Row, Damaged>) {
        match row {
            Ok(Row { key, .. }) => self.removals.push(Removal { key, only: None }),
            Err(damaged) => self.damaged = Some(damaged),
        }
    }
}

/// A database that keeps rows. One transaction at a time, begun and ended by the writer.
pub trait Backend: Send + 'static {
    /// Why something could not be kept.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Whether nobody else has written since it was opened, so that memory knows whatever is kept.
    fn alone(&self) -> bool {
        false
    }

    /// Whether others than Hefu may write it, so that its rows need tags.
    fn is_shared(&self) -> bool {
        false
    }

    /// From now on rows have tags by `tagger`, and one without is damaged.
    fn tag_by(&mut self, _tagger: Tagger) {}

    /// Another by which to look things up while this one writes; none where who looks waits for who writes.
    fn reader(&self) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }

    /// Nothing waits: a moment to put things in order.
    fn idle(&mut self) {}

    /// How many bytes of what is durable are in a log before the database only.
    fn logged(&self) -> u64 {
        0
    }

    /// From now on a transaction may be durable only with the first later one that is not so, but not without those before it.
    ///
    /// # Errors
    /// The database's.
    fn lazily(&mut self, _lazily: bool) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Every row of `of`, by name; where there are more than `most`, the last of them.
    ///
    /// # Errors
    /// The database's.
    fn load(
        &mut self,
        of: Aggregate,
        most: usize,
        each: &mut dyn FnMut(Row),
    ) -> Result<(), Self::Error>;

    /// The rows of a range. Where it need not be whole, damaged rows are stepped over.
    ///
    /// # Errors
    /// The database's.
    fn range(&mut self, range: &Range) -> Result<Found, Self::Error> {
        let mut rows = Vec::new();
        self.load(range.of, usize::MAX, &mut |row| rows.push(row))?;
        Ok(Found { rows: range.cut(rows), damaged: Vec::new() })
    }

    /// Begins a transaction that no other writer's can interleave with.
    ///
    /// # Errors
    /// The database's.
    fn begin(&mut self) -> Result<(), Self::Error>;

    /// Those of the rows that there are.
    ///
    /// # Errors
    /// The database's.
    fn read(&mut self, keys: &[&RowKey]) -> Result<Vec<Row>, Self::Error>;

    /// The rows of `of` that say that they are of one of these: by person those of [`Aggregate::PERSONAL`], by card agreements.
    ///
    /// # Errors
    /// The database's.
    fn find(&mut self, of: Aggregate, by: By, whose: &[String]) -> Result<Vec<Row>, Self::Error>;

    /// Puts rows, no two of one key, in the place of any others with their keys.
    ///
    /// # Errors
    /// The database's.
    fn put(&mut self, rows: &[&Row]) -> Result<(), Self::Error>;

    /// Puts rows, no two of one key, under whose keys nothing was ever put; were that not so, what was there might outlast their removal.
    ///
    /// # Errors
    /// The database's.
    fn put_first(&mut self, rows: &[&Row]) -> Result<(), Self::Error> {
        self.put(rows)
    }

    /// Puts rows, no two of one key, unless their keys are taken; says of each whether it was put.
    ///
    /// # Errors
    /// The database's.
    fn claim(&mut self, rows: &[&Row]) -> Result<Vec<bool>, Self::Error>;

    /// Removes rows.
    ///
    /// # Errors
    /// The database's.
    fn remove(&mut self, rows: &[&Removal]) -> Result<(), Self::Error>;

    /// Removes at most `most` rows that are not kept beyond `now`; yields one of those that are damaged, which stay.
    ///
    /// # Errors
    /// The database's.
    fn purge(
        &mut self,
        of: Aggregate,
        now: Timestamp,
        most: usize,
    ) -> Result<Option<Damaged>, Self::Error>;

    /// Makes the transaction durable.
    ///
    /// # Errors
    /// The database's; then it is unknown whether it is.
    fn commit(&mut self) -> Result<(), Self::Error>;

    /// Gives the transaction up, if one is open.
    fn roll_back(&mut self);

    /// Whether a row is not as it was written, and nothing else is wrong: what does not need that row may be tried without
    /// what does.
    fn is_damage(_error: &Self::Error) -> bool {
        false
    }
}

/// Makes changes in one transaction, or none of them.
///
/// # Errors
/// The database's.
pub(in crate::store) fn transact<B: Backend, T>(
    backend: &mut B,
    change: impl FnOnce(&mut B) -> Result<T, B::Error>,
) -> Result<T, B::Error> {
    let changed = backend.begin().and_then(|()| {
        let changed = change(backend)?;
        backend.commit().map(|()| changed)
    });
    if changed.is_err() {
        backend.roll_back();
    }
    changed
}
