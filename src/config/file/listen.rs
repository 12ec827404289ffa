//! `[listen]`: where this Hefu listens, and TLS there.

use super::FilePath;
use crate::config::read::At;
use crate::config::text::{AdminAddress, Text};
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::SocketAddr;

/// `[listen]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ListenFile {
    /// The payment core's requests come here.
    #[schemars(required)]
    pub(in crate::config) core: Option<At<Text<SocketAddr>>>,
    /// TLS on it, HTTP/2 included; plain where absent.
    pub(in crate::config) core_tls: Option<At<DoorFile>>,
    /// The channels' notifications come here.
    pub(in crate::config) notify: Option<At<Text<SocketAddr>>>,
    /// TLS on it.
    pub(in crate::config) notify_tls: Option<At<DoorFile>>,
    /// The admin API: a loopback address or `unix:/path`.
    pub(in crate::config) admin: Option<At<Text<AdminAddress>>>,
    /// The bearer token of the admin API that is shared; not needed where each has their own (`[[operator]]`).
    pub(in crate::config) admin_token_file: Option<FilePath>,
    /// TLS on it; whoever connects needs a certificate where `client_ca_file` is there.
    pub(in crate::config) admin_tls: Option<At<DoorFile>>,
    /// How many requests a second each of its tokens may make.
    pub(in crate::config) admin_per_second: Option<At<u32>>,
    /// `/metrics`, `/healthz` and `/readyz`, and nothing else, for those who scrape and probe from outside: no token, no element, and
    /// whoever gets there reads how much is paid and refused. None where absent; the admin API has them too.
    pub(in crate::config) metrics: Option<At<Text<SocketAddr>>>,
    /// The verification service: clients (`[[client]]`) have elements verified here. Under TLS outside loopback.
    pub(in crate::config) verification: Option<At<Text<SocketAddr>>>,
    /// TLS on it.
    pub(in crate::config) verification_tls: Option<At<DoorFile>>,
}

/// TLS towards those who connect.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_field_names, reason = "these are the keys as users write them")]
pub(in crate::config) struct DoorFile {
    /// Our certificate, with its chain.
    #[schemars(required)]
    pub(in crate::config) cert_file: Option<FilePath>,
    /// Its private key.
    #[schemars(required)]
    pub(in crate::config) key_file: Option<FilePath>,
    /// Whoever connects must have a certificate of one of these authorities; nobody needs one where absent.
    pub(in crate::config) client_ca_file: Option<FilePath>,
}
