//! Backtests: they go on beside the calls, and show how far they are. What one of a version found is recorded with the version.

use super::access::Operator;
use super::body::Problem;
use super::rules::{LOST, refused, unfit};
use super::{Admin, Live};
use crate::domain::clock::Timestamp;
use crate::domain::id::PaymentId;
use crate::policy::rules::Book;
use crate::policy::rules::life::{Act, Tried, Who};
use crate::service::backtest::{Fate, Found, Sum, Tally};
use crate::service::managed;
use crate::service::trial::{Shadowing, trial};
use crate::store::audit::Action;
use crate::store::journal::StoreLost;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How many are kept, those that are over included.
const KEPT_MAX: usize = 20;
/// How many go on at once: each takes a good part of a processor.
const TOGETHER: usize = 2;
/// Since when, where nobody says.
const SINCE: Duration = Duration::from_hours(7 * 24);
/// In whose name the machine records what it found.
const MACHINE: Who<'static> = Who::Anybody("hefu");

/// All of them, by their ids, which hold the time.
#[derive(Debug, Default)]
pub(super) struct Jobs(Mutex<BTreeMap<PaymentId, Arc<Job>>>);

/// One of them.
#[derive(Debug)]
struct Job {
    version: Option<u64>,
    since: Timestamp,
    looked_at: AtomicU64,
    /// When the first payment was judged that it looked at, and the last one until now, in milliseconds; 0 before there is one.
    first: AtomicU64,
    reached: AtomicU64,
    /// When it began: no later payment is waited for.
    until: Timestamp,
    begun: Instant,
    came: Mutex<Option<Result<FoundBody, &'static str>>>,
}

impl Job {
    fn new(version: Option<u64>, since: Timestamp, until: Timestamp) -> Self {
        Self {
            version,
            since,
            looked_at: AtomicU64::new(0),
            first: AtomicU64::new(0),
            reached: AtomicU64::new(0),
            until,
            begun: Instant::now(),
            came: Mutex::new(None),
        }
    }

    /// Notes that it looks at the next payment, which was judged then.
    fn looks_at(&self, at: Timestamp) {
        self.looked_at.fetch_add(1, Ordering::Relaxed);
        let at = at.as_millis();
        // All but the first find that there was one.
        let _ = self.first.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed);
        self.reached.store(at, Ordering::Relaxed);
    }

    /// How far it is through the time that it looks at, in percent, and how many seconds it may still take.
    fn how_far(&self) -> (u8, Option<u64>) {
        if self.came().is_some() {
            return (100, Some(0));
        }
        let [first, reached] = [&self.first, &self.reached].map(|at| at.load(Ordering::Relaxed));
        how_far([first, reached, self.until.as_millis()], self.begun.elapsed())
    }

    fn came(&self) -> Option<Result<FoundBody, &'static str>> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ends(&self, came: Result<FoundBody, &'static str>) {
        *self.came.lock().unwrap_or_else(PoisonError::into_inner) = Some(came);
    }
}

/// By how much of a span of time was looked at within `spent`: in percent, and the seconds for the rest.
fn how_far([first, reached, until]: [u64; 3], spent: Duration) -> (u8, Option<u64>) {
    let (all, done) = (until.saturating_sub(first), reached.saturating_sub(first));
    let percent = done.saturating_mul(100).checked_div(all).unwrap_or_default().min(99);
    let left = u128::from(all.saturating_sub(done)).saturating_mul(spent.as_millis());
    let left = left.checked_div(u128::from(done).saturating_mul(1000));
    (u8::try_from(percent).unwrap_or(99), left.and_then(|left| u64::try_from(left).ok()))
}

impl Jobs {
    fn begin(&self, id: PaymentId, job: &Arc<Job>) -> Result<(), Problem> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let going = jobs.values().filter(|job| job.came().is_none()).count();
        if going >= TOGETHER {
            let detail = "two backtests go on already: wait for one of them";
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail));
        }
        jobs.insert(id, job.clone());
        while jobs.len() > KEPT_MAX {
            jobs.pop_first();
        }
        Ok(())
    }
}

/// Which rules are tried, and since when.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WantedBody {
    /// This version; what it finds is recorded with it.
    version: Option<u64>,
    /// Or these rules; those in force where both are absent.
    rules: Option<String>,
    /// On payments since then; the last seven days where absent.
    since_ms: Option<u64>,
}

/// Under which id it goes on.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StartedBody {
    backtest: String,
}

