//! What is told to whoever listens: put where payments are kept, and taken from there by who delivers it.

use crate::domain::account::{AccountId, Class};
use crate::domain::clock::Timestamp;
use crate::domain::id::{ClientName, PaymentId};
use crate::domain::mismatch::MismatchKind;
use crate::reconcile::hold::Hold;
use crate::service::Service;
use crate::store::hook::{Hook, Shelf, due};
use crate::store::journal::StoreLost;
use crate::store::mismatch::KeptMismatch;
use crate::store::row::{Aggregate, Row};
use crate::store::shelf::{PAGE_MAX, Range, Swap};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long who delivers has for it before another tries.
const LEASE: Duration = Duration::from_mins(1);

/// How many pages of what waits are looked at: as much as memory keeps where no journal does.
const PAGES_MAX: usize = 200;

/// How many events this process knew of: their ids go by it.
static KNOWN: AtomicU32 = AtomicU32::new(0);

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The halves of a payment differ, or an outcome is missing.
    Mismatch(&'a KeptMismatch),
    /// Debits of a tuple or an agreement wait.
    HoldMade(&'a Hold),
    /// They wait no more.
    HoldReleased(&'a Hold),
    /// The class of an account lapses.
    Class(&'a ClassNews<'a>),
}

/// What is told of the class of an account.
#[derive(Clone, Copy, Debug)]
pub struct ClassNews<'a> {
    /// Which event.
    pub event: &'static str,
    /// Which account.
    pub account: &'a AccountId,
    /// When it was opened.
    pub opened: Timestamp,
    /// Its class, where it has one.
    pub class: Option<Class>,
    /// The class that it had before.
    pub was: Option<Class>,
    /// When it will lapse.
    pub lapses: Option<Timestamp>,
}

impl ClassNews<'_> {
    /// By what the words on one account are told in their order.
    fn about(&self) -> PaymentId {
        // FNV-1a: spread matters here, secrecy does not.
        let fnv = |hash: u128, byte: u8| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        };
        let begin = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        PaymentId::new(self.opened, self.account.as_str().bytes().fold(begin, fnv))
    }
}

/// What is told, as whoever listens reads it.
#[derive(Default, Serialize)]
struct Body<'a> {
    id: String,
    event: &'static str,
    at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scenario: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_fen: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mismatch: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elements: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrival: Option<&'static str>,
    /// What was answered, and what the debit says instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    corrected: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    /// The class that the account has, which is none where only the one before is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class_before: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lapses_ms: Option<u64>,
}

/// What became of something that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It was taken.
    Taken,
    /// It was not: a status, or a word.
    Failed(String),
}

impl Service {
    /// Has whoever listens be told, in the order in which it is known.
    pub(crate) fn tell(&self, event: Event<'_>) {
        for row in self.telling(event) {
            self.store.shelve(row);
        }
    }

    /// The rows by which an event is told, when they are kept.
    pub(super) fn telling(&self, event: Event<'_>) -> Vec<Row> {
        if !self.settings.tells {
            return Vec::new();
        }
        let rows = match event {
            Event::Mismatch(kept) => {
                let first = self.hook(kept.payment, |id, at| of_mismatch(kept, id, at));
                let corrected = kept.kind.correction().map(|(answer, corrected)| {
                    self.hook(kept.payment, |id, at| Body {
                        event: "verification_corrected",
                        answer: Some(answer),
                        corrected: Some(corrected),
                        ..of_mismatch(kept, id, at)
                    })
                });
                [first, corrected.flatten()]
            }
            Event::HoldMade(hold) => {
                [self.hook(hold.payment, |id, at| of_hold("hold_made", hold, id, at)), None]
            }
            Event::HoldReleased(hold) => {
                [self.hook(hold.payment, |id, at| of_hold("hold_released", hold, id, at)), None]
            }
            Event::Class(news) => [self.hook(news.about(), |id, at| of_class(news, id, at)), None],
        };
        rows.into_iter().flatten().collect()
    }

