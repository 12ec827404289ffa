//! What is not inspected streams through, both ways, and not twice.

use crate::peers::{Peer, Reply, World, channel, ok, plan, soon};
use hefu::proxy::upstream::OnDoubt;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

#[tokio::test]
async fn an_upload_is_not_buffered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = plan(&[listener.local_addr().unwrap()]).serve().await;
    let mut core = world.core().await;
    core.send("POST /file/x HTTP/1.1\r\nHost: bank\r\nHefu-Account: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    let (mut bank, _) = soon(listener.accept()).await.unwrap();
    let mut seen = Vec::new();
    // The channel has the first half before the core sends the second.
    while !seen.windows(4).any(|window| window == b"half") {
        assert!(soon(bank.read_buf(&mut seen)).await.unwrap() > 0);
    }
    core.send("4\r\nmore\r\n0\r\n\r\n").await;
    while !seen.ends_with(b"0\r\n\r\n") {
        assert!(soon(bank.read_buf(&mut seen)).await.unwrap() > 0);
    }
    let text = String::from_utf8(seen).unwrap().to_ascii_lowercase();
    assert!(
        text.starts_with("post /file/x http/1.1\r\n")
            && text.contains("more")
            && !text.contains("hefu-"),
        "{text}"
    );
    // And the core has the first half of the answer before the channel sends the second.
    bank.write_all(b"HTTP/1.1 200 OK\r\nHefu-Outcome: succeeded\r\nContent-Length: 8\r\n\r\nhalf")
        .await
        .unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"half") {
        assert!(soon(core.stream.read_buf(&mut got)).await.unwrap() > 0);
    }
    assert!(!String::from_utf8(got).unwrap().to_ascii_lowercase().contains("hefu-"));
    bank.write_all(b"more").await.unwrap();
    let mut rest = [0; 4];
    soon(core.stream.read_exact(&mut rest)).await.unwrap();
    assert_eq!((&rest, world.judged()), (b"more", 0));
}

#[tokio::test]
async fn a_connection_serves_both_kinds_in_turn() {
    let bank = channel(|number| ok(&format!("answer {number}"))).await;
    let world = World::with(&bank).await;
    let mut core = world.core().await;
    let file = "POST /file/x HTTP/1.1\r\nHost: bank\r\nContent-Length: 4\r\n\r\nbody";
    let pay = "POST /pay/x HTTP/1.1\r\nHost: bank\r\nContent-Length: 4\r\n\r\nbody";
    for (number, request) in [file, pay, file, file, pay].into_iter().enumerate() {
        core.send(request).await;
        assert_eq!(core.answer().await.text(), format!("answer {number}"));
    }
    core.send([pay, file, pay].concat()).await;
    for number in 5..8 {
        assert_eq!(core.answer().await.text(), format!("answer {number}"));
    }
    assert_eq!((world.judged(), bank.messages().len()), (4, 8));
    assert!(bank.messages().iter().all(|message| message.body == b"body"));
}

#[tokio::test]
async fn a_streamed_request_is_sent_once_whatever_the_method() {
    for method in ["GET", "PUT", "POST"] {
        let bank = channel(|number| if number == 0 { ok("done") } else { Reply::Close }).await;
        let world = World::with(&bank).await;
        let request =
            format!("{method} /file/x HTTP/1.1\r\nHost: bank\r\nContent-Length: 4\r\n\r\nbody");
        assert_eq!(world.ask(&request).await.status(), 200);
        assert_eq!(world.ask(&request).await.status(), 504, "{method}");
        assert_eq!((bank.messages().len(), bank.connections()), (2, 1), "{method}");
    }
    let bank = channel(|_| Reply::Close).await;
    let mut plan = plan(&[bank.address]);
    plan.settings.on_doubt = OnDoubt::Close;
    let world = plan.serve().await;
    let mut core = world.core().await;
    core.send("GET /file/x HTTP/1.1\r\nHost: bank\r\n\r\n").await;
    assert!(core.is_closed().await);
    assert_eq!(bank.messages().len(), 1);
}

