//! What a client's verifications of a month come to, by its price list.

use super::Terms;
use crate::billing::month::Month;
use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::PaymentId;
use crate::domain::kind::Kind;
use crate::domain::money::Fen;
use crate::service::Service;
use crate::store::journal::StoreLost;
use crate::store::shelf::{PAGE_MAX, Range};
use crate::store::verification::{State, Verification};
use std::collections::BTreeMap;

/// What is counted of one kind and set of elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// What a source told that is charged: whether they belong together.
    pub charged: u64,
    /// What told nothing of that.
    pub free: u64,
    /// Of which nobody knows what they came to, or does not yet: they are not charged.
    pub open: u64,
}

/// A line of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// What was asked.
    pub kind: Kind,
    /// About which elements.
    pub set: ElementSet,
    /// How often.
    pub counts: Counts,
    /// What the charged ones cost.
    pub cost: Fen,
}

/// Whether an answer is charged: it tells whether they belong together.
pub(super) const fn is_charged(answer: Answer) -> bool {
    match answer {
        Answer::Match | Answer::CloseMatch | Answer::NoMatch(_) => true,
        Answer::NoRecord
        | Answer::NotPossible
        | Answer::Limited
        | Answer::Invalid
        | Answer::Unavailable => false,
    }
}

impl Service {
    /// The lines of a client's month, by kind and set.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn statement_of(&self, terms: &Terms, month: Month) -> Result<Vec<Line>, StoreLost> {
        let mut counts = BTreeMap::<(Kind, ElementSet), Counts>::new();
        let name = |at: Timestamp| Verification::key(&terms.name, PaymentId::new(at, 0)).name;
        let (mut from, before) = (name(month.from()), name(month.until()));
        loop {
            let range = Verification::from(&terms.name, from, PAGE_MAX);
            let rows = self.store.range(Range { before: before.clone(), ..range }).await?;
            for row in &rows {
                // One that another Hefu wrote must not be left out of a bill silently.
                let verification =
                    Verification::read(row).map_err(|error| super::unread(&error))?;
                let counts = counts.entry((verification.kind, verification.set)).or_default();
                let count = match verification.state {
                    State::Asking { .. } => &mut counts.open,
                    State::Done(came) if came.told && is_charged(came.answer) => {
                        &mut counts.charged
                    }
                    State::Done(_) => &mut counts.free,
                };
                *count = count.saturating_add(1);
            }
            match rows.last().filter(|_| rows.len() >= PAGE_MAX) {
                Some(last) => from = format!("{}\u{1}", last.key.name),
                None => break,
            }
        }
        let line = |((kind, set), counts): ((Kind, ElementSet), Counts)| Line {
            kind,
            set,
            counts,
            cost: terms.prices_of(kind).cost(set, counts.charged),
        };
        Ok(counts.into_iter().map(line).collect())
    }
}
