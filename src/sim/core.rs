//! The simulated payment core: it keeps its customers and orders, signs with its own keys, and sends at a steady rate.
//!
//! Traffic comes as journeys (a bind, then debits, then a query …). What a journey does follows from the seed and its number;
//! the rate is open-loop: each tick releases one message, from the journey that has waited longest or from a new one.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::{Client, Url, header::CONTENT_TYPE};
use tokio::{sync::oneshot, task::JoinSet, time::MissedTickBehavior};

use crate::sim::{
    channel::Hub,
    keys::{Key, dice},
    record::{AtCore, Channel, lock},
    world::Card,
};

mod baofoo;
mod unionpay;

/// How many journeys wait before the oldest goes on: a customer does not debit in the millisecond after he binds.
const WAITING: usize = 48;
/// No more messages than this are under way at once.
const IN_FLIGHT_MAX: usize = 256;

/// Where the core sends its messages: Hefu's listeners, or the channels themselves.
#[derive(Clone, Debug)]
pub struct Target {
    /// Base URL for `UnionPay` messages.
    pub unionpay: Url,
    /// Base URL for Baofoo messages.
    pub baofoo: Url,
    /// Base URL for traffic that nobody inspects.
    pub plain: Url,
}

/// The keys that the core holds, and those that it checks answers with.
pub(super) struct CoreKeys {
    pub(super) unionpay_own: Arc<Key>,
    pub(super) unionpay_channel: Arc<Key>,
    pub(super) baofoo_own: Arc<Key>,
    pub(super) baofoo_channel: Arc<Key>,
}

/// The core.
pub(super) struct Core {
    pub(super) hub: Arc<Hub>,
    pub(super) keys: CoreKeys,
    client: Client,
    target: Target,
    /// The journeys that wait for their turn; nothing once the run is over.
    waiting: Mutex<Option<VecDeque<oneshot::Sender<()>>>>,
    started: AtomicU64,
    /// Order numbers are unique over all runs of one simulation.
    run: u64,
}

/// One message on its way.
pub(super) struct Message {
    pub(super) channel: Channel,
    pub(super) path: &'static str,
    pub(super) order: String,
    pub(super) scenario: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
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
        keys: CoreKeys,
        target: Target,
    ) -> Result<Self, reqwest::Error> {
        let client =
            Client::builder().no_proxy().http1_only().timeout(Duration::from_secs(20)).build()?;
        let run = hub.log.tick();
        Ok(Self {
            hub,
            keys,
            client,
            target,
            waiting: Mutex::new(Some(VecDeque::new())),
            started: AtomicU64::new(0),
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
        // Journeys over Baofoo have more steps, so fewer of them make up two fifths of the messages.
        let _ = match rng.random_range(0..100) {
            0..4 => journey.ping().await,
            4..74 => journey.unionpay(&mut rng).await,
            _ => journey.baofoo(&mut rng).await,
        };
    }

    /// Sends one message, checks the answer and keeps the exchange.
    async fn exchange<T>(
        &self,
        message: Message,
        open: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Reply<T> {
        let base = match message.channel {
            Channel::UnionPay => &self.target.unionpay,
            Channel::Baofoo => &self.target.baofoo,
            Channel::Plain => &self.target.plain,
        };
        let mut entry = AtCore {
            channel: message.channel,
            order: message.order,
            scenario: message.scenario,
            sent: openssl::sha::sha256(&message.body),
            received: None,
            status: None,
            signed: None,
            headers: vec![],
            problem: None,
        };
        let url = format!("{}{}", base.as_str().trim_end_matches('/'), message.path);
        let request = if message.channel == Channel::Plain {
            self.client.get(url)
        } else {
            self.client.post(url).body(message.body)
        };
        let sent = request.header(CONTENT_TYPE, message.content_type).send().await;
        let mut reply = Reply::Lost;
        if let Ok(response) = sent {
            entry.status = Some(response.status().as_u16());
            let headers = response.headers();
            let problem = headers
                .get(CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
            let hefu = headers.iter().filter(|(name, _)| name.as_str().starts_with("hefu-"));
            entry.headers = hefu
                .map(|(name, value)| {
                    (
                        name.as_str().to_owned(),
                        String::from_utf8_lossy(value.as_bytes()).into_owned(),
                    )
                })
                .collect();
            if let Ok(bytes) = response.bytes().await {
                if problem {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    reply = Reply::Refused { mismatch: text.contains("\"no_match\"") };
                    entry.problem = Some(text);
                } else {
                    entry.received = Some(openssl::sha::sha256(&bytes));
                    let opened = open(&bytes);
                    entry.signed = Some(opened.is_some());
                    reply = opened.map_or(Reply::Lost, Reply::Channel);
                }
            }
        }
        self.hub.log.core().push(entry);
        reply
    }
}

/// One customer's way through the core. Its steps end it early by answering nothing.
pub(super) struct Journey<'a> {
    core: &'a Core,
    card: &'a Card,
    number: u64,
    orders: u32,
    /// The tick that started the journey is its first step's.
    waited: bool,
}

impl Journey<'_> {
    /// Waits for this journey's turn; nothing when the run is over.
    async fn turn(&mut self) -> Option<()> {
        if std::mem::take(&mut self.waited) {
            return Some(());
        }
        let (go, went) = oneshot::channel();
        lock(&self.core.waiting).as_mut()?.push_back(go);
        went.await.ok()
    }

    /// A fresh order number: letters and digits only.
    fn order(&mut self, prefix: &str) -> String {
        self.orders += 1;
        format!("{prefix}R{}J{}N{}", self.core.run, self.number, self.orders)
    }

    /// A request on the plain upstream.
    async fn ping(&mut self) -> Option<()> {
        self.turn().await?;
        let message = Message {
            channel: Channel::Plain,
            path: "/ping",
            order: String::new(),
            scenario: "other",
            content_type: "text/plain",
            body: vec![],
        };
        self.core.exchange(message, |body| (body == b"pong").then_some(())).await;
        Some(())
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

/// The time in China as the channels write it.
fn now() -> String {
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    jiff::Timestamp::now().to_zoned(zone).strftime("%Y%m%d%H%M%S").to_string()
}
