//! Facts: what a decision rests on, from the message, from what is remembered, and from whom may be asked.

use crate::crypto::fingerprint::Fingerprinter;
use crate::domain::answer::Answer;
use crate::domain::chance::{Routed, Share};
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{AgreementId, Bank, ChannelName, Fingerprint, MerchantId, OrderId};
use crate::domain::kind::Kind;
use crate::domain::payment::{Mode, Scenario, Standing};
use crate::message::extract::Part;
use crate::message::profile::Message;
use crate::policy::{self, Basis, Verification, Wants};
use crate::reconcile::hold::HoldKey;
use crate::service::judge::Judging;
use crate::service::rules::Kept;
use crate::service::verify::{About, Gathered, Question};
use crate::service::{Channel, Service};
use crate::store::journal::StoreLost;
use crate::store::row::RowKey;
use crate::store::{Agreement, Evidence, Other};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What is known of the person behind a message, as fingerprints.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) merchant: Option<MerchantId>,
    pub(crate) order: Option<OrderId>,
    pub(crate) tuple: Option<(Fingerprint, ElementSet)>,
    /// Elements that the core told beside the message, or beside the bind of its agreement: the channel may have read others.
    pub(crate) asserted: ElementSet,
    /// The tuple as told by this merchant to this channel, where the core told any of it.
    pub(crate) told: Option<Fingerprint>,
    /// The tuple whoever sends it, where evidence on it is the merchant's own: what a hold is on that binds everybody.
    pub(crate) anyone: Option<Fingerprint>,
    /// The same under the other keys that are read.
    pub(crate) others: Vec<Other>,
    pub(crate) card: Option<Fingerprint>,
    /// The card under the other keys that are read.
    pub(crate) other_cards: Vec<Fingerprint>,
    /// By what is found what is kept of them.
    pub(crate) person: Option<Fingerprint>,
    /// The same under the other keys that are read.
    pub(crate) other_persons: Vec<Fingerprint>,
    /// The phone number.
    pub(crate) phone: Option<Fingerprint>,
    /// The same under the other keys that are read.
    pub(crate) other_phones: Vec<Fingerprint>,
    pub(crate) bank: Option<Bank>,
    pub(crate) verified: Option<Evidence>,
    /// Whether the agreement that is quoted is another merchant's: nothing is known of it, and nothing done to it.
    pub(crate) foreign: bool,
    pub(crate) asked_now: bool,
    pub(crate) routed: Option<Box<Routed>>,
    pub(crate) held: bool,
    /// How many accounts the person has open, where rules ask for it.
    pub(crate) accounts: Kept<u32>,
    /// How long providers were waited for.
    pub(crate) waited: Duration,
}

impl Service {
    /// What the decision on a message that is judged at `at` rests on.
    pub(crate) async fn facts(
        self: &Arc<Self>,
        judging: &Judging<'_>,
        part: &Part,
        at: Timestamp,
    ) -> (Basis, Box<Known>) {
        let Judging { channel, message, .. } = *judging;
        let payment = &part.payment;
        let mut known = self.fingerprints(channel, part, at);
        if payment.scenario == Scenario::Verify {
            return (Basis::Passing, known);
        }
        if let Some(id) = &payment.agreement {
            let (mut standing, agreement) = self.agreed(channel.name(), id).await;
            known.foreign = agreement.as_ref().is_some_and(|agreement| {
                let (theirs, own) = (&agreement.merchant, &known.merchant);
                theirs.is_some() && own.is_some() && theirs != own
            });
            if known.foreign {
                standing = Standing::Unknown;
            }
            let agreement = agreement.filter(|_| !known.foreign);
            let own = is_apart(agreement.as_ref(), part, &known).then(|| known.clone());
            if let Some(agreement) = agreement {
                if standing == Standing::Contradicted {
                    // Rare, and larger than the rest.
                    Box::pin(self.end_where_matched(channel, id, &agreement)).await;
                    standing = self.standing(channel.name(), id).0;
                }
                (known.tuple, known.others) = (agreement.tuple, Vec::new());
                (known.asserted, known.told) = (agreement.asserted, None);
                known.anyone = agreement.anyone;
                (known.card, known.person) = (agreement.card, agreement.person);
                known.other_cards.extend(agreement.other_cards);
                known.other_persons.extend(agreement.other_persons);
                known.bank = agreement.bank;
                known.verified = agreement.verified;
            }
            let quoted = Some(id).filter(|_| !known.foreign);
            known.held = self.is_held(channel, quoted, &known, at).await;
            if !payment.scenario.is_verified() {
                return (Basis::Passing, known);
            }
            let quoted = Basis::Agreement(standing);
            let Some(mut own) = own else { return (quoted, known) };
            // Which of the two the channel goes by, nobody says: both are judged.
            let basis = Box::pin(self.verification(judging, part, &mut own, at)).await;
            own.held |= known.held;
            return (policy::stricter(&self.policy, payment.scenario, basis, quoted), own);
        }
        if !payment.scenario.is_verified() {
            return (Basis::Passing, known);
        }
        if !message.recall.is_empty() {
            let mut waiting = None;
            if let Some(key) = &part.recall {
                waiting = self.store.recall(channel.name(), key, self.now());
                if waiting.is_none() {
                    self.fetch(RowKey::waiting(channel.name(), key)).await;
                    waiting = self.store.recall(channel.name(), key, self.now());
                }
            }
            return match waiting {
                Some(bind) => {
                    let mut known = Box::new(Known { order: known.order, ..Known::from(bind) });
                    known.told = told(channel, &known, &self.keys.current);
                    (Basis::ConfirmsPermitted, known)
                }
                None => (Basis::ConfirmsUnseen, known),
            };
        }
        if message.yields.is_some() && policy::confirms_by_sms(&self.policy, payment.scenario) {
            return (Basis::Unconfirmed, known);
        }
        let basis = self.verification(judging, part, &mut known, at).await;
        (basis, known)
    }

