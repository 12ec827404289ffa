//! What persons put in force through the admin API: rules by two persons, lists, channels and providers; who may do what.

use crate::peers::{Message, Peer, channel, ok, soon};
use crate::process::{Hefu, Place, TOKEN};
use crate::tls;
use hefu::admin::openapi;
use hefu::domain::role::{Right, Role};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::process::Command;

/// Those of the tests, each with one role but the last.
const PEOPLE: [(&str, &[Role]); 8] = [
    ("viewer", &[Role::Viewer]),
    ("operator", &[Role::Operator]),
    ("editor", &[Role::RiskEditor]),
    ("approver", &[Role::RiskApprover]),
    ("auditor", &[Role::Auditor]),
    ("core", &[Role::Core]),
    ("admin", &[Role::Admin]),
    ("both", &[Role::RiskEditor, Role::RiskApprover]),
];

pub(crate) fn token(name: &str) -> String {
    format!("hefu_a-token-of-{name}-for-tests")
}

/// The tables of those who may call.
pub(crate) fn operators() -> String {
    let one = |(name, roles): (&str, &[Role])| {
        let roles: Vec<_> = roles.iter().map(|role| format!("\"{}\"", role.as_str())).collect();
        let hash = hex::encode(Sha256::digest(token(name).as_bytes()));
        let roles = roles.join(", ");
        format!("[[operator]]\nname = \"{name}\"\nroles = [{roles}]\ntoken_sha256 = \"{hash}\"\n")
    };
    PEOPLE.into_iter().map(one).collect()
}

