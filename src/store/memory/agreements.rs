//! Agreements in memory, as many as there is room for; all of them where they are kept.

use super::amend::Amend;
use super::{MemoryStore, has_room, kept};
use crate::domain::clock::Timestamp;
use crate::domain::id::{AgreementId, ChannelName};
use crate::store::journal::StoreLost;
use crate::store::row::{Row, RowKey};
use crate::store::writer::Look;
use crate::store::{Agreement, AgreementStore};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::atomic::Ordering;

impl MemoryStore {
    /// Keeps an agreement in memory; yields those that changed, itself the last of them.
    pub(super) fn keep_agreement(
        &self,
        channel: &ChannelName,
        id: AgreementId,
        agreement: Agreement,
        closes_same_card: bool,
    ) -> Vec<(AgreementId, Agreement)> {
        let key = (channel.clone(), id.clone());
        if !has_room(&self.agreements, &key, self.limits.agreements) {
            let victim = self.agreements.iter().next().map(|entry| entry.key().clone());
            if let Some((victim, agreement)) = victim.and_then(|key| self.agreements.remove(&key)) {
                self.unlist(&victim, &agreement);
            }
        }
        let mut earlier = Vec::new();
        if let Some(card) = agreement.card {
            let of = |card| (channel.clone(), agreement.merchant.clone(), card);
            if closes_same_card {
                let cards = std::iter::once(&card).chain(&agreement.other_cards);
                let listed = cards.filter_map(|card| self.by_card.remove(&of(*card)));
                earlier.extend(listed.flat_map(|(_, ids)| ids));
                earlier.retain(|earlier| *earlier != id);
            }
            let mut same_card = self.by_card.entry(of(card)).or_default();
            if !same_card.contains(&id) {
                same_card.push(id.clone());
            }
        }
        let closed = earlier.into_iter().filter_map(|id| Some((self.close(channel, &id)?, id)));
        let mut changed: Vec<_> = closed.map(|(agreement, id)| (id, agreement)).collect();
        self.agreements.insert(key, agreement.clone());
        if self.agreements.len() >= self.limits.agreements {
            // From now on some may be where they are kept only, whoever is forgotten here.
            self.lacks_agreements.store(true, Ordering::Relaxed);
        }
        changed.push((id, agreement));
        changed
    }

    /// Closes an agreement in memory; yields it, if it is there.
    fn close(&self, channel: &ChannelName, id: &AgreementId) -> Option<Agreement> {
        let mut agreement = self.agreements.get_mut(&(channel.clone(), id.clone()))?;
        agreement.closed = true;
        Some(agreement.clone())
    }

    /// An agreement that is not in memory any more is not found there by its card.
    pub(super) fn unlist(&self, (channel, id): &(ChannelName, AgreementId), agreement: &Agreement) {
        let Some(card) = agreement.card else { return };
        let card = (channel.clone(), agreement.merchant.clone(), card);
        self.by_card.remove_if_mut(&card, |_, ids| {
            ids.retain(|other| other != id);
            ids.is_empty()
        });
    }
}

#[async_trait]
impl AgreementStore for MemoryStore {
    fn agreement(&self, channel: &ChannelName, id: &AgreementId) -> Option<Agreement> {
        self.agreements.get(&(channel.clone(), id.clone())).map(|agreement| agreement.clone())
    }

    fn put_agreement(
        &self,
        channel: &ChannelName,
        id: AgreementId,
        agreement: Agreement,
        closes_same_card: bool,
    ) {
        if let (true, Some(card), Some(journal)) = (closes_same_card, agreement.card, &self.journal)
        {
            journal.amend(Amend::CloseCard {
                channel: channel.clone(),
                merchant: agreement.merchant.clone(),
                cards: std::iter::once(card).chain(agreement.other_cards.clone()).collect(),
                but: id.clone(),
                all_known: self.agreements.len() < self.limits.agreements
                    && !self.lacks_agreements.load(Ordering::Relaxed),
            });
        }
        for (id, changed) in self.keep_agreement(channel, id, agreement, closes_same_card) {
            self.write_agreement(channel, &id, changed);
        }
    }

    async fn kept_agreements(
        &self,
        channel: &ChannelName,
        ids: &[AgreementId],
    ) -> Result<Vec<Option<Agreement>>, StoreLost> {
        let Some(journal) = &self.journal else {
            return Ok(ids.iter().map(|id| self.agreement(channel, id)).collect());
        };
        let keys: Vec<_> = ids.iter().map(|id| RowKey::agreement(channel, id)).collect();
        let mut kept = HashMap::new();
        for row in journal.read(Look::At(keys.clone())).await? {
            let read = kept::value(&row).map_err(|_| StoreLost)?;
            let (_, _, agreement): (ChannelName, AgreementId, Agreement) = read;
            kept.insert(row.key, agreement);
        }
        Ok(keys.iter().map(|key| kept.get(key).cloned()).collect())
    }

    fn close_agreement(&self, channel: &ChannelName, id: &AgreementId) {
        match (self.close(channel, id), &self.journal) {
            (Some(closed), _) => self.write_agreement(channel, id, closed),
            (None, Some(journal)) => journal.amend(Amend::Close(channel.clone(), id.clone())),
            (None, None) => (),
        }
    }

    fn remember(&self, channel: &ChannelName, key: String, bind: Agreement, until: Timestamp) {
        let key = (channel.clone(), key);
        if !has_room(&self.waiting, &key, self.limits.agreements) {
            // What waits beyond its time makes room; `bind.at` is now.
            self.waiting.retain(|_, (_, until)| bind.at < *until);
        }
        if has_room(&self.waiting, &key, self.limits.agreements) {
            self.waiting.insert(key.clone(), (bind, until));
            self.write(RowKey::waiting(channel, &key.1), |store, name| {
                let waiting = store.waiting.get(&key)?;
                Row::new(name, Some(until), &(&key, waiting.value()))
            });
        }
    }

    fn recall(&self, channel: &ChannelName, key: &str, now: Timestamp) -> Option<Agreement> {
        let waiting = self.waiting.get(&(channel.clone(), key.to_owned()))?;
        let (bind, until) = waiting.value();
        (now < *until).then(|| bind.clone())
    }
}
