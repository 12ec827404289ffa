//! Places for what is asked at once, until no more is begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places.
#[derive(Clone, Debug)]
pub struct Room {
    places: Arc<Semaphore>,
    most: u32,
    stopped: Arc<AtomicBool>,
}

impl Room {
    /// So many.
    pub fn new(most: usize) -> Self {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let all = usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(all)), most, stopped: Arc::default() }
    }

    /// A place, where one is free.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// A place for one of many, once one is free; none where no more of them are begun.
    pub async fn next(&self) -> Option<OwnedSemaphorePermit> {
        let place = self.places.clone().acquire_owned().await.ok()?;
        (!self.stopped.load(Ordering::Relaxed)).then_some(place)
    }

    /// From now on none of many is begun.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Waits until every place is free.
    pub async fn rest(&self) {
        // They are never closed.
        let _ = self.places.acquire_many(self.most).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[test]
    fn what_was_begun_is_waited_for_and_no_more_is() {
        let room = Room::new(2);
        let one = room.next().now_or_never().flatten().unwrap();
        let other = room.place().unwrap();
        assert!(room.place().is_none() && room.next().now_or_never().is_none());
        drop(other);
        room.stop();
        assert!(room.next().now_or_never().unwrap().is_none());
        assert!(room.rest().now_or_never().is_none());
        drop(one);
        assert!(room.rest().now_or_never().is_some());
        // Who asks for one is served as long as they are heard.
        assert!(room.place().is_some());
    }
}
