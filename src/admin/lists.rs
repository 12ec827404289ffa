//! Lists that rules look into: shown, added to, taken from. What is told is fingerprinted as it is read.

use super::access::Operator;
use super::body::Problem;
use super::rules::LOST;
use super::{Admin, Live};
use crate::domain::clock::Timestamp;
use crate::policy::rules::Holds;
use crate::service::audit::may_be_kept;
use crate::service::lists::{self, Line, ListError};
use crate::store::audit::Action;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The most lines of one call.
const LINES_MAX: usize = 20_000;

/// A list.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ListBody {
    list: String,
    /// What it holds: `bin`, `merchant`, `agreement`, `card`, `person` or `phone`.
    holds: &'static str,
    /// How many entries it has, those of files included.
    entries: usize,
}

/// Shows the lists in force.
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<Vec<ListBody>> {
    let book = admin.books.in_force();
    let shown = book.lists.iter().map(|(name, list)| ListBody {
        list: name.clone(),
        holds: list.holds.as_str(),
        entries: list.len(),
    });
    Json(shown.collect())
}

fn holds(admin: &Admin, name: &str) -> Result<Holds, Problem> {
    let list = admin.books.in_force().lists.get(name).map(|list| list.holds);
    list.ok_or(Problem::new(
        StatusCode::NOT_FOUND,
        "no such list is declared in the rules in force",
    ))
}

/// What stands in it through the API.
pub(super) async fn export(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    holds(&admin, &name)?;
    let entries = lists::entries(&*admin.service.store, &name).await.map_err(|_| LOST)?;
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| {
        tracing::error!(%error, "an export cannot be written");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal")
    };
    writer.write_record(["value", "reason", "author", "added", "expires"]).map_err(failed)?;
    for (value, note) in entries {
        let (added, expires) = (written(note.added), note.expires.map(written));
        let cells = [value, note.reason, note.author, added, expires.unwrap_or_default()];
        writer.write_record(cells).map_err(failed)?;
    }
    let bytes = writer.into_inner().unwrap_or_default();
    let kind = [(header::CONTENT_TYPE, "text/csv; charset=utf-8")];
    Ok((kind, bytes).into_response())
}

fn written(at: Timestamp) -> String {
    let at = i64::try_from(at.as_millis()).ok();
    let at = at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok()).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Why, where no line says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyQuery {
    reason: String,
}

fn why(reason: &str) -> Result<(), Problem> {
    if may_be_kept(reason) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::BAD_REQUEST,
        "a `reason` must say why, in a line of at most 200 characters without 11 digits in a row: it is kept",
    ))
}

/// How many entries were added.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ImportedBody {
    new: usize,
    known: usize,
}

fn unchanged(error: ListError) -> Problem {
    let status = match error {
        ListError::Value(..) => StatusCode::BAD_REQUEST,
        ListError::Full => StatusCode::CONFLICT,
        ListError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::told(status, &error)
}

/// Adds the lines of a CSV, all of them or none. Its head names `value`, and may name `reason` and `expires`; whoever calls is the author.
pub(super) async fn import(
    State(live): State<Live>,
    Path(list): Path<String>,
    Query(WhyQuery { reason }): Query<WhyQuery>,
    who: Operator,
    body: String,
) -> Result<Json<ImportedBody>, Problem> {
    why(&reason)?;
    let admin = live.current();
    let holds = holds(&admin, &list)?;
    let lines = read(&body, who.name(), &reason, admin.service.clock.now())?;
    let done = admin.service.add_to_list((&list, holds), &lines).await.map_err(unchanged)?;
    let (new, known) = (done.new, done.known);
    admin.audit(who, Action::ImportList { list, new, known, reason }).await?;
    live.apply().await?;
    Ok(Json(ImportedBody { new, known }))
}

/// The lines of a CSV. What is wrong is named by its line, and no value is repeated.
fn read(text: &str, author: &str, reason: &str, now: Timestamp) -> Result<Vec<Line>, Problem> {
    let wrong = |detail: String| Problem::said(StatusCode::BAD_REQUEST, detail);
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let head = reader.headers().map_err(|_| wrong("not CSV".to_owned()))?.clone();
    let column = |name: &str| {
        head.iter().position(|it| it.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name))
    };
    let value =
        column("value").ok_or_else(|| wrong("the head names no column `value`".to_owned()))?;
    let (why, expires) = (column("reason"), column("expires"));
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|_| wrong("not CSV".to_owned()))?;
        let number = record.position().map_or(0, csv::Position::line);
        let at = |column: Option<usize>| {
            column.and_then(|column| record.get(column)).filter(|text| !text.is_empty())
        };
        if lines.len() >= LINES_MAX {
            return Err(wrong(format!("more than {LINES_MAX} lines: send them in parts")));
        }
        let expires = at(expires).map(|text| {
            let read = text.parse::<jiff::Timestamp>().ok();
            let read = read.and_then(|at| u64::try_from(at.as_millisecond()).ok());
            read.map(Timestamp::from_millis).ok_or_else(|| {
                wrong(format!("line {number}: `expires` is written as 2027-01-01T00:00:00Z"))
            })
        });
        let reason = at(why).unwrap_or(reason);
        if !may_be_kept(reason) {
            return Err(wrong(format!("line {number}: the reason may not be kept")));
        }
        let note = lists::note(author, reason, now, expires.transpose()?);
        lines.push(Line { number, value: record.get(value).unwrap_or_default().to_owned(), note });
    }
    Ok(lines)
}

/// What is taken out.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveBody {
    /// Fingerprints as they are exported, or plain values.
    values: Vec<String>,
    reason: String,
}

/// How many stood there.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RemovedBody {
    removed: usize,
}

/// Takes entries out that came through the API.
pub(super) async fn remove(
    State(live): State<Live>,
    Path(list): Path<String>,
    who: Operator,
    body: String,
) -> Result<Json<RemovedBody>, Problem> {
    // The parser's own words may quote a value.
    let body = serde_json::from_str::<RemoveBody>(&body).map_err(|_| {
        let detail = "not a JSON object with `values` and a `reason`";
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })?;
    let RemoveBody { values, reason } = body;
    why(&reason)?;
    if values.len() > LINES_MAX {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "too many values: send them in parts"));
    }
    let admin = live.current();
    let holds = holds(&admin, &list)?;
    let removed =
        admin.service.remove_from_list((&list, holds), &values).await.map_err(unchanged)?;
    admin.audit(who, Action::RemoveFromList { list, removed, reason }).await?;
    live.apply().await?;
    Ok(Json(RemovedBody { removed }))
}
