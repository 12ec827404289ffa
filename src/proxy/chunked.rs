//! The strict reading of a chunked body: extensions and trailers are dropped, whatever else is odd is refused.

use super::head::Framing;
use bytes::{Buf, BytesMut};

/// The longest line between chunks, extensions included.
const LINE_MAX: usize = 256;
/// All trailers together.
const TRAILERS_MAX: usize = 8 * 1024;
/// The most hexadecimal digits of a size.
const SIZE_DIGITS_MAX: usize = 8;

/// Where the reader stands.
#[derive(Debug)]
enum State {
    Size,
    Data(usize),
    DataEnd,
    Trailers { read: usize },
    Done,
}

/// Reads one chunked body, piece by piece.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
}

impl Chunked {
    /// At the first chunk.
    pub(super) const fn new() -> Self {
        Self { state: State::Size }
    }

    /// Moves what can be read from `input` to `body`, and says whether the body is complete. Bytes that follow it
    /// stay in `input`.
    ///
    /// # Errors
    /// [`Framing::Chunk`] where it is malformed.
    pub(super) fn read(
        &mut self,
        input: &mut BytesMut,
        body: &mut BytesMut,
    ) -> Result<bool, Framing> {
        loop {
            self.state = match self.state {
                State::Done => return Ok(true),
                State::Size => match take_line(input)? {
                    None => return Ok(false),
                    Some(line) => match size(&line)? {
                        0 => State::Trailers { read: 0 },
                        size => State::Data(size),
                    },
                },
                State::Data(left) => {
                    let now = left.min(input.len());
                    body.extend_from_slice(&input.split_to(now));
                    match left - now {
                        0 => State::DataEnd,
                        left => {
                            self.state = State::Data(left);
                            return Ok(false);
                        }
                    }
                }
                State::DataEnd => match input.first_chunk::<2>() {
                    None if input.first().is_none_or(|byte| *byte == b'\r') => return Ok(false),
                    Some(b"\r\n") => {
                        input.advance(2);
                        State::Size
                    }
                    _ => return Err(Framing::Chunk),
                },
                State::Trailers { read } => match take_line(input)? {
                    None => return Ok(false),
                    Some(line) if line.is_empty() => State::Done,
                    Some(line) if read + line.len() <= TRAILERS_MAX && is_field(&line) => {
                        State::Trailers { read: read + line.len() }
                    }
                    Some(_) => return Err(Framing::Chunk),
                },
            };
        }
    }

    /// What is left of the current chunk: a size may be declared that no body within the limit can hold.
    pub(super) const fn declared(&self) -> usize {
        match self.state {
            State::Data(left) => left,
            State::Size | State::DataEnd | State::Trailers { .. } | State::Done => 0,
        }
    }
}

/// A line without its CRLF; `None` where it has not come whole.
fn take_line(input: &mut BytesMut) -> Result<Option<BytesMut>, Framing> {
    let Some(end) = input.iter().take(LINE_MAX).position(|byte| *byte == b'\n') else {
        return if input.len() < LINE_MAX { Ok(None) } else { Err(Framing::Chunk) };
    };
    let mut line = input.split_to(end + 1);
    let text = line.strip_suffix(b"\r\n").ok_or(Framing::Chunk)?.len();
    line.truncate(text);
    let plain = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    if line.iter().all(plain) { Ok(Some(line)) } else { Err(Framing::Chunk) }
}

fn size(line: &[u8]) -> Result<usize, Framing> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    if !(1..=SIZE_DIGITS_MAX).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Framing::Chunk);
    }
    let text = std::str::from_utf8(digits).map_err(|_| Framing::Chunk)?;
    usize::from_str_radix(text, 16).map_err(|_| Framing::Chunk)
}

fn is_field(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    name.len() < line.len() && http::HeaderName::from_bytes(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::Chunked;
    use bytes::BytesMut;

    /// Reads it at once and byte by byte: both must say the same.
    fn check(raw: &str, expected: &str) {
        let whole = read([raw.as_bytes()]);
        assert_eq!(whole, expected, "{raw:?}");
        assert_eq!(read(raw.as_bytes().chunks(1)), whole, "{raw:?} byte by byte");
    }

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
        let (mut chunked, mut input, mut body) = (Chunked::new(), BytesMut::new(), BytesMut::new());
        let mut done = false;
        for piece in pieces {
            input.extend_from_slice(piece);
            match chunked.read(&mut input, &mut body) {
                Ok(now) => done = now,
                Err(_) => return "refused".into(),
            }
        }
        let rest = String::from_utf8(input.to_vec()).unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        if done { format!("{body}|{rest}") } else { format!("{body}…") }
    }

    #[test]
    fn chunks_have_one_reading() {
        check("0\r\n\r\n", "|");
        check("3\r\nabc\r\n0\r\n\r\n", "abc|");
        check("1\r\na\r\n00000002\r\nbc\r\n0\r\n\r\nGET /", "abc|GET /");
        check("A\r\n0123456789\r\n0\r\n\r\n", "0123456789|");
        check("3;name=\"v\";x\r\nabc\r\n0;last\r\n\r\n", "abc|");
        check("3\r\nabc\r\n0\r\nHost: evil\r\nHefu-Account: x\r\n\r\n", "abc|");
        check("3\r\nab", "ab…");
        check("3\r\nabc\r\n0\r\n", "abc…");
        for raw in [
            "\r\n",
            "3\nabc\r\n0\r\n\r\n",
            "3\r\nabc0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "0x3\r\nabc\r\n",
            "+3\r\nabc\r\n",
            "-1\r\n",
            "3 \r\nabc\r\n",
            " 3\r\nabc\r\n",
            "3 ;x\r\nabc\r\n",
            "g\r\n",
            "FFFFFFFFF\r\n",
            "000000003\r\nabc\r\n",
            "3;a\rb\r\nabc\r\n",
            "3;a\0\r\nabc\r\n",
            "0\r\n\n",
            "0\r\nX\r\n\r\n",
            "0\r\n X: y\r\n\r\n",
            "0\r\nX: y\n\r\n",
        ] {
            check(raw, "refused");
        }
        check(&format!("3;{}\r\nabc\r\n", "x".repeat(300)), "refused");
        check(&format!("0\r\n{}\r\n", "X: yyyyyyyyyyyyyyyy\r\n".repeat(500)), "refused");
    }
}
