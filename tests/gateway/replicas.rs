//! Two replicas on one database: what one counts the other counts too, and what is put in force at one is in force at both.

use crate::assessed::{provider, with_provider};
use crate::audited::import;
use crate::cluster::Cluster;
use crate::managed::{call, found, operators};
use crate::peers::{Channel, Peer, channel, ok, soon};
use crate::process::{Hefu, Place};
use serde_json::{Value, json};

const RULES: &str = "[[rule]]\nid = \"often\"\naction = \"annotate\"\nstate = \"live\"\nowner = \"risk\"\n\
    when = 'velocity(\"merchant\", \"debit\", \"1h\") >= 1000'\n\
    [[list]]\nname = \"stolen\"\nholds = \"card\"\n";

/// A configuration whose decisions bind, on the database.
fn place(bank: &Channel, cluster: &Cluster) -> Place {
    let place = Place::to(bank);
    let store = format!(
        "[store]\npostgres = \"host={} user=hefu dbname=postgres\"\n[secrets]",
        cluster.place()
    );
    place.replace("hefu.toml", "[secrets]", &store);
    place.replace("hefu.toml", "[channels.acme]", &format!("{}[channels.acme]", operators()));
    place.replace("hefu.toml", "[listen]", "[listen]\nadmin_per_second = 10000");
    place.enforce();
    place
}

/// Sends a debit, and yields the payment's id.
async fn debit(hefu: &Hefu, order: usize) -> String {
    let body = format!(
        r#"{{"type":"by_agreement","order":"{order}","amount":"100","agreement":"A1","merchant":"M1"}}"#
    );
    send(hefu, &body).await
}