    /// What verification yields for the elements of a message.
    async fn verification(
        self: &Arc<Self>,
        judging: &Judging<'_>,
        part: &Part,
        known: &mut Known,
        at: Timestamp,
    ) -> Basis {
        let Judging { channel, mode, deadline, .. } = *judging;
        let payment = &part.payment;
        if !part.invalid.is_empty() {
            return Basis::Verified(Verification::Answered(Answer::Invalid));
        }
        let Some((tuple, set)) = known.tuple else {
            return if part.sealed.is_empty() { Basis::Incomplete } else { Basis::Sealed };
        };
        known.held = self.is_held(channel, None, known, at).await;
        if known.held {
            Box::pin(self.contradict_own(known, tuple)).await;
        }
        let stopped = known.held && payment.scenario.stops_at_hold();
        let question = Question {
            channel: Some(channel),
            scenario: payment.scenario,
            merchant: known.merchant.as_ref(),
            client: None,
            kind: Kind::Elements,
            elements: &payment.elements,
            set,
            about: About {
                tuple,
                others: known.others.iter().map(|other| other.tuple).collect(),
                anyone: known.anyones().collect(),
                person: known.person,
            },
            side: None,
            may_ask: mode == Mode::Enforce && !stopped,
            observed: false,
            deadline,
        };
        let asked = Instant::now();
        let gathered = self.gather(&question).await;
        known.waited = asked.elapsed();
        match gathered {
            Gathered::Evidence { evidence, asked_now, routed } => {
                known.routed = routed;
                known.asked_now = asked_now;
                if let Answer::NoMatch(_) = evidence.answer
                    && let Some(both) = Box::pin(self.combined(&question, payment, &evidence)).await
                {
                    known.waited = asked.elapsed();
                    known.verified = Some(both);
                    return Basis::Verified(Verification::Combined);
                }
                let answer = evidence.answer;
                known.verified = Some(evidence);
                Basis::Verified(Verification::Answered(answer))
            }
            Gathered::NoAnswer => Basis::Verified(Verification::Answered(Answer::Unavailable)),
            Gathered::AttemptsSpent => Basis::Verified(Verification::AttemptsSpent),
            Gathered::SpendCapped => Basis::Verified(Verification::SpendCapped),
            Gathered::NobodyCan => Basis::Verified(Verification::NobodyCan),
            Gathered::NotAsked => Basis::Verified(Verification::NotAsked),
        }
    }

