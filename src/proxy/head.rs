//! The strict reading of a request head. It judges the raw bytes before any lenient parser sees them, so that what is
//! judged is what the channel reads: a head that two parsers could read differently is refused, never repaired.

use super::path;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use std::mem::MaybeUninit;
use std::ops::Range;

/// The most header fields in one head.
pub const FIELDS_MAX: usize = 100;
static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
/// Fields that say how a message is read, and whose it is: never dropped, whatever `Connection` says.
const MUST_STAY: [&str; 5] =
    ["host", "content-length", "content-type", "content-encoding", "authorization"];
/// The longest Content-Length read: 18 digits, which a `u64` always holds.
const LENGTH_DIGITS_MAX: usize = 18;

/// Why a request is refused before anybody reads its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Framing {
    /// A bare CR or LF, NUL, or another control byte.
    #[error("the head holds a control byte or a bare line ending")]
    Bytes,
    /// A request line or header field that is none.
    #[error("the head is malformed")]
    Syntax,
    /// Absent, repeated, malformed, or another one than the target's.
    #[error("the host is missing, repeated, or ambiguous")]
    Host,
    /// Content-Length or Transfer-Encoding that two readers could read differently.
    #[error("the length of the body is ambiguous")]
    Length,
    /// A path that two servers could resolve differently.
    #[error("the path is ambiguous")]
    Path,
    /// `Connection` names a field that must not be dropped.
    #[error("`Connection` names a field that must stay")]
    Connection,
    /// A field that tells how to read the body came twice.
    #[error("the type or coding of the body is told twice")]
    Repeated,
    /// An expectation other than `100-continue`.
    #[error("the expectation is not `100-continue`")]
    Expectation,
    /// A header or parameter that would change the method or path, on an inspected route.
    #[error("a field overrides the method or the path")]
    Override,
    /// A `Hefu-*` header where only a channel speaks.
    #[error("a `Hefu-*` header came from outside")]
    Reserved,
    /// A chunk of the body that is none.
    #[error("the body is malformed")]
    Chunk,
    /// Over the head's limits.
    #[error("the head is too large")]
    TooLarge,
    /// An upgrade, a tunnel, another version, or another transfer coding.
    #[error("this is not implemented here")]
    NotImplemented,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Known from the start; 0 where nothing was said.
    Fixed(u64),
    /// By chunks.
    Chunked,
}

/// A request head that has one reading.
#[derive(Debug)]
pub struct Head {
    /// The method, letter case kept.
    pub method: Method,
    /// Decoded, lower-cased.
    pub path: String,
    /// The part of the raw head that is path and query, as it came.
    pub target: Range<usize>,
    /// The raw query, without the `?`.
    pub query: Option<String>,
    /// Lower-cased, without a port.
    pub host: String,
    /// Every field.
    pub fields: HeaderMap,
    /// Of the body.
    pub length: Length,
    /// Whether the core waits for `100 Continue`.
    pub expects_continue: bool,
    /// Whether the connection may serve another request.
    pub keep_alive: bool,
    /// Whether the core speaks HTTP/1.1.
    pub is_http11: bool,
}

/// Reads a head, from the request line to the empty line, both included.
///
/// # Errors
/// [`Framing`]: why it is refused.
pub fn check_head(raw: &[u8]) -> Result<Head, Framing> {
    read_head(&Bytes::copy_from_slice(raw))
}

