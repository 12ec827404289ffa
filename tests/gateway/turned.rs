//! What a provider is turned to through the admin API is what it is asked: off, on, first, last, and by hand.

use crate::assessed::provider;
use crate::managed::{call, operators, token};
use crate::peers::{Channel, Peer, channel, ok, soon};
use crate::process::{Hefu, Place};
use crate::statement::month;
use crate::verification::waiting;
use serde_json::{Value, json};
use std::fmt::Write as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// A configuration with two providers whose answers all say that everything is right, and cost 30 fen.
async fn place() -> (Place, Channel, [Channel; 2]) {
    place_with([provider(&[]).await, provider(&[]).await]).await
}

async fn place_with(providers: [Channel; 2]) -> (Place, Channel, [Channel; 2]) {
    let bank = channel(|_| ok(r#"{"code":"ok"}"#)).await;
    let place = Place::to(&bank);
    place.enforce();
    std::fs::create_dir(place.path().join("providers")).unwrap();
    place.write("provider.key", "a secret of the reseller");
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/providers/reseller-bankcard.toml");
    let mut tables = String::new();
    for (name, (provider, priority)) in ["one", "two"].iter().zip(providers.iter().zip([10, 20])) {
        std::fs::copy(shipped, place.path().join(format!("providers/{name}.toml"))).unwrap();
        let _infallible = writeln!(
            tables,
            "[providers.{name}]\nurl = \"http://{}\"\ncredentials = {{ sign_secret = \"provider.key\" }}\n\
             vars = {{ account = \"us\" }}\nprice_fen = 30\npriority = {priority}",
            provider.address
        );
    }
    let tables = format!("{tables}{}", operators());
    place.replace("hefu.toml", "[secrets]", "[store]\nfile = \"hefu.db\"\n[secrets]");
    place.replace("hefu.toml", "[channels.acme]", &format!("{tables}[channels.acme]"));
    place.replace("hefu.toml", "[listen]", "[listen]\nadmin_per_second = 1000");
    (place, bank, providers)
}

/// The phone of the `nth` person that nobody was asked about yet; the rest is the same.
fn phone(nth: usize) -> String {
    format!("1380000{nth:04}")
}

/// How the debit of the `nth` person fares.
async fn debit(hefu: &Hefu, order: usize, nth: usize) -> (u16, String) {
    let body = format!(
        r#"{{"type":"debit","order":"{order}","amount":"100","name":"张三","id":"11010519491231002X","card":"6200000000000005","phone":"{}"}}"#,
        phone(nth)
    );
    let mut core = Peer::connect(hefu.core).await;
    core.send(format!(
        "POST /acme/pay HTTP/1.1\r\nHost: acme\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    let answer = core.answer().await;
    (answer.status(), answer.field("hefu-decision").unwrap_or(answer.text()).to_owned())
}

/// How often each was asked.
fn asked(providers: &[Channel; 2]) -> [usize; 2] {
    providers.each_ref().map(|provider| provider.messages().len())
}

#[tokio::test]
async fn a_provider_that_is_turned_is_asked_or_not() {
    let (place, bank, providers) = place().await;
    let hefu = Hefu::start(place.command()).await;
    let turn = async |path: &str, body: Value| {
        let (status, told) =
            call(&hefu, "operator", &format!("POST /v1/providers/{path}"), body).await;
        assert_eq!(status, 204, "{told}");
    };
    let check = async |nth: usize, expected: [usize; 2]| {
        let (status, told) = debit(&hefu, nth, nth).await;
        assert_eq!((status, &*told), (200, "permit;mode=enforce"), "{nth}");
        assert_eq!(asked(&providers), expected, "{nth}");
    };
    check(0, [1, 0]).await;
    // Another is asked first; by its file again; off.
    turn("two/turn", json!({ "priority": 1, "note": "cheaper" })).await;
    check(1, [1, 1]).await;
    turn("two/reset", json!({ "note": "not cheaper" })).await;
    check(2, [2, 1]).await;
    turn("one/turn", json!({ "enabled": false, "note": "it is down" })).await;
    check(3, [2, 2]).await;
    // Where nobody is on, nobody is asked, and what leaves says so.
    turn("two/turn", json!({ "enabled": false, "note": "it is down too" })).await;
    let (_, shown) = call(&hefu, "viewer", "GET /v1/providers", Value::Null).await;
    for shown in shown.as_array().unwrap() {
        assert_eq!((&shown["enabled"], &shown["file_enabled"]), (&json!(false), &json!(true)));
        assert_eq!(shown["turned"]["by"], "operator");
    }
    let nobody = (200, "annotate;reason=nobody_can;mode=enforce".to_owned());
    assert_eq!(debit(&hefu, 4, 4).await, nobody);
    assert_eq!((asked(&providers), bank.messages().len()), ([2, 2], 5));
    // By hand neither.
    let person = json!({ "name": "张三", "pan": "6200000000000005" });
    let test = "POST /v1/providers/one/test";
    assert_eq!(call(&hefu, "operator", test, person.clone()).await.0, 404);
    // It stays so over a reload and a restart.
    assert_eq!(call(&hefu, "operator", "POST /v1/reload", Value::Null).await.0, 204);
    drop(hefu);
    let hefu = Hefu::start(place.command()).await;
    assert_eq!(debit(&hefu, 5, 5).await, nobody);
    assert_eq!(asked(&providers), [2, 2]);
    let reset = json!({ "note": "it is up" });
    let path = "POST /v1/providers/one/reset";
    assert_eq!(call(&hefu, "operator", path, reset).await.0, 204);
    assert_eq!(debit(&hefu, 6, 6).await.0, 200);
    assert_eq!(call(&hefu, "operator", test, person).await.0, 200);
    assert_eq!((asked(&providers), bank.messages().len()), ([4, 2], 7));
}

/// It reaches the provider, is charged as one question that no message raised, is audited, and is nobody's evidence.
#[tokio::test]
async fn a_provider_that_is_asked_by_hand_is_charged_and_that_is_told() {
    let (place, _bank, providers) = place().await;
    let hefu = Hefu::start(place.command()).await;
    let person = json!({ "name": "张三", "id_number": "11010519491231002X", "pan": "6200000000000005", "phone": phone(0) });
    let path = "POST /v1/providers/two/test";
    // Nobody is asked by who may not, or about nobody.
    assert_eq!(call(&hefu, "viewer", path, person.clone()).await.0, 403);
    assert_eq!(call(&hefu, "operator", path, json!({ "name": "张三" })).await.0, 400);
    assert_eq!(call(&hefu, "operator", path, json!({ "pan": "6200000000000006" })).await.0, 400);
    assert_eq!(asked(&providers), [0, 0]);
    let (status, told) = call(&hefu, "operator", path, person).await;
    assert!(told["took_ms"].is_u64(), "{told}");
    assert_eq!(
        (status, &told["answer"], &told["code"], &told["billable"], &told["withheld"]),
        (200, &json!("match"), &json!("0000"), &json!("yes"), &Value::Null)
    );
    assert_eq!(asked(&providers), [0, 1]);
    // Whose elements these are is asked when they pay: what was tried by hand is nobody's evidence.
    assert_eq!(debit(&hefu, 0, 0).await.0, 200);
    assert_eq!(asked(&providers), [1, 1]);
    let metrics = hefu.admin("GET /metrics", "").await;
    let told = r#"hefu_charges_fen_total{billable="yes",provider="two"} 30"#;
    assert!(metrics.text().contains(told), "{}", metrics.text());
    let (_, page) = call(&hefu, "auditor", "GET /v1/audit", Value::Null).await;
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{page:#}");
    let entry = &entries[0]["entry"];
    assert_eq!(
        (&entry["who"], &entry["action"], &entry["provider"], &entry["answer"]),
        (&json!("operator"), &json!("test_provider"), &json!("two"), &json!("match"))
    );
    drop(hefu);
    // The charge says that no message raised it, beside one that a debit did; both stand in the statement.
    drop(Hefu::start(place.command()).await);
    let file = rusqlite::Connection::open(place.path().join("hefu.db")).unwrap();
    let mut charges = file.prepare("SELECT value FROM charges").unwrap();
    let charges = charges.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut charges: Vec<_> = charges
        .map(|charge| {
            let charge: Value = serde_json::from_str(&charge.unwrap()).unwrap();
            format!("{} {}", charge["inquiry"]["provider"], charge["inquiry"]["scenario"])
        })
        .collect();
    charges.sort_unstable();
    assert_eq!(charges, [r#""one" "debit""#, r#""two" "verify""#]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
    command.args(["statement", "--format", "json", "--month", &month(), "--config"]);
    let done = soon(command.arg(place.path()).kill_on_drop(true).output()).await.unwrap();
    let statement: Value = serde_json::from_slice(&done.stdout).unwrap();
    let lines = statement["lines"].as_array().unwrap().iter();
    let lines: Vec<_> = lines.map(|line| (&line["provider"], &line["billed"])).collect();
    let one = json!(1);
    assert_eq!(lines, [(&json!("one"), &one), (&json!("two"), &one)], "{statement:#}");
}

/// Whoever hangs up has it done, charged and noted all the same.
#[tokio::test]
async fn what_is_begun_is_audited_when_nobody_waits() {
    let (told, slow) = waiting().await;
    let (place, _bank, [slow, _]) = place_with([slow, provider(&[]).await]).await;
    let hefu = Hefu::start(place.command()).await;
    let person = json!({ "name": "张三", "id_number": "11010519491231002X", "pan": "6200000000000005", "phone": phone(0) });
    let (body, bearer) = (person.to_string(), token("operator"));
    let mut peer = Peer::connect(hefu.admin).await;
    peer.send(format!(
        "POST /v1/providers/one/test HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {bearer}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    soon(slow.arrived.notified()).await;
    // It is known that nobody waits once the connection is closed from there.
    peer.stream.shutdown().await.unwrap();
    assert!(soon(peer.message(false)).await.is_none());
    told.notify_one();
    let noted = async {
        loop {
            let (_, page) = call(&hefu, "auditor", "GET /v1/audit", Value::Null).await;
            if let [noted] = page["entries"].as_array().unwrap().as_slice() {
                break noted["entry"].clone();
            }
        }
    };
    let entry = soon(noted).await;
    assert_eq!(
        (&entry["who"], &entry["action"], &entry["provider"], &entry["answer"]),
        (&json!("operator"), &json!("test_provider"), &json!("one"), &json!("match"))
    );
    let (_, open) = call(&hefu, "viewer", "GET /v1/inquiries/open", Value::Null).await;
    assert_eq!(open, json!([]), "it is charged");
}

/// What was told last of whom nobody asks any more would page for ever, or be taken for somebody who can be asked.
#[tokio::test]
async fn a_provider_that_is_turned_off_is_neither_up_nor_down() {
    let (place, _bank, _providers) = place().await;
    let capped = "priority = 10\nfen_per_day = 1000";
    place.replace("hefu.toml", "priority = 10", capped);
    let hefu = Hefu::start(place.command()).await;
    assert_eq!(debit(&hefu, 0, 0).await.0, 200);
    let check = async |expected: [&[&str]; 3]| {
        let metrics = hefu.admin("GET /metrics", "").await;
        for (name, expected) in
            ["provider_up", "breaker_state", "spend_cap_ratio"].iter().zip(expected)
        {
            let name = format!("hefu_{name}{{provider=\"");
            let lines = metrics.text().lines().filter_map(|line| line.strip_prefix(&name));
            let told: Vec<_> = lines.filter_map(|line| Some(line.split_once('"')?.0)).collect();
            assert_eq!(told, expected, "{name}");
        }
    };
    check([&["one"], &["one", "two"], &["one"]]).await;
    let off = json!({ "enabled": false, "note": "it is down" });
    assert_eq!(call(&hefu, "operator", "POST /v1/providers/one/turn", off).await.0, 204);
    check([&[], &["two"], &[]]).await;
}
