//! Batches: lines that are posted at once, and what became of each.

use super::Live;
use super::access::{Caller, Client, Held, Named};
use super::body::{BatchBody, BatchesBody, LINES_MAX, LOST, LinesBody, VerificationBody, columns};
use super::verifications::{ListQuery, page, read_json, refused, request_key, tagged, unfit};
use crate::api::Problem;
use crate::domain::id::PaymentId;
use crate::service::clients::batches::Lines;
use crate::store::batch::{Batch, Work};
use crate::store::journal::StoreLost;
use crate::store::verification::Verification;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Of how many lines at most is told what is wrong with them.
const WRONG_MAX: usize = 100;
/// When to look again how far it is, in seconds.
const LATER: &str = "5";

const NO_SUCH: Problem = Problem::new(StatusCode::NOT_FOUND, "you have no such batch");

/// Those of its lines that were begun.
type Begun = BTreeMap<u32, Verification>;

/// Takes lines to be verified.
pub(super) async fn post(
    State(live): State<Live>,
    Caller(client): Caller,
    held: Held,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let current = live.current();
    let key = request_key(&headers)?;
    let wanted: LinesBody = read_json(&headers, &body)?;
    drop(body);
    let kind = wanted.kind().map_err(unfit)?;
    let LinesBody { lines, .. } = wanted;
    if !(1..=LINES_MAX).contains(&lines.len()) {
        let detail = "a batch has 1 to 10000 lines";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).of_field("lines"));
    }
    let (mut read, mut wrong) = (Vec::with_capacity(lines.len()), Vec::new());
    for (line, elements) in (1_u32..).zip(lines) {
        match elements.read() {
            Ok(elements) if client.terms.takes(kind, elements.set()) => read.push(elements),
            Ok(_) => {
                wrong.push((line, "elements", "you may not ask about these elements together"));
            }
            Err(unfit) => wrong.push((line, unfit.field, unfit.why)),
        }
    }
    if !wrong.is_empty() {
        wrong.truncate(WRONG_MAX);
        let detail =
            "some lines cannot be asked about, so none is: `lines` says which, 100 at most";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).of_lines(wrong));
    }
    let asked = Lines { key, kind, lines: read };
    let begun = current.service.batch_for(&client.terms, asked, live.0.at_once.clone(), held).await;
    let batch = begun.map_err(|error| refused(&current, error))?;
    // It goes on by now: that is told, however long it takes to look.
    let _looking = live.0.looks.next().await;
    let lines = current.service.lines_of(&batch).await.map_err(|StoreLost| LOST)?;
    let place = (header::LOCATION, format!("/v1/batches/{}", batch.id));
    let later = (header::RETRY_AFTER, LATER.to_owned());
    Ok((StatusCode::ACCEPTED, [place, later], Json(shown(&live, &batch, &lines))).into_response())
}

/// Shows how far a batch is.
pub(super) async fn show(
    State(live): State<Live>,
    Caller(client): Caller,
    Named(id): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (batch, begun) = find(&live, &client, &id).await?;
    tagged(&headers, &shown(&live, &batch, &begun))
}

/// Shows the caller's batches.
pub(super) async fn list(
    State(live): State<Live>,
    Caller(client): Caller,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<BatchesBody>, Problem> {
    let (current, (before, most)) = (live.current(), page(query)?);
    let found = current.service.batches_of(client.name(), before, most).await;
    let found = found.map_err(|StoreLost| LOST)?;
    let next = found.next.map(|id| id.to_string());
    let batches = found.found.iter().map(|batch| listed(&live, batch)).collect();
    Ok(Json(BatchesBody { batches, next }))
}

/// What became of each line, as CSV: every field is a word of ours or a number.
pub(super) async fn result(
    State(live): State<Live>,
    Caller(client): Caller,
    Named(id): Named,
) -> Result<Response, Problem> {
    let (batch, begun) = find(&live, &client, &id).await?;
    let (service, none) = (live.current().service.clone(), not_begun(&live, &batch));
    let columns = columns(batch.kind);
    let mut text = format!("line,verification,status,answer,{},attempts_left\n", columns.join(","));
    let untold = ",".repeat(columns.len().saturating_add(2));
    for line in 1..=batch.lines {
        let written = begun
            .get(&line)
            .map(|it| VerificationBody::new(it, service.is_uncertain(it)).written(&columns));
        // Writing to a string cannot fail.
        let _ = match written {
            Some(written) => writeln!(text, "{line},{written}"),
            None => writeln!(text, "{line},,{none}{untold}"),
        };
    }
    let kind = [(header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present")];
    Ok((kind, text).into_response())
}

/// A client's own batch.
async fn find(live: &Live, client: &Client, id: &str) -> Result<(Batch, Begun), Problem> {
    let _looking = live.look(client.name())?;
    let service = &live.current().service;
    let id = PaymentId::parse(id).ok_or(NO_SUCH)?;
    let found = service.batch_of(client.name(), id).await.map_err(|StoreLost| LOST)?;
    let batch = found.ok_or(NO_SUCH)?;
    let begun = service.lines_of(&batch).await.map_err(|StoreLost| LOST)?;
    Ok((batch, begun))
}

/// How it stands with lines that nobody began.
fn not_begun(live: &Live, batch: &Batch) -> &'static str {
    let left = batch.is_left(live.current().service.clock.now());
    if left { "not_asked" } else { "waiting" }
}

fn shown(live: &Live, batch: &Batch, begun: &Begun) -> BatchBody {
    let (service, none) = (&live.current().service, not_begun(live, batch));
    let mut counts = BTreeMap::new();
    for line in 1..=batch.lines {
        let of =
            begun.get(&line).map(|it| VerificationBody::new(it, service.is_uncertain(it)).status());
        let count = counts.entry(of.unwrap_or(none)).or_insert(0_u32);
        *count = count.saturating_add(1);
    }
    BatchBody { counts, ..listed(live, batch) }
}

/// A batch as a list has it.
fn listed(live: &Live, batch: &Batch) -> BatchBody {
    let status = match batch.work {
        Work::Ended => "ended",
        Work::By { .. } if batch.is_left(live.current().service.clock.now()) => "left",
        Work::By { .. } => "working",
    };
    let (id, at_ms, kind) = (batch.id.to_string(), batch.at.as_millis(), batch.kind.as_str());
    BatchBody { id, status, at_ms, kind, lines: batch.lines, counts: BTreeMap::new() }
}
