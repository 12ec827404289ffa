//! Card and account numbers.

use crate::domain::element::{InvalidElement, canonical_digits};
use std::fmt;

/// What kind of account a number names; it decides which checks apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AccountKind {
    /// A debit card.
    #[default]
    Debit,
    /// A credit card.
    Credit,
    /// A passbook; its number has no check digit.
    Passbook,
    /// A company's account; its number has no check digit.
    Corporate,
}

impl AccountKind {
    /// Every kind, in the order of their names in documents.
    pub const ALL: [Self; 4] = [Self::Debit, Self::Credit, Self::Passbook, Self::Corporate];

    /// The word used in configuration and headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debit => "debit",
            Self::Credit => "credit",
            Self::Passbook => "passbook",
            Self::Corporate => "corporate",
        }
    }

    /// Reads the configuration word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The level of a bank account (Yinfa 2016, 261): what it may be used for, and how its holder was identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountLevel {
    /// Class I: everything, opened at a counter.
    One,
    /// Class II.
    Two,
    /// Class III.
    Three,
}

impl AccountLevel {
    /// Every level.
    pub const ALL: [Self; 3] = [Self::One, Self::Two, Self::Three];

    /// The word used in configuration and headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Two => "2",
            Self::Three => "3",
        }
    }

    /// Reads the configuration word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }
}

/// A card or account number, canonical: ASCII digits without spaces or dashes.
///
/// INVARIANT: 8 to 32 ASCII digits; for cards 12 to 19 (ISO/IEC 7812-1) with a valid Luhn check digit.
#[derive(Clone, PartialEq, Eq)]
pub struct Pan {
    digits: String,
    kind: AccountKind,
}

impl Pan {
    /// Parses a number as written; full-width digits, spaces and dashes are normalised.
    ///
    /// # Errors
    /// [`InvalidElement`] where the length or, for a card, the Luhn digit (ISO/IEC 7812-1) is wrong.
    pub fn parse(text: &str, kind: AccountKind) -> Result<Self, InvalidElement> {
        let digits = canonical_digits(text).ok_or(InvalidElement::Pan)?;
        let valid = match kind {
            AccountKind::Debit | AccountKind::Credit => {
                (12..=19).contains(&digits.len()) && luhn(&digits)
            }
            AccountKind::Passbook | AccountKind::Corporate => (8..=32).contains(&digits.len()),
        };
        if valid { Ok(Self { digits, kind }) } else { Err(InvalidElement::Pan) }
    }

    /// What kind of account it is.
    pub const fn kind(&self) -> AccountKind {
        self.kind
    }

    /// The first six digits, which name the issuer.
    pub fn bin(&self) -> &str {
        self.digits.get(..6).unwrap_or_default()
    }

    /// The last four digits.
    pub fn last_four(&self) -> &str {
        self.digits.len().checked_sub(4).and_then(|at| self.digits.get(at..)).unwrap_or_default()
    }

    /// The whole number; every use is a place to review.
    pub fn expose(&self) -> &str {
        &self.digits
    }

    /// BIN and last four, as PCI DSS 3.4.1 allows to be shown.
    pub fn masked(&self) -> String {
        format!("{}******{}", self.bin(), self.last_four())
    }
}

impl fmt::Debug for Pan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pan({})", self.masked())
    }
}

/// Whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1 annex B).
fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, byte)| {
            let digit = u32::from(byte.wrapping_sub(b'0'));
            match (at % 2, digit * 2) {
                (0, _) => digit,
                (_, doubled) if doubled > 9 => doubled - 9,
                (_, doubled) => doubled,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, kind: AccountKind, expected: Option<&str>) {
        let parsed = Pan::parse(text, kind).ok();
        assert_eq!(parsed.as_ref().map(Pan::expose), expected, "`{text}`");
    }

    #[test]
    fn cards_carry_a_luhn_digit() {
        check("6200000000000005", AccountKind::Debit, Some("6200000000000005"));
        check("6200 0000 0000 0005", AccountKind::Debit, Some("6200000000000005"));
        check("6200-0000-0000-0005", AccountKind::Credit, Some("6200000000000005"));
        check("６２０００００００００００００５", AccountKind::Debit, Some("6200000000000005"));
        check("6200000000000006", AccountKind::Debit, None);
        check("620000000000", AccountKind::Debit, None);
        check("62000000000000000000", AccountKind::Debit, None);
        check("620000000000000x", AccountKind::Debit, None);
        check("", AccountKind::Debit, None);
    }

    #[test]
    fn passbooks_and_companies_have_no_check_digit() {
        check("62000006", AccountKind::Passbook, Some("62000006"));
        check("6200000000000006", AccountKind::Corporate, Some("6200000000000006"));
        check("6200000", AccountKind::Corporate, None);
    }

    #[test]
    fn debug_shows_bin_and_last_four() {
        let pan = Pan::parse("6200000000000005", AccountKind::Debit).unwrap();
        assert_eq!(format!("{pan:?}"), "Pan(620000******0005)");
    }

    proptest! {
        #[test]
        fn any_single_wrong_digit_is_found(at in 0_usize..16, to in 0_u8..10) {
            let mut bytes = b"6200000000000005".to_vec();
            prop_assume!(bytes[at] != b'0' + to);
            bytes[at] = b'0' + to;
            let text = String::from_utf8(bytes).unwrap();
            prop_assert!(Pan::parse(&text, AccountKind::Debit).is_err());
        }
    }
}
