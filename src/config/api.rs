//! The admin API's settings: who may use it, and what it may put in force.

use super::settings::{Door, Secret};
use crate::domain::role::Role;
use std::path::PathBuf;

/// Who may use the admin API, and how often.
#[derive(Clone, Debug)]
pub struct Api {
    /// The token that is shared: whoever holds it may do everything that one person may, and is nobody by name.
    pub token: Option<Secret>,
    /// Those with a token of their own.
    pub operators: Vec<Operator>,
    /// TLS on its listener.
    pub door: Option<Door>,
    /// How many requests a second each token may make.
    pub per_second: u32,
}

/// Somebody with a token of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Their name.
    pub name: String,
    /// What they are there for. Never empty.
    pub roles: Vec<Role>,
    /// The SHA-256 of their token.
    pub token: [u8; 32],
}

/// What rules that come through the API stand beside.
#[derive(Clone, Debug, Default)]
pub struct Managing {
    /// Whether a second person must approve them.
    pub two_persons: bool,
    /// Where the files are.
    pub dir: PathBuf,
    /// The files of rules: their names and their texts.
    pub files: Vec<(String, String)>,
    /// Where the keys of `hefu.toml` and `policy.toml` stand: key, file, line.
    pub origins: Vec<(String, String, usize)>,
    /// The channels that rules may name.
    pub channels: Vec<String>,
    /// The providers that rules may name.
    pub providers: Vec<String>,
}
