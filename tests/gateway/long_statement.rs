//! A long statement as a file, by the real `hefu settle` towards the real `hefu serve`: both keep within their memory.

use crate::peers::{channel, ok, soon};
use crate::process::{Hefu, Place};
use crate::restart::fill;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// How many lines there are; `make settle-bench` says otherwise.
const LINES: u64 = 5_000;

/// How much a process may grow by, however long the file is, in KiB.
const GROWTH_MAX: u64 = 256 * 1024;

/// A line in so many is of an order that nobody knows.
const UNKNOWN_EVERY: u64 = 100;

/// The most memory that a process has held so far, in KiB; nothing where it has ended.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "`make settle-bench` says how many lines there are")]
#[expect(clippy::print_stdout, reason = "its figures are printed")]
async fn a_long_file_is_settled_in_bounded_memory() {
    let lines = std::env::var("HEFU_STATEMENT_LINES").map_or(LINES, |it| it.parse().unwrap());
    let bank = channel(|_| ok("{}")).await;
    let place = Place::to(&bank);
    place.replace("hefu.toml", "[secrets]", "[store]\nfile = \"hefu.db\"\n[secrets]");
    fill(&place, lines, false).await;
    let mut file = BufWriter::new(File::create(place.path().join("acme-long")).unwrap());
    writeln!(file, "kind|order|amount|state").unwrap();
    for number in 0..lines {
        let of = if number % UNKNOWN_EVERY == 1 { "nobody" } else { "earlier" };
        writeln!(file, "debit|{of}-{number}|100|ok").unwrap();
    }
    file.flush().unwrap();
    let hefu = Hefu::start(place.command()).await;
    let before = peak(hefu.pid()).unwrap();
    let said = File::create(place.path().join("said")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
    command.args(["settle", "--channel", "acme", "acme-long", "--config", "."]);
    command.args(["--admin", &format!("http://{}", hefu.admin), "--admin-token-file"]);
    command.arg("admin.token").current_dir(place.path()).stdout(said).stderr(Stdio::inherit());
    let begun = Instant::now();
    let mut settling = command.kill_on_drop(true).spawn().unwrap();
    let (pid, mut of_command) = (settling.id().unwrap(), 0);
    let status = loop {
        of_command = of_command.max(peak(pid).unwrap_or_default());
        let ended = tokio::time::timeout(Duration::from_millis(10), settling.wait()).await;
        if let Ok(ended) = ended {
            break ended.unwrap();
        }
    };
    let took = begun.elapsed().as_secs_f64();
    let said = std::fs::read_to_string(place.path().join("said")).unwrap();
    let last = said.lines().last().unwrap_or_default();
    let of_server = peak(hefu.pid()).unwrap();
    println!(
        "{last}\n{lines} lines in {took:.1} s; at most {of_command} KiB in `hefu settle`; {before} KiB before it in `hefu serve`, {of_server} at most"
    );
    let unknown = (0..lines).filter(|number| number % UNKNOWN_EVERY == 1).count();
    let settled = lines - u64::try_from(unknown).unwrap();
    let expected = format!(
        "{lines} lines: {settled} settled, 0 known, {unknown} differ, 0 to be joined by hand, 0 broken; "
    );
    assert!(last.starts_with(&expected) && !status.success(), "{expected}\n{last}");
    assert_eq!(said.lines().count(), unknown + 1);
    assert!(said.contains("acme-long:3: unknown_order\t-\tnobody-1\n"), "{said}");
    assert!(of_command < GROWTH_MAX, "{of_command} KiB");
    assert!(of_server - before < GROWTH_MAX, "{of_server} KiB after {before}");
    // One payment in ten had been owed its outcome.
    let owes = soon(hefu.admin("GET /v1/expectations", "")).await;
    assert_eq!(owes.text(), "[]");
}
