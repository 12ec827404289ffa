//! Channels and providers, turned by hand; policy and configuration, and where each of it comes from.

use super::access::Operator;
use super::body::Problem;
use super::rules::{LOST, NoteBody, noted};
use super::{Admin, Live};
use crate::domain::clock::Timestamp;
use crate::domain::id::{ChannelName, ProviderName};
use crate::service::inquire::{InquireError, Inquired, Typed};
use crate::service::statistics::Tables;
use crate::store::audit::Action;
use crate::store::managed::{ChannelTurn, ProviderTurn};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// For how long the glass may be broken.
const GLASS_MAX: Duration = Duration::from_hours(7 * 24);

/// What files say, for whoever shows it beside what is turned.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Channels by name: what their file says and what is so, each a word or a percentage.
    pub channels: BTreeMap<ChannelName, [Mode; 2]>,
    /// Providers by name: whether they are on, and their priority, by their file and as it is.
    pub providers: BTreeMap<ProviderName, [(bool, u32); 2]>,
    /// Where what files say stands: key, file and line.
    pub origins: Vec<(String, String, usize)>,
    /// By what the rows of inquiries are counted; nothing, where none is kept.
    pub tables: Option<Arc<Tables>>,
}

/// How far a channel's decisions bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Bodies are not read.
    Uninspected,
    /// Everything is forwarded and marked.
    Observe,
    /// Decisions bind for this percentage of orders.
    Enforce(u8),
}

impl Mode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Uninspected => "uninspected",
            Self::Observe => "observe",
            Self::Enforce(_) => "enforce",
        }
    }

    const fn percent(self) -> u8 {
        match self {
            Self::Uninspected | Self::Observe => 0,
            Self::Enforce(percent) => percent,
        }
    }
}

/// Who turned something, and why.
#[derive(Debug, Serialize, JsonSchema)]
struct TurnedBody {
    by: String,
    at_ms: u64,
    note: String,
    until_ms: Option<u64>,
}

/// A channel.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChannelBody {
    channel: String,
    /// `uninspected`, `observe` or `enforce`.
    mode: &'static str,
    /// For which percentage of orders decisions bind.
    enforce: u8,
    /// What its file says.
    file: &'static str,
    file_enforce: u8,
    turned: Option<TurnedBody>,
}

/// Shows channels.
pub(super) async fn channels(State(admin): State<Arc<Admin>>) -> Json<Vec<ChannelBody>> {
    let now = admin.service.clock.now();
    let shown = admin.shown.channels.iter().map(|(name, [file, mode])| ChannelBody {
        channel: name.to_string(),
        mode: mode.as_str(),
        enforce: mode.percent(),
        file: file.as_str(),
        file_enforce: file.percent(),
        turned: admin.managed.turned.channel(name, now).map(|turn| TurnedBody {
            by: turn.by.clone(),
            at_ms: turn.at.as_millis(),
            note: turn.note.clone(),
            until_ms: turn.until.map(Timestamp::as_millis),
        }),
    });
    Json(shown.collect())
}

impl Admin {
    /// The channel called `name`, if it may be turned.
    fn turnable(&self, name: &str) -> Result<ChannelName, Problem> {
        let name = ChannelName::new(name);
        match self.shown.channels.get(&name) {
            None => Err(Problem::new(StatusCode::NOT_FOUND, "no such channel is configured")),
            Some([Mode::Uninspected, _]) => Err(Problem::new(
                StatusCode::CONFLICT,
                "the channel streams uninspected: that is changed in policy.toml, where its routes are checked",
            )),
            Some(_) => Ok(name),
        }
    }

    /// The provider called `name`.
    fn provider(&self, name: &str) -> Result<ProviderName, Problem> {
        let name = ProviderName::new(name);
        let known = self.shown.providers.contains_key(&name);
        known
            .then_some(name)
            .ok_or(Problem::new(StatusCode::NOT_FOUND, "no such provider is configured"))
    }
}

/// How a channel is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ModeBody {
    /// The percentage of orders for which decisions bind; 0 observes.
    enforce: u8,
    /// For so long; for good where absent.
    minutes: Option<u32>,
    note: String,
}

