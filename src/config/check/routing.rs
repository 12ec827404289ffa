//! From `[routing]` and `[holdout]` to who is asked first, and to what leaves though it is refused.

use super::within;
use crate::config::file::routing::{HoldoutFile, RoutingFile};
use crate::config::read::{At, Sheet};
use crate::config::settings::Routing;
use crate::config::text::StrategyWord;
use crate::domain::chance::Share;
use crate::domain::money::Fen;
use crate::route::concordance::{Costs, Strategy};
use rust_decimal::prelude::ToPrimitive as _;

/// The largest holdout: it is a sample, and each of it is a refusal that was not made.
const HOLDOUT_MAX: f64 = 0.1;

/// The most that anything costs: ten thousand yuan.
const COST_MAX: u64 = 1_000_000;

pub(super) fn routing(sheet: &mut Sheet, file: &RoutingFile) -> Routing {
    let default = Costs::default();
    let mut cost = |of, default: Fen| Fen::new(within(sheet, of, 0..=COST_MAX, default.get()));
    let mismatch = cost(file.mismatch_fen.as_ref(), default.mismatch);
    let second = cost(file.second_fen.as_ref(), default.second);
    let explore = file.explore_percent.as_ref();
    let explore =
        explore.map_or(default.explore, |_| Share::percent(within(sheet, explore, 0..=100, 0)));
    let below = within(sheet, file.lower_below_percent.as_ref(), 0..=99, 0);
    Routing {
        strategy: match file.strategy.as_ref().map(|word| word.0).unwrap_or_default() {
            StrategyWord::Priority => Strategy::Priority,
            StrategyWord::Concordance => Strategy::Concordance(Costs { mismatch, second, explore }),
        },
        lower_below: (below > 0).then(|| Share::percent(below)),
    }
}

pub(super) fn holdout(sheet: &mut Sheet, file: &HoldoutFile) -> Share {
    let Some(share) = &file.share else { return Share::NONE };
    let named = file.approved_by.as_ref().is_some_and(|name| !name.value.trim().is_empty());
    if share.value > 0.0 && !named {
        let hint = "name who answers for it: `approved_by = \"…\"` beside `share`";
        sheet.problem(
            &share.span,
            "a holdout lets refused payments leave, and nobody approved it",
            hint,
        );
    }
    portion(sheet, share, HOLDOUT_MAX)
}

/// A share from 0 to `most`.
pub(super) fn portion(sheet: &mut Sheet, share: &At<f64>, most: f64) -> Share {
    if !(0.0..=most).contains(&share.value) {
        sheet.problem(&share.span, "out of range", format!("from 0 to {most}"));
        return Share::NONE;
    }
    let million = f64::from(Share::ALL.get());
    Share::of_million((share.value * million).round().to_u32().unwrap_or_default())
}
