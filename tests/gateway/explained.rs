//! A payment is explained by the rules that judged it and by what they saw then, whatever was counted and put in force since.

use crate::peers::{Peer, channel, ok};
use crate::process::{Hefu, Place};
use serde_json::{Value, json};

/// A set whose one rule refuses from the third debit of a merchant on.
fn often(id: &str) -> String {
    format!(
        "[[rule]]\nid = \"{id}\"\naction = \"refuse\"\nstate = \"live\"\nowner = \"risk\"\n\
         when = 'payment.scenario == \"debit\" && velocity(\"merchant\", \"debit\", \"1h\") >= 2'\n"
    )
}

/// Sends a debit, and yields the status and the payment's id.
async fn debit(hefu: &Hefu, order: usize) -> (u16, String) {
    let body = format!(
        r#"{{"type":"by_agreement","order":"{order}","amount":"100","agreement":"A1","merchant":"M1"}}"#
    );
    let mut core = Peer::connect(hefu.core).await;
    core.send(format!(
        "POST /acme/pay HTTP/1.1\r\nHost: bank\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    let answer = core.answer().await;
    let problem = || serde_json::from_str::<Value>(answer.text()).unwrap()["payment"].clone();
    let id = answer.field("hefu-payment").map_or_else(|| problem().to_string(), str::to_owned);
    (answer.status(), id.trim_matches('"').to_owned())
}

async fn explained(hefu: &Hefu, payment: &str, query: &str) -> Value {
    let path = format!("GET /v1/payments/{payment}/rules{query}");
    let answer = hefu.admin(&path, "").await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    serde_json::from_str(answer.text()).unwrap()
}

/// What the first rule says, did, and saw in its second condition.
fn first(told: &Value) -> [&str; 4] {
    let rule = &told["rules"][0];
    let saw = &rule["conditions"][1]["saw"][0][1];
    [&rule["rule"], &rule["came"], &rule["did"], saw].map(|value| value.as_str().unwrap_or("-"))
}

#[tokio::test]
async fn a_payment_is_explained_by_what_was_recorded() {
    let bank = channel(|_| ok(r#"{"code":"ok"}"#)).await;
    let place = Place::to(&bank);
    place.replace("hefu.toml", "[secrets]", "[store]\nfile = \"hefu.db\"\n[secrets]");
    // One person does everything here.
    place.write("policy.toml", "[mode]\nacme = { enforce = 100 }\n[rules]\ntwo_persons = false\n");
    std::fs::create_dir(place.path().join("rules")).unwrap();
    place.write("rules/one.toml", often("often"));
    let hefu = Hefu::start(place.command()).await;
    let reload = async || assert_eq!(hefu.admin("POST /v1/reload", "").await.status(), 204);
    let mut payments = Vec::new();
    for (order, status) in [200, 200, 403, 403, 403].into_iter().enumerate() {
        let (came, id) = debit(&hefu, order).await;
        assert_eq!(came, status, "{order}");
        payments.push(id);
    }
    // Each saw what had been counted before it.
    for (at, payment) in payments.iter().enumerate() {
        let told = explained(&hefu, payment, "").await;
        let saw = at.to_string();
        let (came, did) = if at < 2 { ("does_not_hit", "nothing") } else { ("hits", "bound") };
        assert_eq!(first(&told), ["often", came, did, &saw], "{told:#}");
        assert_eq!((&told["as_decided"], &told["looked_up_now"]), (&json!(true), &json!([])));
        assert_eq!(told["set"], told["judged_by"]);
    }
    // What is asked of now is of now, and says so.
    let told = explained(&hefu, &payments[0], "?now=true").await;
    assert_eq!(first(&told), ["often", "hits", "-", "5"], "{told:#}");
    let window = json!(["velocity(\"merchant\", \"debit\", \"1h\")"]);
    assert_eq!((&told["as_decided"], &told["looked_up_now"]), (&json!(false), &window));
    // Other rules are in force, and those that judged are in no file any more: that is said as well.
    place.write("rules/one.toml", often("other"));
    reload().await;
    let told = explained(&hefu, &payments[0], "").await;
    assert_eq!(first(&told), ["other", "hits", "-", "5"], "{told:#}");
    assert_eq!((&told["as_decided"], &told["looked_up_now"]), (&json!(false), &window));
    assert_ne!(told["set"], told["judged_by"]);
    place.write("rules/one.toml", often("often"));
    reload().await;
    let told = explained(&hefu, &payments[1], "").await;
    assert_eq!(first(&told), ["often", "does_not_hit", "nothing", "1"], "{told:#}");
    // A version that is in force no more is kept, and made again.
    let post = async |path: &str, body: Value| {
        let answer = hefu.admin(&format!("POST {path}"), &body.to_string()).await;
        (answer.status(), serde_json::from_str::<Value>(answer.text()).unwrap_or_default())
    };
    let rules = often("again").replace(">= 2", ">= 1000");
    let (status, told) = post("/v1/rules/versions", json!({ "rules": rules, "note": "n" })).await;
    assert_eq!(status, 201, "{told}");
    let started = post("/v1/backtests", json!({ "version": 1, "since_ms": 0 })).await.1;
    let path = format!("GET /v1/backtests/{}", started["backtest"].as_str().unwrap());
    while serde_json::from_str::<Value>(hefu.admin(&path, "").await.text()).unwrap()["done"] != true
    {
    }
    assert_eq!(post("/v1/approvals/approve", json!({ "version": 1, "note": "n" })).await.0, 204);
    let (_, by_version) = debit(&hefu, 10).await;
    assert_eq!(post("/v1/rules/rollback", json!({ "note": "n" })).await.0, 200);
    debit(&hefu, 11).await;
    let told = explained(&hefu, &by_version, "").await;
    assert!(told["judged_by"].as_str().unwrap().starts_with("1-"), "{told:#}");
    assert_eq!((&told["set"], &told["as_decided"]), (&told["judged_by"], &json!(true)));
    let again = told["rules"].as_array().unwrap().iter().find(|rule| rule["rule"] == "again");
    let again = again.unwrap();
    assert_eq!(
        (&again["did"], &again["conditions"][1]["saw"][0][1]),
        (&json!("nothing"), &json!("5"))
    );
    // After a restart it is the same.
    drop(hefu);
    let hefu = Hefu::start(place.command()).await;
    assert_eq!(explained(&hefu, &by_version, "").await, told);
    let shown = explained(&hefu, &payments[2], "").await;
    assert_eq!(first(&shown), ["often", "hits", "bound", "2"], "{shown:#}");
}
