//! The contract that every shipped provider map passes, against a small server on loopback, and what `check` reports.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use expect_test::{Expect, expect};
use hefu::domain::answer::Answer;
use hefu::domain::clock::Timestamp;
use hefu::domain::element::{Element, ElementSet, Elements};
use hefu::domain::id::{PaymentId, ProviderName};
use hefu::domain::identity::{IdNumber, IdType};
use hefu::domain::pan::{AccountKind, Pan};
use hefu::domain::person::{Mobile, Name};
use hefu::provider::{
    Billable, Definition, Deployment, HttpProvider, Inquiry, Place, Provider, Reply, Secret,
    Trouble,
};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::{Signer, Verifier};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

const TENCENT: &str = include_str!("../config/providers/tencent-bankcard4e.toml");
const ALIYUN: &str = include_str!("../config/providers/aliyun-bankcard4.toml");
const OPERATOR3: &str = include_str!("../config/providers/operator3-market.toml");
const UNIONPAY: &str = include_str!("../config/providers/unionpay-auth72.toml");

/// 2026-01-01T00:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Long enough for any answer on loopback.
const PATIENT: Duration = Duration::from_secs(20);

// === the server ===

/// What the server does with the next request.
#[derive(Clone)]
enum Behaviour {
    Say(u16, String),
    Hang,
}

