//! `codes/*.toml`: what result codes mean.

use crate::config::read::At;
use crate::config::text::Text;
use crate::domain::element::Element;
use crate::domain::outcome::Decline;
use crate::message::path::Path;
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A file of code maps, by name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct CodesFile(pub(crate) BTreeMap<At<String>, At<MapFile>>);

/// One code map.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MapFile {
    /// The map whose codes hold here too, where this one says nothing else.
    pub(crate) like: Option<At<String>>,
    /// Taken for processing; accepted is not paid.
    pub(crate) accepted: Vec<At<String>>,
    /// Done.
    pub(crate) succeeded: Vec<At<String>>,
    /// Neither success nor failure: it must be asked.
    pub(crate) unknown: Vec<At<String>>,
    /// Done, and undone since.
    pub(crate) reversed: Vec<At<String>>,
    /// The elements do not belong together.
    pub(crate) no_match: BTreeMap<At<String>, At<SuspectsFile>>,
    /// Certainly not done, for another reason.
    pub(crate) declined: BTreeMap<At<String>, Text<Decline>>,
    /// The channel knows of no such order.
    pub(crate) not_processed: Option<At<NotProcessedFile>>,
    /// Where the channel says it in words: tried in order where a code is unmapped or only says `other`.
    pub(crate) text: Vec<At<TextFile>>,
}

/// Codes that say that nothing was processed, believed only some time after the message.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NotProcessedFile {
    /// The codes.
    pub(crate) codes: Vec<At<String>>,
    /// Before this they mean "not yet".
    #[schemars(required)]
    pub(crate) after: Option<Text<Duration>>,
}

/// An outcome told in words: exactly one of `no_match` and `declined`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TextFile {
    /// The field with the words.
    #[schemars(required)]
    pub(crate) field: Option<Text<Path>>,
    /// What they match.
    #[schemars(required)]
    pub(crate) matches: Option<Text<Regex>>,
    /// The elements do not belong together.
    pub(crate) no_match: Option<At<SuspectsFile>>,
    /// Certainly not done, for another reason.
    pub(crate) declined: Option<Text<Decline>>,
}

/// The elements that a `no_match` points at.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum SuspectsFile {
    /// The channel names these.
    Named(Vec<Text<Element>>),
    /// One of these; the channel does not say which.
    OneOf(OneOfFile),
}

/// `{ one_of = […] }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneOfFile {
    /// The suspects.
    #[serde(default)]
    pub(crate) one_of: Vec<Text<Element>>,
}

impl<'de> Deserialize<'de> for SuspectsFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Suspects;
        impl<'de> Visitor<'de> for Suspects {
            type Value = SuspectsFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of elements, or `{ one_of = [\"name\", \"phone\"] }`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(SuspectsFile::Named)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                OneOfFile::deserialize(MapAccessDeserializer::new(map)).map(SuspectsFile::OneOf)
            }
        }
        deserializer.deserialize_any(Suspects)
    }
}
