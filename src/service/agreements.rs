//! Agreements that were bound before Hefu came: imported, with elements fingerprinted as they are read.

use crate::crypto::fingerprint::Fingerprinter;
use crate::domain::element::{Element, ElementSet, Elements};
use crate::domain::id::{AgreementId, Bank, ChannelName, Fingerprint, MerchantId};
use crate::domain::identity::{IdNumber, IdType};
use crate::domain::pan::{AccountKind, Pan};
use crate::domain::person::{Mobile, Name};
use crate::service::Service;
use crate::store::Agreement;
use crate::store::journal::StoreLost;

/// How many agreements are looked up at once, while payments wait.
const LOOKED_UP_TOGETHER: usize = 500;

/// One agreement as a file tells it.
#[derive(Clone, Default)]
pub struct Told {
    /// The agreement's id at the channel.
    pub agreement: String,
    /// The core's merchant.
    pub merchant: Option<String>,
    /// The holder's name.
    pub name: Option<String>,
    /// The resident identity number.
    pub id_number: Option<String>,
    /// The card number.
    pub pan: Option<String>,
    /// The mobile phone.
    pub phone: Option<String>,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told(…)")
    }
}

impl Told {
    fn id(&self) -> AgreementId {
        AgreementId(self.agreement.trim().into())
    }
}

/// Why a line is not imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// There is no agreement id.
    #[error("the agreement id is empty")]
    NoAgreement,
    /// An element is not valid.
    #[error(transparent)]
    Element(#[from] crate::domain::element::InvalidElement),
    /// Whether it closed since is not known.
    #[error(transparent)]
    Store(#[from] StoreLost),
}

impl Service {
    /// Imports agreements as good: they were verified when they were bound, outside Hefu. What closed since, at whichever
    /// process, or was verified at a bind that Hefu saw, stays as it is. Yields what became of each.
    pub async fn import(
        &self,
        channel: &ChannelName,
        told: &[Told],
    ) -> Vec<Result<(), ImportError>> {
        let mut imported = Vec::new();
        for told in told.chunks(LOOKED_UP_TOGETHER) {
            let ids: Vec<_> = told.iter().map(Told::id).collect();
            match self.store.kept_agreements(channel, &ids).await {
                Ok(known) => {
                    let told = told.iter().zip(known);
                    imported
                        .extend(told.map(|(told, known)| self.import_one(channel, told, known)));
                }
                Err(lost) => imported.extend(told.iter().map(|_| Err(lost.into()))),
            }
        }
        imported
    }

    /// Imports one agreement, of which `known` is kept.
    fn import_one(
        &self,
        channel: &ChannelName,
        told: &Told,
        known: Option<Agreement>,
    ) -> Result<(), ImportError> {
        let id = told.id();
        if id.0.is_empty() {
            return Err(ImportError::NoAgreement);
        }
        let given = |text: &Option<String>| {
            text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let elements = Elements {
            name: given(&told.name).map(|text| Name::parse(&text)).transpose()?,
            id_number: given(&told.id_number)
                .map(|text| IdNumber::parse(&text, IdType::ResidentId))
                .transpose()?,
            pan: given(&told.pan).map(|text| Pan::parse(&text, AccountKind::Debit)).transpose()?,
            phone: given(&told.phone).map(|text| Mobile::parse(&text)).transpose()?,
            ..Elements::default()
        };
        let set = elements.set();
        let whole = set.contains(Element::Pan) && set != ElementSet::EMPTY.with(Element::Pan);
        let merchant = given(&told.merchant).map(|text| MerchantId(text.into()));
        let scope = self.sharing.scope(merchant.as_ref());
        let now = self.now();
        let others = |of: &dyn Fn(&Fingerprinter) -> Option<Fingerprint>| {
            self.keys.read_at(now).filter_map(of).collect()
        };
        let agreement = Agreement {
            tuple: self
                .keys
                .current
                .tuple_of(scope, &elements, set)
                .filter(|_| whole)
                .map(|tuple| (tuple, set)),
            anyone: scope.and(self.keys.current.tuple(&elements, set)).filter(|_| whole),
            merchant: merchant.clone(),
            card: elements.pan.as_ref().map(|pan| self.keys.current.card(pan)),
            other_cards: others(&|key| elements.pan.as_ref().map(|pan| key.card(pan))),
            person: self.keys.current.person(&elements),
            other_persons: others(&|key| key.person(&elements)),
            bank: elements.pan.as_ref().map(|pan| Bank::new(pan.bin())),
            asserted: ElementSet::EMPTY,
            verified: None,
            good: true,
            closed: false,
            at: now,
        };
        if known.is_none_or(|known| !known.closed && known.verified.is_none()) {
            self.store.put_agreement(channel, id, agreement, false);
        }
        Ok(())
    }
}
