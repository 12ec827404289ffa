//! Rules, from a proposal to what is in force.

use super::access::Operator;
use super::body::Problem;
use super::jobs::{StartedBody, record_shadow};
use super::{Admin, Live, Mistake};
use crate::domain::clock::Timestamp;
use crate::domain::id::PaymentId;
use crate::policy::rules::explain::Came;
use crate::policy::rules::life::{Act, Denied, Fate, Life, Nap, Trial, Version};
use crate::policy::rules::{RuleId, State as Reach};
use crate::service::audit::may_be_kept;
use crate::service::managed::{self, ChangeError};
use crate::store::audit::Action;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use similar::TextDiff;
use std::sync::Arc;
use std::time::Duration;

/// The longest text of a version, in bytes.
const TEXT_MAX: usize = 512 * 1024;
/// The longest nap.
const NAP_MAX: Duration = Duration::from_hours(30 * 24);

pub(super) const LOST: Problem =
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read or written now");

const NOTE: Problem = Problem::new(
    StatusCode::BAD_REQUEST,
    "a `note` must say why, in a line of at most 200 characters without 11 digits in a row: it is kept",
);

/// A note that may be kept.
pub(super) fn noted(note: &str) -> Result<(), Problem> {
    if may_be_kept(note) { Ok(()) } else { Err(NOTE) }
}

/// What may not be done.
pub(super) fn refused(denied: Denied) -> Problem {
    let status = match denied {
        Denied::Unknown | Denied::Awake | Denied::NoShadow => StatusCode::NOT_FOUND,
        Denied::Own | Denied::Nameless => StatusCode::FORBIDDEN,
        Denied::Untried
        | Denied::Stale { .. }
        | Denied::Decided
        | Denied::NothingBefore
        | Denied::Full => StatusCode::CONFLICT,
    };
    Problem::told(status, &denied)
}

fn unchanged(error: ChangeError) -> Problem {
    match error {
        ChangeError::Denied(denied) => refused(denied),
        ChangeError::Store(_) => LOST,
    }
}

/// Rules with mistakes, each with its place. A rule's text is no person's.
pub(super) fn unfit(mistakes: &[Mistake]) -> Problem {
    let lines = mistakes
        .iter()
        .map(|it| format!("{}:{}:{}: {} ({})", it.file, it.line, it.column, it.message, it.hint));
    Problem::said(StatusCode::UNPROCESSABLE_ENTITY, lines.collect::<Vec<_>>().join("\n"))
}

/// A rule in force.
#[derive(Debug, Serialize, JsonSchema)]
struct RuleShown {
    id: String,
    name: String,
    action: &'static str,
    state: &'static str,
    canary_percent: Option<u8>,
    reason: String,
    owner: String,
    when: String,
    expires_ms: Option<u64>,
    /// Until when it is let sleep.
    asleep_until_ms: Option<u64>,
}

/// What is in force.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SetBody {
    /// What the set is called in records.
    set: String,
    /// The version that comes through the API; 0 where none does.
    version: u64,
    /// The version that is tried beside it.
    shadow: Option<u64>,
    rules: Vec<RuleShown>,
}

/// Shows the rules in force, those of files included.
pub(super) async fn in_force(State(admin): State<Arc<Admin>>) -> Json<SetBody> {
    let book = admin.books.in_force();
    let rules = book.rules.rules().iter().map(|rule| RuleShown {
        id: rule.id.to_string(),
        name: rule.name.to_string(),
        action: rule.action.as_str(),
        state: rule.state.as_str(),
        canary_percent: match rule.state {
            Reach::Canary(percent) => Some(percent),
            Reach::Draft | Reach::Shadow | Reach::Live | Reach::Retired => None,
        },
        reason: rule.reason.to_string(),
        owner: rule.owner.to_string(),
        when: rule.source.to_string(),
        expires_ms: rule.expires.map(Timestamp::as_millis),
        asleep_until_ms: rule.asleep.map(Timestamp::as_millis),
    });
    Json(SetBody {
        set: book.rules.version.to_string(),
        version: admin.managed.life.live,
        shadow: admin.managed.life.shadow.map(|shadow| shadow.version),
        rules: rules.collect(),
    })
}

/// Rules, as they are written in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TextBody {
    rules: String,
}

/// What is wrong with them.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CheckedBody {
    problems: Vec<Mistake>,
}

