//! Payment accounts: whose they are, what bears their class, what is paid from them, and how they come to a higher one.

use crate::clients_lost::{How, failing_store};
use crate::cluster::{Cluster, apart};
use crate::{FOUR, Scripted, World, config_of, key, world, world_over};
use hefu::billing::price::Prices;
use hefu::crypto::keys::{Keys, Other};
use hefu::domain::account::{AccountId, Class, Purpose, Strength};
use hefu::domain::answer::Answer;
use hefu::domain::clock::{Clock as _, Timestamp};
use hefu::domain::element::{Element, ElementSet, Elements};
use hefu::domain::identity::{IdNumber, IdType};
use hefu::domain::kind::Kind;
use hefu::domain::money::Fen;
use hefu::domain::pan::{AccountKind, Pan};
use hefu::domain::person::{Mobile, Name};
use hefu::policy::Effect;
use hefu::provider::Trouble;
use hefu::service::accounts::{AccountError, Tiers};
use hefu::service::upgrade::Person;
use hefu::service::{Binding, Entry, Service, Settings};
use hefu::store::account::{Flag, Progress, Upgrade, upgrade_key};
use hefu::store::journal::StoreLost;
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::postgres::Postgres;
use hefu::store::row::Row;
use hefu::store::sqlite::Sqlite;
use hefu::tier::ledger::{Over, Payment};
use hefu::tier::usage::{Act, Refused, State};
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);
const WHO: ElementSet = ElementSet::EMPTY.with(Element::Name).with(Element::IdNumber);
const LEVEL: ElementSet = FOUR.with(Element::AccountLevel);
/// What cards of two banks begin with.
const BANKS: &str = "[[bank]]\nname = \"ICBC\"\nbins = [\"620000\"]\n[[bank]]\nname = \"ABC\"\nbins = [\"620001\"]\n[[bank]]\nname = \"CCB\"\nbins = [\"620002\"]\n";

/// Who can be asked, and what each costs in fen: the police, an operator, another road to the police, a bank that tells the level of an
/// account, one that does not, the railway.
const PROVIDERS: [(&str, &str, ElementSet, u64); 6] = [
    ("id", "police", WHO, 50),
    ("phones", "operator", WHO.with(Element::Phone), 20),
    ("id-dear", "police", WHO, 90),
    ("level", "bank", LEVEL, 60),
    ("card", "bank", FOUR, 10),
    ("rail", "railway", WHO, 300),
];

pub(crate) struct Desk {
    pub(crate) world: World,
    asked: Vec<Arc<Scripted>>,
}

impl Desk {
    pub(crate) fn over(mut world: World) -> Self {
        // 2026-11-28, China.
        world.clock.0.store(1_795_795_200_000, std::sync::atomic::Ordering::Relaxed);
        let config = config_of(BANKS);
        let classes = config.classes.clone();
        let service = Arc::get_mut(&mut world.service).unwrap();
        let mut asked = Vec::new();
        let mut entries = Vec::new();
        for (name, source, set, price) in PROVIDERS {
            let provider = Scripted::new(name);
            let template = service.providers.first().unwrap();
            let candidate = hefu::route::Candidate {
                source: source.into(),
                asks: if source == "railway" { Kind::Railway } else { Kind::Elements },
                sets: vec![set],
                account_kinds: if set == LEVEL { vec![AccountKind::Debit] } else { Vec::new() },
                ..template.candidate.clone()
            };
            let (prices, provider_) = (Prices::flat(price), provider.clone());
            let watch = Arc::new(hefu::service::health::Watch::new(std::num::NonZeroUsize::MAX));
            entries.push(Entry {
                provider: provider_,
                candidate,
                prices,
                watch,
                ..template.clone()
            });
            asked.push(provider);
        }
        service.providers = entries;
        service.tiers = Tiers {
            book: classes.book,
            second: classes.second,
            flagged: classes.flagged,
            over_limit: classes.over_limit,
            banks: config.rules.banks.clone(),
            ..Tiers::default()
        };
        Self { world, asked }
    }

