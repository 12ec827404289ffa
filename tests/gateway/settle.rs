//! `hefu settle` against the real `hefu serve`, and whoever listens is told, by a signature that others can check.

use crate::peers::{Peer, channel, ok, soon};
use crate::process::{Hefu, Place};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use serde_json::Value;
use std::io::Write as _;
use tokio::process::Command;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// What the command prints, and whether it ends well.
async fn settle(hefu: &Hefu, place: &Place, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
    command.args(["settle", "--channel", "acme", "--config"]).arg(place.path());
    command.args(["--admin", &format!("http://{}", hefu.admin), "--admin-token-file"]);
    command.arg(place.path().join("admin.token")).args(arguments).current_dir(place.path());
    let done = soon(command.kill_on_drop(true).output()).await.unwrap();
    let [out, err] = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (done.status.success(), format!("{out}{err}"))
}

fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

async fn debit(hefu: &Hefu, order: &str) {
    let body = format!(
        r#"{{"type":"debit","order":"{order}","amount":"100","name":"张三","id":"11010519491231002X","card":"6200000000000005","phone":"13800000000"}}"#
    );
    let mut core = Peer::connect(hefu.core).await;
    let length = body.len();
    core.send(format!("POST /acme/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")).await;
    assert_eq!(core.answer().await.status(), 200);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story")]
async fn a_statement_is_settled_by_command_and_whoever_listens_is_told() {
    let bank = channel(|_| ok(r#"{"code":"taken"}"#)).await;
    let ops = channel(|_| ok("")).await;
    let place = Place::to(&bank);
    place.write("webhook.key", KEY);
    let told = format!(
        "[webhook]\nurl = \"http://{}/told\"\nkey_file = \"webhook.key\"\n[store]\nfile = \"hefu.db\"\n[secrets]",
        ops.address
    );
    place.replace("hefu.toml", "[secrets]", &told);
    let hefu = Hefu::start(place.command()).await;
    for order in ["1", "2", "=3"] {
        debit(&hefu, order).await;
    }
    let statement = "kind|order|amount|state\ndebit|1|100|ok\ndebit|2|1oo|ok\ndebit|=3|100|phone\ndebit|4|100|ok\ntotal|4\n";
    place.write("day.zip", zipped(&[("in/acme-1", statement), ("readme", "nothing")]));
    let (fine, said) = settle(&hefu, &place, &["day.zip"]).await;
    let shown: Vec<&str> = said.lines().collect();
    assert!(!fine && shown.len() == 3, "{said}");
    assert_eq!(shown[0], "day.zip/acme-1:3: column `amount` is no amount in the profile's unit");
    assert_eq!(shown[1], "day.zip/acme-1:5: unknown_order\t-\t4");
    assert!(
        shown[2].starts_with(
            "5 lines: 2 settled, 0 known, 1 differ, 0 to be joined by hand, 1 broken; "
        ),
        "{said}"
    );
    // As it is in a file, and again; a day with a broken line is not complete.
    place.write("acme-2", statement.replace("1oo", "100").replace("debit|4|100|ok\n", ""));
    let (fine, said) =
        settle(&hefu, &place, &["acme-2", "--day", "2026-11-28", "--complete"]).await;
    assert!(fine && said.contains("4 lines: 1 settled, 2 known, 0 differ"), "{said}");
    assert!(
        said.contains(
            "2026-11-28 is complete; what it lacks is judged once the next day's is, too"
        ),
        "{said}"
    );
    let (fine, said) = settle(&hefu, &place, &["acme-2", "--complete"]).await;
    assert!(!fine && said.contains("--day"), "{said}");
    let (fine, said) = settle(&hefu, &place, &["hefu.toml"]).await;
    assert!(
        !fine && said.contains("no `[[statement]]` of `acme` reads a file called `hefu.toml`"),
        "{said}"
    );
    let owed: Value =
        serde_json::from_str(hefu.admin("GET /v1/expectations", "").await.text()).unwrap();
    assert_eq!(owed, Value::Array(vec![]));
    listed(&hefu).await;
    // The mismatch and the hold, in their order, signed.
    soon(async {
        while ops.messages().len() < 2 {
            ops.arrived.notified().await;
        }
    })
    .await;
    let events: Vec<Value> = ops
        .messages()
        .iter()
        .map(|message| {
            let signature = message.field("hefu-signature").unwrap();
            let (at, v1) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
            let key = PKey::hmac(KEY.as_bytes()).unwrap();
            let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
            signer.update(format!("{at}.").as_bytes()).unwrap();
            signer.update(&message.body).unwrap();
            assert_eq!(hex::encode(signer.sign_to_vec().unwrap()), v1);
            serde_json::from_slice(&message.body).unwrap()
        })
        .collect();
    assert_eq!((&events[0]["event"], &events[0]["order"]), (&"mismatch".into(), &"=3".into()));
    assert_eq!(events[0]["arrival"], "statement");
    assert_eq!(events[1]["event"], "hold_made");
    for secret in ["6200000000000005", "11010519491231002X", "13800000000"] {
        assert!(!hefu.log.has(secret), "an element is in the log");
    }
}

#[tokio::test]
async fn a_day_whose_file_is_empty_is_not_closed_unless_somebody_means_it() {
    let bank = channel(|_| ok(r#"{"code":"ok"}"#)).await;
    let place = Place::to(&bank);
    let hefu = Hefu::start(place.command()).await;
    let china = TimeZone::fixed(Offset::constant(8));
    let today = Timestamp::now().to_zoned(china).date();
    let (day, next) = (today.to_string(), today.tomorrow().unwrap().to_string());
    for order in 0..12 {
        debit(&hefu, &order.to_string()).await;
    }
    place.write("acme-1", "kind|order|amount|state\n");
    let close = ["acme-1", "--complete", "--day"];
    let (fine, said) = settle(&hefu, &place, &[close.as_slice(), &[&day]].concat()).await;
    assert!(fine && said.contains("what it lacks is judged once the next day's is"), "{said}");
    let (fine, said) = settle(&hefu, &place, &[close.as_slice(), &[&next]].concat()).await;
    assert!(!fine && said.contains("says 409: 12 of 12 known successes"), "{said}");
    assert!(said.contains("--even-if-most-fail"), "{said}");
    let (fine, said) =
        settle(&hefu, &place, &[close.as_slice(), &[&next, "--merchant", "M1"]].concat()).await;
    assert!(!fine && said.contains("12 of 12"), "{said}");
    let (fine, said) =
        settle(&hefu, &place, &[close.as_slice(), &[&next, "--even-if-most-fail"]].concat()).await;
    let failed = format!("settled: {day}; 12 payments in no statement failed");
    assert!(fine && said.contains(&failed), "{said}");
    assert_eq!(said.matches("\twas succeeded").count(), 12, "{said}");
}

/// What differs is listed, exported without a formula, looked into, and found by the card.
async fn listed(hefu: &Hefu) {
    let page: Value =
        serde_json::from_str(hefu.admin("GET /v1/mismatches?open=true", "").await.text()).unwrap();
    let it = &page["mismatches"][0];
    assert_eq!(
        (&it["kind"], &it["order"]),
        (&"unverified_then_no_match".into(), &"=3".into()),
        "{page:#}"
    );
    let csv = hefu.admin("GET /v1/mismatches.csv", "").await;
    assert!(csv.text().contains(",'=3,"), "{}", csv.text());
    let body = serde_json::json!({ "payment": it["payment"], "kind": it["kind"], "note": "the phone was changed" });
    assert_eq!(hefu.admin("POST /v1/mismatches/resolve", &body.to_string()).await.status(), 204);
    let page = hefu.admin("GET /v1/mismatches?open=true", "").await;
    assert_eq!(page.text(), r#"{"mismatches":[],"next":null}"#);
    let body = r#"{"pan":"6200000000000005"}"#;
    let found: Value =
        serde_json::from_str(hefu.admin("POST /v1/payments/search", body).await.text()).unwrap();
    assert_eq!(found["payments"].as_array().unwrap().len(), 3, "{found:#}");
    let wrong = hefu.admin("POST /v1/payments/search", r#"{"pan":"6200000000000006"}"#).await;
    assert!(wrong.status() == 400 && !wrong.text().contains("0000006"), "{}", wrong.text());
    for request in ["GET /v1/webhooks?state=dead", "GET /v1/webhooks?state=waiting"] {
        assert_eq!(hefu.admin(request, "").await.status(), 200, "{request}");
    }
    let again = hefu.admin("POST /v1/webhooks/redeliver", "{}").await;
    assert_eq!(again.text(), r#"{"redelivered":0}"#);
}
