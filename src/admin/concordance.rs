//! How often the halves agree, and where a debit is best sent.

use super::Admin;
use super::body::Problem;
use super::rules::LOST;
use crate::domain::answer::Answer;
use crate::domain::chance::Routed;
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{Bank, ChannelName, PaymentId, ProviderName};
use crate::reconcile::concordance::{Age, Count, Place, Rate, Said, Tally};
use crate::service::concordance::{Advice, Given};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Which places are shown.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shown {
    provider: Option<String>,
    channel: Option<String>,
    /// Whether banks are told apart.
    banks: bool,
}

/// What is counted at one place, of one thing that was said.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CellBody {
    provider: String,
    channel: Option<String>,
    bank: Option<String>,
    elements: String,
    said: &'static str,
    #[serde(flatten)]
    count: CountBody,
    by_age: Vec<AgeBody>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AgeBody {
    age: &'static str,
    #[serde(flatten)]
    count: CountBody,
}

/// Samples as they weigh now, and what follows from them.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CountBody {
    agreed: f64,
    differed: f64,
    expected: f64,
    low: f64,
    high: f64,
}

impl From<Count> for CountBody {
    fn from(count: Count) -> Self {
        let (low, high) = count.interval();
        let Count { agreed, differed } = count;
        Self { agreed, differed, expected: count.expected(), low, high }
    }
}

/// How it came about who was asked.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RoutingBody {
    explored: bool,
    propensity: f64,
    /// What asking each was expected to cost, in the order in which they were to be asked.
    expected: Vec<ExpectedBody>,
    lowered: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ExpectedBody {
    provider: String,
    fen: f64,
}

impl From<&Routed> for RoutingBody {
    fn from(routed: &Routed) -> Self {
        let expected = routed.expected.iter();
        let expected =
            expected.map(|(name, fen)| ExpectedBody { provider: name.to_string(), fen: *fen });
        Self {
            explored: routed.explored,
            propensity: routed.propensity.ratio(),
            expected: expected.collect(),
            lowered: routed.lowered.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What may be expected, and on what it rests.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RateBody {
    level: &'static str,
    age: Option<&'static str>,
    #[serde(flatten)]
    count: CountBody,
}

impl From<Rate> for RateBody {
    fn from(rate: Rate) -> Self {
        let Rate { level, age, count, .. } = rate;
        Self { level: level.as_str(), age: age.map(Age::as_str), count: count.into() }
    }
}

/// `GET /v1/concordance`
pub(super) async fn concordance(
    State(admin): State<Arc<Admin>>,
    Query(shown): Query<Shown>,
) -> Result<Json<Vec<CellBody>>, Problem> {
    let is = |wanted: &Option<String>, name: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| Some(wanted) == name)
    };
    if shown.channel.as_ref().is_some_and(|name| !admin.has_channel(name)) {
        return Err(Problem::new(StatusCode::NOT_FOUND, "no such channel is configured"));
    }
    let places = admin.service.store.places(shown.banks).into_iter().filter(|(place, _)| {
        is(&shown.provider, Some(place.provider.as_str()))
            && is(&shown.channel, place.channel.as_ref().map(ChannelName::as_str))
    });
    let now = admin.service.clock.now();
    let cells = places.flat_map(|(place, tally)| {
        let cell = move |said| cell(&place, &tally, said, now);
        Said::ALL.into_iter().filter_map(cell)
    });
    Ok(Json(cells.collect()))
}

fn cell(place: &Place, tally: &Tally, said: Said, now: Timestamp) -> Option<CellBody> {
    let counted = |age| Some(tally.count(said, age, now)).filter(|count| count.all() > 0.0);
    let by_age = |age: Age| Some(AgeBody { age: age.as_str(), count: counted(Some(age))?.into() });
    Some(CellBody {
        provider: place.provider.to_string(),
        channel: place.channel.as_ref().map(ToString::to_string),
        bank: place.bank.as_ref().map(ToString::to_string),
        elements: place.elements.to_string(),
        said: said.as_str(),
        count: counted(None)?.into(),
        by_age: Age::ALL.into_iter().filter_map(by_age).collect(),
    })
}

/// For which evidence advice is asked: a payment's, or one that is described. No element is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AdviceQuestion {
    payment: Option<String>,
    provider: Option<String>,
    elements: Option<String>,
    /// What the card's number begins with, six digits.
    bank: Option<String>,
    answer: Option<String>,
    age_seconds: Option<u64>,
}

/// Where a debit may be sent, the best first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AdviceBody {
    channel: String,
    provider: String,
    #[serde(flatten)]
    rate: RateBody,
}

/// `POST /v1/advice`
pub(super) async fn advice(
    State(admin): State<Arc<Admin>>,
    Json(question): Json<AdviceQuestion>,
) -> Result<Json<Vec<AdviceBody>>, Problem> {
    let given = given(&admin, question).await?;
    let advice = admin.service.advise(&given, &admin.channels).into_iter();
    let advice = advice.map(|Advice { provider, channel, rate }| AdviceBody {
        channel: channel.to_string(),
        provider: provider.to_string(),
        rate: rate.into(),
    });
    Ok(Json(advice.collect()))
}

async fn given(admin: &Admin, question: AdviceQuestion) -> Result<Given, Problem> {
    let wrong = |what| Problem::new(StatusCode::BAD_REQUEST, what);
    if let Some(id) = question.payment {
        let none = Problem::new(StatusCode::NOT_FOUND, "no such payment is kept");
        let id = PaymentId::parse(&id).ok_or(none.clone())?;
        let record = admin.service.kept_record(id).await.map_err(|_| LOST)?.ok_or(none)?;
        return admin.service.given(&record).ok_or(wrong(
            "the payment rests on no answer of a provider that says whether its elements match",
        ));
    }
    let elements = question
        .elements
        .ok_or(wrong("`elements` must say which were verified, or `payment` whose"))?;
    let elements = ElementSet::try_from(elements)
        .map_err(|_| wrong("`elements` are words as in `Hefu-Verification`"))?;
    let said = match question.answer {
        None => Said::Match,
        Some(word) => Answer::from_word(&word)
            .and_then(Said::of)
            .ok_or(wrong("`answer` is `match`, `close_match` or `no_match`"))?,
    };
    let bank = question.bank.map(|bank| {
        let digits = bank.len() == 6 && bank.bytes().all(|byte| byte.is_ascii_digit());
        digits
            .then(|| Bank::new(&bank))
            .ok_or(wrong("`bank` is the six digits with which its cards begin"))
    });
    Ok(Given {
        provider: question.provider.map(|name| ProviderName::new(&name)),
        elements,
        bank: bank.transpose()?,
        said,
        age: question.age_seconds.map(|age| Age::of(Duration::from_secs(age))),
    })
}
