//! Whole worlds in this process: three providers, six channels, and a truth that only the world knows. Seeds are fixed.
//!
//! In each world some people have changed their number. Banks have heard of it; those who did tell the core the new number, and
//! some still give the old one, which the bank refuses. What a provider has on file is stale for a part of them that is another
//! for each channel's customers: it takes the old number for right, and refuses the new one. So staleness makes mismatches and
//! refuses good payments, and how stale each is where is to be found out.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and shows its figures"
)]

use crate::{ANY, FOUR, Hand, config_of, key};
use async_trait::async_trait;
use hefu::billing::price::Prices;
use hefu::domain::answer::{Answer, Billable};
use hefu::domain::chance::Share;
use hefu::domain::clock::Timestamp;
use hefu::domain::element::{Element, ElementSet};
use hefu::domain::id::{ChannelName, ProviderName, Road};
use hefu::domain::kind::Kind;
use hefu::domain::money::Fen;
use hefu::domain::outcome::{Outcome, Suspects};
use hefu::domain::payment::Scenario;
use hefu::message::extract::Request;
use hefu::metrics::Metrics;
use hefu::provider::{Capability, Inquiry, More, Provider, Reply};
use hefu::reconcile::concordance::{Age, Book, Level, Place, Rate, Said, Sample, shows};
use hefu::reconcile::{Expected, Verified};
use hefu::route::budget::Budget;
use hefu::route::concordance::{Costs, Known, Strategy, rank};
use hefu::route::{self, Candidate, Plan, Wanted};
use hefu::service::afterwards::Sample as Sampled;
use hefu::service::attempts::Purse;
use hefu::service::health::Watch;
use hefu::service::routing::Routing;
use hefu::service::settle::Reported;
use hefu::service::validity::{Sharing, Validity};
use hefu::service::verify::Flights;
use hefu::service::{Binding, Channel, Entry, Service, Settings};
use hefu::store::memory::{Limits, MemoryStore};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::cell::RefCell;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PROVIDERS: usize = 3;
const CHANNELS: usize = 6;
const CELLS: usize = PROVIDERS * CHANNELS;
const WORLDS: u64 = 20;

/// Of those who changed their number, how many still give the old one.
const GIVES_OLD: f64 = 0.4;

/// What is true of a world.
#[derive(Clone, Debug)]
struct Truth {
    /// How many of a channel's customers have changed their number.
    moved: [f64; CHANNELS],
    /// For how many of those a provider's data is stale.
    stale: [[f64; CHANNELS]; PROVIDERS],
    /// What an inquiry costs, in fen.
    prices: [u32; PROVIDERS],
    /// Which provider is of the channel's own house, if any: its data is fresher there, and by affinity it is asked first.
    own: [Option<usize>; CHANNELS],
}

impl Truth {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let own =
            std::array::from_fn(|_| rng.random_bool(0.33).then(|| rng.random_range(0..PROVIDERS)));
        let stale = std::array::from_fn(|provider| {
            std::array::from_fn(|channel| {
                // From one to sixty of a hundred, on a scale of ratios.
                let stale = 0.01 * 60_f64.powf(rng.random());
                if own[channel] == Some(provider) { stale / 2.0 } else { stale }
            })
        });
        Self {
            moved: std::array::from_fn(|_| rng.random_range(0.25..0.45)),
            stale,
            prices: std::array::from_fn(|_| rng.random_range(24..=36)),
            own,
        }
    }

    /// Whether a provider takes for right what somebody gives.
    fn takes_for_right(&self, provider: usize, payer: Payer) -> bool {
        let stale = payer.moved && payer.luck < self.stale[provider][payer.channel];
        payer.gives_old == stale
    }

    /// How often a channel bears out a match of a provider.
    fn concordance(&self, provider: usize, channel: usize) -> f64 {
        let (moved, stale) = (self.moved[channel], self.stale[provider][channel]);
        let right = 1.0 - moved + moved * (1.0 - GIVES_OLD) * (1.0 - stale);
        right / (right + moved * GIVES_OLD * stale)
    }
}

