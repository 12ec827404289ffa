//! What every code of the older maps must become, in each provider's own words.

use crate::common::{
    ALIYUN, Behaviour, OPERATOR3, OURS, PAN, TENCENT, THEIRS, UNIONPAY, ask, assert_nothing_leaks,
    at, deployment, provider, serve, unavailable,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hefu::domain::answer::Answer;
use hefu::domain::element::{Element, ElementSet};
use hefu::provider::{Billable, More, Reply, Trouble, WITHHELD};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub(crate) fn tencent(result: &str) -> String {
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
pub(crate) fn digest(fields: &BTreeMap<String, String>) -> String {
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

pub(crate) fn decode_form(body: &[u8]) -> BTreeMap<String, String> {
    let decode =
        |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    std::str::from_utf8(body)
        .unwrap()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

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

/// The provider's own words, one after the other.
async fn contract(file: &str, cases: &[Case]) {
    let (server, address) = serve(Behaviour::Hang).await;
    let patient = at(file, address);
    for case in cases {
        server.behave(Behaviour::Say(200, case.body.clone()));
        let reply = ask(&patient).await;
        let code = Some(case.code.into());
        let (answer, billable, source) = (case.answer, case.billable, reply.source.clone());
        let expected = Reply { answer, code, billable, source, trouble: None, more: More::NOTHING };
        assert_eq!(reply, expected, "{}", case.body);
        assert_nothing_leaks(&patient, &reply);
    }
    let has = |wanted: fn(&Answer) -> bool| cases.iter().any(|case| wanted(&case.answer));
    assert!(has(|answer| *answer == Answer::Match));
    assert!(has(|answer| matches!(answer, Answer::NoMatch(_))));
    assert!(has(|answer| matches!(answer, Answer::NoRecord | Answer::NotPossible)));
    assert!(has(|answer| *answer == Answer::Unavailable));
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
    // Other characters than letters, digits, `.`, `_`, `-`, `/`; more than six digits; four in a row as in an element of the question.
    for code in [
        "138 0000 0000",
        "phone-13900000001",
        "11010519491231002x",
        "1949-12-31",
        "6217 0000 1234 5678 901",
        "DOB19491231",
        "dob-1949",
        "E6222021234",
        "NAME-%E5%BC%A0",
        "Limit.2026-11-2",
    ] {
        check_unmapped(TENCENT, tencent_error(code), Some(WITHHELD)).await;
    }
    check_unmapped(TENCENT, tencent_error("Limit.2026-11"), Some("Limit.2026-11")).await;
}

#[tokio::test]
async fn a_code_of_no_map_is_short_or_withheld() {
    check_unmapped(TENCENT, tencent(&"x".repeat(99)), Some(&"x".repeat(32))).await;
    let long = tencent(&format!("è \\n{}", "x".repeat(99)));
    for body in [long, tencent(&format!("bad card {PAN}")), tencent("张三")] {
        check_unmapped(TENCENT, body, Some(WITHHELD)).await;
    }
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
