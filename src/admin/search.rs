//! Payments, looked for. What is told of a person comes in a body, leaves in no answer, and is in no log.

use super::Admin;
use super::body::{PaymentBody, Problem};
use crate::domain::clock::Timestamp;
use crate::domain::id::{ChannelName, OrderId, PaymentId};
use crate::service::explain;
use crate::service::search::{Search, SearchError};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The most payments of one answer.
const SHOWN_MAX: usize = 100;

/// What is told of them.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SearchBody {
    channel: Option<String>,
    order: Option<String>,
    pan: Option<String>,
    id_number: Option<String>,
    id_type: Option<String>,
    phone: Option<String>,
    since_ms: u64,
    before: Option<String>,
    most: Option<usize>,
}

/// Some payments.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FoundBody {
    payments: Vec<PaymentBody>,
    /// What `before` is for the next page: it may be empty, where a search goes on for long.
    next: Option<String>,
}

/// Looks for payments.
pub(super) async fn search(
    State(admin): State<Arc<Admin>>,
    body: String,
) -> Result<Json<FoundBody>, Problem> {
    // The parser's own words may quote a value.
    let body = serde_json::from_str::<SearchBody>(&body).map_err(|_| {
        let detail = "not a JSON object with `channel`, `order`, `pan`, `id_number`, `id_type`, `phone`, `since_ms`, `before` or `most`";
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })?;
    let before = body.before.as_deref().map(|id| {
        PaymentId::parse(id).ok_or(Problem::new(
            StatusCode::BAD_REQUEST,
            "`before` is the `next` of the answer before",
        ))
    });
    let search = Search {
        channel: body.channel.as_deref().map(ChannelName::new),
        order: body.order.map(|order| OrderId(order.into())),
        pan: body.pan,
        id_number: body.id_number,
        id_type: body.id_type,
        phone: body.phone,
        since: Timestamp::from_millis(body.since_ms),
        before: before.transpose()?,
        most: body.most.map_or(SHOWN_MAX, |most| most.clamp(1, SHOWN_MAX)),
    };
    let found = admin.service.search(&search).await.map_err(|error| {
        let status = match error {
            SearchError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            SearchError::Document | SearchError::Element(_) => StatusCode::BAD_REQUEST,
        };
        Problem::told(status, &error)
    })?;
    let show = |record| PaymentBody::new(record, explain::story(record));
    Ok(Json(FoundBody {
        payments: found.payments.iter().map(show).collect(),
        next: found.next.map(|next| next.to_string()),
    }))
}
