//! Gathering evidence: what is known already, then providers in turn, one inquiry at a time for one question.

mod afresh;
mod kept;

use crate::domain::answer::Answer;
use crate::domain::chance::Routed;
use crate::domain::clock::Timestamp;
use crate::domain::element::{ElementSet, Elements};
use crate::domain::id::{ClientName, Fingerprint, MerchantId, PaymentId};
use crate::domain::identity::IdNumber;
use crate::domain::kind::Kind;
use crate::domain::pan::Pan;
use crate::domain::payment::Scenario;
use crate::metrics::EvidenceUse;
use crate::provider::{Inquiry, More, Reply, Trouble, trace};
use crate::reconcile::hold::{Hold, HoldKey};
use crate::route::combination::Side;
use crate::route::{self, LeftOut, Next, Plan, Wanted};
use crate::service::attempts;
use crate::service::health::{Turn, Withheld};
use crate::service::traced::{journaled, told};
use crate::service::webhook::Event;
use crate::service::{Channel, Entry, Service};
use crate::store::journal::StoreLost;
use crate::store::reserve::{Of, Reserved};
use crate::store::row::RowKey;
use crate::store::{Evidence, Witness};
use dashmap::DashMap;
use dashmap::mapref::entry;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Questions that are being asked now, so that one tuple is asked about once.
pub type Flights = Arc<DashMap<Fingerprint, watch::Receiver<Option<Gathered>>>>;

/// What gathering yields.
#[derive(Clone, Debug, PartialEq)]
pub enum Gathered {
    /// Evidence that was kept, or that arrived now.
    Evidence {
        /// The evidence.
        evidence: Evidence,
        /// Whether it was asked for this message.
        asked_now: bool,
        /// How it came about who was asked, where not by priority alone.
        routed: Option<Box<Routed>>,
    },
    /// Nobody answered in time.
    NoAnswer,
    /// The card or the person was asked about as often as may be.
    AttemptsSpent,
    /// What may be spent within the day is spent.
    SpendCapped,
    /// No configured provider can answer this set for this kind of account and document.
    NobodyCan,
    /// There is none, and the mode forbids asking.
    NotAsked,
}

impl Gathered {
    /// What was answered, where anything was.
    const fn answer(&self) -> Option<Answer> {
        match self {
            Self::Evidence { evidence, .. } => Some(evidence.answer),
            Self::NoAnswer
            | Self::AttemptsSpent
            | Self::SpendCapped
            | Self::NobodyCan
            | Self::NotAsked => None,
        }
    }
}

/// What evidence is about, as fingerprints.
#[derive(Clone, Debug)]
pub struct About {
    /// The tuple.
    pub tuple: Fingerprint,
    /// The same tuple under the other keys that are read.
    pub others: Vec<Fingerprint>,
    /// The tuple whoever sends it, under whichever key, where evidence on it is a merchant's own.
    pub anyone: Vec<Fingerprint>,
    /// By what is found what is kept of the person.
    pub person: Option<Fingerprint>,
}

impl About {
    /// What may be held of it.
    fn holds(&self) -> impl Iterator<Item = HoldKey> {
        let all = self.others.iter().chain(&self.anyone).copied();
        std::iter::once(self.tuple).chain(all).map(HoldKey::Tuple)
    }
}

/// The question that a message raises.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The channel that the message goes to; none where a client asks.
    pub channel: Option<&'a Channel>,
    /// What the message does.
    pub scenario: Scenario,
    /// The core's merchant.
    pub merchant: Option<&'a MerchantId>,
    /// The client that asks; none where a message does.
    pub client: Option<&'a ClientName>,
    /// What is asked.
    pub kind: Kind,
    /// Its elements.
    pub elements: &'a Elements,
    /// Which of them are to be verified.
    pub set: ElementSet,
    /// Their fingerprints.
    pub about: About,
    /// Who is to vouch for them; anybody where absent.
    pub side: Option<Side>,
    /// Whether providers may be asked.
    pub may_ask: bool,
    /// Whether it is asked about a payment that was forwarded anyway.
    pub observed: bool,
    /// Until when an answer is waited for; after it nobody is asked.
    pub deadline: Instant,
}

impl Service {
    /// Evidence for `question`, within the deadline.
    ///
    /// The asking is a task of its own: neither a core that hangs up nor the deadline loses an answer that is paid for.
    pub(crate) async fn gather(self: &Arc<Self>, question: &Question<'_>) -> Gathered {
        trace::part("verify", self.gather_now(question), told).await
    }

