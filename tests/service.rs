//! The service with a made-up channel, a scripted provider and a clock in hand: what becomes of one payment after another.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "service/accounts.rs"]
mod accounts;
#[path = "service/advice.rs"]
mod advice;
#[path = "service/afterwards.rs"]
mod afterwards;
#[path = "service/agreements.rs"]
mod agreements;
#[path = "service/asking.rs"]
mod asking;
#[path = "service/attempts.rs"]
mod attempts_spent;
#[path = "service/attributes.rs"]
mod attributes;
#[path = "service/balance.rs"]
mod balance;
#[path = "service/brown_outs.rs"]
mod brown_outs;
#[path = "service/clients.rs"]
mod clients;
#[path = "service/clients_kinds.rs"]
mod clients_kinds;
#[path = "service/clients_lost.rs"]
mod clients_lost;
#[path = "service/clients_tries.rs"]
mod clients_tries;
#[path = "store/cluster.rs"]
mod cluster;
#[path = "service/combination.rs"]
mod combination;
#[path = "service/concordance.rs"]
mod concordance;
#[path = "service/due.rs"]
mod due;
#[path = "service/evidence.rs"]
mod evidence;
#[path = "service/forget.rs"]
mod forget;
#[path = "service/holds.rs"]
mod holds;
#[path = "service/keys.rs"]
mod keys;
#[path = "service/lapse.rs"]
mod lapse;
#[path = "service/lasting.rs"]
mod lasting;
#[path = "service/notifications.rs"]
mod notifications;
#[path = "service/orderings.rs"]
mod orderings;
#[path = "service/outcomes.rs"]
mod outcomes;
#[path = "service/packages.rs"]
mod packages;
#[path = "service/queries.rs"]
mod queries;
#[path = "service/reversals.rs"]
mod reversals;
#[path = "service/routing.rs"]
mod routing;
#[path = "service/rules.rs"]
mod rules;
#[path = "service/seen.rs"]
mod seen;
#[path = "service/statement.rs"]
mod statement;
#[path = "service/told.rs"]
mod told;
#[path = "service/traffic.rs"]
mod traffic;
#[path = "service/worlds.rs"]
mod worlds;

use async_trait::async_trait;
use expect_test::{Expect, expect};
use hefu::billing::price::Prices;
use hefu::config::{self, Config};
use hefu::crypto::fingerprint::Fingerprinter;
use hefu::crypto::keys::Keys;
use hefu::domain::answer::Answer;
use hefu::domain::chance::Share;
use hefu::domain::clock::{Clock, Timestamp};
use hefu::domain::element::{Element, ElementSet};
use hefu::domain::id::{KeyId, PaymentId, ProviderName, Road};
use hefu::domain::kind::Kind;
use hefu::message::extract::Request;
use hefu::message::marked;
use hefu::metrics::Metrics;
use hefu::provider::{Billable, Capability, Inquiry, More, Provider, Reply, Trouble};
use hefu::route::Candidate;
use hefu::route::attempts;
use hefu::route::budget::Budget;
use hefu::service::afterwards::Sample;
use hefu::service::agreements::{ImportError, Told};
use hefu::service::attempts::Purse;
use hefu::service::health::Watch;
use hefu::service::judge::Judged;
use hefu::service::refusal::Refusal;
use hefu::service::rules::Rulebook;
use hefu::service::settle::Reported;
use hefu::service::validity::{Sharing, Validity};
use hefu::service::verify::Flights;
use hefu::service::{Binding, Channel, Entry, Service, Settings};
use hefu::store::memory::{Limits, MemoryStore};
use std::collections::VecDeque;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

const FOUR: ElementSet = ElementSet::EMPTY
    .with(Element::Name)
    .with(Element::IdNumber)
    .with(Element::Pan)
    .with(Element::Phone);

/// As often as anybody likes.
const ANY: attempts::Limits = {
    let most = attempts::Most { per_day: 1_000, wrong: 1_000 };
    attempts::Limits {
        card: most,
        person: most,
        left_to_others: 0,
        wrong_for: Duration::ZERO,
        limited_for: Duration::ZERO,
    }
};

/// `person(0)`, as the core tells it beside a message that seals it.
const TOLD: &str = "name=:5byg5LiJ:, id_number=:MTEwMTA1MTk0OTEyMzEwMDJY:, pan=:NjIwMDAwMDAwMDAwMDAwNQ==:, phone=:MTM4MDAwMDAwMDA=:";

