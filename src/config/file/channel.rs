//! `channels/*.toml`: a channel's protocol.

use super::statement::StatementFile;
use crate::config::read::At;
use crate::config::text::{Host, Label, MediaType, Name, RoutePath, Text};
use crate::crypto::signature::Hash;
use crate::domain::element::Element;
use crate::domain::identity::IdType;
use crate::domain::money::Unit;
use crate::domain::outcome::Arrival;
use crate::domain::pan::AccountKind;
use crate::domain::payment::Scenario;
use crate::message::path::Path;
use crate::message::profile::{Format, Place, Signed};
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// A path to a field.
pub(crate) type Field = Text<Path>;

/// A channel's profile.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ChannelFile {
    /// The channel's name.
    #[schemars(required)]
    pub(crate) name: Option<At<Text<Name>>>,
    /// The house that it belongs to; verification through the same house comes first.
    pub(crate) road: Option<Text<Name>>,
    /// The file of code maps, without `.toml`.
    pub(crate) codes: Option<At<String>>,
    /// Which requests are its messages.
    pub(crate) route: Vec<At<RouteFile>>,
    /// How requests are written.
    #[schemars(required)]
    pub(crate) request: Option<At<BodyFile>>,
    /// How answers are written.
    #[schemars(required)]
    pub(crate) answer: Option<At<BodyFile>>,
    /// Pairs of a field and its copy, such as one within sealed content: the copy says the same, or is absent.
    pub(crate) same: Vec<At<Vec<Field>>>,
    /// Its messages; the first that matches counts.
    pub(crate) message: Vec<At<MessageFile>>,
    /// Its notifications.
    pub(crate) notify: Option<At<NotifyFile>>,
    /// The files of its statement.
    pub(crate) statement: Vec<At<StatementFile>>,
    /// Whose word counts where arrivals disagree, the weightiest first: `statement`, `query`, `notify`, `sync` where absent.
    pub(crate) precedence: Option<At<Vec<Text<Arrival>>>>,
}

/// `[[route]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RouteFile {
    /// The host; any where absent.
    pub(crate) host: Option<Text<Host>>,
    /// What the path begins with.
    #[schemars(required)]
    pub(crate) path: Option<At<Text<RoutePath>>>,
}

/// How a body is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BodyFile {
    /// `form`, `pairs` (no percent encoding), `json`, `xml`, or `text` (to be unwrapped whole).
    #[schemars(required)]
    pub(crate) format: Option<Text<Format>>,
    /// XML: the name of the root; paths begin below it.
    pub(crate) root: Option<At<String>>,
    /// XML: the namespace of all elements; none where absent.
    pub(crate) namespace: Option<At<String>>,
    /// XML: what must follow the document, as a whole; white space only where absent.
    pub(crate) tail: Option<At<Text<Regex>>>,
    /// Its charset.
    pub(crate) charset: CharsetFile,
    /// The media types that carry it; any where empty.
    pub(crate) content_types: Vec<Text<MediaType>>,
    /// Fields with wrapped content, opened in this order.
    pub(crate) unwrap: Vec<At<UnwrapFile>>,
}

/// `charset = { field = …, default = … }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CharsetFile {
    /// The outermost field that names it.
    pub(crate) field: Option<At<Field>>,
    /// The charset where nothing names one; UTF-8 where absent.
    pub(crate) default: Option<Text<Label>>,
}

/// `{ at = …, steps = […] }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UnwrapFile {
    /// The field, or `*` for each text directly below the root; the whole body where absent.
    pub(crate) at: Option<Text<Place>>,
    /// What to do, in order.
    pub(crate) steps: Vec<At<StepFile>>,
}

/// One step of unwrapping.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepFile {
    /// Base64.
    Base64,
    /// Hexadecimal.
    Hex,
    /// Percent encoding, once more than the body's own.
    Percent,
    /// `{k=v&k=v}`
    BraceForm,
    /// JSON.
    Json,
    /// Sealed to the core alone.
    Sealed,
    /// Blocks sealed with a private RSA key; `hefu.toml` names the public key's file under this name.
    OpenBlocks(String),
}

