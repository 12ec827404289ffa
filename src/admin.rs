//! The admin API: metrics, health, the effective configuration, and what the commands need. One bearer token.

pub mod body;
mod forget;

use crate::domain::id::{ChannelName, PaymentId};
use crate::reconcile::hold::HoldKey;
use crate::service::Service;
use crate::service::agreements::Told;
use crate::service::explain;
use crate::store::Record;
use arc_swap::ArcSwap;
use axum::extract::{DefaultBodyLimit, FromRef, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use body::{
    AgreementBody, HoldBody, ImportBody, InquiryBody, KeptBody, PaymentBody, Problem, ReleaseBody,
    ReleasedBody, UnmappedBody,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, oneshot};

/// The most bytes of a request body: an import is sent in parts.
const BODY_MAX: usize = 4 * 1024 * 1024;

/// What the API shows and changes, of one configuration.
#[derive(Debug)]
pub struct Admin {
    /// The use cases.
    pub service: Arc<Service>,
    /// The effective configuration, secrets masked.
    pub config: serde_json::Value,
    /// The configured channels.
    pub channels: Vec<ChannelName>,
    /// The bearer token.
    pub token: Token,
}

/// A request to load the configuration again; the answer says why the old one stays.
pub type Asked = oneshot::Sender<Result<(), String>>;

/// What the API shows now, and how it asks for another configuration.
#[derive(Clone, Debug)]
pub struct Live(Arc<Shown>);

#[derive(Debug)]
struct Shown {
    current: ArcSwap<Admin>,
    /// Whether traffic may come: cleared when draining.
    ready: AtomicBool,
    asking: mpsc::Sender<Asked>,
}

impl Live {
    /// Shows `current`, and asks through `asking`.
    pub fn new(current: Arc<Admin>, asking: mpsc::Sender<Asked>) -> Self {
        let (current, ready) = (ArcSwap::new(current), AtomicBool::new(true));
        Self(Arc::new(Shown { current, ready, asking }))
    }

    /// Shows `current` from now on.
    pub fn replace(&self, current: Arc<Admin>) {
        self.0.current.store(current);
    }

    /// Says from now on that no traffic may come.
    pub fn drain(&self) {
        self.0.ready.store(false, Ordering::Release);
    }
}

impl FromRef<Live> for Arc<Admin> {
    fn from_ref(live: &Live) -> Self {
        live.0.current.load_full()
    }
}

/// A bearer token; never shown, compared in constant time.
pub struct Token(Vec<u8>);

impl Token {
    /// The token, without surrounding white space.
    pub fn new(text: &str) -> Self {
        Self(text.trim().as_bytes().to_vec())
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        given
            .is_some_and(|given| given.len() == self.0.len() && openssl::memcmp::eq(given, &self.0))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// The routes.
pub fn router(live: Live) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/config_dump", get(config_dump))
        .route("/v1/payments/{id}", get(payment))
        .route("/v1/inquiries/open", get(inquiries))
        .route("/v1/unmapped-codes", get(unmapped))
        .route("/v1/holds", get(holds))
        .route("/v1/holds/release", post(release))
        .route("/v1/agreements/import", post(import))
        .route("/v1/people/forget", post(forget::forget))
        .route("/v1/agreements/{channel}/{id}", get(agreement))
        .route("/v1/reload", post(reload))
        .layer(middleware::from_fn_with_state(live.clone(), guard))
        .layer(DefaultBodyLimit::max(BODY_MAX));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .merge(guarded)
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "there is no such resource") })
        .with_state(live)
}

async fn guard(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    if admin.token.admits(request.headers()) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (challenge, Problem::new(StatusCode::UNAUTHORIZED, "a bearer token is needed")).into_response()
}

/// Loads the configuration again, as SIGHUP does.
async fn reload(State(live): State<Live>) -> Response {
    let (asked, answer) = oneshot::channel();
    let reloaded = match live.0.asking.send(asked).await {
        Ok(()) => answer.await.ok(),
        Err(_) => None,
    };
    match reloaded {
        Some(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Some(Err(why)) => (StatusCode::UNPROCESSABLE_ENTITY, why).into_response(),
        None => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this process does not reload now")
            .into_response(),
    }
}

async fn readyz(State(live): State<Live>) -> Response {
    if live.0.ready.load(Ordering::Acquire) {
        "ready\n".into_response()
    } else {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "draining").into_response()
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    admin.service.refresh_gauges(&admin.channels);
    match admin.service.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal").into_response()
        }
    }
}

