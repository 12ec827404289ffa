//! What clients had verified, as every store keeps it.

use crate::contract::every;
use crate::place::Place;
use crate::values::{NOW, payment, tuple};
use hefu::domain::element::{Element, ElementSet};
use hefu::domain::id::{ClientName, PaymentId};
use hefu::domain::kind::Kind;
use hefu::store::memory::MemoryStore;
use hefu::store::shelf::{Range, ShelfStore as _, Swap};
use hefu::store::verification::{Request, State, Use, Verification};

fn verification(client: &str, number: u128) -> Verification {
    let (set, state) = (ElementSet::EMPTY.with(Element::Pan), State::Asking { until: NOW });
    let client = ClientName::new(client);
    let kind = Kind::Elements;
    Verification {
        id: payment(number),
        client,
        at: NOW,
        kind,
        set,
        state,
        line: None,
        later: false,
    }
}

/// Claims a key for a verification, which is kept beside it.
async fn claim(store: &MemoryStore, client: &str, key: u8, number: u128) -> bool {
    let new = verification(client, number);
    let name = Request::key(&new.client, &tuple(key));
    let row = Request { id: new.id, content: tuple(9) }.row(name).unwrap();
    let beside = vec![new.row().unwrap()];
    store.swap(Swap { beside, ..Swap::claim(row) }).await.unwrap()
}

async fn page(
    store: &MemoryStore,
    client: &str,
    before: Option<PaymentId>,
    most: usize,
) -> Vec<PaymentId> {
    let range = Verification::last(&ClientName::new(client), before, most);
    let rows = store.range(range).await.unwrap();
    rows.iter().map(|row| Verification::read(row).unwrap().id).collect()
}

#[tokio::test]
async fn a_client_finds_its_own_by_time_and_one_key_is_one_verification() {
    every(async |store| {
        // A name that begins as another does, and ids that lie between another's.
        for (client, key, number) in
            [("a", 1, 1), ("a-b", 1, 2), ("a", 2, 3), ("ab", 1, 4), ("a", 3, 5)]
        {
            assert!(claim(&store, client, key, number).await, "{client} {number}");
        }
        assert!(!claim(&store, "a", 1, 6).await);
        let ids =
            |numbers: &[u128]| numbers.iter().map(|number| payment(*number)).collect::<Vec<_>>();
        assert_eq!(
            page(&store, "a", None, 9).await,
            ids(&[1, 3, 5]),
            "what was not claimed is not there"
        );
        assert_eq!(page(&store, "a", None, 2).await, ids(&[3, 5]));
        assert_eq!(page(&store, "a", Some(payment(3)), 2).await, ids(&[1]));
        assert_eq!(page(&store, "a-b", None, 9).await, ids(&[2]));
        assert_eq!(page(&store, "b", None, 9).await, ids(&[]));
        let known = verification("a", 3);
        let row =
            store.range(Range::one(&Verification::key(&known.client, known.id))).await.unwrap();
        assert_eq!(Verification::read(&row[0]).unwrap(), known);
    })
    .await;
}

/// Whichever process counts, nothing is counted twice, nor over another's.
#[tokio::test]
async fn two_processes_count_one_client() {
    for place in Place::every() {
        let [here, there] = [place.open(), place.open()];
        let key = Use::key(&ClientName::new("a"));
        let count = async |store: &MemoryStore, was: Option<&Use>, of_day| {
            let new = Use { of_day, ..Use::default() };
            let was = was.map(|was| was.row(key.clone(), NOW).unwrap().value);
            let new = new.row(key.clone(), NOW);
            store.swap(Swap { key: key.clone(), was, new, beside: Vec::new() }).await.unwrap()
        };
        assert!(count(&here, None, 1).await);
        assert!(!count(&there, None, 1).await);
        let one = Use { of_day: 1, ..Use::default() };
        assert!(count(&there, Some(&one), 2).await);
        assert!(!count(&here, Some(&one), 2).await);
    }
}
