//! A listener's certificate changes under load, and nobody notices but those who look at it.

use crate::peers::{Peer, channel, ok, soon};
use crate::process::{Hefu, Place, Tally, query};
use crate::tls::{Identity, identity};
use openssl::ssl::{SslConnector, SslMethod};
use openssl::x509::X509;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

const NAME: &str = "hefu.example";

/// A connection that trusts `authority` alone.
async fn connect(core: SocketAddr, authority: &X509) -> Option<Peer<SslStream<TcpStream>>> {
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.cert_store_mut().add_cert(authority.clone()).unwrap();
    let ssl = connector.build().configure().unwrap().into_ssl(NAME).unwrap();
    let stream = TcpStream::connect(core).await.ok()?;
    let mut stream = SslStream::new(ssl, stream).unwrap();
    Pin::new(&mut stream).connect().await.ok()?;
    Some(Peer { stream, ahead: Vec::new() })
}

/// Ten requests a connection.
async fn load(core: SocketAddr, authority: X509, tally: Arc<Tally>) {
    while !tally.is_over.load(Ordering::Relaxed) {
        let Some(mut peer) = soon(connect(core, &authority)).await else {
            tally.failed.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        for _ in 0..10 {
            peer.send(query()).await;
            let answer = soon(peer.message(false)).await;
            if answer.is_none_or(|answer| answer.status() != 200) {
                tally.failed.fetch_add(1, Ordering::Relaxed);
                break;
            }
            tally.answered.fetch_add(1, Ordering::Relaxed);
            tally.changed.notify_waiters();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_changes_under_load() {
    let bank = channel(|_| ok("{}")).await;
    let place = Place::to(&bank);
    let authority = identity("authority", None);
    let write = |own: &Identity| {
        place.write("own.pem", own.certificate.to_pem().unwrap());
        place.write("own.key", own.key.private_key_to_pem_pkcs8().unwrap());
    };
    let first = identity(NAME, Some(&authority));
    write(&first);
    let tls = "[listen]\ncore_tls = { cert_file = \"own.pem\", key_file = \"own.key\" }\n";
    place.replace("hefu.toml", "[listen]\n", tls);
    let hefu = Hefu::start(place.command()).await;
    let trusted = authority.certificate.clone();
    let shown = async || {
        let peer = soon(connect(hefu.core, &trusted)).await.unwrap();
        peer.stream.ssl().peer_certificate().unwrap()
    };
    assert_eq!(shown().await, first.certificate);
    let mut kept = connect(hefu.core, &trusted).await.unwrap();
    let tally = Arc::new(Tally::default());
    let cores: Vec<_> = (0..8)
        .map(|_| tokio::spawn(load(hefu.core, trusted.clone(), Arc::clone(&tally))))
        .collect();
    for _ in 0..4 {
        tally.more(100).await;
        let next = identity(NAME, Some(&authority));
        write(&next);
        assert_eq!(hefu.admin("POST /v1/reload", "").await.status(), 204);
        assert_eq!(shown().await, next.certificate);
        // A connection from before is served on.
        kept.send(query()).await;
        assert_eq!(kept.answer().await.status(), 200);
    }
    tally.more(100).await;
    tally.is_over.store(true, Ordering::Relaxed);
    for core in cores {
        soon(core).await.unwrap();
    }
    assert_eq!(tally.failed.load(Ordering::Relaxed), 0);
}
