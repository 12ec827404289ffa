//! Performs documents: every command as it stands, and what it prints beside what the document says that it does.

use crate::skipped::skipped;
use crate::tools::{file, text};
use regex::Regex;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// One command of a document, and what it is to print: `…` stands for anything, a line that is only that for any lines.
pub(crate) struct Step {
    command: String,
    printed: Vec<String>,
}

/// What a document has one do.
pub(crate) enum Part {
    Write(String, String),
    Run(Step),
}

/// Of a document, or of one chapter of it: `FILE#HEADING`.
pub(crate) fn parts(document: &str) -> Vec<Part> {
    let (name, heading) = document.split_once('#').unwrap_or((document, ""));
    let (mut parts, text) = (Vec::new(), text(name));
    let chapter = if heading.is_empty() {
        text.as_str()
    } else {
        let (_, from) = text.split_once(&format!("\n## {heading}\n")).unwrap();
        from.split("\n## ").next().unwrap()
    };
    let mut lines = chapter.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.trim_start().strip_prefix("```").filter(|kind| !kind.is_empty())
        else {
            continue;
        };
        let block = lines.by_ref().take_while(|line| line.trim_start() != "```");
        if let Some((_, title)) = kind.split_once(" title=") {
            let text = block.flat_map(|line| [line, "\n"]).collect();
            parts.push(Part::Write(title.to_owned(), text));
        } else if kind == "console" {
            for line in block {
                match (line.strip_prefix("$ "), parts.last_mut()) {
                    (Some(command), _) => parts
                        .push(Part::Run(Step { command: command.to_owned(), printed: Vec::new() })),
                    (None, Some(Part::Run(step))) => step.printed.push(line.to_owned()),
                    (None, _) => panic!("{document}: `{line}` is printed by nothing"),
                }
            }
        } else {
            block.for_each(drop);
        }
    }
    parts
}

/// Marks in the output where a command begins; nothing prints it by itself.
const MARK: &str = "@@@ hefu documents @@@";

/// One shell that does it all. Background processes end with it.
pub(crate) fn script(parts: &[Part]) -> String {
    let mut script = "set -u\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n".to_owned();
    for part in parts {
        match part {
            Part::Write(name, text) => {
                writeln!(script, "cat > {name} <<'@@@'\n{text}@@@").unwrap();
            }
            Part::Run(Step { command, .. }) => {
                writeln!(script, "printf '\\n%s\\n' '{MARK}'\n{command}").unwrap();
                if !command.contains("| grep -c") {
                    writeln!(
                        script,
                        "status=$?; [ $status = 0 ] || printf '%s\\n' \"status $status\""
                    )
                    .unwrap();
                }
            }
        }
    }
    script
}

/// Runs documents in a network of their own, where there may be one: their ports are those that ship.
pub(crate) fn perform(documents: &[&str]) {
    let parts: Vec<Part> = documents.iter().flat_map(|document| parts(document)).collect();
    let place = place();
    fs::write(place.path().join("script"), script(&parts)).unwrap();
    assert_prints(&parts, &apart(place.path(), &binaries(), "bash script"));
}

/// Where documents are performed: a captured message is there.
pub(crate) fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let capture = "tests/message/unionpay/debit.http";
    fs::copy(file(capture), place.path().join("capture.http")).unwrap();
    place
}

/// Where `hefu` is.
pub(crate) fn binaries() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_hefu")).parent().unwrap().to_owned()
}

/// Every command ended well, and printed what the document says.
pub(crate) fn assert_prints(parts: &[Part], printed: &str) {
    let steps: Vec<&Step> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Run(step) => Some(step),
            Part::Write(..) => None,
        })
        .collect();
    let outputs: Vec<&str> = printed.split(MARK).skip(1).collect();
    assert_eq!(outputs.len(), steps.len(), "{printed}");
    for (step, printed) in steps.iter().zip(outputs) {
        assert!(!printed.contains("\nstatus "), "$ {}\n{printed}", step.command);
        let wanted: Vec<String> = step
            .printed
            .iter()
            .map(|line| match line.as_str() {
                "…" => "(?:.*\n)*?".to_owned(),
                line => format!(".*{}\n", regex::escape(line.trim()).replace('…', ".*")),
            })
            .collect();
        let wanted = Regex::new(&format!("(?m)^{}", wanted.concat())).unwrap();
        assert!(
            wanted.is_match(printed),
            "$ {}\nprints:\n{printed}\nand not:\n{:#?}",
            step.command,
            step.printed
        );
    }
}

/// Runs `script` in `place` and in a network of its own, with all that it started ended; what it printed. `programs` come first.
pub(crate) fn apart(place: &Path, programs: &Path, script: &str) -> String {
    let mut command = network(script);
    let programs = programs.display();
    let output = command
        .current_dir(place)
        .env("PATH", format!("{programs}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"))
        .env("HOME", place)
        .env("TMPDIR", place)
        // Nobody's cluster is talked to.
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn network(script: &str) -> Command {
    for kind in [&["--net"][..], &["--net", "--map-root-user"]] {
        let tried = Command::new("unshare").args(kind).arg("true").stderr(Stdio::null()).status();
        if tried.is_ok_and(|status| status.success()) {
            let mut command = Command::new("unshare");
            let script = format!("ip link set lo up && exec {script}");
            command.args(kind).args(["--pid", "--fork", "--kill-child", "sh", "-c", &script]);
            return command;
        }
    }
    skipped(
        "that documents' commands need nothing of this machine: no network of their own can be had, and the ports that ship are used",
    );
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}
