//! What the core is told when nothing of the channel's can be told: `application/problem+json` (RFC 9457).

use super::gate::InDoubt;
use super::head::Framing;
use bytes::{BufMut, BytesMut};
use http::{HeaderName, HeaderValue};
use serde::Serialize;

/// Why there is no answer of the channel. The status, the type, and whether the message may have been forwarded follow
/// from it, so that they cannot contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The head or body has no single reading.
    Framing(Framing),
    /// Verification, a hold, or a rule refuses it.
    Refused,
    /// The request belongs to no route.
    NoRoute,
    /// The request did not come whole in time.
    Slow,
    /// The order's message may have left before.
    AlreadySent,
    /// The body is over the limit.
    TooLarge,
    /// The body is coded in a way that cannot be read.
    Unsupported,
    /// The message is unreadable or ambiguous.
    Unreadable,
    /// It cannot be judged or forwarded now.
    Unavailable,
    /// It was sent, and what came of it is unknown.
    InDoubt,
}

impl Kind {
    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::Framing(Framing::TooLarge) => 431,
            Self::Framing(Framing::NotImplemented) => 501,
            Self::Framing(_) => 400,
            Self::Refused => 403,
            Self::NoRoute => 404,
            Self::Slow => 408,
            Self::AlreadySent => 409,
            Self::TooLarge => 413,
            Self::Unsupported => 415,
            Self::Unreadable => 422,
            Self::Unavailable => 503,
            Self::InDoubt => 504,
        }
    }

    /// Whether the message may have reached the channel.
    pub const fn forwarded(self) -> bool {
        matches!(self, Self::AlreadySent | Self::InDoubt)
    }

    /// The whole answer to a channel whose notification is refused.
    pub(super) fn to_channel(self) -> BytesMut {
        bare(&format!("{} {}", self.status(), self.reason_phrase()), false)
    }

    const fn urn(self) -> &'static str {
        match self {
            Self::Framing(_) => "urn:hefu:framing",
            Self::Refused => "urn:hefu:refused",
            Self::NoRoute => "urn:hefu:no_route",
            Self::Slow => "urn:hefu:too_slow",
            Self::AlreadySent => "urn:hefu:already_sent",
            Self::TooLarge => "urn:hefu:too_large",
            Self::Unsupported => "urn:hefu:unsupported",
            Self::Unreadable => "urn:hefu:unreadable",
            Self::Unavailable => "urn:hefu:unavailable",
            Self::InDoubt => "urn:hefu:in_doubt",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Framing(_) => "The request has no single reading",
            Self::Refused => "The payment is refused",
            Self::NoRoute => "The request belongs to no route",
            Self::Slow => "The request did not come whole in time",
            Self::AlreadySent => "The order may have been sent before: query it",
            Self::TooLarge => "The body is over the limit",
            Self::Unsupported => "The body is coded in a way that cannot be read",
            Self::Unreadable => "The message is unreadable or ambiguous",
            Self::Unavailable => "The message cannot be judged or forwarded now",
            Self::InDoubt => "It was sent, and what came of it is unknown: query it",
        }
    }

    const fn reason_phrase(self) -> &'static str {
        match self.status() {
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            408 => "Request Timeout",
            409 => "Conflict",
            413 => "Content Too Large",
            415 => "Unsupported Media Type",
            422 => "Unprocessable Content",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            _ => "Gateway Timeout",
        }
    }
}

/// What a customer is told.
#[derive(Clone, Debug, Serialize)]
pub struct Hint {
    /// For programs.
    pub code: &'static str,
    /// In English.
    pub en: &'static str,
    /// In Chinese.
    pub zh: &'static str,
}

/// One refused row of a batch.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its number, from 1.
    pub row: usize,
    /// Why.
    pub reasons: Vec<&'static str>,
    /// The elements to blame.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elements: Vec<&'static str>,
    /// How often its elements may still be tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts_left: Option<u32>,
}

