//! The verification service over real sockets: what clients are told, and what those are told who are nobody's client, or hostile.

use crate::assessed::{provider, with_provider};
use crate::kinds::{CODE, merchant, merchants, says, simulation};
use crate::peers::{Channel, Message, Peer, Reply, channel, ok, soon};
use crate::process::{Hefu, Place};
use crate::verification_ends::often;
use expect_test::expect_file;
use hefu::clients::openapi;
use hefu::sim::Said;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::Notify;

pub(crate) const LENDER: &str = "hefu_a1_the-key-of-the-lender-is-a-long-one";
const LENDER_NEXT: &str = "hefu_a2_the-next-key-of-the-lender-is-a-long-one";
pub(crate) const SHOP: &str = "hefu_b1_the-key-of-the-shop-is-a-long-one-too";
pub(crate) const PAN: &str = "6200000000000005";
pub(crate) const PHONE: &str = "13800000000";

fn hash(key: &str) -> String {
    hex::encode(Sha256::digest(key.as_bytes()))
}

/// A Hefu with two clients and one provider.
pub(crate) async fn place(trial: &Channel, more: &str) -> Place {
    let bank = channel(|_| ok("{}")).await;
    let place = Place::to(&bank);
    with_provider(&place, trial);
    place.replace("hefu.toml", "[listen]\n", "[listen]\nverification = \"127.0.0.1:0\"\n");
    place.replace("hefu.toml", "[secrets]", "[store]\nfile = \"hefu.db\"\n[secrets]");
    let text = std::fs::read_to_string(place.path().join("hefu.toml")).unwrap();
    let four = r#"[["name", "id_number", "pan", "phone"], ["name", "id_number", "pan"]]"#;
    let clients = format!(
        "{text}\n{more}\n\
         [[client]]\nname = \"lender\"\nkeys = [{{ id = \"a1\", sha256 = \"{}\" }}, {{ id = \"a2\", sha256 = \"{}\", until = \"2020-01-01\" }}]\n\
         may = [\"verify\", \"read\", \"batch\", \"statements\"]\nelements = {four}\nper_second = 1000\nprice_fen = 45\n\
         [[client]]\nname = \"shop\"\nkeys = [{{ id = \"b1\", sha256 = \"{}\" }}]\nmay = [\"verify\", \"read\"]\nelements = {four}\n",
        hash(LENDER),
        hash(LENDER_NEXT),
        hash(SHOP),
    );
    place.write("hefu.toml", clients);
    place
}

/// The header that a request for a verification is signed with.
pub(crate) fn signature(key: &[u8], named: &str, body: &str) -> String {
    let (at, digest) = (jiff::Timestamp::now().as_millisecond(), Sha256::digest(body));
    let text = format!("{at}.POST /v1/verifications\n{named}\n{}", hex::encode(digest));
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    format!("Hefu-Signature: t={at},v1={}\r\n", hex::encode(mac.finalize().into_bytes()))
}

/// What four elements are asked with.
pub(crate) fn four(phone: &str) -> Value {
    json!({ "elements": { "name": "张三", "id_number": "11010519491231002X", "pan": PAN, "phone": phone } })
}

/// A request as it stands on the wire.
pub(crate) fn request(line: &str, key: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{line} HTTP/1.1\r\nHost: verification\r\nAuthorization: Bearer {key}\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    )
}

pub(crate) async fn send(to: SocketAddr, request: &str) -> Message {
    let mut peer = Peer::connect(to).await;
    peer.send(request).await;
    soon(peer.answer()).await
}

pub(crate) async fn ask(to: SocketAddr, key: &str, named: &str, body: &Value) -> Message {
    let fields = format!("Content-Type: application/json\r\nIdempotency-Key: {named}\r\n");
    send(to, &request("POST /v1/verifications", key, &fields, &body.to_string())).await
}

pub(crate) async fn get(to: SocketAddr, key: &str, path: &str) -> Message {
    send(to, &request(&format!("GET {path}"), key, "", "")).await
}

pub(crate) fn read(message: &Message) -> Value {
    serde_json::from_slice(&message.body).unwrap_or_else(|_| panic!("{message:?}"))
}

#[test]
fn the_committed_description_is_the_description() {
    let described = serde_json::to_string_pretty(&openapi()).unwrap();
    expect_file!["../../docs/verification-openapi.json"].assert_eq(&format!("{described}\n"));
}

