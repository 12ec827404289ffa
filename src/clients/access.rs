//! Who calls, by a key that is kept by nobody but them; what they may, and how often.

use super::places::Place;
use super::signed::SigningKey;
use super::{Live, full, pictures};
use crate::api::Problem;
use crate::api::body::whole;
use crate::domain::client::Scope;
use crate::domain::clock::Timestamp;
use crate::domain::id::ClientName;
use crate::service::clients::Terms;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::Arc;
use tokio::time::Instant;

/// One of a client's keys: its number, which tells which of them it is, and a hash over both.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Its number.
    pub id: String,
    /// The SHA-256 of the whole key, which begins with the number: it is as random as it is long, so that nobody can try it out.
    pub digest: [u8; 32],
    /// Until when it is taken; for ever where absent.
    pub until: Option<Timestamp>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// Somebody who calls.
#[derive(Clone, Debug)]
pub struct Client {
    /// On which terms.
    pub terms: Arc<Terms>,
    /// Their keys: two, while one follows another.
    pub keys: Vec<Key>,
    /// What they may do.
    pub may: Vec<Scope>,
    /// How many requests a second they may make.
    pub per_second: u32,
    /// By which they sign, where they must.
    pub signing: Option<SigningKey>,
}

impl Client {
    /// Their name.
    pub fn name(&self) -> &ClientName {
        &self.terms.name
    }
}

/// Who it is whose key `headers` hold at `now`. All are compared, so that time tells nothing.
fn find<'c>(clients: &'c [Client], headers: &HeaderMap, now: Timestamp) -> Option<&'c Client> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (given, twice) = (values.next()?, values.next());
    let given = given.as_bytes().strip_prefix(b"Bearer ").filter(|_| twice.is_none())?;
    let given: [u8; 32] = Sha256::digest(given).into();
    let mut found = None;
    for client in clients {
        for key in &client.keys {
            let is_taken = key.until.is_none_or(|until| now < until);
            if openssl::memcmp::eq(&key.digest, &given) && is_taken {
                found = Some(client);
            }
        }
    }
    found
}

/// Lets through who may do what a route does, and counts what everybody is answered.
pub(super) async fn guard(
    State((live, scope)): State<(Live, Scope)>,
    request: Request,
    next: Next,
) -> Response {
    let current = live.current();
    let now = current.service.clock.now();
    let client = find(&current.clients, request.headers(), now).cloned();
    // Whoever guesses shares one bucket.
    let key = client.as_ref().map(|client| client.name().as_str());
    let per_second = client.as_ref().map_or(GUESSES_PER_SECOND, |client| client.per_second);
    let admitted = live.0.throttle.admits(key, per_second, Instant::now());
    let answer = match (&client, admitted) {
        (_, Err(wait)) => TOO_OFTEN.after(wait).into_response(),
        (None, Ok(())) => {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
            (challenge, Problem::new(StatusCode::UNAUTHORIZED, "a key is needed")).into_response()
        }
        (Some(client), Ok(())) => match admitted_in(&live, client, scope, request).await {
            Ok(request) => next.run(request).await,
            Err(problem) => problem.into_response(),
        },
    };
    let name = client.as_ref().map(Client::name);
    current.service.metrics.on_client_request(name, answer.status().as_u16());
    answer
}

/// The request of a client that may make it, with its whole body, which came in time.
async fn admitted_in(
    live: &Live,
    client: &Client,
    scope: Scope,
    request: Request,
) -> Result<Request, Problem> {
    if !client.may.contains(&scope) {
        let detail = format!("this needs the scope `{}`, which you do not have", scope.as_str());
        return Err(Problem::said(StatusCode::FORBIDDEN, detail));
    }
    let current = live.current();
    let is_batch = scope == Scope::Batch;
    let (share, mut most) =
        (current.share(), if is_batch { current.batch_max } else { current.body_max });
    let (mut parts, body) = request.into_parts();
    let (now, mut held) = (current.service.clock.now(), None);
    let is_picture = scope == Scope::Verify && pictures::is_sent(client, &parts.headers, most);
    // Before it has a place.
    if let Some(key) = client.signing.as_ref().filter(|_| is_batch || is_picture) {
        key.vouches_before(&parts, now)?;
    }
    // Before its body is in memory.
    let reading = is_batch.then(|| live.0.reading.place(client.name(), share).ok_or_else(full));
    let _reading = reading.transpose()?;
    if is_picture {
        let share = current.picture_share();
        held = Some(live.0.pictures.place(client.name(), share).ok_or_else(full)?);
        most = most.saturating_add(current.picture_max);
    }
    let body = whole(body, most, current.body_within).await?;
    if let Some(key) = &client.signing {
        key.vouches(&parts, Sha256::digest(&body).into(), now)?;
    }
    if is_batch {
        held = Some(live.0.batches.place(client.name(), share).ok_or_else(full)?);
    }
    if let Some(place) = held {
        parts.extensions.insert(Held(Arc::new(place)));
    }
    parts.extensions.insert(Caller(client.clone()));
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// How many requests a second all together may make who have no key.
const GUESSES_PER_SECOND: u32 = 20;

const TOO_OFTEN: Problem =
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests a second");

/// The place of a batch, from when it was known whose it is; of a picture, from before it was read.
#[derive(Clone, Debug)]
pub(super) struct Held(
    #[expect(dead_code, reason = "it is held, and given back when it is dropped")] Arc<Place>,
);

impl<S: Sync> FromRequestParts<S> for Held {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // It is there behind every guard of batches.
        let found = parts.extensions.remove::<Self>();
        found.ok_or(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too much is being asked now"))
    }
}

/// What a path names.
#[derive(Clone, Debug)]
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // What is no UTF-8 is nobody's name.
        let named =
            Path::<String>::from_request_parts(parts, state).await.map(|Path(name)| Self(name));
        named.map_err(|_| Problem::new(StatusCode::NOT_FOUND, "there is no such resource"))
    }
}

/// Who calls.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Client);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // It is there behind every guard.
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or(Problem::new(StatusCode::UNAUTHORIZED, "a key is needed"))
    }
}
