//! Fingerprints: HMAC-SHA-256 over a canonical writing of a tuple of elements.
//!
//! A plain hash of a card or phone number can be undone by trying all of them, so the hash is keyed (PCI DSS 4.0,
//! requirement 3.5.1.1) and covers the whole tuple.

use crate::domain::element::{Element, ElementSet, Elements};
use crate::domain::id::{Fingerprint, KeyId, MerchantId};
use crate::domain::kind::Kind;
use crate::domain::pan::Pan;
use crate::domain::person::Mobile;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// The fewest bytes that a fingerprint key may have.
pub const KEY_BYTES_MIN: usize = 32;

/// The key is shorter than [`KEY_BYTES_MIN`].
#[derive(Debug, thiserror::Error)]
#[error("a fingerprint key needs at least {KEY_BYTES_MIN} bytes")]
pub struct ShortKey;

/// Makes fingerprints under one key.
#[derive(Clone)]
pub struct Fingerprinter {
    id: KeyId,
    keyed: Hmac<Sha256>,
}

impl fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprinter({})", self.id.0)
    }
}

impl Fingerprinter {
    /// A fingerprinter under `key`, whose fingerprints carry `id`.
    ///
    /// # Errors
    /// [`ShortKey`] below [`KEY_BYTES_MIN`] bytes.
    pub fn new(id: KeyId, key: &[u8]) -> Result<Self, ShortKey> {
        if key.len() < KEY_BYTES_MIN {
            return Err(ShortKey);
        }
        let keyed = Hmac::new_from_slice(key).map_err(|_| ShortKey)?;
        Ok(Self { id, keyed })
    }

    /// The fingerprint of the elements in `set`; `None` where one of them is absent, or must never be kept.
    ///
    /// The set is part of what is hashed, so that a tuple of three never equals a tuple of four.
    pub fn tuple(&self, elements: &Elements, set: ElementSet) -> Option<Fingerprint> {
        self.tuple_of(None, elements, set)
    }

    /// As [`Self::tuple`], for messages of `merchant` alone where one is given.
    pub fn tuple_of(
        &self,
        merchant: Option<&MerchantId>,
        elements: &Elements,
        set: ElementSet,
    ) -> Option<Fingerprint> {
        let mut parts = self.parts();
        parts.push(b"tuple");
        for element in set.iter() {
            let (qualifier, value) = match element {
                Element::Name => ("", elements.name.as_ref()?.expose()),
                Element::IdNumber => {
                    let id = elements.id_number.as_ref()?;
                    (id.kind().as_str(), id.expose())
                }
                Element::Pan => ("", elements.pan.as_ref()?.expose()),
                Element::Phone => ("", elements.phone.as_ref()?.expose()),
                Element::AccountLevel => ("", elements.account_level?.as_str()),
                Element::FaceImage => ("", elements.face_image.as_ref()?.expose()),
                Element::IdCardImage => ("", elements.id_card_image.as_ref()?.expose()),
                Element::BusinessName => ("", elements.business_name.as_ref()?.expose()),
                Element::CreditCode => ("", elements.credit_code.as_ref()?.expose()),
                Element::CertificateNumber => ("", elements.certificate_number.as_ref()?.expose()),
                // CVV2 and expiry are not even fingerprinted.
                Element::Cvv2 | Element::Expiry => return None,
            };
            for part in [element.as_str(), qualifier, value] {
                parts.add(part.as_bytes());
            }
        }
        if let Some(merchant) = merchant {
            parts.add(b"merchant");
            parts.add(merchant.0.as_bytes());
        }
        Some(self.finish(parts))
    }

    /// The fingerprint of a tuple as what `kind` is asked about: another kind's evidence is never found by it.
    pub fn asked(&self, kind: Kind, tuple: Fingerprint) -> Fingerprint {
        match kind {
            Kind::Elements => tuple,
            Kind::Face
            | Kind::Liveness
            | Kind::IdCard
            | Kind::Business
            | Kind::Education
            | Kind::Railway => {
                let mut parts = self.parts();
                for part in [b"kind".as_slice(), kind.as_str().as_bytes(), &tuple.digest] {
                    parts.add(part);
                }
                self.finish(parts)
            }
        }
    }

    /// The fingerprint of a single text under a domain of its own.
    pub fn text(&self, domain: &str, value: &str) -> Fingerprint {
        let mut parts = self.parts();
        parts.add(domain.as_bytes());
        parts.add(value.as_bytes());
        self.finish(parts)
    }

    /// By what is found what is kept of a person: their identity number, or the card where that is all there is.
    pub fn person(&self, elements: &Elements) -> Option<Fingerprint> {
        match (&elements.id_number, &elements.pan) {
            (Some(id), _) => Some(self.text(id.kind().as_str(), id.expose())),
            (None, Some(pan)) => Some(self.card(pan)),
            (None, None) => None,
        }
    }

    /// The fingerprint of a card, for `same card`.
    pub fn card(&self, pan: &Pan) -> Fingerprint {
        self.text("card", pan.expose())
    }

    /// The fingerprint of a phone number alone, for rules that count or look for it.
    pub fn phone(&self, phone: &Mobile) -> Fingerprint {
        self.text("phone", phone.expose())
    }

    /// The number of the key.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// A key that follows from ours and tells nothing of it, for what is kept beside the fingerprints.
    pub(super) fn wrapping(&self) -> [u8; 32] {
        self.text("wrapping", "").digest
    }

    /// What tells the key from others, and nothing of it.
    pub fn check(&self) -> Fingerprint {
        self.text("is same", "")
    }

    fn parts(&self) -> Parts {
        Parts { mac: self.keyed.clone(), gathered: [0; 256], end: 0 }
    }

