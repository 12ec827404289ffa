//! The verification service: what clients are told, of whose evidence, and what is charged for it.

use crate::{FOUR, World, world, world_over};
use hefu::billing::month::Month;
use hefu::billing::price::{Price, Prices, Step};
use hefu::domain::answer::Answer;
use hefu::domain::business::CreditCode;
use hefu::domain::clock::Clock as _;
use hefu::domain::element::{Element, ElementSet, Elements};
use hefu::domain::id::{ClientName, MerchantId, PaymentId};
use hefu::domain::identity::{IdNumber, IdType};
use hefu::domain::kind::Kind;
use hefu::domain::pan::{AccountKind, Pan};
use hefu::domain::payment::Scenario;
use hefu::domain::person::{Mobile, Name};
use hefu::service::clients::batches::{LEASE, Lines};
use hefu::service::clients::kinds::KindTerms;
use hefu::service::clients::onboarding::Merchant;
use hefu::service::clients::quota::Quota;
use hefu::service::clients::room::Room;
use hefu::service::clients::{AskError, Over, Terms, Wanted};
use hefu::service::webhook::Delivery;
use hefu::service::{Binding, Settings};
use hefu::store::batch::{Batch, Work};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::onboarding::{Onboarding, Stand};
use hefu::store::row::{Row, RowKey};
use hefu::store::sqlite::Sqlite;
use hefu::store::verification::{State, Verification};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

pub(crate) const PHONE: ElementSet = ElementSet::EMPTY.with(Element::Phone);

pub(crate) fn alone(name: &str) -> Terms {
    let name = ClientName::new(name);
    Terms {
        merchant: Terms::own(&name),
        name,
        scenario: Scenario::Verify,
        sets: vec![FOUR],
        kinds: Vec::new(),
        shares: false,
        quota: Quota::default(),
        prices: Prices::flat(45),
        is_told: false,
        turn: Mutex::default(),
    }
}

pub(crate) fn terms(name: &str) -> Arc<Terms> {
    Arc::new(alone(name))
}

/// One that shares evidence with the payments of M1.
pub(crate) fn sharing() -> Arc<Terms> {
    Arc::new(Terms { merchant: MerchantId("M1".into()), shares: true, ..alone("sharing") })
}

/// As `crate::person` has them.
pub(crate) fn wanted(key: &str, phone: u8) -> Wanted {
    let elements = Elements {
        name: Name::parse("张三").ok(),
        id_number: IdNumber::parse("11010519491231002X", IdType::ResidentId).ok(),
        pan: Pan::parse("6200000000000005", AccountKind::Debit).ok(),
        phone: Mobile::parse(&format!("1380000000{phone}")).ok(),
        ..Elements::default()
    };
    Wanted { key: key.to_owned(), kind: Kind::Elements, elements, then: None, later: false }
}

pub(crate) async fn ask(world: &World, terms: &Arc<Terms>, key: &str, phone: u8) -> Verification {
    world.service.verify_for(terms, wanted(key, phone), ()).await.unwrap().0
}

pub(crate) fn answer(verification: &Verification) -> Option<Answer> {
    match verification.state {
        State::Asking { .. } => None,
        State::Done(came) => Some(came.answer),
    }
}

/// Whose evidence is whose.
#[tokio::test]
async fn evidence_is_shared_where_the_client_shares_it_and_nowhere_else() {
    let world = world();
    let (alone, other) = (terms("alone"), terms("other"));
    let sharing = sharing();
    let debit = |order: &str| format!("{},\"merchant\":\"M1\"", World::debit(order, 0));
    world.send(&debit("1"), "ok").await;
    assert_eq!(world.first.asked(), 1);
    // The payment's evidence is the sharing client's, at no inquiry.
    assert_eq!(answer(&ask(&world, &sharing, "a", 0).await), Some(Answer::Match));
    assert_eq!(world.first.asked(), 1);
    // Who shares nothing has its own.
    ask(&world, &alone, "a", 0).await;
    assert_eq!(world.first.asked(), 2);
    ask(&world, &other, "a", 0).await;
    assert_eq!(world.first.asked(), 3);
    for (terms, key) in [(&alone, "b"), (&other, "b"), (&sharing, "b")] {
        ask(&world, terms, key, 0).await;
    }
    assert_eq!(world.first.asked(), 3);
    // In whose name it asks makes no difference.
    let named = Terms { merchant: MerchantId("M1".into()), ..crate::clients::alone("named") };
    ask(&world, &Arc::new(named), "a", 0).await;
    assert_eq!(world.first.asked(), 4);
    // And what the sharing client asks is the payment's evidence.
    ask(&world, &sharing, "c", 1).await;
    assert_eq!(world.first.asked(), 5);
    world.send(&format!("{},\"merchant\":\"M1\"", World::debit("2", 1)), "ok").await;
    assert_eq!(world.first.asked(), 5);
}

