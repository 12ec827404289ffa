//! Whoever may be asked, whatever they say: nobody is asked beyond a budget, nobody who repeats what was said already, and what was
//! charged is what the plan costs.

use crate::{ANY, FOUR, World, person, world_over};
use async_trait::async_trait;
use hefu::billing::price::Prices;
use hefu::domain::answer::{Answer, Billable};
use hefu::domain::chance::Share;
use hefu::domain::clock::Timestamp;
use hefu::domain::element::ElementSet;
use hefu::domain::id::{MerchantId, ProviderName, Road};
use hefu::domain::kind::Kind;
use hefu::domain::money::Fen;
use hefu::provider::{Capability, Inquiry, More, Provider, Reply, Trouble};
use hefu::route::Candidate;
use hefu::route::attempts::{Limits, Most};
use hefu::route::budget::Budget;
use hefu::service::attempts::Purse;
use hefu::service::health::Watch;
use hefu::service::{Binding, Entry, Settings};
use hefu::store::memory::{self, MemoryStore};
use hefu::store::sqlite;
use proptest::prelude::*;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a provider says, and how it bills that.
type Says = (Answer, Billable);

/// Somebody who may be asked: the source behind, what an inquiry costs, and what is answered to each question in turn.
#[derive(Clone, Debug)]
struct Somebody {
    source: u8,
    price: u32,
    says: Vec<Says>,
    cap: Option<u64>,
}

/// Who was asked, in which order, and what was said.
type Book = Arc<Mutex<Vec<(usize, Says)>>>;

#[derive(Debug)]
struct Asked {
    name: ProviderName,
    capability: Capability,
    number: usize,
    of: Somebody,
    question: Arc<Mutex<usize>>,
    book: Book,
}

#[async_trait]
impl Provider for Asked {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn capability(&self) -> &Capability {
        &self.capability
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(3)
    }

    async fn ask(&self, _: &Inquiry, _: Timestamp) -> Reply {
        let says = self.of.says[*self.question.lock().unwrap() % self.of.says.len()];
        self.book.lock().unwrap().push((self.number, says));
        let trouble = (says.0 == Answer::Unavailable).then_some(Trouble::Silence);
        Reply {
            answer: says.0,
            code: None,
            billable: says.1,
            source: None,
            trouble,
            more: More::NOTHING,
        }
    }
}

/// A world in which these may be asked, by their order.
struct Asking {
    world: World,
    question: Arc<Mutex<usize>>,
    book: Book,
}

impl Asking {
    fn new(dir: &Path, all: &[Somebody], limits: Limits, per_merchant: Option<u64>) -> Self {
        let backend = sqlite::open(&dir.join("hefu.db")).unwrap();
        let store = MemoryStore::open(memory::Limits::default(), backend, |_| ()).unwrap();
        let mut world = world_over(store, Binding::Enforce(100), Settings::default());
        let (question, book) = (Arc::new(Mutex::new(0)), Book::default());
        let entries = all.iter().enumerate().map(|(number, of)| {
            let (road, source) = (Road::new("road"), of.source.to_string().into_boxed_str());
            let capability = Capability {
                road: road.clone(),
                source: source.clone(),
                sets: vec![FOUR],
                account_kinds: Vec::new(),
                id_types: Vec::new(),
                kind: Kind::Elements,
            };
            let name = ProviderName::new(&format!("p{number}"));
            let (of, question, book) = (of.clone(), question.clone(), book.clone());
            Entry {
                candidate: Candidate {
                    road,
                    source,
                    sets: vec![FOUR],
                    account_kinds: Vec::new(),
                    id_types: Vec::new(),
                    asks: Kind::Elements,
                    bins: Vec::new(),
                    scenarios: Vec::new(),
                    priority: u32::try_from(number).unwrap(),
                    weight: NonZeroU32::MIN,
                },
                watch: Arc::new(Watch::new(NonZeroUsize::MAX)),
                prices: Prices::flat(of.price.into()),
                cap: of.cap.map(Fen::new),
                shadow: Share::NONE,
                provider: Arc::new(Asked { name, capability, number, of, question, book }),
            }
        });
        let entries = entries.collect();
        let service = Arc::get_mut(&mut world.service).unwrap();
        (service.providers, service.attempts) = (entries, limits);
        // Failures are not what is tried here, so that no budget of retries is short.
        service.retries = Budget::new(10_000);
        service.purse = Purse::new(per_merchant.map(Fen::new));
        Self { world, question, book }
    }

    /// Debits one card with a phone, and says who was asked for it.
    async fn debit(&self, number: usize, merchant: &MerchantId) -> Vec<(usize, Says)> {
        *self.question.lock().unwrap() = number;
        let person = person(u8::try_from(number).unwrap());
        let merchant = &merchant.0;
        let message = format!(
            r#""type":"debit","merchant":"{merchant}","order":"{number}","amount":"100",{person}"#
        );
        self.world.send(&message, "ok").await;
        std::mem::take(&mut self.book.lock().unwrap())
    }
}

fn says() -> impl Strategy<Value = Says> {
    let answer = prop_oneof![
        1 => Just(Answer::Match),
        1 => Just(Answer::CloseMatch),
        1 => Just(Answer::NoMatch(ElementSet::EMPTY)),
        3 => Just(Answer::NoRecord),
        3 => Just(Answer::NotPossible),
        1 => Just(Answer::Limited),
        1 => Just(Answer::Invalid),
        2 => Just(Answer::Unavailable),
    ];
    (answer, prop_oneof![Just(Billable::Yes), Just(Billable::No), Just(Billable::Uncertain)])
}

