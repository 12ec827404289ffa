//! A user and a password in `Authorization` (RFC 7617).

use crate::provider::auth::{Scene, Setting};
use crate::provider::file::auth::BasicFile;
use crate::provider::request::Draft;
use crate::provider::secret::Secret;
use crate::provider::template::{Text, Unwritable};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderValue};
use zeroize::Zeroizing;

/// A checked mechanism with its password.
#[derive(Debug)]
pub(crate) struct Basic {
    user: Text,
    password: Secret,
}

impl Basic {
    pub(super) fn compile(file: &BasicFile, mut setting: Setting<'_>) -> Option<Self> {
        let password = setting.secret_text(&file.secret);
        let Setting { templates, problems, .. } = setting;
        Some(Self { user: templates.add_at(&file.user, problems), password: password? })
    }

    pub(super) fn sign(&self, draft: &mut Draft, scene: &Scene<'_>) -> Result<(), Unwritable> {
        let user = scene.templates.render(&self.user, scene.context)?;
        // The first colon ends the user, so a user cannot have one.
        if user.contains(':') {
            return Err(Unwritable);
        }
        let pair = Zeroizing::new([user.as_bytes(), b":", self.password.expose()].concat());
        let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(&pair)));
        let mut value = HeaderValue::from_str(&value).map_err(|_| Unwritable)?;
        value.set_sensitive(true);
        draft.headers.insert(AUTHORIZATION, value);
        Ok(())
    }
}
