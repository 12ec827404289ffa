//! What is learned of providers: on labelled data before a contract, and from debits after it.

use crate::peers::{Channel, Peer, Reply, channel, ok, soon};
use crate::process::{Hefu, Place};
use expect_test::expect;
use serde_json::{Value, json};
use std::fmt::Write as _;
use tokio::process::Command;

/// A provider that answers its nth question as the nth of `codes` says, and from then on that all is right.
pub(crate) async fn provider(codes: &'static [&'static str]) -> Channel {
    channel(move |nth| {
        let code = codes.get(nth).copied().unwrap_or("0000");
        let (code, detail) = if code == "0000" { (code, "") } else { ("5001", code) };
        let answer = json!({ "code": code, "detailRespCode": detail, "is_cost": "1" });
        let answer = answer.to_string();
        Reply::Answer(
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
                answer.len()
            )
            .into_bytes(),
        )
    })
    .await
}

/// Has `place` use `provider` under the name `trial`, by the shipped definition of a reseller.
pub(crate) fn with_provider(place: &Place, provider: &Channel) {
    std::fs::create_dir(place.path().join("providers")).unwrap();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/providers/reseller-bankcard.toml");
    std::fs::copy(shipped, place.path().join("providers/trial.toml")).unwrap();
    place.write("trial.key", "a secret of the reseller");
    let table = format!(
        "[providers.trial]\nurl = \"http://{}\"\ncredentials = {{ sign_secret = \"trial.key\" }}\n\
         vars = {{ account = \"us\" }}\nprice_fen = 30\n[secrets]",
        provider.address
    );
    place.replace("hefu.toml", "[secrets]", &table);
}

const PERSON: &str = "张三,11010519491231002X,6200000000000005";

#[tokio::test]
async fn a_provider_is_assessed_on_labelled_data() {
    let (bank, trial) =
        (channel(|_| ok("{}")).await, provider(&["0000", "02", "01", "0000", "03"]).await);
    let place = Place::to(&bank);
    with_provider(&place, &trial);
    let lines =
        ["13800000000,match", "13800000001,phone", "13800000002,match", "13800000003,phone"];
    let mut data = String::from("name,id_number,pan,phone,truth\n");
    for line in lines.iter().chain(&["1380,match", "13800000004,perhaps", "13800000005,name phone"])
    {
        let _infallible = writeln!(data, "{PERSON},{line}");
    }
    place.write("data.csv", data);
    let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
    command.args(["assess", "--provider", "trial", "--at-once", "1", "--config"]);
    command.arg(place.path()).arg("--data").arg(place.path().join("data.csv")).kill_on_drop(true);
    let done = soon(command.output()).await.unwrap();
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(!done.status.success(), "two lines are bad");
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(!said.contains("1380") && !said.contains("张三"), "{said}");
    expect![[r"
        …/data.csv:6: an element is not one
        …/data.csv:7: `truth` is `match`, `no_match`, or the elements that are wrong
        trial about name id_number pan phone

        answer         truth: match truth: no_match
        match                     1               1
        no_match                  1               1
        no_record                 0               1

        right                of    share   95 % interval
        all                   4   50.0 %   12.3 % to 87.7 %
        match                 2   50.0 %   6.1 % to 93.9 %
        no_match              2   50.0 %   6.1 % to 93.9 %

        wrong element        of   caught    named   95 % interval
        phone                 2   50.0 %        1   6.1 % to 93.9 %

        5 billed, 0 uncertain; cost 150 fen at the first rate
    "]]
    .assert_eq(&said.replace(place.path().to_str().unwrap(), "…"));
    assert_eq!(trial.seen.lock().unwrap().messages.len(), 5);
}

#[tokio::test]
async fn what_debits_show_of_a_provider_is_told_and_advised_by() {
    let bank =
        channel(|nth| ok(if nth == 1 { r#"{"code":"phone"}"# } else { r#"{"code":"ok"}"# })).await;
    let trial = provider(&[]).await;
    let place = Place::to(&bank);
    place.enforce();
    with_provider(&place, &trial);
    let hefu = Hefu::start(place.command()).await;
    let mut payment = String::new();
    for order in 0..3 {
        let body = format!(
            r#"{{"type":"debit","order":"{order}","amount":"100","name":"张三","id":"11010519491231002X","card":"6200000000000005","phone":"1380000000{order}"}}"#
        );
        let mut core = Peer::connect(hefu.core).await;
        core.send(format!(
            "POST /acme/ HTTP/1.1\r\nHost: acme\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
        .await;
        let answer = core.answer().await;
        assert_eq!(answer.status(), 200, "{}", answer.head);
        payment = answer.field("hefu-payment").unwrap().trim_matches('"').to_owned();
    }
    let get = async |path: &str| -> Value {
        let answer = hefu.admin(&format!("GET {path}"), "").await;
        serde_json::from_str(answer.text()).unwrap()
    };
    let cells = get("/v1/concordance?provider=trial&channel=acme&banks=true").await;
    let cells = cells.as_array().unwrap();
    assert_eq!(cells.len(), 2, "{cells:#?}");
    for (cell, bank) in cells.iter().zip([json!(null), json!("620000")]) {
        assert_eq!((&cell["bank"], &cell["said"]), (&bank, &json!("match")));
        let near = |value: &Value, to: f64| (value.as_f64().unwrap() - to).abs() < 0.001;
        assert!(near(&cell["agreed"], 2.0) && near(&cell["differed"], 1.0), "{cell:#}");
        assert_eq!(cell["by_age"][0]["age"], "day");
    }
    let shown = get(&format!("/v1/payments/{payment}")).await;
    assert_eq!(shown["concordance"]["level"], "provider", "three samples are few: {shown:#}");
    let ask_for = async |question: Value| {
        let answer = hefu.admin("POST /v1/advice", &question.to_string()).await;
        (answer.status(), serde_json::from_str::<Value>(answer.text()).unwrap_or_default())
    };
    for question in [
        json!({ "payment": payment }),
        json!({ "elements": "name id_number pan phone", "bank": "620000", "age_seconds": 60 }),
    ] {
        let (status, advice) = ask_for(question).await;
        assert_eq!(
            (status, &advice[0]["channel"], &advice[0]["provider"]),
            (200, &json!("acme"), &json!("trial"))
        );
    }
    assert_eq!(ask_for(json!({ "elements": "name", "bank": "62" })).await.0, 400);
    assert_eq!(ask_for(json!({ "payment": "01J9Z" })).await.0, 404);
    assert_eq!(ask_for(json!({ "pan": "6200000000000005" })).await.0, 422);
    let metrics = hefu.admin("GET /metrics", "").await;
    let samples = r#"hefu_concordance_samples_total{agreed="no",channel="acme",provider="trial",said="match"} 1"#;
    assert!(metrics.text().contains(samples), "{}", metrics.text());
}
