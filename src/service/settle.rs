//! Settling: what the channel said is read, compared with what was verified, and acted upon.

pub(super) mod arrived;

use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::mismatch::{Mismatch, MismatchKind};
use crate::domain::outcome::{Arrival, Decline, Outcome, Suspects};
use crate::domain::payment::Scenario;
use crate::message::outcome::{self, Reading, Told};
use crate::message::profile::{Message, Profile};
use crate::reconcile::arrival::Step;
use crate::reconcile::hold::HoldKey;
use crate::reconcile::{self, Expected, Finding, Verified};
use crate::service::annotate::{self, Annotations};
use crate::service::judge::{Judged, Pending};
use crate::service::query::rests_on;
use crate::service::verify::About;
use crate::service::{Channel, Service};
use crate::store::row::RowKey;
use crate::store::{Agreement, Evidence, Other, Record, Witness};

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
        let (annotations, weighs) = match &judged {
            // Rarer, and larger.
            Judged::One(pending) if pending.record.scenario == Scenario::Query => {
                Box::pin(self.settle_query(pending, reported)).await
            }
            Judged::One(pending) => {
                if pending.undoes.is_some() {
                    Box::pin(self.settle_undoing(pending, reported)).await;
                } else if pending.record.scenario == Scenario::Bind {
                    // It ends a hold that another process may have made.
                    let _ = self.fetch_all(rests_on(&pending.record)).await;
                }
                self.settle_now(judged, reported).await
            }
            Judged::Batch(_) => self.settle_now(judged, reported).await,
        };
        // What the next debit must not miss is durable before the answer is relayed; but no answer is withheld for it.
        if weighs && self.flushed().await.is_err() {
            tracing::error!("a contradiction is not durable yet: the store cannot be written");
        }
        annotations
    }

    /// The annotations, and whether they rest on an outcome that must not be lost.
    async fn settle_now(&self, judged: Judged, reported: Reported<'_>) -> (Annotations, bool) {
        match judged {
            Judged::Batch(batch) => Box::pin(self.settle_batch(*batch, reported)).await,
            Judged::One(pending) => {
                let told = told(&pending.channel.profile, message(&pending), reported);
                match self.settle_one(&pending, told.map(Told::whole)).await {
                    Some(settled) => (annotate::settled(&pending, &settled), settled.weighs()),
                    None => (annotate::judged(&pending), false),
                }
            }
        }
    }

    /// Settles one payment with what was read of its answer: nothing where nothing was sent. Yields nothing where its answers
    /// are not read.
    pub(crate) async fn settle_one(
        &self,
        pending: &Pending,
        reading: Option<Reading>,
    ) -> Option<Settled> {
        let (channel, record) = (pending.channel.name(), &pending.record);
        let Some(reading) = reading else {
            self.store.not_sent(channel, record.payment);
            self.reopen(record);
            self.followed(record).await;
            return None;
        };
        if !has_outcome(pending) {
            return None;
        }
        let is_known = self.store.has_record(record.payment);
        if matches!(reading.outcome, Outcome::NoMatch(_)) || !is_known {
            // Another process may have been told better, and nobody is to be held for what is not so; and what was heard meanwhile
            // memory may have made room of, but not forgotten.
            self.fetch(RowKey::payment(record.payment)).await;
        }
        let settled = self.arrived(&pending.channel, record, reading, Arrival::Sync).await;
        let Settled { reading, step, .. } = &settled;
        match step {
            // It was heard otherwise meanwhile, and that counts; but what it yields is told nowhere else.
            Step::Nothing | Step::Confirmed | Step::Reversed | Step::Overtaken | Step::Flipped => {}
            Step::Noted | Step::Ended | Step::Refined => self.yielded(pending, reading),
        }
        Some(settled)
    }

    /// What an outcome sets in motion.
    fn react(
        &self,
        channel: &Channel,
        record: &Record,
        outcome: Outcome,
        mismatch: Option<Mismatch>,
    ) {
        match outcome {
            Outcome::NoMatch(suspects) => {
                if record.scenario == Scenario::Verify {
                    self.learn_from_verify(channel, record, no_match(suspects, record));
                } else {
                    self.contradict(channel, record, suspects.set(), mismatch);
                }
            }
            Outcome::Declined(Decline::AgreementInvalid) => self.close(channel, record),
            Outcome::Succeeded => self.on_success(channel, record),
            Outcome::Accepted
            | Outcome::Declined(_)
            | Outcome::Unknown
            | Outcome::Reversed
            | Outcome::Unmapped => (),
        }
    }

    /// What is counted for a payment that balance funds follows what is heard of it.
    pub(crate) async fn followed(&self, record: &Record) {
        // Rare, and larger than the rest.
        if record.stakes.account.is_some() {
            Box::pin(self.follow_funded(record)).await;
        }
    }

    /// The order's money message may leave once more.
    pub(crate) fn reopen(&self, record: &Record) {
        if let Some(order) = record.claim() {
            self.store.reopen(&order, record.payment);
        }
    }

    fn on_success(&self, channel: &Channel, record: &Record) {
        match record.scenario {
            Scenario::Verify => self.learn_from_verify(channel, record, Some(Answer::Match)),
            // A success settles what was held, where it proves the elements or the agreement.
            Scenario::Debit | Scenario::Pay => match &record.stakes.agreement {
                Some(id) => {
                    let key = HoldKey::Agreement(channel.name().clone(), id.clone());
                    self.end_hold_before(&key, record.at, self.now());
                }
                None => drop(self.end_proven(record)),
            },
            Scenario::Bind
            | Scenario::Unbind
            | Scenario::Withdraw
            | Scenario::Payout
            | Scenario::Sms
            | Scenario::Refund
            | Scenario::Void
            | Scenario::Query
            | Scenario::Notify
            | Scenario::Other => (),
        }
    }

    /// What only the answer to the message itself tells.
    fn yielded(&self, pending: &Pending, reading: &Reading) {
        let Pending { channel, record, .. } = pending;
        let succeeded = reading.outcome == Outcome::Succeeded;
        if record.scenario == Scenario::Bind && (succeeded || reading.outcome == Outcome::Accepted)
        {
            self.remember(pending, reading);
            // Whether it yielded an agreement or not, and that one too, should it be an old one.
            if succeeded
                && self.end_proven(record)
                && let Some(id) = &reading.agreement
            {
                let key = HoldKey::Agreement(channel.name().clone(), id.clone());
                self.end_hold_before(&key, record.at, self.now());
            }
        }
        if record.scenario == Scenario::Unbind
            && succeeded
            && message(pending).is_some_and(|message| message.closes_agreement)
        {
            self.close(channel, record);
        }
    }

    /// Ends the hold on a tuple where the channel checked all of it, and says whether it did. What was told is settled by what
    /// the core says is the same.
    fn end_proven(&self, record: &Record) -> bool {
        let Some((tuple, set)) = record.stakes.tuple else { return false };
        let proven = record.stakes.proves.is_superset(set);
        if proven {
            let stakes = &record.stakes;
            let read = stakes.checks.is_superset(set);
            let current = Other { tuple, told: stakes.told, anyone: stakes.anyone };
            let now = self.now();
            for other in std::iter::once(&current).chain(&stakes.others) {
                let read = [Some(other.tuple), other.anyone].into_iter().filter(|_| read);
                for tuple in read.flatten().chain(other.told) {
                    self.end_hold_before(&HoldKey::Tuple(tuple), record.at, now);
                }
            }
        }
        proven
    }

    /// The channel takes back that the elements do not match: so goes what that had held, whoever it bound.
    fn take_back(&self, channel: &Channel, record: &Record) {
        let stakes = &record.stakes;
        let agreement = stakes.agreement.as_ref();
        let agreement = agreement.map(|id| HoldKey::Agreement(channel.name().clone(), id.clone()));
        for key in agreement.into_iter().chain(stakes.holds().map(HoldKey::Tuple)) {
            let standing = self.store.hold(&key, self.now());
            if standing.is_some_and(|hold| hold.payment == record.payment) {
                self.end_hold(&key);
            }
        }
    }

    /// Ends a hold that stood when the payment was judged: what was learned since then is newer than its success.
    fn end_hold_before(&self, key: &HoldKey, at: Timestamp, now: Timestamp) {
        let standing = self.store.hold(key, now);
        if standing.is_some_and(|hold| hold.since <= at) {
            self.end_hold(key);
        }
    }

    /// A bind went through a step: its tuple waits for the next one, or it yields an agreement.
    fn remember(&self, pending: &Pending, reading: &Reading) {
        let (channel, record, now) = (pending.channel.name(), &pending.record, self.now());
        let known = &record.stakes;
        // The channel's own check at the bind verifies too, where ours did not match.
        let matched = record.verified.clone().filter(|evidence| evidence.answer == Answer::Match);
        let proved = reading.outcome == Outcome::Succeeded
            && !known.checks.is_empty()
            && known.asserted.is_empty();
        let checked = proved.then(|| Evidence {
            answer: Answer::Match,
            elements: known.checks,
            witness: Witness::Channel(channel.clone()),
            road: pending.channel.profile.road.clone(),
            at: record.at,
            until: record.at.plus(self.settings.match_valid_for),
            beside: None,
            origin: None,
        });
        let verified = matched.or(checked);
        let bind = Agreement {
            merchant: known.merchant.clone(),
            tuple: known.tuple,
            anyone: known.anyone,
            asserted: known.asserted,
            card: known.card,
            other_cards: known.other_cards.clone(),
            person: known.person,
            other_persons: known.other_persons.clone(),
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

    fn learn_from_verify(&self, channel: &Channel, record: &Record, answer: Option<Answer>) {
        let (Some((tuple, elements)), Some(answer)) = (record.stakes.tuple, answer) else { return };
        let default = if answer == Answer::Match {
            self.settings.match_valid_for
        } else {
            self.settings.other_valid_for
        };
        let valid_for = self.validity.kinds.of(answer).unwrap_or(default);
        let stakes = &record.stakes;
        self.learn(
            &About {
                tuple,
                others: stakes.others.iter().map(|other| other.tuple).collect(),
                anyone: stakes.anyones().collect(),
                person: stakes.person,
            },
            Evidence {
                answer,
                elements,
                witness: Witness::Channel(channel.name().clone()),
                road: channel.profile.road.clone(),
                at: record.at,
                until: record.at.plus(valid_for),
                beside: None,
                origin: None,
            },
            true,
        );
    }

    fn close(&self, channel: &Channel, record: &Record) {
        if let Some(id) = &record.stakes.agreement {
            self.store.close_agreement(channel.name(), id);
        }
    }
}

/// How the halves differ, where they do.
pub(crate) fn compare(record: &Record, outcome: Outcome) -> Option<Mismatch> {
    if !record.scenario.is_verified() {
        return None;
    }
    let verified = record.verified.as_ref();
    let verified =
        verified.map(|evidence| Verified { answer: evidence.answer, elements: evidence.elements });
    let expected = Expected { verified, checks: record.stakes.checks };
    match reconcile::compare(&expected, outcome) {
        Finding::Differ(mismatch) => Some(mismatch),
        Finding::Agree | Finding::Silent => None,
    }
}

/// Whose word a mismatch contradicts: nobody's where the channel may have read other elements than were verified.
pub(crate) fn blamed(record: &Record, mismatch: Mismatch) -> Option<&str> {
    let verified = match mismatch.kind {
        MismatchKind::MatchThenNoMatch | MismatchKind::NoMatchThenSuccess => {
            !mismatch.elements.meets(record.stakes.asserted)
        }
        MismatchKind::UnverifiedThenNoMatch
        | MismatchKind::MissingOutcome
        | MismatchKind::ReversedAfterSuccess
        | MismatchKind::AmountDiffers
        | MismatchKind::OutcomeFlipped => false,
    };
    record.verified.as_ref().filter(|_| verified).map(|evidence| evidence.witness.as_str())
}

/// A payment that is settled.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) reading: Reading,
    pub(crate) step: Step,
    pub(crate) mismatch: Option<Mismatch>,
}

impl Settled {
    /// Whether the next debit rests on it.
    pub(crate) fn weighs(&self) -> bool {
        let heavy = matches!(self.reading.outcome, Outcome::NoMatch(_) | Outcome::Reversed);
        heavy && self.step != Step::Nothing
    }
}

pub(crate) fn message(pending: &Pending) -> Option<&Message> {
    pending.message.and_then(|at| pending.channel.profile.messages.get(at))
}

/// Whether the answers of this message are read: those that say nothing of the first half wait for a later reader.
fn has_outcome(pending: &Pending) -> bool {
    match pending.record.scenario {
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
fn no_match(suspects: Suspects, record: &Record) -> Option<Answer> {
    let (_, verified) = record.stakes.tuple?;
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
