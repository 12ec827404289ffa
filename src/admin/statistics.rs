//! Statistics: what inquiries came to, by whatever a reader has them counted.

use super::Live;
use super::body::Problem;
use crate::domain::clock::Timestamp;
use crate::service::clients::room::Room;
use crate::service::statistics::{Counted, Counts, Dimension, Line, StatisticsError, Wanted};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// How many are counted at once: each reads all that was asked in whole months, and payments take turns with it.
const TOGETHER: usize = 2;
/// After how long somebody may try again for whom there was no place.
const AGAIN: Duration = Duration::from_secs(5);
/// Since how long before the end, where nobody says.
const SINCE: Duration = Duration::from_hours(14 * 24);
/// The longest time that is counted here; the command, which payments do not take turns with, has no bound.
const SPAN_MAX: Duration = Duration::from_hours(100 * 24);
/// After how long it is given up.
const WITHIN: Duration = Duration::from_mins(1);

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
    /// What was asked since then: at most 100 days before `until_ms`; 14 days before it where absent.
    since_ms: Option<u64>,
    /// And before then: until now, which is also the latest, where absent.
    until_ms: Option<u64>,
}

/// What inquiries came to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatisticsBody {
    since_ms: u64,
    until_ms: u64,
    by: Vec<&'static str>,
    /// Payments of that time that cannot be read, damaged or another version's: they are in no group.
    unreadable: u64,
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
    /// Payments that rested on an answer which was kept before, so that nobody was asked; a channel's own under no provider.
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
    pub fn new(wanted: &Wanted, Counted { lines, unreadable }: &Counted) -> Self {
        Self {
            since_ms: wanted.since.as_millis(),
            until_ms: wanted.until.as_millis(),
            by: wanted.by.dimensions().map(Dimension::as_str).collect(),
            unreadable: *unreadable,
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
    let now = admin.service.clock.now();
    let (since, until) = span((query.since_ms, query.until_ms), now)
        .map_err(|detail| Problem::new(StatusCode::BAD_REQUEST, detail))?;
    let _place = live.0.counting.place().ok_or_else(|| {
        let detail = "statistics are counted twice at once already: try again";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).after(AGAIN)
    })?;
    let wanted = Wanted { by: by.unwrap_or_default(), since, until };
    let counted = in_time(admin.service.statistics(&tables, &wanted)).await?;
    Ok(Json(StatisticsBody::new(&wanted, &counted)))
}

/// From when to when.
fn span(
    (since, until): (Option<u64>, Option<u64>),
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), &'static str> {
    let until = until.map_or(now, |until| Timestamp::from_millis(until).min(now));
    let since = since.map_or(until.minus(SINCE), Timestamp::from_millis);
    if since > until {
        return Err("`since_ms` is after `until_ms`, or after now");
    }
    if until.since(since) > SPAN_MAX {
        return Err("at most 100 days are counted here: ask for less, or use `hefu report`");
    }
    Ok((since, until))
}

/// What is counted, unless it takes too long.
async fn in_time<T>(
    counting: impl Future<Output = Result<T, StatisticsError>>,
) -> Result<T, Problem> {
    let counted = timeout(WITHIN, counting).await.map_err(|_| {
        let detail = "it takes too long to count so much now: ask for less, or use `hefu report`";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).after(AGAIN)
    })?;
    counted.map_err(|error| match error {
        StatisticsError::TooMany(_) => Problem::told(StatusCode::BAD_REQUEST, &error),
        StatisticsError::Unreadable(_) => Problem::told(StatusCode::INTERNAL_SERVER_ERROR, &error),
        StatisticsError::Lost => {
            Problem::told(StatusCode::SERVICE_UNAVAILABLE, &error).after(AGAIN)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::statistics::TooMany;
    use crate::store::row::{Aggregate, RowKey};
    use axum::http::header::RETRY_AFTER;
    use axum::response::IntoResponse as _;

    #[test]
    fn a_time_is_bounded_and_does_not_end_before_it_begins() {
        const DAY: u64 = 86_400_000;
        const NOW: u64 = 20_000 * DAY;
        let check = |since, until, expected: Result<(u64, u64), &str>| {
            let told = span((since, until), Timestamp::from_millis(NOW));
            let told = told.map(|(since, until)| (since.as_millis(), until.as_millis()));
            match (told, expected) {
                (Err(told), Err(word)) => assert!(told.contains(word), "{told}"),
                (told, expected) => assert_eq!(told, expected, "{since:?} {until:?}"),
            }
        };
        check(None, None, Ok((NOW - 14 * DAY, NOW)));
        check(None, Some(NOW - DAY), Ok((NOW - 15 * DAY, NOW - DAY)));
        check(None, Some(NOW + DAY), Ok((NOW - 14 * DAY, NOW)));
        check(None, Some(0), Ok((0, 0)));
        check(Some(NOW - DAY), None, Ok((NOW - DAY, NOW)));
        check(Some(NOW), Some(NOW), Ok((NOW, NOW)));
        check(Some(NOW - DAY + 1), Some(NOW - DAY), Err("`since_ms` is after"));
        check(Some(NOW + 1), Some(NOW + 2), Err("or after now"));
        check(Some(u64::MAX), None, Err("or after now"));
        check(Some(NOW - 100 * DAY), None, Ok((NOW - 100 * DAY, NOW)));
        check(Some(NOW - 100 * DAY - 1), None, Err("100 days"));
        check(Some(0), Some(u64::MAX), Err("100 days"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_or_is_lost_may_be_tried_again() {
        let told = |counting: Result<(), Problem>| {
            let response = counting.unwrap_err().into_response();
            let after = response.headers().get(RETRY_AFTER).map(|it| it.to_str().unwrap());
            (response.status().as_u16(), after.map(str::to_owned))
        };
        let again = Some("5".to_owned());
        assert_eq!(told(in_time(std::future::pending()).await), (503, again.clone()));
        let check = async |error: StatisticsError, expected| {
            assert_eq!(told(in_time(async { Err(error) }).await), expected);
        };
        check(StatisticsError::Lost, (503, again)).await;
        check(TooMany.into(), (400, None)).await;
        let charge = RowKey { of: Aggregate::Charges, name: "one".to_owned() };
        check(StatisticsError::Unreadable(charge), (500, None)).await;
    }
}
