//! `hefu forget --person` against the real `hefu serve`.

use crate::peers::{channel, ok, soon};
use crate::process::{Hefu, Place};
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// What the command prints and how it ends.
async fn forget(hefu: &Hefu, place: &Place, reference: &str, person: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
    command.args(["forget", "--person", "--reference", reference]);
    command.args(["--admin", &format!("http://{}", hefu.admin), "--admin-token-file"]);
    command.arg(place.path().join("admin.token")).kill_on_drop(true);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(person.as_bytes()).await.unwrap();
    let done = soon(child.wait_with_output()).await.unwrap();
    let [out, err] = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    format!("{out}{err}")
}

/// The person is read from standard input, and is in no log.
#[tokio::test]
async fn a_person_is_forgotten_by_command() {
    let bank = channel(|_| ok("{}")).await;
    let place = Place::to(&bank);
    let hefu = Hefu::start(place.command()).await;
    let (id, pan) = ("11010519491231002X", "6200000000000005");
    let agreement = format!(r#"{{"agreement":"A1","id_number":"{id}","pan":"{pan}"}}"#);
    let imported = hefu.admin("POST /v1/agreements/import?channel=acme", &agreement).await;
    assert_eq!(imported.status(), 200);
    assert_eq!(hefu.admin("GET /v1/agreements/acme/A1", "").await.status(), 200);
    let bad = forget(&hefu, &place, "T-1", &format!("id_number={id}1\n")).await;
    assert!(bad.contains("400: ") && !bad.contains(id), "{bad}");
    let bad = forget(&hefu, &place, id, &format!("id_number={id}\n")).await;
    assert!(bad.contains("a reference is a file number"), "{bad}");
    let done = forget(&hefu, &place, "T-1", &format!("id_number={id}\npan={pan}\n")).await;
    assert!(done.contains("removed\t1\tagreements\n"), "{done}");
    assert!(done.contains("kept\tpayments, orders, expectations: no element is in them"), "{done}");
    assert_eq!(hefu.admin("GET /v1/agreements/acme/A1", "").await.status(), 404);
    let line = hefu.log.line(0, &["a person was forgotten"]).await;
    assert!(line.contains("T-1") && line.contains("agreements"), "{line}");
    assert!(!hefu.log.has(id.get(..17).unwrap()) && !hefu.log.has(pan), "an element is in the log");
}
