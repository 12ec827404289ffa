//! A Hefu between two channels and two providers, over real sockets. Each channel is on the road of one of the providers, who is asked
//! first for it; the other is its backup. Either can be made to fail in every way that providers do.

use axum::Router;
use axum::extract::State;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hefu::app::{self, Running};
use hefu::config;
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::ssl::{Ssl, SslAcceptor, SslMethod};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509Name};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_openssl::SslStream;

/// How a provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Well.
    Well,
    /// It takes the question and never answers.
    Hangs,
    /// It takes ten times as long.
    Slow,
    /// It answers with 500.
    Errors,
    /// What it answers cannot be read.
    Garbled,
    /// What it answers is signed by somebody else.
    WrongSignature,
    /// Its certificate has expired.
    Expired,
    /// One question goes well and the next does not.
    Flaps,
}

/// Every way to be ill, and whose: answers are JSON of the reseller, and are signed by `unionpay`.
pub(crate) const ILL: [(Way, usize); 7] = [
    (Way::Hangs, UNIONPAY),
    (Way::Slow, RESELLER),
    (Way::Errors, UNIONPAY),
    (Way::Garbled, RESELLER),
    (Way::WrongSignature, UNIONPAY),
    (Way::Expired, RESELLER),
    (Way::Flaps, UNIONPAY),
];

/// The providers, and the channels on their roads.
pub(crate) const UNIONPAY: usize = 0;
pub(crate) const RESELLER: usize = 1;
const ROADS: [&str; 2] = ["unionpay", "reseller"];

/// How long a provider takes.
const TAKES: Duration = Duration::from_millis(20);

/// A provider.
pub(crate) struct Provider {
    which: usize,
    way: watch::Sender<Way>,
    asked: AtomicUsize,
    /// Through which every answer goes; shut, all wait.
    pub(crate) gate: Semaphore,
    keys: Keys,
}

/// What the providers prove who they are with.
#[derive(Clone)]
struct Keys {
    own: Rsa<Private>,
    /// Somebody else's.
    other: Rsa<Private>,
}

impl Provider {
    /// It is so from now on; connections from before are closed.
    pub(crate) fn is(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    async fn serve(self: Arc<Self>, listener: TcpListener, acceptors: [SslAcceptor; 2]) {
        let [valid, expired] = acceptors.map(Arc::new);
        loop {
            let Ok((peer, _)) = listener.accept().await else { return };
            let is_expired = *self.way.borrow() == Way::Expired;
            let acceptor = if is_expired { &expired } else { &valid }.clone();
            tokio::spawn(self.clone().connection(peer, acceptor));
        }
    }

    async fn connection(self: Arc<Self>, peer: TcpStream, acceptor: Arc<SslAcceptor>) {
        let mut way = self.way.subscribe();
        let mut peer = SslStream::new(Ssl::new(acceptor.context()).unwrap(), peer).unwrap();
        if Pin::new(&mut peer).accept().await.is_err() {
            return;
        }
        loop {
            let body = tokio::select! {
                body = request(&mut peer) => body,
                _ = way.changed() => return,
            };
            let Some(body) = body else { return };
            let nth = self.asked.fetch_add(1, Ordering::Relaxed);
            let Ok(pass) = self.gate.acquire().await else { return };
            drop(pass);
            let way = *self.way.borrow();
            match way {
                Way::Hangs => std::future::pending().await,
                Way::Slow => tokio::time::sleep(TAKES * 10).await,
                Way::Well
                | Way::Errors
                | Way::Garbled
                | Way::WrongSignature
                | Way::Expired
                | Way::Flaps => tokio::time::sleep(TAKES).await,
            }
            let answer = self.answer(way, nth, &body);
            if peer.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, way: Way, nth: usize, body: &str) -> Vec<u8> {
        let fails = way == Way::Errors || way == Way::Flaps && nth % 2 == 1;
        let matches = number_in(body).is_some_and(is_right);
        let text = match (self.which, way) {
            (_, Way::Garbled) => "{\"code\":\"0000\",\"is_cost\":".to_owned(),
            (UNIONPAY, way) => {
                let code = if matches { "00" } else { "66" };
                let fields = format!("respCode={code}&version=5.1.0");
                let key =
                    if way == Way::WrongSignature { &self.keys.other } else { &self.keys.own };
                let signature = sign(key, &fields).replace('+', "%2B").replace('/', "%2F");
                format!("{fields}&signature={}", signature.replace('=', "%3D"))
            }
            (_, _) if matches => r#"{"code":"0000","is_cost":"1"}"#.to_owned(),
            (_, _) => r#"{"code":"5001","detailRespCode":"02","is_cost":"1"}"#.to_owned(),
        };
        let kind = if self.which == UNIONPAY { "x-www-form-urlencoded" } else { "json" };
        let status = if fails { "500 Internal Server Error" } else { "200 OK" };
        let length = text.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/{kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        [head, text].concat().into_bytes()
    }
}

/// The body of the next request.
async fn request(peer: &mut SslStream<TcpStream>) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
            if body.len() >= length.parse().ok()? {
                return Some(body.to_owned());
            }
        }
        let mut chunk = [0; 4096];
        let read = peer.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
    }
}

