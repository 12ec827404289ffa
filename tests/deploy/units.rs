//! The systemd units, as systemd reads them.

use crate::tools::{ask, check, configuration, file, files, run, text, tool};
use std::fs;
use std::path::Path;

/// The most that `systemd-analyze security` may find exposed.
const EXPOSURE_MAX: f64 = 2.0;

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let place = tempfile::tempdir().unwrap();
    for name in ["hefu.service", "hefu.socket"] {
        // It must be there to be verified.
        let unit = text(&format!("deploy/systemd/{name}"));
        let unit = unit.replace("/usr/bin/hefu", env!("CARGO_BIN_EXE_hefu"));
        fs::write(place.path().join(name), unit).unwrap();
    }
    let service = place.path().join("hefu.service");
    let service = service.to_str().unwrap();
    // What it does not know it prints, and ends well all the same.
    let printed = run(Path::new("systemd-analyze"), &["verify", "--man=no", service]);
    assert_eq!(printed, "");
    let arguments = ["security", "--offline=true", "--no-pager", service];
    let (_, printed) = ask(Path::new("systemd-analyze"), &arguments);
    let level =
        printed.lines().find_map(|line| line.split_once("exposure level for hefu.service: "));
    let level = level.unwrap().1.split_whitespace().next().unwrap().parse::<f64>().unwrap();
    assert!(level <= EXPOSURE_MAX, "{printed}");
}

#[test]
fn its_configuration_is_one() {
    let hefu = text("deploy/systemd/hefu.toml");
    let place = configuration("/run/credentials/hefu.service", &[("hefu.toml", &hefu)]);
    let secrets = place.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    fs::write(secrets.join("admin.token"), "0123456789abcdef".repeat(4)).unwrap();
    check(place.path());
    // The sockets are those of the configuration.
    let socket = text("deploy/systemd/hefu.socket");
    for address in socket.lines().filter_map(|line| line.strip_prefix("ListenStream=")) {
        assert!(hefu.contains(&format!("= \"{address}\"")), "{address}");
    }
}

#[test]
fn scripts_are_sound() {
    if let Some(shellcheck) = tool("shellcheck") {
        let mut scripts = files("scripts", "");
        scripts.extend([".ci/run", "tests/deploy/machine.sh"].map(str::to_owned));
        let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
        assert_eq!(run(&shellcheck, &scripts), "");
    }
}

#[test]
fn yaml_is_written_as_people_read_it() {
    if let Some(yamllint) = tool("yamllint") {
        let rules = file("deploy/yamllint.yml");
        let arguments = ["--strict", "--config-file", rules.to_str().unwrap(), "deploy"];
        assert_eq!(run(&yamllint, &arguments), "");
    }
}
