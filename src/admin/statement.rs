//! Statements, as the command sends them: lines that it read, and days that are complete.

use super::Admin;
use super::access::Operator;
use super::body::Problem;
use crate::domain::id::{ChannelName, MerchantId, OrderId};
use crate::domain::money::Fen;
use crate::domain::outcome::Outcome;
use crate::domain::payment::Scenario;
use crate::message::statement::Line;
use crate::service::Channel;
use crate::service::closing::{Closing, NotClosed, Progress};
use crate::service::statement::Came;
use crate::store::Record;
use crate::store::audit::Action;
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The most lines of one call.
const LINES_MAX: usize = 5_000;

/// How many pages of payments one call that closes a day looks at: some seconds.
const PAGES_MAX: usize = 100;

/// The most merchants whose files are closed by one call.
const MERCHANTS_MAX: usize = 1_000;

/// The longest name of one, in bytes.
const MERCHANT_MAX: usize = 128;

const LOST: Problem = Problem::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "the store cannot be read or written now: settle the file again, which does no harm",
);

#[derive(Deserialize, JsonSchema)]
pub(super) struct ChannelQuery {
    channel: String,
}

/// A line that was read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineBody {
    line: u64,
    order: String,
    #[serde(default)]
    merchant: Option<String>,
    #[serde(default)]
    amount_fen: Option<u64>,
    #[serde(default)]
    scenarios: Vec<Scenario>,
    outcome: Outcome,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    unmapped_in: Option<String>,
}

impl From<LineBody> for (u64, Line) {
    fn from(body: LineBody) -> Self {
        let LineBody { line, order, merchant, amount_fen, scenarios, outcome, code, unmapped_in } =
            body;
        let read = Line {
            scenarios,
            order: OrderId(order.into()),
            merchant: merchant.map(|merchant| MerchantId(merchant.into())),
            amount: amount_fen.map(Fen::new),
            outcome,
            code,
            unmapped_in,
        };
        (line, read)
    }
}

/// What lines came to.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct StatedBody {
    settled: u64,
    known: u64,
    differences: Vec<DifferenceBody>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct DifferenceBody {
    line: u64,
    difference: &'static str,
    payment: Option<String>,
    order: String,
}

/// Takes lines, each a line of JSON, for what they say.
pub(super) async fn lines(
    State(admin): State<Arc<Admin>>,
    who: Operator,
    Query(query): Query<ChannelQuery>,
    body: String,
) -> Result<Json<StatedBody>, Problem> {
    let channel = admin.inspected(&query.channel)?;
    let read = body.lines().filter(|line| !line.trim().is_empty());
    let read = read.map(serde_json::from_str::<LineBody>).collect::<Result<Vec<_>, _>>();
    let read = read.ok().filter(|read| read.len() <= LINES_MAX).ok_or(Problem::new(
        StatusCode::BAD_REQUEST,
        "lines are at most 5000 JSON objects, as `hefu settle` sends them",
    ))?;
    let (numbers, read): (Vec<u64>, Vec<Line>) = read.into_iter().map(<(u64, Line)>::from).unzip();
    let came = admin.service.state(&channel, &read).await.map_err(|_| LOST)?;
    let mut stated = StatedBody::default();
    for ((number, line), (came, payment)) in numbers.iter().zip(&read).zip(came) {
        match came {
            Came::Settled => stated.settled = stated.settled.saturating_add(1),
            Came::Known => stated.known = stated.known.saturating_add(1),
            Came::Differs(difference) => stated.differences.push(DifferenceBody {
                line: *number,
                difference: difference.as_str(),
                payment: payment.map(|payment| payment.to_string()),
                order: line.order.0.to_string(),
            }),
        }
    }
    let action = Action::SettleStatement {
        channel: query.channel,
        lines: read.len(),
        settled: stated.settled,
        differences: stated.differences.len(),
    };
    admin.audit(who, action).await?;
    Ok(Json(stated))
}

/// A day of which everything was read.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DayBody {
    channel: String,
    day: String,
    lines: u64,
    #[serde(default)]
    merchants: BTreeSet<String>,
    #[serde(default)]
    even_if_most_fail: bool,
    /// As the call before told, where it told any.
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Value>")]
    next: Option<Progress>,
}

/// What closing it came to; with `next`, that is to be posted again beside the rest.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ClosedBody {
    settled_days: Vec<String>,
    absent: u64,
    left: u64,
    named: Vec<AbsentBody>,
    /// To be posted again beside the rest; null when all is done.
    #[schemars(with = "Option<serde_json::Value>")]
    next: Option<Progress>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AbsentBody {
    payment: String,
    order: Option<String>,
    amount_fen: Option<u64>,
    was: &'static str,
}

impl From<&Record> for AbsentBody {
    fn from(record: &Record) -> Self {
        Self {
            payment: record.payment.to_string(),
            order: record.order.as_ref().map(|order| order.0.to_string()),
            amount_fen: record.amount.map(Fen::get),
            was: record.outcome.as_ref().map_or("unknown", |(outcome, ..)| outcome.as_str()),
        }
    }
}

/// Takes a day's statement for complete, as far as one call goes.
pub(super) async fn day(
    State(admin): State<Arc<Admin>>,
    who: Operator,
    Json(body): Json<DayBody>,
) -> Result<Json<ClosedBody>, Problem> {
    let channel = admin.inspected(&body.channel)?;
    let day = body
        .day
        .parse()
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "a `day` is written as 2026-11-28"))?;
    if body.merchants.len() > MERCHANTS_MAX || !body.merchants.iter().all(|it| is_merchant(it)) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "`merchants` are at most 1000 of up to 128 bytes: close the files of fewer at a time",
        ));
    }
    let DayBody { channel: name, day: date, lines, merchants, even_if_most_fail, next } = body;
    let named = merchants.len();
    let closing = Closing { day, lines, merchants, even_if_most_fail, pages: PAGES_MAX };
    let closed = admin.service.close_day(&channel, &closing, next.unwrap_or_default()).await;
    let closed = closed.map_err(|error| match &error {
        NotClosed::Lost(_) => LOST,
        NotClosed::NobodyNamed => Problem::told(StatusCode::BAD_REQUEST, &error),
        NotClosed::MostFail { .. } | NotClosed::MostTakenFail { .. } => {
            Problem::told(StatusCode::CONFLICT, &error)
        }
    })?;
    if closed.next.is_none() || closed.absent > 0 {
        let action = Action::CloseStatementDay {
            channel: name,
            day: date,
            lines,
            merchants: named,
            even_if_most_fail,
            absent: closed.absent,
        };
        admin.audit(who, action).await?;
    }
    Ok(Json(ClosedBody {
        settled_days: closed.settled.iter().map(ToString::to_string).collect(),
        absent: closed.absent,
        left: closed.left,
        named: closed.named.iter().map(AbsentBody::from).collect(),
        next: closed.next,
    }))
}

fn is_merchant(name: &str) -> bool {
    (1..=MERCHANT_MAX).contains(&name.len()) && !name.contains(char::is_control)
}

impl Admin {
    /// The inspected channel called `name`.
    pub(super) fn inspected(&self, name: &str) -> Result<Arc<Channel>, Problem> {
        let channel = self.inspected.get(&ChannelName::new(name)).cloned();
        channel.ok_or(Problem::new(
            StatusCode::NOT_FOUND,
            "no such channel is configured and inspected",
        ))
    }
}