    fn fingerprints(&self, channel: &Channel, part: &Part, at: Timestamp) -> Box<Known> {
        let payment = &part.payment;
        let carried = payment.elements.set();
        let set = if payment.scenario == Scenario::Verify {
            // What the core verifies through the channel proves what the channel checks, of what it read.
            let checked = payment.checks.difference(payment.asserted);
            Some(checked).filter(|set| !set.is_empty() && !set.meets(ElementSet::SECRET))
        } else {
            let wants = Wants {
                scenario: payment.scenario,
                merchant: payment.merchant.as_ref(),
                amount: payment.amount,
            };
            policy::set_to_verify(&self.policy, wants, carried)
        };
        let pan = payment.elements.pan.as_ref();
        let phone = payment.elements.phone.as_ref();
        let scope = self.sharing.scope(payment.merchant.as_ref());
        let under =
            |key: &Fingerprinter| Some((key.tuple_of(scope, &payment.elements, set?)?, set?));
        let anyone = |key: &Fingerprinter| scope.and_then(|_| key.tuple(&payment.elements, set?));
        let key = &self.keys.current;
        let mut known = Box::new(Known {
            merchant: payment.merchant.clone(),
            order: payment.order.clone(),
            tuple: under(key),
            anyone: anyone(key),
            asserted: payment.asserted,
            card: pan.map(|pan| key.card(pan)),
            person: key.person(&payment.elements),
            phone: phone.map(|phone| key.phone(phone)),
            bank: pan.map(|pan| Bank::new(pan.bin())),
            ..Known::default()
        });
        known.told = told(channel, &known, key);
        for other in self.keys.read_at(at) {
            if let Some((tuple, set)) = under(other) {
                let known_so = Known { tuple: Some((tuple, set)), ..Known::clone(&known) };
                let told = told(channel, &known_so, other);
                known.others.push(Other { tuple, told, anyone: anyone(other) });
            }
            known.other_cards.extend(pan.map(|pan| other.card(pan)));
            known.other_persons.extend(other.person(&payment.elements));
            known.other_phones.extend(phone.map(|phone| other.phone(phone)));
        }
        known
    }

    /// How an agreement stands. What another process released, bound or imported since is looked up before anybody is refused or marked.
    async fn agreed(
        &self,
        channel: &ChannelName,
        id: &AgreementId,
    ) -> (Standing, Option<Agreement>) {
        let known = self.standing(channel, id);
        if known.0 == Standing::Good {
            return known;
        }
        let hold = HoldKey::Agreement(channel.clone(), id.clone());
        // Where the store is lost, memory is what there is.
        let _ = self.fetch_all(vec![RowKey::agreement(channel, id), RowKey::hold(&hold)]).await;
        self.standing(channel, id)
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

    /// Whether a hold stands at `now`.
    async fn is_held(
        &self,
        channel: &Channel,
        agreement: Option<&AgreementId>,
        known: &Known,
        now: Timestamp,
    ) -> bool {
        let mut keys = hold_keys(channel.name(), agreement, known);
        let held = keys.any(|key| self.store.hold(&key, now).is_some());
        // Rare, and larger than the rest.
        held && Box::pin(self.is_held_still(channel, agreement, known, now)).await
    }

    /// Another process may have released what is known here, and so it is looked at where it is kept; what another process made, admission
    /// finds.
    async fn is_held_still(
        &self,
        channel: &Channel,
        agreement: Option<&AgreementId>,
        known: &Known,
        now: Timestamp,
    ) -> bool {
        for key in hold_keys(channel.name(), agreement, known) {
            if self.store.hold(&key, now).is_some() {
                self.fetch(RowKey::hold(&key)).await;
                if self.store.hold(&key, now).is_some() {
                    return true;
                }
            }
        }
        false
    }

    /// Where another merchant's debit made the hold, this one's evidence is contradicted by it as well.
    async fn contradict_own(&self, known: &Known, tuple: Fingerprint) {
        let now = self.now();
        let holds = known.anyones().filter_map(|it| self.store.hold(&HoldKey::Tuple(it), now));
        for hold in holds.collect::<Vec<_>>() {
            self.fetch(RowKey::evidence(&tuple)).await;
            let evidence = self.store.evidence(&tuple, &hold.channel, None, now);
            if evidence.is_some_and(|evidence| evidence.at <= hold.since) {
                self.store.contradict(&tuple, &hold.channel, None, hold.since);
            }
        }
    }

    /// Looks beyond memory. Where the store is lost, memory is what there is, and no money leaves on it.
    pub(crate) async fn fetch(&self, key: RowKey) {
        let _ = self.fetch_all(vec![key]).await;
    }

    /// As [`Self::fetch`].
    ///
    /// # Errors
    /// [`StoreLost`], for those who do not go on with what memory knows.
    pub(crate) async fn fetch_all(&self, keys: Vec<RowKey>) -> Result<(), StoreLost> {
        let of = keys.first().map_or("nothing", |key| key.of.as_str());
        let fetched = self.store.fetch(keys).await;
        if fetched.is_err() {
            tracing::warn!(of, "the store cannot be read");
        }
        fetched
    }
}

impl Known {
    /// The tuple whoever sends it, under whichever key.
    pub(crate) fn anyones(&self) -> impl Iterator<Item = Fingerprint> {
        self.anyone.into_iter().chain(self.others.iter().filter_map(|other| other.anyone))
    }