/// Who pays now.
#[derive(Clone, Copy, Debug, Default)]
struct Payer {
    channel: usize,
    moved: bool,
    gives_old: bool,
    /// How much of a hundred percent must be stale for this one to be.
    luck: f64,
}

/// A provider that has on file what the world says.
#[derive(Debug)]
struct Registry {
    name: ProviderName,
    capability: Capability,
    number: usize,
    truth: Truth,
    payer: Arc<Mutex<Payer>>,
    asked: AtomicU32,
}

#[async_trait]
impl Provider for Registry {
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
        self.asked.fetch_add(1, Ordering::Relaxed);
        let payer = *self.payer.lock().unwrap();
        let matches = self.truth.takes_for_right(self.number, payer);
        let answer = if matches { Answer::Match } else { Answer::NoMatch(PHONE) };
        Reply {
            answer,
            code: None,
            billable: Billable::Yes,
            source: None,
            trouble: None,
            more: More::NOTHING,
        }
    }
}

const PHONE: ElementSet = ElementSet::EMPTY.with(Element::Phone);

thread_local! {
    static DRAWS: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(0));
}

/// What chance decides within the service, by the world's seed.
fn draw() -> u128 {
    DRAWS.with_borrow_mut(rand::Rng::random)
}

struct World {
    truth: Truth,
    service: Arc<Service>,
    channels: Vec<Arc<Channel>>,
    registries: Vec<Arc<Registry>>,
    payer: Arc<Mutex<Payer>>,
    book: RefCell<Book>,
}

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Who debits.
#[derive(Clone, Copy, Debug)]
enum By {
    /// The service, from the bytes of a message to those of the answer.
    Service,
    /// The functions that it rests on, a thousand times as fast.
    Functions(Strategy),
}

/// What became of a world's debits.
#[derive(Clone, Copy, Debug, Default)]
struct Tale {
    mismatches: u32,
    cost: u32,
    good: u32,
    good_paid: u32,
}

impl Tale {
    fn paid(&self) -> f64 {
        f64::from(self.good_paid) / f64::from(self.good)
    }
}

