//! The bytes that leave: heads are rewritten line by line from the raw ones, so that order and letter case stay.

use super::answer::AnswerHead;
use super::gate::Annotations;
use super::head::{self, Head, Length};
use super::refuse::put_fields;
use bytes::{BufMut, BytesMut};
use http::{HeaderMap, header};
use std::fmt::Write as _;

/// How the core learns where the answer's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// As the channel's head says: nothing is changed.
    AsTold,
    /// By a length, since the body was read whole.
    Length(usize),
    /// By chunks, since it is streamed on.
    Chunks,
    /// By the end of the connection.
    Close,
}

/// The request as it goes on, head and body in one piece. A chunked body leaves with a length.
pub(super) fn request(head: &Head, raw: &[u8], body: &[u8], annotations: &Annotations) -> BytesMut {
    let mut out = BytesMut::with_capacity(raw.len() + 32 + body.len());
    put_request_head(&mut out, head, raw, Some(body.len()), annotations);
    out.put_slice(body);
    out
}

/// The head of a request whose body goes on as it comes: by its length, or by chunks.
pub(super) fn streamed_request(head: &Head, raw: &[u8]) -> BytesMut {
    let mut out = BytesMut::with_capacity(raw.len() + 32);
    let length = match head.length {
        Length::Fixed(length) => usize::try_from(length).ok(),
        Length::Chunked => None,
    };
    put_request_head(&mut out, head, raw, length, &Annotations::new());
    out
}

fn put_request_head(
    out: &mut BytesMut,
    head: &Head,
    raw: &[u8],
    length: Option<usize>,
    annotations: &Annotations,
) {
    out.put_slice(head.method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(raw.get(head.target.clone()).unwrap_or_default());
    out.put_slice(b" HTTP/1.1\r\n");
    let dropped = named(&head.fields);
    for (name, line) in lines(raw) {
        if name.eq_ignore_ascii_case("content-length") {
            put_length(out, length.unwrap_or_default());
        } else if !head::stays_here(name) && !is_in(&dropped, name) {
            put_line(out, line);
        }
    }
    match (head.length, length) {
        (Length::Chunked, Some(length)) => put_length(out, length),
        (Length::Chunked, None) => put_line(out, b"Transfer-Encoding: chunked"),
        (Length::Fixed(_), _) => {}
    }
    put_fields(out, annotations);
    out.put_slice(b"\r\n");
}

/// The head of the channel's answer as it goes to the core, with room for so many bytes after it.
pub(super) fn answer(
    answer: &AnswerHead,
    annotations: &Annotations,
    ending: Ending,
    connection: Option<&str>,
    room: usize,
) -> BytesMut {
    let raw = &answer.raw;
    let told = annotations.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let mut out = BytesMut::with_capacity(raw.len() + 64 + told.sum::<usize>() + room);
    // The version is the connection's, not the channel's; the reason stays.
    out.put_slice(b"HTTP/1.1");
    let status_line = raw.split(|byte| *byte == b'\r').next().unwrap_or_default();
    out.put_slice(status_line.get(8..).unwrap_or_default());
    out.put_slice(b"\r\n");
    let dropped = named(&answer.fields);
    for (name, line) in lines(raw) {
        let told = ending == Ending::AsTold || !name.eq_ignore_ascii_case("content-length");
        if told && !head::stays_here(name) && !is_in(&dropped, name) {
            put_line(&mut out, line);
        }
    }
    match ending {
        Ending::Length(length) => put_length(&mut out, length),
        Ending::Chunks => out.put_slice(b"Transfer-Encoding: chunked\r\n"),
        Ending::AsTold | Ending::Close => {}
    }
    put_fields(&mut out, annotations);
    if let Some(connection) = connection {
        out.put_slice(b"Connection: ");
        put_line(&mut out, connection.as_bytes());
    }
    out.put_slice(b"\r\n");
    out
}

/// A piece of a body that is streamed on by chunks; the last one ends it.
pub(super) fn chunk(out: &mut BytesMut, piece: &[u8], last: bool) {
    if !piece.is_empty() {
        out.put_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.put_slice(piece);
        out.put_slice(b"\r\n");
    }
    if last {
        out.put_slice(b"0\r\n\r\n");
    }
}

/// The field lines of a checked head, without their line endings, and the name of each.
fn lines(raw: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    raw.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        let line = line.strip_suffix(b"\r")?;
        let name =
            line.split(|byte| *byte == b':').next().filter(|name| name.len() < line.len())?;
        Some((std::str::from_utf8(name).ok()?, line))
    })
}