/// Checks rules as if they were the version in force.
pub(super) async fn check(
    State(admin): State<Arc<Admin>>,
    Json(body): Json<TextBody>,
) -> Result<Json<CheckedBody>, Problem> {
    fits(&body.rules)?;
    let checked = admin.books.whole(Some((0, &body.rules)), None);
    Ok(Json(CheckedBody { problems: checked.err().unwrap_or_default() }))
}

fn fits(text: &str) -> Result<(), Problem> {
    if text.len() <= TEXT_MAX {
        return Ok(());
    }
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "rules are at most 512 KiB"))
}

/// What a trial found.
#[derive(Debug, Serialize, JsonSchema)]
struct TrialBody {
    tried: &'static str,
    at_ms: u64,
    since_ms: u64,
    payments: u64,
    hits: u64,
    caught: u64,
    hurt: u64,
    unknown: u64,
}

impl From<&Trial> for TrialBody {
    fn from(trial: &Trial) -> Self {
        use crate::policy::rules::life::Tried;
        Self {
            tried: match trial.tried {
                Tried::Backtest => "backtest",
                Tried::Shadow => "shadow",
            },
            at_ms: trial.at.as_millis(),
            since_ms: trial.since.as_millis(),
            payments: trial.payments,
            hits: trial.hits,
            caught: trial.caught,
            hurt: trial.hurt,
            unknown: trial.unknown,
        }
    }
}

/// A version, but for its text.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VersionBody {
    version: u64,
    author: String,
    at_ms: u64,
    /// What was in force when it was proposed, which it changes.
    base: u64,
    note: String,
    /// `proposed`, `approved` or `rejected`.
    fate: &'static str,
    decided_by: Option<String>,
    decided_ms: Option<u64>,
    live: bool,
    shadow: bool,
    trials: Vec<TrialBody>,
}

impl VersionBody {
    fn new(life: &Life, number: u64, version: &Version) -> Self {
        let (fate, decided) = match &version.fate {
            Fate::Proposed => ("proposed", None),
            Fate::Approved { by, at } => ("approved", Some((by, at))),
            Fate::Rejected { by, at } => ("rejected", Some((by, at))),
        };
        Self {
            version: number,
            author: version.author.clone(),
            at_ms: version.at.as_millis(),
            base: version.base,
            note: version.note.clone(),
            fate,
            decided_by: decided.map(|(by, _)| by.clone()),
            decided_ms: decided.map(|(_, at)| at.as_millis()),
            live: life.live == number,
            shadow: life.shadow.is_some_and(|shadow| shadow.version == number),
            trials: version.trials.iter().map(TrialBody::from).collect(),
        }
    }
}

/// Every version that is kept, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VersionsBody {
    /// What is in force; 0 where no rule comes through the API.
    live: u64,
    /// What was in force before, the last one first.
    before: Vec<u64>,
    versions: Vec<VersionBody>,
}

async fn life(admin: &Admin) -> Result<Life, Problem> {
    let kept = managed::managed(&*admin.service.store).await;
    kept.map(|managed| managed.life).map_err(|_| LOST)
}

/// Shows the versions.
pub(super) async fn versions(
    State(admin): State<Arc<Admin>>,
) -> Result<Json<VersionsBody>, Problem> {
    let life = life(&admin).await?;
    let shown = life.versions.iter().rev();
    let shown = shown.map(|(number, version)| VersionBody::new(&life, *number, version));
    Ok(Json(VersionsBody {
        live: life.live,
        before: life.before.iter().rev().copied().collect(),
        versions: shown.collect(),
    }))
}

/// Shows the versions that nobody decided yet.
pub(super) async fn waiting(
    State(admin): State<Arc<Admin>>,
) -> Result<Json<Vec<VersionBody>>, Problem> {
    let life = life(&admin).await?;
    let waiting = life.versions.iter().filter(|(_, version)| version.fate == Fate::Proposed);
    let shown = waiting.map(|(number, version)| VersionBody::new(&life, *number, version));
    Ok(Json(shown.collect()))
}

/// A version with its text.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VersionTextBody {
    #[serde(flatten)]
    version: VersionBody,
    rules: String,
    /// What it changes of its base, as a unified diff.
    diff: String,
}

/// Shows one version.
pub(super) async fn version(
    State(admin): State<Arc<Admin>>,
    Path(number): Path<u64>,
) -> Result<Json<VersionTextBody>, Problem> {
    let life = life(&admin).await?;
    let version = life.versions.get(&number).ok_or_else(|| refused(Denied::Unknown))?;
    let store = &*admin.service.store;
    let rules = managed::text(store, number).await.map_err(|_| LOST)?.unwrap_or_default();
    let base = managed::text(store, version.base).await.map_err(|_| LOST)?.unwrap_or_default();
    let diff = TextDiff::from_lines(&base, &rules);
    let (from, to) = (format!("version {}", version.base), format!("version {number}"));
    let diff = diff.unified_diff().header(&from, &to).to_string();
    Ok(Json(VersionTextBody { version: VersionBody::new(&life, number, version), rules, diff }))
}

