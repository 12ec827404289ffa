//! The whole of Hefu between the simulated core, channels and providers: what it found against what is true, and what it shows.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use hefu::app::{self, Running};
use hefu::cli::demo::report::Report;
use hefu::cli::demo::setup::{Place, api_outputs, target};
use hefu::cli::demo::{Demo, Log};
use hefu::sim::{Settings, Simulation};
use serde_json::{Value, json};
use std::time::Duration;

const SEED: u64 = 20_261_123;

/// How many messages make a run in which everything happens that is asserted here, each thing many times: what is notified, forged, late and
/// forgotten goes by number.
const MESSAGES: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hefu_found_is_what_is_true() {
    let demo = Demo::new(MESSAGES, 200, SEED);
    let report = demo.observe(&mut Vec::new(), &Log::default()).await.unwrap();
    let json = report.json();
    assert_eq!(report.faults(), [""; 0], "seed {SEED}: {json:#}");
    let happened = [
        "/requests/inspected",
        "/requests/uninspected",
        "/decisions/permit",
        "/inquiries",
        "/charges_fen/certain",
        "/outcomes/sync",
        "/outcomes/notify",
        "/outcomes/query",
        "/outcomes/statement",
        "/mismatches/match_then_no_match/true",
        "/mismatches/missing_outcome/true",
        "/spans",
        "/upgrades/as_planned",
        "/upgrades/class_three/told",
        "/upgrades/uncertain_fen/true",
    ];
    let never = [
        "/signature_failures",
        "/bytes_changed",
        "/forwarded_without_permit",
        "/element_leaks",
        "/notifications/changed",
        "/upgrades/differing",
    ];
    assert_eq!(json["upgrades"]["asked"], 1_000, "{json:#}");
    // Some have too few banks, or too many registers that know them otherwise.
    let reached = json["upgrades"]["class_three"]["true"].as_u64().unwrap();
    assert!((500..1_000).contains(&reached), "{json:#}");
    check(&json, &happened, &never);
    let channels = json["channels"].as_object().unwrap();
    // Those that a statement settles, and those that are asked.
    let (mut by_statement, mut by_query) = (0, 0);
    for (name, channel) in channels {
        // The messages in JSON bind, and pay nothing.
        if channel["ended"]["payments"] == 0 {
            assert_eq!(name, "yeepay-json", "{channel:#}");
            continue;
        }
        let happened = ["/mismatches/match_then_no_match/true", "/ended/payments"];
        let never = ["/ended/open", "/ended/wrong", "/ended/holds_unfounded"];
        check(channel, &happened, &never);
        *(if channel["ended"]["by"] == "statement" { &mut by_statement } else { &mut by_query }) +=
            1;
    }
    assert_eq!((by_statement, by_query), (3, 3), "{json:#}");
    let notify = ["unionpay", "lianlian", "baofoo", "yeepay"];
    for name in notify {
        let never = ["/notifications/forged_with_effect", "/notifications/without_effect"];
        check(&channels[name], &["/notifications/genuine", "/notifications/forged"], &never);
    }
    let notifies = |channel: &&Value| !channel["notifications"].is_null();
    assert_eq!(channels.values().filter(notifies).count(), notify.len(), "{json:#}");
}

/// What must have happened in a run, and what must not.
fn check(of: &Value, happened: &[&str], never: &[&str]) {
    let count = |key: &&str| of.pointer(key).and_then(Value::as_u64).unwrap();
    for key in happened {
        assert!(count(key) > 0, "seed {SEED}: {key}: {of:#}");
    }
    for key in never {
        assert_eq!(count(key), 0, "seed {SEED}: {key}: {of:#}");
    }
}

