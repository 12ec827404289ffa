//! What traffic verified, and an upgrade need not ask again: exactly the elements that are told for it, and by whom it counts.

use crate::accounts::{CCB, Desk, ICBC, OTHER, id, person};
use crate::clients::alone;
use crate::{FOUR, key};
use hefu::crypto::keys::{Keys, Other};
use hefu::domain::account::Class;
use hefu::domain::answer::Answer;
use hefu::domain::clock::Clock as _;
use hefu::domain::element::{Element, ElementSet, Elements};
use hefu::domain::id::MerchantId;
use hefu::domain::identity::{IdNumber, IdType};
use hefu::domain::kind::Kind;
use hefu::domain::pan::{AccountKind, Pan};
use hefu::domain::payment::Scenario;
use hefu::domain::person::Mobile;
use hefu::service::Service;
use hefu::service::accounts::Shown;
use hefu::service::clients::{Terms, Wanted};
use hefu::service::upgrade::Person;
use hefu::tier::class::Finding;
use std::sync::Arc;
use std::time::Duration;

const WHO: ElementSet = ElementSet::EMPTY.with(Element::Name).with(Element::IdNumber);
const BY_PHONE: ElementSet = WHO.with(Element::Phone);
const DAY: Duration = Duration::from_hours(24);

/// What came before the upgrade.
#[derive(Clone, Copy)]
enum Step {
    /// Somebody who shares evidence with payments had this verified of the person.
    Asks(ElementSet),
    /// The same by somebody who shares none.
    AsksAlone(ElementSet),
    /// From now on evidence of one merchant is no other's, and an upgrade is of none.
    Keeps,
    /// The same of the person with another phone number.
    AsksPhone(ElementSet),
    /// The same of another person.
    AsksOther(ElementSet),
    /// The same with the card told as of that kind.
    AsksAs(AccountKind, ElementSet),
    /// From now on that provider is asked for debits alone, or for anything.
    ForDebits(usize, bool),
    /// From now on another key is written with.
    Rotates,
    /// What providers say next.
    Says(Answer),
    /// So many days.
    Later(u32),
    /// A debit of the person is refused by the channel, since the elements do not match.
    Differs,
}

/// By a card of that kind.
fn somebody(kind: AccountKind) -> Person {
    Person { cards: vec![Pan::parse(ICBC, kind).unwrap()], ..person(&[]) }
}

fn debit(order: &str) -> String {
    format!(
        r#""type":"debit","order":"{order}","amount":"100","merchant":"M1","name":"张三","id":"11010519491231002X","card":"{ICBC}","phone":"13800000000""#
    )
}

impl Desk {
    async fn asks(&self, name: &str, shares: bool, set: ElementSet, elements: Elements) {
        let sets = vec![FOUR, WHO, BY_PHONE];
        let merchant = if shares { MerchantId("M1".into()) } else { alone(name).merchant };
        let terms = Arc::new(Terms { merchant, shares, sets, ..alone(name) });
        let elements = elements.restricted(set);
        let kind = Kind::Elements;
        let wanted = Wanted { key: name.to_owned(), kind, elements, then: None, later: false };
        self.service().verify_for(&terms, wanted, ()).await.unwrap();
    }

    async fn do_all(&mut self, steps: &[Step], person: &Person) {
        let elements = Elements { pan: person.cards.first().cloned(), ..person.elements.clone() };
        let phone = Mobile::parse("13900000000").ok();
        let id_number = IdNumber::parse(OTHER, IdType::ResidentId).ok();
        for (nth, step) in steps.iter().enumerate() {
            let name = format!("client-{nth}");
            match *step {
                Step::Asks(set) => self.asks(&name, true, set, elements.clone()).await,
                Step::AsksAlone(set) => self.asks(&name, false, set, elements.clone()).await,
                Step::AsksPhone(set) => {
                    let elements = Elements { phone: phone.clone(), ..elements.clone() };
                    self.asks(&name, true, set, elements).await;
                }
                Step::AsksOther(set) => {
                    let elements = Elements { id_number: id_number.clone(), ..elements.clone() };
                    self.asks(&name, true, set, elements).await;
                }
                Step::AsksAs(kind, set) => {
                    let elements =
                        Elements { pan: Pan::parse(ICBC, kind).ok(), ..elements.clone() };
                    self.asks(&name, true, set, elements).await;
                }
                Step::ForDebits(nth, only) => {
                    let scenarios = Some(Scenario::Debit).filter(|_| only).into_iter().collect();
                    self.setting().providers[nth].candidate.scenarios = scenarios;
                }
                Step::Rotates => {
                    let other = Other { id: key(1).id(), key: Some(key(1)), until: None };
                    self.setting().keys = Keys { others: vec![other], ..key(2).into() };
                }
                Step::Keeps => self.shares(false),
                Step::Says(answer) => self.say(answer),
                Step::Later(days) => self.world.later(DAY * days),
                Step::Differs => {
                    self.world.later(Duration::from_secs(1));
                    self.world.send(&debit(&name), "phone").await;
                }
            }
        }
    }

