//! The image and the demonstration by compose.

use crate::tools::{ask, file, pipe, run, text, tool, yaml};
use std::path::Path;
use std::process::Command;

/// What `gcr.io/distroless/cc-debian12` has of what a program links: glibc, libgcc, OpenSSL 3.
const LINKED: [&str; 7] = [
    "linux-vdso.so",
    "ld-linux",
    "libc.so",
    "libm.so",
    "libgcc_s.so",
    "libssl.so.3",
    "libcrypto.so.3",
];

#[test]
fn the_image_is_well_written() {
    let Some(hadolint) = tool("hadolint") else { return };
    let written = file("deploy/container/Dockerfile");
    assert_eq!(run(&hadolint, &[written.to_str().unwrap()]), "");
    // It does find what is wrong.
    let (sound, printed) = pipe(&hadolint, &["-"], "FROM debian:latest\nRUN apt-get install x\n");
    assert!(!sound && printed.contains("DL3007"), "{printed}");
}

/// `make image` builds it; what can be seen here is that its base has every library that is linked.
#[test]
fn the_base_image_has_what_is_linked() {
    let output = Command::new("ldd").arg(env!("CARGO_BIN_EXE_hefu")).output().unwrap();
    let linked = String::from_utf8(output.stdout).unwrap();
    let strange: Vec<&str> =
        linked.lines().filter(|line| !LINKED.iter().any(|known| line.contains(known))).collect();
    assert!(linked.contains("libcrypto.so.3") && strange.is_empty(), "{strange:?}");
}

#[test]
fn the_demonstration_is_a_compose_file() {
    let Some(check) = tool("check-jsonschema") else { return };
    let schema = ["--builtin-schema", "vendor.compose-spec"];
    let compose = text("deploy/compose/compose.yaml");
    run(&check, &[schema.as_slice(), &["deploy/compose/compose.yaml"]].concat());
    // It does find what is wrong.
    let place = tempfile::tempdir().unwrap();
    let wrong = place.path().join("compose.yaml");
    std::fs::write(&wrong, compose.replace("depends_on:", "dependson:")).unwrap();
    assert!(!ask(&check, &[schema.as_slice(), &[wrong.to_str().unwrap()]].concat()).0);
    // Every command is one that Hefu has, and every file that is mounted is there.
    let Some(documents) = yaml(&compose) else { return };
    let services = documents[0]["services"].as_object().unwrap();
    for service in services.values() {
        if service["image"] == "hefu" {
            let words = service["command"].as_array().unwrap().iter();
            let mut words: Vec<&str> = words.map(|word| word.as_str().unwrap()).collect();
            words.push("--help");
            run(Path::new(env!("CARGO_BIN_EXE_hefu")), &words);
            let test = service["healthcheck"]["test"].as_array().unwrap().iter().skip(2);
            let mut test: Vec<&str> = test.map(|word| word.as_str().unwrap()).collect();
            test.push("--help");
            run(Path::new(env!("CARGO_BIN_EXE_hefu")), &test);
        }
        for volume in service["volumes"].as_array().unwrap() {
            let from = volume.as_str().unwrap().split(':').next().unwrap();
            if from.starts_with('.') {
                assert!(file("deploy/compose").join(from).exists(), "{from}");
            }
        }
    }
}
