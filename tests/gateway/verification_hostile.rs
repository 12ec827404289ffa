//! The verification service before who means it ill: whatever comes over the wire has the answer that is documented, and nobody
//! else notices.

use crate::assessed::provider;
use crate::peers::{Message, Peer, soon};
use crate::process::Hefu;
use crate::verification::{
    LENDER, PAN, PHONE, SHOP, ask, four, get, place, read, request, send, waiting,
};
use serde_json::{Value, json};
use std::fmt::Write as _;
use tokio::task::JoinSet;

const NAMED: &str = "Content-Type: application/json\r\nIdempotency-Key: k\r\n";

fn post(body: &str) -> String {
    request("POST /v1/verifications", LENDER, NAMED, body)
}

/// A request whose body comes in chunks.
fn chunked(chunks: &str) -> String {
    let head = post("").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    head + chunks
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// What is JSON for one reader and something else for another, or has no end.
#[tokio::test]
async fn a_body_is_read_in_one_way_or_not_at_all() {
    let trial = provider(&[]).await;
    let place = place(&trial, "").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let good = four(PHONE).to_string();
    let elements = good.strip_prefix("{\"elements\":").unwrap().strip_suffix('}').unwrap();
    let deep = |open: &str, close: &str| [open.repeat(5000), close.repeat(5000)].concat();
    let bodies = [
        format!("{{\"elements\":{elements},\"elements\":{elements}}}"),
        format!("{{\"elements\":{elements},\"\\u0065lements\":{elements}}}"),
        good.replace("\"phone\"", "\"phone\":\"13800000001\",\"ph\\u006fne\""),
        format!("{{\"elements\":{elements},\"mode\":\"sync\",\"mode\":\"async\"}}"),
        format!("{{\"elements\":{elements},\"then\":{{}},\"then\":null}}"),
        format!("{{\"elements\":{}}}", deep("[", "]")),
        format!("{{\"elements\":{}}}", deep("{\"name\":", "}")),
        deep("[", "]"),
        good.replace(&format!("\"{PHONE}\""), "1e999"),
        good.replace(&format!("\"{PHONE}\""), &"9".repeat(5000)),
        good.replace(&format!("\"{PHONE}\""), PHONE),
        format!("{good}{good}"),
        format!("{good},"),
        format!("\u{feff}{good}"),
        good.replace("张三", "\\ud800"),
        good.replace('"', "'"),
        format!("// a comment\n{good}"),
        format!("{}]", good.strip_suffix('}').unwrap()),
    ];
    for body in &bodies {
        let told = send(to, &post(body)).await;
        assert_eq!(told.status(), 400, "{body:.200}: {told:?}");
        assert_eq!(told.field("content-type"), Some("application/problem+json"));
    }
    // The same of lines, and of merchants.
    for (path, body) in [
        ("batches", format!("{{\"lines\":[{elements}],\"lines\":[]}}")),
        ("batches", format!("{{\"lines\":{}}}", deep("[", "]"))),
        (
            "batches",
            format!("{{\"lines\":[{elements}],\"kind\":\"elements\",\"kind\":\"railway\"}}"),
        ),
        ("batches", "{\"lines\":[1e400]}".to_owned()),
        ("onboardings", format!("{{\"elements\":{elements},\"elements\":{elements}}}")),
        ("onboardings", format!("{{\"elements\":{}}}", deep("[", "]"))),
    ] {
        let told = send(to, &request(&format!("POST /v1/{path}"), LENDER, NAMED, &body)).await;
        assert_eq!(told.status(), 400, "{path} {body:.200}: {told:?}");
    }
    // What is no UTF-8.
    let gbk = [&b"{\"elements\":{\"name\":\"\xd5\xc5\xc8\xfd\""[..], b"}}"].concat();
    let head = request("POST /v1/verifications", LENDER, NAMED, &"x".repeat(gbk.len()));
    let mut peer = Peer::connect(to).await;
    peer.send([&head.as_bytes()[..head.len() - gbk.len()], &gbk].concat()).await;
    assert_eq!(peer.answer().await.status(), 400);
    // Nothing stands under that key.
    assert_eq!(ask(to, LENDER, "k", &four(PHONE)).await.status(), 201);
    assert_eq!(trial.messages().len(), 1);
    assert!(!hefu.log.has("panicked") && !hefu.log.has(PHONE), "{}", hefu.log.text());
}

/// A body that comes in chunks is as long as may be, in time, and then read; else it is told what is wrong with it.
#[tokio::test]
async fn a_body_in_chunks_ends_or_is_ended() {
    let trial = provider(&[]).await;
    let bounds = "[verification]\nbody = \"2KiB\"\nbody_deadline = \"1s\"";
    let place = place(&trial, bounds).await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let good = four(PHONE).to_string();
    let (half, rest) = good.split_at(20);
    let whole = chunked(&[chunk(half), chunk(rest), "0\r\n\r\n".to_owned()].concat());
    assert_eq!(send(to, &whole).await.status(), 201);
    // One that never ends, by much and by little.
    let told = send(to, &chunked(&chunk(&" ".repeat(1000)).repeat(3))).await;
    assert_eq!(told.status(), 413, "{told:?}");
    let told = send(to, &chunked(&chunk(" "))).await;
    assert_eq!(told.status(), 408, "{told:?}");
    // One that is none, or breaks off.
    for chunks in ["x\r\n{}\r\n0\r\n\r\n", "-1\r\n", "ffffffffffffffffff\r\n{}", "2\r\n{}x\r\n"] {
        let told = send(to, &chunked(chunks)).await;
        assert_eq!(told.status(), 400, "{chunks:?}: {told:?}");
    }
    // Nothing can be hidden behind two lengths: what is read is what the chunks have, and the connection is not used again.
    let both = whole.replace("Transfer-Encoding", "Content-Length: 3\r\nTransfer-Encoding");
    let mut peer = Peer::connect(to).await;
    peer.send(both.clone() + &both).await;
    let first = peer.answer().await.status();
    assert!([200, 400].contains(&first), "{first}");
    for lengths in ["3\r\nContent-Length: 4", "+3", "3, 4", "-1", "99999999999999999999999"] {
        let told = send(
            to,
            &post("abc").replace("Content-Length: 3", &format!("Content-Length: {lengths}")),
        )
        .await;
        assert_eq!(told.status(), 400, "{lengths}: {told:?}");
    }
    assert_eq!(trial.messages().len(), 1);
}

/// Who waits for leave to send a body has it where they may send one, and is refused before it where not.
#[tokio::test]
async fn leave_to_send_a_body_is_given_to_clients_alone() {
    let trial = provider(&[]).await;
    let place = place(&trial, "").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let fields = format!("{NAMED}Expect: 100-continue\r\n");
    let body = four(PHONE).to_string();
    for (key, expected) in [(LENDER, &[100, 201][..]), ("nobody's", &[401]), ("hefu_a1_", &[401])] {
        let whole = request("POST /v1/verifications", key, &fields, &body);
        let mut peer = Peer::connect(to).await;
        peer.send(&whole.as_bytes()[..whole.len() - body.len()]).await;
        let mut statuses = vec![peer.answer().await.status()];
        if statuses == [100] {
            peer.send(&body).await;
            statuses.push(peer.answer().await.status());
        }
        assert_eq!(statuses, expected, "{key}");
    }
}

/// Requests that come at once on one connection are answered in their order; a body that nobody reads is no request.
#[tokio::test]
async fn what_comes_at_once_on_one_connection_is_answered_in_its_order() {
    let trial = provider(&[]).await;
    let place = place(&trial, "[verification]\nhead_deadline = \"1s\"").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let other = four("13800000001").to_string();
    let all = [
        post(&four(PHONE).to_string()),
        post(&other),
        request("GET /v1/verifications?limit=0", LENDER, "", ""),
        request("GET /v1/verifications", "nobody's", "", ""),
        post(&four(PHONE).to_string()),
    ];
    let mut peer = Peer::connect(to).await;
    peer.send(all.concat()).await;
    for expected in [201, 409, 400, 401, 200] {
        assert_eq!(peer.answer().await.status(), expected);
    }
    // A request within the body of one that is refused before it is read.
    let within =
        request("POST /v1/verifications", LENDER, &NAMED.replace("k\r", "hidden\r"), &other);
    let mut peer = Peer::connect(to).await;
    peer.send(request("POST /v1/verifications", "nobody's", NAMED, &within)).await;
    assert_eq!(peer.answer().await.status(), 401);
    assert!(soon(peer.message(false)).await.is_none_or(|next| next.status() == 400));
    assert_eq!(ask(to, LENDER, "hidden", &four(PHONE)).await.status(), 201);
    assert_eq!(trial.messages().len(), 1);
}

/// Who has said all they had to say keeps no connection of others.
#[tokio::test]
async fn a_connection_that_is_idle_is_closed() {
    let trial = provider(&[]).await;
    let place = place(&trial, "[verification]\nconnections = 1\nhead_deadline = \"1s\"").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let mut idle = Peer::connect(to).await;
    idle.send(request("GET /v1/verifications", LENDER, "", "")).await;
    assert_eq!(idle.answer().await.status(), 200);
    assert_eq!(get(to, LENDER, "/v1/verifications").await.status(), 200);
    assert!(idle.is_closed().await);
}

/// Every method on every place, and places that are nearly right.
#[tokio::test]
async fn other_methods_and_places_are_refused() {
    let trial = provider(&[]).await;
    let place = place(&trial, "").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let id = "01K0000000000000000000000A";
    let routes = [
        ("/v1/verifications".to_owned(), "GET,HEAD,POST"),
        (format!("/v1/verifications/{id}"), "GET,HEAD"),
        ("/v1/batches".to_owned(), "GET,HEAD,POST"),
        (format!("/v1/batches/{id}"), "GET,HEAD"),
        (format!("/v1/batches/{id}/result"), "GET,HEAD"),
        ("/v1/onboardings".to_owned(), "GET,HEAD,POST"),
        (format!("/v1/onboardings/{id}"), "GET,HEAD"),
        ("/v1/statements/2026-11".to_owned(), "GET,HEAD"),
    ];
    let sorted = |text: &str| {
        let mut words: Vec<_> = text.split(',').map(|it| it.trim().to_owned()).collect();
        words.sort();
        words
    };
    for (path, allowed) in &routes {
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get", "POST"] {
            if allowed.contains(method) {
                continue;
            }
            let told = send(to, &request(&format!("{method} {path}"), LENDER, "", "")).await;
            assert_eq!(told.status(), 405, "{method} {path}: {told:?}");
            assert_eq!(told.field("content-type"), Some("application/problem+json"), "{path}");
            assert_eq!(sorted(told.field("allow").unwrap()), sorted(allowed), "{path}");
        }
    }
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/verifications/",
        "//v1/verifications",
        "/v1//verifications",
        "/v1/./verifications",
        "/v1/%76erifications",
        "/V1/verifications",
        "/v1/batches/x/../result",
        "/v1/verifications;x",
        "/v1/verifications%00",
        "/v1/payments",
        "/metrics",
    ] {
        let told = get(to, LENDER, path).await;
        assert_eq!(told.status(), 404, "{path}: {told:?}");
        assert_eq!(told.field("content-type"), Some("application/problem+json"), "{path}");
    }
    assert!(trial.messages().is_empty() && !hefu.log.has("panicked"));
}