    /// Whether evidence of one merchant is everybody's.
    fn shares(&mut self, all: bool) {
        self.setting().sharing.all = all;
    }

    fn setting(&mut self) -> &mut Service {
        Arc::get_mut(&mut self.world.service).unwrap()
    }

    /// What bears the class: the sources with who told them, and whether each has the inquiry by which it was kept as evidence.
    async fn borne(&self) -> String {
        let shown = self.service().account(&id("a"), None).await.unwrap();
        let findings = shown.classed.counted.values().map(|(at, _)| &shown.holder.findings[*at]);
        let mut sources: Vec<_> =
            findings.map(|it| format!("{}={}", it.source, it.provider)).collect();
        sources.sort();
        sources.join(" ")
    }
}

/// What an upgrade to `class` comes to after these steps, and what bears it then.
async fn check(steps: &[Step], (kind, class): (AccountKind, Class), expected: (&str, &str)) {
    let mut desk = Desk::new();
    desk.shares(true);
    let person = somebody(kind);
    desk.open("a", &person).await.unwrap();
    desk.do_all(steps, &person).await;
    let came = desk.upgrade("a", class, &person).await;
    assert_eq!((&*came, &*desk.borne().await), expected);
}

#[tokio::test]
async fn what_was_verified_before_is_not_asked_again() {
    use AccountKind::{Credit, Debit};
    use Step::{Asks, AsksAlone, AsksOther, AsksPhone, Differs, Keeps, Later, Says};
    // Nobody was asked: the cheapest is.
    check(&[], (Debit, Class::I), ("reached 20: phones=match", "operator=phones")).await;
    // By source: the police, an operator, the bank of a credit card; each is one, and so much less is asked.
    check(&[Asks(BY_PHONE)], (Debit, Class::I), ("reached 0:", "operator=phones")).await;
    check(&[Asks(FOUR)], (Credit, Class::I), ("reached 0:", "bank:ICBC=card")).await;
    check(
        &[Asks(FOUR), Asks(BY_PHONE)],
        (Credit, Class::II),
        ("reached 50: id=match", "bank:ICBC=card operator=phones police=id"),
    )
    .await;
    // A bank's word on a debit card of which nobody says that it is of class I does not count.
    check(&[Asks(FOUR)], (Debit, Class::I), ("reached 20: phones=match", "operator=phones")).await;
    // The same question twice is one inquiry, and one source.
    check(
        &[Asks(BY_PHONE), Asks(BY_PHONE)],
        (Debit, Class::II),
        ("reached 110: id=match level=match", "bank:ICBC=level operator=phones police=id"),
    )
    .await;
    let asked = ("reached 20: phones=match", "operator=phones");
    // Of other elements, another person, or of somebody who shares nothing.
    check(&[AsksPhone(BY_PHONE)], (Debit, Class::I), asked).await;
    check(&[AsksOther(BY_PHONE)], (Debit, Class::I), asked).await;
    check(&[AsksAlone(BY_PHONE)], (Debit, Class::I), asked).await;
    check(&[Keeps, Asks(BY_PHONE)], (Debit, Class::I), asked).await;
    // What was no match, what is too old to be evidence, and what a channel contradicted.
    let no_match = Says(Answer::NoMatch(ElementSet::EMPTY.with(Element::Phone)));
    check(&[no_match, Asks(BY_PHONE)], (Debit, Class::I), asked).await;
    check(&[Asks(BY_PHONE), Later(89)], (Debit, Class::I), ("reached 0:", "operator=phones")).await;
    check(&[Asks(BY_PHONE), Later(400)], (Debit, Class::I), asked).await;
    let again = ("reached 10: card=match", "bank:ICBC=card");
    check(&[Asks(FOUR), Differs], (Credit, Class::I), again).await;
}

