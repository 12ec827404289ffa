//! Businesses: their unified social credit code (GB 32100-2015).

use crate::domain::element::{InvalidElement, half_width};
use std::fmt;

/// The characters of a code, each with its value by place: digits and capital letters without I, O, S, V and Z.
const ALPHABET: &str = "0123456789ABCDEFGHJKLMNPQRTUWXY";
/// One less than how many characters there are before the check character; its weights are the powers of 3.
const WEIGHTED: usize = 17;

/// The unified social credit code of a business or another organisation.
///
/// INVARIANT: 18 characters of `ALPHABET`, of which the last is the check character of those before it.
#[derive(Clone, PartialEq, Eq)]
pub struct CreditCode(String);

impl CreditCode {
    /// Parses a code as written; full-width forms become half-width, small letters capital ones.
    ///
    /// # Errors
    /// [`InvalidElement::CreditCode`] where length, characters or check character (GB 32100-2015) are wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidElement> {
        let code: Option<String> =
            text.trim().chars().map(|c| half_width(c).map(|c| c.to_ascii_uppercase())).collect();
        let code = code.ok_or(InvalidElement::CreditCode)?;
        let (body, check) = code.split_at_checked(WEIGHTED).ok_or(InvalidElement::CreditCode)?;
        let right = code.len() == WEIGHTED + 1
            && check_character(body).is_some_and(|right| check.starts_with(right));
        if right { Ok(Self(code)) } else { Err(InvalidElement::CreditCode) }
    }

    /// The whole code; every use is a place to review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CreditCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CreditCode(…)")
    }
}

/// 31 less the sum of the values by their weights, modulo 31; none where a character is not one of a code.
fn check_character(body: &str) -> Option<char> {
    let (mut sum, mut weight) = (0_usize, 1_usize);
    for c in body.chars() {
        sum = (sum + ALPHABET.find(c)? * weight) % 31;
        weight = weight * 3 % 31;
    }
    ALPHABET.chars().nth((31 - sum) % 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The worked example of GB 32100-2015.
    const EXAMPLE: &str = "91350100M000100Y43";

    fn check(text: &str, expected: Option<&str>) {
        let parsed = CreditCode::parse(text).ok();
        assert_eq!(parsed.as_ref().map(CreditCode::expose), expected, "`{text}`");
    }

    #[test]
    fn a_code_has_its_check_character() {
        check(EXAMPLE, Some(EXAMPLE));
        check(" 91350100m000100y43 ", Some(EXAMPLE));
        check("９１３５０１００Ｍ０００１００Ｙ４３", Some(EXAMPLE));
        for wrong in [
            "",
            "91350100M000100Y44",
            "91350100M000100Y4",
            "91350100M000100Y433",
            "91350100I000100Y43",
            "91350100M000100Y4张",
            "913501 00M000100Y43",
        ] {
            check(wrong, None);
        }
        assert_eq!(format!("{:?}", CreditCode::parse(EXAMPLE).unwrap()), "CreditCode(…)");
    }

    proptest! {
        #[test]
        fn any_single_wrong_character_is_found(at in 0_usize..18, to in 0_usize..31) {
            let mut code: Vec<char> = EXAMPLE.chars().collect();
            let to = ALPHABET.chars().nth(to).unwrap();
            prop_assume!(code[at] != to);
            code[at] = to;
            prop_assert!(CreditCode::parse(&code.into_iter().collect::<String>()).is_err());
        }
    }
}
