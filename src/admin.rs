//! The admin API: metrics, health, the effective configuration, what the commands need, and what persons put in force. Tokens with
//! roles, and one that is shared.

pub mod access;
mod accounts;
mod audit;
pub mod body;
mod concordance;
mod explained;
mod forget;
mod hooks;
mod jobs;
mod lists;
mod mismatch;
mod openapi;
mod routes;
mod rules;
mod search;
mod statement;
pub mod statistics;
pub mod turn;
mod upgrade;

pub use openapi::openapi;

use crate::api::throttle::Throttle;
use crate::domain::id::{ChannelName, PaymentId};
use crate::policy::rules::Book;
use crate::reconcile::hold::HoldKey;
use crate::service::agreements::Told;
use crate::service::audit::may_be_kept;
use crate::service::clients::room::Room;
use crate::service::explain;
use crate::service::overdue::Promises;
use crate::service::{Channel, Service};
use crate::store::Record;
use crate::store::audit::Action;
use crate::store::managed::Managed;
use access::{Callers, Operator};
use arc_swap::ArcSwap;
use axum::extract::{DefaultBodyLimit, FromRef, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use body::{
    AgreementBody, HoldBody, ImportBody, InquiryBody, KeptBody, PaymentBody, Problem, ReleaseBody,
    ReleasedBody, UnmappedBody,
};
use jobs::Jobs;
use openssl::ssl::SslAcceptor;
use rules::LOST;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, oneshot};
use turn::Shown;

/// The most bytes of a request body: an import is sent in parts.
const BODY_MAX: usize = 4 * 1024 * 1024;

/// How many changes there may be at once; others wait.
const CHANGES: usize = 64;

/// Of how many holds that are released at once the audit tells what had made them.
const RELEASED_NAMED: usize = 20;

/// What the API shows and changes, of one configuration.
pub struct Admin {
    /// The use cases.
    pub service: Arc<Service>,
    /// The effective configuration, secrets masked.
    pub config: serde_json::Value,
    /// The configured channels.
    pub channels: Vec<ChannelName>,
    /// Those of them that are inspected.
    pub inspected: BTreeMap<ChannelName, Arc<Channel>>,
    /// What they promise.
    pub promises: Promises,
    /// TLS on the listener.
    pub door: Option<Arc<SslAcceptor>>,
    /// Who may call.
    pub callers: Callers,
    /// The rules in force, and how others are read.
    pub books: Arc<dyn Books>,
    /// What came through this API and is in force.
    pub managed: Managed,
    /// What files say beside it.
    pub shown: Shown,
    /// Whether a second person must approve rules.
    pub two_persons: bool,
}

/// Reads rules, as configuration does.
pub trait Books: Send + Sync + fmt::Debug {
    /// The book in force.
    fn in_force(&self) -> Arc<Book>;

    /// The book of the files' rules with a version, and one that is tried beside it.
    ///
    /// # Errors
    /// Every mistake.
    fn whole(
        &self,
        live: Option<(u64, &str)>,
        trial: Option<(u64, &str)>,
    ) -> Result<Arc<Book>, Vec<Mistake>>;

    /// The book of one text alone.
    ///
    /// # Errors
    /// Every mistake.
    fn alone(&self, text: &str) -> Result<Arc<Book>, Vec<Mistake>>;
}

/// A mistake in rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Mistake {
    /// In which file, or version.
    pub file: String,
    /// Where, from 1.
    pub line: usize,
    /// Where, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it, and both in Chinese.
    pub hint: String,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("channels", &self.channels).finish_non_exhaustive()
    }
}

impl Admin {
    fn has_channel(&self, name: &str) -> bool {
        self.channels.iter().any(|channel| channel.as_str() == name)
    }
}

/// A request to load the configuration again; the answer says why the old one stays.
pub type Asked = oneshot::Sender<Result<(), Stays>>;

