//! Who must be reached: the database, the channels, the providers, the core. A handshake at most: no message is sent.

use super::{Finding, PATIENCE};
use crate::app::clock;
use crate::config::{Config, Door, Upstream};
use crate::store::postgres::{OpenError, Postgres, Waits};
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::ssl::{SslConnector, SslMethod};
use openssl::x509::X509;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;
use tokio::time::Instant;

/// How long a certificate should still be good for.
const DAYS_LEFT_MIN: i32 = 21;
/// How far the database's clock may be from ours.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(1);

/// A database that is shared.
pub(super) fn database(place: &tokio_postgres::Config, authorities: &[X509]) -> Finding {
    const WHAT: &str = "store";
    // Its client has a runtime of its own, which must not be driven on a thread of ours.
    let asked = std::thread::scope(|scope| {
        let asked = scope.spawn(|| ask(place, authorities).map_err(|error| error.to_string()));
        asked.join().unwrap_or_else(|_| Err("it ended by a defect".to_owned()))
    });
    match asked {
        Ok((took, apart)) if apart > CLOCKS_APART_MAX => Finding::bad(
            WHAT,
            format!("PostgreSQL answered in {took:.1?}; its clock and ours are {apart:.1?} apart"),
            "have one time service keep both machines",
        ),
        Ok((took, _)) => Finding::good(WHAT, format!("PostgreSQL answered in {took:.1?}")),
        Err(error) => Finding::bad(
            WHAT,
            error,
            "see `[store]`: address, user, password and authority; and pg_hba.conf of the server",
        ),
    }
}

fn ask(
    place: &tokio_postgres::Config,
    authorities: &[X509],
) -> Result<(Duration, Duration), OpenError> {
    let waits = Waits { connect: PATIENCE, answer: PATIENCE };
    let (took, theirs) = Postgres::ask(place, authorities, waits)?;
    Ok((took, clock::system().abs_diff(theirs)))
}

/// Our own certificates towards those who connect.
pub(super) fn doors(config: &Config) -> Vec<Finding> {
    let door = |what: &str, door: Option<&Door>| {
        let chain = &door?.own.chain;
        Some(judge(what, "our certificate".to_owned(), chain.first().map(|own| own.not_after())))
    };
    let core = door("core listener", config.listen.core_tls.as_ref());
    core.into_iter().chain(door("notify listener", config.listen.notify_tls.as_ref())).collect()
}

/// Every address of every channel.
pub(super) fn channels(config: &Config) -> Vec<Finding> {
    let all = config.channels.iter().flat_map(|(name, channel)| {
        channel.upstreams.iter().map(move |upstream| (format!("channel {name}"), upstream))
    });
    all.map(|(what, upstream)| {
        let remedy =
            "see `upstreams` and `tls` of the channel, and what a firewall between lets through";
        reach(&what, upstream, remedy)
    })
    .collect()
}

/// Every provider that is asked.
pub(super) fn providers(config: &Config) -> Vec<Finding> {
    let asked = config.providers.iter().filter(|(_, provider)| provider.enabled);
    asked
        .map(|(name, provider)| {
            let remedy =
                "see `url` and `tls` of the provider, and what a firewall between lets through";
            reach(&format!("provider {name}"), &provider.upstream, remedy)
        })
        .collect()
}

/// Where the core takes notifications.
pub(super) fn notified(config: &Config) -> Vec<Finding> {
    let all = config.channels.iter().filter_map(|(name, channel)| {
        let core = channel.notify_core.as_ref()?;
        let remedy = "see `notify_core` of the channel: the core must listen there";
        Some(reach(&format!("notify {name}"), core, remedy))
    });
    all.collect()
}

/// Connects, shakes hands where there is TLS, and goes.
fn reach(what: &str, upstream: &Upstream, remedy: &str) -> Finding {
    let place = format!("{}:{}", upstream.host, upstream.port);
    let begun = Instant::now();
    match connect(upstream) {
        Ok(certificate) => {
            let seen = format!("{place} reached in {:.0?}", begun.elapsed());
            match certificate {
                Some(certificate) => judge(what, seen, Some(certificate.not_after())),
                None => Finding::good(what, seen),
            }
        }
        Err(error) => Finding::bad(what, format!("{place}: {error}"), remedy),
    }
}

fn connect(upstream: &Upstream) -> io::Result<Option<X509>> {
    let found = (upstream.host.as_str(), upstream.port).to_socket_addrs()?;
    let stream = first(found)?;
    let Some(tls) = &upstream.tls else { return Ok(None) };
    let mut connector = SslConnector::builder(SslMethod::tls())?;
    for authority in &tls.authorities {
        connector.cert_store_mut().add_cert(authority.clone())?;
    }
    if let Some(client) = &tls.client {
        connector.set_private_key(&client.key)?;
        if let Some((own, links)) = client.chain.split_first() {
            connector.set_certificate(own)?;
            for link in links {
                connector.add_extra_chain_cert(link.clone())?;
            }
        }
    }
    let connected = connector.build().connect(&tls.server_name, stream);
    let connected = connected.map_err(|error| io::Error::other(error.to_string()))?;
    Ok(connected.ssl().peer_certificate())
}

fn first(found: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("the name has no address");
    for address in found {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Adds how long a certificate is still good for.
fn judge(what: &str, seen: String, until: Option<&Asn1TimeRef>) -> Finding {
    let left = until.and_then(|until| Asn1Time::days_from_now(0).ok()?.diff(until).ok());
    match left.map(|left| left.days) {
        Some(days) if days < 0 => {
            Finding::bad(what, format!("{seen}; the certificate is out of date"), "renew it")
        }
        Some(days) if days < DAYS_LEFT_MIN => Finding::doubtful(
            what,
            format!("{seen}; the certificate is good for {days} days"),
            "renew it, and have ours loaded by `hefu reload`",
        ),
        Some(days) => {
            Finding::good(what, format!("{seen}; the certificate is good for {days} days"))
        }
        None => Finding::good(what, seen),
    }
}
