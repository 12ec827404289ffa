//! Files of rules and lists: every mistake at its place, and no value of a list in a message.

use hefu::config::{self, Added, Problem};
use hefu::domain::clock::Timestamp;
use hefu::domain::id::{Fingerprint, KeyId};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// The shipped configuration with a file of rules, and a list where one is given.
fn directory(rules: &str, list: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(Path::new("tests/service/config"), dir.path());
    fs::write(dir.path().join("fingerprint.key"), [7; 32]).unwrap();
    fs::create_dir_all(dir.path().join("rules/lists")).unwrap();
    fs::write(dir.path().join("rules/test.toml"), rules).unwrap();
    fs::write(dir.path().join("rules/lists/stolen.csv"), list).unwrap();
    dir
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn check(rules: &str, list: &str, expected: &[&str]) {
    let dir = directory(rules, list);
    let told = |problem: &Problem| format!("{:?} {problem}", problem.place());
    let found = config::load(dir.path()).err();
    let found: Vec<String> = found.iter().flatten().map(told).collect();
    assert_eq!(found, expected, "{rules}");
}

const HEAD: &str = "[[rule]]\nid = 'one'\naction = 'refuse'\nowner = 'risk'\n";
const STOLEN: &str = "[[list]]\nname = 'stolen'\nholds = 'card'\n";

#[test]
fn a_mistake_is_found_where_it_stands() {
    let rule = |when: &str| format!("{HEAD}when = {when}\n");
    check(&rule("'payment.held'"), "", &[]);
    check(&rule("'payment.hedl'"), "", &["(5, 9) there is no attribute `payment.hedl`"]);
    let long = "'''\n  payment.held &&\n  payment.hour < \"6\"'''";
    let quoted = "(7, 18) \"6\" is text, and the other side is a whole number";
    check(&rule(long), "", &[quoted]);
    check(
        "[[rule]]\nid = 'One'\naction = 'block'\nowner = 'risk'\nwhen = 'payment.held'\n",
        "",
        &["(2, 6) `One` is not a rule's name", "(3, 10) `block` is not an action"],
    );
    check(
        &format!("{}{}", rule("'payment.held'"), rule("'payment.asserted'")),
        "",
        &["(7, 6) two rules have this name"],
    );
    let none = rule("'has(card.id) && card.id in list(\"stolen\")'");
    check(&none, "", &["(5, 36) there is no list \"stolen\""]);
    check(&format!("{STOLEN}{none}"), "", &[]);
}

#[test]
fn an_example_must_hold() {
    let rule = |given: &str, hits: bool| {
        format!(
            "{HEAD}when = 'payment.hour < 6'\n[[rule.example]]\ngiven = {given}\nhits = {hits}\n"
        )
    };
    check(&rule("{ 'payment.hour' = 3 }", true), "", &[]);
    check(
        &rule("{ 'payment.hour' = 3 }", false),
        "",
        &["(6, 1) rule one hits this example, and must not"],
    );
    check(&rule("{}", true), "", &["(6, 1) rule one needs more than this example gives"]);
    check(
        &rule("{ 'payment.houre' = 3 }", true),
        "",
        &["(7, 11) nothing that is given is called `payment.houre`"],
    );
}

#[test]
fn a_plain_card_in_a_list_is_refused_and_not_repeated() {
    let plain = "value,reason,author,added,expires\n6200000000000005,stolen,a,,\n";
    check(
        STOLEN,
        plain,
        &[
            "(2, 8) rules/lists/stolen.csv, line 2: not a fingerprint: `hefu rules list import` takes plain values and writes fingerprints",
        ],
    );
    let print = format!("value\n1:{}\n", "ab".repeat(32));
    check(STOLEN, &print, &[]);
}

/// Nobody's rules were taken for none, and each that refuses was off.
#[test]
fn what_is_there_and_cannot_be_read_is_not_taken_for_nothing() {
    let check = |file: &str, rules: &str, expected: &str| {
        let dir = directory(rules, "");
        let path = dir.path().join(file);
        fs::remove_dir_all(&path).unwrap();
        // What is no folder cannot be read by root either.
        fs::write(path, "").unwrap();
        let found = config::load(dir.path()).unwrap_err();
        let found: Vec<String> = found.into_iter().map(ToString::to_string).collect();
        let [only] = &found[..] else { panic!("{found:?}") };
        assert!(only.starts_with(expected), "{only}");
    };
    check("rules", "", "cannot be read: ");
    check("rules/lists", STOLEN, "rules/lists/stolen.csv, line 0: it cannot be read: ");
}

/// A list that only a trial declared otherwise was another for what binds, on one person's call; and a version whose lists are in
/// force could not be tried at all, nor could Hefu start with it beside one that was approved meanwhile.
#[test]
fn what_is_only_tried_changes_no_list_and_no_bank() {
    let bank = |name: &str| format!("[[bank]]\nname = '{name}'\nbins = ['622848']\n");
    let print = Fingerprint { key: KeyId(1), digest: [0xab; 32] };
    let entry = format!("value,added\n{print},2026-01-01\n");
    let dir = directory(&format!("{STOLEN}{}", bank("abc")), &entry);
    let config = config::load(dir.path()).unwrap();
    let list = |name: &str, more: &str| format!("[[list]]\nname = '{name}'\nholds = {more}\n");
    let check = |live: &str, tried: &str, expected: &[&str]| {
        let live = Some((1, live)).filter(|(_, text)| !text.is_empty());
        let book = config::book(&config, Added { live, trial: Some((2, tried)) });
        let told: Vec<_> = book.as_ref().err().into_iter().flatten().collect();
        let told: Vec<_> = told.iter().map(|problem| problem.message()).collect();
        assert_eq!(told, expected, "{tried}");
        if let Ok(book) = book {
            assert!(book.lists["stolen"].has_print(&print, Timestamp::from_millis(u64::MAX)));
            assert_eq!(&*book.banks["622848"], "abc");
        }
    };
    let brief = list("stolen", "'card'\nexpiry = '1m'");
    check("", &brief, &[]);
    check("", &list("stolen", "'person'"), &["list `stolen` holds something else in force"]);
    check("", &list("more", "'person'"), &[]);
    let more = list("more", "'card'");
    check(&more, &more, &[]);
    check("", &bank("abc"), &[]);
    check("", &bank("icbc"), &["BIN 622848 is another bank's in force"]);
    let own = bank("own").replace("622848", "621700");
    check(&own, &own, &[]);
}
