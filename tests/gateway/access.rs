//! The access log, the metrics listener and the commands that ask a running Hefu.

use crate::peers::{Peer, channel, ok, soon};
use crate::process::{Hefu, Place, TOKEN};
use serde_json::Value;
use std::fs;
use std::process::{Command, Output};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn query(field: &str) -> String {
    let body = r#"{"type":"query","order":"1"}"#;
    format!(
        "POST /acme/pay HTTP/1.1\r\nHost: bank\r\nContent-Type: application/json\r\n{field}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn hefu(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hefu")).args(arguments).output().unwrap()
}

/// The lines of a log.
fn lines(place: &Place, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(place.path().join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_request_leaves_a_line_and_a_moved_file_is_let_go() {
    let bank = channel(|_| ok("{}")).await;
    let place = Place::to(&bank);
    place.replace("hefu.toml", "[secrets]", "[log]\naccess = \"access.log\"\n[secrets]");
    place.replace("hefu.toml", "[listen]\n", "[listen]\nmetrics = \"127.0.0.1:0\"\n");
    let mut running = Hefu::start(place.command()).await;
    let mut core = Peer::connect(running.core).await;
    core.send(query(&format!("traceparent: {TRACE}\r\n"))).await;
    let answer = core.answer().await;
    assert_eq!(answer.status(), 200);
    // The channel sees the core's trace, and nothing of ours.
    assert_eq!(bank.messages()[0].field("traceparent"), Some(TRACE));
    let mut twice = Peer::connect(running.core).await;
    twice.send(query("Content-Length: 1\r\n")).await;
    assert_eq!(twice.answer().await.status(), 400);
    let moved = place.path().join("access.log.1");
    fs::rename(place.path().join("access.log"), moved).unwrap();
    running.signal("HUP");
    running.log.line(0, &["the configuration was loaded again"]).await;
    core.send(query("")).await;
    assert_eq!(core.answer().await.status(), 200);
    asked_from_outside(&running, &place).await;
    drop((core, twice));
    running.signal("TERM");
    assert!(running.exit().await.success());
    let (before, after) = (lines(&place, "access.log.1"), lines(&place, "access.log"));
    let first = &before[0];
    let payment = answer.field("hefu-payment").unwrap().trim_matches('"');
    for (field, expected) in [
        ("listener", Value::from("core")),
        ("channel", "acme".into()),
        ("method", "POST".into()),
        ("status", 200.into()),
        ("flags", "-".into()),
        ("payment", payment.into()),
        ("decision", answer.field("hefu-decision").unwrap().into()),
        ("bytes_in", 28.into()),
        ("trace", TRACE.get(3..35).unwrap().into()),
    ] {
        assert_eq!(first[field], expected, "{field} of {first}");
    }
    let micros = |field: &str| first[field].as_u64().unwrap();
    assert!(micros("total_us") >= micros("judge_us") + micros("channel_us"), "{first}");
    // The core that is refused may keep its end open for a moment, so its line is in either.
    let all: Vec<&Value> = before.iter().chain(&after).collect();
    assert_eq!(all.len(), 3, "{all:#?}");
    let refused = all.iter().find(|line| line["flags"] == "FR").unwrap();
    assert_eq!((&refused["status"], &refused["channel"]), (&400.into(), &Value::Null), "{refused}");
    let last = after.iter().find(|line| line["flags"] == "-").unwrap();
    assert_eq!((&last["status"], &last["trace"]), (&200.into(), &Value::Null), "{last}");
}

/// What those see who scrape and probe, and what the commands say.
async fn asked_from_outside(running: &Hefu, place: &Place) {
    let mut peer = Peer::connect(running.metrics.unwrap()).await;
    let mut ask = async |path: &str| {
        soon(peer.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))).await;
        peer.answer().await
    };
    let metrics = ask("/metrics").await;
    let counted = "hefu_requests_total{channel=\"acme\",ending=\"answered\",listener=\"core\"} 2";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
    assert_eq!(ask("/readyz").await.status(), 200);
    // It has nothing that a token guards.
    for path in ["/config_dump", "/v1/holds", "/v1/reload"] {
        assert_eq!(ask(path).await.status(), 404, "{path}");
    }
    let admin = format!("http://{}", running.admin);
    let outside = format!("http://{}", running.metrics.unwrap());
    for (address, kind) in [(&admin, "ready"), (&outside, "ready")] {
        let output = hefu(&["healthcheck", "--admin", address]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.trim() == kind, "{address}: {said}");
    }
    assert!(!hefu(&["healthcheck", "--admin", "http://127.0.0.1:1"]).status.success());
    place.write("token", TOKEN);
    let token = place.path().join("token");
    let reload = ["reload", "--admin", &admin, "--admin-token-file", token.to_str().unwrap()];
    assert!(hefu(&reload).status.success());
    place.replace("hefu.toml", "[secrets]", "[secrets]\nfingerprint_key_ID = 2");
    let output = hefu(&reload);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("fingerprint_key_ID"), "{said}");
    place.replace("hefu.toml", "\nfingerprint_key_ID = 2", "");
    let output = hefu(&["doctor", "--config", place.path().to_str().unwrap()]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("good  configuration") && said.contains("good  channel acme"), "{said}");
    assert!(said.contains("hmm   store              none"), "{said}");
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let nobody = "upstreams = [\"http://127.0.0.1:1\"]";
    let place = Place::new("127.0.0.1:0", nobody);
    place.replace("hefu.toml", "[secrets]", "[store]\nfile = \"hefu.db\"\n[secrets]");
    let check = |expected: &[&str]| {
        let output = hefu(&["doctor", "--config", place.path().to_str().unwrap()]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(!output.status.success(), "{said}");
        for expected in expected {
            assert!(said.contains(expected), "no `{expected}` in:\n{said}");
        }
    };
    check(&[
        "bad   channel acme       127.0.0.1:1: Connection refused",
        "      see `upstreams` and `tls` of the channel",
        "hefu.db is not there yet and will be made",
        "disk sync          ",
        "open files         ",
    ]);
    place.write("policy.toml", "[mode]\nacme = \"enforced\"\n");
    check(&["bad   configuration      1 problems", "hefu check", "policy.toml"]);
}
