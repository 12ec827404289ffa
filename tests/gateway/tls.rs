//! TLS and mutual TLS towards a channel: verified before a byte is sent, or not sent.

use crate::peers::{Channel, Peer, Plan, Seen, ok, plan, post, soon, talk};
use hefu::proxy::upstream::{Address, Invalid, ServerName, TlsSettings, Upstream};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{Ssl, SslAcceptor, SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_openssl::SslStream;

pub(crate) struct Identity {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

pub(crate) fn identity(name: &str, signer: Option<&Identity>) -> Identity {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    // The same serial for all: the pool's key must not rest on it.
    builder.set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder
        .set_issuer_name(signer.map_or(&*subject, |signer| signer.certificate.subject_name()))
        .unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    if signer.is_none() {
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    }
    let context = builder.x509v3_context(signer.map(|signer| &*signer.certificate), None);
    let names = SubjectAlternativeName::new().dns(name).build(&context).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(signer.map_or(&key, |signer| &signer.key), MessageDigest::sha256()).unwrap();
    Identity { certificate: builder.build(), key }
}

/// A channel that asks for a certificate of `authority`.
pub(crate) async fn channel(identity: &Identity, authority: &Identity) -> Channel {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_certificate(&identity.certificate).unwrap();
    acceptor.set_private_key(&identity.key).unwrap();
    acceptor.cert_store_mut().add_cert(authority.certificate.clone()).unwrap();
    acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, arrived): (Arc<Mutex<Seen>>, Arc<Notify>) = Default::default();
    let channel = Channel { address, seen: Arc::clone(&seen), arrived: Arc::clone(&arrived) };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = SslStream::new(Ssl::new(acceptor.context()).unwrap(), stream).unwrap();
            let (seen, arrived) = (Arc::clone(&seen), Arc::clone(&arrived));
            tokio::spawn(async move {
                if Pin::new(&mut stream).accept().await.is_ok() {
                    talk(stream, 0, seen, arrived, Arc::new(|_| ok("done"))).await;
                }
            });
        }
    });
    channel
}

#[tokio::test]
async fn both_sides_are_verified_before_a_byte() {
    let (authority, other) = (identity("authority", None), identity("other", None));
    let ours = identity("ours", Some(&authority));
    let stranger = identity("stranger", Some(&other));
    let bank = channel(&identity("bank.example", Some(&authority)), &authority).await;
    let with = |name: &str, authority: &Identity, client: Option<&Identity>| -> Plan {
        let mut plan = plan(&[bank.address]);
        plan.settings.addresses[0].tls = Some(TlsSettings {
            server_name: ServerName::new(name).unwrap(),
            authorities: vec![authority.certificate.clone()],
            client: client.map(|ours| (vec![ours.certificate.clone()], ours.key.clone())),
        });
        plan
    };
    let world = with("bank.example", &authority, Some(&ours)).serve().await;
    for path in ["/pay/x", "/file/x"] {
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: bank\r\nContent-Length: 4\r\n\r\nbody");
        assert_eq!(world.ask(request).await.text(), "done");
    }
    assert_eq!(bank.messages().len(), 2);
    for (what, plan) in [
        ("another authority", with("bank.example", &other, Some(&ours))),
        ("another name", with("evil.example", &authority, Some(&ours))),
    ] {
        let world = plan.serve().await;
        assert_eq!(world.ask(post(b"body")).await.status(), 503, "{what}");
        assert_eq!(world.settled(), ["NotSent"], "{what}");
    }
    for (what, client) in [("no certificate", None), ("a stranger's certificate", Some(&stranger))]
    {
        // In TLS 1.3 the channel refuses our certificate only after our first bytes may have left.
        let status = with("bank.example", &authority, client)
            .serve()
            .await
            .ask(post(b"body"))
            .await
            .status();
        assert!(matches!(status, 503 | 504), "{what}");
    }
    assert_eq!(bank.messages().len(), 2);
}

