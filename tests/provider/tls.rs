//! A provider that asks for our certificate.

use crate::common::{CERTIFICATE, OURS, THEIRS, ask, deployment, pkcs8, provider};
use hefu::domain::answer::Answer;
use hefu::provider::{Reply, Secret};
use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslAcceptor, SslMethod, SslVerifyMode};
use std::pin::Pin;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_openssl::SslStream;

const ANSWER: &str = "<MasMessage xmlns=\"http://www.99bill.com/mas_cnp_merchant_interface\"><indAuthContent>\
    <responseCode>00</responseCode></indAuthContent></MasMessage>";

/// Asks a server that takes nobody without our certificate.
async fn asked(client: bool) -> Reply {
    let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls_server()).unwrap();
    let key = PKey::from_rsa(OURS.clone()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    acceptor.set_certificate(&CERTIFICATE).unwrap();
    acceptor.cert_store_mut().add_cert(CERTIFICATE.clone()).unwrap();
    acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    let acceptor = acceptor.build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (peer, _) = listener.accept().await.unwrap();
        let mut peer = SslStream::new(Ssl::new(acceptor.context()).unwrap(), peer).unwrap();
        if Pin::new(&mut peer).accept().await.is_err() {
            return;
        }
        let mut request = vec![0; 16 * 1024];
        let _ = peer.read(&mut request).await.unwrap();
        let length = ANSWER.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{ANSWER}");
        peer.write_all(answer.as_bytes()).await.unwrap();
        let _ = peer.shutdown().await;
    });
    let mut deployment = deployment(&format!("https://localhost:{port}"));
    deployment.ca = Some(CERTIFICATE.to_pem().unwrap());
    deployment.client = deployment.client.filter(|_| client);
    let reply = ask(&provider(crate::common::XML, deployment)).await;
    server.abort();
    reply
}

#[tokio::test]
async fn our_certificate_opens_the_door_and_another_does_not() {
    assert_eq!(asked(true).await.answer, Answer::Match);
    // Over loopback nothing need be presented; this server wants it none the less.
    assert_eq!(asked(false).await.answer, Answer::Unavailable);
    // A key of somebody else's cannot be presented with our certificate; `check` says so before anything is asked.
    let mut other = deployment("https://localhost");
    if let Some(client) = &mut other.client {
        client.key = Secret::new(pkcs8(&THEIRS));
    }
    let definition = hefu::provider::Definition::parse(crate::common::XML).unwrap();
    assert!(definition.compile(other).is_err());
}