/// A new version.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProposalBody {
    /// The whole text, as it would stand in a file under `rules/`.
    rules: String,
    /// What it is for.
    note: String,
}

/// The number of a version.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberBody {
    version: u64,
}

/// Proposes a version; one with mistakes is none.
pub(super) async fn propose(
    State(admin): State<Arc<Admin>>,
    who: Operator,
    Json(body): Json<ProposalBody>,
) -> Result<(StatusCode, Json<NumberBody>), Problem> {
    let ProposalBody { rules, note } = body;
    noted(&note)?;
    fits(&rules)?;
    admin.books.whole(Some((0, &rules)), None).map_err(|mistakes| unfit(&mistakes))?;
    let proposed = admin.service.propose(who.who(), &rules, &note, admin.two_persons).await;
    let version = proposed.map_err(unchanged)?;
    admin.audit(who, Action::ProposeRules { version, note }).await?;
    Ok((StatusCode::CREATED, Json(NumberBody { version })))
}

async fn text(admin: &Admin, number: u64) -> Result<String, Problem> {
    let text = managed::text(&*admin.service.store, number).await.map_err(|_| LOST)?;
    text.ok_or_else(|| refused(Denied::Unknown))
}

/// Tries a version beside what is in force.
pub(super) async fn shadow(
    State(live): State<Live>,
    who: Operator,
    Json(NumberBody { version }): Json<NumberBody>,
) -> Result<StatusCode, Problem> {
    let admin = live.current();
    let tried = text(&admin, version).await?;
    let in_force = life(&admin).await?.live;
    let known = if in_force == 0 { None } else { Some(text(&admin, in_force).await?) };
    let known = known.as_deref().map(|text| (in_force, text));
    let checked = admin.books.whole(known, Some((version, &tried)));
    checked.map_err(|mistakes| unfit(&mistakes))?;
    let act = Act::Shadow(version);
    admin.service.act(who.who(), &act, admin.two_persons).await.map_err(unchanged)?;
    admin.audit(who, Action::ShadowRules { version }).await?;
    live.apply().await
}

/// Ends that, and records what it would have done.
pub(super) async fn end_shadow(
    State(live): State<Live>,
    who: Operator,
) -> Result<(StatusCode, Json<StartedBody>), Problem> {
    let admin = live.current();
    let shadow = life(&admin).await?.shadow.ok_or_else(|| refused(Denied::NoShadow))?;
    let ended = admin.service.act(who.who(), &Act::EndShadow, admin.two_persons).await;
    ended.map_err(unchanged)?;
    let version = shadow.version;
    admin.audit(who, Action::EndShadow { version }).await?;
    live.apply().await?;
    Ok((StatusCode::ACCEPTED, Json(record_shadow(&live, version, shadow.since)?)))
}

/// A version, and why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionBody {
    version: u64,
    note: String,
}

/// Puts a version in force.
pub(super) async fn approve(
    State(live): State<Live>,
    who: Operator,
    Json(DecisionBody { version, note }): Json<DecisionBody>,
) -> Result<StatusCode, Problem> {
    noted(&note)?;
    let admin = live.current();
    // What it goes with may have changed since it was proposed.
    let checked = admin.books.whole(Some((version, &text(&admin, version).await?)), None);
    checked.map_err(|mistakes| unfit(&mistakes))?;
    let act = Act::Approve(version);
    let acted = admin.service.act(who.who(), &act, admin.two_persons).await.map_err(unchanged)?;
    let before = acted.before.last().copied().unwrap_or_default();
    admin.audit(who, Action::ApproveRules { version, before, note }).await?;
    live.apply().await
}

/// Turns a version down.
pub(super) async fn reject(
    State(live): State<Live>,
    who: Operator,
    Json(DecisionBody { version, note }): Json<DecisionBody>,
) -> Result<StatusCode, Problem> {
    noted(&note)?;
    let admin = live.current();
    let act = Act::Reject(version);
    admin.service.act(who.who(), &act, admin.two_persons).await.map_err(unchanged)?;
    admin.audit(who, Action::RejectRules { version, note }).await?;
    live.apply().await
}

/// Why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoteBody {
    pub(super) note: String,
}

