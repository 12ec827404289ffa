//! What persons put in force through the admin API: rules and their life, and how channels and providers are turned.

use crate::domain::clock::Timestamp;
use crate::domain::id::{ChannelName, ProviderName};
use crate::policy::rules::life::Life;
use crate::store::row::{Aggregate, RowKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of the row with the life of rules.
const LIFE: &str = "life";
/// The name of the row with what is turned; after that of every list.
const TURNED: &str = "set";
/// How the names of rows with the text of a version begin; after all others.
pub const TEXT: &str = "text";

/// The row with the life of rules.
pub fn life_key() -> RowKey {
    RowKey { of: Aggregate::Managed, name: LIFE.to_owned() }
}

/// The row with what is turned.
pub fn turned_key() -> RowKey {
    RowKey { of: Aggregate::Managed, name: TURNED.to_owned() }
}

/// The row that counts the changes of a list.
pub fn list_key(list: &str) -> RowKey {
    RowKey { of: Aggregate::Managed, name: format!("list\n{list}") }
}

/// The row with a version's text.
pub fn text_key(number: u64) -> RowKey {
    RowKey { of: Aggregate::Managed, name: format!("{TEXT}\n{number:020}") }
}

/// How a channel is turned, whatever its file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelTurn {
    /// For this percentage of orders decisions bind; for none of them where absent.
    pub enforce: Option<u8>,
    /// Until when; for good where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Who turned it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub note: String,
}

/// How a provider is turned, whatever its file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderTurn {
    /// Whether it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Lower is asked first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Who turned it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub note: String,
}

/// What is turned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turned {
    /// Channels.
    pub channels: BTreeMap<ChannelName, ChannelTurn>,
    /// Providers.
    pub providers: BTreeMap<ProviderName, ProviderTurn>,
}

impl Turned {
    /// How `channel` is turned at `now`.
    pub fn channel(&self, channel: &ChannelName, now: Timestamp) -> Option<&ChannelTurn> {
        self.channels.get(channel).filter(|turn| turn.until.is_none_or(|until| now < until))
    }
}

/// How often a list was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision(pub u64);

/// What is told of an entry of a list beside its value, which is its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryNote {
    /// Why it stands there.
    pub reason: String,
    /// Who added it.
    pub author: String,
    /// When.
    pub added: Timestamp,
    /// Until when it stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// All that is managed, but for texts and entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managed {
    /// Rules.
    pub life: Life,
    /// Channels and providers.
    pub turned: Turned,
    /// How often each list was changed.
    pub lists: BTreeMap<String, Revision>,
}

/// The name of a list, where a row counts its changes.
pub fn list_of(key: &RowKey) -> Option<&str> {
    key.name.strip_prefix("list\n")
}

/// The row of an entry.
pub fn entry_key(list: &str, value: &str) -> RowKey {
    RowKey { of: Aggregate::ListEntries, name: format!("{list}\n{value}") }
}