#[tokio::test]
async fn a_client_has_elements_verified_and_is_told_the_same_again() {
    let trial = provider(&["0000", "02", "0000"]).await;
    let place = place(&trial, "").await;
    let mut hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let first = ask(to, LENDER, "one", &four(PHONE)).await;
    let told = read(&first);
    assert_eq!(first.status(), 201, "{first:?}");
    assert_eq!((&told["status"], &told["answer"]), (&json!("done"), &json!("match")), "{told}");
    let all = json!({ "name": "match", "id_number": "match", "pan": "match", "phone": "match" });
    assert_eq!(told["elements"], all);
    let place_of = first.field("location").unwrap().to_owned();
    // The same again is the same, and asks nobody; after a restart too.
    let again = ask(to, LENDER, "one", &four(PHONE)).await;
    assert_eq!((again.status(), read(&again)), (200, told.clone()));
    assert_eq!(trial.messages().len(), 1);
    // Under another key it is another verification, of the same evidence.
    let other = ask(to, LENDER, "two", &four(PHONE)).await;
    let reused = read(&other);
    assert_eq!((other.status(), &reused["answer"]), (201, &json!("match")));
    assert_eq!(reused["asked_at_ms"], told["asked_at_ms"]);
    assert_eq!(trial.messages().len(), 1);
    // What does not match is told by element, with the tries that are left of its own.
    let wrong = read(&ask(to, LENDER, "three", &four("13800000001")).await);
    assert_eq!(wrong["answer"], "no_match", "{wrong}");
    assert_eq!(wrong["attempts_left"], 1, "{wrong}");
    hefu.signal("TERM");
    assert!(hefu.exit().await.success());
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let again = ask(to, LENDER, "one", &four(PHONE)).await;
    assert_eq!((again.status(), read(&again)), (200, told.clone()));
    let shown = get(to, LENDER, &place_of).await;
    assert_eq!((shown.status(), read(&shown)), (200, told.clone()));
    // It is known by its tag.
    let tag = shown.field("etag").unwrap().to_owned();
    let fields = format!("If-None-Match: \"other\", W/{tag}\r\n");
    let same = send(to, &request(&format!("GET {place_of}"), LENDER, &fields, "")).await;
    assert_eq!((same.status(), same.body.len()), (304, 0));
    let pages = pages(to).await;
    assert_eq!(pages.len(), 3);
    assert_eq!(pages[2], told);
    assert_eq!(pages[0], wrong);
    assert_eq!(trial.messages().len(), 2);
    assert!(!hefu.log.has(PHONE) && !hefu.log.has(PAN));
}