struct Seen {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

struct Server {
    behaviour: Mutex<Behaviour>,
    seen: Mutex<Vec<Seen>>,
}

impl Server {
    fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

async fn serve(behaviour: Behaviour) -> (Arc<Server>, SocketAddr) {
    let server = Arc::new(Server { behaviour: Mutex::new(behaviour), seen: Mutex::default() });
    let router = Router::new().fallback(handle).with_state(Arc::clone(&server));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (server, at)
}

async fn handle(
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

// === what is asked ===

static OURS: LazyLock<Rsa<Private>> = LazyLock::new(|| Rsa::generate(2048).unwrap());
static THEIRS: LazyLock<Rsa<Private>> = LazyLock::new(|| Rsa::generate(2048).unwrap());

fn deployment(url: &str) -> Deployment {
    let secrets = [
        ("secret_key", b"a made-up secret\n".to_vec()),
        ("access_key_secret", b"a made-up secret".to_vec()),
        ("appcode", b"0123456789abcdef\n".to_vec()),
        ("sign_key", OURS.private_key_to_pem().unwrap()),
        ("verify_key", THEIRS.public_key_to_pem().unwrap()),
    ];
    let vars = [
        ("secret_id", "AKIDexample"),
        ("access_key_id", "LTAIexample"),
        ("mer_id", "777000000000001"),
        ("cert_id", "68759663125"),
    ];
    Deployment {
        secrets: secrets.map(|(name, bytes)| (name.to_owned(), Secret::new(bytes))).into(),
        vars: vars.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        timeout: PATIENT,
        ..Deployment::new(ProviderName::new("test"), url)
    }
}

fn provider(file: &str, deployment: Deployment) -> HttpProvider {
    Definition::parse(file).unwrap().compile(deployment).unwrap()
}

fn at(file: &str, address: SocketAddr) -> HttpProvider {
    provider(file, deployment(&format!("http://{address}")))
}

const ID: &str = "11010519491231002X";
const PAN: &str = "6200000000000005";
const PHONE: &str = "13800000000";
const FOUR: &str = "name id_number pan phone";

fn elements() -> Elements {
    Elements {
        name: Name::parse("张三").ok(),
        id_number: IdNumber::parse(ID, IdType::ResidentId).ok(),
        pan: Pan::parse(PAN, AccountKind::Debit).ok(),
        phone: Mobile::parse(PHONE).ok(),
        ..Elements::default()
    }
}

fn inquiry(elements: Elements, set: ElementSet) -> Inquiry {
    Inquiry { id: PaymentId::new(NOW, 7), elements: elements.restricted(set), set }
}

fn set(words: &str) -> ElementSet {
    words.split(' ').map(|word| Element::from_word(word).unwrap()).collect()
}

/// Asks about the widest set that the provider answers.
async fn ask(provider: &HttpProvider) -> Reply {
    let widest = provider.capability().sets.iter().max_by_key(|set| set.iter().count()).unwrap();
    provider.ask(&inquiry(elements(), *widest), NOW).await
}

// === answers in each provider's words ===

fn tencent(result: &str) -> String {
    format!(r#"{{"Response":{{"Result":"{result}","Description":"x","RequestId":"0"}}}}"#)
}

fn tencent_error(code: &str) -> String {
    format!(r#"{{"Response":{{"Error":{{"Code":"{code}","Message":"x"}},"RequestId":"0"}}}}"#)
}

fn aliyun(business: &str, sub: &str) -> String {
    format!(
        r#"{{"Code":"200","Message":"success","ResultObject":{{"BizCode":"{business}","SubCode":"{sub}"}}}}"#
    )
}

fn aliyun_error(code: &str) -> String {
    format!(r#"{{"Code":"{code}","Message":"x"}}"#)
}

fn operator(result: &str, fee: u8) -> String {
    format!(
        r#"{{"code":"200","msg":"x","isFee":{fee},"data":{{"result":"{result}","mobileChannel":"cmcc"}}}}"#
    )
}

fn operator_error(code: &str) -> String {
    format!(r#"{{"code":"{code}","msg":"x","isFee":0}}"#)
}

/// What the form signature covers, written from its specification and not with the code under test.
fn digest(fields: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> =
        fields.iter().filter(|(k, _)| *k != "signature").map(|(k, v)| format!("{k}={v}")).collect();
    hex::encode(Sha256::digest(pairs.join("&")))
}

/// An answer signed with `key`, percent-encoded.
fn unionpay_by(code: &str, key: &Rsa<Private>) -> String {
    let mut fields = BTreeMap::from([
        ("respCode".to_owned(), code.to_owned()),
        ("respMsg".to_owned(), format!("应答 [{code}] + &=")),
    ]);
    let key = PKey::from_rsa(key.clone()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    let signature = signer.sign_oneshot_to_vec(digest(&fields).as_bytes()).unwrap();
    fields.insert("signature".into(), STANDARD.encode(signature));
    let escape = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let pairs: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={}", escape(v))).collect();
    pairs.join("&")
}

fn unionpay(code: &str) -> String {
    unionpay_by(code, &THEIRS)
}

fn decode_form(body: &[u8]) -> BTreeMap<String, String> {
    let decode =
        |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    std::str::from_utf8(body)
        .unwrap()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

// === the contract ===

/// What a provider says, and what that must become.
struct Case {
    body: String,
    answer: Answer,
    code: &'static str,
    billable: Billable,
}

fn case(body: String, answer: Answer, code: &'static str, billable: Billable) -> Case {
    Case { body, answer, code, billable }
}

fn unavailable(trouble: Trouble, billable: Billable, code: Option<&str>) -> Reply {
    let trouble = Some(trouble);
    Reply { answer: Answer::Unavailable, code: code.map(Into::into), billable, trouble }
}

fn assert_nothing_leaks(provider: &HttpProvider, reply: &Reply) {
    let shown = format!("{provider:?} {reply:?} {:?}", inquiry(elements(), set(FOUR)));
    for secret in ["张三", ID, PAN, PHONE, "made-up", "0123456789abcdef", "PRIVATE KEY"] {
        assert!(!shown.contains(secret), "`{secret}` shows in {shown}");
    }
}

/// What every map passes: the provider's own words, then every technical failure.
async fn contract(file: &str, cases: &[Case]) {
    let (server, address) = serve(Behaviour::Hang).await;
    let patient = at(file, address);
    for case in cases {
        server.behave(Behaviour::Say(200, case.body.clone()));
        let reply = ask(&patient).await;
        let code = Some(case.code.into());
        let (answer, billable) = (case.answer, case.billable);
        assert_eq!(reply, Reply { answer, code, billable, trouble: None }, "{}", case.body);
        assert_nothing_leaks(&patient, &reply);
    }
    let has = |wanted: fn(&Answer) -> bool| cases.iter().any(|case| wanted(&case.answer));
    assert!(has(|answer| *answer == Answer::Match));
    assert!(has(|answer| matches!(answer, Answer::NoMatch(_))));
    assert!(has(|answer| matches!(answer, Answer::NoRecord | Answer::NotPossible)));
    assert!(has(|answer| *answer == Answer::Unavailable));
    technical_failures(file, &server, address).await;
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
        (200, &too_large, failed(Trouble::TooLarge, None)),
    ];
    for (status, body, expected) in &failures {
        server.behave(Behaviour::Say(*status, (*body).to_owned()));
        assert_eq!(ask(&at(file, address)).await, *expected, "{status}");
    }
    assert_eq!(server.requests() - before, failures.len(), "one question is one request");

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

const UNTOLD: Answer = Answer::NoMatch(ElementSet::EMPTY);
const CARD: Answer = Answer::NoMatch(ElementSet::EMPTY.with(Element::Pan));

#[tokio::test]
async fn tencent_bankcard4e_keeps_the_contract() {
    use Answer::{Invalid, Match, NotPossible, Unavailable};
    use Billable::{No, Yes};
    let mut cases = vec![
        case(tencent("0"), Match, "0", Yes),
        case(tencent("-1"), UNTOLD, "-1", Yes),
        case(tencent("-6"), UNTOLD, "-6", Yes),
        case(tencent("-9"), CARD, "-9", Yes),
        case(tencent("-18"), Unavailable, "-18", No),
        case(tencent_error("RequestLimitExceeded"), Unavailable, "RequestLimitExceeded", No),
        case(tencent_error("InvalidParameterValue"), Invalid, "InvalidParameterValue", No),
    ];
    for code in ["-7", "-8", "-10", "-11", "-12", "-13", "-14", "-15", "-16", "-17"] {
        cases.push(case(tencent(code), NotPossible, code, Yes));
    }
    for code in ["-2", "-3", "-4", "-5"] {
        cases.push(case(tencent(code), Invalid, code, No));
    }
    contract(TENCENT, &cases).await;
}

#[tokio::test]
async fn aliyun_bankcard4_keeps_the_contract() {
    use Answer::{Invalid, Match, NoRecord, NotPossible, Unavailable};
    use Billable::{No, Yes};
    let cases = [
        case(aliyun("1", "101"), Match, "1/101", Yes),
        case(aliyun("2", "201"), UNTOLD, "2/201", Yes),
        case(aliyun("2", "202"), NotPossible, "2/202", Yes),
        case(aliyun("2", "209"), NotPossible, "2/209", Yes),
        case(aliyun("2", "214"), NotPossible, "2/214", Yes),
        case(aliyun("3", "301"), NotPossible, "3/301", No),
        case(aliyun("3", "303"), NotPossible, "3/303", No),
        case(aliyun("3", "304"), NoRecord, "3/304", No),
        case(aliyun_error("401"), Invalid, "401", No),
        case(aliyun_error("500"), Unavailable, "500", No),
        case(aliyun_error("Throttling.User"), Unavailable, "Throttling.User", No),
    ];
    contract(ALIYUN, &cases).await;
}

#[tokio::test]
async fn operator3_market_keeps_the_contract() {
    use Answer::{Invalid, Match, NoRecord, Unavailable};
    use Billable::{No, Yes};
    let unflagged = r#"{"code":200,"data":{"result":1}}"#.to_owned();
    let cases = [
        case(operator("1", 1), Match, "1", Yes),
        case(operator("2", 1), UNTOLD, "2", Yes),
        case(operator("3", 0), NoRecord, "3", No),
        // The flag in the answer outweighs the list.
        case(operator("3", 1), NoRecord, "3", Yes),
        case(operator("1", 0), Match, "1", No),
        case(unflagged, Match, "1", Yes),
        case(operator_error("400"), Invalid, "400", No),
        case(operator_error("999"), Unavailable, "999", No),
    ];
    contract(OPERATOR3, &cases).await;
}

#[tokio::test]
async fn unionpay_auth72_keeps_the_contract() {
    use Answer::{Limited, Match, NotPossible, Unavailable};
    use Billable::{No, Uncertain, Yes};
    let mut cases = vec![
        case(unionpay("00"), Match, "00", Yes),
        case(unionpay("66"), UNTOLD, "66", Yes),
        case(unionpay("61"), CARD, "61", Yes),
        case(unionpay("63"), NotPossible, "63", Yes),
        case(unionpay("37"), Limited, "37", No),
        case(unionpay("04"), Unavailable, "04", Uncertain),
    ];
    for code in ["60", "62", "67", "68", "72", "73", "77", "78"] {
        cases.push(case(unionpay(code), NotPossible, code, No));
    }
    for code in ["02", "10", "11", "12", "13", "14", "98", "99"] {
        cases.push(case(unionpay(code), Unavailable, code, No));
    }
    contract(UNIONPAY, &cases).await;
}

async fn check_unmapped(file: &str, body: String, code: Option<&str>) {
    let (_server, address) = serve(Behaviour::Say(200, body)).await;
    let expected = unavailable(Trouble::Unmapped, Billable::Uncertain, code);
    assert_eq!(ask(&at(file, address)).await, expected);
}

#[tokio::test]
async fn an_unknown_code_is_unavailable_and_perhaps_billed() {
    check_unmapped(TENCENT, tencent("-99"), Some("-99")).await;
    check_unmapped(TENCENT, tencent_error("Brand.New"), Some("Brand.New")).await;
    check_unmapped(ALIYUN, aliyun("2", "299"), Some("2/299")).await;
    let unflagged = r#"{"code":"200","data":{"result":"9"}}"#.to_owned();
    check_unmapped(OPERATOR3, unflagged, Some("9")).await;
    check_unmapped(UNIONPAY, unionpay("A9"), Some("A9")).await;
}

#[tokio::test]
async fn a_code_is_short_and_clean_and_never_an_element() {
    let long = tencent(&format!("è \\n{}", "x".repeat(99)));
    check_unmapped(TENCENT, long, Some(&"x".repeat(32))).await;
    check_unmapped(TENCENT, tencent(&format!("bad card {PAN}")), None).await;
    check_unmapped(TENCENT, tencent("张三"), None).await;
}

#[tokio::test]
async fn an_answer_that_the_pinned_key_did_not_sign_says_nothing() {
    let forged = unavailable(Trouble::Signature, Billable::Uncertain, None);
    let changed = unionpay("66").replace("respCode=66", "respCode=00");
    for body in [unionpay_by("00", &OURS), changed, "respCode=00".to_owned()] {
        let (_server, address) = serve(Behaviour::Say(200, body)).await;
        assert_eq!(ask(&at(UNIONPAY, address)).await, forged);
    }
    // Without a pinned key TLS alone vouches, and the answer counts.
    let (_server, address) = serve(Behaviour::Say(200, unionpay_by("00", &OURS))).await;
    let mut unpinned = deployment(&format!("http://{address}"));
    unpinned.secrets.remove("verify_key");
    assert_eq!(ask(&provider(UNIONPAY, unpinned)).await.answer, Answer::Match);
}

// === requests ===

/// Asks one question and returns what arrived.
async fn sent(file: &str, words: &str, elements: Elements) -> Seen {
    let (server, address) = serve(Behaviour::Say(200, String::new())).await;
    let inquiry = inquiry(elements, set(words));
    at(file, address).ask(&inquiry, NOW).await;
    server.seen.lock().unwrap().remove(0)
}

fn show(seen: &Seen, headers: &[&str], body: &str) -> String {
    let mut lines = vec![format!("{} {}", seen.method, seen.uri)];
    let header = |name: &&str| format!("{name}: {}", seen.headers[*name].to_str().unwrap());
    lines.extend(headers.iter().map(header));
    lines.push(body.to_owned());
    lines.join("\n")
}

#[tokio::test]
async fn a_json_request_is_what_the_interface_documents() {
    let seen = sent(TENCENT, FOUR, elements()).await;
    let headers = ["content-type", "x-tc-action", "x-tc-version", "x-tc-timestamp"];
    expect![[r#"
        POST /
        content-type: application/json; charset=utf-8
        x-tc-action: BankCard4EVerification
        x-tc-version: 2018-03-01
        x-tc-timestamp: 1767225600
        {"BankCard":"6200000000000005","CertType":0,"IdCard":"11010519491231002X","Name":"张三","Phone":"13800000000"}"#]].assert_eq(&show(&seen, &headers, std::str::from_utf8(&seen.body).unwrap()));
    let authorization = seen.headers["authorization"].to_str().unwrap();
    let start = "TC3-HMAC-SHA256 Credential=AKIDexample/2026-01-01/faceid/tc3_request, \
                 SignedHeaders=content-type;host, Signature=";
    assert!(authorization.starts_with(start), "{authorization}");
}

#[tokio::test]
async fn a_form_request_is_what_the_interface_documents() {
    let seen = sent(ALIYUN, "name id_number pan", elements()).await;
    let headers =
        ["content-type", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce"];
    expect![[r#"
        POST /
        content-type: application/x-www-form-urlencoded
        x-acs-action: BankMetaVerify
        x-acs-version: 2019-03-07
        x-acs-date: 2026-01-01T00:00:00Z
        x-acs-signature-nonce: 01KDVDNA000000000000000007
        {
            "BankCard": "6200000000000005",
            "IdentifyNum": "11010519491231002X",
            "ParamType": "normal",
            "ProductType": "BANK_CARD_3_META",
            "UserName": "张三",
            "VerifyMode": "BANK_CARD_3_META",
        }"#]]
    .assert_eq(&show(&seen, &headers, &format!("{:#?}", decode_form(&seen.body))));
    let hash = hex::encode(Sha256::digest(&seen.body));
    assert_eq!(seen.headers["x-acs-content-sha256"].to_str().unwrap(), hash);
}

#[tokio::test]
async fn a_secret_goes_into_its_header() {
    let seen = sent(OPERATOR3, "name id_number phone", elements()).await;
    let form = format!("{:#?}", decode_form(&seen.body));
    expect![[r#"
        POST /
        authorization: APPCODE 0123456789abcdef
        {
            "idCard": "11010519491231002X",
            "mobile": "13800000000",
            "name": "张三",
        }"#]]
    .assert_eq(&show(&seen, &["authorization"], &form));
}

async fn check_product(words: &str, product: &str, customer: &str) {
    let seen = sent(UNIONPAY, words, elements()).await;
    let fields = decode_form(&seen.body);
    assert_eq!(seen.uri.path(), "/gateway/api/backTransReq.do");
    assert_eq!(fields["productId"], product);
    assert_eq!(fields["accNo"], PAN);
    assert_eq!(fields["txnTime"], "20260101080000");
    let wrapped = String::from_utf8(STANDARD.decode(&fields["customerInfo"]).unwrap()).unwrap();
    assert_eq!(wrapped, customer, "{words}");
    let key = PKey::public_key_from_pem(&OURS.public_key_to_pem().unwrap()).unwrap();
    let mut verifier = Verifier::new(MessageDigest::sha256(), &key).unwrap();
    let signature = STANDARD.decode(&fields["signature"]).unwrap();
    assert!(verifier.verify_oneshot(&signature, digest(&fields).as_bytes()).unwrap());
}

#[tokio::test]
async fn a_product_number_follows_from_the_element_set() {
    check_product("name pan", "B136", "{customerNm=张三}").await;
    check_product("id_number pan", "B144", "{certifId=11010519491231002X&certifTp=01}").await;
    check_product("pan phone", "B132", "{phoneNo=13800000000}").await;
    let three = "{certifId=11010519491231002X&certifTp=01&customerNm=张三}";
    check_product("name id_number pan", "B152", three).await;
    let four = "{certifId=11010519491231002X&certifTp=01&customerNm=张三&phoneNo=13800000000}";
    check_product(FOUR, "B156", four).await;
}

#[tokio::test]
async fn no_name_breaks_out_of_its_field() {
    let name = "买买提·O'NEIL & \u{20BB7}";
    let elements = Elements { name: Name::parse(name).ok(), ..elements() };
    let name = elements.name.as_ref().unwrap().expose().to_owned();
    assert!(name.contains('&'));
    let seen = sent(TENCENT, FOUR, elements.clone()).await;
    let json: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(json["Name"].as_str(), Some(name.as_str()));
    let seen = sent(ALIYUN, FOUR, elements.clone()).await;
    assert_eq!(decode_form(&seen.body)["UserName"], name);

    // The inner form has no escapes, so a name with `&` cannot be written, and is not sent.
    let (server, address) = serve(Behaviour::Hang).await;
    let reply = at(UNIONPAY, address).ask(&inquiry(elements, set(FOUR)), NOW).await;
    assert_eq!((reply.answer, reply.trouble), (Answer::Invalid, Some(Trouble::Unwritable)));
    assert_eq!((reply.billable, server.requests()), (Billable::No, 0));
}

#[tokio::test]
async fn only_what_it_can_answer_is_asked() {
    let (server, address) = serve(Behaviour::Hang).await;
    let tencent = at(TENCENT, address);
    let check = async |elements: Elements, words: &str| {
        let reply = tencent.ask(&inquiry(elements, set(words)), NOW).await;
        assert_eq!((reply.answer, reply.trouble), (Answer::NotPossible, Some(Trouble::NotAsked)));
        assert_eq!((reply.billable, server.requests()), (Billable::No, 0));
    };
    check(elements(), "name id_number pan").await;
    check(Elements { phone: None, ..elements() }, FOUR).await;
    let company = Pan::parse("62000006", AccountKind::Corporate).ok();
    check(Elements { pan: company, ..elements() }, FOUR).await;
    let passport = IdNumber::parse("E12345678", IdType::Passport).ok();
    check(Elements { id_number: passport, ..elements() }, FOUR).await;
}

#[tokio::test]
async fn the_rate_limit_is_ours_and_free() {
    let (server, address) = serve(Behaviour::Say(200, tencent("0"))).await;
    let rate = std::num::NonZeroU32::new(1);
    let slow = Deployment { rate, ..deployment(&format!("http://{address}")) };
    let slow = provider(TENCENT, slow);
    assert_eq!(ask(&slow).await.answer, Answer::Match);
    assert_eq!(ask(&slow).await, unavailable(Trouble::Rate, Billable::No, None));
    assert_eq!(server.requests(), 1);
}

// === what `check` reports ===

/// Every problem of a file and a deployment, with line and column in the file.
fn problems(file: &str, deployment: Deployment) -> String {
    let problems = match Definition::parse(file) {
        Err(problem) => vec![problem],
        Ok(definition) => definition.compile(deployment).err().unwrap_or_default(),
    };
    let line = |problem: hefu::provider::Problem| {
        let place = match &problem.place {
            Place::Deployment(key) => format!("deployment.{key}"),
            Place::File(span) => {
                let before = &file.as_bytes()[..span.start];
                let line = before.split(|byte| *byte == b'\n').count();
                let column = before.rsplit(|byte| *byte == b'\n').next().unwrap().len() + 1;
                format!("{line}:{column}")
            }
        };
        let hint = problem.hint.map(|hint| format!("\n    {hint}")).unwrap_or_default();
        format!("{place} {}{hint}\n", problem.message)
    };
    problems.into_iter().map(line).collect()
}

/// The problems of a shipped map after one change each.
fn check_file(changes: &[(&str, &str)], expected: Expect) {
    let mut found = String::new();
    for (from, to) in changes {
        let file = [TENCENT, UNIONPAY].into_iter().find(|file| file.contains(from)).unwrap();
        let problems = problems(&file.replace(from, to), deployment("https://host.example"));
        found.extend(["# ", &to.replace('\n', " "), "\n", &problems]);
    }
    expected.assert_eq(&found);
}

#[test]
fn a_problem_in_the_request_says_where_and_what_to_do() {
    let changes = [
        ("road = ", "raod = "),
        ("path = \"/\"", "path = \"?a\""),
        ("{{ name }}", "{{ nmae }}"),
        ("{{ name }}", "{{ name"),
        ("{{ name }}", "{{ cvv2 }}"),
        ("{{ time.unix }}", "{{ time.unxi }}"),
        ("{{ var.secret_id }}", "{{ var.secretid }}"),
        ("X-TC-Action", "Host"),
        ("[\"content-type\", \"host\"]", "[\"x-nonce\"]"),
        ("[request.form]", "[request.json]"),
        ("product_id = \"B136\"", "mer_id = \"B136\""),
        ("[\"id_number\", \"pan\"]", "[\"name\", \"pan\"]"),
        ("[\"id_number\", \"pan\"]", "[\"face_image\"]"),
        ("account_kinds = [\"debit\"", "account_kinds = [\"debti\""),
    ];
    check_file(
        &changes,
        expect![[r##"
        # raod = 
        11:1 unknown field `raod`, expected one of `road`, `source`, `account_kinds`, `id_types`, `charset`, `sets`, `request`, `auth`, `response`
        # path = "?a"
        20:8 `?a` is no plain path
            write it from its first `/`, without query or escapes
        # {{ nmae }}
        28:8 `nmae` is no variable
            did you mean `name`?
        # {{ name
        28:8 the template does not parse: unexpected end of input, expected end of variable block
        # {{ cvv2 }}
        28:8 the template fails for {name id_number pan phone}: undefined value
            an element that is not in every set needs `{% if … is defined %}`
        # {{ time.unxi }}
        25:18 `time.unxi` is no variable
            did you mean `unix`?
        45:13 `time.unxi` is no variable
            did you mean `unix`?
        # {{ var.secretid }}
        37:10 `var.secretid` is set neither by an element set nor by the deployment
            add `secretid = "…"` to `vars` of the provider in the main configuration
        # Host
        23:1 `host` is not for a definition
            leave it out; the connection sets it
        # ["x-nonce"]
        39:19 `x-nonce` is signed and never sent
            add it to `request.headers`
        # [request.json]
        58:2 this signature covers form fields, and the request has none
            give the request a `form`
        # mer_id = "B136"
        18:10 the deployment sets `var.mer_id` too
            name one of them otherwise
        53:13 the template fails for {name pan}: undefined value
            an element that is not in every set needs `{% if … is defined %}`
        # ["name", "pan"]
        21:12 {name pan} is there twice
        # ["face_image"]
        21:12 {face_image} cannot be asked
            a set has one or more of: name id_number pan phone cvv2 expiry
        55:9 the template fails for {face_image}: undefined value
            an element that is not in every set needs `{% if … is defined %}`
        # account_kinds = ["debti"
        13:18 `debti` is not known here
            did you mean `debit`?
    "##]],
    );
}

#[test]
fn a_problem_in_the_response_says_where_and_what_to_do() {
    let changes = [
        ("code = [\"/Response/Result\"]", "code = [\"Result\"]\nabsent = \"next\""),
        ("match = [\"0\"]", "match = [\"0\", \"-7\"]"),
        ("match = [\"0\"]", "mtach = [\"0\"]"),
        ("\"-9\" = [\"pan\"]", "\"-9\" = [\"pna\"]"),
        ("\"-9\" = [\"pan\"]", "\"-9\" = [\"cvv2\"]"),
        ("billable = [\"0\"", "billable = [\"77\""),
        ("uncertain = [\"01\"", "uncertain = [\"00\""),
    ];
    check_file(
        &changes,
        expect![[r##"
        # code = ["Result"] absent = "next"
        84:8 the last layer has no next one
            leave out `next` and `absent`, or add the layer that they mean
        84:9 `Result` is no JSON pointer
            it begins with `/` (RFC 6901)
        # match = ["0", "-7"]
        90:5 `-7` means two answers
            keep one of the two
        # mtach = ["0"]
        88:1 unknown field `mtach`, expected one of `match`, `close_match`, `no_match`, `no_record`, `not_possible`, `limited`, `invalid`, `unavailable`
        # "-9" = ["pna"]
        107:9 `pna` is not known here
            did you mean `pan`?
        # "-9" = ["cvv2"]
        107:9 `cvv2` is no element of any set here
            name only what is asked
        # billable = ["77"
        85:13 `77` has a price and no meaning
            say what it means under `answers`
        # uncertain = ["00"
        68:13 `00` is billed, and perhaps not
            keep one of the two
    "##]],
    );
}

#[test]
fn elements_go_over_tls_or_loopback() {
    let check = |urls: &[&str], expected: Expect| {
        let problems = |url: &&str| format!("# {url}\n{}", problems(TENCENT, deployment(url)));
        expected.assert_eq(&urls.iter().map(problems).collect::<String>());
    };
    let urls = [
        "https://host.example:8443",
        "http://localhost:8080",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "http://host.example",
        "http://localhost.host.example",
        "https://host.example/path",
        "https://user:pw@host.example",
        "file:///etc/passwd",
        "host.example",
    ];
    check(
        &urls,
        expect![[r#"
        # https://host.example:8443
        # http://localhost:8080
        # http://127.0.0.1:8080
        # http://[::1]:8080
        # http://host.example
        deployment.url elements go over TLS, or over loopback
            use `https://`
        # http://localhost.host.example
        deployment.url elements go over TLS, or over loopback
            use `https://`
        # https://host.example/path
        deployment.url the URL has more than scheme, host and port
            the definition has the path; credentials go into files
        # https://user:pw@host.example
        deployment.url the URL has more than scheme, host and port
            the definition has the path; credentials go into files
        # file:///etc/passwd
        deployment.url the URL has more than scheme, host and port
            the definition has the path; credentials go into files
        # host.example
        deployment.url the URL cannot be read
            write scheme, host and port: `https://host.example:443`
    "#]],
    );
}

#[test]
fn what_a_deployment_lacks_is_named() {
    let check = |change: fn(&mut Deployment), file: &str, expected: Expect| {
        let mut deployment = deployment("https://host.example");
        change(&mut deployment);
        expected.assert_eq(&problems(file, deployment));
    };
    let garbage = |it: &mut Deployment| {
        for secret in it.secrets.values_mut() {
            *secret = Secret::new(vec![0xFF, 0]);
        }
        it.ca = Some(b"no certificate".to_vec());
    };
    check(
        |it| it.secrets.clear(),
        TENCENT,
        expect![[r#"
        deployment.secrets the secret `secret_key` is missing
            add `secret_key = "/path/to/file"` to the provider's secret files
    "#]],
    );
    check(
        |it| it.vars.clear(),
        UNIONPAY,
        expect![[r#"
        44:10 `var.cert_id` is set neither by an element set nor by the deployment
            add `cert_id = "…"` to `vars` of the provider in the main configuration
        50:9 `var.mer_id` is set neither by an element set nor by the deployment
            add `mer_id = "…"` to `vars` of the provider in the main configuration
    "#]],
    );
    check(
        garbage,
        UNIONPAY,
        expect![[r#"
        deployment.secrets the secret `sign_key` is no RSA private key
            convert a PFX with `openssl pkcs12 -nodes -nocerts`
        deployment.secrets `verify_key` is no RSA public key or certificate
            it must be PEM
        deployment.ca no certificate can be read
            the file holds PEM
    "#]],
    );
    check(
        garbage,
        OPERATOR3,
        expect![[r#"
        deployment.secrets the secret `appcode` is empty or no text
            the file holds the secret and nothing else
        deployment.ca no certificate can be read
            the file holds PEM
    "#]],
    );
}

#[test]
fn every_shipped_map_compiles_and_the_schema_knows_every_kind() {
    for file in [TENCENT, ALIYUN, OPERATOR3, UNIONPAY] {
        assert_eq!(problems(file, deployment("https://host.example")), "");
        assert!(file.starts_with("# "));
    }
    let schema = serde_json::to_string(&schemars::schema_for!(Definition)).unwrap();
    for kind in ["static_header", "canonical_request_hmac", "sorted_form_rsa_sha256"] {
        assert!(schema.contains(kind), "{schema}");
    }
}
