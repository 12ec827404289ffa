//! Thousands of orders in which words about payments arrive, through the whole service: answers, notifications genuine, forged, late and
//! twice, answers to queries, lines of a statement, reversals and restarts; beside a model that knows precedence and nothing else.

use crate::notifications::Signed;
use crate::{World, world_over};
use hefu::domain::id::OrderId;
use hefu::domain::outcome::{Arrival, Outcome, Precedence};
use hefu::service::judge::Judged;
use hefu::service::settle::Reported;
use hefu::service::{Binding, Channel, Settings};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::sqlite::Sqlite;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many payments one world has, whose words come in between each other's; in one over a file, where each word waits for the disk, some.
const PAYMENTS: [usize; 2] = [100, 20];
/// How many worlds there are in memory, and how many that outlive their process.
const WORLDS: (u64, u64) = (20, 1);
/// What a channel says of a payment: how it ended, or that it did not.
const STATES: [&str; 6] = ["ok", "poor", "phone", "taken", "ZZ", "back"];

/// Something that happens to a payment.
#[derive(Clone, Debug, PartialEq)]
enum Event {
    /// It leaves.
    Leaves,
    /// Its own answer comes, with a code.
    Answer(&'static str),
    /// Nothing can be read of its answer.
    Doubt,
    /// It could not be sent.
    NotSent,
    /// A notification: signed so, of this amount, and whether its outer code says that it is itself in order.
    Notice(Signed, &'static str, &'static str, bool),
    /// The answer to a query: of this amount, if any, and the query's own code.
    Asked(&'static str, Option<&'static str>, &'static str),
    /// A line of a statement.
    Line(&'static str, &'static str),
}

/// A word that is believed.
type Word = (&'static str, Arrival);

/// What must be known of a payment: all that was believed of it, and what follows from that.
#[derive(Clone, Debug, Default)]
struct Model {
    left: bool,
    believed: Vec<Word>,
    /// Notifications that were news.
    told: Vec<Word>,
    differs: BTreeSet<&'static str>,
    held: bool,
    owed: bool,
}

/// Whether it is the channel's word when it was asked.
fn is_asked(by: Arrival) -> bool {
    matches!(by, Arrival::Query | Arrival::Statement)
}

/// How it ended by words in their order: the heaviest end counts, of equals the last; an undoing comes after the success that it undoes,
/// however it was told, and is the last of all.
fn end(words: &[Word], precedence: Precedence) -> Option<Word> {
    let mut known: Option<Word> = None;
    for word @ (state, by) in words.iter().copied() {
        match (known, state) {
            (Some(("back", before)), "back") => {
                let heavier = precedence.weight(by) > precedence.weight(before);
                if heavier || is_asked(by) && !is_asked(before) {
                    known = Some(word);
                }
            }
            (Some(("back", before)), "poor" | "phone") if is_asked(by) && !is_asked(before) => {
                known = Some(("back", by));
            }
            (Some(("back", _)), _)
            | (Some(("poor" | "phone", _)), "back")
            | (_, "taken" | "ZZ" | "broken") => (),
            (Some((_, before)), _)
                if state != "back" && precedence.weight(by) < precedence.weight(before) => {}
            (_, _) => known = Some(word),
        }
    }
    known
}

impl Model {
    /// Whether anybody's word is about it.
    fn hears(&mut self, event: &Event, precedence: Precedence) {
        match *event {
            Event::Leaves => (self.left, self.owed) = (true, true),
            Event::NotSent => (self.left, self.owed) = (false, false),
            Event::Answer(state) => self.believes((state, Arrival::Sync), precedence),
            Event::Doubt => (),
            _ if !self.left => (),
            Event::Notice(Signed::ByTheChannel, state, "100" | "", good) => {
                let word = (if good { state } else { "broken" }, Arrival::Notify);
                // It comes until it is taken: what was news tells nothing of now when it comes again.
                if !self.told.contains(&word) {
                    let before = end(&self.believed, precedence);
                    self.believes(word, precedence);
                    if end(&self.believed, precedence) != before {
                        self.told.push(word);
                    }
                }
            }
            Event::Notice(Signed::ByTheChannel, ..) => self.differs.extend(["amount_differs"]),
            // Nobody proved it; and that the query itself failed, or came too early, says nothing of the payment.
            Event::Notice(..) | Event::Asked(_, _, "broken" | "none") => (),
            Event::Asked(state, None | Some("100"), _) => {
                self.believes((state, Arrival::Query), precedence);
            }
            Event::Line(state, "100") => self.believes((state, Arrival::Statement), precedence),
            Event::Asked(..) | Event::Line(..) => self.differs.extend(["amount_differs"]),
        }
    }

    fn believes(&mut self, word: Word, precedence: Precedence) {
        let before = end(&self.believed, precedence);
        self.believed.push(word);
        let now = end(&self.believed, precedence);
        let (was, is) = (before.map(|(state, _)| state), now.map(|(state, _)| state));
        if was == is {
            // Who told that it was undone may be wrong; who is asked is not.
            let tells = matches!(word.0, "back" | "poor" | "phone");
            let confirms = is == Some("back") && tells && is_asked(word.1);
            self.owed &= !confirms;
            // It was told to be undone before it was told to have succeeded.
            let successes = self.believed.iter().filter(|(state, _)| *state == "ok").count();
            if is == Some("back") && word.0 == "ok" && successes == 1 {
                self.owed = now.is_some_and(|(_, by)| !is_asked(by));
                self.differs.insert("reversed_after_success");
            }
            return;
        }
        self.owed = is == Some("back") && !is_asked(word.1);
        let kind = match (was, is) {
            (_, Some("phone")) => Some("match_then_no_match"),
            (Some("ok"), Some("back")) => Some("reversed_after_success"),
            (Some("poor" | "phone"), Some("ok")) | (Some("ok"), Some("poor")) => {
                Some("outcome_flipped")
            }
            (_, _) => None,
        };
        self.differs.extend(kind);
        self.held = match is {
            Some("phone") => true,
            // It proves what was held, and takes back what held it; so does another reason.
            Some("ok" | "poor") => false,
            _ => self.held,
        };
    }
}

/// The events of a payment after it left, in an order of their own.
fn fate(rng: &mut ChaCha8Rng) -> Vec<Event> {
    let state = |rng: &mut ChaCha8Rng| *STATES.choose(rng).unwrap();
    let amount = |rng: &mut ChaCha8Rng| if rng.random_bool(0.1) { "99" } else { "100" };
    let mut events = Vec::new();
    match rng.random_range(0..20) {
        0 => events.push(Event::NotSent),
        1..=3 => events.push(Event::Doubt),
        4 | 5 => (),
        _ => events.push(Event::Answer(state(rng))),
    }
    for _ in 0..rng.random_range(0..4) {
        let signed = match rng.random_range(0..10) {
            0 => Signed::ByAnother,
            1 => Signed::ForAnotherBody,
            2 => Signed::Not,
            _ => Signed::ByTheChannel,
        };
        events.push(Event::Notice(signed, state(rng), amount(rng), rng.random_bool(0.9)));
    }
    for _ in 0..rng.random_range(0..4) {
        let told = rng.random_bool(0.7).then(|| amount(rng));
        let own = *["ok", "ok", "ok", "ok", "broken", "none"].choose(rng).unwrap();
        events.push(Event::Asked(state(rng), told, own));
    }
    for _ in 0..rng.random_range(0..3) {
        events.push(Event::Line(state(rng), amount(rng)));
    }
    for again in events.clone() {
        let once = matches!(again, Event::Answer(_) | Event::Doubt | Event::NotSent);
        if !once && rng.random_bool(0.2) {
            events.push(again);
        }
    }
    events.shuffle(rng);
    // What could not be sent, the core knows at once.
    if let Some(at) = events.iter().position(|event| *event == Event::NotSent) {
        events.swap(0, at);
    }
    events
}

/// A debit of a phone of its own.
fn debit(order: usize) -> String {
    World::debit(&order.to_string(), 0).replace("13800000000", &format!("138{order:08}"))
}

fn open(path: Option<&Path>, precedence: Precedence) -> World {
    let store = match path {
        Some(path) => {
            MemoryStore::open(Limits::default(), Sqlite::open(path).unwrap(), |_| ()).unwrap()
        }
        None => MemoryStore::new(Limits::default()),
    };
    let settings = Settings { holds_per_hour: usize::MAX, ..Settings::default() };
    let world = world_over(store, Binding::Enforce(100), settings).pinned();
    let profile = hefu::message::profile::Profile { precedence, ..world.channel.profile.clone() };
    let channel = Arc::new(Channel { profile, binding: world.channel.binding });
    World { channel, ..world }
}

impl World {
    async fn happens(&self, order: usize, event: &Event, leaving: &mut BTreeMap<usize, Judged>) {
        match event {
            Event::Leaves => {
                let judged = self.judge(&self.channel, &debit(order)).await.unwrap();
                leaving.insert(order, judged);
            }
            Event::Answer(state) => {
                let judged = leaving.remove(&order).unwrap();
                self.settle(judged, state).await;
            }
            Event::Doubt => {
                let judged = leaving.remove(&order).unwrap();
                self.service.settle(judged, Reported::InDoubt).await;
            }
            Event::NotSent => {
                let judged = leaving.remove(&order).unwrap();
                self.service.settle(judged, Reported::NotSent).await;
            }
            Event::Notice(signed, state, amount, good) => {
                let code = if *good { "ok" } else { "broken" };
                let told = format!(
                    r#""of":"debit","order":"{order}","amount":"{amount}","code":"{code}","state":"{state}""#
                );
                self.notify(&told, *signed, (200, "noted")).await.unwrap();
            }
            Event::Asked(state, amount, own) => {
                let amount =
                    amount.map_or_else(String::new, |amount| format!(r#","amount":"{amount}""#));
                let answer = format!(r#"{{"code":"{own}","state":"{state}"{amount}}}"#);
                let (content_type, body) = (None, answer.as_bytes());
                let answer = Reported::Answer { status: 200, content_type, body };
                self.send_answered(&format!(r#""type":"query","order":"{order}""#), answer).await;
            }
            Event::Line(state, amount) => {
                self.stated(&format!("debit|{order}|{amount}|{state}")).await;
            }
        }
    }

    /// How a payment ended, and who told that.
    fn ended(&self, order: usize) -> Option<Word> {
        let store = &self.service.store;
        let of = store.by_order(self.channel.name(), &OrderId(order.to_string().into()));
        let record = store.record(of[0]).unwrap();
        let (outcome, code, by) = record.became.outcome?;
        let state = STATES.into_iter().find(|state| Some(*state) == code.as_deref())?;
        let open = matches!(outcome, Outcome::Accepted | Outcome::Unknown | Outcome::Unmapped);
        (!open).then_some((state, by))
    }
}

/// How the halves of its payments differed, counted by every process so far.
#[derive(Default)]
struct Counted(BTreeMap<String, u64>);

impl Counted {
    fn by(&mut self, world: &World) {
        for line in world.mismatches() {
            let (kind, number) = line.split_once(' ').unwrap();
            *self.0.entry(kind.to_owned()).or_default() += number.parse::<u64>().unwrap();
        }
    }
}

/// Its process ends, and another begins: what was on its way is in doubt, and what was heard is known.
async fn begun_anew(world: World, path: &Path, precedence: Precedence) -> World {
    world.service.store.flush().await.unwrap();
    let now = world.clock.0.load(Ordering::Relaxed);
    drop(world);
    let world = open(Some(path), precedence);
    world.clock.0.store(now, Ordering::Relaxed);
    world
}

/// One world, in which payments' words come in between each other's, and which is begun anew now and then where it outlives that.
async fn orderings(seed: u64, path: Option<&Path>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order = [Arrival::Statement, Arrival::Query, Arrival::Notify, Arrival::Sync];
    if rng.random_bool(0.5) {
        order.shuffle(&mut rng);
    }
    let precedence = Precedence::new(order).unwrap();
    let mut world = open(path, precedence);
    let payments = PAYMENTS[usize::from(path.is_some())];
    let mut waiting: Vec<(usize, Vec<Event>)> = (0..payments)
        .map(|number| {
            let mut events = fate(&mut rng);
            events.insert(0, Event::Leaves);
            events.reverse();
            (number, events)
        })
        .collect();
    let mut models = vec![Model::default(); payments];
    let mut histories = vec![Vec::new(); payments];
    let (mut leaving, mut counted) = (BTreeMap::new(), Counted::default());
    while !waiting.is_empty() {
        if let Some(path) = path.filter(|_| rng.random_bool(0.03)) {
            counted.by(&world);
            leaving.clear();
            world = begun_anew(world, path, precedence).await;
        }
        let at = rng.random_range(0..waiting.len());
        let (number, events) = &mut waiting[at];
        let number = *number;
        let event = events.pop().unwrap();
        if events.is_empty() {
            waiting.swap_remove(at);
        }
        let own = matches!(event, Event::Answer(_) | Event::Doubt | Event::NotSent);
        if own && !leaving.contains_key(&number) {
            continue;
        }
        if rng.random_bool(0.3) {
            world.later(Duration::from_millis(rng.random_range(1..100)));
        }
        world.happens(number, &event, &mut leaving).await;
        models[number].hears(&event, precedence);
        histories[number].push(event);
        let owed = models.iter().filter(|model| model.owed).count();
        let expected = (end(&models[number].believed, precedence), owed);
        assert_eq!(
            (world.ended(number), world.open()),
            expected,
            "seed {seed}, {order:?}, payment {number}: {:?}",
            histories[number]
        );
    }
    counted.by(&world);
    let mut expected = Counted::default();
    for kind in models.iter().flat_map(|model| &model.differs) {
        *expected.0.entry((*kind).to_owned()).or_default() += 1;
    }
    assert_eq!(counted.0, expected.0, "seed {seed}: mismatches");
    let holds = world.service.standing_holds();
    let held: BTreeSet<_> = holds.into_iter().map(|hold| hold.payment).collect();
    for (number, (model, history)) in models.iter().zip(&histories).enumerate() {
        let order = OrderId(number.to_string().into());
        let of = world.service.store.by_order(world.channel.name(), &order);
        assert_eq!(held.contains(&of[0]), model.held, "held: seed {seed} {number}: {history:?}");
    }
}

/// In memory and over a file that is opened anew; every world has a seed, and one of them another each time.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "the seed is shown")]
async fn whatever_order_words_come_in_precedence_decides() {
    let random: u64 = rand::random();
    println!("random seed {random}");
    let dir = tempfile::tempdir().unwrap();
    let (in_memory, lasting) = WORLDS;
    for seed in (0..in_memory).chain([random]) {
        orderings(seed, None).await;
    }
    for seed in (0..lasting).chain([random]) {
        orderings(seed, Some(&dir.path().join(format!("{seed}.db")))).await;
    }
}
