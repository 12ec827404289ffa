//! How often each may call.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// For how many seconds' worth of requests somebody may come at once.
const BURST_SECONDS: u32 = 2;

/// How often each has called lately: when the next call is due if it is to be no more than so many a second.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<BTreeMap<Option<String>, Instant>>);

impl Throttle {
    /// Whether `who` may call at `now`; there are as many keys as names that are configured, and one for all who are nobody.
    ///
    /// # Errors
    /// How long is to be waited.
    pub fn admits(&self, who: Option<&str>, per_second: u32, now: Instant) -> Result<(), Duration> {
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = due.entry(who.map(str::to_owned)).or_insert(now);
        let (each, latest) = (
            Duration::from_secs(1) / per_second.max(1),
            now + Duration::from_secs(1) * BURST_SECONDS,
        );
        let next = (*due).max(now) + each;
        if next > latest {
            return Err(next.duration_since(latest));
        }
        *due = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_comes_more_often_than_they_may_and_nobody_pays_for_others() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let calls = |who, at: u64, count: usize| {
            let at = start + Duration::from_millis(at);
            (0..count).filter(|_| throttle.admits(who, 10, at).is_ok()).count()
        };
        assert_eq!(calls(Some("a"), 0, 100), 20);
        assert_eq!(calls(Some("b"), 0, 5), 5);
        assert_eq!(calls(None, 0, 100), 20);
        assert_eq!(calls(Some("a"), 500, 100), 5);
        assert_eq!(calls(Some("a"), 60_000, 100), 20);
    }
}
