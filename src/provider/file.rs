//! A provider's file as it is written: the protocol, the code map and what is billed. [`Definition::compile`] checks it.

use crate::domain::element::{Element, ElementSet};
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

/// How to prove who asks; each kind is named by its mechanism.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthFile {
    /// A secret in a header.
    StaticHeader(StaticHeaderFile),
    /// An HMAC-SHA256 over a canonical form of the request, in `Authorization`.
    CanonicalRequestHmac(CanonicalRequestHmacFile),
    /// RSA with SHA-256 over the hex SHA-256 of the sorted form fields, in a field.
    SortedFormRsaSha256(SortedFormRsaSha256File),
}

/// A secret in a header.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticHeaderFile {
    /// The header.
    pub header: At<String>,
    /// Its value, with `{secret}` where the secret goes.
    pub value: At<String>,
    /// Which of the deployment's secrets it is.
    pub secret: String,
}

/// An HMAC over a canonical form of the request.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CanonicalRequestHmacFile {
    /// The name of the algorithm: the first word of `Authorization` and the first line of what is signed.
    pub algorithm: At<String>,
    /// Our public key id, a template.
    pub key_id: At<String>,
    /// Which of the deployment's secrets signs.
    pub secret: String,
    /// The headers that are signed; they must be sent, or be `host`.
    pub signed_headers: Vec<At<String>>,
    /// Whether the values of signed headers are put in lower case.
    #[serde(default)]
    pub lowercase_values: bool,
    /// The header that carries the hex SHA-256 of the body.
    pub content_hash_header: Option<At<String>>,
    /// What separates the parts of `Authorization`.
    #[serde(default = "comma_space")]
    pub separator: At<String>,
    /// How the signing key is derived; without it the secret signs, and neither instant nor scope is signed.
    pub derive: Option<DeriveFile>,
}

fn comma_space() -> At<String> {
    At(Spanned::new(0..0, ", ".to_owned()))
}

/// A chain of HMACs from the secret to the signing key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeriveFile {
    /// What stands before the secret in the first key.
    #[serde(default)]
    pub prefix: String,
    /// The steps, templates; joined by `/` they are the scope.
    pub chain: Vec<At<String>>,
    /// The instant that is signed, a template.
    pub timestamp: At<String>,
}

/// A signature over sorted form fields.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SortedFormRsaSha256File {
    /// The field that carries the signature, here and in the answer.
    pub field: At<String>,
    /// Which of the deployment's secrets is our private key (PEM).
    pub secret: String,
    /// Which of them is the provider's public key or certificate (PEM); where deployed, answers must verify under it.
    pub verify: Option<String>,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JSON; codes are found by JSON pointers.
    Json,
    /// A form with percent-encoding; codes are found by field names.
    Form,
    /// A form whose values stand as they are.
    RawForm,
}

/// What answers mean.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResponseFile {
    /// How the answer is written.
    pub format: Format,
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

/// Reads a list of elements as a set.
pub(crate) fn read_set(words: &[At<String>], problems: &mut Problems) -> ElementSet {
    let known = Element::ALL.map(Element::as_str);
    read_words(words, Element::from_word, &known, problems).into_iter().collect()
}