    fn hook<'b>(
        &self,
        about: PaymentId,
        body: impl FnOnce(PaymentId, Timestamp) -> Body<'b>,
    ) -> Option<Row> {
        let at = self.now();
        // Of one instant, in the order in which this process knew.
        let nth = u128::from(KNOWN.fetch_add(1, Ordering::Relaxed)) << 48;
        let id = PaymentId::new(at, nth | ((self.entropy)() & ((1 << 48) - 1)));
        let body = serde_json::to_string(&body(id, at)).ok()?;
        Hook { id, at, about, to: None, body, attempts: 0, next: at, failed: None }
            .row(Shelf::Waiting)
    }

    /// What operations is to be told now, of each payment the first; nobody else tells it for a while.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn to_tell(&self, most: usize) -> Result<Vec<Hook>, StoreLost> {
        self.to_tell_whom(None, most).await
    }

    /// What a client is to be told now, or operations.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn to_tell_whom(
        &self,
        to: Option<&ClientName>,
        most: usize,
    ) -> Result<Vec<Hook>, StoreLost> {
        let now = self.now();
        let (mut leased, mut seen) = (Vec::new(), BTreeSet::new());
        let mut from = format!("{}\n", Shelf::Waiting.of(to));
        for _ in 0..PAGES_MAX {
            let rows = self.laid((Shelf::Waiting, to), from, PAGE_MAX).await?;
            let hooks = rows.iter().filter_map(|row| Hook::read(row).ok()).collect();
            for hook in due(hooks, &mut seen, now) {
                if leased.len() >= most {
                    return Ok(leased);
                }
                let mine = Hook { next: now.plus(LEASE), ..hook.clone() };
                if self.replace(&hook, Some((&mine, Shelf::Waiting))).await? {
                    leased.push(mine);
                }
            }
            match rows.last().filter(|_| rows.len() >= PAGE_MAX && leased.len() < most) {
                Some(last) => from = format!("{}\u{1}", last.key.name),
                None => break,
            }
        }
        Ok(leased)
    }

    /// What became of a hook that was to be told.
    ///
    /// # Errors
    /// [`StoreLost`]: it may be told once more.
    pub async fn told_of(&self, hook: &Hook, delivery: Delivery) -> Result<(), StoreLost> {
        self.metrics.on_webhook(delivery == Delivery::Taken);
        match delivery {
            Delivery::Taken => self.replace(hook, None).await.map(drop),
            Delivery::Failed(why) => {
                let (next, place) = hook.after(why, self.now());
                if place == Shelf::Dead {
                    tracing::error!(id = %hook.id, "a webhook was not taken for days: it is told no more unless somebody asks");
                }
                self.replace(hook, Some((&next, place))).await.map(drop)
            }
        }
    }

    /// Puts what follows in the place of a hook that waits, if it is still as is known.
    async fn replace(&self, known: &Hook, next: Option<(&Hook, Shelf)>) -> Result<bool, StoreLost> {
        let was = known.row(Shelf::Waiting).ok_or(StoreLost)?;
        let next = next.map(|(hook, place)| (hook.row(place), place));
        let new = match next {
            // First there, then gone: told twice rather than never.
            Some((Some(row), Shelf::Dead)) => {
                self.store.shelve(row);
                None
            }
            Some((row, _)) => Some(row.ok_or(StoreLost)?),
            None => None,
        };
        self.store.swap(Swap { key: was.key, was: Some(was.value), new, beside: Vec::new() }).await
    }

    async fn laid(
        &self,
        (place, to): (Shelf, Option<&ClientName>),
        from: String,
        most: usize,
    ) -> Result<Vec<Row>, StoreLost> {
        self.laid_within((from, format!("{}\u{b}", place.of(to))), most).await
    }

    async fn laid_within(
        &self,
        (from, before): (String, String),
        most: usize,
    ) -> Result<Vec<Row>, StoreLost> {
        let of = Aggregate::Webhooks;
        self.store.range(Range { of, from, before, most, last: false, whole: false }).await
    }

    /// Some of what operations waits for or what is given up, the oldest first, from after the one called `after`.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn hooks(
        &self,
        place: Shelf,
        after: Option<PaymentId>,
        most: usize,
    ) -> Result<Vec<Hook>, StoreLost> {
        self.hooks_to(None, place, after, most).await
    }

    /// The same of what a client waits for, or operations.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn hooks_to(
        &self,
        to: Option<&ClientName>,
        place: Shelf,
        after: Option<PaymentId>,
        most: usize,
    ) -> Result<Vec<Hook>, StoreLost> {
        let from = match after {
            Some(id) => format!("{}\u{1}", place.key(to, id).name),
            None => format!("{}\n", place.of(to)),
        };
        let rows = self.laid((place, to), from, most.min(PAGE_MAX)).await?;
        Ok(rows.iter().filter_map(|row| Hook::read(row).ok()).collect())
    }

    /// Has what was given up be told once more, all of it or those with these ids, to operations and to clients; how many.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn redeliver(&self, ids: Option<&[PaymentId]>) -> Result<usize, StoreLost> {
        let mut again = 0_usize;
        for (mut from, before) in Shelf::Dead.everybody() {
            loop {
                let dead = self.laid_within((from, before.clone()), PAGE_MAX).await?;
                let now = self.now();
                let hooks = dead.iter().filter_map(|row| Hook::read(row).ok());
                for hook in hooks.filter(|hook| ids.is_none_or(|ids| ids.contains(&hook.id))) {
                    let gone = Shelf::Dead.key(hook.to.as_ref(), hook.id);
                    let next = Hook { at: now, attempts: 0, next: now, failed: None, ..hook };
                    if let Some(row) = next.row(Shelf::Waiting) {
                        self.store.shelve(row);
                        self.store.unshelve(gone);
                        again = again.saturating_add(1);
                    }
                }
                match dead.last().filter(|_| dead.len() >= PAGE_MAX) {
                    Some(last) => from = format!("{}\u{1}", last.key.name),
                    None => break,
                }
            }
        }
        self.store.flush().await?;
        Ok(again)
    }
}

