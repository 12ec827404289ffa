//! Identity documents and their numbers.

use crate::domain::element::{InvalidElement, half_width};
use std::fmt;

/// Which document a number belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IdType {
    /// The resident identity card of mainland China (GB 11643).
    #[default]
    ResidentId,
    /// A passport of any state.
    Passport,
    /// The mainland travel permit of Hong Kong and Macao residents.
    HongKongMacaoPermit,
    /// The mainland travel permit of Taiwan residents.
    TaiwanPermit,
    /// The permanent residence card of foreigners.
    ForeignerPermit,
}

impl IdType {
    /// Every document.
    pub const ALL: [Self; 5] = [
        Self::ResidentId,
        Self::Passport,
        Self::HongKongMacaoPermit,
        Self::TaiwanPermit,
        Self::ForeignerPermit,
    ];

    /// The word used in configuration and headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ResidentId => "resident_id",
            Self::Passport => "passport",
            Self::HongKongMacaoPermit => "hong_kong_macao_permit",
            Self::TaiwanPermit => "taiwan_permit",
            Self::ForeignerPermit => "foreigner_permit",
        }
    }

    /// Reads the configuration word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The number of an identity document, normalised.
///
/// INVARIANT: a resident identity number has 18 characters with a valid date and check character.
#[derive(Clone, PartialEq, Eq)]
pub struct IdNumber {
    number: String,
    kind: IdType,
}

impl IdNumber {
    /// Parses a number as written; letters become upper case, and a resident number of 15 digits becomes its form of 18.
    ///
    /// # Errors
    /// [`InvalidElement::IdNumber`] where length, characters, date or check character (GB 11643, ISO 7064 mod 11-2) are wrong.
    pub fn parse(text: &str, kind: IdType) -> Result<Self, InvalidElement> {
        let number = canonical(text).ok_or(InvalidElement::IdNumber)?;
        let digits_after_letters = |letters: usize, length: std::ops::RangeInclusive<usize>| {
            let head = number.bytes().take(letters).all(|b| b.is_ascii_uppercase());
            let tail = number.bytes().skip(letters).all(|b| b.is_ascii_digit());
            length.contains(&number.len()) && head && tail
        };
        let valid = match kind {
            IdType::ResidentId => return resident(number).map(|number| Self { number, kind }),
            IdType::Passport => {
                (5..=17).contains(&number.len()) && number.bytes().any(|b| b.is_ascii_digit())
            }
            // The letter H or M and eight digits, or ten with the number of the issue.
            IdType::HongKongMacaoPermit => {
                number.starts_with(['H', 'M']) && digits_after_letters(1, 9..=11)
            }
            IdType::TaiwanPermit => digits_after_letters(0, 8..=10),
            // Three letters and twelve digits, or since 2023 eighteen digits as a resident number beginning with 9.
            IdType::ForeignerPermit => {
                digits_after_letters(3, 15..=15)
                    || (number.starts_with('9') && resident(number.clone()).is_ok())
            }
        };
        if valid { Ok(Self { number, kind }) } else { Err(InvalidElement::IdNumber) }
    }

    /// Which document it is.
    pub const fn kind(&self) -> IdType {
        self.kind
    }

    /// The whole number; every use is a place to review.
    pub fn expose(&self) -> &str {
        &self.number
    }
}

impl fmt::Debug for IdNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdNumber({})", self.kind.as_str())
    }
}

/// The number of a certificate of education.
///
/// INVARIANT: 6 to 32 ASCII letters, capital, and digits.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateNumber(String);

impl CertificateNumber {
    /// Parses a number as written; letters become upper case. Certificates of today have 18 digits, old ones fewer and letters.
    ///
    /// # Errors
    /// [`InvalidElement::CertificateNumber`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidElement> {
        let number = canonical(text).filter(|number| (6..=32).contains(&number.len()));
        number.map(Self).ok_or(InvalidElement::CertificateNumber)
    }

    /// The whole number; every use is a place to review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CertificateNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateNumber(…)")
    }
}

/// Digits and capital letters from a number as people write it (full-width, small, spaces around); `None` for other characters.
fn canonical(text: &str) -> Option<String> {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Some(text.to_ascii_uppercase());
    }
    let upper = |c: char| half_width(c).map(|c| c.to_ascii_uppercase());
    text.trim().chars().map(|c| upper(c).filter(char::is_ascii_alphanumeric)).collect()
}

