//! JSON, read strictly: every key as it was written, every number as its text.

use crate::message::node::{DEPTH_MAX, ENTRIES_MAX, Node, ReadError};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// Parses one JSON document (RFC 8259), without byte-order mark, comments or anything after it.
///
/// # Errors
/// [`ReadError::Unreadable`] for anything else, for more than `DEPTH_MAX` levels or too many entries.
pub fn parse(text: &str) -> Result<Node<'_>, ReadError> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|_| not_json())?;
    let mut entries = ENTRIES_MAX;
    value(raw.get(), DEPTH_MAX, &mut entries)
}

fn not_json() -> ReadError {
    ReadError::unreadable("json", "not a JSON document")
}

fn value<'a>(raw: &'a str, depth: usize, entries: &mut usize) -> Result<Node<'a>, ReadError> {
    let depth =
        depth.checked_sub(1).ok_or_else(|| ReadError::unreadable("json", "nested too deeply"))?;
    let mut take = |count: usize| {
        *entries = entries
            .checked_sub(count)
            .ok_or_else(|| ReadError::unreadable("json", "too many entries"))?;
        Ok::<_, ReadError>(())
    };
    match raw.as_bytes().first() {
        Some(b'{') => {
            let Pairs(pairs) = serde_json::from_str(raw).map_err(|_| not_json())?;
            take(pairs.len())?;
            let pairs =
                pairs.into_iter().map(|(key, raw)| Ok((key, value(raw.get(), depth, entries)?)));
            pairs.collect::<Result<_, _>>().map(Node::Map)
        }
        Some(b'[') => {
            let members: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| not_json())?;
            take(members.len())?;
            members
                .into_iter()
                .map(|raw| value(raw.get(), depth, entries))
                .collect::<Result<_, _>>()
                .map(Node::List)
        }
        Some(b'"') => serde_json::from_str::<Text<'_>>(raw)
            .map(|text| Node::Text(text.0))
            .map_err(|_| not_json()),
        Some(b'n') => Ok(Node::Null),
        Some(b't' | b'f') => Ok(Node::Text(Cow::Borrowed(raw))),
        _ if is_plain_number(raw) => Ok(Node::Text(Cow::Borrowed(raw))),
        _ => Ok(Node::Unclear("a number that some readers round or write otherwise")),
    }
}

/// Whether every reader takes a number for the same: at most 15 digits (what a double holds), no exponent, no `-0`.
fn is_plain_number(raw: &str) -> bool {
    const DIGITS_MAX: usize = 15;
    let digits = raw.bytes().filter(u8::is_ascii_digit).count();
    let zero = raw.starts_with('-') && raw.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
    digits <= DIGITS_MAX && !zero && !raw.contains(['e', 'E'])
}

#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The entries of an object in the order written, repeated keys and all.
struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some((Text(key), value)) = map.next_entry()? {
                    if pairs.len() >= ENTRIES_MAX {
                        return Err(serde::de::Error::custom("too many entries"));
                    }
                    pairs.push((key, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::path::Path;
    use proptest::prelude::*;

    fn check(body: &str, path: &str, expected: &str) {
        let found = parse(body).and_then(|node| {
            let found = node.find(&Path::parse(path).unwrap())?;
            Ok(found.text().map_or("absent".to_owned(), str::to_owned))
        });
        let shown = found.unwrap_or_else(|error| match error {
            ReadError::Ambiguous { what, .. } => format!("ambiguous: {what}"),
            ReadError::Unreadable { what, .. } => format!("unreadable: {what}"),
        });
        assert_eq!(shown, expected, "{body}");
    }

    /// The hostile bodies on which eight JSON readers were seen to disagree (abuse-cases.md, "Parsers disagree").
    #[test]
    fn bodies_on_which_readers_disagree_are_not_read() {
        check(r#"{"amount":1}"#, "amount", "1");
        for number in ["9007199254740993", "1e2", "1E2", "-0", "-0.0", "0.1234567890123456"] {
            let body = format!("{{\"other\":1,\"amount\":{number}}}");
            check(
                &body,
                "amount",
                "ambiguous: a number that some readers round or write otherwise",
            );
            check(&body, "other", "1");
        }
        check(r#"{"amount":123456789012345}"#, "amount", "123456789012345");
        check(r#"{"amount":12.50}"#, "amount", "12.50");
        check(r#"{"amount":"1"}"#, "amount", "1");
        check(r#"{"amount":null}"#, "amount", "absent");
        check(r#"{"amount":1,"amount":999}"#, "amount", "ambiguous: a repeated key");
        check(r#"{"amount":1,"\u0061mount":999}"#, "amount", "ambiguous: a repeated key");
        check(
            r#"{"amount":1,"AMOUNT":999}"#,
            "amount",
            "ambiguous: a key that some readers take for another",
        );
        check(r#"{"AMOUNT":999}"#, "amount", "ambiguous: a key that some readers take for another");
        for body in [
            "\u{FEFF}{\"amount\":1}",
            r#"{/* */"amount":1}"#,
            r"{'amount':1}",
            r"{amount:1}",
            r#"{"amount":0999}"#,
            r#"{"amount":1} x"#,
            r#"{"amount":1}{"amount":2}"#,
            "{\"amount\":1}\0{}",
            r#"{"amount":NaN}"#,
            r#"{"amount":1,}"#,
            "",
        ] {
            check(body, "amount", "unreadable: not a JSON document");
        }
        check(r#"{"amount":"\uD800"}"#, "amount", "unreadable: not a JSON document");
    }

    #[test]
    fn one_row_is_a_payment_and_two_are_not() {
        check(r#"{"rows":[{"pan":"1"}]}"#, "rows/0/pan", "1");
        check(r#"{"rows":[]}"#, "rows/0/pan", "absent");
        check(
            r#"{"rows":[{"pan":"1"},{"pan":"2"}]}"#,
            "rows/0/pan",
            "ambiguous: more than one row",
        );
        check(
            r#"{"rows":{"pan":{}}}"#,
            "rows/pan",
            "unreadable: content where a text was expected",
        );
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(&deep).is_err());
        let wide = format!("[{}1]", "1,".repeat(ENTRIES_MAX));
        assert_eq!(parse(&wide), Err(ReadError::unreadable("json", "too many entries")));
        let wide = format!("{{{}\"z\":1}}", "\"a\":1,".repeat(ENTRIES_MAX));
        assert!(parse(&wide).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\",:0-9a-z\\\\ ]{0,80}") {
            let _ = parse(&text);
        }
    }
}
