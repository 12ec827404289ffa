//! A real Prometheus scrapes a real Hefu under the demo's traffic, and another among those who misbehave (`odd`): every query of the
//! dashboards and every operand of the alerts has a series, and `promtool check metrics` has nothing to say. Free ports, a directory of its own; it ends by itself.

use crate::dashboards::{DASHBOARDS, dashboard, panels};
use crate::odd::Odd;
use crate::rules::{ALERTS, RECORDING, rules};
use crate::tools::{file, pipe, run, text, tool};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Names that `promtool check metrics` does not like, and that are fixed by the contract.
const DISLIKED: [&str; 1] = ["hefu_holds_paused counter metrics should have \"_total\" suffix"];

/// Longer than the test may take: it ends the demo.
const TRAFFIC: &str = "600s";
/// An outcome is overdue after a minute, and that is looked for three times a minute.
const SECONDS_MAX: u32 = 150;

/// A process that ends with the test.
pub(crate) struct Ending(pub(crate) Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct World {
    address: String,
    client: reqwest::Client,
    core: String,
    odd: Odd,
    _processes: [Ending; 2],
    place: tempfile::TempDir,
}

/// The demo, and where it is.
struct Demo {
    process: Ending,
    core: String,
    admin: String,
    token: String,
}

fn demo(place: &Path) -> Demo {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_hefu"))
        .args(["demo", "--rate", "120", "--seed", "11", "--for", TRAFFIC])
        .env("TMPDIR", place)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let told = Regex::new(r"\$\(cat ([^)]+)\)\D* http://([^/]+)/metrics").unwrap();
    let mut core = String::new();
    let found = lines.by_ref().map_while(Result::ok).find_map(|line| {
        if let Some((_, address)) = line.split_once("core listener   http://") {
            address.clone_into(&mut core);
        }
        told.captures(&line).map(|found| (found[2].to_owned(), found[1].to_owned()))
    });
    // It would stop where nobody reads.
    std::thread::spawn(move || lines.for_each(drop));
    let (admin, token) = found.unwrap();
    Demo { process: Ending(demo), core, admin, token }
}

/// Prometheus says where it listens when it does.
fn prometheus(place: &Path, binary: &Path) -> (Ending, String) {
    let mut child = Command::new(binary)
        .arg(format!("--config.file={}", place.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", place.join("data").display()))
        .args(["--web.listen-address=127.0.0.1:0", "--log.format=logfmt"])
        .current_dir(place)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
        Some(address.split_whitespace().next()?.to_owned())
    });
    std::thread::spawn(move || lines.for_each(drop));
    (Ending(child), address.unwrap())
}

impl World {
    fn new(binary: &Path) -> Self {
        let place = tempfile::tempdir().unwrap();
        let odd = Odd::start();
        let Demo { process: demo, core, admin: target, token } = demo(place.path());
        let odd_target = &odd.metrics;
        let configuration = format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\n\
             rule_files: ['{}', '{}', '{}']\n\
             scrape_configs:\n  - job_name: hefu\n    authorization: {{credentials_file: '{token}'}}\n\
             \x20   static_configs: [{{targets: ['{target}', '{odd_target}']}}]\n",
            file(RECORDING[0]).display(),
            file(RECORDING[1]).display(),
            file(ALERTS).display(),
        );
        fs::write(place.path().join("prometheus.yml"), configuration).unwrap();
        let (prometheus, address) = prometheus(place.path(), binary);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { address, client, core, odd, _processes: [demo, prometheus], place }
    }

    /// The simulated core never does.
    fn send_what_has_no_single_reading(&self) {
        let mut core = TcpStream::connect(&self.core).unwrap();
        core.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").unwrap();
    }

    /// How many series a query yields.
    async fn series(&self, query: &str) -> Result<usize, String> {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let url = format!("http://{}/api/v1/query?query={query}", self.address);
        let answer = self.client.get(url).send().await.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        match answer["data"]["result"].as_array() {
            Some(series) => Ok(series.len()),
            None => Err(answer.to_string()),
        }
    }

    /// The queries that have no series yet; those that have leave `wanted`.
    async fn unanswered(&self, wanted: &mut Vec<(String, String)>) {
        let mut left = Vec::new();
        for (what, query) in wanted.drain(..) {
            let series = self.series(&query).await;
            assert!(series.is_ok(), "{what}: {query}: {series:?}");
            if series == Ok(0) {
                left.push((what, query));
            }
        }
        *wanted = left;
    }
}

/// As Grafana would send it.
fn filled_in(query: &str) -> String {
    query
        .replace("$__rate_interval", "5s")
        .replace("$__range", "1m")
        .replace("$channel", ".*")
        .replace("$provider", ".*")
}

