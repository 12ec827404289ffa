//! A captured HTTP message, as a file holds it: the head in lines, an empty line, and the body byte for byte.

/// A message from a file. One line feed at the end of the file is the file's own and no part of the body.
#[derive(Debug, PartialEq, Eq)]
pub struct Captured<'a> {
    /// The first line: of a request or of a response. Empty where the file holds a body alone.
    pub start: &'a str,
    /// Names in lower case, and values as they were written.
    pub fields: Vec<(String, &'a [u8])>,
    /// The body.
    pub body: &'a [u8],
}

/// The file is no captured message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCaptured {
    /// There is no request line.
    #[error(
        "no captured request: begin it with a line such as `POST /path`, then its headers, an empty line, and the body"
    )]
    RequestLine,
    /// A line of the head is none.
    #[error(
        "line {0} of the captured message is no `Name: value`, and no empty line ended its head before"
    )]
    Field(usize),
}

impl<'a> Captured<'a> {
    /// Reads a captured request.
    ///
    /// # Errors
    /// [`NotCaptured`] where it is none.
    pub fn request(file: &'a [u8]) -> Result<Self, NotCaptured> {
        let captured = Self::parse(file)?;
        let is_method = |method: &str| {
            !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase())
        };
        match captured.start.split_once(' ') {
            Some((method, target)) if is_method(method) && target.starts_with('/') => Ok(captured),
            _ => Err(NotCaptured::RequestLine),
        }
    }

    /// Reads a captured response, or its body alone.
    ///
    /// # Errors
    /// [`NotCaptured::Field`] where it begins as a response and its head is none.
    pub fn response(file: &'a [u8]) -> Result<Self, NotCaptured> {
        if file.starts_with(b"HTTP/") {
            return Self::parse(file);
        }
        Ok(Self { start: "", fields: Vec::new(), body: file.strip_suffix(b"\n").unwrap_or(file) })
    }

    fn parse(file: &'a [u8]) -> Result<Self, NotCaptured> {
        let mut rest = file;
        let mut line = || {
            let at = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let (line, after) = rest.split_at_checked(at)?;
            let more = after.strip_prefix(b"\n");
            rest = more.unwrap_or_default();
            (more.is_some() || !line.is_empty()).then(|| line.strip_suffix(b"\r").unwrap_or(line))
        };
        let start = line().and_then(|line| std::str::from_utf8(line).ok());
        let start = start.ok_or(NotCaptured::RequestLine)?;
        let mut fields = Vec::new();
        while let Some(line) = line().filter(|line| !line.is_empty()) {
            let at = line.iter().position(|byte| *byte == b':');
            let (name, value) = at.and_then(|at| line.split_at_checked(at)).unwrap_or_default();
            let name = std::str::from_utf8(name).unwrap_or_default();
            if name.is_empty() || name.contains(' ') {
                return Err(NotCaptured::Field(fields.len().saturating_add(2)));
            }
            let value = value.strip_prefix(b":").unwrap_or(value);
            fields.push((name.to_ascii_lowercase(), value.trim_ascii()));
        }
        Ok(Self { start, fields, body: rest.strip_suffix(b"\n").unwrap_or(rest) })
    }

    /// The value of a header, where it stands once and is text.
    pub fn field(&self, name: &str) -> Option<&'a str> {
        let mut found = self.fields.iter().filter(|(known, _)| known == name);
        let (_, value) = found.next()?;
        found.next().is_none().then(|| std::str::from_utf8(value).ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First line, fields, body.
    type Parts<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [u8]);

    fn check(file: &[u8], expected: Result<Parts<'_>, NotCaptured>) {
        let captured = Captured::request(file);
        let expected = expected.map(|(start, fields, body)| {
            let fields =
                fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes())).collect();
            Captured { start, fields, body }
        });
        assert_eq!(captured, expected, "{}", String::from_utf8_lossy(file));
    }

    #[test]
    fn a_captured_message_keeps_its_bytes() {
        check(b"POST /a\n\nx=1\n", Ok(("POST /a", &[], b"x=1")));
        check(b"POST /a\n\nx=1\r\n\n", Ok(("POST /a", &[], b"x=1\r\n")));
        check(
            b"POST /a HTTP/1.1\r\nContent-Type: text/xml\r\nX:\r\n\r\n\xFF\n\n<a/>",
            Ok(("POST /a HTTP/1.1", &[("content-type", "text/xml"), ("x", "")], b"\xFF\n\n<a/>")),
        );
        check(b"GET /a?b=1\n", Ok(("GET /a?b=1", &[], b"")));
        check(b"GET /a?b=1", Ok(("GET /a?b=1", &[], b"")));
        check(b"POST /a\nx=1", Err(NotCaptured::Field(2)));
        check(b"x=1&y=2", Err(NotCaptured::RequestLine));
        check(b"", Err(NotCaptured::RequestLine));
    }

    #[test]
    fn an_answer_is_a_body_or_a_response() {
        let body = |file: &'static [u8]| Captured::response(file).unwrap().body;
        assert_eq!(body(b"code=00\n"), b"code=00");
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\ncode=00"), b"code=00");
        assert_eq!(Captured::response(b"HTTP/1.1 200\ncode=00"), Err(NotCaptured::Field(2)));
    }
}