fn somebody() -> impl Strategy<Value = Somebody> {
    let cap = prop_oneof![Just(None), (0..400_u64).prop_map(Some)];
    (0..3_u8, 1..100_u32, prop::collection::vec(says(), 1..5), cap)
        .prop_map(|(source, price, says, cap)| Somebody { source, price, says, cap })
}

/// Who is asked, by what the plan and the answers say.
fn predicted(all: &[Somebody], question: usize) -> Vec<(usize, Says)> {
    let (mut asked, mut heard) = (Vec::new(), Vec::new());
    for (at, of) in all.iter().enumerate() {
        if heard.contains(&of.source) {
            continue;
        }
        let says = of.says[question % of.says.len()];
        asked.push((at, says));
        match says.0 {
            Answer::NoRecord | Answer::NotPossible => heard.push(of.source),
            Answer::Unavailable => (),
            Answer::Match
            | Answer::CloseMatch
            | Answer::NoMatch(_)
            | Answer::Limited
            | Answer::Invalid => break,
        }
    }
    asked
}

/// What is kept of charges: how many of each provider and kind.
fn charged(dir: &Path) -> BTreeMap<(String, String), u32> {
    let file = Connection::open(dir.join("hefu.db")).unwrap();
    let mut rows = file.prepare("SELECT value FROM charges").unwrap();
    let mut all = BTreeMap::new();
    for row in rows.query_map((), |row| row.get::<_, String>(0)).unwrap() {
        let charge: serde_json::Value = serde_json::from_str(&row.unwrap()).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let of = (text(&charge["inquiry"]["provider"]), text(&charge["billable"]));
        *all.entry(of).or_default() += 1;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Those who are asked are those whom the plan and the answers name, and nobody behind a source that has spoken; each is one
    /// charge, and together they cost what that does.
    #[test]
    fn a_plan_costs_what_was_charged(
        all in prop::collection::vec(somebody(), 1..6),
        questions in 1..5_usize,
    ) {
        let all: Vec<_> = all.into_iter().map(|of| Somebody { cap: None, ..of }).collect();
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (mut cost, mut charges) = (0, BTreeMap::new());
        runtime.block_on(async {
            let asking = Asking::new(dir.path(), &all, ANY, None);
            for question in 0..questions {
                let expected = predicted(&all, question);
                let asked = asking.debit(question, &MerchantId("M".into())).await;
                prop_assert_eq!(&asked, &expected);
                for (at, (_, billable)) in expected {
                    cost += if billable == Billable::No { 0 } else { u64::from(all[at].price) };
                    *charges.entry((format!("p{at}"), billable.as_str().to_owned())).or_default() += 1;
                }
            }
            asking.world.service.store.flush().await.unwrap();
            let counted = asking.world.service.metrics.total("hefu_charges_fen_total", &[]);
            prop_assert_eq!(counted, cost);
            Ok(())
        })?;
        prop_assert_eq!(charged(dir.path()), charges);
    }

    /// Neither money nor attempts, of whomever: before each question that was put there was as much left as it takes.
    #[test]
    fn nobody_is_asked_beyond_a_budget(
        all in prop::collection::vec(somebody(), 1..6),
        merchants in prop::collection::vec(0..2_u8, 1..10),
        (per_day, wrong, left_to_others) in (1..6_u32, 1..4_u32, 0..2_u32),
        per_merchant in prop_oneof![Just(None), (0..400_u64).prop_map(Some)],
    ) {
        let most = Most { per_day, wrong };
        let limits = Limits { card: most, person: most, left_to_others, ..Limits::default() };
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let asking = Asking::new(dir.path(), &all, limits, per_merchant);
            let mut spent = BTreeMap::<(&str, usize), u64>::new();
            let mut asked = BTreeMap::<(u8, Option<u8>), u32>::new();
            let (mut in_a_row, mut limited) = (BTreeMap::<u8, u32>::new(), Vec::new());
            for (number, merchant) in merchants.iter().enumerate() {
                let name = MerchantId(merchant.to_string().as_str().into());
                for (at, (answer, billable)) in asking.debit(number, &name).await {
                    let of = &all[at];
                    let price = u64::from(of.price);
                    let accounts = [("provider", at, of.cap), ("merchant", usize::from(*merchant), per_merchant)];
                    for (kind, whose, cap) in accounts {
                        let sum = spent.entry((kind, whose)).or_default();
                        prop_assert!(cap.is_none_or(|cap| *sum + price <= cap), "{kind} {whose}: {sum} and {price} of {cap:?}");
                        *sum += if billable == Billable::No { 0 } else { price };
                    }
                    for (whose, most) in [(None, per_day), (Some(*merchant), per_day.saturating_sub(left_to_others))] {
                        let count = asked.entry((of.source, whose)).or_default();
                        *count += 1;
                        prop_assert!(*count <= most, "source {}: {count} of {most} for {whose:?}", of.source);
                    }
                    prop_assert!(!limited.contains(&of.source), "{} said that it was too often", of.source);
                    let row = in_a_row.entry(of.source).or_default();
                    prop_assert!(*row < wrong, "source {}: {row} wrong ones in a row", of.source);
                    match answer {
                        Answer::Match => *row = 0,
                        Answer::NoMatch(_) | Answer::Unavailable => *row += 1,
                        Answer::Limited => limited.push(of.source),
                        Answer::CloseMatch | Answer::NoRecord | Answer::NotPossible | Answer::Invalid => (),
                    }
                }
            }
            Ok(())
        })?;
    }
}
