//! Why rules said of a payment what they said: from what was recorded where that is the same set, else from what is known now.

use super::{Kept, Rulebook, Seen};
use crate::policy::Reason;
use crate::policy::rules::explain::Part;
use crate::policy::rules::{Attribute, Fault, Given, Input, Rule, Value};
use crate::store::{Record, Ruled};

/// What a set says of a recorded payment, and what of that is known from then.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Whether this is the set by which it was judged, and all that it saw is what it saw then.
    pub as_decided: bool,
    /// What was looked up for this and not then: lists as they are, windows as they are counted.
    pub looked_up: Vec<String>,
    /// What rules of the set read or have looked up, and nobody knows any more.
    pub not_kept: Vec<String>,
    /// The rules, in the order of the set.
    pub rules: Vec<Explained>,
}

/// What a rule says of a payment, and why.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The rule.
    pub id: String,
    /// Whether it holds.
    pub came: Result<bool, Fault>,
    /// What it did then, where this is the set by which it was judged: `bound`, `shadow`, `error` or `nothing`.
    pub did: Option<&'static str>,
    /// Its conditions.
    pub parts: Vec<Part>,
}

impl Rulebook {
    /// Whether this is the set that judged, whole.
    pub fn judged(&self, ruled: &Ruled) -> bool {
        let set = &self.book.rules;
        (&*set.version, set.trial) == (&*ruled.set, ruled.trial)
            && set.inputs().len() == ruled.inputs.len()
    }

    /// What each rule said of a recorded payment, condition by condition, if this is the set that judged it; else what it says.
    pub fn explain(&self, record: &Record) -> Explanation {
        let ruled = record.stakes.rules.as_deref().filter(|ruled| self.judged(ruled));
        let Some(ruled) = ruled else { return self.explain_now(record) };
        let mut seen = Seen::recorded(record);
        // What was asked for then and is not there was not there.
        if self.asks_for_concordance() {
            seen.concordance = Kept::Known(ruled.concordance);
        }
        // A provider was asked afterwards: rules did not see its answer.
        if record.reasons.contains(&Reason::NotAsked) {
            (seen.verified, seen.answer) = (None, None);
        }
        self.explain_by(&seen, &ruled.inputs, Some(ruled))
    }

    /// What each rule says of a recorded payment with what is looked up now.
    pub fn explain_now(&self, record: &Record) -> Explanation {
        let seen = Seen::recorded(record);
        self.explain_by(&seen, &self.look_up(&seen), None)
    }

    /// What rules of the set read or have looked up, and nobody knows any more.
    pub(crate) fn lacking(&self, given: &Given<'_>) -> impl Iterator<Item = String> {
        let rules = &self.book.rules;
        let inputs = rules.inputs().iter().zip(given.inputs).filter(|(_, value)| value.is_none());
        let unknown = move |attribute: &Attribute| {
            rules.reads(*attribute) && given.get(*attribute) == Value::Unknown
        };
        let attributes = Attribute::ALL.into_iter().filter(unknown).map(|it| it.to_string());
        attributes.chain(inputs.map(|(input, _)| input.to_string()))
    }

    fn explain_by(
        &self,
        seen: &Seen<'_>,
        inputs: &[Option<i64>],
        ruled: Option<&Ruled>,
    ) -> Explanation {
        let (given, set) = (seen.given(&self.book).with(inputs), &self.book.rules);
        let explain = |rule: &Rule| {
            let id = rule.id.to_string();
            let did = ruled.map(|ruled| did(ruled, &id));
            let (came, parts) = (rule.holds(&given), rule.explain(&given, set.inputs()));
            Explained { id, came, did, parts }
        };
        let looked_up = set.inputs().iter().filter(|_| ruled.is_none()).map(Input::to_string);
        Explanation {
            as_decided: ruled.is_some(),
            looked_up: looked_up.collect(),
            not_kept: self.lacking(&given).collect(),
            rules: set.rules().iter().map(explain).collect(),
        }
    }
}

fn did(ruled: &Ruled, rule: &str) -> &'static str {
    let is_in = |of: &[String]| of.iter().any(|id| id == rule);
    if is_in(&ruled.hits) {
        "bound"
    } else if is_in(&ruled.shadows) {
        "shadow"
    } else if is_in(&ruled.faults) {
        "error"
    } else {
        "nothing"
    }
}