/// The debit outcome prevails: nobody is sold what a channel refused.
#[tokio::test]
async fn what_a_debit_contradicted_is_not_told_again() {
    let world = world();
    let sharing = sharing();
    let debit = |order: &str| format!("{},\"merchant\":\"M1\"", World::debit(order, 0));
    world.send(&debit("1"), "phone").await;
    assert_eq!((world.first.asked(), world.held()), (1, 1));
    world.later(Duration::from_secs(1));
    world.first.will(&[Answer::NoMatch(PHONE)]);
    assert_eq!(answer(&ask(&world, &sharing, "a", 0).await), Some(Answer::NoMatch(PHONE)));
    assert_eq!(world.first.asked(), 2);
    // A client that shares nothing ends nobody's hold.
    ask(&world, &terms("alone"), "a", 0).await;
    assert_eq!(world.held(), 1);
}

/// What nobody asked is told as such, and no more of why than the client may know.
#[tokio::test]
async fn what_could_not_be_asked_is_told_without_why() {
    let world = world();
    let alone = terms("alone");
    world.first.will(&[Answer::Unavailable]);
    world.second.will(&[Answer::Unavailable]);
    let failed = ask(&world, &alone, "a", 0).await;
    assert_eq!(answer(&failed), Some(Answer::Unavailable));
    // The same again is the same: who wants it asked again says so by another key.
    assert_eq!(ask(&world, &alone, "a", 0).await, failed);
    assert_eq!(answer(&ask(&world, &alone, "b", 0).await), Some(Answer::Match));
    let other = Terms { sets: vec![PHONE], ..crate::clients::alone("alone") };
    let refused = world.service.verify_for(&Arc::new(other), wanted("c", 0), ()).await;
    assert_eq!(refused.unwrap_err(), AskError::Set);
}

/// A crash leaves it as being asked; once nobody can be there any more who asks, it is uncertain, and stays so.
#[tokio::test]
async fn what_nobody_concludes_is_uncertain() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let store = MemoryStore::open(
            Limits::default(),
            Sqlite::open(&dir.path().join("hefu.db")).unwrap(),
            |_| (),
        );
        world_over(store.unwrap(), Binding::Enforce(100), Settings::default())
    };
    let (world, alone) = (Arc::new(open()), terms("alone"));
    let shut = world.first.gate.acquire_many(1000).await.unwrap();
    let asking = tokio::spawn({
        let (world, alone) = (world.clone(), alone.clone());
        async move { ask(&world, &alone, "a", 0).await }
    });
    while world.first.asked() == 0 {
        tokio::task::yield_now().await;
    }
    let after = open();
    let known = ask(&after, &alone, "a", 0).await;
    assert_eq!((answer(&known), after.service.is_uncertain(&known)), (None, false));
    after.later(Duration::from_mins(1));
    let known = ask(&after, &alone, "a", 0).await;
    assert_eq!((answer(&known), after.service.is_uncertain(&known)), (None, true));
    assert_eq!(after.first.asked(), 0);
    // Had it been slow only, it says so now.
    drop(shut);
    let done = asking.await.unwrap();
    assert_eq!(answer(&done), Some(Answer::Match));
    let known = after.service.verification_of(&alone.name, done.id).await.unwrap();
    assert_eq!(known, Some(done));
}

/// Each is counted once, however many ask at once; what comes again is not, nor is what was refused.
#[tokio::test]
async fn no_more_is_verified_than_the_contract_allows() {
    let world = Arc::new(world());
    let quota = Quota { day: Some(5), month: Some(7) };
    let few = Arc::new(Terms { quota, ..alone("few") });
    let mut asking = JoinSet::new();
    for key in 0..20 {
        let (world, few) = (world.clone(), few.clone());
        asking.spawn(async move {
            world.service.verify_for(&few, wanted(&key.to_string(), 0), ()).await
        });
    }
    let came = asking.join_all().await;
    let refused = came.iter().filter(|came| matches!(came, Err(AskError::Over(Over::Day)))).count();
    assert_eq!((came.iter().filter(|came| came.is_ok()).count(), refused), (5, 15));
    let (known, _) = came.into_iter().flatten().next().unwrap();
    let page = world.service.verifications_of(&few.name, None, 100).await.unwrap().found;
    assert_eq!(page.len(), 5);
    assert!(page.contains(&known));
    world.later(Duration::from_hours(24));
    for (key, expected) in [("a", true), ("b", true), ("c", false), ("a", true)] {
        let came = world.service.verify_for(&few, wanted(key, 0), ()).await;
        assert_eq!(came.is_ok(), expected, "{key}: {came:?}");
    }
    // Another's is another's.
    ask(&world, &terms("other"), "a", 0).await;
}