/// `[[message]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MessageFile {
    /// What it is for.
    #[schemars(required)]
    pub(crate) scenario: Option<Text<Scenario>>,
    /// How it is sent: `POST` where absent; `GET` is read from the query.
    pub(crate) method: Option<At<String>>,
    /// The path that it comes on; any of the channel's where absent.
    pub(crate) path: Option<Text<RoutePath>>,
    /// Fields and the value, or one of the values, that they must have.
    pub(crate) when: BTreeMap<Field, OneOrMany>,
    /// A batch: where its rows are. Paths that begin with `./` are read in each row.
    pub(crate) rows: Option<Field>,
    /// A batch: the fields that name a row.
    pub(crate) row: Vec<Field>,
    /// The fields that name the order; of a batch, the batch.
    pub(crate) order: Vec<Field>,
    /// The field that names the core's merchant.
    pub(crate) merchant: Option<Field>,
    /// The amount.
    pub(crate) amount: Option<At<AmountFile>>,
    /// Where its elements are.
    pub(crate) elements: BTreeMap<At<Text<Element>>, Field>,
    /// Which document the identity number is of; a resident's where absent.
    pub(crate) id_type: Option<At<IdTypeFile>>,
    /// Which kind the account is; a debit card where absent.
    pub(crate) account_kind: Option<At<AccountKindFile>>,
    /// Elements that are sealed to the channel where a field is present.
    pub(crate) sealed: Vec<At<SealedFile>>,
    /// The agreement that it quotes.
    pub(crate) agreement: Option<Field>,
    /// Which elements its success proves, of those that it carries.
    pub(crate) checks: Vec<At<Text<Element>>>,
    /// A first step: under which key its elements wait for the next.
    pub(crate) remember: Option<At<WaitFile>>,
    /// A later step: under which key it finds what the first left.
    pub(crate) recall: Option<At<WaitFile>>,
    /// A refund or a void: the fields that name the order that it undoes, as that order's message does.
    pub(crate) undoes: Vec<Field>,
    /// A query: which kinds of payment it asks about; any that moves money where absent.
    pub(crate) of: Vec<At<Text<Scenario>>>,
    /// What its success yields.
    pub(crate) yields: Option<At<YieldsFile>>,
    /// Whether its success closes the agreement that it quotes.
    pub(crate) closes_agreement: Option<At<bool>>,
    /// How its answer is read.
    pub(crate) answer: Option<At<OutcomeFile>>,
}

/// One value, or several.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum OneOrMany {
    /// One.
    One(String),
    /// Any of these.
    Many(Vec<String>),
}

impl OneOrMany {
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }

    pub(crate) fn values(&self) -> Vec<String> {
        self.as_slice().to_vec()
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(OneOrMany::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(OneOrMany::Many)
            }
        }
        deserializer.deserialize_any(Values)
    }
}

/// `amount = { field = …, unit = … }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AmountFile {
    /// The field.
    #[schemars(required)]
    pub(crate) field: Option<Field>,
    /// `fen`, or `yuan` with at most two decimals, or `cny`: the same after `CNY`.
    #[schemars(required)]
    pub(crate) unit: Option<Text<Unit>>,
    /// Whether it may be absent: such payments quote an order that told the amount before.
    pub(crate) optional: bool,
}

/// `id_type = { field = …, values = { … } }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IdTypeFile {
    /// The field.
    #[schemars(required)]
    pub(crate) field: Option<Field>,
    /// The document of each code.
    pub(crate) values: BTreeMap<String, Text<IdType>>,
}

/// `account_kind = { field = …, values = { … } }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AccountKindFile {
    /// The field.
    #[schemars(required)]
    pub(crate) field: Option<Field>,
    /// The kind of each code.
    pub(crate) values: BTreeMap<String, Text<AccountKind>>,
}

/// `{ when = …, elements = […] }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SealedFile {
    /// The field whose presence says so.
    #[schemars(required)]
    pub(crate) when: Option<Field>,
    /// The elements.
    pub(crate) elements: Vec<Text<Element>>,
}

/// `{ key = […] }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WaitFile {
    /// The fields of the key.
    pub(crate) key: Vec<Field>,
}

/// `yields = { agreement = …, closes = "same_card" }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct YieldsFile {
    /// Where the answer tells the agreement.
    #[schemars(required)]
    pub(crate) agreement: Option<Field>,
    /// Which earlier agreements it closes.
    pub(crate) closes: Option<ClosesFile>,
}

/// Which earlier agreements a bind closes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClosesFile {
    /// Those of the same card and merchant.
    SameCard,
}

