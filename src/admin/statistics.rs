//! Statistics: what inquiries came to, by whatever a reader has them counted.

use super::Live;
use super::body::Problem;
use crate::domain::clock::Timestamp;
use crate::service::clients::room::Room;
use crate::service::statistics::{Counts, Dimension, Line, StatisticsError, Wanted};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many are counted at once: each reads all that was asked, and payments take turns with it.
const TOGETHER: usize = 2;
/// After how long somebody may try again for whom there was no place.
const AGAIN: Duration = Duration::from_secs(5);
/// Since when, where nobody says.
const SINCE: Duration = Duration::from_hours(14 * 24);

/// Places for those who count.
pub(super) fn room() -> Room {
    Room::new(TOGETHER)
}

/// What is counted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WantedQuery {
    /// Some of `scenario`, `kind`, `elements`, `provider`, `bank`, with commas; `scenario,kind,provider` where absent.
    by: Option<String>,
    /// What was asked since then; the last 14 days where absent.
    since_ms: Option<u64>,
    /// And before then; until now where absent.
    until_ms: Option<u64>,
}

/// What inquiries came to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatisticsBody {
    since_ms: u64,
    until_ms: u64,
    by: Vec<&'static str>,
    groups: Vec<GroupBody>,
}

/// A group: what it is by each of `by`, null where that is not known, and what is counted of it.
#[derive(Debug, Serialize, JsonSchema)]
struct GroupBody {
    #[serde(flatten)]
    of: BTreeMap<&'static str, Option<String>>,
    /// Inquiries.
    asked: u64,
    answers: AnswersBody,
    /// Of a thousand inquiries, how many matched.
    match_permille: Option<u64>,
    /// Those that did not match, by why: the answer, and the elements at fault or the trouble where known.
    reasons: BTreeMap<String, u64>,
    /// Inquiries that are billed.
    billed: u64,
    /// Inquiries of which nobody knows whether they are billed.
    uncertain: u64,
    /// What the billed ones cost, in fen: the group's share of the month's cost by the price list.
    cost_fen: u64,
    /// What the uncertain ones cost besides, if all of them are billed.
    uncertain_fen: u64,
    /// Payments for which an earlier answer was reused.
    reused: u64,
    /// Payments of which nobody told anything, by why.
    untold: BTreeMap<&'static str, u64>,
    latency: LatencyBody,
}

/// How inquiries were answered.
#[derive(Debug, Serialize, JsonSchema)]
struct AnswersBody {
    r#match: u64,
    close_match: u64,
    no_match: u64,
    no_record: u64,
    not_possible: u64,
    limited: u64,
    invalid: u64,
    unavailable: u64,
    /// Nobody knows, or not yet.
    open: u64,
}

/// How long those took of which that is known, in milliseconds.
#[derive(Debug, Serialize, JsonSchema)]
struct LatencyBody {
    known: u64,
    p50_ms: Option<u32>,
    p90_ms: Option<u32>,
    p99_ms: Option<u32>,
}

impl StatisticsBody {
    /// What is shown of what was counted.
    pub fn new(wanted: &Wanted, lines: &[Line]) -> Self {
        Self {
            since_ms: wanted.since.as_millis(),
            until_ms: wanted.until.as_millis(),
            by: wanted.by.dimensions().map(Dimension::as_str).collect(),
            groups: lines.iter().map(|line| GroupBody::new(wanted, line)).collect(),
        }
    }
}

impl GroupBody {
    fn new(wanted: &Wanted, Line { of, counts, cost, uncertain_cost }: &Line) -> Self {
        let dimensions = wanted.by.dimensions();
        let Counts { asked, billed, uncertain, reused, took, .. } = counts;
        let answers = counts.answers;
        Self {
            of: dimensions.map(|it| (it.as_str(), of.word(it))).collect(),
            asked: *asked,
            answers: AnswersBody {
                r#match: answers.matched,
                close_match: answers.close_match,
                no_match: answers.no_match,
                no_record: answers.no_record,
                not_possible: answers.not_possible,
                limited: answers.limited,
                invalid: answers.invalid,
                unavailable: answers.unavailable,
                open: answers.open,
            },
            match_permille: counts.match_permille(),
            reasons: counts.reasons.clone(),
            billed: *billed,
            uncertain: *uncertain,
            cost_fen: cost.get(),
            uncertain_fen: uncertain_cost.get(),
            reused: *reused,
            untold: counts.untold.clone(),
            latency: LatencyBody {
                known: took.known(),
                p50_ms: took.percentile(50),
                p90_ms: took.percentile(90),
                p99_ms: took.percentile(99),
            },
        }
    }
}

/// `GET /v1/statistics`
pub(super) async fn statistics(
    State(live): State<Live>,
    Query(query): Query<WantedQuery>,
) -> Result<Json<StatisticsBody>, Problem> {
    let by = query.by.map(|by| by.parse()).transpose();
    let by = by.map_err(|error| Problem::told(StatusCode::BAD_REQUEST, &error))?;
    let admin = live.current();
    let tables = admin.shown.tables.clone().ok_or(Problem::new(
        StatusCode::CONFLICT,
        "there is no `[store]`: what was asked is not known",
    ))?;
    let _place = live.0.counting.place().ok_or_else(|| {
        let detail = "statistics are counted twice at once already: try again";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).after(AGAIN)
    })?;
    let now = admin.service.clock.now();
    let until = query.until_ms.map_or(now, |until| Timestamp::from_millis(until).min(now));
    let since = query.since_ms.map_or(now.minus(SINCE), Timestamp::from_millis).min(until);
    let wanted = Wanted { by: by.unwrap_or_default(), since, until };
    let lines = admin.service.statistics(&tables, &wanted).await.map_err(|error| {
        let status = match error {
            StatisticsError::TooMany(_) => StatusCode::BAD_REQUEST,
            StatisticsError::Lost => StatusCode::SERVICE_UNAVAILABLE,
        };
        Problem::told(status, &error)
    })?;
    Ok(Json(StatisticsBody::new(&wanted, &lines)))
}