/// A configuration with all of them, whose decisions bind, on a store that lasts.
async fn place() -> (Place, crate::peers::Channel) {
    let bank = channel(|_| ok(r#"{"code":"ok"}"#)).await;
    let place = Place::to(&bank);
    place.replace("hefu.toml", "[secrets]", "[store]\nfile = \"hefu.db\"\n[secrets]");
    place.replace("hefu.toml", "[channels.acme]", &format!("{}[channels.acme]", operators()));
    place.replace("hefu.toml", "[listen]", "[listen]\nadmin_per_second = 1000");
    place.enforce();
    (place, bank)
}

async fn raw(admin: SocketAddr, head: &str, bearer: &str, body: &str) -> Message {
    let mut peer = Peer::connect(admin).await;
    let length = body.len();
    peer.send(format!(
        "{head} HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {bearer}\r\nContent-Length: {length}\r\n\
         Content-Type: application/json\r\nConnection: close\r\n\r\n{body}"
    ))
    .await;
    peer.answer().await
}

/// What somebody's call is answered.
pub(crate) async fn call(hefu: &Hefu, who: &str, request: &str, body: Value) -> (u16, Value) {
    let body = match body {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    };
    let answer = raw(hefu.admin, request, &token(who), &body).await;
    let text = answer.text();
    let told = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    (answer.status(), told)
}

/// How a debit fares: the decision, and the rule behind it.
async fn debit(hefu: &Hefu, order: usize, amount: usize) -> String {
    let body = format!(
        r#"{{"type":"by_agreement","order":"{order}","amount":"{amount}","agreement":"A1","merchant":"M1"}}"#
    );
    let mut core = Peer::connect(hefu.core).await;
    core.send(format!(
        "POST /acme/pay HTTP/1.1\r\nHost: bank\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    let answer = core.answer().await;
    match answer.status() {
        200 => answer.field("hefu-decision").unwrap().to_owned(),
        status => {
            let problem: Value = serde_json::from_str(answer.text()).unwrap();
            format!("{status} {}", problem["reasons"])
        }
    }
}

fn rule(id: &str, state: &str, from: usize) -> String {
    format!(
        "[[rule]]\nid = \"{id}\"\naction = \"refuse\"\nstate = \"{state}\"\nowner = \"risk\"\nreason = \"too_much\"\n\
         when = \"has(payment.amount) && payment.amount >= {from}\"\n"
    )
}

/// Waits for a backtest, and yields what it found.
pub(crate) async fn found(hefu: &Hefu, started: &Value) -> Value {
    let path = format!("GET /v1/backtests/{}", started["backtest"].as_str().unwrap());
    let waiting = async {
        loop {
            let (status, job) = call(hefu, "viewer", &path, Value::Null).await;
            assert_eq!(status, 200, "{job}");
            if job["done"] == true {
                assert_eq!(job["failed"], Value::Null, "{job}");
                return job["found"].clone();
            }
        }
    };
    soon(waiting).await
}

const PASSES: &str = "annotate;reason=agreement_unknown;mode=enforce";
const REFUSED: &str = "403 [\"rule\",\"agreement_unknown\"]";

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "the life of one rule")]
async fn a_rule_lives_by_two_persons() {
    let (place, _bank) = place().await;
    let hefu = Hefu::start(place.command()).await;
    let post = async |who: &str, path: &str, body: Value| {
        call(&hefu, who, &format!("POST {path}"), body).await
    };
    assert_eq!(debit(&hefu, 1, 100).await, PASSES);
    let rule_text = rule("much", "live", 50);
    // What has mistakes is no version, and each is told with its place in both languages.
    let wrong = json!({ "rules": rule_text.replace("amount >=", "amout >="), "note": "wrong" });
    let (status, told) = post("editor", "/v1/rules/versions", wrong).await;
    let detail = told["detail"].as_str().unwrap();
    assert!(status == 422 && detail.contains("version 0:7:") && detail.contains("金额"), "{told}");
    let proposal = json!({ "rules": rule_text, "note": "nobody pays so much" });
    let (status, told) = post("both", "/v1/rules/versions", proposal).await;
    assert_eq!((status, &told["version"]), (201, &json!(1)));
    assert_eq!(debit(&hefu, 2, 100).await, PASSES);
    // Whoever wrote it cannot approve it, and nobody can before it was tried.
    let approval = json!({ "version": 1, "note": "looks good" });
    assert_eq!(post("both", "/v1/approvals/approve", approval.clone()).await.0, 403);
    assert_eq!(post("approver", "/v1/approvals/approve", approval.clone()).await.0, 409);
    let wanted = json!({ "version": 1, "since_ms": 0 });
    let (status, started) = post("editor", "/v1/backtests", wanted).await;
    assert_eq!(status, 202, "{started}");
    let test = found(&hefu, &started).await;
    assert_eq!(test["payments"]["hurt"]["payments"], 2, "{test}");
    assert_eq!(test["rules"][0]["hits"]["hurt"], json!({ "payments": 2, "fen": 200 }), "{test}");
    assert_eq!(post("both", "/v1/approvals/approve", approval.clone()).await.0, 403);
    let shared = raw(hefu.admin, "POST /v1/approvals/approve", TOKEN, &approval.to_string()).await;
    assert!(shared.status() == 403 && shared.text().contains("two persons"), "{}", shared.text());
    let (status, told) = post("approver", "/v1/approvals/approve", approval).await;
    assert_eq!(status, 204, "{told}");
    assert_eq!(debit(&hefu, 3, 100).await, REFUSED);
    // It is recorded by which version.
    let (_, set) = call(&hefu, "viewer", "GET /v1/rules", Value::Null).await;
    assert!(set["set"].as_str().unwrap().starts_with("1-") && set["version"] == 1, "{set}");
    // The next one is tried in shadow beside it, and its record says what it did.
    let proposal = json!({ "rules": rule("much", "live", 500), "note": "they do" });
    assert_eq!(post("editor", "/v1/rules/versions", proposal).await.0, 201);
    let (_, second) = call(&hefu, "viewer", "GET /v1/rules/versions/2", Value::Null).await;
    let diff = second["diff"].as_str().unwrap();
    assert!(diff.contains("amount >= 50\"\n+") && diff.contains("+++ version 2"), "{diff}");
    assert_eq!(second["author"], "editor");
    assert_eq!(post("editor", "/v1/rules/shadow", json!({ "version": 2 })).await.0, 204);
    assert_eq!(debit(&hefu, 4, 60).await, REFUSED);
    assert_eq!(debit(&hefu, 5, 600).await, REFUSED);
    assert_eq!(debit(&hefu, 6, 10).await, PASSES);
    let (status, started) = post("editor", "/v1/rules/shadow/end", Value::Null).await;
    assert_eq!(status, 202, "{started}");
    let test = found(&hefu, &started).await;
    assert_eq!(test["any_rule"]["hits"]["refused_before"]["payments"], 1, "{test}");
    let (_, waiting) = call(&hefu, "approver", "GET /v1/approvals", Value::Null).await;
    let trial = &waiting[0]["trials"][0];
    assert_eq!((&trial["tried"], &trial["payments"]), (&json!("shadow"), &json!(3)), "{waiting}");
    let approval = json!({ "version": 2, "note": "good" });
    assert_eq!(post("approver", "/v1/approvals/approve", approval).await.0, 204);
    assert_eq!(debit(&hefu, 7, 100).await, PASSES);
    assert_eq!(debit(&hefu, 8, 600).await, REFUSED);
    // It sleeps and wakes; and one call goes back.
    let nap = json!({ "rule": "much", "minutes": 60, "note": "a campaign" });
    assert_eq!(post("editor", "/v1/rules/snooze", nap).await.0, 204);
    assert_eq!(debit(&hefu, 9, 600).await, PASSES);
    assert_eq!(post("editor", "/v1/rules/wake", json!({ "rule": "much" })).await.0, 204);
    assert_eq!(debit(&hefu, 10, 600).await, REFUSED);
    let (status, told) = post("approver", "/v1/rules/rollback", json!({ "note": "too lax" })).await;
    assert_eq!((status, &told["version"]), (200, &json!(1)));
    assert_eq!(debit(&hefu, 11, 100).await, REFUSED);
    // All of it outlives the process, and stands in the audit.
    drop(hefu);
    let hefu = Hefu::start(place.command()).await;
    assert_eq!(debit(&hefu, 12, 100).await, REFUSED);
    let (_, page) = call(&hefu, "auditor", "GET /v1/audit", Value::Null).await;
    let told: Vec<_> = page["entries"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|noted| format!("{} {}", noted["entry"]["who"], noted["entry"]["action"]))
        .map(|told| told.replace('"', ""))
        .collect();
    let expected = [
        "both propose_rules",
        "editor backtest",
        "approver approve_rules",
        "editor propose_rules",
        "editor shadow_rules",
        "editor end_shadow",
        "approver approve_rules",
        "editor snooze_rule",
        "editor wake_rule",
        "approver roll_back_rules",
    ];
    assert_eq!(told, expected);
}

/// A list takes a plain card, keeps its fingerprint, and a rule looks into it at once.
#[tokio::test]
async fn a_list_is_filled_through_the_api() {
    let (place, _bank) = place().await;
    std::fs::create_dir(place.path().join("rules")).unwrap();
    let rules = "[[list]]\nname = \"partners\"\nholds = \"merchant\"\n[[list]]\nname = \"stolen\"\nholds = \"card\"\n\
        [[rule]]\nid = \"partner\"\naction = \"refuse\"\nstate = \"live\"\nowner = \"risk\"\n\
        when = \"has(payment.merchant) && payment.merchant in list(\\\"partners\\\")\"\n";
    place.write("rules/one.toml", rules);
    let hefu = Hefu::start(place.command()).await;
    assert_eq!(debit(&hefu, 1, 100).await, PASSES);
    let post = async |path: &str, body: Value| {
        call(&hefu, "editor", &format!("POST /v1/lists/{path}"), body).await
    };
    let (status, told) = post("partners/import?reason=fraud", json!("value\nM1\nM2\n")).await;
    assert_eq!((status, &told), (200, &json!({ "new": 2, "known": 0 })));
    assert_eq!(debit(&hefu, 2, 100).await, REFUSED);
    let pan = "6200000000000005";
    let (status, told) = post("stolen/import?reason=fraud", json!(format!("value\n{pan}\n"))).await;
    assert_eq!((status, &told["new"]), (200, &json!(1)), "{told}");
    let (status, told) =
        post("stolen/import?reason=fraud", json!("value\n6200000000000006\n")).await;
    assert!(status == 400 && told["detail"].as_str().unwrap().starts_with("line 2:"), "{told}");
    let (_, csv) = call(&hefu, "viewer", "GET /v1/lists/stolen", Value::Null).await;
    let csv = csv.as_str().unwrap();
    assert!(
        csv.lines().count() == 2 && csv.contains(",fraud,editor,") && !csv.contains(pan),
        "{csv}"
    );
    let gone = json!({ "values": ["M1"], "reason": "a mistake" });
    let (status, told) = post("partners/remove", gone).await;
    assert_eq!((status, &told["removed"]), (200, &json!(1)));
    assert_eq!(debit(&hefu, 3, 100).await, PASSES);
    let (_, lists) = call(&hefu, "viewer", "GET /v1/lists", Value::Null).await;
    assert_eq!(lists[0], json!({ "list": "partners", "holds": "merchant", "entries": 1 }));
    drop(hefu);
    let kept = std::fs::read(place.path().join("hefu.db")).unwrap();
    assert!(!kept.windows(pan.len()).any(|bytes| bytes == pan.as_bytes()), "a card is kept");
    let hefu = Hefu::start(place.command()).await;
    let (_, lists) = call(&hefu, "viewer", "GET /v1/lists", Value::Null).await;
    assert_eq!(lists[1], json!({ "list": "stolen", "holds": "card", "entries": 1 }));
}

#[tokio::test]
async fn a_channel_is_turned_and_the_glass_is_broken() {
    let (place, _bank) = place().await;
    let hefu = Hefu::start(place.command()).await;
    let turn = async |path: &str, body: Value| {
        call(&hefu, "operator", &format!("POST /v1/channels/{path}"), body).await.0
    };
    let mode = async || debit_mode(&hefu).await;
    assert_eq!(mode().await, "enforce");
    let glass = json!({ "minutes": 60, "note": "a bad night" });
    assert_eq!(turn("acme/break-glass", glass.clone()).await, 204);
    assert_eq!(mode().await, "observe");
    let (_, shown) = call(&hefu, "viewer", "GET /v1/channels", Value::Null).await;
    let expected = json!({ "by": "operator", "note": "a bad night" });
    assert_eq!((&shown[0]["mode"], &shown[0]["file"]), (&json!("observe"), &json!("enforce")));
    assert_eq!(shown[0]["turned"]["by"], expected["by"], "{shown}");
    assert!(shown[0]["turned"]["until_ms"].is_u64(), "{shown}");
    let (_, config) = call(&hefu, "viewer", "GET /v1/config", Value::Null).await;
    assert_eq!(config["channels"], json!(["acme"]));
    assert_eq!(config["effective"]["channels"]["acme"]["mode"], "observe");
    let origin = json!({ "key": "mode.acme.enforce", "file": "policy.toml", "line": 2 });
    assert!(config["files"].as_array().unwrap().contains(&origin), "{}", config["files"]);
    assert_eq!(turn("acme/reset", json!({ "note": "morning" })).await, 204);
    assert_eq!(mode().await, "enforce");
    assert_eq!(turn("acme/mode", json!({ "enforce": 0, "note": "slowly" })).await, 204);
    assert_eq!(mode().await, "observe");
    // A reload of the files leaves what was turned.
    let reloaded = call(&hefu, "operator", "POST /v1/reload", Value::Null).await;
    assert_eq!((reloaded.0, mode().await.as_str()), (204, "observe"));
    // What is turned while the glass is broken is so once it is whole.
    assert_eq!(turn("acme/break-glass", glass).await, 204);
    assert_eq!(turn("acme/mode", json!({ "enforce": 100, "note": "by day" })).await, 204);
    assert_eq!(mode().await, "observe");
    let (_, shown) = call(&hefu, "viewer", "GET /v1/channels", Value::Null).await;
    assert_eq!(shown[0]["turned"]["note"], "a bad night", "{shown}");
    assert_eq!(turn("acme/reset", json!({ "note": "morning" })).await, 204);
    assert_eq!(mode().await, "enforce");
    assert_eq!(turn("acme/mode", json!({ "enforce": 101, "note": "n" })).await, 400);
    assert_eq!(turn("nobody/mode", json!({ "enforce": 1, "note": "n" })).await, 404);
    assert_eq!(turn("acme/break-glass", json!({ "minutes": 0, "note": "n" })).await, 400);
    assert_eq!(turn("acme/break-glass", json!({ "minutes": 1, "note": "" })).await, 400);
}

async fn debit_mode(hefu: &Hefu) -> String {
    let mut core = Peer::connect(hefu.core).await;
    core.send(crate::process::query()).await;
    let answer = core.answer().await;
    let decision = answer.field("hefu-decision").unwrap();
    decision.split_once("mode=").unwrap().1.to_owned()
}

/// Every operation of the description is served, to those with the right and to nobody else; and nothing else is served.
#[tokio::test]
async fn each_role_may_what_the_description_says() {
    let (place, _bank) = place().await;
    let hefu = Hefu::start(place.command()).await;
    let described = openapi();
    let mut operations = 0;
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations += 1;
            let path = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part });
            let path = path.collect::<Vec<_>>().join("/");
            let request = format!("{} {path}", method.to_uppercase());
            let Some(word) = operation["x-right"].as_str() else {
                assert_eq!(
                    raw(hefu.admin, &request, "nobody", "").await.status(),
                    200,
                    "{request}"
                );
                continue;
            };
            let right = Right::ALL.into_iter().find(|right| right.as_str() == word).unwrap();
            assert_eq!(raw(hefu.admin, &request, "nobody's", "").await.status(), 401, "{request}");
            for (name, roles) in PEOPLE {
                let (status, told) = call(&hefu, name, &request, Value::Null).await;
                let may = roles.iter().any(|role| role.may(right));
                // Without what it asks it does nothing; that it is served shows in its own words.
                assert_eq!(status != 403, may, "{name} {request}: {status} {told}");
                assert!(
                    !may || told != json!({ "detail": "there is no such resource" }),
                    "{request}"
                );
                assert!(status < 500, "{name} {request}: {status} {told}");
            }
            // What changes something is no GET.
            let other = if method == "get" { "POST" } else { "GET" };
            let served = methods.get(other.to_lowercase()).is_some();
            let status = raw(hefu.admin, &format!("{other} {path}"), TOKEN, "").await.status();
            assert!(served || status == 405 || status == 404, "{other} {path}: {status}");
        }
    }
    assert!(operations > 50, "{operations}");
    assert_eq!(raw(hefu.admin, "GET /v1/nothing", TOKEN, "").await.status(), 404);
}

