//! Payment accounts come to a higher class. Elements come in the body, leave in no answer, and are in no log.

use super::Admin;
use super::accounts::{id, number, parsed, read, refused, wrong};
use super::body::Problem;
use crate::domain::account::Class;
use crate::domain::clock::Timestamp;
use crate::domain::element::Elements;
use crate::domain::pan::{AccountKind, Pan};
use crate::domain::person::{Mobile, Name};
use crate::service::upgrade::{CARDS_MAX, Person, UpgradeError};
use crate::store::account::{Asked, Progress, Upgrade};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

fn not_upgraded(error: UpgradeError) -> Problem {
    match error {
        UpgradeError::Account(error) => refused(error),
        UpgradeError::Busy => Problem::told(StatusCode::SERVICE_UNAVAILABLE, &error),
        UpgradeError::Running => Problem::told(StatusCode::CONFLICT, &error),
        UpgradeError::None => Problem::told(StatusCode::NOT_FOUND, &error),
    }
}

/// The class that is wanted, and whose elements may be asked about.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpgradeBody {
    /// `I`, `II` or `III`.
    target: String,
    name: String,
    id_number: String,
    #[serde(default)]
    id_type: Option<String>,
    #[serde(default)]
    phone: Option<String>,
    /// Their own bank cards, at most ten.
    #[serde(default)]
    cards: Vec<CardBody>,
    /// Whether the person was met by now.
    #[serde(default)]
    face_to_face: bool,
}

/// A bank card.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CardBody {
    pan: String,
    /// `debit` (where absent), `credit`, `passbook` or `corporate`.
    #[serde(default)]
    account_kind: Option<String>,
}

impl CardBody {
    fn pan(&self) -> Result<Pan, Problem> {
        let kind =
            self.account_kind.as_deref().map_or(Some(AccountKind::Debit), AccountKind::from_word);
        let kind =
            kind.ok_or(wrong("`account_kind` is one of debit, credit, passbook, corporate"))?;
        parsed(Pan::parse(&self.pan, kind))
    }
}

/// How far an upgrade is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct UpgradedBody {
    target: &'static str,
    /// `running`, `interrupted` (whoever ran it is gone: tell the elements again, and it goes on), `reached`, `out_of_reach` (with these elements) or `stalled` (who could tell cannot be asked now: say it again later).
    progress: &'static str,
    /// How many sources are missing.
    missing: u32,
    /// What it cost by now.
    cost_fen: u64,
    /// So much of that may not be billed: nobody knows.
    uncertain_fen: u64,
    started_ms: u64,
    /// While it is `running`: until when whoever runs it has it to itself. Unless it goes on before, it is `interrupted` then.
    running_until_ms: Option<u64>,
    /// The questions that were put, in order.
    steps: Vec<StepBody>,
    /// Those that are to be put after them, as far as is known by now: after each answer the plan is made anew.
    planned: Vec<PlannedBody>,
}

/// A question that is to be put.
#[derive(Debug, Serialize, JsonSchema)]
struct PlannedBody {
    provider: String,
    source: String,
    cost_fen: u64,
}

/// A question that was put.
#[derive(Debug, Serialize, JsonSchema)]
struct StepBody {
    provider: String,
    source: String,
    inquiry: Option<String>,
    /// What was answered; `asking` where that is waited for; `uncertain` where nobody knows: it may have been billed.
    answer: &'static str,
    /// What it cost; while it is `asking` or `uncertain`, what it may.
    cost_fen: u64,
    at_ms: u64,
}

impl UpgradedBody {
    /// How far `upgrade` is at `now`.
    fn of(upgrade: &Upgrade, now: Timestamp) -> Self {
        let is_run = upgrade.is_run(now);
        let last = upgrade.steps.len().saturating_sub(1);
        let asking = Some(last).filter(|_| is_run && upgrade.asking);
        let steps = (0..).zip(&upgrade.steps).map(|(nth, step): (usize, &Asked)| StepBody {
            provider: step.provider.to_string(),
            source: step.source.to_string(),
            inquiry: step.inquiry.map(|inquiry| inquiry.to_string()),
            answer: match step.answer {
                Some(answer) => answer.as_str(),
                None if asking == Some(nth) => "asking",
                None => "uncertain",
            },
            cost_fen: step.cost.get(),
            at_ms: step.at.as_millis(),
        });
        let planned = upgrade.planned.iter().map(|planned| PlannedBody {
            provider: planned.provider.to_string(),
            source: planned.source.to_string(),
            cost_fen: planned.cost.get(),
        });
        let cost = |of: &dyn Fn(&Asked) -> bool| {
            let steps = upgrade.steps.iter().filter(|step| of(step));
            steps.fold(0_u64, |sum, step| sum.saturating_add(step.cost.get()))
        };
        Self {
            target: upgrade.target.as_str(),
            progress: match upgrade.progress {
                Progress::Running if upgrade.is_cut_off(now) => "interrupted",
                progress => progress.as_str(),
            },
            missing: match upgrade.progress {
                Progress::OutOfReach { missing } | Progress::Stalled { missing } => missing,
                Progress::Running | Progress::Reached => 0,
            },
            cost_fen: cost(&|_| true),
            uncertain_fen: cost(&|step| step.uncertain),
            started_ms: upgrade.at.as_millis(),
            running_until_ms: is_run.then(|| upgrade.lease.as_millis()),
            steps: steps.collect(),
            planned: planned.collect(),
        }
    }
}

/// Brings an account to a class: asks the cheapest sources that it wants until they bear it or cannot.
pub(super) async fn upgrade(
    State(admin): State<Arc<Admin>>,
    Path(account): Path<String>,
    body: String,
) -> Result<Json<UpgradedBody>, Problem> {
    let form = "not a JSON object with `target`, `name`, `id_number` and perhaps `id_type`, `phone`, `cards`, `face_to_face`";
    let body: UpgradeBody = read(&body, form)?;
    let target = Class::from_word(&body.target).ok_or(wrong("`target` is I, II or III"))?;
    if body.cards.len() > CARDS_MAX {
        return Err(wrong("at most ten cards"));
    }
    let elements = Elements {
        name: Some(parsed(Name::parse(&body.name))?),
        id_number: number(Some(&body.id_number), body.id_type.as_deref())?,
        phone: parsed(body.phone.as_deref().map(Mobile::parse).transpose())?,
        ..Elements::default()
    };
    let cards = body.cards.iter().map(CardBody::pan).collect::<Result<_, _>>()?;
    let person = Person { elements, cards };
    let done = admin.service.upgrade(&id(&account)?, target, person, body.face_to_face).await;
    Ok(Json(UpgradedBody::of(&done.map_err(not_upgraded)?, admin.service.clock.now())))
}

/// Shows how far an upgrade is.
pub(super) async fn upgraded(
    State(admin): State<Arc<Admin>>,
    Path(account): Path<String>,
) -> Result<Json<UpgradedBody>, Problem> {
    let upgrade = admin.service.upgrade_of(&id(&account)?).await.map_err(not_upgraded)?;
    Ok(Json(UpgradedBody::of(&upgrade, admin.service.clock.now())))
}
