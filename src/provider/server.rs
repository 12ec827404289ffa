//! Where a provider is: its URL, the name in its certificate, and the client that connects to it.

use crate::provider::deployment::Deployment;
use crate::provider::problem::Problems;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// Resolves one host, under whatever name it is asked for.
struct At(String);

impl Resolve for At {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

/// The URL with the name in the certificate as its host: the TLS client verifies by that and has no other setting for it.
pub(super) fn named(mut url: Url, deployment: &Deployment, problems: &mut Problems) -> Option<Url> {
    let Some(name) = &deployment.server_name else { return Some(url) };
    // An address would be connected to.
    let is_name = name.parse::<IpAddr>().is_err() || name == bare_host(&url);
    if !is_name || url.set_host(Some(name)).is_err() {
        let hint = "write the name in its certificate, such as `provider.example`";
        problems.deployment("tls", "the server name is no name of a host", hint);
        return None;
    }
    Some(url)
}

fn bare_host(url: &Url) -> &str {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The deployment's URL, if it may be used.
pub(super) fn base(deployment: &Deployment, problems: &mut Problems) -> Option<Url> {
    let Ok(url) = Url::parse(&deployment.url) else {
        let hint = "write scheme, host and port: `https://host.example:443`";
        problems.deployment("url", "the URL cannot be read", hint);
        return None;
    };
    let bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !bare {
        let hint = "the definition has the path; credentials go into files";
        problems.deployment("url", "the URL has more than scheme, host and port", hint);
        return None;
    }
    let allowed = match url.scheme() {
        "https" => url.host_str().is_some(),
        "http" => is_loopback(&url),
        _ => false,
    };
    if !allowed {
        let message = "elements go over TLS, or over loopback";
        problems.deployment("url", message, "use `https://`");
        return None;
    }
    Some(url)
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let host = bare_host(url);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The `Host` that a request to `base` carries.
pub(super) fn host(base: &Url) -> String {
    let host = base.host_str().unwrap_or_default();
    base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The client, which connects to the deployment's host and nowhere else.
pub(super) fn client(
    deployment: &Deployment,
    identity: Option<reqwest::Identity>,
    problems: &mut Problems,
) -> Option<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // An inquiry is billed: one question is one request.
        .retry(reqwest::retry::never())
        .referer(false)
        // Shorter than servers keep idle connections, so that a question does not meet one that is just being closed.
        .pool_idle_timeout(Duration::from_secs(15))
        .timeout(deployment.timeout)
        .connect_timeout(deployment.connect_timeout.min(deployment.timeout));
    if let Some(url) = Url::parse(&deployment.url).ok().filter(|_| deployment.server_name.is_some())
    {
        // `Host` is ours to write in HTTP/1.1 only: in HTTP/2 the authority would be the name in the certificate.
        builder = builder.dns_resolver(Arc::new(At(bare_host(&url).to_owned()))).http1_only();
    }
    if let Some(identity) = identity {
        builder = builder.identity(identity);
    }
    if let Some(pem) = &deployment.ca {
        match reqwest::Certificate::from_pem_bundle(pem) {
            Ok(certificates) if !certificates.is_empty() => {
                builder = builder.tls_certs_merge(certificates);
            }
            _ => {
                problems.deployment("ca", "no certificate can be read", "the file holds PEM");
                return None;
            }
        }
    }
    let client = builder.build().ok();
    if client.is_none() {
        problems.deployment("ca", "the TLS client cannot be made", "");
    }
    client
}
