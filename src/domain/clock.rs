//! Time as a value: milliseconds since the epoch, always handed in.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An instant of civil time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant `ms` milliseconds after the epoch.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The day of China's calendar that it falls on, counted from 1970-01-01; China has had no summer time since 1991.
    pub const fn china_day(self) -> u64 {
        self.0.saturating_add(8 * 3_600_000) / 86_400_000
    }

    /// The first instant of such a day.
    pub const fn china_midnight(day: u64) -> Self {
        Self(day.saturating_mul(86_400_000).saturating_sub(8 * 3_600_000))
    }

    /// This instant later by `duration`; the far end of time where that would overflow.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(ms))
    }

    /// This instant earlier by `duration`; the epoch where that would be before it.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(ms))
    }

    /// How long `earlier` lies before this instant; zero where it lies after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The time after `elapsed` of a monotonic clock, where it was `said` before, and the system's clock says `system`; since the epoch.
/// It is the system's, unless that would have to pass less than half as fast or more than twice as fast as it does: a jump is
/// made up for gradually. So it never runs back, evidence and holds end no sooner than in half their time, and nothing is
/// purged by a clock that is ahead by years.
pub fn follow(said: Duration, elapsed: Duration, system: Duration) -> Duration {
    let slowest = said.saturating_add(elapsed / 2);
    let fastest = said.saturating_add(elapsed.saturating_mul(2));
    system.clamp(slowest, fastest)
}

/// Where an edge reads the time; only `app` and tests implement it.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;

    /// How long ago `at` is for sure, whatever the machine's clock was set to meanwhile.
    fn surely_since(&self, at: Timestamp) -> Duration {
        self.now().since(at)
    }
}
