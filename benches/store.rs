//! The embedded store at size: a million pieces of evidence in one file, and commits under 64 payments at once.
//!
//! Everything is printed; nothing is asserted but that it works.

use hefu::domain::answer::Answer;
use hefu::domain::clock::Timestamp;
use hefu::domain::element::{Element, ElementSet};
use hefu::domain::id::{ChannelName, Fingerprint, KeyId, OrderId, PaymentId, ProviderName, Road};
use hefu::domain::payment::{Mode, Scenario};
use hefu::policy::Effect;
use hefu::reconcile::hold::HoldKey;
use hefu::store::journal::{Admission, Admitted, Journal as _, Leaving, Need, OrderKey};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::row::RowKey;
use hefu::store::sqlite;
use hefu::store::writer::Event;
use hefu::store::{Evidence, EvidenceStore as _, Record, Stakes, Witness};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const EVIDENCE: u64 = 1_000_000;
const LOOKUPS: u64 = 20_000;
const PAYMENTS: u64 = 20_000;
const AT_ONCE: u64 = 64;
const NOW: Timestamp = Timestamp::from_millis(1_763_856_000_000);

pub(crate) fn run(count: Option<u64>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hefu.db");
    runtime.block_on(fill(&path, count.unwrap_or(EVIDENCE)));
}

fn tuple(number: u64) -> Fingerprint {
    Fingerprint { key: KeyId(1), digest: Sha256::digest(number.to_be_bytes()).into() }
}

fn evidence() -> Evidence {
    Evidence {
        answer: Answer::Match,
        elements: elements(),
        witness: Witness::Provider(ProviderName::new("first")),
        road: Some(Road::new("road")),
        at: NOW,
        until: NOW.plus(Duration::from_hours(90 * 24)),
        beside: None,
    }
}

fn elements() -> ElementSet {
    [Element::Name, Element::IdNumber, Element::Pan, Element::Phone].into_iter().collect()
}

fn open(path: &Path, limits: Limits, commits: Arc<Mutex<Vec<Duration>>>) -> MemoryStore {
    let backend = sqlite::open(path).unwrap();
    let tell = move |event| {
        if let Event::Committed(took) = event {
            commits.lock().unwrap().push(took);
        }
    };
    MemoryStore::open(limits, backend, tell).unwrap()
}

async fn fill(path: &Path, count: u64) {
    let store = open(path, Limits::default(), Arc::default());
    let begun = Instant::now();
    for number in 0..count {
        store.put_evidence(tuple(number), None, evidence());
        if number % 1_000 == 999 {
            store.flush().await.unwrap();
        }
    }
    store.flush().await.unwrap();
    println!("{count} pieces of evidence written in {:.1?}, a thousand a commit", begun.elapsed());
    drop(store);
    println!("file: {:.0} MB", mega(std::fs::metadata(path).unwrap().len()));
    cold(path, count).await;
    hot(path, count).await;
}

/// Memory has room for one in a hundred: the others are looked up in the file.
async fn cold(path: &Path, count: u64) {
    let few = Limits { evidence: usize::try_from(count / 100).unwrap(), ..Limits::default() };
    let store = open(path, few, Arc::default());
    let (channel, road) = (ChannelName::new("acme"), Road::new("road"));
    let mut cold = Vec::new();
    for number in (0..count).step_by(usize::try_from((count / LOOKUPS).max(1)).unwrap()) {
        let tuple = tuple(number);
        if store.evidence(&tuple, &channel, Some(&road), NOW).is_some() {
            continue;
        }
        let begun = Instant::now();
        store.fetch(vec![RowKey::evidence(&tuple)]).await.unwrap();
        assert!(store.evidence(&tuple, &channel, Some(&road), NOW).is_some());
        cold.push(begun.elapsed());
    }
    show("cold look-up", cold);
}

/// Everything is in memory.
async fn hot(path: &Path, count: u64) {
    let (channel, road) = (ChannelName::new("acme"), Road::new("road"));
    let (before, begun) = (resident(), Instant::now());
    let commits = Arc::new(Mutex::new(Vec::new()));
    let store = Arc::new(open(path, Limits::default(), commits.clone()));
    println!("start-up with {count}: {:.2?}", begun.elapsed());
    println!("memory: {:.0} MB more", mega(resident().saturating_sub(before)));
    let mut hot = Vec::new();
    for number in 0..LOOKUPS.min(count) {
        let tuple = tuple(number);
        let begun = Instant::now();
        assert!(store.evidence(&tuple, &channel, Some(&road), NOW).is_some());
        hot.push(begun.elapsed());
    }
    show("hot look-up", hot);

    commits.lock().unwrap().clear();
    let begun = Instant::now();
    let mut lanes = JoinSet::new();
    for lane in 0..AT_ONCE {
        let store = store.clone();
        lanes.spawn(async move {
            let mut took = Vec::new();
            for at in 0..PAYMENTS / AT_ONCE {
                let admission = admission(lane * PAYMENTS + at);
                let begun = Instant::now();
                assert_eq!(store.admit(admission).await, Ok(Admitted::Yes));
                took.push(begun.elapsed());
            }
            took
        });
    }
    let took: Vec<Duration> = lanes.join_all().await.into_iter().flatten().collect();
    let (seconds, payments) = (begun.elapsed().as_secs_f64(), took.len());
    let commits = std::mem::take(&mut *commits.lock().unwrap());
    let together = float(payments) / float(commits.len());
    println!("{payments} payments, {AT_ONCE} at once: {:.0} a second", float(payments) / seconds);
    println!("{} commits, {together:.1} payments each", commits.len());
    show("admission", took);
    show("commit", commits);
}

/// A payment that is about to leave, with an order of its own.
pub(crate) fn admission(number: u64) -> Admission {
    let channel = ChannelName::new("acme");
    let order = OrderId(number.to_string().into());
    let record = Record {
        payment: PaymentId::new(NOW, number.into()),
        at: NOW,
        channel: channel.clone(),
        scenario: Scenario::Debit,
        order: Some(order.clone()),
        amount: None,
        carried: elements(),
        mode: Mode::Enforce,
        effect: Effect::Permit,
        reasons: Vec::new(),
        verified: Some(evidence()),
        asked_now: false,
        routed: None,
        held_out: None,
        judged_in: Duration::ZERO,
        outcome: None,
        heard: None,
        mismatch: None,
        not_sent: false,
        timeline: Vec::new(),
        stated: false,
        undone: false,
        row_of: None,
        stakes: Stakes::default(),
    };
    let tuple = tuple(number);
    let needs = vec![
        Need::NotHeld(HoldKey::Tuple(tuple)),
        Need::Uncontradicted {
            tuple,
            channel: channel.clone(),
            road: Some(Road::new("road")),
            since: NOW,
        },
    ];
    let scenario = Scenario::Debit;
    let order = Some(OrderKey { channel, merchant: None, scenario, confirms: false, order });
    let payments = vec![Leaving { record, order, needs, expects: true }];
    Admission { payments, mode: Mode::Enforce, now: NOW }
}

fn show(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |hundredth: usize| took.get(took.len() * hundredth / 100).copied().unwrap_or_default();
    println!("{what}: p50 {:.1?}, p99 {:.1?} ({} of them)", at(50), at(99), took.len());
}

/// What this process has in memory, in bytes, by `/proc`.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

fn mega(bytes: u64) -> f64 {
    float(usize::try_from(bytes / 1_000_000).unwrap())
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}