    /// `holdout`, if this is one of those that leave though verification refuses them. The lot is drawn once for a piece of
    /// evidence, so that nobody gets through by trying again: fingerprints are keyed, and nobody else can tell where theirs falls.
    pub(crate) fn spared(&self, holdout: Share) -> Option<Share> {
        let ((tuple, _), evidence) = self.tuple.zip(self.verified.as_ref())?;
        // FNV-1a: the digest is as good as random already; the time makes another lot of it.
        let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let at = evidence.at.as_millis().to_le_bytes();
        let lot = tuple.digest.iter().chain(&at).fold(0xcbf2_9ce4_8422_2325, fnv);
        Some(holdout).filter(|holdout| !self.held && holdout.takes(lot >> 16))
    }
}

/// Whether a message that quotes an agreement carries other elements than those that were bound, as far as can be seen: then it is judged
/// by its own as well. Too few to be verified, without a card that differs, are left to the agreement.
fn is_apart(agreement: Option<&Agreement>, part: &Part, known: &Known) -> bool {
    if part.invalid.iter().any(|invalid| ElementSet::OF_PERSON.contains(invalid.element())) {
        return true;
    }
    if let Some((tuple, _)) = known.tuple {
        let bound = agreement.and_then(|agreement| agreement.tuple).map(|(tuple, _)| tuple);
        let others = known.others.iter().map(|other| other.tuple);
        return !std::iter::once(tuple).chain(others).any(|tuple| bound == Some(tuple));
    }
    let card = agreement.and_then(|agreement| agreement.card);
    let mut cards = known.card.iter().chain(&known.other_cards);
    card.is_some_and(|bound| {
        let under_its_key = cards.find(|card| card.key == bound.key);
        under_its_key.is_some_and(|card| *card != bound)
    })
}

/// What a hold is on where the channel may have read other elements than the core told: nobody else's tuple.
fn told(channel: &Channel, known: &Known, key: &Fingerprinter) -> Option<Fingerprint> {
    let (tuple, set) = known.tuple?;
    let merchant = known.merchant.as_ref().map_or("", |merchant| &merchant.0);
    let told = || format!("{}\n{merchant}\n{tuple}", channel.name());
    known.asserted.meets(set).then(|| key.text("told", &told()))
}

impl From<Agreement> for Known {
    fn from(bind: Agreement) -> Self {
        Self {
            merchant: bind.merchant,
            tuple: bind.tuple,
            anyone: bind.anyone,
            asserted: bind.asserted,
            card: bind.card,
            other_cards: bind.other_cards,
            person: bind.person,
            other_persons: bind.other_persons,
            bank: bind.bank,
            verified: bind.verified,
            ..Self::default()
        }
    }
}

/// What may be held of a payment: its agreement, its tuple, and its tuple as told.
pub(crate) fn hold_keys(
    channel: &ChannelName,
    agreement: Option<&AgreementId>,
    known: &Known,
) -> impl Iterator<Item = HoldKey> {
    let agreement = agreement.map(|id| HoldKey::Agreement(channel.clone(), id.clone()));
    let tuples = known.tuple.map(|(tuple, _)| tuple).into_iter().chain(known.told);
    let others = known.others.iter().copied().flat_map(Other::holds);
    let tuples = tuples.chain(known.anyone).chain(others);
    agreement.into_iter().chain(tuples.map(HoldKey::Tuple))
}

/// Which elements a success proves: of those that the message carries, or that the first step of its bind carried, those that
/// were read there.
pub(crate) fn checks(message: &Message, carried: ElementSet, known: &Known) -> ElementSet {
    let checks = match known.tuple {
        Some((_, waiting)) if !message.recall.is_empty() => message.checks.intersection(waiting),
        Some(_) | None => carried,
    };
    checks.difference(known.asserted)
}