    pub(crate) fn new() -> Self {
        Self::over(world())
    }

    pub(crate) fn service(&self) -> &Arc<Service> {
        &self.world.service
    }

    /// What each says next.
    pub(crate) fn say(&self, answer: Answer) {
        for provider in &self.asked {
            provider.will(&[answer]);
        }
    }

    /// How often each was asked.
    fn asked(&self) -> Vec<u64> {
        self.asked.iter().map(|provider| provider.asked()).collect()
    }

    pub(crate) async fn open(
        &self,
        account: &str,
        person: &Person,
    ) -> Result<Vec<Flag>, AccountError> {
        let opened = self.service().open_account(&id(account), &person.elements, false).await?;
        Ok(opened.account.flags.into_iter().collect())
    }

    /// How far an upgrade gets, what it cost, and who was asked.
    pub(crate) async fn upgrade(&self, account: &str, target: Class, person: &Person) -> String {
        match self.service().upgrade(&id(account), target, person.clone(), false).await {
            Ok(upgrade) => told(&upgrade),
            Err(error) => error.to_string(),
        }
    }

    pub(crate) async fn class(&self, account: &str) -> Option<Class> {
        self.service().account(&id(account), None).await.unwrap().classed.class
    }

    pub(crate) async fn act(
        &self,
        account: &str,
        usage: &str,
        act: Act,
    ) -> Result<State, AccountError> {
        let used = self.service().use_balance(&id(account), usage, act).await;
        used.map(|(usage, _)| usage.state)
    }

    pub(crate) fn reserve(&self, yuan: u64, purpose: Purpose) -> Act {
        let (amount, strength, at) =
            (Fen::new(yuan * 100), Strength::Certificate, self.world.clock.now());
        Act::Reserve(Payment { amount, purpose, strength, at })
    }
}

