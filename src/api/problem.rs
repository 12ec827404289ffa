//! Errors as `application/problem+json` (RFC 9457).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::borrow::Cow;
use std::time::Duration;

/// An error as `application/problem+json` (RFC 9457).
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    field: Option<&'static str>,
    lines: Vec<(u32, &'static str, &'static str)>,
    after: Option<Duration>,
}

impl Problem {
    /// A problem with a fixed text.
    pub const fn new(status: StatusCode, detail: &'static str) -> Self {
        Self { status, detail: Cow::Borrowed(detail), field: None, lines: Vec::new(), after: None }
    }

    /// A problem with a text made here: never a value of a person's in it.
    pub fn said(status: StatusCode, detail: String) -> Self {
        Self { status, detail: Cow::Owned(detail), field: None, lines: Vec::new(), after: None }
    }

    /// A problem of which somebody else has the words: never a value in them.
    pub fn told(status: StatusCode, error: &impl std::error::Error) -> Self {
        Self::said(status, error.to_string())
    }

    /// The same problem, with the field of the body that it is about.
    #[must_use]
    pub fn of_field(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    /// The same problem, with when to come again: in whole seconds, and no sooner.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self { after: Some(wait), ..self }
    }

    /// The same problem, with what is wrong in which lines of the body: number, field, and why.
    #[must_use]
    pub fn of_lines(self, lines: Vec<(u32, &'static str, &'static str)>) -> Self {
        Self { lines, ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let (Some(field), Some(body)) = (self.field, body.as_object_mut()) {
            body.insert("field".to_owned(), field.into());
        }
        let line = |(line, field, detail): &_| serde_json::json!({ "line": line, "field": field, "detail": detail });
        let lines: Vec<_> = self.lines.iter().map(line).collect();
        if let Some(body) = body.as_object_mut().filter(|_| !lines.is_empty()) {
            body.insert("lines".to_owned(), lines.into());
        }
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut answer = (self.status, kind, body.to_string()).into_response();
        if let Some(wait) = self.after {
            let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
            answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        answer
    }
}