/// Puts in force again what was before.
pub(super) async fn roll_back(
    State(live): State<Live>,
    who: Operator,
    Json(NoteBody { note }): Json<NoteBody>,
) -> Result<Json<NumberBody>, Problem> {
    noted(&note)?;
    let admin = live.current();
    let from = life(&admin).await?.live;
    let gone = admin.service.act(who.who(), &Act::GoBack, admin.two_persons).await;
    let to = gone.map_err(unchanged)?.live;
    admin.audit(who, Action::RollBackRules { from, to, note }).await?;
    live.apply().await?;
    Ok(Json(NumberBody { version: to }))
}

/// A rule that is to sleep.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SnoozeBody {
    rule: String,
    /// For so long; 30 days at most.
    minutes: u64,
    note: String,
}

fn rule_id(text: &str) -> Result<RuleId, Problem> {
    RuleId::parse(text).ok_or(Problem::new(
        StatusCode::BAD_REQUEST,
        "a `rule` is the id of one: lower-case letters, digits and dashes, a letter first",
    ))
}

/// Lets a rule bind nothing for a while; it is counted as a shadow meanwhile.
pub(super) async fn snooze(
    State(live): State<Live>,
    who: Operator,
    Json(SnoozeBody { rule, minutes, note }): Json<SnoozeBody>,
) -> Result<StatusCode, Problem> {
    noted(&note)?;
    let admin = live.current();
    let (id, nap) = (rule_id(&rule)?, Duration::from_secs(minutes.saturating_mul(60)));
    if nap.is_zero() || nap > NAP_MAX {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "`minutes` are 1 to 43200"));
    }
    if !admin.books.in_force().rules.rules().iter().any(|rule| rule.id == id) {
        return Err(Problem::new(StatusCode::NOT_FOUND, "no such rule is in force"));
    }
    let until = admin.service.clock.now().plus(nap);
    let nap = Nap { until, by: who.name().to_owned(), note: note.clone() };
    let act = Act::Snooze(id, nap);
    admin.service.act(who.who(), &act, admin.two_persons).await.map_err(unchanged)?;
    admin.audit(who, Action::SnoozeRule { rule, until_ms: until.as_millis(), note }).await?;
    live.apply().await
}

/// Which rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleBody {
    rule: String,
}

/// Lets a rule bind again.
pub(super) async fn wake(
    State(live): State<Live>,
    who: Operator,
    Json(RuleBody { rule }): Json<RuleBody>,
) -> Result<StatusCode, Problem> {
    let admin = live.current();
    let act = Act::Wake(rule_id(&rule)?);
    admin.service.act(who.who(), &act, admin.two_persons).await.map_err(unchanged)?;
    admin.audit(who, Action::WakeRule { rule }).await?;
    live.apply().await
}

/// What a rule says of a payment.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ExplainedBody {
    rule: String,
    /// `hits`, `does_not_hit`, or `cannot_be_evaluated`.
    came: &'static str,
    conditions: Vec<ConditionBody>,
}

/// What a condition came to.
#[derive(Debug, Serialize, JsonSchema)]
struct ConditionBody {
    condition: String,
    /// `true`, `false`, `skipped`, or why it could not be evaluated.
    came: String,
    skipped: bool,
    /// What it saw, by name; what identifies somebody is not shown.
    saw: Vec<[String; 2]>,
}

/// Shows what each rule in force says of a payment that is kept. Windows are counted as they are known now; `inputs` of its record has
/// what they were.
pub(super) async fn explain(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<Vec<ExplainedBody>>, Problem> {
    let none = Problem::new(StatusCode::NOT_FOUND, "no such payment is kept");
    let id = PaymentId::parse(&id).ok_or(none.clone())?;
    let record = admin.service.kept_record(id).await.map_err(|_| LOST)?.ok_or(none)?;
    let Some(book) = &admin.service.rules else { return Ok(Json(Vec::new())) };
    let explained = book.explain(&record).into_iter().map(|rule| ExplainedBody {
        rule: rule.id,
        came: match rule.came {
            Ok(true) => "hits",
            Ok(false) => "does_not_hit",
            Err(_) => "cannot_be_evaluated",
        },
        conditions: rule
            .parts
            .into_iter()
            .map(|part| ConditionBody {
                skipped: matches!(part.came, Came::Skipped),
                came: part.came.to_string(),
                condition: part.text,
                saw: part.saw.into_iter().map(|(name, value)| [name, value]).collect(),
            })
            .collect(),
    });
    Ok(Json(explained.collect()))
}
