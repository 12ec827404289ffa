//! Admission: the one step between a permit and the channel. Its orders are claimed, its holds looked at where they are decided,
//! and what is owed from then on is durable.

use crate::domain::payment::{Mode, Scenario};
use crate::policy::{self, Found, Permit, Reason};
use crate::service::judge::{Decided, Draft};
use crate::service::{Channel, Service};
use crate::store::journal::{Admission, Admitted, Leaving, OrderKey};

impl Service {
    /// Admits a message that may leave. Yields the permit, and why it might have been withheld.
    ///
    /// # Errors
    /// The reasons for which it is withdrawn; nothing was claimed.
    pub(crate) async fn admit(
        &self,
        permit: Permit,
        mode: Mode,
        scenario: Scenario,
        payments: Vec<Leaving>,
    ) -> Result<(Permit, Option<Reason>), Vec<Reason>> {
        if !scenario.is_verified() {
            // Nothing waits for a store that policy does not judge.
            for leaving in payments {
                self.store.put_record(leaving.record);
            }
            return Ok((permit, None));
        }
        let admission = Admission { payments, mode, now: self.now() };
        let found = match self.store.admit(admission).await {
            Ok(Admitted::Yes) => Found::Nothing,
            Ok(Admitted::AlreadySent) => Found::AlreadySent,
            Ok(Admitted::Held) => Found::Held,
            Err(error) => {
                tracing::error!(%error, scenario = scenario.as_str(), "a payment cannot be admitted");
                Found::StoreLost
            }
        };
        policy::admit(permit, mode, scenario, found).map_err(|reason| vec![reason])
    }

    /// What is kept of a payment that leaves.
    pub(crate) fn leaving(
        channel: &Channel,
        draft: &Draft,
        decided: &Decided,
        order: Option<OrderKey>,
    ) -> Leaving {
        let holds = match draft.mode {
            Mode::Enforce if draft.scenario.stops_at_hold() => draft.hold_keys(channel.name()),
            Mode::Enforce | Mode::Observe => Vec::new(),
        };
        Leaving {
            record: draft.record(channel, decided),
            order,
            holds,
            expects: draft.scenario.moves_money(),
        }
    }
}
