//! What verification was used for, and what was or would have been refused, read from the store while Hefu runs or not.

use super::statement::{Failed, Reader, open};
pub use crate::admin::statistics::StatisticsBody;
use crate::config::Config;
use crate::service::hindsight::Hindsight;
pub use crate::service::hindsight::{Of, Seen};
pub use crate::service::statistics::{Counted, Line, Wanted};
use crate::service::statistics::{Counting, Tables};
use crate::store::Record;
use crate::store::memory::LoadError;
use crate::store::reading::between;
use crate::store::row::Aggregate;
use crate::store::writer::Backend;

/// What is known of some weeks.
#[derive(Debug)]
pub struct Known {
    /// What was asked, as it was to be counted.
    pub counted: Counted,
    /// What was refused, or would have been.
    pub hindsight: Hindsight,
    /// Payments that cannot be read whole, and are not in hindsight.
    pub unseen: u64,
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
    let reading = Reading { counting, hindsight, unseen: 0, wanted, progress };
    let (counting, hindsight, unseen) = open(config, reading)?;
    Ok(Known { counted: counting.counted()?, hindsight, unseen })
}

struct Reading<'w, P> {
    counting: Counting<'w>,
    hindsight: Hindsight,
    unseen: u64,
    wanted: &'w Wanted,
    progress: P,
}

impl<'w, P: FnMut() + Send> Reader for Reading<'w, P> {
    type Yield = (Counting<'w>, Hindsight, u64);

    fn read<B: Backend>(self, backend: &mut B) -> Result<Self::Yield, LoadError<B::Error>> {
        let Self { mut counting, mut hindsight, mut unseen, wanted, mut progress } = self;
        let (months, window) = (wanted.months(), (wanted.since, wanted.until));
        between(backend, Aggregate::Inquiries, months, |row| counting.open(row))?;
        between(backend, Aggregate::Charges, months, |row| {
            progress();
            counting.charged(row);
        })?;
        between(backend, Aggregate::Payments, window, |row| {
            progress();
            counting.payment(row);
            match serde_json::from_str::<Record>(&row.value) {
                Ok(record) => hindsight.look(&record),
                Err(_) => unseen = unseen.saturating_add(1),
            }
        })?;
        Ok((counting, hindsight, unseen))
    }
}