/// By who would be asked now, of an account of the kind that is told now, under whichever key.
#[tokio::test]
async fn what_counts_is_what_would_be_asked_now() {
    use AccountKind::{Credit, Debit};
    use Step::{Asks, AsksAs, Differs, ForDebits, Keeps, Later, Rotates};
    let asked = ("reached 20: phones=match", "operator=phones");
    let again = ("reached 10: card=match", "bank:ICBC=card");
    // A card that was called a credit card there is none here.
    check(&[AsksAs(Credit, FOUR)], (Credit, Class::I), ("reached 0:", "bank:ICBC=card")).await;
    check(&[AsksAs(Credit, FOUR)], (Debit, Class::I), asked).await;
    check(&[AsksAs(Debit, FOUR)], (Credit, Class::I), again).await;
    // What another road to the police told, which is asked for debits alone now, counts once it may be asked again.
    let told = [ForDebits(2, true), Asks(WHO), ForDebits(2, false)];
    check(&told, (Debit, Class::I), ("reached 0:", "police=id")).await;
    check(&[&told[..], &[ForDebits(0, true)]].concat(), (Debit, Class::I), asked).await;
    // What a channel contradicted in the payment of a merchant whose evidence is its own, also after its hold.
    check(&[Asks(FOUR), Keeps, Differs], (Credit, Class::I), again).await;
    check(&[Asks(FOUR), Keeps, Differs, Later(8)], (Credit, Class::I), again).await;
    // What the key before found, and what was contradicted under this one.
    check(&[Asks(BY_PHONE), Rotates], (Debit, Class::I), ("reached 0:", "operator=phones")).await;
    check(&[Asks(FOUR), Rotates, Differs, Later(8)], (Credit, Class::I), again).await;
    check(&[Asks(FOUR), Rotates, Keeps, Differs, Later(8)], (Credit, Class::I), again).await;
}

/// A payment is traffic too; what its channel checked itself is of no source that is known.
#[tokio::test]
async fn what_a_payment_verified_counts_and_what_its_channel_did_does_not() {
    let check = async |message: String, expected: &[&str]| {
        let mut desk = Desk::new();
        desk.shares(true);
        let person = person(&[ICBC, CCB]);
        desk.open("a", &person).await.unwrap();
        desk.world.send(&message, "ok").await;
        desk.upgrade("a", Class::I, &person).await;
        let Shown { holder, classed, .. } = desk.service().account(&id("a"), None).await.unwrap();
        let told = |it: &Finding| format!("{}={}", it.source, it.provider);
        assert_eq!(holder.findings.iter().map(told).collect::<Vec<_>>(), expected, "{message}");
        // A debit card's bank is known, and why it does not count is told.
        assert_eq!(classed.left_out.len(), expected.len() - 1);
    };
    check(debit("1"), &["bank:ICBC=card", "operator=phones"]).await;
    let verify = debit("1").replace(r#""type":"debit""#, r#""type":"verify""#);
    check(verify, &["operator=phones"]).await;
}

/// Each is taken once, whoever upgrades how often; and it stands for good, as what an upgrade asked does.
#[tokio::test]
async fn what_was_taken_is_not_taken_again() {
    let mut desk = Desk::new();
    desk.shares(true);
    let person = somebody(AccountKind::Credit);
    desk.open("a", &person).await.unwrap();
    desk.do_all(&[Step::Asks(FOUR)], &person).await;
    for class in [Class::I, Class::I, Class::II] {
        desk.upgrade("a", class, &person).await;
    }
    let shown = desk.service().account(&id("a"), None).await.unwrap();
    let mut inquiries: Vec<_> = shown.holder.findings.iter().map(|it| it.inquiry).collect();
    inquiries.sort_unstable();
    inquiries.dedup();
    assert_eq!((inquiries.len(), shown.holder.findings.len()), (3, 3));
    let whose = key(1).person(&person.elements).unwrap();
    let gone = desk.service().store.forget(&[whose], desk.world.clock.now()).await.unwrap();
    assert!(gone.evidence >= 3, "{gone:?}");
    assert_eq!(desk.class("a").await, Some(Class::II));
}
