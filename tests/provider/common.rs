//! A server on loopback, and what is asked of providers.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use hefu::domain::answer::Answer;
use hefu::domain::business::CreditCode;
use hefu::domain::clock::Timestamp;
use hefu::domain::element::{CardSecret, Element, ElementSet, Elements, InvalidElement};
use hefu::domain::id::{PaymentId, ProviderName};
use hefu::domain::identity::{CertificateNumber, IdNumber, IdType};
use hefu::domain::image::Image;
use hefu::domain::pan::{AccountKind, AccountLevel, Pan};
use hefu::domain::person::{Mobile, Name};
use hefu::provider::{
    Billable, ClientCertificate, Definition, Deployment, HttpProvider, Inquiry, More, Provider,
    Reply, Secret, Trouble,
};
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509Name};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

/// The shipped maps that the tests name.
pub(crate) const TENCENT: &str = include_str!("../../config/providers/tencent-bankcard4e.toml");
pub(crate) const ALIYUN: &str = include_str!("../../config/providers/aliyun-bankcard4.toml");
pub(crate) const OPERATOR3: &str = include_str!("../../config/providers/operator3-market.toml");
pub(crate) const UNIONPAY: &str = include_str!("../../config/providers/unionpay-auth72.toml");
pub(crate) const XML: &str = include_str!("../../config/providers/99bill-indauth.toml");
pub(crate) const RESELLER: &str = include_str!("../../config/providers/reseller-bankcard.toml");

/// 2026-01-01T00:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Long enough for any answer on loopback.
const PATIENT: Duration = Duration::from_secs(20);

/// What the server does with the next request.
#[derive(Clone)]
pub(crate) enum Behaviour {
    Say(u16, String),
    Hang,
}

pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) struct Server {
    behaviour: Mutex<Behaviour>,
    pub(crate) seen: Mutex<Vec<Seen>>,
}

