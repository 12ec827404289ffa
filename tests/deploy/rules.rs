//! Recording rules, alerts and their runbooks.

use crate::tools::{file, run, text, tool, yaml};
use serde_json::Value;
use std::collections::BTreeSet;

pub(crate) const RECORDING: [&str; 2] =
    ["deploy/prometheus/promises.yml", "deploy/prometheus/halves.yml"];
pub(crate) const ALERTS: &str = "deploy/prometheus/alerts.yml";
const TESTS: [&str; 3] = [
    "deploy/prometheus/tests.yml",
    "deploy/prometheus/tests-days.yml",
    "deploy/prometheus/tests-promises.yml",
];
const RUNBOOKS: [&str; 2] = ["docs/runbooks.md", "docs/runbooks.zh.md"];

/// Every rule of a file.
pub(crate) fn rules(name: &str) -> Option<Vec<Value>> {
    let documents = yaml(&text(name))?;
    let groups = documents[0]["groups"].as_array().unwrap().iter();
    Some(groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect())
}

#[test]
fn rules_are_valid() {
    if let Some(promtool) = tool("promtool") {
        let printed = run(&promtool, &["check", "rules", RECORDING[0], RECORDING[1], ALERTS]);
        assert!(!printed.contains("duplicate"), "{printed}");
    }
}

#[test]
fn rules_say_what_they_should() {
    let Some(promtool) = tool("promtool") else { return };
    for name in TESTS {
        let printed = run(&promtool, &["test", "rules", file(name).to_str().unwrap()]);
        assert!(printed.contains("SUCCESS"), "{name}: {printed}");
    }
}

#[test]
fn every_alert_is_fired_and_has_a_runbook_in_both_languages() {
    let Some(alerts) = rules(ALERTS) else { return };
    let name = |alert: &Value| alert["alert"].as_str().unwrap().to_owned();
    let names: BTreeSet<String> = alerts.iter().map(name).collect();
    assert_eq!(names.len(), alerts.len(), "a name stands twice");
    let mut fired = BTreeSet::new();
    for tests in TESTS {
        for test in yaml(&text(tests)).unwrap()[0]["tests"].as_array().unwrap() {
            for case in test["alert_rule_test"].as_array().unwrap() {
                if !case["exp_alerts"].as_array().unwrap().is_empty() {
                    fired.insert(case["alertname"].as_str().unwrap().to_owned());
                }
            }
        }
    }
    assert_eq!(fired, names);
    for alert in &alerts {
        let name = name(alert);
        let anchor = format!("docs/runbooks.md#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook"], anchor, "{name}");
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["page", "ticket"].contains(&severity), "{name}: {severity}");
    }
    for runbooks in RUNBOOKS {
        let document = text(runbooks);
        let told: BTreeSet<String> = document
            .lines()
            .filter_map(|line| line.strip_prefix("### "))
            .map(str::to_owned)
            .collect();
        assert_eq!(told, names, "{runbooks}");
    }
}
