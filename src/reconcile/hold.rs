//! Holds: what waits until a contradiction is settled, and the brake for an issuer's bad night.

use crate::domain::clock::Timestamp;
use crate::domain::id::{AgreementId, Bank, ChannelName, Fingerprint, PaymentId, written};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, fmt, time::Duration};

/// What is held: never a card number alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum HoldKey {
    /// One tuple of elements.
    Tuple(Fingerprint),
    /// One agreement at one channel.
    Agreement(ChannelName, AgreementId),
}

impl fmt::Display for HoldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written())
    }
}

impl HoldKey {
    /// As it is shown and kept.
    pub(crate) fn written(&self) -> String {
        match self {
            Self::Tuple(fingerprint) => ["tuple", fingerprint.written().as_str()].join(":"),
            Self::Agreement(channel, id) => ["agreement", channel.as_str(), &id.0].join(":"),
        }
    }

    /// Reads the written form.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("tuple", fingerprint) => Fingerprint::parse(fingerprint).map(Self::Tuple),
            ("agreement", rest) => {
                let (channel, id) = rest.split_once(':')?;
                Some(Self::Agreement(ChannelName::new(channel), AgreementId(id.into())))
            }
            _ => None,
        }
    }
}

written!(HoldKey);

/// One hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What is held.
    pub key: HoldKey,
    /// The channel whose outcome made it.
    pub channel: ChannelName,
    /// The payment whose outcome made it.
    pub payment: PaymentId,
    /// Since when.
    pub since: Timestamp,
    /// Until when at most.
    pub until: Timestamp,
    /// Whose payments it stops, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Fingerprint>,
}

/// What came of making a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Holding {
    /// It was made.
    Made,
    /// One stands already.
    Standing,
    /// No new ones are made: the brake is on, or there is no room.
    Paused,
}

/// What brakes new holds of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Braking<'a> {
    /// The bank, where it is known.
    pub bank: Option<&'a Bank>,
    /// Whether a match was contradicted. What was never verified is counted apart, lest it use up what the verified need.
    pub matched: bool,
    /// How many in any hour.
    pub per_hour: usize,
}

/// The brake: new holds and contradictions at one channel and bank pause above a rate, because an issuer that fails
/// everything for an hour must not stop the book.
#[derive(Clone, Debug, Default)]
pub struct Brake {
    recent: VecDeque<Timestamp>,
}

impl Brake {
    const WINDOW: Duration = Duration::from_hours(1);

    /// Whether one more hold may be made at `now`, which then counts; at most `per_hour` in any hour.
    pub fn admits(&mut self, per_hour: usize, now: Timestamp) -> bool {
        while self.recent.front().is_some_and(|first| now.since(*first) >= Self::WINDOW) {
            self.recent.pop_front();
        }
        let admits = self.recent.len() < per_hour;
        if admits {
            self.recent.push_back(now);
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::KeyId;

    #[test]
    fn keys_read_back() {
        let fingerprint = Fingerprint { key: KeyId(3), digest: [7; 32] };
        for key in [
            HoldKey::Tuple(fingerprint),
            HoldKey::Agreement(ChannelName::new("c"), AgreementId("a:b".into())),
        ] {
            assert_eq!(HoldKey::parse(&key.to_string()), Some(key));
        }
        assert_eq!(HoldKey::parse("card:1"), None);
    }

    #[test]
    fn the_brake_admits_so_many_an_hour() {
        let mut brake = Brake::default();
        let at = |minutes: u64| Timestamp::from_millis(minutes * 60_000);
        assert!(brake.admits(2, at(0)));
        assert!(brake.admits(2, at(30)));
        assert!(!brake.admits(2, at(59)));
        assert!(brake.admits(2, at(60)));
        assert!(!brake.admits(2, at(61)));
        assert!(brake.admits(2, at(90)));
        assert!(!brake.admits(0, at(999)));
    }
}
