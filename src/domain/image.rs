//! Pictures: they pass through memory as they came, and are kept nowhere.

use crate::domain::element::InvalidElement;
use std::fmt;
use std::sync::Arc;

/// How the base64 of a JPEG and of a PNG begin.
const BEGINNINGS: [&str; 2] = ["/9j/", "iVBORw0KGgo"];

/// A picture of a face or a document, as the base64 in which providers take it. Its copies are one in memory.
///
/// INVARIANT: standard base64 (RFC 4648, section 4) with its padding, of what begins as a JPEG or a PNG does.
#[derive(Clone, PartialEq, Eq)]
pub struct Image(Arc<str>);

impl Image {
    /// Takes a picture's base64 as it is written, or says that it is `no` such; how long it may be is for who reads it to say. What is behind its first bytes is
    /// the provider's to judge: nothing here decodes a picture that somebody outside made.
    ///
    /// # Errors
    /// `no`, for what is no base64, or no JPEG or PNG.
    pub fn parse(text: &str, no: InvalidElement) -> Result<Self, InvalidElement> {
        let body = text.trim_end_matches('=');
        let padding = text.len() - body.len();
        let is_base64 = padding <= 2
            && text.len().is_multiple_of(4)
            && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
        let is_picture = BEGINNINGS.iter().any(|beginning| text.starts_with(beginning));
        if is_base64 && is_picture { Ok(Self(text.into())) } else { Err(no) }
    }

    /// The base64; every use is a place to review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// How many characters of base64 it is.
    pub fn chars(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({} chars)", self.chars())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_the_base64_of_one() {
        let check = |text: &str, expected: bool| {
            let parsed = Image::parse(text, InvalidElement::FaceImage);
            assert_eq!(parsed.is_ok(), expected, "`{text}`");
        };
        check("/9j/4AAQ", true);
        check("/9j/4A==", true);
        check("/9j/4AA=", true);
        check("iVBORw0KGgoA", true);
        for wrong in [
            "",
            "/9j",
            "/9j/4",
            "/9j/4===",
            "/9j/====",
            "/9j/=AAA",
            "/9j/4A==/9j/4A==",
            "/9j/4A-_",
            "/9j/4A A",
            "/9j/4A\n\n",
            "R0lGODlh",
            "data:image/jpeg;base64,/9j/4AAQ",
            "/9j/张",
        ] {
            check(wrong, false);
        }
    }

    #[test]
    fn a_picture_shows_nowhere_and_is_not_copied() {
        let image = Image::parse("/9j/4AAQ", InvalidElement::FaceImage).unwrap();
        assert_eq!(format!("{image:?}"), "Image(8 chars)");
        assert!(Arc::ptr_eq(&image.0, &image.clone().0));
    }
}
