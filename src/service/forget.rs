//! Forgetting a person: what was learned of them goes. Their payments stay, without an element.

use crate::crypto::fingerprint::Fingerprinter;
use crate::domain::element::{Elements, InvalidElement};
use crate::domain::id::Fingerprint;
use crate::domain::identity::{IdNumber, IdType};
use crate::domain::pan::{AccountKind, Pan};
use crate::service::Service;
use crate::service::audit::has_long_number;
use crate::store::journal::StoreLost;
use crate::store::person::Forgotten;

/// The most cards of one person.
pub const CARDS_MAX: usize = 100;

/// The most characters of a reference.
pub const REFERENCE_MAX: usize = 64;

/// A person as they are told, and on whose request they are forgotten.
#[derive(Clone, Default)]
pub struct Told {
    /// The number of an identity document.
    pub id_number: Option<String>,
    /// Which document; the resident identity card where absent.
    pub id_type: Option<String>,
    /// Their cards: what was verified, bound or held without an identity number is found by the card.
    pub pans: Vec<String>,
    /// What the request is filed under; it goes into the log and the audit.
    pub reference: String,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told(…)")
    }
}

/// Why nobody is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForgetError {
    /// Nobody is told.
    #[error("tell an `id_number`, a `pan`, or both")]
    Nobody,
    /// The document is not known.
    #[error(
        "`id_type` is one of resident_id, passport, hong_kong_macao_permit, taiwan_permit, foreigner_permit"
    )]
    Document,
    /// There are too many cards.
    #[error("at most {CARDS_MAX} cards at once")]
    Cards,
    /// The reference cannot be logged.
    #[error(
        "a reference is a file number of at most {REFERENCE_MAX} letters, digits and `-_./#:`, no name and no 11 digits in a row: it is logged"
    )]
    Reference,
    /// An element is not valid.
    #[error(transparent)]
    Element(#[from] InvalidElement),
    /// It may not have been done.
    #[error("{0}: some may be kept still, try again")]
    Store(#[from] StoreLost),
}

impl Service {
    /// Forgets a person, durably. The log tells how much, and nothing of whom.
    ///
    /// # Errors
    /// [`ForgetError`].
    pub async fn forget(&self, told: &Told) -> Result<Forgotten, ForgetError> {
        let reference = told.reference.trim();
        if !may_be_logged(reference) {
            return Err(ForgetError::Reference);
        }
        let people = self.people(told)?;
        let forgotten = self.store.forget(&people, self.now()).await;
        match &forgotten {
            Ok(forgotten) => {
                let Forgotten { evidence, agreements, waiting_binds, holds } = *forgotten;
                tracing::info!(
                    reference,
                    evidence,
                    agreements,
                    waiting_binds,
                    holds,
                    "a person was forgotten"
                );
            }
            Err(error) => tracing::error!(reference, %error, "a person could not be forgotten"),
        }
        Ok(forgotten?)
    }

    /// Everything under which something of them may be kept.
    fn people(&self, told: &Told) -> Result<Vec<Fingerprint>, ForgetError> {
        if told.pans.len() > CARDS_MAX {
            return Err(ForgetError::Cards);
        }
        let kind = told.id_type.as_deref().map_or(Some(IdType::default()), IdType::from_word);
        let kind = kind.ok_or(ForgetError::Document)?;
        let id = told.id_number.as_deref().map(|number| IdNumber::parse(number, kind));
        let mut handles = Vec::new();
        if let Some(id) = id.transpose()? {
            handles.push(Elements { id_number: Some(id), ..Elements::default() });
        }
        for pan in &told.pans {
            let pan = Pan::parse(pan, AccountKind::Debit)?;
            handles.push(Elements { pan: Some(pan), ..Elements::default() });
        }
        let of =
            |key: &Fingerprinter| handles.iter().filter_map(|handle| key.person(handle)).collect();
        let people: Vec<_> = self.keys.all().flat_map(|key| -> Vec<_> { of(key) }).collect();
        if people.is_empty() { Err(ForgetError::Nobody) } else { Ok(people) }
    }
}

/// Whether a reference names nobody.
fn may_be_logged(reference: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./#:".contains(c);
    (1..=REFERENCE_MAX).contains(&reference.len())
        && reference.chars().all(plain)
        && !has_long_number(reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_nobody() {
        for good in ["T-1", "privacy#2026-11-23/17", "20261123:4", &"a".repeat(64)] {
            assert!(may_be_logged(good), "`{good}`");
        }
        for bad in
            ["", "张三", "Zhang San", "13800000000", "id-11010519491231002X", &"a".repeat(65)]
        {
            assert!(!may_be_logged(bad), "`{bad}`");
        }
    }
}
