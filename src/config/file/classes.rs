//! `classes.toml`: what bears the class of an account, and what it may pay. Dated: regulation changes, and old days are told by old rules.

use crate::config::file::Time;
use crate::config::file::calendar::Day;
use crate::config::read::At;
use crate::config::text::Text;
use crate::domain::account::Purpose;
use crate::policy::Effect;
use crate::tier::rules::{AccountNeeded, Counts};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `classes.toml`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ClassesFile {
    /// What a second of a person's waiting costs, when sources are chosen.
    pub(in crate::config) second_fen: Option<At<u64>>,
    /// What becomes of what the rules have something against.
    pub(in crate::config) flagged: FlaggedFile,
    /// The rules, each from a day on.
    pub(in crate::config) edition: Vec<At<EditionFile>>,
}

/// `[flagged]`: `refuse`, or `annotate` to let it pass with a flag.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct FlaggedFile {
    /// A person opens more accounts than one may have.
    pub(in crate::config) second_account: Option<Text<Effect>>,
    /// A person's account becomes of class III, and they have as many as one may have.
    pub(in crate::config) second_class_three: Option<Text<Effect>>,
    /// A phone number is told by more persons than it may be of.
    pub(in crate::config) shared_phone: Option<Text<Effect>>,
    /// A payment that the core marks as funded by balance is more than that may pay, or for something else, or of no open account.
    pub(in crate::config) over_limit: Option<Text<Effect>>,
}

/// `[[edition]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct EditionFile {
    /// Its first day, by China's calendar.
    #[schemars(required)]
    pub(in crate::config) from: Option<At<Text<Day>>>,
    /// What it rests on: a regulation and its articles. It stands in every record.
    #[schemars(required)]
    pub(in crate::config) basis: Option<At<String>>,
    /// How long before a class lapses somebody is told.
    pub(in crate::config) notice: Option<Time>,
    /// How many accounts one person may have.
    pub(in crate::config) accounts: Option<At<u32>>,
    /// How many of them may be of class III.
    pub(in crate::config) class_three: Option<At<u32>>,
    /// Of how many persons one phone number may be.
    pub(in crate::config) persons_a_phone: Option<At<u32>>,
    /// What each class needs and allows: `I`, `II`, `III`.
    #[schemars(required)]
    pub(in crate::config) class: BTreeMap<At<String>, At<TermsFile>>,
    /// What may be paid within a day.
    pub(in crate::config) daily: DailyFile,
    /// The sources, by family. No other counts.
    #[schemars(required)]
    pub(in crate::config) source: BTreeMap<At<String>, At<FamilyFile>>,
}

/// `[edition.class.NAME]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct TermsFile {
    /// How many distinct sources it takes.
    #[schemars(required)]
    pub(in crate::config) sources: Option<At<u32>>,
    /// Whether to have met the person is enough.
    pub(in crate::config) face_to_face: Option<bool>,
    /// What balance may be used for.
    #[schemars(required)]
    pub(in crate::config) purposes: Option<At<Vec<Text<Purpose>>>>,
    /// What may be paid since the first account was opened; without bounds where absent.
    pub(in crate::config) lifetime_fen: Option<At<u64>>,
    /// What may be paid within a year of China's calendar; without bounds where absent.
    pub(in crate::config) yearly_fen: Option<At<u64>>,
    /// What those two do not count.
    pub(in crate::config) excludes: Vec<Text<Purpose>>,
}

/// `[edition.daily]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct DailyFile {
    /// Authenticated by fewer than two factors; without bounds where absent.
    pub(in crate::config) weak_fen: Option<At<u64>>,
    /// By two factors, none of which is a digital certificate or an electronic signature.
    pub(in crate::config) two_factors_fen: Option<At<u64>>,
    /// By two factors, and one of them is.
    pub(in crate::config) certificate_fen: Option<At<u64>>,
    /// What they do not count.
    pub(in crate::config) excludes: Vec<Text<Purpose>>,
}

/// `[edition.source.NAME]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct FamilyFile {
    /// `once`: all its members count once; `each`: every member counts; `never`: it is known, and no lawful channel.
    #[schemars(required)]
    pub(in crate::config) counts: Option<Text<Counts>>,
    /// How long its word counts; for good where absent.
    pub(in crate::config) valid_for: Option<Time>,
    /// Which bank account must have been checked; `any` where absent.
    pub(in crate::config) account: Option<Text<AccountNeeded>>,
}
