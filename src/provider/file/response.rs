//! How a provider's file says what its answers mean.

use crate::provider::file::At;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JSON; places are its keys from the outside in, as `/data/result`.
    Json,
    /// A form with percent-encoding; codes are found by field names.
    Form,
    /// A form whose values stand as they are.
    RawForm,
    /// XML; places are its elements below the root, as `/result/code`.
    Xml,
}

/// What answers mean.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResponseFile {
    /// How the answer is written.
    pub format: At<Format>,
    /// What an XML answer is.
    pub xml: Option<At<XmlFile>>,
    /// The HTTP statuses under which the answer is read.
    #[serde(default = "only_ok")]
    pub statuses: Vec<u16>,
    /// What other statuses mean; those listed are not billed, those not listed are `unavailable` and uncertain.
    #[serde(default)]
    pub http: AnswersFile,
    /// The layers of the answer, from the envelope inwards.
    pub layers: At<Vec<LayerFile>>,
    /// Where the answer itself says whether it is billed.
    pub fee: Option<FeeFile>,
    /// Where the answer names the registry behind it.
    pub source: Option<SourceFile>,
    /// Where a face or liveness answer says how alike it is, and how much is enough.
    pub score: Option<At<ScoreFile>>,
    /// Where the elements are that were read from a document, each by its word. A code that means `match` is one only where all of
    /// them are there and are what they must be; else nothing was read: `not_possible`.
    pub read: Option<At<BTreeMap<At<String>, At<String>>>>,
}

fn only_ok() -> Vec<u16> {
    vec![200]
}

/// One layer of the answer, with its own code map.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerFile {
    /// Where its code is; of several places the codes are joined by `/`.
    pub code: At<Vec<At<String>>>,
    /// What it means when the code is not there.
    #[serde(default)]
    pub absent: Absent,
    /// The codes that leave the answer to the next layer.
    #[serde(default)]
    pub next: Vec<At<String>>,
    /// What the others mean. A code that is not listed is `unavailable`, counted, and perhaps billed.
    #[serde(default)]
    pub answers: AnswersFile,
    /// The codes that are billed; others with a meaning are not.
    #[serde(default)]
    pub billable: Vec<At<String>>,
    /// The codes of which nobody knows whether they are billed.
    #[serde(default)]
    pub uncertain: Vec<At<String>>,
}

/// What an absent code means.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Absent {
    /// The answer cannot be read.
    #[default]
    Unreadable,
    /// The next layer decides.
    Next,
}

/// Which codes mean which answer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnswersFile {
    /// All elements belong together.
    #[serde(rename = "match")]
    pub matches: Vec<At<String>>,
    /// They do but for a tolerated difference.
    pub close_match: Vec<At<String>>,
    /// They do not: each code with the elements that it names, an empty list where it names none.
    pub no_match: BTreeMap<At<String>, Vec<At<String>>>,
    /// The source has no such record.
    pub no_record: Vec<At<String>>,
    /// It cannot be answered: bank or card not supported, no phone on file, card state.
    pub not_possible: Vec<At<String>>,
    /// Asked too often.
    pub limited: Vec<At<String>>,
    /// An element's format was refused.
    pub invalid: Vec<At<String>>,
    /// A technical failure.
    pub unavailable: Vec<At<String>>,
}

/// Where the answer says whether it is billed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeeFile {
    /// Where the flag is.
    pub at: At<String>,
    /// The values that mean billed.
    pub yes: Vec<String>,
    /// The values that mean free.
    pub no: Vec<String>,
}

/// What an XML answer is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct XmlFile {
    /// The name of its root.
    pub root: At<String>,
    /// The namespace of all its elements; none where absent.
    pub namespace: Option<String>,
}

/// Where the answer names the registry behind it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Where the name is.
    pub at: At<String>,
    /// The provider's names and what they mean here, as `operator:cmcc`; others leave the definition's own source.
    pub names: BTreeMap<At<String>, At<String>>,
}

/// Where the answer says how alike things are: a number, of which more is more alike. A code that means `match` is one only where
/// the score is enough too; without a score it cannot be read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreFile {
    /// Where the number is.
    pub at: At<String>,
    /// From where on it is enough for a match.
    pub match_from: f64,
    /// From where on it is more than enough: the band is `high` then, and `middle` below that.
    pub high_from: f64,
}
