//! What is read from a document, and what follows from it: the values go to the client once, and into one more question.

use super::{Terms, Verified, Wanted};
use crate::domain::element::Elements;
use crate::domain::kind::Kind;
use crate::service::Service;
use crate::store::journal::StoreLost;
use crate::store::verification::{Came, State, Verification};
use std::sync::Arc;

/// What is verified of a person of whom this was read and that is told.
fn together(read: &Elements, told: &Elements) -> Elements {
    Elements { name: read.name.clone(), id_number: read.id_number.clone(), ..told.clone() }
}

impl Terms {
    /// Whether the client may have all of it.
    pub(super) fn take(&self, wanted: &Wanted) -> bool {
        let reads = wanted.kind.reads();
        let follows = wanted.then.as_ref().is_none_or(|then| {
            let is_other = !reads.is_empty() && !reads.meets(then.set());
            is_other && self.sets.contains(&then.set().union(reads))
        });
        follows && self.takes(wanted.kind, wanted.elements.set())
    }
}

impl Service {
    /// Asks, and keeps what it came to; and then what follows from that, which is begun in the same commit.
    pub(super) async fn conclude_wanted(
        self: &Arc<Self>,
        terms: &Terms,
        wanted: &Wanted,
        asked: Verification,
    ) -> Result<Verified, StoreLost> {
        let (came, read) = self.ask_for(terms, &wanted.elements, (asked.kind, asked.set)).await;
        let follows = wanted.then.as_ref().zip(read.as_deref());
        let follows = follows.map(|(told, read)| {
            let elements = together(read, told);
            (self.new_verification(terms, (Kind::Elements, elements.set())), elements)
        });
        let came = Came { then: follows.as_ref().map(|(next, _)| next.id), ..came };
        let next = follows.as_ref().map(|(next, _)| next.row().ok_or(StoreLost)).transpose()?;
        let verification = self.keep_done(terms, asked, came, next.as_ref()).await?;
        let then = match follows {
            // What was read is told once, and now: what follows is uncertain where it cannot be kept.
            Some((next, elements)) => {
                let done = self.conclude_for(terms, &elements, next.clone()).await;
                Some(done.unwrap_or(next))
            }
            None => None,
        };
        Ok(Verified { verification, before: false, read, then })
    }

    /// What is told where it was asked for before: not what was read.
    pub(super) async fn told_before(
        &self,
        terms: &Terms,
        verification: Verification,
    ) -> Result<Verified, StoreLost> {
        let then = self.what_followed(terms, &verification).await?;
        Ok(Verified { verification, before: true, read: None, then })
    }

    /// The verification of what was read, where there is one.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn what_followed(
        &self,
        terms: &Terms,
        verification: &Verification,
    ) -> Result<Option<Verification>, StoreLost> {
        let then = match verification.state {
            State::Asking { .. } => None,
            State::Done(came) => came.then,
        };
        match then {
            Some(id) => self.verification_of(&terms.name, id).await,
            None => Ok(None),
        }
    }
}
