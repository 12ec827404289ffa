//! Forms: `application/x-www-form-urlencoded`, and bare `k=v&k=v` pairs.

use crate::message::charset;
use crate::message::node::{ENTRIES_MAX, Entries, Node, ReadError};
use encoding_rs::Encoding;
use std::borrow::Cow;

/// Parses a form. Bytes are split before they are decoded: in UTF-8 and GB18030 no byte of a longer character is `&`, `=`, `%` or `+`.
///
/// # Errors
/// [`ReadError::Ambiguous`] for what form readers take differently: a broken escape, a bare `;`, a field without `=`;
/// [`ReadError::Unreadable`] for text outside the charset or too many fields.
pub fn parse<'a>(body: &'a [u8], encoding: &'static Encoding) -> Result<Node<'a>, ReadError> {
    let mut entries = Entries::with_capacity(24);
    for field in body.split(|byte| *byte == b'&').filter(|_| !body.is_empty()) {
        if entries.len() >= ENTRIES_MAX {
            return Err(ReadError::unreadable("form", "too many fields"));
        }
        let at = field.iter().position(|byte| *byte == b'=');
        let at = at.ok_or_else(|| ReadError::ambiguous("form", "a field without `=`"))?;
        let (key, value) = field.split_at_checked(at).unwrap_or((field, b""));
        let value = value.strip_prefix(b"=").unwrap_or(value);
        if field.contains(&b';') {
            return Err(ReadError::ambiguous("form", "a bare `;`"));
        }
        entries
            .push((percent_decode(key, encoding)?, Node::Text(percent_decode(value, encoding)?)));
    }
    Ok(Node::Map(entries))
}

/// Parses `k=v&k=v` without percent encoding; a value in braces may hold `&`.
///
/// # Errors
/// As [`parse`].
pub fn parse_pairs(text: &str) -> Result<Node<'_>, ReadError> {
    let mut entries = Entries::with_capacity(24);
    let mut rest = text;
    while !rest.is_empty() {
        if entries.len() >= ENTRIES_MAX {
            return Err(ReadError::unreadable("pairs", "too many fields"));
        }
        let (key, tail) = rest
            .split_once('=')
            .ok_or_else(|| ReadError::ambiguous("pairs", "a field without `=`"))?;
        let end = if tail.starts_with('{') {
            tail.find('}')
                .map(|at| at.saturating_add(1))
                .ok_or_else(|| ReadError::ambiguous("pairs", "an open brace"))?
        } else {
            tail.find('&').unwrap_or(tail.len())
        };
        let (value, after) = tail.split_at_checked(end).unwrap_or((tail, ""));
        rest = match after.strip_prefix('&') {
            Some(rest) => rest,
            None if after.is_empty() => "",
            None => return Err(ReadError::ambiguous("pairs", "text after a closing brace")),
        };
        if key.contains('&') {
            return Err(ReadError::ambiguous("pairs", "a field without `=`"));
        }
        entries.push((Cow::Borrowed(key), Node::Text(Cow::Borrowed(value))));
    }
    Ok(Node::Map(entries))
}

/// The value of the first field called `name`, before any charset is known; both must be ASCII. Whether it is the only one
/// shows in the tree, once that is read.
pub fn peek(body: &[u8], name: &str) -> Option<String> {
    let value = body.split(|byte| *byte == b'&').find_map(|field| {
        let at = field.iter().position(|byte| *byte == b'=')?;
        let (key, value) = field.split_at_checked(at)?;
        let is_it = percent_encoding::percent_decode(key).eq(name.bytes());
        value.strip_prefix(b"=").filter(|_| is_it)
    })?;
    Some(percent_encoding::percent_decode(value).decode_utf8_lossy().into_owned())
}

fn percent_decode<'a>(
    raw: &'a [u8],
    encoding: &'static Encoding,
) -> Result<Cow<'a, str>, ReadError> {
    let outside = || ReadError::unreadable("form", "text outside the declared charset");
    if !raw.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return charset::decode(encoding, raw).ok_or_else(outside);
    }
    let bytes = percent_decode_bytes(raw)?;
    let decoded = charset::decode(encoding, &bytes).ok_or_else(outside)?;
    Ok(Cow::Owned(decoded.into_owned()))
}

