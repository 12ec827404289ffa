//! Places of which there are few: one client has no more than its share of them.

use crate::domain::id::ClientName;
use crate::service::clients::room::Room;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedSemaphorePermit;

/// The places.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Room,
    /// How many each client has.
    had: Mutex<BTreeMap<ClientName, usize>>,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    client: ClientName,
    #[expect(dead_code, reason = "it is held, and given back when it is dropped")]
    permit: OwnedSemaphorePermit,
}

impl Places {
    /// So many.
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Inner { free: Room::new(most), had: Mutex::default() }))
    }

    /// A place for a client, where one is free and it has less than its share.
    pub(super) fn place(&self, client: &ClientName, share: usize) -> Option<Place> {
        let permit = self.0.free.place()?;
        let mut had = self.0.had.lock().unwrap_or_else(PoisonError::into_inner);
        let count = had.entry(client.clone()).or_default();
        if *count >= share {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Place { places: self.clone(), client: client.clone(), permit })
    }

    /// A place that is nobody's share, once one is free.
    pub(super) async fn next(&self) -> Option<OwnedSemaphorePermit> {
        self.0.free.next().await
    }

    /// Waits until every place is free.
    pub(super) async fn rest(&self) {
        self.0.free.rest().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut had = self.places.0.had.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = had.get_mut(&self.client) {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[test]
    fn nobody_has_more_than_a_share_and_what_is_given_back_is_free() {
        let places = Places::new(3);
        let [a, b] = ["a", "b"].map(ClientName::new);
        let one = places.place(&a, 2).unwrap();
        let _two = places.place(&a, 2).unwrap();
        assert!(places.place(&a, 2).is_none());
        let _three = places.place(&b, 2).unwrap();
        assert!(places.place(&b, 2).is_none() && places.next().now_or_never().is_none());
        drop(one);
        let again = places.place(&a, 2).unwrap();
        drop(again);
        assert!(places.next().now_or_never().flatten().is_some());
    }
}
