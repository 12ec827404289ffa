//! The record of a payment: what it was judged by, and what became of it.

use crate::domain::chance::{Routed, Share};
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{ChannelName, OrderId, PaymentId};
use crate::domain::mismatch::Mismatch;
use crate::domain::money::Fen;
use crate::domain::outcome::{Arrival, Belief, Decline, Outcome, Precedence};
use crate::domain::payment::{Mode, Scenario};
use crate::policy::{Effect, Reason};
use crate::store::journal::OrderKey;
use crate::store::{Evidence, Stakes};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// What a notification said that is not believed until it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hearsay {
    /// What it said.
    pub outcome: Outcome,
    /// The channel's code.
    pub code: Option<String>,
    /// How far it is believed.
    pub belief: Belief,
}

/// The most moments of a timeline; beyond it the last is replaced.
const MOMENTS_MAX: usize = 12;

/// The most messages of which it is known apart that they ask for a payment to be undone; one beyond that counts as done.
const UNDOINGS_MAX: usize = 16;

/// That something was reported of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What.
    pub outcome: Outcome,
    /// By which code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How it arrived.
    pub arrival: Arrival,
}

/// A message that was judged, and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub payment: PaymentId,
    /// When it was judged.
    pub at: Timestamp,
    /// The channel.
    pub channel: ChannelName,
    /// What it was for.
    pub scenario: Scenario,
    /// The order, as the channel names it.
    pub order: Option<OrderId>,
    /// The amount.
    pub amount: Option<Fen>,
    /// The elements that it carried.
    pub carried: ElementSet,
    /// Whether the decision bound.
    pub mode: Mode,
    /// What was done.
    pub effect: Effect,
    /// Why.
    pub reasons: Vec<Reason>,
    /// What verification rested on.
    pub verified: Option<Evidence>,
    /// Whether that was asked for this message.
    pub asked_now: bool,
    /// How it came about who was asked, where not by priority alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed: Option<Box<Routed>>,
    /// Which share of such refusals leaves all the same, where it is one that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<Share>,
    /// From the complete request to the decision, providers included.
    pub judged_in: Duration,
    /// The batch whose row it is, and the row's number, from 1.
    pub row_of: Option<(PaymentId, usize)>,
    /// What its outcome bears upon.
    #[serde(default)]
    pub stakes: Stakes,
    /// What became of it. Last, since all before it is kept as it was when it is put once more.
    #[serde(flatten)]
    pub became: Became,
    /// Everything before that, as it was put. In memory only.
    #[serde(skip)]
    pub judged: Judged,
}

/// What was judged, as it was put; known until the record is put once more, or what was judged is changed.
#[derive(Default)]
pub struct Judged(pub(super) Option<Box<str>>);

impl Clone for Judged {
    /// A copy may be changed, and does not know it.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judged")
    }
}

/// What became of a message that was judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Became {
    /// What the channel reported, and its code.
    pub outcome: Option<(Outcome, Option<String>, Arrival)>,
    /// What was said of it, and is not believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Hearsay>,
    /// How the halves differ.
    pub mismatch: Option<Mismatch>,
    /// Whether nothing of it was sent after all.
    pub not_sent: bool,
    /// Everything that was reported of it and came to something, in the order in which it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Moment>,
    /// Whether a statement named it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stated: bool,
    /// Whether the core asked for it to be undone, by what is not in `undoing`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
    /// By which messages the core asked for it to be undone, and whether the channel certainly refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undoing: Vec<(PaymentId, bool)>,
}

impl Became {
    /// Notes that the core asks by `by` for it to be undone, or that the channel refused that. Says whether that is new.
    pub(super) fn undo(&mut self, by: PaymentId, refused: bool) -> bool {
        let has_room = self.undoing.len() < UNDOINGS_MAX;
        match self.undoing.iter_mut().find(|(known, _)| *known == by) {
            Some((_, known)) => refused && !std::mem::replace(known, true),
            None if has_room => {
                self.undoing.push((by, refused));
                true
            }
            None => !refused && !std::mem::replace(&mut self.undone, true),
        }
    }
}

impl Deref for Record {
    type Target = Became;

    fn deref(&self) -> &Became {
        &self.became
    }
}

impl DerefMut for Record {
    fn deref_mut(&mut self) -> &mut Became {
        &mut self.became
    }
}

impl Record {
    /// What it claimed at its admission.
    pub fn claim(&self) -> Option<OrderKey> {
        let (order, confirms) = self.stakes.claim.clone()?;
        Some(OrderKey {
            channel: self.channel.clone(),
            merchant: self.stakes.merchant.clone(),
            scenario: self.scenario,
            confirms,
            order,
        })
    }

    /// Whether what it claimed is claimed for its whole batch.
    pub fn claims_for_batch(&self) -> bool {
        let named = self.stakes.claim.as_ref().map(|(order, _)| order);
        self.row_of.is_some() && named.is_some() && named != self.order.as_ref()
    }

