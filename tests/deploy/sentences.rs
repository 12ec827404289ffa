//! Commands within sentences. Those of `hefu` are run as they stand, with what everybody writes for himself put in, and what the
//! sentence leaves out added; those of `make` as far as a test can.

use crate::perform::{apart, binaries, place};
use crate::tools::{documents, file, text};
use regex::Regex;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// Commands, the longest first where one begins another; words of theirs that stand for others; what is added where it is not said.
type Said = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const SAID: &[Said] = &[
    ("agreements import", &[("FILE", "agreements.jsonl")], &["--channel unionpay"]),
    (
        "assess",
        &[("NAME", "tencent-bankcard4e"), ("FILE.csv", "data.csv")],
        &["--provider tencent-bankcard4e", "--data data.csv", "--config try"],
    ),
    ("audit", &[], &[]),
    ("backtest", &[("FILE", "rules.toml")], &["--config try"]),
    ("backup", &[("FILE", "$((count += 1)).db")], &["--to $((count += 1)).db", "--config try"]),
    ("check", &[("config/hefu.toml", "try"), ("…", "try")], &["--config try"]),
    ("client-key", &[], &[]),
    ("completions", &[("SHELL", "bash")], &[]),
    ("doctor", &[("…", "try")], &["--config try"]),
    ("explain", &[("ID", "$PAYMENT"), ("编号", "$PAYMENT")], &["$PAYMENT"]),
    (
        "extract",
        &[("NAME", "unionpay"), ("FILE", "capture.http")],
        &["--config try", "--channel unionpay", "capture.http"],
    ),
    ("forget", &[("R", "T-1"), ("FILE", "person")], &["--person", "--reference T-1", "< person"]),
    ("healthcheck", &[], &[]),
    ("holds list", &[], &[]),
    ("holds release", &[("NAME", "unionpay"), ("KEY", "$(held)")], &["--note why", "$(held)"]),
    ("man", &[], &["--dir ."]),
    ("reload", &[], &[]),
    ("report", &[], &["--config try"]),
    ("rules check", &[("FILE", "rules.toml")], &["--config try"]),
    ("rules convert", &[("TABLE.csv", "table.csv")], &[]),
    ("rules explain", &[("ID", "$PAYMENT")], &["$PAYMENT", "--config try"]),
    ("rules list export", &[("NAME", "stolen-cards")], &["--config try"]),
    (
        "rules list import",
        &[("FILE.csv", "stolen.csv"), ("…", "us")],
        &["stolen-cards", "stolen.csv", "--author us", "--reason us", "--config try"],
    ),
    ("schema", &[], &[]),
    (
        "settle",
        &[("--complete", "--complete --day 2026-11-28 --merchant 777290058110048")],
        &["--config try", "--channel unionpay", "INN26112888ZM_777290058110048"],
    ),
    (
        "statement",
        &[
            ("--month", "--month 2026-11"),
            ("2026-11", ""),
            ("--invoice", "--invoice bill.csv --provider tencent-bankcard4e --month 2020-01"),
        ],
        &["--month 2026-11", "--config try"],
    ),
    ("token", &[], &["--name li.lei", "--role risk_editor"]),
];

/// What is not run here, and why. Every other command in a document is.
const EXEMPT: &[(&str, &str)] = &[
    ("demo", "`make demo` is made, below"),
    ("simulate", "does not end; all of this runs beside one"),
    ("serve", "does not end; all of this is asked of one"),
];

/// What they are run in: a Hefu before a simulation whose core sends traffic, until something is held and one payment was refused.
const WORLD: &str = r#"set -u
trap 'kill -KILL $(jobs -p) 2>/dev/null' EXIT
export HEFU_ADMIN_TOKEN_FILE=try/admin-token
held() { hefu holds list | sed -n '1s/\t.*//p'; }
count=0
hefu simulate --config try --usual-ports --core http://127.0.0.1:7000 --rate 40 > simulator.log 2>&1 &
until hefu check --config try > check.log 2>&1; do sleep 0.2; done
mkdir -p try/rules
printf '[[list]]\nname = "stolen-cards"\nholds = "card"\nexpiry = "180d"\n' > try/rules/lists.toml
hefu serve --config try > hefu.log 2>&1 &
until hefu healthcheck > health.log 2>&1; do sleep 0.2; done
until [ "$(hefu holds list | tail -n 1 | cut -d' ' -f1)" -gt 4 ]; do sleep 0.2; done
PAYMENT="$(hefu holds list | sed -n '1p' | cut -f3)"
hefu rules convert table.csv > rules.toml
"#;

