//! Settling: what the channel said is read, compared with what was verified, and acted upon.

use crate::domain::answer::Answer;
use crate::domain::element::ElementSet;
use crate::domain::mismatch::{Mismatch, MismatchKind};
use crate::domain::outcome::{Arrival, Decline, Outcome, Suspects};
use crate::domain::payment::Scenario;
use crate::message::outcome::{self, Reading, Told};
use crate::message::profile::{Message, Profile};
use crate::reconcile::hold::{Braking, Hold, HoldKey, Holding};
use crate::reconcile::{self, Expected, Finding, Verified};
use crate::service::Service;
use crate::service::annotate::{self, Annotations};
use crate::service::judge::{Judged, Pending};
use crate::store::{Agreement, Evidence, Unmapped, Witness};

/// What became of a message after its permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported<'a> {
    /// The channel answered.
    Answer {
        /// The HTTP status.
        status: u16,
        /// `Content-Type`.
        content_type: Option<&'a str>,
        /// The body.
        body: &'a [u8],
    },
    /// It may have reached the channel, and nothing can be read.
    InDoubt,
    /// Nothing was sent.
    NotSent,
}

impl Service {
    /// Settles a message and says what the core is told beside the answer.
    pub async fn settle(&self, judged: Judged, reported: Reported<'_>) -> Annotations {
        let (annotations, weighs) = self.settle_now(judged, reported);
        // What the next debit must not miss is durable before the answer is relayed; but no answer is withheld for it.
        if weighs && self.store.flush().await.is_err() {
            tracing::error!("a contradiction is not durable yet: the store cannot be written");
        }
        annotations
    }

    /// The annotations, and whether they rest on an outcome that must not be lost.
    fn settle_now(&self, judged: Judged, reported: Reported<'_>) -> (Annotations, bool) {
        match judged {
            Judged::Batch(batch) => self.settle_batch(batch, reported),
            Judged::One(pending) => {
                let told = told(&pending.channel.profile, message(&pending), reported);
                match self.settle_one(&pending, told.map(Told::whole)) {
                    Some(settled) => {
                        let Settled { reading, mismatch } = &settled;
                        (annotate::settled(&pending, reading, *mismatch), settled.weighs())
                    }
                    None => (annotate::judged(&pending), false),
                }
            }
        }
    }

    /// Settles one payment with what was read of its answer: nothing where nothing was sent. Yields nothing where its answers
    /// are not read.
    pub(crate) fn settle_one(
        &self,
        pending: &Pending,
        reading: Option<Reading>,
    ) -> Option<Settled> {
        let Some(reading) = reading else {
            self.store.not_sent(pending.channel.name(), pending.payment);
            self.reopen(pending);
            return None;
        };
        if !has_outcome(pending) {
            return None;
        }
        let finding = Self::compare(pending, reading.outcome);
        let mismatch = match finding {
            Finding::Differ(mismatch) => Some(mismatch),
            Finding::Agree | Finding::Silent => None,
        };
        self.count(pending, &reading, mismatch);
        self.react(pending, &reading, mismatch);
        self.store.complete(
            pending.payment,
            (reading.outcome, reading.code.clone(), Arrival::Sync),
            mismatch,
        );
        Some(Settled { reading, mismatch })
    }

    fn compare(pending: &Pending, outcome: Outcome) -> Finding {
        if !pending.scenario.is_verified() {
            return Finding::Silent;
        }
        let verified = pending.known.verified.as_ref();
        let verified = verified
            .map(|evidence| Verified { answer: evidence.answer, elements: evidence.elements });
        reconcile::compare(&Expected { verified, checks: pending.checks }, outcome)
    }

    fn count(&self, pending: &Pending, reading: &Reading, mismatch: Option<Mismatch>) {
        let channel = pending.channel.name();
        self.metrics.on_outcome(channel, reading.outcome, Arrival::Sync);
        if let (Some(map), Some(code)) = (&reading.unmapped_in, &reading.code) {
            self.store.put_unmapped(Unmapped {
                channel: channel.clone(),
                map: map.clone(),
                code: code.clone(),
                count: 0,
                last: self.now(),
                payment: pending.payment,
            });
        }
        if let Some(mismatch) = mismatch {
            self.metrics.on_mismatch(channel, pending.blamed(mismatch), mismatch);
        }
        if pending.scenario.moves_money() && !reading.outcome.is_open() {
            self.store.close_expectation(channel, pending.payment);
        }
    }

