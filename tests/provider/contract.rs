//! The contract that every file under `config/providers` passes, against its simulated counterpart and against broken servers.

use crate::common::{
    Behaviour, PAN, PHONE, Server, ask, assert_nothing_leaks, at, deployment, elements, inquiry,
    provider, serve, set, unavailable,
};
use hefu::domain::answer::Answer;
use hefu::domain::element::{Element, ElementSet};
use hefu::domain::id::ProviderName;
use hefu::provider::{
    Billable, Definition, Deployment, HttpProvider, Provider, Reply, Secret, Trouble,
};
use hefu::sim::{self, CardState, Said, Script, Settings, Simulation, Twist};
use openssl::rsa::Rsa;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A shipped definition, its simulated counterpart, and how the two know each other.
struct Shipped {
    /// The file, without `.toml`.
    file: &'static str,
    endpoint: &'static str,
    /// The definition's variables: each a credential of the simulation, or itself.
    vars: &'static [(&'static str, &'static str)],
    /// The definition's secrets: each a file of the simulation.
    secrets: &'static [(&'static str, &'static str)],
    /// The source that a match names.
    source: Option<&'static str>,
    /// What each of [`said`] must become, in its order.
    answers: [&'static str; 12],
}

/// What a provider may say, in the order of [`Shipped::answers`].
fn said() -> [Said; 12] {
    use sim::Element::{IdNumber, Name, Phone};
    [
        Said::Match,
        Said::NoMatch(vec![Name, IdNumber]),
        Said::NoMatch(vec![Name]),
        Said::NoMatch(vec![IdNumber]),
        Said::NoMatch(vec![Phone]),
        Said::NoRecord,
        Said::State(CardState::Lost),
        Said::Unsupported,
        Said::Limited,
        Said::Invalid,
        Said::Busy,
        Said::Strange,
    ]
}

const TENCENT_SECRETS: &[(&str, &str)] = &[("secret_key", "tencent-secret")];
const TENCENT_VARS: &[(&str, &str)] = &[("secret_id", "tencent-id")];
const REGISTRY_SECRETS: &[(&str, &str)] = &[("sign_secret", "registry-secret")];
const REGISTRY_VARS: &[(&str, &str)] = &[("account", "registry-account")];

#[rustfmt::skip]
const SHIPPED: &[Shipped] = &[
    Shipped {
        file: "tencent-bankcard4e", endpoint: "tencent", vars: TENCENT_VARS, secrets: TENCENT_SECRETS, source: None,
        answers: ["match", "no_match", "no_match", "no_match", "no_match", "no_match pan", "not_possible", "not_possible", "limited", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "tencent-bankcard3e", endpoint: "tencent", vars: TENCENT_VARS, secrets: TENCENT_SECRETS, source: None,
        answers: ["match", "no_match", "no_match", "no_match", "no_match", "no_match pan", "not_possible", "not_possible", "limited", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "tencent-bankcard2e", endpoint: "tencent", vars: TENCENT_VARS, secrets: TENCENT_SECRETS, source: None,
        answers: ["match", "no_match", "no_match", "no_match", "no_match", "no_match pan", "not_possible", "not_possible", "limited", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "tencent-operator3", endpoint: "tencent", vars: TENCENT_VARS, secrets: TENCENT_SECRETS, source: Some("operator:cmcc"),
        answers: ["match", "no_match", "no_match", "no_match", "no_match", "no_record", "no_record", "no_record", "limited", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "tencent-identity", endpoint: "tencent", vars: TENCENT_VARS, secrets: TENCENT_SECRETS, source: None,
        answers: ["match", "no_match", "no_match", "no_match", "no_match", "no_record", "no_record", "no_record", "limited", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "aliyun-bankcard4", endpoint: "aliyun",
        vars: &[("access_key_id", "aliyun-id")], secrets: &[("access_key_secret", "aliyun-secret")], source: None,
        // Its limits are our account's, not the card's.
        answers: ["match", "no_match", "no_match", "no_match", "no_match", "no_record", "not_possible", "not_possible", "unavailable", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "operator3-market", endpoint: "operator3",
        vars: &[], secrets: &[("appcode", "operator3-appcode")], source: Some("operator:cmcc"),
        answers: ["match", "no_match", "no_match", "no_match", "no_match", "no_record", "no_record", "no_record", "unavailable", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "operator3-detail", endpoint: "operator-detail",
        vars: &[], secrets: &[("appcode", "operator-detail-appcode")], source: Some("operator:ctcc"),
        answers: ["match", "no_match name id_number", "no_match name", "no_match id_number", "no_match name id_number", "no_record", "not_possible", "not_possible", "limited", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "reseller-bankcard", endpoint: "reseller",
        vars: &[("account", "reseller-account")], secrets: &[("sign_secret", "reseller-secret")], source: None,
        answers: ["match", "no_match", "no_match", "no_match", "no_match phone", "no_record", "not_possible", "not_possible", "limited", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "unionpay-auth72", endpoint: "unionpay72",
        vars: &[("mer_id", "777000000000001"), ("cert_id", "68759663125")],
        secrets: &[("sign_key", "unionpay72-buyer.key.pem"), ("verify_key", "unionpay72-provider.pem")], source: None,
        // What it says of a format is said of our request.
        answers: ["match", "no_match", "no_match", "no_match", "no_match", "no_match pan", "not_possible", "not_possible", "limited", "unavailable", "unavailable", "unmapped"],
    },
    Shipped {
        file: "cpcn-account-level", endpoint: "cpcn",
        vars: &[("institution_id", "cpcn-institution")], secrets: &[("token", "cpcn-token")], source: None,
        answers: ["match", "no_match", "no_match", "no_match", "no_match", "not_possible", "not_possible", "not_possible", "limited", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "99bill-indauth", endpoint: "99bill",
        vars: &[("merchant_id", "99bill-merchant"), ("terminal_id", "T1")], secrets: &[("login_key", "99bill-key")], source: None,
        // It has no word for too many questions but its risk control's.
        answers: ["match", "no_match", "no_match name", "no_match id_number", "no_match phone", "no_match pan", "not_possible", "not_possible", "not_possible", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "tencent-face", endpoint: "face", vars: TENCENT_VARS, secrets: TENCENT_SECRETS, source: None,
        // Its limits are our account's, not the person's.
        answers: ["match", "no_match name id_number", "no_match name id_number", "no_match name id_number", "no_match name id_number", "no_record", "not_possible", "not_possible", "unavailable", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "liveness-market", endpoint: "liveness",
        vars: &[], secrets: &[("appcode", "liveness-appcode")], source: None,
        answers: ["match", "no_match face_image", "no_match face_image", "no_match face_image", "no_match face_image", "not_possible", "not_possible", "not_possible", "limited", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "idcard-ocr-market", endpoint: "id-card",
        vars: &[], secrets: &[("appcode", "id-card-appcode")], source: None,
        answers: ["match", "not_possible", "not_possible", "not_possible", "not_possible", "not_possible", "not_possible", "not_possible", "limited", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "business-registry", endpoint: "registry", vars: REGISTRY_VARS, secrets: REGISTRY_SECRETS, source: None,
        answers: ["match", "no_match", "no_match name", "no_match", "no_match", "no_record", "not_possible", "not_possible", "limited", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "education-registry", endpoint: "registry", vars: REGISTRY_VARS, secrets: REGISTRY_SECRETS, source: None,
        answers: ["match", "no_match", "no_match name", "no_match", "no_match", "no_record", "not_possible", "not_possible", "limited", "invalid", "unavailable", "unmapped"],
    },
    Shipped {
        file: "railway-registry", endpoint: "registry", vars: REGISTRY_VARS, secrets: REGISTRY_SECRETS, source: None,
        answers: ["match", "no_match", "no_match name", "no_match", "no_match", "no_record", "not_possible", "not_possible", "limited", "invalid", "unavailable", "unmapped"],
    },
];

/// The answer that a word stands for, and its trouble.
fn expected(words: &str) -> (Answer, Option<Trouble>) {
    match words.split_once(' ') {
        Some(("no_match", elements)) => (Answer::NoMatch(set(elements)), None),
        None if words == "unmapped" => (Answer::Unavailable, Some(Trouble::Unmapped)),
        _ => (Answer::from_word(words).unwrap(), None),
    }
}

impl Shipped {
    fn text(&self) -> String {
        fs::read_to_string(format!("config/providers/{}.toml", self.file)).unwrap()
    }

    /// How the simulation knows us.
    fn deployment(&self, simulation: &Simulation) -> Deployment {
        let own = |name: &str| simulation.credentials().get(name).cloned();
        let vars = self.vars.iter().map(|(name, value)| {
            ((*name).to_owned(), own(value).unwrap_or_else(|| (*value).to_owned()))
        });
        let secrets = self.secrets.iter().map(|(name, file)| {
            let secret = fs::read(&simulation.key_files()[file]).unwrap();
            ((*name).to_owned(), Secret::new(secret))
        });
        let timeout = Duration::from_secs(20);
        let url = &simulation.endpoints()[self.endpoint];
        Deployment {
            vars: vars.collect(),
            secrets: secrets.collect(),
            timeout,
            ..Deployment::new(ProviderName::new(self.file), url)
        }
    }

    fn provider(&self, deployment: Deployment) -> HttpProvider {
        let compiled = Definition::parse(&self.text()).unwrap().compile(deployment);
        compiled.map_err(|problems| format!("{}: {problems:?}", self.file)).unwrap()
    }

    /// Asks about a set while the counterpart is told what to say; with the reply comes what the counterpart remembers.
    async fn ask(
        &self,
        simulation: &Simulation,
        provider: &HttpProvider,
        set: ElementSet,
        script: Script,
    ) -> (Reply, sim::Inquired) {
        simulation.script(self.endpoint, Some(script));
        let before = simulation.inquiries(self.endpoint).len();
        let reply = provider.ask(&inquiry(elements(), set), now()).await;
        let book = simulation.inquiries(self.endpoint);
        assert_eq!(book.len(), before + 1, "{}: one inquiry is one request", self.file);
        assert_nothing_leaks(provider, &reply);
        (reply, book[before].clone())
    }
}

/// The simulated providers refuse requests that are not of this minute.
fn now() -> hefu::domain::clock::Timestamp {
    let ms = jiff::Timestamp::now().as_millisecond();
    hefu::domain::clock::Timestamp::from_millis(u64::try_from(ms).unwrap())
}

fn widest(provider: &HttpProvider) -> ElementSet {
    *provider.capability().sets.iter().max_by_key(|set| set.iter().count()).unwrap()
}

fn plain(said: Said) -> Script {
    Script { said, twist: Twist::None }
}

async fn simulation() -> (Simulation, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { people: 1, ..Settings::new(7, dir.path().into()) };
    (Simulation::start(settings).await.unwrap(), dir)
}

#[test]
fn every_shipped_definition_is_in_the_suite() {
    let files = fs::read_dir("config/providers").unwrap();
    let stem = |entry: std::io::Result<fs::DirEntry>| {
        entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()
    };
    let files: BTreeSet<String> = files.map(stem).collect();
    let suite: BTreeSet<String> = SHIPPED.iter().map(|shipped| shipped.file.to_owned()).collect();
    assert_eq!(files, suite);
}

#[tokio::test]
async fn what_a_provider_says_is_what_is_answered() {
    let (simulation, _dir) = simulation().await;
    for shipped in SHIPPED {
        let provider = shipped.provider(shipped.deployment(&simulation));
        let set = widest(&provider);
        for (said, words) in said().into_iter().zip(shipped.answers) {
            let case = format!("{}: {said:?}", shipped.file);
            let (answer, trouble) = expected(words);
            let (reply, asked) = shipped.ask(&simulation, &provider, set, plain(said)).await;
            assert_eq!((reply.answer, reply.trouble), (answer, trouble), "{case}: {reply:?}");
            assert!(asked.authentic, "{case}");
            assert_eq!(reply.code.as_deref(), Some(asked.code.as_str()), "{case}");
            // What is billed is in the map or in the answer, and the provider's own book knows it.
            let told = match reply.billable {
                Billable::Yes => Some(true),
                Billable::No => Some(false),
                Billable::Uncertain => None,
            };
            assert!(told.is_none_or(|told| told == asked.billable), "{case}: {reply:?} {asked:?}");
            if matches!(answer, Answer::Match | Answer::NoMatch(_)) {
                assert_eq!(reply.billable, Billable::Yes, "{case}");
            }
            if answer == Answer::Match {
                assert_eq!(reply.source.as_deref(), shipped.source, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn every_set_is_asked_with_its_elements_and_no_others() {
    let (simulation, _dir) = simulation().await;
    for shipped in SHIPPED {
        let provider = shipped.provider(shipped.deployment(&simulation));
        for set in provider.capability().sets.clone() {
            let (reply, asked) = shipped.ask(&simulation, &provider, set, plain(Said::Match)).await;
            assert_eq!(reply.answer, Answer::Match, "{}: {set:?} {reply:?}", shipped.file);
            let word = |element: sim::Element| match element {
                sim::Element::Name => Element::Name,
                sim::Element::IdNumber => Element::IdNumber,
                sim::Element::Pan => Element::Pan,
                sim::Element::Phone => Element::Phone,
            };
            let read: ElementSet =
                asked.elements.iter().map(|(element, _)| word(*element)).collect();
            let unread = [
                Element::Cvv2,
                Element::Expiry,
                Element::AccountLevel,
                Element::FaceImage,
                Element::IdCardImage,
                Element::BusinessName,
                Element::CreditCode,
                Element::CertificateNumber,
            ];
            assert_eq!(read, set.difference(unread.into_iter().collect()), "{}", shipped.file);
            for (element, value) in &asked.elements {
                let sent = match element {
                    sim::Element::Name => "张三",
                    sim::Element::IdNumber => "11010519491231002X",
                    sim::Element::Pan => PAN,
                    sim::Element::Phone => PHONE,
                };
                assert_eq!(value, sent, "{}: {set:?}", shipped.file);
            }
        }
    }
}

#[tokio::test]
async fn elements_that_no_register_has_are_checked_too() {
    let (simulation, _dir) = simulation().await;
    let by = |file: &str| SHIPPED.iter().find(|shipped| shipped.file == file).unwrap();
    let check = async |file: &str, wrong: hefu::domain::element::Elements| {
        let shipped = by(file);
        let provider = shipped.provider(shipped.deployment(&simulation));
        simulation.script(shipped.endpoint, Some(plain(Said::Match)));
        let reply = provider.ask(&inquiry(wrong, widest(&provider)), now()).await;
        assert_eq!(reply.answer, Answer::NoMatch(ElementSet::EMPTY), "{file}: {reply:?}");
    };
    let level = Some(hefu::domain::pan::AccountLevel::Two);
    check(
        "cpcn-account-level",
        hefu::domain::element::Elements { account_level: level, ..elements() },
    )
    .await;
    let cvv2 = hefu::domain::element::CardSecret::cvv2("123").ok();
    check("99bill-indauth", hefu::domain::element::Elements { cvv2, ..elements() }).await;
}

#[tokio::test]
async fn a_match_that_is_damaged_on_its_way_is_no_match() {
    let (simulation, _dir) = simulation().await;
    for shipped in SHIPPED {
        let provider = shipped.provider(shipped.deployment(&simulation));
        let set = widest(&provider);
        for twist in [Twist::Truncated, Twist::Page] {
            let script = Script { said: Said::Match, twist };
            let (reply, _) = shipped.ask(&simulation, &provider, set, script).await;
            let expected = [
                unavailable(Trouble::Unreadable, Billable::Uncertain, None),
                unavailable(Trouble::Signature, Billable::Uncertain, None),
            ];
            assert!(expected.contains(&reply), "{}: {twist:?} {reply:?}", shipped.file);
        }
        // Providers get the type of their answers wrong; it is the answer that counts.
        let script = Script { said: Said::Match, twist: Twist::OtherType };
        let (reply, _) = shipped.ask(&simulation, &provider, set, script).await;
        assert_eq!(reply.answer, Answer::Match, "{}", shipped.file);
    }
}

#[tokio::test]
async fn whoever_signs_wrongly_learns_nothing() {
    let (simulation, _dir) = simulation().await;
    for shipped in SHIPPED {
        for (name, _) in shipped.secrets.iter().filter(|(name, _)| *name != "verify_key") {
            let mut deployment = shipped.deployment(&simulation);
            let forged = match *name {
                "sign_key" => Rsa::generate(2048).unwrap().private_key_to_pem().unwrap(),
                _ => b"forged".to_vec(),
            };
            deployment.secrets.insert((*name).to_owned(), Secret::new(forged));
            let provider = shipped.provider(deployment);
            let (reply, asked) =
                shipped.ask(&simulation, &provider, widest(&provider), plain(Said::Match)).await;
            assert!(!asked.authentic, "{}: {name}", shipped.file);
            assert_eq!(
                (reply.answer, reply.billable, reply.trouble),
                (Answer::Unavailable, Billable::No, None),
                "{}: {reply:?}",
                shipped.file
            );
        }
    }
}

#[tokio::test]
async fn a_provider_that_fails_is_unavailable_and_nothing_else() {
    for shipped in SHIPPED {
        let (server, address) = serve(Behaviour::Hang).await;
        technical_failures(&shipped.text(), &server, address).await;
    }
}

async fn technical_failures(file: &str, server: &Server, address: SocketAddr) {
    let failed = |trouble, code| unavailable(trouble, Billable::Uncertain, code);
    let too_large = format!("a={}", "x".repeat(64 * 1024));
    let before = server.requests();
    let failures = [
        (500, "internal error", failed(Trouble::Status, Some("http_500"))),
        (302, "", failed(Trouble::Status, Some("http_302"))),
        (200, "", failed(Trouble::Unreadable, None)),
        (200, "<html>", failed(Trouble::Unreadable, None)),
        (200, "{\"Response\"", failed(Trouble::Unreadable, None)),
        (200, "<MasMessage>", failed(Trouble::Unreadable, None)),
        (200, &too_large, failed(Trouble::TooLarge, None)),
    ];
    for (status, body, expected) in &failures {
        server.behave(Behaviour::Say(*status, (*body).to_owned()));
        assert_eq!(ask(&at(file, address)).await, *expected, "{status}");
    }
    assert_eq!(server.requests() - before, failures.len(), "one question is one request");

    broken_off(file).await;
    server.behave(Behaviour::Hang);
    let timeout = Duration::from_millis(50);
    let short = Deployment { timeout, ..deployment(&format!("http://{address}")) };
    assert_eq!(ask(&provider(file, short)).await, failed(Trouble::Silence, None));

    // Bound and not listening: refused, and given to nobody else.
    let reserved = tokio::net::TcpSocket::new_v4().unwrap();
    reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let gone = reserved.local_addr().unwrap();
    let refused = unavailable(Trouble::Connect, Billable::No, None);
    assert_eq!(ask(&at(file, gone)).await, refused);
}

/// A server that says how long its answer is, and hangs up before the end.
async fn broken_off(file: &str) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 16 * 1024];
        let _ = peer.read(&mut request).await.unwrap();
        peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nrespCode=00").await.unwrap();
        // Asked once more, it would accept once more.
        peer.shutdown().await.unwrap();
        listener
    });
    let reply = ask(&at(file, address)).await;
    assert_eq!(reply, unavailable(Trouble::Silence, Billable::Uncertain, None));
    drop(server.await.unwrap());
}
