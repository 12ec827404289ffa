//! One process: its callers judge, settle and bind as the service does, and tell the book.

use super::book::{Basis, Book, Fact, HOUR, Held, Left};
use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{
    AgreementId, ChannelName, Fingerprint, KeyId, OrderId, PaymentId, ProviderName, Road,
};
use crate::domain::outcome::{Arrival, Decline, Outcome, Precedence};
use crate::domain::payment::{Mode, Scenario};
use crate::policy::Effect;
use crate::reconcile::arrival::Step;
use crate::reconcile::hold::{Braking, Hold, HoldKey, Holding};
use crate::store::Owing;
use crate::store::journal::{Admission, Admitted, Journal as _, Leaving, Need, OrderKey};
use crate::store::memory::MemoryStore;
use crate::store::row::RowKey;
use crate::store::{
    Agreement, AgreementStore as _, Became, Evidence, EvidenceStore as _, HoldStore as _, Judged,
    PaymentStore as _, Record, Stakes, Witness,
};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

const HOLD_FOR: u64 = 4 * HOUR;
const MATCH_VALID_FOR: u64 = 8 * HOUR;

/// What the callers of one process share.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) number: usize,
    pub(super) store: Arc<MemoryStore>,
    pub(super) clock: Arc<AtomicU64>,
    pub(super) book: Arc<Mutex<Book>>,
    /// What this process heard last of each payment since it started.
    pub(super) heard: Arc<Mutex<BTreeMap<PaymentId, (Outcome, Arrival)>>>,
    /// The agreements that memory certainly knows, with their cards.
    pub(super) known: Arc<Mutex<BTreeMap<u16, u8>>>,
}

