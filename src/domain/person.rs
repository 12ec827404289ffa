//! Names and mobile phones.

use crate::domain::element::{InvalidElement, canonical_digits, half_width};
use std::fmt;

/// The longest name that is accepted, in characters; GB 11643 cards print at most 40.
const NAME_CHARS_MAX: usize = 64;

/// A person's or business's name, normalised for comparison.
///
/// INVARIANT: not empty; no control, format or zero-width characters; one kind of middle dot (U+00B7); Latin in upper case.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Parses a name as written: full-width forms become half-width, the dots that forms use for `·` become one,
    /// spaces beside a dot or an ideograph go, Latin letters become upper case.
    ///
    /// # Errors
    /// [`InvalidElement::Name`] where it is empty, too long, or holds control, zero-width or replacement characters.
    pub fn parse(text: &str) -> Result<Self, InvalidElement> {
        let mut name = String::with_capacity(text.len());
        let mut gap = false;
        for c in text.trim().chars() {
            let c = half_width(c).map(one_dot).ok_or(InvalidElement::Name)?;
            if c == ' ' || c == '\u{3000}' {
                gap = true;
                continue;
            }
            if !is_name_char(c) {
                return Err(InvalidElement::Name);
            }
            // A space means something only between two Latin words.
            if gap && c.is_ascii() && name.ends_with(|last: char| last.is_ascii()) {
                name.push(' ');
            }
            gap = false;
            name.extend(c.to_uppercase());
        }
        let chars = name.chars().count();
        if chars == 0 || chars > NAME_CHARS_MAX {
            return Err(InvalidElement::Name);
        }
        Ok(Self(name))
    }

    /// The normalised name; every use is a place to review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({} chars)", self.0.chars().count())
    }
}

fn one_dot(c: char) -> char {
    match c {
        '\u{2022}' | '\u{2027}' | '\u{30FB}' | '\u{FF65}' | '\u{2E31}' | '\u{22C5}' | '.' => {
            '\u{B7}'
        }
        other => other,
    }
}

/// Letters of any script (private-use ones stand for rare characters in GBK systems), and the marks within names.
fn is_name_char(c: char) -> bool {
    let private_use = matches!(u32::from(c), 0xE000..=0xF8FF);
    c.is_alphanumeric()
        || private_use
        || matches!(c, '\u{B7}' | '-' | '\'' | '(' | ')' | '&' | ',' | '/')
}

/// A mobile number of mainland China: eleven digits from 13 to 19, without country code.
#[derive(Clone, PartialEq, Eq)]
pub struct Mobile(String);

impl Mobile {
    /// Parses a number as written; `+86`, `86` and `0086` before eleven digits are taken off.
    ///
    /// # Errors
    /// [`InvalidElement::Phone`] for anything but a mobile number of mainland China.
    pub fn parse(text: &str) -> Result<Self, InvalidElement> {
        let digits = canonical_digits(text.strip_prefix('+').unwrap_or(text))
            .ok_or(InvalidElement::Phone)?;
        let national = match digits.len() {
            15 => digits.strip_prefix("0086").map(str::to_owned),
            13 => digits.strip_prefix("86").map(str::to_owned),
            _ => Some(digits),
        };
        let valid = |number: &String| {
            number.len() == 11
                && number.starts_with('1')
                && !matches!(number.as_bytes().get(1), Some(b'0'..=b'2'))
        };
        national.filter(valid).map(Self).ok_or(InvalidElement::Phone)
    }

    /// The eleven digits; every use is a place to review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Mobile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mobile(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_name(text: &str, expected: Option<&str>) {
        assert_eq!(Name::parse(text).ok().as_ref().map(Name::expose), expected, "`{text}`");
    }

    #[test]
    fn names_compare_alike_however_they_are_written() {
        check_name("张三", Some("张三"));
        check_name(" 张 三 ", Some("张三"));
        check_name("阿依古丽•买买提", Some("阿依古丽·买买提"));
        check_name("阿依古丽.买买提", Some("阿依古丽·买买提"));
        check_name("阿依古丽 · 买买提", Some("阿依古丽·买买提"));
        check_name("Li  Lei", Some("LI LEI"));
        check_name("ＬＩ　ＬＥＩ", Some("LI LEI"));
        check_name("㼆𠮷", Some("㼆𠮷"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "  ", "张\u{200B}三", "张\u{FFFD}", "张\n三", "张?三", "<b>"] {
            check_name(text, None);
        }
        check_name(&"张".repeat(65), None);
    }

    fn check_mobile(text: &str, expected: Option<&str>) {
        assert_eq!(Mobile::parse(text).ok().as_ref().map(Mobile::expose), expected, "`{text}`");
    }

    #[test]
    fn mobiles_are_eleven_digits() {
        check_mobile("13800000000", Some("13800000000"));
        check_mobile("+86 138-0000-0000", Some("13800000000"));
        check_mobile("008613800000000", Some("13800000000"));
        check_mobile("12800000000", None);
        check_mobile("1380000000", None);
        check_mobile("02112345678", None);
        check_mobile("8613800000000x", None);
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Name::parse("张三").unwrap()), "Name(2 chars)");
        assert_eq!(format!("{:?}", Mobile::parse("13800000000").unwrap()), "Mobile(…)");
    }
}
