//! Whether a provider may be asked now: its breaker, and how many are asking.

use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::provider::{Reply, Trouble};
use crate::route::breaker::{Breaker, Health, Pass, Stands};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Why a provider that could answer is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// Its breaker is open.
    Breaker,
    /// As many as may are asking it.
    Concurrency,
    /// As many as may have asked it within this second.
    Rate,
    /// The budget of retries is spent.
    Retries,
}

impl Withheld {
    /// The word used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Breaker => "breaker",
            Self::Concurrency => "concurrency",
            Self::Rate => "rate",
            Self::Retries => "retries",
        }
    }
}

/// What one provider's health is known by.
#[derive(Debug)]
pub struct Watch {
    breaker: Mutex<Breaker>,
    seats: Semaphore,
    /// How long its answers take, in microseconds: of the last ones more than of those before.
    latency: AtomicU64,
}

/// A question to a provider that may be put.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    watch: &'a Watch,
    pass: Pass,
    /// When it was given up, or answered, and what that says.
    came_to: (Timestamp, Health),
    _seat: SemaphorePermit<'a>,
}

impl Watch {
    /// Of a provider of which so many questions are asked at once.
    pub fn new(concurrency: NonZeroUsize) -> Self {
        let seats = concurrency.get().min(Semaphore::MAX_PERMITS);
        Self { breaker: Mutex::default(), seats: Semaphore::new(seats), latency: AtomicU64::new(0) }
    }

    /// How its breaker stands.
    pub fn stands(&self, now: Timestamp) -> Stands {
        self.breaker().stands(now)
    }

    /// How long its answers take.
    pub fn latency(&self) -> Duration {
        Duration::from_micros(self.latency.load(Ordering::Relaxed))
    }

    /// An answer took so long.
    pub(super) fn took(&self, time: Duration) {
        let new = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let known = self.latency.load(Ordering::Relaxed);
        let mean = if known == 0 { new } else { known - known / 8 + new / 8 };
        // Of two at once one may go uncounted.
        self.latency.store(mean, Ordering::Relaxed);
    }

    /// Whether it may be asked now; nobody waits for that.
    pub(super) fn turn(&self, now: Timestamp) -> Result<Turn<'_>, Withheld> {
        let seat = self.seats.try_acquire().map_err(|_none| Withheld::Concurrency)?;
        let pass = self.breaker().admits(now).ok_or(Withheld::Breaker)?;
        Ok(Turn { watch: self, pass, came_to: (now, Health::Unknown), _seat: seat })
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// What came of it, and whether that was too late for whoever asked.
    pub(super) fn heard(mut self, reply: &Reply, late: bool, now: Timestamp) {
        let health = match health(reply) {
            Health::Well if late => Health::Failed,
            health @ (Health::Well | Health::Failed | Health::Unknown) => health,
        };
        self.came_to = (now, health);
    }
}

impl Drop for Turn<'_> {
    /// However it ends, the next one may try.
    fn drop(&mut self) {
        let (at, health) = self.came_to;
        self.watch.breaker().heard(self.pass, health, at);
    }
}

/// What a reply says of the provider's health: a business answer, whatever it is, is one of somebody who is well.
fn health(reply: &Reply) -> Health {
    match reply.trouble {
        None if reply.answer == Answer::Unavailable => Health::Failed,
        // A code that our map does not know is our trouble.
        None | Some(Trouble::Unmapped) => Health::Well,
        Some(Trouble::NotAsked | Trouble::Unwritable | Trouble::Rate) => Health::Unknown,
        Some(
            Trouble::Connect
            | Trouble::Silence
            | Trouble::Status
            | Trouble::TooLarge
            | Trouble::Unreadable
            | Trouble::Signature,
        ) => Health::Failed,
    }
}
