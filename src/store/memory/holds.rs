//! Holds in memory, as many as there is room for; all of them where they are kept.

use super::{MemoryStore, has_room, kept};
use crate::domain::clock::Timestamp;
use crate::reconcile::hold::{Braking, Hold, HoldKey, Holding};
use crate::store::HoldStore;
use crate::store::journal::StoreLost;
use crate::store::row::{Aggregate, Removal, Row};
use crate::store::shelf::{PAGE_MAX, Range};
use crate::store::writer::Look;
use async_trait::async_trait;
use dashmap::mapref::entry::Entry;

/// Those of `holds` that stand at `now`, oldest first.
fn standing(holds: impl Iterator<Item = Hold>, now: Timestamp) -> Vec<Hold> {
    let mut holds: Vec<_> = holds.filter(|hold| now < hold.until).collect();
    holds.sort_by(|a, b| (a.since, &a.key).cmp(&(b.since, &b.key)));
    holds
}

#[async_trait]
impl HoldStore for MemoryStore {
    fn hold(&self, key: &HoldKey, now: Timestamp) -> Option<Hold> {
        self.holds.get(key).filter(|hold| now < hold.until).map(|hold| hold.clone())
    }

    fn make_hold(&self, hold: Hold, braking: Braking<'_>) -> Holding {
        let (key, now) = (hold.key.clone(), hold.since);
        if !has_room(&self.holds, &key, self.limits.holds) {
            self.holds.retain(|_, hold| now < hold.until);
        }
        if !has_room(&self.holds, &key, self.limits.holds) {
            return Holding::Paused;
        }
        match self.holds.entry(key.clone()) {
            Entry::Occupied(standing) if now < standing.get().until => return Holding::Standing,
            entry => {
                let Braking { bank, matched, per_hour } = braking;
                let brake = (hold.channel.clone(), bank.cloned(), matched);
                if !self.brakes.entry(brake).or_default().admits(per_hour, now) {
                    return Holding::Paused;
                }
                entry.insert(hold);
            }
        }
        self.write_hold(&key);
        Holding::Made
    }

    fn release(&self, key: &HoldKey) -> Option<Hold> {
        let released = self.holds.remove(key).map(|(_, hold)| hold);
        // Only that one: what another process makes meanwhile stands.
        if let (Some(row), Some(journal)) = (released.as_ref().and_then(Row::hold), &self.journal) {
            journal.remove(Removal::from(&row));
        }
        released
    }

    fn holds(&self, now: Timestamp) -> Vec<Hold> {
        standing(self.holds.iter().map(|hold| hold.clone()), now)
    }

    async fn kept_holds(&self, now: Timestamp) -> Result<Vec<Hold>, StoreLost> {
        let Some(journal) = &self.journal else { return Ok(self.holds(now)) };
        let (mut holds, mut from) = (Vec::new(), String::new());
        // Where more are kept than there may be, whoever releases these finds the rest.
        while holds.len() < self.limits.holds {
            let (of, before, most) = (Aggregate::Holds, "\u{10ffff}".to_owned(), PAGE_MAX);
            let range = Range { of, from, before, most, last: false, whole: false };
            let rows = journal.read(Look::Within(range, false)).await?;
            let read: Result<Vec<Hold>, _> = rows.iter().map(kept::value).collect();
            holds.extend(read.map_err(|_| StoreLost)?);
            match rows.last() {
                Some(last) if rows.len() >= PAGE_MAX => from = format!("{}\u{1}", last.key.name),
                Some(_) | None => break,
            }
        }
        Ok(standing(holds.into_iter(), now))
    }
}
