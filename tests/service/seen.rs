//! What rules see of accounts costs what they ask for, is unknown where it cannot be read, and is replayed as far as it is known.

use crate::attributes::{ID, PHONE, bind, debit, open, quoted, recorded, world_at};
use crate::clients_lost::failing_store;
use crate::{World, batch, config_of};
use hefu::domain::account::{AccountId, Class};
use hefu::domain::clock::Timestamp;
use hefu::service::backtest::Backtest;
use hefu::store::Record;
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::row::Aggregate;
use hefu::tier::rules::Book;
use std::sync::Arc;
use std::time::Duration;

const CLASS: &str = "has(account.class)";
const OPEN: &str = "has(person.accounts)";
const NEITHER: &str = "payment.hour == 6";

/// With an account `a` of the usual person, of class II.
async fn with_account(world: &World) {
    open(&world.service, "a", [ID, PHONE], Some(Class::II)).await;
}

/// How often a message has somebody look at accounts, where a rule asks for that.
async fn looks(when: &str, message: &str, mark: Option<&str>) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let (store, fault) = failing_store(dir.path());
    let world = world_at(store, &[], when);
    with_account(&world).await;
    let before = fault.looks(Aggregate::Accounts, "");
    recorded(&world, message, mark, "ok").await;
    fault.looks(Aggregate::Accounts, "") - before
}

#[tokio::test]
async fn accounts_are_looked_up_only_where_a_rule_asks() {
    let check = async |when: &str, message: String, mark: Option<&str>, more: usize| {
        let (asked, not) =
            (looks(when, &message, mark).await, looks(NEITHER, &message, mark).await);
        assert_eq!(asked - not, more, "{when}: {message} {mark:?}");
        if mark.is_none() {
            assert_eq!(not, 0, "{message}");
        }
    };
    check(CLASS, debit("1"), None, 0).await;
    check(CLASS, debit("1"), Some("a"), 2).await;
    check(CLASS, bind("1"), Some("a"), 0).await;
    check(OPEN, debit("1"), None, 1).await;
    check(OPEN, debit("1"), Some("a"), 1).await;
    check(OPEN, quoted("1"), None, 0).await;
}

