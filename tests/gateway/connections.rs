//! Connections of the core: kept, pipelined, drained, counted.

use crate::peers::{Peer, Reply, World, channel, ok, plan, post, soon};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

#[tokio::test]
async fn pipelined_requests_are_judged_each_and_answered_in_order() {
    let bank = channel(|number| ok(&format!("answer {number}"))).await;
    let world = World::with(&bank).await;
    let mut core = world.core().await;
    let mut requests = Vec::new();
    for number in 0..5 {
        requests.extend(post(format!("body {number}").as_bytes()));
        requests.extend_from_slice(b"POST /pay/x HTTP/1.1\r\nHost: bank\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
    }
    requests.extend_from_slice(b"GET /pay//x HTTP/1.1\r\nHost: bank\r\n\r\n");
    requests.extend(post(b"never read"));
    core.send(&requests).await;
    for number in 0..10 {
        assert_eq!(core.answer().await.text(), format!("answer {number}"));
    }
    assert_eq!(core.answer().await.status(), 400);
    assert!(core.is_closed().await);
    let judged: Vec<_> =
        world.gate.judged.lock().unwrap().iter().map(|(_, body)| body.clone()).collect();
    let seen: Vec<_> = bank.messages().into_iter().map(|message| message.body).collect();
    assert_eq!((judged.len(), &judged), (10, &seen));
    assert_eq!((judged[2].as_slice(), bank.connections()), (b"body 1".as_slice(), 1));
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let bank = channel(|_| ok("done")).await;
    let world = World::with(&bank).await;
    let mut core = world.core().await;
    for byte in post(b"body") {
        core.send([byte]).await;
    }
    assert_eq!(core.answer().await.text(), "done");
    assert_eq!(bank.messages()[0].body, b"body");
}

#[tokio::test]
async fn a_connection_ends_as_the_core_wishes() {
    let bank = channel(|_| ok("done")).await;
    let world = World::with(&bank).await;
    for (request, connection) in [
        ("GET /pay/x HTTP/1.1\r\nHost: bank\r\nConnection: close\r\n\r\n", "close"),
        ("GET /pay/x HTTP/1.0\r\nHost: bank\r\n\r\n", "close"),
        ("GET /pay/x HTTP/1.0\r\nHost: bank\r\nConnection: keep-alive\r\n\r\n", "keep-alive"),
    ] {
        let mut core = world.core().await;
        core.send(request).await;
        assert_eq!(core.answer().await.field("connection"), Some(connection), "{request}");
        if connection == "close" {
            assert!(core.is_closed().await);
        } else {
            core.send(request).await;
            assert_eq!(core.answer().await.text(), "done");
        }
    }
    // What the core says of its connection is not the channel's affair.
    assert!(bank.messages().iter().all(|message| message.field("connection").is_none()));
    assert_eq!(bank.connections(), 1);
}

#[tokio::test]
async fn draining_loses_no_request() {
    let bank = channel(|_| ok("done")).await;
    let world = World::with(&bank).await;
    let streamed = b"GET /file/x HTTP/1.1\r\nHost: bank\r\n\r\n".to_vec();
    let mut cores = Vec::new();
    for request in [post(b"body"), post(b"body"), streamed.clone(), streamed] {
        let mut core = world.core().await;
        core.send(&request).await;
        assert_ne!(core.answer().await.field("connection"), Some("close"));
        cores.push((core, request));
    }
    world.drain.send_replace(true);
    // Kept connections are served once more, told to close, and only then closed.
    for (core, request) in &mut cores {
        core.send(&request).await;
        let answer = core.answer().await;
        assert_eq!((answer.text(), answer.field("connection")), ("done", Some("close")));
        assert!(core.is_closed().await);
    }
    drop(cores);
    soon(world.served).await.unwrap();
    assert_eq!(
        (bank.messages().len(), tokio::net::TcpStream::connect(world.address).await.is_err()),
        (8, true)
    );
}

#[tokio::test]
async fn draining_finishes_what_is_under_way_and_waits_for_nobody_else() {
    let told = [Arc::new(Notify::new()), Arc::new(Notify::new())];
    let reply = told.clone();
    let long = "x".repeat(240 * 1024);
    let body = long.clone();
    let bank = channel(move |number| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        Reply::Wait(Arc::clone(&reply[number]), [head.as_bytes(), body.as_bytes()].concat())
    })
    .await;
    let mut plan = plan(&[bank.address]);
    // Two connections and no more: the third waits in the backlog when draining begins.
    plan.limits.connections = 2;
    plan.limits.idle = Duration::from_hours(1);
    plan.limits.drain_idle = Duration::from_millis(1);
    let world = plan.serve().await;
    let mut under_way = world.core().await;
    under_way.send(post(b"body")).await;
    soon(bank.arrived.notified()).await;
    let mut idle = world.core().await;
    let mut waiting = world.core().await;
    waiting.send(post(b"body")).await;
    world.drain.send_replace(true);
    assert!(idle.is_closed().await);
    // What the core sends beyond must not cost it the answer.
    under_way.send(post(b"never read")).await;
    soon(bank.arrived.notified()).await;
    for told in &told {
        told.notify_one();
    }
    for core in [&mut under_way, &mut waiting] {
        let answer = core.answer().await;
        assert_eq!((answer.text() == long, answer.field("connection")), (true, Some("close")));
    }
    drop((under_way, waiting));
    soon(world.served).await.unwrap();
    assert_eq!(bank.messages().len(), 2);
}

#[tokio::test]
async fn connections_have_a_limit() {
    let bank = channel(|_| ok("done")).await;
    let mut plan = plan(&[bank.address]);
    plan.limits.connections = 1;
    let world = plan.serve().await;
    let mut first = world.core().await;
    first.send(post(b"body")).await;
    assert_eq!(first.answer().await.text(), "done");
    // The second waits in the backlog until the first is gone.
    let mut second = Peer::connect(world.address).await;
    second.send(post(b"body")).await;
    drop(first);
    assert_eq!(second.answer().await.text(), "done");
}
