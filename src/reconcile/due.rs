//! When an outcome is overdue: a service level by channel and scenario, and a calendar of days and hours that do not count.

use crate::domain::clock::Timestamp;
use crate::domain::id::ChannelName;
use crate::domain::payment::Scenario;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{Offset, TimeZone};
use std::collections::BTreeSet;
use std::time::Duration;

/// China has had no summer time since 1991.
const CHINA: Offset = Offset::constant(8);

/// How far ahead is looked for time that counts; beyond it every hour does.
const DAYS_MAX: u16 = 120;

/// How long a channel may take to tell an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// Of a debit.
    pub debit: Duration,
    /// Of a payment with the payer at hand.
    pub pay: Duration,
    /// Of a withdrawal.
    pub withdraw: Duration,
    /// Of a payout.
    pub payout: Duration,
    /// Whether only working days count.
    pub working_days: bool,
}

impl Default for Level {
    fn default() -> Self {
        let (hours, day) = (Duration::from_hours(2), Duration::from_hours(24));
        Self { debit: hours, pay: hours, withdraw: day, payout: day, working_days: false }
    }
}

impl Level {
    /// How long it may take for `scenario`; nothing where no outcome is owed.
    pub const fn within(&self, scenario: Scenario) -> Option<Duration> {
        match scenario {
            Scenario::Debit => Some(self.debit),
            Scenario::Pay => Some(self.pay),
            Scenario::Withdraw => Some(self.withdraw),
            Scenario::Payout => Some(self.payout),
            Scenario::Bind
            | Scenario::Verify
            | Scenario::Sms
            | Scenario::Unbind
            | Scenario::Refund
            | Scenario::Void
            | Scenario::Query
            | Scenario::Notify
            | Scenario::Other => None,
        }
    }

    /// The shortest of them.
    pub fn shortest(&self) -> Duration {
        self.debit.min(self.pay).min(self.withdraw).min(self.payout)
    }
}

/// When a channel, or any, does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// Which; any where absent.
    pub channel: Option<ChannelName>,
    /// When.
    pub when: When,
}

/// When that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once.
    Once {
        /// From then on.
        from: Timestamp,
        /// Until then.
        until: Timestamp,
    },
    /// Every day, by China's clocks; over midnight where it ends earlier than it begins.
    Daily {
        /// From then on.
        from: Time,
        /// Until then.
        until: Time,
    },
}

/// Days and hours that do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    /// The last day of which it knows.
    pub valid_until: Option<Date>,
    /// Days off that are no Saturdays and Sundays.
    pub holidays: BTreeSet<Date>,
    /// Saturdays and Sundays that are worked.
    pub workdays: BTreeSet<Date>,
    /// When channels do not work.
    pub maintenance: Vec<Maintenance>,
}

impl Calendar {
    /// Whether `day` is worked.
    pub fn is_worked(&self, day: Date) -> bool {
        let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        self.workdays.contains(&day) || !(weekend || self.holidays.contains(&day))
    }

    /// When what began at `at` with `channel` is overdue: `within` of time that counts after it.
    pub fn due(
        &self,
        at: Timestamp,
        within: Duration,
        channel: &ChannelName,
        working_days: bool,
    ) -> Timestamp {
        let of = |it: &&Maintenance| it.channel.as_ref().is_none_or(|of| of == channel);
        let maintenance: Vec<When> = self.maintenance.iter().filter(of).map(|it| it.when).collect();
        if maintenance.is_empty() && !working_days {
            return at.plus(within);
        }
        let (mut now, mut left) = (at, within);
        for (from, until) in self.closed(at, &maintenance, working_days) {
            let open = from.since(now);
            if now < from && left <= open {
                break;
            }
            if now < from {
                left = left.saturating_sub(open);
            }
            now = now.max(until);
        }
        now.plus(left)
    }

    /// When nothing counts, from before `at` on, in order of time.
    fn closed(
        &self,
        at: Timestamp,
        maintenance: &[When],
        working_days: bool,
    ) -> Vec<(Timestamp, Timestamp)> {
        let mut closed = Vec::new();
        for when in maintenance {
            if let When::Once { from, until } = when {
                closed.push((*from, *until));
            }
        }
        let Some(mut day) = day_of(at).and_then(|day| day.yesterday().ok()) else { return closed };
        for _ in 0..DAYS_MAX {
            let Ok(next) = day.tomorrow() else { break };
            let (Some(begin), Some(end)) = (instant(day, Time::MIN), instant(next, Time::MIN))
            else {
                break;
            };
            if working_days && !self.is_worked(day) {
                closed.push((begin, end));
            }
            for when in maintenance {
                if let When::Daily { from, until } = when {
                    let last = if from < until { day } else { next };
                    closed.extend(instant(day, *from).zip(instant(last, *until)));
                }
            }
            day = next;
        }
        closed.sort_unstable();
        closed
    }
}

