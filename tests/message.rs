//! What the shipped profiles make of real shapes of messages, and of hostile ones. All people are made up.
#![expect(
    clippy::unwrap_used,
    clippy::format_push_string,
    reason = "a test may panic, and need not be fast"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encoding_rs::GB18030;
use hefu::config;
use hefu::message::extract::{self, ExtractError, Part, Payments, Request};
use hefu::message::node::ReadError;
use hefu::message::outcome;
use hefu::message::profile::Profile;
use openssl::pkey::Private;
use openssl::rsa::{Padding, Rsa};
use proptest::prelude::*;
use std::path::Path;
use std::sync::LazyLock;

const FORM: &str = "application/x-www-form-urlencoded";

struct World {
    unionpay: Profile,
    baofoo: Profile,
    /// The core's key and the channel's, which seal payloads.
    core: Rsa<Private>,
    channel: Rsa<Private>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let (core, channel) = (Rsa::generate(1024).unwrap(), Rsa::generate(1024).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for file in [
        "channels/unionpay.toml",
        "channels/baofoo.toml",
        "codes/unionpay.toml",
        "codes/baofoo.toml",
        "policy.toml",
    ] {
        let place = dir.path().join(file);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(shipped.join(file), place).unwrap();
    }
    let main = "[listen]\ncore = \"127.0.0.1:0\"\n[secrets]\nfingerprint_key_file = \"key\"\nfingerprint_key_id = 1\n\
        [channels.unionpay]\nupstreams = [\"http://127.0.0.1:1\"]\n[channels.baofoo]\nupstreams = [\"http://127.0.0.1:1\"]\n\
        keys = { request = \"core.pem\", answer = \"channel.pem\" }\n";
    std::fs::write(dir.path().join("hefu.toml"), main).unwrap();
    std::fs::write(dir.path().join("key"), [7; 32]).unwrap();
    std::fs::write(dir.path().join("core.pem"), core.public_key_to_pem().unwrap()).unwrap();
    std::fs::write(dir.path().join("channel.pem"), channel.public_key_to_pem().unwrap()).unwrap();
    let config = config::load(dir.path()).map_err(|problems| problems.to_string()).unwrap();
    let profile = |name| config.profile(name).unwrap().clone();
    World { unionpay: profile("unionpay"), baofoo: profile("baofoo"), core, channel }
});

fn request(body: &[u8]) -> Request<'_> {
    Request::post("/gateway/api/backtransreq.do", FORM, body)
}

/// What a request yields, in one line.
fn show(profile: &Profile, request: &Request<'_>) -> String {
    let extracted = match extract::extract(profile, request) {
        Ok(extracted) => extracted,
        Err(ExtractError::Read(ReadError::Ambiguous { at, what })) => {
            return format!("ambiguous: {what} at {at}");
        }
        Err(ExtractError::Read(ReadError::Unreadable { at, what })) => {
            return format!("unreadable: {what} at {at}");
        }
        Err(ExtractError::Unlisted) => return "unlisted".to_owned(),
        Err(ExtractError::MediaType) => return "media type".to_owned(),
    };
    match &extracted.payments {
        Payments::One(part) => show_part(part),
        Payments::Rows(rows) => rows.iter().map(show_part).collect::<Vec<_>>().join("\n"),
    }
}

fn show_part(part: &Part) -> String {
    let payment = &part.payment;
    let mut shown = payment.scenario.as_str().to_owned();
    if let Some(order) = &payment.order {
        shown += &format!(" {}", order.0);
    }
    if let Some(amount) = payment.amount {
        shown += &format!(" {amount}");
    }
    if let Some(agreement) = &payment.agreement {
        shown += &format!(" by {}", agreement.0);
    }
    shown += &format!(" [{}]", payment.elements.set());
    if let Some(pan) = &payment.elements.pan {
        shown += &format!(" {} {}", pan.masked(), pan.kind().as_str());
    }
    for (what, set) in [("asserted", payment.asserted), ("sealed", part.sealed)] {
        if !set.is_empty() {
            shown += &format!(" {what} [{set}]");
        }
    }
    for invalid in &part.invalid {
        shown += &format!(" invalid {}", invalid.element());
    }
    for (what, key) in [("remember", &part.remember), ("recall", &part.recall)] {
        if let Some(key) = key {
            shown += &format!(" {what} {key}");
        }
    }
    shown
}