    async fn gather_now(self: &Arc<Self>, question: &Question<'_>) -> Gathered {
        match self.kept(question) {
            Some(kept) => kept,
            // Rarer, and larger.
            None => Box::pin(self.gather_afresh(question)).await,
        }
    }

    async fn gather_afresh(self: &Arc<Self>, question: &Question<'_>) -> Gathered {
        self.fetch(RowKey::evidence(&question.about.tuple)).await;
        if let Some(kept) = self.kept(question) {
            return kept;
        }
        if let Some(kept) = self.carried(question).await {
            return kept;
        }
        if !question.may_ask {
            self.metrics.on_evidence(EvidenceUse::Miss);
            return Gathered::NotAsked;
        }
        if Instant::now() >= question.deadline {
            return Gathered::NoAnswer;
        }
        let mut plan = self.plan(question);
        let trials = self.take_trials(&mut plan);
        if plan.order.is_empty() {
            return Gathered::NobodyCan;
        }
        let mut flight = self.board(question, self.routed(plan, question), trials);
        let landed = timeout_at(question.deadline, flight.wait_for(Option::is_some)).await;
        match landed {
            Ok(Ok(gathered)) => gathered.clone().unwrap_or(Gathered::NoAnswer),
            Ok(Err(_)) | Err(_) => Gathered::NoAnswer,
        }
    }

    /// Whom to ask.
    fn plan(&self, question: &Question<'_>) -> Plan {
        let elements = question.elements.restricted(question.set);
        let wanted = Wanted {
            asks: question.kind,
            set: question.set,
            kind: elements.pan.as_ref().map(Pan::kind),
            id_type: elements.id_number.as_ref().map(IdNumber::kind),
            bin: elements.pan.as_ref().map(Pan::bin),
            scenario: question.scenario,
            side: question.side,
            road: question.channel.and_then(|channel| channel.profile.road.as_ref()),
            draw: self.draw(),
        };
        let plan = route::plan(self.providers.iter().map(|entry| &entry.candidate), &wanted);
        let why = |(at, why): &(usize, _)| Some((self.providers.get(*at)?.provider.name(), *why));
        tracing::debug!(left_out = ?plan.left_out.iter().filter_map(why).collect::<Vec<(_, LeftOut)>>(), "whom to ask");
        plan
    }

    /// Joins the flight that asks this question, or starts it.
    fn board(
        self: &Arc<Self>,
        question: &Question<'_>,
        (plan, routed): (Plan, Option<Routed>),
        trials: Vec<usize>,
    ) -> watch::Receiver<Option<Gathered>> {
        let vacant = match self.flights.entry(question.about.tuple) {
            entry::Entry::Occupied(flight) => {
                self.metrics.on_evidence(EvidenceUse::Coalesced);
                return flight.get().clone();
            }
            entry::Entry::Vacant(vacant) => vacant,
        };
        // A flight may have landed since the look-up: what it found is not paid for twice.
        if let Some(kept) = self.kept(question) {
            return watch::channel(Some(kept)).1;
        }
        self.metrics.on_evidence(EvidenceUse::Miss);
        let (sender, receiver) = watch::channel(None);
        vacant.insert(receiver.clone());
        let landing = Landing { flights: self.flights.clone(), tuple: question.about.tuple };
        let inquiry = Inquiry {
            id: self.new_id(self.now()),
            elements: question.elements.restricted(question.set),
            set: question.set,
        };
        let (service, about) = (self.clone(), question.about.clone());
        let whose = self.whose(question, &inquiry);
        tokio::spawn(trace::carried(async move {
            // No deadline here: each provider has its own, and an answer that is paid for is kept however late it comes.
            let mut gathered = service.ask(&plan, &inquiry, &whose).await;
            if let Gathered::Evidence { evidence, routed: how, .. } = &mut gathered {
                *how = routed.map(Box::new);
                // What another process was told meanwhile is the newer word too.
                service.fetch(RowKey::evidence(&about.tuple)).await;
                for key in about.holds() {
                    service.fetch(RowKey::hold(&key)).await;
                }
                service.learn(&about, evidence.clone(), !whose.observed);
            }
            let answered = gathered.answer();
            sender.send_replace(Some(gathered));
            drop(landing);
            if let Some(answered) = answered {
                service.shadow(&trials, (&inquiry, &whose), answered).await;
            }
        }));
        receiver
    }

