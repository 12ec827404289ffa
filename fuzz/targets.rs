//! What is fuzzed: everything that reads bytes from outside. Each target takes any bytes and panics where a promise is broken.
//!
//! Shared by `tests/fuzz.rs` (short, in every test run) and `fuzz/` (long, coverage-guided, `make fuzz`).

use encoding_rs::{Encoding, GB18030, UTF_8};
use hefu::crypto::seal::OpeningKey;
use hefu::message::node::Node;
use hefu::message::path::Path;
use hefu::message::profile::{Body, Format, Place, Step, Unwrap, XmlRule};
use hefu::message::{charset, form, json, told, unwrap, xml};
use hefu::proxy::{head, path};
use std::sync::LazyLock;

/// A target's name and its function.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Every target.
pub(crate) const TARGETS: [Target; 9] = [
    ("head", fuzz_head),
    ("path", fuzz_path),
    ("form", fuzz_form),
    ("json", fuzz_json),
    ("xml", fuzz_xml),
    ("charset", fuzz_charset),
    ("unwrap", fuzz_unwrap),
    ("sealed", fuzz_sealed),
    ("codes", fuzz_codes),
];

/// The head of a request: whatever is taken has one reading, and reads the same again.
fn fuzz_head(bytes: &[u8]) {
    let Ok(read) = head::check_head(bytes) else { return };
    assert!(!bytes.contains(&0), "a NUL in a head that was taken");
    assert!(head::check_head(bytes).is_ok_and(|again| format!("{again:?}") == format!("{read:?}")));
}

/// A path: what is canonical is read the same again, however it is escaped.
fn fuzz_path(bytes: &[u8]) {
    let Ok(canonical) = path::canonical(bytes) else { return };
    assert!(canonical.starts_with('/') && !canonical.contains("//"), "{canonical}");
    assert!(!canonical.split('/').any(|segment| matches!(segment, "." | "..")), "{canonical}");
    let escaped: String = canonical
        .bytes()
        .map(|byte| match byte {
            // An escaped dot is refused.
            b'/' | b'.' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    assert_eq!(path::canonical(escaped.as_bytes()).as_deref(), Ok(canonical.as_str()), "{escaped}");
}

fn fuzz_form(bytes: &[u8]) {
    for encoding in [UTF_8, GB18030] {
        if let Ok(node) = form::parse(bytes, encoding) {
            look(&node);
        }
    }
    let _ = form::peek(bytes, "encoding");
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(node) = form::parse_pairs(text)
    {
        look(&node);
    }
}

fn fuzz_json(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(node) = json::parse(text)
    {
        look(&node);
    }
}

fn fuzz_xml(bytes: &[u8]) {
    let rule = XmlRule {
        root: "root".to_owned(),
        namespace: None,
        tail: regex::Regex::new(r"\s*\{S:[A-Za-z0-9+/=]*\}\s*").ok(),
    };
    let _ = xml::encoding(bytes);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(node) = xml::parse(text, &rule)
    {
        look(&node);
    }
}

/// Whatever decodes encodes to the same bytes: nothing was replaced or skipped.
fn fuzz_charset(bytes: &[u8]) {
    if let Some(label) = std::str::from_utf8(bytes).ok().and_then(charset::by_label) {
        assert!(label == UTF_8 || label == GB18030);
    }
    if let Some(text) = charset::decode(UTF_8, bytes) {
        assert_eq!(text.as_bytes(), bytes);
    }
    if let Some(text) = charset::decode(GB18030, bytes) {
        // GB18030 has more than one way to write a few characters; all read back to the same text.
        let (again, _, unmappable) = GB18030.encode(&text);
        assert!(!unmappable);
        assert_eq!(charset::decode(GB18030, &again).as_deref(), Some(text.as_ref()));
    }
    if let Ok(header) = std::str::from_utf8(bytes) {
        let _ = told::parse(header);
    }
}

/// Every unwrapping step in every order that makes sense, in each charset.
fn fuzz_unwrap(bytes: &[u8]) {
    let Some((&choice, body)) = bytes.split_first() else { return };
    let steps: Vec<Step> = match choice % 8 {
        0 => vec![Step::Base64, Step::BraceForm],
        1 => vec![Step::Hex, Step::Base64, Step::Json],
        2 => vec![Step::Json],
        3 => vec![Step::Percent],
        4 => vec![Step::BraceForm],
        5 => vec![Step::Base64],
        6 => vec![Step::Hex],
        _ => vec![Step::Percent, Step::Json],
    };
    let (format, at) = match choice / 8 % 4 {
        0 => (Format::Text, Place::Body),
        1 => (Format::Form, Place::Every),
        2 => (Format::Json, Place::Every),
        _ => (Format::Pairs, Place::Every),
    };
    let default: &'static Encoding = if choice < 128 { UTF_8 } else { GB18030 };
    let layout = Body {
        format,
        xml: None,
        charset: charset::Charset { field: None, default },
        content_types: Vec::new(),
        unwrap: vec![Unwrap { at, steps }],
    };
    if let Ok(node) = unwrap::read(&layout, None, body) {
        look(&node);
    }
}

static KEY: LazyLock<OpeningKey> = LazyLock::new(|| {
    let pair = openssl::rsa::Rsa::generate(1024).and_then(|pair| pair.public_key_to_pem());
    OpeningKey::from_pem(&pair.unwrap_or_default()).unwrap_or_else(|error| panic!("{error}"))
});

/// Sealed payloads: nothing that the key did not seal opens to something that is read.
fn fuzz_sealed(bytes: &[u8]) {
    let _ = KEY.open_blocks(bytes);
    let _ = OpeningKey::from_pem(bytes);
}

/// Code maps and the words beside them, as files that an operator wrote.
fn fuzz_codes(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read = hefu::config::code_maps(text);
    if let Ok(maps) = read {
        for map in maps.values() {
            for code in ["", "00", "2000", text] {
                let _ = map.outcome(code);
            }
        }
    }
}

/// Looks at everything that there is by its own path: look-up neither panics nor contradicts itself.
fn look(node: &Node<'_>) {
    let Node::Map(entries) = node else { return };
    for (key, inner) in entries.iter().take(64) {
        let Ok(at) = Path::parse(key) else { continue };
        if at.keys().count() > 1 || at.in_row() {
            continue;
        }
        if let (Ok(found), Node::Text(text)) = (node.find(&at), inner) {
            assert_eq!(found.text(), Some(text.as_ref()).filter(|text| !text.is_empty()));
        }
        let _ = node.rows(&at);
        look(inner);
    }
}
