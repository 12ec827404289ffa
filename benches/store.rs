//! The embedded store at size: a million pieces of evidence in one file; and what must be durable first, 64 at once and one by one:
//! an admission, an inquiry before it is sent, an outcome before its notification is acknowledged.
//!
//! Everything is printed; nothing is asserted but that it works.

use hefu::domain::answer::{Answer, Billable};
use hefu::domain::clock::Timestamp;
use hefu::domain::element::{Element, ElementSet};
use hefu::domain::id::{ChannelName, Fingerprint, KeyId, OrderId, PaymentId, ProviderName, Road};
use hefu::domain::money::Fen;
use hefu::domain::outcome::{Arrival, Outcome, Precedence};
use hefu::domain::payment::{Mode, Scenario};
use hefu::policy::Effect;
use hefu::reconcile::arrival::Step;
use hefu::reconcile::hold::HoldKey;
use hefu::route::attempts::{self, Asking, Heard, Most, Subject};
use hefu::route::spend::{Account, Cap};
use hefu::store::journal::{Admission, Admitted, Journal as _, Leaving, Need, OrderKey};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::reserve::{Attempts, Of, Reservation, Reserved};
use hefu::store::row::RowKey;
use hefu::store::sqlite;
use hefu::store::writer::Event;
use hefu::store::{
    Became, Charge, Evidence, EvidenceStore as _, InquiryStore as _, Judged, OpenInquiry, Owing,
    PaymentStore as _, Record, Stakes, Witness,
};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const EVIDENCE: u64 = 1_000_000;
const LOOKUPS: u64 = 20_000;
const PAYMENTS: u64 = 20_000;
const AT_ONCE: u64 = 64;
/// How many, where they come one by one.
const ALONE: u64 = 2_000;
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
        origin: None,
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

    for at_once in [AT_ONCE, 1] {
        measure("admission", &store, &commits, at_once, admit).await;
        measure("inquiry, kept before it is sent", &store, &commits, at_once, inquire).await;
        measure(
            "notification, kept before it is acknowledged",
            &store,
            &commits,
            at_once,
            notified,
        )
        .await;
    }
}

async fn admit(store: Arc<MemoryStore>, number: u64) {
    assert_eq!(store.admit(admission(number)).await, Ok(Admitted::Yes));
}

/// A question, until it may be put; what became of it is written with what comes next, and nobody waits for that.
async fn inquire(store: Arc<MemoryStore>, number: u64) {
    let question = question(number);
    assert!(matches!(store.open_inquiry(&question).await, Ok(Reserved::Yes(_))));
    let (inquiry, answer, billable) = (question.inquiry.clone(), Answer::Match, Billable::Yes);
    let charge = Charge { inquiry, answer, code: None, trouble: None, took_ms: None, billable };
    store.close_inquiry(&charge, &question, Heard::Right, NOW);
}

/// The outcome of a payment that was admitted, until it is durable.
async fn notified(store: Arc<MemoryStore>, number: u64) {
    let record = record(number);
    let outcome = (Outcome::Succeeded, Some("00".to_owned()), Arrival::Notify);
    assert_eq!(store.arrive(&record, outcome, Precedence::default(), NOW), Step::Ended);
    store.complete(&record, None, Owing::Nothing);
    store.flush().await.unwrap();
}

/// How long each of so many at once takes, of numbers that are the same whatever is measured.
async fn measure<F: Future<Output = ()> + Send + 'static>(
    what: &str,
    store: &Arc<MemoryStore>,
    commits: &Arc<Mutex<Vec<Duration>>>,
    at_once: u64,
    does: impl Fn(Arc<MemoryStore>, u64) -> F + Copy + Send + 'static,
) {
    commits.lock().unwrap().clear();
    let begun = Instant::now();
    let mut lanes = JoinSet::new();
    let each = if at_once == 1 { ALONE } else { PAYMENTS / at_once };
    for lane in 0..at_once {
        let store = store.clone();
        // Those that come one by one are others.
        let first = if at_once == 1 { AT_ONCE * PAYMENTS } else { lane * PAYMENTS };
        lanes.spawn(async move {
            let mut took = Vec::new();
            for number in first..first + each {
                let begun = Instant::now();
                does(store.clone(), number).await;
                took.push(begun.elapsed());
            }
            took
        });
    }
    let took: Vec<Duration> = lanes.join_all().await.into_iter().flatten().collect();
    let (seconds, count) = (begun.elapsed().as_secs_f64(), took.len());
    let commits = std::mem::take(&mut *commits.lock().unwrap());
    let together = float(count) / float(commits.len().max(1));
    println!("{what}: {at_once} at once: {:.0} a second", float(count) / seconds);
    println!("  {} commits, {together:.1} each", commits.len());
    show("  until it is durable", took);
    show("  commit", commits);
}

/// About a card of its own, with a cap that is never reached.
fn question(number: u64) -> Reservation {
    let most = Most { per_day: 50, wrong: 5 };
    let of = vec![Of { subject: Subject::Card, key: tuple(number), others: Vec::new() }];
    let limits = attempts::Limits {
        card: most,
        person: most,
        left_to_others: 0,
        ..attempts::Limits::default()
    };
    let provider = ProviderName::new("first");
    let id = PaymentId::new(NOW, u128::from(number));
    let account = Account::Provider(provider.clone());
    Reservation {
        inquiry: OpenInquiry {
            id,
            provider,
            set: elements(),
            scenario: None,
            kind: None,
            bank: None,
            at: NOW,
        },
        attempts: Attempts {
            of,
            asking: Asking { source: "bank".into(), merchant: None, client: None, at: NOW },
            limits,
            alone: false,
        },
        cost: Fen::new(30),
        caps: vec![Cap { account, most: Fen::new(1_000_000_000) }],
    }
}

fn record(number: u64) -> Record {
    Record {
        payment: PaymentId::new(NOW, number.into()),
        at: NOW,
        channel: ChannelName::new("acme"),
        scenario: Scenario::Debit,
        order: Some(OrderId(number.to_string().into())),
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
        became: Became::default(),
        judged: Judged::default(),
        row_of: None,
        stakes: Stakes::default(),
    }
}

/// A payment that is about to leave, with an order of its own.
pub(crate) fn admission(number: u64) -> Admission {
    let record = record(number);
    let channel = record.channel.clone();
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
    let order = OrderId(number.to_string().into());
    let order = Some(OrderKey { channel, merchant: None, scenario, confirms: false, order });
    let payments = vec![Leaving { record: record.into(), order, needs, expects: true }];
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