/// `answer = { code = …, map = …, outer = { … } }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OutcomeFile {
    /// The field with the code.
    #[schemars(required)]
    pub(crate) code: Option<Field>,
    /// The code map.
    #[schemars(required)]
    pub(crate) map: Option<At<String>>,
    /// An outer layer that must succeed first, or several from the outside in.
    pub(crate) outer: Option<At<OuterFile>>,
    /// Where the answer's rows are, if it tells the outcome row by row. Paths that begin with `./` are read in each.
    pub(crate) rows: Option<Field>,
    /// The fields that name a row, as in the message.
    pub(crate) row: Vec<Field>,
    /// Of a query: the fields by which the answer names the order as the payment's own message does, where the query names it otherwise.
    pub(crate) order: Vec<Field>,
    /// Of a query: the amount of the payment that is asked about, where the answer tells it. Another one than the payment's is not believed.
    pub(crate) amount: Option<At<AmountFile>>,
}

/// One layer, or several.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum OuterFile {
    /// One.
    One(LayerFile),
    /// From the outside in.
    Many(Vec<LayerFile>),
}

impl OuterFile {
    pub(crate) fn layers(&self) -> &[LayerFile] {
        match self {
            Self::One(layer) => std::slice::from_ref(layer),
            Self::Many(layers) => layers,
        }
    }
}

impl<'de> Deserialize<'de> for OuterFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Layers;
        impl<'de> Visitor<'de> for Layers {
            type Value = OuterFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`{ code = …, map = … }`, or a list of such layers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(OuterFile::Many)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                LayerFile::deserialize(MapAccessDeserializer::new(map)).map(OuterFile::One)
            }
        }
        deserializer.deserialize_any(Layers)
    }
}

/// `{ code = …, map = … }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LayerFile {
    /// The field with the code.
    #[schemars(required)]
    pub(crate) code: Option<Field>,
    /// The code map.
    #[schemars(required)]
    pub(crate) map: Option<At<String>>,
}

/// `[notify]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NotifyFile {
    /// What the path begins with, on the notify listener.
    #[schemars(required)]
    pub(crate) path: Option<At<Text<RoutePath>>>,
    /// How notifications are written; as requests where absent. A `GET` is read from its query.
    pub(crate) body: Option<At<BodyFile>>,
    /// What they tell; the first that matches counts.
    pub(crate) message: Vec<At<NotificationFile>>,
    /// The body by which the core acknowledges what it verified, where it is distinctive.
    pub(crate) acknowledged: Option<At<String>>,
    /// The signature that proves that they are the channel's.
    pub(crate) signature: Option<At<SignatureFile>>,
    /// Or the field whose content, opened with a pinned key, proves it.
    pub(crate) opened: Option<At<Field>>,
}

/// `[[notify.message]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NotificationFile {
    /// Which kinds of payment it tells of; any that moves money where absent.
    pub(crate) scenario: Vec<At<Text<Scenario>>>,
    /// Fields and the value, or one of the values, that they must have.
    pub(crate) when: BTreeMap<Field, OneOrMany>,
    /// The fields that name the order, as in the message that it tells of.
    pub(crate) order: Vec<Field>,
    /// The field that names the core's merchant.
    pub(crate) merchant: Option<Field>,
    /// The amount: another one than the payment's is not believed.
    pub(crate) amount: Option<At<AmountFile>>,
    /// How the outcome is read; where it is absent, it tells nothing of a payment.
    pub(crate) answer: Option<At<OutcomeFile>>,
}

/// `signature = { kind = …, over = …, at = …, key = … }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SignatureFile {
    /// RSA (PKCS#1 v1.5), by its hash: `rsa_sha256`, `rsa_sha1` or `rsa_md5`.
    #[schemars(required)]
    pub(crate) kind: Option<Text<Hash>>,
    /// What is signed: `sorted_pairs` of a form but for the signature, `sorted_pairs_sha256_hex`, `body` or `body_md5_hex`.
    #[schemars(required)]
    pub(crate) over: Option<Text<Signed>>,
    /// Where it is, in base64: a field, or `@header`.
    #[schemars(required)]
    pub(crate) at: Option<Field>,
    /// The key, or keys while one follows the other; `hefu.toml` names their files. Without a file nothing is proved.
    #[schemars(required)]
    pub(crate) key: Option<OneOrMany>,
}