#[tokio::test]
async fn who_calls_too_often_waits_and_others_do_not() {
    let (place, _bank) = place().await;
    place.replace("hefu.toml", "admin_per_second = 1000", "admin_per_second = 1");
    let hefu = Hefu::start(place.command()).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(call(&hefu, "viewer", "GET /v1/holds", Value::Null).await.0);
    }
    assert_eq!(statuses[..2], [200; 2]);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(call(&hefu, "operator", "GET /v1/holds", Value::Null).await.0, 200);
    // What is told beside a token of one's own must be the same.
    let head = "POST /v1/reload HTTP/1.1\r\nHefu-Operator: somebody\r\nX-Rest:";
    assert_eq!(raw(hefu.admin, head, &token("admin"), "").await.status(), 400);
}

/// `hefu token` makes what the configuration takes.
#[tokio::test]
async fn a_token_is_made_and_only_its_hash_is_configured() {
    let (place, _bank) = place().await;
    let file = place.path().join("li.token");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
    command.args(["token", "--name", "li.lei", "--role", "operator", "--role", "auditor", "--to"]);
    let done = soon(command.arg(&file).output()).await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let table = String::from_utf8(done.stdout).unwrap();
    let made = std::fs::read_to_string(&file).unwrap();
    assert!(!table.contains(made.trim()), "{table}");
    place.replace("hefu.toml", "[channels.acme]", &format!("{table}[channels.acme]"));
    place.replace("hefu.toml", "admin_token_file = \"admin.token\"\n", "");
    let hefu = Hefu::start(place.command()).await;
    let page = raw(hefu.admin, "GET /v1/audit", made.trim(), "").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    assert_eq!(raw(hefu.admin, "GET /v1/audit", TOKEN, "").await.status(), 401);
    let dump = raw(hefu.admin, "GET /config_dump", made.trim(), "").await;
    assert!(dump.text().contains("li.lei") && !dump.text().contains(made.trim()));
}

