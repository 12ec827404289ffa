//! Properties of the source tree that the compiler does not check.
#![expect(clippy::unwrap_used, reason = "a test helper may panic")]

use std::{fs, path::Path};

/// Each layer with the layers it may name in `use crate::…`.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("crypto", &["domain"]),
    ("message", &["crypto", "domain"]),
    ("policy", &["domain"]),
    ("route", &["domain"]),
    ("reconcile", &["domain"]),
    ("tier", &["domain"]),
    ("billing", &["domain"]),
    ("store", &["crypto", "domain", "policy", "reconcile", "route", "tier"]),
    ("provider", &["crypto", "domain", "message"]),
    ("metrics", &["domain", "policy", "reconcile", "route"]),
    (
        "service",
        &[
            "billing",
            "crypto",
            "domain",
            "message",
            "metrics",
            "policy",
            "provider",
            "reconcile",
            "route",
            "store",
            "tier",
        ],
    ),
    ("proxy", &["domain", "policy"]),
    ("api", &[]),
    ("clients", &["api", "billing", "domain", "service", "store"]),
    ("admin", &["api", "domain", "message", "policy", "reconcile", "service", "store", "tier"]),
    (
        "config",
        &[
            "billing",
            "crypto",
            "domain",
            "message",
            "policy",
            "provider",
            "proxy",
            "reconcile",
            "route",
            "store",
            "tier",
        ],
    ),
    ("sim", &[]),
    (
        "app",
        &[
            "admin",
            "billing",
            "clients",
            "config",
            "crypto",
            "domain",
            "message",
            "metrics",
            "policy",
            "provider",
            "proxy",
            "reconcile",
            "route",
            "service",
            "store",
            "telemetry",
            "tier",
        ],
    ),
    (
        "cli",
        &[
            "app",
            "billing",
            "config",
            "domain",
            "message",
            "metrics",
            "provider",
            "sim",
            "telemetry",
        ],
    ),
    ("telemetry", &["domain"]),
];
/// Layers that compute and nothing else.
const PURE: &[&str] =
    &["domain", "crypto", "message", "policy", "route", "reconcile", "tier", "billing"];
const IMPURE: &[&str] =
    &["async ", "dashmap", "pingora", "prometheus", "std::env", "std::fs", "std::net", "tokio"];
/// Where the host framework may be named.
const PINGORA: &[&str] = &["proxy", "app"];
/// Vendors and their products; outside the simulator they are data.
const VENDORS: &[&str] = &[
    "unionpay",
    "baofoo",
    "allinpay",
    "aipg",
    "lianlian",
    "netsunion",
    "epcc",
    "yeepay",
    "99bill",
    "sandpay",
    "tencent",
    "aliyun",
    "alibaba",
    "cpcn",
    "huifu",
    "accp",
    "alipay",
    "wechat",
    "chinaums",
    "payease",
    "showapi",
    "roncoo",
];
const FILE_LINES_MAX: usize = 500;

#[test]
fn dependencies_point_down() {
    for (layer, allowed) in LAYERS {
        for_each_source(layer, |path, text| {
            for line in text.lines().filter(|l| !l.trim_start().starts_with("//")) {
                let Some((_, rest)) = line.split_once("crate::") else { continue };
                let named: String =
                    rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let ok = named == *layer || allowed.contains(&named.as_str());
                assert!(ok, "{}: `{layer}` may not use `{named}`", path.display());
            }
        });
    }
}

#[test]
fn pure_layers_do_no_io() {
    for layer in PURE {
        for_each_source(layer, |path, text| {
            for word in IMPURE {
                assert!(!text.contains(word), "{}: `{word}` in a pure layer", path.display());
            }
        });
    }
}

#[test]
fn the_host_framework_stays_at_the_edge() {
    for (layer, _) in LAYERS.iter().filter(|(layer, _)| !PINGORA.contains(layer)) {
        for_each_source(layer, |path, text| {
            let named = code(text).any(|line| line.contains("pingora_") && !line.contains("=off"));
            assert!(!named, "{}: Pingora is named", path.display());
        });
    }
}

#[test]
fn vendors_are_data() {
    for (layer, _) in LAYERS.iter().filter(|(layer, _)| *layer != "sim") {
        for_each_source(layer, |path, text| {
            for line in code(text) {
                let line = line.to_lowercase();
                let vendor = VENDORS.iter().find(|vendor| line.contains(**vendor));
                assert!(vendor.is_none(), "{}: {vendor:?} is named", path.display());
            }
        });
    }
}

/// The production lines that are not comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let production = text.lines().take_while(|line| *line != "#[cfg(test)]");
    production.filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn every_module_has_a_layer() {
    let lib = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs")).unwrap();
    for module in lib.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')) {
        assert!(LAYERS.iter().any(|(layer, _)| *layer == module), "`{module}` has no layer");
    }
}

#[test]
fn files_stay_short() {
    for (layer, _) in LAYERS {
        for_each_source(layer, |path, text| {
            let lines = text.lines().take_while(|l| *l != "#[cfg(test)]").count();
            assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines", path.display());
        });
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for (layer, _) in LAYERS {
        for_each_source(layer, |path, text| {
            assert!(text.starts_with("//! "), "{} has no module docs", path.display());
        });
    }
}

fn for_each_source(layer: &str, mut check: impl FnMut(&Path, &str)) {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut pending = vec![src.join(layer), src.join(format!("{layer}.rs"))];
    let mut seen = 0;
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.is_file() {
            seen += 1;
            check(&path, &fs::read_to_string(&path).unwrap());
        }
    }
    assert!(seen > 0, "layer `{layer}` has no files");
}
