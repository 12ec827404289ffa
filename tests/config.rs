//! Configuration as its users meet it: directories of files.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]
#![expect(clippy::too_many_lines, reason = "tables of cases")]
#![expect(clippy::needless_raw_string_hashes, reason = "so the snapshots are written")]

#[path = "config/admin.rs"]
mod admin;
#[path = "config/classes.rs"]
mod classes;
#[path = "config/clients.rs"]
mod clients;
#[path = "config/rules.rs"]
mod rules;

use expect_test::{Expect, expect, expect_file};
use hefu::config::{
    self, Config, Drain, Evidence, Holds, Inquiry, Limits, Patience, Problems, Rendering, Routing,
};
use hefu::domain::element::{Element, ElementSet};
use hefu::domain::id::ChannelName;
use hefu::domain::keep::Keep;
use hefu::domain::outcome::{Decline, Outcome, Suspects};
use hefu::domain::payment::Scenario;
use hefu::message::profile::{Message, Step};
use hefu::policy::Policy;
use hefu::reconcile::due::Level;
use hefu::store::memory;
use openssl::asn1::Asn1Time;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509Name};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;

/// Every problem as `file:line:column message` and its hint.
fn list(problems: &Problems) -> String {
    let line = |problem: &config::Problem| {
        let (line, column) = problem.place();
        format!("{}:{line}:{column} {problem}\n    {}\n", problem.file(), problem.hint())
    };
    problems.iter().map(line).collect()
}

#[test]
fn ten_different_mistakes_are_ten_problems() {
    let problems = config::load(Path::new("tests/config/ten_mistakes")).unwrap_err();
    assert_eq!(problems.len(), 10);
    expect_file!["config/ten_mistakes.txt"].assert_eq(&list(&problems));
    expect_file!["config/ten_mistakes.rendered.txt"].assert_eq(&problems.render(Rendering::Plain));
    let json: serde_json::Value = serde_json::from_str(&problems.render(Rendering::Json)).unwrap();
    let rows = json.as_array().unwrap();
    assert_eq!(rows.len(), 10);
    assert!(rows.iter().all(|row| {
        ["file", "line", "column", "message", "hint"].iter().all(|key| !row[key].is_null())
    }));
}

/// Two keys of nobody.
static KEYS: LazyLock<[PKey<Private>; 2]> =
    LazyLock::new(|| [(); 2].map(|()| PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap()));

/// A directory with the smallest configuration, one channel of which is `acme`.
fn directory(hefu: &str, policy: &str, channel: &str, codes: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("fingerprint.key", "0123456789abcdef0123456789abcdef");
    write("token", "0123456789abcdef0123456789abcdef\n");
    let [key, other] = &*KEYS;
    write("own.pem", &certificate(key));
    write("own.key", &String::from_utf8(key.private_key_to_pem_pkcs8().unwrap()).unwrap());
    write("other.key", &String::from_utf8(other.private_key_to_pem_pkcs8().unwrap()).unwrap());
    write(
        "hefu.toml",
        &format!(
            "listen.core = '127.0.0.1:7000'\nsecrets = {{ fingerprint_key_file = 'fingerprint.key', fingerprint_key_id = 1 }}\n{hefu}"
        ),
    );
    write("policy.toml", policy);
    write(
        "channels/acme.toml",
        &format!(
            "name = 'acme'\ncodes = 'acme'\nroute = [{{ path = '/acme/' }}]\nrequest.format = 'form'\nanswer.format = 'json'\n{channel}"
        ),
    );
    write("codes/acme.toml", &format!("[final]\nsucceeded = ['00']\n{codes}"));
    dir
}

