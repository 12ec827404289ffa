//! A channel's profile, checked: where its messages keep their fields. Made by `config` from files.

use crate::crypto::seal::OpeningKey;
use crate::crypto::signature::Hash;
use crate::domain::element::{Element, ElementSet};
use crate::domain::id::{ChannelName, Road};
use crate::domain::identity::IdType;
use crate::domain::money::Unit;
use crate::domain::outcome::Precedence;
use crate::domain::pan::AccountKind;
use crate::domain::payment::Scenario;
use crate::message::charset::Charset;
use crate::message::codes::CodeMap;
use crate::message::path::Path;
use crate::message::statement::Statement;
use regex::Regex;
use std::collections::BTreeMap;

/// Everything that Hefu knows of one channel's messages.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The channel.
    pub channel: ChannelName,
    /// The house that it belongs to, for affinity and contradiction.
    pub road: Option<Road>,
    /// Which requests are its messages.
    pub routes: Vec<RouteRule>,
    /// How requests are written.
    pub request: Body,
    /// How answers are written.
    pub answer: Body,
    /// Fields of a request and their copies, sealed ones mostly: the copy says the same, or is absent.
    pub same: Vec<(Path, Path)>,
    /// Its messages; the first that matches counts.
    pub messages: Vec<Message>,
    /// Its code maps, by name.
    pub codes: BTreeMap<String, CodeMap>,
    /// The HTTP headers that its messages are read from, in lower case.
    pub headers: Vec<String>,
    /// Its notifications.
    pub notify: Option<Notify>,
    /// The files of its statement.
    pub statements: Vec<Statement>,
    /// Whose word counts where arrivals disagree.
    pub precedence: Precedence,
}

/// The one of `headers`, which are read, that `name` is, or is to some reader: CGI, PHP and WSGI know letters and digits only,
/// and `_` for all else. All in lower case.
pub fn watched<'h>(headers: &'h [String], name: &str) -> Option<&'h str> {
    let alike = |(one, other): (u8, u8)| {
        one == other || !(one.is_ascii_alphanumeric() || other.is_ascii_alphanumeric())
    };
    let is_it =
        |known: &&String| known.len() == name.len() && known.bytes().zip(name.bytes()).all(alike);
    headers.iter().find(is_it).map(String::as_str)
}

/// Requests that belong to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// The host, in lower case; any where absent.
    pub host: Option<String>,
    /// What the canonical path begins with, in lower case.
    pub path: String,
}

impl RouteRule {
    /// Whether it takes a request: the host in lower case and without a port, the path canonical.
    pub fn takes(&self, host: &str, path: &str) -> bool {
        self.host.as_deref().is_none_or(|expected| expected == host) && is_under(path, &self.path)
    }

    /// Whether `other` takes every request that this one takes.
    pub fn is_within(&self, other: &Self) -> bool {
        (other.host.is_none() || other.host == self.host) && is_under(&self.path, &other.path)
    }
}

/// Whether `path` is `prefix` or lies under it: `/pay` takes `/pay/x` and not `/payment`.
fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}

/// How a body is written.
#[derive(Clone, Debug)]
pub struct Body {
    /// Its format.
    pub format: Format,
    /// The document, where the format is XML.
    pub xml: Option<XmlRule>,
    /// Its charset.
    pub charset: Charset,
    /// The media types that carry it, in lower case without parameters; any where empty.
    pub content_types: Vec<String>,
    /// Fields that hold wrapped content, opened in this order. The path is absent for the whole body.
    pub unwrap: Vec<Unwrap>,
}

/// The outermost format of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `k=v&k=v` without percent encoding; a value in braces may hold `&`.
    Pairs,
    /// JSON (RFC 8259).
    Json,
    /// XML 1.0.
    Xml,
    /// A single text, to be unwrapped.
    Text,
}

/// An XML document.
#[derive(Clone, Debug)]
pub struct XmlRule {
    /// The name of its root.
    pub root: String,
    /// The namespace of all its elements; none where absent.
    pub namespace: Option<String>,
    /// What follows it, as a whole; white space only where absent.
    pub tail: Option<Regex>,
}

/// A field with wrapped content.
#[derive(Clone, Debug)]
pub struct Unwrap {
    /// Which field, or the whole body.
    pub at: Place,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

/// What is unwrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The whole body.
    Body,
    /// One field.
    Field(Path),
    /// Every text directly below the root.
    Every,
}

/// One step of unwrapping.
#[derive(Clone, Debug)]
pub enum Step {
    /// Base64 (RFC 4648 section 4).
    Base64,
    /// Hexadecimal.
    Hex,
    /// Percent encoding (RFC 3986 section 2.1), once more than the body's own; always UTF-8.
    Percent,
    /// `{k=v&k=v}`.
    BraceForm,
    /// JSON.
    Json,
    /// Blocks sealed with the sender's private RSA key; without a key the content stays sealed.
    OpenBlocks(Option<OpeningKey>),
}

