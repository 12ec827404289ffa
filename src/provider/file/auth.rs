//! How a provider's file says how to prove who asks; each kind is named by its mechanism.

use crate::provider::file::At;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

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
    /// MD5 over the sorted form fields and a secret, in a field.
    SortedFormMd5(SortedFormMd5File),
    /// A user and a password in `Authorization` (RFC 7617).
    Basic(BasicFile),
}

/// A user and a password.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicFile {
    /// The user, a template.
    pub user: At<String>,
    /// Which of the deployment's secrets is the password.
    pub secret: String,
}

/// MD5 over sorted form fields and a secret.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SortedFormMd5File {
    /// The field that carries the signature.
    pub field: At<String>,
    /// Which of the deployment's secrets is hashed with the fields.
    pub secret: String,
    /// What follows the joined fields, with `{secret}` where the secret goes.
    pub suffix: At<String>,
    /// Whether the hex digits are in upper case.
    #[serde(default)]
    pub uppercase: bool,
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