/// A money message that somebody wants to send.
#[derive(Clone, Debug)]
pub(super) struct Intent {
    pub(super) orders: Vec<(u64, PaymentId)>,
    pub(super) channel: u8,
    pub(super) rests_on: RestsOn,
    /// How many commits later a provider answers.
    pub(super) answers_after: u8,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum RestsOn {
    Tuple(u8),
    Agreement(u16),
}

pub(super) fn channel(number: u8) -> ChannelName {
    ChannelName::new(["acme", "bravo", "coda"][usize::from(number)])
}

pub(super) fn road(channel: u8) -> Option<Road> {
    (channel < 2).then(|| Road::new("road"))
}

pub(super) fn tuple(number: u8) -> Fingerprint {
    Fingerprint { key: KeyId(1), digest: [number; 32] }
}

pub(super) fn agreement(id: u16) -> AgreementId {
    AgreementId(id.to_string().into())
}

pub(super) fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

/// Agreements are all at one channel.
pub(super) fn hold_key(on: Held) -> HoldKey {
    match on {
        Held::Tuple(number) => HoldKey::Tuple(tuple(number)),
        Held::Agreement(id) => HoldKey::Agreement(channel(0), agreement(id)),
    }
}

pub(super) fn evidence(since: u64) -> Evidence {
    Evidence {
        answer: Answer::Match,
        elements: ElementSet::EMPTY,
        witness: Witness::Provider(ProviderName::new("first")),
        road: None,
        at: at(since),
        until: at(since + MATCH_VALID_FOR),
        beside: None,
        origin: None,
    }
}

pub(super) fn record(of: &Left, judged: u64) -> Record {
    Record {
        payment: of.payment,
        at: at(judged),
        channel: channel(of.channel),
        scenario: Scenario::Debit,
        order: Some(OrderId(of.order.to_string().into())),
        amount: None,
        carried: ElementSet::EMPTY,
        mode: Mode::Enforce,
        effect: Effect::Permit,
        reasons: Vec::new(),
        verified: None,
        asked_now: false,
        routed: None,
        held_out: None,
        judged_in: Duration::ZERO,
        became: Became::default(),
        judged: Judged::default(),
        row_of: None,
        stakes: Stakes::default(),
    }
}

pub(super) fn order_key(of: &Left) -> OrderKey {
    OrderKey {
        channel: ChannelName::new("any"),
        merchant: None,
        scenario: Scenario::Debit,
        confirms: false,
        order: OrderId(of.order.to_string().into()),
    }
}

pub(super) async fn commits(mut count: u8) {
    poll_fn(|_| {
        let ready = count == 0;
        count = count.saturating_sub(1);
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl Process {
    pub(super) fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    /// Judges a message, and judges it once more where another process knew better.
    pub(super) async fn judge(self, intent: Intent) {
        for last in [false, true] {
            let Some((basis, needs, held)) = self.facts(&intent).await else { return };
            let now = self.now();
            let left = intent.orders.iter().map(|(order, payment)| Left {
                payment: *payment,
                order: *order,
                channel: intent.channel,
                basis,
            });
            let left: Vec<Left> = left.collect();
            let leaving = left.iter().map(|left| Leaving {
                record: record(left, now).into(),
                order: Some(order_key(left)),
                needs: needs.clone(),
                expects: true,
            });
            let admission =
                Admission { payments: leaving.collect(), mode: Mode::Enforce, now: at(now) };
            self.book().touches(self.number, left.iter().map(|left| left.order));
            let admitted = self.store.admit(admission).await;
            match admitted {
                Ok(Admitted::Yes) => return self.book().leaves(left, &held, now),
                Ok(Admitted::AlreadySent) => return self.book().count("already sent"),
                Ok(Admitted::Held) => return self.book().count("held elsewhere"),
                Err(_) => return self.book().count("lost"),
                Ok(Admitted::Overtaken) => {
                    self.book().count(match basis {
                        Basis::Agreement(_) => "closed elsewhere",
                        Basis::Evidence { .. } => "contradicted elsewhere",
                    });
                    if !last {
                        let _ = self.store.fetch(needs.iter().map(Need::key).collect()).await;
                    }
                }
            }
        }
    }

    /// What a message rests on, what must be so for it, and what must not be held; nothing where it is refused.
    async fn facts(&self, intent: &Intent) -> Option<(Basis, Vec<Need>, Vec<Held>)> {
        let (store, name) = (&self.store, channel(intent.channel));
        let (basis, need, held) = match intent.rests_on {
            RestsOn::Agreement(id) => {
                if store.agreement(&name, &agreement(id)).is_none() {
                    let _ = store.fetch(vec![RowKey::agreement(&name, &agreement(id))]).await;
                }
                if store.agreement(&name, &agreement(id))?.closed {
                    self.book().count("closed");
                    return None;
                }
                let need = Need::Open(name, agreement(id));
                (Basis::Agreement(id), need, Held::Agreement(id))
            }
            RestsOn::Tuple(of) => {
                let road = road(intent.channel);
                let known = store.evidence(&tuple(of), &name, road.as_ref(), at(self.now()));
                let since = match known {
                    Some(known) => known.at.as_millis(),
                    None => self.ask(of, intent.answers_after).await,
                };
                let need = Need::Uncontradicted {
                    tuple: tuple(of),
                    channel: name,
                    road,
                    since: at(since),
                };
                (Basis::Evidence { tuple: of, since }, need, Held::Tuple(of))
            }
        };
        if store.hold(&hold_key(held), at(self.now())).is_some() {
            let _ = store.fetch(vec![RowKey::hold(&hold_key(held))]).await;
            if store.hold(&hold_key(held), at(self.now())).is_some() {
                self.book().count("held");
                return None;
            }
        }
        Some((basis, vec![Need::NotHeld(hold_key(held)), need], vec![held]))
    }

    /// Asks a provider; yields when.
    async fn ask(&self, of: u8, answers_after: u8) -> u64 {
        let since = self.now();
        commits(answers_after).await;
        let mut book = self.book();
        book.count("asked");
        book.asked.push((of, since));
        self.store.put_evidence(tuple(of), None, evidence(since));
        since
    }

    /// An outcome of a payment, which this process or the other sent.
    pub(super) async fn settle(self, left: Left, outcome: Outcome, arrival: Arrival) {
        let mut rests_on = match left.basis {
            Basis::Agreement(id) => vec![RowKey::agreement(&channel(0), &agreement(id))],
            Basis::Evidence { tuple: of, .. } => vec![RowKey::evidence(&tuple(of))],
        };
        if arrival == Arrival::Sync {
            // Who sent it knows.
            rests_on.clear();
        } else if self.store.fetch(rests_on).await.is_err() {
            return;
        }
        let now = self.now();
        let record = record(&left, now);
        let step =
            self.store.arrive(&record, (outcome, None, arrival), Precedence::default(), record.at);
        let heard = self.heard.lock().unwrap().get(&left.payment).copied();
        if heard == Some((outcome, arrival)) {
            self.book().count("heard twice");
            assert_eq!(step, Step::Nothing, "{left:?} comes again");
        }
        if step == Step::Nothing {
            self.book().count("outcome nothing");
            return;
        }
        self.heard.lock().unwrap().insert(left.payment, (outcome, arrival));
        self.book().count("outcome");
        let mut facts = Vec::new();
        match (outcome, left.basis) {
            (Outcome::NoMatch(_), basis) => {
                let on = match basis {
                    Basis::Agreement(id) => Held::Agreement(id),
                    Basis::Evidence { tuple, .. } => Held::Tuple(tuple),
                };
                facts.extend(self.hold(on, left.payment, now));
                if let Basis::Evidence { tuple: of, since } = basis {
                    let (name, since) = (channel(left.channel), now.max(since));
                    let road = road(left.channel);
                    self.store.contradict(&tuple(of), &name, road.as_ref(), at(since));
                    let channel = left.channel;
                    facts.push(Fact::Contradicted { tuple: of, channel, at: since });
                }
            }
            (Outcome::Declined(Decline::AgreementInvalid), Basis::Agreement(id)) => {
                self.store.close_agreement(&channel(0), &agreement(id));
                facts.push(Fact::Closed(id));
            }
            _ => (),
        }
        let ended = !outcome.is_open();
        if ended {
            self.book().ends(left.payment);
        }
        let owing = if ended { Owing::Nothing } else { Owing::AsBefore };
        self.store.complete(&record, None, owing);
        self.durably(facts).await;
    }

    /// What was written and could not be kept is tried again, whoever gave it up.
    async fn durably(&self, facts: Vec<Fact>) {
        while self.store.flush().await.is_err() {
            self.book().count("flushed again");
        }
        self.book().durable(facts);
    }

    /// Makes a hold, or leaves the one that stands.
    fn hold(&self, on: Held, by: PaymentId, now: u64) -> Option<Fact> {
        let until = at(now + HOLD_FOR);
        let hold = Hold {
            key: hold_key(on),
            channel: channel(0),
            payment: by,
            since: at(now),
            until,
            person: None,
        };
        let braking = Braking { bank: None, matched: true, per_hour: usize::MAX };
        let made = self.store.make_hold(hold, braking);
        let mut book = self.book();
        book.count(match made {
            Holding::Made => "hold made",
            Holding::Standing => "hold standing",
            Holding::Paused => "hold paused",
        });
        (made == Holding::Made)
            .then(|| Fact::Hold(book.holds(self.number, on, by, until.as_millis())))
    }

    pub(super) async fn bind(self, id: u16, card: u8, closes_same_card: bool) {
        let bound = Agreement {
            anyone: None,
            merchant: None,
            tuple: None,
            card: Some(tuple(100 + card)),
            other_cards: Vec::new(),
            other_persons: Vec::new(),
            person: None,
            bank: None,
            asserted: ElementSet::EMPTY,
            verified: None,
            good: true,
            closed: false,
            at: at(self.now()),
        };
        self.store.put_agreement(&channel(0), agreement(id), bound, closes_same_card);
        let mut facts = vec![Fact::Bound(id)];
        if closes_same_card {
            let known = self.known.lock().unwrap();
            let same = known.iter().filter(|(_, of)| **of == card);
            facts.extend(same.map(|(id, _)| Fact::Closed(*id)));
        }
        self.known.lock().unwrap().insert(id, card);
        self.durably(facts).await;
    }
}