#[tokio::test]
async fn a_month_comes_to_what_was_told() {
    let world = world();
    let prices = Prices::new(vec![Price {
        set: Some(FOUR),
        steps: vec![
            Step { up_to: Some(2), fen: "50".parse().unwrap() },
            Step { up_to: None, fen: "30.5".parse().unwrap() },
        ],
    }]);
    let client = Arc::new(Terms { prices, ..alone("lender") });
    ask(&world, &client, "a", 0).await;
    // Earlier evidence is told, too.
    ask(&world, &client, "b", 0).await;
    ask(&world, &client, "b", 0).await;
    world.first.will(&[Answer::NoMatch(PHONE), Answer::Unavailable, Answer::NoRecord]);
    world.second.will(&[Answer::Unavailable, Answer::NoRecord]);
    for (key, phone, expected) in [
        ("c", 1, Answer::NoMatch(PHONE)),
        ("d", 2, Answer::Unavailable),
        ("e", 3, Answer::NoRecord),
    ] {
        assert_eq!(answer(&ask(&world, &client, key, phone).await), Some(expected));
    }
    let month = |text: &str| text.parse::<Month>().unwrap();
    let lines = world.service.statement_of(&client, month("2023-11")).await.unwrap();
    let shown: Vec<_> = lines
        .iter()
        .map(|line| {
            (line.set, line.counts.charged, line.counts.free, line.counts.open, line.cost.get())
        })
        .collect();
    assert_eq!(shown, [(FOUR, 3, 2, 0, 131)]);
    for other in ["2023-10", "2023-12"] {
        assert_eq!(world.service.statement_of(&client, month(other)).await.unwrap(), []);
    }
    assert_eq!(world.service.statement_of(&terms("len"), month("2023-11")).await.unwrap(), []);
}

pub(crate) fn lines(key: &str, phones: &[u8]) -> Lines {
    let lines = phones.iter().map(|phone| wanted(key, *phone).elements).collect();
    Lines { key: key.to_owned(), kind: Kind::Elements, lines }
}

/// How the lines of a batch stand: `?` where nobody began one.
pub(crate) async fn stand(world: &World, batch: &Batch) -> String {
    let begun = world.service.lines_of(batch).await.unwrap();
    let how = |line: u32| match begun.get(&line) {
        None => "?",
        Some(it) if world.service.is_uncertain(it) => "uncertain",
        Some(it) => answer(it).map_or("asking", Answer::as_str),
    };
    (1..=batch.lines).map(how).collect::<Vec<_>>().join(" ")
}

