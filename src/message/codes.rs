//! Code maps: what a channel's result codes mean.

use crate::domain::outcome::Outcome;
use crate::message::path::Path;
use regex::Regex;
use std::collections::BTreeMap;
use std::time::Duration;

/// A map from codes, and where codes say too little from words, to outcomes.
#[derive(Clone, Debug, Default)]
pub struct CodeMap {
    /// By exact code.
    pub codes: BTreeMap<String, Outcome>,
    /// By how a code begins, where no exact code is told; the longest beginning counts.
    pub prefixes: BTreeMap<String, Outcome>,
    /// Tried in order where the code is unmapped or says no more than "declined".
    pub texts: Vec<TextRule>,
    /// How old a payment must be before "not processed" is believed; before, it means "not yet".
    pub not_processed_after: Option<Duration>,
}

impl CodeMap {
    /// What `code` means; [`Outcome::Unmapped`] where the map does not say.
    pub fn outcome(&self, code: &str) -> Outcome {
        let begins = || {
            let fits = self.prefixes.iter().filter(|(prefix, _)| code.starts_with(prefix.as_str()));
            fits.max_by_key(|(prefix, _)| prefix.len()).map(|(_, outcome)| outcome)
        };
        self.codes.get(code).or_else(begins).copied().unwrap_or(Outcome::Unmapped)
    }
}

/// An outcome told in words.
#[derive(Clone, Debug)]
pub struct TextRule {
    /// The field with the words.
    pub field: Path,
    /// What they match; linear-time by construction of the engine.
    pub matches: Regex,
    /// What that means.
    pub outcome: Outcome,
}
