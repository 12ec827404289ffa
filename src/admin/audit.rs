//! Who does something through the API, and that it is noted before they are answered.

use super::Admin;
use super::access::Operator;
use super::body::Problem;
use crate::store::audit::{Action, Head, Noted};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

impl Admin {
    /// Notes what was done, before whoever did it is answered.
    pub(super) async fn audit(&self, who: Operator, action: Action) -> Result<(), Problem> {
        self.service.audit(who.into_name(), action).await.map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "it was done, but that is not kept yet: the store cannot be written",
            )
        })
    }
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct AuditQuery {
    #[serde(default)]
    since: u64,
    before: Option<u64>,
}

/// A page of the audit. An entry is the text that was hashed.
#[derive(Serialize, JsonSchema)]
pub(super) struct AuditBody {
    #[schemars(with = "HeadBody")]
    head: Head,
    #[schemars(with = "Vec<NotedBody>")]
    entries: Vec<Noted>,
}

/// How the end of the chain is shown.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes what another type is written as")]
struct HeadBody {
    number: u64,
    hash: String,
}

/// How an entry is shown.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes what another type is written as")]
struct NotedBody {
    /// Number, time, who, and the action: what is hashed is its text, byte for byte.
    entry: serde_json::Map<String, serde_json::Value>,
    previous: String,
    hash: String,
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