const PERSON: &str =
    "{certifTp=01&certifId=11010519491231002X&customerNm=阿依古丽·买买提&phoneNo=13800000000}";

fn customer_info(text: &str, encoding: &'static encoding_rs::Encoding) -> String {
    STANDARD.encode(encoding.encode(text).0)
}

/// A form with every value percent-encoded in its charset.
fn form(fields: &[(&str, &str)], encoding: &'static encoding_rs::Encoding) -> Vec<u8> {
    let encoded = fields.iter().map(|(key, value)| {
        let bytes = encoding.encode(value).0.into_owned();
        format!(
            "{key}={}",
            percent_encoding::percent_encode(&bytes, percent_encoding::NON_ALPHANUMERIC)
        )
    });
    encoded.collect::<Vec<_>>().join("&").into_bytes()
}

fn unionpay_with(kind: (&str, &str), info: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let gbk = more.contains(&("encoding", "GBK"));
    let encoding = if gbk { GB18030 } else { encoding_rs::UTF_8 };
    let info = customer_info(info, encoding);
    let mut fields = vec![
        ("version", "5.1.0"),
        ("txnType", kind.0),
        ("txnSubType", kind.1),
        ("bizType", "000501"),
        ("merId", "777290000000001"),
        ("orderId", "T1"),
        ("txnTime", "20260101120000"),
        ("txnAmt", "8888"),
        ("accNo", "6200000000000005"),
        ("customerInfo", &info),
        ("reqReserved", "a+b %2B ·"),
        ("signPubKeyCert", "-----BEGIN CERTIFICATE-----\r\nMIIB+/=\r\n-----END CERTIFICATE-----"),
        ("reserved", ""),
    ];
    if !gbk {
        fields.push(("encoding", "UTF-8"));
    }
    fields.extend(more);
    form(&fields, encoding)
}

fn check_unionpay(kind: (&str, &str), more: &[(&str, &str)], expected: &str) {
    let body = unionpay_with(kind, PERSON, more);
    assert_eq!(show(&WORLD.unionpay, &request(&body)), expected, "{kind:?} {more:?}");
}

#[test]
fn every_form_message_is_read() {
    const ORDER: &str = "777290000000001|T1|20260101120000";
    const FOUR: &str = "[name id_number pan phone] 620000******0005";
    check_unionpay(("11", "02"), &[("accType", "01")], &format!("debit {ORDER} 8888 {FOUR} debit"));
    check_unionpay(
        ("11", "02"),
        &[("encoding", "GBK")],
        &format!("debit {ORDER} 8888 {FOUR} debit"),
    );
    check_unionpay(
        ("11", "02"),
        &[("accType", "04")],
        &format!("debit {ORDER} 8888 {FOUR} corporate"),
    );
    check_unionpay(("01", "01"), &[], &format!("pay {ORDER} 8888 {FOUR} debit"));
    check_unionpay(("12", "00"), &[], &format!("payout {ORDER} 8888 {FOUR} debit"));
    check_unionpay(("72", "11"), &[], &format!("bind {ORDER} {FOUR} debit"));
    check_unionpay(("72", "01"), &[], &format!("verify {ORDER} {FOUR} debit"));
    check_unionpay(("72", "10"), &[], &format!("verify {ORDER} {FOUR} debit"));
    check_unionpay(("74", "04"), &[], &format!("unbind {ORDER} []"));
    check_unionpay(("77", "02"), &[], &format!("sms {ORDER} []"));
    check_unionpay(("00", "00"), &[], &format!("query {ORDER} []"));
    check_unionpay(("04", "00"), &[], &format!("refund {ORDER} 8888 []"));
    check_unionpay(("31", "00"), &[], &format!("void {ORDER} []"));
    check_unionpay(("55", "55"), &[], "unlisted");
}