impl World {
    #[expect(clippy::too_many_lines, reason = "a world is one table of who is in it")]
    fn new(seed: u64, strategy: Strategy) -> Self {
        let truth = Truth::new(seed);
        DRAWS.with_borrow_mut(|rng| *rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed));
        let payer = Arc::new(Mutex::new(Payer::default()));
        let registries: Vec<_> = (0..PROVIDERS)
            .map(|number| {
                let name = format!("provider-{number}");
                let capability = Capability {
                    road: Road::new(&name),
                    source: name.as_str().into(),
                    sets: vec![FOUR],
                    account_kinds: Vec::new(),
                    id_types: Vec::new(),
                    kind: Kind::Elements,
                };
                let (name, truth) = (ProviderName::new(&name), truth.clone());
                let (payer, asked) = (payer.clone(), AtomicU32::default());
                Arc::new(Registry { name, capability, number, truth, payer, asked })
            })
            .collect();
        let entry = |registry: &Arc<Registry>| Entry {
            provider: registry.clone(),
            candidate: Candidate {
                road: registry.capability.road.clone(),
                source: registry.capability.source.clone(),
                sets: vec![FOUR],
                account_kinds: Vec::new(),
                id_types: Vec::new(),
                asks: Kind::Elements,
                bins: Vec::new(),
                scenarios: Vec::new(),
                priority: u32::try_from(registry.number).unwrap(),
                weight: NonZeroU32::MIN,
            },
            watch: Arc::new(Watch::new(NonZeroUsize::MAX)),
            prices: Prices::flat(truth.prices[registry.number].into()),
            cap: None,
            shadow: Share::NONE,
        };
        let config = config_of("");
        let acme = config.profile("acme").unwrap();
        let channels = (0..CHANNELS).map(|channel| {
            let mut profile = acme.clone();
            profile.channel = ChannelName::new(&format!("channel-{channel}"));
            profile.road = truth.own[channel].map(|own| registries[own].capability.road.clone());
            Arc::new(Channel { profile, binding: Binding::Enforce(100) })
        });
        let clock = Arc::new(Hand::default());
        clock.0.store(1_700_000_000_000, Ordering::Relaxed);
        let service = Service {
            policy: config.policy.clone(),
            settings: Settings {
                routing: Routing { strategy, lower_below: None },
                ..Settings::default()
            },
            providers: registries.iter().map(entry).collect(),
            keys: key(1).into(),
            store: Arc::new(MemoryStore::new(Limits { records: 100, ..Limits::default() })),
            metrics: Arc::new(Metrics::new().unwrap()),
            clock,
            entropy: draw,
            flights: Flights::default(),
            retries: Budget::new(20),
            attempts: ANY,
            purse: Purse::default(),
            observe: Sampled::default(),
            validity: Validity::default(),
            sharing: Sharing::default(),
            tiers: hefu::service::accounts::Tiers::default(),
            rules: None,
        };
        let (channels, service, book) = (channels.collect(), Arc::new(service), RefCell::default());
        Self { truth, service, channels, registries, payer, book }
    }

    /// Debits everybody, so many for each cell; the same people in the same order whatever is decided.
    async fn run(&self, seed: u64, each: usize, by: By) -> Tale {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0xfee1);
        let mut tale = Tale::default();
        for number in 0..each * CELLS {
            let channel = number % CHANNELS;
            let moved = rng.random_bool(self.truth.moved[channel]);
            let gives_old = rng.random_bool(GIVES_OLD) && moved;
            *self.payer.lock().unwrap() = Payer { channel, moved, gives_old, luck: rng.random() };
            let mismatch = match by {
                By::Service => self.debit(channel, number, gives_old).await,
                By::Functions(strategy) => self.compute(strategy, draw()),
            };
            tale.mismatches += u32::from(mismatch == Some(true));
            tale.good += u32::from(!gives_old);
            tale.good_paid += u32::from(mismatch == Some(false));
        }
        for (registry, price) in self.registries.iter().zip(self.truth.prices) {
            tale.cost += registry.asked.load(Ordering::Relaxed) * price;
        }
        tale
    }

    /// What the service does, by the functions that it rests on: whom to ask, what comes of it, and what is learned from that.
    fn compute(&self, strategy: Strategy, draw: u128) -> Option<bool> {
        let payer = *self.payer.lock().unwrap();
        let channel = &self.channels[payer.channel];
        let place = |at: usize| Place {
            provider: self.registries[at].name.clone(),
            elements: FOUR,
            channel: Some(channel.name().clone()),
            bank: None,
        };
        let mut plan = self.plan(channel);
        if let Strategy::Concordance(costs) = strategy {
            let known = |at: usize| {
                let rate = self.book.borrow().rate(place(at), Said::Match, None, NOW);
                let known = rate.level != Level::Nowhere;
                Known {
                    price: self.truth.prices[at].into(),
                    mismatch: known.then(|| 1.0 - rate.count.expected()),
                    tried: rate.tried,
                    ..Known::default()
                }
            };
            let [half @ .., _, _, _, _, _, _, _, _] = draw.to_be_bytes();
            plan = rank(plan, known, costs, u64::from_be_bytes(half)).plan;
        }
        let at = plan.order[0];
        self.registries[at].asked.fetch_add(1, Ordering::Relaxed);
        if !self.truth.takes_for_right(at, payer) {
            return None;
        }
        let outcome = if payer.gives_old {
            Outcome::NoMatch(Suspects::Named(PHONE))
        } else {
            Outcome::Succeeded
        };
        let verified = Some(Verified { answer: Answer::Match, elements: FOUR });
        let expected = Expected { verified, checks: FOUR };
        let (said, agreed) = shows(&expected, ElementSet::EMPTY, outcome).unwrap();
        let sample = Sample { place: place(at), said, age: Age::Day, agreed, at: NOW };
        self.book.borrow_mut().add(&sample, 1_000);
        Some(!agreed)
    }

    fn plan(&self, channel: &Channel) -> Plan {
        let wanted = Wanted {
            asks: Kind::Elements,
            set: FOUR,
            kind: None,
            id_type: None,
            bin: None,
            side: None,
            scenario: Scenario::Debit,
            road: channel.profile.road.as_ref(),
            draw: 0,
        };
        route::plan(self.service.providers.iter().map(|entry| &entry.candidate), &wanted)
    }

    /// What may be expected of a match of `provider` at `channel`.
    fn rate(&self, provider: usize, channel: usize, by: By) -> Rate {
        let (name, channel) = (&self.registries[provider].name, self.channels[channel].name());
        match by {
            By::Service => {
                self.service.concordance(name, FOUR, (Some(channel), None), (Said::Match, None))
            }
            By::Functions(_) => {
                let (provider, channel) = (name.clone(), Some(channel.clone()));
                let place = Place { provider, elements: FOUR, channel, bank: None };
                self.book.borrow().rate(place, Said::Match, None, NOW)
            }
        }
    }

    /// One debit: whether the channel says that the elements do not match, and nothing where it was refused.
    async fn debit(&self, channel: usize, number: usize, gives_old: bool) -> Option<bool> {
        let message = format!(
            r#"{{"type":"debit","order":"{number}","amount":"100","name":"张三","id":"{}","card":"{}","phone":"138{number:08}"}}"#,
            id_number(number),
            card(number),
        );
        let request = Request::post("/acme/", "application/json", message.as_bytes());
        let (_permit, judged) = self.service.judge(&self.channels[channel], &request).await.ok()?;
        let answer: &[u8] = if gives_old { br#"{"code":"phone"}"# } else { br#"{"code":"ok"}"# };
        let reported = Reported::Answer { status: 200, content_type: None, body: answer };
        let told = self.service.settle(judged, reported).await;
        Some(told.iter().any(|(name, value)| {
            *name == "hefu-mismatch" && value.starts_with("match_then_no_match")
        }))
    }
}