/// What `Connection` names and may be dropped. Without the length of its body an answer would end elsewhere for the core.
fn named(fields: &HeaderMap) -> Vec<String> {
    if !fields.contains_key(header::CONNECTION) {
        return Vec::new();
    }
    let mut names = head::connection_names(fields);
    names.retain(|name| !head::must_stay(name));
    names
}

fn is_in(dropped: &[String], name: &str) -> bool {
    dropped.iter().any(|other| other.eq_ignore_ascii_case(name))
}

fn put_line(out: &mut BytesMut, line: &[u8]) {
    out.put_slice(line);
    out.put_slice(b"\r\n");
}

fn put_length(out: &mut BytesMut, length: usize) {
    // A buffer takes whatever is written.
    let _ = write!(out, "Content-Length: {length}\r\n");
}

#[cfg(test)]
mod tests {
    use super::{Ending, answer, request};
    use crate::proxy::answer::AnswerHead;
    use crate::proxy::head::check_head;
    use expect_test::{Expect, expect};
    use http::{HeaderName, HeaderValue};

    fn request_of(raw: &str, expected: Expect) {
        let raw = raw.replace('\n', "\r\n");
        let out =
            request(&check_head(raw.as_bytes()).unwrap(), raw.as_bytes(), b"body", &Vec::new());
        expected.assert_eq(&String::from_utf8(out.to_vec()).unwrap().replace("\r\n", "\n"));
    }

    #[test]
    fn a_request_keeps_its_order_and_case() {
        request_of(
            "POST http://bank/A?b=1 HTTP/1.0\nX-oDD: 1\nHost: bank\nHefu-Elements: pan=:NA==:\nConnection: X-Hop\nx-hop: 1\ncontent-length: 4\nKeep-Alive: 5\nx-odd:2\n\n",
            expect![[r"
                POST /A?b=1 HTTP/1.1
                X-oDD: 1
                Host: bank
                Content-Length: 4
                x-odd:2

                body"]],
        );
        request_of(
            "POST /a HTTP/1.1\nHost: bank\nTransfer-Encoding: chunked\nExpect: 100-continue\nTE: trailers\nTrailer: X\nX-Last: 1\n\n",
            expect![[r"
                POST /a HTTP/1.1
                Host: bank
                X-Last: 1
                Content-Length: 4

                body"]],
        );
        request_of(
            "GET /a HTTP/1.1\nHost: bank\n\n",
            expect![[r"
            GET /a HTTP/1.1
            Host: bank

            body"]],
        );
    }

    /// The core was to read to the end of a connection that stayed open.
    #[test]
    fn an_answer_keeps_its_length_whatever_connection_names() {
        let raw = "HTTP/1.1 200 OK\r\nConnection: Content-Length, content-TYPE, X-Hop\r\nContent-Length: 4\r\nContent-Type: a/b\r\nX-Hop: 1\r\n\r\n";
        let head = AnswerHead::read(raw.into()).unwrap();
        let out = answer(&head, &Vec::new(), Ending::AsTold, None, 0);
        expect![[r"
            HTTP/1.1 200 OK
            Content-Length: 4
            Content-Type: a/b

        "]]
        .assert_eq(&String::from_utf8(out.to_vec()).unwrap().replace("\r\n", "\n"));
    }

    #[test]
    fn an_answer_keeps_its_order_and_case() {
        let raw = "HTTP/1.0 200 Fine so far\r\nserver: x\r\nContent-Length: 4\r\nHEFU-Decision: permit\r\nSet-Cookie: a\r\nset-cookie: b\r\nConnection: close\r\n\r\n";
        let head = AnswerHead::read(raw.into()).unwrap();
        let annotations =
            vec![(HeaderName::from_static("hefu-outcome"), HeaderValue::from_static("accepted"))];
        let out = answer(&head, &annotations, Ending::AsTold, Some("close"), 0);
        expect![[r"
            HTTP/1.1 200 Fine so far
            server: x
            Content-Length: 4
            Set-Cookie: a
            set-cookie: b
            Hefu-Outcome: accepted
            Connection: close

        "]]
        .assert_eq(&String::from_utf8(out.to_vec()).unwrap().replace("\r\n", "\n"));
    }
}
