//! The life of rules that come through the API: proposed by one person, tried, approved by another, in force, gone back from.
//!
//! A version never changes. What is in force is one version that a second person approved, or none; whoever goes back goes back to
//! what was in force, and so was approved, before.

use super::RuleId;
use crate::domain::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many versions are kept: the oldest that were never in force go first.
pub const VERSIONS_MAX: usize = 200;
/// How many records a version has at most: the last ones.
const RECORDS_MAX: usize = 10;
/// How many steps back there are.
const BEFORE_MAX: usize = 50;
/// How many rules sleep at most.
const ASLEEP_MAX: usize = 500;

/// Who does it: somebody with a token of their own, or whoever holds the one that is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'a> {
    /// One person.
    Person(&'a str),
    /// Anybody, and so perhaps the same person once more.
    Anybody(&'a str),
}

impl<'a> Who<'a> {
    /// What they are called.
    pub const fn name(self) -> &'a str {
        match self {
            Self::Person(name) | Self::Anybody(name) => name,
        }
    }
}

/// How a version was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tried {
    /// On payments that are kept.
    Backtest,
    /// On payments that came, where it bound nothing.
    Shadow,
}

/// What a trial found. Whoever approves sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// How.
    pub tried: Tried,
    /// When it was over.
    pub at: Timestamp,
    /// The payments since then.
    pub since: Timestamp,
    /// How many there were.
    pub payments: u64,
    /// How many of them any rule hit.
    pub hits: u64,
    /// How many of these the channel refused for their elements.
    pub caught: u64,
    /// How many of these were good.
    pub hurt: u64,
    /// Of how many of these nobody knows.
    pub unknown: u64,
}

/// How far a version came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Nobody decided yet.
    Proposed,
    /// It was approved, and so was in force from then on.
    Approved {
        /// By whom.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// It was turned down.
    Rejected {
        /// By whom.
        by: String,
        /// When.
        at: Timestamp,
    },
}

/// One version, but for its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Who wrote it.
    pub author: String,
    /// When.
    pub at: Timestamp,
    /// What was in force then, which it changes.
    pub base: u64,
    /// What it is for, in the author's words.
    pub note: String,
    /// What trials found, the last one last.
    pub trials: Vec<Trial>,
    /// How far it came.
    pub fate: Fate,
}

/// A rule that does not bind for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nap {
    /// Until when.
    pub until: Timestamp,
    /// Who let it sleep.
    pub by: String,
    /// Why.
    pub note: String,
}

/// The version that binds nothing and is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadowed {
    /// Which.
    pub version: u64,
    /// Since when.
    pub since: Timestamp,
}

/// All versions, and what is in force. 0 is no version: no rule comes through the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// The versions that are kept, by number.
    pub versions: BTreeMap<u64, Version>,
    /// The last number that was given.
    pub last: u64,
    /// What is in force.
    pub live: u64,
    /// What was in force before it, the last one last.
    pub before: Vec<u64>,
    /// What is tried beside it.
    pub shadow: Option<Shadowed>,
    /// What sleeps.
    pub naps: BTreeMap<RuleId, Nap>,
}

/// What somebody does, or what came of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A new version of the whole text, on top of what is in force.
    Propose {
        /// What it is for.
        note: String,
    },
    /// A version is tried beside what is in force.
    Shadow(u64),
    /// What is tried beside what is in force is tried no more.
    EndShadow,
    /// What a trial of a version found.
    Found(u64, Trial),
    /// A version is put in force.
    Approve(u64),
    /// A version is turned down.
    Reject(u64),
    /// What was in force before is in force again.
    GoBack,
    /// A rule does not bind for a while.
    Snooze(RuleId, Nap),
    /// It binds again.
    Wake(RuleId),
}

