//! Merchants whom clients take on: what was asked of each, what is missing, and what it cost.

use super::Live;
use super::access::{Caller, Named};
use super::body::{ElementsBody, LOST, Mode};
use super::verifications::{ListQuery, page, read_json, refused, request_key, tagged, unfit};
use crate::api::Problem;
use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::element::{Element, ElementSet};
use crate::domain::id::PaymentId;
use crate::domain::kind::Kind;
use crate::domain::money::Fen;
use crate::service::clients::onboarding::{Merchant, NEEDED};
use crate::store::journal::StoreLost;
use crate::store::onboarding::{Onboarding, Stand, Step, Worth};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When to come again for what is being asked, in seconds.
const SOON: &str = "1";

const NO_SUCH: Problem = Problem::new(StatusCode::NOT_FOUND, "you have no such onboarding");

/// A merchant to take on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MerchantBody {
    /// `business_name`, `credit_code`; `name`, `id_number` of who stands for the business by law; `pan` of their card, and `phone`
    /// where the card is verified with it.
    elements: ElementsBody,
    /// `sync` where absent: the answer says how it ended. `async`: it says that it is being asked, and you are told by your webhook.
    #[serde(default)]
    mode: Mode,
}

/// How it stands with a merchant.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct OnboardingBody {
    /// Its id.
    id: String,
    /// `approved`, where all is confirmed; `refused`, where a step came to what cannot succeed with these elements; `stalled`, where
    /// nobody could say: try again under another key; `working`; or `left`: post the same under the same key, and it goes on.
    status: &'static str,
    at_ms: u64,
    /// What was asked, in order; the next one is asked only where the one before is confirmed.
    steps: Vec<StepBody>,
    /// The steps that are not confirmed.
    missing: Vec<&'static str>,
    /// What it cost, in fen, at the first rate of your price list.
    cost_fen: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct StepBody {
    /// `business`, `identity` or `card`.
    step: &'static str,
    /// The verification; none where it was not asked.
    verification: Option<String>,
    /// What it came to.
    answer: Option<&'static str>,
    /// What it cost, in fen.
    cost_fen: u64,
}

/// Some onboardings.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct OnboardingsBody {
    onboardings: Vec<OnboardingBody>,
    /// What `before` is for the next page; none where there is none.
    next: Option<String>,
}

fn name(step: &Step) -> &'static str {
    if step.kind == Kind::Business {
        "business"
    } else if step.set.contains(Element::Pan) {
        "card"
    } else {
        "identity"
    }
}

impl OnboardingBody {
    fn new(onboarding: &Onboarding, now: Timestamp) -> Self {
        let Onboarding { id, at, steps, .. } = onboarding;
        let is_missing = |step: &&Step| step.answer.map(Worth::of) != Some(Worth::Confirmed);
        let body = |step: &Step| StepBody {
            step: name(step),
            verification: step.verification.map(|id| id.to_string()),
            answer: step.answer.map(Answer::as_str),
            cost_fen: Fen::get(step.cost),
        };
        Self {
            id: id.to_string(),
            status: onboarding.stand(now).as_str(),
            at_ms: at.as_millis(),
            steps: steps.iter().map(body).collect(),
            missing: steps.iter().filter(is_missing).map(name).collect(),
            cost_fen: steps.iter().fold(0, |sum, step| sum.saturating_add(step.cost.get())),
        }
    }
}

/// Asks about a merchant.
pub(super) async fn post(
    State(live): State<Live>,
    Caller(client): Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let current = live.current();
    let key = request_key(&headers)?;
    let MerchantBody { elements, mode } = read_json(&headers, &body)?;
    drop(body);
    let elements = elements.read().map_err(unfit)?;
    let most = NEEDED.union(ElementSet::EMPTY.with(Element::Phone));
    if let Some(missing) = NEEDED.difference(elements.set()).iter().next() {
        let detail = "a merchant cannot be taken on without it";
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
        return Err(problem.of_field(missing.as_str()));
    }
    if let Some(other) = elements.set().difference(most).iter().next() {
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "nobody is asked about it");
        return Err(problem.of_field(other.as_str()));
    }
    let place = live.place()?;
    let merchant = Merchant { key, elements, later: mode == Mode::Async };
    let onboarding = current.service.onboard_for(&client.terms, merchant, place).await;
    let onboarding = onboarding.map_err(|error| refused(&current, error))?;
    let now = current.service.clock.now();
    let body = Json(OnboardingBody::new(&onboarding, now));
    let place = (header::LOCATION, format!("/v1/onboardings/{}", onboarding.id));
    match onboarding.stand(now) {
        Stand::Working | Stand::Left => {
            let later = (header::RETRY_AFTER, SOON.to_owned());
            Ok((StatusCode::ACCEPTED, [place, later], body).into_response())
        }
        Stand::Approved | Stand::Refused | Stand::Stalled => {
            Ok((StatusCode::OK, [place], body).into_response())
        }
    }
}

/// Shows how it stands with one.
pub(super) async fn show(
    State(live): State<Live>,
    Caller(client): Caller,
    Named(id): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let current = live.current();
    let id = PaymentId::parse(&id).ok_or(NO_SUCH)?;
    let found = current.service.onboarding_of(client.name(), id).await;
    let found = found.map_err(|StoreLost| LOST)?.ok_or(NO_SUCH)?;
    tagged(&headers, &OnboardingBody::new(&found, current.service.clock.now()))
}

/// Shows the caller's onboardings.
pub(super) async fn list(
    State(live): State<Live>,
    Caller(client): Caller,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<OnboardingsBody>, Problem> {
    let (current, (before, most)) = (live.current(), page(query)?);
    let found = current.service.onboardings_of(client.name(), before, most).await;
    let (found, now) = (found.map_err(|StoreLost| LOST)?, current.service.clock.now());
    let next = found.next.map(|id| id.to_string());
    let onboardings = found.found.iter().map(|it| OnboardingBody::new(it, now)).collect();
    Ok(Json(OnboardingsBody { onboardings, next }))
}
