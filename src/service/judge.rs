//! Judging: a complete request becomes a permit and what must be remembered until its answer, or a refusal.

use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::element::{Element, ElementSet};
use crate::domain::id::{
    AgreementId, Bank, ChannelName, Fingerprint, MerchantId, OrderId, PaymentId,
};
use crate::domain::money::Fen;
use crate::domain::payment::{Mode, Scenario, Standing};
use crate::message::extract::{self, ExtractError, Extracted, Part, Payments, Request};
use crate::message::node::ReadError;
use crate::message::profile::Message;
use crate::policy::{self, Basis, Decision, Effect, Facts, Permit, Reason, Verification};
use crate::reconcile::hold::HoldKey;
use crate::service::batch::Batch;
use crate::service::refusal::Refusal;
use crate::service::verify::{Gathered, Question};
use crate::service::{Binding, Channel, Service};
use crate::store::{Agreement, Evidence, Record};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What is known of a message between its permit and its answer.
#[derive(Debug)]
pub enum Judged {
    /// One payment.
    One(Box<Pending>),
    /// A batch.
    Batch(Batch),
}

impl Judged {
    /// How long providers were waited for before the permit.
    pub fn waited(&self) -> Duration {
        match self {
            Self::One(pending) => pending.known.waited,
            Self::Batch(batch) => batch.waited,
        }
    }

    /// The channel that the message goes to.
    pub fn channel(&self) -> &Arc<Channel> {
        match self {
            Self::One(pending) => &pending.channel,
            Self::Batch(batch) => &batch.channel,
        }
    }
}

/// What is known of a payment between its permit and its answer.
#[derive(Debug)]
pub struct Pending {
    pub(crate) channel: Arc<Channel>,
    pub(crate) payment: PaymentId,
    /// Which of the profile's messages it is; absent where it could not be read.
    pub(crate) message: Option<usize>,
    pub(crate) scenario: Scenario,
    pub(crate) mode: Mode,
    pub(crate) effect: Effect,
    pub(crate) reasons: Vec<Reason>,
    pub(crate) asserted: bool,
    pub(crate) known: Known,
    pub(crate) agreement: Option<AgreementId>,
    pub(crate) checks: ElementSet,
    pub(crate) remember: Option<String>,
    pub(crate) at: Timestamp,
    /// What names its row, where it is one of a batch.
    pub(crate) row: Option<String>,
}

/// What is known of the person behind a message, as fingerprints.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) merchant: Option<MerchantId>,
    pub(crate) order: Option<OrderId>,
    pub(crate) tuple: Option<(Fingerprint, ElementSet)>,
    pub(crate) card: Option<Fingerprint>,
    pub(crate) bank: Option<Bank>,
    pub(crate) verified: Option<Evidence>,
    pub(crate) asked_now: bool,
    pub(crate) held: bool,
    /// How long providers were waited for.
    pub(crate) waited: Duration,
}

/// A message on its way to a decision.
pub(crate) struct Draft {
    pub(crate) payment: PaymentId,
    at: Timestamp,
    begun: Instant,
    message: Option<usize>,
    scenario: Scenario,
    mode: Mode,
    basis: Basis,
    known: Known,
    amount: Option<Fen>,
    carried: ElementSet,
    asserted: bool,
    agreement: Option<AgreementId>,
    checks: ElementSet,
    remember: Option<String>,
    /// Elements that are not valid as such.
    invalid: ElementSet,
    /// Why it could not be read: its own status, and a text without values.
    unread: Option<(u16, String)>,
    /// What names its row, where it is one of a batch.
    row: Option<String>,
}

/// What a part of a message is judged with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judging<'a> {
    pub(crate) channel: &'a Arc<Channel>,
    pub(crate) message: &'a Message,
    pub(crate) mode: Mode,
    pub(crate) begun: Instant,
    /// Until when providers may answer.
    pub(crate) deadline: Instant,
}

