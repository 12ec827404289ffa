//! What verification was used for, and what was or would have been refused, read from the store while Hefu runs or not.

use super::statement::{Failed, Reader, open};
pub use crate::admin::statistics::StatisticsBody;
use crate::config::Config;
use crate::service::hindsight::Hindsight;
pub use crate::service::hindsight::{Of, Seen};
use crate::service::statistics::{Counting, Tables};
pub use crate::service::statistics::{Line, Wanted};
use crate::store::Record;
use crate::store::memory::LoadError;
use crate::store::reading::between;
use crate::store::row::Aggregate;
use crate::store::writer::Backend;

/// What is known of some weeks.
#[derive(Debug)]
pub struct Known {
    /// What was asked, as it was to be counted.
    pub lines: Vec<Line>,
    /// What was refused, or would have been.
    pub hindsight: Hindsight,
}

/// What rows of inquiries do not say.
pub(super) fn tables(config: &Config) -> Tables {
    let prices = config.providers.iter().map(|(name, it)| (name.clone(), it.prices.clone()));
    Tables { prices: prices.collect(), banks: config.rules.banks.clone() }
}

/// Reads what was asked and judged at the times that are `wanted`. `progress` is told of every row.
///
/// # Errors
/// [`Failed`].
pub fn read(
    config: &Config,
    wanted: &Wanted,
    progress: impl FnMut() + Send,
) -> Result<Known, Failed> {
    let tables = tables(config);
    let hindsight = Hindsight::new(config.policy.clone(), &config.rules.rules);
    let counting = Counting::new(&tables, wanted.clone());
    let (counting, hindsight) = open(config, Reading { counting, hindsight, wanted, progress })?;
    Ok(Known { lines: counting.lines()?, hindsight })
}

struct Reading<'w, P> {
    counting: Counting<'w>,
    hindsight: Hindsight,
    wanted: &'w Wanted,
    progress: P,
}

impl<'w, P: FnMut() + Send> Reader for Reading<'w, P> {
    type Yield = (Counting<'w>, Hindsight);

    fn read<B: Backend>(self, backend: &mut B) -> Result<Self::Yield, LoadError<B::Error>> {
        let Self { mut counting, mut hindsight, wanted, mut progress } = self;
        let (from, before) = wanted.months();
        let (months, window) = ((from, Some(before)), (wanted.since, Some(wanted.until)));
        between(backend, Aggregate::Inquiries, months, |row| counting.open(row))?;
        between(backend, Aggregate::Charges, months, |row| {
            progress();
            counting.charged(row);
        })?;
        between(backend, Aggregate::Payments, window, |record: Record| {
            progress();
            hindsight.look(&record);
            counting.payment(&record);
        })?;
        Ok((counting, hindsight))
    }
}
