//! What a channel may do, and what the core then gets: at most one request, and the truth about it.

use crate::peers::{Reply, World, channel, ok, plan, post, soon};
use hefu::proxy::upstream::OnDoubt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// An address that nobody listens on, and that nobody else is given while the tests run.
pub(crate) fn dead() -> SocketAddr {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

#[tokio::test]
async fn a_request_is_sent_once_whatever_the_method() {
    for method in ["POST", "PUT", "GET", "DELETE", "OPTIONS"] {
        // The first answer leaves a kept connection; on it the channel reads the second request and closes.
        let bank = channel(|number| if number == 0 { ok("done") } else { Reply::Close }).await;
        let world = World::with(&bank).await;
        let request =
            format!("{method} /pay/x HTTP/1.1\r\nHost: bank\r\nContent-Length: 4\r\n\r\nbody");
        assert_eq!(world.ask(&request).await.status(), 200);
        let answer = world.ask(&request).await;
        assert_eq!(
            (answer.status(), answer.text().contains(r#""forwarded":true"#)),
            (504, true),
            "{method}"
        );
        let seen = bank.messages();
        assert_eq!((seen.len(), seen[1].connection, bank.connections()), (2, 1, 1), "{method}");
        assert_eq!(world.settled(), ["200 4", "InDoubt(Broken)"]);
    }
}

#[tokio::test]
async fn a_doubt_may_be_a_closed_connection() {
    let bank = channel(|_| Reply::Close).await;
    let mut plan = plan(&[bank.address]);
    plan.settings.on_doubt = OnDoubt::Close;
    let world = plan.serve().await;
    let mut core = world.core().await;
    core.send(post(b"body")).await;
    assert!(core.is_closed().await);
    assert_eq!(bank.messages().len(), 1);
}

#[tokio::test]
async fn a_connection_that_the_channel_closed_is_not_used() {
    let bank =
        channel(|_| Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())).await;
    let world = World::with(&bank).await;
    for _ in 0..20 {
        // The close may arrive late, on the wire and in the pool; then the message is in doubt, never sent again.
        let answer = world.ask(post(b"body")).await;
        assert!(matches!(answer.status(), 200 | 504));
    }
    assert!(bank.messages().len() <= 20);
}

#[tokio::test]
async fn garbage_is_in_doubt_and_ends_the_connection() {
    let head = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}");
    let storm = "HTTP/1.1 102 Processing\r\n\r\n".repeat(40) + &head("Content-Length: 0\r\n\r\n");
    let table = [
        "<html>hello</html>\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".to_owned(),
        "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        head("Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk"),
        head("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok"),
        head("Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        head("X: y\r\n z\r\nContent-Length: 0\r\n\r\n"),
        storm,
        "HTTP/1.1 102 Processing\r\nX: \0\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(70_000)),
    ];
    let replies = table.clone();
    let bank = channel(move |number| Reply::Answer(replies[number].clone().into_bytes())).await;
    let world = World::with(&bank).await;
    for (number, garbage) in table.iter().enumerate() {
        assert_eq!(world.ask(post(b"body")).await.status(), 504, "{garbage:.60}");
        // Each message came once, and each on a connection of its own.
        assert_eq!(
            (bank.messages().len(), bank.connections()),
            (number + 1, number + 1),
            "{garbage:.60}"
        );
    }
    assert_eq!(world.settled(), vec!["InDoubt(Garbled)"; table.len()]);
}

#[tokio::test]
async fn a_truncated_answer_is_in_doubt() {
    for truncated in [
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let bank = channel(|_| Reply::Last(truncated.into())).await;
        let world = World::with(&bank).await;
        assert_eq!(world.ask(post(b"body")).await.status(), 504, "{truncated:?}");
        assert_eq!(world.settled(), ["InDoubt(Broken)"]);
    }
}

#[tokio::test]
async fn a_late_answer_is_in_doubt() {
    let bank = channel(|_| Reply::Silence).await;
    let mut plan = plan(&[bank.address]);
    plan.settings.answer_timeout = Duration::from_millis(50);
    let world = plan.serve().await;
    assert_eq!(world.ask(post(b"body")).await.status(), 504);
    assert_eq!((world.settled(), bank.messages().len()), (vec!["InDoubt(Late)".to_owned()], 1));
}

#[tokio::test]
async fn every_lawful_answer_arrives_whole() {
    let fine = "HTTP/1.1 200 Fine\r\nx-OdD: 1\r\nHefu-Outcome: succeeded\r\n";
    for (answer, connections) in [
        (format!("{fine}Content-Length: 2\r\n\r\nok"), 1),
        (format!("{fine}Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"), 1),
        (
            format!(
                "{fine}Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\nHefu-Outcome: z\r\n\r\n"
            ),
            1,
        ),
        (
            format!(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\n{fine}Content-Length: 2\r\n\r\nok"
            ),
            1,
        ),
        (format!("{fine}Connection: X-Hop, close\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok"), 2),
        (format!("{}Content-Length: 2\r\n\r\nok", fine.replace("1.1", "1.0")), 2),
    ] {
        let bytes = answer.clone().into_bytes();
        let bank = channel(move |_| Reply::Answer(bytes.clone())).await;
        let world = World::with(&bank).await;
        for _ in 0..2 {
            let got = world.ask(post(b"body")).await;
            assert_eq!((got.status(), got.text()), (200, "ok"), "{answer}");
            assert!(got.head.starts_with("HTTP/1.1 200 Fine\r\nx-OdD: 1\r\n"), "{}", got.head);
            assert!(
                got.head.contains("\r\nContent-Length: 2\r\n")
                    && got.head.contains("\r\nHefu-Outcome: unmapped\r\n")
            );
            assert!(!got.head.contains("succeeded") && !got.head.contains("X-Hop"), "{}", got.head);
        }
        assert_eq!(
            (world.settled(), bank.connections()),
            (vec!["200 2".to_owned(); 2], connections),
            "{answer}"
        );
    }
    let bank = channel(move |_| Reply::Last(format!("{fine}\r\nok").into_bytes())).await;
    let got = World::with(&bank).await.ask(post(b"body")).await;
    assert_eq!((got.text(), got.field("content-length")), ("ok", Some("2")), "until close");
}

#[tokio::test]
async fn bytes_after_an_answer_are_not_believed() {
    let bank = channel(|_| Reply::Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".to_vec())).await;
    let world = World::with(&bank).await;
    for _ in 0..2 {
        assert_eq!(world.ask(post(b"body")).await.text(), "ok");
    }
    assert_eq!(
        (world.settled(), bank.connections()),
        (vec!["Unread { status: 200 }".to_owned(); 2], 2)
    );
}

#[tokio::test]
async fn answers_without_a_body() {
    let bank = channel(|number| match number {
        0 => Reply::Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec()),
        1 => Reply::Answer(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        2 => Reply::Answer(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n".to_vec()),
        _ => ok("done"),
    })
    .await;
    let world = World::with(&bank).await;
    let mut core = world.core().await;
    core.send("HEAD /pay/x HTTP/1.1\r\nHost: bank\r\n\r\n").await;
    let answer = soon(core.message(true)).await.unwrap();
    assert_eq!(answer.field("content-length"), Some("1000"));
    core.send("GET /pay/x HTTP/1.1\r\nHost: bank\r\n\r\n").await;
    let answer = core.answer().await;
    assert_eq!((answer.status(), answer.field("content-length")), (204, None));
    core.send("GET /pay/x HTTP/1.1\r\nHost: bank\r\n\r\n").await;
    let answer = soon(core.message(true)).await.unwrap();
    assert_eq!((answer.status(), answer.field("content-length")), (304, Some("7")));
    core.send("GET /pay/x HTTP/1.1\r\nHost: bank\r\n\r\n").await;
    assert_eq!(core.answer().await.text(), "done");
    assert_eq!((bank.connections(), bank.messages()[1].field("content-length")), (1, None));
}

#[tokio::test]
async fn an_answer_over_the_limit_is_streamed_on() {
    let body = "x".repeat(300 * 1024);
    let by_length = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let by_chunks = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let until_close = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
    for bytes in [by_length, by_chunks, until_close] {
        let bank =
            channel(
                move |number| {
                    if number == 0 { Reply::Last(bytes.clone().into_bytes()) } else { ok("done") }
                },
            )
            .await;
        let world = World::with(&bank).await;
        let mut core = world.core().await;
        core.send(post(b"body")).await;
        let answer = core.answer().await;
        assert!(answer.text() == body, "{}", answer.head);
        assert_eq!(answer.field("hefu-outcome"), Some("unmapped"));
        core.send(post(b"body")).await;
        assert_eq!(core.answer().await.text(), "done");
        assert_eq!(
            (world.settled()[0].as_str(), bank.connections()),
            ("Unread { status: 200 }", 2)
        );
    }
    // A core of HTTP/1.0 cannot read chunks: the end of the connection ends the body.
    let bank = channel(move |_| {
        Reply::Last(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(300 * 1024)).into_bytes())
    })
    .await;
    let world = World::with(&bank).await;
    let answer = world.ask("GET /pay/x HTTP/1.0\r\nHost: bank\r\n\r\n").await;
    assert_eq!((answer.body.len(), answer.field("transfer-encoding")), (300 * 1024, None));
}

#[tokio::test]
async fn the_next_address_gets_the_same_bytes_once() {
    let bank = channel(|_| ok("done")).await;
    let world = plan(&[dead(), bank.address]).serve().await;
    for _ in 0..2 {
        assert_eq!(world.ask(post(b"body")).await.text(), "done");
    }
    let direct = channel(|_| ok("done")).await;
    World::with(&direct).await.ask(post(b"body")).await;
    let seen = bank.messages();
    assert_eq!((seen.len(), &seen[0].head), (2, &direct.messages()[0].head));

    let first = channel(|_| Reply::Close).await;
    let second = channel(|_| ok("done")).await;
    let world = plan(&[first.address, second.address]).serve().await;
    assert_eq!(world.ask(post(b"body")).await.status(), 504, "the first address may have it");
    assert_eq!((first.messages().len(), second.connections()), (1, 0));
}

#[tokio::test]
async fn what_reaches_nobody_was_not_sent() {
    let world = plan(&[dead(), dead()]).serve().await;
    let answer = world.ask(post(b"body")).await;
    assert_eq!((answer.status(), answer.field("retry-after")), (503, Some("1")));
    assert!(answer.text().contains(r#""forwarded":false"#));
    assert_eq!(world.settled(), ["NotSent"]);
}

#[tokio::test]
async fn once_permitted_an_exchange_is_finished_without_the_core() {
    let told = Arc::new(Notify::new());
    let wait = Arc::clone(&told);
    let bank = channel(move |_| {
        Reply::Wait(Arc::clone(&wait), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())
    })
    .await;
    let world = World::with(&bank).await;
    let mut core = world.core().await;
    core.send(post(b"body")).await;
    soon(bank.arrived.notified()).await;
    drop(core);
    told.notify_one();
    soon(world.gate.settling.notified()).await;
    assert_eq!(world.settled(), ["200 2"]);
}

#[tokio::test]
async fn before_the_permit_a_core_that_is_gone_sends_nothing() {
    let hold = Arc::new(Notify::new());
    let bank = channel(|_| ok("done")).await;
    let mut plan = plan(&[bank.address]);
    plan.hold = Some(Arc::clone(&hold));
    let world = plan.serve().await;
    let mut core = world.core().await;
    core.send(post(b"body")).await;
    soon(world.gate.judging.notified()).await;
    drop(core);
    // Once another connection was served, the system has told of the close.
    assert_eq!(world.ask("GET /other HTTP/1.1\r\nHost: bank\r\n\r\n").await.status(), 404);
    hold.notify_one();
    soon(world.gate.settling.notified()).await;
    assert_eq!((world.settled(), bank.connections()), (vec!["NotSent".to_owned()], 0));
}
