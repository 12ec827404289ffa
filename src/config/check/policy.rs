//! From `policy.toml` to policy.

use super::deployment::time;
use super::{asking, routing, within};
use crate::config::file::{ModeFile, PolicyFile, ScenarioFile};
use crate::config::problem::suggest;
use crate::config::read::{At, Sheet};
use crate::config::settings::{
    ChannelMode, Evidence, Holds, Inquiry, Observe, Routing, VERIFIABLE,
};
use crate::config::text::Text;
use crate::domain::money::Fen;
use crate::domain::payment::Scenario;
use crate::policy::{AgreementPolicy, Effect, Policy, ScenarioPolicy};
use crate::route::attempts;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// What `policy.toml` says.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) policy: Policy,
    pub(crate) modes: BTreeMap<String, ChannelMode>,
    pub(crate) holds: Holds,
    pub(crate) evidence: Evidence,
    pub(crate) inquiry: Inquiry,
    pub(crate) attempts: attempts::Limits,
    pub(crate) merchant_cap: Option<Fen>,
    pub(crate) observe: Observe,
    pub(crate) routing: Routing,
}

pub(crate) fn check(sheet: &mut Sheet, file: &PolicyFile, channels: &BTreeSet<String>) -> Checked {
    let mut policy = Policy::default();
    for (name, at) in &file.scenario {
        if let Some(settings) = scenario(sheet, name, at) {
            policy.scenarios.insert(name.value.0, settings);
        }
    }
    let agreements = AgreementPolicy::default();
    policy.agreements = AgreementPolicy {
        unknown: effect(file.agreements.unknown.as_ref(), agreements.unknown),
        contradicted: effect(file.agreements.contradicted.as_ref(), agreements.contradicted),
        closed: effect(file.agreements.closed.as_ref(), agreements.closed),
    };
    if let Some(refused_rows) = &file.batch.refused_rows {
        if refused_rows.value.0 == Effect::Permit {
            let hint = "write `refuse` (the batch whole) or `annotate` (the row, and let it leave)";
            sheet.problem(&refused_rows.span, "refused rows cannot be permitted", hint);
        }
        policy.refused_rows = refused_rows.value.0;
    }
    policy.holdout = routing::holdout(sheet, &file.holdout);
    for reason in file.rules.lift.iter().flatten() {
        policy.rules_lift.insert(reason.value.0);
    }
    policy.combination = asking::combination(sheet, &file.combination);
    policy.packages = asking::packages(sheet, &file.package);
    let (holds, inquiry) = (Holds::default(), Inquiry::default());
    Checked {
        policy,
        modes: modes(sheet, file, channels),
        attempts: asking::attempts(sheet, &file.attempts),
        merchant_cap: file.spend.merchant_fen_per_day.map(Fen::new),
        observe: asking::observe(sheet, &file.observe),
        holds: Holds {
            expiry: time(sheet, file.holds.expiry.as_ref(), MINUTE..=DAY * 90, holds.expiry),
            per_hour: within(sheet, file.holds.per_hour.as_ref(), 1..=100_000, holds.per_hour),
        },
        evidence: asking::evidence(sheet, &file.evidence),
        inquiry: Inquiry {
            deadline: time(
                sheet,
                file.inquiry.deadline.as_ref(),
                MINUTE / 600..=MINUTE,
                inquiry.deadline,
            ),
            batch_deadline: time(
                sheet,
                file.inquiry.batch_deadline.as_ref(),
                MINUTE / 600..=MINUTE * 10,
                inquiry.batch_deadline,
            ),
            retries_percent: within(
                sheet,
                file.inquiry.retries_percent.as_ref(),
                0..=100,
                inquiry.retries_percent,
            ),
        },
        routing: routing::routing(sheet, &file.routing),
    }
}

fn modes(
    sheet: &mut Sheet,
    file: &PolicyFile,
    channels: &BTreeSet<String>,
) -> BTreeMap<String, ChannelMode> {
    let mut modes = BTreeMap::new();
    for (name, mode) in &file.mode {
        if !channels.contains(&name.value) {
            let hint = suggest(&name.value, channels.iter().map(String::as_str));
            sheet.problem(&name.span, format!("no channel `{}`", name.value), hint);
        }
        let mode = match mode {
            ModeFile::Uninspected => ChannelMode::Uninspected,
            ModeFile::Observe => ChannelMode::Observe,
            ModeFile::Enforce(percent) => {
                if !(1..=100).contains(&percent.value) {
                    let hint = "between 1 and 100; for none of it write `\"observe\"`";
                    sheet.problem(&percent.span, "not a percentage to enforce", hint);
                }
                ChannelMode::Enforce(percent.value)
            }
        };
        modes.insert(name.value.clone(), mode);
    }
    modes
}

fn scenario(
    sheet: &mut Sheet,
    name: &At<Text<Scenario>>,
    file: &ScenarioFile,
) -> Option<ScenarioPolicy> {
    let scenario = name.value.0;
    if !scenario.is_verified() {
        let judged = Scenario::ALL.into_iter().filter(|scenario| scenario.is_verified());
        let judged: Vec<&str> = judged.map(Scenario::as_str).collect();
        let hint = format!("policy judges {}", judged.join(", "));
        sheet.problem(&name.span, format!("`{}` is never judged", scenario.as_str()), hint);
        return None;
    }
    let default = ScenarioPolicy::for_scenario(scenario);
    for element in file.required.iter().flatten() {
        if !VERIFIABLE.contains(element.value.0) {
            let hint = "a verification asks about name, id_number, pan and phone";
            sheet.problem(
                &element.span,
                format!("`{}` can never be verified", element.value.0),
                hint,
            );
        }
    }
    let required =
        file.required.as_ref().map(|set| set.iter().map(|element| element.value.0).collect());
    Some(ScenarioPolicy {
        required: required.unwrap_or(default.required),
        missing: effect(file.missing.as_ref(), default.missing),
        close_match: effect(file.close_match.as_ref(), default.close_match),
        no_match: effect(file.no_match.as_ref(), default.no_match),
        no_record: effect(file.no_record.as_ref(), default.no_record),
        not_possible: effect(file.not_possible.as_ref(), default.not_possible),
        limited: effect(file.limited.as_ref(), default.limited),
        invalid: effect(file.invalid.as_ref(), default.invalid),
        unavailable: effect(file.unavailable.as_ref(), default.unavailable),
        sealed: effect(file.sealed.as_ref(), default.sealed),
        confirmed_by_sms: file.confirmed_by_sms.unwrap_or(default.confirmed_by_sms),
        deadline: file.deadline.as_ref().map(|at| {
            let longest = Inquiry::default().deadline;
            time(sheet, Some(at), MINUTE / 600..=MINUTE, longest)
        }),
    })
}

fn effect(told: Option<&Text<Effect>>, default: Effect) -> Effect {
    told.map_or(default, |told| told.0)
}