async fn send(hefu: &Hefu, body: &str) -> String {
    let mut core = Peer::connect(hefu.core).await;
    core.send(format!(
        "POST /acme/pay HTTP/1.1\r\nHost: bank\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    let answer = core.answer().await;
    answer.field("hefu-payment").unwrap().trim_matches('"').to_owned()
}

/// How many debits of the merchant are counted there.
async fn counted(hefu: &Hefu, payment: &str) -> usize {
    let path = format!("GET /v1/payments/{payment}/rules?now=true");
    let (status, told) = call(hefu, "viewer", &path, Value::Null).await;
    assert_eq!(status, 200, "{told}");
    let often =
        told["rules"].as_array().unwrap().iter().find(|rule| rule["rule"] == "often").unwrap();
    let saw = often["conditions"][0]["saw"][0][1].as_str().unwrap();
    saw.parse().unwrap()
}

/// Waits until so many are counted, and no more.
async fn until(hefu: &Hefu, payment: &str, expected: usize) {
    let waiting = async {
        loop {
            let count = counted(hefu, payment).await;
            assert!(count <= expected, "{count} of {expected}");
            if count == expected {
                break;
            }
        }
    };
    soon(waiting).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_count_together_and_have_one_set_of_rules() {
    let cluster = Cluster::start();
    let bank = channel(|_| ok(r#"{"code":"ok"}"#)).await;
    let place = place(&bank, &cluster);
    std::fs::create_dir(place.path().join("rules")).unwrap();
    place.write("rules/often.toml", RULES);
    let (one, other) = (Hefu::start(place.command()).await, Hefu::start(place.command()).await);
    let own = debit(&other, 0).await;
    for order in 1..=20 {
        debit(&one, order).await;
    }
    let first = debit(&one, 21).await;
    // Each counts its own at once, the other's soon, and nothing twice.
    assert!(counted(&one, &first).await >= 21);
    until(&other, &own, 22).await;
    until(&one, &first, 22).await;
    // A rule that comes through the API has a window of its own, which is filled from what is kept, at both.
    let rules = "[[rule]]\nid = \"seldom\"\naction = \"annotate\"\nstate = \"live\"\nowner = \"risk\"\n\
        when = 'velocity(\"merchant\", \"debit\", \"2h\") >= 1000'\n";
    let proposal = json!({ "rules": rules, "note": "a longer window" });
    assert_eq!(call(&one, "editor", "POST /v1/rules/versions", proposal).await.0, 201);
    let wanted = json!({ "version": 1, "since_ms": 0 });
    let (_, started) = call(&other, "editor", "POST /v1/backtests", wanted).await;
    found(&other, &started).await;
    let approval = json!({ "version": 1, "note": "good" });
    assert_eq!(call(&one, "approver", "POST /v1/approvals/approve", approval).await.0, 204);
    let seldom = async |hefu: &Hefu, payment: &str| {
        let path = format!("GET /v1/payments/{payment}/rules?now=true");
        let (_, told) = call(hefu, "viewer", &path, Value::Null).await;
        let told = told["rules"].as_array().unwrap().iter().find(|rule| rule["rule"] == "seldom");
        told.map(|rule| rule["conditions"][0]["saw"][0][1].as_str().unwrap().to_owned())
    };
    for (hefu, payment) in [(&one, &first), (&other, &own)] {
        let waiting = async { while seldom(hefu, payment).await.as_deref() != Some("22") {} };
        soon(waiting).await;
    }
    // It survives a restart, whoever judged them.
    drop(other);
    let other = Hefu::start(place.command()).await;
    assert_eq!(
        (counted(&other, &own).await, seldom(&other, &own).await.as_deref()),
        (22, Some("22"))
    );
    // What a command notes on the host is in the one chain of both, behind what they noted.
    let (said, done) = import(&place, "value\n6200000000000005\n", ["li.lei", "reported"]).await;
    assert!(done && said.starts_with("1 entries are new"), "{said}");
    for hefu in [&one, &other] {
        let (_, page) = call(hefu, "auditor", "GET /v1/audit", Value::Null).await;
        let newest = &page["entries"][0]["entry"];
        assert_eq!(
            (&newest["action"], &newest["who"]),
            (&json!("import_list_file"), &json!("li.lei"))
        );
        assert_eq!((&newest["new"], &newest["number"]), (&json!(1), &page["head"]["number"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_replica_did_the_other_tells_and_ends() {
    let cluster = Cluster::start();
    let rows = r#"{"code":"ok","rows":[{"no":"0","code":"ok"},{"no":"1","code":"ok"}]}"#;
    let bank = channel(move |nth| ok(if nth == 0 { r#"{"code":"phone"}"# } else { rows })).await;
    let trial = provider(&[]).await;
    let place = place(&bank, &cluster);
    with_provider(&place, &trial);
    let (one, other) = (Hefu::start(place.command()).await, Hefu::start(place.command()).await);
    let person = |phone: usize| {
        format!(
            r#""amount":"100","name":"张三","id":"11010519491231002X","card":"6200000000000005","phone":"1380000000{phone}""#
        )
    };
    let held = send(&one, &format!(r#"{{"type":"debit","order":"1",{}}}"#, person(0))).await;
    let rows = format!(r#"{{"no":"0",{}}},{{"no":"1",{}}}"#, person(1), person(2));
    let batch = send(&one, &format!(r#"{{"type":"debits","order":"B1","rows":[{rows}]}}"#)).await;
    let get = async |hefu: &Hefu, path: &str| {
        let (status, told) = call(hefu, "viewer", &format!("GET {path}"), Value::Null).await;
        assert_eq!(status, 200, "{path}: {told}");
        told
    };
    let shown = get(&other, &format!("/v1/payments/{held}")).await;
    assert_eq!(shown["outcome"]["outcome"], "no_match", "{shown:#}");
    let shown = get(&other, &format!("/v1/payments/{batch}")).await;
    assert_eq!(shown["rows"].as_array().map(Vec::len), Some(2), "{shown:#}");
    let (status, advice) =
        call(&other, "viewer", "POST /v1/advice", json!({ "payment": held })).await;
    assert_eq!((status, &advice[0]["channel"]), (200, &json!("acme")), "{advice}");
    let holds = get(&other, "/v1/holds").await;
    assert_eq!((&holds[0]["payment"], &holds[1]), (&json!(held), &Value::Null), "{holds}");
    let all = json!({ "keys": [], "channel": "acme", "note": "a bad night" });
    let released = call(&other, "operator", "POST /v1/holds/release", all).await;
    assert_eq!(released, (200, json!({ "released": 1 })));
    assert_eq!(get(&one, "/v1/holds").await, json!([]));
}