/// What is no HTTP/1 has no problem to read: the connection is over.
#[tokio::test]
async fn what_is_no_request_is_refused_and_no_more_is_read() {
    let trial = provider(&[]).await;
    let place = place(&trial, "").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    for (raw, status) in [
        ("GET /v1/verifications HTTP/1.1\r\nHost: a\r\n broken\r\n\r\n", 400),
        ("GET /v1/verifications HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET /v1/veri\u{0}fications HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}\u{2}\r\n\r\n", 400),
    ] {
        let told = send(to, raw).await;
        assert_eq!((told.status(), told.body.len()), (status, 0), "{raw:?}: {told:?}");
    }
    let many = (0..70).fold(String::new(), |mut fields, nth| {
        let _infallible = write!(fields, "X-{nth}: x\r\n");
        fields
    });
    let long = format!("X: {}\r\n", "x".repeat(20_000));
    for fields in [many, long] {
        let told = send(to, &request("GET /v1/verifications", LENDER, &fields, "")).await;
        assert_eq!(told.status(), 431, "{told:?}");
    }
    assert_eq!(get(to, LENDER, "/v1/verifications").await.status(), 200);
    assert!(trial.messages().is_empty() && !hefu.log.has("panicked"));
}

/// Queries that no client would send.
#[tokio::test]
async fn absurd_queries_are_refused() {
    let trial = provider(&[]).await;
    let place = place(&trial, "").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    for path in ["/v1/verifications", "/v1/batches", "/v1/onboardings"] {
        for query in [
            "limit=18446744073709551616",
            "limit=-1",
            "limit=+1",
            "limit=1.0",
            "limit=1e2",
            "limit=",
            "limit=%31%00",
            "limit[]=1",
            "before=",
            "before=%FF",
            "before=01K0000000000000000000000%0A",
            "before=8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "before=../x",
            "before=x%0Ay",
            "before=1&before=2",
            "x",
            "=",
        ] {
            let told = get(to, LENDER, &format!("{path}?{query}")).await;
            assert_eq!(told.status(), 400, "{path}?{query}: {told:?}");
        }
        for query in ["", "limit=100", "limit=1&before=01K0000000000000000000000A", "&&"] {
            let told = get(to, LENDER, &format!("{path}?{query}")).await;
            assert_eq!(told.status(), 200, "{path}?{query}: {told:?}");
        }
    }
    for month in
        ["2026-00", "2026-1", "02026-11", "-2026-11", "9999-12", "0000-01", "2026-11-01", "٢٠٢٦-11"]
    {
        let told = get(to, LENDER, &format!("/v1/statements/{month}")).await;
        assert!([200, 404, 400].contains(&told.status()), "{month}: {told:?}");
    }
}

