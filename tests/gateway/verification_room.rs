//! Places of the verification service: nobody takes them all, nor any before it is known who they are.

use crate::peers::{Message, Peer, soon};
use crate::process::{Hefu, Place};
use crate::verification::{LENDER, SHOP, ask, four, get, place, read, request, send, waiting};
use crate::verification_ends::often;
use serde_json::json;
use std::net::SocketAddr;

fn post_of(key: &str, named: &str, phone: &str) -> String {
    let body = json!({ "lines": [four(phone)["elements"]] }).to_string();
    let fields = format!("Content-Type: application/json\r\nIdempotency-Key: {named}\r\n");
    request("POST /v1/batches", key, &fields, &body)
}

async fn post(to: SocketAddr, key: &str, named: &str, phone: &str) -> Message {
    send(to, &post_of(key, named, phone)).await
}

/// The shop posts batches, too.
fn both(place: &Place) {
    let shop = r#"may = ["verify", "read"]"#;
    place.replace("hefu.toml", shop, r#"may = ["verify", "read", "batch"]"#);
}

/// Whoever looks at much takes no place of those who ask, nor waits for one.
#[tokio::test]
async fn a_long_look_takes_no_place_of_those_who_ask() {
    let (told, trial) = waiting().await;
    let place = place(&trial, "[verification]\nat_once = 1").await;
    place.replace("hefu.toml", "\"batch\", ", "");
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let asking = tokio::spawn(async move { ask(to, LENDER, "one", &four("13800000000")).await });
    soon(trial.arrived.notified()).await;
    assert_eq!(ask(to, LENDER, "two", &four("13800000001")).await.status(), 503);
    let month =
        jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::Offset::constant(8)));
    let month = month.strftime("/v1/statements/%Y-%m").to_string();
    let statement = get(to, LENDER, &month).await;
    assert_eq!(statement.status(), 200, "{statement:?}");
    assert_eq!(read(&statement)["lines"][0]["open"], 1);
    told.notify_one();
    assert_eq!(soon(asking).await.unwrap().status(), 201);
}

/// One client has no more than half of the places for batches, where another may want one.
#[tokio::test]
async fn one_client_does_not_take_every_place_of_a_batch() {
    let (told, trial) = waiting().await;
    let place = place(&trial, "").await;
    both(&place);
    often(&place);
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    assert_eq!(post(to, LENDER, "a", "13800000000").await.status(), 202);
    let second = post(to, LENDER, "b", "13800000001").await;
    assert_eq!((second.status(), second.field("retry-after")), (503, Some("1")), "{second:?}");
    let others = post(to, SHOP, "a", "13800000000").await;
    assert_eq!(others.status(), 202, "{others:?}");
    // Once one is over there is room for the next.
    let again = async {
        loop {
            told.notify_waiters();
            if post(to, LENDER, "b", "13800000001").await.status() == 202 {
                break;
            }
        }
    };
    soon(again).await;
}

/// Who has a client's key and cannot sign takes no place, however long a body they send.
#[tokio::test]
async fn who_does_not_sign_takes_no_place_of_a_batch() {
    let (_told, trial) = waiting().await;
    let place = place(&trial, "[verification]\nbatches = 1").await;
    both(&place);
    place.write("signing.key", "0123456789abcdef".repeat(4));
    place.replace(
        "hefu.toml",
        "name = \"shop\"\n",
        "name = \"shop\"\nsigning_key_file = \"signing.key\"\n",
    );
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    // Its body does not end; a second one is not read beside it.
    let whole = post_of(SHOP, "a", "13800000000");
    let mut slow = Peer::connect(to).await;
    slow.send(&whole.as_bytes()[..whole.len() - 1]).await;
    let refused = async { while send(to, &whole).await.status() != 503 {} };
    soon(refused).await;
    let begun = post(to, LENDER, "a", "13800000000").await;
    assert_eq!(begun.status(), 202, "{begun:?}");
    slow.send(&whole.as_bytes()[whole.len() - 1..]).await;
    assert_eq!(soon(slow.answer()).await.status(), 401);
}