impl Service {
    /// Judges a complete request on an inspected route.
    ///
    /// # Errors
    /// The refusal, where there is no permit; nothing was sent.
    pub async fn judge(
        self: &Arc<Self>,
        channel: &Arc<Channel>,
        request: &Request<'_>,
    ) -> Result<(Permit, Judged), Box<Refusal>> {
        let begun = Instant::now();
        let draft = match extract::extract(&channel.profile, request) {
            Ok(Extracted { message, order, payments }) => {
                let first = payments.first().and_then(|part| part.payment.order.as_ref());
                let mode = mode(channel.binding, first);
                let deadline = begun + self.settings.inquiry_deadline;
                let judging = Judging { channel, message, mode, begun, deadline };
                match payments {
                    Payments::One(part) => self.appraise(judging, *part).await,
                    Payments::Rows(rows) => {
                        return self.judge_batch(judging, order, rows).await;
                    }
                }
            }
            Err(error) => self.unread(channel, &error, begun),
        };
        let (permit, pending) = self.conclude(channel, draft)?;
        Ok((permit, Judged::One(Box::new(pending))))
    }

    /// A payment that was read, with what the decision rests on.
    pub(crate) async fn appraise(self: &Arc<Self>, judging: Judging<'_>, part: Part) -> Draft {
        let at = self.now();
        let Judging { channel, message, mode, begun, .. } = judging;
        let (basis, known) = self.facts(judging, &part).await;
        let payment = &part.payment;
        Draft {
            payment: self.new_id(at),
            at,
            begun,
            message: position(&channel.profile.messages, message),
            scenario: payment.scenario,
            mode,
            basis,
            amount: payment.amount,
            carried: payment.elements.set(),
            asserted: !payment.asserted.is_empty() && payment.scenario.is_verified(),
            checks: checks(message, payment.checks, &known),
            invalid: part.invalid.iter().map(|invalid| invalid.element()).collect(),
            known,
            unread: None,
            agreement: part.payment.agreement,
            remember: part.remember,
            row: part.row,
        }
    }

    /// A request that yields no payment: refused in enforce, marked in observe.
    fn unread(&self, channel: &Channel, error: &ExtractError, begun: Instant) -> Draft {
        let (basis, status) = match error {
            ExtractError::Unlisted => {
                self.metrics.on_unlisted(channel.name());
                (Basis::Unlisted, Reason::Unlisted.status())
            }
            ExtractError::MediaType => (Basis::Unreadable, 415),
            ExtractError::Read(ReadError::Ambiguous { .. }) => {
                (Basis::Ambiguous, Reason::Ambiguous.status())
            }
            ExtractError::Read(ReadError::Unreadable { .. }) => {
                (Basis::Unreadable, Reason::Unreadable.status())
            }
        };
        let at = self.now();
        Draft {
            payment: self.new_id(at),
            at,
            begun,
            message: None,
            scenario: Scenario::Other,
            mode: mode(channel.binding, None),
            basis,
            known: Known::default(),
            amount: None,
            carried: ElementSet::EMPTY,
            asserted: false,
            agreement: None,
            checks: ElementSet::EMPTY,
            remember: None,
            invalid: ElementSet::EMPTY,
            unread: Some((status, error.to_string())),
            row: None,
        }
    }

    /// Decides, records, and opens the expectation of a payment that may leave.
    fn conclude(
        &self,
        channel: &Arc<Channel>,
        draft: Draft,
    ) -> Result<(Permit, Pending), Box<Refusal>> {
        let decision = self.decide(&draft);
        let decided = (decision.effect(), decision.reasons().to_vec());
        self.record(channel, &draft, &decided, None);
        match decision.into_permit() {
            Ok(permit) => Ok((permit, self.expect(channel, draft, decided))),
            Err(reasons) => {
                let first = reasons.first().map_or(403, |reason| reason.status());
                let elements = draft.at_fault();
                let (status, detail) =
                    draft.unread.map_or((first, None), |(status, text)| (status, Some(text)));
                Err(Box::new(Refusal {
                    payment: draft.payment,
                    status,
                    reasons,
                    elements,
                    detail,
                    rows: Vec::new(),
                }))
            }
        }
    }

    pub(crate) fn decide(&self, draft: &Draft) -> Decision {
        let Draft { scenario, mode, basis, asserted, known, .. } = draft;
        let (scenario, mode, basis) = (*scenario, *mode, *basis);
        let facts = Facts { scenario, mode, basis, asserted: *asserted, held: known.held };
        policy::decide(&self.policy, &facts)
    }