impl Server {
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

pub(crate) async fn serve(behaviour: Behaviour) -> (Arc<Server>, SocketAddr) {
    let server = Arc::new(Server { behaviour: Mutex::new(behaviour), seen: Mutex::default() });
    let router = Router::new().fallback(handle).with_state(Arc::clone(&server));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (server, at)
}

pub(crate) async fn handle(
    State(server): State<Arc<Server>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    server.seen.lock().unwrap().push(Seen { method, uri, headers, body });
    let behaviour = server.behaviour.lock().unwrap().clone();
    match behaviour {
        Behaviour::Say(status, body) => {
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        }
        Behaviour::Hang => std::future::pending().await,
    }
}

pub(crate) static OURS: LazyLock<Rsa<Private>> = LazyLock::new(|| Rsa::generate(2048).unwrap());
pub(crate) static THEIRS: LazyLock<Rsa<Private>> = LazyLock::new(|| Rsa::generate(2048).unwrap());

/// A certificate for `localhost` over our own key.
pub(crate) static CERTIFICATE: LazyLock<X509> = LazyLock::new(|| {
    let key = PKey::from_rsa(OURS.clone()).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", "localhost").unwrap();
    let name = name.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
    let names = SubjectAlternativeName::new()
        .dns("localhost")
        .build(&certificate.x509v3_context(None, None))
        .unwrap();
    certificate.append_extension(names).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    certificate.build()
});

/// A private key as PEM.
pub(crate) fn pkcs8(key: &Rsa<Private>) -> Vec<u8> {
    PKey::from_rsa(key.clone()).unwrap().private_key_to_pem_pkcs8().unwrap()
}

pub(crate) fn deployment(url: &str) -> Deployment {
    let secrets = [
        ("secret_key", b"a made-up secret\n".to_vec()),
        ("access_key_secret", b"a made-up secret".to_vec()),
        ("appcode", b"0123456789abcdef\n".to_vec()),
        ("sign_key", OURS.private_key_to_pem().unwrap()),
        ("verify_key", THEIRS.public_key_to_pem().unwrap()),
        ("sign_secret", b"a made-up secret".to_vec()),
        ("login_key", b"a made-up secret".to_vec()),
        ("token", b"a made-up secret".to_vec()),
    ];
    let vars = [
        ("secret_id", "AKIDexample"),
        ("access_key_id", "LTAIexample"),
        ("mer_id", "777000000000001"),
        ("cert_id", "68759663125"),
        ("account", "A1"),
        ("institution_id", "I1"),
        ("merchant_id", "M1"),
        ("terminal_id", "T1"),
    ];
    Deployment {
        secrets: secrets.map(|(name, bytes)| (name.to_owned(), Secret::new(bytes))).into(),
        vars: vars.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        client: Some(ClientCertificate {
            certificate: CERTIFICATE.to_pem().unwrap(),
            key: Secret::new(pkcs8(&OURS)),
        }),
        timeout: PATIENT,
        ..Deployment::new(ProviderName::new("test"), url)
    }
}

pub(crate) fn provider(file: &str, deployment: Deployment) -> HttpProvider {
    Definition::parse(file).unwrap().compile(deployment).unwrap()
}

pub(crate) fn at(file: &str, address: SocketAddr) -> HttpProvider {
    provider(file, deployment(&format!("http://{address}")))
}

pub(crate) const ID: &str = "11010519491231002X";
pub(crate) const PAN: &str = "6200000000000005";
pub(crate) const PHONE: &str = "13800000000";
/// The example of GB 32100-2015.
pub(crate) const CODE: &str = "91350100M000100Y43";
pub(crate) const GRADUATE: &str = "100011202605000001";
/// No more of a picture than its beginning.
pub(crate) const FACE: &str = "/9j/4AAQSkZJRgABAQ==";
pub(crate) const FOUR: &str = "name id_number pan phone";

pub(crate) fn elements() -> Elements {
    Elements {
        name: Name::parse("张三").ok(),
        id_number: IdNumber::parse(ID, IdType::ResidentId).ok(),
        pan: Pan::parse(PAN, AccountKind::Debit).ok(),
        phone: Mobile::parse(PHONE).ok(),
        // The simulated cards carry the end of their number.
        cvv2: CardSecret::cvv2("005").ok(),
        expiry: CardSecret::expiry("3112").ok(),
        account_level: Some(AccountLevel::One),
        face_image: Image::parse(FACE, InvalidElement::FaceImage).ok(),
        id_card_image: Image::parse(FACE, InvalidElement::IdCardImage).ok(),
        business_name: Name::parse("测试有限公司").ok(),
        credit_code: CreditCode::parse(CODE).ok(),
        certificate_number: CertificateNumber::parse(GRADUATE).ok(),
    }
}

pub(crate) fn inquiry(elements: Elements, set: ElementSet) -> Inquiry {
    Inquiry { id: PaymentId::new(NOW, 7), elements: elements.restricted(set), set }
}

pub(crate) fn set(words: &str) -> ElementSet {
    words.split(' ').map(|word| Element::from_word(word).unwrap()).collect()
}

/// Asks about the widest set that the provider answers.
pub(crate) async fn ask(provider: &HttpProvider) -> Reply {
    let widest = provider.capability().sets.iter().max_by_key(|set| set.iter().count()).unwrap();
    provider.ask(&inquiry(elements(), *widest), NOW).await
}

pub(crate) fn unavailable(trouble: Trouble, billable: Billable, code: Option<&str>) -> Reply {
    let trouble = Some(trouble);
    Reply {
        answer: Answer::Unavailable,
        code: code.map(Into::into),
        billable,
        source: None,
        trouble,
        more: More::NOTHING,
    }
}

pub(crate) fn assert_nothing_leaks(provider: &HttpProvider, reply: &Reply) {
    let shown = format!("{provider:?} {reply:?} {:?}", inquiry(elements(), set(FOUR)));
    for secret in
        ["张三", ID, PAN, PHONE, FACE, CODE, GRADUATE, "made-up", "0123456789abcdef", "PRIVATE KEY"]
    {
        assert!(!shown.contains(secret), "`{secret}` shows in {shown}");
    }
}