    /// Takes over what `other`, a copy of the same record, knows beyond it. Of what was reported that of who heard more; where each heard
    /// what the other did not, the weightier word, and what else was heard.
    pub(super) fn join(&mut self, other: Self) {
        let as_much = self.timeline == other.timeline;
        let follows = if other.timeline.starts_with(&self.timeline) {
            !as_much
        } else {
            !self.timeline.starts_with(&other.timeline) && self.standing() < other.standing()
        };
        let less = if follows { std::mem::replace(self, other) } else { other };
        // It may have been judged otherwise.
        self.judged = Judged::default();
        if self.verified.is_none() {
            (self.verified, self.asked_now) = (less.verified, less.asked_now);
        }
        let less = less.became;
        self.stated |= less.stated;
        self.undone |= less.undone;
        for (by, refused) in less.undoing {
            self.undo(by, refused);
        }
        self.not_sent |= less.not_sent;
        if as_much {
            self.mismatch = self.mismatch.or(less.mismatch);
            self.heard = self.heard.take().or(less.heard);
        }
        let unheard = less.timeline.into_iter().filter(|moment| !self.timeline.contains(moment));
        let unheard: Vec<_> = unheard.collect();
        self.timeline.extend(unheard);
        self.timeline.sort_by_key(|moment| moment.at);
        self.timeline.truncate(MOMENTS_MAX);
    }

    /// How much what is reported of it weighs beside another copy's: an end more than none, an undoing more than what it undoes.
    fn standing(&self) -> (u8, usize, Option<Timestamp>) {
        let (outcome, arrival) = self
            .outcome
            .as_ref()
            .map_or((Outcome::Unknown, Arrival::Sync), |(it, _, by)| (*it, *by));
        let rank = match outcome {
            Outcome::Unknown | Outcome::Unmapped => 0,
            Outcome::Accepted => 1,
            Outcome::Succeeded | Outcome::NoMatch(_) | Outcome::Declined(_) => 2,
            Outcome::Reversed => 3,
        };
        let weight = Precedence::default().weight_of((outcome, arrival));
        (rank, weight, self.timeline.last().map(|moment| moment.at))
    }

    /// Whether a notification told just that before.
    pub(super) fn was_told(
        &self,
        (outcome, code, arrival): &(Outcome, Option<String>, Arrival),
    ) -> bool {
        let same = |moment: &Moment| {
            (moment.outcome, &moment.code, moment.arrival) == (*outcome, code, *arrival)
        };
        *arrival == Arrival::Notify && self.timeline.iter().any(same)
    }

    /// Notes an outcome that was reported at `at`.
    pub(super) fn note(&mut self, reported: (Outcome, Option<String>, Arrival), at: Timestamp) {
        self.note_moment(reported.clone(), at);
        self.outcome = Some(reported);
    }

    /// Notes that the outcome was confirmed at `at`: what it says, and why, stays.
    pub(super) fn confirm(&mut self, reported: (Outcome, Option<String>, Arrival), at: Timestamp) {
        let (outcome, _, arrival) = &reported;
        match &mut self.outcome {
            Some((known, _, by))
                if *known != *outcome && *known != Outcome::Declined(Decline::NotProcessed) =>
            {
                *by = *arrival;
            }
            known => *known = Some(reported.clone()),
        }
        self.note_moment(reported, at);
    }

    /// Notes that something was reported at `at`, which is not the outcome.
    pub(super) fn note_moment(
        &mut self,
        (outcome, code, arrival): (Outcome, Option<String>, Arrival),
        at: Timestamp,
    ) {
        if self.timeline.len() >= MOMENTS_MAX {
            self.timeline.pop();
        }
        // One is the rule.
        self.timeline.reserve_exact(1);
        self.timeline.push(Moment { at, outcome, code, arrival });
    }

    /// Whether a success was told of it, whatever was told since.
    pub fn succeeded(&self) -> bool {
        self.timeline.iter().any(|moment| moment.outcome == Outcome::Succeeded)
    }

    /// Whether it failed, and was never told to have succeeded.
    pub fn failed(&self) -> bool {
        self.outcome.as_ref().is_some_and(|(outcome, ..)| outcome.is_failure()) && !self.succeeded()
    }

    /// Whether it succeeded and was undone, and nobody asked for that.
    pub fn is_reversed(&self) -> bool {
        let undone = matches!(self.outcome, Some((Outcome::Reversed, ..)));
        undone && self.succeeded() && !self.is_undone()
    }

    /// Whether the core asked for it to be undone, and the channel may have done so.
    pub fn is_undone(&self) -> bool {
        self.undone || self.undoing.iter().any(|(_, refused)| !refused)
    }

    /// Whether it may have reached the channel.
    pub fn left(&self) -> bool {
        self.effect != Effect::Refuse && !self.not_sent
    }
}

/// What is owed after an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owing {
    /// What was owed before it.
    AsBefore,
    /// An outcome, since then: it was undone, and who told that is not the last to be asked.
    Since(Timestamp),
    /// No outcome of the payment; that it was undone, where that was told elsewhere, is still to be confirmed.
    NoOutcome,
    /// Nothing.
    Nothing,
}

/// A payment whose outcome is owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OwedRow", into = "OwedRow")]
pub struct Owed {
    /// Who owes it.
    pub channel: ChannelName,
    /// Of which payment.
    pub payment: PaymentId,
    /// Since when, where that is not since the payment: it was reversed, and that is to be confirmed.
    pub since: Option<Timestamp>,
}

/// As it is kept: most have no time of their own.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OwedRow {
    Since(ChannelName, PaymentId, Timestamp),
    Payment(ChannelName, PaymentId),
}

impl From<OwedRow> for Owed {
    fn from(row: OwedRow) -> Self {
        match row {
            OwedRow::Since(channel, payment, since) => {
                Self { channel, payment, since: Some(since) }
            }
            OwedRow::Payment(channel, payment) => Self { channel, payment, since: None },
        }
    }
}

impl From<Owed> for OwedRow {
    fn from(Owed { channel, payment, since }: Owed) -> Self {
        match since {
            Some(since) => Self::Since(channel, payment, since),
            None => Self::Payment(channel, payment),
        }
    }
}