/// Why the old configuration stays.
#[derive(Clone, Debug)]
pub struct Stays {
    /// In words.
    pub why: String,
    /// How many problems that are.
    pub problems: usize,
}

/// What the API shows now, and how it asks for another configuration.
#[derive(Clone, Debug)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    current: ArcSwap<Admin>,
    /// Whether traffic may come: cleared when draining.
    ready: AtomicBool,
    asking: mpsc::Sender<Asked>,
    turning: mpsc::Sender<Asked>,
    throttle: Throttle,
    jobs: Jobs,
    counting: Room,
    /// A place for each change that is under way.
    changing: Room,
}

impl Live {
    /// Shows `current`; asks through `asking` that files are loaded again, and through `turning` that what is kept is put in force.
    pub fn new(
        current: Arc<Admin>,
        asking: mpsc::Sender<Asked>,
        turning: mpsc::Sender<Asked>,
    ) -> Self {
        let (current, ready) = (ArcSwap::new(current), AtomicBool::new(true));
        let (throttle, jobs) = (Throttle::default(), Jobs::default());
        let (counting, changing) = (statistics::room(), Room::new(CHANGES));
        Self(Arc::new(Inner {
            current,
            ready,
            asking,
            turning,
            throttle,
            jobs,
            counting,
            changing,
        }))
    }

    /// Makes a change to its end, its entry in the audit included, also where whoever wants it hangs up.
    async fn to_its_end(
        &self,
        change: impl Future<Output = Response> + Send + 'static,
    ) -> Response {
        let place = self.0.changing.next().await;
        let changing = tokio::spawn(async move {
            let _place = place;
            change.await
        });
        // Of a panic somebody else tells the words, which may be anybody's.
        changing.await.unwrap_or_else(|_| {
            tracing::error!("a change through the admin API panicked");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal").into_response()
        })
    }

    /// Waits until no change is under way.
    pub async fn rest(&self) {
        self.0.changing.rest().await;
    }

    /// Puts in force what is kept, before whoever changed it is answered.
    async fn apply(&self) -> Result<StatusCode, Problem> {
        let done = ask(&self.0.turning).await;
        let detail = match done {
            Some(Ok(())) => return Ok(StatusCode::NO_CONTENT),
            Some(Err(Stays { why, .. })) => why,
            None => "this process ends".to_owned(),
        };
        let detail = format!("it is kept, and not in force here: {detail}");
        Err(Problem::said(StatusCode::SERVICE_UNAVAILABLE, detail))
    }

    /// Shows `current` from now on.
    pub fn replace(&self, current: Arc<Admin>) {
        self.0.current.store(current);
    }

    /// What is shown now.
    pub fn current(&self) -> Arc<Admin> {
        self.0.current.load_full()
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

/// The routes.
pub fn router(live: Live) -> Router {
    routes::router(&live)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "there is no such resource") })
        .with_state(live)
}

/// Asks for something to be done, and waits for how it went; `None` where nobody is left to do it.
async fn ask(whom: &mpsc::Sender<Asked>) -> Option<Result<(), Stays>> {
    let (asked, answer) = oneshot::channel();
    whom.send(asked).await.ok()?;
    answer.await.ok()
}

/// What those may read who scrape and probe from outside: nothing but numbers, by enums and configured names.
pub fn outside(live: Live) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "there is no such resource") })
        .with_state(live)
}

