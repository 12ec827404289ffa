//! Verifications: asked for under a key, shown to whose they are.

use super::access::{Caller, Held, Named};
use super::body::{LOST, Mode, Unfit, VerificationBody, VerificationsBody, WantedBody};
use super::{Clients, Live, pictures};
use crate::api::Problem;
use crate::domain::id::PaymentId;
use crate::service::clients::{AskError, Verified, Wanted};
use crate::store::journal::StoreLost;
use crate::store::verification::Verification;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// The longest name of a request.
const KEY_MAX: usize = 64;
/// How many verifications one page shows at most.
const PAGE_MAX: usize = 100;
/// When to come again for what is being asked, in seconds.
const SOON: &str = "1";

const NO_SUCH: Problem = Problem::new(StatusCode::NOT_FOUND, "you have no such verification");
const NOT_JSON: Problem = Problem::new(
    StatusCode::BAD_REQUEST,
    "the body is not a JSON object with the fields that are described, each once and no others",
);

/// Has elements verified.
pub(super) async fn ask(
    State(live): State<Live>,
    Caller(client): Caller,
    picture: Option<Held>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let current = live.current();
    let key = request_key(&headers)?;
    let wanted: WantedBody = read_json(&headers, &body)?;
    drop(body);
    let kind = wanted.kind().map_err(unfit)?;
    let later = wanted.mode == Mode::Async;
    let (elements, then) = wanted.read(kind).map_err(unfit)?;
    pictures::check(&elements, current.picture_max)?;
    let wanted = Wanted { key, kind, elements, then, later };
    let place = (live.place()?, picture);
    let asked = current.service.verify_whole(&client.terms, wanted, place).await;
    let verified = asked.map_err(|error| refused(&current, error))?;
    let status = if verified.before { StatusCode::OK } else { StatusCode::CREATED };
    Ok(told(&current, &verified, status))
}

/// What is told of an element that is none.
pub(super) fn unfit(Unfit { field, why }: Unfit) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why).of_field(field)
}

/// What is told where nothing was asked.
pub(super) fn refused(current: &Clients, error: AskError) -> Problem {
    match error {
        AskError::Set => Problem::told(StatusCode::UNPROCESSABLE_ENTITY, &error),
        AskError::OtherContent => Problem::told(StatusCode::CONFLICT, &error),
        AskError::Over(over) => {
            let wait = over.wait(current.service.clock.now());
            Problem::told(StatusCode::TOO_MANY_REQUESTS, &error).after(wait)
        }
        AskError::Store(_) => {
            Problem::told(StatusCode::SERVICE_UNAVAILABLE, &error).after(Duration::from_secs(1))
        }
    }
}

/// The client's name for its request.
pub(super) fn request_key(headers: &HeaderMap) -> Result<String, Problem> {
    let mut values = headers.get_all("Idempotency-Key").iter();
    let key = values.next().filter(|_| values.next().is_none());
    let key = key.and_then(|key| key.to_str().ok());
    let fits = |key: &&str| {
        (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    key.filter(fits).map(str::to_owned).ok_or(Problem::new(
        StatusCode::BAD_REQUEST,
        "an `Idempotency-Key` names the request: one, of 1 to 64 visible ASCII characters without spaces",
    ))
}

/// What the body says, which is JSON in UTF-8.
pub(super) fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: &[u8],
) -> Result<T, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !kind.is_some_and(is_json) || headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "the body is `application/json` in UTF-8, and is not coded";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    // The parser's own words may quote a value.
    serde_json::from_slice(body).map_err(|_| NOT_JSON)
}

/// Whether a content type is JSON, in no other charset than it can have.
fn is_json(text: &str) -> bool {
    let mut parts = text.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    is_json
        && parts.all(|parameter| {
            let charset = parameter.split_once('=');
            charset.is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case("charset")
                    && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            })
        })
}

/// What is told of a verification, where what was asked went well.
fn told(current: &Clients, verified: &Verified, done: StatusCode) -> Response {
    let Verified { verification, read, then, .. } = verified;
    let body = |it| VerificationBody::new(it, current.service.is_uncertain(it));
    let body = body(verification).with_then(then.as_ref().map(body)).with_read(read.as_deref());
    if body.is_asking() {
        return (StatusCode::ACCEPTED, [(header::RETRY_AFTER, SOON)], Json(body)).into_response();
    }
    // What is told once is in no cache.
    let mut answer = (done, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response();
    if done == StatusCode::CREATED {
        let place = HeaderValue::try_from(format!("/v1/verifications/{}", verification.id));
        if let Ok(place) = place {
            answer.headers_mut().insert(header::LOCATION, place);
        }
    }
    answer
}

/// Shows a verification, if it is the caller's: who asks for another's is told what is told of none.
pub(super) async fn show(
    State(live): State<Live>,
    Caller(client): Caller,
    Named(id): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let current = live.current();
    let id = PaymentId::parse(&id).ok_or(NO_SUCH)?;
    let found =
        current.service.verification_of(client.name(), id).await.map_err(|StoreLost| LOST)?;
    let found = found.ok_or(NO_SUCH)?;
    let then = current.service.what_followed(&client.terms, &found).await;
    let then = then.map_err(|StoreLost| LOST)?;
    let body = |it| VerificationBody::new(it, current.service.is_uncertain(it));
    let body = body(&found).with_then(then.as_ref().map(body));
    tagged(&headers, &body)
}

/// What is told of something that may be known to who asks, by its tag.
pub(super) fn tagged(headers: &HeaderMap, body: &impl Serialize) -> Result<Response, Problem> {
    let text = serde_json::to_string(body).map_err(|_| LOST)?;
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let etag = format!("\"{}\"", hex::encode(digest.get(..16).unwrap_or(&digest)));
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let known = known.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let is_known =
        known.map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == etag);
    let etag = (header::ETAG, etag);
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, [etag]).into_response());
    }
    let kind = (header::CONTENT_TYPE, "application/json".to_owned());
    Ok(([etag, kind], text).into_response())
}

/// Which of them.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListQuery {
    /// Those before this one: the `next` of the page before.
    before: Option<String>,
    /// How many; 100 at most, and where absent.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<usize>,
}

/// Before which, and how many.
pub(super) fn page(
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<(Option<PaymentId>, usize), Problem> {
    const WRONG: Problem = Problem::new(
        StatusCode::BAD_REQUEST,
        "a query is `before`, the `next` of the page before, and `limit`, 1 to 100",
    );
    let Query(ListQuery { before, limit }) = query.map_err(|_| WRONG)?;
    let before = before.map(|id| PaymentId::parse(&id).ok_or(WRONG)).transpose()?;
    let most = limit.unwrap_or(PAGE_MAX);
    if (1..=PAGE_MAX).contains(&most) { Ok((before, most)) } else { Err(WRONG) }
}

/// Shows the caller's verifications.
pub(super) async fn list(
    State(live): State<Live>,
    Caller(client): Caller,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<VerificationsBody>, Problem> {
    let current = live.current();
    let (before, most) = page(query)?;
    let service = &current.service;
    let found =
        service.verifications_of(client.name(), before, most).await.map_err(|StoreLost| LOST)?;
    let next = found.next.map(|id| id.to_string());
    let show = |it: &Verification| VerificationBody::new(it, service.is_uncertain(it));
    Ok(Json(VerificationsBody { verifications: found.found.iter().map(show).collect(), next }))
}
