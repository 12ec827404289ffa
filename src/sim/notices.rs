//! Notifications: what a channel tells the core by itself (late, twice, in any order, or never), and what others tell in its name.
//!
//! Which of a channel's notifications has which fate goes by its number, so that each fate is met in every run, however short.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use reqwest::{Client, Url, header::CONTENT_TYPE};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};

use crate::sim::{
    channel::Hub,
    keys::dice,
    record::{Channel, Digest, digest, lock},
    statement::State,
    world::Element,
};

/// How the core acknowledges whatever comes at this path, as the channel wants it: it looks at no signature.
const ACKNOWLEDGED: &[(&str, &str)] = &[
    ("/notify/unionpay", "ok"),
    ("/notify/yeepay", "SUCCESS"),
    ("/notify/lianlian", "Success"),
    ("/notify/baofoo", "OK"),
];
/// How often a channel tells what is not acknowledged.
const ATTEMPTS: usize = 3;
/// The longest that a notification is on its way.
const DELAY_MS: u64 = 250;
/// How much longer where it is late.
const LATE_MS: u64 = 1500;
/// Of so many, one is told twice, one late, one never, and of one somebody else tells something else.
const TWICE: u64 = 6;
const LATE: u64 = 9;
const NEVER: u64 = 15;
const FORGED: u64 = 4;

/// What a channel has to tell.
pub(super) struct Notice {
    pub(super) channel: Channel,
    pub(super) path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) order: String,
    /// Whether it is of a payment, and not of a refund.
    pub(super) is_payment: bool,
    /// Whether anybody but the core can read it.
    pub(super) is_readable: bool,
    /// How it really ended.
    pub(super) truth: State,
    /// Which elements that names.
    pub(super) named: Vec<Element>,
    /// In the channel's words; nothing where it forgets to tell.
    pub(super) genuine: Option<Letter>,
    /// In somebody else's.
    pub(super) forged: Vec<Letter>,
}

/// A notification as it is sent.
#[derive(Clone, Default)]
pub(super) struct Letter {
    /// What it tells.
    pub(super) told: State,
    /// Other headers, names in lower case.
    pub(super) headers: Vec<(&'static str, String)>,
    /// Sent as `GET`, with the form as its query.
    pub(super) gets: bool,
    pub(super) body: Vec<u8>,
}

/// One notification that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Notified {
    /// The channel in whose name.
    pub channel: &'static str,
    /// The order's key.
    pub order: String,
    /// Whether it is of a payment, and not of a refund.
    pub is_payment: bool,
    /// Whether anybody but the core can read it.
    pub is_readable: bool,
    /// What it tells.
    pub told: State,
    /// What is true.
    pub truth: State,
    /// Which elements that names.
    pub(super) named: Vec<Element>,
    /// Whether it is somebody else's.
    pub is_forged: bool,
    /// Whether the core's acknowledgement came back as the core gave it.
    pub acknowledged: bool,
}

/// What is on its way, and what was told.
#[derive(Default)]
pub(super) struct Desk {
    queue: Mutex<Option<UnboundedSender<Notice>>>,
    told: Mutex<Vec<Notified>>,
    sent: Mutex<HashSet<Digest>>,
    /// How many came to the core with other bytes, or with a header of Hefu's.
    changed: Mutex<u64>,
}

impl Desk {
    /// Where notifications go from now on.
    pub(super) fn open(&self) -> UnboundedReceiver<Notice> {
        let (sender, receiver) = unbounded_channel();
        *lock(&self.queue) = Some(sender);
        receiver
    }

    /// No more are made.
    pub(super) fn close(&self) {
        *lock(&self.queue) = None;
    }

    /// Tells, where anybody is to be told.
    pub(super) fn put(&self, notice: impl FnOnce() -> Option<Notice>) {
        if let Some(queue) = &*lock(&self.queue)
            && let Some(notice) = notice()
        {
            // Whoever delivers is there as long as the queue is.
            let _ = queue.send(notice);
        }
    }

    pub(super) fn told(&self) -> Vec<Notified> {
        lock(&self.told).clone()
    }

    pub(super) fn changed(&self) -> u64 {
        *lock(&self.changed)
    }

