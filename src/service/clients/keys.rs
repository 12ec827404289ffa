//! One key, one request: what comes again is told what it came to, and nothing is asked twice.

use super::batches::Lines;
use super::{AskError, Terms, Wanted, unread};
use crate::crypto::fingerprint::Fingerprinter;
use crate::domain::element::Elements;
use crate::domain::id::{Fingerprint, PaymentId};
use crate::domain::kind::Kind;
use crate::service::Service;
use crate::store::journal::StoreLost;
use crate::store::row::Row;
use crate::store::shelf::{Range, Swap};
use crate::store::verification::Request;

/// What comes under a key.
pub(super) trait Named {
    /// The key: a client may make it of anything, a phone number even.
    fn key(&self) -> &str;
    /// What is asked, as a fingerprint; none where an element has none.
    fn content(&self, key: &Fingerprinter) -> Option<Fingerprint>;
}

impl Named for Wanted {
    fn key(&self) -> &str {
        &self.key
    }

    fn content(&self, key: &Fingerprinter) -> Option<Fingerprint> {
        let asked = line(key, &self.elements)?;
        Some(match self.kind {
            Kind::Elements => key.text("asked by a client", &asked),
            // Of a picture there is the keyed hash and nothing else.
            Kind::Face
            | Kind::Liveness
            | Kind::IdCard
            | Kind::Business
            | Kind::Education
            | Kind::Railway => {
                let mut all = format!("{}\n{asked}", self.kind.as_str());
                if let Some(then) = &self.then {
                    all.push_str("then\n");
                    all.push_str(&line(key, then)?);
                }
                key.text("asked by a client, of a kind", &all)
            }
        })
    }
}

impl Named for Lines {
    fn key(&self) -> &str {
        &self.key
    }

    fn content(&self, key: &Fingerprinter) -> Option<Fingerprint> {
        let lines: Option<Vec<_>> = self.lines.iter().map(|elements| line(key, elements)).collect();
        Some(key.text("a client's batch", &lines?.concat()))
    }
}

pub(super) fn line(key: &Fingerprinter, elements: &Elements) -> Option<String> {
    let tuple = key.tuple(elements, elements.set())?;
    let account = elements.pan.as_ref().map_or("", |pan| pan.kind().as_str());
    Some(format!("{}\n{account}\n{tuple}\n", elements.set()))
}

fn named(key: &Fingerprinter, text: &str) -> Fingerprint {
    key.text("idempotency key", text)
}

impl Service {
    /// Has the client's key stand for `id`, with `beside` in the same commit; whether it does not stand for something yet.
    pub(super) async fn claim_key(
        &self,
        terms: &Terms,
        what: &impl Named,
        id: PaymentId,
        beside: Row,
    ) -> Result<bool, AskError> {
        let key = &self.keys.current;
        let content = what.content(key).ok_or(AskError::Set)?;
        let name = Request::key(&terms.name, &named(key, what.key()));
        let row = Request { id, content }.row(name).ok_or(StoreLost)?;
        Ok(self.store.swap(Swap { beside: vec![beside], ..Swap::claim(row) }).await?)
    }

    /// What the client's key stands for, under whichever of our keys.
    ///
    /// # Errors
    /// [`AskError`], where it stands for other content.
    pub(super) async fn named_before(
        &self,
        terms: &Terms,
        what: &(impl Named + Sync),
    ) -> Result<Option<PaymentId>, AskError> {
        let keys = std::iter::once(&self.keys.current).chain(self.keys.read_at(self.now()));
        for key in keys.collect::<Vec<_>>() {
            let name = Request::key(&terms.name, &named(key, what.key()));
            let rows = self.store.range(Range::one(&name)).await?;
            let Some(row) = rows.first() else { continue };
            let request = Request::read(row).map_err(|error| unread(&error))?;
            if what.content(key) != Some(request.content) {
                return Err(AskError::OtherContent);
            }
            return Ok(Some(request.id));
        }
        Ok(None)
    }
}
