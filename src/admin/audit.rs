//! Who does something through the API, and that it is noted before they are answered.

use super::Admin;
use super::body::Problem;
use crate::service::audit::has_long_number;
use crate::store::audit::{Action, Head, Noted};
use axum::Json;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Where whoever holds the token says who they are.
const HEADER: &str = "Hefu-Operator";

/// The most characters of that.
const OPERATOR_MAX: usize = 64;

/// Who, where nobody says.
const TOKEN: &str = "admin token";

/// Who does it, as far as is known: whoever holds the token, and says so.
pub(super) struct Operator(String);

impl Operator {
    pub(super) fn name(&self) -> &str {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(HEADER).iter();
        let Some(value) = values.next() else { return Ok(Self(TOKEN.to_owned())) };
        let name = value.to_str().ok().filter(|name| may_be_kept(name) && values.next().is_none());
        let name = name.ok_or(Problem::new(
            StatusCode::BAD_REQUEST,
            "`Hefu-Operator` is one name of at most 64 letters, digits and `-_.@+/`, without 11 digits in a row: it is kept",
        ))?;
        Ok(Self(name.to_owned()))
    }
}

fn may_be_kept(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@+/".contains(c);
    (1..=OPERATOR_MAX).contains(&name.len()) && name.chars().all(plain) && !has_long_number(name)
}

impl Admin {
    /// Notes what was done, before whoever did it is answered.
    pub(super) async fn audit(&self, who: Operator, action: Action) -> Result<(), Problem> {
        self.service.audit(who.0, action).await.map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "it was done, but that is not kept yet: the store cannot be written",
            )
        })
    }
}

#[derive(Deserialize)]
pub(super) struct AuditQuery {
    #[serde(default)]
    since: u64,
    before: Option<u64>,
}

/// A page of the audit. An entry is the text that was hashed.
#[derive(Serialize)]
pub(super) struct AuditBody {
    head: Head,
    entries: Vec<Noted>,
}

/// Shows what was done since a time, the newest first, a page at a time.
pub(super) async fn audit(
    State(admin): State<Arc<Admin>>,
    Query(AuditQuery { since, before }): Query<AuditQuery>,
) -> Result<Json<AuditBody>, Problem> {
    let page = admin.service.store.audit(before).await.map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read now")
    })?;
    let recent = |noted: &Noted| at_ms(&noted.entry).is_none_or(|at| since <= at);
    Ok(Json(AuditBody {
        head: page.head,
        entries: page.entries.into_iter().filter(recent).collect(),
    }))
}

fn at_ms(entry: &RawValue) -> Option<u64> {
    #[derive(Deserialize)]
    struct At {
        at_ms: u64,
    }
    serde_json::from_str::<At>(entry.get()).ok().map(|at| at.at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operators_name_is_no_element() {
        for good in ["li.lei", "ops/night+2@bank.example", &"a".repeat(64)] {
            assert!(may_be_kept(good), "`{good}`");
        }
        for bad in ["", "李雷", "li lei", "13800000000", "a\"b", &"a".repeat(65)] {
            assert!(!may_be_kept(bad), "`{bad}`");
        }
    }
}