/// A refusal, or another answer of our own.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Why.
    pub kind: Kind,
    /// Instead of the kind's own title.
    pub title: Option<&'static str>,
    /// What is wrong and where, without values; a framing fault says it by itself.
    pub detail: Option<String>,
    /// The payment's id, where there is a payment.
    pub payment: Option<String>,
    /// The decision's reasons.
    pub reasons: Vec<&'static str>,
    /// The elements to blame.
    pub elements: Vec<&'static str>,
    /// How often these elements may still be tried.
    pub attempts_left: Option<u32>,
    /// The payment of the same order that may have left before.
    pub earlier: Option<Earlier>,
    /// How the customer gets on.
    pub ways_out: Vec<&'static str>,
    /// For the customer.
    pub hint: Option<Hint>,
    /// The refused rows of a batch.
    pub rows: Vec<Row>,
    /// The rule behind it, and its own reason.
    pub rule: Option<Rule>,
    /// After how many seconds to come again.
    pub retry_after: Option<u32>,
    /// `Hefu-*` headers.
    pub annotations: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<&'a str>,
    forwarded: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reasons: &'a [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    elements: &'a [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts_left: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earlier: Option<&'a Earlier>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ways_out: &'a [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a Hint>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    rows: &'a [Row],
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a Rule>,
}

/// A payment of the same order, as a core is told of it.
#[derive(Clone, Debug, Serialize)]
pub struct Earlier {
    /// Its id.
    pub payment: String,
    /// Its outcome, or `open`.
    pub state: &'static str,
    /// In what the one that comes now differs from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<&'static str>,
}

/// A rule of the risk team, as a core is told of it.
#[derive(Clone, Debug, Serialize)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// Its own reason.
    pub reason: String,
}

impl Problem {
    /// With nothing to say but its kind.
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            title: None,
            detail: None,
            payment: None,
            reasons: Vec::new(),
            elements: Vec::new(),
            attempts_left: None,
            earlier: None,
            ways_out: Vec::new(),
            hint: None,
            rows: Vec::new(),
            rule: None,
            retry_after: if matches!(kind, Kind::Unavailable) { Some(1) } else { None },
            annotations: Vec::new(),
        }
    }

    /// The body.
    pub fn json(&self) -> Vec<u8> {
        let detail = match self.kind {
            Kind::Framing(framing) => Some(framing.to_string()),
            _ => self.detail.clone(),
        };
        let body = Body {
            r#type: self.kind.urn(),
            title: self.title.unwrap_or(self.kind.title()),
            status: self.kind.status(),
            detail,
            payment: self.payment.as_deref(),
            forwarded: self.kind.forwarded(),
            reasons: &self.reasons,
            elements: &self.elements,
            attempts_left: self.attempts_left,
            earlier: self.earlier.as_ref(),
            ways_out: &self.ways_out,
            hint: self.hint.as_ref(),
            rows: &self.rows,
            rule: self.rule.as_ref(),
        };
        // Strings and numbers always serialize; an empty body would still carry its status.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// The whole answer, ready to be written at once.
    pub(super) fn to_bytes(&self, keep_alive: bool, has_body: bool) -> BytesMut {
        let body = self.json();
        let mut out = BytesMut::with_capacity(512 + body.len());
        let (status, phrase) = (self.kind.status(), self.kind.reason_phrase());
        out.put_slice(format!("HTTP/1.1 {status} {phrase}\r\n").as_bytes());
        out.put_slice(b"Content-Type: application/problem+json\r\n");
        out.put_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        if let Some(seconds) = self.retry_after {
            out.put_slice(format!("Retry-After: {seconds}\r\n").as_bytes());
        }
        put_fields(&mut out, &self.annotations);
        out.put_slice(if keep_alive {
            b"Connection: keep-alive\r\n\r\n"
        } else {
            b"Connection: close\r\n\r\n"
        });
        if has_body {
            out.put_slice(&body);
        }
        out
    }
}

/// Why a channel gets no acknowledgement of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The core could not be reached, or what it answered cannot be read.
    NotReached,
    /// It did not answer in time.
    Late,
    /// It did, and what the notification says could not be kept.
    NotKept,
}

impl From<InDoubt> for Unanswered {
    fn from(doubt: InDoubt) -> Self {
        match doubt {
            InDoubt::Late => Self::Late,
            InDoubt::Broken | InDoubt::Garbled => Self::NotReached,
        }
    }
}

