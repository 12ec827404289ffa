//! Mismatches: listed, exported, and looked into by a person.

use super::Admin;
use super::access::Operator;
use super::body::Problem;
use crate::domain::clock::Timestamp;
use crate::domain::id::{ChannelName, PaymentId};
use crate::domain::mismatch::MismatchKind;
use crate::domain::money::Fen;
use crate::service::audit::may_be_kept;
use crate::service::mismatch::{Standing, Wanted};
use crate::store::audit::Action;
use axum::Json;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The most mismatches of one answer.
const SHOWN_MAX: usize = 500;

/// The most of an export.
const EXPORTED_MAX: usize = 50_000;

const LOST: Problem =
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read or written now");

/// Which are wanted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WantedQuery {
    channel: Option<String>,
    kind: Option<String>,
    open: bool,
    since: u64,
    before: Option<String>,
    most: Option<usize>,
}

impl WantedQuery {
    fn wanted(self, most: usize) -> Result<Wanted, Problem> {
        let kind = self.kind.map(|kind| read_kind(&kind)).transpose()?;
        Ok(Wanted {
            channel: self.channel.as_deref().map(ChannelName::new),
            kind,
            open: self.open,
            since: Timestamp::from_millis(self.since),
            // A line feed stands between its parts, which is awkward in a URL.
            before: self.before.map(|before| before.replace('~', "\n")),
            most: self.most.map_or(most, |asked| asked.clamp(1, most)),
        })
    }
}

fn read_kind(word: &str) -> Result<MismatchKind, Problem> {
    let kind = MismatchKind::ALL.into_iter().find(|kind| kind.as_str() == word);
    kind.ok_or(Problem::new(
        StatusCode::BAD_REQUEST,
        "a `kind` is one that `hefu_mismatches_total` counts, such as `match_then_no_match`",
    ))
}

/// Some mismatches.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MismatchesBody {
    mismatches: Vec<MismatchBody>,
    /// What `before` is for the next page.
    next: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct MismatchBody {
    payment: String,
    kind: &'static str,
    state: &'static str,
    at_ms: u64,
    channel: String,
    scenario: &'static str,
    order: Option<String>,
    amount_fen: Option<u64>,
    bank: Option<String>,
    elements: String,
    provider: Option<String>,
    /// What a verification was answered before, where the debit says otherwise.
    answer: Option<&'static str>,
    /// What it is by the debit.
    corrected: Option<&'static str>,
    outcome: Option<&'static str>,
    code: Option<String>,
    arrival: Option<&'static str>,
    resolved: Option<ResolvedBody>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ResolvedBody {
    at_ms: u64,
    who: String,
    note: String,
}

impl From<&Standing> for MismatchBody {
    fn from(Standing { mismatch, came }: &Standing) -> Self {
        let reported = mismatch.reported.as_ref();
        let state = match (&mismatch.resolved, came) {
            (Some(_), _) => "resolved",
            (None, true) => "came",
            (None, false) => "open",
        };
        Self {
            payment: mismatch.payment.to_string(),
            kind: mismatch.kind.as_str(),
            state,
            at_ms: mismatch.at.as_millis(),
            channel: mismatch.channel.to_string(),
            scenario: mismatch.scenario.as_str(),
            order: mismatch.order.as_ref().map(|order| order.0.to_string()),
            amount_fen: mismatch.amount.map(Fen::get),
            bank: mismatch.bank.as_ref().map(ToString::to_string),
            elements: mismatch.elements.to_string(),
            provider: mismatch.provider.clone(),
            answer: mismatch.kind.correction().map(|(answer, _)| answer),
            corrected: mismatch.kind.correction().map(|(_, corrected)| corrected),
            outcome: reported.map(|(outcome, ..)| outcome.as_str()),
            code: reported.and_then(|(_, code, _)| code.clone()),
            arrival: reported.map(|(.., arrival)| arrival.as_str()),
            resolved: mismatch.resolved.as_ref().map(|it| ResolvedBody {
                at_ms: it.at.as_millis(),
                who: it.who.clone(),
                note: it.note.clone(),
            }),
        }
    }
}

/// Shows mismatches, the newest payments' first.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<WantedQuery>,
) -> Result<Json<MismatchesBody>, Problem> {
    let found = admin.service.mismatches(&query.wanted(SHOWN_MAX)?).await.map_err(|_| LOST)?;
    Ok(Json(MismatchesBody {
        mismatches: found.mismatches.iter().map(MismatchBody::from).collect(),
        next: found.next.map(|next| next.replace('\n', "~")),
    }))
}

