//! How a request proves who asks, and an answer who says it: one file per mechanism.

mod basic;
mod canonical_request_hmac;
mod sorted_form_md5;
mod sorted_form_rsa_sha256;
mod static_header;

use crate::provider::deployment::Deployment;
use crate::provider::file::At;
use crate::provider::file::auth::AuthFile;
use crate::provider::form::Pairs;
use crate::provider::problem::Problems;
use crate::provider::request::{Draft, Request};
use crate::provider::secret::Secret;
use crate::provider::template::{Templates, Unwritable};
use basic::Basic;
use canonical_request_hmac::CanonicalRequestHmac;
use http::header::HeaderName;
use minijinja::Value;
use sorted_form_md5::SortedFormMd5;
use sorted_form_rsa_sha256::SortedFormRsaSha256;
use static_header::StaticHeader;

/// A checked way to prove who asks, with its credentials.
#[derive(Debug)]
pub(crate) enum Auth {
    StaticHeader(StaticHeader),
    CanonicalRequestHmac(CanonicalRequestHmac),
    SortedFormRsaSha256(Box<SortedFormRsaSha256>),
    SortedFormMd5(SortedFormMd5),
    Basic(Basic),
}

/// What a mechanism is compiled against.
pub(crate) struct Setting<'s> {
    pub(crate) deployment: &'s Deployment,
    pub(crate) request: &'s Request,
    pub(crate) templates: &'s mut Templates,
    pub(crate) problems: &'s mut Problems,
}

/// What a mechanism signs with, besides the request.
pub(crate) struct Scene<'s> {
    pub(crate) templates: &'s Templates,
    pub(crate) context: &'s Value,
    /// The `Host` that is sent.
    pub(crate) host: &'s str,
}

impl Auth {
    /// Checks a definition; what is missing is a problem.
    pub(crate) fn compile(file: &At<AuthFile>, setting: Setting<'_>) -> Option<Self> {
        let of_form = match file.get() {
            AuthFile::SortedFormRsaSha256(_) | AuthFile::SortedFormMd5(_) => true,
            AuthFile::StaticHeader(_) | AuthFile::CanonicalRequestHmac(_) | AuthFile::Basic(_) => {
                false
            }
        };
        if of_form && !setting.request.is_form() {
            let message = "this signature covers form fields, and the request has none";
            setting.problems.file(file.span(), message, "give the request a `form`");
        }
        match file.get() {
            AuthFile::StaticHeader(file) => {
                StaticHeader::compile(file, setting).map(Self::StaticHeader)
            }
            AuthFile::CanonicalRequestHmac(file) => {
                CanonicalRequestHmac::compile(file, setting).map(Self::CanonicalRequestHmac)
            }
            AuthFile::SortedFormRsaSha256(file) => SortedFormRsaSha256::compile(file, setting)
                .map(|auth| Self::SortedFormRsaSha256(Box::new(auth))),
            AuthFile::SortedFormMd5(file) => {
                SortedFormMd5::compile(file, setting).map(Self::SortedFormMd5)
            }
            AuthFile::Basic(file) => Basic::compile(file, setting).map(Self::Basic),
        }
    }

    /// Signs a draft.
    pub(crate) fn sign(&self, draft: &mut Draft, scene: &Scene<'_>) -> Result<(), Unwritable> {
        match self {
            Self::StaticHeader(auth) => {
                auth.sign(draft);
                Ok(())
            }
            Self::CanonicalRequestHmac(auth) => auth.sign(draft, scene),
            Self::SortedFormRsaSha256(auth) => auth.sign(draft),
            Self::SortedFormMd5(auth) => auth.sign(draft),
            Self::Basic(auth) => auth.sign(draft, scene),
        }
    }

    /// Whether an answer is the provider's, as far as this mechanism tells; `None` for an answer that is no form.
    pub(crate) fn vouches_for(&self, answer: Option<&Pairs>) -> bool {
        match self {
            Self::StaticHeader(_)
            | Self::CanonicalRequestHmac(_)
            | Self::SortedFormMd5(_)
            | Self::Basic(_) => true,
            Self::SortedFormRsaSha256(auth) => auth.vouches_for(answer),
        }
    }
}

impl Setting<'_> {
    /// A secret of the deployment, which must be there.
    fn secret(&mut self, name: &str) -> Option<Secret> {
        let secret = self.deployment.secrets.get(name).cloned();
        if secret.is_none() {
            let message = format!("the secret `{name}` is missing");
            let hint = format!("add `{name} = \"/path/to/file\"` to the provider's `credentials`");
            self.problems.deployment("secrets", message, &hint);
        }
        secret
    }

    /// A secret that is a line of text.
    fn secret_text(&mut self, name: &str) -> Option<Secret> {
        let secret = self.secret(name)?;
        if let Some(text) = secret.expose_text() {
            return Some(Secret::new(text.as_bytes().to_vec()));
        }
        let message = format!("the secret `{name}` is empty or no text");
        self.problems.deployment("secrets", message, "the file holds the secret and nothing else");
        None
    }

    /// A header's name.
    fn header(&mut self, name: &At<String>) -> Option<HeaderName> {
        let header = HeaderName::from_bytes(name.get().as_bytes()).ok();
        if header.is_none() {
            self.problems.file(name.span(), format!("`{}` is no header name", name.get()), "");
        }
        header
    }
}
