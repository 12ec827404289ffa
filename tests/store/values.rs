//! Values that stores keep.

use hefu::domain::answer::Answer;
use hefu::domain::clock::Timestamp;
use hefu::domain::element::{Element, ElementSet};
use hefu::domain::id::{
    Bank, ChannelName, Fingerprint, KeyId, MerchantId, OrderId, PaymentId, ProviderName, Road,
};
use hefu::domain::money::Fen;
use hefu::domain::payment::{Mode, Scenario};
use hefu::policy::{Effect, Reason};
use hefu::reconcile::hold::{Braking, Hold, HoldKey};
use hefu::store::journal::{Admission, Leaving, Need, OrderKey};
use hefu::store::{Agreement, Became, Evidence, Judged, Record, Stakes, Witness};
use std::time::Duration;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(crate) fn channel() -> ChannelName {
    ChannelName::new("acme")
}

pub(crate) fn road() -> Road {
    Road::new("road")
}

pub(crate) fn tuple(digit: u8) -> Fingerprint {
    Fingerprint { key: KeyId(1), digest: [digit; 32] }
}

pub(crate) fn four() -> ElementSet {
    [Element::Name, Element::IdNumber, Element::Pan, Element::Phone].into_iter().collect()
}

pub(crate) fn evidence(answer: Answer) -> Evidence {
    Evidence {
        answer,
        elements: four(),
        witness: Witness::Provider(ProviderName::new("first")),
        road: Some(road()),
        at: NOW,
        until: NOW.plus(Duration::from_hours(1)),
        beside: None,
        origin: None,
    }
}

pub(crate) fn agreement(card: u8) -> Agreement {
    Agreement {
        anyone: None,
        merchant: Some(MerchantId("m".into())),
        tuple: Some((tuple(card), four())),
        card: Some(tuple(card)),
        other_cards: Vec::new(),
        other_persons: Vec::new(),
        person: None,
        bank: Some(Bank::new("620000")),
        asserted: ElementSet::EMPTY,
        verified: Some(evidence(Answer::Match)),
        good: true,
        closed: false,
        at: NOW,
    }
}

pub(crate) fn hold(key: HoldKey) -> Hold {
    Hold {
        key,
        channel: channel(),
        payment: payment(9),
        since: NOW,
        until: NOW.plus(Duration::from_hours(1)),
        person: None,
    }
}

pub(crate) const fn braking(per_hour: usize) -> Braking<'static> {
    Braking { bank: None, matched: true, per_hour }
}

pub(crate) fn payment(number: u128) -> PaymentId {
    PaymentId::new(NOW, number)
}

pub(crate) fn record(number: u128) -> Record {
    Record {
        payment: payment(number),
        at: NOW,
        channel: channel(),
        scenario: Scenario::Debit,
        order: Some(OrderId("o".into())),
        amount: Some(Fen::new(100)),
        carried: four(),
        mode: Mode::Enforce,
        effect: Effect::Annotate,
        reasons: vec![Reason::Asserted],
        verified: Some(evidence(Answer::NoMatch(ElementSet::EMPTY.with(Element::Phone)))),
        asked_now: true,
        routed: None,
        held_out: None,
        judged_in: Duration::from_micros(120),
        became: Became::default(),
        judged: Judged::default(),
        row_of: None,
        stakes: Stakes::default(),
    }
}

pub(crate) fn order(name: &str) -> OrderKey {
    OrderKey {
        channel: channel(),
        merchant: Some(MerchantId("m".into())),
        scenario: Scenario::Debit,
        confirms: false,
        order: OrderId(name.into()),
    }
}

/// A debit that is about to leave.
pub(crate) fn leaving(number: u128, name: &str) -> Leaving {
    let needs = vec![Need::NotHeld(HoldKey::Tuple(tuple(1)))];
    Leaving { record: record(number).into(), order: Some(order(name)), needs, expects: true }
}

pub(crate) fn admission(payments: Vec<Leaving>) -> Admission {
    Admission { payments, mode: Mode::Enforce, now: NOW }
}
