//! The strict reading of a channel's answer head. One that two readers could read differently is no answer.

use super::chunked::Chunked;
use super::head::{self, FIELDS_MAX};
use super::wire::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use std::mem::MaybeUninit;

/// An answer head that has one reading.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) status: u16,
    pub(super) raw: Bytes,
    pub(super) fields: HeaderMap,
    keep_alive: bool,
}

impl AnswerHead {
    /// `None` where it is no answer.
    pub(super) fn read(raw: Bytes) -> Option<Self> {
        head::check_bytes(&raw).ok()?;
        let mut parsed = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let complete = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            &raw,
            &mut parsed,
        ) == Ok(httparse::Status::Complete(raw.len()));
        let status = response.code.filter(|_| complete && raw.starts_with(b"HTTP/"))?;
        let fields = head::collect(&raw, response.headers)?;
        let names = head::connection_names(&fields);
        let says = |token: &str| names.iter().any(|name| name == token);
        let keep_alive = !says("close") && (response.version == Some(1) || says("keep-alive"));
        (status >= 100).then_some(Self { status, raw, fields, keep_alive })
    }

    /// Whether another answer follows this one.
    pub(super) const fn is_interim(&self) -> bool {
        // 101 would end HTTP on this connection, and nobody asked for that.
        self.status < 200 && self.status != 101
    }

    /// How the body ends. `None` where that has two readings.
    pub(super) fn body(&self, to_head: bool) -> Option<Body> {
        let mut lengths = self
            .fields
            .get_all(header::CONTENT_LENGTH)
            .iter()
            .map(|value| head::decimal(value.as_bytes()));
        let length = lengths.next();
        let coding = self.fields.get_all(header::TRANSFER_ENCODING).iter().collect::<Vec<_>>();
        if length.is_some_and(|first| first.is_none() || lengths.any(|other| other != first)) {
            return None;
        }
        let body = match (length.flatten(), coding.as_slice()) {
            (None, []) => Body::UntilClose,
            (Some(length), []) => Body::Fixed(length),
            (None, [coding]) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
                Body::Chunked(Chunked::new())
            }
            _ => return None,
        };
        let has_none = to_head || matches!(self.status, 204 | 304);
        Some(if has_none { Body::Fixed(0) } else { body })
    }

    /// Whether the connection may carry another message after this body.
    pub(super) const fn keeps_alive(&self, body: &Body) -> bool {
        self.keep_alive && !matches!(body, Body::UntilClose)
    }
}

#[cfg(test)]
mod tests {
    use super::AnswerHead;
    use crate::proxy::wire::Body;

    fn check(raw: &str, expected: &str) {
        let head = AnswerHead::read(format!("{raw}\r\n\r\n").into());
        let body = head.as_ref().and_then(|head| Some((head.body(false)?, head)));
        let said = match &body {
            None => "refused".into(),
            Some((Body::Fixed(length), head)) => {
                format!("{length} {}", head.keeps_alive(&Body::Fixed(0)))
            }
            Some((Body::Chunked(_), head)) => {
                format!("chunked {}", head.keeps_alive(&Body::Fixed(0)))
            }
            Some((body @ Body::UntilClose, head)) => format!("close {}", head.keeps_alive(body)),
        };
        assert_eq!(said, expected, "{raw:?}");
    }

    #[test]
    fn an_answer_has_one_reading() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 3", "3 true");
        check("HTTP/1.1 200\r\nContent-Length: 3", "3 true");
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\ncontent-length: 3", "3 true");
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close", "3 false");
        check("HTTP/1.0 200 OK\r\nContent-Length: 3", "3 false");
        check("HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: Keep-Alive", "3 true");
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked", "chunked true");
        check("HTTP/1.1 200 OK", "close false");
        check("HTTP/1.1 204 No Content\r\nContent-Length: 3", "0 true");
        check("HTTP/1.1 304 Not Modified\r\nContent-Length: 3", "0 true");
        for raw in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4",
            "HTTP/1.1 200 OK\r\nContent-Length: +3",
            "HTTP/1.1 200 OK\r\nContent-Length: 3, 3",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "HTTP/1.1 200 OK\r\nX-A: b\r\n c",
            "HTTP/1.1 200 OK\r\nX-A : b",
            "HTTP/1.1 200 OK\r\nX-A: \0",
            "HTTP/1.1 OK",
            "HTTP/2.0 200 OK",
            "ICY 200 OK",
            "\r\nHTTP/1.1 200 OK",
            "<html>",
        ] {
            check(raw, "refused");
        }
    }
}