struct Api {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl Api {
    async fn get(&self, path: &str) -> (u16, String) {
        let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.token);
        let response =
            request.header("content-type", "application/json").body(body).send().await.unwrap();
        (
            response.status().as_u16(),
            serde_json::from_slice(&response.bytes().await.unwrap()).unwrap(),
        )
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_api_shows_what_operators_need_and_no_element() {
    let place = Place::new().unwrap();
    let simulation =
        Simulation::start(Settings::new(SEED + 1, place.dir().to_owned())).await.unwrap();
    let running = app::start(place.configure(&simulation, None).unwrap()).await.unwrap();
    let stop = async {
        while simulation.messages() < 900 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    simulation.drive(target(&simulation, &running).unwrap(), 200, stop).await.unwrap();
    let api = Api {
        base: format!("http://{}", running.admin.unwrap()),
        token: std::fs::read_to_string(place.token_file()).unwrap(),
        http: reqwest::Client::new(),
    };
    only_the_token_opens(&api).await;
    every_metric_is_there(&api).await;
    holds_are_listed_and_released(&api, &running).await;
    agreements_are_imported(&api).await;
    // The scan of everything shown finds nothing, and finds a planted element.
    let mut shown = api_outputs(&running, &place).await;
    running.flush_log().await;
    let lines = std::fs::read_to_string(place.dir().join("access.log")).unwrap();
    let has_all =
        |line: &&str| ["\"payment\":\"", "\"verification\":\""].iter().all(|it| line.contains(it));
    assert!(lines.lines().filter(has_all).count() > 20, "{lines}");
    shown.extend_from_slice(lines.as_bytes());
    let audit =
        Report::new((SEED, 5), &simulation, &running, std::slice::from_ref(&shown)).unwrap();
    assert_eq!(audit.element_leaks(), 0);
    let planted = simulation.an_element();
    let planted =
        [shown, format!("{{\"detail\":\"card {planted} is unknown\"}}").into_bytes()].concat();
    let audit = Report::new((SEED, 5), &simulation, &running, &[planted]).unwrap();
    assert_eq!(audit.element_leaks(), 1);
    running.drain().await;
}

async fn only_the_token_opens(api: &Api) {
    for path in ["/healthz", "/readyz"] {
        let response = api.http.get(format!("{}{path}", api.base)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
    for path in
        ["/metrics", "/config_dump", "/v1/holds", "/v1/payments/x", "/v1/agreements/unionpay/1"]
    {
        for token in ["", "x", &format!("{}x", api.token)] {
            let response = api
                .http
                .get(format!("{}{path}", api.base))
                .bearer_auth(token)
                .send()
                .await
                .unwrap();
            assert_eq!(response.status(), 401, "{path}");
        }
    }
    let (status, dump) = api.get("/config_dump").await;
    assert_eq!(status, 200);
    assert!(
        dump.contains("\"unionpay\"")
            && !dump.contains(api.token.as_str())
            && !dump.contains("BEGIN"),
        "{dump}"
    );
    assert_eq!(api.get("/nowhere").await.0, 404);
    assert_eq!(api.get("/v1/payments/x").await.0, 400);
    assert_eq!(api.get("/v1/payments/01J9ZZZZZZZZZZZZZZZZZZZZZZ").await.0, 404);
}

async fn every_metric_is_there(api: &Api) {
    let (_, metrics) = api.get("/metrics").await;
    for name in [
        "hefu_payments_total{",
        "hefu_verifications_total{",
        "hefu_verification_seconds_bucket{",
        "hefu_evidence_total{",
        "hefu_outcomes_total{",
        "hefu_notifications_total{",
        "hefu_mismatches_total{",
        "hefu_holds_open{",
        "hefu_expectations_open{",
        "hefu_overhead_seconds_bucket{",
        "hefu_provider_up{",
        "hefu_config_last_reload_successful 1",
        "hefu_clock_offset_seconds ",
        "hefu_store_damaged_rows_total 0",
        "hefu_build_info{",
    ] {
        assert!(metrics.contains(name), "{name} is missing:\n{metrics}");
    }
}

async fn holds_are_listed_and_released(api: &Api, running: &Running) {
    let (_, holds) = api.get("/v1/holds").await;
    let holds: Vec<Value> = serde_json::from_str(&holds).unwrap();
    assert!(!holds.is_empty());
    let payment = holds[0]["payment"].as_str().unwrap();
    let (status, told) = api.get(&format!("/v1/payments/{payment}")).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((status, &told["outcome"]["outcome"]), (200, &json!("no_match")), "{told:#}");
    assert!(told["zh"].as_str().unwrap().contains("以扣款结果为准"), "{told:#}");
    let (_, corrected) = api.get("/v1/mismatches?kind=match_then_no_match&most=1").await;
    let corrected: Value = serde_json::from_str(&corrected).unwrap();
    let it = &corrected["mismatches"][0];
    assert_eq!((&it["answer"], &it["corrected"]), (&json!("match"), &json!("no_match")), "{it:#}");
    let key = holds[0]["key"].as_str().unwrap();
    assert_eq!(
        api.post("/v1/holds/release", json!({ "keys": [key], "note": " " }).to_string()).await.0,
        400
    );
    assert_eq!(
        api.post("/v1/holds/release", json!({ "keys": ["card:1"], "note": "x" }).to_string())
            .await
            .0,
        400
    );
    let one = json!({ "keys": [key], "note": "the customer called" }).to_string();
    assert_eq!(api.post("/v1/holds/release", one.clone()).await, (200, json!({ "released": 1 })));
    assert_eq!(api.post("/v1/holds/release", one).await, (200, json!({ "released": 0 })));
    let all = json!({ "channel": "baofoo", "note": "a bad night" }).to_string();
    assert_eq!(api.post("/v1/holds/release", all).await.0, 200);
    assert!(running.service.standing_holds().iter().all(|hold| hold.channel.as_str() != "baofoo"));
}

async fn agreements_are_imported(api: &Api) {
    let lines = "{\"agreement\":\"old-1\"}\n\n{\"agreement\":\"\"}\nnot json\n{\"agreement\":\"old-2\",\"pan\":\"62\"}\n{\"agreement\":\"old-3\",\"age\":\"7\"}\n";
    let (status, result) = api.post("/v1/agreements/import?channel=baofoo", lines).await;
    let lines: Vec<_> = result["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["line"].as_u64().unwrap())
        .collect();
    assert_eq!(
        (status, &result["imported"], lines),
        (200, &json!(1), vec![3, 4, 5, 6]),
        "{result:#}"
    );
    assert_eq!(api.post("/v1/agreements/import?channel=nobody", "{}").await.0, 404);
    let (_, standing) = api.get("/v1/agreements/baofoo/old-1").await;
    assert!(standing.contains("\"good\""), "{standing}");
    assert_eq!(api.get("/v1/agreements/baofoo/old-9").await.0, 404);
}
