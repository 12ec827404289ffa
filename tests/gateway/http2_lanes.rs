//! Connections of HTTP/2 to a channel: how long one is used, for how much at once, and what its end does to payments under way.

use crate::http2::{Does, Doing, PREFACE, STREAMS, Seen, frame, plan2};
use crate::peers::{World, plan, post, soon};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

async fn statuses(world: &World, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(world.ask(post(b"1")).await.status());
    }
    statuses
}

async fn until(seen: &Mutex<Seen>, told: impl Fn(&Seen) -> bool) {
    soon(async {
        while !told(&seen.lock().unwrap()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A world with a channel that sends so many frames of no use before each answer.
async fn fidgeting(times: usize) -> (World, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut plan = plan(&[listener.local_addr().unwrap()]);
    plan.settings.http2 = true;
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let told = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            told.lock().unwrap().connections += 1;
            let told = Arc::clone(&told);
            tokio::spawn(async move {
                let _ = fidget(stream, times).await;
                told.lock().unwrap().closed += 1;
            });
        }
    });
    (plan.serve().await, seen)
}

async fn fidget(mut stream: TcpStream, times: usize) -> std::io::Result<()> {
    stream.read_exact(&mut [0; PREFACE.len()]).await?;
    stream.write_all(&frame(4, 0, 0, &[])).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [high, middle, low, kind, flags, id @ ..] = head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        stream.read_exact(&mut vec![0; length]).await?;
        let is_clear = flags & 1 == 0;
        match kind {
            4 if is_clear => stream.write_all(&frame(4, 1, 0, &[])).await?,
            // The end of a message.
            0 | 1 if !is_clear => {
                let id = u32::from_be_bytes(id);
                let mut answer = frame(77, 0, 0, &[]).repeat(times);
                answer.extend(frame(1, 4, id, &[0x88]));
                answer.extend(frame(0, 1, id, b"z"));
                stream.write_all(&answer).await?;
            }
            _ => {}
        }
    }
}

/// Only a core's connection earned by its answers: after a thousand frames of no use a healthy channel's was cut.
#[tokio::test]
async fn a_channel_earns_by_its_answers() {
    let (world, seen) = fidgeting(9).await;
    assert_eq!(statuses(&world, 150).await, [200; 150]);
    assert_eq!(seen.lock().unwrap().connections, 1);
}

/// It asks for too much: no more messages leave on it, and what is under way is answered.
#[tokio::test]
async fn a_channel_that_overdraws_answers_what_is_under_way() {
    let (world, seen) = fidgeting(1_500).await;
    assert_eq!(statuses(&world, 2).await, [200; 2]);
    until(&seen, |seen| seen.closed == 2).await;
    assert_eq!(seen.lock().unwrap().connections, 2);
}

/// One that is gone without a word was used for every later message, for a quarter of an hour.
#[tokio::test]
async fn nothing_leaves_on_a_connection_whose_channel_was_late() {
    let does: Doing = |number| if number == 1 { Does::Silent } else { Does::Answers };
    let (mut plan, seen) = plan2(does).await;
    plan.settings.answer_timeout = Duration::from_secs(1);
    let world = plan.serve().await;
    assert_eq!(statuses(&world, 4).await, [200, 504, 200, 200]);
    assert_eq!(world.settled()[1], "InDoubt(Late)");
    let seen = seen.lock().unwrap();
    assert_eq!((seen.connections, seen.requests.len()), (2, 4));
}

#[tokio::test]
async fn a_connection_that_idles_is_closed() {
    let (mut plan, seen) = plan2(|_| Does::Answers).await;
    plan.settings.idle_timeout = Duration::from_millis(1);
    let world = plan.serve().await;
    for closed in 1..3 {
        assert_eq!(statuses(&world, 1).await, [200]);
        until(&seen, |seen| seen.closed == closed).await;
    }
    assert_eq!(seen.lock().unwrap().connections, 2);
}

/// A message that found no room waited within the process, and was told as in doubt.
#[tokio::test]
async fn a_connection_takes_no_more_than_its_channel_allows() {
    let does: Doing =
        |number| if (1..=STREAMS).contains(&number) { Does::Silent } else { Does::Answers };
    let (plan, seen) = plan2(does).await;
    let world = Arc::new(plan.serve().await);
    assert_eq!(statuses(&world, 1).await, [200]);
    for number in 1..=STREAMS {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.ask(post(b"1")).await });
        until(&seen, |seen| seen.requests.len() > number).await;
    }
    assert_eq!(seen.lock().unwrap().connections, 1);
    assert_eq!(statuses(&world, 2).await, [200; 2]);
    assert_eq!(seen.lock().unwrap().connections, 2);
}

/// The end of the process's own connection ended the answer too: cut off, it reached the core as a whole one.
#[tokio::test]
async fn a_long_answer_that_breaks_off_does_not_seem_whole() {
    let table: [Doing; 2] = [|_| Does::BreaksOff, |_| Does::Stalls];
    for does in table {
        let (mut plan, seen) = plan2(does).await;
        plan.settings.answer_timeout = Duration::from_secs(2);
        let world = plan.serve().await;
        let mut core = world.core().await;
        core.send(post(b"1")).await;
        let message = soon(core.message(false)).await;
        assert!(message.is_none(), "{} bytes", message.unwrap().body.len());
        assert_eq!(world.settled(), ["Unread { status: 200 }"]);
        if matches!(does(0), Does::Stalls) {
            until(&seen, |seen| seen.given_up == 1).await;
        }
    }
}
