//! Hindsight: what `enforce` refuses, or would have refused, beside what became of those payments. What leaves although it would be
//! refused, in `observe` or by a holdout, is the only place where that can be seen.

use crate::domain::answer::Answer;
use crate::domain::id::ChannelName;
use crate::domain::payment::{Mode, Scenario};
use crate::policy::hindsight::{Would, would};
use crate::policy::rules::{Action, Rules};

use crate::policy::{Effect, Policy};
use crate::service::backtest::{Fate, Sum};
use crate::store::Record;
use std::collections::{BTreeMap, BTreeSet};

/// What is counted together: a channel's payments of one kind, in one mode.
pub type Of = (ChannelName, Scenario, Mode);

/// What was, or would have been, refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Payments that were judged.
    pub judged: Sum,
    /// Those that are refused, or would have been, by what became of them.
    pub refused: BTreeMap<Fate, Sum>,
    /// Those of which that is not known, since nobody was asked, by what became of them.
    pub not_asked: BTreeMap<Fate, Sum>,
    /// Those that left as they should, and then failed for their elements.
    pub missed: Sum,
}

/// Hindsight on payments, by channel, scenario and mode.
#[derive(Debug)]
pub struct Hindsight {
    policy: Policy,
    /// The rules that refuse.
    refusing: BTreeSet<String>,
    seen: BTreeMap<Of, Seen>,
}

impl Hindsight {
    /// Nothing yet; what would be refused is by `policy` and `rules`, which are those of today.
    pub fn new(policy: Policy, rules: &Rules) -> Self {
        let refusing = rules.rules().iter().filter(|rule| rule.action == Action::Refuse);
        let refusing = refusing.map(|rule| rule.id.to_string()).collect();
        Self { policy, refusing, seen: BTreeMap::new() }
    }

    /// Looks at one payment.
    pub fn look(&mut self, record: &Record) {
        if !record.scenario.is_verified() || record.not_sent {
            return;
        }
        let fate = Fate::of(record);
        let would = self.would(record);
        let of = (record.channel.clone(), record.scenario, record.mode);
        let seen = self.seen.entry(of).or_default();
        seen.judged.add(record);
        match would {
            Would::Refuse => seen.refused.entry(fate).or_default().add(record),
            Would::Ask => seen.not_asked.entry(fate).or_default().add(record),
            Would::Leave if fate == Fate::Mismatch => seen.missed.add(record),
            Would::Leave => (),
        }
    }

    fn would(&self, record: &Record) -> Would {
        match (record.mode, record.effect) {
            (_, Effect::Refuse) => return Would::Refuse,
            (Mode::Enforce, _) if record.held_out.is_none() => return Would::Leave,
            (Mode::Enforce | Mode::Observe, _) => (),
        }
        let answer: Option<Answer> = record.verified.as_ref().map(|evidence| evidence.answer);
        let ruled = record.stakes.rules.as_ref();
        let ruled = ruled.is_some_and(|it| it.hits.iter().any(|hit| self.refusing.contains(hit)));
        would(&self.policy, record.scenario, &record.reasons, answer, ruled)
    }

    /// What was seen.
    pub const fn seen(&self) -> &BTreeMap<Of, Seen> {
        &self.seen
    }
}
