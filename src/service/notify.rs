//! Notifications on their way to the core: what a channel says of a payment, believed as far as it deserves.

use crate::domain::id::{MerchantId, OrderId};
use crate::domain::outcome::{Arrival, Belief, Decline, Outcome};
use crate::domain::payment::{Mode, Scenario};
use crate::message::extract::Request;
use crate::message::notification::{self, Notified, Unheard, Vouched};
use crate::message::outcome::Reading;
use crate::metrics::Hearing;
use crate::policy::{self, Basis, Facts, Permit};
use crate::reconcile::arrival::Step;
use crate::service::query::{Named, rests_on};
use crate::service::settle::Reported;
use crate::service::{Channel, Service};
use crate::store::journal::StoreLost;
use crate::store::{Hearsay, Record};
use std::sync::Arc;

/// A notification that was read.
#[derive(Debug)]
pub struct Heard {
    channel: Arc<Channel>,
    told: Result<Notified, Unheard>,
}

impl Heard {
    /// The channel that it is for.
    pub const fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }
}

impl Service {
    /// Reads a notification, which goes on to the core whatever it says. `None` where the channel has none.
    pub fn hear(&self, channel: &Arc<Channel>, request: &Request<'_>) -> Option<(Permit, Heard)> {
        let notify = channel.profile.notify.as_ref()?;
        let facts = Facts {
            scenario: Scenario::Notify,
            mode: Mode::Observe,
            basis: Basis::Passing,
            asserted: false,
            held: false,
            spared: false,
        };
        let permit = policy::decide(&self.policy, &facts).into_permit().ok()?;
        let told = notification::read(&channel.profile, notify, request);
        Some((permit, Heard { channel: channel.clone(), told }))
    }

    /// Takes a notification's word for what it is worth, now that the core has answered it.
    ///
    /// # Errors
    /// [`StoreLost`] where the core took it and what it says is not durable: an acknowledgement must not be relayed, and the
    /// channel will come again.
    pub async fn heard(&self, heard: Heard, reported: Reported<'_>) -> Result<(), StoreLost> {
        let Heard { channel, told } = heard;
        let Reported::Answer { status, body, .. } = reported else {
            self.metrics.on_notification(channel.name(), Belief::Claimed, Hearing::NotDelivered);
            return Ok(());
        };
        let taken = (200..300).contains(&status);
        let told = match told {
            Ok(told) => told,
            Err(unheard) => {
                self.not_heard(&channel, &unheard);
                return Ok(());
            }
        };
        let expected = channel.profile.notify.as_ref().and_then(|it| it.acknowledged.as_ref());
        let distinctive = taken && expected.is_some_and(|expected| expected.as_bytes() == body);
        let belief = match told.vouched {
            Vouched::Yes => Belief::Verified,
            Vouched::Unknown if distinctive => Belief::Acknowledged,
            Vouched::No | Vouched::Unknown => Belief::Claimed,
        };
        let (hearing, looked_up) = self.weigh(&channel, told, belief).await;
        self.metrics.on_notification(channel.name(), belief, hearing);
        if !taken {
            // It will come again by itself.
            return Ok(());
        }
        looked_up?;
        self.flushed().await
    }

    fn not_heard(&self, channel: &Channel, unheard: &Unheard) {
        let hearing = match unheard {
            Unheard::Unlisted => Hearing::Unlisted,
            Unheard::Passing => Hearing::Passing,
            Unheard::Sealed => Hearing::Sealed,
            Unheard::Read(_) => Hearing::Unreadable,
        };
        if matches!(unheard, Unheard::Unlisted | Unheard::Read(_)) {
            tracing::warn!(channel = channel.name().as_str(), reason = %unheard, "a notification was not read");
        }
        self.metrics.on_notification(channel.name(), Belief::Claimed, hearing);
    }

