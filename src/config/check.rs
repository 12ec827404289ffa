//! The checks: from file structs to checked values, each problem noted on the sheet of its file.

mod asking;
mod banks;
pub(super) mod calendar;
pub(super) mod channel;
pub(super) mod classes;
mod client_kinds;
pub(super) mod clients;
pub(super) mod codes;
pub(super) mod deployment;
mod lists;
pub(super) mod message;
pub(super) mod notify;
mod operator;
pub(super) mod place;
pub(super) mod policy;
pub(super) mod provider;
mod routing;
pub(super) mod rules;
pub(super) mod secrets;
pub(super) mod statement;
pub(super) mod store;
pub(super) mod trace;
pub(super) mod webhook;

use super::read::{At, Sheet};
use std::fmt::Debug;
use std::ops::RangeInclusive;

/// A value within a range, or the default; what is outside is a problem.
fn within<T: PartialOrd + Debug + Copy>(
    sheet: &mut Sheet,
    value: Option<&At<T>>,
    range: RangeInclusive<T>,
    default: T,
) -> T {
    let Some(at) = value else { return default };
    if !range.contains(&at.value) {
        let hint = format!("between {:?} and {:?}", range.start(), range.end());
        sheet.problem(&at.span, "out of range", hint);
    }
    at.value
}
