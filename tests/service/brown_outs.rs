//! Brown-outs: one provider misbehaves, in every way that it can. What is decided has its reason, nothing leaves against policy, and when it is
//! well again it is not stormed.

use crate::{World, world};
use hefu::domain::answer::Answer;
use hefu::domain::payment::Scenario;
use hefu::provider::Trouble;
use hefu::route::attempts::Limits;
use hefu::service::Settings;
use std::sync::Arc;
use std::time::Duration;

/// Every way to fail of which a provider has one.
const WAYS: [Trouble; 6] = [
    Trouble::Connect,
    Trouble::Silence,
    Trouble::Status,
    Trouble::TooLarge,
    Trouble::Unreadable,
    Trouble::Signature,
];

/// A debit of somebody else's card each: attempts are another test's matter.
fn debit(order: u32) -> String {
    let phone = format!("138{order:08}");
    World::debit(&order.to_string(), 0).replace("13800000000", &phone)
}

impl World {
    fn fail(&self, times: usize, trouble: Trouble) {
        (0..times).for_each(|_| self.first.will_not(Answer::Unavailable, trouble));
    }
}

/// With another to ask, everybody is verified by that one, at the price of five failures.
#[tokio::test]
async fn one_that_fails_costs_five_questions_and_no_payment() {
    for trouble in WAYS {
        let world = world();
        world.fail(100, trouble);
        for order in 0..40 {
            let told = world.send(&debit(order), "ok").await;
            assert!(told.contains(r#"match;provider="second""#), "{trouble:?} {order}: {told}");
        }
        assert_eq!((world.first.asked(), world.second.asked()), (5, 40), "{trouble:?}");
    }
}

/// With nobody else to ask nothing leaves, and each is told why. When it is well again it is tried by one question at a time.
#[tokio::test]
async fn nothing_leaves_while_nobody_can_be_asked_and_nobody_is_stormed_after() {
    for trouble in WAYS {
        let mut world = world();
        Arc::get_mut(&mut world.service).unwrap().providers.pop();
        world.fail(5, trouble);
        for order in 0..20 {
            let told = world.send(&debit(order), "ok").await;
            assert_eq!(told, "503 unavailable []", "{trouble:?}");
        }
        assert_eq!(world.first.asked(), 5, "{trouble:?}");
        // It is well, and slow: a hundred come at once.
        world.later(Duration::from_secs(2));
        let world = Arc::new(world);
        let shut = world.first.gate.acquire_many(1000).await.unwrap();
        let storm: Vec<_> = (100..200)
            .map(|order| {
                let world = world.clone();
                tokio::spawn(async move { world.send(&debit(order), "ok").await })
            })
            .collect();
        while world.first.asked() == 5 {
            tokio::task::yield_now().await;
        }
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.first.asked(), 6, "{trouble:?}: one trial");
        drop(shut);
        let mut permitted = 0;
        for one in storm {
            permitted += u32::from(one.await.unwrap().starts_with("decision: permit"));
        }
        assert_eq!(permitted, 1, "{trouble:?}");
        // Three in a row, and it is as before.
        for order in 300..310 {
            let told = world.send(&debit(order), "ok").await;
            assert!(told.starts_with("decision: permit"), "{trouble:?}: {told}");
        }
    }
}

/// Good and bad in turn: half of it fails, and what fails goes to the other as far as the budget of retries allows.
#[tokio::test]
async fn one_that_flaps_opens_its_breaker() {
    let world = world();
    for _ in 0..50 {
        world.fail(1, Trouble::Silence);
        world.first.will(&[Answer::Match]);
    }
    for order in 0..60 {
        let told = world.send(&debit(order), "ok").await;
        assert!(told.starts_with("decision: permit"), "{order}: {told}");
    }
    assert!(world.first.asked() < 15, "{}", world.first.asked());
}

/// One question in three fails, which no breaker minds: as many go on as the budget of retries lets, and the others are told why they do not.
#[tokio::test]
async fn no_more_go_on_than_the_budget_of_retries_lets() {
    const QUESTIONS: u64 = 300;
    let world = world();
    let (mut permitted, mut refused) = (0, 0);
    for order in 0..QUESTIONS {
        if order % 3 == 0 {
            world.fail(1, Trouble::Silence);
        }
        let told = world.send(&debit(u32::try_from(order).unwrap()), "ok").await;
        permitted += u64::from(told.starts_with("decision: permit"));
        refused += u64::from(told == "503 unavailable []");
    }
    // Ten there are at first, and a fifth of one comes with each question up to the last one that fails.
    let retries = 10 + (QUESTIONS - 2) / 5;
    assert_eq!((world.first.asked(), world.second.asked()), (QUESTIONS, retries));
    assert_eq!(
        (permitted, refused),
        (QUESTIONS - QUESTIONS / 3 + retries, QUESTIONS / 3 - retries)
    );
    let withheld = [("provider", "second"), ("reason", "retries")];
    let counted = world.service.metrics.total("hefu_inquiries_withheld_total", &withheld);
    assert_eq!(counted, refused);
}

/// One whose every answer came after whoever had asked was gone was asked for ever, and no payment was verified: its answers were good.
#[tokio::test(start_paused = true)]
async fn one_that_answers_too_late_opens_its_breaker() {
    let wait = Settings::default().inquiry_deadline;
    let told = async |takes: Duration| {
        let world = world();
        *world.first.takes.lock().unwrap() = takes;
        let mut permitted = 0;
        for order in 0..40 {
            permitted +=
                u32::from(world.send(&debit(order), "ok").await.starts_with("decision: permit"));
            // An answer that is paid for is kept however late it comes.
            tokio::time::sleep(takes).await;
        }
        let again = debit(0).replace(r#""order":"0""#, r#""order":"again""#);
        let kept = world.send(&again, "ok").await;
        assert!(kept.contains(r#"match;provider="first""#), "{kept}");
        (permitted, world.first.asked(), world.second.asked())
    };
    // Ten times as long as it was, and in time.
    assert_eq!(told(wait / 2).await, (40, 40, 0));
    // Too late: five are refused for want of an answer, and then the other is asked.
    assert_eq!(told(wait * 2).await, (35, 5, 35));
}

/// Who binds may wait longer than who debits.
#[tokio::test(start_paused = true)]
async fn each_scenario_waits_as_long_as_it_says() {
    let mut world = world();
    let service = Arc::get_mut(&mut world.service).unwrap();
    service.providers.pop();
    let wait = service.settings.inquiry_deadline;
    let bind = service.policy.scenarios.get_mut(&Scenario::Bind).unwrap();
    bind.deadline = Some(wait * 3);
    *world.first.takes.lock().unwrap() = wait * 2;
    assert_eq!(world.send(&debit(1), "ok").await, "503 unavailable []");
    let bind = |order| debit(order).replace(r#""debit""#, r#""bind""#);
    // It takes no longer than a bind waits, and so it is no failure however often.
    for order in 2..12 {
        let told = world.send(&bind(order), "ok").await;
        assert!(told.starts_with("decision: permit"), "{order}: {told}");
    }
    assert_eq!(world.first.asked(), 11);
}

/// Who is asked with what little time another left him is not at fault for being late.
#[tokio::test(start_paused = true)]
async fn one_that_is_asked_late_is_not_late() {
    let wait = Settings::default().inquiry_deadline;
    let world = world();
    world.fail(5, Trouble::Silence);
    *world.first.takes.lock().unwrap() = wait * 9 / 10;
    *world.second.takes.lock().unwrap() = wait / 5;
    for order in 0..40 {
        world.send(&debit(order), "ok").await;
        tokio::time::sleep(wait).await;
    }
    // Five wait for the one that hangs, and then for the other in vain; after them all are verified.
    assert_eq!((world.first.asked(), world.second.asked()), (5, 40));
}

/// A customer who tries again and again in an outage does not lock his card by it.
#[tokio::test]
async fn an_outage_spends_no_more_attempts_than_there_are() {
    let mut world = world();
    let service = Arc::get_mut(&mut world.service).unwrap();
    service.providers.pop();
    service.attempts = Limits::default();
    world.fail(100, Trouble::Silence);
    for order in 0..10 {
        world.later(Duration::from_secs(40));
        let told = world.send(&debit(order), "ok").await;
        let expected = if order < 2 { "503 unavailable" } else { "403 attempts_spent" };
        assert!(told.starts_with(expected), "{order}: {told}");
    }
    assert_eq!(world.first.asked(), 2);
}
