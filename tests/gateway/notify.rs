//! Notifications over real sockets and a real process: the bytes both ways, and what is durable when an acknowledgement comes.

use crate::cluster::Cluster;
use crate::peers::{Channel, Message, Peer, Reply, channel, ok, soon};
use crate::process::{Hefu, Place};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use std::net::SocketAddr;
use std::sync::LazyLock;
use tokio::net::TcpStream;

static KEY: LazyLock<PKey<Private>> =
    LazyLock::new(|| PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap());

/// The made-up channel before `bank`, whose notifications go to `core`; its key is pinned.
fn place(bank: &Channel, core: SocketAddr, store: &str) -> Place {
    let place = Place::to(bank);
    place.enforce();
    place.write("notify.pem", KEY.public_key_to_pem().unwrap());
    place.replace("hefu.toml", "[listen]", "[listen]\nnotify = \"127.0.0.1:0\"");
    place.replace("hefu.toml", "[secrets]", &format!("{store}\n[secrets]"));
    place.replace(
        "hefu.toml",
        "[channels.acme]",
        &format!("[channels.acme]\nkeys = {{ notify = \"notify.pem\" }}\nnotify_core = \"http://{core}\"\nanswer_timeout = \"1s\""),
    );
    place
}

const FILE: &str = "[store]\nfile = \"hefu.db\"";

