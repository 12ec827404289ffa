//! What persons do is noted before they are answered, on a store that lasts.

use crate::peers::{channel, ok, soon};
use crate::process::{Hefu, Place, TOKEN};
use serde_json::{Value, json};
use std::process::ExitStatus;
use tokio::process::Command;

/// What `hefu audit` prints, and how it ends.
async fn audit(hefu: &Hefu, place: &Place) -> (String, ExitStatus) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
    command.args(["audit", "--admin", &format!("http://{}", hefu.admin)]);
    command.arg("--admin-token-file").arg(place.path().join("admin.token")).kill_on_drop(true);
    let done = soon(command.output()).await.unwrap();
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    (String::from_utf8(done.stdout).unwrap(), done.status)
}

#[tokio::test]
async fn what_persons_do_is_audited_before_they_are_answered() {
    let bank = channel(|_| ok("{}")).await;
    let place = Place::to(&bank);
    place.replace("hefu.toml", "[secrets]", "[store]\nfile = \"hefu.db\"\n[secrets]");
    let hefu = Hefu::start(place.command()).await;
    let (id, pan) = ("11010519491231002X", "6200000000000005");
    let post = async |request: &str, who: &str, body: &str| {
        let who = format!("{request} HTTP/1.1\r\nHefu-Operator: {who}\r\nX-Rest:");
        hefu.admin(&who, body).await.status()
    };
    let lines =
        format!("{{\"agreement\":\"A1\",\"id_number\":\"{id}\",\"pan\":\"{pan}\"}}\nrubbish");
    assert_eq!(post("POST /v1/agreements/import?channel=acme", "li.lei", &lines).await, 200);
    let note = |note: &str| json!({ "keys": [], "channel": "acme", "note": note }).to_string();
    assert_eq!(post("POST /v1/holds/release", "li.lei", &note("a bad night")).await, 200);
    let person = json!({ "id_number": id, "reference": "T-1" }).to_string();
    assert_eq!(post("POST /v1/people/forget", "han.meimei@bank.example", &person).await, 200);
    place.replace("hefu.toml", "[secrets]", "[secrets]\nextra = 1");
    assert_eq!(hefu.admin("POST /v1/reload", "").await.status(), 422);
    place.replace("hefu.toml", "[secrets]\nextra = 1", "[secrets]");
    assert_eq!(hefu.admin("POST /v1/reload", "").await.status(), 204);
    // What may not be kept is not done.
    assert_eq!(post("POST /v1/reload", "13800000000", "").await, 400);
    assert_eq!(post("POST /v1/holds/release", "li.lei", &note(&format!("of {pan}"))).await, 400);
    // Whatever was answered outlives the process.
    drop(hefu);
    let hefu = Hefu::start(place.command()).await;
    let page: Value = serde_json::from_str(hefu.admin("GET /v1/audit", "").await.text()).unwrap();
    assert_eq!(page["head"]["number"], 5, "{page:#}");
    let mut told: Vec<Value> =
        page["entries"].as_array().unwrap().iter().map(|noted| noted["entry"].clone()).collect();
    told.reverse();
    for entry in &mut told {
        assert!(entry["at_ms"].take().as_u64().is_some_and(|at| at > 1_700_000_000_000));
    }
    let expected = [
        json!({ "number": 1, "at_ms": null, "who": "li.lei", "action": "import_agreements",
            "channel": "acme", "lines": 2, "imported": 1, "refused": 1 }),
        json!({ "number": 2, "at_ms": null, "who": "li.lei", "action": "release_holds",
            "channel": "acme", "note": "a bad night", "released": 0, "payments": [] }),
        json!({ "number": 3, "at_ms": null, "who": "han.meimei@bank.example",
            "action": "forget_person", "reference": "T-1",
            "evidence": 0, "agreements": 1, "waiting_binds": 0, "holds": 0 }),
        json!({ "number": 4, "at_ms": null, "who": "admin token", "action": "reload",
            "succeeded": false, "problems": 1 }),
        json!({ "number": 5, "at_ms": null, "who": "admin token", "action": "reload",
            "succeeded": true, "problems": 0 }),
    ];
    assert_eq!(told, expected);
    let since = "GET /v1/audit?since=18446744073709551615";
    let later: Value = serde_json::from_str(hefu.admin(since, "").await.text()).unwrap();
    assert_eq!(later["entries"], json!([]));
    let (printed, status) = audit(&hefu, &place).await;
    assert!(status.success(), "{printed}");
    assert_eq!(printed.lines().count(), 6, "{printed}");
    assert!(printed.contains("\n5 entries, the chain is whole; it ends with 5, "), "{printed}");
    for secret in [id, pan, TOKEN] {
        assert!(!printed.contains(secret) && !hefu.log.has(secret), "{secret}");
    }
    drop(hefu);
    a_change_shows(&place).await;
}

/// Somebody who can write the file changes one entry, and takes another away.
async fn a_change_shows(place: &Place) {
    // What a killed one left in the log is in the database then.
    drop(Hefu::start(place.command()).await);
    let file = rusqlite::Connection::open(place.path().join("hefu.db")).unwrap();
    let changed = file.execute_batch(
        "UPDATE audit SET value = replace(value, 'han.meimei', 'li.lei'), checksum = NULL WHERE key LIKE '%3'; \
         DELETE FROM audit WHERE key LIKE '%4'",
    );
    changed.unwrap();
    drop(file);
    let hefu = Hefu::start(place.command()).await;
    let (printed, status) = audit(&hefu, place).await;
    assert!(!status.success());
    for broken in ["entry 4 is not there", "entry 3 is not as it was written"] {
        assert!(printed.contains(&format!("BROKEN\t{broken}\n")), "{printed}");
    }
}