/// A second site has its own name and certificate, or none at all on loopback.
#[tokio::test]
async fn the_tls_of_each_address_counts_and_not_the_first_ones_alone() {
    let authority = identity("authority", None);
    let dead = Address {
        place: crate::channel::dead().to_string(),
        tls: Some(TlsSettings {
            server_name: ServerName::new("first.example").unwrap(),
            authorities: vec![authority.certificate.clone()],
            client: None,
        }),
    };
    let ours = identity("ours", Some(&authority));
    let second = channel(&identity("second.example", Some(&authority)), &authority).await;
    let clear = crate::peers::channel(|_| ok("done")).await;
    let tls = TlsSettings {
        server_name: ServerName::new("second.example").unwrap(),
        authorities: vec![authority.certificate.clone()],
        client: Some((vec![ours.certificate.clone()], ours.key.clone())),
    };
    for (bank, tls) in [(&second, Some(tls)), (&clear, None)] {
        let mut plan = plan(&[bank.address]);
        plan.settings.addresses[0].tls = tls;
        plan.settings.addresses.insert(0, dead.clone());
        let world = plan.serve().await;
        for path in ["/pay/x", "/file/x"] {
            let request =
                format!("POST {path} HTTP/1.1\r\nHost: bank\r\nContent-Length: 4\r\n\r\nbody");
            assert_eq!(world.ask(request).await.text(), "done");
        }
    }
}

#[test]
fn what_cannot_be_verified_is_no_setting() {
    assert!(ServerName::new("").is_none() && ServerName::new(" ").is_none());
    let mut settings = plan(&["127.0.0.1:1".parse().unwrap()]).settings;
    settings.addresses.clear();
    assert!(matches!(Upstream::new(settings), Err(Invalid::NoAddress(_))));
}

/// A listener with TLS offers both versions, and asks for a certificate where it is told to.
#[tokio::test]
async fn a_listener_with_tls_serves_both_versions_to_those_it_knows() {
    let authority = identity("authority", None);
    let (own, core) = (identity("hefu", Some(&authority)), identity("core", Some(&authority)));
    let stranger = identity("stranger", None);
    let bank = crate::peers::channel(|_| ok("done")).await;
    let clients = [authority.certificate.clone()];
    let door =
        hefu::proxy::door(std::slice::from_ref(&own.certificate), &own.key, &clients).unwrap();
    let mut plan = plan(&[bank.address]);
    plan.doors.core = Some(door);
    let world = plan.serve().await;
    let connect = async |protocols: &[u8], client: &Identity| {
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        connector.set_verify(SslVerifyMode::NONE);
        connector.set_alpn_protos(protocols).unwrap();
        connector.set_certificate(&client.certificate).unwrap();
        connector.set_private_key(&client.key).unwrap();
        let ssl = connector.build().configure().unwrap().into_ssl("hefu").unwrap();
        let stream = TcpStream::connect(world.address).await.unwrap();
        let mut stream = SslStream::new(ssl, stream).unwrap();
        Pin::new(&mut stream).connect().await.unwrap();
        stream
    };
    let stream = connect(b"\x02h2\x08http/1.1", &core).await;
    assert_eq!(stream.ssl().selected_alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("https://bank/pay/x").body(()).unwrap();
    let (response, _) = sender.ready().await.unwrap().send_request(request, true).unwrap();
    assert_eq!(soon(response).await.unwrap().status(), 200);
    for protocols in [&b"\x08http/1.1"[..], b"\x03foo"] {
        let mut peer = Peer { stream: connect(protocols, &core).await, ahead: Vec::new() };
        peer.send(post(b"body")).await;
        assert_eq!(peer.answer().await.text(), "done");
    }
    // In TLS 1.3 the refusal of a certificate comes after the handshake, as the end of the connection.
    let mut peer = Peer { stream: connect(b"\x08http/1.1", &stranger).await, ahead: Vec::new() };
    peer.send(post(b"body")).await;
    assert!(soon(peer.message(false)).await.is_none());
    assert_eq!(bank.messages().len(), 3);
}
