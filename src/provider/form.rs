//! Form bodies as bytes: what is signed are the decoded pairs, so nothing becomes text before that.

use crate::provider::file::Charset;
use encoding_rs::{Encoding, GB18030, GBK, UTF_8};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Decoded pairs, in the order of the message.
pub(crate) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Everything but RFC 3986's unreserved characters; every form reader understands that.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const FIELDS_MAX: usize = 256;

impl Charset {
    const fn encoding(self) -> &'static Encoding {
        match self {
            Self::Utf8 => UTF_8,
            Self::Gbk => GBK,
            Self::Gb18030 => GB18030,
        }
    }

    /// The media type of an XML document in this charset (RFC 7303).
    pub(crate) const fn xml_type(self) -> &'static str {
        match self {
            Self::Utf8 => "application/xml; charset=utf-8",
            Self::Gbk => "application/xml; charset=GBK",
            Self::Gb18030 => "application/xml; charset=GB18030",
        }
    }

    /// Whether an XML document that names its charset so is in this one; naming none means UTF-8 (XML 1.0, 4.3.3).
    pub(crate) fn is_named(self, label: Option<&str>) -> bool {
        let named = Encoding::for_label(label.unwrap_or("utf-8").as_bytes());
        named == Some(self.encoding())
    }

    /// The text's bytes; `None` where the charset lacks a character.
    pub(crate) fn encode(self, text: &str) -> Option<Vec<u8>> {
        let (bytes, _, unmappable) = self.encoding().encode(text);
        (!unmappable).then(|| bytes.into_owned())
    }

    /// The text that the bytes spell; `None` where they spell none.
    pub(crate) fn decode(self, bytes: &[u8]) -> Option<String> {
        let text = self.encoding().decode_without_bom_handling_and_without_replacement(bytes)?;
        Some(text.into_owned())
    }
}

/// Writes pairs with percent-encoding.
pub(crate) fn write(pairs: &Pairs) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.extend(percent_encode(key, RESERVED));
        text.push('=');
        text.extend(percent_encode(value, RESERVED));
    }
    text
}

/// How the values of a form stand in its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    /// Percent-encoded, `+` for a space.
    Escaped,
    /// As they are.
    Raw,
}

/// Reads a form strictly: a repeated key, a pair without `=` or a broken escape makes it unreadable.
pub(crate) fn read(body: &[u8], values: Values) -> Option<Pairs> {
    let mut pairs = Pairs::new();
    for pair in body.trim_ascii().split(|byte| *byte == b'&') {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = pair.split_at_checked(at)?;
        let value = value.get(1..)?;
        let (key, value) = match values {
            Values::Escaped => (unescape(key)?, unescape(value)?),
            Values::Raw => (key.to_vec(), value.to_vec()),
        };
        if pairs.len() == FIELDS_MAX || pairs.iter().any(|(seen, _)| *seen == key) {
            return None;
        }
        pairs.push((key, value));
    }
    Some(pairs)
}

fn unescape(raw: &[u8]) -> Option<Vec<u8>> {
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            other => other,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, values: Values, expected: Option<&[(&str, &str)]>) {
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
        let pairs = read(body.as_bytes(), values);
        let pairs: Option<Vec<_>> =
            pairs.map(|pairs| pairs.iter().map(|(k, v)| (text(k), text(v))).collect());
        let expected: Option<Vec<_>> = expected
            .map(|pairs| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        assert_eq!(pairs, expected, "`{body}`");
    }

    #[test]
    fn forms_are_read_strictly() {
        check("a=1&b=x%3Dy+z", Values::Escaped, Some(&[("a", "1"), ("b", "x=y z")]));
        check("a=1&b=x+y==\r\n", Values::Raw, Some(&[("a", "1"), ("b", "x+y==")]));
        check("a=", Values::Escaped, Some(&[("a", "")]));
        for broken in ["", "a", "a=1&a=2", "a=1&%61=2", "a=%4", "a=%zz", "a=1&&b=2"] {
            check(broken, Values::Escaped, None);
        }
    }

    #[test]
    fn nothing_in_a_value_starts_a_pair() {
        let pairs = vec![(b"a".to_vec(), b"1&b=2 +%".to_vec())];
        assert_eq!(write(&pairs), "a=1%26b%3D2%20%2B%25");
        assert_eq!(read(write(&pairs).as_bytes(), Values::Escaped), Some(pairs));
    }

    #[test]
    fn a_charset_has_a_character_or_says_so() {
        assert_eq!(Charset::Gbk.encode("张·三"), Some(vec![0xD5, 0xC5, 0xA1, 0xA4, 0xC8, 0xFD]));
        assert_eq!(Charset::Gbk.encode("𠮷"), None);
        let rare = Charset::Gb18030.encode("𠮷").unwrap();
        assert_eq!(Charset::Gb18030.decode(&rare).as_deref(), Some("𠮷"));
        assert_eq!(Charset::Utf8.decode(&[0xFF]), None);
    }
}