/// A list, a table of rules, labelled data, agreements, a person, a bill, a statement without lines.
const FILES: &[(&str, &str)] = &[
    ("stolen.csv", "value\n6200000000000005\n"),
    (
        "table.csv",
        "id,action,state,reason,owner,name,payment.amount\nt,refuse,shadow,large,us,a table,>500000\n",
    ),
    (
        "data.csv",
        "name,id_number,pan,phone,truth\n张三,11010519491231002X,6200000000000005,13800000000,no_match\n",
    ),
    ("agreements.jsonl", "{\"agreement\":\"A1\",\"pan\":\"6200000000000005\"}\n"),
    ("person", "id_number=11010519491231002X\npan=6200000000000005\n"),
    ("bill.csv", "inquiry,fen\n"),
    ("INN26112888ZM_777290058110048", ""),
];

/// Every command that a document names in a sentence, as it stands there.
fn named() -> BTreeSet<String> {
    let span = Regex::new(r"`hefu ([a-z][^`]*)`").unwrap();
    let mut named = BTreeSet::new();
    for document in documents() {
        for found in span.captures_iter(&text(&document)) {
            // `a|b` are two commands.
            let command = found[1].replace("\\|", "|");
            match command.split_whitespace().find(|word| word.contains('|')) {
                Some(word) => named.extend(word.split('|').map(|one| command.replace(word, one))),
                None => drop(named.insert(command)),
            }
        }
    }
    named
}