fn of_mismatch(kept: &KeptMismatch, id: PaymentId, at: Timestamp) -> Body<'_> {
    let missing = kept.kind == MismatchKind::MissingOutcome;
    let reported = kept.reported.as_ref();
    Body {
        id: id.to_string(),
        event: if missing { "missing_outcome" } else { "mismatch" },
        at_ms: at.as_millis(),
        payment: Some(kept.payment.to_string()),
        channel: Some(kept.channel.as_str()),
        scenario: Some(kept.scenario.as_str()),
        order: kept.order.as_ref().map(|order| order.0.as_ref()),
        amount_fen: kept.amount.map(crate::domain::money::Fen::get),
        mismatch: Some(kept.kind.as_str()),
        elements: Some(kept.elements.to_string()).filter(|elements| !elements.is_empty()),
        provider: kept.provider.as_deref(),
        outcome: reported.map(|(outcome, ..)| outcome.as_str()),
        code: reported.and_then(|(_, code, _)| code.as_deref()),
        arrival: reported.map(|(.., arrival)| arrival.as_str()),
        ..Body::default()
    }
}

fn of_hold<'h>(event: &'static str, hold: &'h Hold, id: PaymentId, at: Timestamp) -> Body<'h> {
    Body {
        id: id.to_string(),
        event,
        at_ms: at.as_millis(),
        payment: Some(hold.payment.to_string()),
        channel: Some(hold.channel.as_str()),
        hold: Some(hold.key.to_string()),
        until_ms: Some(hold.until.as_millis()),
        ..Body::default()
    }
}

fn of_class<'n>(news: &'n ClassNews<'_>, id: PaymentId, at: Timestamp) -> Body<'n> {
    Body {
        id: id.to_string(),
        event: news.event,
        at_ms: at.as_millis(),
        account: Some(news.account.as_str()),
        class: news.class.map(Class::as_str),
        class_before: news.was.map(Class::as_str),
        lapses_ms: news.lapses.map(Timestamp::as_millis),
        ..Body::default()
    }
}