    /// Counts and keeps a decision.
    pub(crate) fn record(
        &self,
        channel: &Channel,
        draft: &Draft,
        (effect, reasons): &(Effect, Vec<Reason>),
        row_of: Option<(PaymentId, usize)>,
    ) {
        let Draft { scenario, mode, known, .. } = draft;
        self.metrics.on_decision(channel.name(), *scenario, *effect, *mode);
        self.store.put_record(Record {
            payment: draft.payment,
            at: draft.at,
            channel: channel.name().clone(),
            scenario: *scenario,
            order: known.order.clone(),
            amount: draft.amount,
            carried: draft.carried,
            mode: *mode,
            effect: *effect,
            reasons: reasons.clone(),
            verified: known.verified.clone(),
            asked_now: known.asked_now,
            judged_in: draft.begun.elapsed(),
            outcome: None,
            mismatch: None,
            row_of,
        });
    }

    /// Opens the expectation of a payment that may leave.
    pub(crate) fn expect(
        &self,
        channel: &Arc<Channel>,
        draft: Draft,
        (effect, reasons): (Effect, Vec<Reason>),
    ) -> Pending {
        if draft.scenario.moves_money() {
            self.store.expect(channel.name(), draft.payment);
        }
        Pending {
            channel: channel.clone(),
            payment: draft.payment,
            message: draft.message,
            scenario: draft.scenario,
            mode: draft.mode,
            effect,
            reasons,
            asserted: draft.asserted,
            known: draft.known,
            agreement: draft.agreement,
            checks: draft.checks,
            remember: draft.remember,
            at: draft.at,
            row: draft.row,
        }
    }

    /// What the decision rests on.
    async fn facts(self: &Arc<Self>, judging: Judging<'_>, part: &Part) -> (Basis, Known) {
        let Judging { channel, message, .. } = judging;
        let payment = &part.payment;
        let mut known = self.fingerprints(part);
        if payment.scenario == Scenario::Verify {
            return (Basis::Passing, known);
        }
        if let Some(id) = &payment.agreement {
            let (standing, agreement) = self.standing(channel.name(), id);
            if let Some(agreement) = agreement {
                known.tuple = agreement.tuple;
                known.card = agreement.card;
                known.bank = agreement.bank;
                known.verified = agreement.verified;
            }
            known.held = self.is_held(channel, Some(id), known.tuple.map(|(tuple, _)| tuple));
            if !payment.scenario.is_verified() {
                return (Basis::Passing, known);
            }
            return (Basis::Agreement(standing), known);
        }
        if !payment.scenario.is_verified() {
            return (Basis::Passing, known);
        }
        if !message.recall.is_empty() {
            let waiting = part.recall.as_ref();
            let waiting =
                waiting.and_then(|key| self.store.recall(channel.name(), key, self.now()));
            return match waiting {
                Some(bind) => {
                    (Basis::ConfirmsPermitted, Known { order: known.order, ..Known::from(bind) })
                }
                None => (Basis::ConfirmsUnseen, known),
            };
        }
        let basis = self.verification(judging, part, &mut known).await;
        (basis, known)
    }

    /// What verification yields for the elements of a message.
    async fn verification(
        self: &Arc<Self>,
        judging: Judging<'_>,
        part: &Part,
        known: &mut Known,
    ) -> Basis {
        let Judging { channel, mode, deadline, .. } = judging;
        let payment = &part.payment;
        if !part.invalid.is_empty() {
            return Basis::Verified(Verification::Answered(Answer::Invalid));
        }
        let Some((tuple, set)) = known.tuple else {
            return if part.sealed.is_empty() { Basis::Incomplete } else { Basis::Sealed };
        };
        known.held = self.is_held(channel, None, Some(tuple));
        let stopped = known.held && payment.scenario.stops_at_hold();
        let question = Question {
            channel,
            elements: &payment.elements,
            set,
            tuple,
            may_ask: mode == Mode::Enforce && !stopped,
            deadline,
        };
        let asked = Instant::now();
        let gathered = self.gather(&question).await;
        known.waited = asked.elapsed();
        match gathered {
            Gathered::Evidence { evidence, asked_now } => {
                let answer = evidence.answer;
                known.asked_now = asked_now;
                known.verified = Some(evidence);
                Basis::Verified(Verification::Answered(answer))
            }
            Gathered::NoAnswer => Basis::Verified(Verification::Answered(Answer::Unavailable)),
            Gathered::NobodyCan => Basis::Verified(Verification::NobodyCan),
            Gathered::NotAsked => Basis::Verified(Verification::NotAsked),
        }
    }