/// A backtest.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct JobBody {
    backtest: String,
    version: Option<u64>,
    since_ms: u64,
    /// How many payments it looked at, those before included that fill windows.
    looked_at: u64,
    /// How far it is, by how much of the time since then it looked at: payments are read in their order, and counting them first would
    /// have payments wait.
    percent: u8,
    /// How many seconds it takes at this rate; nothing where that is not known yet.
    seconds_left: Option<u64>,
    done: bool,
    failed: Option<&'static str>,
    found: Option<FoundBody>,
}

impl JobBody {
    fn new(id: PaymentId, job: &Job) -> Self {
        let (came, (percent, seconds_left)) = (job.came(), job.how_far());
        Self {
            backtest: id.to_string(),
            version: job.version,
            since_ms: job.since.as_millis(),
            looked_at: job.looked_at.load(Ordering::Relaxed),
            percent,
            seconds_left,
            done: came.is_some(),
            failed: came.as_ref().and_then(|came| came.as_ref().err().copied()),
            found: came.and_then(Result::ok),
        }
    }
}

/// So many payments, and their amounts.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(super) struct SumBody {
    payments: u64,
    fen: u64,
}

/// By what became of payments: `caught`, `hurt`, `failed_anyway`, `unknown`, `refused_before`.
type Sums = BTreeMap<&'static str, SumBody>;

/// What it found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct FoundBody {
    payments: Sums,
    any_rule: TallyBody,
    rules: Vec<TallyBody>,
    /// What could not be rebuilt, and of how many payments for want of which a rule could not be evaluated.
    lacks: BTreeMap<String, u64>,
    /// What was looked up anew, since records do not say it: lists as they are today, windows counted from the payments themselves.
    looked_up: Vec<String>,
}

/// What a rule, or all of them, would have hit.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct TallyBody {
    rule: Option<String>,
    action: Option<&'static str>,
    state: Option<&'static str>,
    hits: Sums,
    days: BTreeMap<String, Sums>,
    samples: BTreeMap<&'static str, Vec<String>>,
    not_rebuilt: u64,
}

fn sums(of: &BTreeMap<Fate, Sum>) -> Sums {
    let one = |sum: &Sum| SumBody { payments: sum.payments, fen: sum.fen };
    of.iter().map(|(fate, sum)| (fate.as_str(), one(sum))).collect()
}

impl From<&Tally> for TallyBody {
    fn from(tally: &Tally) -> Self {
        let samples = tally
            .samples
            .iter()
            .map(|(fate, ids)| (fate.as_str(), ids.iter().map(ToString::to_string).collect()));
        Self {
            rule: None,
            action: None,
            state: None,
            hits: sums(&tally.hits),
            days: tally.days.iter().map(|(day, of)| (day.clone(), sums(of))).collect(),
            samples: samples.collect(),
            not_rebuilt: tally.not_rebuilt,
        }
    }
}

impl FoundBody {
    fn new(book: &Book, found: &Found) -> Self {
        let rules = book.rules.rules().iter().zip(&found.rules).map(|(rule, tally)| TallyBody {
            rule: Some(rule.id.to_string()),
            action: Some(rule.action.as_str()),
            state: Some(rule.state.as_str()),
            ..tally.into()
        });
        Self {
            payments: sums(&found.all),
            any_rule: (&found.any).into(),
            rules: rules.collect(),
            lacks: found.lacks.clone(),
            looked_up: found.looked_up.clone(),
        }
    }

    fn shadowed(came: &Shadowing) -> Self {
        let none = Tally::default();
        let rules = came.rules.iter().map(|(rule, count)| {
            let hits = [("all", SumBody { payments: *count, fen: 0 })].into();
            TallyBody { rule: Some(rule.clone()), hits, ..(&none).into() }
        });
        let any_rule = TallyBody { hits: sums(&came.hits), ..(&none).into() };
        // Rules said this when the payments came: nothing is rebuilt.
        let (lacks, looked_up) = (BTreeMap::new(), Vec::new());
        Self { payments: sums(&came.all), any_rule, rules: rules.collect(), lacks, looked_up }
    }
}

