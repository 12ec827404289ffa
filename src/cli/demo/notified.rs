//! What came of notifications, channel by channel, beside what is true.

use crate::app::Running;
use crate::cli::demo::settled::{kept, stands_as};
use crate::metrics::Metrics;
use crate::sim::Simulation;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What Hefu says of notifications that it does not take at their word.
const NOT_TAKEN: [&str; 4] = ["forged", "sealed", "unlisted", "unreadable"];

/// One channel's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    /// In the channel's own words.
    pub(super) genuine: u64,
    /// Those of them that nobody but the core can read.
    sealed: u64,
    /// In somebody else's.
    pub(super) forged: u64,
    /// How many were not taken at their word.
    not_taken: u64,
    /// Whose acknowledgement did not come back as the core gave it.
    unacknowledged: u64,
    /// Acknowledged ones of the channel, after which the payment does not stand as they say.
    without_effect: u64,
    /// Forged ones after which it stands as they say, or is said to.
    pub(super) forged_with_effect: u64,
}

/// A run's notifications.
#[derive(Clone, Debug, Default)]
pub(super) struct Notifications {
    by_channel: BTreeMap<&'static str, Counted>,
    /// That came to the core with other bytes, or with a header of ours.
    changed: u64,
}

impl Notifications {
    pub(super) fn new(simulation: &Simulation, running: &Running) -> Self {
        let mut by_channel = BTreeMap::<_, Counted>::new();
        for told in simulation.notified() {
            let all = by_channel.entry(told.channel).or_default();
            let (outcome, heard) = kept(running, told.channel, &told.order);
            let as_told = outcome.is_some_and(|outcome| stands_as(outcome, told.told));
            *(if told.is_forged { &mut all.forged } else { &mut all.genuine }) += 1;
            all.sealed += u64::from(!told.is_forged && !told.is_readable);
            all.unacknowledged += u64::from(!told.acknowledged);
            if !told.is_payment {
                continue;
            }
            if told.is_forged {
                let believed = told.told != told.truth && as_told;
                all.forged_with_effect += u64::from(heard || believed);
            } else if told.acknowledged && told.is_readable {
                all.without_effect += u64::from(!as_told);
            }
        }
        for (channel, counted) in &mut by_channel {
            counted.not_taken = not_taken(&running.service.metrics, channel);
        }
        Self { by_channel, changed: simulation.notifications_changed() }
    }

    /// Those of one channel, where it has any.
    pub(super) fn of(&self, channel: &str) -> Option<&Counted> {
        self.by_channel.get(channel)
    }

    /// What does not hold.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.changed > 0 {
            faults.push(format!("{} notifications changed", self.changed));
        }
        for (channel, it) in &self.by_channel {
            for (what, count) in [
                ("notifications not acknowledged", it.unacknowledged),
                ("notifications without effect", it.without_effect),
                ("forged notifications with an effect", it.forged_with_effect),
                ("forged notifications taken at their word", it.taken_wrongly()),
            ] {
                if count > 0 {
                    faults.push(format!("{channel}: {count} {what}"));
                }
            }
        }
        faults
    }

    /// All of them together.
    pub(super) fn json(&self) -> Value {
        let sum = |of: fn(&Counted) -> u64| self.by_channel.values().map(of).sum::<u64>();
        json!({
            "genuine": sum(|it| it.genuine), "forged": sum(|it| it.forged),
            "forged_recognized": sum(|it| it.not_taken.saturating_sub(it.sealed)),
            "forged_with_effect": sum(|it| it.forged_with_effect),
            "without_effect": sum(|it| it.without_effect), "changed": self.changed,
        })
    }
}

impl Counted {
    /// How many forged ones were not known for it; or genuine ones were taken for forged.
    const fn taken_wrongly(&self) -> u64 {
        self.forged.saturating_add(self.sealed).abs_diff(self.not_taken)
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "genuine": self.genuine, "sealed": self.sealed, "forged": self.forged,
            "forged_with_effect": self.forged_with_effect, "without_effect": self.without_effect,
        })
    }
}

fn not_taken(metrics: &Metrics, channel: &str) -> u64 {
    let of = |result| {
        let labels = [("channel", channel), ("result", result)];
        metrics.total("hefu_notifications_total", &labels)
    };
    NOT_TAKEN.into_iter().map(of).sum()
}
