//! What one installation adds to a provider's definition: where it is, with which credentials, and how much may be asked.

use crate::domain::id::ProviderName;
use crate::provider::secret::Secret;
use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

/// A certificate of ours.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// PEM, our own first, then its chain.
    pub certificate: Vec<u8>,
    /// Its private key, PEM (PKCS #8).
    pub key: Secret,
}

/// A provider's deployment, from the main configuration.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The name under which it is configured and counted.
    pub name: ProviderName,
    /// Scheme, host and port; `https` but for loopback.
    pub url: String,
    /// The contents of the credential files, by the names that the definition's `[auth]` uses.
    pub secrets: BTreeMap<String, Secret>,
    /// Plain facts of our account there, as `var.KEY` in templates: key ids, merchant numbers.
    pub vars: BTreeMap<String, String>,
    /// The name in its certificate, also sent as SNI; the URL's host where absent. `Host` is the URL's all the same.
    pub server_name: Option<String>,
    /// PEM certificates of a private authority to trust besides the system's.
    pub ca: Option<Vec<u8>>,
    /// Who we are when the connection is made.
    pub client: Option<ClientCertificate>,
    /// The longest that one question may take in all.
    pub timeout: Duration,
    /// The longest that connecting may take.
    pub connect_timeout: Duration,
    /// The longest answer that is read, in bytes.
    pub body_bytes_max: usize,
    /// The most questions per second; more are answered `unavailable` without asking.
    pub rate: Option<NonZeroU32>,
    /// Whether it may be asked at all.
    pub enabled: bool,
    /// Lower is asked first.
    pub priority: u32,
}

impl Deployment {
    /// A deployment at `url` with the default limits, no credentials and no price.
    pub fn new(name: ProviderName, url: &str) -> Self {
        Self {
            name,
            url: url.to_owned(),
            secrets: BTreeMap::new(),
            vars: BTreeMap::new(),
            server_name: None,
            ca: None,
            client: None,
            // The field's providers answer in 50 to 800 ms; three seconds is what a paying user still waits.
            timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(1),
            // Answers are a few hundred bytes, a signed form with a certificate a few thousand.
            body_bytes_max: 64 * 1024,
            rate: None,
            enabled: true,
            priority: 100,
        }
    }
}
