//! What is refused leaves no trace at the channel: no byte, no connection.

use crate::peers::{Judgement, Peer, World, channel, ok, plan, post};
use std::time::Duration;

#[tokio::test]
async fn a_framing_refusal_closes_and_connects_nowhere() {
    let bank = channel(|_| ok("done")).await;
    let world = World::with(&bank).await;
    let many = "X-A: b\r\n".repeat(101);
    let long = format!("X-A: {}\r\n", "b".repeat(17 * 1024));
    let table = [
        (
            400,
            "POST /pay/x HTTP/1.1\r\nHost: bank\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            400,
            "POST /pay/x HTTP/1.1\r\nHost: bank\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        (501, "POST /pay/x HTTP/1.1\r\nHost: bank\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        (400, "POST /pay/x HTTP/1.1\r\nHost: bank\r\nContent-Length: 010\r\n\r\n0123456789"),
        (400, "POST /pay/x HTTP/1.1\r\nHost: bank\nX: y\r\n\r\n"),
        (400, "POST /pay/x HTTP/1.1\nHost: bank\n\n"),
        (400, "\x16\x03\x01\x02\0\x01\0"),
        (
            400,
            "POST /pay/x HTTP/1.1\r\nHost: bank\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        ),
        (400, "POST /pay/x HTTP/1.1\r\n\r\n"),
        (400, "POST /pay//x HTTP/1.1\r\nHost: bank\r\n\r\n"),
        (400, "POST /file/%2e%2e/pay/x HTTP/1.1\r\nHost: bank\r\n\r\n"),
        (400, "POST /pay/x?_method=GET HTTP/1.1\r\nHost: bank\r\n\r\n"),
        (400, "POST /pay/x HTTP/1.1\r\nHost: bank\r\nX-Original-URL: /y\r\n\r\n"),
        (400, "POST /pay/x HTTP/1.1\r\nHost: bank\r\nExpect: gold\r\n\r\n"),
        (501, "CONNECT bank:443 HTTP/1.1\r\nHost: bank\r\n\r\n"),
        (501, "TRACE /pay/x HTTP/1.1\r\nHost: bank\r\n\r\n"),
        (501, "GET /file/x HTTP/1.1\r\nHost: bank\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"),
        (501, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"),
        (404, "GET /other HTTP/1.1\r\nHost: bank\r\n\r\n"),
        (404, "GET /pay/x HTTP/1.1\r\nHost: other\r\n\r\n"),
        (431, &format!("GET /pay/x HTTP/1.1\r\nHost: bank\r\n{many}\r\n")),
        (431, &format!("GET /pay/x HTTP/1.1\r\nHost: bank\r\n{long}\r\n")),
        (431, &format!("GET /pay/x?{} HTTP/1.1\r\n", "b".repeat(17 * 1024))),
    ];
    for (status, request) in table {
        let mut core = world.core().await;
        core.send(request).await;
        let answer = core.answer().await;
        assert_eq!(answer.status(), status, "{request:?}");
        assert_eq!(answer.field("content-type"), Some("application/problem+json"));
        assert!(answer.text().contains(r#""forwarded":false"#), "{}", answer.text());
        assert!(core.is_closed().await, "{request:?}");
    }
    assert_eq!(world.gate.refused.lock().unwrap().len(), table.len());
    assert_eq!((bank.connections(), world.judged()), (0, 0));
}

#[tokio::test]
async fn a_refusal_by_the_gate_sends_nothing_and_keeps_the_connection() {
    let bank = channel(|_| ok("done")).await;
    let mut plan = plan(&[bank.address]);
    plan.judgement = Judgement::Refuse;
    let world = plan.serve().await;
    let mut core = world.core().await;
    for _ in 0..2 {
        core.send(post(b"body")).await;
        let answer = core.answer().await;
        assert_eq!((answer.status(), answer.field("hefu-decision")), (403, Some("refuse")));
    }
    assert_eq!((bank.connections(), world.judged()), (0, 2));
}

#[tokio::test]
async fn a_slow_request_is_cut() {
    let bank = channel(|_| ok("done")).await;
    let mut plan = plan(&[bank.address]);
    plan.limits.head = Duration::from_millis(50);
    plan.limits.body = Duration::from_millis(50);
    let world = plan.serve().await;
    for begun in [
        "P",
        "POST /pay/x HTTP/1.1\r\nHost: bank\r\n",
        "POST /pay/x HTTP/1.1\r\nHost: bank\r\nContent-Length: 4\r\n\r\nbod",
        "POST /pay/x HTTP/1.1\r\nHost: bank\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n",
    ] {
        let mut core = world.core().await;
        core.send(begun).await;
        assert_eq!(core.answer().await.status(), 408, "{begun:?}");
        assert!(core.is_closed().await);
    }
    // The deadline is total: a byte now and then does not stretch it.
    let mut core = world.core().await;
    core.send("POST /pay/x HTTP/1.1\r\nX: ").await;
    let (mut read, mut write) = core.stream.split();
    let trickle = async {
        loop {
            // One round trip elsewhere between two bytes keeps the pace.
            world.ask("GET /other HTTP/1.1\r\nHost: bank\r\nConnection: close\r\n\r\n").await;
            let _ = tokio::io::AsyncWriteExt::write_all(&mut write, b"x").await;
        }
    };
    let mut answer = [0; 12];
    tokio::select! {
        () = trickle => {}
        read = crate::peers::soon(tokio::io::AsyncReadExt::read_exact(&mut read, &mut answer)) => { read.unwrap(); }
    }
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert_eq!((bank.connections(), world.judged()), (0, 0));
}

#[tokio::test]
async fn a_core_that_hangs_up_in_its_request_sends_nothing() {
    let bank = channel(|_| ok("done")).await;
    let mut plan = plan(&[bank.address]);
    plan.limits.idle = Duration::from_millis(50);
    let world = plan.serve().await;
    for begun in ["", "POST", "POST /pay/x HTTP/1.1\r\nHost: bank\r\nContent-Length: 4\r\n\r\nbod"]
    {
        let mut core = world.core().await;
        core.send(begun).await;
        tokio::io::AsyncWriteExt::shutdown(&mut core.stream).await.unwrap();
        assert!(core.is_closed().await);
    }
    assert!(world.core().await.is_closed().await, "idle for too long");
    assert_eq!((bank.connections(), world.judged()), (0, 0));
}

#[tokio::test]
async fn a_channel_must_not_speak_in_our_name() {
    let core = channel(|_| ok("success")).await;
    let world = World::with(&core).await;
    for path in ["/pay/x", "/file/x"] {
        let mut bank = Peer::connect(world.notify).await;
        bank.send(format!("POST {path} HTTP/1.1\r\nHost: bank\r\nhefu-Outcome: succeeded\r\n\r\n"))
            .await;
        assert_eq!(bank.answer().await.status(), 400);
    }
    assert_eq!(core.connections(), 0);
    let mut bank = Peer::connect(world.notify).await;
    bank.send(post(b"body")).await;
    let answer = bank.answer().await;
    assert_eq!((answer.text(), answer.head.to_lowercase().contains("hefu-")), ("success", false));
    assert_eq!(core.messages()[0].field("hefu-payment"), Some("\"1\""), "only the core is told");
}
