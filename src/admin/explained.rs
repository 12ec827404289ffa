//! What each condition of each rule came to for a payment that is kept.

use super::Admin;
use super::body::Problem;
use super::rules::LOST;
use crate::domain::id::PaymentId;
use crate::policy::rules::explain::Came;
use crate::service::managed;
use crate::service::rules::{Explained, Rulebook};
use crate::store::Ruled;
use crate::store::journal::StoreLost;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Of when.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WhenQuery {
    /// What the rules in force say, with what is known now, and not what was decided by.
    now: bool,
}

/// What rules said of a payment, and how much of that is known from then.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct ExplanationBody {
    /// The set by which it was judged; nothing where no rules were in force.
    judged_by: Option<String>,
    /// The set whose rules these are.
    set: Option<String>,
    /// Whether they are those by which it was judged, and saw what they saw then, lists and windows included.
    as_decided: bool,
    /// What was looked up now instead: lists as they are, windows as they are counted by now.
    looked_up_now: Vec<String>,
    /// What these rules read, and the record does not say; a condition that needs it cannot be evaluated.
    not_kept: Vec<String>,
    rules: Vec<ExplainedBody>,
}

/// What a rule says of a payment.
#[derive(Debug, Serialize, JsonSchema)]
struct ExplainedBody {
    rule: String,
    /// `hits`, `does_not_hit`, or `cannot_be_evaluated`.
    came: &'static str,
    /// What it did then, where these are the rules by which it was judged: `bound`, `shadow`, `error` or `nothing`.
    did: Option<&'static str>,
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

impl From<Explained> for ExplainedBody {
    fn from(rule: Explained) -> Self {
        let condition = |part: crate::policy::rules::explain::Part| ConditionBody {
            skipped: matches!(part.came, Came::Skipped),
            came: part.came.to_string(),
            condition: part.text,
            saw: part.saw.into_iter().map(|(name, value)| [name, value]).collect(),
        };
        Self {
            rule: rule.id,
            came: match rule.came {
                Ok(true) => "hits",
                Ok(false) => "does_not_hit",
                Err(_) => "cannot_be_evaluated",
            },
            did: rule.did,
            conditions: rule.parts.into_iter().map(condition).collect(),
        }
    }
}

/// Shows what each rule said of a payment that is kept; where its set cannot be had any more, or `now` is asked for, what those in force
/// say.
pub(super) async fn explain(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    Query(WhenQuery { now }): Query<WhenQuery>,
) -> Result<Json<ExplanationBody>, Problem> {
    let none = Problem::new(StatusCode::NOT_FOUND, "no such payment is kept");
    let id = PaymentId::parse(&id).ok_or(none.clone())?;
    let record = admin.service.kept_record(id).await.map_err(|_| LOST)?.ok_or(none)?;
    let ruled = record.stakes.rules.as_deref();
    let mut book = None;
    if let Some(ruled) = ruled.filter(|_| !now) {
        book = judged_by(&admin, ruled).await.map_err(|_| LOST)?;
    }
    let book = book.as_ref().or(admin.service.rules.as_ref());
    let judged_by = ruled.map(|ruled| ruled.set.to_string());
    let Some(book) = book else {
        return Ok(Json(ExplanationBody { judged_by, ..ExplanationBody::default() }));
    };
    let explained = if now { book.explain_now(&record) } else { book.explain(&record) };
    Ok(Json(ExplanationBody {
        judged_by,
        set: Some(book.book.rules.version.to_string()),
        as_decided: explained.as_decided,
        looked_up_now: explained.looked_up,
        not_kept: explained.not_kept,
        rules: explained.rules.into_iter().map(ExplainedBody::from).collect(),
    }))
}

/// The set that judged: the one in force, or one that is made again of a version that is kept, where the files' rules are the same.
async fn judged_by(admin: &Admin, ruled: &Ruled) -> Result<Option<Rulebook>, StoreLost> {
    let in_force = admin.service.rules.clone();
    if in_force.as_ref().is_some_and(|book| book.judged(ruled)) {
        return Ok(in_force);
    }
    let store = &*admin.service.store;
    let text = async |version: Option<u64>| match version {
        Some(version) => Ok(managed::text(store, version).await?.map(|text| (version, text))),
        None => Ok::<_, StoreLost>(None),
    };
    let live = ruled.set.split_once('-').and_then(|(version, _)| version.parse().ok());
    let (live, trial) = (text(live).await?, text(ruled.trial).await?);
    let book = admin.books.whole(
        live.as_ref().map(|(version, text)| (*version, text.as_str())),
        trial.as_ref().map(|(version, text)| (*version, text.as_str())),
    );
    // Where it does not go with today's files it is another set.
    let book = book.ok().map(|book| Rulebook { book, counts: Arc::default() });
    Ok(book.filter(|book| book.judged(ruled)))
}
