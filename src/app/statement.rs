//! What a month of verification came to, read from the store while Hefu runs or not.

use crate::billing::Asked;
use crate::billing::month::Month;
use crate::billing::statement::Tally;
use crate::config::{Config, Storage};
use crate::domain::answer::Billable;
use crate::domain::id::{PaymentId, ProviderName};
use crate::service::statistics::StatisticsError;
use crate::store::keys::{self, KeysError};
use crate::store::memory::LoadError;
use crate::store::postgres::{self, Postgres};
use crate::store::reading::each;
use crate::store::row::Aggregate;
use crate::store::segment::SegmentError;
use crate::store::writer::Backend;
use crate::store::{Charge, OpenInquiry, Record, Witness, sqlite};
use std::collections::BTreeMap;

/// Why there is no statement.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Nothing is kept.
    #[error("there is no `[store]`: what was asked is not known")]
    Memory,
    /// There is no file.
    #[error("there is no store `{0}` yet")]
    Missing(String),
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] sqlite::OpenError),
    /// The database cannot be used.
    #[error(transparent)]
    Shared(#[from] postgres::OpenError),
    /// Its keys are others.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] LoadError<SegmentError<sqlite::Error>>),
    /// It cannot be read.
    #[error(transparent)]
    ReadShared(#[from] LoadError<postgres::Error>),
    /// It cannot be counted.
    #[error(transparent)]
    Counting(#[from] StatisticsError),
    /// Reading ended by a defect.
    #[error("reading the store ended by a defect")]
    Panicked,
}

/// What is known of a month.
#[derive(Debug)]
pub struct Known {
    /// By provider and element set.
    pub tally: Tally,
    /// Every inquiry of one provider, by id, where one is wanted.
    pub asked: BTreeMap<PaymentId, Asked>,
}

/// Who reads a store that Hefu may have open.
pub(super) trait Reader: Send {
    /// What comes of it.
    type Yield: Send;

    /// Reads all of it.
    fn read<B: Backend>(self, backend: &mut B) -> Result<Self::Yield, LoadError<B::Error>>;
}

/// Has `reader` read the store that is configured.
pub(super) fn open<R: Reader>(config: &Config, reader: R) -> Result<R::Yield, Failed> {
    match &config.store {
        Storage::Memory => Err(Failed::Memory),
        // Opening it would make it.
        Storage::File(path) if !path.is_file() => Err(Failed::Missing(path.display().to_string())),
        Storage::File(path) => Ok(reader.read(&mut sqlite::open_to_read(path)?)?),
        // Its client has a runtime of its own, which must not be driven on a thread of ours.
        Storage::Postgres { config: place, authorities } => std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let mut backend = Postgres::open_to_read(place, authorities)?;
                keys::check_to_read(&mut backend, &config.keys)?;
                Ok(reader.read(&mut backend)?)
            });
            reading.join().unwrap_or(Err(Failed::Panicked))
        }),
    }
}

/// Reads what `month` came to; with each inquiry of `one` provider. `progress` is told of every row.
///
/// # Errors
/// [`Failed`].
pub fn read(
    config: &Config,
    month: Month,
    one: Option<&ProviderName>,
    progress: impl FnMut() + Send,
) -> Result<Known, Failed> {
    let known = Known { tally: Tally::new(month), asked: BTreeMap::new() };
    open(config, Reading { known, one, progress })
}

struct Reading<'p, P> {
    known: Known,
    one: Option<&'p ProviderName>,
    progress: P,
}

impl<P: FnMut() + Send> Reader for Reading<'_, P> {
    type Yield = Known;

    fn read<B: Backend>(self, backend: &mut B) -> Result<Known, LoadError<B::Error>> {
        self.known.read(backend, self.one, self.progress)
    }
}

impl Known {
    fn read<B: Backend>(
        mut self,
        backend: &mut B,
        one: Option<&ProviderName>,
        mut progress: impl FnMut(),
    ) -> Result<Self, LoadError<B::Error>> {
        let mut asked = |inquiry: OpenInquiry, billable| {
            let OpenInquiry { id, provider, set, at, .. } = inquiry;
            let asked = Asked { id, provider, set, at, billable };
            if self.tally.asked(&asked) && one == Some(&asked.provider) {
                self.asked.insert(id, asked);
            }
        };
        // Their answer is on its way, or a crash cut it off. What is charged is not open, whatever a crash left of it: they are read
        // first, so that one which is charged meanwhile is found in either.
        let mut open = BTreeMap::new();
        each(backend, Aggregate::Inquiries, |inquiry: OpenInquiry| {
            open.insert(inquiry.id, inquiry);
        })?;
        each(backend, Aggregate::Charges, |Charge { inquiry, billable, .. }| {
            progress();
            open.remove(&inquiry.id);
            asked(inquiry, billable);
        })?;
        for inquiry in open.into_values() {
            asked(inquiry, Billable::Uncertain);
        }
        each(backend, Aggregate::Payments, |record: Record| {
            progress();
            let reused = record.verified.filter(|_| !record.asked_now);
            if let Some((Witness::Provider(name), set)) = reused.map(|it| (it.witness, it.elements))
            {
                self.tally.reused(&name, set, record.at);
            }
        })?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::answer::Answer;
    use crate::domain::clock::Timestamp;
    use crate::domain::element::ElementSet;
    use crate::store::row::{Row, RowKey};
    use crate::store::sqlite::Sqlite;

    /// A crash between the commit of its charge and that of its end leaves an inquiry both charged and open.
    #[test]
    fn what_is_charged_and_still_open_is_counted_once() {
        let at = Timestamp::from_millis(1_794_800_000_000);
        let open = |number| OpenInquiry {
            id: PaymentId::new(at, number),
            provider: ProviderName::new("first"),
            set: ElementSet::EMPTY,
            scenario: None,
            kind: None,
            bank: None,
            at,
        };
        let row = |number| Row::new(RowKey::inquiry(open(number).id), None, &open(number)).unwrap();
        let (billable, answer) = (Billable::Yes, Answer::Match);
        let charge =
            Charge { inquiry: open(1), answer, code: None, trouble: None, took_ms: None, billable };
        let charged = Row::new(RowKey::charge(open(1).id), None, &charge).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut file = Sqlite::open(&dir.path().join("hefu.db")).unwrap();
        file.begin().unwrap();
        file.put(&[&row(1), &row(2), &charged]).unwrap();
        file.commit().unwrap();
        let month = "2026-11".parse().unwrap();
        let known = Known { tally: Tally::new(month), asked: BTreeMap::new() };
        let first = ProviderName::new("first");
        let known = known.read(&mut file, Some(&first), || ()).unwrap();
        let lines = known.tally.lines(&BTreeMap::new());
        let counts: Vec<_> =
            lines.iter().map(|line| (line.counts.billed, line.counts.uncertain)).collect();
        assert_eq!(counts, [(1, 1)]);
        let billable = known.asked.values().map(|asked| asked.billable).collect::<Vec<_>>();
        assert_eq!(billable, [Billable::Yes, Billable::Uncertain]);
    }
}
