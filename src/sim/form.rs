//! Forms as a strict gateway reads them, and as payment cores write them, in UTF-8 and GBK.

use std::{collections::BTreeMap, fmt::Write as _};

use encoding_rs::{Encoding, GBK, UTF_8};

/// Decoded pairs, sorted by key.
pub(super) type Fields = BTreeMap<String, String>;

/// The charset that the `encoding` field of a raw body names, UTF-8 when it names none.
pub(super) fn charset(body: &[u8]) -> &'static Encoding {
    let named = body.split(|b| *b == b'&').find_map(|pair| pair.strip_prefix(b"encoding="));
    if named.is_some_and(|name| name.eq_ignore_ascii_case(b"GBK")) { GBK } else { UTF_8 }
}

/// Reads a form. A repeated key, a broken escape or a character outside the charset is an error.
pub(super) fn parse(body: &[u8], charset: &'static Encoding) -> Option<Fields> {
    let mut fields = Fields::new();
    for pair in body.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
        let mut halves = pair.splitn(2, |b| *b == b'=');
        let key = unescape(halves.next()?, charset)?;
        let value = unescape(halves.next()?, charset)?;
        if fields.insert(key, value).is_some() {
            return None;
        }
    }
    Some(fields)
}

fn unescape(raw: &[u8], charset: &'static Encoding) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
                digit(rest.next()?)? * 16 + digit(rest.next()?)?
            }
            other => other,
        });
    }
    decode(&bytes, charset)
}

/// The text that the bytes spell, if they are valid in the charset.
pub(super) fn decode(bytes: &[u8], charset: &'static Encoding) -> Option<String> {
    charset
        .decode_without_bom_handling_and_without_replacement(bytes)
        .map(std::borrow::Cow::into_owned)
}

/// The text's bytes, if the charset carries all of its characters.
pub(super) fn encode(text: &str, charset: &'static Encoding) -> Option<Vec<u8>> {
    let (bytes, _, unmappable) = charset.encode(text);
    (!unmappable).then(|| bytes.into_owned())
}

/// Percent-encodes all but the unreserved characters; a space becomes `+` or `%20`.
pub(super) fn escape(bytes: &[u8], plus: bool) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => {
                text.push(char::from(*byte));
            }
            b' ' if plus => text.push('+'),
            other => {
                let _ = write!(text, "%{other:02X}");
            }
        }
    }
    text
}

/// Writes a form in the order of `pairs`.
pub(super) fn write<'a>(
    pairs: impl IntoIterator<Item = (&'a String, &'a String)>,
    charset: &'static Encoding,
    plus: bool,
) -> Option<Vec<u8>> {
    let pairs = pairs
        .into_iter()
        .map(|(key, value)| Some(format!("{key}={}", escape(&encode(value, charset)?, plus))));
    Some(pairs.collect::<Option<Vec<_>>>()?.join("&").into_bytes())
}

/// One field, or an empty text.
pub(super) fn field<'a>(fields: &'a Fields, key: &str) -> &'a str {
    fields.get(key).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_survive_both_charsets() {
        let check = |value: &str, charset, plus, raw: &str| {
            let fields = Fields::from([("k".to_owned(), value.to_owned())]);
            let body = write(&fields, charset, plus).unwrap();
            assert_eq!(String::from_utf8(body.clone()).unwrap(), raw);
            assert_eq!(parse(&body, charset).unwrap(), fields);
        };
        check("a+b c", UTF_8, true, "k=a%2Bb+c");
        check("a+b c", UTF_8, false, "k=a%2Bb%20c");
        check("阿·丽", UTF_8, true, "k=%E9%98%BF%C2%B7%E4%B8%BD");
        check("阿·丽", GBK, true, "k=%B0%A2%A1%A4%C0%F6");
        for bad in ["a=1&a=2", "a=%4", "a=%zz", "a", "a=%FF"] {
            assert!(parse(bad.as_bytes(), UTF_8).is_none(), "{bad}");
        }
        assert!(encode("𠮷", GBK).is_none());
    }
}