pub(crate) async fn ended(world: &World, batch: &Batch) -> Batch {
    let looking = async {
        loop {
            let batch = world.service.batch_of(&batch.client, batch.id).await.unwrap().unwrap();
            if batch.work == Work::Ended {
                return batch;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking).await.unwrap()
}

#[tokio::test]
async fn every_line_of_a_batch_is_asked_about_once() {
    let (world, client) = (world(), terms("lender"));
    let room = Room::new(2);
    let batch = world
        .service
        .batch_for(&client, lines("a", &[0, 1, 2, 0]), room.clone(), ())
        .await
        .unwrap();
    ended(&world, &batch).await;
    assert_eq!(stand(&world, &batch).await, "match match match match");
    assert_eq!(world.first.asked(), 3);
    // The same again is the same; others under its key are refused, be they one.
    let again = world.service.batch_for(&client, lines("a", &[0, 1, 2, 0]), room.clone(), ()).await;
    assert_eq!(again.unwrap().id, batch.id);
    for other in [&[0, 1, 2][..], &[0, 1, 0, 2]] {
        let refused = world.service.batch_for(&client, lines("a", other), room.clone(), ()).await;
        assert_eq!(refused.unwrap_err(), AskError::OtherContent);
    }
    let refused = world.service.verify_for(&client, wanted("a", 0), ()).await;
    assert_eq!(refused.unwrap_err(), AskError::OtherContent);
    assert_eq!(world.first.asked(), 3);
    let month = "2023-11".parse().unwrap();
    let statement = world.service.statement_of(&client, month).await.unwrap();
    assert_eq!((statement[0].counts.charged, statement[0].cost.get()), (4, 180));
}

/// The lines that nobody began go on when they are posted again; those that may have been asked stay uncertain.
#[tokio::test]
async fn what_a_crash_cut_off_of_a_batch_goes_on_when_it_is_posted_again() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let backend = Sqlite::open(&dir.path().join("hefu.db")).unwrap();
        let store = MemoryStore::open(Limits::default(), backend, |_| ()).unwrap();
        world_over(store, Binding::Enforce(100), Settings::default())
    };
    let (before, client) = (open(), terms("lender"));
    let all = [0, 1, 2, 3, 4];
    before.first.gate.forget_permits(1000);
    let batch =
        before.service.batch_for(&client, lines("a", &all), Room::new(1), ()).await.unwrap();
    // One is being asked about, and the others wait for their turn, when nobody is there any more.
    while before.first.asked() == 0 {
        tokio::task::yield_now().await;
    }
    let after = open();
    assert_eq!(stand(&after, &batch).await, "asking ? ? ? ?");
    // Somebody may be working at it.
    let room = Room::new(8);
    let known = after.service.batch_for(&client, lines("a", &all), room.clone(), ()).await.unwrap();
    assert!(!known.is_left(after.service.clock.now()));
    after.later(LEASE + Duration::from_mins(1));
    assert!(known.is_left(after.service.clock.now()));
    assert_eq!(stand(&after, &batch).await, "uncertain ? ? ? ?");
    let known = after.service.batch_for(&client, lines("a", &all), room, ()).await.unwrap();
    assert_eq!(known.id, batch.id);
    ended(&after, &known).await;
    assert_eq!(stand(&after, &batch).await, "uncertain match match match match");
    assert_eq!(after.first.asked(), 4);
}

/// What else the client had verified is not looked at, be there ever so much of it.
#[tokio::test]
async fn the_lines_of_a_batch_are_found_by_their_keys() {
    let (world, client) = (world(), terms("lender"));
    let room = Room::new(2);
    let batch = world.service.batch_for(&client, lines("a", &[0, 1]), room, ()).await.unwrap();
    ended(&world, &batch).await;
    // As if another Hefu had written it.
    let other = Verification::key(&client.name, PaymentId::new(batch.at, 0));
    world.service.store.shelve(Row::new(other, None, &0).unwrap());
    assert_eq!(stand(&world, &batch).await, "match match");
}

const WHO: ElementSet = ElementSet::EMPTY.with(Element::Name).with(Element::IdNumber);
const CARD: ElementSet = WHO.with(Element::Pan);
const BUSINESS: ElementSet =
    ElementSet::EMPTY.with(Element::Name).with(Element::BusinessName).with(Element::CreditCode);

/// Has the first provider know businesses, and the second persons and cards.
pub(crate) fn knows_businesses(world: &mut World) {
    let service = Arc::get_mut(&mut world.service).unwrap();
    service.providers[0].candidate.asks = Kind::Business;
    service.providers[0].candidate.sets = vec![BUSINESS];
    service.providers[1].candidate.sets = vec![WHO, CARD];
}

/// Who may take merchants on.
pub(crate) fn onboards(name: &str, quota: Quota) -> Terms {
    let (kind, sets, prices) = (Kind::Business, vec![BUSINESS], Prices::flat(60));
    let kinds = vec![KindTerms { kind, sets, prices }];
    Terms { kinds, quota, sets: vec![WHO, CARD], ..alone(name) }
}

pub(crate) fn merchant(key: &str) -> Merchant {
    let elements = Elements {
        phone: None,
        business_name: Name::parse("测试有限公司").ok(),
        credit_code: CreditCode::parse("91350100M000100Y43").ok(),
        ..wanted("", 0).elements
    };
    Merchant { key: key.to_owned(), elements, later: false }
}

/// A merchant is as many questions as it may come to, from the beginning; under one key it is so once.
#[tokio::test]
async fn a_merchant_counts_as_all_its_steps() {
    let mut world = world();
    knows_businesses(&mut world);
    let bounded = Arc::new(onboards("bounded", Quota { day: Some(5), month: None }));
    for _ in 0..2 {
        world.service.onboard_for(&bounded, merchant("a"), ()).await.unwrap();
    }
    let over = world.service.onboard_for(&bounded, merchant("b"), ()).await;
    assert_eq!(over.unwrap_err(), AskError::Over(Over::Day));
    assert_eq!((world.first.asked(), world.second.asked()), (1, 2));
}