    fn finish(&self, parts: Parts) -> Fingerprint {
        Fingerprint { key: self.id, digest: parts.finish() }
    }
}

/// What is hashed, in many short parts: they are gathered, so that the hash takes whole blocks at once.
struct Parts {
    mac: Hmac<Sha256>,
    gathered: [u8; 256],
    end: usize,
}

impl Parts {
    /// Goes on with a part and its length, so that no two sequences of parts write alike.
    fn add(&mut self, part: &[u8]) {
        self.push(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.push(part);
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.end.saturating_add(bytes.len());
        if let Some(room) = self.gathered.get_mut(self.end..end) {
            room.copy_from_slice(bytes);
            self.end = end;
        } else {
            self.hash_gathered();
            self.mac.update(bytes);
        }
    }

    fn hash_gathered(&mut self) {
        self.mac.update(self.gathered.get(..self.end).unwrap_or_default());
        self.end = 0;
    }

    fn finish(mut self) -> [u8; 32] {
        self.hash_gathered();
        self.mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::element::CardSecret;
    use crate::domain::identity::{IdNumber, IdType};
    use crate::domain::pan::AccountKind;
    use crate::domain::person::{Mobile, Name};

    fn elements() -> Elements {
        Elements {
            name: Name::parse("张三").ok(),
            id_number: IdNumber::parse("11010519491231002X", IdType::ResidentId).ok(),
            pan: Pan::parse("6200000000000005", AccountKind::Debit).ok(),
            phone: Mobile::parse("13800000000").ok(),
            cvv2: CardSecret::cvv2("123").ok(),
            ..Elements::default()
        }
    }

    fn key(byte: u8) -> Fingerprinter {
        Fingerprinter::new(KeyId(1), &[byte; 32]).unwrap()
    }

    const FOUR: [Element; 4] = [Element::Name, Element::IdNumber, Element::Pan, Element::Phone];

    #[test]
    fn a_tuple_has_one_fingerprint_per_key_and_set() {
        let four: ElementSet = FOUR.into_iter().collect();
        let three = four.difference(ElementSet::EMPTY.with(Element::Phone));
        let elements = elements();
        assert_eq!(key(1).tuple(&elements, four), key(1).tuple(&elements.clone(), four));
        assert_ne!(key(1).tuple(&elements, four), key(2).tuple(&elements, four));
        assert_ne!(key(1).tuple(&elements, four), key(1).tuple(&elements, three));
        let other = Elements { phone: Mobile::parse("13800000001").ok(), ..elements.clone() };
        assert_ne!(key(1).tuple(&elements, four), key(1).tuple(&other, four));
        assert_eq!(key(1).tuple(&elements, three), key(1).tuple(&other, three));
    }

    #[test]
    fn what_one_kind_is_asked_about_is_nothing_that_another_knows() {
        let (key, tuple) = (key(1), key(1).tuple(&elements(), FOUR.into_iter().collect()).unwrap());
        assert_eq!(key.asked(Kind::Elements, tuple), tuple);
        let all: std::collections::BTreeSet<_> =
            Kind::ALL.into_iter().map(|kind| key.asked(kind, tuple).digest).collect();
        assert_eq!(all.len(), Kind::ALL.len());
    }

    #[test]
    fn a_person_is_found_by_the_identity_number_or_else_by_the_card() {
        let (person, key) = (elements(), key(1));
        let no_id = Elements { id_number: None, ..person.clone() };
        let married = Elements { name: Name::parse("李四").ok(), pan: None, ..person.clone() };
        assert_eq!(key.person(&person), key.person(&married));
        assert_ne!(key.person(&person), key.person(&no_id));
        assert_eq!(key.person(&no_id), no_id.pan.as_ref().map(|pan| key.card(pan)));
        assert_eq!(key.person(&Elements { pan: None, ..no_id }), None);
    }

    #[test]
    fn card_secrets_have_no_fingerprint() {
        let set = ElementSet::EMPTY.with(Element::Pan).with(Element::Cvv2);
        assert_eq!(key(1).tuple(&elements(), set), None);
    }

    #[test]
    fn a_missing_element_has_no_fingerprint() {
        let nobody = Elements::default();
        assert_eq!(key(1).tuple(&nobody, ElementSet::EMPTY.with(Element::Pan)), None);
    }

    /// What is kept is found by it.
    #[test]
    fn what_is_hashed_is_its_parts_with_their_lengths_however_long_they_are() {
        let key = Fingerprinter::new(KeyId(1), &[7; 32]).unwrap();
        let hashed = |first: &[u8], parts: &[&str]| {
            let mut whole = first.to_vec();
            for part in parts {
                whole.extend(u64::try_from(part.len()).unwrap().to_be_bytes());
                whole.extend(part.bytes());
            }
            let mut mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
            mac.update(&whole);
            <[u8; 32]>::from(mac.finalize().into_bytes())
        };
        for length in [0, 1, 64, 233, 234, 235, 248, 255, 256, 257, 1_000] {
            let value = "x".repeat(length);
            assert_eq!(key.text("domain", &value).digest, hashed(b"", &["domain", &value]));
        }
        let set = ElementSet::EMPTY.with(Element::Pan).with(Element::Phone);
        let tuple = key.tuple_of(Some(&MerchantId("m".into())), &elements(), set).unwrap();
        let parts = ["pan", "", "6200000000000005", "phone", "", "13800000000", "merchant", "m"];
        assert_eq!(tuple.digest, hashed(b"tuple", &parts));
    }

    #[test]
    fn short_keys_are_refused() {
        assert!(Fingerprinter::new(KeyId(1), &[0; 31]).is_err());
    }
}