#[tokio::test]
async fn what_cannot_be_read_of_accounts_is_unknown() {
    for (when, mark, attribute) in [
        (CLASS, Some("a"), "account.class"),
        ("has(account.shared_phone) && account.shared_phone", Some("a"), "account.shared_phone"),
        (OPEN, None, "person.accounts"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (store, fault) = failing_store(dir.path());
        let world = world_at(store, &[], when);
        with_account(&world).await;
        fault.hide(true);
        let record = recorded(&world, &debit("1"), mark, "ok").await;
        let ruled = record.stakes.rules.as_deref().unwrap();
        assert_eq!(
            (&*ruled.faults, ruled.shadows.len()),
            (&["yes", "no"].map(String::from)[..], 0)
        );
        fault.hide(false);
        // What is told afterwards is what was known then.
        let explained = world.service.rules.as_ref().unwrap().explain(&record);
        assert_eq!(
            (explained.as_decided, &*explained.not_kept),
            (true, &[attribute.to_owned()][..])
        );
    }
}

/// An account that is not open is not there. Of one that the rules in force do not tell of, nobody knows what it is like.
#[tokio::test]
async fn what_no_rules_tell_of_an_account_is_unknown() {
    let check = async |mark: &str, rules: bool, expected: [&[&str]; 2]| {
        let mut world = world_at(MemoryStore::new(Limits::default()), &[], CLASS);
        with_account(&world).await;
        open(&world.service, "closed", [ID, PHONE], Some(Class::II)).await;
        world.service.close_account(&AccountId::parse("closed").unwrap()).await.unwrap();
        if !rules {
            Arc::get_mut(&mut world.service).unwrap().tiers.book = Book::new(Vec::new());
        }
        let record = recorded(&world, &debit("1"), Some(mark), "ok").await;
        let ruled = record.stakes.rules.as_deref().unwrap();
        assert_eq!([&*ruled.shadows, &*ruled.faults], expected, "{mark} {rules}");
    };
    check("a", true, [&["yes"], &[]]).await;
    check("closed", true, [&["no"], &[]]).await;
    check("nobody", true, [&["no"], &[]]).await;
    check("a", false, [&[], &["yes", "no"]]).await;
    check("nobody", false, [&["no"], &[]]).await;
}

/// A rule's condition, by which account the message is marked, and the message.
type Line = (&'static str, Option<&'static str>, fn(&str) -> String);

/// A payment waits for accounts no longer than for providers, by itself or as the row of a batch.
#[tokio::test]
async fn what_does_not_come_in_time_is_unknown() {
    let lines: [Line; 3] = [
        (CLASS, Some("a"), debit),
        (OPEN, None, debit),
        (OPEN, None, |order| batch(order, &[0, 0])),
    ];
    for (when, mark, message) in lines {
        let dir = tempfile::tempdir().unwrap();
        let (store, fault) = failing_store(dir.path());
        let mut world = world_at(store, &[], when);
        with_account(&world).await;
        // What is verified by now takes no time.
        recorded(&world, &message("1"), mark, "ok").await;
        let settings = &mut Arc::get_mut(&mut world.service).unwrap().settings;
        (settings.inquiry_deadline, settings.batch_deadline) = (Duration::ZERO, Duration::ZERO);
        let (before, waits) = (fault.looks(Aggregate::Accounts, ""), fault.wait());
        tokio::time::pause();
        let late = async {
            while fault.looks(Aggregate::Accounts, "") == before {
                tokio::task::yield_now().await;
            }
            tokio::time::advance(Duration::from_millis(1)).await;
            // Whoever waited has heard of it.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            tokio::time::resume();
            drop(waits);
        };
        let order = message("2");
        let (record, ()) = tokio::join!(recorded(&world, &order, mark, "ok"), late);
        let ruled = record.stakes.rules.as_deref().unwrap();
        assert_eq!(&*ruled.faults, ["yes", "no"], "{when} {order}");
    }
}

/// What a rule of today comes to for a payment of before: whether it hit, or what is not known any more.
fn tried(when: &str, record: &Record) -> String {
    let rule = format!(
        "[[rule]]\nid = 'r'\naction = 'refuse'\nstate = 'live'\nowner = 'risk'\nreason = 'r_1'\nwhen = \"{when}\"\n"
    );
    let mut test = Backtest::new(config_of(&rule).rules, Timestamp::default());
    test.feed(record);
    let found = test.found();
    match found.lacks.keys().next() {
        Some(lacks) => lacks.clone(),
        None => if found.any.hits.is_empty() { "no" } else { "hit" }.to_owned(),
    }
}

#[tokio::test]
async fn a_backtest_says_what_history_knows_of_accounts() {
    let check = async |asked: &str,
                       (message, mark): (String, Option<&str>),
                       expected: [&str; 2]| {
        let world = world_at(MemoryStore::new(Limits::default()), &[], asked);
        with_account(&world).await;
        let record = recorded(&world, &message, mark, "ok").await;
        let came = [CLASS, OPEN].map(|when| tried(when, &record));
        assert_eq!(came.each_ref().map(String::as_str), expected, "{asked}: {message} {mark:?}");
    };
    let dear = || debit("1").replace(r#""amount":"100""#, r#""amount":"100001""#);
    let unknown = ["account.class", "person.accounts"];
    // Nobody asked then. What left and is not counted was not funded.
    check(NEITHER, (debit("1"), Some("a")), unknown).await;
    check(NEITHER, (debit("1"), None), ["no", "person.accounts"]).await;
    check(NEITHER, (quoted("1"), None), ["no", "no"]).await;
    check(NEITHER, (quoted("1"), Some("a")), ["account.class", "no"]).await;
    check(NEITHER, (bind("1"), Some("a")), ["no", "person.accounts"]).await;
    // What was refused may have been marked: for its account, or for another reason.
    check(NEITHER, (dear(), Some("a")), unknown).await;
    check(NEITHER, (debit("1"), Some("nobody")), unknown).await;
    let invalid = debit("1").replace(ID, "1");
    check(NEITHER, (invalid, None), ["account.class", "no"]).await;
    // What was asked for is kept, and what was not there as well.
    check(CLASS, (debit("1"), Some("a")), ["hit", "person.accounts"]).await;
    check(CLASS, (dear(), Some("a")), ["hit", "person.accounts"]).await;
    check(CLASS, (debit("1"), Some("nobody")), ["no", "person.accounts"]).await;
    check(OPEN, (debit("1"), Some("a")), ["account.class", "hit"]).await;
    check(&format!("{OPEN} && {CLASS}"), (debit("1"), None), ["no", "hit"]).await;
}