/// A crash leaves it between two steps, or within one.
#[tokio::test]
async fn an_onboarding_that_was_left_goes_on_where_nobody_began() {
    let mut world = world();
    knows_businesses(&mut world);
    let client = Arc::new(onboards("lender", Quota::default()));
    let done = world.service.onboard_for(&client, merchant("a"), ()).await.unwrap();
    let now = world.clock.now();
    assert_eq!(done.stand(now), Stand::Approved);
    assert_eq!((world.first.asked(), world.second.asked()), (1, 2));
    // As a crash leaves it before the last step, while another may still be at it; and after that.
    let whom = done.id;
    let mut left = done.clone();
    left.work = Work::By { whom, until: now.plus(Duration::from_secs(1)) };
    (left.steps[2].verification, left.steps[2].answer) = (None, None);
    world.service.store.shelve(left.row().unwrap());
    let again = world.service.onboard_for(&client, merchant("a"), ()).await.unwrap();
    assert_eq!(again.stand(now), Stand::Working);
    world.later(Duration::from_secs(2));
    let again = world.service.onboard_for(&client, merchant("a"), ()).await.unwrap();
    assert_eq!(again.stand(world.clock.now()), Stand::Approved);
    assert_ne!(again.steps[2].verification, done.steps[2].verification);
    assert_eq!(again.steps[..2], done.steps[..2]);
    // Within a step: what it came to is read; where nobody knows, it stalls, since it may have been asked.
    let mut left = again.clone();
    left.work = Work::By { whom, until: now };
    left.steps[2].answer = None;
    world.service.store.shelve(left.row().unwrap());
    let known = world.service.onboard_for(&client, merchant("a"), ()).await.unwrap();
    assert_eq!(known, again);
    let id = again.steps[2].verification.unwrap();
    let found = world.service.verification_of(&client.name, id).await.unwrap().unwrap();
    let asking = Verification { state: State::Asking { until: now }, ..found };
    world.service.store.shelve(asking.row().unwrap());
    world.service.store.shelve(left.row().unwrap());
    let stalled = world.service.onboard_for(&client, merchant("a"), ()).await.unwrap();
    assert_eq!(stalled.stand(world.clock.now()), Stand::Stalled);
    assert_eq!((world.first.asked(), world.second.asked()), (1, 2));
    // No contract for one of the steps, and nothing is asked.
    let few = Arc::new(Terms { kinds: Vec::new(), ..onboards("few", Quota::default()) });
    let refused = world.service.onboard_for(&few, merchant("a"), ()).await;
    assert_eq!(refused.unwrap_err(), AskError::Set);
}

/// What the client is to be told by its webhook.
async fn told(world: &World, client: &Terms) -> Vec<String> {
    let hooks = world.service.to_tell_whom(Some(&client.name), 10).await.unwrap();
    for hook in &hooks {
        // Of one onboarding one is told after the other.
        world.service.told_of(hook, Delivery::Taken).await.unwrap();
    }
    hooks.into_iter().map(|hook| hook.body).collect()
}

/// Whatever came first: who was told `202` and that it is being asked is told what it came to.
#[tokio::test]
async fn who_comes_again_and_does_not_wait_is_told() {
    for (later, expected) in [(false, 0), (true, 1)] {
        let world = Arc::new(world());
        let client = Arc::new(Terms { is_told: true, ..alone("told") });
        let shut = world.first.gate.acquire_many(1000).await.unwrap();
        let waits = tokio::spawn({
            let (world, client) = (world.clone(), client.clone());
            async move { ask(&world, &client, "a", 0).await }
        });
        while world.first.asked() == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..2 {
            let again = Wanted { later, ..wanted("a", 0) };
            let (known, before) = world.service.verify_for(&client, again, ()).await.unwrap();
            assert_eq!((answer(&known), before), (None, true));
        }
        drop(shut);
        let done = waits.await.unwrap();
        assert_eq!((answer(&done), world.first.asked()), (Some(Answer::Match), 1));
        let kept = world.service.verification_of(&client.name, done.id).await.unwrap();
        assert_eq!(kept.as_ref(), Some(&done));
        // Who comes when it is done is told at once.
        let again = Wanted { later: true, ..wanted("a", 0) };
        let (known, _) = world.service.verify_for(&client, again, ()).await.unwrap();
        assert_eq!(known, done);
        let bodies = told(&world, &client).await;
        assert_eq!(bodies.len(), expected, "{bodies:?}");
        assert!(bodies.iter().all(|body| body.contains(&done.id.to_string())), "{bodies:?}");
    }
}