fn debit(order: usize) -> String {
    let body =
        format!(r#"{{"type":"by_agreement","order":"{order}","amount":"100","agreement":"A"}}"#);
    format!(
        "POST /acme/pay HTTP/1.1\r\nHost: bank\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What the channel says of an order, with its signature.
fn notification(order: usize, state: &str) -> String {
    let body = format!(
        r#"{{"of":"debit","order":"{order}","amount":"100","code":"ok","state":"{state}"}}"#
    );
    let mut signer = Signer::new(MessageDigest::sha256(), &KEY).unwrap();
    let signature = STANDARD.encode(signer.sign_oneshot_to_vec(body.as_bytes()).unwrap());
    format!(
        "POST /told/acme/x?from=bank HTTP/1.1\r\nhOST: hefu\r\nX-b: 2\r\nContent-Type: application/json\r\nSignature: {signature}\r\nx-A: 1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn told(hefu: &Hefu, notification: &str) -> Message {
    let mut bank = Peer::connect(hefu.notify.unwrap()).await;
    bank.send(notification).await;
    bank.answer().await
}

async fn total(hefu: &Hefu, line: &str) -> usize {
    let metrics = hefu.admin("GET /metrics", "").await;
    let found = metrics.text().lines().find_map(|it| it.strip_prefix(line));
    found.map_or(0, |value| value.trim().parse().unwrap())
}

const SETTLED: &str =
    "hefu_notifications_total{belief=\"verified\",channel=\"acme\",result=\"settled\"}";

#[tokio::test]
async fn not_a_byte_changes_on_the_way_to_the_core_or_back() {
    let acknowledgement = "HTTP/1.1 200 Taken\r\nserver: core/1\r\nX-Hefu: no\r\nSet-Cookie: a\r\ncontent-length: 6\r\nset-cookie: b\r\n\r\nno\0ted";
    let core = channel(move |_| Reply::Answer(acknowledgement.into())).await;
    let bank = channel(|_| ok("{}")).await;
    let place = place(&bank, core.address, FILE);
    let hefu = Hefu::start(place.command()).await;
    let signed = notification(1, "ok");
    let chunked = "POST /told/acme HTTP/1.1\r\nHost: hefu\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\u{e9}no\r\r\n2\r\n&&\r\n0\r\n\r\n";
    let cases = [
        (signed.as_str(), signed.split_once("\r\n\r\n").unwrap()),
        (
            "GET /told/acme?a=%2B+b&b=%e5&b= HTTP/1.1\r\nHost: hefu\r\nX-Z: %\r\n\r\n",
            ("GET /told/acme?a=%2B+b&b=%e5&b= HTTP/1.1\r\nHost: hefu\r\nX-Z: %", ""),
        ),
        (chunked, ("POST /told/acme HTTP/1.1\r\nHost: hefu\r\nContent-Length: 7", "\u{e9}no\r&&")),
    ];
    for (at, (sent, (head, body))) in cases.into_iter().enumerate() {
        let answer = told(&hefu, sent).await;
        assert_eq!(format!("{}{}", answer.head, answer.text()), acknowledgement);
        let got = core.messages()[at].clone();
        assert_eq!((got.head.trim_end(), got.text()), (head, body));
    }
    // What is no channel's is nobody's, and a channel is not told who refuses it.
    let astray =
        told(&hefu, "POST /told/other HTTP/1.1\r\nHost: hefu\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!((astray.status(), astray.text()), (404, ""));
    assert!(!astray.head.to_lowercase().contains("hefu"), "{}", astray.head);
    assert_eq!(core.messages().len(), 3);
}

/// Whatever becomes of the core, the channel is told in a way that it comes again, and nothing is believed meanwhile.
#[tokio::test]
async fn a_core_that_does_not_answer_acknowledges_nothing() {
    let bank = channel(|_| ok(r#"{"code":"taken"}"#)).await;
    let core = channel(|at| match at {
        0 => Reply::Close,
        1 => Reply::Answer(b"HTTP/1.1 2 what\r\n\r\n".to_vec()),
        2 => Reply::Silence,
        _ => ok("noted"),
    })
    .await;
    let place = place(&bank, core.address, FILE);
    let hefu = Hefu::start(place.command()).await;
    let mut payer = Peer::connect(hefu.core).await;
    payer.send(debit(1)).await;
    assert_eq!(payer.answer().await.status(), 200);
    let owed = "hefu_expectations_open{channel=\"acme\"}";
    for status in [502, 502, 504] {
        let answer = told(&hefu, &notification(1, "ok")).await;
        assert_eq!((answer.status(), answer.text()), (status, ""));
        assert!(!answer.head.to_lowercase().contains("hefu"), "{}", answer.head);
        assert_eq!(total(&hefu, owed).await, 1);
    }
    assert_eq!(told(&hefu, &notification(1, "ok")).await.status(), 200);
    assert_eq!((total(&hefu, owed).await, total(&hefu, SETTLED).await), (0, 1));
    // Nobody listens there any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    place.replace("hefu.toml", &core.address.to_string(), &gone.to_string());
    assert_eq!(hefu.admin("POST /v1/reload", "").await.status(), 204);
    assert_eq!(told(&hefu, &notification(1, "back")).await.status(), 502);
    assert_eq!(total(&hefu, SETTLED).await, 1);
}

/// The channel heard that it was taken, and what it had said was dropped: it did not come again.
#[tokio::test]
async fn what_is_taken_with_an_answer_that_cannot_be_read_is_kept() {
    let bank = channel(|_| ok(r#"{"code":"taken"}"#)).await;
    let long = "x".repeat((1 << 20) + 1);
    let core = channel(move |at| {
        let (more, body) = match at {
            0 => ("", "noted\r\n"),
            1 => ("Content-Encoding: br\r\n", "noted"),
            2 => ("Content-Encoding: gzip\r\n", "noted"),
            _ => ("", long.as_str()),
        };
        let length = body.trim_end().len();
        Reply::Answer(
            format!("HTTP/1.1 200 OK\r\n{more}Content-Length: {length}\r\n\r\n{body}").into_bytes(),
        )
    })
    .await;
    let place = place(&bank, core.address, FILE);
    let hefu = Hefu::start(place.command()).await;
    let mut payer = Peer::connect(hefu.core).await;
    for order in 1..=4 {
        payer.send(debit(order)).await;
        assert_eq!(payer.answer().await.status(), 200);
        assert_eq!(told(&hefu, &notification(order, "ok")).await.status(), 200);
        assert_eq!(total(&hefu, SETTLED).await, order);
        assert_eq!(total(&hefu, "hefu_expectations_open{channel=\"acme\"}").await, 0);
    }
}

/// With its database gone, Hefu passes notifications on and no acknowledgement back.
#[tokio::test]
async fn an_acknowledgement_waits_for_the_store() {
    let mut cluster = Cluster::start();
    let bank = channel(|_| ok(r#"{"code":"taken"}"#)).await;
    let core = channel(|_| ok("noted")).await;
    let store =
        format!("[store]\npostgres = \"host={} user=hefu dbname=postgres\"", cluster.place());
    let place = place(&bank, core.address, &store);
    let hefu = Hefu::start(place.command()).await;
    let mut payer = Peer::connect(hefu.core).await;
    payer.send(debit(1)).await;
    assert_eq!(payer.answer().await.status(), 200);
    cluster.stop();
    let answer = told(&hefu, &notification(1, "ok")).await;
    assert_eq!((answer.status(), answer.text()), (503, ""));
    assert_eq!(core.messages().len(), 1, "the core has it all the same");
    cluster.go_on();
    while told(&hefu, &notification(1, "ok")).await.status() == 503 {}
    drop(hefu);
    let hefu = Hefu::start(place.command()).await;
    assert_eq!(total(&hefu, "hefu_expectations_open{channel=\"acme\"}").await, 0);
    assert_eq!(total(&hefu, SETTLED).await, 0);
}

/// Killed under load: what a channel was told that the core acknowledged is known afterwards.
#[tokio::test]
async fn what_was_acknowledged_is_known_after_kill_9() {
    let bank = channel(|_| ok(r#"{"code":"taken"}"#)).await;
    let core = channel(|_| ok("noted")).await;
    let place = place(&bank, core.address, FILE);
    let mut acknowledged = 0_usize;
    let mut cut_off = Vec::new();
    for round in 0..4 {
        let hefu = Hefu::start(place.command()).await;
        let (payer, notify) = (hefu.core, hefu.notify.unwrap());
        let firsts = [0, 1, 2, 3].map(|lane| (round * 4 + lane) * 1_000_000);
        let lanes = firsts.map(|first| tokio::spawn(lane_of(payer, notify, first)));
        let enough = core.messages().len() + 20 + 17 * round;
        while core.messages().len() < enough {
            soon(core.arrived.notified()).await;
        }
        drop(hefu);
        let mut known = Vec::new();
        for (lane, first) in lanes.into_iter().zip(firsts) {
            let of_lane = soon(lane).await.unwrap();
            cut_off.push(first + of_lane.len());
            known.extend(of_lane);
        }
        let hefu = Hefu::start(place.command()).await;
        for order in &known {
            assert_eq!(told(&hefu, &notification(*order, "ok")).await.status(), 200);
        }
        let lost = total(&hefu, SETTLED).await;
        assert_eq!(lost, 0, "of {} acknowledged, {lost} were news again", known.len());
        acknowledged += known.len();
    }
    assert!(acknowledged > 40, "{acknowledged}");
    // What was cut off is owed, and settled when the channel comes again: then nothing is.
    let hefu = Hefu::start(place.command()).await;
    let owed = total(&hefu, "hefu_expectations_open{channel=\"acme\"}").await;
    assert!(owed <= cut_off.len(), "{owed}");
    for order in cut_off {
        assert_eq!(told(&hefu, &notification(order, "ok")).await.status(), 200, "{order}");
    }
    let metrics = hefu.admin("GET /metrics", "").await;
    let open = metrics.text().lines().find(|line| line.starts_with("hefu_expectations_open"));
    assert_eq!(open, Some("hefu_expectations_open{channel=\"acme\"} 0"));
}

/// One debit and its notification after the other until the process dies; the orders of which an acknowledgement came.
async fn lane_of(payer: SocketAddr, notify: SocketAddr, first: usize) -> Vec<usize> {
    let mut known = Vec::new();
    let connect = |address| async move {
        let stream = TcpStream::connect(address).await.ok()?;
        Some(Peer { stream, ahead: Vec::new() })
    };
    let (Some(mut payer), Some(mut bank)) = (connect(payer).await, connect(notify).await) else {
        return known;
    };
    for order in first.. {
        payer.send(debit(order)).await;
        if payer.message(false).await.is_none() {
            break;
        }
        bank.send(notification(order, "ok")).await;
        match bank.message(false).await {
            Some(answer) if answer.status() == 200 => known.push(order),
            Some(_) | None => break,
        }
    }
    known
}