/// The selectors of an expression: what it reads, without ranges.
fn operands(expression: &str) -> BTreeSet<String> {
    let selector = Regex::new(r"\b(?:hefu[a-z0-9_:]+|up)(?:\{[^}]*\})?").unwrap();
    selector.find_iter(expression).map(|found| found.as_str().to_owned()).collect()
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "what was seen is said")]
async fn every_panel_and_every_alert_has_something_to_look_at() {
    let Some(binary) = tool("prometheus") else { return };
    let read_rules = [RECORDING[0], RECORDING[1], ALERTS].map(rules);
    let mut wanted = Vec::new();
    for name in DASHBOARDS {
        for panel in panels(&dashboard(name)) {
            for target in panel["targets"].as_array().unwrap() {
                let what = format!("{name}: {}", panel["title"].as_str().unwrap());
                wanted.push((what, filled_in(target["expr"].as_str().unwrap())));
            }
        }
    }
    let shown = wanted.len();
    for rule in read_rules.iter().flatten().flatten() {
        let what = rule["alert"].as_str().or(rule["record"].as_str()).unwrap();
        for operand in operands(rule["expr"].as_str().unwrap()) {
            wanted.push((what.to_owned(), operand));
        }
    }
    let read = wanted.len() - shown;
    let world = World::new(&binary);
    for second in 0..SECONDS_MAX {
        world.send_what_has_no_single_reading();
        world.odd.go_on(second);
        world.unanswered(&mut wanted).await;
        if wanted.is_empty() {
            break;
        }
        // Prometheus scrapes once a second, and nobody tells when it has.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(wanted.is_empty(), "no series: {wanted:#?}");
    println!("{shown} queries of panels and {read} operands have series");
    check_metrics(&world).await;
}

/// What Hefu serves is as Prometheus wants it.
async fn check_metrics(world: &World) {
    let Some(promtool) = tool("promtool") else { return };
    let targets = format!("http://{}/api/v1/targets", world.address);
    let answer = world.client.get(targets).send().await.unwrap().bytes().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let target = &answer["data"]["activeTargets"][0];
    assert_eq!(target["health"], "up", "{target}");
    let configuration = fs::read_to_string(world.place.path().join("prometheus.yml")).unwrap();
    let token = configuration.split("credentials_file: '").nth(1).unwrap().split('\'').next();
    let token = fs::read_to_string(token.unwrap()).unwrap();
    let url = target["scrapeUrl"].as_str().unwrap();
    let metrics = world.client.get(url).bearer_auth(token.trim()).send().await.unwrap();
    let (_, said) = pipe(&promtool, &["check", "metrics"], &metrics.text().await.unwrap());
    let disliked: Vec<&str> = said.lines().filter(|line| !DISLIKED.contains(line)).collect();
    assert!(disliked.is_empty(), "{disliked:#?}");
}

/// The README's charts can be drawn by anybody, and nobody draws them by hand.
#[test]
fn every_chart_is_drawn_from_a_real_run() {
    let Some(prometheus) = tool("prometheus") else { return };
    let place = tempfile::tempdir().unwrap();
    let script = file("docs/images/charts.py");
    let (prometheus, to) = (prometheus.to_str().unwrap(), place.path().to_str().unwrap());
    let options = ["--hefu", env!("CARGO_BIN_EXE_hefu"), "--prometheus", prometheus, "--to", to];
    let arguments = [&[script.to_str().unwrap(), "--seconds", "20"], options.as_slice()].concat();
    run(Path::new("python3"), &arguments);
    let link = Regex::new(r"\(docs/images/([a-z]+\.svg)\)").unwrap();
    let shown: BTreeSet<String> =
        link.captures_iter(&text("README.md")).map(|found| found[1].to_owned()).collect();
    let drawn = |name: &str| fs::read_to_string(place.path().join(name)).unwrap();
    let made_by = "Drawn by docs/images/charts.py of what Prometheus saw";
    for name in &shown {
        for svg in [drawn(name), text(&format!("docs/images/{name}"))] {
            assert!(svg.contains(made_by) && svg.contains("stroke-width=\"2\""), "{name}");
        }
    }
    assert!(shown.len() >= 2, "{shown:?}");
}

/// A name that no metric has would never have a series, whatever happens.
#[test]
fn rules_and_dashboards_read_metrics_that_there_are() {
    let metrics = hefu::metrics::Metrics::new().unwrap();
    let known: BTreeSet<String> =
        metrics.catalogue().into_iter().map(|metric| metric.name).collect();
    let mut files = [RECORDING[0], RECORDING[1], ALERTS].map(text).to_vec();
    files.extend(DASHBOARDS.map(|name| text(&format!("deploy/grafana/dashboards/{name}.json"))));
    let name = Regex::new(r"\bhefu_[a-z_]+").unwrap();
    for found in files.iter().flat_map(|text| name.find_iter(text)) {
        let found = found.as_str();
        let bare = ["_bucket", "_count", "_sum"].iter().find_map(|end| found.strip_suffix(end));
        let is_known = known.contains(found) || bare.is_some_and(|bare| known.contains(bare));
        assert!(is_known, "`{found}` is no metric of ours");
    }
}
