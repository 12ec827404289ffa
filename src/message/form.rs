//! Forms: `application/x-www-form-urlencoded`, and bare `k=v&k=v` pairs.

use crate::message::charset;
use crate::message::node::{ENTRIES_MAX, Entries, Node, ReadError};
use encoding_rs::Encoding;
use memchr::{Memchr2, memchr, memchr_iter, memchr2, memchr2_iter};
use std::borrow::Cow;
use std::iter::Peekable;
use std::ops::Range;

/// Parses a form. Bytes are split before they are decoded: in UTF-8 and GB18030 no byte of a longer character is `&`, `=`, `%` or `+`.
///
/// # Errors
/// [`ReadError::Ambiguous`] for what form readers take differently: a broken escape, a bare `;`, a field without `=`;
/// [`ReadError::Unreadable`] for text outside the charset or too many fields.
pub fn parse<'a>(body: &'a [u8], encoding: &'static Encoding) -> Result<Node<'a>, ReadError> {
    if memchr(b';', body).is_some() {
        return Err(ReadError::ambiguous("form", "a bare `;`"));
    }
    let escapes = memchr2_iter(b'%', b'+', body).peekable();
    let mut form = Form { body, ascii: charset::ascii(body), encoding, escapes };
    let mut entries = Entries::with_capacity(24);
    let mut signs = memchr2_iter(b'=', b'&', body);
    let is = |at: &usize, sign: u8| body.get(*at) == Some(&sign);
    let mut next = (!body.is_empty()).then_some(0);
    while let Some(from) = next {
        if entries.len() >= ENTRIES_MAX {
            return Err(ReadError::unreadable("form", "too many fields"));
        }
        let Some(equals) = signs.next().filter(|at| is(at, b'=')) else {
            return Err(ReadError::ambiguous("form", "a field without `=`"));
        };
        let end = signs.find(|at| is(at, b'&'));
        let value = equals.saturating_add(1)..end.unwrap_or(body.len());
        entries.push((form.text(from..equals)?, Node::Text(form.text(value)?)));
        next = end.map(|end| end.saturating_add(1));
    }
    Ok(Node::Map(entries))
}

/// A form, and where all of it is ASCII the same as text: no charset needs to be decoded then.
struct Form<'a> {
    body: &'a [u8],
    ascii: Option<&'a str>,
    encoding: &'static Encoding,
    /// Where the escapes are in what was not read yet.
    escapes: Peekable<Memchr2<'a>>,
}

impl<'a> Form<'a> {
    /// The text in a range, which is behind all that were read.
    fn text(&mut self, range: Range<usize>) -> Result<Cow<'a, str>, ReadError> {
        let mut escaped = false;
        while self.escapes.next_if(|at| *at < range.end).is_some() {
            escaped = true;
        }
        let plain = self.ascii.filter(|_| !escaped);
        if let Some(text) = plain.and_then(|ascii| ascii.get(range.clone())) {
            return Ok(Cow::Borrowed(text));
        }
        let raw = self.body.get(range).unwrap_or_default();
        let decoded = if escaped {
            charset::decode_owned(self.encoding, percent_decode_bytes(raw)?).map(Cow::Owned)
        } else {
            charset::decode(self.encoding, raw)
        };
        decoded.ok_or_else(|| ReadError::unreadable("form", "text outside the declared charset"))
    }
}

/// Parses `k=v&k=v` without percent encoding; a value in braces may hold `&`.
///
/// # Errors
/// As [`parse`].
pub fn parse_pairs(text: &str) -> Result<Node<'_>, ReadError> {
    let ambiguous = |what| ReadError::ambiguous("pairs", what);
    let mut entries = Entries::with_capacity(24);
    let mut rest = text;
    while !rest.is_empty() {
        if entries.len() >= ENTRIES_MAX {
            return Err(ReadError::unreadable("pairs", "too many fields"));
        }
        let equals = memchr2(b'=', b'&', rest.as_bytes()).and_then(|at| rest.split_at_checked(at));
        let Some((key, tail)) = equals.and_then(|(key, tail)| Some((key, tail.strip_prefix('=')?)))
        else {
            return Err(ambiguous("a field without `=`"));
        };
        let end = if tail.as_bytes().first() == Some(&b'{') {
            let last = tail.find('}').ok_or_else(|| ambiguous("an open brace"))?;
            last.saturating_add(1)
        } else {
            memchr(b'&', tail.as_bytes()).unwrap_or(tail.len())
        };
        let (value, after) = tail.split_at_checked(end).unwrap_or((tail, ""));
        rest = match after.as_bytes().first() {
            Some(b'&') => after.get(1..).unwrap_or_default(),
            None => "",
            Some(_) => return Err(ambiguous("text after a closing brace")),
        };
        entries.push((Cow::Borrowed(key), Node::Text(Cow::Borrowed(value))));
    }
    Ok(Node::Map(entries))
}

