//! `rules/*.toml`: the risk team's rules, and the lists that they look into.

use super::Time;
use crate::config::problem::suggest;
use crate::config::read::At;
use crate::config::text::{Meaning, Text};
use crate::domain::clock::Timestamp;
use crate::policy::Reason;
use crate::policy::rules::{Action, Holds, OnError, RuleId};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `rules/*.toml`: rules, and the lists that they look into.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RulesFile {
    /// The rules; their order means nothing.
    pub(in crate::config) rule: Vec<At<RuleFile>>,
    /// The lists.
    pub(in crate::config) list: Vec<At<ListFile>>,
    /// The banks.
    pub(in crate::config) bank: Vec<At<BankFile>>,
}

/// `[[bank]]`: what a bank is called in rules, as `card.bank`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct BankFile {
    /// Its name.
    #[schemars(required)]
    pub(in crate::config) name: Option<At<String>>,
    /// What its card numbers begin with: six digits each.
    #[schemars(required)]
    pub(in crate::config) bins: Option<At<Vec<At<String>>>>,
}

/// `[[rule]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RuleFile {
    /// Its name: lower-case letters, digits and dashes. Metrics, headers and records name it so.
    #[schemars(required)]
    pub(in crate::config) id: Option<At<Text<RuleId>>>,
    /// What people call it.
    pub(in crate::config) name: Option<String>,
    /// What it does: `refuse`, `require_verification`, `annotate` or `permit`.
    #[schemars(required)]
    pub(in crate::config) action: Option<At<Text<Action>>>,
    /// The condition, in CEL.
    #[schemars(required)]
    pub(in crate::config) when: Option<At<String>>,
    /// How far it is: `"draft"`, `"shadow"`, `{ canary = PERCENT }`, `"live"` or `"retired"`.
    pub(in crate::config) state: Option<StateFile>,
    /// The reason that a core is told; the rule's name where absent.
    pub(in crate::config) reason: Option<At<String>>,
    /// Who answers for it.
    #[schemars(required)]
    pub(in crate::config) owner: Option<At<String>>,
    /// When it applies, by China's clock; always where absent.
    pub(in crate::config) schedule: Option<At<ScheduleFile>>,
    /// From when on it applies no more.
    pub(in crate::config) expires: Option<At<Text<Timestamp>>>,
    /// What it does where it cannot be evaluated: `skip` (default) or `apply`. It is counted in any case.
    pub(in crate::config) on_error: Option<Text<OnError>>,
    /// Payments that it must hit or leave alone.
    pub(in crate::config) example: Vec<At<ExampleFile>>,
}

/// How far a rule is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum StateFile {
    /// Checked, and not evaluated.
    Draft,
    /// Evaluated and counted, and binds nothing.
    Shadow,
    /// Binds for this percentage of orders.
    Canary(At<u8>),
    /// Binds.
    Live,
    /// Over; kept for the record.
    Retired,
}

/// When a rule applies.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ScheduleFile {
    /// From this time of the day on: `"22:00"`.
    pub(in crate::config) from: Option<At<String>>,
    /// To before this one; past midnight where it is the earlier.
    pub(in crate::config) to: Option<At<String>>,
    /// On these days: `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`; on all where absent.
    pub(in crate::config) days: Option<Vec<At<String>>>,
}

/// A payment that a rule must hit or leave alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ExampleFile {
    /// What is given of it: attributes, and what is looked up, as they are written in rules.
    pub(in crate::config) given: BTreeMap<At<String>, GivenFile>,
    /// Whether the rule must hit it.
    #[schemars(required)]
    pub(in crate::config) hits: Option<bool>,
}

/// A value of an example.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum GivenFile {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
}

/// `[[list]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ListFile {
    /// Its name in rules. Its entries stand in `rules/lists/NAME.csv`.
    #[schemars(required)]
    pub(in crate::config) name: Option<At<String>>,
    /// What it holds: `bin`, `merchant`, `agreement`, `card`, `person` or `phone`.
    #[schemars(required)]
    pub(in crate::config) holds: Option<At<Text<Holds>>>,
    /// How long an entry stands that has no end of its own; for ever where absent.
    pub(in crate::config) expiry: Option<Time>,
}

/// Words that policy knows.
macro_rules! words {
    ($type:ty, $what:literal, $all:expr) => {
        impl Meaning for $type {
            const WHAT: &'static str = $what;

            fn words() -> Vec<&'static str> {
                $all.into_iter().map(|(word, _)| word).collect()
            }

            fn read(text: &str) -> Result<Self, String> {
                let found = $all.into_iter().find(|(word, _)| *word == text);
                found.map(|(_, value)| value).ok_or_else(|| suggest(text, Self::words()))
            }
        }
    };
}

words!(Action, "an action", Action::ALL.map(|action| (action.as_str(), action)));
words!(Holds, "what a list holds", Holds::ALL.map(|holds| (holds.as_str(), holds)));
words!(OnError, "what is done on an error", [("skip", OnError::Skip), ("apply", OnError::Apply)]);
words!(Reason, "a reason that a rule can lift", LIFTABLE.map(|reason| (reason.as_str(), reason)));

/// What a rule may lift where policy lets it: what says that nothing is known, never what says that something is wrong.
const LIFTABLE: [Reason; 9] = [
    Reason::Sealed,
    Reason::ElementsMissing,
    Reason::NoRecord,
    Reason::NotPossible,
    Reason::Limited,
    Reason::Unavailable,
    Reason::NotAsked,
    Reason::NobodyCan,
    Reason::AgreementUnknown,
];

impl Meaning for RuleId {
    const WHAT: &'static str = "a rule's name";

    fn read(text: &str) -> Result<Self, String> {
        let hint = "1 to 64 lower-case letters, digits and dashes, a letter first";
        Self::parse(text).ok_or_else(|| hint.to_owned())
    }
}
