//! Not a byte of a body changes, however it came.

use crate::peers::{World, channel, ok, post, soon};

const EDGE: usize = 64 * 1024;
const MIB: usize = 1024 * 1024;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap()).collect()
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut request =
        b"POST /pay/x HTTP/1.1\r\nHost: bank\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in body.chunks(size) {
        request.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        request.extend_from_slice(piece);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

#[tokio::test]
async fn a_body_arrives_unchanged() {
    let bank = channel(|_| ok("done")).await;
    let world = World::with(&bank).await;
    let mut core = world.core().await;
    let mut sent = 0;
    for length in [0, 1, EDGE - 1, EDGE, EDGE + 1, MIB - 1, MIB] {
        let body = pattern(length);
        let mut ways = vec![post(&body), chunked(&body, 10_000)];
        if length <= EDGE + 1 || length == MIB {
            ways.push(chunked(&body, 1));
        }
        for request in ways {
            soon(core.send(&request)).await;
            let answer = core.answer().await;
            assert_eq!((answer.status(), answer.text()), (200, "done"));
            let seen = bank.messages().pop().unwrap();
            assert!(seen.body == body, "{length} bytes changed");
            assert!(
                seen.head.contains(&format!("\r\nContent-Length: {length}\r\n")),
                "{}",
                seen.head
            );
            assert!(
                seen.field("transfer-encoding").is_none() && seen.field("hefu-payment").is_none()
            );
            sent += 1;
        }
    }
    assert_eq!((bank.messages().len(), bank.connections()), (sent, 1));
}

#[tokio::test]
async fn a_body_over_the_limit_connects_nowhere() {
    let bank = channel(|_| ok("done")).await;
    let world = World::with(&bank).await;
    let body = pattern(MIB + 1);
    for request in [post(&body), chunked(&body, 10_000), chunked(&body, 1)] {
        let answer = world.ask(request).await;
        assert_eq!(answer.status(), 413);
        assert!(answer.text().contains(r#""forwarded":false"#));
    }
    // Nobody is invited to send what will be refused.
    let head = "POST /pay/x HTTP/1.1\r\nHost: bank\r\nExpect: 100-continue\r\nContent-Length: 1048577\r\n\r\n";
    assert_eq!(world.ask(head).await.status(), 413);
    let huge =
        "POST /pay/x HTTP/1.1\r\nHost: bank\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n";
    assert_eq!(world.ask(huge).await.status(), 413);
    assert_eq!((bank.connections(), world.judged()), (0, 0));
}

#[tokio::test]
async fn a_core_that_waits_is_invited_once() {
    let bank = channel(|_| ok("done")).await;
    let world = World::with(&bank).await;
    let mut core = world.core().await;
    core.send(
        "POST /pay/x HTTP/1.1\r\nHost: bank\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    )
    .await;
    assert_eq!(core.answer().await.head, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!((bank.connections(), world.judged()), (0, 0), "no verdict before the body");
    core.send("body").await;
    assert_eq!(core.answer().await.text(), "done");
    let seen = bank.messages().pop().unwrap();
    assert_eq!((seen.body.as_slice(), seen.field("expect")), (b"body".as_slice(), None));
}

#[tokio::test]
async fn trailers_are_dropped() {
    let bank = channel(|_| ok("done")).await;
    let world = World::with(&bank).await;
    let request = "POST /pay/x HTTP/1.1\r\nHost: bank\r\nTransfer-Encoding: chunked\r\n\r\n4;ext=1\r\nbody\r\n0\r\nHost: evil\r\nHefu-Account: x\r\n\r\n";
    assert_eq!(world.ask(request).await.text(), "done");
    let seen = bank.messages().pop().unwrap();
    assert_eq!(seen.body, b"body");
    assert!(!seen.head.contains("evil") && !seen.head.contains("ext"));
}