/// All that the lender had verified, by pages of two.
async fn pages(to: SocketAddr) -> Vec<Value> {
    let (mut all, mut path) = (Vec::new(), "/v1/verifications?limit=2".to_owned());
    loop {
        let page = read(&get(to, LENDER, &path).await);
        all.extend(page["verifications"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { return all };
        path = format!("/v1/verifications?limit=2&before={next}");
    }
}

#[tokio::test]
async fn nobody_learns_of_others_nor_what_others_had_verified() {
    let trial = provider(&[]).await;
    let place = place(&trial, "").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let mine = ask(to, LENDER, "one", &four(PHONE)).await;
    let id = read(&mine)["id"].as_str().unwrap().to_owned();
    // Another's is told as none at all, and so is what is no id.
    let others = get(to, SHOP, &format!("/v1/verifications/{id}")).await;
    assert_eq!(others.status(), 404);
    for path in ["/v1/verifications/01K0000000000000000000000A", "/v1/verifications/x"] {
        let none = get(to, SHOP, path).await;
        assert_eq!((none.status(), none.text()), (404, others.text()), "{path}");
    }
    assert_eq!(read(&get(to, SHOP, "/v1/verifications").await)["verifications"], json!([]));
    // One name of a request is one client's; and what the other knows is no evidence here: the source is asked again.
    let theirs = ask(to, SHOP, "one", &four(PHONE)).await;
    assert_eq!(theirs.status(), 201);
    assert_eq!(trial.messages().len(), 2);
    // Who has a wrong key, an old one, none, or two is told the same.
    let wrong = get(to, "hefu_a1_wrong", "/v1/verifications").await;
    assert_eq!(wrong.status(), 401);
    let bare = "GET /v1/verifications HTTP/1.1\r\nHost: verification\r\n\r\n".to_owned();
    let twice = request(
        "GET /v1/verifications",
        LENDER,
        &format!("Authorization: Bearer {LENDER}\r\n"),
        "",
    );
    let basic = bare.replace("Host", "Authorization: Basic bGVuZGVyOng=\r\nHost");
    for request in [request("GET /v1/verifications", LENDER_NEXT, "", ""), bare, twice, basic] {
        let told = send(to, &request).await;
        assert_eq!((told.status(), told.text()), (401, wrong.text()), "{request}");
        assert_eq!(told.field("www-authenticate"), Some("Bearer"));
    }
    let metrics = hefu.admin("GET /metrics", "").await;
    for line in [
        r#"hefu_client_verifications_total{answer="match",client="lender",evidence="asked"} 1"#,
        r#"hefu_client_requests_total{client="-",status="401"} 5"#,
    ] {
        assert!(metrics.text().contains(line), "no {line} in {}", metrics.text());
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn a_request_that_is_not_as_described_is_refused_without_a_value() {
    let trial = provider(&[]).await;
    let place = place(&trial, "").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let check = async |fields: &str, body: &str, status: u16, field: Option<&str>| {
        let told = send(to, &request("POST /v1/verifications", LENDER, fields, body)).await;
        assert_eq!(told.status(), status, "{fields} {body}: {told:?}");
        assert_eq!(told.field("content-type"), Some("application/problem+json"));
        assert_eq!(read(&told).get("field").and_then(Value::as_str), field, "{told:?}");
        for value in ["1380", "6200", "张", "11010"] {
            assert!(!told.text().contains(value), "{told:?}");
        }
    };
    let json = "Content-Type: application/json\r\n";
    let named = format!("{json}Idempotency-Key: k\r\n");
    let good = four(PHONE).to_string();
    check(json, &good, 400, None).await;
    check(&format!("{named}Idempotency-Key: k\r\n"), &good, 400, None).await;
    check(&format!("{json}Idempotency-Key: {}\r\n", "k".repeat(65)), &good, 400, None).await;
    check(&format!("{json}Idempotency-Key: 张三\r\n"), &good, 400, None).await;
    check("Idempotency-Key: k\r\n", &good, 415, None).await;
    for kind in
        ["text/plain", "application/json; charset=gbk", "application/json;x", "multipart/form-data"]
    {
        check(&format!("Content-Type: {kind}\r\nIdempotency-Key: k\r\n"), &good, 415, None).await;
    }
    check(&format!("{named}Content-Encoding: gzip\r\n"), &good, 415, None).await;
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "{\"elements\":{}",
        "{\"elements\":{\"name\":1}}",
        "{\"elements\":{\"nam\":\"张三\"}}",
    ] {
        check(&named, body, 400, None).await;
    }
    let twice = r#"{"elements":{"phone":"13800000000","phone":"13800000001"}}"#;
    check(&named, twice, 400, None).await;
    let elements = |text: &str| format!("{{\"elements\":{{{text}}}}}");
    check(&named, &elements(""), 422, Some("elements")).await;
    check(&named, &elements(r#""pan":"6200000000000006""#), 422, Some("pan")).await;
    check(&named, &elements(r#""phone":"1380000000""#), 422, Some("phone")).await;
    check(&named, &elements(r#""name":"""#), 422, Some("name")).await;
    check(&named, &elements(r#""id_number":"110105194912310021""#), 422, Some("id_number")).await;
    check(&named, &elements(r#""id_type":"passport""#), 422, Some("id_type")).await;
    check(
        &named,
        &elements(r#""pan":"6200000000000005","account_kind":"x""#),
        422,
        Some("account_kind"),
    )
    .await;
    // A set that it may not ask about.
    check(&named, &elements(r#""pan":"6200000000000005""#), 422, None).await;
    check(&named, &format!("{{\"elements\":{{\"name\":\"{}\"}}}}", "x".repeat(70_000)), 413, None)
        .await;
    assert_eq!(trial.messages().len(), 0);
    // None of it stands under that name.
    assert_eq!(ask(to, LENDER, "k", &four(PHONE)).await.status(), 201);
    // Other content under a name that is taken is refused, whatever it is.
    let other = ask(to, LENDER, "k", &four("13800000001")).await;
    assert_eq!(other.status(), 409, "{other:?}");
    assert_eq!(trial.messages().len(), 1);
    for (line, status) in [
        ("GET /v1/verifications?limit=0", 400),
        ("GET /v1/verifications?limit=101", 400),
        ("GET /v1/verifications?before=x", 400),
        ("GET /v1/verifications?limit=1&limit=2", 400),
        ("GET /v1/verifications?client=shop", 400),
        ("DELETE /v1/verifications", 405),
        ("GET /v1/payments", 404),
        ("GET /metrics", 404),
    ] {
        let told = send(to, &request(line, LENDER, "", "")).await;
        assert_eq!(told.status(), status, "{line}: {told:?}");
        assert_eq!(told.field("content-type"), Some("application/problem+json"), "{line}");
    }
}

#[tokio::test]
async fn of_those_who_ask_at_once_under_one_name_one_asks() {
    let (told, trial) = waiting().await;
    let place = place(&trial, "").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let asking = tokio::spawn(async move { ask(to, LENDER, "one", &four(PHONE)).await });
    soon(trial.arrived.notified()).await;
    for _ in 0..3 {
        let meanwhile = ask(to, LENDER, "one", &four(PHONE)).await;
        assert_eq!(meanwhile.status(), 202, "{meanwhile:?}");
        assert_eq!(meanwhile.field("retry-after"), Some("1"));
        assert_eq!(read(&meanwhile)["answer"], Value::Null);
        assert_eq!(ask(to, LENDER, "one", &four("13800000001")).await.status(), 409);
    }
    told.notify_one();
    assert_eq!(soon(asking).await.unwrap().status(), 201);
    assert_eq!(ask(to, LENDER, "one", &four(PHONE)).await.status(), 200);
    assert_eq!(trial.messages().len(), 1);
}

/// A provider that answers when it is told to.
pub(crate) async fn waiting() -> (Arc<Notify>, Channel) {
    let told = Arc::new(Notify::new());
    let answer = json!({ "code": "0000", "detailRespCode": "", "is_cost": "1" }).to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
        answer.len()
    );
    let waits = told.clone();
    let trial = channel(move |_| Reply::Wait(waits.clone(), answer.clone().into_bytes())).await;
    (told, trial)
}

/// Whoever hangs up is asked for all the same: it is paid for, and is there when they come again.
#[tokio::test]
async fn what_is_asked_goes_on_when_nobody_waits() {
    let (told, trial) = waiting().await;
    let place = place(&trial, "").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let fields = "Content-Type: application/json\r\nIdempotency-Key: one\r\n";
    let mut peer = Peer::connect(to).await;
    peer.send(request("POST /v1/verifications", LENDER, fields, &four(PHONE).to_string())).await;
    soon(trial.arrived.notified()).await;
    drop(peer);
    told.notify_one();
    let come = async {
        loop {
            let again = ask(to, LENDER, "one", &four(PHONE)).await;
            if again.status() == 200 {
                return again;
            }
        }
    };
    assert_eq!(read(&soon(come).await)["answer"], "match");
    assert_eq!(trial.messages().len(), 1);
}

#[tokio::test]
async fn slow_clients_and_floods_are_in_nobodys_way() {
    let trial = provider(&[]).await;
    let bounds = "[verification]\nconnections = 3\nhead_deadline = \"1s\"\nbody_deadline = \"1s\"";
    let place = place(&trial, bounds).await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    // As many as there may be, none of which says anything; then one that does.
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(Peer::connect(to).await);
    }
    assert_eq!(ask(to, LENDER, "one", &four(PHONE)).await.status(), 201);
    // A body that does not come.
    let mut slow = Peer::connect(to).await;
    let body = four(PHONE).to_string();
    let whole = request(
        "POST /v1/verifications",
        LENDER,
        "Content-Type: application/json\r\nIdempotency-Key: two\r\n",
        &body,
    );
    slow.send(&whole.as_bytes()[..whole.len() - 1]).await;
    assert_eq!(soon(slow.answer()).await.status(), 408);
    // The shop may come twenty times a second, and who guesses all together as often.
    let mut flooding = Peer::connect(to).await;
    let mut told = None;
    for _ in 0..100 {
        flooding.send(request("GET /v1/verifications", SHOP, "", "")).await;
        let answer = soon(flooding.answer()).await;
        if answer.status() == 429 {
            told = Some(answer);
            break;
        }
    }
    let told = told.expect("a hundred at once are too many");
    assert_eq!(told.field("retry-after"), Some("1"));
    assert_eq!(get(to, LENDER, "/v1/verifications").await.status(), 200);
}

/// What a crash cut off may have been asked: it says so once nobody can be there any more who asks.
#[tokio::test]
async fn what_a_crash_cut_off_is_being_asked_until_it_is_uncertain() {
    let (_told, trial) = waiting().await;
    let place = place(&trial, "").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let asking = tokio::spawn(async move {
        let fields = "Content-Type: application/json\r\nIdempotency-Key: one\r\n";
        let mut peer = Peer::connect(to).await;
        peer.send(request("POST /v1/verifications", LENDER, fields, &four(PHONE).to_string()))
            .await;
        peer.message(false).await
    });
    soon(trial.arrived.notified()).await;
    hefu.signal("KILL");
    assert!(soon(asking).await.unwrap().is_none());
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let again = ask(to, LENDER, "one", &four(PHONE)).await;
    assert_eq!((again.status(), read(&again)["status"].clone()), (202, json!("asking")));
    assert_eq!(trial.messages().len(), 1);
    // Nothing of it is in the files.
    for file in ["hefu.db", "hefu.db-wal", "hefu.db-log"] {
        let Ok(bytes) = std::fs::read(place.path().join(file)) else { continue };
        for value in [PHONE, PAN, "张三", "11010519491231002X"] {
            assert!(!bytes.windows(value.len()).any(|window| window == value.as_bytes()), "{file}");
        }
    }
}

/// Words that a made-up request is made of: what is right, what is nearly right, and what nobody should send.
const WORDS: [&str; 16] = [
    "张三",
    PHONE,
    PAN,
    "11010519491231002X",
    "",
    " ",
    "\u{0}",
    "６２００",
    "passport",
    "credit",
    "async",
    "sync",
    "null",
    "\u{1f600}",
    "1e999",
    "a very long one, a very long one, a very long one, a very long one, a very long one, a very long one, a very long one, a very long one",
];

/// What is right in fields of elements.
const RIGHT: [(&str, &str); 7] = [
    ("kind", "elements"),
    ("name", "张三"),
    ("id_number", "11010519491231002X"),
    ("id_type", "resident_id"),
    ("pan", PAN),
    ("account_kind", "debit"),
    ("phone", PHONE),
];

/// Fields of other kinds.
const OTHERS: [&str; 6] =
    ["face_image", "id_card_image", "business_name", "credit_code", "certificate_number", "then"];

/// A value after a schema of the description, or beside it one time in many.
fn made_up(rng: &mut ChaCha8Rng, schema: &Value, all: &Value, depth: usize) -> Value {
    if depth > 6 || rng.random_ratio(1, 24) {
        let odd =
            [json!(null), json!(-1), json!(1e300), json!([]), json!({}), json!("x"), json!(true)];
        return odd[rng.random_range(0..odd.len())].clone();
    }
    if let Some(name) = schema["$ref"].as_str() {
        let named = &all["components"]["schemas"][name.rsplit('/').next().unwrap()];
        return made_up(rng, named, all, depth + 1);
    }
    for many in ["anyOf", "oneOf"] {
        if let Some(many) = schema[many].as_array() {
            let one = rng.random_range(0..many.len());
            return made_up(rng, &many[one], all, depth + 1);
        }
    }
    let kinds = &schema["type"];
    let is = |kind: &str| {
        kinds == kind || kinds.as_array().is_some_and(|kinds| kinds.contains(&json!(kind)))
    };
    if let Some(fields) = schema["properties"].as_object() {
        // Of the fields of other kinds few, so that there are questions of one.
        let of_others = |name: &str| OTHERS.contains(&name);
        let kept: Vec<_> = fields
            .iter()
            .filter(|(name, _)| rng.random_ratio(if of_others(name) { 1 } else { 7 }, 8))
            .collect();
        let mut object = serde_json::Map::new();
        for (name, of) in kept {
            let right = RIGHT.iter().find(|(of, _)| of == name).filter(|_| rng.random_ratio(7, 8));
            let value = match right {
                Some((_, value)) => json!(value),
                None => made_up(rng, of, all, depth + 1),
            };
            object.insert(name.clone(), value);
        }
        if rng.random_ratio(1, 16) {
            object.insert(WORDS[rng.random_range(0..WORDS.len())].to_owned(), json!(1));
        }
        return object.into();
    }
    if is("array") {
        let count = rng.random_range(0..4);
        return (0..count)
            .map(|_| made_up(rng, &schema["items"], all, depth + 1))
            .collect::<Vec<_>>()
            .into();
    }
    if let Some(words) = schema["enum"].as_array() {
        return words[rng.random_range(0..words.len())].clone();
    }
    if let Some(word) = schema["const"].as_str() {
        return json!(word);
    }
    if is("integer") {
        return json!(rng.random_range(-2_i64..200));
    }
    json!(WORDS[rng.random_range(0..WORDS.len())])
}

/// Requests made up after the description: whatever they are, each has an answer of ours that is described, and no value in it.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a seed of one's own is tried by hand")]
#[expect(clippy::print_stdout, reason = "the seed is said")]
async fn whatever_is_made_up_after_the_description_has_an_answer_of_ours() {
    let seed = std::env::var("HEFU_SEED").map_or(7, |seed| seed.parse().unwrap());
    println!("HEFU_SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let trial = provider(&[]).await;
    let place = place(&trial, "").await;
    place.replace("hefu.toml", "per_second = 1000", "per_second = 10000");
    let hefu = Hefu::start(place.command()).await;
    let (to, all) = (hefu.verification.unwrap(), openapi());
    let id = read(&ask(to, LENDER, "one", &four(PHONE)).await)["id"].as_str().unwrap().to_owned();
    let operations: Vec<(&String, &String, &Value)> = all["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().iter().map(move |(method, of)| (path, method, of))
        })
        .collect();
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    let mut peer = Peer::connect(to).await;
    for nth in 0..600 {
        let (path, method, operation) = operations[rng.random_range(0..operations.len())];
        let word = |rng: &mut ChaCha8Rng| {
            ["2026-11", &id, "x", "%00", "%FF", "..%2f"][rng.random_range(0..6)].to_owned()
        };
        let mut place = path.replace("{id}", &word(&mut rng)).replace("{month}", &word(&mut rng));
        if rng.random_ratio(1, 3) {
            let value =
                ["1", "0", "101", "-1", "", "x", "%FF", id.as_str()][rng.random_range(0..8)];
            place = format!("{place}?{}={value}", ["limit", "before", "x"][rng.random_range(0..3)]);
        }
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let mut body = if schema.is_null() {
            String::new()
        } else {
            made_up(&mut rng, schema, &all, 0).to_string()
        };
        if rng.random_ratio(1, 10) && !body.is_empty() {
            let cut = (0..body.len())
                .rev()
                .filter(|at| body.is_char_boundary(*at))
                .nth(rng.random_range(0..body.chars().count()));
            body.truncate(cut.unwrap());
        }
        let named = if rng.random_ratio(1, 8) { "one".to_owned() } else { format!("k{nth}") };
        let kind = if rng.random_ratio(1, 16) { "text/plain" } else { "application/json" };
        let fields = format!("Content-Type: {kind}\r\nIdempotency-Key: {named}\r\n");
        let line = format!("{} {place}", method.to_uppercase());
        peer.send(request(&line, LENDER, &fields, &body)).await;
        let told = soon(peer.answer()).await;
        let status = told.status();
        *statuses.entry(status).or_default() += 1;
        assert!(status < 500, "HEFU_SEED={seed} {nth}: {line} {body}\n{told:?}");
        let described = operation["responses"].get(status.to_string()).is_some();
        let kind = told.field("content-type").unwrap();
        assert_eq!(
            described,
            kind != "application/problem+json",
            "HEFU_SEED={seed} {nth}: {line}\n{told:?}"
        );
        for value in [PHONE, PAN, "张三", "11010519491231002X"] {
            assert!(!told.text().contains(value), "{told:?}");
        }
    }
    // It got somewhere, and was refused in many ways.
    for status in [200, 201, 202, 400, 404, 415, 422] {
        assert!(statuses.contains_key(&status), "HEFU_SEED={seed}: no {status} in {statuses:?}");
    }
    assert!(!hefu.log.has("panicked"), "{}", hefu.log.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_of_a_client_that_is_described_is_a_server_error() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = simulation(&dir).await;
    let place = merchants(&simulation).await;
    says(&simulation, "tencent", Said::Match);
    // Whatever is made up here is of one person.
    often(&place);
    place.replace("hefu.toml", "per_second = 1000", "per_second = 10000");
    place.replace("hefu.toml", "[store]", "[verification]\nat_once = 64\nbatches = 4\n[store]");
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let post = async |path: &str, body: &Value| {
        let fields = "Content-Type: application/json\r\nIdempotency-Key: ".to_owned() + path;
        let line = format!("POST /v1/{path}");
        let whole = request(&line, LENDER, &format!("{fields}\r\n"), &body.to_string());
        read(&send(to, &whole).await)["id"].as_str().unwrap().to_owned()
    };
    let ids = [
        post("verifications", &four(PHONE)).await,
        post("batches", &json!({ "lines": [four(PHONE)["elements"]] })).await,
        post("onboardings", &merchant("张三")).await,
    ];
    place.write("openapi.json", described(&ids).to_string());
    crate::described::fuzz(&place, &format!("http://{to}"), LENDER, 150).await;
    assert!(!hefu.log.has("panicked"), "{}", hefu.log.text());
    // It got somewhere: of each there are more than were there, of several kinds, and there was much to refuse.
    let listed = async |path: &str| read(&get(to, LENDER, path).await).to_string();
    let verifications = listed("/v1/verifications").await;
    for word in ["\"elements\"", "\"business\"", "\"match\""] {
        assert!(verifications.contains(word), "no {word} in {verifications}");
    }
    // Five were there before.
    assert!(verifications.matches("\"done\"").count() > 5, "{verifications}");
    let batches = listed("/v1/batches").await;
    assert!(batches.matches("\"ended\"").count() > 1, "{batches}");
    let onboardings = listed("/v1/onboardings").await;
    assert!(onboardings.matches("approved").count() > 1, "{onboardings}");
    let metrics = hefu.admin("GET /metrics", "").await;
    for status in [200, 201, 202, 400, 404, 422] {
        let line = format!("hefu_client_requests_total{{client=\"lender\",status=\"{status}\"}}");
        assert!(metrics.text().contains(&line), "no {status} in {}", metrics.text());
    }
}

/// The description, with elements, kinds and ids that lead somewhere here: who makes them up alone is told of each that it is none.
fn described(ids: &[String]) -> Value {
    let mut described = openapi();
    let words = json!({
        "name": ["张三", "李四"], "id_number": ["11010519491231002X"], "pan": [PAN], "phone": [PHONE, "1380"],
        "business_name": ["测试有限公司"], "credit_code": [CODE], "id_type": ["resident_id"], "account_kind": ["debit"],
        "certificate_number": ["100011202605000001", "x"],
    });
    let all = described["components"]["schemas"].as_object_mut().unwrap();
    let kinds = json!({ "enum": ["elements", "business", "education", "railway", "x"] });
    for body in ["WantedBody", "LinesBody"] {
        all[body]["properties"]["kind"] = kinds.clone();
    }
    // Nothing is read here, so that nothing can follow from it.
    all["WantedBody"]["properties"]["then"] = json!({ "enum": [null] });
    let some = |names: &str| {
        let of = |name: &str| (name.to_owned(), json!({ "enum": words[name] }));
        let properties: serde_json::Map<_, _> = names.split(' ').map(of).collect();
        let required: Vec<&str> = names.split(' ').collect();
        json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
    };
    let sets = [
        "name id_number pan phone",
        "name id_number pan",
        "name id_number",
        "name business_name credit_code",
        "name id_number id_type certificate_number",
    ];
    // None of them takes in the others: who makes values up would keep to it.
    all["ElementsBody"] = json!({ "anyOf": sets.map(some) });
    let merchants = ["name id_number pan business_name credit_code", sets[1]].map(some);
    all["MerchantBody"]["properties"]["elements"] = json!({ "anyOf": merchants });
    let month = jiff::Timestamp::now().strftime("%Y-%m").to_string();
    for methods in described["paths"].as_object_mut().unwrap().values_mut() {
        for operation in methods.as_object_mut().unwrap().values_mut() {
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                if name == "Idempotency-Key" {
                    parameter["schema"] = json!({ "type": "string", "pattern": "^[a-z0-9]{12}$" });
                    continue;
                }
                let known = match name {
                    "id" => json!([ids[0], ids[1], ids[2], "x"]),
                    "month" => json!([month, "2026-13"]),
                    "before" => json!([ids[0], ids[2], "x"]),
                    _ => continue,
                };
                parameter["schema"] = json!({ "type": "string", "enum": known });
            }
        }
    }
    described
}

/// The client is told by webhook, at `listening`.
pub(crate) fn is_told(place: &Place, listening: &Channel) {
    place.write("hook.key", "0123456789abcdef".repeat(4));
    let hook = format!(
        "price_fen = 45\nwebhook = {{ url = \"http://{}/hefu\", key_file = \"hook.key\" }}\n",
        listening.address
    );
    place.replace("hefu.toml", "price_fen = 45\n", &hook);
}

/// A client that posts a batch, is told when it is over, and reads what became of each line; its statement has them.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story")]
async fn a_batch_is_asked_about_beside_the_client_who_is_told_and_pays() {
    let trial = provider(&["0000", "02"]).await;
    let listening = channel(|_| ok("")).await;
    let place = place(&trial, "").await;
    is_told(&place, &listening);
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let post = async |key: &str, body: Value| {
        let fields = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
        send(to, &request("POST /v1/batches", LENDER, &fields, &body.to_string())).await
    };
    let line = |phone: &str| four(phone)["elements"].clone();
    // One wrong line, and none is asked about.
    let wrong = post("a", json!({ "lines": [line(PHONE), line("1380"), { "pan": PAN }] })).await;
    let lines = json!([
        { "line": 2, "field": "phone", "detail": "not a mobile number" },
        { "line": 3, "field": "elements", "detail": "you may not ask about these elements together" },
    ]);
    assert_eq!((wrong.status(), &read(&wrong)["lines"]), (422, &lines));
    let many = |count: usize| (0..count).map(|_| json!({})).collect::<Vec<_>>().into();
    for lines in [json!([]), many(10_001), many(1_000_000)] {
        assert_eq!(post("a", json!({ "lines": lines })).await.status(), 422);
    }
    assert_eq!(send(to, &request("POST /v1/batches", SHOP, "", "{}")).await.status(), 403);
    let both = json!({ "lines": [line(PHONE), line("13800000001")] });
    let begun = post("a", both.clone()).await;
    assert_eq!(begun.status(), 202, "{begun:?}");
    let path = begun.field("location").unwrap().to_owned();
    soon(listening.arrived.notified()).await;
    let told = listening.messages()[0].clone();
    assert_eq!(
        (read(&told)["event"].as_str(), &read(&told)["batch"]),
        (Some("batch_done"), &read(&begun)["id"])
    );
    assert!(told.field("hefu-signature").is_some());
    let shown = read(&get(to, LENDER, &path).await);
    assert_eq!((&shown["status"], &shown["counts"]), (&json!("ended"), &json!({ "done": 2 })));
    let result = get(to, LENDER, &format!("{path}/result")).await;
    let rows: Vec<Vec<&str>> =
        result.text().lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 3, "{}", result.text());
    for row in &rows[1..] {
        assert_eq!((row[2], row.len()), ("done", 9), "{row:?}");
    }
    // Which of the two is asked about first is chance.
    let of_first = rows[1][3].to_owned();
    let mut answers: Vec<&str> = rows[1..].iter().map(|row| row[3]).collect();
    answers.sort_unstable();
    assert_eq!(answers, ["match", "no_match"]);
    // The same again is the same, and asks nobody.
    let again = post("a", both).await;
    assert_eq!((again.status(), &read(&again)["status"]), (202, &json!("ended")));
    assert_eq!(trial.messages().len(), 2);
    for path in [path.clone(), format!("{path}/result")] {
        assert_eq!(get(to, SHOP, &path).await.status(), 404);
    }
    // What does not wait is told, too.
    let mut body = four(PHONE);
    body["mode"] = json!("async");
    let begun = ask(to, LENDER, "b", &body).await;
    assert_eq!((begun.status(), &read(&begun)["status"]), (202, &json!("asking")));
    soon(listening.arrived.notified()).await;
    let told = read(&listening.messages()[1]);
    assert_eq!((&told["event"], &told["answer"]), (&json!("verification_done"), &json!(of_first)));
    assert_eq!(told["verification"], read(&begun)["id"]);
    let month =
        jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::Offset::constant(8)));
    let month = month.strftime("%Y-%m").to_string();
    let statement = read(&get(to, LENDER, &format!("/v1/statements/{month}")).await);
    assert_eq!(
        (&statement["total_fen"], &statement["complete"]),
        (&json!(135), &json!(false)),
        "{statement}"
    );
    assert_eq!(get(to, SHOP, &format!("/v1/statements/{month}")).await.status(), 403);
    assert_eq!(get(to, LENDER, "/v1/statements/2026-13").await.status(), 404);
}

/// More than the contract allows is refused until there is more, and a client that must sign is heard only where it does.
#[tokio::test]
async fn quotas_and_signatures_hold_over_sockets() {
    let trial = provider(&[]).await;
    let place = place(&trial, "").await;
    place.write("signing.key", "0123456789abcdef".repeat(4));
    place.replace("hefu.toml", "price_fen = 45\n", "price_fen = 45\nper_day = 2\n");
    place.replace(
        "hefu.toml",
        "name = \"shop\"\n",
        "name = \"shop\"\nsigning_key_file = \"signing.key\"\n",
    );
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    for (key, status) in [("a", 201), ("b", 201), ("c", 429), ("a", 200), ("d", 429)] {
        let told = ask(to, LENDER, key, &four(PHONE)).await;
        assert_eq!(told.status(), status, "{key}: {told:?}");
        if status == 429 {
            let wait: u64 = told.field("retry-after").unwrap().parse().unwrap();
            assert!((1..=86_400).contains(&wait), "{wait}");
        }
    }
    let body = four(PHONE).to_string();
    let signed = |key: &[u8], body: &str| signature(key, "one", body);
    let key = "0123456789abcdef".repeat(4);
    for (signature, status) in [
        (String::new(), 401),
        (signed(b"another", &body), 401),
        (signed(key.as_bytes(), "{}"), 401),
        (signed(key.as_bytes(), &body), 201),
    ] {
        let fields =
            format!("Content-Type: application/json\r\nIdempotency-Key: one\r\n{signature}");
        let told = send(to, &request("POST /v1/verifications", SHOP, &fields, &body)).await;
        assert_eq!(told.status(), status, "{signature}: {told:?}");
    }
}