/// Begins a backtest.
pub(super) async fn start(
    State(live): State<Live>,
    who: Operator,
    Json(wanted): Json<WantedBody>,
) -> Result<(StatusCode, Json<StartedBody>), Problem> {
    let admin = live.current();
    let now = admin.service.clock.now();
    let since = wanted.since_ms.map_or(now.minus(SINCE), Timestamp::from_millis);
    let book = match (wanted.version, &wanted.rules) {
        (Some(_), Some(_)) => {
            let detail = "`version` or `rules`, not both";
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        (Some(version), None) => {
            let text = managed::text(&*admin.service.store, version).await.map_err(|_| LOST)?;
            let text = text.ok_or_else(|| refused(crate::policy::rules::life::Denied::Unknown))?;
            admin.books.alone(&text).map_err(|mistakes| unfit(&mistakes))?
        }
        (None, Some(text)) => admin.books.alone(text).map_err(|mistakes| unfit(&mistakes))?,
        (None, None) => admin.books.in_force(),
    };
    let version = wanted.version;
    let job = Arc::new(Job::new(version, since, now));
    let id = admin.service.next_id();
    live.0.jobs.begin(id, &job)?;
    admin.audit(who, Action::Backtest { version, since_ms: since.as_millis() }).await?;
    tokio::spawn(test(admin, book, job, now));
    Ok((StatusCode::ACCEPTED, Json(StartedBody { backtest: id.to_string() })))
}

async fn test(admin: Arc<Admin>, book: Arc<Book>, job: Arc<Job>, now: Timestamp) {
    let progress = |at| job.looks_at(at);
    let found = admin.service.backtest(book.clone(), job.since, progress).await;
    let Ok(found) = found else { return job.ends(Err("the store cannot be read now")) };
    if let Some(version) = job.version {
        let came = trial(Tried::Backtest, (job.since, now), &found.all, &found.any.hits);
        if record(&admin, version, Act::Found(version, came)).await.is_err() {
            return job.ends(Err("what it found cannot be recorded with the version"));
        }
    }
    job.ends(Ok(FoundBody::new(&book, &found)));
}

async fn record(admin: &Admin, version: u64, act: Act) -> Result<(), StoreLost> {
    let recorded = admin.service.act(MACHINE, &act, admin.two_persons).await;
    match recorded {
        Ok(_) => Ok(()),
        Err(managed::ChangeError::Store(lost)) => Err(lost),
        Err(managed::ChangeError::Denied(error)) => {
            tracing::info!(version, %error, "a trial is of a version that is not kept any more");
            Ok(())
        }
    }
}

/// Records what a version did while it was tried in shadow since then; yields the id under which that goes on.
pub(super) fn record_shadow(
    live: &Live,
    version: u64,
    since: Timestamp,
) -> Result<StartedBody, Problem> {
    let admin = live.current();
    let (id, now) = (admin.service.next_id(), admin.service.clock.now());
    let job = Arc::new(Job::new(Some(version), since, now));
    live.0.jobs.begin(id, &job)?;
    tokio::spawn(async move {
        let progress = |at| job.looks_at(at);
        let Ok(came) = admin.service.shadowed(version, since, progress).await else {
            return job.ends(Err("the store cannot be read now"));
        };
        let found = trial(Tried::Shadow, (since, now), &came.all, &came.hits);
        match record(&admin, version, Act::Found(version, found)).await {
            Ok(()) => job.ends(Ok(FoundBody::shadowed(&came))),
            Err(StoreLost) => job.ends(Err("what it found cannot be recorded with the version")),
        }
    });
    Ok(StartedBody { backtest: id.to_string() })
}

/// Shows the last ones, the newest first.
pub(super) async fn list(State(live): State<Live>) -> Json<Vec<JobBody>> {
    let jobs = live.0.jobs.0.lock().unwrap_or_else(PoisonError::into_inner);
    Json(jobs.iter().rev().map(|(id, job)| JobBody::new(*id, job)).collect())
}

/// Shows one.
pub(super) async fn show(
    State(live): State<Live>,
    Path(id): Path<String>,
) -> Result<Json<JobBody>, Problem> {
    let jobs = live.0.jobs.0.lock().unwrap_or_else(PoisonError::into_inner);
    let found = PaymentId::parse(&id).and_then(|id| Some((id, jobs.get(&id)?)));
    let (id, job) =
        found.ok_or(Problem::new(StatusCode::NOT_FOUND, "no such backtest is known here"))?;
    Ok(Json(JobBody::new(id, job)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_how_far_it_is() {
        let check = |times, secs, expected| {
            assert_eq!(how_far(times, Duration::from_secs(secs)), expected, "{times:?}");
        };
        check([0, 0, 2_000], 5, (0, None));
        check([1_000, 1_000, 2_000], 5, (0, None));
        check([1_000, 1_250, 2_000], 5, (25, Some(15)));
        // It is over when it says so, and not before.
        check([1_000, 2_000, 2_000], 5, (99, Some(0)));
        check([1_000, 3_000, 2_000], 5, (99, Some(0)));
        check([2_000, 2_000, 2_000], 5, (0, None));
    }
}
