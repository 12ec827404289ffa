//! What persons put in force through the admin API: read, and changed by whoever knows what it was.

use crate::domain::id::{ChannelName, ProviderName};
use crate::policy::rules::life::{Act, Denied, Life, Who};
use crate::service::Service;
use crate::store::journal::StoreLost;
use crate::store::managed::{
    ChannelTurn, Managed, ProviderTurn, TEXT, Turned, life_key, list_of, text_key, turned_key,
};
use crate::store::row::{Aggregate, Row, RowKey};
use crate::store::shelf::{PAGE_MAX, Range, Swap};
use crate::store::{Store, row};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How often a change is tried that others overtake.
const TRIES: usize = 20;

/// Why nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It may not be.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The store.
    #[error("the store cannot be read or written now")]
    Store(#[from] StoreLost),
}

/// The value of a row.
pub(crate) fn read<T: DeserializeOwned>(row: &Row) -> Result<T, StoreLost> {
    serde_json::from_str(&row.value).map_err(|error| {
        let of = row.key.of.as_str();
        tracing::error!(%error, of, "a row cannot be read: was it written by another Hefu?");
        StoreLost
    })
}

/// All that is managed, as it is kept.
///
/// # Errors
/// [`StoreLost`].
pub async fn managed(store: &dyn Store) -> Result<Managed, StoreLost> {
    let range = Range {
        of: Aggregate::Managed,
        from: String::new(),
        before: TEXT.to_owned(),
        most: PAGE_MAX,
        last: false,
        // What binds must not be lifted by a row that cannot be read.
        whole: true,
    };
    let mut managed = Managed::default();
    for row in store.range(range).await? {
        if row.key == life_key() {
            managed.life = read(&row)?;
        } else if row.key == turned_key() {
            managed.turned = read(&row)?;
        } else if let Some(list) = list_of(&row.key) {
            managed.lists.insert(list.to_owned(), read(&row)?);
        }
    }
    Ok(managed)
}

/// The text of a version, where it is kept.
///
/// # Errors
/// [`StoreLost`].
pub async fn text(store: &dyn Store, number: u64) -> Result<Option<String>, StoreLost> {
    let rows = store.range(Range::one(&text_key(number))).await?;
    rows.first().map(read).transpose()
}

/// What is kept under `key`, and its row's value.
async fn kept<T: DeserializeOwned + Default>(
    store: &dyn Store,
    key: &RowKey,
) -> Result<(T, Option<String>), StoreLost> {
    let rows = store.range(Range::one(key)).await?;
    let Some(row) = rows.into_iter().next() else { return Ok((T::default(), None)) };
    Ok((read(&row)?, Some(row.value)))
}

/// Changes what is kept under `key`, whoever else does.
pub(crate) async fn change<T, R, E>(
    store: &dyn Store,
    key: RowKey,
    mut change: impl FnMut(&mut T) -> Result<R, E>,
) -> Result<(T, R), E>
where
    T: Serialize + DeserializeOwned + Default,
    E: From<StoreLost>,
{
    for _ in 0..TRIES {
        let (mut value, was) = kept::<T>(store, &key).await?;
        let came = change(&mut value)?;
        let row = row::Row::new(key.clone(), None, &value).ok_or(StoreLost)?;
        if store.swap(Swap { key: key.clone(), was, new: Some(row), beside: Vec::new() }).await? {
            return Ok((value, came));
        }
    }
    Err(StoreLost.into())
}

impl Service {
    /// Has rules live on by what `who` does.
    ///
    /// # Errors
    /// [`ChangeError`]: nothing changed.
    pub async fn act(
        &self,
        who: Who<'_>,
        act: &Act,
        two_persons: bool,
    ) -> Result<Life, ChangeError> {
        let now = self.now();
        let acted = |life: &mut Life| life.act(who, act.clone(), now, two_persons);
        let done = change(&*self.store, life_key(), |life| acted(life).map_err(ChangeError::from));
        done.await.map(|(life, ())| life)
    }

    /// Keeps a new version of rules, and yields its number.
    ///
    /// # Errors
    /// [`ChangeError`]: nothing is kept.
    pub async fn propose(
        &self,
        who: Who<'_>,
        text: &str,
        note: &str,
        two_persons: bool,
    ) -> Result<u64, ChangeError> {
        let act = Act::Propose { note: note.to_owned() };
        let life = self.act(who, &act, two_persons).await?;
        // The number is this call's alone; a version whose text was lost before this compiles to nothing, and is never in force.
        let row = Row::new(text_key(life.last), None, &text).ok_or(StoreLost)?;
        self.store.shelve(row);
        for gone in 1..=life.last {
            // They go from the lowest on, so that few are looked at in vain.
            if life.versions.contains_key(&gone) {
                break;
            }
            if life.last.saturating_sub(gone) <= OLD_MAX {
                self.store.unshelve(text_key(gone));
            }
        }
        self.store.flush().await?;
        Ok(life.last)
    }

    /// Turns a channel; back to what its file says, and the glass is whole, where `turn` is absent.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn turn_channel(
        &self,
        channel: &ChannelName,
        turn: Option<ChannelTurn>,
    ) -> Result<Turned, StoreLost> {
        self.turn_channels(|turned| {
            if let Some(turn) = turn.clone() {
                turned.channels.insert(channel.clone(), turn);
            } else {
                turned.channels.remove(channel);
                turned.glass.remove(channel);
            }
        })
        .await
    }

    /// Breaks a channel's glass: it is so as `turn` says until that is over, and then as it was.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn break_glass(
        &self,
        channel: &ChannelName,
        turn: ChannelTurn,
    ) -> Result<Turned, StoreLost> {
        self.turn_channels(|turned| drop(turned.glass.insert(channel.clone(), turn.clone()))).await
    }

    async fn turn_channels(&self, turn: impl Fn(&mut Turned)) -> Result<Turned, StoreLost> {
        let now = self.now();
        let changed = change(&*self.store, turned_key(), |turned: &mut Turned| {
            turned.tidy(now);
            turn(turned);
            Ok::<_, StoreLost>(())
        });
        changed.await.map(|(turned, ())| turned)
    }

    /// Turns a provider; back to what its file says where `turn` is absent.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn turn_provider(
        &self,
        provider: &ProviderName,
        turn: Option<ProviderTurn>,
    ) -> Result<Turned, StoreLost> {
        let changed = change(&*self.store, turned_key(), |turned: &mut Turned| {
            match turn.clone() {
                Some(turn) => drop(turned.providers.insert(provider.clone(), turn)),
                None => drop(turned.providers.remove(provider)),
            }
            Ok::<_, StoreLost>(())
        });
        changed.await.map(|(turned, ())| turned)
    }
}

/// How far behind the last version texts are looked for that nobody needs.
const OLD_MAX: u64 = 1_000;
