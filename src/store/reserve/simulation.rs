//! Two processes ask about one card over a database of which any step may fail, and whose commits may happen all the same: whatever
//! comes of it, no more is asked than may be, and what an answer gives back is given back once.

use super::*;
use crate::domain::element::ElementSet;
use crate::domain::id::{KeyId, MerchantId, ProviderName};
use crate::route::attempts::Most;
use crate::store::memory::amend::Amend;
use crate::store::writer::Writer;
use crate::store::writer::model::{Database, Disk};
use futures::FutureExt as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::sync::{Arc, Mutex};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const MOST: u32 = 6;

fn question(number: u64, merchant: u64) -> Reservation {
    let at = NOW.plus(Duration::from_secs(number));
    let most = Most { per_day: 1_000, wrong: MOST };
    let merchant = Some(MerchantId(format!("m{merchant}").into()));
    let key = Fingerprint { key: KeyId(1), digest: [1; 32] };
    let provider = ProviderName::new("first");
    Reservation {
        inquiry: OpenInquiry {
            id: PaymentId::new(at, number.into()),
            provider: provider.clone(),
            set: ElementSet::EMPTY,
            scenario: None,
            kind: None,
            bank: None,
            at,
        },
        attempts: Attempts {
            of: vec![Of { subject: Subject::Card, key, others: Vec::new() }],
            asking: Asking { source: "bank".into(), merchant, client: None, at },
            limits: Limits { card: most, person: most, left_to_others: 2, ..Limits::default() },
            alone: false,
        },
        cost: Fen::new(30),
        caps: vec![Cap { account: Account::Provider(provider), most: Fen::new(900) }],
    }
}

fn run(seed: u64) -> (u32, u64) {
    let disk = Arc::new(Mutex::new(Disk::new(seed)));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut processes: Vec<_> = (0..2).map(|_| (Writer::by_hand(), Database::on(&disk))).collect();
    // What the bank saw since the last right answer, what was billed, and what is asked now.
    let (mut wrong, mut billed, mut most) = (0_u32, 0_u64, 0);
    let mut open: Vec<(usize, Reservation)> = Vec::new();
    for number in 0..120 {
        let at = rng.random_range(0..2);
        if rng.random_bool(0.6) {
            let question = question(number, rng.random_range(0..3));
            let (writer, database) = &mut processes[at];
            let mut told = Box::pin(writer.reserve(&question));
            assert!(told.as_mut().now_or_never().is_none());
            // It may be that nobody waits for it any more.
            if rng.random_bool(0.05) {
                drop(told);
                writer.commit(database);
                continue;
            }
            writer.commit(database);
            if let Some(Ok(Reserved::Yes(_))) = told.now_or_never() {
                open.push((at, question));
            }
        } else if !open.is_empty() {
            let (at, question) = open.swap_remove(rng.random_range(0..open.len()));
            let (heard, bills) = match rng.random_range(0..4) {
                0 => (Heard::Right, true),
                1 => (Heard::Neither, false),
                2 => (Heard::NotSent, false),
                _ => (Heard::Wrong, true),
            };
            // The bank saw it before anybody here was told.
            match heard {
                Heard::Right => wrong = 0,
                Heard::Wrong => wrong += 1,
                Heard::Neither | Heard::NotSent | Heard::Limited => (),
            }
            billed += if bills { 30 } else { 0 };
            let (writer, database) = &mut processes[at];
            for settling in question.settling(heard, bills, NOW.plus(Duration::from_secs(number))) {
                writer.amend(Amend::Settle(Box::new(settling)));
            }
            writer.commit(database);
        }
        most = most.max(wrong);
        assert!(wrong <= MOST, "seed {seed}: {wrong} wrong tries in a row");
        assert!(billed <= 900, "seed {seed}: {billed} fen");
    }
    (most, billed)
}

/// Within a runtime, since who waits for a commit waits no longer than a while.
#[tokio::test(start_paused = true)]
async fn no_more_is_asked_than_may_be() {
    let runs: Vec<_> = (0..300).map(run).collect();
    assert!(runs.iter().any(|(most, _)| *most >= MOST - 1), "{runs:?}");
    assert!(runs.iter().any(|(_, billed)| *billed > 300), "{runs:?}");
}
