//! From `calendar.toml` to the days and hours on which no outcome is expected, and what a channel promises.

use super::deployment::time;
use crate::config::file::calendar::{CalendarFile, MaintenanceFile};
use crate::config::file::{DueFile, Time};
use crate::config::problem::suggest;
use crate::config::read::{At, Sheet};
use crate::domain::id::ChannelName;
use crate::reconcile::due::{Calendar, Level, Maintenance, When};
use std::collections::BTreeSet;
use std::time::Duration;

const SHORTEST: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_hours(60 * 24);

/// What a channel promises.
pub(crate) fn level(sheet: &mut Sheet, file: &DueFile) -> Level {
    let default = Level::default();
    let mut within = |at: Option<&Time>, default| time(sheet, at, SHORTEST..=LONGEST, default);
    Level {
        debit: within(file.debit.as_ref(), default.debit),
        pay: within(file.pay.as_ref(), default.pay),
        withdraw: within(file.withdraw.as_ref(), default.withdraw),
        payout: within(file.payout.as_ref(), default.payout),
        working_days: file.working_days.unwrap_or(default.working_days),
    }
}

/// Checks the calendar; `names` are the channels that it may name.
pub(crate) fn check(sheet: &mut Sheet, file: &CalendarFile, names: &BTreeSet<String>) -> Calendar {
    for both in &file.workdays {
        if file.holidays.iter().any(|day| day.value.0.0 == both.value.0.0) {
            let hint = "it is one of them";
            sheet.problem(&both.span, "a day that is worked and off", hint);
        }
    }
    if let (None, Some(first)) = (&file.valid_until, file.holidays.first()) {
        let hint = "say of which last day it knows, such as `valid_until = \"2026-12-31\"`";
        sheet.problem(&first.span, "holidays without `valid_until`", hint);
    }
    let maintenance = file.maintenance.iter().filter_map(|at| read(sheet, at, names)).collect();
    Calendar {
        valid_until: file.valid_until.as_ref().map(|day| day.value.0.0),
        holidays: file.holidays.iter().map(|day| day.value.0.0).collect(),
        workdays: file.workdays.iter().map(|day| day.value.0.0).collect(),
        maintenance,
    }
}

fn read(
    sheet: &mut Sheet,
    at: &At<MaintenanceFile>,
    names: &BTreeSet<String>,
) -> Option<Maintenance> {
    let (span, file) = (&at.span, &at.value);
    if let Some(name) = file.channel.as_ref().filter(|name| !names.contains(&name.value)) {
        let hint = suggest(&name.value, names.iter().map(String::as_str));
        sheet.problem(&name.span, format!("no profile of channel `{}`", name.value), hint);
    }
    let hint = "say `from` and `until`, or `daily = [\"23:30\", \"00:30\"]`";
    let when = match (&file.from, &file.until, &file.daily) {
        (Some(from), Some(until), None) if from.value.0.0 < until.value.0.0 => {
            Some(When::Once { from: from.value.0.0, until: until.value.0.0 })
        }
        (None, None, Some(daily)) => match daily.value.as_slice() {
            [from, until] if from.0.0 != until.0.0 => {
                Some(When::Daily { from: from.0.0, until: until.0.0 })
            }
            _ => None,
        },
        (Some(_) | None, Some(_) | None, Some(_) | None) => None,
    };
    if when.is_none() {
        sheet.problem(span, "nothing says when that is", hint);
    }
    let channel = file.channel.as_ref().map(|name| ChannelName::new(&name.value));
    Some(Maintenance { channel, when: when? })
}
