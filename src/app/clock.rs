//! The time of everything but time-outs: the system's, without its jumps.

use crate::domain::clock::{Clock, Timestamp, follow};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How far the newest word of a store may lie ahead of the system's clock at the start. A little is a clock that was set right.
const AHEAD_MAX: Duration = Duration::from_hours(24);

/// What the system's clock says.
#[expect(clippy::disallowed_methods, reason = "this is where the time enters")]
pub(super) fn system() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

/// The system's clock and the store contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unbelievable {
    /// Evidence and holds that ended would stand again.
    #[error(
        "the store was last written {}: set the machine's clock; if it is the store that is wrong, restore a backup", Far(*.0, "later than this machine's clock says")
    )]
    Behind(Duration),
    /// All that is kept would be purged at once.
    #[error(
        "the store was last written {}, longer than payments are kept, and all of them would be purged: set the machine's clock; if it is right, move the store away and begin a new one", Far(*.0, "ago by this machine's clock")
    )]
    Ahead(Duration),
}

struct Far(Duration, &'static str);

impl fmt::Display for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(far, which) = self;
        write!(f, "{} hours {which}", far.as_secs() / 3600)
    }
}

/// Time that begins with the system's, never before what is in the store, and from then on [`follow`]s the system's.
pub(super) struct Steady<W = fn() -> Duration> {
    system: W,
    said: Mutex<(Instant, Duration)>,
}

impl<W: Fn() -> Duration> Steady<W> {
    /// Begins; `newest` is the newest time in the store, and what is older than `kept` goes from it.
    ///
    /// # Errors
    /// [`Unbelievable`].
    pub(super) fn new(
        system: W,
        newest: Option<Timestamp>,
        kept: Duration,
    ) -> Result<Self, Unbelievable> {
        let now = system();
        let newest = newest.map_or(now, |at| Duration::from_millis(at.as_millis()));
        let (behind, ahead) = (newest.saturating_sub(now), now.saturating_sub(newest));
        if behind > AHEAD_MAX {
            return Err(Unbelievable::Behind(behind));
        }
        if ahead > kept {
            return Err(Unbelievable::Ahead(ahead));
        }
        Ok(Self { system, said: Mutex::new((Instant::now(), now.max(newest))) })
    }

    /// How far the system's clock is ahead of this one, and how far behind it; one of them is nothing.
    pub(super) fn offset(&self) -> [Duration; 2] {
        let (time, system) = (self.read(), (self.system)());
        [system.saturating_sub(time), time.saturating_sub(system)]
    }

    fn read(&self) -> Duration {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, time) = *said;
        let now = Instant::now();
        *said = (now, follow(time, now.saturating_duration_since(before), (self.system)()));
        said.1
    }
}

impl<W: Fn() -> Duration + Send + Sync + 'static> Clock for Steady<W> {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(u64::try_from(self.read().as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::time::advance;

    const BEGIN: u64 = 1_700_000_000;
    const DAY: u64 = 24 * 3600;
    const KEPT: Duration = Duration::from_hours(400 * 24);

    /// A clock, and what sets the system's, in seconds.
    fn clock(newest: Option<u64>) -> Result<(impl Clock, Arc<AtomicU64>), Unbelievable> {
        let seconds = Arc::new(AtomicU64::new(BEGIN));
        let system = seconds.clone();
        let system = move || Duration::from_secs(system.load(Ordering::Relaxed));
        let newest = newest.map(|at| Timestamp::from_millis(at * 1000));
        Ok((Steady::new(system, newest, KEPT)?, seconds))
    }

    #[tokio::test(start_paused = true)]
    async fn jumps_are_not_followed_at_once() {
        let (clock, system) = clock(None).unwrap();
        let check = async |system_says: u64, passed: u64, expected: u64| {
            system.store(system_says, Ordering::Relaxed);
            advance(Duration::from_secs(passed)).await;
            assert_eq!(clock.now().as_secs() - BEGIN, expected);
        };
        check(BEGIN + 10, 10, 10).await;
        check(BEGIN + 10, 0, 10).await;
        // Ten years ahead: twice as fast, until it agrees again.
        check(BEGIN + 3650 * DAY, 0, 10).await;
        check(BEGIN + 3650 * DAY, 60, 130).await;
        check(BEGIN + 135, 10, 135).await;
        // A day back: half as fast, never back.
        check(BEGIN + 136 - DAY, 0, 135).await;
        check(BEGIN + 136 - DAY, 60, 165).await;
        check(BEGIN + 170, 10, 170).await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_begins_no_earlier_than_what_is_in_the_store() {
        let check = |newest: Option<u64>, expected: Result<u64, Unbelievable>| {
            let began = clock(newest).map(|(clock, _)| clock.now().as_secs());
            assert_eq!(began, expected, "{newest:?}");
        };
        check(None, Ok(BEGIN));
        check(Some(BEGIN - 399 * DAY), Ok(BEGIN));
        check(Some(BEGIN + DAY), Ok(BEGIN + DAY));
        let far = Duration::from_secs(DAY + 1);
        check(Some(BEGIN + DAY + 1), Err(Unbelievable::Behind(far)));
        let far = KEPT + Duration::from_secs(1);
        check(Some(BEGIN - 400 * DAY - 1), Err(Unbelievable::Ahead(far)));
    }
}