/// Whoever names what is another's is told what is told of what is nobody's.
#[tokio::test]
async fn ids_of_others_are_ids_of_nobody() {
    let trial = provider(&[]).await;
    let place = place(&trial, "").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let first = ask(to, LENDER, "k", &four(PHONE)).await;
    let lines = json!({ "lines": [four(PHONE)["elements"]] }).to_string();
    let batch =
        send(to, &request("POST /v1/batches", LENDER, &NAMED.replace("k\r", "b\r"), &lines)).await;
    let [verification, batch] =
        [first, batch].map(|it| read(&it)["id"].as_str().unwrap().to_owned());
    let nobodys = "01K0000000000000000000000A";
    for (path, suffix) in
        [("verifications", ""), ("batches", ""), ("batches", "/result"), ("onboardings", "")]
    {
        let none = get(to, SHOP, &format!("/v1/{path}/{nobodys}{suffix}")).await;
        assert_eq!(none.status(), 404, "{path}{suffix}");
        for id in [&*verification, &batch, "x", "01K0000000000000000000000A%0A"] {
            let told = get(to, SHOP, &format!("/v1/{path}/{id}{suffix}")).await;
            assert_eq!((told.status(), told.text()), (404, none.text()), "{path}/{id}{suffix}");
        }
    }
    // Nor is a verification a batch, or the other way round, to whose it is.
    for path in [format!("batches/{verification}"), format!("verifications/{batch}")] {
        assert_eq!(get(to, LENDER, &format!("/v1/{path}")).await.status(), 404, "{path}");
    }
    // A list before another's is one's own.
    let page = get(to, SHOP, &format!("/v1/verifications?before={verification}")).await;
    assert_eq!(read(&page), json!({ "verifications": [], "next": null }));
}

