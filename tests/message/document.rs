//! `docs/writing-a-channel.md`, executed as written: its files are written, its commands run, and their output compared.

use crate::fixtures::check_folder;
use expect_test::expect_file;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/writing-a-channel.md");

/// What describes profiles and code maps in the schema of the configuration.
const DESCRIBED: [&str; 18] = [
    "ChannelFile",
    "RouteFile",
    "BodyFile",
    "CharsetFile",
    "UnwrapFile",
    "MessageFile",
    "AmountFile",
    "IdTypeFile",
    "AccountKindFile",
    "SealedFile",
    "WaitFile",
    "YieldsFile",
    "OutcomeFile",
    "LayerFile",
    "NotifyFile",
    "MapFile",
    "NotProcessedFile",
    "TextFile",
];

#[test]
fn the_worked_example_works_as_written() {
    let place = tempfile::tempdir().unwrap();
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let mut executed = String::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        executed.extend([line, "\n"]);
        let Some(kind) = line.strip_prefix("```").filter(|kind| !kind.is_empty()) else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if kind == "console" {
            for command in block.iter().filter_map(|line| line.strip_prefix("$ ")) {
                executed.extend(["$ ", command, "\n", &run(place.path(), command)]);
            }
        } else {
            let text: String = block.iter().flat_map(|line| [line, "\n"]).collect();
            if let Some((_, file)) = kind.split_once(" title=") {
                let file = place.path().join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, &text).unwrap();
            }
            executed += &text;
        }
        executed += "```\n";
    }
    expect_file![DOCUMENT].assert_eq(&executed);
    let (folder, profile) = ("tests/message/acme", "config/channels/acme.toml");
    let failures = check_folder(&place.path().join(folder), &place.path().join(profile));
    assert_eq!(failures, Vec::<String>::new());
}

/// What a command prints, in a shell that finds `hefu`.
fn run(place: &Path, command: &str) -> String {
    let hefu = Path::new(env!("CARGO_BIN_EXE_hefu")).parent().unwrap().display();
    let script = format!("PATH={hefu}:$PATH; exec 2>&1; {command}");
    let output = Command::new("sh").args(["-c", &script]).current_dir(place).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_key_of_the_language_is_explained() {
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let schema = serde_json::to_value(hefu::config::schema()).unwrap();
    let mut missing = BTreeSet::new();
    for name in DESCRIBED {
        let keys =
            schema.pointer(&format!("/$defs/{name}/properties")).unwrap().as_object().unwrap();
        // A key is told on its own, in an example of an inline table, or as a table.
        let told = |key: &str| {
            [
                format!("`{key}`"),
                format!("{{ {key} = "),
                format!(", {key} = "),
                format!("`[{key}]`"),
                format!("[[{key}]]"),
                format!(".{key}]]"),
                format!("`{key} = "),
            ]
            .iter()
            .any(|written| document.contains(written))
        };
        missing.extend(keys.keys().filter(|key| !told(key)).map(|key| format!("{name}.{key}")));
    }
    assert!(missing.is_empty(), "not in the document: {missing:?}");
}