/// Why it is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no such version.
    #[error("there is no such version")]
    Unknown,
    /// Whoever holds the shared token may be anybody.
    #[error(
        "two persons are needed, and the shared token names none: give each a token of their own (`hefu token`, `[[operator]]` in hefu.toml), or set `[rules] two_persons = false` in policy.toml for a demo of one person"
    )]
    Nameless,
    /// Nobody approves what is their own.
    #[error("you proposed it: somebody else must approve it")]
    Own,
    /// It was never tried on a payment.
    #[error(
        "it was not tried on any payment: `POST /v1/backtests` with this version, or `POST /v1/rules/shadow` for a while, comes first"
    )]
    Untried,
    /// Something else is in force than when it was proposed.
    #[error(
        "version {live} is in force now and it was proposed on version {base}: propose it again"
    )]
    Stale {
        /// What was in force then.
        base: u64,
        /// What is now.
        live: u64,
    },
    /// It was decided already.
    #[error("it was approved or turned down already: propose it again")]
    Decided,
    /// Nothing was in force before.
    #[error("nothing was in force before that is still known")]
    NothingBefore,
    /// It is not tried.
    #[error("no version is tried in shadow")]
    NoShadow,
    /// No such rule sleeps.
    #[error("no such rule sleeps")]
    Awake,
    /// There is no room.
    #[error("too many rules sleep: wake some")]
    Full,
}

impl Life {
    /// Does what `who` does at `now`. `two_persons` says that nobody approves what is their own.
    ///
    /// # Errors
    /// [`Denied`]: nothing changed.
    pub fn act(
        &mut self,
        who: Who<'_>,
        act: Act,
        now: Timestamp,
        two_persons: bool,
    ) -> Result<(), Denied> {
        match act {
            Act::Propose { note } => self.propose(who, note, now, two_persons),
            Act::Shadow(number) => {
                self.undecided(number)?;
                self.shadow = Some(Shadowed { version: number, since: now });
                Ok(())
            }
            Act::EndShadow => self.shadow.take().map(drop).ok_or(Denied::NoShadow),
            Act::Found(number, trial) => {
                let version = self.versions.get_mut(&number).ok_or(Denied::Unknown)?;
                if version.trials.len() >= RECORDS_MAX {
                    version.trials.remove(0);
                }
                version.trials.push(trial);
                Ok(())
            }
            Act::Approve(number) => self.approve(who, number, now, two_persons),
            Act::Reject(number) => {
                self.undecided(number)?;
                self.decide(number, Fate::Rejected { by: who.name().to_owned(), at: now });
                Ok(())
            }
            Act::GoBack => {
                self.live = self.before.pop().ok_or(Denied::NothingBefore)?;
                self.shadow = None;
                Ok(())
            }
            Act::Snooze(rule, nap) => {
                self.naps.retain(|_, nap| now < nap.until);
                if self.naps.len() >= ASLEEP_MAX {
                    return Err(Denied::Full);
                }
                self.naps.insert(rule, nap);
                Ok(())
            }
            Act::Wake(rule) => self.naps.remove(&rule).map(drop).ok_or(Denied::Awake),
        }
    }

    fn propose(
        &mut self,
        who: Who<'_>,
        note: String,
        now: Timestamp,
        two_persons: bool,
    ) -> Result<(), Denied> {
        if two_persons && matches!(who, Who::Anybody(_)) {
            return Err(Denied::Nameless);
        }
        self.last = self.last.saturating_add(1);
        let version = Version {
            author: who.name().to_owned(),
            at: now,
            base: self.live,
            note,
            trials: Vec::new(),
            fate: Fate::Proposed,
        };
        self.versions.insert(self.last, version);
        while self.versions.len() > VERSIONS_MAX {
            let needed = |number: u64| {
                number == self.live || number == self.last || self.before.contains(&number)
            };
            let Some(oldest) = self.versions.keys().copied().find(|number| !needed(*number)) else {
                break;
            };
            self.versions.remove(&oldest);
            self.shadow = self.shadow.filter(|shadowed| shadowed.version != oldest);
        }
        Ok(())
    }

    fn approve(
        &mut self,
        who: Who<'_>,
        number: u64,
        now: Timestamp,
        two_persons: bool,
    ) -> Result<(), Denied> {
        let version = self.undecided(number)?;
        if two_persons {
            match who {
                Who::Anybody(_) => return Err(Denied::Nameless),
                Who::Person(name) if name == version.author => return Err(Denied::Own),
                Who::Person(_) => (),
            }
        }
        if !version.trials.iter().any(|trial| trial.payments > 0) {
            return Err(Denied::Untried);
        }
        if version.base != self.live {
            return Err(Denied::Stale { base: version.base, live: self.live });
        }
        self.decide(number, Fate::Approved { by: who.name().to_owned(), at: now });
        self.before.push(self.live);
        if self.before.len() > BEFORE_MAX {
            self.before.remove(0);
        }
        self.live = number;
        // Whatever else is tried was written on top of what was in force, and cannot be approved any more.
        self.shadow = None;
        Ok(())
    }