/// The columns of the export.
const HEAD: [&str; 14] = [
    "payment",
    "kind",
    "state",
    "at_ms",
    "channel",
    "scenario",
    "order",
    "amount_fen",
    "bank",
    "elements",
    "provider",
    "outcome",
    "code",
    "note",
];

/// Exports mismatches as CSV that no spreadsheet takes for a formula.
pub(super) async fn export(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<WantedQuery>,
) -> Result<Response, Problem> {
    let found = admin.service.mismatches(&query.wanted(EXPORTED_MAX)?).await.map_err(|_| LOST)?;
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |cells: Vec<String>| writer.write_record(cells);
    let failed = |error: csv::Error| {
        tracing::error!(%error, "an export cannot be written");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal")
    };
    write(HEAD.map(str::to_owned).to_vec()).map_err(failed)?;
    for standing in &found.mismatches {
        let it = MismatchBody::from(standing);
        let cells = [
            it.payment,
            it.kind.to_owned(),
            it.state.to_owned(),
            it.at_ms.to_string(),
            it.channel,
            it.scenario.to_owned(),
            it.order.unwrap_or_default(),
            it.amount_fen.map(|fen| fen.to_string()).unwrap_or_default(),
            it.bank.unwrap_or_default(),
            it.elements,
            it.provider.unwrap_or_default(),
            it.outcome.unwrap_or_default().to_owned(),
            it.code.unwrap_or_default(),
            it.resolved.map(|it| it.note).unwrap_or_default(),
        ];
        write(cells.into_iter().map(harmless).collect()).map_err(failed)?;
    }
    let bytes = writer.into_inner().unwrap_or_default();
    let kind = [(header::CONTENT_TYPE, "text/csv; charset=utf-8")];
    Ok((kind, bytes).into_response())
}

/// A cell that begins as a formula does is text: whoever names an order may be anybody.
fn harmless(cell: String) -> String {
    let formula = cell.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        || cell.starts_with(['\t', '\r', '\n']);
    if formula { format!("'{cell}") } else { cell }
}

/// What a person found out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResolveBody {
    payment: String,
    kind: String,
    note: String,
}

/// Notes that a person looked into a mismatch.
pub(super) async fn resolve(
    State(admin): State<Arc<Admin>>,
    who: Operator,
    Json(body): Json<ResolveBody>,
) -> Result<StatusCode, Problem> {
    if !may_be_kept(&body.note) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "a `note` must say what came of it, in a line of at most 200 characters without 11 digits in a row: it is kept",
        ));
    }
    let kind = read_kind(&body.kind)?;
    let payment = PaymentId::parse(&body.payment).ok_or(Problem::new(
        StatusCode::BAD_REQUEST,
        "a payment id has 26 letters and digits, as in `Hefu-Payment`",
    ))?;
    let note = (who.name(), body.note.as_str());
    if !admin.service.resolve(payment, kind, note).await.map_err(|_| LOST)? {
        return Err(Problem::new(StatusCode::NOT_FOUND, "no such mismatch is kept"));
    }
    let payment = payment.to_string();
    let action = Action::ResolveMismatch { payment, kind: kind.as_str(), note: body.note };
    admin.audit(who, action).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn what_begins_as_a_formula_is_text() {
        for bad in
            ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r1", "＝1", "=HYPERLINK(\"x\")"]
        {
            assert_eq!(harmless(bad.to_owned()), format!("'{bad}"));
        }
        for good in ["", "order-1", "1=1", "2026-11-28", "匹配"] {
            assert_eq!(harmless(good.to_owned()), good);
        }
    }
}