/// Turns a channel.
pub(super) async fn turn_channel(
    State(live): State<Live>,
    Path(channel): Path<String>,
    who: Operator,
    Json(ModeBody { enforce, minutes, note }): Json<ModeBody>,
) -> Result<StatusCode, Problem> {
    noted(&note)?;
    if enforce > 100 {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "`enforce` is 0 to 100"));
    }
    let admin = live.current();
    let name = admin.turnable(&channel)?;
    let at = admin.service.clock.now();
    let until = minutes.map(|minutes| at.plus(Duration::from_mins(1) * minutes));
    let turn = ChannelTurn {
        enforce: Some(enforce).filter(|percent| *percent > 0),
        until,
        by: who.name().to_owned(),
        at,
        note: note.clone(),
    };
    admin.service.turn_channel(&name, Some(turn)).await.map_err(|_| LOST)?;
    let until_ms = until.map(Timestamp::as_millis);
    let action = Action::TurnChannel { channel, enforce: Some(enforce), until_ms, note };
    admin.audit(who, action).await?;
    live.apply().await
}

/// For how long the glass is broken, and why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GlassBody {
    /// At most seven days; then the channel is as it was.
    minutes: u64,
    note: String,
}

/// Has a channel be observed for a while.
pub(super) async fn break_glass(
    State(live): State<Live>,
    Path(channel): Path<String>,
    who: Operator,
    Json(GlassBody { minutes, note }): Json<GlassBody>,
) -> Result<StatusCode, Problem> {
    noted(&note)?;
    let admin = live.current();
    let (name, at) = (admin.turnable(&channel)?, admin.service.clock.now());
    let span = Duration::from_secs(minutes.saturating_mul(60));
    if span.is_zero() || span > GLASS_MAX {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "`minutes` are 1 to 10080"));
    }
    let until = at.plus(span);
    let (by, until_ms) = (who.name().to_owned(), until.as_millis());
    let turn = ChannelTurn { enforce: None, until: Some(until), by, at, note: note.clone() };
    admin.service.break_glass(&name, turn).await.map_err(|_| LOST)?;
    admin.audit(who, Action::BreakGlass { channel, until_ms, note }).await?;
    live.apply().await
}

/// Lets a channel be as its file says.
pub(super) async fn reset_channel(
    State(live): State<Live>,
    Path(channel): Path<String>,
    who: Operator,
    Json(NoteBody { note }): Json<NoteBody>,
) -> Result<StatusCode, Problem> {
    noted(&note)?;
    let admin = live.current();
    let name = admin.turnable(&channel)?;
    admin.service.turn_channel(&name, None).await.map_err(|_| LOST)?;
    admin.audit(who, Action::ResetChannel { channel, note }).await?;
    live.apply().await
}

/// A provider.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProviderBody {
    provider: String,
    enabled: bool,
    priority: u32,
    /// What its file says.
    file_enabled: bool,
    file_priority: u32,
    /// How its breaker stands; nothing where it is off.
    breaker: Option<&'static str>,
    turned: Option<TurnedBody>,
}

/// Shows providers.
pub(super) async fn providers(State(admin): State<Arc<Admin>>) -> Json<Vec<ProviderBody>> {
    let now = admin.service.clock.now();
    let shown = admin.shown.providers.iter().map(|(name, [file, is])| {
        let entry = admin.service.providers.iter().find(|entry| entry.provider.name() == name);
        ProviderBody {
            provider: name.to_string(),
            enabled: is.0,
            priority: is.1,
            file_enabled: file.0,
            file_priority: file.1,
            breaker: entry.map(|entry| entry.watch.stands(now).as_str()),
            turned: admin.managed.turned.providers.get(name).map(|turn| TurnedBody {
                by: turn.by.clone(),
                at_ms: turn.at.as_millis(),
                note: turn.note.clone(),
                until_ms: None,
            }),
        }
    });
    Json(shown.collect())
}

/// How a provider is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderTurnBody {
    /// Whether it is asked; what its file says where absent.
    enabled: Option<bool>,
    /// Lower is asked first; what its file says where absent.
    priority: Option<u32>,
    note: String,
}

/// Turns a provider.
pub(super) async fn turn_provider(
    State(live): State<Live>,
    Path(provider): Path<String>,
    who: Operator,
    Json(ProviderTurnBody { enabled, priority, note }): Json<ProviderTurnBody>,
) -> Result<StatusCode, Problem> {
    noted(&note)?;
    let admin = live.current();
    let (name, at) = (admin.provider(&provider)?, admin.service.clock.now());
    let (by, why) = (who.name().to_owned(), note.clone());
    let turn = ProviderTurn { enabled, priority, by, at, note: why };
    admin.service.turn_provider(&name, Some(turn)).await.map_err(|_| LOST)?;
    admin.audit(who, Action::TurnProvider { provider, enabled, priority, note }).await?;
    live.apply().await
}

