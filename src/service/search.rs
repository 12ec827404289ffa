//! Payments, found by order, by a card, a document or a phone number that is told, or by time.

use crate::domain::clock::Timestamp;
use crate::domain::element::{Elements, InvalidElement};
use crate::domain::id::{ChannelName, Fingerprint, OrderId, PaymentId};
use crate::domain::identity::{IdNumber, IdType};
use crate::domain::pan::{AccountKind, Pan};
use crate::domain::person::Mobile;
use crate::service::Service;
use crate::service::query::Named;
use crate::store::Record;
use crate::store::journal::StoreLost;
use crate::store::row::{Aggregate, RowKey};
use crate::store::shelf::{PAGE_MAX, Range};

/// How many pages of payments one search goes through: beyond it, it goes on where it ended.
const PAGES_MAX: usize = 100;

/// What is told of payments that are looked for. What is told is fingerprinted and kept nowhere.
#[derive(Clone, Default)]
pub struct Search {
    /// Their channel.
    pub channel: Option<ChannelName>,
    /// Their order, as the channel's message names it.
    pub order: Option<OrderId>,
    /// Their card.
    pub pan: Option<String>,
    /// The document of the person.
    pub id_number: Option<String>,
    /// Which document; the resident identity card where absent.
    pub id_type: Option<String>,
    /// The phone number that they carried.
    pub phone: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Before this payment, as a page before told.
    pub before: Option<PaymentId>,
    /// How many at most.
    pub most: usize,
}

impl std::fmt::Debug for Search {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Search(…)")
    }
}

/// Why nothing is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// The document is not known.
    #[error(
        "`id_type` is one of resident_id, passport, hong_kong_macao_permit, taiwan_permit, foreigner_permit"
    )]
    Document,
    /// An element is not valid.
    #[error(transparent)]
    Element(#[from] InvalidElement),
    /// The store.
    #[error("the store cannot be read now")]
    Store(#[from] StoreLost),
}

/// Some payments.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest first.
    pub payments: Vec<Record>,
    /// Before which the next page begins, where there may be more.
    pub next: Option<PaymentId>,
}

/// By which fingerprints payments are known, under every key.
struct Handles {
    cards: Option<Vec<Fingerprint>>,
    people: Option<Vec<Fingerprint>>,
    phones: Option<Vec<Fingerprint>>,
}

impl Service {
    /// The payments that are looked for.
    ///
    /// # Errors
    /// [`SearchError`].
    pub async fn search(&self, search: &Search) -> Result<Found, SearchError> {
        let handles = self.handles(search)?;
        if let (Some(channel), Some(order)) = (&search.channel, &search.order) {
            // Whatever claimed it is found by that.
            let named = Named { channel, merchant: None, order, scenarios: &[] };
            let _ = self.named(&named).await;
            let payments = self.store.by_order(channel, order);
            let keys = payments.iter().map(|payment| RowKey::payment(*payment)).collect();
            self.store.fetch_intact(keys).await?;
            let records = payments.into_iter().rev().filter_map(|it| self.store.record(it));
            let payments: Vec<_> = records.filter(|it| handles.fit(it, search)).collect();
            if !payments.is_empty() {
                return Ok(Found { payments, next: None });
            }
        }
        let from = PaymentId::new(search.since, 0).to_string();
        let end = || "\u{10ffff}".to_owned();
        let mut before = search.before.map_or_else(end, |before| before.to_string());
        let mut found = Found::default();
        for _ in 0..PAGES_MAX {
            let (of, from, most) = (Aggregate::Payments, from.clone(), PAGE_MAX);
            let range = Range { of, from, before: before.clone(), most, last: true, whole: false };
            let rows = self.store.range(range).await?;
            let Some(first) = rows.first() else { return Ok(found) };
            before.clone_from(&first.key.name);
            for row in rows.iter().rev() {
                let record = serde_json::from_str::<Record>(&row.value).map_err(|error| {
                    tracing::error!(%error, "a payment cannot be read: was it written by another Hefu?");
                    StoreLost
                })?;
                let payment = record.payment;
                if handles.fit(&record, search) {
                    found.payments.push(record);
                }
                if found.payments.len() >= search.most {
                    found.next = Some(payment);
                    return Ok(found);
                }
            }
        }
        found.next = PaymentId::parse(&before);
        Ok(found)
    }

    fn handles(&self, search: &Search) -> Result<Handles, SearchError> {
        let pan =
            search.pan.as_deref().map(|pan| Pan::parse(pan, AccountKind::Debit)).transpose()?;
        let kind = search.id_type.as_deref().map_or(Some(IdType::default()), IdType::from_word);
        let kind = kind.ok_or(SearchError::Document)?;
        let id =
            search.id_number.as_deref().map(|number| IdNumber::parse(number, kind)).transpose()?;
        let phone = search.phone.as_deref().map(Mobile::parse).transpose()?;
        let person = id.map(|id| Elements { id_number: Some(id), ..Elements::default() });
        Ok(Handles {
            cards: pan.map(|pan| self.keys.all().map(|key| key.card(&pan)).collect()),
            people: person
                .map(|person| self.keys.all().filter_map(|key| key.person(&person)).collect()),
            phones: phone.map(|phone| self.keys.all().map(|key| key.phone(&phone)).collect()),
        })
    }
}

impl Handles {
    fn fit(&self, record: &Record, search: &Search) -> bool {
        let is = |handles: &Option<Vec<Fingerprint>>, known: Option<&Fingerprint>| {
            handles.as_ref().is_none_or(|handles| known.is_some_and(|it| handles.contains(it)))
        };
        let stakes = &record.stakes;
        let channel = search.channel.as_ref().is_none_or(|channel| *channel == record.channel);
        let order = search.order.as_ref().is_none_or(|order| record.order.as_ref() == Some(order));
        let since = search.since <= record.at;
        channel
            && order
            && since
            && is(&self.cards, stakes.card.as_ref())
            && is(&self.people, stakes.person.as_ref())
            && is(&self.phones, stakes.phone.as_ref())
    }
}