    /// What a notification comes to, and whether all that is kept could be looked at.
    async fn weigh(
        &self,
        channel: &Channel,
        told: Notified,
        belief: Belief,
    ) -> (Hearing, Result<(), StoreLost>) {
        let name = channel.name();
        if told.vouched == Vouched::No {
            tracing::warn!(channel = name.as_str(), "a notification is not signed by a pinned key");
            return (Hearing::Forged, Ok(()));
        }
        let (order, merchant): (&OrderId, Option<&MerchantId>) =
            (&told.order, told.merchant.as_ref());
        let named = Named { channel: name, merchant, order, scenarios: &told.scenarios };
        let (found, looked_up) = self.named(&named).await;
        let unknown = |hearing, why| {
            tracing::warn!(channel = name.as_str(), belief = belief.as_str(), "{why}");
            hearing
        };
        let hearing = match found {
            None => unknown(Hearing::UnknownOrder, "a notification of an order that is not known"),
            Some(of) if !of.left() => {
                if belief == Belief::Verified {
                    // Somebody went round Hefu: whoever looks the payment up sees it.
                    let Reading { outcome, code, .. } = claimed(told.reading);
                    self.store.hear(&of, Hearsay { outcome, code, belief });
                    tracing::error!(channel = name.as_str(), payment.id = %of.payment, "the channel itself tells of a payment that was never sent");
                }
                unknown(Hearing::NeverSent, "a notification of an order that was never sent")
            }
            Some(of) if differs(&of, &told) => {
                let reported = (told.reading.outcome, told.reading.code, Arrival::Notify);
                return self.amount_differs(&of, belief, reported, looked_up).await;
            }
            // Of the payment before it, perhaps: a failure is for a query to tell.
            Some(of)
                if belief == Belief::Verified
                    && told.reading.outcome.is_failure()
                    && self.left_again(&named) =>
            {
                let Reading { outcome, code, .. } = claimed(told.reading);
                let noted = self.store.hear(&of, Hearsay { outcome, code, belief });
                if noted { Hearing::Noted } else { Hearing::Known }
            }
            Some(of) if belief == Belief::Verified => {
                self.settle_notified(channel, &of, told.reading).await
            }
            Some(of) => {
                let Reading { outcome, code, .. } = claimed(told.reading);
                let noted = self.store.hear(&of, Hearsay { outcome, code, belief });
                if noted { Hearing::Noted } else { Hearing::Known }
            }
        };
        (hearing, looked_up)
    }

    /// The channel's own word.
    async fn settle_notified(&self, channel: &Channel, of: &Record, reading: Reading) -> Hearing {
        if reading.outcome.bears_upon_others() {
            // It may have been judged by another process, or before a restart.
            let _ = self.fetch_all(rests_on(of)).await;
        }
        let settled = self.arrived(channel, of, claimed(reading), Arrival::Notify).await;
        match settled.step {
            Step::Nothing => Hearing::Known,
            Step::Noted
            | Step::Ended
            | Step::Confirmed
            | Step::Refined
            | Step::Reversed
            | Step::Overtaken
            | Step::Flipped => Hearing::Settled,
        }
    }

    /// The order is known, and another amount is told of it: nothing of it is believed. Where it is the channel's word, it is a
    /// mismatch.
    async fn amount_differs(
        &self,
        of: &Record,
        belief: Belief,
        reported: (Outcome, Option<String>, Arrival),
        looked_up: Result<(), StoreLost>,
    ) -> (Hearing, Result<(), StoreLost>) {
        tracing::warn!(channel = of.channel.as_str(), payment.id = %of.payment, belief = belief.as_str(), "a notification tells another amount");
        let kept = match belief {
            Belief::Verified => self.amounts_differ(of, reported).await,
            Belief::Claimed | Belief::Acknowledged => Ok(()),
        };
        (Hearing::AmountDiffers, looked_up.and(kept))
    }
}

/// Whether both tell an amount, and not the same.
fn differs(of: &Record, told: &Notified) -> bool {
    of.amount.zip(told.amount).is_some_and(|(known, told)| known != told)
}

/// What a notification says of the payment. What is wrong with the notification itself says nothing of it; and that the channel
/// did not process an order is for a query to tell.
fn claimed(reading: Reading) -> Reading {
    let not_processed = reading.outcome == Outcome::Declined(Decline::NotProcessed);
    if reading.outer || not_processed {
        Reading { outcome: Outcome::Unknown, unmapped_in: None, ..reading }
    } else {
        reading
    }
}
