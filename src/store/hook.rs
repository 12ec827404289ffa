//! What is to be told to whoever listens, until it is: kept where payments are, in the order in which it became known.

use crate::domain::clock::Timestamp;
use crate::domain::id::{ClientName, PaymentId};
use crate::store::row::{Aggregate, Row, RowKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long is kept what nobody took.
const KEPT_FOR: Duration = Duration::from_hours(30 * 24);

/// How long is tried.
const TRIED_FOR: Duration = Duration::from_hours(3 * 24);

/// How long is waited after the first failure; twice as long after each more.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// How long is waited at most.
const WAIT_MAX: Duration = Duration::from_hours(1);

/// Something to tell. No element is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Its id: the same each time it is told.
    pub id: PaymentId,
    /// When it became known.
    pub at: Timestamp,
    /// The payment that it is about: what is about one is told in its order.
    pub about: PaymentId,
    /// The client that is told; operations where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ClientName>,
    /// What is told, as JSON.
    pub body: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next; who tries it now has put that off.
    pub next: Timestamp,
    /// Why the last try came to nothing: a status, or a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// How it stands with something to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// It will be tried.
    Waiting,
    /// It was tried for long enough.
    Dead,
}

impl Shelf {
    /// The word used by the API, and what names of rows begin with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Dead => "dead",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Waiting, Self::Dead].into_iter().find(|shelf| shelf.as_str() == word)
    }

    /// How the names of those begin that are told to one client, or to operations.
    pub fn of(self, to: Option<&ClientName>) -> String {
        to.map_or_else(|| self.as_str().to_owned(), |client| format!("{}:{client}", self.as_str()))
    }

    /// Where those begin and end that are told to operations, and those that are told to clients.
    pub fn everybody(self) -> [(String, String); 2] {
        let word = self.as_str();
        [(format!("{word}\n"), format!("{word}\u{b}")), (format!("{word}:"), format!("{word};"))]
    }

    /// Under which a hook is kept: those to one beside each other, by time.
    pub fn key(self, to: Option<&ClientName>, id: PaymentId) -> RowKey {
        RowKey { of: Aggregate::Webhooks, name: format!("{}\n{id}", self.of(to)) }
    }
}

impl Hook {
    /// As it is kept.
    pub fn row(&self, place: Shelf) -> Option<Row> {
        Row::new(place.key(self.to.as_ref(), self.id), Some(self.at.plus(KEPT_FOR)), self)
    }

    /// Reads what is kept.
    ///
    /// # Errors
    /// Where another Hefu wrote it.
    pub fn read(row: &Row) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&row.value)
    }

    /// As it is after a try at `now` that failed, and how it stands with it then.
    pub fn after(&self, failed: String, now: Timestamp) -> (Self, Shelf) {
        let attempts = self.attempts.saturating_add(1);
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1).min(16));
        let next = now.plus(WAIT_MIN.saturating_mul(doubled).min(WAIT_MAX));
        let place = if self.at.plus(TRIED_FOR) <= now { Shelf::Dead } else { Shelf::Waiting };
        (Self { attempts, next, failed: Some(failed), ..self.clone() }, place)
    }
}

/// Which of `waiting`, the oldest first, are tried at `now`: of each payment the first, when its time has come. `seen` has the
/// payments of those before them.
pub fn due(waiting: Vec<Hook>, seen: &mut BTreeSet<PaymentId>, now: Timestamp) -> Vec<Hook> {
    waiting.into_iter().filter(|hook| seen.insert(hook.about) && hook.next <= now).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn hook(number: u64, about: u64, next: u64) -> Hook {
        let id = |number| PaymentId::new(at(number), 0);
        let (body, failed) = (String::new(), None);
        Hook {
            id: id(number),
            at: at(number),
            about: id(about),
            to: None,
            body,
            attempts: 0,
            next: at(next),
            failed,
        }
    }

    #[test]
    fn what_is_about_one_payment_is_told_in_its_order() {
        let waiting = [hook(1, 1, 50), hook(2, 2, 0), hook(3, 1, 0), hook(4, 2, 0), hook(5, 3, 10)];
        let told = |now, page| {
            let mut seen = BTreeSet::new();
            let pages = waiting.chunks(page);
            let due = pages.flat_map(|page| due(page.to_vec(), &mut seen, at(now)));
            due.map(|hook| hook.id).collect::<Vec<_>>()
        };
        let ids = |numbers: &[u64]| {
            numbers.iter().map(|it| PaymentId::new(at(*it), 0)).collect::<Vec<_>>()
        };
        for page in [1, 2, 5] {
            assert_eq!(told(0, page), ids(&[2]));
            assert_eq!(told(10, page), ids(&[2, 5]));
            assert_eq!(told(50, page), ids(&[1, 2, 5]));
        }
    }

    #[test]
    fn each_failure_is_waited_for_longer_until_it_is_given_up() {
        let (mut it, mut now, mut waits) = (hook(0, 1, 0), at(0), Vec::new());
        let shelf = loop {
            let (next, shelf) = it.after("503".to_owned(), now);
            if shelf == Shelf::Dead {
                break shelf;
            }
            waits.push(next.next.since(now).as_secs());
            (now, it) = (next.next, next);
        };
        assert_eq!(shelf, Shelf::Dead);
        assert_eq!(waits.get(..5), Some([1, 2, 4, 8, 16].as_slice()));
        assert_eq!(waits.last(), Some(&3600));
        assert!(now.since(at(0)) >= TRIED_FOR && now.since(at(0)) < TRIED_FOR + WAIT_MAX * 2);
    }
}
