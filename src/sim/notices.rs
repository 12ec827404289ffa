//! Notifications: what a channel tells the core by itself (late, twice, in any order, or never), and what others tell in its name.

use std::{
    collections::HashSet,
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
    world::Element,
};

/// How the core acknowledges whatever comes: it looks at no signature.
const ACKNOWLEDGED: &str = "ok";
/// How often a channel tells what is not acknowledged.
const ATTEMPTS: usize = 3;
/// The longest that a notification is on its way.
const DELAY_MS: u64 = 250;
/// Of so many, one is told twice, one never, and of one somebody else tells something else.
const TWICE: u64 = 6;
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
    /// How it really ended.
    pub(super) truth: String,
    /// Which elements that names.
    pub(super) named: Vec<Element>,
    /// In the channel's words; nothing where it forgets to tell.
    pub(super) genuine: Option<Vec<u8>>,
    /// In somebody else's: the code, and the words.
    pub(super) forged: Vec<(String, Vec<u8>)>,
}

/// One notification that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notified {
    /// The channel in whose name.
    pub channel: &'static str,
    /// The order's key.
    pub order: String,
    /// Whether it is of a payment, and not of a refund.
    pub is_payment: bool,
    /// The code that it tells.
    pub told: String,
    /// The code that is true.
    pub truth: String,
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
        (StatusCode::OK, ACKNOWLEDGED)
    }
}

/// Delivers what channels tell, through `url`, until no more is made; a part of it late, twice or never, and some that is forged.
pub(super) async fn deliver(
    hub: Arc<Hub>,
    client: Client,
    url: Url,
    mut queue: UnboundedReceiver<Notice>,
) {
    let mut under_way = JoinSet::new();
    while let Some(notice) = queue.recv().await {
        let roll = |what: &str| dice(hub.seed, &["notice", what, &notice.order]);
        let mut letters = Vec::new();
        if let Some(genuine) = &notice.genuine
            && !roll("never").is_multiple_of(NEVER)
        {
            let copies = if roll("twice").is_multiple_of(TWICE) { 2 } else { 1 };
            letters.extend((0..copies).map(|_| (notice.truth.clone(), genuine.clone(), false)));
        }
        // Nobody gains by telling of a refund.
        if notice.is_payment && roll("forged").is_multiple_of(FORGED) {
            letters.extend(
                notice.forged.iter().map(|(code, body)| (code.clone(), body.clone(), true)),
            );
        }
        for (at, (told, body, is_forged)) in letters.into_iter().enumerate() {
            let letter = Letter {
                url: format!("{}{}", url.as_str().trim_end_matches('/'), notice.path),
                content_type: notice.content_type,
                delay: Duration::from_millis(roll(&format!("delay {at}")) % DELAY_MS),
                body,
            };
            let entry = Notified {
                channel: notice.channel,
                order: notice.order.clone(),
                is_payment: notice.is_payment,
                told,
                truth: notice.truth.clone(),
                named: notice.named.clone(),
                is_forged,
                acknowledged: false,
            };
            under_way.spawn(send(Arc::clone(&hub), client.clone(), letter, entry));
        }
    }
    while under_way.join_next().await.is_some() {}
}

struct Letter {
    url: String,
    content_type: &'static str,
    delay: Duration,
    body: Vec<u8>,
}

async fn send(hub: Arc<Hub>, client: Client, letter: Letter, mut entry: Notified) {
    lock(&hub.desk.sent).insert(digest("POST", "", &letter.body));
    tokio::time::sleep(letter.delay).await;
    for _ in 0..ATTEMPTS {
        let request = client.post(&letter.url).header(CONTENT_TYPE, letter.content_type);
        let Ok(answer) = request.body(letter.body.clone()).send().await else { continue };
        let ours = answer.headers().keys().any(|name| name.as_str().starts_with("hefu-"));
        let status = answer.status();
        let body = answer.text().await.unwrap_or_default();
        entry.acknowledged = status == StatusCode::OK && body == ACKNOWLEDGED && !ours;
        if entry.acknowledged {
            break;
        }
    }
    lock(&hub.desk.told).push(entry);
}