/// Loads the configuration again, as SIGHUP does.
async fn reload(State(live): State<Live>, who: Operator) -> Result<Response, Problem> {
    let reloaded = ask(&live.0.asking)
        .await
        .ok_or(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this process does not reload now"))?;
    let problems = reloaded.as_ref().map_or_else(|stays| stays.problems, |()| 0);
    let action = Action::Reload { succeeded: reloaded.is_ok(), problems };
    live.0.current.load_full().audit(who, action).await?;
    Ok(match reloaded {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(Stays { why, .. }) => (StatusCode::UNPROCESSABLE_ENTITY, why).into_response(),
    })
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
    let show = |record: &Record| {
        let concordance = admin.service.concordance_of(record);
        PaymentBody::new(record, explain::story(record)).beside(concordance)
    };
    if let Some(record) = admin.service.kept_record(id).await.map_err(|_| LOST)? {
        return Ok(Json(KeptBody::Payment(Box::new(show(&record)))));
    }
    let rows = admin.service.kept_rows(id).await.map_err(|_| LOST)?;
    let rows: Vec<_> = rows.iter().map(show).collect();
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

async fn holds(State(admin): State<Arc<Admin>>) -> Result<Json<Vec<HoldBody>>, Problem> {
    let holds = admin.service.kept_holds().await.map_err(|_| LOST)?;
    Ok(Json(holds.iter().map(HoldBody::from).collect()))
}

async fn release(
    State(admin): State<Arc<Admin>>,
    who: Operator,
    Json(body): Json<ReleaseBody>,
) -> Result<Json<ReleasedBody>, Problem> {
    if !may_be_kept(&body.note) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "a `note` must say why the holds are released, in a line of at most 200 characters without 11 digits in a row: it is kept",
        ));
    }
    let keys: Option<Vec<_>> = body.keys.iter().map(|key| HoldKey::parse(key)).collect();
    let mut keys = keys.ok_or(Problem::new(
        StatusCode::BAD_REQUEST,
        "a key is not one that `GET /v1/holds` shows",
    ))?;
    if let Some(channel) = &body.channel {
        let standing = admin.service.kept_holds().await.map_err(|_| LOST)?.into_iter();
        keys.extend(standing.filter(|hold| hold.channel.as_str() == channel).map(|hold| hold.key));
    }
    let holds = admin.service.release_holds(&keys, &body.note).await;
    let payments = holds.iter().take(RELEASED_NAMED).map(|hold| hold.payment.to_string());
    let (released, payments) = (holds.len(), payments.collect());
    let (channel, note) = (body.channel, body.note);
    admin.audit(who, Action::ReleaseHolds { channel, note, released, payments }).await?;
    Ok(Json(ReleasedBody { released }))
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

#[derive(serde::Deserialize, JsonSchema)]
struct ImportQuery {
    channel: String,
}

/// Imports lines of JSON; a bad line is named and the rest goes on.
async fn import(
    State(admin): State<Arc<Admin>>,
    who: Operator,
    Query(query): Query<ImportQuery>,
    lines: String,
) -> Result<Json<ImportBody>, Problem> {
    let channel = admin.channels.iter().find(|channel| channel.as_str() == query.channel);
    let channel =
        channel.ok_or(Problem::new(StatusCode::NOT_FOUND, "no such channel is configured"))?;
    let (mut numbers, mut told, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (line, text) in (1..).zip(lines.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        match serde_json::from_str::<body::AgreementLine>(text) {
            Ok(text) => {
                numbers.push(line);
                told.push(Told::from(text));
            }
            // The parser's own words may quote a value, so only the place is told.
            Err(error) => {
                let error =
                    format!("not a JSON object with known fields, at column {}", error.column());
                refused.push(body::RefusedLine { line, error });
            }
        }
    }
    let mut imported = 0_usize;
    for (line, told) in numbers.into_iter().zip(admin.service.import(channel, &told).await) {
        match told {
            Ok(()) => imported = imported.saturating_add(1),
            Err(error) => refused.push(body::RefusedLine { line, error: error.to_string() }),
        }
    }
    refused.sort_by_key(|refused| refused.line);
    let result = ImportBody { imported, refused };
    let (channel, refused) = (channel.to_string(), result.refused.len());
    let lines = imported.saturating_add(refused);
    admin.audit(who, Action::ImportAgreements { channel, lines, imported, refused }).await?;
    Ok(Json(result))
}
