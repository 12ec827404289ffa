//! A month by China's calendar, which the providers' contracts mean.

use crate::domain::clock::Timestamp;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use std::fmt;
use std::str::FromStr;

/// China has had no summer time since 1991.
const CHINA: Offset = Offset::constant(8);

/// A month: from its first instant to the first of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    first: Date,
    from: Timestamp,
    until: Timestamp,
}

/// Not a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a month is written as 2026-11")]
pub struct InvalidMonth;

impl Month {
    /// The month that `at` is in; none beyond the years of a calendar.
    pub fn of(at: Timestamp) -> Option<Self> {
        let at = jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis()).ok()?).ok()?;
        let day = at.to_zoned(TimeZone::fixed(CHINA)).date();
        Self::beginning(day.first_of_month()).ok()
    }

    /// Its first instant.
    pub const fn from(&self) -> Timestamp {
        self.from
    }

    /// The first instant of the next one.
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// Whether `at` is in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        let (year, month) = text.split_once('-').ok_or(InvalidMonth)?;
        if year.len() != 4
            || month.len() != 2
            || !text.bytes().all(|c| c == b'-' || c.is_ascii_digit())
        {
            return Err(InvalidMonth);
        }
        let number = |text: &str| text.parse::<i16>().map_err(|_| InvalidMonth);
        let month = i8::try_from(number(month)?).map_err(|_| InvalidMonth)?;
        let first = Date::new(number(year)?, month, 1).map_err(|_| InvalidMonth)?;
        Self::beginning(first)
    }
}

impl Month {
    /// The month that begins on this day.
    fn beginning(first: Date) -> Result<Self, InvalidMonth> {
        let next = first.last_of_month().tomorrow().map_err(|_| InvalidMonth)?;
        let instant = |date: Date| {
            let zoned = date.to_zoned(TimeZone::fixed(CHINA)).map_err(|_| InvalidMonth)?;
            let millis = u64::try_from(zoned.timestamp().as_millisecond());
            millis.map(Timestamp::from_millis).map_err(|_| InvalidMonth)
        };
        Ok(Self { first, from: instant(first)?, until: instant(next)? })
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first.strftime("%Y-%m"))
    }
}
