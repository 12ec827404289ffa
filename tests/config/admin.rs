//! Who may use the admin API and how, and what the risk team calls banks: each mistake with its message.

use crate::directory;
use hefu::config;
use std::fs;
use tempfile::TempDir;

const TOKEN: &str = "listen.admin_token_file = 'token'\n";
const ADMIN: &str = "listen.admin = '127.0.0.1:7070'\n";
/// The SHA-256 of some token, and of another one.
const ONE: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const OTHER: &str = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752";

/// What is found in a directory: the line, and what is wrong there.
fn check_in(dir: &TempDir, what: &str, expected: &[&str]) {
    let problems = config::load(dir.path()).err();
    let line = |problem: &config::Problem| format!("{} {problem}", problem.place().0);
    let found: Vec<String> = problems.iter().flatten().map(line).collect();
    assert_eq!(found, expected, "{what}");
}

fn check(hefu: &str, expected: &[&str]) {
    check_in(&directory(hefu, "", "", ""), hefu, expected);
}

#[test]
fn what_is_wrong_with_operators_is_found() {
    // The lines before are of the directory and of the listener.
    let check = |operators: &str, expected: &[&str]| {
        check(&format!("{ADMIN}{operators}"), expected);
    };
    let operator = |name: &str, roles: &str, token: &str| {
        format!("[[operator]]\nname = '{name}'\nroles = {roles}\ntoken_sha256 = '{token}'\n")
    };
    let viewer = "['viewer']";
    let li = operator("li.lei", viewer, ONE);
    check(&li, &[]);
    check(&format!("{li}{}", operator("han", "['auditor', 'admin']", OTHER)), &[]);
    check(
        "[[operator]]\n",
        &["4 `name` is missing", "4 `roles` is missing", "4 `token_sha256` is missing"],
    );
    for name in ["", "李雷", "li lei", "13800000000", "a\"b", &"a".repeat(65)] {
        check(&operator(name, viewer, ONE), &["5 not an operator's name"]);
    }
    let twice = ["9 operator `li.lei` stands twice"];
    check(&format!("{li}{}", operator("li.lei", viewer, OTHER)), &twice);
    let shared = ["11 two operators have one token"];
    check(&format!("{li}{}", operator("han", viewer, ONE)), &shared);
    check(&operator("li.lei", "[]", ONE), &["6 no role"]);
    check(&operator("li.lei", "['risk_editors']", ONE), &["6 `risk_editors` is not a role"]);
    let text = ["6 invalid type: string \"viewer\", expected a sequence"];
    check(&operator("li.lei", "'viewer'", ONE), &text);
    check(&operator("li.lei", viewer, "the token itself"), &["7 not a hash"]);
    check(&operator("li.lei", viewer, ONE.get(1..).unwrap()), &["7 not a hash"]);
    check(&format!("{li}role = 'viewer'\n"), &["8 unknown key `role`"]);
}

#[test]
fn what_is_wrong_with_the_admin_listener_is_found() {
    let check = |lines: &str, expected: &[&str]| check(&format!("{TOKEN}{lines}"), expected);
    let socket = "listen.admin = 'unix:/run/hefu/admin.sock'\n";
    check(ADMIN, &[]);
    check(socket, &[]);
    for place in ["0.0.0.0:7070", "10.0.0.1:7070", "127.0.0.1", "unix:admin.sock", "localhost:7070"]
    {
        let wrong = format!("4 `{place}` is not an address for the admin listener");
        check(&format!("listen.admin = '{place}'"), &[&wrong]);
    }
    let limit = |limit: &str| format!("{ADMIN}listen.admin_per_second = {limit}");
    check(&limit("1"), &[]);
    check(&limit("10000"), &[]);
    check(&limit("0"), &["5 out of range"]);
    check(&limit("10001"), &["5 out of range"]);
    check(&limit("-1"), &["5 invalid value: integer `-1`, expected u32"]);
    check(&limit("'50'"), &["5 invalid type: string \"50\", expected u32"]);
    check(&limit("0.5"), &["5 invalid type: floating point `0.5`, expected u32"]);
    let tls = |tls: &str| format!("{ADMIN}listen.admin_tls = {{ {tls} }}");
    let own = "cert_file = 'own.pem', key_file = 'own.key'";
    check(&tls(own), &[]);
    check(&tls(&format!("{own}, client_ca_file = 'own.pem'")), &[]);
    check(&tls(&format!("{own}, client_ca_file = 'own.key'")), &["5 no certificate in this file"]);
    check(
        &tls(&format!("{own}, client_ca_file = 'gone.pem'")),
        &["5 the file cannot be read: entity not found"],
    );
    check(&tls("cert_file = 'own.pem'"), &["5 `key_file` is missing"]);
    check(&tls("key_file = 'own.key'"), &["5 `cert_file` is missing"]);
    let other = ["5 the key does not belong to the certificate"];
    check(&tls("cert_file = 'own.pem', key_file = 'other.key'"), &other);
    check(&tls("cert_file = 'own.pem', key_file = 'own.pem'"), &["5 no private key in this file"]);
    check(
        &tls("cert_file = 'own.pem', key_file = 'gone.key'"),
        &["5 the file cannot be read: entity not found"],
    );
    check(&tls(&format!("{own}, ca_file = 'own.pem'")), &["5 unknown key `ca_file`"]);
    check(&format!("{socket}listen.admin_tls = {{ {own} }}"), &["5 TLS on a Unix socket"]);
}