/// Who does not say what they want is not waited for.
#[tokio::test]
async fn half_a_head_keeps_no_connection_to_the_admin_api_nor_to_the_metrics() {
    let (place, _bank) = place().await;
    place.replace("hefu.toml", "[listen]", "[listen]\nmetrics = \"127.0.0.1:0\"");
    let hefu = Hefu::start(place.command()).await;
    let closed = async |to: SocketAddr| {
        let mut peer = Peer::connect(to).await;
        peer.send("GET /healthz HTTP/1.1\r\nHost").await;
        peer.is_closed().await
    };
    tokio::join!(closed(hefu.admin), closed(hefu.metrics.unwrap()));
}

/// With TLS nobody without a certificate gets to say who they are.
#[tokio::test]
async fn certificates_may_be_asked_for() {
    let (place, _bank) = place().await;
    let (authority, other) = (tls::identity("authority", None), tls::identity("other", None));
    let write = |name: &str, identity: &tls::Identity| {
        place.write(&format!("{name}.pem"), identity.certificate.to_pem().unwrap());
        place.write(&format!("{name}.key"), identity.key.private_key_to_pem_pkcs8().unwrap());
    };
    write("authority", &authority);
    write("admin", &tls::identity("localhost", Some(&authority)));
    write("own", &tls::identity("li.lei", Some(&authority)));
    write("strange", &tls::identity("somebody", Some(&other)));
    let door = "[listen]\nadmin_tls = { cert_file = \"admin.pem\", key_file = \"admin.key\", client_ca_file = \"authority.pem\" }";
    place.replace("hefu.toml", "[listen]", door);
    let hefu = Hefu::start(place.command()).await;
    let asked = async |own: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
        let at = |name: &str| place.path().join(name);
        command.args(["holds", "list", "--admin"]);
        command.arg(format!("https://localhost:{}", hefu.admin.port()));
        command.arg("--admin-token-file").arg(at("admin.token"));
        command.arg("--admin-ca-file").arg(at("authority.pem"));
        command.arg("--admin-cert-file").arg(at(&format!("{own}.pem")));
        command.arg("--admin-key-file").arg(at(&format!("{own}.key")));
        let done = soon(command.kill_on_drop(true).output()).await.unwrap();
        String::from_utf8(done.stdout).unwrap()
    };
    assert_eq!(asked("own").await, "0 held\n");
    assert_eq!(asked("strange").await, "");
    // Somebody who shakes no hand is in nobody's way.
    let _silent = TcpStream::connect(hefu.admin).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), asked("own")).await.unwrap();
}