/// Resolves `%XX` and `+`.
///
/// # Errors
/// [`ReadError::Ambiguous`] for a broken escape.
pub(crate) fn percent_decode_bytes(raw: &[u8]) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digit = |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16));
                let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                    return Err(ReadError::ambiguous("form", "a broken percent escape"));
                };
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = tail.get(2..).unwrap_or_default();
            }
            other => bytes.push(other),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::{GB18030, UTF_8};
    use proptest::prelude::*;

    fn show(node: Result<Node<'_>, ReadError>) -> String {
        match node {
            Ok(Node::Map(entries)) => entries
                .iter()
                .map(|(key, value)| match value {
                    Node::Text(text) => format!("{key}={text};"),
                    other => format!("{key}={other:?};"),
                })
                .collect(),
            Ok(other) => format!("{other:?}"),
            Err(ReadError::Ambiguous { what, .. }) => format!("ambiguous: {what}"),
            Err(ReadError::Unreadable { what, .. }) => format!("unreadable: {what}"),
        }
    }

    fn check(body: &[u8], encoding: &'static Encoding, expected: &str) {
        assert_eq!(show(parse(body, encoding)), expected, "{}", body.escape_ascii());
    }

    #[test]
    fn forms_read_as_every_reader_reads_them() {
        check(b"", UTF_8, "");
        check(b"a=1&b=", UTF_8, "a=1;b=;");
        check(b"a=x%2By+z&b=%E5%BC%A0", UTF_8, "a=x+y z;b=张;");
        check(b"a=b=c", UTF_8, "a=b=c;");
        check(b"a=%D5%C5", GB18030, "a=张;");
        check(b"a=\xD5\xC5&b=1", GB18030, "a=张;b=1;");
        check(b"a=%zz", UTF_8, "ambiguous: a broken percent escape");
        check(b"a=%4", UTF_8, "ambiguous: a broken percent escape");
        check(b"a=1;b=2", UTF_8, "ambiguous: a bare `;`");
        check(b"a&b=1", UTF_8, "ambiguous: a field without `=`");
        check(b"a=1&", UTF_8, "ambiguous: a field without `=`");
        check(b"a=%D5%C5", UTF_8, "unreadable: text outside the declared charset");
        check(b"\xEF\xBB\xBFa=1", UTF_8, "unreadable: text outside the declared charset");
    }

    #[test]
    fn pairs_keep_braces_whole() {
        let check =
            |text: &str, expected: &str| assert_eq!(show(parse_pairs(text)), expected, "{text}");
        check("a=1&b={x=1&y=2}&c=3", "a=1;b={x=1&y=2};c=3;");
        check("a=x+y%20z==", "a=x+y%20z==;");
        check("a={x", "ambiguous: an open brace");
        check("a={x}y", "ambiguous: text after a closing brace");
        check("a&b=1", "ambiguous: a field without `=`");
    }

    proptest! {
        #[test]
        fn what_a_library_writes_reads_back(fields in prop::collection::vec(("[a-z]{1,8}", ".{0,20}"), 0..8)) {
            let body = fields.iter().map(|(key, value)| {
                let value = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
                format!("{key}={value}")
            }).collect::<Vec<_>>().join("&");
            let expected = fields.iter().map(|(key, value)| (Cow::from(key.clone()), Node::Text(value.clone().into()))).collect();
            // A byte-order mark is refused, not stripped.
            prop_assume!(!fields.iter().any(|(_, value)| value.starts_with('\u{FEFF}')));
            prop_assert_eq!(parse(body.as_bytes(), UTF_8), Ok(Node::Map(expected)));
        }

        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&body, UTF_8);
            let _ = parse(&body, GB18030);
            if let Ok(text) = std::str::from_utf8(&body) {
                let _ = parse_pairs(text);
            }
        }
    }
}
