//! Content codings (RFC 9110 section 8.4.1), undone for reading only: what goes on stays as it came.

use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use std::borrow::Cow;
use std::io::Read;

/// The most bytes that an encoded answer may have decoded; honest ones have a few thousand.
const DECODED_BYTES_MAX: usize = 4 << 20;

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecoded {
    /// A coding that is not known here, or several.
    Coding,
    /// It is not what the coding says, or bytes follow it, which one reader drops and another reads.
    Garbled,
    /// It is over 4 MiB.
    TooLarge,
}

/// The body without the codings that the values of `Content-Encoding` name.
///
/// # Errors
/// [`Undecoded`].
pub fn decode<'b>(
    values: impl IntoIterator<Item = &'b [u8]>,
    body: &'b [u8],
) -> Result<Cow<'b, [u8]>, Undecoded> {
    let words = values.into_iter().flat_map(|value| value.split(|byte| *byte == b','));
    let words = words.map(|word| word.trim_ascii().to_ascii_lowercase());
    let mut codings = words.filter(|word| !word.is_empty() && word != b"identity");
    let Some(coding) = codings.next() else { return Ok(Cow::Borrowed(body)) };
    if codings.next().is_some() {
        return Err(Undecoded::Coding);
    }
    let (decoded, rest) = match coding.as_slice() {
        b"gzip" | b"x-gzip" | b"deflate" if body.is_empty() => return Ok(Cow::Borrowed(body)),
        b"gzip" | b"x-gzip" => {
            let mut decoder = GzDecoder::new(body);
            (read(&mut decoder)?, decoder.into_inner())
        }
        b"deflate" if has_zlib_head(body) => {
            let mut decoder = ZlibDecoder::new(body);
            (read(&mut decoder)?, decoder.into_inner())
        }
        // Old servers leave the format around it out.
        b"deflate" => {
            let mut decoder = DeflateDecoder::new(body);
            (read(&mut decoder)?, decoder.into_inner())
        }
        _ => return Err(Undecoded::Coding),
    };
    if rest.is_empty() { Ok(Cow::Owned(decoded)) } else { Err(Undecoded::Garbled) }
}

fn read(source: &mut impl Read) -> Result<Vec<u8>, Undecoded> {
    let mut decoded = Vec::new();
    let max = u64::try_from(DECODED_BYTES_MAX).unwrap_or(u64::MAX);
    let limited = &mut source.take(max.saturating_add(1));
    limited.read_to_end(&mut decoded).map_err(|_| Undecoded::Garbled)?;
    if decoded.len() > DECODED_BYTES_MAX { Err(Undecoded::TooLarge) } else { Ok(decoded) }
}

/// Whether it begins as RFC 1950 section 2.2 says: method 8, and a check that divides by 31.
fn has_zlib_head(body: &[u8]) -> bool {
    let Some([method, flags]) = body.first_chunk() else { return false };
    method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::read::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    fn all(mut encoder: impl Read) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.read_to_end(&mut out).unwrap();
        out
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        all(GzEncoder::new(body, Compression::fast()))
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        all(ZlibEncoder::new(body, Compression::fast()))
    }

    fn raw(body: &[u8]) -> Vec<u8> {
        all(DeflateEncoder::new(body, Compression::fast()))
    }

    #[test]
    fn a_coding_is_undone_or_named() {
        let check = |values: &[&str], body: Vec<u8>, expected: Result<&[u8], Undecoded>| {
            let values = values.iter().map(|value| value.as_bytes());
            assert_eq!(decode(values, &body).as_deref().map_err(|error| *error), expected);
        };
        let ok: Result<&[u8], Undecoded> = Ok(b"respCode=00");
        let plain = b"respCode=00";
        check(&[], plain.to_vec(), ok);
        check(&["identity", ""], plain.to_vec(), ok);
        check(&["gzip"], gzip(plain), ok);
        check(&["X-GZIP"], gzip(plain), ok);
        check(&[" identity, gzip "], gzip(plain), ok);
        check(&["deflate"], zlib(plain), ok);
        check(&["deflate"], raw(plain), ok);
        check(&["gzip"], Vec::new(), Ok(b""));
        check(&["br"], plain.to_vec(), Err(Undecoded::Coding));
        check(&["gzip", "gzip"], gzip(&gzip(plain)), Err(Undecoded::Coding));
        check(&["gzip"], plain.to_vec(), Err(Undecoded::Garbled));
        check(&["deflate"], plain.to_vec(), Err(Undecoded::Garbled));
        check(&["gzip"], gzip(plain)[..18].to_vec(), Err(Undecoded::Garbled));
        check(&["gzip"], [gzip(plain), gzip(b"&respCode=66")].concat(), Err(Undecoded::Garbled));
        check(&["deflate"], [zlib(plain), b"x".to_vec()].concat(), Err(Undecoded::Garbled));
        check(&["gzip"], gzip(&vec![b' '; DECODED_BYTES_MAX + 1]), Err(Undecoded::TooLarge));
        assert!(decode([&b"gzip"[..]], &gzip(&vec![b' '; DECODED_BYTES_MAX])).is_ok());
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read_and_nothing_panics(body in prop::collection::vec(any::<u8>(), 1..500)) {
            for (coding, encoded) in [("gzip", gzip(&body)), ("deflate", zlib(&body))] {
                let decoded = decode([coding.as_bytes()], &encoded);
                prop_assert_eq!(decoded.as_deref(), Ok(&body[..]));
                let _ = decode([coding.as_bytes()], &body);
            }
        }
    }
}
