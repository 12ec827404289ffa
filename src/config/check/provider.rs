//! The definitions of providers: all are read, and those in use are compiled as they will be.

use super::deployment::Definition;
use crate::config::file::ProviderFile;
use crate::config::read::{At, Sheet};
use crate::config::settings::{Provider, Upstream};
use crate::domain::id::ProviderName;
use crate::provider::{self, ClientCertificate, Deployment, Place, Secret};

impl Provider {
    /// What the provider's definition is compiled with.
    pub fn deployment(&self, name: ProviderName) -> Deployment {
        let Upstream { host, port, tls } = &self.upstream;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let secrets = self
            .credentials
            .iter()
            .map(|(name, secret)| (name.clone(), Secret::new(secret.expose().to_vec())));
        let pem = |chain: &[openssl::x509::X509]| {
            let pems: Vec<Vec<u8>> = chain.iter().filter_map(|one| one.to_pem().ok()).collect();
            pems.concat()
        };
        let client = tls.as_ref().and_then(|tls| tls.client.as_ref()).and_then(|client| {
            let key = Secret::new(client.key.private_key_to_pem_pkcs8().ok()?);
            Some(ClientCertificate { certificate: pem(&client.chain), key })
        });
        Deployment {
            secrets: secrets.collect(),
            vars: self.vars.clone(),
            // Where it is the host, the client needs no other.
            server_name: tls
                .as_ref()
                .map(|tls| tls.server_name.clone())
                .filter(|name| !name.eq_ignore_ascii_case(&self.upstream.host)),
            ca: tls.as_ref().map(|tls| pem(&tls.authorities)).filter(|pem| !pem.is_empty()),
            client,
            timeout: self.timeout,
            rate: self.per_second,
            priority: self.priority,
            ..Deployment::new(name, &format!("{scheme}://{host}:{port}"))
        }
    }
}

/// Checks a definition, with what the main configuration sets for it where it is in use.
pub(crate) fn check(
    definition: &mut Definition,
    hefu: &mut Sheet,
    used: Option<(&At<ProviderFile>, Deployment)>,
) {
    let problems = match provider::Definition::parse(definition.sheet.text()) {
        Err(problem) => vec![problem],
        Ok(parsed) => match &used {
            Some((_, deployment)) => parsed.compile(deployment.clone()).err().unwrap_or_default(),
            None => Vec::new(),
        },
    };
    for provider::Problem { place, message, hint } in problems {
        let hint =
            hint.unwrap_or_else(|| "`hefu schema` says what a definition may have".to_owned());
        match (place, &used) {
            (Place::File(span), _) => definition.sheet.problem(&span, message, hint),
            (Place::Deployment(_), None) => (),
            (Place::Deployment(key), Some((at, _))) => {
                let url = at.value.url.as_ref().map(|url| &url.span);
                let span = url.filter(|_| key == "url").unwrap_or(&at.span);
                hefu.problem(span, message, hint);
            }
        }
    }
}
