//! Which providers to ask, in which order, and when to stop. Pure: functions of facts and `now`.
#![deny(clippy::wildcard_enum_match_arm)]

pub mod attempts;
pub mod breaker;
pub mod budget;
pub mod combination;
pub mod concordance;
pub mod spend;

use crate::domain::answer::Answer;
use crate::domain::element::ElementSet;
use crate::domain::id::Road;
use crate::domain::identity::IdType;
use crate::domain::kind::Kind;
use crate::domain::pan::AccountKind;
use crate::domain::payment::Scenario;
use combination::Side;
use std::num::NonZeroU32;

/// What the plan needs to know of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The house through which its answers come.
    pub road: Road,
    /// The registry behind its answers.
    pub source: Box<str>,
    /// What it is asked.
    pub asks: Kind,
    /// The element sets that it answers.
    pub sets: Vec<ElementSet>,
    /// The kinds of account that it answers for; any where empty.
    pub account_kinds: Vec<AccountKind>,
    /// The identity documents that it answers for; any where empty.
    pub id_types: Vec<IdType>,
    /// What the numbers of its cards begin with, at most the six digits that name the issuer; any where empty.
    pub bins: Vec<Box<str>>,
    /// The scenarios for which it is asked; any where empty.
    pub scenarios: Vec<Scenario>,
    /// Lower is asked first.
    pub priority: u32,
    /// Of those with one priority, how often it comes first.
    pub weight: NonZeroU32,
}

/// What is to be verified.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What is asked.
    pub asks: Kind,
    /// The elements.
    pub set: ElementSet,
    /// The card's kind, where there is a card.
    pub kind: Option<AccountKind>,
    /// The kind of document, where there is one.
    pub id_type: Option<IdType>,
    /// The first digits of the card, which name the issuer.
    pub bin: Option<&'a str>,
    /// What the message does.
    pub scenario: Scenario,
    /// Who vouches for them; anybody where absent.
    pub side: Option<Side>,
    /// The channel's own road.
    pub road: Option<&'a Road>,
    /// Random: who comes first of those that weigh alike.
    pub draw: u64,
}

/// Why a provider is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// It is asked other things.
    Kind,
    /// It does not answer the set.
    Set,
    /// It does not answer for the kind of card.
    AccountKind,
    /// It does not answer for the kind of document.
    IdType,
    /// It does not answer for the issuer.
    Bank,
    /// It is not asked in this scenario.
    Scenario,
    /// Its registry is on another side.
    Side,
}

/// Whom to ask, and why nobody else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Positions among the candidates, in the order in which to ask them.
    pub order: Vec<usize>,
    /// Everybody else.
    pub left_out: Vec<(usize, LeftOut)>,
}

impl Candidate {
    fn left_out(&self, wanted: &Wanted<'_>) -> Option<LeftOut> {
        fn takes<T: PartialEq>(known: &[T], one: Option<T>) -> bool {
            one.is_none_or(|one| known.is_empty() || known.contains(&one))
        }
        let begins = |bin: &str| self.bins.iter().any(|known| bin.starts_with(&**known));
        if self.asks != wanted.asks {
            Some(LeftOut::Kind)
        } else if !self.sets.contains(&wanted.set) {
            Some(LeftOut::Set)
        } else if !takes(&self.account_kinds, wanted.kind) {
            Some(LeftOut::AccountKind)
        } else if !takes(&self.id_types, wanted.id_type) {
            Some(LeftOut::IdType)
        } else if !(self.bins.is_empty() || wanted.bin.is_none_or(begins)) {
            Some(LeftOut::Bank)
        } else if !takes(&self.scenarios, Some(wanted.scenario)) {
            Some(LeftOut::Scenario)
        } else if wanted.side.is_some_and(|side| !side.takes(&self.source)) {
            Some(LeftOut::Side)
        } else {
            None
        }
    }
}

/// Who of `candidates` can answer, in the order in which to ask: those on the channel's own road first, whose answers agree with
/// the channel's most (affinity); then by priority; then by weight and draw.
pub fn plan<'a>(candidates: impl IntoIterator<Item = &'a Candidate>, wanted: &Wanted<'_>) -> Plan {
    let (mut able, mut left_out) = (Vec::new(), Vec::new());
    for (at, candidate) in candidates.into_iter().enumerate() {
        match candidate.left_out(wanted) {
            Some(why) => left_out.push((at, why)),
            None => able.push((at, candidate)),
        }
    }
    let rank = |candidate: &Candidate| (Some(&candidate.road) != wanted.road, candidate.priority);
    able.sort_by_key(|(_, candidate)| rank(candidate));
    let mut order = Vec::with_capacity(able.len());
    for alike in able.chunk_by(|(_, one), (_, other)| rank(one) == rank(other)) {
        order.extend(weighed(alike.to_vec(), wanted.draw));
    }
    Plan { order, left_out }
}

/// Each place goes to one of those that are left, by weight.
fn weighed(mut left: Vec<(usize, &Candidate)>, mut draw: u64) -> Vec<usize> {
    let mut order = Vec::with_capacity(left.len());
    let weight = |(_, candidate): &(usize, &Candidate)| u64::from(candidate.weight.get());
    loop {
        let all = left.iter().map(weight).fold(0, u64::saturating_add);
        let Some(mut drawn) = draw.checked_rem(all) else { return order };
        draw = draw.checked_div(all).unwrap_or_default();
        let chosen = left.iter().position(|one| {
            let chosen = drawn < weight(one);
            drawn = drawn.saturating_sub(weight(one));
            chosen
        });
        // What is drawn is below the sum of all weights.
        let (at, _) = left.remove(chosen.unwrap_or_default());
        order.push(at);
    }
}

/// Who may be asked after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nobody: the question is answered, or asking again would do harm.
    Nobody,
    /// Those behind another source: this one has spoken.
    OtherSource,
    /// Anybody, as far as the budget of retries allows: nothing was learned.
    Anybody,
}

/// Who may be asked after `answer`.
pub const fn next(answer: Answer) -> Next {
    match answer {
        Answer::Match
        | Answer::CloseMatch
        | Answer::NoMatch(_)
        | Answer::Limited
        | Answer::Invalid => Next::Nobody,
        Answer::NoRecord | Answer::NotPossible => Next::OtherSource,
        Answer::Unavailable => Next::Anybody,
    }
}

#[cfg(test)]
mod tests;
