//! A secret in a header, as marketplaces and gateways take it: `Authorization: APPCODE …`, `X-Api-Key: …`.

use crate::provider::auth::Setting;
use crate::provider::file::auth::StaticHeaderFile;
use crate::provider::request::Draft;
use http::header::{HeaderName, HeaderValue};
use zeroize::Zeroizing;

/// Where the secret goes in the value.
const PLACE: &str = "{secret}";

/// A header with its secret value; `http` does not show values marked sensitive.
#[derive(Debug)]
pub(crate) struct StaticHeader {
    name: HeaderName,
    value: HeaderValue,
}

impl StaticHeader {
    pub(super) fn compile(file: &StaticHeaderFile, mut setting: Setting<'_>) -> Option<Self> {
        let name = setting.header(&file.header);
        let secret = setting.secret_text(&file.secret);
        if !file.value.get().contains(PLACE) {
            let hint = "write `{secret}` where the secret goes";
            setting.problems.file(file.value.span(), "the value has no place for the secret", hint);
            return None;
        }
        let secret = secret?;
        let text = Zeroizing::new(file.value.get().replace(PLACE, secret.expose_text()?));
        let Ok(mut value) = HeaderValue::from_str(&text) else {
            let message = format!("the secret `{}` cannot stand in a header", file.secret);
            setting.problems.deployment("secrets", message, "it must be one line of ASCII");
            return None;
        };
        value.set_sensitive(true);
        Some(Self { name: name?, value })
    }

    pub(super) fn sign(&self, draft: &mut Draft) {
        draft.headers.insert(self.name.clone(), self.value.clone());
    }
}