    fn fingerprints(&self, part: &Part) -> Known {
        let payment = &part.payment;
        let carried = payment.elements.set();
        let set = if payment.scenario == Scenario::Verify {
            // What the core verifies through the channel is taken as asked.
            Some(carried.difference(ElementSet::EMPTY.with(Element::Cvv2).with(Element::Expiry)))
                .filter(|set| *set == carried && !set.is_empty())
        } else {
            policy::set_to_verify(&self.policy, payment.scenario, carried)
        };
        let pan = payment.elements.pan.as_ref();
        Known {
            merchant: payment.merchant.clone(),
            order: payment.order.clone(),
            tuple: set
                .and_then(|set| Some((self.fingerprinter.tuple(&payment.elements, set)?, set))),
            card: pan.map(|pan| self.fingerprinter.text("card", pan.expose())),
            bank: pan.map(|pan| Bank::new(pan.bin())),
            ..Known::default()
        }
    }

    pub(crate) fn standing(
        &self,
        channel: &ChannelName,
        id: &AgreementId,
    ) -> (Standing, Option<Agreement>) {
        let Some(agreement) = self.store.agreement(channel, id) else {
            return (Standing::Unknown, None);
        };
        let key = HoldKey::Agreement(channel.clone(), id.clone());
        let standing = if agreement.closed {
            Standing::Closed
        } else if self.store.hold(&key, self.now()).is_some() {
            Standing::Contradicted
        } else if agreement.good {
            Standing::Good
        } else {
            Standing::Unknown
        };
        (standing, Some(agreement))
    }

    fn is_held(
        &self,
        channel: &Channel,
        agreement: Option<&AgreementId>,
        tuple: Option<Fingerprint>,
    ) -> bool {
        let agreement = agreement.map(|id| HoldKey::Agreement(channel.name().clone(), id.clone()));
        let keys = agreement.into_iter().chain(tuple.map(HoldKey::Tuple));
        let now = self.now();
        keys.into_iter().any(|key| self.store.hold(&key, now).is_some())
    }
}

impl Draft {
    /// The elements at fault, where they are known.
    pub(crate) fn at_fault(&self) -> ElementSet {
        match self.known.verified.as_ref().map(|evidence| evidence.answer) {
            Some(Answer::NoMatch(elements)) => elements,
            Some(_) | None => self.invalid,
        }
    }
}

impl From<Agreement> for Known {
    fn from(bind: Agreement) -> Self {
        Self {
            merchant: bind.merchant,
            tuple: bind.tuple,
            card: bind.card,
            bank: bind.bank,
            verified: bind.verified,
            ..Self::default()
        }
    }
}

/// Which elements a success proves: of those that the message carries, or that the first step of its bind carried.
fn checks(message: &Message, carried: ElementSet, known: &Known) -> ElementSet {
    match known.tuple {
        Some((_, waiting)) if !message.recall.is_empty() => message.checks.intersection(waiting),
        Some(_) | None => carried,
    }
}

/// Whether decisions bind for an order: by a hash of it, so that every message of an order fares alike.
fn mode(binding: Binding, order: Option<&OrderId>) -> Mode {
    let Binding::Enforce(percent) = binding else { return Mode::Observe };
    // FNV-1a: spread matters here, secrecy does not.
    let hash = order.map_or(0, |order| {
        order.0.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    });
    if (hash >> 32) % 100 < u64::from(percent) { Mode::Enforce } else { Mode::Observe }
}

fn position<T>(all: &[T], one: &T) -> Option<usize> {
    all.iter().position(|other| std::ptr::eq(other, one))
}
