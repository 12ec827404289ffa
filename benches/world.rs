//! What the benches share: the shipped profiles in a directory of their own, and made-up messages.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hefu::config::{self, Config};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::fs;
use std::ops::Range;
use std::path::Path;

/// How long every request of the benches is.
pub(crate) const REQUEST_BYTES: usize = 430;

/// What the messages and the answers are.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded;charset=UTF-8";

/// As many as an order has in the messages.
const ORDER_DIGITS: usize = 14;

/// The shipped files.
pub(crate) const SHIPPED: [(&str, &str); 4] = [
    ("channels/unionpay.toml", include_str!("../config/channels/unionpay.toml")),
    ("channels/baofoo.toml", include_str!("../config/channels/baofoo.toml")),
    ("codes/unionpay.toml", include_str!("../config/codes/unionpay.toml")),
    ("codes/baofoo.toml", include_str!("../config/codes/baofoo.toml")),
];

/// Loads the shipped profiles beside a `hefu.toml` that goes on with `deployment`.
pub(crate) fn configure(dir: &Path, deployment: &str) -> Config {
    for (name, text) in SHIPPED {
        let file = dir.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    fs::write(dir.join("fingerprint.key"), [7; 32]).unwrap();
    fs::write(dir.join("policy.toml"), "[mode]\nunionpay = { enforce = 100 }\n").unwrap();
    let around = "[listen]\ncore = \"127.0.0.1:0\"\n\
        [secrets]\nfingerprint_key_file = \"fingerprint.key\"\nfingerprint_key_id = 1\n";
    fs::write(dir.join("hefu.toml"), format!("{around}{deployment}")).unwrap();
    config::load(dir).map_err(|problems| problems.to_string()).unwrap()
}

/// Writes so many rules of five conditions, all of which but the last hold of the debit that is sent.
pub(crate) fn rules(dir: &Path, count: usize) {
    let rule = |number: usize| {
        let bins: Vec<String> =
            (0..9).map(|bin| format!("\"63{:02}{bin:02}\"", number % 100)).collect();
        format!(
            "[[rule]]\nid = \"rule-{number}\"\naction = \"annotate\"\nstate = \"live\"\nowner = \"bench\"\nwhen = '''\n\
             payment.scenario == \"debit\" && payment.channel != \"baofoo\" && has(card.bin) && card.bin in [\"620000\", {}] \
             && velocity(\"card\", \"debit\", \"1h\") >= 1 && has(payment.amount) && payment.amount > {}\n'''\n",
            bins.join(", "),
            100 + number
        )
    };
    fs::create_dir_all(dir.join("rules")).unwrap();
    fs::write(dir.join("rules/bench.toml"), (0..count).map(rule).collect::<String>()).unwrap();
}

/// The head of a POST of so many bytes to `path`.
pub(crate) fn head(path: &str, length: usize) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: gateway.example\r\nUser-Agent: core/1.0\r\nAccept: */*\r\n\
         Content-Type: {FORM}\r\nContent-Length: {length}\r\n\r\n"
    );
    head.into_bytes()
}

/// Where the number of the order is in a message, or in a request with one.
pub(crate) fn order_in(bytes: &[u8]) -> Range<usize> {
    let name = b"&orderId=";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    at..at + ORDER_DIGITS
}

/// A message about one made-up person's card, of [`REQUEST_BYTES`]: `kind` is `txnType`, `txnSubType` and `bizType`.
pub(crate) fn message(kind: [&str; 3]) -> Vec<u8> {
    message_of(kind, REQUEST_BYTES)
}

/// As [`message`], of so many bytes, by a longer signature.
pub(crate) fn message_of(kind: [&str; 3], bytes: usize) -> Vec<u8> {
    let customer = "{certifTp=01&certifId=11010519491231002X&customerNm=张三&phoneNo=13800000000}";
    let customer = STANDARD.encode(customer);
    let customer = utf8_percent_encode(&customer, NON_ALPHANUMERIC);
    let [txn_type, sub_type, business] = kind;
    let mut body = format!(
        "version=5.1.0&encoding=UTF-8&signMethod=01&certId=68759663125&txnType={txn_type}&txnSubType={sub_type}\
         &bizType={business}&channelType=07&accessType=0&merId=777290058110048&orderId=20261123000001\
         &txnTime=20261123000000&txnAmt=100&currencyCode=156&accNo=6200000000000005&accType=01\
         &customerInfo={customer}&signature="
    );
    assert!(body.len() <= bytes, "{}", body.len());
    body.extend(std::iter::repeat_n('A', bytes - body.len()));
    body.into_bytes()
}

/// Which message is a debit by card, with four elements.
pub(crate) const DEBIT: [&str; 3] = ["11", "02", "000501"];

/// That debit.
pub(crate) fn debit() -> Vec<u8> {
    message(DEBIT)
}

/// The channel's answer to either.
pub(crate) fn answer() -> Vec<u8> {
    b"accNo=6200****0005&accessType=0&bizType=000501&currencyCode=156&encoding=UTF-8&merId=777290058110048\
      &orderId=20261123000001&queryId=202611230000000000018&respCode=00&respMsg=success&signMethod=01\
      &txnAmt=100&txnSubType=02&txnTime=20261123000000&txnType=11&version=5.1.0&certId=68759585097\
      &signature=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        .to_vec()
}