/// The command that it stands for.
fn whole(command: &str) -> Option<String> {
    let begins = |name: &str| {
        command.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let of = SAID.iter().find_map(|of| begins(of.0).map(|rest| (of, rest)));
    let (&(name, instead, besides), rest) = of?;
    let mut whole = format!("hefu {name}");
    for word in rest.split_whitespace() {
        let put = instead.iter().find(|(stands, _)| *stands == word).map_or(word, |it| it.1);
        write!(whole, " {put}").unwrap();
    }
    for more in besides {
        let first = more.split_whitespace().next().unwrap();
        let is_said = whole.split_whitespace().any(|word| word == first)
            // What is released is told by key or by channel.
            || (first == "$(held)" && whole.contains("--channel"));
        if !is_said {
            write!(whole, " {more}").unwrap();
        }
    }
    Some(whole)
}

#[test]
fn every_command_in_a_sentence_works() {
    let named = named();
    let mut script = WORLD.to_owned();
    let mut run = BTreeSet::new();
    for command in &named {
        if EXEMPT.iter().any(|(name, _)| command.split(' ').next() == Some(*name)) {
            continue;
        }
        let whole = whole(command);
        assert!(
            whole.is_some(),
            "`hefu {command}`: say in `SAID` what runs it, or in `EXEMPT` why nothing does"
        );
        run.extend(whole);
    }
    for (nth, command) in run.iter().enumerate() {
        writeln!(script, "{command} > out.{nth} 2>&1; status=$?\n[ $status = 0 ] || {{ echo 'FAILED: {command}' $status; cat out.{nth}; }}").unwrap();
    }
    writeln!(script, "echo all {}", run.len()).unwrap();
    let place = place();
    for (name, text) in FILES {
        fs::write(place.path().join(name), text).unwrap();
    }
    fs::write(place.path().join("script"), script).unwrap();
    let printed = apart(place.path(), &binaries(), "bash script");
    assert_eq!(printed.trim(), format!("all {}", run.len()));
    assert!(run.len() > 30, "{run:#?}");
    // Nothing stands in the tables that no document says.
    for name in SAID.iter().map(|said| said.0).chain(EXEMPT.iter().map(|it| it.0)) {
        assert!(named.iter().any(|command| command.starts_with(name)), "{name}");
    }
}

/// What `make` is told to do in documents and a test does not do, and why. Of each the recipe is read.
const NOT_MADE: &[(&str, &str)] = &[
    ("test", "it is what runs this"),
    ("check", "builds everything once more, for the lints; CI runs it beside `make test`"),
    ("bench", "measures for the better part of an hour"),
    ("image", "needs root, buildah and a mirror of Debian"),
    ("settle-bench", "reads a million lines; `tests/gateway` reads thousands the same way"),
    ("torture", "takes as long as it is told; its short form is in `make test`"),
];

#[test]
fn what_make_is_told_in_documents_it_does() {
    let span = Regex::new(r"(?m)`(make [a-z][^`]*)`|^(make [a-z].*)$").unwrap();
    let mut seen = BTreeSet::new();
    for document in documents() {
        for found in span.captures_iter(&text(&document)) {
            seen.insert(found.get(1).or(found.get(2)).unwrap().as_str().to_owned());
        }
    }
    let makefile = text("Makefile");
    let mut made = 0;
    for command in &seen {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        // A folder of that name would do for `make`.
        assert!(makefile.contains(&format!("\n{}: ", words[0])), "`{command}`");
        let mut reading = Command::new("make");
        let read = reading.arg("--dry-run").args(&words).current_dir(file("")).output().unwrap();
        assert!(read.status.success(), "`{command}`: {}", String::from_utf8_lossy(&read.stderr));
        if !NOT_MADE.iter().any(|(name, _)| *name == words[0]) {
            assert_eq!(
                words[0], "demo",
                "`{command}`: have it made, or say in `NOT_MADE` why it is not"
            );
            demonstrates(&words);
            made += 1;
        }
    }
    assert!(made >= 2, "{seen:?}");
    for (name, _) in NOT_MADE {
        assert!(seen.iter().any(|command| command.starts_with(&format!("make {name}"))), "{name}");
    }
}

/// `make demo`, shorter and slower, with the program that is built already.
fn demonstrates(words: &[&str]) {
    let place = place();
    let cargo = place.path().join("cargo");
    let hefu = env!("CARGO_BIN_EXE_hefu");
    let built = format!("#!/bin/sh\n[ $1 = run ] || exit 0\nshift 3\nexec {hefu} \"$@\"\n");
    fs::write(&cargo, built).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    // What is said last counts.
    let words = words.join(" ");
    let script = format!("make -C {} {words} SECONDS=2 RATE=50", file("").display());
    let printed = apart(place.path(), place.path(), &script);
    assert!(printed.contains("Both halves of the tally agree."), "{printed}");
}

/// What other programs are told in sentences, and why it is not run here; or where it is.
const OTHERS: &[(&str, &str)] = &[
    ("UPDATE_EXPECT=1 cargo nextest run --test deploy documents", "rewrites what is compared here"),
    ("UPDATE_EXPECT=1 cargo test --test message", "rewrites what is compared there"),
    ("cargo build", "made the program that is run here"),
    (
        "cargo build --release",
        "takes a quarter of an hour; the unit is started with the program of the tests",
    ),
    ("cargo deny", "`make check` runs it"),
    ("cargo deny check advisories", "needs the network, and its answer is another every day"),
    ("cargo run -- demo", "`make demo` runs it"),
    ("initdb --data-checksums", "makes another's database"),
    ("kill -9", "`tests/gateway` does it, at random"),
    ("kill -HUP", "`tests/gateway` does it"),
    ("kill -USR2", "`docs/upgrading.md` is performed"),
    ("kubectl kustomize", "`tests/deploy/kubernetes.rs` runs it for each overlay"),
    ("kubectl rollout", "needs a cluster that has controllers"),
    (
        "openssl pkey -in record.pem -pubout",
        "`tests/gateway` holds a record against the public half",
    ),
];

#[test]
fn what_other_programs_are_told_is_known() {
    let span = Regex::new(concat!(
        r"`((?:[A-Z_]+=\S+ )?(?:cargo|curl|docker|git|initdb|journalctl|kill|kubectl|openssl|pg_\w+|promtool|psql|",
        r"python3|sqlite3|ssh|systemctl|strings|sh|bash|sudo|apt-get|install) [^`]+)`"
    ));
    let mut said = BTreeSet::new();
    for document in documents() {
        let text = text(&document);
        said.extend(span.as_ref().unwrap().captures_iter(&text).map(|found| found[1].to_owned()));
    }
    let known: BTreeSet<String> = OTHERS.iter().map(|(command, _)| (*command).to_owned()).collect();
    assert_eq!(said, known, "run it in ```console, or say here why not");
}
