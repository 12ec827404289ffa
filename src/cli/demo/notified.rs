//! What came of notifications, beside what is true.

use crate::app::Running;
use crate::domain::id::{ChannelName, OrderId};
use crate::sim::{Notified, Simulation};
use serde_json::{Value, json};

/// A run's notifications.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notifications {
    /// In a channel's own words.
    genuine: u64,
    /// In somebody else's.
    forged: u64,
    /// Those of them that Hefu knew for what they are.
    recognized: u64,
    /// Whose acknowledgement did not come back as the core gave it.
    unacknowledged: u64,
    /// That came to the core with other bytes, or with a header of ours.
    changed: u64,
    /// Acknowledged ones of a channel, after which the payment does not stand as they say.
    without_effect: u64,
    /// Forged ones after which it stands as they say, or is said to.
    forged_with_effect: u64,
}

impl Notifications {
    pub(super) fn new(simulation: &Simulation, running: &Running) -> Self {
        let metrics = &running.service.metrics;
        let recognized = metrics.total("hefu_notifications_total", &[("result", "forged")]);
        let changed = simulation.notifications_changed();
        let mut all = Self { recognized, changed, ..Self::default() };
        for told in simulation.notified() {
            *(if told.is_forged { &mut all.forged } else { &mut all.genuine }) += 1;
            all.unacknowledged += u64::from(!told.acknowledged);
            if !told.is_payment {
                continue;
            }
            let Kept { ended, heard } = kept(running, &told);
            let stands = |code: &str| ended.as_deref() == Some(code);
            if told.is_forged {
                let believed = told.told != told.truth && stands(&told.told);
                all.forged_with_effect += u64::from(heard || believed);
            } else if told.acknowledged {
                all.without_effect += u64::from(!stands(&told.truth));
            }
        }
        all
    }

    /// What does not hold, and how often.
    pub(super) fn faults(&self) -> [(&'static str, u64); 5] {
        [
            ("notifications changed", self.changed),
            ("notifications not acknowledged", self.unacknowledged),
            ("notifications without effect", self.without_effect),
            ("forged notifications with an effect", self.forged_with_effect),
            ("forged notifications not recognized", self.forged.abs_diff(self.recognized)),
        ]
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "genuine": self.genuine, "forged": self.forged, "forged_recognized": self.recognized,
            "forged_with_effect": self.forged_with_effect, "without_effect": self.without_effect, "changed": self.changed,
        })
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        format!(
            "{} of the channels, {} forged, {} of them with an effect",
            self.genuine, self.forged, self.forged_with_effect
        )
    }
}

/// What Hefu keeps of a payment.
#[derive(Default)]
struct Kept {
    /// The code with which it ended, where it has.
    ended: Option<String>,
    /// Whether anything unproved is told of it.
    heard: bool,
}

fn kept(running: &Running, told: &Notified) -> Kept {
    let store = &running.service.store;
    let order = OrderId(told.order.as_str().into());
    let payments = store.by_order(&ChannelName::new(told.channel), &order);
    let Some(record) = payments.last().and_then(|payment| store.record(*payment)) else {
        return Kept::default();
    };
    let ended = record.outcome.filter(|(outcome, ..)| !outcome.is_open());
    Kept { ended: ended.and_then(|(_, code, _)| code), heard: record.heard.is_some() }
}
