//! Character sets: declared, decoded strictly for reading, and never transcoded for forwarding.

use crate::message::path::Path;
use encoding_rs::{Encoding, GB18030, UTF_8};
use std::borrow::Cow;

/// Where a body says in which charset it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Charset {
    /// The field that declares it, outermost level only.
    pub field: Option<Path>,
    /// The charset where nothing declares one.
    pub default: &'static Encoding,
}

impl Default for Charset {
    fn default() -> Self {
        Self { field: None, default: UTF_8 }
    }
}

/// The charset named `label`: UTF-8, or GBK, GB2312 and GB18030, which are all read as their superset GB18030.
pub fn by_label(label: &str) -> Option<&'static Encoding> {
    let label = label.trim().trim_matches('"');
    if ["utf-8", "utf8"].iter().any(|known| label.eq_ignore_ascii_case(known)) {
        Some(UTF_8)
    } else if ["gbk", "gb2312", "gb18030"].iter().any(|known| label.eq_ignore_ascii_case(known)) {
        Some(GB18030)
    } else {
        None
    }
}

/// Decodes without replacement; `None` for a byte-order mark or an invalid sequence.
pub fn decode<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> Option<Cow<'a, str>> {
    const MARKS: [&[u8]; 4] = [b"\xEF\xBB\xBF", b"\xFE\xFF", b"\xFF\xFE", b"\x84\x31\x95\x33"];
    let text = std::str::from_utf8(bytes).ok();
    // Every charset that is read here writes ASCII as ASCII, and nearly every field is that.
    if let Some(text) = text.filter(|text| encoding == UTF_8 || text.is_ascii()) {
        return (!text.starts_with('\u{FEFF}')).then_some(Cow::Borrowed(text));
    }
    if MARKS.iter().any(|mark| bytes.starts_with(mark)) {
        return None;
    }
    encoding.decode_without_bom_handling_and_without_replacement(bytes)
}

/// As [`decode`], and the text is in the place of the bytes where it is the same.
pub fn decode_owned(encoding: &'static Encoding, bytes: Vec<u8>) -> Option<String> {
    match decode(encoding, &bytes)? {
        Cow::Borrowed(_) => String::from_utf8(bytes).ok(),
        Cow::Owned(text) => Some(text),
    }
}

/// The text of bytes that are all ASCII, which is the same in every charset that is read here.
pub fn ascii(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(label: &str, bytes: &[u8], expected: Option<&str>) {
        let decoded = by_label(label).and_then(|encoding| decode(encoding, bytes));
        assert_eq!(decoded.as_deref(), expected, "{label} {bytes:?}");
    }

    #[test]
    fn the_declared_charset_and_no_other() {
        check("UTF-8", "张三".as_bytes(), Some("张三"));
        check("GBK", b"\xD5\xC5\xC8\xFD", Some("张三"));
        check("gb2312", b"\xD5\xC5", Some("张"));
        check("GB18030", b"\x82\x32\x8D\x37", Some("㼆"));
        check("UTF-8", b"\xD5\xC5", None);
        check("GBK", b"\xD5", None);
        check("UTF-8", b"\xEF\xBB\xBFx", None);
        check("UTF-8", b"\xC0\xAF", None);
        check("UTF-16LE", b"x\0", None);
        check("latin1", b"x", None);
    }
}
