//! The one path that routes are matched by: decoded, lower-cased, and refused where a channel could read it otherwise.

use super::head::Framing;

/// Decodes a raw path into the form that routes are matched by.
///
/// What is matched here must be what the channel resolves; so everything that servers are known to resolve
/// differently (dot segments, empty segments, encoded separators, `;` parameters, backslashes, double encoding) is
/// refused instead of repaired. Letter case is folded, because a channel may well ignore it.
///
/// # Errors
/// [`Framing::Path`] where the path is ambiguous.
pub fn canonical(raw: &[u8]) -> Result<String, Framing> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            if !is_plain(byte) {
                return Err(Framing::Path);
            }
            decoded.push(byte.to_ascii_lowercase());
            continue;
        }
        let (pair, tail) = tail.split_at_checked(2).ok_or(Framing::Path)?;
        rest = tail;
        let byte = hex_byte(pair).ok_or(Framing::Path)?;
        if byte.is_ascii_control() || b"/\\.;%#?".contains(&byte) {
            return Err(Framing::Path);
        }
        decoded.push(byte.to_ascii_lowercase());
    }
    let path = String::from_utf8(decoded).map_err(|_| Framing::Path)?;
    let segments = path.strip_prefix('/').ok_or(Framing::Path)?;
    // One empty last segment is the trailing slash; any other empty segment is `//`.
    let inner = segments.strip_suffix('/').unwrap_or(segments);
    let ambiguous = |segment: &str| segment.is_empty() || segment.ends_with(['.', ' ']);
    if !segments.is_empty() && inner.split('/').any(ambiguous) {
        return Err(Framing::Path);
    }
    Ok(path)
}

/// The characters that RFC 3986 allows in a path, less `;`, whose meaning servers disagree on.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'/' | b'-'
                | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b'='
                | b':'
                | b'@'
        )
}

/// Two hexadecimal digits.
fn hex_byte(pair: &[u8]) -> Option<u8> {
    let mut byte = [0_u8];
    hex::decode_to_slice(pair, &mut byte).ok()?;
    byte.first().copied()
}

#[cfg(test)]
mod tests {
    use super::canonical;

    fn check(raw: &str, expected: &str) {
        assert_eq!(
            canonical(raw.as_bytes()).unwrap_or_else(|_| "refused".into()),
            expected,
            "{raw}"
        );
    }

    #[test]
    fn a_path_has_one_reading_or_none() {
        check("/", "/");
        check("/gateway/api/frontTransReq.do", "/gateway/api/fronttransreq.do");
        check("/Gateway/%41pi", "/gateway/api");
        check("/a/", "/a/");
        check("/a/~b,c=d(e)*", "/a/~b,c=d(e)*");
        check("/%E6%94%AF", "/支");
        check("/a%20b", "/a b");
        for raw in [
            "",
            "a",
            "*",
            "//",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/a.",
            "/a./b",
            "/a%20",
            "/%2e%2e/a",
            "/%2E/a",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/a;b",
            "/a%3bb",
            "/a#b",
            "/a%23",
            "/a%3f",
            "/%2561",
            "/a%00",
            "/a%0d%0a",
            "/a%7f",
            "/%",
            "/%4",
            "/%zz",
            "/%+1",
            "/%c0%ae",
            "/%ff",
            "/%e6%94",
            "/a b",
            "/支",
            "/a\"b",
            "/a<b",
            "/a{b}",
            "/a|b",
            "/a^b",
            "/a`b",
            "/[a]",
        ] {
            check(raw, "refused");
        }
    }
}
