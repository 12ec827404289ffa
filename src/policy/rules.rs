//! Rules: what the risk team sets. Conditions in CEL's syntax over a typed catalogue, checked when they are loaded, compiled to
//! slots; every rule is always evaluated, and a fixed priority between actions, not an order, makes the verdict.

pub mod attribute;
mod bounds;
mod compile;
pub mod explain;
pub mod given;
pub mod life;
pub mod list;
pub mod mistake;
mod node;
mod parts;
mod set;
mod slip;
mod syntax;
#[cfg(test)]
mod tests;

pub use attribute::{Attribute, Holds};
pub use compile::Names;
pub use given::{Given, Input, Value};
pub use list::List;
pub use mistake::{Mistake, What};
pub use node::Fault;
pub use set::{Defect, Draft, Flaw, Hit, Rules, Verdict};

use crate::domain::clock::Timestamp;
use compile::Condition;
use parts::Shape;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A set of rules with the lists that it looks into: one snapshot, by which a message is judged whole.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// The rules.
    pub rules: Rules,
    /// The lists, by name.
    pub lists: BTreeMap<String, List>,
    /// The banks' names, by what their cards begin with.
    pub banks: BTreeMap<Box<str>, Box<str>>,
}

/// A rule's name: a metric's label, a header's parameter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RuleId(Arc<str>);

impl RuleId {
    /// Reads 1 to 64 lower-case letters, digits and dashes, a letter first.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        (begins && text.len() <= 64 && text.bytes().all(fits)).then(|| Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<RuleId> for String {
    fn from(id: RuleId) -> Self {
        id.0.as_ref().into()
    }
}

/// A text is not a rule's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rule's name has 1 to 64 lower-case letters, digits and dashes, a letter first")]
pub struct NoRuleId;

impl TryFrom<String> for RuleId {
    type Error = NoRuleId;

    fn try_from(text: String) -> Result<Self, NoRuleId> {
        Self::parse(&text).ok_or(NoRuleId)
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// What a rule does, the strongest first: one rule can never open what another closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The payment is not forwarded.
    Refuse,
    /// It is forwarded only where a `match` stands behind it.
    RequireVerification,
    /// It is forwarded, and the core is told.
    Annotate,
    /// It is forwarded where policy would refuse it for a reason that policy lets rules lift.
    Permit,
}

impl Action {
    /// Every action, the strongest first.
    pub const ALL: [Self; 4] =
        [Self::Refuse, Self::RequireVerification, Self::Annotate, Self::Permit];

    /// The word used in configuration and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::RequireVerification => "require_verification",
            Self::Annotate => "annotate",
            Self::Permit => "permit",
        }
    }

    /// Reads the configuration word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

/// How far a rule is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Checked, and not evaluated.
    #[default]
    Draft,
    /// Evaluated and counted, and binds nothing.
    Shadow,
    /// Binds this percentage (1 to 99) of orders, and is a shadow for the rest.
    Canary(u8),
    /// Binds.
    Live,
    /// Over; kept for the record.
    Retired,
}

impl State {
    /// Whether it is evaluated.
    pub const fn is_evaluated(self) -> bool {
        match self {
            Self::Shadow | Self::Canary(_) | Self::Live => true,
            Self::Draft | Self::Retired => false,
        }
    }

    /// The word used in configuration and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Shadow => "shadow",
            Self::Canary(_) => "canary",
            Self::Live => "live",
            Self::Retired => "retired",
        }
    }
}

/// What a rule does that cannot be evaluated. It is counted in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Nothing.
    #[default]
    Skip,
    /// What it does where it hits.
    Apply,
}

/// When a rule applies, by China's clock: on these days, from one minute of the day to before another, past midnight where the
/// second is the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Monday first.
    pub days: [bool; 7],
    /// From this minute of the day.
    pub from: i64,
    /// To before this one.
    pub to: i64,
}

impl Schedule {
    fn is_on(&self, given: &Given<'_>) -> bool {
        let (Value::Number(minute), Value::Number(weekday)) =
            (given.get(Attribute::Minute), given.get(Attribute::Weekday))
        else {
            return true;
        };
        let day = |weekday: i64| {
            let at = usize::try_from(weekday.saturating_sub(1).rem_euclid(7)).unwrap_or_default();
            self.days.get(at).copied().unwrap_or(true)
        };
        if self.from < self.to {
            return day(weekday) && (self.from..self.to).contains(&minute);
        }
        // What began yesterday goes on past midnight.
        (minute >= self.from && day(weekday))
            || (minute < self.to && day(weekday.saturating_sub(1)))
    }
}

/// A rule, checked and compiled.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub id: RuleId,
    /// What people call it.
    pub name: Box<str>,
    /// What it does.
    pub action: Action,
    /// How far it is.
    pub state: State,
    /// The reason that a core is told.
    pub reason: Box<str>,
    /// Who answers for it.
    pub owner: Box<str>,
    /// When it applies.
    pub schedule: Option<Schedule>,
    /// From when on it applies no more.
    pub expires: Option<Timestamp>,
    /// What it does that cannot be evaluated.
    pub on_error: OnError,
    /// Its condition as written.
    pub source: Box<str>,
    /// Until when it is let sleep: counted, and binding nothing.
    pub asleep: Option<Timestamp>,
    condition: Condition,
    /// The same, of parts of its set.
    shape: Shape,
}

impl Rule {
    /// Whether it applies at all at that time.
    fn applies(&self, given: &Given<'_>) -> bool {
        self.schedule.is_none_or(|schedule| schedule.is_on(given))
            && self.expires.is_none_or(|expires| given.at < expires)
    }

    /// Whether its condition holds.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn holds(&self, given: &Given<'_>) -> Result<bool, Fault> {
        self.condition.test.holds(given)
    }
}
