//! `[[operator]]`: who may use the admin API, with a token of their own.

use crate::config::read::At;
use crate::config::text::{Meaning, Text};
use crate::domain::role::Role;
use schemars::JsonSchema;
use serde::Deserialize;

/// `[[operator]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct OperatorFile {
    /// Their name: what they do is audited under it.
    #[schemars(required)]
    pub(in crate::config) name: Option<At<String>>,
    /// What they are there for: `viewer`, `operator`, `risk_editor`, `risk_approver`, `auditor`, `admin`.
    #[schemars(required)]
    pub(in crate::config) roles: Option<At<Vec<At<Text<RoleWord>>>>>,
    /// The SHA-256 of their token, in hexadecimal; `hefu token` makes both.
    #[schemars(required)]
    pub(in crate::config) token_sha256: Option<At<String>>,
}

/// A role, as it is written.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct RoleWord(pub(in crate::config) Role);

impl Meaning for RoleWord {
    const WHAT: &'static str = "a role";

    fn words() -> Vec<&'static str> {
        Role::ALL.map(Role::as_str).to_vec()
    }

    fn read(text: &str) -> Result<Self, String> {
        let hint = || crate::config::problem::suggest(text, Self::words());
        Role::from_word(text).map(Self).ok_or_else(hint)
    }
}
