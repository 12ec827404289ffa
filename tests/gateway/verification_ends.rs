//! The verification service in a process that ends: what it asks it finishes, and what it has not begun it leaves to whoever posts it again.

use crate::peers::{Channel, Message, Peer, channel, ok, soon};
use crate::process::{Hefu, Place};
use crate::verification::{
    LENDER, PHONE, ask, four, get, is_told, place, read, request, send, waiting,
};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::ExitStatus;
use tokio::sync::Notify;

/// One card may be asked about as often as anybody likes.
pub(crate) fn often(place: &Place) {
    let most = ["card_per_day", "card_wrong", "person_per_day", "person_wrong"];
    let most = most.map(|most| format!("{most} = 1000\n")).concat();
    place.write("policy.toml", format!("[mode]\nacme = \"observe\"\n[attempts]\n{most}"));
}

/// Twelve, each with a phone of its own.
fn lines() -> Value {
    let line = |nth: usize| four(&format!("138000000{nth:02}"))["elements"].clone();
    json!({ "lines": (0..12).map(line).collect::<Vec<_>>() })
}

async fn post(to: SocketAddr) -> Message {
    let fields = "Content-Type: application/json\r\nIdempotency-Key: batch\r\n";
    send(to, &request("POST /v1/batches", LENDER, fields, &lines().to_string())).await
}

/// Waits until so many questions have come.
pub(crate) async fn come(trial: &Channel, count: usize) {
    let waiting = async {
        while trial.messages().len() < count {
            trial.arrived.notified().await;
        }
    };
    soon(waiting).await;
}

/// Has whatever waits be answered, until `what` is over.
pub(crate) async fn answered<T>(told: &Notify, what: impl Future<Output = T>) -> T {
    let answering = async {
        loop {
            told.notify_waiters();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        done = what => done,
        never = answering => never,
    }
}

async fn ended(hefu: &mut Hefu, told: &Notify) -> ExitStatus {
    hefu.log.line(0, &["draining"]).await;
    answered(told, hefu.exit()).await
}

/// Of a batch and of what nobody waits for: eight lines and one more are being asked about when the process is told to end.
#[tokio::test]
async fn a_process_that_ends_finishes_what_it_asks_and_begins_no_more() {
    let (told, trial) = waiting().await;
    let place = place(&trial, "").await;
    often(&place);
    let mut hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let begun = post(to).await;
    assert_eq!(begun.status(), 202, "{begun:?}");
    let path = begun.field("location").unwrap().to_owned();
    come(&trial, 8).await;
    let mut body = four("13800000099");
    body["mode"] = json!("async");
    let later = ask(to, LENDER, "later", &body).await;
    assert_eq!(later.status(), 202, "{later:?}");
    come(&trial, 9).await;
    hefu.signal("TERM");
    assert!(ended(&mut hefu, &told).await.success());
    assert_eq!(trial.messages().len(), 9, "nothing was begun any more");
    // It was kept what it came to; the batch is there to be posted again, at once.
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let shown = read(&get(to, LENDER, &path).await);
    let counts = json!({ "done": 8, "not_asked": 4 });
    assert_eq!((&shown["status"], &shown["counts"]), (&json!("left"), &counts), "{shown}");
    let found = read(&ask(to, LENDER, "later", &body).await);
    assert_eq!((&found["status"], &found["answer"]), (&json!("done"), &json!("match")), "{found}");
    assert_eq!(post(to).await.field("location"), Some(path.as_str()));
    let over = async {
        loop {
            let shown = read(&get(to, LENDER, &path).await);
            if shown["status"] == "ended" {
                return shown;
            }
        }
    };
    let shown = soon(answered(&told, over)).await;
    assert_eq!(shown["counts"], json!({ "done": 12 }), "{shown}");
    assert_eq!(trial.messages().len(), 13);
}

/// A successor serves meanwhile: what the one before it left is there to be posted to it.
#[tokio::test]
async fn an_upgrade_leaves_the_lines_that_were_not_begun_to_the_successor() {
    let (told, trial) = waiting().await;
    let place = place(&trial, "").await;
    often(&place);
    let mut hefu = Hefu::start(place.command()).await;
    let address = hefu.verification.unwrap();
    let begun = post(address).await;
    let path = begun.field("location").unwrap().to_owned();
    come(&trial, 8).await;
    hefu.signal("USR2");
    hefu.succeeded().await;
    assert!(ended(&mut hefu, &told).await.success());
    let shown = read(&get(address, LENDER, &path).await);
    let counts = json!({ "done": 8, "not_asked": 4 });
    assert_eq!((&shown["status"], &shown["counts"]), (&json!("left"), &counts), "{shown}");
    assert_eq!(trial.messages().len(), 8);
}

/// Who waited, hung up and comes again without waiting has `202`, and is told by webhook.
#[tokio::test]
async fn who_hung_up_and_waits_no_more_is_told() {
    let (told, trial) = waiting().await;
    let place = place(&trial, "").await;
    let listening = channel(|_| ok("")).await;
    is_told(&place, &listening);
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let fields = "Content-Type: application/json\r\nIdempotency-Key: one\r\n";
    let mut peer = Peer::connect(to).await;
    peer.send(request("POST /v1/verifications", LENDER, fields, &four(PHONE).to_string())).await;
    come(&trial, 1).await;
    drop(peer);
    let mut body = four(PHONE);
    body["mode"] = json!("async");
    let again = ask(to, LENDER, "one", &body).await;
    assert_eq!((again.status(), &read(&again)["status"]), (202, &json!("asking")));
    told.notify_one();
    soon(listening.arrived.notified()).await;
    let hook = read(&listening.messages()[0]);
    assert_eq!((&hook["event"], &hook["answer"]), (&json!("verification_done"), &json!("match")));
    assert_eq!(hook["verification"], read(&again)["id"]);
    assert_eq!(trial.messages().len(), 1);
}