    /// What an outcome sets in motion.
    fn react(&self, pending: &Pending, reading: &Reading, mismatch: Option<Mismatch>) {
        match reading.outcome {
            Outcome::NoMatch(suspects) => {
                if pending.scenario == Scenario::Verify {
                    self.learn_from_verify(pending, no_match(suspects, pending));
                } else {
                    self.contradict(pending, suspects.set(), mismatch);
                }
            }
            Outcome::Declined(Decline::AgreementInvalid) => self.close(pending),
            // The payer may type the password again, under the same order; a batch has none.
            Outcome::Declined(Decline::Otp) if pending.row.is_none() => self.reopen(pending),
            Outcome::Succeeded => self.on_success(pending, reading),
            Outcome::Accepted => self.remember(pending, reading),
            Outcome::Declined(_) | Outcome::Unknown | Outcome::Reversed | Outcome::Unmapped => (),
        }
    }

    /// The order's money message may leave once more.
    fn reopen(&self, pending: &Pending) {
        if let Some(order) = &pending.order {
            self.store.reopen(order, pending.payment);
        }
    }

    fn on_success(&self, pending: &Pending, reading: &Reading) {
        match pending.scenario {
            Scenario::Verify => self.learn_from_verify(pending, Some(Answer::Match)),
            Scenario::Unbind => self.close(pending),
            Scenario::Bind => {
                self.remember(pending, reading);
                // Whether it yielded an agreement or not, and that one too, should it be an old one.
                if self.end_proven(pending)
                    && let Some(id) = &reading.agreement
                {
                    let channel = pending.channel.name().clone();
                    self.end_hold(&HoldKey::Agreement(channel, id.clone()));
                }
            }
            Scenario::Debit | Scenario::Pay => {
                // A success settles what was held, where it proves the elements or the agreement.
                match &pending.agreement {
                    Some(id) => {
                        let channel = pending.channel.name().clone();
                        self.end_hold(&HoldKey::Agreement(channel, id.clone()));
                    }
                    None => {
                        self.end_proven(pending);
                    }
                }
            }
            Scenario::Withdraw
            | Scenario::Payout
            | Scenario::Sms
            | Scenario::Refund
            | Scenario::Void
            | Scenario::Query
            | Scenario::Notify
            | Scenario::Other => (),
        }
    }

    /// Ends the hold on a tuple where the channel checked all of it, and says whether it did. What was told is settled by what
    /// the core says is the same.
    fn end_proven(&self, pending: &Pending) -> bool {
        let Some((tuple, set)) = pending.known.tuple else { return false };
        let proven = message(pending).is_some_and(|message| message.checks.is_superset(set));
        if proven {
            let read = pending.checks.is_superset(set).then_some(tuple);
            for tuple in read.into_iter().chain(pending.known.told) {
                self.end_hold(&HoldKey::Tuple(tuple));
            }
        }
        proven
    }

    /// A bind went through a step: its tuple waits for the next one, or it yields an agreement.
    fn remember(&self, pending: &Pending, reading: &Reading) {
        if pending.scenario != Scenario::Bind {
            return;
        }
        let (channel, known, now) = (pending.channel.name(), &pending.known, self.now());
        // The channel's own check at the bind verifies too, where ours did not match.
        let matched = known.verified.clone().filter(|evidence| evidence.answer == Answer::Match);
        let proved = reading.outcome == Outcome::Succeeded
            && !pending.checks.is_empty()
            && known.asserted.is_empty();
        let checked = proved.then(|| Evidence {
            answer: Answer::Match,
            elements: pending.checks,
            witness: Witness::Channel(channel.clone()),
            road: pending.channel.profile.road.clone(),
            at: pending.at,
            until: pending.at.plus(self.settings.match_valid_for),
        });
        let verified = matched.or(checked);
        let bind = Agreement {
            merchant: known.merchant.clone(),
            tuple: known.tuple,
            asserted: known.asserted,
            card: known.card,
            bank: known.bank.clone(),
            good: verified.is_some(),
            verified,
            closed: false,
            at: now,
        };
        if let Some(key) = &pending.remember {
            self.store.remember(
                channel,
                key.clone(),
                bind.clone(),
                now.plus(self.settings.bind_waits_for),
            );
        }
        let Some(id) = &reading.agreement else { return };
        let closes = message(pending)
            .and_then(|message| message.yields.as_ref())
            .is_some_and(|yields| yields.closes_same_card);
        self.store.put_agreement(channel, id.clone(), bind, closes);
    }

    fn learn_from_verify(&self, pending: &Pending, answer: Option<Answer>) {
        let (Some((tuple, elements)), Some(answer)) = (pending.known.tuple, answer) else { return };
        let valid_for = if answer == Answer::Match {
            self.settings.match_valid_for
        } else {
            self.settings.other_valid_for
        };
        self.learn(
            tuple,
            Evidence {
                answer,
                elements,
                witness: Witness::Channel(pending.channel.name().clone()),
                road: pending.channel.profile.road.clone(),
                at: pending.at,
                until: pending.at.plus(valid_for),
            },
        );
    }

