//! Elements: which facts about a person or card there are, sets of them, and the parsed tuple.

use crate::domain::business::CreditCode;
use crate::domain::identity::{CertificateNumber, IdNumber};
use crate::domain::image::Image;
use crate::domain::pan::{AccountLevel, Pan};
use crate::domain::person::{Mobile, Name};
use crate::domain::text::Short;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// A kind of element. The order is the order in documents and headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// The holder's name.
    Name,
    /// The number of an identity document.
    IdNumber,
    /// The card or account number.
    Pan,
    /// The mobile phone number reserved at the bank or registered at the operator.
    Phone,
    /// The card verification value: never kept, never fingerprinted.
    Cvv2,
    /// The card's expiry: never kept, never fingerprinted.
    Expiry,
    /// The level of the bank account (class I, II or III).
    AccountLevel,
    /// A picture of the face.
    FaceImage,
    /// A picture of the side of an identity card that has the name.
    IdCardImage,
    /// The registered name of a business.
    BusinessName,
    /// The unified social credit code of a business.
    CreditCode,
    /// The number of a certificate of education.
    CertificateNumber,
}

impl Element {
    /// Every element.
    pub const ALL: [Self; 12] = [
        Self::Name,
        Self::IdNumber,
        Self::Pan,
        Self::Phone,
        Self::Cvv2,
        Self::Expiry,
        Self::AccountLevel,
        Self::FaceImage,
        Self::IdCardImage,
        Self::BusinessName,
        Self::CreditCode,
        Self::CertificateNumber,
    ];

    /// The word used in configuration, headers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::IdNumber => "id_number",
            Self::Pan => "pan",
            Self::Phone => "phone",
            Self::Cvv2 => "cvv2",
            Self::Expiry => "expiry",
            Self::AccountLevel => "account_level",
            Self::FaceImage => "face_image",
            Self::IdCardImage => "id_card_image",
            Self::BusinessName => "business_name",
            Self::CreditCode => "credit_code",
            Self::CertificateNumber => "certificate_number",
        }
    }

    /// Reads the configuration word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|element| element.as_str() == word)
    }

    const fn bit(self) -> u16 {
        match self {
            Self::Name => 1,
            Self::IdNumber => 1 << 1,
            Self::Pan => 1 << 2,
            Self::Phone => 1 << 3,
            Self::Cvv2 => 1 << 4,
            Self::Expiry => 1 << 5,
            Self::AccountLevel => 1 << 6,
            Self::FaceImage => 1 << 7,
            Self::BusinessName => 1 << 8,
            Self::CreditCode => 1 << 9,
            Self::IdCardImage => 1 << 10,
            Self::CertificateNumber => 1 << 11,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long the words of all elements are, with a space between each two, in bytes.
const WORDS: usize = 120;

/// A set of named elements; "four elements" is `{name, id_number, pan, phone}`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ElementSet(u16);

impl ElementSet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// What is never kept and never fingerprinted.
    pub const SECRET: Self = Self::EMPTY.with(Element::Cvv2).with(Element::Expiry);

    /// What says who a person is, and which card and phone is theirs.
    pub const OF_PERSON: Self = Self::EMPTY
        .with(Element::Name)
        .with(Element::IdNumber)
        .with(Element::Pan)
        .with(Element::Phone)
        .with(Element::AccountLevel);

    /// Pictures.
    pub const PICTURES: Self = Self::EMPTY.with(Element::FaceImage).with(Element::IdCardImage);

    /// This set and `element`.
    #[must_use]
    pub const fn with(self, element: Element) -> Self {
        Self(self.0 | element.bit())
    }

    /// Whether `element` is in the set.
    pub const fn contains(self, element: Element) -> bool {
        self.0 & element.bit() != 0
    }

    /// Whether every element of `other` is in this set.
    pub const fn is_superset(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether an element is in both sets.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The elements in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The elements in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The elements of this set that are not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its words, in one piece: every record has several sets.
    fn written(self) -> Short<WORDS> {
        let mut words = Short::new();
        for (at, element) in self.iter().enumerate() {
            words.push(if at > 0 { b" " } else { b"" });
            words.push(element.as_str().as_bytes());
        }
        words
    }

    /// The elements, in the order of documents.
    pub fn iter(self) -> impl Iterator<Item = Element> {
        Element::ALL.into_iter().filter(move |element| self.contains(*element))
    }
}

impl FromIterator<Element> for ElementSet {
    fn from_iter<I: IntoIterator<Item = Element>>(elements: I) -> Self {
        elements.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Display for ElementSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.written().as_str())
    }
}

impl Serialize for ElementSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.written().as_str())
    }
}

