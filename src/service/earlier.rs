//! What a core is told of an order that comes again: which payment of it may have left, how that stands, and whether this is another.

use crate::domain::id::PaymentId;
use crate::policy::{Effect, Reason};
use crate::service::judge::Draft;
use crate::service::query::Named;
use crate::service::{Channel, Service};
use crate::store::Record;

/// The payment that may have left before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Its id.
    pub payment: PaymentId,
    /// Its outcome; `open` while it has none.
    pub state: &'static str,
    /// In what the one that comes now differs, though it has the same order: `amount`, `card`.
    pub differs: Vec<&'static str>,
}

impl Service {
    /// That payment, where `reasons` say that there is one and it is found.
    pub(crate) async fn earlier(
        &self,
        channel: &Channel,
        draft: &Draft,
        reasons: &[Reason],
    ) -> Option<Earlier> {
        if !reasons.contains(&Reason::AlreadySent) {
            return None;
        }
        let order = draft.order_key(channel)?;
        let scenarios = [order.scenario];
        let named = Named {
            channel: &order.channel,
            merchant: order.merchant.as_ref(),
            order: &order.order,
            scenarios: &scenarios,
        };
        let earlier = self.named(&named).await.0.filter(Record::left)?;
        let again = draft.record(channel, (Effect::Refuse, Vec::new()), None);
        let mut differs = Vec::new();
        if again.amount != earlier.amount {
            differs.push("amount");
        }
        if again.stakes.card != earlier.stakes.card {
            differs.push("card");
        }
        if !differs.is_empty() {
            tracing::warn!(
                channel = order.channel.as_str(), payment.id = %draft.payment, earlier = %earlier.payment, ?differs,
                "an order came again and is another"
            );
        }
        let state = earlier.outcome.as_ref().map_or("open", |(outcome, ..)| outcome.as_str());
        Some(Earlier { payment: earlier.payment, state, differs })
    }
}
