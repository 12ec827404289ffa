//! The simulated payment core: it keeps its customers and orders, signs with its own keys, and sends at a steady rate.
//!
//! Traffic comes as journeys (a bind, then debits, then a query …). What a journey does follows from the seed and its number;
//! the rate is open-loop: each tick releases one message, from the journey that has waited longest or from a new one.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::{
    Client, Method, Url,
    header::{CONTENT_TYPE, HeaderMap},
};
use tokio::{sync::oneshot, task::JoinSet, time::MissedTickBehavior};

use crate::sim::{
    channel::{Hub, Running},
    keys::dice,
    record::{AtCore, Channel, PLAIN, digest, lock},
    statement::Ended,
    world::{Card, Tuple},
};

pub(super) mod allinpay;
pub(super) mod baofoo;
pub(super) mod epcc;
pub(super) mod lianlian;
pub(super) mod unionpay;
pub(super) mod yeepay;

/// How many journeys wait before the oldest goes on: a customer does not debit in the millisecond after he binds.
const WAITING: usize = 48;
/// How many journeys of one are a single request that nobody inspects.
const PINGS: f64 = 0.04;
/// No more messages than this are under way at once.
const IN_FLIGHT_MAX: usize = 256;
/// How often a core that repeats sends a message of which it hears nothing.
const ATTEMPTS: usize = 3;
/// One in so many is sent twice at once.
const TWINS: u64 = 20;
/// Of so many journeys over a channel, one is of a customer of whom its providers and his bank know different things, as long as there are
/// such customers.
const STALE_EVERY: u64 = 12;
/// One journey in so many is forgotten, where a channel can.
const FORGOTTEN_EVERY: u64 = 14;

/// Where the core sends its messages: Hefu's listeners, or the channels themselves.
#[derive(Clone, Debug)]
pub struct Target {
    /// Base URLs by channel name.
    pub channels: BTreeMap<&'static str, Url>,
    /// Base URL for traffic that nobody inspects.
    pub plain: Url,
    /// Whether elements that are sealed to the channel are told in `Hefu-Elements`: only Hefu may see that header.
    pub tells_elements: bool,
    /// Whether the core sends a message again, byte for byte: where no answer came, and one in twenty twice at once.
    pub repeats: bool,
    /// Where channels notify the core; nobody notifies where absent.
    pub notify: Option<Url>,
}

/// A channel as the core knows it: what it sends there, and how it reads the answers.
#[async_trait]
pub(super) trait Payer: Send + Sync {
    /// One customer's way; what he does follows from `rng`. It ends early by answering nothing.
    async fn journey(&self, journey: &mut Journey<'_>, rng: &mut ChaCha8Rng) -> Option<()>;
    /// The message types, by a name of ours.
    fn kinds(&self) -> Vec<&'static str>;
    /// A legal message of one type, about the first of these people; batches are about all of them.
    fn sample(&self, kind: &str, people: &[Tuple], rng: &mut ChaCha8Rng) -> Option<Message>;
    /// The query that asks how a payment ended; nothing where the statement is to tell it.
    fn ask(&self, _ended: &Ended, _rng: &mut ChaCha8Rng) -> Option<Message> {
        None
    }
}

/// The core.
pub(super) struct Core {
    pub(super) hub: Arc<Hub>,
    channels: Vec<Arc<Running>>,
    pub(super) client: Client,
    target: Target,
    /// The journeys that wait for their turn; nothing once the run is over.
    waiting: Mutex<Option<VecDeque<oneshot::Sender<()>>>>,
    started: AtomicU64,
    /// How many customers were taken of whom different things are known.
    stale: AtomicUsize,
    /// Order numbers are unique over all runs of one simulation.
    run: u64,
}

/// One message on its way.
pub(super) struct Message {
    pub(super) channel: Channel,
    pub(super) method: Method,
    /// The path, and the query where there is one.
    pub(super) path: String,
    pub(super) order: String,
    /// The keys of a batch's rows, in the order written.
    pub(super) rows: Vec<String>,
    pub(super) scenario: &'static str,
    pub(super) content_type: &'static str,
    /// Other headers, names in lower case.
    pub(super) headers: Vec<(&'static str, String)>,
    /// Whether its elements are sealed to the channel.
    pub(super) sealed: bool,
    /// What is sealed, where it is told to Hefu beside the message.
    pub(super) told: Option<Tuple>,
    pub(super) body: Vec<u8>,
}

impl Default for Message {
    fn default() -> Self {
        Self {
            channel: PLAIN,
            method: Method::POST,
            path: "/".into(),
            order: String::new(),
            rows: vec![],
            scenario: "other",
            content_type: "application/x-www-form-urlencoded;charset=UTF-8",
            headers: vec![],
            sealed: false,
            told: None,
            body: vec![],
        }
    }
}

/// An answer's head and body.
type Answered = (HeaderMap, Bytes);

/// An answer as it came.
pub(super) struct Got<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

impl Got<'_> {
    /// A header's text, or an empty one.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// What a journey learns from an exchange.
pub(super) enum Reply<T> {
    /// The channel's own answer, opened.
    Channel(T),
    /// Hefu refused; whether for what it verified.
    Refused { mismatch: bool },
    /// No answer that can be used.
    Lost,
}

impl Core {
    pub(super) fn new(
        hub: Arc<Hub>,
        channels: Vec<Arc<Running>>,
        target: Target,
    ) -> Result<Self, reqwest::Error> {
        let client =
            Client::builder().no_proxy().http1_only().timeout(Duration::from_secs(20)).build()?;
        let run = hub.log.tick();
        Ok(Self {
            hub,
            channels,
            client,
            target,
            waiting: Mutex::new(Some(VecDeque::new())),
            started: AtomicU64::new(0),
            stale: AtomicUsize::new(0),
            run,
        })
    }