/// As with one verification; and one that is left is told of by whoever goes on with it.
#[tokio::test]
async fn who_comes_again_for_a_merchant_and_does_not_wait_is_told() {
    for (later, expected) in [(false, 0), (true, 1)] {
        let mut world = world();
        knows_businesses(&mut world);
        let world = Arc::new(world);
        let client = Arc::new(Terms { is_told: true, ..onboards("told", Quota::default()) });
        let shut = world.first.gate.acquire_many(1000).await.unwrap();
        let waits = tokio::spawn({
            let (world, client) = (world.clone(), client.clone());
            async move { world.service.onboard_for(&client, merchant("a"), ()).await }
        });
        while world.first.asked() == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..2 {
            let again = Merchant { later, ..merchant("a") };
            let known = world.service.onboard_for(&client, again, ()).await.unwrap();
            assert_eq!(known.stand(world.clock.now()), Stand::Working);
        }
        drop(shut);
        let done = waits.await.unwrap().unwrap();
        assert_eq!((done.stand(world.clock.now()), done.later), (Stand::Approved, later));
        assert_eq!((world.first.asked(), world.second.asked()), (1, 2));
        let bodies = told(&world, &client).await;
        assert_eq!(bodies.len(), expected, "{bodies:?}");
        // Left before its last step, and posted again by who waits.
        let mut left = done.clone();
        left.work = Work::By { whom: left.id, until: world.clock.now() };
        (left.steps[2].verification, left.steps[2].answer) = (None, None);
        world.service.store.shelve(left.row().unwrap());
        let again = world.service.onboard_for(&client, merchant("a"), ()).await.unwrap();
        assert_eq!((again.stand(world.clock.now()), again.id), (Stand::Approved, done.id));
        let since = told(&world, &client).await;
        assert_eq!(since.len(), expected, "{since:?}");
        assert!(since.iter().all(|body| !bodies.contains(body)), "{since:?}");
    }
}

/// A row that cannot be read is in no list, and ends none.
#[tokio::test]
async fn a_list_goes_on_behind_what_cannot_be_read() {
    let world = world();
    let client = terms("lists");
    let at = |ms: u128| PaymentId::new(world.clock.now(), ms);
    let unread = |key: RowKey| {
        let row = Row::new(key, None, &"as another Hefu wrote it");
        world.service.store.shelve(row.unwrap());
    };
    let (now, name) = (world.clock.now(), client.name.clone());
    let work = Work::Ended;
    for ms in [1, 3] {
        let (id, client) = (at(ms), name.clone());
        let came = State::Asking { until: now };
        let (kind, set) = (Kind::Elements, FOUR);
        let verification = Verification {
            id,
            client: client.clone(),
            at: now,
            kind,
            set,
            state: came,
            line: None,
            later: false,
        };
        let batch = Batch { id, client: client.clone(), at: now, kind, lines: 1, work };
        let onboarding = Onboarding { id, client, at: now, steps: Vec::new(), work, later: false };
        for row in [verification.row(), batch.row(), onboarding.row()] {
            world.service.store.shelve(row.unwrap());
        }
    }
    unread(Verification::key(&name, at(2)));
    unread(Batch::key(&name, at(2)));
    unread(Onboarding::key(&name, at(2)));
    let service = &world.service;
    let mut before = None;
    for (ids, next) in [(vec![at(3)], Some(at(2))), (vec![at(1)], None)] {
        let page = service.verifications_of(&name, before, 2).await.unwrap();
        let found: Vec<_> = page.found.iter().map(|it| it.id).collect();
        assert_eq!((&found, page.next), (&ids, next), "verifications");
        let page = service.batches_of(&name, before, 2).await.unwrap();
        let found: Vec<_> = page.found.iter().map(|it| it.id).collect();
        assert_eq!((&found, page.next), (&ids, next), "batches");
        let page = service.onboardings_of(&name, before, 2).await.unwrap();
        let found: Vec<_> = page.found.iter().map(|it| it.id).collect();
        assert_eq!((&found, page.next), (&ids, next), "onboardings");
        before = next;
    }
}
