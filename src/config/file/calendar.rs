//! `calendar.toml`: days and hours on which no outcome is expected. It is dated: somebody must write the next year.

use crate::config::problem::suggest;
use crate::config::read::At;
use crate::config::text::{Meaning, Text};
use crate::domain::clock::Timestamp;
use crate::reconcile::due::instant;
use jiff::civil::{Date, DateTime, Time};
use schemars::JsonSchema;
use serde::Deserialize;

/// `calendar.toml`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CalendarFile {
    /// The last day of which it knows; after it somebody is told.
    pub(crate) valid_until: Option<At<Text<Day>>>,
    /// Days off that are no Saturdays and Sundays.
    pub(crate) holidays: Vec<At<Text<Day>>>,
    /// Saturdays and Sundays that are worked.
    pub(crate) workdays: Vec<At<Text<Day>>>,
    /// When channels do not work.
    pub(crate) maintenance: Vec<At<MaintenanceFile>>,
}

/// `[[maintenance]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MaintenanceFile {
    /// Which channel; any where absent.
    pub(crate) channel: Option<At<String>>,
    /// Once: from then on, by China's clocks.
    pub(crate) from: Option<At<Text<Moment>>>,
    /// Once: until then.
    pub(crate) until: Option<At<Text<Moment>>>,
    /// Or every day: from and until, over midnight where it ends earlier than it begins.
    pub(crate) daily: Option<At<Vec<Text<Clock>>>>,
}

/// A day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Day(pub(crate) Date);

impl Meaning for Day {
    const WHAT: &'static str = "a day";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| suggest(text, ["2026-11-28"]))
    }
}

/// An instant, as China's clocks show it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl Meaning for Moment {
    const WHAT: &'static str = "a time of a day in China";

    fn read(text: &str) -> Result<Self, String> {
        let at = text.parse::<DateTime>().ok().filter(|_| text.contains('T'));
        let at = at.and_then(|at| instant(at.date(), at.time()));
        at.map(Self).ok_or_else(|| suggest(text, ["2026-11-28T23:30"]))
    }
}

/// A time of any day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(pub(crate) Time);

impl Meaning for Clock {
    const WHAT: &'static str = "a time";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| suggest(text, ["23:30"]))
    }
}
