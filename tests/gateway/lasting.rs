//! What outlives a process: killed, or without its database, an order leaves once and what left is known.

use crate::cluster::{Cluster, apart};
use crate::peers::{Channel, Peer, channel, ok, soon};
use crate::process::{Hefu, Place};
use hefu::domain::answer::Answer;
use hefu::domain::clock::Timestamp;
use hefu::domain::element::ElementSet;
use hefu::domain::id::{Fingerprint, KeyId, ProviderName};
use hefu::store::journal::Journal as _;
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::{Evidence, EvidenceStore as _, Witness, sqlite};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// By an agreement that nobody knows: annotated, and forwarded in `enforce`.
fn debit(order: usize) -> String {
    let body =
        format!(r#"{{"type":"by_agreement","order":"{order}","amount":"100","agreement":"A"}}"#);
    format!(
        "POST /acme/pay HTTP/1.1\r\nHost: bank\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends one debit after the other until the process dies; the orders, and whether each was answered.
async fn debits(core: SocketAddr, orders: impl Iterator<Item = usize>) -> Vec<(usize, bool)> {
    let mut told = Vec::new();
    let Ok(stream) = TcpStream::connect(core).await else { return told };
    let mut core = Peer { stream, ahead: Vec::new() };
    for order in orders {
        core.send(debit(order)).await;
        let answered = core.message(false).await.is_some();
        told.push((order, answered));
        if !answered {
            break;
        }
    }
    told
}

/// How often each order reached the channel.
fn arrivals(bank: &Channel) -> BTreeMap<usize, usize> {
    let mut arrivals = BTreeMap::new();
    for message in bank.messages() {
        let body: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        *arrivals.entry(body["order"].as_str().unwrap().parse().unwrap()).or_default() += 1;
    }
    arrivals
}

/// One made-up channel in `enforce`, over this store.
fn place(bank: &Channel, store: &str) -> Place {
    let place = Place::to(bank);
    place.enforce();
    place.replace("hefu.toml", "[secrets]", &format!("[store]\n{store}\n[secrets]"));
    place
}

fn shared(cluster: &Cluster) -> String {
    format!("postgres = \"host={} user=hefu dbname=postgres\"", cluster.place())
}

#[tokio::test]
async fn what_may_have_left_is_known_after_kill_9() {
    known_after_kill_9("file = \"hefu.db\"").await;
}

#[tokio::test]
async fn what_may_have_left_is_known_after_kill_9_with_a_shared_store() {
    let cluster = Cluster::start();
    known_after_kill_9(&shared(&cluster)).await;
}

/// Killed under load, every order that reached the channel is known afterwards, and none leaves a second time.
#[expect(clippy::disallowed_methods, reason = "`make torture` says for how long")]
async fn known_after_kill_9(store: &str) {
    let bank = channel(|_| ok(r#"{"code":"ok"}"#)).await;
    let place = place(&bank, store);
    let rounds = std::env::var("HEFU_TORTURE").map_or(4, |rounds| rounds.parse().unwrap());
    let mut in_doubt = 0_usize;
    for round in 0..rounds {
        let hefu = Hefu::start(place.command()).await;
        let lanes = (0..8).map(|lane| {
            let orders = (0..).map(move |at| (round * 8 + lane) * 1_000_000 + at);
            tokio::spawn(debits(hefu.core, orders))
        });
        let lanes: Vec<_> = lanes.collect();
        // It dies at another point of its work each time.
        let enough = bank.messages().len() + 50 + 37 * (round % 7);
        while bank.messages().len() < enough {
            soon(bank.arrived.notified()).await;
        }
        drop(hefu);
        let mut told = Vec::new();
        for lane in lanes {
            told.extend(soon(lane).await.unwrap());
        }
        let before = arrivals(&bank);
        assert!(before.values().all(|count| *count == 1), "{before:?}");
        let mut hefu = Hefu::start(place.command()).await;
        for &(order, answered) in &told {
            let reached = before.contains_key(&order);
            assert!(reached || !answered, "order {order} was answered and never left");
            in_doubt += usize::from(reached && !answered);
            let mut core = Peer::connect(hefu.core).await;
            core.send(debit(order)).await;
            let status = core.answer().await.status();
            assert!(status == 409 || status == 200 && !reached, "order {order}: {status}");
        }
        assert!(arrivals(&bank).values().all(|count| *count == 1));
        // What has no outcome is still owed: a few at most, one for each core.
        let metrics = hefu.admin("GET /metrics", "").await;
        let owed = "hefu_expectations_open{channel=\"acme\"} ";
        let owed = metrics.text().lines().find_map(|line| line.strip_prefix(owed)).unwrap();
        assert!(owed.parse::<usize>().unwrap() <= 8 * (round + 1), "{owed} owed");
        // It ends in order: what it was answered last may not be durable yet, and would be owed by a ninth.
        hefu.signal("TERM");
        assert!(hefu.exit().await.success());
    }
    // One for each core and kill at most: what was in doubt is what was in flight.
    assert!(in_doubt <= 8 * rounds, "{in_doubt} of {}", arrivals(&bank).len());
}

/// Two replicas get the same orders at once, while their database crashes and comes back: each order leaves once, what left is
/// recorded, and money goes on without anybody's help.
#[tokio::test]
async fn replicas_outlive_their_database() {
    let mut cluster = Cluster::start();
    let bank = channel(|_| ok(r#"{"code":"ok"}"#)).await;
    let places = [(); 2].map(|()| place(&bank, &shared(&cluster)));
    let replicas = [places[0].command(), places[1].command()].map(Hefu::start);
    let replicas = futures::future::join_all(replicas).await;
    let over = Arc::new(AtomicBool::new(false));
    let lanes = replicas.iter().flat_map(|hefu| [hefu.core; 4].into_iter().enumerate());
    let lanes = lanes.map(|(lane, core)| tokio::spawn(statuses(core, lane, Arc::clone(&over))));
    let lanes: Vec<_> = lanes.collect();
    for _ in 0..2 {
        let enough = bank.messages().len() + 100;
        while bank.messages().len() < enough {
            soon(bank.arrived.notified()).await;
        }
        cluster.stop();
        for hefu in &replicas {
            hefu.log.line(0, &["a payment cannot be admitted"]).await;
        }
        cluster.go_on();
    }
    let enough = bank.messages().len() + 100;
    while bank.messages().len() < enough {
        soon(bank.arrived.notified()).await;
    }
    over.store(true, Ordering::Relaxed);
    let mut counts = BTreeMap::<u16, usize>::new();
    for lane in lanes {
        for status in soon(lane).await.unwrap() {
            *counts.entry(status).or_default() += 1;
        }
    }
    let arrivals = arrivals(&bank);
    assert!(arrivals.values().all(|count| *count == 1), "{arrivals:?}");
    // Each was answered once, refused to the other, or refused to both while there was no database.
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [200, 409, 503], "{counts:?}");
    assert_eq!(counts[&200], arrivals.len(), "{counts:?}");
    drop(replicas);
    let claimed = apart(|| {
        let mut client = cluster.config().connect(postgres::NoTls).unwrap();
        let rows = client.query("SELECT key FROM orders", &[]).unwrap();
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<BTreeSet<_>>()
    });
    let order = |name: &String| name.rsplit('\n').next().unwrap().parse::<usize>().unwrap();
    let claimed: BTreeSet<usize> = claimed.iter().map(order).collect();
    assert!(arrivals.keys().all(|order| claimed.contains(order)), "something left unrecorded");
}

/// The statuses of one debit after the other.
async fn statuses(core: SocketAddr, lane: usize, over: Arc<AtomicBool>) -> Vec<u16> {
    let mut core = Peer::connect(core).await;
    let mut statuses = Vec::new();
    for at in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        core.send(debit(lane * 1_000_000 + at)).await;
        statuses.push(core.answer().await.status());
    }
    statuses
}

/// What ended by a later clock would stand again.
#[tokio::test]
async fn nothing_starts_days_before_what_is_in_its_store() {
    let bank = channel(|_| ok("{}")).await;
    let place = place(&bank, "file = \"hefu.db\"");
    let day = Duration::from_hours(24);
    let today = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
    let at = Timestamp::from_millis(today).plus(day * 3);
    let backend = sqlite::open(&place.path().join("hefu.db")).unwrap();
    let store = MemoryStore::open(Limits::default(), backend, |_| ()).unwrap();
    let tuple = Fingerprint { key: KeyId(1), digest: [1; 32] };
    let evidence = Evidence {
        answer: Answer::Match,
        elements: ElementSet::EMPTY,
        witness: Witness::Provider(ProviderName::new("first")),
        road: None,
        at,
        until: at.plus(day),
        beside: None,
        origin: None,
    };
    store.put_evidence(tuple, None, evidence);
    store.flush().await.unwrap();
    drop(store);
    let mut command = place.command();
    let ended = timeout(Duration::from_mins(1), command.kill_on_drop(true).output());
    let ended = ended.await.expect("it started").unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success());
    assert!(said.contains("the store was last written 71 hours later than"), "{said}");
}
