//! Money in integer fen, read from text and never through a float.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount in fen (1/100 yuan).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Fen(u64);

/// How a channel writes an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Whole fen: `8888` is 88.88 yuan.
    Fen,
    /// Yuan with at most two decimals: `88.88`.
    Yuan,
    /// The same with its currency before it: `CNY88.88`.
    Cny,
}

/// The text is not an amount in the declared unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an amount in the declared unit")]
pub struct InvalidAmount;

impl Fen {
    /// `fen` as an amount.
    pub const fn new(fen: u64) -> Self {
        Self(fen)
    }

    /// The amount in fen.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Reads ASCII digits only: no sign, exponent, spaces, superfluous leading zero, or third decimal.
    ///
    /// # Errors
    /// [`InvalidAmount`] for everything that two readers could take differently.
    pub fn parse(text: &str, unit: Unit) -> Result<Self, InvalidAmount> {
        match unit {
            Unit::Fen => whole(text).map(Self),
            Unit::Cny => Self::parse(text.strip_prefix("CNY").ok_or(InvalidAmount)?, Unit::Yuan),
            Unit::Yuan => {
                let (yuan, cents) = text.split_once('.').unwrap_or((text, "0"));
                let fen = match (cents.len(), digits(cents)) {
                    (1, Some(tenths)) => tenths.checked_mul(10),
                    (2, Some(cents)) => Some(cents),
                    _ => None,
                };
                whole(yuan)?
                    .checked_mul(100)
                    .zip(fen)
                    .and_then(|(yuan, fen)| yuan.checked_add(fen))
                    .map(Self)
                    .ok_or(InvalidAmount)
            }
        }
    }
}

impl fmt::Display for Fen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

fn whole(text: &str) -> Result<u64, InvalidAmount> {
    if text.len() > 1 && text.starts_with('0') {
        return Err(InvalidAmount);
    }
    digits(text).ok_or(InvalidAmount)
}

fn digits(text: &str) -> Option<u64> {
    let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, unit: Unit, expected: Option<u64>) {
        assert_eq!(Fen::parse(text, unit).ok().map(Fen::get), expected, "`{text}`");
    }

    #[test]
    fn amounts_are_read_from_text() {
        check("8888", Unit::Fen, Some(8888));
        check("0", Unit::Fen, Some(0));
        check("88.88", Unit::Yuan, Some(8888));
        check("0.29", Unit::Yuan, Some(29));
        check("5", Unit::Yuan, Some(500));
        check("5.1", Unit::Yuan, Some(510));
        check("CNY88.88", Unit::Cny, Some(8888));
        check("88.88", Unit::Cny, None);
        check("USD88.88", Unit::Cny, None);
    }

    #[test]
    fn whatever_two_readers_could_take_differently_is_refused() {
        for text in ["", "-1", "+1", "1e3", "01", " 1", "1 ", "1,000", "１", "1.", "0x1", "NaN"] {
            check(text, Unit::Fen, None);
            check(text, Unit::Yuan, None);
        }
        check("1.234", Unit::Yuan, None);
        check(".5", Unit::Yuan, None);
        check("1.0", Unit::Fen, None);
        check("99999999999999999999", Unit::Fen, None);
        check("999999999999999999", Unit::Yuan, None);
    }

    proptest! {
        #[test]
        fn written_fen_reads_back(fen in 0_u64..1 << 50) {
            prop_assert_eq!(Fen::parse(&fen.to_string(), Unit::Fen), Ok(Fen::new(fen)));
            let yuan = format!("{}.{:02}", fen / 100, fen % 100);
            prop_assert_eq!(Fen::parse(&yuan, Unit::Yuan), Ok(Fen::new(fen)));
        }
    }
}