    fn undecided(&self, number: u64) -> Result<&Version, Denied> {
        let version = self.versions.get(&number).ok_or(Denied::Unknown)?;
        match version.fate {
            Fate::Proposed => Ok(version),
            Fate::Approved { .. } | Fate::Rejected { .. } => Err(Denied::Decided),
        }
    }

    /// Once it is decided it is tried no more.
    fn decide(&mut self, number: u64, fate: Fate) {
        if let Some(version) = self.versions.get_mut(&number) {
            version.fate = fate;
        }
        self.shadow = self.shadow.filter(|shadowed| shadowed.version != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_795_200_000);

    fn trial(payments: u64) -> Trial {
        Trial {
            tried: Tried::Backtest,
            at: NOW,
            since: NOW,
            payments,
            hits: 0,
            caught: 0,
            hurt: 0,
            unknown: 0,
        }
    }

    const NAP: std::time::Duration = std::time::Duration::from_hours(1);

    fn nap() -> Nap {
        Nap { until: NOW.plus(NAP), by: "a".into(), note: "n".into() }
    }

    fn propose() -> Act {
        Act::Propose { note: "n".into() }
    }

    /// What a person can bring about, with small numbers so that they meet.
    fn acts() -> impl Strategy<Value = Act> {
        let rule = || RuleId::parse("one").unwrap();
        prop_oneof![
            3 => Just(propose()),
            1 => (0..8_u64).prop_map(Act::Shadow),
            1 => Just(Act::EndShadow),
            3 => (0..8_u64, 0..3_u64).prop_map(|(number, payments)| Act::Found(number, trial(payments))),
            4 => (0..8_u64).prop_map(Act::Approve),
            1 => (0..8_u64).prop_map(Act::Reject),
            1 => Just(Act::GoBack),
            1 => Just(Act::Snooze(rule(), nap())),
            1 => Just(Act::Wake(rule())),
        ]
    }

    /// Who may call: a person, or the same one with the shared token.
    fn callers(names: &'static [&'static str]) -> impl Strategy<Value = Who<'static>> {
        let person = prop::sample::select(names).prop_map(Who::Person);
        prop_oneof![4 => person, 1 => Just(Who::Anybody("admin token"))]
    }

    proptest! {
        #[test]
        fn no_sequence_of_calls_by_one_person_makes_a_rule_live(
            calls in prop::collection::vec((callers(&["li.lei"]), acts()), 0..80),
        ) {
            let mut life = Life::default();
            for (who, act) in calls {
                let _ = life.act(who, act, NOW, true);
                prop_assert_eq!(life.live, 0);
            }
        }

        /// Whatever several do: what is in force was tried, and approved by somebody who did not write it.
        #[test]
        fn what_is_live_was_tried_and_approved_by_another(
            calls in prop::collection::vec(
                (callers(&["li.lei", "han.meimei", "lin.tao"]), acts()), 0..120),
        ) {
            let mut life = Life::default();
            for (who, act) in calls {
                let before = life.clone();
                if life.act(who, act, NOW, true).is_err() {
                    prop_assert_eq!(&life, &before, "a call that is denied changes nothing");
                }
                if life.live != 0 {
                    let version = &life.versions[&life.live];
                    let Fate::Approved { by, .. } = &version.fate else { panic!("{version:?}") };
                    prop_assert_ne!(by, &version.author);
                    prop_assert_ne!(by, "admin token");
                    prop_assert_ne!(&version.author, "admin token");
                    prop_assert!(version.trials.iter().any(|trial| trial.payments > 0));
                }
            }
        }
    }

    #[test]
    fn a_version_goes_its_way() {
        let mut life = Life::default();
        let mut act = |who, act| life.act(Who::Person(who), act, NOW, true).map(|()| life.live);
        assert_eq!(act("a", propose()), Ok(0));
        assert_eq!(act("b", Act::Approve(1)), Err(Denied::Untried));
        assert_eq!(act("a", Act::Found(1, trial(0))), Ok(0));
        assert_eq!(act("b", Act::Approve(1)), Err(Denied::Untried));
        assert_eq!(act("a", Act::Found(1, trial(5))), Ok(0));
        assert_eq!(act("a", Act::Approve(1)), Err(Denied::Own));
        assert_eq!(act("b", Act::Approve(1)), Ok(1));
        assert_eq!(act("c", Act::Approve(1)), Err(Denied::Decided));
        // Two on the same version: the one that is late is proposed again.
        for number in [2, 3] {
            assert_eq!(act("a", propose()), Ok(1));
            assert_eq!(act("a", Act::Found(number, trial(5))), Ok(1));
        }
        // What is tried beside what is not in force any more is tried in vain.
        assert_eq!(act("a", Act::Shadow(2)), Ok(1));
        assert_eq!(act("b", Act::Approve(3)), Ok(3));
        assert_eq!(act("a", Act::EndShadow), Err(Denied::NoShadow));
        assert_eq!(act("b", Act::Approve(2)), Err(Denied::Stale { base: 1, live: 3 }));
        // Back, and back to where there was none.
        assert_eq!(act("a", Act::Shadow(2)), Ok(3));
        assert_eq!(act("a", Act::GoBack), Ok(1));
        assert_eq!(act("a", Act::EndShadow), Err(Denied::NoShadow));
        assert_eq!(act("a", Act::GoBack), Ok(0));
        assert_eq!(act("a", Act::GoBack), Err(Denied::NothingBefore));
        assert_eq!(act("b", Act::Reject(2)), Ok(0));
        assert_eq!(act("b", Act::Shadow(2)), Err(Denied::Decided));
        assert_eq!(act("b", Act::Approve(9)), Err(Denied::Unknown));
    }

    #[test]
    fn one_person_may_where_configuration_says_so() {
        let mut life = Life::default();
        let who = Who::Anybody("admin token");
        assert_eq!(life.act(who, propose(), NOW, true), Err(Denied::Nameless));
        life.act(who, propose(), NOW, false).unwrap();
        assert_eq!(life.act(who, Act::Approve(1), NOW, false), Err(Denied::Untried));
        life.act(who, Act::Found(1, trial(1)), NOW, false).unwrap();
        life.act(who, Act::Approve(1), NOW, false).unwrap();
        assert_eq!(life.live, 1);
    }

    #[test]
    fn what_sleeps_wakes_by_hand_and_makes_room_by_time() {
        let mut life = Life::default();
        let mut act = |act, now| life.act(Who::Person("a"), act, now, true);
        let rule = |nth: usize| RuleId::parse(&format!("rule-{nth}")).unwrap();
        assert_eq!(act(Act::Wake(rule(0)), NOW), Err(Denied::Awake));
        for nth in 0..ASLEEP_MAX {
            assert_eq!(act(Act::Snooze(rule(nth), nap()), NOW), Ok(()));
        }
        assert_eq!(act(Act::Snooze(rule(ASLEEP_MAX), nap()), NOW), Err(Denied::Full));
        assert_eq!(act(Act::Wake(rule(0)), NOW), Ok(()));
        assert_eq!(act(Act::Wake(rule(0)), NOW), Err(Denied::Awake));
        assert_eq!(act(Act::Snooze(rule(ASLEEP_MAX), nap()), NOW), Ok(()));
        let later = nap().until;
        assert_eq!(
            act(Act::Snooze(rule(0), Nap { until: later.plus(NAP), ..nap() }), later),
            Ok(())
        );
        assert_eq!(life.naps.keys().collect::<Vec<_>>(), [&rule(0)]);
    }

    #[test]
    fn old_versions_go_and_what_is_needed_stays() {
        let mut life = Life::default();
        let mut act = |who, act| life.act(Who::Person(who), act, NOW, true).unwrap();
        act("a", propose());
        act("a", Act::Found(1, trial(1)));
        act("b", Act::Approve(1));
        for _ in 0..VERSIONS_MAX * 2 {
            act("a", propose());
        }
        assert_eq!(life.versions.len(), VERSIONS_MAX);
        assert!(life.versions.contains_key(&1), "it is in force");
    }
}
