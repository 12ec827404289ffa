//! One key, one request: what comes again is told what it came to, and nothing is asked twice.

use super::batches::Lines;
use super::{AskError, Terms, Wanted, unread};
use crate::crypto::fingerprint::Fingerprinter;
use crate::domain::clock::Timestamp;
use crate::domain::element::Elements;
use crate::domain::id::{Fingerprint, PaymentId};
use crate::domain::kind::Kind;
use crate::service::Service;
use crate::store::journal::StoreLost;
use crate::store::row::Row;
use crate::store::shelf::{Range, Swap};
use crate::store::verification::Request;
use std::sync::Arc;
use std::time::Duration;

/// For how long is tried to give back a key that may have been taken.
const GIVEN_BACK_WITHIN: Duration = Duration::from_mins(10);

/// What may have been kept of a request that nobody asks.
struct Undone {
    /// What its key stands for.
    claim: Row,
    /// What it led to.
    beside: Row,
}

/// What comes under a key.
pub(super) trait Named {
    /// The key: a client may make it of anything, a phone number even.
    fn key(&self) -> &str;
    /// What is asked, as a fingerprint; none where an element has none.
    fn content(&self, key: &Fingerprinter) -> Option<Fingerprint>;
    /// How many verifications that are.
    fn count(&self) -> u64;
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

    fn count(&self) -> u64 {
        if self.then.is_some() { 2 } else { 1 }
    }
}

impl Named for Lines {
    fn key(&self) -> &str {
        &self.key
    }

    fn content(&self, key: &Fingerprinter) -> Option<Fingerprint> {
        let lines: Option<Vec<_>> = self.lines.iter().map(|elements| line(key, elements)).collect();
        let lines = lines?.concat();
        if self.kind == Kind::Elements {
            return Some(key.text("a client's batch", &lines));
        }
        Some(key.text("a client's batch, of a kind", &format!("{}\n{lines}", self.kind.as_str())))
    }

    fn count(&self) -> u64 {
        u64::try_from(self.lines.len()).unwrap_or(u64::MAX)
    }
}

pub(super) fn line(key: &Fingerprinter, elements: &Elements) -> Option<String> {
    let tuple = key.tuple(elements, elements.set())?;
    let account = elements.pan.as_ref().map_or("", |pan| pan.kind().as_str());
    Some(format!("{}\n{account}\n{tuple}\n", elements.set()))
}

/// Whether rows differ in nothing but whether the client waits.
fn is_same(row: &Row, other: &Row) -> bool {
    let [row, other] = [row, other].map(|row| {
        let mut value: serde_json::Value = serde_json::from_str(&row.value).ok()?;
        value.as_object_mut()?.remove("later");
        Some(value)
    });
    row == other
}

fn named(key: &Fingerprinter, text: &str) -> Fingerprint {
    key.text("idempotency key", text)
}

impl Service {
    /// Has the client's key stand for `id`, with `beside` in the same commit; whether it does not stand for something yet. What was
    /// counted for it is given back where it does; where nobody knows, the key is too, since nobody asks under it.
    pub(super) async fn claim_key(
        self: &Arc<Self>,
        terms: &Arc<Terms>,
        what: &impl Named,
        id: PaymentId,
        beside: Row,
    ) -> Result<bool, AskError> {
        let key = &self.keys.current;
        let content = what.content(key).ok_or(AskError::Set)?;
        let name = Request::key(&terms.name, &named(key, what.key()));
        let row = Request { id, content }.row(name).ok_or(StoreLost)?;
        let undone = Undone { claim: row.clone(), beside: beside.clone() };
        let (counted, claim) =
            ((what.count(), id.at()), Swap { beside: vec![beside], ..Swap::claim(row) });
        match self.store.swap(claim).await {
            Ok(true) => Ok(true),
            Ok(false) => {
                self.uncount_for(terms, counted).await;
                Ok(false)
            }
            Err(StoreLost) => {
                let (service, terms) = (self.clone(), terms.clone());
                tokio::spawn(async move { service.give_back(&terms, undone, counted).await });
                Err(StoreLost.into())
            }
        }
    }

    /// Has a key that may have been taken stand for nothing, as soon as the store is there again.
    async fn give_back(&self, terms: &Terms, undone: Undone, counted: (u64, Timestamp)) {
        let Undone { claim, beside } = undone;
        let until = self.now().plus(GIVEN_BACK_WITHIN);
        let gone = |Row { key, value, .. }: Row| {
            let swap = Swap { key, was: Some(value), new: None, beside: Vec::new() };
            self.swap_until(swap, until)
        };
        let is_gone = match gone(beside.clone()).await {
            Ok(false) => match self.store.range(Range::one(&beside.key)).await {
                Ok(rows) => match rows.into_iter().next() {
                    // Who came again meanwhile does not wait, and nobody asks all the same.
                    Some(row) if is_same(&row, &beside) => gone(row).await,
                    Some(_) => Ok(false),
                    None => Ok(true),
                },
                Err(StoreLost) => Err(StoreLost),
            },
            made => made,
        };
        // Another process went on with it: then it is asked, and stays as it is.
        if is_gone == Ok(false) {
            return;
        }
        // It stands for nothing, or for what another asks: this one is asked by nobody.
        if is_gone.is_ok() && gone(claim).await.is_ok() {
            self.uncount_for(terms, counted).await;
        } else {
            tracing::warn!(client = %terms.name, "a client's `Idempotency-Key` may stand for what nobody asks");
        }
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