/// A made-up card of its own.
fn card(number: usize) -> String {
    let digits = format!("620000{number:09}");
    let doubled = digits.bytes().rev().enumerate().map(|(at, digit)| {
        let digit = u32::from(digit - b'0');
        if at % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit }
    });
    format!("{digits}{}", (10 - doubled.sum::<u32>() % 10) % 10)
}

/// A made-up document of its own.
pub(crate) fn id_number(number: usize) -> String {
    const WEIGHTS: [usize; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let (day, serial) = (1 + number / 1000 % 28, number % 1000);
    let digits = format!("110105{}12{day:02}{serial:03}", 1950 + number / 28_000);
    let sum: usize =
        digits.bytes().zip(WEIGHTS).map(|(d, weight)| usize::from(d - b'0') * weight).sum();
    format!("{digits}{}", char::from(b"10X98765432"[sum % 11]))
}

/// As shipped, but that nobody takes any time here.
const COSTS: Costs =
    Costs { mismatch: Fen::new(2_000), second: Fen::new(0), explore: Share::percent(2) };

/// With providers at random, intervals hold the truth about as often as they say.
async fn check_intervals(by: impl Fn(Strategy) -> By) {
    let at_random = Strategy::Concordance(Costs { explore: Share::ALL, ..COSTS });
    let (mut held, mut cells, mut fewest) = (0_usize, 0, f64::MAX);
    for seed in 0..WORLDS {
        let (world, by) = (World::new(seed, at_random), by(at_random));
        world.run(seed, 600, by).await;
        for (provider, registry) in world.registries.iter().enumerate() {
            let asked = registry.asked.load(Ordering::Relaxed);
            assert!(asked >= 3_000, "seed {seed}: asked {asked} times at six channels");
            for channel in 0..CHANNELS {
                let count = world.rate(provider, channel, by).count;
                let ((low, high), truth) =
                    (count.interval(), world.truth.concordance(provider, channel));
                held += usize::from(low <= truth && truth <= high);
                cells += 1;
                fewest = fewest.min(count.all());
            }
        }
    }
    println!(
        "the truth lies within {held} of {cells} intervals, each of at least {fewest} samples"
    );
    assert!(held * 10 >= cells * 9, "{held} of {cells}");
    // Intervals that hold everything say nothing.
    assert!(held < cells);
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    let half = of.len() / 2;
    f64::midpoint(of[half - 1], of[half])
}

/// Against the same people in the same order, asked about by priority and affinity.
async fn check_routing(by: impl Fn(Strategy) -> By) {
    let (mut beats, mut mismatches, mut costs, mut paid) = (0, Vec::new(), Vec::new(), Vec::new());
    for seed in 0..WORLDS {
        let mut tales = Vec::new();
        for strategy in [Strategy::Priority, Strategy::Concordance(COSTS)] {
            tales.push(World::new(seed, strategy).run(seed, 1_500, by(strategy)).await);
        }
        let [by_priority, by_concordance] = tales[..] else { panic!() };
        println!(
            "seed {seed}: mismatches {} -> {}, inquiries {} -> {} fen, good payments paid {:.4} -> {:.4}",
            by_priority.mismatches,
            by_concordance.mismatches,
            by_priority.cost,
            by_concordance.cost,
            by_priority.paid(),
            by_concordance.paid(),
        );
        beats += u32::from(by_concordance.mismatches < by_priority.mismatches);
        let ratio = |one: u32, other: u32| f64::from(one) / f64::from(other);
        mismatches.push(ratio(by_concordance.mismatches, by_priority.mismatches));
        costs.push(ratio(by_concordance.cost, by_priority.cost));
        paid.push(by_concordance.paid() - by_priority.paid());
    }
    let (ratio, cost, paid) = (median(mismatches), median(costs), median(paid));
    println!(
        "fewer mismatches in {beats} of {WORLDS}; medians: {ratio:.3} of the mismatches at {cost:.3} of the cost, {paid:+.4} of good payments paid"
    );
    assert!(beats >= 18, "{beats}");
    assert!(ratio <= 0.5 && cost <= 1.0 && paid >= 0.0, "{ratio} {cost} {paid}");
}

#[tokio::test]
async fn intervals_hold_the_truth() {
    check_intervals(By::Functions).await;
}

#[tokio::test]
async fn concordance_halves_mismatches() {
    check_routing(By::Functions).await;
}

#[tokio::test]
#[ignore = "minutes: `make torture`"]
async fn intervals_of_the_service_hold_the_truth() {
    check_intervals(|_| By::Service).await;
}

#[tokio::test]
#[ignore = "a quarter of an hour: `make torture`"]
async fn the_service_halves_mismatches() {
    check_routing(|_| By::Service).await;
}

/// One world both ways: other draws, the same worth.
#[tokio::test]
async fn the_service_does_what_its_functions_do() {
    let strategy = Strategy::Concordance(COSTS);
    let mut tales = Vec::new();
    for by in [By::Service, By::Functions(strategy)] {
        tales.push(World::new(2, strategy).run(2, 150, by).await);
    }
    let [service, functions] = tales[..] else { panic!() };
    println!("{service:?} {functions:?}");
    let near = |one: u32, other: u32| one.abs_diff(other) * 5 < one.max(other);
    assert_eq!(service.good, functions.good);
    assert!(near(service.mismatches, functions.mismatches) && near(service.cost, functions.cost));
}
