//! In `observe` nobody waits for a provider, and nobody is asked about what was not sent.

use crate::assessed::{provider, with_provider};
use crate::channel::dead;
use crate::peers::{Channel, Message, Peer, channel, ok, soon};
use crate::process::{Hefu, Place};
use std::sync::{Arc, Mutex};

/// All of what has no evidence is in the sample.
const POLICY: &str =
    "[mode]\nacme = \"observe\"\n[observe]\nsample_percent = 100\nfen_per_day = 10000\n";

/// Sends a debit of a phone of its own.
async fn debit(hefu: &Hefu, order: usize) -> Message {
    let body = format!(
        r#"{{"type":"debit","order":"{order}","amount":"100","name":"张三","id":"11010519491231002X","card":"6200000000000005","phone":"1380000000{order}"}}"#
    );
    let mut core = Peer::connect(hefu.core).await;
    core.send(format!(
        "POST /acme/ HTTP/1.1\r\nHost: acme\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    ))
    .await;
    core.answer().await
}

async fn hefu(place: &Place, trial: &Channel) -> Hefu {
    place.write("policy.toml", POLICY);
    with_provider(place, trial);
    Hefu::start(place.command()).await
}

#[tokio::test]
async fn the_channel_has_answered_before_anybody_is_asked() {
    let trial = provider(&[]).await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (seen, counts) = (trial.seen.clone(), asked.clone());
    let bank = channel(move |_| {
        counts.lock().unwrap().push(seen.lock().unwrap().messages.len());
        ok(r#"{"code":"ok"}"#)
    })
    .await;
    let place = Place::to(&bank);
    let hefu = hefu(&place, &trial).await;
    for order in 0..3 {
        let answer = debit(&hefu, order).await;
        let decision = answer.field("hefu-decision").unwrap();
        assert_eq!((answer.status(), decision), (200, "annotate;reason=not_asked;mode=observe"));
        while trial.messages().len() <= order {
            soon(trial.arrived.notified()).await;
        }
    }
    assert_eq!(*asked.lock().unwrap(), [0, 1, 2], "asked by the time that the channel answered");
}

#[tokio::test]
async fn nobody_is_asked_about_what_was_not_sent() {
    let trial = provider(&[]).await;
    let place = Place::new("127.0.0.1:0", &format!("upstreams = [\"http://{}\"]", dead()));
    let mut hefu = hefu(&place, &trial).await;
    for order in 0..3 {
        assert_eq!(debit(&hefu, order).await.status(), 503);
    }
    hefu.signal("TERM");
    assert!(soon(hefu.exit()).await.success());
    assert_eq!(trial.messages().len(), 0);
}