    /// As [`Self::hear`], where the answer is evidence.
    async fn ask(&self, plan: &Plan, inquiry: &Inquiry, whose: &Whose) -> Gathered {
        let told = |evidence| Gathered::Evidence { evidence, asked_now: true, routed: None };
        let heard = self.consult(plan, inquiry, whose).await;
        heard.map_or_else(Gathered::from, |(evidence, _)| told(evidence))
    }

    /// Asks providers in turn until one has learned something; the most telling answer counts.
    async fn consult(
        &self,
        plan: &Plan,
        inquiry: &Inquiry,
        whose: &Whose,
    ) -> Result<(Evidence, More), Short> {
        let mut best: Option<(Evidence, More)> = None;
        let mut short = Short::NobodyCan;
        // Whether the one before learned nothing, and whose word is known.
        let (mut failed, mut heard) = (false, Vec::<Box<str>>::new());
        let deadline = Instant::now() + self.waits_for(whose.scenario);
        self.retries.deposit();
        for entry in plan.order.iter().filter_map(|at| self.providers.get(*at)) {
            if heard.contains(&entry.candidate.source) {
                continue;
            }
            if Instant::now() >= deadline {
                short = Short::Unanswered;
                break;
            }
            let turn = match self.turn(entry, failed) {
                Ok(turn) => turn,
                Err(why) => {
                    short = Short::Unanswered;
                    self.metrics.on_withheld(entry.provider.name(), why.as_str());
                    continue;
                }
            };
            let asked = match self.put(entry, turn, inquiry, whose).await {
                Put::Asked(asked) => asked,
                Put::Short(why) => {
                    short = short.max(why);
                    continue;
                }
                Put::Lost => {
                    short = Short::Unanswered;
                    break;
                }
            };
            let reply = &asked.reply;
            if matches!(reply.trouble, Some(Trouble::NotAsked | Trouble::Unwritable)) {
                continue;
            }
            short = Short::Unanswered;
            if reply.trouble == Some(Trouble::Rate) {
                self.metrics.on_withheld(entry.provider.name(), Withheld::Rate.as_str());
                continue;
            }
            match route::next(reply.answer) {
                // What told us nothing is no evidence.
                Next::Anybody => {
                    failed = true;
                    continue;
                }
                Next::OtherSource | Next::Nobody => failed = false,
            }
            let telling = reply.answer.telling();
            if best.as_ref().is_none_or(|(best, _)| telling > best.answer.telling()) {
                best = Some((self.evidence_of(entry, inquiry, &asked), reply.more.clone()));
            }
            match route::next(reply.answer) {
                Next::Nobody => break,
                Next::OtherSource | Next::Anybody => {
                    // By either name: an answer may name the registry more closely than the provider's file does.
                    heard.push(entry.candidate.source.clone());
                    heard.extend(asked.reply.source);
                }
            }
        }
        best.ok_or(short)
    }

