//! A ratchet on instructions and allocations. This program runs itself under valgrind, a number of times and twice that number, so that
//! all that is done once falls away; what is left for one time must be what `counts.txt` says, within [`PERCENT`].
//!
//! It is the profile of tests that is counted, in which our own crate is not optimised: a count tells that work was added or taken
//! away, and not how long it takes. A copy of a message is lost among unoptimised instructions, and found by its allocation.

use crate::pure::Pure;
use crate::skipped::skipped;
use hefu::domain::answer::Answer;
use hefu::domain::payment::{Mode, Scenario};
use hefu::message::extract::{Request, extract};
use hefu::policy::{Basis, Facts, Policy, Verification, decide};
use hefu::proxy::head::check_head;
use regex::Regex;
use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::process::Command;

/// How far a count may be from the table, either way. The rest is chance: tables are hashed with other seeds each time.
const PERCENT: u64 = 3;

/// Tells what is to be done how often.
const WORK: &str = "HEFU_COUNTED";

/// What is counted, and how often it is done.
const COUNTED: [(&str, usize); 3] = [("extract", 200), ("decide", 100_000), ("exchange", 200)];

/// Instructions, and blocks of the heap. Their bytes are chance: now and then a table doubles.
type Counts = [u64; 2];
const NAMES: [&str; 2] = ["instructions", "allocations"];

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/speed/counts.txt");

/// The work itself. By itself it does none.
#[test]
fn work() {
    let Some(told) = env::var_os(WORK) else { return };
    let (what, times) = told.to_str().unwrap().split_once(' ').unwrap();
    let times: usize = times.parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut pure = Pure::new(dir.path());
    match what {
        "extract" => {
            let head = check_head(&pure.head).unwrap();
            let kind = head.fields["content-type"].to_str().unwrap();
            let request = Request::post(&head.path, kind, &pure.body);
            for _ in 0..times {
                drop(extract(&pure.channel.profile, black_box(&request)).unwrap());
            }
        }
        "decide" => {
            let policy = Policy::default();
            let facts = Facts {
                scenario: Scenario::Debit,
                mode: Mode::Enforce,
                basis: Basis::Verified(Verification::Answered(Answer::Match)),
                asserted: false,
                held: false,
                spared: false,
            };
            for _ in 0..times {
                drop(decide(&policy, black_box(&facts)));
            }
        }
        other => {
            assert_eq!(other, "exchange");
            for _ in 0..times {
                pure.exchange();
            }
        }
    }
}

/// What it takes to do `what` so often, and all that is done once.
fn counts(what: &str, times: usize) -> Counts {
    let run = |tool: &[&str]| {
        let output = Command::new("setarch")
            .args(["-R", "valgrind"])
            .args(tool)
            .arg(env::current_exe().unwrap())
            .args(["--exact", "counts::work", "--test-threads", "1"])
            .env(WORK, format!("{what} {times}"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).replace(',', "");
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
        said
    };
    let number = |said: &str, pattern: &str| -> u64 {
        let found = Regex::new(pattern).unwrap().captures(said);
        found.unwrap_or_else(|| panic!("{said}"))[1].parse().unwrap()
    };
    let (instructions, heap) = std::thread::scope(|scope| {
        let heap = scope.spawn(|| run(&["--tool=dhat", "--dhat-out-file=/dev/null"]));
        (run(&["--tool=callgrind", "--callgrind-out-file=/dev/null"]), heap.join().unwrap())
    });
    [
        number(&instructions, r"Collected : (\d+)"),
        number(&heap, r"Total: +\d+ bytes in (\d+) blocks"),
    ]
}

/// What it takes to do `what` once.
fn once(what: &str, times: usize) -> Counts {
    let (less, more) = (counts(what, times), counts(what, 2 * times));
    let each = u64::try_from(times).unwrap();
    // What is done once differs by chance too, by less than half of one for each time.
    std::array::from_fn(|at| (more[at].saturating_sub(less[at]) + each / 2) / each)
}

fn table() -> BTreeMap<String, Counts> {
    let text = fs::read_to_string(TABLE).unwrap_or_default();
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let what = words.next().unwrap().to_owned();
        let counts: Vec<u64> = words.map(|word| word.parse().unwrap()).collect();
        (what, counts.try_into().unwrap())
    };
    text.lines().filter(|line| !line.starts_with('#')).map(row).collect()
}

#[test]
fn the_payment_path_costs_what_it_did() {
    let sound = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !["valgrind", "setarch"].into_iter().all(sound) || env::consts::ARCH != "x86_64" {
        skipped("how many instructions a payment takes: there is no valgrind, or no x86_64");
        return;
    }
    let counted = COUNTED.map(|(what, times)| (what, once(what, times)));
    println!("{counted:?}");
    if env::var_os("UPDATE_EXPECT").is_some() {
        let mut text = "# What one extraction, decision and exchange take, in the profile of tests on x86_64 (counts.rs):\n# what, "
            .to_owned();
        writeln!(text, "{}. UPDATE_EXPECT=1 cargo nextest run --test speed", NAMES.join(", "))
            .unwrap();
        for (what, [instructions, blocks]) in counted {
            writeln!(text, "{what} {instructions} {blocks}").unwrap();
        }
        fs::write(TABLE, text).unwrap();
        return;
    }
    let (table, mut off) = (table(), String::new());
    for (what, counts) in counted {
        for ((name, is), was) in NAMES.into_iter().zip(counts).zip(table[what]) {
            let may = was * PERCENT / 100;
            let than = if is > was + may {
                "more"
            } else if is + may < was {
                "less"
            } else {
                continue;
            };
            writeln!(off, "`{what}` costs {than} {name}: {is}, and {was} before").unwrap();
        }
    }
    assert!(off.is_empty(), "{off}UPDATE_EXPECT=1 holds it to what it costs now");
}