#[test]
fn who_calls_has_a_token_and_an_api_to_call() {
    check(ADMIN, &["1 `admin_token_file` is missing"]);
    check(
        &format!("{ADMIN}listen.admin_token_file = 'gone'"),
        &["4 the file cannot be read: entity not found"],
    );
    let dir = directory(&format!("{ADMIN}{TOKEN}"), "", "", "");
    fs::write(dir.path().join("token"), "short").unwrap();
    check_in(&dir, "a short token", &["4 a token has at least 22 bytes"]);
    // All of it is about an API that is nowhere.
    let own = "cert_file = 'own.pem', key_file = 'own.key'";
    let alone = format!(
        "{TOKEN}listen.admin_per_second = 5\nlisten.admin_tls = {{ {own} }}\n\
         [[operator]]\nname = 'li.lei'\nroles = ['viewer']\ntoken_sha256 = '{ONE}'\n"
    );
    let expected = [
        "3 `admin_token_file` without an `admin` listener",
        "4 `admin_per_second` without an `admin` listener",
        "5 `admin_tls` without an `admin` listener",
        "6 `[[operator]]` without an `admin` listener",
    ];
    check(&alone, &expected);
}

#[test]
fn what_is_wrong_with_banks_is_found() {
    let check = |banks: &str, expected: &[&str]| {
        let dir = directory("", "", "", "");
        fs::create_dir(dir.path().join("rules")).unwrap();
        fs::write(dir.path().join("rules/banks.toml"), banks).unwrap();
        check_in(&dir, banks, expected);
    };
    let bank = |name: &str, bins: &str| format!("[[bank]]\nname = '{name}'\nbins = {bins}\n");
    let icbc = bank("icbc", "['622202']");
    check(&bank("icbc", "['622202', '622848']"), &[]);
    check("[[bank]]\n", &["1 `bins` is missing", "1 `name` is missing"]);
    check("[[bank]]\nname = 'icbc'\n", &["1 `bins` is missing"]);
    check("[[bank]]\nbins = ['622202']\n", &["1 `name` is missing"]);
    check(&bank("", "['622202']"), &["2 not a bank's name"]);
    check(&bank(&"a".repeat(65), "['622202']"), &["2 not a bank's name"]);
    for bins in ["['62220']", "['6222020']", "['62220x']", "['']"] {
        check(&bank("icbc", bins), &["3 not a BIN"]);
    }
    check(&bank("icbc", "[]"), &["3 no BIN"]);
    check(&bank("icbc", "[622202]"), &["3 invalid type: integer `622202`, expected a string"]);
    check(&bank("icbc", "'622202'"), &["3 invalid type: string \"622202\", expected a sequence"]);
    check(&bank("icbc", "['622202', '622202']"), &["3 BIN 622202 stands twice"]);
    check(&format!("{icbc}{}", bank("ccb", "['622202']")), &["6 BIN 622202 stands twice"]);
    check(&format!("{icbc}code = 1\n"), &["4 unknown key `code`"]);
    // A rule names a bank that is said.
    let rule = |bank: &str| {
        format!(
            "[[rule]]\nid = 'one'\naction = 'refuse'\nowner = 'risk'\nwhen = 'has(card.bank) && card.bank == \"{bank}\"'\n"
        )
    };
    check(&format!("{icbc}{}", rule("icbc")), &[]);
    let unknown = ["8 \"icbk\" is no bank, by `[[bank]]` in rules of this configuration"];
    check(&format!("{icbc}{}", rule("icbk")), &unknown);
    let none = ["5 \"icbc\" is no bank, by `[[bank]]` in rules of this configuration"];
    check(&rule("icbc"), &none);
}
