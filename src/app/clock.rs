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
    /// Replicas would not agree how old anything is.
    #[error(
        "this machine's clock and the database's are {} seconds apart: have one time service keep both machines", .0.as_secs()
    )]
    Apart(Duration),
}

/// How far the clock of a database that is shared may be from ours at the start: replicas judge by their clocks how old each
/// other's payments, holds and evidence are.
const APART_MAX: Duration = Duration::from_secs(10);

/// Whether the clock of a database, which says `theirs`, is near enough to ours.
///
/// # Errors
/// [`Unbelievable::Apart`].
pub(super) fn near(theirs: Duration, ours: Duration) -> Result<(), Unbelievable> {
    let apart = theirs.abs_diff(ours);
    if apart > APART_MAX { Err(Unbelievable::Apart(apart)) } else { Ok(()) }
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
    /// When it began, by a clock that nobody sets, and what it said then.
    begun: (Instant, Duration),
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
        let begun = (Instant::now(), now.max(newest));
        Ok(Self { system, said: Mutex::new(begun), begun })
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

    /// Of what was before it began it is not known how long that was; and by what it made up for it may be wrong.
    fn surely_since(&self, at: Timestamp) -> Duration {
        let (time, (begun, from)) = (self.read(), self.begun);
        let passed = Instant::now().saturating_duration_since(begun);
        let made_up = time.saturating_sub(from).saturating_sub(passed);
        let since = time.saturating_sub(Duration::from_millis(at.as_millis()));
        since.saturating_sub(made_up).min(passed)
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

    #[test]
    fn a_database_of_another_time_is_not_used() {
        let check = |theirs, ours, expected| {
            let [theirs, ours] = [theirs, ours].map(Duration::from_millis);
            assert_eq!(near(theirs, ours), expected);
        };
        check(20_000, 10_000, Ok(()));
        check(10_000, 20_000, Ok(()));
        check(20_001, 10_000, Err(Unbelievable::Apart(Duration::from_millis(10_001))));
        check(10_000, 20_001, Err(Unbelievable::Apart(Duration::from_millis(10_001))));
    }

    /// A clock that is set ahead makes nothing older than it is, and what was before the start is as old as the process.
    #[tokio::test(start_paused = true)]
    async fn what_is_surely_past_is_past() {
        let (clock, system) = clock(None).unwrap();
        let surely = |at: u64| clock.surely_since(Timestamp::from_millis(at * 1000)).as_secs();
        advance(Duration::from_secs(100)).await;
        system.store(BEGIN + 100, Ordering::Relaxed);
        assert_eq!([surely(BEGIN - DAY), surely(BEGIN + 40), surely(BEGIN + 100)], [100, 60, 0]);
        system.store(BEGIN + DAY, Ordering::Relaxed);
        advance(Duration::from_secs(50)).await;
        // It says 200 by now.
        assert_eq!(clock.now().as_secs(), BEGIN + 200);
        assert_eq!([surely(BEGIN - DAY), surely(BEGIN + 40), surely(BEGIN + 100)], [150, 110, 50]);
        // Behind: it runs slower than it should, and that is on the safe side.
        system.store(BEGIN, Ordering::Relaxed);
        advance(Duration::from_secs(100)).await;
        assert!(surely(BEGIN + 100) <= 150);
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
