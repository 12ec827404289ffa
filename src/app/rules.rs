//! Rules over what is kept: counts after a start, and what new rules would have done.

use crate::app::clock;
use crate::app::statement::{self, Failed, Reader};
use crate::config::{Classes, Config};
use crate::domain::clock::Timestamp;
use crate::domain::id::PaymentId;
pub use crate::policy::rules::Book;
pub use crate::policy::rules::explain::Came;
use crate::service::accounts::Tiers;
use crate::service::backtest::Backtest;
pub use crate::service::backtest::{Fate, Found, Sum, Tally};
use crate::service::counts::Counts;
pub use crate::service::rules::Explanation;
use crate::service::rules::Rulebook;
use crate::store::memory::LoadError;
use crate::store::writer::Backend;
use crate::store::{Record, reading};
use std::sync::Arc;
use std::time::Duration;

/// The rules in force; none where none is ever evaluated, so that they cost nothing.
pub(super) fn rulebook(config: &Config, counts: &Arc<Counts>) -> Option<Rulebook> {
    let book = Some(&config.rules).filter(|book| !book.rules.is_idle());
    book.map(|book| Rulebook { book: book.clone(), counts: counts.clone() })
}

/// What accounts are judged by.
pub(super) fn tiers(config: &Config) -> Tiers {
    let Classes { book, second, flagged, over_limit, record_key } = config.classes.clone();
    Tiers {
        book,
        second,
        flagged,
        over_limit,
        record_key,
        banks: config.rules.banks.clone(),
        ..Tiers::default()
    }
}

/// Counts for the rules' windows what is kept from before the start. `now` is the system's time, since the epoch.
pub(super) fn recount<B: Backend>(
    backend: &mut B,
    book: Option<&Rulebook>,
    now: Duration,
) -> Result<(), LoadError<B::Error>> {
    let Some((book, window)) = book.and_then(|book| Some((book, book.longest()?))) else {
        return Ok(());
    };
    let since = Timestamp::from_millis(0).plus(now).minus(window);
    let mut counted = 0_u64;
    reading::payments_since(backend, since, |record: Record| {
        book.recount(&record);
        counted = counted.saturating_add(1);
    })?;
    tracing::info!(counted, ?window, "payments were counted for rules");
    Ok(())
}

/// Tries `book` on the payments that are kept and were judged no longer `ago`. `progress` is told of every payment how much of
/// that time is behind it, in thousandths.
///
/// # Errors
/// [`Failed`].
pub fn backtest(
    config: &Config,
    book: Arc<Book>,
    ago: Duration,
    mut progress: impl FnMut(u64) + Send,
) -> Result<Found, Failed> {
    let since = Timestamp::from_millis(0).plus(clock::system()).minus(ago);
    let mut test = Backtest::new(book, since);
    let first = since.minus(test.warm_up());
    each_since(config, first, |behind, record| {
        progress(behind);
        test.feed(&record);
    })?;
    Ok(test.found())
}

/// What each rule of `book` says of a payment that is kept, condition by condition; `None` where it is not kept. Where another set
/// judged it, windows are counted from the payments before it, and lists are those of today.
///
/// # Errors
/// [`Failed`].
pub fn explain(
    config: &Config,
    book: Arc<Book>,
    payment: PaymentId,
) -> Result<Option<Explanation>, Failed> {
    let test = Rulebook { book, counts: Arc::new(Counts::default()) };
    let first = payment.at().minus(test.longest().unwrap_or_default());
    let mut explained = None;
    each_since(config, first, |_, record| {
        if record.payment == payment {
            explained = Some(test.explain(&record));
        } else if explained.is_none() {
            test.recount(&record);
        }
    })?;
    Ok(explained)
}

/// Hands over the payments since then, each with how much of the time is behind it, in thousandths.
fn each_since(
    config: &Config,
    first: Timestamp,
    feed: impl FnMut(u64, Record) + Send,
) -> Result<(), Failed> {
    let now = Timestamp::from_millis(0).plus(clock::system());
    statement::open(config, Since { first, now, feed })
}

struct Since<F> {
    first: Timestamp,
    now: Timestamp,
    feed: F,
}

impl<F: FnMut(u64, Record) + Send> Reader for Since<F> {
    type Yield = ();

    fn read<B: Backend>(mut self, backend: &mut B) -> Result<(), LoadError<B::Error>> {
        let all = self.now.since(self.first).as_millis();
        reading::payments_since(backend, self.first, |record| {
            let behind = record.at.since(self.first).as_millis().saturating_mul(1000);
            let behind = u64::try_from(behind.checked_div(all).unwrap_or(1000)).unwrap_or(1000);
            (self.feed)(behind.min(1000), record);
        })
    }
}