/// Lets a provider be as its file says.
pub(super) async fn reset_provider(
    State(live): State<Live>,
    Path(provider): Path<String>,
    who: Operator,
    Json(NoteBody { note }): Json<NoteBody>,
) -> Result<StatusCode, Problem> {
    noted(&note)?;
    let admin = live.current();
    let name = admin.provider(&provider)?;
    admin.service.turn_provider(&name, None).await.map_err(|_| LOST)?;
    admin.audit(who, Action::ResetProvider { provider, note }).await?;
    live.apply().await
}

/// Who is asked about; kept nowhere.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestBody {
    name: Option<String>,
    id_number: Option<String>,
    pan: Option<String>,
    phone: Option<String>,
}

/// What it answered.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TestedBody {
    /// What it said, as Hefu reads it; `unavailable` for every technical failure. Nothing where it was not asked.
    answer: Option<&'static str>,
    /// Its own code.
    code: Option<String>,
    /// Whether that is billed: `yes`, `no` or `uncertain`.
    billable: Option<&'static str>,
    took_ms: Option<u64>,
    /// Why it was not asked.
    withheld: Option<&'static str>,
}

/// Asks a provider.
pub(super) async fn test_provider(
    State(admin): State<Arc<Admin>>,
    Path(provider): Path<String>,
    who: Operator,
    body: String,
) -> Result<Json<TestedBody>, Problem> {
    // The parser's own words may quote a value.
    let body = serde_json::from_str::<TestBody>(&body).map_err(|_| {
        let detail = "not a JSON object with `name`, `id_number`, `pan` or `phone`";
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })?;
    let TestBody { name, id_number, pan, phone } = body;
    let typed = Typed { name, id_number, pan, phone };
    let asked = admin.service.inquire(&provider, typed).await.map_err(|error| {
        let status = match error {
            InquireError::Unknown => StatusCode::NOT_FOUND,
            InquireError::Element(_) | InquireError::Set => StatusCode::BAD_REQUEST,
            InquireError::Lost => StatusCode::SERVICE_UNAVAILABLE,
        };
        Problem::told(status, &error)
    })?;
    let (answer, told) = match asked {
        Inquired::Answered(reply, took) => {
            let told = TestedBody {
                answer: Some(reply.answer.as_str()),
                code: reply.code.map(String::from),
                billable: Some(reply.billable.as_str()),
                took_ms: u64::try_from(took.as_millis()).ok(),
                withheld: None,
            };
            (reply.answer.as_str(), told)
        }
        Inquired::Withheld(why) => {
            let (answer, code, billable, took_ms) = (None, None, None, None);
            (why, TestedBody { answer, code, billable, took_ms, withheld: Some(why) })
        }
    };
    admin.audit(who, Action::TestProvider { provider, answer }).await?;
    Ok(Json(told))
}

/// Shows policy.
pub(super) async fn policy(State(admin): State<Arc<Admin>>) -> Json<serde_json::Value> {
    let of = |key: &str| admin.config.get(key).cloned().unwrap_or_default();
    Json(serde_json::json!({
        "policy": of("policy"), "holds": of("holds"), "evidence": of("evidence"),
        "inquiry": of("inquiry"), "attempts": of("attempts"), "spend": of("spend"),
        "rules": of("rules"), "observe": of("observe"), "routing": of("routing"), "holdout": of("holdout"),
    }))
}

/// Where a key of a file stands.
#[derive(Debug, Serialize, JsonSchema)]
struct OriginBody {
    key: String,
    file: String,
    line: usize,
}

/// What is in force, and where it comes from.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ConfigBody {
    /// As `/config_dump`.
    effective: serde_json::Value,
    /// The keys that files say; what no file says is the default.
    files: Vec<OriginBody>,
    /// The channels that are turned through the API, beside what their files say.
    channels: Vec<String>,
    /// The same of providers.
    providers: Vec<String>,
    /// The version of rules that comes through the API; 0 where none does.
    rules_version: u64,
}

/// Shows the configuration.
pub(super) async fn config(State(admin): State<Arc<Admin>>) -> Json<ConfigBody> {
    let now = admin.service.clock.now();
    let turned = &admin.managed.turned;
    let channels = turned.all(now);
    let origin = |(key, file, line): &(String, String, usize)| OriginBody {
        key: key.clone(),
        file: file.clone(),
        line: *line,
    };
    Json(ConfigBody {
        effective: admin.config.clone(),
        files: admin.shown.origins.iter().map(origin).collect(),
        channels: channels.keys().map(ToString::to_string).collect(),
        providers: turned.providers.keys().map(ToString::to_string).collect(),
        rules_version: admin.managed.life.live,
    })
}