    fn close(&self, pending: &Pending) {
        let closes = pending.scenario != Scenario::Unbind
            || message(pending).is_some_and(|message| message.closes_agreement);
        if let Some(id) = pending.agreement.as_ref().filter(|_| closes) {
            self.store.close_agreement(pending.channel.name(), id);
        }
    }

    /// The debit outcome prevails: evidence loses its worth here, and the next debit waits; unless the brake is on.
    ///
    /// Secrets of a card come with each message, so that suspecting them says nothing of the next. What an agreement was bound
    /// with may be more than we know.
    fn contradict(&self, pending: &Pending, suspects: ElementSet, mismatch: Option<Mismatch>) {
        let (channel, now) = (pending.channel.name(), self.now());
        let known = &pending.known;
        let suspected = known.tuple.filter(|(_, set)| suspects.meets(*set));
        let key = match (&pending.agreement, suspected) {
            (Some(id), _) if !ElementSet::SECRET.is_superset(suspects) => {
                HoldKey::Agreement(channel.clone(), id.clone())
            }
            (None, Some((tuple, _))) => HoldKey::Tuple(known.told.unwrap_or(tuple)),
            (Some(_) | None, _) => return,
        };
        let hold = Hold {
            key,
            channel: channel.clone(),
            payment: pending.payment,
            since: now,
            until: now.plus(self.settings.hold_for),
        };
        let braking = Braking {
            bank: known.bank.as_ref(),
            matched: mismatch.is_some_and(|it| it.kind == MismatchKind::MatchThenNoMatch),
            per_hour: self.settings.holds_per_hour,
        };
        if self.store.make_hold(hold, braking) == Holding::Paused {
            self.metrics.on_hold_paused(channel, None);
            tracing::warn!(channel = channel.as_str(), payment.id = %pending.payment, "holds are paused: too many, or too many within the hour");
            return;
        }
        if let Some((tuple, set)) = suspected
            && !known.asserted.meets(set)
        {
            self.store.contradict(&tuple, channel, pending.channel.profile.road.as_ref(), now);
        }
    }
}

/// A payment that is settled.
pub(crate) struct Settled {
    pub(crate) reading: Reading,
    pub(crate) mismatch: Option<Mismatch>,
}

impl Settled {
    /// Whether the next debit rests on it.
    pub(crate) const fn weighs(&self) -> bool {
        matches!(self.reading.outcome, Outcome::NoMatch(_) | Outcome::Reversed)
    }
}

fn message(pending: &Pending) -> Option<&Message> {
    pending.message.and_then(|at| pending.channel.profile.messages.get(at))
}

/// Whether the answers of this message are read: those that say nothing of the first half wait for a later reader.
fn has_outcome(pending: &Pending) -> bool {
    match pending.scenario {
        Scenario::Debit
        | Scenario::Pay
        | Scenario::Withdraw
        | Scenario::Payout
        | Scenario::Bind
        | Scenario::Verify
        | Scenario::Unbind => pending.message.is_some(),
        Scenario::Sms
        | Scenario::Refund
        | Scenario::Void
        | Scenario::Query
        | Scenario::Notify
        | Scenario::Other => false,
    }
}

/// What an answer says; nothing where nothing was sent.
pub(crate) fn told(
    profile: &Profile,
    message: Option<&Message>,
    reported: Reported<'_>,
) -> Option<Told> {
    match (reported, message) {
        (Reported::NotSent, _) => None,
        (Reported::Answer { status, content_type, body }, Some(message))
            if (200..300).contains(&status) =>
        {
            Some(outcome::read(profile, message, content_type, body))
        }
        (Reported::Answer { .. } | Reported::InDoubt, _) => Some(Told::Whole(Reading::UNKNOWN)),
    }
}

/// What a channel's `no_match` says of the elements that are verified: nothing where it names others, or may mean others. The
/// elements at fault are told where it names some of them and not all.
fn no_match(suspects: Suspects, pending: &Pending) -> Option<Answer> {
    let (_, verified) = pending.known.tuple?;
    let at_fault = match suspects {
        Suspects::Named(named) => {
            Some(named.intersection(verified)).filter(|set| !set.is_empty())?
        }
        Suspects::OneOf(suspects) if verified.is_superset(suspects) => verified,
        Suspects::OneOf(_) => return None,
    };
    let all = at_fault == verified;
    Some(Answer::NoMatch(if all { ElementSet::EMPTY } else { at_fault }))
}
