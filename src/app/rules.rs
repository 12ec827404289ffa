//! Rules over what is kept: counts after a start, and what new rules would have done.

use crate::app::clock;
use crate::app::statement::Failed;
use crate::config::{Config, Storage};
use crate::domain::clock::Timestamp;
use crate::domain::id::PaymentId;
pub use crate::policy::rules::Book;
pub use crate::policy::rules::explain::Came;
use crate::service::backtest::Backtest;
pub use crate::service::backtest::{Fate, Found, Sum, Tally};
use crate::service::counts::Counts;
use crate::service::rules::{Explained, Rulebook};
use crate::store::keys;
use crate::store::memory::LoadError;
use crate::store::postgres::Postgres;
use crate::store::writer::Backend;
use crate::store::{Record, reading, sqlite};
use std::sync::Arc;
use std::time::Duration;

/// The rules in force; none where none is ever evaluated, so that they cost nothing.
pub(super) fn rulebook(config: &Config, counts: &Arc<Counts>) -> Option<Rulebook> {
    let book = Some(&config.rules).filter(|book| !book.rules.is_idle());
    book.map(|book| Rulebook { book: book.clone(), counts: counts.clone() })
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

/// Tries `book` on the payments that are kept and were judged no longer `ago`. `progress` is told of every payment.
///
/// # Errors
/// [`Failed`].
pub fn backtest(
    config: &Config,
    book: Arc<Book>,
    ago: Duration,
    mut progress: impl FnMut() + Send,
) -> Result<Found, Failed> {
    let since = Timestamp::from_millis(0).plus(clock::system()).minus(ago);
    let mut test = Backtest::new(book, since);
    let first = since.minus(test.warm_up());
    each_since(config, first, |record| {
        progress();
        test.feed(&record);
    })?;
    Ok(test.found())
}

/// What each rule of `book` says of a payment that is kept, condition by condition; `None` where it is not kept. Windows are counted
/// from the payments before it, lists are those of today.
///
/// # Errors
/// [`Failed`].
pub fn explain(
    config: &Config,
    book: Arc<Book>,
    payment: PaymentId,
) -> Result<Option<Vec<Explained>>, Failed> {
    let test = Rulebook { book, counts: Arc::new(Counts::default()) };
    let first = payment.at().minus(test.longest().unwrap_or_default());
    let mut explained = None;
    each_since(config, first, |record| {
        if record.payment == payment {
            explained = Some(test.explain(&record));
        } else if explained.is_none() {
            test.recount(&record);
        }
    })?;
    Ok(explained)
}

fn each_since(
    config: &Config,
    first: Timestamp,
    mut feed: impl FnMut(Record) + Send,
) -> Result<(), Failed> {
    match &config.store {
        Storage::Memory => return Err(Failed::Memory),
        // Opening it would make it.
        Storage::File(path) if !path.is_file() => {
            return Err(Failed::Missing(path.display().to_string()));
        }
        Storage::File(path) => {
            reading::payments_since(&mut sqlite::open(path)?, first, &mut feed)?;
        }
        // Its client has a runtime of its own, which must not be driven on a thread of ours.
        Storage::Postgres { config: place, authorities } => std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let mut backend = Postgres::open(place, authorities)?;
                keys::check_to_read(&mut backend, &config.keys)?;
                Ok(reading::payments_since(&mut backend, first, &mut feed)?)
            });
            reading.join().unwrap_or(Err(Failed::Panicked))
        })?,
    }
    Ok(())
}