async fn config_dump(State(admin): State<Arc<Admin>>) -> Json<serde_json::Value> {
    Json(admin.config.clone())
}

async fn payment(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<KeptBody>, Problem> {
    let id = PaymentId::parse(&id).ok_or(Problem::new(
        StatusCode::BAD_REQUEST,
        "a payment id has 26 letters and digits, as in `Hefu-Payment`",
    ))?;
    let show = |record: &Record| PaymentBody::new(record, explain::story(record));
    if let Some(record) = admin.service.store.record(id) {
        return Ok(Json(KeptBody::Payment(Box::new(show(&record)))));
    }
    let rows: Vec<_> = admin.service.store.rows(id).iter().map(show).collect();
    if rows.is_empty() {
        return Err(Problem::new(StatusCode::NOT_FOUND, "no such payment is kept"));
    }
    Ok(Json(KeptBody::Batch { batch: id.to_string(), rows }))
}

async fn inquiries(State(admin): State<Arc<Admin>>) -> Json<Vec<InquiryBody>> {
    Json(admin.service.store.open_inquiries().iter().map(InquiryBody::from).collect())
}

async fn unmapped(State(admin): State<Arc<Admin>>) -> Json<Vec<UnmappedBody>> {
    Json(admin.service.store.unmapped().iter().map(UnmappedBody::from).collect())
}

async fn holds(State(admin): State<Arc<Admin>>) -> Json<Vec<HoldBody>> {
    Json(admin.service.standing_holds().iter().map(HoldBody::from).collect())
}

async fn release(
    State(admin): State<Arc<Admin>>,
    Json(body): Json<ReleaseBody>,
) -> Result<Json<ReleasedBody>, Problem> {
    if body.note.trim().is_empty() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "a `note` must say why the holds are released",
        ));
    }
    let keys: Option<Vec<_>> = body.keys.iter().map(|key| HoldKey::parse(key)).collect();
    let mut keys = keys.ok_or(Problem::new(
        StatusCode::BAD_REQUEST,
        "a key is not one that `GET /v1/holds` shows",
    ))?;
    if let Some(channel) = &body.channel {
        let standing = admin.service.standing_holds().into_iter();
        keys.extend(standing.filter(|hold| hold.channel.as_str() == channel).map(|hold| hold.key));
    }
    Ok(Json(ReleasedBody { released: admin.service.release_holds(&keys, &body.note).await }))
}

async fn agreement(
    State(admin): State<Arc<Admin>>,
    Path((channel, id)): Path<(String, String)>,
) -> Result<Json<AgreementBody>, Problem> {
    let shown = admin.service.agreement_standing(&ChannelName::new(&channel), &id);
    let (standing, at) =
        shown.ok_or(Problem::new(StatusCode::NOT_FOUND, "the agreement was never seen"))?;
    Ok(Json(AgreementBody {
        channel,
        agreement: id,
        standing: standing.as_str(),
        at_ms: at.as_millis(),
    }))
}

#[derive(serde::Deserialize)]
struct ImportQuery {
    channel: String,
}

/// Imports lines of JSON; a bad line is named and the rest goes on.
async fn import(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<ImportQuery>,
    lines: String,
) -> Result<Json<ImportBody>, Problem> {
    let channel = admin.channels.iter().find(|channel| channel.as_str() == query.channel);
    let channel =
        channel.ok_or(Problem::new(StatusCode::NOT_FOUND, "no such channel is configured"))?;
    let mut result = ImportBody::default();
    for (at, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let told = serde_json::from_str::<body::AgreementLine>(line).map(Told::from);
        let imported = match told {
            Ok(told) => admin.service.import(channel, &told).map_err(|error| error.to_string()),
            // The parser's own words may quote a value, so only the place is told.
            Err(error) => {
                Err(format!("not a JSON object with known fields, at column {}", error.column()))
            }
        };
        match imported {
            Ok(()) => result.imported = result.imported.saturating_add(1),
            Err(error) => {
                result.refused.push(body::RefusedLine { line: at.saturating_add(1), error });
            }
        }
    }
    Ok(Json(result))
}
