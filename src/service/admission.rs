//! Admission: the one step between a permit and the channel. Its orders are claimed, its holds looked at where they are decided,
//! and what is owed from then on is durable.

use crate::domain::payment::{Mode, Scenario};
use crate::policy::{self, Found, Permit, Reason};
use crate::service::judge::{Decided, Draft};
use crate::service::traced::journaled;
use crate::service::{Channel, Service};
use crate::store::Record;
use crate::store::journal::{Admission, Admitted, Leaving, Need, OrderKey};
use crate::store::row::RowKey;

/// Why a message does not leave.
#[derive(Debug)]
pub(crate) enum Withheld<R> {
    /// It is refused.
    Refused(R),
    /// What was known of these rows is known better now: it must be judged again.
    Overtaken(Vec<RowKey>),
}

impl Service {
    /// Admits a message that may leave. Yields the permit, and why it might have been withheld. At the `last` try what it
    /// rests on is given up rather than looked up again.
    ///
    /// # Errors
    /// [`Withheld`], with the reasons for which the permit is withdrawn; nothing was claimed.
    pub(crate) async fn admit(
        &self,
        permit: Permit,
        (mode, scenario): (Mode, Scenario),
        payments: Vec<Leaving>,
        last: bool,
    ) -> Result<(Permit, Option<Reason>), Withheld<Vec<Reason>>> {
        if !scenario.is_verified() {
            // Nothing waits for a store that policy does not judge.
            for leaving in payments {
                self.store.put_record(*leaving.record);
            }
            return Ok((permit, None));
        }
        let rests_on: Vec<Need> =
            payments.iter().flat_map(|payment| &payment.needs).cloned().collect();
        let overtaken = || Withheld::Overtaken(rests_on.iter().map(Need::key).collect());
        let is_batch = payments.iter().any(|payment| payment.record.row_of.is_some());
        let admission = Admission { payments, mode, now: self.now() };
        let found = match journaled("admission", self.store.admit(admission)).await {
            Ok(Admitted::Yes) => Found::Nothing,
            Ok(Admitted::AlreadySent) => Found::AlreadySent,
            // Which of its rows it is, and what becomes of the others, is for policy to say.
            Ok(Admitted::Held) if is_batch && !last => return Err(overtaken()),
            Ok(Admitted::Held) => Found::Held,
            Ok(Admitted::Overtaken) if !last => return Err(overtaken()),
            Ok(Admitted::Overtaken) => Found::StoreLost,
            Err(error) => {
                tracing::error!(%error, scenario = scenario.as_str(), "a payment cannot be admitted");
                Found::StoreLost
            }
        };
        let admitted = policy::admit(permit, mode, scenario, found);
        admitted.map_err(|reason| Withheld::Refused(vec![reason]))
    }

    /// What is kept of a payment that leaves, and its record once more, for whoever waits for its answer.
    pub(crate) fn leaving(
        channel: &Channel,
        draft: &Draft,
        decided: Decided,
        order: Option<OrderKey>,
    ) -> (Leaving, Box<Record>) {
        let record = draft.record(channel, decided, order.as_ref());
        let leaving = Leaving {
            record: record.clone(),
            order,
            needs: match draft.mode {
                Mode::Enforce => draft.needs(channel),
                Mode::Observe => Vec::new(),
            },
            expects: draft.scenario.moves_money(),
        };
        (leaving, record)
    }
}
