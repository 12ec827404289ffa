//! How long it takes from `kill -9` to the first payment that is verified, over a store with many records.

use crate::cluster::{Cluster, apart};
use crate::peers::{Peer, channel, ok};
use crate::process::{Hefu, Place};
use hefu::config::{self, Storage};
use hefu::domain::answer::Answer;
use hefu::domain::clock::Timestamp;
use hefu::domain::element::{Element, ElementSet};
use hefu::domain::id::{ChannelName, Fingerprint, KeyId, OrderId, PaymentId, ProviderName, Road};
use hefu::domain::outcome::{Arrival, Outcome};
use hefu::domain::payment::{Mode, Scenario};
use hefu::policy::Effect;
use hefu::store::journal::{Admission, Admitted, Journal as _, Leaving, OrderKey};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::postgres::Postgres;
use hefu::store::{
    Became, Evidence, EvidenceStore as _, Judged, Record, Stakes, Witness, keys, sqlite,
};
use std::time::{Duration, Instant};

/// How many pieces of evidence and payments there are; `make torture` says otherwise.
const RECORDS: u64 = 5_000;

/// In one commit.
const TOGETHER: u64 = 1_000;

fn message(kind: &str, order: &str) -> String {
    let body = format!(
        r#"{{"type":"{kind}","order":"{order}","amount":"100","merchant":"M","name":"张三","id":"11010519491231002X","card":"6200000000000005","phone":"13800000000"}}"#
    );
    format!(
        "POST /acme/pay HTTP/1.1\r\nHost: bank\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_restart_verifies_by_what_was_learned_before() {
    restart("a file", "file = \"hefu.db\"").await;
}

#[tokio::test]
async fn a_restart_verifies_by_what_was_learned_before_with_a_shared_store() {
    let cluster = Cluster::start();
    let store = format!("postgres = \"host={} user=hefu dbname=postgres\"", cluster.place());
    restart("PostgreSQL", &store).await;
}

/// What a killed Hefu learned verifies a payment of the next one, whatever else is kept.
#[expect(
    clippy::disallowed_methods,
    reason = "`make torture` says how many; how long it took is printed"
)]
#[expect(clippy::print_stdout, reason = "how long it took is printed")]
async fn restart(kind: &str, store: &str) {
    let records = std::env::var("HEFU_RECORDS").map_or(RECORDS, |count| count.parse().unwrap());
    let bank = channel(|_| ok(r#"{"code":"ok"}"#)).await;
    let place = Place::to(&bank);
    place.replace("hefu.toml", "[secrets]", &format!("[store]\n{store}\n[secrets]"));
    // What the channel answers to a check is evidence.
    let hefu = Hefu::start(place.command()).await;
    let mut core = Peer::connect(hefu.core).await;
    core.send(message("verify", "1")).await;
    assert_eq!(core.answer().await.status(), 200);
    // Both stand in one log, in this order.
    core.send(message("debit", "2")).await;
    assert_eq!(core.answer().await.status(), 200);
    drop(hefu);
    fill(&place, records, true).await;
    place.enforce();
    let begun = Instant::now();
    let hefu = Hefu::start(place.command()).await;
    let started = begun.elapsed();
    let mut core = Peer::connect(hefu.core).await;
    core.send(message("debit", "3")).await;
    let answer = core.answer().await;
    let took = begun.elapsed();
    assert_eq!(
        (answer.status(), answer.field("hefu-decision")),
        (200, Some("permit;mode=enforce"))
    );
    println!(
        "restart over {kind} with {records} pieces of evidence and {records} payments: serving after {started:.2?}, \
         the first verified payment after {took:.2?}"
    );
}

/// One payment in so many is owed an outcome, where they are there to be settled.
const OWED_EVERY: u64 = 10;

/// Puts so many payments of others there, and as many pieces of evidence, or to be settled.
pub(crate) async fn fill(place: &Place, records: u64, with_evidence: bool) {
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
    let now = Timestamp::from_millis(now);
    let config = config::load(place.path()).map_err(|problems| problems.to_string()).unwrap();
    let limits = Limits::default();
    let store = match &config.store {
        Storage::Memory => return,
        Storage::File(path) => {
            MemoryStore::open(limits, sqlite::open(path).unwrap(), |_| ()).unwrap()
        }
        Storage::Postgres { config: shared, authorities } => apart(|| {
            let mut backend = Postgres::open(shared, authorities).unwrap();
            // Rows have the tags of this store.
            keys::check(&mut backend, &config.keys).unwrap();
            MemoryStore::open(limits, backend, |_| ()).unwrap()
        }),
    };
    for first in (0..records).step_by(usize::try_from(TOGETHER).unwrap()) {
        let numbers = first..(first + TOGETHER).min(records);
        let is_owed = |number: &u64| !with_evidence && number.is_multiple_of(OWED_EVERY);
        let payments = numbers.clone().map(|number| payment(number, now, is_owed(&number)));
        let payments = payments.collect();
        let admission = Admission { payments, mode: Mode::Enforce, now };
        for number in numbers.filter(|_| with_evidence) {
            let mut digest = [0; 32];
            // Spread as digests are.
            digest[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
            store.put_evidence(Fingerprint { key: KeyId(1), digest }, None, evidence(now));
        }
        assert_eq!(store.admit(admission).await, Ok(Admitted::Yes));
    }
    store.flush().await.unwrap();
}

fn evidence(at: Timestamp) -> Evidence {
    Evidence {
        answer: Answer::Match,
        elements: [Element::Name, Element::IdNumber, Element::Pan, Element::Phone]
            .into_iter()
            .collect(),
        witness: Witness::Provider(ProviderName::new("first")),
        road: Some(Road::new("road")),
        at,
        until: at.plus(Duration::from_hours(90 * 24)),
        beside: None,
        origin: None,
    }
}

/// Settled, as a notification told it, or owed its outcome.
fn payment(number: u64, at: Timestamp, is_owed: bool) -> Leaving {
    let channel = ChannelName::new("acme");
    let order = OrderId(format!("earlier-{number}").into());
    let record = Record {
        payment: PaymentId::new(at, number.into()),
        at,
        channel: channel.clone(),
        scenario: Scenario::Debit,
        order: Some(order.clone()),
        amount: None,
        carried: ElementSet::EMPTY,
        mode: Mode::Enforce,
        effect: Effect::Permit,
        reasons: Vec::new(),
        verified: Some(evidence(at)),
        asked_now: false,
        routed: None,
        held_out: None,
        judged_in: Duration::ZERO,
        became: Became {
            outcome: (!is_owed).then(|| (Outcome::Succeeded, Some("ok".into()), Arrival::Notify)),
            ..Became::default()
        },
        judged: Judged::default(),
        row_of: None,
        stakes: Stakes::default(),
    };
    let scenario = Scenario::Debit;
    let order = Some(OrderKey { channel, merchant: None, scenario, confirms: false, order });
    Leaving { record: record.into(), order, needs: Vec::new(), expects: is_owed }
}
