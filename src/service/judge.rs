//! Judging: a complete request becomes a permit and what must be remembered until its answer, or a refusal.

mod draft;

use crate::domain::chance::Share;
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{AgreementId, OrderId, PaymentId};
use crate::domain::money::Fen;
use crate::domain::pan::{AccountKind, Pan};
use crate::domain::payment::{Mode, Scenario};
use crate::message::extract::{self, ExtractError, Extracted, Part, Payments, Request};
use crate::message::marked::{HEADER, Marked};
use crate::message::node::ReadError;
use crate::message::profile::Message;
use crate::policy::{self, Basis, Decision, Effect, Facts, Permit, Reason};
use crate::service::admission::Withheld;
use crate::service::afterwards::Later;
use crate::service::balance::{Balance, Funded};
use crate::service::batch::Batch;
use crate::service::facts::{self, Known};
use crate::service::refusal::Refusal;
use crate::service::rules::Ruling;
use crate::service::{Binding, Channel, Service};
use crate::store::Record;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What is known of a message between its permit and its answer.
#[derive(Debug)]
pub enum Judged {
    /// One payment.
    One(Box<Pending>),
    /// A batch.
    Batch(Box<Batch>),
}

impl Judged {
    /// How long providers were waited for before the permit.
    pub fn waited(&self) -> Duration {
        match self {
            Self::One(pending) => pending.waited,
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
    /// Which of the profile's messages it is; absent where it could not be read.
    pub(crate) message: Option<usize>,
    pub(crate) record: Box<Record>,
    pub(crate) asserted: bool,
    /// How long providers were waited for.
    pub(crate) waited: Duration,
    pub(crate) remember: Option<String>,
    /// The order that it undoes.
    pub(crate) undoes: Option<OrderId>,
    /// What names its row, where it is one of a batch.
    pub(crate) row: Option<String>,
    /// What is asked once it is over.
    pub(crate) later: Option<Box<Later>>,
    /// What is told of the account that funds it.
    pub(crate) funded: Option<Box<Funded>>,
}

/// What was decided, and why.
pub(crate) type Decided = (Effect, Vec<Reason>);

/// A message on its way to a decision.
pub(crate) struct Draft {
    pub(crate) payment: PaymentId,
    pub(crate) at: Timestamp,
    begun: Instant,
    message: Option<usize>,
    pub(crate) scenario: Scenario,
    pub(crate) mode: Mode,
    basis: Basis,
    pub(crate) known: Box<Known>,
    pub(crate) amount: Option<Fen>,
    carried: ElementSet,
    asserted: bool,
    agreement: Option<AgreementId>,
    checks: ElementSet,
    remember: Option<String>,
    undoes: Option<OrderId>,
    /// Of which share it is one that leaves though verification refuses it, if it is.
    spared: Option<Share>,
    /// Elements that are not valid as such.
    invalid: ElementSet,
    /// Why it could not be read: its own status, and a text without values.
    unread: Option<(u16, String)>,
    /// What names its row, where it is one of a batch.
    row: Option<String>,
    later: Option<Box<Later>>,
    /// That batch, and the row's number, from 1.
    pub(crate) row_of: Option<(PaymentId, usize)>,
    kind: Option<AccountKind>,
    /// Of a thousand such answers, how many are borne out, where rules ask for it.
    concordance: Option<u16>,
    /// What rules say of it, where there are any.
    pub(crate) rules: Option<Ruling>,
    /// The balance that is to fund it, where one is.
    pub(crate) balance: Option<Box<Balance>>,
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
    /// Whether it was judged before, and overtaken.
    pub(crate) last: bool,
    /// Of which batch it is a row, and which.
    pub(crate) row_of: Option<(PaymentId, usize)>,
    /// By which balance it is to be funded, where the core says so.
    pub(crate) marked: Option<&'a Marked>,
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
        self.judge_marked(channel, request, None).await
    }

    /// As [`Self::judge`], of one that the core may have marked as funded by balance.
    ///
    /// # Errors
    /// The refusal, where there is no permit; nothing was sent.
    pub async fn judge_marked(
        self: &Arc<Self>,
        channel: &Arc<Channel>,
        request: &Request<'_>,
        marked: Option<&Marked>,
    ) -> Result<(Permit, Judged), Box<Refusal>> {
        let begun = Instant::now();
        let mut last = false;
        loop {
            match self.judge_once(channel, (request, marked), begun, last).await {
                Ok(judged) => return Ok(judged),
                Err(Withheld::Refused(refusal)) => return Err(refusal),
                Err(Withheld::Overtaken(keys)) => {
                    // Where the store is lost now, admission will say so.
                    let _ = self.store.fetch(keys).await;
                    last = true;
                }
            }
        }
    }

    async fn judge_once(
        self: &Arc<Self>,
        channel: &Arc<Channel>,
        (request, marked): (&Request<'_>, Option<&Marked>),
        begun: Instant,
        last: bool,
    ) -> Result<(Permit, Judged), Withheld<Box<Refusal>>> {
        let draft = match extract::extract(&channel.profile, request) {
            Ok(Extracted { message, order, payments }) => {
                let first = payments.first().and_then(|part| part.payment.order.as_ref());
                let mode = mode(channel.binding, first, request);
                let scenario = payments.first().map(|part| part.payment.scenario);
                let deadline = begun + self.waits_for(scenario.unwrap_or(message.scenario));
                let row_of = None;
                let judging =
                    Judging { channel, message, mode, begun, deadline, last, row_of, marked };
                match payments {
                    Payments::One(part) => self.appraise(&judging, part).await,
                    Payments::Rows(_) if marked.is_some() => {
                        let error = ReadError::unreadable(HEADER, "told beside a batch").into();
                        self.unread(channel, &error, mode, begun)
                    }
                    Payments::Rows(rows) => {
                        return Box::pin(self.judge_batch(judging, order, rows)).await;
                    }
                }
            }
            Err(error) => self.unread(channel, &error, mode(channel.binding, None, request), begun),
        };
        let (permit, pending) = self.conclude(channel, draft, last).await?;
        self.undoing(&pending);
        Ok((permit, Judged::One(pending)))
    }

    /// A payment that was read, with what the decision rests on.
    pub(crate) async fn appraise(
        self: &Arc<Self>,
        judging: &Judging<'_>,
        part: Box<Part>,
    ) -> Box<Draft> {
        let at = self.now();
        let Judging { channel, message, mode, begun, row_of, marked, .. } = *judging;
        let (basis, known) = self.facts(judging, &part, at).await;
        let payment = &part.payment;
        let id = row_of.map_or_else(|| self.new_id(at), |(batch, number)| batch.row(number));
        let later = self.sampled(mode, basis, &known, (id, payment));
        let mut draft = Box::new(Draft {
            payment: id,
            at,
            begun,
            message: position(&channel.profile.messages, message),
            scenario: payment.scenario,
            mode,
            basis,
            amount: payment.amount,
            carried: payment.elements.set(),
            asserted: !known.asserted.is_empty() && payment.scenario.is_verified(),
            kind: payment.elements.pan.as_ref().map(Pan::kind),
            checks: facts::checks(message, payment.checks, &known),
            agreement: part.payment.agreement.filter(|_| !known.foreign),
            later,
            invalid: part.invalid.iter().map(|invalid| invalid.element()).collect(),
            spared: known.spared(self.policy.holdout),
            known,
            unread: None,
            remember: part.remember,
            undoes: part.undoes,
            row: part.row,
            row_of,
            concordance: None,
            rules: None,
            balance: marked.map(|it| Box::new(self.balance(it, &part.payment.elements))),
        });
        if let Some(book) = self.rules.as_ref().filter(|_| basis.is_ruled()) {
            if book.asks_for_concordance() {
                let (evidence, bank) = (draft.known.verified.as_ref(), draft.known.bank.as_ref());
                draft.concordance = self.borne_out(channel.name(), bank, evidence, at);
            }
            if book.asks_for_accounts() {
                // Rare, and larger than the rest.
                let told = (&part.payment.elements, judging.deadline);
                Box::pin(self.see_accounts(book, &mut draft, told)).await;
            }
            draft.rules = Some(book.judge(&draft.seen(channel), draft.draw()));
        }
        draft
    }

    /// A request that yields no payment: refused in enforce, marked in observe.
    fn unread(
        &self,
        channel: &Channel,
        error: &ExtractError,
        mode: Mode,
        begun: Instant,
    ) -> Box<Draft> {
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
        Box::new(Draft {
            payment: self.new_id(at),
            at,
            begun,
            message: None,
            scenario: Scenario::Other,
            mode,
            basis,
            known: Box::default(),
            amount: None,
            carried: ElementSet::EMPTY,
            asserted: false,
            agreement: None,
            checks: ElementSet::EMPTY,
            remember: None,
            undoes: None,
            spared: None,
            invalid: ElementSet::EMPTY,
            unread: Some((status, error.to_string())),
            row: None,
            later: None,
            row_of: None,
            kind: None,
            concordance: None,
            rules: None,
            balance: None,
        })
    }

    /// Decides, admits what may leave, and records either.
    async fn conclude(
        &self,
        channel: &Arc<Channel>,
        mut draft: Box<Draft>,
        last: bool,
    ) -> Result<(Permit, Box<Pending>), Withheld<Box<Refusal>>> {
        let decision = self.decide(&draft);
        let decided = (decision.effect(), decision.reasons().to_vec());
        let permit = match decision.into_permit() {
            // Rare, and larger than the rest.
            Ok(permit) if draft.balance.is_some() => {
                Box::pin(self.fund(permit, &mut draft)).await.map_err(|reason| vec![reason])
            }
            permit => permit,
        };
        let admitted = match permit {
            Ok(permit) => {
                let decided = draft.remarked(decided);
                let (leaving, record) =
                    Self::leaving(channel, &draft, decided, draft.order_key(channel));
                let admitted =
                    self.admit(permit, (draft.mode, draft.scenario), vec![leaving], last).await;
                if admitted.is_err() && draft.balance.is_some() {
                    Box::pin(self.unfund(&mut draft)).await;
                }
                admitted.map(|admitted| (admitted, record))
            }
            Err(reasons) => Err(Withheld::Refused(reasons)),
        };
        match admitted {
            Ok(((permit, remark), mut record)) => {
                self.funded_leaves(&draft);
                self.left(channel, &draft, &mut record, remark);
                Ok((permit, Self::pending(channel, draft, record)))
            }
            Err(Withheld::Overtaken(keys)) => Err(Withheld::Overtaken(keys)),
            Err(Withheld::Refused(reasons)) => {
                self.record(channel, &draft, (Effect::Refuse, reasons.clone()));
                let first = reasons.first().map_or(403, |reason| reason.status());
                let elements = draft.at_fault();
                let attempts_left = self.attempts_left(&draft.known, &reasons).await;
                // Rare, and larger than the rest.
                let earlier = Box::pin(self.earlier(channel, &draft, &reasons)).await;
                let rule = draft.rules.as_ref().and_then(|ruling| ruling.note(&reasons));
                let (status, detail) =
                    draft.unread.map_or((first, None), |(status, text)| (status, Some(text)));
                Err(Withheld::Refused(Box::new(Refusal {
                    payment: draft.payment,
                    status,
                    reasons,
                    elements,
                    attempts_left,
                    earlier,
                    detail,
                    rows: Vec::new(),
                    rule,
                    funded: draft.balance.and_then(|balance| balance.told),
                })))
            }
        }
    }

    pub(crate) fn decide(&self, draft: &Draft) -> Decision {
        let Draft { scenario, mode, basis, asserted, known, .. } = draft;
        let (scenario, mode, basis) = (*scenario, *mode, *basis);
        let facts = Facts {
            scenario,
            mode,
            basis,
            asserted: *asserted,
            held: known.held,
            spared: draft.spared.is_some(),
        };
        policy::decide_by(&self.policy, &facts, draft.rules.as_ref().map(Ruling::verdict))
    }

    /// Counts what rules said, and the payment for those to come.
    fn tell_rules(&self, channel: &Channel, draft: &Draft) {
        if let Some(ruling) = &draft.rules {
            ruling.tell(&self.metrics, draft.mode, &draft.seen(channel));
        }
    }

    /// Counts and keeps the decision on a message that does not leave.
    pub(crate) fn record(&self, channel: &Channel, draft: &Draft, decided: Decided) {
        self.metrics.on_decision(channel.name(), draft.scenario, decided.0, draft.mode);
        self.tell_rules(channel, draft);
        self.store.put_record(*draft.record(channel, decided, None));
    }

    /// Counts the decision on a message that leaves, and keeps a remark that admission made on it.
    pub(crate) fn left(
        &self,
        channel: &Channel,
        draft: &Draft,
        record: &mut Record,
        remark: Option<Reason>,
    ) {
        if let Some(remark) = remark {
            record.effect = record.effect.max(Effect::Annotate);
            record.reasons.push(remark);
            self.store.put_record(record.clone());
        }
        self.metrics.on_decision(channel.name(), draft.scenario, record.effect, draft.mode);
        self.tell_rules(channel, draft);
    }

    /// What is remembered of a message that leaves, until its answer.
    pub(crate) fn pending(
        channel: &Arc<Channel>,
        draft: Box<Draft>,
        record: Box<Record>,
    ) -> Box<Pending> {
        Box::new(Pending {
            channel: channel.clone(),
            message: draft.message,
            record,
            asserted: draft.asserted,
            waited: draft.known.waited,
            remember: draft.remember,
            undoes: draft.undoes,
            row: draft.row,
            later: draft.later,
            funded: draft.balance.and_then(|balance| balance.told).map(Box::new),
        })
    }
}

/// Whether decisions bind for an order: by a hash of it, so that every message of an order fares alike. What names none is
/// known by itself.
fn mode(binding: Binding, order: Option<&OrderId>, request: &Request<'_>) -> Mode {
    let Binding::Enforce(percent) = binding else { return Mode::Observe };
    let itself = request.query.unwrap_or_default().bytes().chain(request.body.iter().copied());
    // FNV-1a: spread matters here, secrecy does not.
    let fnv = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let begin = 0xcbf2_9ce4_8422_2325;
    let hash =
        order.map_or_else(|| itself.fold(begin, fnv), |order| order.0.bytes().fold(begin, fnv));
    if (hash >> 32) % 100 < u64::from(percent) { Mode::Enforce } else { Mode::Observe }
}

fn position<T>(all: &[T], one: &T) -> Option<usize> {
    all.iter().position(|other| std::ptr::eq(other, one))
}