fn certificate(key: &PKey<Private>) -> String {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", "simulated").unwrap();
    let name = name.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_pubkey(key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    certificate.sign(key, openssl::hash::MessageDigest::sha256()).unwrap();
    String::from_utf8(certificate.build().to_pem().unwrap()).unwrap()
}

fn check([hefu, policy, channel, codes]: [&str; 4], expected: Expect) {
    let dir = directory(hefu, policy, channel, codes);
    expect_told(config::load(dir.path()), expected);
}

fn expect_told(loaded: Result<Config, Problems>, expected: Expect) {
    let line =
        |problem: &config::Problem| format!("{}:{} {problem}\n", problem.file(), problem.place().0);
    let found = match loaded {
        Ok(_) => "no problem".to_owned(),
        Err(problems) => problems.iter().map(line).collect(),
    };
    expected.assert_eq(&found);
}

#[test]
fn what_is_wrong_in_hefu_toml_is_found() {
    let check = |text: &str, expected: Expect| check([text, "", "", ""], expected);
    check("", expect!["no problem"]);
    check("[channels.acme]\nupstreams = ['https://acme.example']", expect!["no problem"]);
    check(
        "[channels.acme]\nupstreams = ['http://localhost:1', 'http://[::1]:1', 'http://127.9.9.9']",
        expect!["no problem"],
    );
    check(
        "[channels.acme]\nupstreams = []",
        expect![[r#"
        hefu.toml:4 no upstream
    "#]],
    );
    check(
        "[channels.acme]",
        expect![[r#"
        hefu.toml:3 `upstreams` is missing
    "#]],
    );
    check(
        "[channels.acne]\nupstreams = ['https://acme.example']",
        expect![[r#"
        hefu.toml:3 no profile of channel `acne`
    "#]],
    );
    check(
        "[channels.acme]\nupstreams = ['acme.example', 'ftp://acme.example', 'https://u@acme.example', 'https://']",
        expect![[r#"
            hefu.toml:4 not a URL of a server
            hefu.toml:4 not a URL of a server
            hefu.toml:4 not a URL of a server
            hefu.toml:4 not a URL of a server
        "#]],
    );
    check(
        "[channels.acme]\nupstreams = ['https://acme.example/gateway']",
        expect![[r#"
        hefu.toml:4 a server with a path
    "#]],
    );
    check(
        "[channels.acme]\nupstreams = ['https://10.0.0.1']",
        expect![[r#"
        hefu.toml:4 TLS to an address without a server name
    "#]],
    );
    check(
        "[channels.acme]\nupstreams = ['https://10.0.0.1']\ntls.server_name = 'acme.example'",
        expect!["no problem"],
    );
    check(
        "[channels.acme]\nupstreams = ['https://acme.example']\ntls = { server_name = ' ' }",
        expect![[r#"
            hefu.toml:5 an empty server name
        "#]],
    );
    check(
        "[channels.acme]\nupstreams = ['https://a.example']\ntls = { ca_file = 'own.pem', client_cert_file = 'own.pem', client_key_file = 'own.key' }",
        expect!["no problem"],
    );
    check(
        "[channels.acme]\nupstreams = ['https://a.example']\ntls = { ca_file = 'own.key', client_cert_file = 'own.pem' }",
        expect![[r#"
            hefu.toml:5 no certificate in this file
            hefu.toml:5 half of a client certificate
        "#]],
    );
    check(
        "[channels.acme]\nupstreams = ['https://a.example']\ntls = { client_cert_file = 'own.pem', client_key_file = 'other.key' }",
        expect![[r#"
            hefu.toml:5 the key does not belong to the certificate
        "#]],
    );
    check(
        "[channels.acme]\nupstreams = ['https://a.example']\nkeys = { request = 'gone.pem' }",
        expect![[r#"
            hefu.toml:5 the profile has no key `request`
            hefu.toml:5 the file cannot be read: entity not found
        "#]],
    );
    check(
        "[channels.acme]\nupstreams = ['https://a.example']\nconnect_timeout = '1h'\nanswer_max = '1GiB'\nin_doubt = 'open'",
        expect![[r#"
            hefu.toml:5 out of range
            hefu.toml:6 `1GiB` is not a size
            hefu.toml:7 `open` is not a way to end what is in doubt
        "#]],
    );
    check(
        "[limits]\nbody = '1B'\nheaders = 0\nidle = '2d'\nhead_deadline = 10",
        expect![[r#"
        hefu.toml:4 out of range
        hefu.toml:5 out of range
        hefu.toml:6 out of range
        hefu.toml:7 invalid type: integer `10`, expected a string
    "#]],
    );
    check(
        "[drain]\nidle = '2h'\ndeadline = '0s'",
        expect![[r#"
            hefu.toml:4 out of range
            hefu.toml:5 out of range
            hefu.toml:5 the drain's `deadline` comes before its `idle` is over
        "#]],
    );
    check(
        "[drain]\nidle = '3m'",
        expect![[r#"
            hefu.toml:4 the drain's `deadline` comes before its `idle` is over
        "#]],
    );
    check("[drain]\nidle = '0s'\ndeadline = '1s'", expect!["no problem"]);
    check(
        "listen.notify = 'here'",
        expect![[r#"
        hefu.toml:3 `here` is not an address to listen on
    "#]],
    );
    check(
        "listen.admin = '127.0.0.1:7070'",
        expect![[r#"
        hefu.toml:1 `admin_token_file` is missing
    "#]],
    );
    check(
        "listen.admin = '0.0.0.0:7070'\nlisten.admin_token_file = 'token'",
        expect![[r#"
        hefu.toml:3 `0.0.0.0:7070` is not an address for the admin listener
    "#]],
    );
    check(
        "listen.admin = '127.0.0.1:7070'\nlisten.admin_token_file = 'token'",
        expect!["no problem"],
    );
    check(
        "listen.notify = '127.0.0.1:7000'",
        expect![[r#"
        hefu.toml:3 two listeners on one address
    "#]],
    );
    check(
        "[[passthrough]]\npath = '/acme/'\nupstream = 'http://127.0.0.1:1'",
        expect![[r#"
        hefu.toml:4 route `/acme/` stands twice
    "#]],
    );
    let used = "[channels.acme]\nupstreams = ['https://acme.example']\n";
    check(
        &format!(
            "{used}[[passthrough]]\nhost = 'files.example'\npath = '/acme/files'\nupstream = 'http://127.0.0.1:1'"
        ),
        expect![[r#"
            hefu.toml:7 nothing gets here: a channel's route comes first
        "#]],
    );
    check(
        &format!(
            "{used}[[passthrough]]\nhost = 'files.example'\npath = '/'\nupstream = 'http://127.0.0.1:1'"
        ),
        expect!["no problem"],
    );
    check(
        "[[passthrough]]\npath = '/'\n[[passthrough]]\nupstream = 'http://127.0.0.1:1'",
        expect![[r#"
            hefu.toml:3 `upstream` is missing
            hefu.toml:5 `path` is missing
        "#]],
    );
    check(
        "[channels.acme]\nupstreams = ['https://a.example#x', 'https://b.example?x']",
        expect![[r#"
            hefu.toml:4 a server with a path
            hefu.toml:4 a server with a path
        "#]],
    );
    check(
        "[providers.upv]\nurl = 'https://upv.example/verify'\nweight = 0\nbins = ['62', '6217001', 'x']\nscenarios = ['debits']\nconcurrency = 0\nper_second = 0",
        expect![[r#"
            hefu.toml:3 no definition of provider `upv`
            hefu.toml:4 a server with a path
            hefu.toml:5 out of range
            hefu.toml:6 not what a card number begins with
            hefu.toml:6 not what a card number begins with
            hefu.toml:7 `debits` is not a scenario
            hefu.toml:8 out of range
            hefu.toml:9 out of range
        "#]],
    );
}

#[test]
fn what_is_wrong_with_the_store_is_found() {
    let check = |text: &str, expected: Expect| check([text, "", "", ""], expected);
    check("[store]\nfile = 'hefu.db'", expect!["no problem"]);
    check(
        "[store]\nfile = 'nowhere/hefu.db'",
        expect![[r#"
        hefu.toml:4 the directory of the store is not there
    "#]],
    );
    check(
        "[store]\nfile = '.'",
        expect![[r#"
        hefu.toml:4 the store is a directory
    "#]],
    );
    check("[store]\npostgres = 'host=db.internal user=hefu dbname=hefu'", expect!["no problem"]);
    check(
        "[store]\npostgres = 'host=/run/postgresql user=hefu sslmode=disable'",
        expect!["no problem"],
    );
    check(
        "[store]\npostgres = 'host=db.internal user=hefu sslmode=disable'",
        expect![[r#"
        hefu.toml:4 PostgreSQL on another machine without TLS
    "#]],
    );
    check(
        "[store]\npostgres = 'host=localhost hostaddr=10.0.0.1 user=hefu sslmode=disable'",
        expect![[r#"
        hefu.toml:4 PostgreSQL on another machine without TLS
    "#]],
    );
    check(
        "[store]\npostgres = 'host=db.internal user=hefu password=secret'",
        expect![[r#"
        hefu.toml:4 a password in the configuration
    "#]],
    );
    check(
        "[store]\npostgres = 'dbname=hefu'",
        expect![[r#"
        hefu.toml:4 a connection names its `host` and its `user`
    "#]],
    );
    check(
        "[store]\npostgres = 'nonsense'",
        expect![[r#"
        hefu.toml:4 this is no connection to PostgreSQL
    "#]],
    );
    check(
        "[store]\npostgres = 'host=h user=u'\nfile = 'hefu.db'",
        expect![[r#"
        hefu.toml:4 two stores
    "#]],
    );
    check(
        "[store]\npostgres = 'host=h user=u'\npassword_file = 'none'",
        expect![[r#"
        hefu.toml:5 the file cannot be read: entity not found
    "#]],
    );
}

#[test]
fn how_much_is_in_memory_has_bounds() {
    let check = |count: &str, expected| {
        check([&format!("[store]\nevidence_in_memory = {count}"), "", "", ""], expected);
    };
    check("1000", expect!["no problem"]);
    check("50_000_000", expect!["no problem"]);
    check(
        "999",
        expect![[r#"
        hefu.toml:4 out of range
    "#]],
    );
    check(
        "50_000_001",
        expect![[r#"
        hefu.toml:4 out of range
    "#]],
    );
}

#[test]
fn what_is_wrong_with_how_long_things_are_kept_is_found() {
    let check = |keep: &str, expected| {
        check([&format!("[store.keep]\n{keep}"), "", "", ""], expected);
    };
    check("payments = '32d'\ncharges = '4000d'", expect!["no problem"]);
    check(
        "payments = '31d'\ncharges = '4001d'",
        expect![[r#"
        hefu.toml:4 out of range
        hefu.toml:5 out of range
    "#]],
    );
    check(
        "evidence = '30d'",
        expect![[r#"
        hefu.toml:4 unknown key `evidence`
    "#]],
    );
}

#[test]
fn what_is_wrong_with_other_keys_is_found() {
    let check = |keys: &str, expected| {
        let dir = directory("", "", "", "");
        fs::write(dir.path().join("other.fpk"), "fedcba9876543210fedcba9876543210").unwrap();
        let hefu = fs::read_to_string(dir.path().join("hefu.toml")).unwrap();
        let inline = format!("fingerprint_key_id = 1, other_keys = [\n{keys}\n] }}");
        let hefu = hefu.replace("fingerprint_key_id = 1 }", &inline);
        fs::write(dir.path().join("hefu.toml"), hefu).unwrap();
        let found = config::load(dir.path());
        expect_told(found, expected);
    };
    let other = "id = 2, file = 'other.fpk'";
    check(&format!("{{ {other}, until = '2027-03-01' }}"), expect!["no problem"]);
    check(&format!("{{ {other} }}, {{ id = 3 }}"), expect!["no problem"]);
    check(
        &format!("{{ {other}, until = 'soon' }}"),
        expect![[r#"
        hefu.toml:3 `soon` is not a date
    "#]],
    );
    check(
        "{ file = 'other.fpk' }",
        expect![[r#"
        hefu.toml:3 `id` is missing
    "#]],
    );
    check(
        "{ id = 1, file = 'other.fpk' }",
        expect![[r#"
        hefu.toml:3 two fingerprint keys with number 1
    "#]],
    );
    check(
        "{ id = 2, file = 'fingerprint.key' }",
        expect![[r#"
        hefu.toml:3 one fingerprint key with two numbers
    "#]],
    );
    check(
        "{ id = 2, until = '2027-03-01' }",
        expect![[r#"
        hefu.toml:3 a key that is not there is read by nobody
    "#]],
    );
    check(
        &format!("{{ {other} }},\n{{ id = 2 }}"),
        expect![[r#"
        hefu.toml:4 two fingerprint keys with number 2
    "#]],
    );
    check(
        "{ id = 2, file = 'policy.toml' }",
        expect![[r#"
        hefu.toml:3 a fingerprint key needs at least 32 bytes
    "#]],
    );
}

#[test]
fn what_is_wrong_about_asking_is_found() {
    let check = |text: &str, expected: Expect| check(["", text, "", ""], expected);
    check("attempts = { card_wrong = 2, left_to_others = 1 }", expect!["no problem"]);
    check(
        "attempts = { card_wrong = 0, wrong_for = '1s', limited_for = '32d' }",
        expect![[r#"
            policy.toml:1 no merchant has an attempt of its own
            policy.toml:1 out of range
            policy.toml:1 out of range
            policy.toml:1 out of range
        "#]],
    );
    check(
        "attempts.left_to_others = 3",
        expect![[r#"
            policy.toml:1 no merchant has an attempt of its own
        "#]],
    );
    check(
        "attempts.card_wrong = 1",
        expect![[r#"
            policy.toml:1 no merchant has an attempt of its own
        "#]],
    );
    check("observe = { sample_percent = 5, fen_per_day = 1000 }", expect!["no problem"]);
    check(
        "observe.sample_percent = 5",
        expect![[r#"
            policy.toml:1 a sample of which nothing may be asked
        "#]],
    );
    check(
        "observe = { sample_percent = 101, fen_per_day = 1000 }",
        expect![[r#"
            policy.toml:1 out of range
        "#]],
    );
    check("[[combination]]\nmerchants = ['A']\nscenarios = ['bind']", expect!["no problem"]);
    check(
        "[[combination]]\nmerchants = []\nscenarios = ['refund']\n[[combination]]",
        expect![[r#"
            policy.toml:2 no merchant
            policy.toml:3 `refund` is never judged
            policy.toml:4 `merchants` is missing
            policy.toml:4 `scenarios` is missing
        "#]],
    );
    check(
        "[[package]]\nscenario = 'debit'\nrequired = ['pan']\nfrom_fen = 1",
        expect!["no problem"],
    );
    check(
        "[[package]]\nscenario = 'query'\nrequired = ['cvv2']\n[[package]]",
        expect![[r#"
            policy.toml:2 `query` is never judged
            policy.toml:3 `cvv2` can never be verified
            policy.toml:4 `required` is missing
            policy.toml:4 `scenario` is missing
        "#]],
    );
    check("evidence = { no_record = '2d', source.police.match = '365d' }", expect!["no problem"]);
    check(
        "evidence = { no_match = '2d', source.police.match = '366d', source.bank.mach = '1d' }",
        expect![[r#"
            policy.toml:1 out of range
            policy.toml:1 out of range
            policy.toml:1 unknown key `mach`
        "#]],
    );
}

#[test]
fn what_is_wrong_in_policy_toml_is_found() {
    let check = |text: &str, expected: Expect| check(["", text, "", ""], expected);
    check("mode.acme = 'uninspected'", expect!["no problem"]);
    check("mode.acme = { enforce = 10 }", expect!["no problem"]);
    check(
        "mode = { acme = 'enforce' }",
        expect![[r#"
        policy.toml:1 a word without its value
    "#]],
    );
    check(
        "mode = { acme = { enforce = 0 } }",
        expect![[r#"
        policy.toml:1 not a percentage to enforce
    "#]],
    );
    check(
        "mode = { acne = 'observe' }",
        expect![[r#"
        policy.toml:1 no channel `acne`
    "#]],
    );
    check(
        "[scenario.refund]\nno_match = 'permit'",
        expect![[r#"
            policy.toml:1 `refund` is never judged
        "#]],
    );
    check(
        "[scenario.debit]\nrequired = ['name', 'cvv2', 'nmae']\nno_match = 'allow'",
        expect![[r#"
            policy.toml:2 `cvv2` can never be verified
            policy.toml:2 `nmae` is not an element
            policy.toml:3 `allow` is not an effect
        "#]],
    );
    check(
        "holds.expiry = '1s'\nholds.per_hour = 0\nevidence.match = '1y'\ninquiry.deadline = '0s'\ninquiry.retries_percent = 101",
        expect![[r#"
            policy.toml:1 out of range
            policy.toml:2 out of range
            policy.toml:3 `1y` is not a duration
            policy.toml:4 out of range
            policy.toml:5 out of range
        "#]],
    );
    check(
        "[routing]\nstrategy = 'cheapest'\nmismatch_fen = 1000001\nexplore_percent = 101\nlower_below_percent = 100",
        expect![[r#"
            policy.toml:2 `cheapest` is not a way to find who is asked first
            policy.toml:3 out of range
            policy.toml:4 out of range
            policy.toml:5 out of range
        "#]],
    );
}

#[test]
fn a_holdout_needs_somebody_who_approved_it() {
    let check = |text: &str, expected: Expect| check(["", text, "", ""], expected);
    check("holdout.share = 0.0", expect!["no problem"]);
    check("holdout = { share = 0.02, approved_by = '张三' }", expect!["no problem"]);
    for share in ["holdout.share = 0.02", "holdout = { share = 0.02, approved_by = ' ' }"] {
        check(
            share,
            expect![[r#"
                policy.toml:1 a holdout lets refused payments leave, and nobody approved it
            "#]],
        );
    }
    for share in ["0.2", "-0.1", "nan"] {
        check(
            &format!("holdout = {{ share = {share}, approved_by = '张三' }}"),
            expect![[r#"
                policy.toml:1 out of range
            "#]],
        );
    }
}

#[test]
fn what_is_wrong_in_a_profile_is_found() {
    let check = |text: &str, expected: Expect| check(["", "", text, ""], expected);
    let debit =
        "[[message]]\nscenario = 'debit'\norder = ['o']\namount = { field = 'a', unit = 'fen' }\n";
    check(debit, expect!["no problem"]);
    check(
        "[[message]]\nscenario = 'debit'",
        expect![[r#"
        channels/acme.toml:6 `amount` is missing
        channels/acme.toml:6 a `debit` needs its `order`
    "#]],
    );
    check(
        "[[message]]\nwhen = { a = 1 }\norders = ['o']",
        expect![[r#"
        channels/acme.toml:6 `scenario` is missing
        channels/acme.toml:7 invalid type: integer `1`, expected a text, or a list of texts
        channels/acme.toml:8 unknown key `orders`
    "#]],
    );
    check(
        "[[message]]\nscenario = 'notify'",
        expect![[r#"
        channels/acme.toml:6 a request cannot be a `notify`
    "#]],
    );
    check(
        &format!("{debit}checks = ['pan']"),
        expect![[r#"
        channels/acme.toml:10 `pan` is checked but never read
    "#]],
    );
    check(
        &format!("{debit}elements = {{ face_image = 'f', nome = 'n' }}"),
        expect![[r#"
            channels/acme.toml:10 `face_image` is not read from messages
            channels/acme.toml:10 `nome` is not an element
        "#]],
    );
    check(
        &format!(
            "[[message]]\nscenario = 'query'\nwhen.t = 'q'\nof = ['debit', 'bind']\n{debit}of = ['debit']"
        ),
        expect![[r#"
            channels/acme.toml:9 a `query` asks about no `bind`
            channels/acme.toml:14 a `debit` asks about no `debit`
        "#]],
    );
    check(
        &format!("{debit}closes_agreement = true\nrecall = {{ key = ['o'] }}"),
        expect![[r#"
        channels/acme.toml:10 `closes_agreement` without an `agreement`
        channels/acme.toml:11 nothing is remembered under this key
    "#]],
    );
    check(
        "[[message]]\nscenario = 'bind'\nremember.key = ['o']\n[[message]]\nscenario = 'bind'\nrecall.key = ['o']",
        expect![[r#"
            channels/acme.toml:9 an earlier message matches whatever this one would
        "#]],
    );
    check(
        "[[message]]\nscenario = 'query'\nwhen = { a = ['1', '2'] }\n[[message]]\nscenario = 'sms'\nwhen = { a = '1', b = '1' }\n[[message]]\nscenario = 'sms'\nwhen = { a = '3' }",
        expect![[r#"
            channels/acme.toml:9 an earlier message matches whatever this one would
        "#]],
    );
    check(
        "[[message]]\nscenario = 'query'\nanswer = { code = 'c', map = 'fnal', outer = { code = 'c' } }",
        expect![[r#"
            channels/acme.toml:8 no code map `fnal`
            channels/acme.toml:8 `map` is missing
        "#]],
    );
    let answer =
        |amount: &str| format!("answer = {{ code = 'c', map = 'final', amount = {{ {amount} }} }}");
    check(
        &format!("[[message]]\nscenario = 'query'\n{}", answer("field = 'a', unit = 'fen'")),
        expect!["no problem"],
    );
    check(
        &format!("[[message]]\nscenario = 'query'\n{}", answer("field = './a'")),
        expect![[r#"
            channels/acme.toml:8 `unit` is missing
            channels/acme.toml:8 an `amount` that is read in rows
        "#]],
    );
    check(
        &format!("{debit}{}", answer("field = 'a', unit = 'fen'")),
        expect![[r#"
            channels/acme.toml:10 an `amount` in an answer that tells of no other payment
        "#]],
    );
    check(
        "request.unwrap = [{ steps = ['json'] }, { at = 'a', steps = ['json', 'hex', 'zip'] }, { at = 'b' }]",
        expect![[r#"
            channels/acme.toml:6 nothing says what is unwrapped
            channels/acme.toml:6 a step after the fields are open
            channels/acme.toml:6 unknown word `zip`
            channels/acme.toml:6 an `unwrap` without steps
        "#]],
    );
    check(
        "request.charset = { field = 'a/b', default = 'latin1' }",
        expect![[r#"
        channels/acme.toml:6 the field that names the charset is not outermost
        channels/acme.toml:6 `latin1` is not a supported charset
    "#]],
    );
    check(
        "[notify]\nbody.format = 'xml'",
        expect![[r#"
            channels/acme.toml:6 `path` is missing
            channels/acme.toml:6 notifications that tell nothing
            channels/acme.toml:7 `root` is missing
        "#]],
    );
}

#[test]
fn what_is_wrong_in_batches_headers_and_documents_is_found() {
    let check = |text: &str, expected: Expect| check(["", "", text, ""], expected);
    let message = |text: &str| format!("[[message]]\nscenario = 'query'\n{text}");
    check(
        &message("rows = 'a'"),
        expect![[r#"
        channels/acme.toml:6 nothing names a row within its batch
    "#]],
    );
    check(
        &message("rows = 'a'\nrow = ['n']"),
        expect![[r#"
        channels/acme.toml:6 nothing names a row within its batch
    "#]],
    );
    check(
        &message("row = ['./n']"),
        expect![[r#"
        channels/acme.toml:6 `row` without `rows`
    "#]],
    );
    check(
        &message("when = { '@x-kind' = 'Q', '@hefu-kind' = 'Q' }"),
        expect![[r#"
            channels/acme.toml:1 `@hefu-kind` is never forwarded
        "#]],
    );
    check(
        &message("when = { '@te' = 'Q' }"),
        expect![[r#"
            channels/acme.toml:1 `@te` is never forwarded
        "#]],
    );
    check(
        "same = [['a', './b'], ['c', 'c'], ['d', 'e/d']]",
        expect![[r#"
            channels/acme.toml:6 `./b` is read in rows, and there are none
            channels/acme.toml:6 `c` is no copy of itself
        "#]],
    );
    check(
        "same = [['a', 'b', 'c'], ['a'], ['a', 'b']]",
        expect![[r#"
            channels/acme.toml:6 not a field and its copy
            channels/acme.toml:6 not a field and its copy
        "#]],
    );
    check(
        &message("elements = { pan = './card' }"),
        expect![[r#"
        channels/acme.toml:6 `./card` is read in rows, and there are none
    "#]],
    );
    check(
        &message("rows = 'a'\nrow = ['./n']\norder = ['./o']"),
        expect![[r#"
        channels/acme.toml:6 `./o` of the batch itself is read in a row
    "#]],
    );
    check(
        &message("rows = './a'\nrow = ['./n']"),
        expect![[r#"
        channels/acme.toml:6 `./a` of the batch itself is read in a row
    "#]],
    );
    check(
        &message("rows = 'a'\nrow = ['./n']\nremember.key = ['o']"),
        expect![[r#"
        channels/acme.toml:6 a batch with `remember` or `recall`
    "#]],
    );
    check(
        &message("answer = { code = './c', map = 'final' }"),
        expect![[r#"
        channels/acme.toml:6 `./c` is read in rows, and the answer has none
    "#]],
    );
    check(
        &message("answer = { rows = 'r', row = ['./n'], code = './c', map = 'final' }"),
        expect!["no problem"],
    );
    check(
        &message(
            "rows = 'a'\nrow = ['./n']\nyields = { agreement = './b' }\nanswer = { code = 'c', map = 'final' }",
        ),
        expect![[r#"
            channels/acme.toml:6 `./b` is read in rows, and the answer has none
        "#]],
    );
    check(
        &message(
            "answer = { outer = [{ code = 'c', map = 'final' }, { code = 'd', map = 'fnal' }], code = 'e', map = 'final' }",
        ),
        expect![[r#"
            channels/acme.toml:8 no code map `fnal`
        "#]],
    );
    check(
        &message("method = 'GTE'"),
        expect![[r#"
        channels/acme.toml:8 no method `GTE`
    "#]],
    );
    check(&message("method = 'GET'\nwhen = { '@msg-tp' = 'x' }"), expect!["no problem"]);
    check(
        &message("when = { '@MsgTp' = 'x' }"),
        expect![[r#"
        channels/acme.toml:8 `@MsgTp` is not a path to a field
    "#]],
    );
    check(
        &message("order = ['@a/b', 'c//d']"),
        expect![[r#"
        channels/acme.toml:8 `@a/b` is not a path to a field
        channels/acme.toml:8 `c//d` is not a path to a field
    "#]],
    );
    check(
        "answer.tail = '}'\nanswer.namespace = 'urn:x'\nrequest.root = 'm'",
        expect![[r#"
        channels/acme.toml:6 this body is not XML
        channels/acme.toml:7 this body is not XML
        channels/acme.toml:8 this body is not XML
    "#]],
    );
    check(
        "[notify]\npath = '/n'\nmessage = [{ order = ['o'], answer = { code = 'c', map = 'final' } }]\nbody = { format = 'xml', root = 'm', tail = '(' }",
        expect![[r#"
            channels/acme.toml:9 `(` is not a regular expression
        "#]],
    );
    check(
        "request.unwrap = [{ at = '*', steps = ['percent', 'percent'] }, { at = 'a', steps = [{ open_blocks = 'k' }, 'hex'] }]",
        expect!["no problem"],
    );
}

#[test]
fn what_is_wrong_in_notifications_is_found() {
    let check = |notify: &str, expected: Expect| {
        check(["", "", &format!("[notify]\npath = '/n'\n{notify}"), ""], expected);
    };
    let told = "message = [{ order = ['o'], answer = { code = 'c', map = 'final' } }]";
    check(told, expect!["no problem"]);
    check(
        "message = [{ scenario = ['debit'], answer = { code = 'c', map = 'fnal' } }, { scenario = ['refund'] }]",
        expect![[r#"
            channels/acme.toml:8 a notification without an order
            channels/acme.toml:8 no code map `fnal`
        "#]],
    );
    check(
        "message = [{ scenario = ['refund'], order = ['./o'], answer = { code = 'c', map = 'final', rows = 'r', row = ['./n'] } }]",
        expect![[r#"
            channels/acme.toml:8 a notification with rows
            channels/acme.toml:8 the outcome of a `refund` is not read
        "#]],
    );
    check(
        &format!("{told}\nacknowledged = ''"),
        expect![[r#"
        channels/acme.toml:9 an empty body is not distinctive
    "#]],
    );
    check(
        &format!("{told}\nsignature = {{ kind = 'none', over = 'body', at = 's', key = 'k' }}"),
        expect![[r#"
            channels/acme.toml:9 `none` is not a kind of signature
        "#]],
    );
    check(
        &format!("{told}\nsignature = {{}}"),
        expect![[r#"
        channels/acme.toml:9 `at` is missing
        channels/acme.toml:9 `key` is missing
        channels/acme.toml:9 `kind` is missing
        channels/acme.toml:9 `over` is missing
    "#]],
    );
    check(
        &format!(
            "{told}\nsignature = {{ kind = 'rsa_sha256', over = 'sorted_pairs', at = '@connection', key = ['k', 'l'] }}"
        ),
        expect![[r#"
            channels/acme.toml:6 `@connection` is never forwarded
        "#]],
    );
    check(
        &format!("{told}\nopened = 'x'"),
        expect![[r#"
        channels/acme.toml:8 its order, amount and code are not all in what is opened
        channels/acme.toml:9 `x` is not opened with a key
    "#]],
    );
    check(
        &format!(
            "{told}\nopened = 'x'\nbody = {{ format = 'form', unwrap = [{{ at = 'x', steps = [{{ open_blocks = 'k' }}, 'json'] }}] }}"
        ),
        expect![[r#"
            channels/acme.toml:8 its order, amount and code are not all in what is opened
        "#]],
    );
    // What names the payment beside it is held against its copy, or proves nothing.
    let sealed = "body = { format = 'form', unwrap = [{ at = 'x', steps = [{ open_blocks = 'k' }, 'json'] }] }";
    let beside = "message = [{ order = ['m', 'x/o'], merchant = 'm', answer = { code = 'x/c', map = 'final' } }]";
    check(
        &format!("{beside}\nopened = 'x'\n{sealed}"),
        expect![[r#"
            channels/acme.toml:8 `m` lies beside what is opened
        "#]],
    );
    let copied = |copy: &str, expected: Expect| {
        let notify = format!("[notify]\npath = '/n'\n{beside}\nopened = 'x'\n{sealed}");
        crate::check(["", "", &format!("same = [['m', '{copy}']]\n{notify}"), ""], expected);
    };
    copied("x/m", expect!["no problem"]);
    copied(
        "y/m",
        expect![[r#"
            channels/acme.toml:9 `m` lies beside what is opened
        "#]],
    );
    check(
        "message = [{ order = ['x/o'], answer = { code = 'x/c', map = 'final' } }]\nopened = 'x'\nbody = { format = 'form', unwrap = [{ at = 'x', steps = [{ open_blocks = 'k' }, 'json'] }] }",
        expect!["no problem"],
    );
    let core =
        "[channels.acme]\nupstreams = ['https://b.example']\nnotify_core = 'http://127.0.0.1:1'\n";
    self::check(
        [core, "", "", ""],
        expect![[r#"
        hefu.toml:5 `notify_core` without a `notify` listener
        hefu.toml:5 channel acme notifies nobody
    "#]],
    );
    self::check(
        [
            &format!("listen.notify = '127.0.0.1:7001'\n{core}"),
            "",
            &format!("[notify]\npath = '/n'\n{told}"),
            "",
        ],
        expect!["no problem"],
    );
}

#[test]
fn codes_begin_with_something() {
    let check = |text: &str, expected: Expect| check(["", "", "", text], expected);
    check("unknown = ['2*', '20*', '2001']", expect!["no problem"]);
    check(
        "unknown = ['*', '2*1', '3**', '4*']\ndeclined = { '4*' = 'other' }",
        expect![[r#"
        codes/acme.toml:3 `*` is no code
        codes/acme.toml:3 `2*1` is no code
        codes/acme.toml:3 `3**` is no code
        codes/acme.toml:4 code `4*` stands twice in `final`
    "#]],
    );
}

#[test]
fn what_is_wrong_in_a_code_map_is_found() {
    let check = |text: &str, expected: Expect| check(["", "", "", text], expected);
    check(
        "no_match = { 61 = ['pan'], 66 = { one_of = ['name', 'phone'] } }",
        expect!["no problem"],
    );
    check(
        "unknown = ['00']",
        expect![[r#"
        codes/acme.toml:3 code `00` stands twice in `final`
    "#]],
    );
    check(
        "no_match = { 61 = [], 66 = { one_of = ['name'] }, 67 = 'pan', 68 = ['pam'] }",
        expect![[r#"
            codes/acme.toml:3 a `no_match` needs its suspects
            codes/acme.toml:3 a `no_match` needs its suspects
            codes/acme.toml:3 invalid type: string "pan", expected a list of elements, or `{ one_of = ["name", "phone"] }`
            codes/acme.toml:3 a `no_match` needs its suspects
            codes/acme.toml:3 `pam` is not an element
        "#]],
    );
    check(
        "declined = { 61 = 'poor' }\nnot_processed = { codes = ['34'] }",
        expect![[r#"
        codes/acme.toml:3 `poor` is not a reason to decline
        codes/acme.toml:4 `after` is missing
    "#]],
    );
    check(
        "[a]\nlike = 'b'\n[b]\nlike = 'a'\n[c]\nlike = 'finale'",
        expect![[r#"
        codes/acme.toml:4 `b` is like itself
        codes/acme.toml:6 `a` is like itself
        codes/acme.toml:8 no code map `finale` in this file
    "#]],
    );
    check(
        "[[final.text]]\nfield = 'm'\nmatches = '('\n[[final.text]]\nmatches = 'x'\ndeclined = 'other'",
        expect![[r#"
            codes/acme.toml:3 exactly one of `no_match` and `declined` is needed
            codes/acme.toml:5 `(` is not a regular expression
            codes/acme.toml:6 `field` is missing
        "#]],
    );
    check(
        "succeeded = ['01']",
        expect![[r#"
        codes/acme.toml:3 not TOML: duplicate key
    "#]],
    );
}

#[test]
fn twins_are_found_across_files() {
    let dir = directory("", "", "", "");
    let twin = fs::read_to_string(dir.path().join("channels/acme.toml")).unwrap();
    fs::write(dir.path().join("channels/twin.toml"), twin).unwrap();
    fs::create_dir_all(dir.path().join("providers")).unwrap();
    fs::write(dir.path().join("providers/c.toml"), "nme = 'upv'\n=").unwrap();
    expect![[r#"
        channels/twin.toml:1:8 channel acme stands twice
            the other one is `channels/acme.toml`
        channels/twin.toml:3:19 route `/acme/` stands twice
            `channels/acme.toml` has the same host and path: one request can go to one place only
        providers/c.toml:2:1 not TOML: unquoted keys cannot be empty, expected letters, numbers, `-`, `_`
            what seems missing is looked for when the file is valid TOML
        providers/c.toml:2:2 not TOML: string values must be quoted, expected literal string
            what seems missing is looked for when the file is valid TOML
    "#]].assert_eq(&list(&config::load(dir.path()).unwrap_err()));
}

#[test]
fn an_uninspected_route_within_an_inspected_one_is_found() {
    let check = |policy: &str, expected: Expect| {
        let used = "upstreams = ['https://acme.example']";
        let dir =
            directory(&format!("[channels.acme]\n{used}\n[channels.twin]\n{used}"), policy, "", "");
        let twin = fs::read_to_string(dir.path().join("channels/acme.toml")).unwrap();
        let twin = twin.replace("'acme'\ncodes", "'twin'\ncodes");
        let twin = twin.replace("path = '/acme/'", "host = 'h.example', path = '/acme/x/'");
        fs::write(dir.path().join("channels/twin.toml"), twin).unwrap();
        let found =
            config::load(dir.path()).map_or_else(|problems| list(&problems), |_| String::new());
        expected.assert_eq(&found);
    };
    check("mode = { acme = 'observe', twin = 'observe' }", expect![""]);
    check("mode = { acme = 'uninspected', twin = 'uninspected' }", expect![""]);
    check("mode = { acme = 'uninspected', twin = 'observe' }", expect![""]);
    check(
        "mode = { acme = 'observe', twin = 'uninspected' }",
        expect![[r#"
            channels/twin.toml:3:39 what is uninspected here lies within what is inspected
                channel acme takes `/acme/` and all under it: give one of them its own path, or both a host
        "#]],
    );
}

/// Each shipped definition under another name, with one change; those of `hefu.toml` are in use.
#[test]
fn definitions_are_read_and_those_in_use_are_compiled() {
    let dir = directory(
        "[providers.xml]\nurl = 'https://host.example'\nvars = { merchant_id = 'M' }\ntls = { server_name = 'host.example' }\n\
         [providers.md5]\nurl = 'https://host.example/path'\ncredentials = { sign_secret = 'token' }\nvars = { account = 'A' }",
        "",
        "",
        "",
    );
    fs::create_dir_all(dir.path().join("providers")).unwrap();
    let ship = |file: &str, name: &str, from: &str, to: &str| {
        let text = fs::read_to_string(format!("config/providers/{file}.toml")).unwrap();
        assert!(text.contains(from), "{file}");
        fs::write(dir.path().join(format!("providers/{name}.toml")), text.replace(from, to))
            .unwrap();
    };
    ship("99bill-indauth", "xml", "{{ phone }}", "{{ phnoe }}");
    ship("reseller-bankcard", "md5", "match = ", "mtach = ");
    ship("cpcn-account-level", "idle", "value = \"Bearer", "valeu = \"Bearer");
    ship("operator3-detail", "fine", "", "");
    expect![[r#"
        hefu.toml:3:1 it asks for a certificate of ours
            set `tls.client_cert_file` and `tls.client_key_file`
        hefu.toml:3:1 the secret `login_key` is missing
            add `login_key = "/path/to/file"` to the provider's `credentials`
        hefu.toml:8:7 a server with a path
            write scheme, host and port only: a channel gets the path as the core writes it, and a provider's definition has its path
        providers/idle.toml:34:1 unknown field `valeu`, expected one of `header`, `value`, `secret`
            `hefu schema` says what a definition may have
        providers/md5.toml:58:1 unknown field `mtach`, expected one of `match`, `close_match`, `no_match`, `no_record`, `not_possible`, `limited`, `invalid`, `unavailable`
            `hefu schema` says what a definition may have
        providers/xml.toml:43:7 `phnoe` is no variable
            did you mean `phone`?
        providers/xml.toml:43:7 `var.terminal_id` is set neither by an element set nor by the deployment
            add `terminal_id = "…"` to `vars` of the provider in the main configuration
    "#]].assert_eq(&list(&config::load(dir.path()).unwrap_err()));
}

#[test]
fn a_directory_without_configuration_says_so() {
    let dir = TempDir::new().unwrap();
    let problems = config::load(dir.path()).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems.iter().next().unwrap().file(), "hefu.toml");
}

/// What ships, with the key files that it names.
fn shipped() -> (TempDir, Config) {
    let dir = TempDir::new().unwrap();
    for folder in ["channels", "codes", "secrets"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    for name in ["hefu.toml", "policy.toml", "classes.toml"] {
        fs::copy(Path::new("config").join(name), dir.path().join(name)).unwrap();
    }
    for folder in ["channels", "codes"] {
        for entry in fs::read_dir(Path::new("config").join(folder)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), dir.path().join(folder).join(entry.file_name())).unwrap();
        }
    }
    let secrets = dir.path().join("secrets");
    let [key, _] = &*KEYS;
    fs::write(secrets.join("baofoo.pem"), key.public_key_to_pem().unwrap()).unwrap();
    fs::write(secrets.join("baofoo-merchant.pem"), certificate(key)).unwrap();
    fs::write(secrets.join("fingerprint.key"), "secret-fingerprint-key-of-thirty-two-bytes")
        .unwrap();
    fs::write(secrets.join("admin.token"), "secret-token-of-enough-bytes").unwrap();
    let config = config::load(dir.path()).unwrap_or_else(|problems| panic!("{problems}"));
    (dir, config)
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let (_dir, config) = shipped();
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.drain, Drain::default());
    assert_eq!(config.keep, Keep::default());
    assert_eq!(config.evidence_in_memory, memory::Limits::default().evidence);
    assert_eq!(config.policy, Policy::default());
    assert_eq!(config.holds, Holds::default());
    assert_eq!(config.evidence, Evidence::default());
    assert_eq!(config.inquiry, Inquiry::default());
    assert_eq!(config.attempts, hefu::route::attempts::Limits::default());
    assert_eq!((config.merchant_cap, config.observe), (None, config::Observe::default()));
    assert_eq!(config.routing, Routing::default());
    for channel in config.channels.values() {
        assert_eq!(channel.patience, Patience::default());
        assert_eq!(channel.in_doubt, config::InDoubt::default());
        assert_eq!(channel.mode, config::ChannelMode::default());
        assert_eq!(channel.level, Level::default());
    }
}

fn message<'c>(config: &'c Config, channel: &str, values: &[(&str, &str)]) -> &'c Message {
    let profile = &config.channels[&ChannelName::new(channel)].profile;
    let fits = |message: &&Message| {
        message.when.iter().all(|(field, wanted)| {
            values.iter().any(|(name, value)| {
                *name == field.to_string() && wanted.iter().any(|known| known == value)
            })
        }) && message.path.is_none()
    };
    profile.messages.iter().find(fits).unwrap()
}

#[test]
fn the_shipped_profiles_list_every_known_message() {
    let (_dir, config) = shipped();
    let acp = |txn_type, sub_type| {
        message(
            &config,
            "unionpay",
            &[("txnType", txn_type), ("txnSubType", sub_type), ("bizType", "000301")],
        )
        .scenario
    };
    let cases = [
        ("72", "11", Scenario::Bind),
        ("72", "02", Scenario::Bind),
        ("74", "04", Scenario::Unbind),
        ("11", "02", Scenario::Debit),
        ("72", "01", Scenario::Verify),
        ("72", "10", Scenario::Verify),
        ("72", "12", Scenario::Verify),
        ("72", "16", Scenario::Other),
        ("79", "01", Scenario::Other),
        ("78", "00", Scenario::Other),
        ("01", "01", Scenario::Pay),
        ("77", "01", Scenario::Sms),
        ("77", "02", Scenario::Sms),
        ("12", "00", Scenario::Payout),
        ("00", "00", Scenario::Query),
        ("99", "00", Scenario::Void),
        ("31", "00", Scenario::Void),
        ("04", "00", Scenario::Refund),
        ("76", "01", Scenario::Other),
    ];
    for (txn_type, sub_type, expected) in cases {
        assert_eq!(acp(txn_type, sub_type), expected, "{txn_type}/{sub_type}");
    }
    let sealed =
        |sub_type| message(&config, "baofoo", &[("txn_type", "0431"), ("txn_sub_type", sub_type)]);
    let cases = [
        ("01", Scenario::Bind),
        ("11", Scenario::Bind),
        ("12", Scenario::Bind),
        ("02", Scenario::Unbind),
        ("03", Scenario::Query),
        ("15", Scenario::Sms),
        ("16", Scenario::Debit),
        ("31", Scenario::Query),
    ];
    for (sub_type, expected) in cases {
        assert_eq!(sealed(sub_type).scenario, expected, "{sub_type}");
    }
    assert_eq!(sealed("11").remember, sealed("12").recall);
    assert!(
        sealed("12").yields.as_ref().unwrap().closes_same_card && sealed("16").checks.is_empty()
    );
    let baofoo = &config.channels[&ChannelName::new("baofoo")].profile;
    for body in [&baofoo.request, &baofoo.answer] {
        assert!(matches!(
            body.unwrap[0].steps.as_slice(),
            [Step::Hex, Step::OpenBlocks(Some(_)), Step::Base64, Step::Json]
        ));
    }
}

#[test]
fn the_shipped_codes_name_what_the_channel_names() {
    let (_dir, config) = shipped();
    let code = |channel: &str, map: &str, code: &str| {
        config.channels[&ChannelName::new(channel)].profile.codes[map].codes.get(code).copied()
    };
    let set = |elements: &[Element]| elements.iter().copied().collect::<ElementSet>();
    let named = |element| Some(Outcome::NoMatch(Suspects::Named(set(&[element]))));
    let identity = Suspects::OneOf(set(&[Element::Name, Element::IdNumber, Element::Phone]));
    assert_eq!(code("unionpay", "final", "66"), Some(Outcome::NoMatch(identity)));
    assert_eq!(code("unionpay", "accepted", "66"), Some(Outcome::NoMatch(identity)));
    assert_eq!(code("unionpay", "final", "61"), named(Element::Pan));
    assert_eq!(code("unionpay", "final", "00"), Some(Outcome::Succeeded));
    assert_eq!(code("unionpay", "accepted", "00"), Some(Outcome::Accepted));
    assert_eq!(code("unionpay", "query", "34"), Some(Outcome::Declined(Decline::NotProcessed)));
    assert_eq!(code("unionpay", "final", "ZZ"), None);
    assert_eq!(code("baofoo", "final", "BF00343"), named(Element::Phone));
    assert_eq!(code("baofoo", "order", "FF"), Some(Outcome::Unknown));
    assert_eq!(code("baofoo", "payout", "2"), Some(Outcome::Reversed));
}

#[test]
fn the_dump_shows_no_secret() {
    let (_dir, config) = shipped();
    let dump = config.dump().to_string();
    let debug = format!("{config:?}");
    for secret in ["secret-fingerprint", "secret-token", "BEGIN"] {
        assert!(!dump.contains(secret) && !debug.contains(secret), "{secret}");
    }
    assert!(dump.contains(r#""expiry":"168h""#), "{dump}");
}

#[test]
fn the_committed_schema_is_the_schema() {
    let schema = serde_json::to_string_pretty(&config::schema()).unwrap();
    expect_file!["../config/schema.json"].assert_eq(&format!("{schema}\n"));
}
