//! From `policy.toml`: how often may be asked, and about what is merely observed.

use super::deployment::time;
use super::within;
use crate::config::file::asking::{
    AttemptsFile, BelievedFile, CombinationFile, ObserveFile, PackageFile,
};
use crate::config::file::{EvidenceFile, Time};
use crate::config::read::{At, Sheet};
use crate::config::settings::{Evidence, Kinds, Observe, VERIFIABLE};
use crate::domain::id::MerchantId;
use crate::domain::money::Fen;
use crate::policy::{Combination, Package};
use crate::route::attempts::{Limits, Most};
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
const MONTH: Duration = Duration::from_hours(31 * 24);

/// The most attempts that can be allowed: banks lock cards long before.
const ATTEMPTS_MAX: u32 = 1_000;

/// How often may be asked about one card and one person.
pub(super) fn attempts(sheet: &mut Sheet, file: &AttemptsFile) -> Limits {
    let default = Limits::default();
    let mut count =
        |value: &Option<At<u32>>, default| within(sheet, value.as_ref(), 1..=ATTEMPTS_MAX, default);
    let card = Most {
        per_day: count(&file.card_per_day, default.card.per_day),
        wrong: count(&file.card_wrong, default.card.wrong),
    };
    let person = Most {
        per_day: count(&file.person_per_day, default.person.per_day),
        wrong: count(&file.person_wrong, default.person.wrong),
    };
    let least = [card.per_day, card.wrong, person.per_day, person.wrong];
    let least = least.into_iter().min().unwrap_or_default();
    let left = file.left_to_others.as_ref().map_or(default.left_to_others, |left| left.value);
    if left >= least
        && let Some(at) = [&file.left_to_others, &file.card_wrong, &file.card_per_day]
            .into_iter()
            .chain([&file.person_wrong, &file.person_per_day])
            .flatten()
            .next()
    {
        let hint = format!("`left_to_others` is {left}, and the least of the limits is {least}");
        sheet.problem(&at.span, "no merchant has an attempt of its own", hint);
    }
    Limits {
        card,
        person,
        left_to_others: left,
        wrong_for: time(sheet, file.wrong_for.as_ref(), MINUTE..=MONTH, default.wrong_for),
        limited_for: time(sheet, file.limited_for.as_ref(), MINUTE..=MONTH, default.limited_for),
    }
}

/// Where a phone may be settled by combination.
pub(super) fn combination(sheet: &mut Sheet, files: &[At<CombinationFile>]) -> Vec<Combination> {
    let mut all = Vec::new();
    for At { value: file, span } in files {
        let hint = "name the merchants who opted in: `merchants = [\"777290058110048\"]`";
        let merchants = sheet.need(file.merchants.as_ref(), span, "merchants", hint);
        if let Some(at) = merchants.filter(|at| at.value.is_empty()) {
            sheet.problem(&at.span, "no merchant", hint);
        }
        let hint = "name the scenarios: `scenarios = [\"bind\"]`";
        let scenarios = sheet.need(file.scenarios.as_ref(), span, "scenarios", hint);
        if let Some(at) = scenarios.filter(|at| at.value.is_empty()) {
            sheet.problem(&at.span, "no scenario", hint);
        }
        for at in scenarios.into_iter().flat_map(|at| &at.value) {
            let scenario = at.value.0;
            if !scenario.is_verified() {
                let hint = "only what policy judges can be settled";
                sheet.problem(&at.span, format!("`{}` is never judged", scenario.as_str()), hint);
            }
        }
        if let (Some(merchants), Some(scenarios)) = (merchants, scenarios) {
            all.push(Combination {
                merchants: merchants
                    .value
                    .iter()
                    .map(|id| MerchantId(id.as_str().into()))
                    .collect(),
                scenarios: scenarios.value.iter().map(|at| at.value.0).collect(),
            });
        }
    }
    all
}