/// A word that is no element.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no element")]
pub struct InvalidSet(String);

impl TryFrom<String> for ElementSet {
    type Error = InvalidSet;

    /// Reads the words of a set, separated by spaces.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let word = |word: &str| Element::from_word(word).ok_or_else(|| InvalidSet(word.to_owned()));
        text.split_ascii_whitespace().map(word).collect()
    }
}

impl fmt::Debug for ElementSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

/// A value is not what its element must be. The value itself is never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidElement {
    /// Wrong length, characters or Luhn digit.
    #[error("not a card or account number")]
    Pan,
    /// Wrong length, characters, date or check digit for its document.
    #[error("not a number of the stated identity document")]
    IdNumber,
    /// Not a mobile number of mainland China.
    #[error("not a mobile number")]
    Phone,
    /// Empty, too long, or with characters that no name has.
    #[error("not a name")]
    Name,
    /// Not three or four digits.
    #[error("not a card verification value")]
    Cvv2,
    /// Not four digits.
    #[error("not a card expiry")]
    Expiry,
    /// Not the base64 of a JPEG or a PNG.
    #[error("not the base64 of a JPEG or a PNG")]
    FaceImage,
    /// Neither is this.
    #[error("not the base64 of a JPEG or a PNG")]
    IdCardImage,
    /// Not the name of a business.
    #[error("not the name of a business")]
    BusinessName,
    /// Wrong length, characters or check character.
    #[error("not a unified social credit code")]
    CreditCode,
    /// Empty, too long, or with characters that no certificate's number has.
    #[error("not the number of a certificate")]
    CertificateNumber,
}

impl InvalidElement {
    /// Which element is invalid.
    pub const fn element(self) -> Element {
        match self {
            Self::Pan => Element::Pan,
            Self::IdNumber => Element::IdNumber,
            Self::Phone => Element::Phone,
            Self::Name => Element::Name,
            Self::Cvv2 => Element::Cvv2,
            Self::Expiry => Element::Expiry,
            Self::FaceImage => Element::FaceImage,
            Self::IdCardImage => Element::IdCardImage,
            Self::BusinessName => Element::BusinessName,
            Self::CreditCode => Element::CreditCode,
            Self::CertificateNumber => Element::CertificateNumber,
        }
    }
}

/// A short secret that belongs to a card: its verification value or its expiry.
#[derive(Clone, PartialEq, Eq)]
pub struct CardSecret(String);

impl CardSecret {
    /// A card verification value: three or four digits.
    ///
    /// # Errors
    /// [`InvalidElement::Cvv2`] for anything else.
    pub fn cvv2(text: &str) -> Result<Self, InvalidElement> {
        Self::digits(text, 3..=4).ok_or(InvalidElement::Cvv2)
    }

    /// A card expiry, four digits in the channel's own order (YYMM or MMYY).
    ///
    /// # Errors
    /// [`InvalidElement::Expiry`] for anything else.
    pub fn expiry(text: &str) -> Result<Self, InvalidElement> {
        Self::digits(text, 4..=4).ok_or(InvalidElement::Expiry)
    }

    /// The digits; every use is a place to review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn digits(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<Self> {
        let valid = length.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        valid.then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for CardSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardSecret(…)")
    }
}

/// The parsed elements of one payment or inquiry; what a message does not carry is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elements {
    /// The holder's name.
    pub name: Option<Name>,
    /// The identity document.
    pub id_number: Option<IdNumber>,
    /// The card or account.
    pub pan: Option<Pan>,
    /// The mobile phone.
    pub phone: Option<Mobile>,
    /// The card verification value.
    pub cvv2: Option<CardSecret>,
    /// The card expiry.
    pub expiry: Option<CardSecret>,
    /// The level that the account is said to have.
    pub account_level: Option<AccountLevel>,
    /// A picture of the face.
    pub face_image: Option<Image>,
    /// A picture of an identity card.
    pub id_card_image: Option<Image>,
    /// The registered name of a business.
    pub business_name: Option<Name>,
    /// Its code.
    pub credit_code: Option<CreditCode>,
    /// The number of a certificate of education.
    pub certificate_number: Option<CertificateNumber>,
}

