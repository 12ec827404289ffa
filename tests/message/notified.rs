//! What a pinned key vouches for is what the channel said, and nothing that could be made of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hefu::config;
use hefu::crypto::signature::Hash;
use hefu::message::extract::Request;
use hefu::message::notification::{self, Notified, Vouched};
use hefu::message::profile::Profile;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

const FORM: &str = "application/x-www-form-urlencoded";

fn place(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

static PROFILE: LazyLock<Profile> = LazyLock::new(|| {
    let keys =
        BTreeMap::from([("notify".to_owned(), place("tests/message/unionpay/keys/notify.pem"))]);
    let profile = config::profile(&place("config/channels/unionpay.toml"), &keys);
    profile.map_err(|problems| problems.to_string()).unwrap()
});

/// What is told, where the pinned key vouches for it.
fn vouched(body: &[u8]) -> Option<Notified> {
    let request = Request::post("/notify/unionpay", FORM, body);
    let told = notification::read(&PROFILE, PROFILE.notify.as_ref()?, &request).ok()?;
    (told.vouched == Vouched::Yes).then_some(told)
}

/// A form of these fields in this order, with the signature of `text`.
fn form(fields: &[(&str, &str)], text: &str) -> Vec<u8> {
    let key = std::fs::read(place("tests/message/unionpay/keys/notify.key")).unwrap();
    let key = PKey::private_key_from_pem(&key).unwrap();
    let digest = Hash::Sha256.hex(text.as_bytes()).unwrap();
    let mut hand = Signer::new(MessageDigest::sha256(), &key).unwrap();
    let signature = STANDARD.encode(hand.sign_oneshot_to_vec(digest.as_bytes()).unwrap());
    let fields = fields.iter().copied().chain([("signature", signature.as_str())]);
    let escaped = |text: &str| percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string();
    let pairs: Vec<_> =
        fields.map(|(key, value)| format!("{}={}", escaped(key), escaped(value))).collect();
    pairs.join("&").into_bytes()
}

fn joined(fields: &[(&str, &str)]) -> String {
    let mut pairs: Vec<_> = fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.sort();
    pairs.join("&")
}

const SAID: [(&str, &str); 9] = [
    ("merId", "777290000000001"),
    ("orderId", "T1"),
    ("reqReserved", "a"),
    ("respCode", "66"),
    ("respMsg", "no"),
    ("txnAmt", "8888"),
    ("txnSubType", "02"),
    ("txnTime", "20260101120000"),
    ("txnType", "11"),
];

static SIGNED: LazyLock<Vec<u8>> = LazyLock::new(|| form(&SAID, &joined(&SAID)));

/// What the core has the channel echo comes back signed: it must not become another field.
#[test]
fn an_echo_is_not_cut_out_of_its_field() {
    assert_eq!(vouched(&SIGNED).unwrap().reading.code.as_deref(), Some("66"));
    let mut said = SAID;
    said[2].1 = "{a=1&b=2}&c=3";
    assert!(vouched(&form(&said, &joined(&said))).is_some(), "an echo that is no field's name");
    said[2].1 = "a&respCode=00&respMsg=yes";
    let text = joined(&said);
    // The same text, cut elsewhere.
    let mut cut = SAID;
    (cut[3].1, cut[4].1) = ("00", "yes&respCode=66&respMsg=no");
    assert_eq!(joined(&cut), text);
    assert_eq!(vouched(&form(&cut, &text)), None);
    assert_eq!(vouched(&form(&said, &text)), None, "nobody can tell which of them was signed");
    let mut merged = SAID.to_vec();
    merged.remove(4);
    merged[3] = ("respCode=66&respMsg", "no");
    assert_eq!(joined(&merged), joined(&SAID));
    assert_eq!(vouched(&form(&merged, &joined(&SAID))), None);
}

/// The shipped profile of `unionpay` with some of its text otherwise, under the pinned key.
fn changed(changes: &[(&str, &str)]) -> Profile {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["channels", "codes"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    let codes = std::fs::read(place("config/codes/unionpay.toml")).unwrap();
    std::fs::write(dir.path().join("codes/unionpay.toml"), codes).unwrap();
    let mut profile = std::fs::read_to_string(place("config/channels/unionpay.toml")).unwrap();
    for (from, to) in changes {
        assert!(profile.contains(from), "{from}");
        profile = profile.replace(from, to);
    }
    let file = dir.path().join("channels/unionpay.toml");
    std::fs::write(&file, profile).unwrap();
    let pem = place("tests/message/unionpay/keys/notify.pem");
    let keys = BTreeMap::from([("notify".to_owned(), pem)]);
    config::profile(&file, &keys).map_err(|problems| problems.to_string()).unwrap()
}

/// The channel's signature over the body alone.
const OF_THE_BODY: (&str, &str) =
    (r#"over = "sorted_pairs_sha256_hex", at = "signature""#, r#"over = "body", at = "@signed""#);

fn sign(text: &str) -> String {
    let key = std::fs::read(place("tests/message/unionpay/keys/notify.key")).unwrap();
    let key = PKey::private_key_from_pem(&key).unwrap();
    let mut hand = Signer::new(MessageDigest::sha256(), &key).unwrap();
    STANDARD.encode(hand.sign_oneshot_to_vec(text.as_bytes()).unwrap())
}

/// A signature over the body says nothing of a query: what was signed once could be sent beside any other content.
#[test]
fn a_signed_body_does_not_vouch_for_a_query() {
    let profile = changed(&[OF_THE_BODY]);
    let said = joined(&SAID);
    let forged = said.replace("respCode=66", "respCode=00");
    let check = |method, query, body: &str, expected| {
        let signature = sign(body);
        let request = Request {
            method,
            query,
            headers: &[("signed", signature.as_bytes())],
            ..Request::post("/notify/unionpay", FORM, body.as_bytes())
        };
        let told = notification::read(&profile, profile.notify.as_ref().unwrap(), &request);
        assert_eq!(told.unwrap().vouched, expected, "{method} {query:?} {body}");
    };
    check("POST", None, &said, Vouched::Yes);
    check("POST", Some(&forged), &said, Vouched::Yes);
    check("GET", Some(&forged), &said, Vouched::No);
    check("GET", Some(&forged), "", Vouched::No);
}

/// Nor of the head beside it, which says whose the payment is.
#[test]
fn a_signed_body_does_not_vouch_for_a_header() {
    let merchant = "scenario = [\"debit\"]\nwhen = { txnType = \"11\" }\norder = [\"merId\", \"orderId\", \"txnTime\"]\nmerchant = \"merId\"";
    let beside = merchant.replace("merchant = \"merId\"", "merchant = \"@merchant\"");
    let said = joined(&SAID);
    let signature = sign(&said);
    let check = |profile: &Profile, expected| {
        let request = Request {
            headers: &[("signed", signature.as_bytes()), ("merchant", b"777290000000009")],
            ..Request::post("/notify/unionpay", FORM, said.as_bytes())
        };
        let told = notification::read(profile, profile.notify.as_ref().unwrap(), &request);
        assert_eq!(told.unwrap().vouched, expected);
    };
    check(&changed(&[OF_THE_BODY]), Vouched::Yes);
    check(&changed(&[OF_THE_BODY, (merchant, &beside)]), Vouched::Unknown);
}

/// What the channel sealed for one merchant was believed of another's order with the same number, since the merchant stands beside it
/// (`member_id`): whoever has one such message of his own could send it for anybody.
#[test]
fn a_sealed_block_beside_another_merchant_is_not_believed() {
    let key = |name: &str, end: &str| place(&format!("tests/message/baofoo/keys/{name}.{end}"));
    let keys = BTreeMap::from([("answer".to_owned(), key("answer", "pem"))]);
    let profile = config::profile(&place("config/channels/baofoo.toml"), &keys);
    let profile = profile.map_err(|problems| problems.to_string()).unwrap();
    let own = std::fs::read(key("answer", "key")).unwrap();
    let own = openssl::rsa::Rsa::private_key_from_pem(&own).unwrap();
    let sealed = |inner: &str| {
        let mut blocks = String::new();
        for piece in STANDARD.encode(inner).as_bytes().chunks(32) {
            let mut block = vec![0; usize::try_from(own.size()).unwrap()];
            own.private_encrypt(piece, &mut block, openssl::rsa::Padding::PKCS1).unwrap();
            blocks += &hex::encode(block);
        }
        blocks
    };
    let check = |beside: &str, within: &str, expected: Option<Vouched>| {
        let told = r#""trans_id":"P1","resp_code":"0000","succ_amt":"8888""#;
        let body = format!(
            "{beside}&data_type=json&data_content={}",
            sealed(&format!("{{{within}{told}}}"))
        );
        let request = Request::post("/notify/baofoo", FORM, body.as_bytes());
        let told = notification::read(&profile, profile.notify.as_ref().unwrap(), &request);
        assert_eq!(told.ok().map(|told| told.vouched), expected, "{beside} {within}");
    };
    let mine = r#""member_id":"100000276","#;
    check("member_id=100000276", mine, Some(Vouched::Yes));
    check("member_id=100000276&terminal_id=7", mine, Some(Vouched::Yes));
    // Another merchant beside it, or in it: nobody can tell which.
    check("member_id=100000999", mine, None);
    check("member_id=100000276", r#""member_id":"100000999","#, None);
    // It names no merchant: it may be anybody's.
    check("member_id=100000276", "", Some(Vouched::Unknown));
    check("member_id=100000276", r#""member_id":"","#, Some(Vouched::Unknown));
    check("member_id=100000276", r#""member_id":null,"#, Some(Vouched::Unknown));
    // A copy that is none: beside it, and not in it.
    check("member_id=100000276&data_content%2Fmember_id=100000276", "", Some(Vouched::Unknown));
    check("member_id=100000276&member_id=100000276", mine, None);
    check("", mine, None);
}

proptest! {
    /// Whatever byte is another one, it says the same or nothing vouches for it.
    #[test]
    fn no_byte_can_be_another_one(at in 0..SIGNED.len(), byte: u8) {
        let mut body = SIGNED.clone();
        body[at] = byte;
        if let Some(told) = vouched(&body) {
            prop_assert_eq!(Some(told), vouched(&SIGNED));
        }
    }

    /// Nor whatever is beside it, before or behind.
    #[test]
    fn nothing_can_be_added(beside in "[a-zA-Z]{1,8}=[a-z0-9&=%]{0,8}", before: bool) {
        let signed = String::from_utf8(SIGNED.clone()).unwrap();
        let body = if before { format!("{beside}&{signed}") } else { format!("{signed}&{beside}") };
        prop_assert_eq!(vouched(body.as_bytes()), None);
    }
}
