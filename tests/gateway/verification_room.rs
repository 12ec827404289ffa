//! Places of the verification service: nobody takes them all, nor any before it is known who they are.

use crate::kinds::{begin, holds};
use crate::peers::{Message, Peer, soon};
use crate::process::{Hefu, Place};
use crate::verification::{
    LENDER, SHOP, ask, four, get, place, read, request, send, signature, waiting,
};
use crate::verification_ends::often;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hefu::sim::picture;
use serde_json::json;
use sha2::{Digest as _, Sha256};
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
    // It is refused before its body has come.
    let whole = post_of(SHOP, "a", "13800000000");
    let mut slow = Peer::connect(to).await;
    slow.send(&whole.as_bytes()[..whole.len() - 1]).await;
    assert_eq!(soon(slow.answer()).await.status(), 401);
    let begun = post(to, LENDER, "a", "13800000000").await;
    assert_eq!(begun.status(), 202, "{begun:?}");
    assert_eq!(send(to, &whole).await.status(), 401);
}

/// Nor does one who cannot sign take a place of a picture: the head says what is signed before a byte of the body is read.
#[tokio::test]
async fn who_does_not_sign_takes_no_place_of_a_picture() {
    let (told, trial) = waiting().await;
    let place = place(&trial, "[verification]\nbody = \"1KiB\"\npictures = 1").await;
    holds(&place, &trial);
    let kinds = "kinds = [{ kind = \"face\", elements = [[\"face_image\"]] }]\n";
    place.replace("hefu.toml", "per_second = 1000\n", &format!("per_second = 1000\n{kinds}"));
    place.write("signing.key", "0123456789abcdef".repeat(4));
    let shop = format!("name = \"shop\"\nsigning_key_file = \"signing.key\"\n{kinds}");
    place.replace("hefu.toml", "name = \"shop\"\n", &shop);
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let face =
        |of: &str| json!({ "kind": "face", "elements": { "face_image": picture(of, 3000) } });
    let (body, other) = (face("one").to_string(), face("two").to_string());
    let key = "0123456789abcdef".repeat(4);
    let digest = |body: &str| {
        format!("Content-Digest: sha-256=:{}:\r\n", BASE64_STANDARD.encode(Sha256::digest(body)))
    };
    let fields = |signed: &str| {
        format!("Content-Type: application/json\r\nIdempotency-Key: one\r\n{signed}")
    };
    // Of each only the head comes, and it is answered; its place is for who comes next.
    for signed in [
        String::new(),
        digest(&body),
        signature(key.as_bytes(), "one", &body),
        signature(b"another", "one", &body) + &digest(&body),
        signature(key.as_bytes(), "one", &body) + &digest(&other),
    ] {
        let whole = request("POST /v1/verifications", SHOP, &fields(&signed), &body);
        let mut slow = Peer::connect(to).await;
        slow.send(&whole.as_bytes()[..whole.len() - body.len()]).await;
        assert_eq!(soon(slow.answer()).await.status(), 401, "{signed}");
    }
    let signed = signature(key.as_bytes(), "one", &body) + &digest(&body);
    let post = async |body: &str| {
        send(to, &request("POST /v1/verifications", SHOP, &fields(&signed), body)).await
    };
    let mut mine = begin(to, "a", &face("mine")).await;
    soon(trial.arrived.notified()).await;
    assert_eq!(post(&body).await.status(), 503);
    told.notify_one();
    assert_eq!(soon(mine.answer()).await.status(), 201);
    // Another body is not what was signed.
    assert_eq!(post(&other).await.status(), 401);
    told.notify_one();
    assert_eq!(post(&body).await.status(), 201);
}