/// As [`check_head`]; the fields' values stay where they are.
pub(super) fn read_head(raw: &Bytes) -> Result<Head, Framing> {
    check_bytes(raw)?;
    let mut parsed = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(raw, &mut parsed) {
        Ok(httparse::Status::Complete(end)) if end == raw.len() && !raw.starts_with(b"\r\n") => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Framing::TooLarge),
        Err(httparse::Error::Version) => return Err(version_error(raw)),
        Ok(_) | Err(_) => return Err(Framing::Syntax),
    }
    let method = check_method(request.method.unwrap_or_default())?;
    let is_http11 = request.version == Some(1);
    let fields = collect(raw, request.headers).ok_or(Framing::Syntax)?;
    let mut host = check_host(&fields)?;
    let target = request.path.unwrap_or_default();
    let origin = origin_form(target, &host)?;
    let (raw_path, query) = match origin.split_once('?') {
        Some((raw_path, query)) => (raw_path, Some(query)),
        None => (origin, None),
    };
    if query.is_some_and(|query| !query.is_ascii() || query.contains('#')) {
        return Err(Framing::Path);
    }
    // The request line is `method SP target SP version`, one space each: httparse takes no other.
    let end = method.as_str().len() + 1 + target.len();
    let connection = check_connection(&fields)?;
    single(&fields, &header::CONTENT_TYPE, Framing::Repeated)?;
    single(&fields, &header::CONTENT_ENCODING, Framing::Repeated)?;
    host.truncate(without_port(&host).len());
    let named = |token: &str| connection.iter().any(|name| name == token);
    Ok(Head {
        path: path::canonical(raw_path.as_bytes())?,
        target: end - origin.len()..end,
        query: query.map(str::to_owned),
        host,
        length: check_length(&fields, is_http11)?,
        expects_continue: check_expectation(&fields)? && is_http11,
        keep_alive: if is_http11 {
            !named("close")
        } else {
            named("keep-alive") && !named("close")
        },
        is_http11,
        method,
        fields,
    })
}

/// Refuses control bytes and bare line endings, also in a head that has not come whole yet.
///
/// # Errors
/// [`Framing::Bytes`].
pub fn check_bytes(raw: &[u8]) -> Result<(), Framing> {
    // Nearly every head is good: looking at all of it, without a branch for each byte, takes a fraction of the time.
    let is_control = |byte: u8| byte.is_ascii_control() && !matches!(byte, b'\r' | b'\n' | b'\t');
    let splits_line_ending =
        |(&previous, &byte): (&u8, &u8)| (previous == b'\r') != (byte == b'\n');
    let after = raw.get(1..).unwrap_or_default();
    let bad = raw.iter().fold(raw.starts_with(b"\n"), |bad, byte| bad | is_control(*byte));
    let bad = raw.iter().zip(after).fold(bad, |bad, pair| bad | splits_line_ending(pair));
    if bad { Err(Framing::Bytes) } else { Ok(()) }
}

/// The fields that concern one connection only, and those that only Hefu and the core exchange.
pub fn stays_here(name: &str) -> bool {
    const HOP_BY_HOP: [&str; 12] = [
        "connection",
        "expect",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "trailers",
    ];
    HOP_BY_HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop)) || is_reserved(name)
}

/// Whether a field is one of ours, or is to some reader (see `is_alike`).
pub fn is_reserved(name: &str) -> bool {
    name.get(..5).is_some_and(|prefix| is_alike(prefix, "hefu-"))
}

/// Whether some reader takes one field name for the other: CGI, PHP and WSGI know letters and digits only, and `_` for all else.
fn is_alike(name: &str, other: &str) -> bool {
    let alike = |(one, other): (u8, u8)| {
        one.eq_ignore_ascii_case(&other)
            || !(one.is_ascii_alphanumeric() || other.is_ascii_alphanumeric())
    };
    name.len() == other.len() && name.bytes().zip(other.bytes()).all(alike)
}

/// Whether a field, in lower case, is needed by whoever reads the message.
pub(super) fn must_stay(name: &str) -> bool {
    MUST_STAY.contains(&name)
}

/// The names that `Connection` lists, lower-cased.
pub fn connection_names(fields: &HeaderMap) -> Vec<String> {
    let values = fields.get_all(header::CONNECTION).iter();
    let text = values.filter_map(|value| value.to_str().ok());
    text.flat_map(|text| text.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect()
}

/// Whether something in the head asks the channel to read another method or path than the one judged.
pub fn overrides(head: &Head) -> bool {
    const FIELDS: [&str; 5] = [
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
    ];
    let parameter = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        let decoded = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        decoded.trim().eq_ignore_ascii_case("_method")
    };
    let mut names = head.fields.keys().map(HeaderName::as_str).filter(|name| name.starts_with('x'));
    names.any(|name| FIELDS.iter().any(|field| is_alike(name, field)))
        || head.query.as_deref().is_some_and(|query| query.split(['&', ';']).any(parameter))
}

/// HTTP/2 and its like are another protocol; anything else in the version's place is no request.
fn version_error(raw: &[u8]) -> Framing {
    let line = raw.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let is_ours = version == b"HTTP/1.0" || version == b"HTTP/1.1";
    if version.starts_with(b"HTTP/") && !is_ours {
        Framing::NotImplemented
    } else {
        Framing::Syntax
    }
}