pub(crate) fn id(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

fn told(upgrade: &Upgrade) -> String {
    let steps = upgrade.steps.iter().map(|step| {
        let answer = step.answer.map_or("?", |answer| answer.as_str());
        format!(" {}={answer}", step.provider)
    });
    let cost: u64 = upgrade.steps.iter().map(|step| step.cost.get()).sum();
    let missing = match upgrade.progress {
        Progress::Running | Progress::Reached => String::new(),
        Progress::OutOfReach { missing } | Progress::Stalled { missing } => format!(" {missing}"),
    };
    format!("{}{missing} {cost}:{}", upgrade.progress.as_str(), steps.collect::<String>())
}

/// Somebody made up, with cards of so many banks.
pub(crate) fn person(cards: &[&str]) -> Person {
    let cards = cards.iter().map(|pan| Pan::parse(pan, AccountKind::Debit).unwrap()).collect();
    Person { elements: elements("11010519491231002X", "13800000000"), cards }
}

fn elements(id_number: &str, phone: &str) -> Elements {
    Elements {
        name: Name::parse("张三").ok(),
        id_number: Some(IdNumber::parse(id_number, IdType::ResidentId).unwrap()),
        phone: Some(Mobile::parse(phone).unwrap()),
        ..Elements::default()
    }
}

pub(crate) const OTHER: &str = "440524188001010014";
pub(crate) const ICBC: &str = "6200000000000005";
const UNDER_WAY: &str =
    "an upgrade of the account is under way: `GET` of this address tells how far it is";
const ICBC_TOO: &str = "6200000000000013";
const ABC: &str = "6200010000000004";
pub(crate) const CCB: &str = "6200020000000003";

#[tokio::test]
async fn an_upgrade_asks_the_cheapest_sources_first_and_stops_at_the_class() {
    let desk = Desk::new();
    let person = person(&[ICBC, ABC, CCB]);
    assert_eq!(desk.open("a", &person).await, Ok(vec![]));
    assert_eq!(desk.class("a").await, None);
    assert_eq!(desk.upgrade("a", Class::I, &person).await, "reached 20: phones=match");
    // The cheaper road to the police, a bank that tells the level; not the bank that does not.
    assert_eq!(desk.upgrade("a", Class::II, &person).await, "reached 110: id=match level=match");
    assert_eq!(desk.class("a").await, Some(Class::II));
    assert_eq!(
        desk.upgrade("a", Class::III, &person).await,
        "reached 120: level=match level=match"
    );
    assert_eq!(desk.class("a").await, Some(Class::III));
    assert_eq!(desk.asked(), [1, 1, 0, 3, 0, 0]);
    // Again: nobody is asked, and the same is told.
    assert_eq!(
        desk.upgrade("a", Class::III, &person).await,
        "reached 120: level=match level=match"
    );
    assert_eq!(desk.asked(), [1, 1, 0, 3, 0, 0]);
}

/// What the railway says is of another kind than what the police does, about the same elements: its word stands behind an account,
/// and is nobody's evidence of the other.
#[tokio::test]
async fn other_kinds_that_say_who_somebody_is_stand_behind_an_account() {
    let mut desk = Desk::new();
    let service = Arc::get_mut(&mut desk.world.service).unwrap();
    for entry in &mut service.providers {
        entry.candidate.asks = match &*entry.candidate.source {
            "railway" => Kind::Railway,
            "police" => Kind::Education,
            // Neither says who somebody is.
            "bank" => Kind::Business,
            _ => Kind::Face,
        };
    }
    let person = person(&[ICBC]);
    desk.open("a", &person).await.unwrap();
    assert_eq!(desk.upgrade("a", Class::I, &person).await, "reached 50: id=match");
    assert_eq!(desk.upgrade("a", Class::II, &person).await, "out_of_reach 1 0:");
    let shown = desk.service().account(&id("a"), None).await.unwrap();
    let sources: Vec<_> = shown.classed.counted.keys().map(ToString::to_string).collect();
    assert_eq!(sources, ["police"]);
    let upgrade = desk.service().upgrade_of(&id("a")).await.unwrap();
    let key = &desk.service().keys.current;
    let plain = key.tuple(&person.elements, WHO).unwrap();
    let now = desk.world.clock.now();
    assert!(desk.service().store.uncontradicted(&plain, now).is_none(), "{upgrade:?}");
    let asked = key.asked(Kind::Education, plain);
    assert!(desk.service().store.uncontradicted(&asked, now).is_some());
}

#[tokio::test]
async fn an_upgrade_goes_round_who_does_not_confirm() {
    let desk = Desk::new();
    let person = person(&[ICBC]);
    desk.open("a", &person).await.unwrap();
    let phone = Answer::NoMatch(ElementSet::EMPTY.with(Element::Phone));
    desk.asked[1].will(&[phone]);
    desk.asked[0].will(&[Answer::NoRecord]);
    // The operator says no: the police and the bank and the railway are three. The cheaper road to the police has no record, the dearer has.
    assert_eq!(
        desk.upgrade("a", Class::II, &person).await,
        "reached 520: phones=no_match id=no_record level=match id-dear=match rail=match"
    );
    assert_eq!(desk.class("a").await, Some(Class::II));
    // Five is out of reach, even if the operator said yes by now: nobody is asked.
    assert_eq!(desk.upgrade("a", Class::III, &person).await, "out_of_reach 1 0:");
    assert_eq!(desk.asked(), [1, 1, 1, 1, 0, 1]);
}

#[tokio::test]
async fn an_upgrade_that_stalls_goes_on_when_the_elements_are_told_again() {
    let desk = Desk::new();
    let person = person(&[ICBC]);
    desk.open("a", &person).await.unwrap();
    for provider in [0, 2, 5] {
        desk.asked[provider].will_not(Answer::Unavailable, Trouble::Connect);
    }
    assert_eq!(
        desk.upgrade("a", Class::II, &person).await,
        "stalled 1 520: phones=match id=unavailable level=match id-dear=unavailable rail=unavailable"
    );
    assert_eq!(desk.class("a").await, None, "it was not meant to be of class I");
    assert!(desk.upgrade("a", Class::II, &person).await.starts_with("reached 570: phones=match"));
    assert_eq!(desk.class("a").await, Some(Class::II));
}

#[tokio::test]
async fn cards_of_one_bank_are_one_source() {
    let desk = Desk::new();
    let person = person(&[ICBC, ICBC_TOO, "6200030000000002"]);
    desk.open("a", &person).await.unwrap();
    // Police, operator, railway and one bank; nobody knows whose the third card is.
    assert_eq!(desk.upgrade("a", Class::III, &person).await, "out_of_reach 1 0:");
    assert_eq!(desk.asked(), [0; 6], "nobody is paid for what cannot be");
}

#[tokio::test]
async fn an_upgrade_is_of_whoever_the_account_is() {
    let desk = Desk::new();
    let person = person(&[ICBC]);
    assert_eq!(desk.upgrade("a", Class::I, &person).await, "no such account is open");
    desk.open("a", &person).await.unwrap();
    let other = Person { elements: elements(OTHER, "13800000001"), cards: Vec::new() };
    assert_eq!(desk.upgrade("a", Class::I, &other).await, "the account is of another person");
    desk.service().close_account(&id("a")).await.unwrap();
    assert_eq!(desk.upgrade("a", Class::I, &person).await, "the account is closed");
    assert_eq!(desk.asked(), [0; 6]);
}

/// What a crash leaves: a question of which nobody knows what came of it, and a lease.
#[tokio::test]
async fn an_upgrade_that_was_cut_off_goes_on_after_its_lease() {
    let desk = Desk::new();
    let person = person(&[]);
    desk.open("a", &person).await.unwrap();
    let at = desk.world.clock.now();
    desk.upgrade("a", Class::I, &person).await;
    let mut cut = desk.service().upgrade_of(&id("a")).await.unwrap();
    cut.progress = Progress::Running;
    cut.target = Class::II;
    cut.lease = at.plus(Duration::from_mins(1));
    let step = cut.steps.first_mut().unwrap();
    (step.answer, step.inquiry, step.cost) = (None, None, Fen::default());
    desk.service().store.shelve(Row::new(upgrade_key(&id("a")), None, &cut).unwrap());
    assert_eq!(desk.upgrade("a", Class::II, &person).await, UNDER_WAY);
    assert_eq!(desk.upgrade("a", Class::I, &person).await, UNDER_WAY);
    desk.world.later(Duration::from_secs(61));
    assert_eq!(
        desk.upgrade("a", Class::II, &person).await,
        "reached 350: phones=? id=match rail=match"
    );
}

/// One that ends since the store was lost to it is run by nobody, and nothing is being asked; nor is anything of what one before asked.
#[tokio::test]
async fn an_upgrade_that_cannot_be_kept_asks_nobody_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let (store, fault) = failing_store(dir.path());
    let desk = Desk::over(world_over(store, Binding::Enforce(100), Settings::default()));
    let person = person(&[]);
    desk.open("a", &person).await.unwrap();
    let lost = StoreLost.to_string();
    let kept = async || {
        let kept = desk.service().upgrade_of(&id("a")).await.unwrap();
        (kept.is_run(desk.world.clock.now()), kept.asking, told(&kept))
    };
    // It was answered, and what that found is not kept.
    fault.strike("holder\n", How::Fails, 1);
    assert_eq!(desk.upgrade("a", Class::I, &person).await, lost);
    assert_eq!(kept().await, (false, false, "running 20: phones=?".to_owned()));
    // As a crash leaves it. Whoever goes on with it loses the store before anybody is asked.
    let mut cut = desk.service().upgrade_of(&id("a")).await.unwrap();
    cut.asking = true;
    desk.service().store.shelve(Row::new(upgrade_key(&id("a")), None, &cut).unwrap());
    desk.service().store.flush().await.unwrap();
    fault.strike("upgrade\n", How::Lies, 1);
    assert_eq!(desk.upgrade("a", Class::I, &person).await, lost);
    assert_eq!(kept().await, (true, false, "running 20: phones=?".to_owned()));
    desk.world.later(Duration::from_mins(3));
    // What was answered is evidence, and nobody is asked again.
    assert_eq!(desk.upgrade("a", Class::I, &person).await, "reached 20: phones=?");
    assert_eq!(desk.asked(), [0, 1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_class_of_any_past_day_can_be_told_and_lapses() {
    let desk = Desk::new();
    let person = person(&[ICBC]);
    desk.open("a", &person).await.unwrap();
    let opened = desk.world.clock.now();
    desk.world.later(DAY);
    desk.upgrade("a", Class::I, &person).await;
    desk.world.later(DAY);
    desk.upgrade("a", Class::II, &person).await;
    let class = async |at: Timestamp| {
        let shown = desk.service().account(&id("a"), Some(at)).await.unwrap();
        (shown.classed.class, shown.classed.lapses)
    };
    assert_eq!(class(opened).await, (None, None));
    assert_eq!(class(opened.plus(DAY)).await.0, Some(Class::I));
    let phone = opened.plus(DAY).plus(DAY * 730);
    desk.world.later(DAY * 740);
    assert_eq!(class(opened.plus(DAY * 2)).await, (Some(Class::II), Some(phone)));
    assert_eq!(class(phone.minus(DAY)).await.0, Some(Class::II));
    let bank = opened.plus(DAY * 2).plus(DAY * 3650);
    assert_eq!(class(phone).await, (Some(Class::I), Some(bank)), "two bear class I");
    // Before there were rules there was no class.
    let told = desk.service().account(&id("a"), Some(Timestamp::default())).await;
    assert_eq!(told.err(), Some(AccountError::NoRules));
}

#[tokio::test]
async fn one_person_has_one_account_and_one_phone() {
    let mut desk = Desk::new();
    let first = person(&[]);
    let other = Person { elements: elements(OTHER, "13800000000"), cards: Vec::new() };
    assert_eq!(desk.open("a", &first).await, Ok(vec![]));
    assert_eq!(desk.open("a", &first).await, Ok(vec![]), "again");
    assert_eq!(desk.open("a", &other).await, Err(AccountError::Another));
    assert_eq!(desk.open("b", &first).await, Err(AccountError::Flagged(Flag::SecondAccount)));
    assert_eq!(desk.service().account(&id("b"), None).await.err(), Some(AccountError::Unknown));
    assert_eq!(desk.open("c", &other).await, Ok(vec![Flag::SharedPhone]), "as the file ships");
    desk.service().close_account(&id("a")).await.unwrap();
    assert_eq!(desk.open("a", &first).await, Err(AccountError::Closed));
    assert_eq!(desk.open("b", &first).await, Ok(vec![Flag::SharedPhone]));
    desk.service().close_account(&id("c")).await.unwrap();
    desk.service().close_account(&id("b")).await.unwrap();
    assert_eq!(desk.open("d", &first).await, Ok(vec![]), "nobody else has the phone now");
    let nobody = Person::default();
    assert_eq!(desk.open("e", &nobody).await, Err(AccountError::Nobody));
    // Where policy lets it pass, it stands there.
    let service = Arc::get_mut(&mut desk.world.service).unwrap();
    service.tiers.flagged = Flag::ALL.into_iter().map(|flag| (flag, Effect::Annotate)).collect();
    assert_eq!(desk.open("f", &first).await, Ok(vec![Flag::SecondAccount]));
}

#[tokio::test]
async fn a_second_account_of_class_three_is_refused() {
    let mut desk = Desk::new();
    let service = Arc::get_mut(&mut desk.world.service).unwrap();
    service.tiers.flagged.insert(Flag::SecondAccount, Effect::Annotate);
    let person = person(&[ICBC, ABC, CCB]);
    desk.open("a", &person).await.unwrap();
    desk.open("b", &person).await.unwrap();
    assert!(desk.upgrade("a", Class::III, &person).await.starts_with("reached"));
    let refused = "the person has as many accounts of class III as one may have";
    assert_eq!(desk.upgrade("b", Class::III, &person).await, refused);
    assert!(desk.upgrade("b", Class::II, &person).await.starts_with("reached 0"));
    assert_eq!(desk.class("b").await, Some(Class::II));
}

/// Whatever is under way, what is closed stays so, and nothing new is paid from it.
#[tokio::test]
async fn an_account_that_closes_under_an_upgrade_stays_closed() {
    let desk = Arc::new(Desk::new());
    let somebody = person(&[]);
    desk.open("a", &somebody).await.unwrap();
    let gate = desk.asked[1].gate.acquire_many(1000).await.unwrap();
    let other = desk.clone();
    let upgrading = tokio::spawn(async move { other.upgrade("a", Class::I, &person(&[])).await });
    while desk.asked[1].asked() == 0 {
        tokio::task::yield_now().await;
    }
    desk.service().close_account(&id("a")).await.unwrap();
    drop(gate);
    assert_eq!(upgrading.await.unwrap(), "the account is closed");
    let shown = desk.service().account(&id("a"), None).await.unwrap();
    assert!(shown.account.closed.is_some() && shown.holder.accounts.is_empty());
    let reserve = desk.reserve(1, Purpose::Consumption);
    assert_eq!(desk.act("a", "u", reserve).await.err(), Some(AccountError::Closed));
    // What was found is the person's all the same.
    desk.open("b", &somebody).await.unwrap();
    assert_eq!(desk.upgrade("b", Class::I, &somebody).await, "reached 0:");
}

#[tokio::test]
async fn what_was_refused_leaves_no_phone_behind() {
    let mut desk = Desk::new();
    let service = Arc::get_mut(&mut desk.world.service).unwrap();
    service.tiers.flagged.insert(Flag::SharedPhone, Effect::Refuse);
    let first = person(&[]);
    desk.open("a", &first).await.unwrap();
    let mut elsewhere = first.clone();
    elsewhere.elements.phone = Some(Mobile::parse("13800000007").unwrap());
    let second = Err(AccountError::Flagged(Flag::SecondAccount));
    assert_eq!(desk.open("b", &elsewhere).await, second);
    let other = Person { elements: elements(OTHER, "13800000007"), cards: Vec::new() };
    assert_eq!(desk.open("c", &other).await, Ok(vec![]));
    let shared = Err(AccountError::Flagged(Flag::SharedPhone));
    let third = Person { elements: elements("110105194912310038", "13800000007"), ..other };
    assert_eq!(desk.open("d", &third).await, shared);
}

#[tokio::test]
async fn an_upgrade_lowers_nothing_and_has_bounds() {
    let mut desk = Desk::new();
    let service = Arc::get_mut(&mut desk.world.service).unwrap();
    service.tiers.flagged.insert(Flag::SecondAccount, Effect::Annotate);
    let person = person(&[ICBC]);
    desk.open("a", &person).await.unwrap();
    assert!(desk.upgrade("a", Class::II, &person).await.starts_with("reached"));
    assert_eq!(desk.upgrade("a", Class::I, &person).await, "reached 0:");
    assert_eq!(desk.class("a").await, Some(Class::II));
    let running = desk.service().tiers.running.clone();
    let full = running.acquire_many_owned(64).await.unwrap();
    let busy = "as many upgrades run as may: say it again in a while";
    assert_eq!(desk.upgrade("a", Class::III, &person).await, busy);
    drop(full);
    assert!(desk.upgrade("a", Class::III, &person).await.starts_with("out_of_reach"));
    for number in 1..100 {
        assert!(desk.open(&format!("n{number}"), &person).await.is_ok(), "{number}");
    }
    let most = Err(AccountError::Flagged(Flag::SecondAccount));
    assert_eq!(desk.open("n100", &person).await, most, "whatever policy lets pass");
    let later = desk.world.clock.now().plus(DAY);
    assert_eq!(
        desk.service().account(&id("a"), Some(later)).await.err(),
        Some(AccountError::Later)
    );
}

#[tokio::test]
async fn balance_is_reserved_committed_and_given_back() {
    let desk = Desk::new();
    let person = person(&[]);
    desk.open("a", &person).await.unwrap();
    let (consumption, investment) = (Purpose::Consumption, Purpose::Investment);
    let none = Err(AccountError::Over(Over::NoClass, None));
    assert_eq!(desk.act("a", "u1", desk.reserve(1, consumption)).await, none);
    desk.upgrade("a", Class::I, &person).await;
    assert_eq!(desk.act("a", "u1", desk.reserve(600, consumption)).await, Ok(State::Reserved));
    assert_eq!(desk.act("a", "u1", desk.reserve(600, consumption)).await, Ok(State::Reserved));
    let over = Err(AccountError::Over(Over::Lifetime, Some(Fen::new(40_000))));
    assert_eq!(desk.act("a", "u2", desk.reserve(401, consumption)).await, over);
    let purpose = Err(AccountError::Over(Over::Purpose, None));
    assert_eq!(desk.act("a", "u2", desk.reserve(1, investment)).await, purpose);
    assert_eq!(desk.act("a", "u1", Act::Commit).await, Ok(State::Committed));
    let other = Err(AccountError::Refused(Refused::Other));
    assert_eq!(desk.act("a", "u1", desk.reserve(1, consumption)).await, other);
    // A reversal, in two parts.
    let part = Act::Release(Some(Fen::new(10_000)));
    assert_eq!(desk.act("a", "u1", part).await, Ok(State::Committed));
    assert_eq!(desk.act("a", "u2", desk.reserve(500, consumption)).await, Ok(State::Reserved));
    assert_eq!(desk.act("a", "u1", Act::Release(None)).await, Ok(State::Released));
    assert_eq!(desk.act("a", "u3", desk.reserve(500, consumption)).await, Ok(State::Reserved));
    let spent = Err(AccountError::Over(Over::Lifetime, Some(Fen::default())));
    assert_eq!(desk.act("a", "u4", desk.reserve(1, consumption)).await, spent);
    assert_eq!(desk.act("a", "no name", Act::Commit).await, Err(AccountError::Usage));
    // What was paid before it closed still ends; nothing new begins.
    desk.service().close_account(&id("a")).await.unwrap();
    assert_eq!(desk.act("a", "u2", Act::Commit).await, Ok(State::Committed));
    assert_eq!(desk.act("a", "u9", desk.reserve(1, consumption)).await, Err(AccountError::Closed));
}

/// Two processes over one file, as during an upgrade.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_limit_is_exceeded_by_64_at_once_of_two_processes() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("hefu.db");
    let replica = || {
        let store =
            MemoryStore::open(Limits::default(), Sqlite::open(&path).unwrap(), |_| ()).unwrap();
        Arc::new(Desk::over(world_over(store, Binding::Enforce(100), Settings::default())))
    };
    sixty_four_at_once([replica(), replica()]).await;
}

/// Two replicas over one database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_limit_is_exceeded_by_64_at_once_on_two_replicas() {
    let cluster = Cluster::start();
    let replica = || {
        let store = open(&cluster);
        Arc::new(Desk::over(world_over(store, Binding::Enforce(100), Settings::default())))
    };
    sixty_four_at_once([replica(), replica()]).await;
}

/// A store over a database that replicas share.
pub(crate) fn open(cluster: &Cluster) -> MemoryStore {
    let mut config = tokio_postgres::Config::new();
    config.host_path(cluster.place()).user("hefu").dbname("postgres");
    apart(|| {
        let mut backend = Postgres::open(&config, &[]).unwrap();
        hefu::store::keys::check(&mut backend, &key(1).into()).unwrap();
        MemoryStore::open(Limits::default(), backend, |_| ()).unwrap()
    })
}

/// 64 reservations at once: what is taken is never more than the limit, and all of it is.
async fn sixty_four_at_once(desks: [Arc<Desk>; 2]) {
    let person = person(&[]);
    desks[0].open("a", &person).await.unwrap();
    desks[0].upgrade("a", Class::I, &person).await;
    let mut tasks = Vec::new();
    for at in 0..64 {
        let desk = desks[at % 2].clone();
        tasks.push(tokio::spawn(async move {
            // Twice each: a core that was not answered says it again.
            let act = desk.reserve(30, Purpose::Consumption);
            let name = format!("u{at}");
            let (first, again) = tokio::join!(desk.act("a", &name, act), desk.act("a", &name, act));
            assert_eq!(first, again);
            first.is_ok()
        }));
    }
    let mut taken = 0;
    for task in tasks {
        taken += u64::from(task.await.unwrap());
    }
    assert_eq!(taken, 33, "33 of 30 yuan are 990 of 1,000");
    for desk in &desks {
        let shown = desk.service().account(&id("a"), None).await.unwrap();
        let left = shown.left(Purpose::Consumption, Strength::Certificate);
        assert_eq!(left, Ok(Some((Fen::new(1_000), Over::Lifetime))));
    }
}

/// What is under an old key is found under a new one.
#[tokio::test]
async fn a_person_is_found_under_the_key_before() {
    let mut desk = Desk::new();
    let person = person(&[]);
    desk.open("a", &person).await.unwrap();
    let service = Arc::get_mut(&mut desk.world.service).unwrap();
    let before = key(1);
    let others = vec![Other { id: before.id(), key: Some(before), until: None }];
    service.keys = Keys { current: key(2), others };
    assert_eq!(desk.open("b", &person).await, Err(AccountError::Flagged(Flag::SecondAccount)));
    assert!(desk.upgrade("a", Class::I, &person).await.starts_with("reached"));
}

/// Nothing of a person is kept but fingerprints.
#[tokio::test]
async fn no_element_is_kept_of_an_account() {
    let desk = Desk::new();
    let person = person(&[ICBC, ABC, CCB]);
    desk.open("a", &person).await.unwrap();
    desk.upgrade("a", Class::III, &person).await;
    let range = hefu::store::shelf::Range {
        of: hefu::store::row::Aggregate::Accounts,
        from: String::new(),
        before: "~".to_owned(),
        most: 500,
        last: false,
        whole: true,
    };
    let rows = desk.service().store.range(range).await.unwrap();
    assert!(rows.len() >= 4, "{rows:?}");
    let all = format!("{rows:?}");
    for element in ["张三", "11010519491231002X", "13800000000", ICBC, ABC, CCB] {
        assert!(!all.contains(element), "`{element}`");
    }
}

#[test]
fn an_account_id_is_no_element() {
    for good in ["a", "A-1_2.3", "6200000000000005", &"a".repeat(64)] {
        assert!(AccountId::parse(good).is_ok(), "`{good}`");
    }
    for bad in ["", "a b", "张三", "13800000000", "11010519491231002X", &"a".repeat(65)] {
        assert!(AccountId::parse(bad).is_err(), "`{bad}`");
    }
}
