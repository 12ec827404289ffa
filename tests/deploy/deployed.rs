//! `deploy/README.md`, performed: the unit under a systemd that is process 1 of a machine of its own, and the manifests towards as much of
//! an API server as `kubectl` needs.

use crate::perform::{apart, assert_prints, parts, script};
use crate::skipped::skipped;
use crate::tools::{ask, file, tool};
use std::fs;
use std::path::Path;
use std::process::Command;

const README: &str = "deploy/README.md";

/// The repository's own files as they lie at its root, and the program where a release build leaves it.
fn repository() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for folder in ["deploy", "config"] {
        let copied = Command::new("cp").arg("-r").arg(file(folder)).arg(place.path()).status();
        assert!(copied.unwrap().success());
    }
    let built = place.path().join("target/release");
    fs::create_dir_all(&built).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_hefu"), built.join("hefu")).unwrap();
    place
}

/// The hardened unit really starts, with its credential, on the manager's sockets; it is reloaded, and succeeds itself.
#[test]
fn the_unit_works_as_written() {
    let place = repository();
    let parts = parts(&format!("{README}#systemd"));
    assert!(parts.len() >= 12, "{} commands", parts.len());
    fs::write(place.path().join("script"), script(&parts)).unwrap();
    let machine = file("tests/deploy/machine.sh");
    let arguments = [machine.to_str().unwrap(), place.path().to_str().unwrap()];
    let (_, said) = ask(Path::new("sh"), &arguments);
    match fs::read_to_string(place.path().join("out")) {
        Ok(printed) => assert_prints(&parts, &printed),
        Err(_) => skipped(&format!(
            "that the systemd unit starts: a machine of its own cannot be had here: {}",
            said.trim().replace('\n', "; ")
        )),
    }
}

/// The server refuses what a cluster would; that it does is seen by a manifest that is wrong.
#[test]
fn the_manifests_are_applied_as_written() {
    let (Some(kubectl), Some(python)) = (tool("kubectl"), tool("python")) else { return };
    if tool("kubernetes-validate").is_none() {
        return;
    }
    let place = repository();
    let parts = parts(&format!("{README}#Kubernetes"));
    assert!(parts.len() >= 4, "{} commands", parts.len());
    fs::write(place.path().join("script"), script(&parts)).unwrap();
    let server = file("tests/deploy/apiserver.py");
    let (python, server) = (python.display(), server.display());
    let serving = format!(
        "bash -c '{python} {server} & until curl --silent --output server.json http://127.0.0.1:8080/version; do sleep 0.1; done; bash script'"
    );
    let programs = kubectl.parent().unwrap();
    assert_prints(&parts, &apart(place.path(), programs, &serving));
    let workload = place.path().join("deploy/kubernetes/base/workload.yaml");
    let wrong = fs::read_to_string(&workload).unwrap().replace("restartPolicy:", "restartpolicy:");
    fs::write(workload, wrong).unwrap();
    let printed = apart(place.path(), programs, &serving);
    assert!(printed.contains("'restartpolicy' was unexpected"), "{printed}");
}