    /// Sends `rate` messages a second until `stop`, then lets what is under way end.
    pub(super) async fn drive(self: Arc<Self>, rate: u32, stop: impl Future<Output = ()> + Send) {
        let mut tick = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut journeys = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = tick.tick() => {}
            }
            while journeys.try_join_next().is_some() {}
            let waiting = self.waiting();
            if journeys.len().saturating_sub(waiting) >= IN_FLIGHT_MAX {
                continue;
            }
            if waiting > WAITING {
                let oldest = lock(&self.waiting).as_mut().and_then(VecDeque::pop_front);
                // A journey that waits cannot have ended, so somebody hears this.
                let _ = oldest.map(|go| go.send(()));
            } else {
                let number = self.started.fetch_add(1, Ordering::Relaxed);
                journeys.spawn(Arc::clone(&self).journey(number));
            }
        }
        // Journeys that wait for their turn end here; messages under way are awaited.
        *lock(&self.waiting) = None;
        while journeys.join_next().await.is_some() {}
    }

    /// Asks how those payments ended of which it was not told, over the channels that can be asked.
    pub(super) async fn ask_ends(&self, owed: &BTreeSet<(Channel, String)>) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.hub.seed);
        for channel in &self.channels {
            for ended in channel.ends.gateway.ended() {
                if owed.contains(&(channel.name, ended.order.clone()))
                    && let Some(message) = channel.ends.payer.ask(&ended, &mut rng)
                {
                    let _ = self.exchange(message, |_| Some(())).await;
                }
            }
        }
    }

    fn waiting(&self) -> usize {
        lock(&self.waiting).as_ref().map_or(0, VecDeque::len)
    }

    async fn journey(self: Arc<Self>, number: u64) {
        let mut rng =
            ChaCha8Rng::seed_from_u64(dice(self.hub.seed, &["journey", &number.to_string()]));
        let count = self.hub.world.cards.len().max(1);
        let index = usize::try_from(number).unwrap_or_default() % count;
        let Some(card) = self.hub.world.cards.get(index) else { return };
        let mut journey = Journey { core: &self, card, orders: 0, number, waited: true };
        if rng.random_bool(PINGS) {
            let _ = journey.ping().await;
            return;
        }
        let weights = self.channels.iter().map(|channel| channel.weight);
        let mut roll = rng.random_range(0..weights.sum::<u32>().max(1));
        for channel in &self.channels {
            let Some(rest) = roll.checked_sub(channel.weight) else {
                if channel.begun() % STALE_EVERY == 1 {
                    let nth = self.stale.fetch_add(1, Ordering::Relaxed);
                    journey.card = self.hub.world.stale(nth).unwrap_or(card);
                }
                let _ = channel.ends.payer.journey(&mut journey, &mut rng).await;
                return;
            };
            roll = rest;
        }
    }

    /// Sends one message, checks the answer and keeps the exchange.
    async fn exchange<T>(
        &self,
        message: Message,
        open: impl FnOnce(&Got<'_>) -> Option<T>,
    ) -> Reply<T> {
        let (mut entry, mut answered) = if self.target.repeats && self.is_twin(&message) {
            let (one, other) = tokio::join!(self.attempt(&message), self.attempt(&message));
            // It goes on with the channel's own answer, where there is one.
            let is_own = one.0.problem.is_none() && one.1.is_some();
            let (goes_on, kept) = if is_own { (one, other) } else { (other, one) };
            self.hub.log.at_core(kept.0);
            goes_on
        } else {
            self.attempt(&message).await
        };
        for _ in 1..ATTEMPTS {
            if answered.is_some() || !self.target.repeats {
                break;
            }
            self.hub.log.at_core(entry);
            (entry, answered) = self.attempt(&message).await;
        }
        let mut reply = Reply::Lost;
        match (answered, &entry.problem) {
            (Some(_), Some(problem)) => {
                reply = Reply::Refused { mismatch: problem.contains("\"no_match\"") };
            }
            (Some((headers, body)), None) => {
                let opened = open(&Got { headers: &headers, body: &body });
                entry.signed = Some(opened.is_some());
                reply = opened.map_or(Reply::Lost, Reply::Channel);
            }
            (None, _) => {}
        }
        self.hub.log.at_core(entry);
        reply
    }

    fn is_twin(&self, message: &Message) -> bool {
        dice(self.hub.seed, &["twin", &message.order, message.scenario]).is_multiple_of(TWINS)
    }

    /// Sends one message once.
    async fn attempt(&self, message: &Message) -> (AtCore, Option<Answered>) {
        let base = self.target.channels.get(message.channel).unwrap_or(&self.target.plain);
        let query = message.path.split_once('?').map_or("", |(_, query)| query);
        let mut entry = AtCore {
            channel: message.channel,
            order: message.order.clone(),
            rows: message.rows.clone(),
            scenario: message.scenario,
            hidden: message.sealed && (message.told.is_none() || !self.target.tells_elements),
            sent: digest(message.method.as_str(), query, &message.body),
            received: None,
            status: None,
            signed: None,
            headers: vec![],
            problem: None,
        };
        let url = format!("{}{}", base.as_str().trim_end_matches('/'), message.path);
        let mut request = self.client.request(message.method.clone(), url);
        request = request.header(CONTENT_TYPE, message.content_type);
        for (name, value) in &message.headers {
            request = request.header(*name, value);
        }
        if let Some(told) = message.told.as_ref().filter(|_| self.target.tells_elements) {
            request = request.header("hefu-elements", told.dictionary());
        }
        let Ok(response) = request.body(message.body.clone()).send().await else {
            return (entry, None);
        };
        entry.status = Some(response.status().as_u16());
        let headers = response.headers().clone();
        let problem = headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
        let hefu = headers.iter().filter(|(name, _)| name.as_str().starts_with("hefu-"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        entry.headers =
            hefu.map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect();
        let Ok(body) = response.bytes().await else { return (entry, None) };
        if problem {
            entry.problem = Some(text(&body));
        } else {
            entry.received = Some(openssl::sha::sha256(&body));
        }
        (entry, Some((headers, body)))
    }
}

/// One customer's way through the core. Its steps end it early by answering nothing.
pub(super) struct Journey<'a> {
    core: &'a Core,
    pub(super) card: &'a Card,
    number: u64,
    orders: u32,
    /// The tick that started the journey is its first step's.
    waited: bool,
}

impl<'a> Journey<'a> {
    /// Waits for this journey's turn; nothing when the run is over.
    pub(super) async fn turn(&mut self) -> Option<()> {
        if std::mem::take(&mut self.waited) {
            return Some(());
        }
        let (go, went) = oneshot::channel();
        lock(&self.core.waiting).as_mut()?.push_back(go);
        went.await.ok()
    }

    /// Whether nobody ever tells or asks how its payments ended: some are in every run, however short.
    pub(super) const fn is_forgotten(&self) -> bool {
        self.number % FORGOTTEN_EVERY == FORGOTTEN_EVERY / 2
    }

    /// A fresh order number: letters and digits only.
    pub(super) fn order(&mut self, prefix: &str) -> String {
        self.orders += 1;
        format!("{prefix}R{}J{}N{}", self.core.run, self.number, self.orders)
    }

    /// A request on the plain upstream.
    async fn ping(&mut self) -> Option<()> {
        self.turn().await?;
        let message = Message {
            method: Method::GET,
            path: "/ping".into(),
            content_type: "text/plain",
            ..Message::default()
        };
        self.send(message, |got| (got.body == b"pong").then_some(())).await
    }

    /// Other people's cards, for the rows of a batch: from the end of the book, where journeys come late.
    pub(super) fn others(&self, count: usize) -> impl Iterator<Item = &'a Card> + use<'a> {
        let cards = &self.core.hub.world.cards;
        let far = (cards.len() / 4).max(1);
        let from = usize::try_from(self.number).unwrap_or_default().wrapping_mul(count) % far;
        (from..from + count).filter_map(move |n| cards.get(cards.len().checked_sub(1 + n % far)?))
    }

    /// Sends one message; the channel's answer, where it gave one that `open` takes.
    pub(super) async fn send<T>(
        &self,
        message: Message,
        open: impl FnOnce(&Got<'_>) -> Option<T>,
    ) -> Option<T> {
        let reply = self.core.exchange(message, open).await;
        self.take(reply)
    }

    /// Sends one message of which nobody learns anything.
    pub(super) async fn probe(&self, message: Message) {
        let _ = self.core.exchange(message, |_| Some(())).await;
    }

    /// What every step does with a reply: go on with the channel's answer, or end.
    fn take<T>(&self, reply: Reply<T>) -> Option<T> {
        match reply {
            Reply::Channel(answer) => Some(answer),
            Reply::Refused { mismatch } => {
                if mismatch {
                    self.card.learn();
                }
                None
            }
            Reply::Lost => None,
        }
    }
}

/// An order number for a message that belongs to no journey.
fn number(rng: &mut ChaCha8Rng, prefix: &str) -> String {
    format!("{prefix}{:019}", rng.random_range(0..1_000_000_000_000_000_000_u64))
}

/// The time in China as the channels write it.
fn now() -> String {
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    jiff::Timestamp::now().to_zoned(zone).strftime("%Y%m%d%H%M%S").to_string()
}
