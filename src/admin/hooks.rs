//! Webhooks that wait or were given up, told once more by hand; and outcomes that are owed.

use super::Admin;
use super::access::Operator;
use super::body::Problem;
use crate::domain::id::{ClientName, PaymentId};
use crate::store::audit::Action;
use crate::store::hook::{Hook, Shelf};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The most of one answer.
const SHOWN_MAX: usize = 200;

const LOST: Problem =
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read or written now");

const NO_ID: Problem =
    Problem::new(StatusCode::BAD_REQUEST, "an id has 26 letters and digits, as it is shown here");

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HooksQuery {
    state: String,
    after: Option<String>,
    /// To which client of the verification service; to operations where absent.
    client: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct HookBody {
    id: String,
    at_ms: u64,
    payment: String,
    attempts: u32,
    next_ms: u64,
    failed: Option<String>,
    #[schemars(with = "serde_json::Value")]
    body: Box<serde_json::value::RawValue>,
}

impl HookBody {
    fn new(hook: Hook) -> Option<Self> {
        Some(Self {
            id: hook.id.to_string(),
            at_ms: hook.at.as_millis(),
            payment: hook.about.to_string(),
            attempts: hook.attempts,
            next_ms: hook.next.as_millis(),
            failed: hook.failed,
            body: serde_json::value::RawValue::from_string(hook.body).ok()?,
        })
    }
}

fn read_id(text: Option<&str>) -> Result<Option<PaymentId>, Problem> {
    text.map(|id| PaymentId::parse(id).ok_or(NO_ID)).transpose()
}

/// Shows what waits to be told, or was given up.
pub(super) async fn hooks(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<HooksQuery>,
) -> Result<Json<Vec<HookBody>>, Problem> {
    let shelf = Shelf::from_word(&query.state)
        .ok_or(Problem::new(StatusCode::BAD_REQUEST, "a `state` is `waiting` or `dead`"))?;
    let after = read_id(query.after.as_deref())?;
    let to = query.client.as_deref().map(ClientName::new);
    let hooks = admin.service.hooks_to(to.as_ref(), shelf, after, SHOWN_MAX).await;
    let hooks = hooks.map_err(|_| LOST)?;
    Ok(Json(hooks.into_iter().filter_map(HookBody::new).collect()))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RedeliverBody {
    /// These; all that were given up where absent.
    ids: Option<Vec<String>>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct RedeliveredBody {
    redelivered: usize,
}

/// Has what was given up be told once more.
pub(super) async fn redeliver(
    State(admin): State<Arc<Admin>>,
    who: Operator,
    Json(body): Json<RedeliverBody>,
) -> Result<Json<RedeliveredBody>, Problem> {
    let ids = body.ids.map(|ids| {
        ids.iter().map(|id| PaymentId::parse(id).ok_or(NO_ID)).collect::<Result<Vec<_>, _>>()
    });
    let ids = ids.transpose()?;
    let redelivered = admin.service.redeliver(ids.as_deref()).await.map_err(|_| LOST)?;
    admin.audit(who, Action::RedeliverWebhooks { redelivered }).await?;
    Ok(Json(RedeliveredBody { redelivered }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AfterQuery {
    after: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ExpectationBody {
    payment: String,
    channel: String,
    scenario: &'static str,
    order: Option<String>,
    at_ms: u64,
    since_ms: u64,
    due_ms: u64,
    overdue: bool,
    outcome: Option<&'static str>,
}

/// Shows outcomes that are owed, the oldest payments first.
pub(super) async fn expectations(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<AfterQuery>,
) -> Result<Json<Vec<ExpectationBody>>, Problem> {
    let after = read_id(query.after.as_deref())?;
    let service = &admin.service;
    let expected =
        service.expectations(&admin.promises, after, SHOWN_MAX).await.map_err(|_| LOST)?;
    let now = service.clock.now();
    let body = expected.iter().map(|it| ExpectationBody {
        payment: it.record.payment.to_string(),
        channel: it.record.channel.to_string(),
        scenario: it.record.scenario.as_str(),
        order: it.record.order.as_ref().map(|order| order.0.to_string()),
        at_ms: it.record.at.as_millis(),
        since_ms: it.since.unwrap_or(it.record.at).as_millis(),
        due_ms: it.due.as_millis(),
        overdue: it.due <= now,
        outcome: it.record.outcome.as_ref().map(|(outcome, ..)| outcome.as_str()),
    });
    Ok(Json(body.collect()))
}