#[test]
fn sealed_elements_are_told_beside_the_message_or_are_missing() {
    let body = unionpay_with(("11", "02"), PERSON, &[("encryptCertId", "1")]);
    let check = |told: Option<String>, expected: &str| {
        let shown = show(&WORLD.unionpay, &Request { told: told.as_deref(), ..request(&body) });
        assert!(shown.ends_with(expected), "{shown}");
    };
    check(None, "[name id_number] sealed [pan phone cvv2 expiry]");
    let pan = STANDARD.encode("6200000000000005");
    let phone = STANDARD.encode("13800000000");
    check(
        Some(format!("pan=:{pan}:, phone=:{phone}:")),
        "[name id_number pan phone] 620000******0005 debit asserted [pan phone] sealed [cvv2 expiry]",
    );
    let other = STANDARD.encode("张三");
    check(Some(format!("name=:{other}:")), "ambiguous: contradicts the message at Hefu-Elements");
    let same = STANDARD.encode("阿依古丽•买买提");
    check(Some(format!("name=:{same}:")), "[name id_number] sealed [pan phone cvv2 expiry]");
    check(
        Some("name=x".to_owned()),
        "unreadable: a value that is not a byte sequence at Hefu-Elements",
    );
}

#[test]
fn hostile_forms_are_not_verified() {
    let legal = String::from_utf8(unionpay_with(("11", "02"), PERSON, &[])).unwrap();
    let check = |body: &str, expected: &str| {
        let shown = show(&WORLD.unionpay, &request(body.as_bytes()));
        assert!(shown.starts_with(expected), "{body}: {shown}");
    };
    check(&legal, "debit");
    for twin in [
        "txnAmt=1",
        "TXNAMT=1",
        "txnAmt%5B%5D=1",
        "%74xnAmt=1",
        "+txnAmt=1",
        "txnType=04",
        "customerInfo=e30%3D",
    ] {
        check(&format!("{legal}&{twin}"), "ambiguous");
    }
    for tail in ["&x=1;txnAmt=1", "&x", "&", "&x=%zz"] {
        check(&format!("{legal}{tail}"), "ambiguous");
    }
    for amount in ["01", "1e3", "1.0", "-1", "+1", "%EF%BC%91", "", "99999999999999999999"] {
        check(&legal.replace("txnAmt=8888", &format!("txnAmt={amount}")), "ambiguous");
    }
    check(&legal.replace("txnAmt=8888&", ""), "unreadable: no amount");
    check(&legal.replace("merId=777290000000001&", ""), "unreadable: no order");
    check(&format!("\u{FEFF}{legal}"), "unreadable");
    check(&legal.replace("UTF%2D8", "latin1"), "unreadable");
    check("{\"txnType\":\"11\"}", "ambiguous");
    check("", "unlisted");
    for info in
        ["{certifId=1&certifId=2}", "{CERTIFID=1&certifId=2}", "certifId=1", "{certifId}", "{a={b}"]
    {
        let body = unionpay_with(("11", "02"), info, &[]);
        let shown = show(&WORLD.unionpay, &request(&body));
        assert!(
            shown.starts_with("ambiguous") || shown.starts_with("unreadable"),
            "{info}: {shown}"
        );
    }
    let body = legal.as_bytes();
    for content_type in [None, Some("application/json"), Some("text/plain")] {
        assert_eq!(show(&WORLD.unionpay, &Request { content_type, ..request(body) }), "media type");
    }
    for (content_type, expected) in [
        (
            "application/x-www-form-urlencoded;charset=GBK",
            "ambiguous: contradictory charsets at charset",
        ),
        (
            "application/x-www-form-urlencoded;charset=utf-8;charset=utf-8",
            "ambiguous: a repeated charset at charset",
        ),
    ] {
        let request = Request { content_type: Some(content_type), ..request(body) };
        assert_eq!(show(&WORLD.unionpay, &request), expected);
    }
    let request = Request { query: Some("txnAmt=1"), ..request(body) };
    assert_eq!(show(&WORLD.unionpay, &request), "ambiguous: fields outside the body at query");
}