impl Unanswered {
    /// The whole answer.
    pub(super) fn to_bytes(self, keep_alive: bool) -> BytesMut {
        let phrase = match self {
            Self::NotReached => "Bad Gateway",
            Self::Late => "Gateway Timeout",
            Self::NotKept => "Service Unavailable",
        };
        bare(&format!("{} {phrase}", self.status()), keep_alive)
    }

    /// Its status.
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::NotReached => 502,
            Self::Late => 504,
            Self::NotKept => 503,
        }
    }
}

/// An answer to a channel: nothing of ours reaches it but the status.
fn bare(status: &str, keep_alive: bool) -> BytesMut {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: {connection}\r\n\r\n");
    BytesMut::from(head.as_bytes())
}

/// Writes fields as they stand on the wire, in title case.
pub(super) fn put_fields(out: &mut BytesMut, fields: &[(HeaderName, HeaderValue)]) {
    for (name, value) in fields {
        let (begins, mut start) = (out.len(), true);
        out.put_slice(name.as_str().as_bytes());
        for byte in out.iter_mut().skip(begins) {
            if start {
                byte.make_ascii_uppercase();
            }
            start = *byte == b'-';
        }
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::{Hint, Kind, Problem, Row};
    use crate::proxy::head::Framing;
    use expect_test::{Expect, expect};
    use http::{HeaderName, HeaderValue};

    fn check(problem: &Problem, expected: Expect) {
        expected.assert_eq(&String::from_utf8(problem.json()).unwrap());
    }

    #[test]
    fn a_refusal_says_what_the_core_needs() {
        let mut problem = Problem::new(Kind::Refused);
        problem.title = Some("Verification does not match");
        problem.payment = Some("01J9Z".into());
        problem.reasons = vec!["no_match"];
        problem.elements = vec!["phone"];
        problem.attempts_left = Some(2);
        problem.ways_out = vec!["rebind", "verify"];
        problem.hint = Some(Hint {
            code: "use_bank_reserved_phone",
            en: "Use the phone number reserved with the bank.",
            zh: "请使用银行预留手机号。",
        });
        check(
            &problem,
            expect![[
                r#"{"type":"urn:hefu:refused","title":"Verification does not match","status":403,"payment":"01J9Z","forwarded":false,"reasons":["no_match"],"elements":["phone"],"attempts_left":2,"ways_out":["rebind","verify"],"hint":{"code":"use_bank_reserved_phone","en":"Use the phone number reserved with the bank.","zh":"请使用银行预留手机号。"}}"#
            ]],
        );
        problem = Problem::new(Kind::Refused);
        problem.rows = vec![Row {
            row: 3,
            reasons: vec!["no_match"],
            elements: vec![],
            attempts_left: Some(1),
        }];
        check(
            &problem,
            expect![[
                r#"{"type":"urn:hefu:refused","title":"The payment is refused","status":403,"forwarded":false,"rows":[{"row":3,"reasons":["no_match"],"attempts_left":1}]}"#
            ]],
        );
        check(
            &Problem::new(Kind::Framing(Framing::Length)),
            expect![[
                r#"{"type":"urn:hefu:framing","title":"The request has no single reading","status":400,"detail":"the length of the body is ambiguous","forwarded":false}"#
            ]],
        );
        check(
            &Problem::new(Kind::InDoubt),
            expect![[
                r#"{"type":"urn:hefu:in_doubt","title":"It was sent, and what came of it is unknown: query it","status":504,"forwarded":true}"#
            ]],
        );
    }

    #[test]
    fn a_refusal_on_the_wire() {
        let mut problem = Problem::new(Kind::Unavailable);
        problem.annotations = vec![(
            HeaderName::from_static("hefu-decision"),
            HeaderValue::from_static("refuse;reason=store_lost"),
        )];
        let head = String::from_utf8(problem.to_bytes(false, false).to_vec()).unwrap();
        expect![[r"
            HTTP/1.1 503 Service Unavailable
            Content-Type: application/problem+json
            Content-Length: 118
            Retry-After: 1
            Hefu-Decision: refuse;reason=store_lost
            Connection: close

        "]]
        .assert_eq(&head.replace("\r\n", "\n"));
    }
}