/// What is required of some payments.
pub(super) fn packages(sheet: &mut Sheet, files: &[At<PackageFile>]) -> Vec<Package> {
    let mut all = Vec::new();
    for At { value: file, span } in files {
        let hint = "say of which scenario: `scenario = \"debit\"`";
        let scenario = sheet.need(file.scenario.as_ref(), span, "scenario", hint);
        if let Some(at) = scenario.filter(|at| !at.value.0.is_verified()) {
            let hint = "only what policy judges can require elements";
            sheet.problem(&at.span, format!("`{}` is never judged", at.value.0.as_str()), hint);
        }
        let hint = "say which elements it needs: `required = [\"name\", \"id_number\", \"pan\"]`";
        let required = sheet.need(file.required.as_ref(), span, "required", hint);
        for element in required.into_iter().flat_map(|at| &at.value) {
            if !VERIFIABLE.contains(element.value.0) {
                let hint = "a verification asks about name, id_number, pan and phone";
                let message = format!("`{}` can never be verified", element.value.0);
                sheet.problem(&element.span, message, hint);
            }
        }
        if let (Some(scenario), Some(required)) = (scenario, required) {
            all.push(Package {
                scenario: scenario.value.0,
                merchants: file.merchants.iter().map(|id| MerchantId(id.as_str().into())).collect(),
                from: file.from_fen.map(Fen::new),
                required: required.value.iter().map(|element| element.value.0).collect(),
            });
        }
    }
    all
}

/// How long evidence is believed, and by whose messages it may be used.
pub(super) fn evidence(sheet: &mut Sheet, file: &EvidenceFile) -> Evidence {
    let default = Evidence::default();
    let mut same = BTreeMap::new();
    for numbers in &file.same_merchant {
        let mut ids = numbers.iter().map(|id| MerchantId(id.as_str().into()));
        if let Some(first) = ids.next() {
            same.extend(ids.map(|id| (id, first.clone())));
        }
    }
    let own = BelievedFile {
        matched: None,
        close_match: file.close_match.clone(),
        no_match: file.no_match.clone(),
        no_record: file.no_record.clone(),
        not_possible: file.not_possible.clone(),
        limited: file.limited.clone(),
        invalid: file.invalid.clone(),
    };
    let sources = file.source.iter();
    let sources = sources.map(|(name, of)| (name.value.as_str().into(), kinds(sheet, of)));
    Evidence {
        sources: sources.collect(),
        kinds: kinds(sheet, &own),
        matched: time(sheet, file.matched.as_ref(), MINUTE..=DAY * 365, default.matched),
        negative: time(sheet, file.negative.as_ref(), SECOND..=DAY, default.negative),
        shared: file.shared,
        same_merchant: same,
    }
}

fn kinds(sheet: &mut Sheet, file: &BelievedFile) -> Kinds {
    let mut some = |value: &Option<Time>, most| {
        value.as_ref().map(|at| time(sheet, Some(at), SECOND..=most, MINUTE))
    };
    Kinds {
        matched: some(&file.matched, DAY * 365),
        close_match: some(&file.close_match, DAY * 365),
        no_match: some(&file.no_match, DAY),
        no_record: some(&file.no_record, DAY * 31),
        not_possible: some(&file.not_possible, DAY * 31),
        limited: some(&file.limited, DAY * 31),
        invalid: some(&file.invalid, DAY * 31),
    }
}

/// What is asked about payments that are observed.
pub(super) fn observe(sheet: &mut Sheet, file: &ObserveFile) -> Observe {
    let sample_percent = within(sheet, file.sample_percent.as_ref(), 0..=100, 0);
    let cap = Fen::new(file.fen_per_day.unwrap_or_default());
    if let Some(at) = file.sample_percent.as_ref().filter(|at| at.value > 0)
        && cap == Fen::default()
    {
        let hint = "say what may be spent on them within a day in `fen_per_day`";
        sheet.problem(&at.span, "a sample of which nothing may be asked", hint);
    }
    Observe { sample_percent, cap }
}
