//! What the pure parts of an inspected exchange cost, one by one.
#![expect(clippy::unwrap_used, reason = "a bench may panic")]

#[path = "micro/rules.rs"]
mod rules;
mod world;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use criterion::Criterion;
use hefu::crypto::fingerprint::Fingerprinter;
use hefu::domain::answer::Answer;
use hefu::domain::id::KeyId;
use hefu::domain::payment::{Mode, Scenario};
use hefu::message::extract::{Request, extract};
use hefu::message::outcome;
use hefu::policy::{Basis, Facts, Policy, Verification, decide};
use openssl::rsa::{Padding, Rsa};
use std::hint::black_box;

/// Channels that nobody connects to; the second opens what it seals with two files.
const DEPLOYMENT: &str = r#"
[channels.unionpay]
upstreams = ["http://127.0.0.1:1"]

[channels.baofoo]
upstreams = ["http://127.0.0.1:1"]
keys = { request = "core.pem", answer = "core.pem" }
"#;

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let key = Rsa::generate(2048).unwrap();
    std::fs::write(dir.path().join("core.pem"), key.public_key_to_pem().unwrap()).unwrap();
    let config = world::configure(dir.path(), DEPLOYMENT);
    let (unionpay, baofoo) =
        (config.profile("unionpay").unwrap(), config.profile("baofoo").unwrap());
    let (debit, sealed, answer) = (world::debit(), sealed_bind(&key), world::answer());
    let request = |path, body| Request { content_type: FORM, ..Request::post(path, "", body) };
    let debit = request("/gateway/api/backtransreq.do", &debit);
    let sealed = request("/cutpayment/api/backtransrequest", &sealed);
    let mut criterion = Criterion::default().configure_from_args();

    criterion.bench_function("extract a form", |bench| {
        bench.iter(|| extract(unionpay, black_box(&debit)).unwrap());
    });
    criterion.bench_function("extract a sealed message", |bench| {
        bench.iter(|| extract(baofoo, black_box(&sealed)).unwrap());
    });

    let extracted = extract(unionpay, &debit).unwrap();
    let elements = &extracted.payments.first().unwrap().payment.elements;
    let fingerprinter = Fingerprinter::new(KeyId(1), &[7; 32]).unwrap();
    assert_eq!(elements.set().iter().count(), 4);
    assert_eq!(
        extract(baofoo, &sealed).unwrap().payments.first().unwrap().payment.elements.set(),
        elements.set()
    );
    criterion.bench_function("fingerprint four elements", |bench| {
        bench.iter(|| fingerprinter.tuple(black_box(elements), elements.set()).unwrap());
    });

    let policy = Policy::default();
    let facts = Facts {
        scenario: Scenario::Debit,
        mode: Mode::Enforce,
        basis: Basis::Verified(Verification::Answered(Answer::NoRecord)),
        asserted: false,
        held: false,
        spared: false,
    };
    criterion.bench_function("decide", |bench| {
        bench.iter(|| decide(&policy, black_box(&facts)));
    });

    assert_eq!(
        outcome::read(unionpay, extracted.message, None, &answer).whole().code.unwrap(),
        "00"
    );
    criterion.bench_function("read an answer", |bench| {
        bench.iter(|| outcome::read(unionpay, extracted.message, None, black_box(&answer)));
    });
    rules::bench(&mut criterion);
    criterion.final_summary();
    rules::backtest();
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
