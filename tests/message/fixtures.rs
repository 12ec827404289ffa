//! Messages as files: `tests/message/CHANNEL/NAME.http` is a captured request, `NAME.answer` or `NAME.WHAT.answer` are answers
//! to it, and `NAME.expected` is what `hefu extract` says of them all, and the elements in the clear: the people are made up.
//! `UPDATE_EXPECT=1` writes the last. `FILE.inner` is what `FILE` seals with the channel's throw-away keys; it is written too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use expect_test::expect_file;
use hefu::cli::extract::{Captured, read, report};
use hefu::config;
use hefu::domain::element::{CardSecret, Elements};
use hefu::domain::identity::IdNumber;
use hefu::domain::pan::Pan;
use hefu::domain::person::{Mobile, Name};
use hefu::message::extract::Payments;
use hefu::message::profile::Profile;
use openssl::rsa::{Padding, Rsa};
use regex::bytes::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Where sealed content stands in a fixture: not yet written, or blocks in hexadecimal.
static SEALED: LazyLock<Regex> = LazyLock::new(|| Regex::new("SEALED|[0-9a-f]{256,}").unwrap());

#[test]
fn every_fixture_reads_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut failures = Vec::new();
    for folder in sorted(&root.join("tests/message")).into_iter().filter(|path| path.is_dir()) {
        let channel = folder.file_name().unwrap().to_str().unwrap();
        let profile = root.join(format!("config/channels/{channel}.toml"));
        failures.extend(check_folder(&folder, &profile));
    }
    assert!(
        failures.is_empty(),
        "UPDATE_EXPECT=1 writes what is read now; {} differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn without_a_key_a_sealed_notification_is_left_to_the_query() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let profile = root.join("config/channels/baofoo.toml");
    let profile = config::profile(&profile, &BTreeMap::new());
    let profile = profile.map_err(|problems| problems.to_string()).unwrap();
    for file in ["notify.http", "notify-get.http"] {
        let message = fs::read(root.join("tests/message/baofoo").join(file)).unwrap();
        let told = report(&profile, &message, &[]).unwrap().text;
        assert_eq!(told, "scenario   notify\nno outcome: it is sealed, and there is no key\n");
    }
}

/// Every fixture of a folder by the profile in a file: a line for each that is not as expected.
pub(crate) fn check_folder(folder: &Path, profile: &Path) -> Vec<String> {
    let keys = ["request", "answer", "notify"]
        .map(|name| (name.to_owned(), folder.join(format!("keys/{name}.pem"))));
    let keys: BTreeMap<String, PathBuf> =
        keys.into_iter().filter(|(_, file)| file.exists()).collect();
    let profile = config::profile(profile, &keys).map_err(|problems| problems.to_string()).unwrap();
    let files: BTreeSet<String> = sorted(folder)
        .iter()
        .filter(|path| path.is_file())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(files.iter().any(|file| ends(file, ".http")), "{}: no fixture", folder.display());
    let show = |file: &str, what: &str| {
        format!("{}/{file}: {what}", folder.file_name().unwrap().to_string_lossy())
    };
    let mut failures: Vec<String> = files
        .iter()
        .filter(|file| is_orphan(file, &files))
        .map(|file| show(file, "belongs to no fixture"))
        .collect();
    for file in files.iter().filter_map(|file| file.strip_suffix(".inner")) {
        if let Some(what) = seal(folder, file) {
            failures.push(show(file, what));
        }
    }
    for name in files.iter().filter_map(|file| file.strip_suffix(".http")) {
        let answers = files.iter().filter(|file| {
            file.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('.') && ends(rest, ".answer"))
        });
        let answers: Vec<(String, Vec<u8>)> =
            answers.map(|file| (file.clone(), fs::read(folder.join(file)).unwrap())).collect();
        let found =
            all(&profile, &fs::read(folder.join(format!("{name}.http"))).unwrap(), &answers);
        let place = folder.join(format!("{name}.expected"));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            expect_file![place].assert_eq(&found);
        } else if let Some(what) =
            difference(&fs::read_to_string(place).unwrap_or_default(), &found)
        {
            failures.push(show(name, &what));
        }
    }
    failures
}