/// The day of an instant, in China.
pub fn day_of(at: Timestamp) -> Option<Date> {
    let millis = i64::try_from(at.as_millis()).ok()?;
    let instant = jiff::Timestamp::from_millisecond(millis).ok()?;
    Some(instant.to_zoned(TimeZone::fixed(CHINA)).date())
}

/// The instant of a time of a day in China.
pub fn instant(day: Date, time: Time) -> Option<Timestamp> {
    let zoned = day.to_datetime(time).to_zoned(TimeZone::fixed(CHINA)).ok()?;
    u64::try_from(zoned.timestamp().as_millisecond()).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{date, time};
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        let at: jiff::civil::DateTime = text.parse().unwrap();
        instant(at.date(), at.time()).unwrap()
    }

    fn calendar() -> Calendar {
        let daily = When::Daily { from: time(23, 30, 0, 0), until: time(0, 30, 0, 0) };
        let once = When::Once { from: at("2026-03-04T10:00"), until: at("2026-03-04T12:00") };
        Calendar {
            valid_until: None,
            holidays: [date(2026, 10, 1), date(2026, 10, 2)].into(),
            workdays: [date(2026, 10, 10)].into(),
            maintenance: vec![
                Maintenance { channel: Some(ChannelName::new("nightly")), when: daily },
                Maintenance { channel: Some(ChannelName::new("once")), when: once },
            ],
        }
    }

    fn check(channel: &str, from: &str, hours: u64, working_days: bool, expected: &str) {
        let within = Duration::from_hours(hours);
        let due = calendar().due(at(from), within, &ChannelName::new(channel), working_days);
        assert_eq!(due, at(expected), "{channel} {from} {hours}");
    }

    #[test]
    fn only_time_that_counts_counts() {
        check("any", "2026-03-04T11:00", 2, false, "2026-03-04T13:00");
        check("any", "2026-03-07T11:00", 24, false, "2026-03-08T11:00");
        // Over a weekend; from within it.
        check("any", "2026-03-06T20:00", 2, true, "2026-03-06T22:00");
        check("any", "2026-03-06T20:00", 24, true, "2026-03-09T20:00");
        check("any", "2026-03-07T11:00", 2, true, "2026-03-09T02:00");
        // Over a holiday and the weekend after it; a Saturday that is worked.
        check("any", "2026-09-30T20:00", 24, true, "2026-10-05T20:00");
        check("any", "2026-10-09T20:00", 24, true, "2026-10-10T20:00");
        check("any", "2026-10-10T20:00", 24, true, "2026-10-12T20:00");
        // Every night, over midnight.
        check("nightly", "2026-03-04T22:00", 1, false, "2026-03-04T23:00");
        check("nightly", "2026-03-04T22:30", 2, false, "2026-03-05T01:30");
        check("nightly", "2026-03-05T00:10", 1, false, "2026-03-05T01:30");
        // Once: before it, over it, in it, after it.
        check("once", "2026-03-04T08:00", 1, false, "2026-03-04T09:00");
        check("once", "2026-03-04T09:00", 2, false, "2026-03-04T13:00");
        check("once", "2026-03-04T11:00", 2, false, "2026-03-04T14:00");
        check("once", "2026-03-04T12:00", 2, false, "2026-03-04T14:00");
        check("once", "2026-03-04T09:00", 1, false, "2026-03-04T10:00");
    }

    proptest! {
        /// A calendar only ever puts it off, and who begins later is due no earlier.
        #[test]
        fn a_calendar_only_puts_it_off(
            from in 1_700_000_000_000_u64..1_900_000_000_000,
            later in 0_u64..1_000_000_000,
            hours in 0_u64..200,
            working_days: bool,
            channel in prop::sample::select(vec!["any", "nightly", "once"]),
        ) {
            let (calendar, channel) = (calendar(), ChannelName::new(channel));
            let within = Duration::from_hours(hours);
            let due = |ms| calendar.due(Timestamp::from_millis(ms), within, &channel, working_days);
            prop_assert!(Timestamp::from_millis(from).plus(within) <= due(from));
            prop_assert!(due(from) <= due(from + later));
        }
    }
}
