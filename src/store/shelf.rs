//! Rows that are looked up where they are kept, since memory does not hold them: found by name from here to there, and changed only by
//! who knows what they were.

use crate::store::journal::StoreLost;
use crate::store::row::{Aggregate, Damaged, Row, RowKey};
use async_trait::async_trait;

/// The most rows that one look yields: some milliseconds, in which payments wait.
pub const PAGE_MAX: usize = 500;

/// How many damaged rows one look steps over at most; where more are, more is wrong than rows.
pub(super) const DAMAGED_MAX: usize = 500;

/// Some rows of a kind, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Their kind.
    pub of: Aggregate,
    /// The first name.
    pub from: String,
    /// The name before which they end.
    pub before: String,
    /// How many at most; who asks for more than [`PAGE_MAX`] has payments wait.
    pub most: usize,
    /// Whether it is the last of them, where there are more.
    pub last: bool,
    /// Whether a damaged row refuses the look, since what rests on it must not take that row for one that is not there. Else it
    /// is said and stepped over, so that one row does not stop a sweep.
    pub whole: bool,
}

/// What is in a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The rows that are as they were written, by name: as many as were asked for, where there are as many.
    pub rows: Vec<Row>,
    /// What was stepped over.
    pub damaged: Vec<Damaged>,
}

impl Found {
    /// Takes a row, or notes that it was stepped over.
    ///
    /// # Errors
    /// [`Damaged`], where `range` must be whole, or too much was stepped over.
    pub(super) fn take(&mut self, row: Result<Row, Damaged>, range: &Range) -> Result<(), Damaged> {
        match row {
            Ok(row) => self.rows.push(row),
            Err(damaged) if range.whole || self.damaged.len() >= DAMAGED_MAX => {
                return Err(damaged);
            }
            Err(damaged) => self.damaged.push(damaged),
        }
        Ok(())
    }

    /// The rows, and among them by name what was stepped over, without a value. What lies behind the last row that was asked for is the
    /// next look's to tell.
    pub(super) fn marked(self, range: &Range) -> Vec<Row> {
        let Self { mut rows, damaged } = self;
        let end = rows.last().filter(|_| rows.len() >= range.most).map(|row| row.key.clone());
        let keys = damaged.into_iter().map(|Damaged(key)| key);
        let told = keys.filter(|key| end.as_ref().is_none_or(|end| key < end));
        rows.extend(told.map(|key| Row { key, until: None, value: String::new() }));
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows
    }
}

impl Range {
    /// The row with this key, where it is.
    pub fn one(key: &RowKey) -> Self {
        // No database has a name that goes on with a lower character; one of them has no name with a zero byte at all.
        let before = format!("{}\u{1}", key.name);
        Self { of: key.of, from: key.name.clone(), before, most: 1, last: false, whole: true }
    }

    /// The only key that may be in it, where there is no more than one.
    pub(super) fn only(&self) -> Option<RowKey> {
        let is_one = self.before.strip_prefix(&*self.from) == Some("\u{1}");
        is_one.then(|| RowKey { of: self.of, name: self.from.clone() })
    }

    /// Whether `key` is in it.
    pub(super) fn takes(&self, key: &RowKey) -> bool {
        key.of == self.of && self.from <= key.name && key.name < self.before
    }

    /// Those of `rows`, which come by name, that are in it and not too many.
    pub(super) fn cut(&self, mut rows: Vec<Row>) -> Vec<Row> {
        rows.retain(|row| self.takes(&row.key));
        if self.last {
            rows.split_off(rows.len().saturating_sub(self.most))
        } else {
            rows.truncate(self.most);
            rows
        }
    }
}

/// A change of one row by who knows what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Which row.
    pub key: RowKey,
    /// The value that it must have; that it must not be there, where absent.
    pub was: Option<String>,
    /// What is put in its place; it goes, where absent.
    pub new: Option<Row>,
    /// What else is put where that is done, in the same commit.
    pub beside: Vec<Row>,
}

impl Swap {
    /// Puts `row` unless there is one.
    pub fn claim(row: Row) -> Self {
        Self { key: row.key.clone(), was: None, new: Some(row), beside: Vec::new() }
    }

    /// Puts `row` in the place of one with the value `was`.
    pub fn replace(was: String, row: Row) -> Self {
        Self { key: row.key.clone(), was: Some(was), new: Some(row), beside: Vec::new() }
    }

    /// Whether it is made where `known` is kept.
    pub(super) fn fits(&self, known: Option<&Row>) -> bool {
        self.was.as_deref() == known.map(|row| row.value.as_str())
    }
}

/// Rows that memory does not hold.
#[async_trait]
pub trait ShelfStore: Send + Sync {
    /// Puts a row, whatever was there; it is durable with the next commit.
    fn shelve(&self, row: Row);
    /// Removes a row.
    fn unshelve(&self, key: RowKey);
    /// Changes a row if it is as is told, and says whether it was: of all who try, one is told so.
    ///
    /// # Errors
    /// [`StoreLost`]: it may have been changed.
    async fn swap(&self, swap: Swap) -> Result<bool, StoreLost>;
    /// The rows of a range, by name.
    ///
    /// # Errors
    /// [`StoreLost`].
    async fn range(&self, range: Range) -> Result<Vec<Row>, StoreLost> {
        self.page(range, false).await
    }
    /// The rows of a range, by name; where they are `marked`, what was stepped over is among them, without a value, for whoever
    /// counts it.
    ///
    /// # Errors
    /// [`StoreLost`].
    async fn page(&self, range: Range, marked: bool) -> Result<Vec<Row>, StoreLost>;
    /// Those of these rows that there are, in any order; who asks for more than [`PAGE_MAX`] has payments wait.
    ///
    /// # Errors
    /// [`StoreLost`], also where one is damaged.
    async fn rows_at(&self, keys: Vec<RowKey>) -> Result<Vec<Row>, StoreLost>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stepped_over_is_marked_once() {
        let key = |name: &str| RowKey { of: Aggregate::Payments, name: name.to_owned() };
        let check = |most, rows: &[&str], damaged: &[&str], expected: &[&str]| {
            let row = |name: &&str| Row { key: key(name), until: None, value: "{}".to_owned() };
            let rows: Vec<_> = rows.iter().map(row).collect();
            let damaged = damaged.iter().map(|name| Damaged(key(name))).collect();
            let range = Range { most, ..Range::one(&key("a")) };
            let marked = Found { rows, damaged }.marked(&range);
            let shown: Vec<_> =
                marked.iter().map(|row| format!("{}{}", row.key.name, row.value)).collect();
            assert_eq!(shown, expected);
        };
        check(3, &[], &[], &[]);
        check(3, &["a", "c"], &[], &["a{}", "c{}"]);
        check(3, &["a", "c"], &["b", "d"], &["a{}", "b", "c{}", "d"]);
        check(3, &[], &["b"], &["b"]);
        // The next look begins behind the last row.
        check(2, &["a", "c"], &["b", "d"], &["a{}", "b", "c{}"]);
    }
}
