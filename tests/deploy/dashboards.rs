//! Dashboards as files: made by their generator, with everything that Grafana needs to show them.

use crate::tools::{file, run, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

pub(crate) const DASHBOARDS: [&str; 3] = ["operations", "risk", "finance"];

pub(crate) fn dashboard(name: &str) -> Value {
    serde_json::from_str(&text(&format!("deploy/grafana/dashboards/{name}.json"))).unwrap()
}

/// Its panels but for rows.
pub(crate) fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

#[test]
fn files_are_what_the_generator_writes() {
    let place = tempfile::tempdir().unwrap();
    let script = file("deploy/grafana/dashboards.py");
    run(Path::new("python3"), &[script.to_str().unwrap(), place.path().to_str().unwrap()]);
    for name in DASHBOARDS {
        let made = std::fs::read_to_string(place.path().join(format!("{name}.json"))).unwrap();
        assert!(
            made == text(&format!("deploy/grafana/dashboards/{name}.json")),
            "{name}: run deploy/grafana/dashboards.py"
        );
    }
}

#[test]
fn every_panel_can_be_shown() {
    let mut uids = BTreeSet::new();
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        assert!(uids.insert(dashboard["uid"].as_str().unwrap().to_owned()), "{name}");
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        assert!(variables.iter().any(|variable| variable["type"] == "datasource"), "{name}");
        let mut taken = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{name}: {title} is too wide");
            for (x, y) in (at("x")..at("x") + at("w"))
                .flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
            {
                assert!(taken.insert((x, y)), "{name}: {title} lies over another");
            }
        }
        for panel in panels(&dashboard) {
            let title = panel["title"].as_str().unwrap();
            assert!(
                panel["fieldConfig"]["defaults"]["unit"].is_string(),
                "{name}: {title} has no unit"
            );
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}: {title}");
            for target in panel["targets"].as_array().unwrap() {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{name}: {title}");
            }
        }
    }
}