impl Elements {
    /// Which elements are present.
    pub fn set(&self) -> ElementSet {
        [
            (self.name.is_some(), Element::Name),
            (self.id_number.is_some(), Element::IdNumber),
            (self.pan.is_some(), Element::Pan),
            (self.phone.is_some(), Element::Phone),
            (self.cvv2.is_some(), Element::Cvv2),
            (self.expiry.is_some(), Element::Expiry),
            (self.account_level.is_some(), Element::AccountLevel),
            (self.face_image.is_some(), Element::FaceImage),
            (self.id_card_image.is_some(), Element::IdCardImage),
            (self.business_name.is_some(), Element::BusinessName),
            (self.credit_code.is_some(), Element::CreditCode),
            (self.certificate_number.is_some(), Element::CertificateNumber),
        ]
        .into_iter()
        .filter_map(|(present, element)| present.then_some(element))
        .collect()
    }

    /// The same elements, reduced to those in `set`.
    #[must_use]
    pub fn restricted(&self, set: ElementSet) -> Self {
        Self {
            name: self.name.clone().filter(|_| set.contains(Element::Name)),
            id_number: self.id_number.clone().filter(|_| set.contains(Element::IdNumber)),
            pan: self.pan.clone().filter(|_| set.contains(Element::Pan)),
            phone: self.phone.clone().filter(|_| set.contains(Element::Phone)),
            cvv2: self.cvv2.clone().filter(|_| set.contains(Element::Cvv2)),
            expiry: self.expiry.clone().filter(|_| set.contains(Element::Expiry)),
            account_level: self.account_level.filter(|_| set.contains(Element::AccountLevel)),
            face_image: self.face_image.clone().filter(|_| set.contains(Element::FaceImage)),
            id_card_image: self
                .id_card_image
                .clone()
                .filter(|_| set.contains(Element::IdCardImage)),
            business_name: self
                .business_name
                .clone()
                .filter(|_| set.contains(Element::BusinessName)),
            credit_code: self.credit_code.clone().filter(|_| set.contains(Element::CreditCode)),
            certificate_number: self
                .certificate_number
                .clone()
                .filter(|_| set.contains(Element::CertificateNumber)),
        }
    }
}

/// ASCII digits from digits as people and forms write them (full-width, spaces, dashes); `None` for other characters.
pub(crate) fn canonical_digits(text: &str) -> Option<String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.to_owned());
    }
    text.chars()
        .filter(|c| !matches!(c, ' ' | '-' | '\u{3000}'))
        .map(|c| half_width(c).filter(char::is_ascii_digit))
        .collect()
}

/// The ASCII form of a full-width character (U+FF01 to U+FF5E); others as they are.
pub(crate) fn half_width(c: char) -> Option<char> {
    match u32::from(c) {
        code @ 0xFF01..=0xFF5E => char::from_u32(code - 0xFF01 + 0x21),
        _ => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_print_in_document_order() {
        let set: ElementSet = [Element::Phone, Element::Pan, Element::Name].into_iter().collect();
        assert_eq!(set.to_string(), "name pan phone");
        assert!(set.is_superset(ElementSet::EMPTY.with(Element::Pan)));
        assert!(!set.contains(Element::IdNumber));
    }

    #[test]
    fn every_word_reads_back() {
        for element in Element::ALL {
            assert_eq!(Element::from_word(element.as_str()), Some(element));
        }
    }

    #[test]
    fn every_set_is_the_words_of_its_elements() {
        for bits in 0..1 << Element::ALL.len() {
            let set = ElementSet(bits);
            let words: Vec<_> = set.iter().map(Element::as_str).collect();
            assert_eq!(set.to_string(), words.join(" "));
            assert_eq!(ElementSet::try_from(set.to_string()), Ok(set));
        }
    }

    #[test]
    fn secrets_never_show() {
        let elements = Elements {
            cvv2: CardSecret::cvv2("739").ok(),
            expiry: CardSecret::expiry("2911").ok(),
            ..Elements::default()
        };
        let shown = format!("{elements:?}");
        assert!(!shown.contains("739") && !shown.contains("2911"), "{shown}");
    }
}