#[tokio::test]
async fn the_next_address_is_tried_while_nothing_was_sent() {
    let dead = crate::channel::dead();
    let bank = channel(|_| ok("done")).await;
    let request = "GET /file/x HTTP/1.1\r\nHost: bank\r\n\r\n";
    let world = plan(&[dead, bank.address]).serve().await;
    assert_eq!(world.ask(request).await.text(), "done");
    let world = plan(&[dead]).serve().await;
    let answer = world.ask(request).await;
    assert_eq!((answer.status(), answer.text().contains(r#""forwarded":false"#)), (503, true));
}

#[tokio::test]
async fn a_notification_streams_to_the_core() {
    let core = channel(|_| ok("success")).await;
    let world = World::with(&core).await;
    let mut bank = Peer::connect(world.notify).await;
    bank.send("POST /file/x HTTP/1.1\r\nHost: bank\r\nContent-Length: 4\r\n\r\nbody").await;
    assert_eq!(
        (bank.answer().await.text(), core.messages()[0].body.as_slice()),
        ("success", b"body".as_slice())
    );
}

#[tokio::test]
async fn what_follows_a_streamed_request_is_judged() {
    let told = Arc::new(Notify::new());
    let wait = Arc::clone(&told);
    let bank = channel(move |number| match number {
        0 => Reply::Wait(
            Arc::clone(&wait),
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst".to_vec(),
        ),
        _ => ok("later"),
    })
    .await;
    let world = World::with(&bank).await;
    let mut core = world.core().await;
    let file = "POST /file/x HTTP/1.1\r\nHost: bank\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let pay = "POST /pay/x HTTP/1.1\r\nHost: bank\r\nContent-Length: 4\r\n\r\nbody";
    core.send(file).await;
    soon(bank.arrived.notified()).await;
    // Both while the channel works on the first and together with another streamed one.
    core.send([pay, file, pay, "GET /file//x HTTP/1.1\r\nHost: bank\r\n\r\n"].concat()).await;
    world.ask("GET /other HTTP/1.1\r\nHost: bank\r\n\r\n").await;
    told.notify_one();
    assert_eq!(core.answer().await.text(), "first");
    for _ in 0..3 {
        assert_eq!(core.answer().await.text(), "later");
    }
    assert_eq!(core.answer().await.status(), 400);
    assert!(core.is_closed().await);
    assert_eq!((world.judged(), bank.messages().len()), (2, 4));
    assert!(bank.messages().iter().all(|message| message.body == b"body"));
}

#[tokio::test]
async fn a_streamed_body_has_one_reading() {
    let bank = channel(|_| ok("done")).await;
    let world = World::with(&bank).await;
    let head = "POST /file/x HTTP/1.1\r\nHost: bank\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = world.ask(format!("{head}4\nbody\r\n0\r\n\r\n")).await;
    assert_eq!((answer.status(), bank.connections()), (400, 0));
}

/// The rest of an upload that nobody answered was read as requests.
#[tokio::test]
async fn what_is_left_of_an_upload_is_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = plan(&[listener.local_addr().unwrap()]).serve().await;
    let mut core = world.core().await;
    core.send("POST /file/x HTTP/1.1\r\nHost: bank\r\nContent-Length: 1000\r\n\r\nhalf").await;
    let (mut upstream, _) = soon(listener.accept()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"half") {
        assert!(soon(upstream.read_buf(&mut seen)).await.unwrap() > 0);
    }
    drop(upstream);
    let answer = core.answer().await;
    assert_eq!((answer.status(), answer.field("connection")), (504, Some("close")));
    core.send("GET /pay/x HTTP/1.1\r\nHost: bank\r\n\r\n").await;
    assert!(core.is_closed().await);
    assert_eq!(world.judged(), 0);
}

/// An upstream that refuses an upload at once: the core was told that its connection lasts, and got a reset instead of the answer.
#[tokio::test]
async fn whoever_is_answered_before_the_upload_is_over_gets_the_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = plan(&[listener.local_addr().unwrap()]).serve().await;
    let core = world.core().await;
    let (mut reader, mut writer) = core.stream.into_split();
    let sent = tokio::spawn(async move {
        let head = "POST /file/x HTTP/1.1\r\nHost: bank\r\nContent-Length: 1000000000\r\n\r\n";
        writer.write_all(head.as_bytes()).await?;
        // More than lies on the way to an upstream that reads nothing.
        writer.write_all(&vec![b'x'; 6 << 20]).await?;
        Ok::<_, std::io::Error>(writer)
    });
    let (mut upstream, _) = soon(listener.accept()).await.unwrap();
    let mut head = [0; 30];
    soon(upstream.read_exact(&mut head)).await.unwrap();
    upstream
        .write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // A reset would be an error here.
    while soon(reader.read_buf(&mut answer)).await.unwrap() > 0 {}
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("big"), "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    soon(sent).await.unwrap().unwrap();
}