fn seal(key: &Rsa<Private>, inner: &str) -> String {
    let mut sealed = String::new();
    for piece in STANDARD.encode(inner).as_bytes().chunks(32) {
        let mut block = vec![0; 128];
        key.private_encrypt(piece, &mut block, Padding::PKCS1).unwrap();
        sealed += &hex::encode(block);
    }
    sealed
}

fn baofoo(sub_type: &str, inner: &str, key: &Rsa<Private>) -> Vec<u8> {
    let content = seal(key, inner);
    format!("version=4.0.0.0&terminal_id=1&txn_type=0431&txn_sub_type={sub_type}&member_id=100&data_type=json&data_content={content}")
        .into_bytes()
}

fn check_baofoo(sub_type: &str, inner: &str, expected: &str) {
    let body = baofoo(sub_type, inner, &WORLD.core);
    assert_eq!(show(&WORLD.baofoo, &request(&body)), expected, "{sub_type}");
}

const BIND: &str = r#"{"trans_id":"B1","acc_no":"6200000000000005","id_card_type":"01","id_card":"11010519491231002X","id_holder":"张三","mobile":"13800000000","valid_date":"","valid_no":""}"#;

#[test]
fn every_sealed_message_is_opened() {
    const FOUR: &str = "[name id_number pan phone] 620000******0005 debit";
    check_baofoo("01", BIND, &format!("bind 100|B1 {FOUR}"));
    check_baofoo("11", BIND, &format!("bind 100|B1 {FOUR} remember 100|B1"));
    check_baofoo("12", r#"{"trans_id":"B1","sms_code":"1"}"#, "bind 100|B1 [] recall 100|B1");
    check_baofoo("02", r#"{"trans_id":"U1","bind_id":"A1"}"#, "unbind 100|U1 by A1 []");
    check_baofoo(
        "15",
        r#"{"trans_id":"P1","bind_id":"A1","txn_amt":"100"}"#,
        "sms 100|P1 by A1 []",
    );
    check_baofoo(
        "16",
        r#"{"trans_id":"P1","bind_id":"A1","txn_amt":"100"}"#,
        "debit 100|P1 100 by A1 []",
    );
    check_baofoo(
        "16",
        r#"{"trans_id":"P1","bind_id":"A1","txn_amt":100}"#,
        "debit 100|P1 100 by A1 []",
    );
    check_baofoo("31", r#"{"orig_trans_id":"P1"}"#, "query 100|P1 []");
    check_baofoo(
        "16",
        r#"{"trans_id":"P1","bind_id":"A1","bind_id":"A2","txn_amt":"1"}"#,
        "ambiguous: a repeated key at data_content/bind_id",
    );
    let stranger = baofoo("16", "{}", &WORLD.channel);
    assert_eq!(
        show(&WORLD.baofoo, &request(&stranger)),
        "unreadable: does not open under the configured key at data_content"
    );
}

#[test]
fn a_payout_is_read_row_by_row() {
    let row = r#"{"trans_no":"W1","trans_money":"12.34","to_acc_name":"张三","to_acc_no":"6200000000000005","trans_card_id":"11010519491231002X","trans_mobile":"13800000000"}"#;
    let check = |rows: &str, expected: &str| {
        let inner =
            format!(r#"{{"trans_content":{{"trans_reqDatas":[{{"trans_reqData":[{rows}]}}]}}}}"#);
        let body = format!(
            "member_id=100&terminal_id=1&data_type=json&version=4.0.0&data_content={}",
            seal(&WORLD.core, &inner)
        );
        let request =
            Request { path: "/baofoo-fopay/pay/bf0040001.do", ..request(body.as_bytes()) };
        let shown = show(&WORLD.baofoo, &request);
        assert!(shown.starts_with(expected), "{shown}");
    };
    check(row, "payout 100|W1 1234 [name id_number pan phone] 620000******0005 debit");
    let other = row.replace("W1", "W2").replace("12.34", "5");
    check(
        &format!("{row},{other}"),
        "payout 100|W1 1234 [name id_number pan phone] 620000******0005 debit\npayout 100|W2 500 [",
    );
    check(&format!("{row},{row}"), "ambiguous: two rows of one name");
    check(&format!("{row},{}", other.replace("W2", "")), "unreadable: a row without a name");
    check("", "unreadable: no rows");
    check(&other.replace("\"5\"", "\"5e1\""), "ambiguous: not an amount in the declared unit");
}

fn check_answer(profile: &Profile, sent: &[u8], answer: &str, expected: &str) {
    let message = extract::extract(profile, &request(sent)).unwrap().message;
    let reading = outcome::read(profile, message, None, answer.as_bytes()).whole();
    let agreement =
        reading.agreement.map(|agreement| format!(" yields {}", agreement.0)).unwrap_or_default();
    let shown = format!("{:?} {}{agreement}", reading.outcome, reading.code.unwrap_or_default());
    assert_eq!(shown.trim(), expected, "{answer}");
}

#[test]
fn accepted_is_not_paid_and_a_query_is_read_in_its_right_layer() {
    let debit = unionpay_with(("11", "02"), PERSON, &[]);
    let verify = unionpay_with(("72", "01"), PERSON, &[]);
    let query = unionpay_with(("00", "00"), PERSON, &[]);
    let check = |sent: &[u8], answer: &str, expected: &str| {
        check_answer(&WORLD.unionpay, sent, answer, expected);
    };
    check(&debit, "respCode=00&respMsg=成功[0000000]&signature=a+b==", "Accepted 00");
    check(&verify, "respCode=00", "Succeeded 00");
    check(&debit, "respCode=61", "NoMatch(Named({pan})) 61");
    check(&debit, "respCode=65", "NoMatch(OneOf({cvv2 expiry})) 65");
    check(&debit, "respCode=66", "NoMatch(OneOf({name id_number phone})) 66");
    check(&debit, "respCode=64", "Declined(InsufficientFunds) 64");
    check(&debit, "respCode=03", "Unknown 03");
    check(&debit, "respCode=Q7", "Unmapped Q7");
    check(&debit, "respCode=00&respCode=66", "Unknown");
    check(&debit, "respMsg=x", "Unknown");
    check(&debit, "<html>", "Unknown");
    check(&query, "respCode=00&origRespCode=66", "NoMatch(OneOf({name id_number phone})) 66");
    check(&query, "respCode=00&origRespCode=00", "Succeeded 00");
    check(&query, "respCode=34", "Declined(NotProcessed) 34");
}

#[test]
fn sealed_answers_are_opened_with_the_channels_key() {
    let bind = baofoo("12", r#"{"trans_id":"B1"}"#, &WORLD.core);
    let debit = baofoo("16", r#"{"trans_id":"P1","bind_id":"A1","txn_amt":"1"}"#, &WORLD.core);
    let query = baofoo("31", r#"{"orig_trans_id":"P1"}"#, &WORLD.core);
    let check = |sent: &[u8], inner: &str, expected: &str| {
        check_answer(&WORLD.baofoo, sent, &seal(&WORLD.channel, inner), expected);
    };
    check(&bind, r#"{"resp_code":"0000","bind_id":"A7"}"#, "Succeeded 0000 yields A7");
    check(&debit, r#"{"resp_code":"0000"}"#, "Succeeded 0000");
    for (code, expected) in [
        ("BF00343", "NoMatch(Named({phone})) BF00343"),
        ("BF00344", "NoMatch(Named({pan})) BF00344"),
        ("BF00345", "NoMatch(Named({name})) BF00345"),
        ("BF00346", "NoMatch(Named({id_number})) BF00346"),
        ("BF00101", "NoMatch(OneOf({name id_number})) BF00101"),
        ("BF00100", "Unknown BF00100"),
        ("BF00134", "Declined(AgreementInvalid) BF00134"),
        ("BF00342", "Declined(InsufficientFunds) BF00342"),
    ] {
        check(&debit, &format!(r#"{{"resp_code":"{code}"}}"#), expected);
    }
    // FF is the query's own failure, and never the payment's.
    check(&query, r#"{"resp_code":"0000","order_stat":"FF"}"#, "Unknown FF");
    check(&query, r#"{"resp_code":"0000","order_stat":"S"}"#, "Succeeded S");
    check_answer(&WORLD.baofoo, &debit, &seal(&WORLD.core, "{}"), "Unknown");
    check_answer(&WORLD.baofoo, &debit, "not hex", "Unknown");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_order_of_fields_and_the_way_of_escaping_do_not_matter(
        seed in any::<u64>(),
        name in "[张李王赵阿依古丽]{2,6}(·[买提]{2,4})?",
        gbk in any::<bool>(),
    ) {
        let encoding = if gbk { GB18030 } else { encoding_rs::UTF_8 };
        let label = if gbk { "GBK" } else { "UTF-8" };
        let info = customer_info(&format!("{{certifId=11010519491231002X&customerNm={name}&phoneNo=13800000000}}"), encoding);
        let mut fields = vec![
            ("txnType", "11".to_owned()), ("txnSubType", "02".to_owned()), ("merId", "1".to_owned()),
            ("orderId", "T1".to_owned()), ("txnTime", "2".to_owned()), ("txnAmt", "8888".to_owned()),
            ("accNo", "6200000000000005".to_owned()), ("customerInfo", info), ("encoding", label.to_owned()),
            ("reserved", String::new()), ("riskRateInfo", "{x=1&y=2}".to_owned()),
        ];
        let mut state = seed;
        let mut next = || { state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); state >> 33 };
        fields.sort_by_cached_key(|_| next());
        let body: Vec<_> = fields.iter().map(|(key, value)| {
            let value: String = value.bytes().map(|byte| {
                let plain = byte.is_ascii_alphanumeric() && next() % 3 != 0;
                let hex = if next() % 2 == 0 { format!("%{byte:02x}") } else { format!("%{byte:02X}") };
                // A charset is peeked at before it is known, so it is written plainly, as it is in the field.
                if plain || *key == "encoding" { char::from(byte).to_string() } else { hex }
            }).collect();
            format!("{key}={value}")
        }).collect();
        let shown = show(&WORLD.unionpay, &request(body.join("&").as_bytes()));
        prop_assert_eq!(shown, "debit 1|T1|2 8888 [name id_number pan phone] 620000******0005 debit");
    }

    #[test]
    fn a_changed_byte_never_panics_and_never_reads_two_ways(at in any::<prop::sample::Index>(), byte in any::<u8>(), insert in any::<bool>()) {
        let mut body = unionpay_with(("11", "02"), PERSON, &[]);
        let at = at.index(body.len());
        if insert { body.insert(at, byte) } else if let Some(slot) = body.get_mut(at) { *slot = byte }
        if let Ok(extracted) = extract::extract(&WORLD.unionpay, &request(&body)) {
            // An independent reader: the URL standard's, as browsers have it.
            let read: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
            let values = |key: &str| read.iter().filter(|(k, _)| k == key).map(|(_, v)| v.clone()).collect::<Vec<_>>();
            let payment = &extracted.payments.first().unwrap().payment;
            let amount = payment.amount.map(|amount| amount.to_string());
            prop_assert_eq!(values("txnAmt"), amount.into_iter().collect::<Vec<_>>());
            let order = ["merId", "orderId", "txnTime"].map(|key| values(key).join("")).join("|");
            prop_assert_eq!(order, payment.order.as_ref().map(|order| order.0.to_string()).unwrap_or_default());
        }
    }
}