/// What `hefu extract` shows, and the elements in the clear.
fn all(profile: &Profile, message: &[u8], answers: &[(String, Vec<u8>)]) -> String {
    let mut text = match report(profile, message, answers) {
        Ok(report) => report.text,
        Err(error) => return format!("{error}\n"),
    };
    if let Ok(extracted) = read(profile, &Captured::request(message).unwrap()) {
        let parts = match &extracted.payments {
            Payments::One(part) => std::slice::from_ref(&**part),
            Payments::Rows(rows) => rows,
        };
        for part in parts.iter().filter(|part| !part.payment.elements.set().is_empty()) {
            writeln!(text, "\nin the clear: {}", clear(&part.payment.elements)).unwrap();
        }
    }
    text
}

fn clear(elements: &Elements) -> String {
    let shown = [
        elements.name.as_ref().map(Name::expose),
        elements.id_number.as_ref().map(IdNumber::expose),
        elements.pan.as_ref().map(Pan::expose),
        elements.phone.as_ref().map(Mobile::expose),
        elements.cvv2.as_ref().map(CardSecret::expose),
        elements.expiry.as_ref().map(CardSecret::expose),
    ];
    shown.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Whether a file's name ends so: `NAME.http`, not `name.HTTP`.
fn ends(file: &str, end: &str) -> bool {
    file.ends_with(end)
}

fn is_orphan(file: &str, files: &BTreeSet<String>) -> bool {
    let base = file.strip_suffix(".inner").unwrap_or(file);
    let name = base.split('.').next().unwrap_or_default();
    let known = [".http", ".answer", ".expected"].iter().any(|end| ends(base, end));
    !known || !files.contains(base) || !files.contains(&format!("{name}.http"))
}

/// Whether `file` holds what its `.inner` says, sealed; with `UPDATE_EXPECT` it will.
fn seal(folder: &Path, file: &str) -> Option<&'static str> {
    let by_the_core = ends(file, ".http") && !file.starts_with("notify");
    let key = if by_the_core { "request" } else { "answer" };
    let key = fs::read(folder.join(format!("keys/{key}.key"))).unwrap();
    let key = Rsa::private_key_from_pem(&key).unwrap();
    let inner = fs::read(folder.join(format!("{file}.inner"))).unwrap();
    let inner = inner.strip_suffix(b"\n").unwrap_or(&inner);
    let mut sealed = String::new();
    for piece in STANDARD.encode(inner).as_bytes().chunks(32) {
        let mut block = vec![0; usize::try_from(key.size()).unwrap()];
        key.private_encrypt(piece, &mut block, Padding::PKCS1).unwrap();
        sealed += &hex::encode(block);
    }
    let place = folder.join(file);
    let written = fs::read(&place).unwrap();
    let wanted = SEALED.replace(&written, sealed.as_bytes());
    if *wanted == *written {
        return (!written.windows(sealed.len()).any(|window| window == sealed.as_bytes()))
            .then_some("does not hold what its `.inner` says");
    }
    if std::env::var_os("UPDATE_EXPECT").is_none() {
        return Some("does not hold what its `.inner` says");
    }
    fs::write(place, wanted).unwrap();
    None
}

/// The first line that differs.
fn difference(expected: &str, found: &str) -> Option<String> {
    if expected == found {
        return None;
    }
    let (mut lines, mut number) = (expected.lines(), 0);
    for line in found.lines() {
        number += 1;
        let wanted = lines.next().unwrap_or_default();
        if wanted != line {
            return Some(format!("line {number} is `{line}`, expected `{wanted}`"));
        }
    }
    Some(format!("ends after line {number}, expected more"))
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
