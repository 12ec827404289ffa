//! Code maps: what a channel's result codes mean.

use crate::domain::outcome::Outcome;
use crate::message::path::Path;
use regex::Regex;
use std::collections::BTreeMap;

/// A map from codes, and where codes say too little from words, to outcomes.
#[derive(Clone, Debug, Default)]
pub struct CodeMap {
    /// By exact code.
    pub codes: BTreeMap<String, Outcome>,
    /// Tried in order where the code is unmapped or says no more than "declined".
    pub texts: Vec<TextRule>,
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
