//! What each condition of each rule comes to for a payment that is kept.

use super::Admin;
use super::body::Problem;
use super::rules::LOST;
use crate::domain::id::PaymentId;
use crate::policy::rules::explain::Came;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

/// What a rule says of a payment.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ExplainedBody {
    rule: String,
    /// `hits`, `does_not_hit`, or `cannot_be_evaluated`.
    came: &'static str,
    conditions: Vec<ConditionBody>,
}

/// What a condition came to.
#[derive(Debug, Serialize, JsonSchema)]
struct ConditionBody {
    condition: String,
    /// `true`, `false`, `skipped`, or why it could not be evaluated.
    came: String,
    skipped: bool,
    /// What it saw, by name; what identifies somebody is not shown.
    saw: Vec<[String; 2]>,
}

/// Shows what each rule in force says of a payment that is kept. Windows are counted as they are known now; `inputs` of its record has
/// what they were.
pub(super) async fn explain(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<Vec<ExplainedBody>>, Problem> {
    let none = Problem::new(StatusCode::NOT_FOUND, "no such payment is kept");
    let id = PaymentId::parse(&id).ok_or(none.clone())?;
    let record = admin.service.kept_record(id).await.map_err(|_| LOST)?.ok_or(none)?;
    let Some(book) = &admin.service.rules else { return Ok(Json(Vec::new())) };
    let explained = book.explain(&record).into_iter().map(|rule| ExplainedBody {
        rule: rule.id,
        came: match rule.came {
            Ok(true) => "hits",
            Ok(false) => "does_not_hit",
            Err(_) => "cannot_be_evaluated",
        },
        conditions: rule
            .parts
            .into_iter()
            .map(|part| ConditionBody {
                skipped: matches!(part.came, Came::Skipped),
                came: part.came.to_string(),
                condition: part.text,
                saw: part.saw.into_iter().map(|(name, value)| [name, value]).collect(),
            })
            .collect(),
    });
    Ok(Json(explained.collect()))
}
