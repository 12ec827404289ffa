//! What verification was used for, and what was or would have been refused, read from the store while Hefu runs or not.

use super::statement::{Failed, Reader, open};
use crate::billing::usage::{Usage, Use};
use crate::config::Config;
use crate::domain::answer::{Answer, Billable};
use crate::domain::clock::Timestamp;
use crate::service::hindsight::Hindsight;
pub use crate::service::hindsight::{Of, Seen};
use crate::store::memory::LoadError;
use crate::store::reading::{each, payments_since};
use crate::store::row::Aggregate;
use crate::store::writer::Backend;
use crate::store::{Charge, OpenInquiry, Record, Witness};
use std::collections::BTreeMap;

/// What is known of some weeks.
#[derive(Debug)]
pub struct Known {
    /// What was asked.
    pub usage: Usage,
    /// What was refused, or would have been.
    pub hindsight: Hindsight,
}

/// Reads what was asked and judged since `since`. `progress` is told of every row.
///
/// # Errors
/// [`Failed`].
pub fn read(
    config: &Config,
    since: Timestamp,
    progress: impl FnMut() + Send,
) -> Result<Known, Failed> {
    let hindsight = Hindsight::new(config.policy.clone(), &config.rules.rules);
    open(config, Reading { known: Known { usage: Usage::new(since), hindsight }, since, progress })
}

struct Reading<P> {
    known: Known,
    since: Timestamp,
    progress: P,
}

impl<P: FnMut() + Send> Reader for Reading<P> {
    type Yield = Known;

    fn read<B: Backend>(mut self, backend: &mut B) -> Result<Known, LoadError<B::Error>> {
        let Self { known: Known { usage, hindsight }, since, progress } = &mut self;
        let of = |inquiry: &OpenInquiry| Use {
            scenario: inquiry.scenario,
            set: inquiry.set,
            provider: inquiry.provider.clone(),
        };
        // As a statement reads them: one that is charged meanwhile is found in either.
        let mut open = BTreeMap::new();
        each(backend, Aggregate::Inquiries, |inquiry: OpenInquiry| {
            open.insert(inquiry.id, inquiry);
        })?;
        each(backend, Aggregate::Charges, |Charge { inquiry, billable, answer, .. }| {
            progress();
            open.remove(&inquiry.id);
            usage.asked(of(&inquiry), inquiry.at, answer == Answer::Match, billable);
        })?;
        for inquiry in open.into_values() {
            usage.asked(of(&inquiry), inquiry.at, false, Billable::Uncertain);
        }
        payments_since(backend, *since, |record: Record| {
            progress();
            hindsight.look(&record);
            let scenario = Some(record.scenario);
            let reused = record.verified.filter(|_| !record.asked_now);
            if let Some((Witness::Provider(provider), set)) =
                reused.map(|it| (it.witness, it.elements))
            {
                usage.reused(Use { scenario, set, provider }, record.at);
            }
        })?;
        Ok(self.known)
    }
}
