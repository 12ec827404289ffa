//! What questions take: counted where it is kept, over all processes, before anybody is asked.

use crate::contract::every;
use crate::place::Place;
use crate::values::{NOW, four, payment, tuple};
use hefu::domain::answer::{Answer, Billable};
use hefu::domain::clock::Timestamp;
use hefu::domain::id::{MerchantId, ProviderName};
use hefu::domain::money::Fen;
use hefu::route::attempts::{Asking, Denied, Heard, Limits, Most, Subject};
use hefu::route::spend::{Account, Cap};
use hefu::store::memory::MemoryStore;
use hefu::store::reserve::{Attempts, Of, Reservation, Reserved};
use hefu::store::{Charge, InquiryStore as _, OpenInquiry};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// A question about card 1, at `at`, for 30 fen of 100.
pub(crate) fn question(number: u128, at: Timestamp) -> Reservation {
    let most = Most { per_day: 50, wrong: 5 };
    Reservation {
        inquiry: OpenInquiry {
            id: payment(number),
            provider: ProviderName::new("first"),
            set: four(),
            scenario: None,
            kind: None,
            bank: None,
            at,
        },
        attempts: Attempts {
            of: vec![Of { subject: Subject::Card, key: tuple(1), others: Vec::new() }],
            asking: Asking {
                source: "bank".into(),
                merchant: Some(MerchantId("m".into())),
                client: None,
                at,
            },
            limits: Limits { card: most, person: most, left_to_others: 0, ..Limits::default() },
            alone: false,
        },
        cost: Fen::new(30),
        caps: vec![Cap {
            account: Account::Provider(ProviderName::new("first")),
            most: Fen::new(100),
        }],
    }
}

fn close(store: &MemoryStore, of: &Reservation, heard: Heard, billable: Billable) {
    let inquiry = of.inquiry.clone();
    let charge = Charge {
        inquiry,
        answer: Answer::Match,
        code: None,
        trouble: None,
        took_ms: None,
        billable,
    };
    store.close_inquiry(&charge, of, heard, of.inquiry.at);
}

#[tokio::test]
async fn what_is_not_to_be_had_is_not_reserved() {
    every(async |store| {
        let open = async |question: Reservation| store.open_inquiry(&question).await.unwrap();
        for number in 1..=3 {
            let told = open(question(number, NOW)).await;
            assert!(matches!(told, Reserved::Yes(_)), "{told:?}");
        }
        let account = Account::Provider(ProviderName::new("first"));
        assert_eq!(open(question(4, NOW)).await, Reserved::Capped(account.clone()));
        assert_eq!(store.open_inquiries().len(), 3);
        // What was not sent takes nothing; what is not billed costs nothing, and was an attempt.
        close(&store, &question(1, NOW), Heard::NotSent, Billable::No);
        close(&store, &question(2, NOW), Heard::Wrong, Billable::No);
        close(&store, &question(3, NOW), Heard::Wrong, Billable::Uncertain);
        assert_eq!(store.attempts_left(&question(9, NOW).attempts).await, Ok(Ok(3)));
        assert!(matches!(open(question(5, NOW)).await, Reserved::Yes(_)));
        let told = open(question(6, NOW)).await;
        let Reserved::Yes(spent) = told else { panic!("{told:?}") };
        assert_eq!(spent.get(&account), Some(&(Fen::new(60), Fen::new(90))));
        // Another day has its own money; wrong answers count on.
        let tomorrow = NOW.plus(Duration::from_hours(20));
        assert!(matches!(open(question(7, tomorrow)).await, Reserved::Yes(_)));
        let told = open(question(8, tomorrow)).await;
        assert_eq!(told, Reserved::Denied(Denied::Wrong(Subject::Card)));
    })
    .await;
}

/// Under another key it is the same card.
#[tokio::test]
async fn attempts_count_under_every_key_that_is_read() {
    every(async |store| {
        let mut free = question(1, NOW);
        free.caps.clear();
        for number in 1..=5 {
            let question = Reservation { inquiry: question(number, NOW).inquiry, ..free.clone() };
            assert!(matches!(store.open_inquiry(&question).await, Ok(Reserved::Yes(_))));
        }
        let mut other = free;
        other.attempts.of =
            vec![Of { subject: Subject::Card, key: tuple(2), others: vec![tuple(1)] }];
        let told = store.attempts_left(&other.attempts).await;
        assert_eq!(told, Ok(Err(Denied::Wrong(Subject::Card))));
    })
    .await;
}

/// Two replicas, or two processes during an upgrade, and many questions about one card at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_attempts_and_money() {
    for place in Place::every() {
        let stores = [place.open(), place.open()].map(Arc::new);
        let mut racing = JoinSet::new();
        for number in 0..40_u128 {
            let store = stores[usize::from(number % 2 == 1)].clone();
            let mut question = question(number, NOW);
            question.caps[0].most = Fen::new(120);
            racing.spawn(async move { store.open_inquiry(&question).await.unwrap() });
        }
        let told = racing.join_all().await;
        let taken = told.iter().filter(|told| matches!(told, Reserved::Yes(_))).count();
        assert_eq!(taken, 4, "four cost 120 fen: {told:?}");
        drop(stores);
        // Nobody told what came of them: as many may have been wrong.
        let store = place.open();
        assert_eq!(store.attempts_left(&question(99, NOW).attempts).await, Ok(Ok(1)));
        assert_eq!(store.open_inquiries().len(), 4);
    }
}