/// One kind of message.
#[derive(Clone, Debug)]
pub struct Message {
    /// What it is for.
    pub scenario: Scenario,
    /// How it is sent: `GET` is read from the query, all others from the body.
    pub method: String,
    /// The canonical path that it comes on, in lower case; any of the channel's where absent.
    pub path: Option<String>,
    /// Fields and the values that they must have.
    pub when: Vec<(Path, Vec<String>)>,
    /// Its rows, where it is a batch.
    pub rows: Option<Rows>,
    /// The fields that name the order; for a batch, the batch.
    pub order: Vec<Path>,
    /// The field that names the core's merchant.
    pub merchant: Option<Path>,
    /// The amount and its unit.
    pub amount: Option<(Path, Unit)>,
    /// Whether money may move without an amount in the message: an order told it before.
    pub amount_optional: bool,
    /// Where its elements are.
    pub elements: Vec<(Element, Path)>,
    /// Which document the identity number is of; a resident's where absent.
    pub id_type: Option<Coded<IdType>>,
    /// Which kind the account is; a debit card where absent.
    pub account_kind: Option<Coded<AccountKind>>,
    /// Elements that are sealed to the channel where a field is present.
    pub sealed: Vec<(Path, ElementSet)>,
    /// The agreement that it quotes.
    pub agreement: Option<Path>,
    /// Which elements its success proves, of those that it carries.
    pub checks: ElementSet,
    /// A first step: under which key its tuple waits for the next.
    pub remember: Vec<Path>,
    /// A later step: under which key it finds what the first left.
    pub recall: Vec<Path>,
    /// The fields that name the order that it undoes, for a refund or a void.
    pub undoes: Vec<Path>,
    /// Which kinds of payment a query asks about; any that moves money where empty.
    pub of: Vec<Scenario>,
    /// What its success yields.
    pub yields: Option<Yields>,
    /// Whether its success closes the agreement that it quotes.
    pub closes_agreement: bool,
    /// How its answer is read; an answer that is not read leaves the outcome unknown.
    pub outcome: Option<OutcomeRule>,
}

/// The rows of a batch, in a message or in its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Where they are.
    pub at: Path,
    /// The fields of a row that name it within its batch.
    pub name: Vec<Path>,
}

/// A field whose codes stand for values.
#[derive(Clone, Debug)]
pub struct Coded<T> {
    /// The field.
    pub at: Path,
    /// The value of each code.
    pub values: BTreeMap<String, T>,
}

/// The agreement that a bind's success yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Yields {
    /// Where the answer tells it.
    pub agreement: Path,
    /// Whether it closes the earlier agreements of the same card and merchant.
    pub closes_same_card: bool,
}

/// How the outcome is read from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRule {
    /// Outer layers, each of which must succeed before the next is read; where one does not, its own outcome counts.
    pub outer: Vec<Layer>,
    /// The rows that hold the outcomes, where the answer tells them row by row.
    pub rows: Option<Rows>,
    /// The layer that holds the outcome.
    pub layer: Layer,
    /// The fields by which the answer to a query names the order as the payment did; as the query does where empty.
    pub order: Vec<Path>,
    /// Where the answer to a query tells the payment's amount, and in which unit.
    pub amount: Option<(Path, Unit)>,
}

/// One layer of result codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The field with the code.
    pub code: Path,
    /// The code map, a key of [`Profile::codes`].
    pub map: String,
}

/// A channel's notifications.
#[derive(Clone, Debug)]
pub struct Notify {
    /// What the canonical path begins with, in lower case.
    pub path: String,
    /// How they are written; a `GET` in its query.
    pub body: Body,
    /// What they tell; the first that matches counts.
    pub messages: Vec<Notification>,
    /// The HTTP headers that they are read from, in lower case.
    pub headers: Vec<String>,
    /// The body by which the core acknowledges what it verified, where it is distinctive.
    pub acknowledged: Option<String>,
    /// What proves that they are the channel's.
    pub proof: Option<Proof>,
}

/// What proves that a notification is the channel's.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Its signature.
    Signature(Signature),
    /// That the content of this field opens with a pinned key.
    Opened(Path),
}

/// A signature, by its mechanism.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Where it is, in base64.
    pub at: Path,
    /// The hash that RSA signs.
    pub hash: Hash,
    /// What is signed.
    pub over: Signed,
    /// The pinned keys, any of which may have signed; without one nothing can be held against it.
    pub keys: Vec<OpeningKey>,
}

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// The decoded fields of a form but for the signature, as `k=v`, sorted and joined by `&`.
    SortedPairs,
    /// The hexadecimal SHA-256 of that.
    SortedPairsSha256Hex,
    /// The body.
    Body,
    /// The hexadecimal MD5 of the body.
    BodyMd5Hex,
}

impl Signed {
    /// Every way.
    pub const ALL: [Self; 4] =
        [Self::SortedPairs, Self::SortedPairsSha256Hex, Self::Body, Self::BodyMd5Hex];

    /// The word used in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SortedPairs => "sorted_pairs",
            Self::SortedPairsSha256Hex => "sorted_pairs_sha256_hex",
            Self::Body => "body",
            Self::BodyMd5Hex => "body_md5_hex",
        }
    }
}

/// One kind of notification.
#[derive(Clone, Debug)]
pub struct Notification {
    /// Which kinds of payment it tells of; any that moves money where empty.
    pub scenarios: Vec<Scenario>,
    /// Fields and the values that they must have.
    pub when: Vec<(Path, Vec<String>)>,
    /// The fields that name the order.
    pub order: Vec<Path>,
    /// The field that names the core's merchant.
    pub merchant: Option<Path>,
    /// The amount and its unit.
    pub amount: Option<(Path, Unit)>,
    /// How the outcome is read; where it is absent, the notification tells nothing of a payment.
    pub outcome: Option<OutcomeRule>,
}

#[cfg(test)]
mod tests {
    use super::is_under;

    #[test]
    fn a_route_takes_whole_segments() {
        let check = |path, prefix, expected| {
            assert_eq!(is_under(path, prefix), expected, "{path} {prefix}");
        };
        check("/pay", "/pay", true);
        check("/pay/x", "/pay", true);
        check("/pay/x", "/pay/", true);
        check("/payment", "/pay", false);
        check("/pay", "/pay/", false);
        check("/anything", "/", true);
    }
}
