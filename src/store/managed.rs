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

impl ChannelTurn {
    fn stands(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
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
    /// Channels whose glass is broken: they are so until then, whatever else they are turned to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub glass: BTreeMap<ChannelName, ChannelTurn>,
    /// Providers.
    pub providers: BTreeMap<ProviderName, ProviderTurn>,
}

impl Turned {
    /// How `channel` is turned at `now`.
    pub fn channel(&self, channel: &ChannelName, now: Timestamp) -> Option<&ChannelTurn> {
        let turns = [&self.glass, &self.channels].into_iter();
        turns.filter_map(|turns| turns.get(channel)).find(|turn| turn.stands(now))
    }

    /// The channels that are turned at `now`, and how.
    pub fn all(&self, now: Timestamp) -> BTreeMap<&ChannelName, &ChannelTurn> {
        let names = self.channels.keys().chain(self.glass.keys());
        names.filter_map(|name| Some((name, self.channel(name, now)?))).collect()
    }

    /// Forgets what is over at `now`.
    pub fn tidy(&mut self, now: Timestamp) {
        for turns in [&mut self.channels, &mut self.glass] {
            turns.retain(|_, turn| turn.stands(now));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_as_it_was_once_the_glass_is_whole() {
        // As it was kept before glass was kept apart.
        let kept = r#"{"channels":{"a":{"enforce":50,"by":"li.lei","at":0,"note":"slowly"}},"providers":{}}"#;
        let mut turned: Turned = serde_json::from_str(kept).unwrap();
        assert_eq!(serde_json::to_string(&turned).unwrap(), kept);
        let (a, b) = (ChannelName::new("a"), ChannelName::new("b"));
        let slowly = turned.channels[&a].clone();
        let until = Some(Timestamp::from_millis(1_000));
        for name in [&a, &b] {
            let glass = ChannelTurn { enforce: None, until, ..slowly.clone() };
            turned.glass.insert(name.clone(), glass);
        }
        let check = |turned: &Turned, now, expected: [Option<Option<u8>>; 2]| {
            let now = Timestamp::from_millis(now);
            let all = turned.all(now);
            for (name, expected) in [&a, &b].into_iter().zip(expected) {
                let turn = turned.channel(name, now);
                assert_eq!(turn.map(|turn| turn.enforce), expected, "{name}");
                assert_eq!(turn, all.get(name).copied());
            }
        };
        check(&turned, 999, [Some(None); 2]);
        check(&turned, 1_000, [Some(Some(50)), None]);
        turned.tidy(Timestamp::from_millis(999));
        check(&turned, 999, [Some(None); 2]);
        turned.tidy(Timestamp::from_millis(1_000));
        assert_eq!(serde_json::to_string(&turned).unwrap(), kept);
    }
}