/// A resident number in its form of 18 characters.
fn resident(number: String) -> Result<String, InvalidElement> {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let full = match (number.len(), number.split_at_checked(6), number.split_at_checked(17)) {
        // The old form leaves out the century (always 19) and the check character.
        (15, Some((region, rest)), _) if digits(&number) => {
            let body = format!("{region}19{rest}");
            let check = check_character(&body);
            format!("{body}{check}")
        }
        (18, _, Some((body, check)))
            if digits(body) && check.starts_with(check_character(body)) =>
        {
            number
        }
        _ => return Err(InvalidElement::IdNumber),
    };
    let date = full.get(6..14).ok_or(InvalidElement::IdNumber)?;
    let region_known = full.starts_with(|c: char| ('1'..='9').contains(&c));
    if region_known && is_birth_date(date) { Ok(full) } else { Err(InvalidElement::IdNumber) }
}

/// ISO 7064 mod 11-2 over the first seventeen digits, as GB 11643 prescribes.
fn check_character(body: &str) -> char {
    let remainder =
        body.bytes().fold(0_u32, |sum, byte| (sum + u32::from(byte.wrapping_sub(b'0'))) * 2 % 11);
    let check = (12 - remainder) % 11;
    char::from_digit(check, 10).unwrap_or('X')
}

/// Whether `yyyymmdd` is a day of the Gregorian calendar from 1850 on.
fn is_birth_date(date: &str) -> bool {
    let part =
        |range: std::ops::Range<usize>| date.get(range).and_then(|text| text.parse::<u32>().ok());
    let (Some(year), Some(month), Some(day)) = (part(0..4), part(4..6), part(6..8)) else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    (1850..2200).contains(&year) && (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, kind: IdType, expected: Option<&str>) {
        assert_eq!(
            IdNumber::parse(text, kind).ok().as_ref().map(IdNumber::expose),
            expected,
            "`{text}`"
        );
    }

    #[test]
    fn resident_numbers() {
        // The worked example of GB 11643-1999.
        check("11010519491231002X", IdType::ResidentId, Some("11010519491231002X"));
        check("11010519491231002x", IdType::ResidentId, Some("11010519491231002X"));
        check(
            "１１０１０５１９４９１２３１００２Ｘ",
            IdType::ResidentId,
            Some("11010519491231002X"),
        );
        check("110105491231002", IdType::ResidentId, Some("11010519491231002X"));
        check("440524188001010014", IdType::ResidentId, Some("440524188001010014"));
        check("110105194912310021", IdType::ResidentId, None);
        check("11010519490231002X", IdType::ResidentId, None);
        check("1101051949123100X", IdType::ResidentId, None);
        check("", IdType::ResidentId, None);
    }

    #[test]
    fn other_documents() {
        check("e12345678", IdType::Passport, Some("E12345678"));
        check("PASSPORT", IdType::Passport, None);
        check("H12345678", IdType::HongKongMacaoPermit, Some("H12345678"));
        check("M1234567801", IdType::HongKongMacaoPermit, Some("M1234567801"));
        check("A12345678", IdType::HongKongMacaoPermit, None);
        check("12345678", IdType::TaiwanPermit, Some("12345678"));
        check("1234567", IdType::TaiwanPermit, None);
        check("CHN110000000000", IdType::ForeignerPermit, Some("CHN110000000000"));
        check("CHN11000000000", IdType::ForeignerPermit, None);
    }

    #[test]
    fn certificates_have_a_number() {
        let check = |text: &str, expected: Option<&str>| {
            let parsed = CertificateNumber::parse(text).ok();
            assert_eq!(parsed.as_ref().map(CertificateNumber::expose), expected, "`{text}`");
        };
        check(" 100011202605000001 ", Some("100011202605000001"));
        check("ab１２34", Some("AB1234"));
        check("12345", None);
        check(&"1".repeat(33), None);
        check("1000-11202605", None);
        let number = CertificateNumber::parse("100011202605000001").unwrap();
        assert_eq!(format!("{number:?}"), "CertificateNumber(…)");
    }

    #[test]
    fn debug_shows_only_the_document() {
        let id = IdNumber::parse("11010519491231002X", IdType::ResidentId).unwrap();
        assert_eq!(format!("{id:?}"), "IdNumber(resident_id)");
    }

    proptest! {
        #[test]
        fn any_single_wrong_digit_is_found(at in 0_usize..17, to in 0_u8..10) {
            let mut bytes = b"11010519491231002X".to_vec();
            prop_assume!(bytes[at] != b'0' + to);
            bytes[at] = b'0' + to;
            let text = String::from_utf8(bytes).unwrap();
            prop_assert!(IdNumber::parse(&text, IdType::ResidentId).is_err());
        }
    }
}
