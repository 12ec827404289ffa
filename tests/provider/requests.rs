//! What requests look like, and which are never sent.

use crate::codes::{decode_form, digest, tencent};
use crate::common::{
    ALIYUN, Behaviour, FOUR, NOW, OPERATOR3, OURS, PAN, Seen, TENCENT, UNIONPAY, ask, at,
    deployment, elements, inquiry, provider, serve, set, unavailable,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use expect_test::expect;
use hefu::domain::answer::Answer;
use hefu::domain::element::Elements;
use hefu::domain::identity::{IdNumber, IdType};
use hefu::domain::pan::{AccountKind, Pan};
use hefu::domain::person::Name;
use hefu::domain::trace::{Trace, TraceParent};
use hefu::provider::trace::Current;
use hefu::provider::{Billable, Deployment, Provider, Trouble, trace};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Verifier;
use sha2::{Digest, Sha256};

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
async fn a_question_is_asked_within_the_cores_trace() {
    let told = |seen: Seen| seen.headers.get("traceparent").cloned();
    assert_eq!(told(sent(TENCENT, FOUR, elements()).await), None);
    let trace = TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let ours = Current { at: Trace::joined(trace.unwrap(), 0xab), spans: None };
    let asking = async {
        // The asking is a task of its own.
        let asking = trace::carried(sent(TENCENT, FOUR, elements()));
        tokio::spawn(asking).await.unwrap()
    };
    let told = told(trace::within(Some(ours), asking).await).unwrap();
    assert_eq!(told, "00-0af7651916cd43dd8448eb211c80319c-00000000000000ab-01");
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
            "VerifyMode": "VERIFY_BANK_CARD",
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
