//! A provider's file as it is written: the protocol, the code map and what is billed. [`Definition::compile`] checks it.

pub(crate) mod auth;
pub(crate) mod response;

use crate::domain::element::{Element, ElementSet};
use crate::domain::kind::Kind;
use crate::provider::file::auth::AuthFile;
use crate::provider::file::response::ResponseFile;
use crate::provider::problem::{Place, Problem, Problems, did_you_mean};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, de};
use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Range};
use toml::Spanned;

/// A value and where it stands in its file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub struct At<T>(Spanned<T>);

impl<T> At<T> {
    /// The value.
    pub fn get(&self) -> &T {
        self.0.get_ref()
    }

    /// The bytes of the file where it stands.
    pub fn span(&self) -> Range<usize> {
        self.0.span()
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A verification provider, declaratively: how to ask it and what its answers mean.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The house through which its answers come, for affinity: the channel's own road is asked first.
    pub road: At<String>,
    /// The registry behind its answers: `police`, `bank`, `operator`, `operator:cmcc` …
    pub source: At<String>,
    /// What it is asked: `elements` where absent, `face`, `liveness`, `id_card`, `business`, `education`, `railway`. Who sells several kinds has a file for each.
    pub kind: Option<At<String>>,
    /// The kinds of account that it answers for.
    #[serde(default = "cards")]
    pub account_kinds: Vec<At<String>>,
    /// The identity documents that it answers for.
    #[serde(default = "resident_id")]
    pub id_types: Vec<At<String>>,
    /// The charset of requests and answers.
    #[serde(default)]
    pub charset: Charset,
    /// The element sets that it answers, each exactly.
    pub sets: At<Vec<SetFile>>,
    /// How to ask.
    pub request: RequestFile,
    /// How to prove who asks.
    pub auth: At<AuthFile>,
    /// Whether it asks who we are when the connection is made (mutual TLS): then the deployment needs a certificate of ours.
    #[serde(default)]
    pub client_certificate: bool,
    /// What its answers mean.
    pub response: ResponseFile,
}

fn words(words: &[&str]) -> Vec<At<String>> {
    words.iter().map(|word| At(Spanned::new(0..0, (*word).to_owned()))).collect()
}

fn cards() -> Vec<At<String>> {
    words(&["debit", "credit"])
}

fn resident_id() -> Vec<At<String>> {
    words(&["resident_id"])
}

/// A charset of requests and answers.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// GBK; a character outside it makes the inquiry `invalid`.
    #[serde(rename = "gbk")]
    Gbk,
    /// GB 18030, which has every character.
    #[serde(rename = "gb18030")]
    Gb18030,
}

/// An element set that the provider answers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetFile {
    /// Its elements.
    pub elements: At<Vec<At<String>>>,
    /// What templates see as `var.KEY` when this set is asked: a product number, say.
    #[serde(default)]
    pub vars: BTreeMap<At<String>, String>,
}

/// An HTTP method.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Elements go into the query.
    Get,
    /// Elements go into the body.
    #[default]
    Post,
}

/// How to ask. Texts are templates; a field whose template renders empty is left out.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestFile {
    /// The method.
    #[serde(default)]
    pub method: Method,
    /// The path, as it is sent.
    pub path: At<String>,
    /// Query parameters, sent sorted by name.
    #[serde(default)]
    pub query: BTreeMap<String, At<String>>,
    /// Headers; without a `content-type` here the body's own is sent.
    #[serde(default)]
    pub headers: BTreeMap<At<String>, At<String>>,
    /// A body of form fields, sent in the order of their names.
    pub form: Option<At<BTreeMap<String, At<String>>>>,
    /// A body of JSON: tables, lists, numbers and flags as they stand, texts as templates.
    pub json: Option<At<Node>>,
    /// A body of XML: one template, in which values are escaped.
    pub xml: Option<At<String>>,
}

/// JSON whose texts are templates.
#[derive(Clone, Debug)]
pub enum Node {
    /// A template.
    Text(String),
    /// A whole number.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// A list.
    List(Vec<At<Node>>),
    /// An object.
    Table(BTreeMap<String, At<Node>>),
}

impl JsonSchema for Node {
    fn schema_name() -> Cow<'static, str> {
        "JsonTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::from(true)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table, list, text, whole number or flag")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Node, E> {
                Ok(Node::Number(number))
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Node, E> {
                Ok(Node::Flag(flag))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Node::List(list))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
                let mut table = BTreeMap::new();
                while let Some((key, value)) = entries.next_entry()? {
                    table.insert(key, value);
                }
                Ok(Node::Table(table))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Definition {
    /// Reads a provider's file; what a parser can say about its shape. [`Definition::compile`] says the rest.
    ///
    /// # Errors
    /// The first [`Problem`] of syntax, key or type.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        toml::from_str(text).map_err(|error| Problem {
            place: Place::File(error.span().unwrap_or(0..0)),
            message: error.message().to_owned(),
            hint: None,
        })
    }
}

/// Reads words of a domain enumeration; unknown ones are problems.
pub(crate) fn read_words<T>(
    words: &[At<String>],
    read: impl Fn(&str) -> Option<T>,
    known: &[&str],
    problems: &mut Problems,
) -> Vec<T> {
    let mut values = Vec::with_capacity(words.len());
    for word in words {
        if let Some(value) = read(word.get()) {
            values.push(value);
        } else {
            let hint = did_you_mean(word.get(), known.iter().copied());
            problems.file(word.span(), format!("`{}` is not known here", word.get()), &hint);
        }
    }
    values
}

/// Reads what a provider is asked.
pub(crate) fn read_kind(word: Option<&At<String>>, problems: &mut Problems) -> Kind {
    let words = word.map(std::slice::from_ref).unwrap_or_default();
    let read = read_words(words, Kind::from_word, &Kind::ALL.map(Kind::as_str), problems);
    read.into_iter().next().unwrap_or_default()
}

/// Reads a list of elements as a set.
pub(crate) fn read_set(words: &[At<String>], problems: &mut Problems) -> ElementSet {
    let known = Element::ALL.map(Element::as_str);
    read_words(words, Element::from_word, &known, problems).into_iter().collect()
}
