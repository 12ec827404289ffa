//! `[routing]` and `[holdout]` of `policy.toml`.

use crate::config::read::At;
use crate::config::text::{StrategyWord, Text};
use schemars::JsonSchema;
use serde::Deserialize;

/// `[routing]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RoutingFile {
    /// Who is asked first: by `priority`, or whoever is expected to cost least by `concordance`.
    pub(in crate::config) strategy: Option<Text<StrategyWord>>,
    /// What a mismatch costs.
    pub(in crate::config) mismatch_fen: Option<At<u64>>,
    /// What a second of waiting costs.
    pub(in crate::config) second_fen: Option<At<u64>>,
    /// For how many of a hundred questions chance decides who is asked first; more while it is in doubt who is best.
    pub(in crate::config) explore_percent: Option<At<u32>>,
    /// A provider whose word the channel surely bears out less often than this is asked last; none where 0.
    pub(in crate::config) lower_below_percent: Option<At<u32>>,
}

/// `[holdout]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct HoldoutFile {
    /// Which share of what verification alone refuses leaves all the same, from 0 to 0.1.
    pub(in crate::config) share: Option<At<f64>>,
    /// Who answers for that; there is no holdout without a name.
    pub(in crate::config) approved_by: Option<At<String>>,
}
