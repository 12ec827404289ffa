//! A provider that asks for our certificate.

use crate::common::{CERTIFICATE, OURS, THEIRS, ask, deployment, pkcs8, provider};
use hefu::domain::answer::Answer;
use hefu::domain::trace::{Said, Span, Spans, Trace};
use hefu::provider::trace::{Current, within};
use hefu::provider::{Reply, Secret};
use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslAcceptor, SslMethod, SslVerifyMode};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_openssl::SslStream;

const ANSWER: &str = "<MasMessage xmlns=\"http://www.99bill.com/mas_cnp_merchant_interface\"><indAuthContent>\
    <responseCode>00</responseCode></indAuthContent></MasMessage>";

/// Keeps the spans that it is told.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Span>>);

impl Spans for Kept {
    fn record(&self, span: Span) {
        self.0.lock().unwrap().push(span);
    }
}

/// Asks a server that takes nobody without our certificate, by its address and the name in its certificate: the answer, and
/// the `Host` that it saw. The question's span says where it went.
async fn asked(client: bool, url: &str, server_name: Option<&str>) -> (Reply, String) {
    let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls_server()).unwrap();
    let key = PKey::from_rsa(OURS.clone()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    acceptor.set_certificate(&CERTIFICATE).unwrap();
    acceptor.cert_store_mut().add_cert(CERTIFICATE.clone()).unwrap();
    acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    let acceptor = acceptor.build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&host);
    let server = tokio::spawn(async move {
        let (peer, _) = listener.accept().await.unwrap();
        let mut peer = SslStream::new(Ssl::new(acceptor.context()).unwrap(), peer).unwrap();
        if Pin::new(&mut peer).accept().await.is_err() {
            return;
        }
        let mut request = vec![0; 16 * 1024];
        let read = peer.read(&mut request).await.unwrap();
        let text = String::from_utf8_lossy(&request[..read]).to_ascii_lowercase();
        let host = text.lines().find_map(|line| line.strip_prefix("host: "));
        *seen.lock().unwrap() = host.unwrap_or_default().replace(&port.to_string(), "PORT");
        let length = ANSWER.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{ANSWER}");
        peer.write_all(answer.as_bytes()).await.unwrap();
        let _ = peer.shutdown().await;
    });
    let mut deployment = deployment(&format!("https://{url}:{port}"));
    deployment.server_name = server_name.map(str::to_owned);
    deployment.ca = Some(CERTIFICATE.to_pem().unwrap());
    deployment.client = deployment.client.filter(|_| client);
    let kept = Arc::new(Kept::default());
    let current = Current { at: Trace::begun(1, 1), spans: Some(kept.clone()) };
    let reply = within(Some(current), ask(&provider(crate::common::XML, deployment))).await;
    let spans = kept.0.lock().unwrap();
    let said = |key| spans[0].said.iter().find(|(name, _)| *name == key).unwrap().1.clone();
    let place = format!("https://{url}:{port}");
    assert_eq!(said("server.address"), Said::Name(url.into()), "{server_name:?}");
    assert_eq!(said("url.full"), Said::Name(place.into()), "{server_name:?}");
    server.abort();
    let host = host.lock().unwrap().clone();
    (reply, host)
}

#[tokio::test]
async fn the_server_name_of_a_provider_is_what_its_certificate_must_carry() {
    let check = async |url, server_name, expected: (Answer, &str)| {
        let (reply, host) = asked(true, url, server_name).await;
        assert_eq!((reply.answer, host.as_str()), expected, "{url} {server_name:?}");
    };
    check("localhost", None, (Answer::Match, "localhost:PORT")).await;
    check("127.0.0.1", Some("localhost"), (Answer::Match, "127.0.0.1:PORT")).await;
    check("localhost", Some("other.example"), (Answer::Unavailable, "")).await;
    check("127.0.0.1", None, (Answer::Unavailable, "")).await;
}

#[tokio::test]
async fn our_certificate_opens_the_door_and_another_does_not() {
    assert_eq!(asked(true, "localhost", None).await.0.answer, Answer::Match);
    // Over loopback nothing need be presented; this server wants it none the less.
    assert_eq!(asked(false, "localhost", None).await.0.answer, Answer::Unavailable);
    // A key of somebody else's cannot be presented with our certificate; `check` says so before anything is asked.
    let mut other = deployment("https://localhost");
    if let Some(client) = &mut other.client {
        client.key = Secret::new(pkcs8(&THEIRS));
    }
    let definition = hefu::provider::Definition::parse(crate::common::XML).unwrap();
    assert!(definition.compile(other).is_err());
}