fn check_method(name: &str) -> Result<Method, Framing> {
    if ["CONNECT", "TRACE", "PRI"].iter().any(|refused| name.eq_ignore_ascii_case(refused)) {
        return Err(Framing::NotImplemented);
    }
    Method::from_bytes(name.as_bytes()).map_err(|_| Framing::Syntax)
}

/// The fields that were parsed in `raw`; their values are parts of it.
pub(super) fn collect(raw: &Bytes, parsed: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::with_capacity(parsed.len());
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(raw.slice_ref(field.value)).ok()?;
        fields.append(name, value);
    }
    Some(fields)
}

/// The only value of a field, `None` where the field is absent.
fn single<'a>(
    fields: &'a HeaderMap,
    name: &HeaderName,
    error: Framing,
) -> Result<Option<&'a [u8]>, Framing> {
    let mut values = fields.get_all(name).iter();
    let first = values.next().map(HeaderValue::as_bytes);
    if values.next().is_some() { Err(error) } else { Ok(first) }
}

fn check_host(fields: &HeaderMap) -> Result<String, Framing> {
    let value = single(fields, &header::HOST, Framing::Host)?.ok_or(Framing::Host)?;
    let text = std::str::from_utf8(value).map_err(|_| Framing::Host)?.to_ascii_lowercase();
    let name = without_port(&text);
    let port = text.strip_prefix(name).unwrap_or_default();
    let known = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'[' | b']' | b':')
    };
    let port_is_number = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|digits| digits.parse::<u16>().is_ok() && !digits.starts_with('+'));
    if name.is_empty()
        || name.ends_with('.')
        || name.starts_with('.')
        || !text.bytes().all(known)
        || !port_is_number
    {
        return Err(Framing::Host);
    }
    Ok(text)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons of an IPv6 address stand inside brackets.
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

/// The path and query of a target in origin form, or in absolute form for the same host.
fn origin_form<'a>(target: &'a str, host: &str) -> Result<&'a str, Framing> {
    if target.starts_with('/') {
        return Ok(target);
    }
    let scheme = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let rest = scheme.and_then(|scheme| target.get(scheme.len()..)).ok_or(Framing::Path)?;
    let (authority, _) = rest.split_once('/').ok_or(Framing::Path)?;
    if !authority.eq_ignore_ascii_case(host) {
        return Err(Framing::Host);
    }
    rest.get(authority.len()..).ok_or(Framing::Path)
}

fn check_connection(fields: &HeaderMap) -> Result<Vec<String>, Framing> {
    if fields.contains_key(header::UPGRADE) || fields.contains_key(&HTTP2_SETTINGS) {
        return Err(Framing::NotImplemented);
    }
    let names = connection_names(fields);
    if names.iter().any(|name| name == "upgrade") {
        return Err(Framing::NotImplemented);
    }
    if names.iter().any(|name| must_stay(name)) {
        return Err(Framing::Connection);
    }
    Ok(names)
}

fn check_length(fields: &HeaderMap, is_http11: bool) -> Result<Length, Framing> {
    let length = single(fields, &header::CONTENT_LENGTH, Framing::Length)?;
    let coding = single(fields, &header::TRANSFER_ENCODING, Framing::Length)?;
    match (length, coding) {
        (None, None) => Ok(Length::Fixed(0)),
        (Some(digits), None) => decimal(digits).map(Length::Fixed).ok_or(Framing::Length),
        (None, Some(coding)) if is_http11 && coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Length::Chunked)
        }
        // One other coding is lawful but not ours to read; a list with `chunked` in it hides a second reading.
        (None, Some(coding)) if is_http11 && coding.iter().all(u8::is_ascii_alphabetic) => {
            Err(Framing::NotImplemented)
        }
        (_, Some(_)) => Err(Framing::Length),
    }
}

/// A length as every parser reads it: digits only, no leading zero.
pub fn decimal(digits: &[u8]) -> Option<u64> {
    let plain = (1..=LENGTH_DIGITS_MAX).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && (digits.len() == 1 || !digits.starts_with(b"0"));
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

fn check_expectation(fields: &HeaderMap) -> Result<bool, Framing> {
    match single(fields, &header::EXPECT, Framing::Expectation)? {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(true),
        Some(_) => Err(Framing::Expectation),
    }
}

#[cfg(test)]
mod tests;
