//! The admin API is as `docs/openapi.json` describes it, and whatever that allows to be sent, the server has an answer of its own.

use crate::peers::{Peer, channel, ok, soon};
use crate::process::{Hefu, Place, TOKEN};
use crate::tools::tool;
use expect_test::expect_file;
use hefu::admin::openapi;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::process::Command;

/// Printed with what fails, and used again by `HEFU_SEED`.
const SEED: &str = "7";
/// How many calls of each operation are made up, beside those that every schema suggests.
const EXAMPLES: u32 = 15;
/// Longer than it takes: some minutes on a machine that is busy.
const WITHIN: Duration = Duration::from_mins(15);

#[test]
fn the_committed_description_is_the_description() {
    let described = serde_json::to_string_pretty(&openapi()).unwrap();
    expect_file!["../../docs/openapi.json"].assert_eq(&format!("{described}\n"));
}

/// The description, with words that lead somewhere here: who makes up names alone hardly gets beyond `404`.
fn described() -> Value {
    let mut described = openapi();
    let known = json!({
        "channel": ["acme", "nobody"], "list": ["partners", "stolen", "nothing"], "provider": ["nobody"], "version": ["1", "2", "x"],
        "account": ["A-1", "A-2", "nobody's"],
    });
    for methods in described["paths"].as_object_mut().unwrap().values_mut() {
        for operation in methods.as_object_mut().unwrap().values_mut() {
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                let words = &known[parameter["name"].as_str().unwrap()];
                if !words.is_null() && parameter["in"] == "path" {
                    parameter["schema"] = json!({ "type": "string", "enum": words });
                }
            }
        }
    }
    described
}

const RULES: &str = "[[list]]\nname = \"partners\"\nholds = \"merchant\"\n[[list]]\nname = \"stolen\"\nholds = \"card\"\n\
    [[rule]]\nid = \"partner\"\naction = \"annotate\"\nstate = \"live\"\nowner = \"risk\"\n\
    when = \"has(payment.merchant) && payment.merchant in list(\\\"partners\\\")\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_that_is_described_is_a_server_error() {
    let bank = channel(|_| ok(r#"{"code":"ok"}"#)).await;
    let place = Place::to(&bank);
    place.replace("hefu.toml", "[secrets]", "[store]\nfile = \"hefu.db\"\n[secrets]");
    place.replace("hefu.toml", "[listen]", "[listen]\nadmin_per_second = 10000");
    // One token gets everywhere then.
    place.write("policy.toml", "[mode]\nacme = { enforce = 100 }\n[rules]\ntwo_persons = false\n");
    let classes = concat!(env!("CARGO_MANIFEST_DIR"), "/config/classes.toml");
    std::fs::copy(classes, place.path().join("classes.toml")).unwrap();
    std::fs::create_dir(place.path().join("rules")).unwrap();
    place.write("rules/one.toml", RULES);
    place.write("openapi.json", described().to_string());
    let hefu = Hefu::start(place.command()).await;
    let mut core = Peer::connect(hefu.core).await;
    for order in 0..5 {
        let body = format!(
            r#"{{"type":"by_agreement","order":"{order}","amount":"100","agreement":"A1","merchant":"M1"}}"#
        );
        core.send(format!(
            "POST /acme/pay HTTP/1.1\r\nHost: bank\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        core.answer().await;
    }
    let proposal = json!({ "rules": "", "note": "nothing" }).to_string();
    assert_eq!(hefu.admin("POST /v1/rules/versions", &proposal).await.status(), 201);
    fuzz(&place, &format!("http://{}", hefu.admin), TOKEN, EXAMPLES).await;
    // It did call, and it was served: nobody wrote of a panic.
    let metrics = soon(hefu.admin("GET /metrics", "")).await;
    assert_eq!(metrics.status(), 200);
    assert!(!hefu.log.has("panicked"), "{}", hefu.log.text());
}

/// Calls whatever `openapi.json` in `place` describes at `url`: none is a server's error.
#[expect(clippy::disallowed_methods, reason = "a seed of one's own is tried by hand")]
pub(crate) async fn fuzz(place: &Place, url: &str, token: &str, examples: u32) {
    let Some(schemathesis) = tool("schemathesis") else { return };
    let seed = std::env::var("HEFU_SEED").unwrap_or_else(|_| SEED.to_owned());
    let mut command = Command::new(schemathesis);
    command.current_dir(place.path()).kill_on_drop(true);
    command.args(["--no-color", "run", "openapi.json", "--url", url]);
    command.args(["--header", &format!("Authorization: Bearer {token}"), "--seed", &seed]);
    command.args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"]);
    command.args(["--max-examples", &examples.to_string(), "--phases", "coverage,fuzzing"]);
    command.args(["--warnings", "off"]);
    command.args([
        "--generation-database",
        "none",
        "--request-timeout",
        "60",
        "--suppress-health-check",
        "all",
    ]);
    let ran = tokio::time::timeout(WITHIN, command.output()).await.unwrap().unwrap();
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(
        ran.status.success(),
        "seed {seed}\n{printed}\n{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let summary =
        printed.lines().filter(|line| line.contains("test cases") || line.contains("passed"));
    let summary: Vec<_> = summary.collect();
    assert!(!summary.is_empty(), "{printed}");
    // Of what is described nothing is left out.
    let described = std::fs::read_to_string(place.path().join("openapi.json")).unwrap();
    let described: Value = serde_json::from_str(&described).unwrap();
    let paths = described["paths"].as_object().unwrap().values();
    let operations: usize = paths.map(|methods| methods.as_object().unwrap().len()).sum();
    let tested = format!("Tested: {operations}");
    assert!(printed.lines().any(|line| line.trim() == tested), "no `{tested}`: {printed}");
}