/// One request, sent again and again and by many at once: one question, one charge. Other content under its key is refused.
#[tokio::test]
async fn a_request_that_is_replayed_is_one() {
    let (told, trial) = waiting().await;
    let place = place(&trial, "").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let mut asking = JoinSet::new();
    for nth in 0..40_u8 {
        asking.spawn(async move {
            let phone = if nth % 4 == 3 { "13800000001" } else { PHONE };
            (phone == PHONE, ask(to, LENDER, "k", &four(phone)).await)
        });
    }
    soon(trial.arrived.notified()).await;
    // Whichever came first is what the key stands for; it is answered once the others are.
    let mut all: Vec<(bool, Message)> = Vec::new();
    while all.len() < 39 {
        all.push(soon(asking.join_next()).await.unwrap().unwrap());
    }
    told.notify_one();
    let (is_first, first) = soon(asking.join_next()).await.unwrap().unwrap();
    assert_eq!(first.status(), 201, "{first:?}");
    for (is_first_kind, other) in &all {
        let expected = if *is_first_kind == is_first { 202 } else { 409 };
        assert_eq!(other.status(), expected, "{other:?}");
    }
    assert_eq!(trial.messages().len(), 1);
    let listed = read(&get(to, LENDER, "/v1/verifications").await);
    assert_eq!(listed["verifications"].as_array().map(Vec::len), Some(1), "{listed}");
    assert!(!listed.to_string().contains(PAN) && listed["next"] == Value::Null);
}

/// Who guesses keys is slowed down together with all who guess, and no client is.
#[tokio::test]
async fn who_guesses_keys_slows_no_client_down() {
    let trial = provider(&[]).await;
    let place = place(&trial, "").await;
    let hefu = Hefu::start(place.command()).await;
    let to = hefu.verification.unwrap();
    let mut peer = Peer::connect(to).await;
    let mut statuses = std::collections::BTreeSet::new();
    for nth in 0..200 {
        let key = format!("hefu_a1_guess-{nth}");
        peer.send(request("GET /v1/verifications", &key, "", "")).await;
        statuses.insert(peer.answer().await.status());
        if nth % 50 == 0 {
            assert_eq!(get(to, LENDER, "/v1/verifications").await.status(), 200);
        }
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [401, 429]);
}
