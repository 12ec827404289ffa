//! The file that the bench writes has what others read in it.

use crate::report::{Lap, Report};
use crate::stats::Times;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// All that can be compared.
const ALL: [&str; 12] = [
    "direct",
    "bare_pingora",
    "nginx",
    "haproxy",
    "envoy",
    "nginx_lua",
    "haproxy_lua",
    "envoy_ext_authz",
    "hefu_uninspected",
    "hefu_memory",
    "hefu_durable",
    "hefu_traced",
];

/// A round in which everybody is twice as fast as the one named before.
fn round(names: &[&'static str]) -> BTreeMap<&'static str, Lap> {
    let lap = |(at, name): (u32, &&'static str)| {
        let mut times = Times::default();
        times.add(vec![Duration::from_micros(100 + u64::from(at))]);
        let cpu_us = (*name != "direct").then_some((30.0, 10.0));
        (*name, Lap { per_second: 1_000.0 * f64::from(1 << at), cpu_us, times })
    };
    (0..).zip(names).map(lap).collect()
}

#[test]
fn a_report_has_what_the_design_says() {
    let mut report = Report::new(2, true);
    report.add(round(&ALL), false, false);
    report.add(round(&ALL), true, true);
    let told = report.told(300.0, &[("extract", 5_000.0), ("decide", 20.4)]);
    assert_eq!(
        (&told["rounds"], &told["cores"], &told["dropped"]),
        (&1.into(), &2.into(), &1.into())
    );
    let keys = |key: &str| -> BTreeSet<String> {
        told[key].as_object().unwrap().keys().cloned().collect()
    };
    let all: BTreeSet<String> = ALL.map(str::to_owned).into();
    let without_direct = || all.iter().filter(|name| *name != "direct").cloned().collect();
    assert_eq!(keys("requests_per_second"), all);
    for key in ["cpu_us_per_request", "added_p50_us", "added_p99_us"] {
        assert_eq!(keys(key), without_direct(), "{key}");
    }
    assert_eq!(told["ratios"]["hefu_memory/bare_pingora"]["median"], 256.0);
    assert_eq!(told["ratios"]["hefu_traced/hefu_memory"]["low"], 4.0);
    assert_eq!(told["cpu_us_per_request"]["hefu_memory"]["all"], 40.0);
    assert_eq!(told["added_p50_us"]["hefu_memory"], 9.0);
    // What is left of 40 µs.
    assert_eq!(told["stages_ns"]["read, forward, write"], 34_980.0);
    assert_eq!(told["stages_ns"]["decide"], 20.0);
}

#[test]
fn who_could_not_be_had_is_absent() {
    let mut report = Report::new(2, true);
    report.add(round(&["direct", "bare_pingora", "hefu_durable"]), false, false);
    let told = report.told(300.0, &[]);
    assert_eq!(told["requests_per_second"].get("nginx"), None);
    let ratios: Vec<&String> = told["ratios"].as_object().unwrap().keys().collect();
    assert_eq!(ratios, ["bare_pingora/direct", "hefu_durable/bare_pingora"]);
    assert_eq!(told["stages_ns"].as_object().unwrap().len(), 0);
}
