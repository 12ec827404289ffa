//! What a question takes before it may be put: attempts on the card and the person, and money.

use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::element::Elements;
use crate::domain::id::{Bank, ProviderName};
use crate::domain::money::Fen;
use crate::domain::payment::Scenario;
use crate::policy::Reason;
use crate::provider::{Inquiry, Reply, Trouble};
use crate::route::attempts::{Asking, Heard, Subject};
use crate::route::spend::{Account, Cap, Spent};
use crate::service::facts::Known;
use crate::service::verify::Whose;
use crate::service::{Entry, Service};
use crate::store::reserve::{self, Attempts, Of, Reservation};
use crate::store::shelf::Range;
use crate::store::{Charge, Evidence, OpenInquiry, Witness};
use rust_decimal::prelude::ToPrimitive as _;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What may be spent within a day beside what each provider may cost, and what was, as was last heard from where it is kept.
#[derive(Debug, Default)]
pub struct Purse {
    /// For one merchant; without bounds where absent.
    pub per_merchant: Option<Fen>,
    seen: Mutex<BTreeMap<ProviderName, Spent>>,
}

impl Purse {
    /// One that lets so much be spent for each merchant.
    pub fn new(per_merchant: Option<Fen>) -> Self {
        Self { per_merchant, seen: Mutex::default() }
    }

    fn saw(&self, provider: &ProviderName, spent: Spent) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(provider.clone(), spent);
    }

    /// What share of its cap a provider has had today, as was last heard.
    pub(super) fn ratio(&self, provider: &ProviderName, cap: Fen, now: Timestamp) -> f64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = seen.get(provider).map_or(Fen::default(), |spent| spent.today(now));
        let float = |fen: Fen| fen.get().to_f64().unwrap_or_default();
        if cap == Fen::default() { 1.0 } else { float(spent) / float(cap) }
    }
}

impl Service {
    /// Of whom is asked with `elements`.
    pub(super) fn asked_about(&self, elements: &Elements) -> Vec<Of> {
        let others: Vec<_> = self.keys.read_at(self.now()).collect();
        let card = elements.pan.as_ref().map(|pan| Of {
            subject: Subject::Card,
            key: self.keys.current.card(pan),
            others: others.iter().map(|key| key.card(pan)).collect(),
        });
        let person = self.keys.current.person(elements).map(|key| Of {
            subject: Subject::Person,
            key,
            others: others.iter().filter_map(|key| key.person(elements)).collect(),
        });
        card.into_iter().chain(person).collect()
    }

    /// What a question to `entry` takes.
    pub(super) fn reservation(
        &self,
        entry: &Entry,
        inquiry: OpenInquiry,
        Whose { of, merchant, client, observed, .. }: Whose,
    ) -> Reservation {
        let provider = entry.cap.map(|most| {
            let account = Account::Provider(entry.provider.name().clone());
            Cap { account, most }
        });
        let own = merchant.clone().zip(self.purse.per_merchant);
        let own = own.map(|(merchant, most)| Cap { account: Account::Merchant(merchant), most });
        let observed =
            observed.then_some(Cap { account: Account::Observed, most: self.observe.cap });
        let rate = entry.prices.rates(inquiry.set).max().unwrap_or_default();
        let (source, at) = (entry.candidate.source.clone(), inquiry.at);
        Reservation {
            attempts: Attempts {
                of,
                asking: Asking { source, merchant, client, at },
                limits: self.attempts,
                alone: false,
            },
            // What is left of a fen is one: a cap is never passed.
            cost: Fen::new(rate.ceil().to_u64().unwrap_or(u64::MAX)),
            caps: provider.into_iter().chain(own).chain(observed).collect(),
            inquiry,
        }
    }

    /// What was spent by now: shown, and told once where it comes near a cap.
    pub(super) fn spent(&self, of: &Reservation, accounts: &BTreeMap<Account, (Fen, Fen)>) {
        for cap in &of.caps {
            let Some((before, after)) = accounts.get(&cap.account) else { continue };
            if let Account::Provider(name) = &cap.account {
                self.purse.saw(name, Spent { at: of.inquiry.at, fen: *after });
            }
            if cap.alerts(*before, *after) {
                let (spent, most) = (after.get(), cap.most.get());
                let account = cap.account.to_string().replace('\n', " ");
                tracing::warn!(account, spent, most, "four fifths of today's spend cap are spent");
            }
        }
    }