    /// Whether a provider may be asked now; `again` where another failed to answer the same.
    pub(super) fn turn<'a>(&self, entry: &'a Entry, again: bool) -> Result<Turn<'a>, Withheld> {
        let turn = entry.watch.turn(self.now())?;
        if again && !self.retries.withdraw() {
            return Err(Withheld::Retries);
        }
        Ok(turn)
    }

    /// Puts one question to one provider: durable before it is sent with the attempts and the money that it takes, and a charge
    /// afterwards.
    pub(super) async fn put(
        &self,
        entry: &Entry,
        turn: Turn<'_>,
        inquiry: &Inquiry,
        whose: &Whose,
    ) -> Put {
        let provider = &entry.provider;
        let (sent, at) = (Instant::now(), self.now());
        // Each may be billed, so each is one.
        let inquiry = &Inquiry { id: self.new_id(at), ..inquiry.clone() };
        let open = attempts::opened(entry, inquiry, whose.scenario, at);
        let reservation = self.reservation(entry, open.clone(), whose.clone());
        match journaled("inquiry", self.store.open_inquiry(&reservation)).await {
            Ok(Reserved::Yes(accounts)) => self.spent(&reservation, &accounts),
            Ok(Reserved::Denied(denied)) => {
                self.metrics.on_denied(denied);
                return Put::Short(Short::Denied);
            }
            Ok(Reserved::Capped(account)) => {
                self.metrics.on_withheld(provider.name(), account.as_str());
                return Put::Short(Short::Capped);
            }
            Err(StoreLost) => {
                tracing::error!("nobody is asked: the store cannot be written");
                return Put::Lost;
            }
        }
        let asked = Instant::now();
        let reply = provider.ask(inquiry, at).await;
        // Whoever takes longer than anybody waits is of no use, whatever it says; by itself, and not for what was asked before it.
        let late = asked.elapsed() >= self.waits_for(whose.scenario);
        turn.heard(&reply, late, self.now());
        let heard = attempts::heard(&reply);
        let Reply { answer, billable, .. } = reply;
        let charge = attempts::charge(open, &reply, asked.elapsed());
        self.store.close_inquiry(&charge, &reservation, heard, self.now());
        entry.watch.took(sent.elapsed());
        self.metrics.on_answer(provider.name(), inquiry.set, answer, sent.elapsed());
        self.metrics.on_charge(provider.name(), billable, entry.prices.first(inquiry.set));
        Put::Asked(Asked { id: inquiry.id, reply, at })
    }

    /// What a reply is worth.
    pub(super) fn evidence_of(&self, entry: &Entry, inquiry: &Inquiry, asked: &Asked) -> Evidence {
        let Asked { ref reply, at, .. } = *asked;
        let valid_for = match reply.answer {
            Answer::Match => self.settings.match_valid_for,
            Answer::CloseMatch
            | Answer::NoMatch(_)
            | Answer::NoRecord
            | Answer::NotPossible
            | Answer::Limited
            | Answer::Invalid
            | Answer::Unavailable => self.settings.other_valid_for,
        };
        let source = reply.source.as_deref().unwrap_or(&entry.candidate.source);
        let valid_for = self.validity.of(reply.answer, source).unwrap_or(valid_for);
        Evidence {
            answer: reply.answer,
            elements: inquiry.set,
            witness: Witness::Provider(entry.provider.name().clone()),
            road: Some(entry.provider.road().clone()),
            at,
            until: at.plus(valid_for),
            beside: None,
            origin: self.origin(entry, inquiry, asked),
        }
    }

    /// Keeps evidence; where it `settles`, a match ends what was held on its tuple, unless a channel spoke since it was asked for.
    pub(crate) fn learn(&self, about: &About, evidence: Evidence, settles: bool) {
        let (matched, asked, now) = (evidence.answer == Answer::Match, evidence.at, self.now());
        let matched = matched && settles;
        let tuple = about.tuple;
        self.store.put_evidence(tuple, about.person, evidence);
        for key in about.holds() {
            let Some(hold) = self.store.hold(&key, now) else { continue };
            if hold.since >= asked {
                // There was no evidence yet that it could contradict.
                self.store.contradict(&tuple, &hold.channel, None, hold.since);
            } else if matched && self.store.evidence(&tuple, &hold.channel, None, now).is_some() {
                self.end_hold(&key);
            }
        }
    }

    /// Ends a hold, if one stands.
    pub(crate) fn end_hold(&self, key: &HoldKey) -> Option<Hold> {
        let released = self.store.release(key);
        if let Some(hold) = &released {
            self.tell(Event::HoldReleased(hold));
        }
        released
    }
}

/// Of whom is asked, and for whom.
#[derive(Clone, Debug)]
pub(super) struct Whose {
    pub(super) of: Vec<Of>,
    pub(super) merchant: Option<MerchantId>,
    pub(super) client: Option<ClientName>,
    pub(super) scenario: Scenario,
    /// Whether the payment was forwarded anyway.
    pub(super) observed: bool,
}

/// Why nothing is known; the last of those that are so counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Short {
    /// None of them takes such a question at all.
    NobodyCan,
    /// What may be spent is spent.
    Capped,
    /// There are no attempts.
    Denied,
    /// One of them failed, or could not be asked now.
    Unanswered,
}

impl From<Short> for Gathered {
    fn from(short: Short) -> Self {
        match short {
            Short::NobodyCan => Self::NobodyCan,
            Short::Capped => Self::SpendCapped,
            Short::Denied => Self::AttemptsSpent,
            Short::Unanswered => Self::NoAnswer,
        }
    }
}

/// What came of putting a question.
pub(super) enum Put {
    /// It was put.
    Asked(Asked),
    /// It takes what is not to be had; another may be had for less.
    Short(Short),
    /// It cannot be kept.
    Lost,
}

/// A question that was put.
pub(super) struct Asked {
    pub(super) id: PaymentId,
    pub(super) reply: Reply,
    pub(super) at: Timestamp,
}

/// Clears the flight when the asking ends, however it ends.
struct Landing {
    flights: Flights,
    tuple: Fingerprint,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.remove(&self.tuple);
    }
}
