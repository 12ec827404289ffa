//! What a month comes to, for whose it is.

use super::Live;
use super::access::{Caller, Named};
use super::body::LOST;
use crate::api::Problem;
use crate::billing::month::Month;
use crate::domain::element::Element;
use crate::domain::money::Fen;
use crate::service::clients::statement::Line;
use crate::store::journal::StoreLost;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

/// What a month comes to.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StatementBody {
    /// The month, by China's calendar.
    month: String,
    /// Whether it is over.
    complete: bool,
    lines: Vec<LineBody>,
    /// What it all costs, in fen.
    total_fen: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct LineBody {
    /// The elements.
    elements: Vec<&'static str>,
    /// How many told whether they belong together: these are charged.
    charged: u64,
    /// How many did not.
    free: u64,
    /// Of how many nobody knows what they came to, or does not yet: they are not charged.
    open: u64,
    /// What the charged ones cost, in fen, by your price list as it is now.
    fen: u64,
    /// What was asked.
    kind: &'static str,
}

/// Shows what a month comes to.
pub(super) async fn show(
    State(live): State<Live>,
    Caller(client): Caller,
    Named(month): Named,
) -> Result<Json<StatementBody>, Problem> {
    let current = live.current();
    let month: Month = month.parse().map_err(|_| {
        Problem::new(StatusCode::NOT_FOUND, "there is no such month: it is written as 2026-11")
    })?;
    let _looking = live.look(client.name())?;
    let lines =
        current.service.statement_of(&client.terms, month).await.map_err(|StoreLost| LOST)?;
    let total = lines.iter().fold(0_u64, |sum, line| sum.saturating_add(line.cost.get()));
    let body = |line: &Line| LineBody {
        elements: line.set.iter().map(Element::as_str).collect(),
        charged: line.counts.charged,
        free: line.counts.free,
        open: line.counts.open,
        fen: Fen::get(line.cost),
        kind: line.kind.as_str(),
    };
    Ok(Json(StatementBody {
        month: month.to_string(),
        complete: month.until() <= current.service.clock.now(),
        lines: lines.iter().map(body).collect(),
        total_fen: total,
    }))
}