    /// Learns what was spent today by every process, and before this one began. Where the store is lost, what is known stands.
    pub async fn learn_spent(&self) {
        let at = self.now();
        for entry in self.providers.iter().filter(|entry| entry.cap.is_some()) {
            let name = entry.provider.name();
            let key = reserve::spent_by(&Account::Provider(name.clone()), at);
            let Ok(rows) = self.store.range(Range::one(&key)).await else { return };
            if let Some(Ok(fen)) = rows.first().map(|row| serde_json::from_str(&row.value)) {
                self.purse.saw(name, Spent { at, fen });
            }
        }
    }

    /// How many more attempts there are, where a refusal for these reasons is a matter of attempts.
    pub(super) async fn attempts_left(&self, known: &Known, reasons: &[Reason]) -> Option<u32> {
        let first = *reasons.first()?;
        if first == Reason::AttemptsSpent {
            return Some(0);
        }
        let evidence = known.verified.as_ref().filter(|_| first == Reason::NoMatch)?;
        let Evidence { witness: Witness::Provider(name), .. } = evidence else { return None };
        let entry = self.providers.iter().find(|entry| entry.provider.name() == name)?;
        let of = |subject, key, others| Of { subject, key, others };
        let card = known.card.map(|card| of(Subject::Card, card, known.other_cards.clone()));
        let person = known.person.map(|person| of(Subject::Person, person, Vec::new()));
        let (source, merchant) = (entry.candidate.source.clone(), known.merchant.as_ref());
        let merchant = merchant.map(|merchant| self.sharing.owner(merchant).clone());
        let attempts = Attempts {
            of: card.into_iter().chain(person).collect(),
            asking: Asking { source, merchant, client: None, at: self.now() },
            limits: self.attempts,
            alone: false,
        };
        let left = self.store.attempts_left(&attempts).await.ok()?;
        Some(left.unwrap_or(0))
    }
}

/// A question to `entry`, as it is kept from before it is sent.
pub(super) fn opened(
    entry: &Entry,
    inquiry: &Inquiry,
    scenario: Scenario,
    at: Timestamp,
) -> OpenInquiry {
    OpenInquiry {
        id: inquiry.id,
        provider: entry.provider.name().clone(),
        set: inquiry.set,
        scenario: Some(scenario),
        kind: Some(entry.candidate.asks),
        bank: inquiry.elements.pan.as_ref().map(|pan| Bank::new(pan.bin())),
        at,
    }
}

/// What became of it.
pub(super) fn charge(inquiry: OpenInquiry, reply: &Reply, took: Duration) -> Charge {
    // Of what was not sent there is nothing to tell of the provider.
    let sent = heard(reply) != Heard::NotSent;
    Charge {
        inquiry,
        answer: reply.answer,
        code: reply.code.clone(),
        trouble: reply.trouble.map(|trouble| trouble.as_str().into()),
        took_ms: sent.then(|| u32::try_from(took.as_millis()).unwrap_or(u32::MAX)),
        billable: reply.billable,
    }
}

/// What an attempt counts as.
pub(super) const fn heard(reply: &Reply) -> Heard {
    match reply.trouble {
        Some(Trouble::NotAsked | Trouble::Unwritable | Trouble::Rate | Trouble::Connect) => {
            Heard::NotSent
        }
        // The source may have been asked, and may have counted a wrong try.
        Some(
            Trouble::Silence
            | Trouble::Status
            | Trouble::TooLarge
            | Trouble::Unreadable
            | Trouble::Signature
            | Trouble::Unmapped,
        ) => Heard::Wrong,
        None => match reply.answer {
            Answer::Match => Heard::Right,
            Answer::NoMatch(_) => Heard::Wrong,
            Answer::Limited => Heard::Limited,
            Answer::CloseMatch
            | Answer::NoRecord
            | Answer::NotPossible
            | Answer::Invalid
            | Answer::Unavailable => Heard::Neither,
        },
    }
}