/// What `hefu rules list import` says of a list, and whether it did it.
pub(crate) async fn import(place: &Place, csv: &str, told: [&str; 2]) -> (String, bool) {
    place.write("told.csv", csv);
    let [author, reason] = told;
    let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
    command.args(["rules", "list", "import", "stolen"]).arg(place.path().join("told.csv"));
    command.args(["--author", author, "--reason", reason, "--config"]).arg(place.path());
    let done = soon(command.kill_on_drop(true).output()).await.unwrap();
    let said = [done.stdout, done.stderr].map(|said| String::from_utf8(said).unwrap());
    (said.concat(), done.status.success())
}

/// A list that a command changes on the host is audited whether Hefu runs or not; what cannot be audited is not done.
#[tokio::test]
async fn a_list_that_is_imported_by_command_is_audited() {
    let bank = channel(|_| ok("{}")).await;
    let place = Place::to(&bank);
    std::fs::create_dir(place.path().join("rules")).unwrap();
    place.write("rules/one.toml", "[[list]]\nname = \"stolen\"\nholds = \"card\"\n");
    let list = || std::fs::read_to_string(place.path().join("rules/lists/stolen.csv"));
    let (one, two) = ("6200000000000005", "6200000000000013");
    let told = ["li.lei", "reported"];
    // Without a store there is no audit, and that is said.
    let (said, done) = import(&place, "value\n", told).await;
    assert!(done && said.contains("no audit"), "{said}");
    place.replace("hefu.toml", "[secrets]", "[store]\nfile = \"hefu.db\"\n[secrets]");
    let hefu = Hefu::start(place.command()).await;
    assert_eq!(hefu.admin("POST /v1/reload", "").await.status(), 204);
    // Beside a process that has the store.
    let (said, done) = import(&place, &format!("value\n{one}\n{two}\n"), told).await;
    assert!(done && said == "2 entries are new, 0 are there already\n", "{said}");
    // What is not imported, or may not be kept, is no entry.
    for (csv, told, expected) in [
        ("value\n6200000000000006\n", told, "line 2: not a card"),
        ("value\n", ["li lei", "reported"], "the author is one name"),
        ("value\n", ["13800000000", "reported"], "the author is one name"),
        ("value\n", ["li.lei", two], "the reason is a line"),
        ("value,reason\n6200000000000005,of 13800000000\n", told, "line 2: what is told beside"),
        ("value,author\n6200000000000005,13800000000\n", told, "line 2: what is told beside"),
    ] {
        let before = list().unwrap();
        let (said, done) = import(&place, csv, told).await;
        assert!(!done && said.contains(expected) && !said.contains("13800000000"), "{said}");
        assert_eq!(list().unwrap(), before);
    }
    assert_eq!(hefu.admin("POST /v1/reload", "").await.status(), 204);
    drop(hefu);
    // And where none runs.
    let (said, done) = import(&place, &format!("value\n{one}\n"), ["han.meimei", "again"]).await;
    assert!(done && said == "0 entries are new, 1 are there already\n", "{said}");
    // With another key nothing in the list would ever be found.
    let key = std::fs::read(place.path().join("fingerprint.key")).unwrap();
    place.write("fingerprint.key", "fedcba9876543210".repeat(4));
    let before = list().unwrap();
    let (said, done) = import(&place, &format!("value\n{one}\n"), told).await;
    assert!(!done && said.contains("cannot be audited, and so was not done"), "{said}");
    assert_eq!(list().unwrap(), before);
    assert!(!place.path().join("rules/lists/stolen.csv.new").exists());
    place.write("fingerprint.key", key);
    let hefu = Hefu::start(place.command()).await;
    let page: Value = serde_json::from_str(hefu.admin("GET /v1/audit", "").await.text()).unwrap();
    let entries = page["entries"].as_array().unwrap().iter().rev();
    let entries = entries.map(|noted| noted["entry"].clone());
    let (imports, others): (Vec<_>, Vec<_>) =
        entries.partition(|entry| entry["action"] == "import_list_file");
    assert_eq!(others.len(), 2, "{page:#}");
    let expected = [("li.lei", 2, 0, "reported"), ("han.meimei", 0, 1, "again")];
    for (entry, (who, new, known, reason)) in imports.iter().zip(expected) {
        assert!(entry["at_ms"].as_u64().is_some_and(|at| at > 1_700_000_000_000), "{entry}");
        let told = json!({ "number": entry["number"], "at_ms": entry["at_ms"], "who": who,
            "action": "import_list_file", "list": "stolen", "new": new, "known": known, "reason": reason });
        assert_eq!(entry, &told);
    }
    assert_eq!(imports.len(), 2, "{page:#}");
    let (printed, status) = audit(&hefu, &place).await;
    assert!(status.success() && printed.contains("\n4 entries, the chain is whole"), "{printed}");
    for pan in [one, two] {
        assert!(!printed.contains(pan) && !list().unwrap().contains(pan), "{printed}");
    }
}
