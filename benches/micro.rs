//! What the pure parts of an inspected exchange cost, one by one, and what a sealed message and rules cost beside them.

pub(crate) mod rules;

use crate::stages::Stages;
use crate::timed::nanos_of;
use crate::world;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hefu::message::extract::{Request, extract};
use openssl::rsa::{Padding, Rsa};
use std::hint::black_box;

/// A channel that nobody connects to, which opens what it seals with two files.
const DEPLOYMENT: &str = r#"
[channels.baofoo]
upstreams = ["http://127.0.0.1:1"]
keys = { request = "core.pem", answer = "core.pem" }
"#;

/// How many sealed messages are read in a batch: RSA takes longer than all the rest.
const SEALED: u32 = 500;

pub(crate) fn run() {
    Stages::measure().print();
    println!("\n{:<24} {:>8.0} ns", "extract, sealed by RSA", sealed());
    rules::compare();
    rules::backtest();
}

fn sealed() -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let key = Rsa::generate(2048).unwrap();
    std::fs::write(dir.path().join("core.pem"), key.public_key_to_pem().unwrap()).unwrap();
    let config = world::configure(dir.path(), DEPLOYMENT);
    let profile = config.profile("baofoo").unwrap();
    let bind = sealed_bind(&key);
    let request = Request::post("/cutpayment/api/backtransrequest", world::FORM, &bind);
    let extracted = extract(profile, &request).unwrap();
    let elements = &extracted.payments.first().unwrap().payment.elements;
    assert_eq!(elements.set().iter().count(), 4);
    nanos_of(SEALED, || extract(profile, black_box(&request)).unwrap())
}

/// A bind with four elements, sealed block by block.
fn sealed_bind(key: &Rsa<openssl::pkey::Private>) -> Vec<u8> {
    let inner = r#"{"trans_id":"1","member_id":"100000749","terminal_id":"100000933","trans_serial_no":"1","trade_date":"20261123000000","biz_type":"0000","acc_no":"6200000000000005","id_card_type":"01","id_card":"11010519491231002X","id_holder":"张三","mobile":"13800000000","pay_code":"ICBC"}"#;
    let mut blocks = Vec::new();
    for piece in STANDARD.encode(inner).as_bytes().chunks(32) {
        let mut block = vec![0; usize::try_from(key.size()).unwrap()];
        key.private_encrypt(piece, &mut block, Padding::PKCS1).unwrap();
        blocks.extend(block);
    }
    let outer = "txn_type=0431&txn_sub_type=01&version=4.0.0.0&member_id=100000749&terminal_id=100000933&data_type=json";
    format!("{outer}&data_content={}", hex::encode(blocks)).into_bytes()
}
