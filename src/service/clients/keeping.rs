//! Keeping what somebody has to find: where the store is lost for a moment, it is tried again.

use crate::domain::clock::Timestamp;
use crate::service::Service;
use crate::store::journal::StoreLost;
use crate::store::shelf::{Range, Swap};
use std::time::Duration;

/// After what pause.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

impl Service {
    /// Makes a change of a row, again where the store is lost, until `until`; whether it is made. The value that it puts is nobody
    /// else's: so one of which nobody knew whether it was made is told from another's.
    ///
    /// # Errors
    /// [`StoreLost`]: it may have been made.
    pub(super) async fn swap_until(&self, swap: Swap, until: Timestamp) -> Result<bool, StoreLost> {
        let mut lost = false;
        loop {
            let made = match self.store.swap(swap.clone()).await {
                Ok(false) if lost => self.was_made(&swap).await,
                told => told,
            };
            match made {
                Ok(made) => return Ok(made),
                Err(StoreLost) => lost = true,
            }
            if until <= self.now() {
                return Err(StoreLost);
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    /// Whether a row is as a change makes it.
    async fn was_made(&self, swap: &Swap) -> Result<bool, StoreLost> {
        let rows = self.store.range(Range::one(&swap.key)).await?;
        let [known, new] = [rows.first(), swap.new.as_ref()];
        Ok(known.map(|row| &row.value) == new.map(|row| &row.value))
    }
}