/// The value of the first field called `name`, before any charset is known; both must be ASCII. Whether it is the only one
/// shows in the tree, once that is read.
pub fn peek<'a>(body: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    // A name with such a sign is written by an escape only.
    let is_plain = !name.contains(['=', '%']);
    let first = name.as_bytes().first();
    let ends = memchr_iter(b'&', body).chain([body.len()]);
    let fields = ends.scan(0, |from, end| {
        let field = body.get(std::mem::replace(from, end.saturating_add(1))..end);
        Some(field.unwrap_or_default())
    });
    // No other field can have the name.
    let begins = |field: &&[u8]| field.first() == first || field.first() == Some(&b'%');
    let value = fields.filter(begins).find_map(|field| {
        let rest = field.strip_prefix(name.as_bytes()).filter(|_| is_plain);
        if let Some([b'=', value @ ..]) = rest {
            return Some(value);
        }
        let at = field.contains(&b'%').then(|| field.iter().position(|byte| *byte == b'='))??;
        let (key, value) = field.split_at_checked(at)?;
        let is_it = percent_encoding::percent_decode(key).eq(name.bytes());
        value.get(1..).filter(|_| is_it)
    })?;
    Some(percent_encoding::percent_decode(value).decode_utf8_lossy())
}

/// Resolves `%XX` and `+`.
///
/// # Errors
/// [`ReadError::Ambiguous`] for a broken escape.
pub(crate) fn percent_decode_bytes(raw: &[u8]) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr2(b'%', b'+', rest) {
        let (plain, escape) = rest.split_at_checked(at).unwrap_or((rest, b""));
        bytes.extend_from_slice(plain);
        if let [b'+', tail @ ..] = escape {
            bytes.push(b' ');
            rest = tail;
            continue;
        }
        let digit = |at: usize| escape.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(1), digit(2)) else {
            return Err(ReadError::ambiguous("form", "a broken percent escape"));
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
        rest = escape.get(3..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest);
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

    /// A name with an equals sign was found where the key ends before it.
    #[test]
    fn a_name_is_looked_for_as_keys_are_read() {
        let check = |body: &str, name, expected: Option<&str>| {
            assert_eq!(peek(body.as_bytes(), name).as_deref(), expected, "{body}");
        };
        check("b=1&a=GBK&a=x", "a", Some("GBK"));
        check("aa=1&%61=GB%4B", "a", Some("GBK"));
        check("a&ab=1", "a", None);
        check("a=b=GBK", "a=b", None);
        check("a%3Db=GBK", "a=b", Some("GBK"));
        check("a%41=GBK", "a%41", None);
    }

    #[test]
    fn texts_of_any_length_end_where_they_end() {
        for length in 0..80 {
            let text = "x".repeat(length);
            let body = format!("{text}={text}%41{text}&{text}%3D={text}&b={text}+");
            let expected = format!("{text}={text}A{text};{text}=={text};b={text} ;");
            check(body.as_bytes(), UTF_8, &expected);
            check(format!("张={text}&{text}=1").as_bytes(), UTF_8, &format!("张={text};{text}=1;"));
            check(format!("{text}&b=1").as_bytes(), UTF_8, "ambiguous: a field without `=`");
            let pairs = format!("{text}={text};b={{{text}&c=1}};{text}={text}%+");
            assert_eq!(show(parse_pairs(&pairs.replace(';', "&"))), format!("{pairs};"));
        }
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
