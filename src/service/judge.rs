//! Judging: a complete request becomes a permit and what must be remembered until its answer, or a refusal.

use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::element::{Element, ElementSet};
use crate::domain::id::{
    AgreementId, Bank, ChannelName, Fingerprint, MerchantId, OrderId, PaymentId,
};
use crate::domain::money::Fen;
use crate::domain::payment::{Mode, Scenario, Standing};
use crate::message::extract::{self, ExtractError, Extracted, Request};
use crate::message::node::ReadError;
use crate::policy::{self, Basis, Effect, Facts, Permit, Reason, Verification};
use crate::reconcile::hold::HoldKey;
use crate::service::refusal::Refusal;
use crate::service::verify::{Gathered, Question};
use crate::service::{Binding, Channel, Service};
use crate::store::{Agreement, Evidence, Record};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What is known of a message between its permit and its answer.
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
    pub(crate) waited: Duration,
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

impl Pending {
    /// The payment's id.
    pub const fn payment(&self) -> PaymentId {
        self.payment
    }

    /// How long providers were waited for before the permit.
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// The channel that the message goes to.
    pub const fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }
}

/// A message on its way to a decision.
struct Draft {
    payment: PaymentId,
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
    ) -> Result<(Permit, Pending), Box<Refusal>> {
        let begun = Instant::now();
        let draft = match extract::extract(&channel.profile, request) {
            Ok(extracted) => self.appraise(channel, extracted, begun).await,
            Err(error) => self.unread(channel, &error, begun),
        };
        self.conclude(channel, draft)
    }

    /// A message that was read, with what the decision rests on.
    async fn appraise(
        self: &Arc<Self>,
        channel: &Arc<Channel>,
        extracted: Extracted<'_>,
        begun: Instant,
    ) -> Draft {
        let at = self.now();
        let mode = mode(channel.binding, extracted.payment.order.as_ref());
        let (basis, known) = self.facts(channel, &extracted, mode).await;
        let payment = &extracted.payment;
        Draft {
            payment: self.new_id(at),
            at,
            begun,
            message: position(&channel.profile.messages, extracted.message),
            scenario: payment.scenario,
            mode,
            basis,
            amount: payment.amount,
            carried: payment.elements.set(),
            asserted: !payment.asserted.is_empty() && payment.scenario.is_verified(),
            checks: checks(&extracted, &known),
            invalid: extracted.invalid.iter().map(|invalid| invalid.element()).collect(),
            known,
            unread: None,
            agreement: extracted.payment.agreement,
            remember: extracted.remember,
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
        }
    }

    /// Decides, records, and opens the expectation of a payment that may leave.
    fn conclude(
        &self,
        channel: &Arc<Channel>,
        draft: Draft,
    ) -> Result<(Permit, Pending), Box<Refusal>> {
        let Draft { payment, scenario, mode, basis, asserted, known, .. } = draft;
        let facts = Facts { scenario, mode, basis, asserted, held: known.held };
        let decision = policy::decide(&self.policy, &facts);
        let (effect, reasons) = (decision.effect(), decision.reasons().to_vec());
        self.metrics.on_decision(channel.name(), scenario, effect, mode);
        self.store.put_record(Record {
            payment,
            at: draft.at,
            channel: channel.name().clone(),
            scenario,
            order: known.order.clone(),
            amount: draft.amount,
            carried: draft.carried,
            mode,
            effect,
            reasons: reasons.clone(),
            verified: known.verified.clone(),
            asked_now: known.asked_now,
            judged_in: draft.begun.elapsed(),
            outcome: None,
            mismatch: None,
        });
        let permit = match decision.into_permit() {
            Ok(permit) => permit,
            Err(reasons) => {
                let elements = match known.verified.as_ref().map(|evidence| evidence.answer) {
                    Some(Answer::NoMatch(elements)) => elements,
                    Some(_) | None => draft.invalid,
                };
                let first = reasons.first().map_or(403, |reason| reason.status());
                let (status, detail) =
                    draft.unread.map_or((first, None), |(status, text)| (status, Some(text)));
                return Err(Box::new(Refusal { payment, status, reasons, elements, detail }));
            }
        };
        if scenario.moves_money() {
            self.store.expect(channel.name(), payment);
        }
        let pending = Pending {
            channel: channel.clone(),
            payment,
            message: draft.message,
            scenario,
            mode,
            effect,
            reasons,
            asserted,
            waited: known.waited,
            known,
            agreement: draft.agreement,
            checks: draft.checks,
            remember: draft.remember,
            at: draft.at,
        };
        Ok((permit, pending))
    }

    /// What the decision rests on.
    async fn facts(
        self: &Arc<Self>,
        channel: &Arc<Channel>,
        extracted: &Extracted<'_>,
        mode: Mode,
    ) -> (Basis, Known) {
        let payment = &extracted.payment;
        let mut known = self.fingerprints(extracted);
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
        if !extracted.message.recall.is_empty() {
            let waiting = extracted.recall.as_ref();
            let waiting =
                waiting.and_then(|key| self.store.recall(channel.name(), key, self.now()));
            return match waiting {
                Some(bind) => {
                    (Basis::ConfirmsPermitted, Known { order: known.order, ..Known::from(bind) })
                }
                None => (Basis::ConfirmsUnseen, known),
            };
        }
        let basis = self.verification(channel, extracted, mode, &mut known).await;
        (basis, known)
    }

    /// What verification yields for the elements of a message.
    async fn verification(
        self: &Arc<Self>,
        channel: &Arc<Channel>,
        extracted: &Extracted<'_>,
        mode: Mode,
        known: &mut Known,
    ) -> Basis {
        let payment = &extracted.payment;
        if !extracted.invalid.is_empty() {
            return Basis::Verified(Verification::Answered(Answer::Invalid));
        }
        let Some((tuple, set)) = known.tuple else {
            return if extracted.sealed.is_empty() { Basis::Incomplete } else { Basis::Sealed };
        };
        known.held = self.is_held(channel, None, Some(tuple));
        let stopped = known.held && payment.scenario.stops_at_hold();
        let question = Question {
            channel,
            elements: &payment.elements,
            set,
            tuple,
            may_ask: mode == Mode::Enforce && !stopped,
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

    fn fingerprints(&self, extracted: &Extracted<'_>) -> Known {
        let payment = &extracted.payment;
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
fn checks(extracted: &Extracted<'_>, known: &Known) -> ElementSet {
    match known.tuple {
        Some((_, carried)) if !extracted.message.recall.is_empty() => {
            extracted.message.checks.intersection(carried)
        }
        Some(_) | None => extracted.payment.checks,
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