    /// The core takes a notification.
    pub(super) fn take(
        &self,
        (method, uri, headers): (&Method, &Uri, &HeaderMap),
        body: &Bytes,
    ) -> (StatusCode, &'static str) {
        let got = digest(method.as_str(), uri.query().unwrap_or_default(), body);
        let ours = headers.keys().any(|name| name.as_str().starts_with("hefu-"));
        if ours || !lock(&self.sent).contains(&got) {
            *lock(&self.changed) += 1;
        }
        (StatusCode::OK, acknowledged(uri.path()))
    }
}

fn acknowledged(path: &str) -> &'static str {
    ACKNOWLEDGED.iter().find(|(known, _)| *known == path).map_or("", |(_, word)| word)
}

/// How many notifications a channel made, and how many of them of payments.
#[derive(Default)]
struct Made {
    all: u64,
    payments: u64,
}

/// Delivers what channels tell, through `url`, until no more is made; a part of it late, twice or never, and some that is forged.
pub(super) async fn deliver(
    hub: Arc<Hub>,
    client: Client,
    url: Url,
    mut queue: UnboundedReceiver<Notice>,
) {
    let (mut under_way, mut made) = (JoinSet::new(), HashMap::<Channel, Made>::new());
    while let Some(mut notice) = queue.recv().await {
        let made = made.entry(notice.channel).or_default();
        made.all += 1;
        made.payments += u64::from(notice.is_payment);
        let is_nth = |every: u64, nth: u64| made.all % every == nth;
        let mut letters = Vec::new();
        if let Some(genuine) = notice.genuine.take()
            && !is_nth(NEVER, 6)
        {
            let copies = if is_nth(TWICE, 2) { 2 } else { 1 };
            letters.extend(std::iter::repeat_n((genuine, false), copies));
        }
        // Nobody gains by telling of a refund.
        if notice.is_payment && made.payments % FORGED == 1 {
            letters.extend(notice.forged.drain(..).map(|letter| (letter, true)));
        }
        for (at, (letter, is_forged)) in letters.into_iter().enumerate() {
            let roll = dice(hub.seed, &["notice", &at.to_string(), &notice.order]);
            let late = if is_nth(LATE, 4) { LATE_MS } else { 0 };
            let way = Way {
                url: format!("{}{}", url.as_str().trim_end_matches('/'), notice.path),
                acknowledged: acknowledged(notice.path),
                content_type: notice.content_type,
                delay: Duration::from_millis(roll % DELAY_MS + late),
            };
            let entry = Notified {
                channel: notice.channel,
                order: notice.order.clone(),
                is_payment: notice.is_payment,
                is_readable: notice.is_readable,
                told: letter.told,
                truth: notice.truth,
                named: notice.named.clone(),
                is_forged,
                acknowledged: false,
            };
            under_way.spawn(send(Arc::clone(&hub), client.clone(), (way, letter), entry));
        }
    }
    while under_way.join_next().await.is_some() {}
}

/// How a letter gets to the core.
struct Way {
    url: String,
    acknowledged: &'static str,
    content_type: &'static str,
    delay: Duration,
}

async fn send(hub: Arc<Hub>, client: Client, (way, letter): (Way, Letter), mut entry: Notified) {
    let query =
        if letter.gets { String::from_utf8(letter.body.clone()) } else { Ok(String::new()) };
    let query = query.unwrap_or_default();
    lock(&hub.desk.sent).insert(if letter.gets {
        digest("GET", &query, &[])
    } else {
        digest("POST", "", &letter.body)
    });
    tokio::time::sleep(way.delay).await;
    for _ in 0..ATTEMPTS {
        let mut request = if letter.gets {
            client.get(format!("{}?{query}", way.url))
        } else {
            client.post(&way.url).header(CONTENT_TYPE, way.content_type).body(letter.body.clone())
        };
        for (name, value) in &letter.headers {
            request = request.header(*name, value);
        }
        let Ok(answer) = request.send().await else { continue };
        let ours = answer.headers().keys().any(|name| name.as_str().starts_with("hefu-"));
        let status = answer.status();
        let body = answer.text().await.unwrap_or_default();
        entry.acknowledged = status == StatusCode::OK && body == way.acknowledged && !ours;
        if entry.acknowledged {
            break;
        }
    }
    lock(&hub.desk.told).push(entry);
}