#[derive(Debug, Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Answers as the script says, then `match`; waits for the gate where one is shut.
#[derive(Debug)]
struct Scripted {
    name: ProviderName,
    capability: Capability,
    script: Mutex<VecDeque<(Answer, Option<Trouble>)>>,
    /// The registry that its answers name.
    names: Mutex<Option<Box<str>>>,
    asked: AtomicU64,
    gate: Semaphore,
    /// How long each answer takes.
    takes: Mutex<Duration>,
}

impl Scripted {
    fn new(name: &str) -> Arc<Self> {
        let capability = Capability {
            road: Road::new("road"),
            source: name.into(),
            sets: vec![FOUR],
            account_kinds: Vec::new(),
            id_types: Vec::new(),
            kind: Kind::Elements,
        };
        let name = ProviderName::new(name);
        let (script, names, asked) = (Mutex::default(), Mutex::default(), AtomicU64::default());
        let (gate, takes) = (Semaphore::new(1000), Mutex::default());
        Arc::new(Self { name, capability, script, names, asked, gate, takes })
    }

    fn will(&self, answers: &[Answer]) {
        self.script.lock().unwrap().extend(answers.iter().map(|answer| (*answer, None)));
    }

    fn will_not(&self, answer: Answer, trouble: Trouble) {
        self.script.lock().unwrap().push_back((answer, Some(trouble)));
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Provider for Scripted {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn capability(&self) -> &Capability {
        &self.capability
    }

    fn timeout(&self) -> Duration {
        (*self.takes.lock().unwrap()).max(Duration::from_secs(3))
    }

    async fn ask(&self, _: &Inquiry, _: Timestamp) -> Reply {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let _pass = self.gate.acquire().await.unwrap();
        let takes = *self.takes.lock().unwrap();
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let next = self.script.lock().unwrap().pop_front();
        let (answer, trouble) = next.unwrap_or((Answer::Match, None));
        let source = self.names.lock().unwrap().clone();
        Reply { answer, code: None, billable: Billable::Yes, source, trouble, more: More::NOTHING }
    }
}

struct World {
    service: Arc<Service>,
    channel: Arc<Channel>,
    clock: Arc<Hand>,
    first: Arc<Scripted>,
    second: Arc<Scripted>,
}

fn world() -> World {
    world_with(Binding::Enforce(100), Settings::default())
}

fn world_with(binding: Binding, settings: Settings) -> World {
    world_within(binding, settings, Limits::default())
}

fn world_within(binding: Binding, settings: Settings, limits: Limits) -> World {
    world_over(MemoryStore::new(limits), binding, settings)
}

/// The key with a number.
fn key(number: u8) -> Fingerprinter {
    Fingerprinter::new(KeyId(number.into()), &[6 + number; 32]).unwrap()
}

fn world_over(store: MemoryStore, binding: Binding, settings: Settings) -> World {
    world_keyed(store, binding, settings, key(1).into())
}

/// The configuration of the made-up channel, with a file of rules.
fn config_of(rules: &str) -> Config {
    config_from(&[("rules/test.toml", rules.to_owned())])
}

/// The configuration of the made-up channel, with `files` beside its own or in their place.
fn config_from(files: &[(&str, String)]) -> Config {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/config");
    let dir = tempfile::tempdir().unwrap();
    for file in ["hefu.toml", "policy.toml", "channels/acme.toml", "codes/acme.toml"] {
        std::fs::create_dir_all(dir.path().join(file).parent().unwrap()).unwrap();
        std::fs::copy(source.join(file), dir.path().join(file)).unwrap();
    }
    let classes = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/classes.toml");
    std::fs::copy(classes, dir.path().join("classes.toml")).unwrap();
    std::fs::write(dir.path().join("fingerprint.key"), [7; 32]).unwrap();
    std::fs::create_dir(dir.path().join("rules")).unwrap();
    for (file, text) in files {
        std::fs::write(dir.path().join(file), text).unwrap();
    }
    config::load(dir.path()).map_err(|problems| problems.to_string()).unwrap()
}

fn world_keyed(store: MemoryStore, binding: Binding, settings: Settings, keys: Keys) -> World {
    world_ruled(store, binding, settings, keys, "")
}

/// With a file of the risk team's rules.
fn world_ruled(
    store: MemoryStore,
    binding: Binding,
    settings: Settings,
    keys: Keys,
    rules: &str,
) -> World {
    let config = config_of(rules);
    let book = Some(config.rules.clone()).filter(|book| !book.rules.is_idle());
    let profile = config.profile("acme").unwrap().clone();
    let clock = Arc::new(Hand::default());
    clock.0.store(1_700_000_000_000, Ordering::Relaxed);
    let (first, second) = (Scripted::new("first"), Scripted::new("second"));
    let entry = |provider: &Arc<Scripted>, priority| Entry {
        provider: provider.clone(),
        candidate: Candidate {
            road: provider.capability.road.clone(),
            source: provider.capability.source.clone(),
            sets: vec![FOUR],
            account_kinds: Vec::new(),
            id_types: Vec::new(),
            asks: Kind::Elements,
            bins: Vec::new(),
            scenarios: Vec::new(),
            priority,
            weight: NonZeroU32::MIN,
        },
        watch: Arc::new(Watch::new(NonZeroUsize::MAX)),
        prices: Prices::flat(30),
        cap: None,
        shadow: Share::NONE,
    };
    let service = Arc::new(Service {
        policy: config.policy,
        settings,
        providers: vec![entry(&first, 1), entry(&second, 2)],
        keys,
        store: Arc::new(store),
        metrics: Arc::new(Metrics::new().unwrap()),
        clock: clock.clone(),
        entropy: rand::random::<u128>,
        flights: Flights::default(),
        retries: Budget::new(20),
        attempts: ANY,
        purse: Purse::default(),
        observe: Sample::default(),
        validity: Validity::default(),
        sharing: Sharing::default(),
        tiers: hefu::service::accounts::Tiers::default(),
        rules: book.map(|book| Rulebook { book, counts: Arc::default() }),
    });
    let channel = Arc::new(Channel { profile, binding });
    World { service, channel, clock, first, second }
}

/// A person's card, made up; the last digit of the phone tells tuples of one card apart.
fn person(phone: u8) -> String {
    format!(
        r#""name":"张三","id":"11010519491231002X","card":"6200000000000005","phone":"1380000000{phone}""#
    )
}

impl World {
    /// Sends a message, has the channel answer with `code`, and tells what the core sees.
    async fn send(&self, message: &str, code: &str) -> String {
        let answer = format!(r#"{{"code":"{code}","agreement":"A-{code}"}}"#);
        self.send_answered(
            message,
            Reported::Answer { status: 200, content_type: None, body: answer.as_bytes() },
        )
        .await
    }

    async fn send_answered(&self, message: &str, reported: Reported<'_>) -> String {
        match self.judge(&self.channel, message).await {
            Err(refusal) => {
                let reasons: Vec<_> =
                    refusal.reasons.iter().map(|reason| reason.as_str()).collect();
                let refused =
                    format!("{} {} [{}]", refusal.status, reasons.join(" "), refusal.elements);
                refusal.earlier.iter().fold(refused, |told, earlier| {
                    let record = self.service.store.record(earlier.payment).unwrap();
                    assert!(record.left());
                    let differs = earlier.differs.join(" ");
                    format!("{told} earlier {} [{differs}]", earlier.state)
                })
            }
            Ok(judged) => {
                let told = self.service.settle(judged, reported).await;
                let shown = told.iter().filter(|(name, _)| *name != "hefu-payment");
                shown
                    .map(|(name, value)| format!("{}: {value}", name.trim_start_matches("hefu-")))
                    .collect::<Vec<_>>()
                    .join("\n")
            }
        }
    }

    /// Judges a message. Its elements are told beside it where it has an `envelope`.
    async fn judge(&self, channel: &Arc<Channel>, message: &str) -> Result<Judged, Box<Refusal>> {
        self.judge_marked(channel, message, None).await
    }

    /// As [`Self::judge`], of one that may be marked as funded by balance.
    async fn judge_marked(
        &self,
        channel: &Arc<Channel>,
        message: &str,
        mark: Option<&str>,
    ) -> Result<Judged, Box<Refusal>> {
        let body = format!("{{{message}}}");
        let request = Request {
            told: message.contains("envelope").then_some(TOLD),
            ..Request::post("/acme/", "application/json", body.as_bytes())
        };
        let marked = mark.map(|mark| marked::parse(mark).unwrap());
        let judged = self.service.judge_marked(channel, &request, marked.as_ref()).await;
        judged.map(|(_permit, judged)| judged)
    }

    /// Settles what was judged, with `code`.
    async fn settle(&self, judged: Judged, code: &str) {
        let answer = format!(r#"{{"code":"{code}"}}"#);
        let (content_type, body) = (None, answer.as_bytes());
        self.service.settle(judged, Reported::Answer { status: 200, content_type, body }).await;
    }

    /// Imports one agreement.
    async fn import(&self, told: &Told) -> Result<(), ImportError> {
        let told = std::slice::from_ref(told);
        self.service.import(self.channel.name(), told).await.remove(0)
    }

    /// How many holds stand.
    fn held(&self) -> usize {
        self.service.standing_holds().len()
    }

    async fn check(&self, message: &str, code: &str, expected: Expect) {
        expected.assert_eq(&self.send(message, code).await);
    }

    fn later(&self, by: Duration) {
        self.clock.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    fn debit(order: &str, phone: u8) -> String {
        format!(r#""type":"debit","order":"{order}","amount":"100",{}"#, person(phone))
    }
}

#[tokio::test]
async fn a_verified_debit_passes_and_its_evidence_is_reused() {
    let world = world();
    let debit = World::debit("1", 0);
    world
        .check(&debit, "ok", expect![[r#"
            decision: permit;mode=enforce
            verification: match;provider="first";road="road";elements="name id_number pan phone";age=0
            outcome: succeeded;code="ok";arrival=sync"#]])
        .await;
    world.later(Duration::from_hours(24));
    world
        .check(&World::debit("2", 0), "poor", expect![[r#"
            decision: permit;mode=enforce
            verification: match;provider="first";road="road";elements="name id_number pan phone";age=86400
            outcome: declined;reason=insufficient_funds;code="poor";arrival=sync"#]])
        .await;
    assert_eq!((world.first.asked(), world.second.asked()), (1, 0));
    // Another phone is another tuple; after its time evidence is no longer evidence.
    world.send(&World::debit("3", 1), "ok").await;
    assert_eq!(world.first.asked(), 2);
    world.later(Duration::from_hours(90 * 24));
    world.send(&World::debit("4", 0), "ok").await;
    assert_eq!(world.first.asked(), 3);
}

#[tokio::test]
async fn what_does_not_match_is_refused_and_nobody_is_asked_twice() {
    let world = world();
    world.first.will(&[Answer::NoMatch(ElementSet::EMPTY.with(Element::Phone))]);
    world.check(&World::debit("1", 0), "ok", expect!["403 no_match [phone]"]).await;
    world.check(&World::debit("1", 0), "ok", expect!["403 no_match [phone]"]).await;
    assert_eq!((world.first.asked(), world.second.asked()), (1, 0));
}

#[tokio::test]
async fn the_next_provider_is_asked_after_a_technical_failure_only() {
    let world = world();
    world.first.will(&[Answer::Unavailable]);
    let told = world.send(&World::debit("1", 0), "ok").await;
    assert!(told.contains(r#"match;provider="second""#), "{told}");
    world.first.will(&[Answer::Unavailable]);
    world.second.will(&[Answer::Unavailable]);
    world.check(&World::debit("2", 1), "ok", expect!["503 unavailable []"]).await;
    world.first.will(&[Answer::Limited]);
    world.check(&World::debit("3", 2), "ok", expect!["503 limited []"]).await;
    assert_eq!((world.first.asked(), world.second.asked()), (3, 2));
}

#[tokio::test]
async fn one_question_is_asked_once_however_many_wait() {
    let world = Arc::new(world());
    let all = world.first.gate.acquire_many(1000).await.unwrap();
    let waiting: Vec<_> = (0..20)
        .map(|at| {
            let world = world.clone();
            tokio::spawn(async move { world.send(&World::debit(&at.to_string(), 0), "ok").await })
        })
        .collect();
    while world.first.asked() == 0 {
        tokio::task::yield_now().await;
    }
    drop(all);
    for told in waiting {
        assert!(
            told.await.unwrap().starts_with("decision: permit"),
            "all are answered by the one inquiry"
        );
    }
    assert_eq!(world.first.asked(), 1);
    assert!(world.service.flights.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_kept_for_the_next_message_and_no_flight_is_left() {
    let settings = Settings { inquiry_deadline: Duration::from_secs(3), ..Settings::default() };
    let world = world_with(Binding::Enforce(100), settings);
    let all = world.first.gate.acquire_many(1000).await.unwrap();
    world.check(&World::debit("1", 0), "ok", expect!["503 unavailable []"]).await;
    drop(all);
    while !world.service.flights.is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(world.send(&World::debit("2", 0), "ok").await.starts_with("decision: permit"));
    assert_eq!((world.first.asked(), world.second.asked()), (1, 0));
}

#[tokio::test]
async fn the_debit_outcome_prevails() {
    let world = world();
    world
        .check(&World::debit("1", 0), "phone", expect![[r#"
            decision: permit;mode=enforce
            verification: match;provider="first";road="road";elements="name id_number pan phone";age=0
            outcome: no_match;suspects="phone";code="phone";arrival=sync
            mismatch: match_then_no_match;provider="first";suspects="phone""#]])
        .await;
    // Held: the next debit of this tuple waits, and nobody is asked; another tuple of the card does not.
    world.check(&World::debit("2", 0), "ok", expect!["403 held not_asked []"]).await;
    assert_eq!(world.first.asked(), 1);
    assert!(world.send(&World::debit("3", 1), "ok").await.starts_with("decision: permit"));
    // A bind is not held; its fresh match settles the hold.
    world.later(Duration::from_secs(1));
    let bind = format!(r#""type":"bind","order":"4",{}"#, person(0));
    assert!(world.send(&bind, "ok").await.starts_with("decision: permit"));
    assert_eq!(world.first.asked(), 3);
    assert!(world.send(&World::debit("5", 0), "ok").await.starts_with("decision: permit"));
}

#[tokio::test]
async fn a_hold_ends_by_time_and_by_hand() {
    let world = world();
    world.send(&World::debit("1", 0), "phone").await;
    world.later(Duration::from_hours(7 * 24 - 1));
    world.check(&World::debit("2", 0), "ok", expect!["403 held not_asked []"]).await;
    world.later(Duration::from_hours(1));
    assert!(world.send(&World::debit("3", 0), "ok").await.starts_with("decision: permit"));
    world.send(&World::debit("4", 1), "phone").await;
    let held: Vec<_> = world.service.standing_holds().into_iter().map(|hold| hold.key).collect();
    assert_eq!(held.len(), 1);
    assert_eq!(world.service.release_holds(&held, "the customer called").await.len(), 1);
    world.later(Duration::from_secs(1));
    assert!(world.send(&World::debit("5", 1), "ok").await.starts_with("decision: permit"));
}

#[tokio::test]
async fn an_issuers_bad_night_does_not_stop_the_book() {
    let settings = Settings { holds_per_hour: 2, ..Settings::default() };
    let world = world_with(Binding::Enforce(100), settings);
    for phone in 0..5 {
        world.send(&World::debit(&phone.to_string(), phone), "phone").await;
    }
    assert_eq!(world.service.standing_holds().len(), 2);
    assert!(world.send(&World::debit("x", 4), "ok").await.starts_with("decision: permit"));
    assert_eq!(world.service.metrics.total("hefu_holds_paused", &[]), 3);
    world.later(Duration::from_hours(1));
    world.send(&World::debit("y", 4), "phone").await;
    assert_eq!(world.service.standing_holds().len(), 3);
}

#[tokio::test]
async fn an_agreement_stands_as_long_as_nothing_contradicts_it() {
    let world = world();
    let debit = |order: &str, id: &str| {
        format!(r#""type":"by_agreement","order":"{order}","amount":"100","agreement":"{id}""#)
    };
    world
        .check(
            &debit("1", "A-ok"),
            "ok",
            expect![[r#"
            decision: annotate;reason=agreement_unknown;mode=enforce
            outcome: succeeded;code="ok";arrival=sync"#]],
        )
        .await;
    // Two steps: the first carries the elements, the second yields the agreement.
    world.send(&format!(r#""type":"bind1","order":"b",{}"#, person(0)), "taken").await;
    world
        .check(
            r#""type":"bind2","order":"b""#,
            "ok",
            expect![[r#"
        decision: permit;mode=enforce
        verification: match;provider="first";road="road";elements="name id_number pan phone";age=0
        outcome: succeeded;code="ok";arrival=sync"#]],
        )
        .await;
    world
        .check(&debit("2", "A-ok"), "ok", expect![[r#"
            decision: permit;mode=enforce
            verification: match;provider="first";road="road";elements="name id_number pan phone";age=0
            outcome: succeeded;code="ok";arrival=sync"#]])
        .await;
    assert_eq!(world.first.asked(), 1, "a debit on a good agreement asks nobody");
    world
        .check(&debit("3", "A-ok"), "phone", expect![[r#"
            decision: permit;mode=enforce
            verification: match;provider="first";road="road";elements="name id_number pan phone";age=0
            outcome: no_match;suspects="phone";code="phone";arrival=sync
            mismatch: match_then_no_match;provider="first";suspects="phone""#]])
        .await;
    world.check(&debit("4", "A-ok"), "ok", expect!["403 held agreement_contradicted []"]).await;
    // A re-bind of the card yields a new agreement and closes the old one.
    let bind = format!(r#""type":"bind","order":"c",{}"#, person(1));
    world.send(&bind, "again").await;
    world.check(&debit("5", "A-ok"), "ok", expect!["403 held agreement_closed []"]).await;
    assert!(world.send(&debit("6", "A-again"), "ok").await.starts_with("decision: permit"));
    // An unbind closes it, and so does the channel's own word.
    world.send(r#""type":"unbind","order":"d","agreement":"A-again""#, "ok").await;
    world.check(&debit("7", "A-again"), "ok", expect!["403 agreement_closed []"]).await;
}

#[tokio::test]
async fn a_confirmation_without_its_first_step_is_marked() {
    let world = world();
    world
        .check(
            r#""type":"bind2","order":"nobody""#,
            "ok",
            expect![[r#"
            decision: annotate;reason=first_step_unseen;mode=enforce
            outcome: succeeded;code="ok";arrival=sync"#]],
        )
        .await;
}

#[tokio::test]
async fn the_cores_own_verification_is_evidence_at_no_charge() {
    let world = world();
    world.send(&format!(r#""type":"verify","order":"v",{}"#, person(0)), "ok").await;
    let told = world.send(&World::debit("1", 0), "ok").await;
    assert!(told.contains(r#"verification: match;provider="acme""#), "{told}");
    world.send(&format!(r#""type":"verify","order":"w",{}"#, person(1)), "phone").await;
    world.check(&World::debit("2", 1), "ok", expect!["403 no_match [phone]"]).await;
    assert_eq!(world.first.asked(), 0);
}

#[tokio::test]
async fn observe_asks_nobody_and_refuses_nothing() {
    let world = world_with(Binding::Observe, Settings::default());
    let debit = World::debit("1", 0);
    world
        .check(
            &debit,
            "phone",
            expect![[r#"
        decision: annotate;reason=not_asked;mode=observe
        outcome: no_match;suspects="phone";code="phone";arrival=sync
        mismatch: unverified_then_no_match;suspects="phone""#]],
        )
        .await;
    for message in [
        &World::debit("2", 0),
        r#""type":"strange""#,
        r#""type":"debit","type":"debit""#,
        r#""type":"#,
    ] {
        let told = world.send(message, "ok").await;
        assert!(told.starts_with("decision: annotate"), "{message}: {told}");
    }
    assert_eq!(world.first.asked() + world.second.asked(), 0);
}

#[tokio::test]
async fn what_is_unreadable_or_unlisted_is_refused_in_enforce() {
    let world = world();
    let check = async |message: &str, expected: &str| {
        assert_eq!(world.send(message, "ok").await, expected, "{message}");
    };
    check(r#""type":"strange""#, "403 unlisted []").await;
    check(r#""type":"debit","type":"debit""#, "422 ambiguous []").await;
    check(r#""type":"debit","TYPE":"refund""#, "422 ambiguous []").await;
    check(r#""type":"#, "422 unreadable []").await;
    check(&World::debit("1", 0).replace("100", "1e2"), "422 ambiguous []").await;
    check(&World::debit("1", 0).replace("0005", "0006"), "403 invalid [pan]").await;
    assert_eq!(world.first.asked(), 0, "nobody is asked about what is no card");
}

#[tokio::test]
async fn what_is_never_refused_passes_whatever_is_held() {
    let world = world();
    world.send(&World::debit("1", 0), "phone").await;
    for kind in ["query", "refund", "void", "sms", "unbind"] {
        let told = world.send(&format!(r#""type":"{kind}","order":"1",{}"#, person(0)), "ok").await;
        assert!(told.starts_with("decision: permit"), "{kind}: {told}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_unknown_and_stays_expected() {
    let world = world();
    let name = world.channel.name();
    for (order, reported) in [
        ("1", Reported::InDoubt),
        ("2", Reported::Answer { status: 500, content_type: None, body: br#"{"code":"ok"}"# }),
        ("3", Reported::Answer { status: 200, content_type: None, body: b"<html>" }),
        (
            "4",
            Reported::Answer {
                status: 200,
                content_type: None,
                body: br#"{"code":"ok","code":"phone"}"#,
            },
        ),
    ] {
        let told = world.send_answered(&World::debit(order, 0), reported).await;
        assert!(told.contains("outcome: unknown"), "{order}: {told}");
    }
    assert!(world.send(&World::debit("5", 0), "never seen").await.contains("outcome: unmapped"));
    assert!(world.send(&World::debit("6", 0), "taken").await.contains("outcome: accepted"));
    assert_eq!(world.service.store.expectations(name), 6);
    assert!(
        world
            .send_answered(&World::debit("7", 0), Reported::NotSent)
            .await
            .starts_with("decision: permit")
    );
    assert_eq!(world.service.store.expectations(name), 6, "what was not sent owes nothing");
}

#[tokio::test]
async fn a_percentage_of_orders_is_enforced_and_an_order_fares_alike() {
    let world = world_with(Binding::Enforce(30), Settings::default());
    let mut enforced = 0;
    for order in 0..200 {
        let first = world.send(&World::debit(&format!("order-{order}"), 0), "ok").await;
        // What binds refuses the second comer, what does not remarks upon it.
        let again = world.send(&World::debit(&format!("order-{order}"), 0), "ok").await;
        let binds = first.contains("mode=enforce");
        assert_eq!(binds, again.starts_with("409 already_sent"), "{again}");
        assert_eq!(!binds, again.contains("mode=observe"), "{again}");
        enforced += u32::from(first.contains("mode=enforce"));
    }
    assert!((35..=85).contains(&enforced), "{enforced} of 200 at 30 %");
}

#[tokio::test]
async fn imported_agreements_are_good() {
    let world = world();
    let told = |agreement: &str, pan: &str| Told {
        agreement: agreement.into(),
        pan: Some(pan.into()),
        ..Told::default()
    };
    world.import(&told("old", "6200000000000005")).await.unwrap();
    let error = world.import(&told("", "")).await.unwrap_err();
    assert_eq!(error.to_string(), "the agreement id is empty");
    let error = world.import(&told("x", "6200000000000006")).await.unwrap_err();
    assert_eq!(error.to_string(), "not a card or account number");
    let debit = r#""type":"by_agreement","order":"1","amount":"100","agreement":"old""#;
    assert!(world.send(debit, "ok").await.starts_with("decision: permit"));
}

fn batch(order: &str, phones: &[u8]) -> String {
    let rows = phones.iter().enumerate();
    let rows: Vec<_> = rows
        .map(|(no, phone)| format!(r#"{{"no":"{no}","amount":"100",{}}}"#, person(*phone)))
        .collect();
    format!(r#""type":"debits","order":"{order}","rows":[{}]"#, rows.join(","))
}

const fn answer(body: &str) -> Reported<'_> {
    Reported::Answer { status: 200, content_type: None, body: body.as_bytes() }
}

#[tokio::test]
async fn a_batch_is_judged_and_settled_row_by_row() {
    let world = world();
    let told = r#"{"code":"ok","rows":[{"no":"1","code":"phone"},{"no":"0","code":"ok"},{"no":"9","code":"ok"}]}"#;
    let shown = world.send_answered(&batch("B1", &[0, 1, 2]), answer(told)).await;
    expect![[r#"
        decision: permit;mode=enforce
        rows: 2;decision=permit;outcome=no_match;mismatch=match_then_no_match;suspects="phone""#]]
    .assert_eq(&shown);
    // The third row was not told, so its outcome is still owed; the second is held, and so is the next batch with it.
    assert_eq!(world.service.store.expectations(world.channel.name()), 1);
    let shown = world.send_answered(&batch("B2", &[0, 1]), Reported::NotSent).await;
    assert_eq!(shown, "403 held not_asked []");
}

#[tokio::test]
async fn a_batch_is_refused_whole_and_names_its_rows() {
    let mut world = world();
    Arc::get_mut(&mut world.service).unwrap().attempts = attempts::Limits::default();
    let wrong = Answer::NoMatch(ElementSet::EMPTY.with(Element::Phone));
    world.first.will(&[Answer::Match, wrong, wrong]);
    let body = format!("{{{}}}", batch("B1", &[0, 1, 2, 3]));
    let request = Request::post("/acme/", "application/json", body.as_bytes());
    let refusal = world.service.judge(&world.channel, &request).await.unwrap_err();
    let rows = refusal.rows.iter().map(|row| (row.number, row.reasons.len(), row.attempts_left));
    let rows: Vec<_> = rows.collect();
    // Of two wrong ones in a row the second was the last that this merchant may try.
    assert_eq!((refusal.status, rows), (403, vec![(2, 1, Some(0)), (3, 1, Some(0))]));
    assert_eq!(refusal.attempts_left, None);
    assert_eq!(world.service.store.expectations(world.channel.name()), 0);
    let reasons: Vec<_> = world
        .service
        .store
        .rows(refusal.payment)
        .iter()
        .map(|row| row.reasons[0].as_str())
        .collect();
    assert_eq!(reasons, ["batch_refused", "no_match", "no_match", "batch_refused"]);
}

#[tokio::test]
async fn an_outer_failure_or_nothing_read_holds_for_every_row() {
    for (told, open) in [
        (r#"{"code":"poor"}"#, 0),
        ("garbage", 2),
        (r#"{"code":"ok","rows":[{"no":"0","code":"ok"},{"no":"0","code":"ok"}]}"#, 2),
    ] {
        let world = world();
        world.send_answered(&batch("B1", &[0, 1]), answer(told)).await;
        assert_eq!(world.service.store.expectations(world.channel.name()), open, "{told}");
    }
}

#[tokio::test]
async fn unmapped_codes_are_listed_with_counts() {
    let world = world();
    for (order, code) in [("1", "E7"), ("2", "E7"), ("3", "6200000000000005")] {
        world.send(&World::debit(order, 0), code).await;
    }
    let listed: Vec<_> = world
        .service
        .store
        .unmapped()
        .into_iter()
        .map(|seen| (seen.map, seen.code, seen.count))
        .collect();
    let map = "final".to_owned();
    assert_eq!(listed, [(map.clone(), "E7".to_owned(), 2), (map, "too-many-digits".to_owned(), 1)]);
}

/// The suspects of a channel that names no element are not elements at fault.
#[tokio::test]
async fn suspects_of_the_cores_own_verify_are_not_named() {
    let world = world();
    let verify = format!(r#""type":"verify","order":"V1",{}"#, person(0));
    world.send(&verify, "some").await;
    assert_eq!(world.send(&World::debit("1", 0), "ok").await, "403 no_match []");
    let world = self::world();
    world.send(&verify, "phone").await;
    assert_eq!(world.send(&World::debit("1", 0), "ok").await, "403 no_match [phone]");
}

#[tokio::test]
async fn a_percentage_holds_for_messages_without_an_order_too() {
    let world = world_with(Binding::Enforce(30), Settings::default());
    let mut enforced = 0;
    for number in 0..300 {
        let strange = format!(r#""type":"strange","number":"{number}""#);
        enforced += u32::from(world.send(&strange, "ok").await == "403 unlisted []");
    }
    assert!((60..=120).contains(&enforced), "{enforced} of 300 at 30 %");
}

#[tokio::test]
async fn what_never_left_is_not_told_as_forwarded() {
    use hefu::service::explain::story;
    let world = world();
    let check = async |reported: Reported<'_>, en: &str, zh: &str| {
        let judged = world.judge(&world.channel, &World::debit("1", 0)).await.unwrap();
        let told = world.service.settle(judged, reported).await;
        let payment = PaymentId::parse(told[0].1.trim_matches('"')).unwrap();
        let story = story(&world.service.store.record(payment).unwrap());
        assert!(story.en.starts_with(en) && story.zh.contains(zh), "{story:?}");
    };
    check(Reported::NotSent, "The payment was permitted, and never sent", "未发送").await;
    check(Reported::InDoubt, "The payment was forwarded", "已转发").await;
}