/// RSA over the hex digest of the sorted fields.
fn sign(key: &Rsa<Private>, fields: &str) -> String {
    let key = PKey::from_rsa(key.clone()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    let text = hex::encode(openssl::sha::sha256(fields.as_bytes()));
    STANDARD.encode(signer.sign_oneshot_to_vec(text.as_bytes()).unwrap())
}

/// A certificate for `localhost` from so many days before now to so many after it.
fn certificate(key: &Rsa<Private>, (from, to): (i64, i64)) -> X509 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let at = |days: i64| Asn1Time::from_unix(now.cast_signed() + days * 86_400).unwrap();
    let key = PKey::from_rsa(key.clone()).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", "localhost").unwrap();
    let name = name.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&at(from)).unwrap();
    certificate.set_not_after(&at(to)).unwrap();
    let context = certificate.x509v3_context(None, None);
    let names = SubjectAlternativeName::new().dns("localhost").build(&context).unwrap();
    certificate.append_extension(names).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    certificate.build()
}

fn acceptor(key: &Rsa<Private>, certificate: &X509) -> SslAcceptor {
    let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls_server()).unwrap();
    acceptor.set_private_key(&PKey::from_rsa(key.clone()).unwrap()).unwrap();
    acceptor.set_certificate(certificate).unwrap();
    acceptor.build()
}

/// Everything, running.
pub(crate) struct World {
    running: Running,
    pub(crate) providers: Vec<Arc<Provider>>,
    /// The numbers of the payers whose debits reached a channel.
    pub(crate) arrived: Arc<Mutex<Vec<usize>>>,
    client: reqwest::Client,
    next: AtomicUsize,
    _dir: tempfile::TempDir,
}

/// What the core is told of a debit.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Whose it was.
    pub(crate) number: usize,
    /// The status.
    pub(crate) status: u16,
    /// `Hefu-Decision`.
    pub(crate) decision: String,
    /// `Hefu-Verification`.
    pub(crate) verification: String,
    /// How long it took.
    pub(crate) took: Duration,
}

