//! Rules change under load: no request fails, and each is judged by one set, whole.

use crate::peers::{Peer, channel, ok, soon};
use crate::process::{Hefu, Place, Tally, load};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A set of two rules that always hold, in `generation`.
fn set(generation: &str) -> String {
    let rule = |half: &str, when: &str| {
        format!(
            "[[rule]]\nid = \"{generation}-{half}\"\naction = \"annotate\"\nstate = \"live\"\nowner = \"risk\"\n\
             when = '{when}'\n"
        )
    };
    let (one, two) = ("payment.channel == \"acme\"", "!(payment.channel != \"acme\")");
    rule("one", one) + &rule("two", two)
}

fn place(bank: &crate::peers::Channel) -> Place {
    let place = Place::to(bank);
    place.replace("hefu.toml", "[listen]", "[listen]\nadmin_per_second = 10000");
    fs::create_dir(place.path().join("rules")).unwrap();
    place.write("rules/set.toml", set("old"));
    place
}

fn debit(order: usize) -> String {
    let body = format!(
        r#"{{"type":"by_agreement","order":"{order}","amount":"100","agreement":"A1","merchant":"M1"}}"#
    );
    format!(
        "POST /acme/pay HTTP/1.1\r\nHost: bank\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The set by which a payment was judged, and the rules that held.
async fn judged(hefu: &Hefu, payment: &str) -> (String, Vec<String>) {
    let shown = hefu.admin(&format!("GET /v1/payments/{}", payment.trim_matches('"')), "").await;
    let shown: Value = serde_json::from_str(shown.text()).unwrap();
    let rules = &shown["rules"];
    let hits = rules["hits"].as_array().unwrap().iter();
    let hits = hits.map(|hit| hit.as_str().unwrap().to_owned()).collect();
    (rules["set"].as_str().unwrap().to_owned(), hits)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reloads_under_load_fail_no_request() {
    let bank = channel(|_| ok("{}")).await;
    let place = place(&bank);
    let hefu = Hefu::start(place.command()).await;
    let tally = Arc::new(Tally::default());
    let cores: Vec<_> = (0..8)
        .map(|number| tokio::spawn(load(hefu.core, Arc::clone(&tally), number % 4 != 0)))
        .collect();
    tally.more(100).await;
    for reload in 0..1000 {
        place.write("rules/set.toml", set(if reload % 2 == 0 { "new" } else { "old" }));
        let status = hefu.admin("POST /v1/reload", "").await.status();
        assert_eq!(status, 204, "reload {reload}");
    }
    tally.more(100).await;
    tally.is_over.store(true, Ordering::Relaxed);
    for core in cores {
        soon(core).await.unwrap();
    }
    assert_eq!(tally.failed.load(Ordering::Relaxed), 0);
    let answered = tally.answered.load(Ordering::Relaxed);
    assert!(answered > 1000, "{answered} requests are no load for 1000 reloads");
    assert_eq!(bank.messages().len(), answered);
}

/// The set is edited when half of a message has come: it is judged by the one that was in force when it began.
#[tokio::test]
async fn a_set_that_is_edited_in_the_middle_of_a_request_is_never_mixed() {
    let bank = channel(|_| ok(r#"{"code":"ok"}"#)).await;
    let place = place(&bank);
    let hefu = Hefu::start(place.command()).await;
    let mut sets = BTreeSet::new();
    for order in 0..40 {
        let (generation, next) = if order % 2 == 0 { ("old", "new") } else { ("new", "old") };
        let request = debit(order);
        let (first, rest) = request.split_at(request.len() - 30);
        let mut core = Peer::connect(hefu.core).await;
        // A whole message first, so that the second surely began before the set is another.
        core.send(debit(1_000 + order)).await;
        core.answer().await;
        core.send(first).await;
        place.write("rules/set.toml", set(next));
        assert_eq!(hefu.admin("POST /v1/reload", "").await.status(), 204);
        core.send(rest).await;
        let answer = core.answer().await;
        let (set, hits) = judged(&hefu, answer.field("hefu-payment").unwrap()).await;
        let whole = |generation: &str| ["one", "two"].map(|half| format!("{generation}-{half}"));
        assert!(hits == whole(generation) || hits == whole(next), "{order}: {hits:?} by {set}");
        sets.insert((set, hits));
        // The next message is judged by the new one.
        core.send(debit(2_000 + order)).await;
        let answer = core.answer().await;
        let (set, hits) = judged(&hefu, answer.field("hefu-payment").unwrap()).await;
        assert_eq!(hits, whole(next), "{order}: by {set}");
        sets.insert((set, hits));
    }
    // One name, one set: what is recorded tells which it was.
    assert_eq!(sets.len(), 2, "{sets:?}");
}