impl World {
    pub(crate) async fn new() -> Self {
        let [own, other] = [(); 2].map(|()| Rsa::generate(2048).unwrap());
        let keys = Keys { own, other };
        let certificates = [(-1, 9), (-9, -1)].map(|days| certificate(&keys.own, days));
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let channel = upstream.local_addr().unwrap();
        let answer = |State(arrived): State<Arc<Mutex<Vec<usize>>>>, body: String| async move {
            arrived.lock().unwrap().extend(number_in(&body));
            ([("content-type", "application/json")], r#"{"code":"ok"}"#)
        };
        let router = Router::new().fallback(answer).with_state(arrived.clone());
        tokio::spawn(async move { axum::serve(upstream, router).await });
        let dir = tempfile::tempdir().unwrap();
        let mut deployment = write(dir.path(), &keys, &certificates);
        let mut providers = Vec::new();
        for (which, road) in ROADS.iter().enumerate() {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let provider = Arc::new(Provider {
                which,
                way: watch::Sender::new(Way::Well),
                asked: AtomicUsize::new(0),
                gate: Semaphore::new(1_000),
                keys: keys.clone(),
            });
            let acceptors = [0, 1].map(|at| acceptor(&keys.own, &certificates[at]));
            tokio::spawn(provider.clone().serve(listener, acceptors));
            providers.push(provider);
            let _ = write!(
                deployment,
                "[channels.{road}]\nupstreams = [\"http://{channel}\"]\n[providers.{road}]\nurl = \"https://localhost:{port}\"\n\
                 tls = {{ ca_file = \"ca.pem\" }}\ntimeout = \"400ms\"\nprice_fen = 30\n{}\n",
                ACCOUNTS[which]
            );
        }
        fs::write(dir.path().join("hefu.toml"), deployment).unwrap();
        let config = config::load(dir.path()).map_err(|problems| problems.to_string()).unwrap();
        let running = app::start(config).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { running, providers, arrived, client, next: AtomicUsize::new(0), _dir: dir }
    }

    /// Debits somebody new over the channel on the road of a provider.
    pub(crate) async fn debit(&self, road: usize) -> Told {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let url = format!("http://{}/{}/", self.running.core, ROADS[road]);
        let body = format!(
            r#"{{"type":"debit","merchant":"M","order":"{number}","amount":"100","name":"张三","id":"{}","card":"{}","phone":"138{number:08}"}}"#,
            id_number(number),
            card(number)
        );
        let began = Instant::now();
        let request = self.client.post(url).header("content-type", "application/json").body(body);
        let answer = request.send().await.unwrap();
        let header = |name: &str| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (decision, verification) = (header("hefu-decision"), header("hefu-verification"));
        let status = answer.status().as_u16();
        answer.bytes().await.unwrap();
        Told { number, status, decision, verification, took: began.elapsed() }
    }

    /// Whether `told` is by the book: who is not refused for his elements has them, a refusal says why, and nothing that is refused left.
    pub(crate) fn assert_by_the_book(&self, told: &Told) {
        let left = self.arrived.lock().unwrap().contains(&told.number);
        let expected: &[&str] = match (told.status, is_right(told.number)) {
            (200, true) => &["permit;mode=enforce"],
            (403, false) => &["refuse;reason=no_match"],
            (503, _) => &["refuse;reason=unavailable"],
            (_, _) => &[],
        };
        let is_so = expected.iter().any(|one| told.decision.starts_with(one));
        assert!(is_so && left == (told.status == 200), "left {left}: {told:?}");
    }

    /// Kept connections end first: a drain waits for what they may still bring.
    pub(crate) async fn end(self) {
        let Self { running, client, .. } = self;
        drop(client);
        running.drain().await;
    }
}

/// What each provider's definition asks for.
const ACCOUNTS: [&str; 2] = [
    "vars = { mer_id = \"777000000000001\", cert_id = \"68759663125\" }\n\
     credentials = { sign_key = \"own.key\", verify_key = \"own.pem\" }",
    "vars = { account = \"us\" }\ncredentials = { sign_secret = \"secret\" }",
];

/// The configuration but for what is deployed where, and the beginning of that.
fn write(dir: &Path, keys: &Keys, certificates: &[X509]) -> String {
    const ROOT: &str = env!("CARGO_MANIFEST_DIR");
    let profile = format!("{ROOT}/tests/service/config/channels/acme.toml");
    let profile = fs::read_to_string(profile).unwrap();
    for folder in ["channels", "codes", "providers"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
    }
    let codes = format!("{ROOT}/tests/service/config/codes/acme.toml");
    fs::copy(codes, dir.join("codes/acme.toml")).unwrap();
    let mut policy = "[mode]\n".to_owned();
    for (road, shipped) in ROADS.into_iter().zip(["unionpay-auth72", "reseller-bankcard"]) {
        let name = format!("name = \"{road}\"\nroad = \"{road}\"");
        let own = profile.replace("name = \"acme\"\nroad = \"acme\"", &name);
        let own = own.replace("path = \"/acme/\"", &format!("path = \"/{road}/\""));
        let own = own.replace("/told/acme", &format!("/told/{road}"));
        fs::write(dir.join(format!("channels/{road}.toml")), own).unwrap();
        let shipped = format!("{ROOT}/config/providers/{shipped}.toml");
        // Of two banks, so that either may be asked after the other.
        let own = fs::read_to_string(shipped).unwrap();
        let own = own.replace("source = \"bank\"", &format!("source = \"bank:{road}\""));
        fs::write(dir.join(format!("providers/{road}.toml")), own).unwrap();
        let _ = writeln!(policy, "{road} = {{ enforce = 100 }}");
    }
    fs::write(dir.join("policy.toml"), policy).unwrap();
    fs::write(dir.join("fingerprint.key"), [7; 32]).unwrap();
    fs::write(dir.join("secret"), "a made-up secret").unwrap();
    fs::write(dir.join("own.key"), keys.own.private_key_to_pem().unwrap()).unwrap();
    fs::write(dir.join("own.pem"), keys.own.public_key_to_pem().unwrap()).unwrap();
    let all: Vec<u8> = certificates.iter().flat_map(|it| it.to_pem().unwrap()).collect();
    fs::write(dir.join("ca.pem"), all).unwrap();
    "[listen]\ncore = \"127.0.0.1:0\"\n[secrets]\nfingerprint_key_file = \"fingerprint.key\"\nfingerprint_key_id = 1\n".to_owned()
}

/// Of ten payers one has told somebody else's phone.
const fn is_right(number: usize) -> bool {
    number % 10 != 9
}

/// Whose card a message names.
fn number_in(body: &str) -> Option<usize> {
    let at = body.find("620000")? + 6;
    body.get(at..at + 9)?.parse().ok()
}

/// A made-up card of its own.
fn card(number: usize) -> String {
    let digits = format!("620000{number:09}");
    let doubled = digits.bytes().rev().enumerate().map(|(at, digit)| {
        let digit = u32::from(digit - b'0');
        if at % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit }
    });
    format!("{digits}{}", (10 - doubled.sum::<u32>() % 10) % 10)
}

/// A made-up document of its own.
fn id_number(number: usize) -> String {
    const WEIGHTS: [usize; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let (day, serial) = (1 + number / 1000 % 28, number % 1000);
    let digits = format!("110105{}12{day:02}{serial:03}", 1950 + number / 28_000);
    let sum: usize =
        digits.bytes().zip(WEIGHTS).map(|(d, weight)| usize::from(d - b'0') * weight).sum();
    format!("{digits}{}", char::from(b"10X98765432"[sum % 11]))
}

/// What a provider is called.
pub(crate) fn name(which: usize) -> &'static str {
    ROADS[which]
}
