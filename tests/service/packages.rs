//! What a scenario requires of whom, by whose messages evidence is used, and for how long.

use crate::{World, person, world};
use hefu::domain::answer::Answer;
use hefu::domain::element::{Element, ElementSet};
use hefu::domain::id::MerchantId;
use hefu::domain::money::Fen;
use hefu::domain::payment::Scenario;
use hefu::policy::Package;
use hefu::service::Service;
use hefu::service::validity::{Kinds, Sharing, Validity};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn world_where(change: impl FnOnce(&mut Service)) -> World {
    let mut world = world();
    change(Arc::get_mut(&mut world.service).unwrap());
    world
}

fn debit(merchant: &str, order: &str, amount: u64) -> String {
    let person = person(0);
    format!(
        r#""type":"debit","merchant":"{merchant}","order":"{order}","amount":"{amount}",{person}"#
    )
}

#[tokio::test]
async fn evidence_is_its_merchants() {
    let check = async |sharing: Sharing, asked: u64| {
        let world = world_where(|service| service.sharing = sharing);
        world.send(&debit("A", "1", 100), "ok").await;
        world.send(&debit("B", "2", 100), "ok").await;
        world.send(&debit("A", "3", 100), "ok").await;
        assert_eq!(world.first.asked(), asked);
    };
    let id = |text: &str| MerchantId(text.into());
    check(Sharing::default(), 2).await;
    check(Sharing { all: true, ..Sharing::default() }, 1).await;
    check(Sharing { all: false, same: BTreeMap::from([(id("B"), id("A"))]) }, 1).await;
}

#[tokio::test]
async fn a_package_requires_more_of_whom_it_names() {
    let four: ElementSet =
        [Element::Name, Element::IdNumber, Element::Pan, Element::Phone].into_iter().collect();
    let world = world_where(|service| {
        service.policy.packages = vec![Package {
            scenario: Scenario::Debit,
            merchants: vec![MerchantId("A".into())],
            from: Some(Fen::new(5_000)),
            required: four,
        }];
        for entry in &mut service.providers {
            let three = four.difference(ElementSet::EMPTY.with(Element::Phone));
            entry.candidate.sets.push(three);
        }
    });
    let check = async |merchant: &str, order: &str, amount, expected: &str| {
        let phone = r#","phone":"13800000000""#;
        let told = world.send(&debit(merchant, order, amount).replace(phone, ""), "ok").await;
        assert!(told.starts_with(expected), "{merchant} {amount}: {told}");
    };
    check("A", "1", 4_999, "decision: permit").await;
    check("A", "2", 5_000, "decision: annotate;reason=elements_missing").await;
    check("B", "3", 5_000, "decision: permit").await;
}

/// A bind in two steps is confirmed by the SMS that the channel sends between them.
#[tokio::test]
async fn policy_may_require_an_sms() {
    let world = world_where(|service| {
        let bind = service.policy.scenarios.get_mut(&Scenario::Bind).unwrap();
        bind.confirmed_by_sms = true;
    });
    let bind =
        |kind: &str, order: &str| format!(r#""type":"{kind}","order":"{order}",{}"#, person(0));
    let told = world.send(&bind("bind", "1"), "ok").await;
    assert_eq!(told, "403 unconfirmed []");
    assert_eq!(world.first.asked(), 0, "nothing is bought for what is refused anyway");
    assert!(world.send(&bind("bind1", "2"), "ok").await.starts_with("decision: permit"));
    let told = world.send(r#""type":"bind2","order":"2""#, "ok").await;
    assert!(told.starts_with("decision: permit"), "{told}");
    let told = world.send(r#""type":"bind2","order":"3""#, "ok").await;
    assert!(told.starts_with("403 first_step_unseen"), "{told}");
}

#[tokio::test]
async fn an_answer_is_as_good_as_its_kind_and_source() {
    let world = world_where(|service| {
        let kinds = Kinds { no_record: Some(Duration::from_hours(2)), ..Kinds::default() };
        let first = Kinds { matched: Some(Duration::from_hours(3)), ..Kinds::default() };
        service.validity = Validity { kinds, sources: BTreeMap::from([("first".into(), first)]) };
        service.providers.pop();
    });
    let order = std::cell::Cell::new(0);
    let send = async || {
        order.set(order.get() + 1);
        world.send(&debit("A", &order.get().to_string(), 100), "ok").await;
        world.first.asked()
    };
    world.first.will(&[Answer::NoRecord]);
    assert_eq!(send().await, 1);
    world.later(Duration::from_mins(119));
    assert_eq!(send().await, 1);
    world.later(Duration::from_mins(1));
    assert_eq!(send().await, 2);
    world.later(Duration::from_mins(179));
    assert_eq!(send().await, 2);
    world.later(Duration::from_mins(1));
    assert_eq!(send().await, 3);
}

/// What a channel said when the core verified through it was good for as long as any answer.
#[tokio::test]
async fn a_channels_answer_is_as_good_as_its_kind() {
    let world = world_where(|service| {
        service.validity.kinds.no_match = Some(Duration::from_hours(2));
        service.validity.kinds.matched = Some(Duration::from_hours(1));
    });
    let verify = format!(r#""type":"verify","order":"V",{}"#, person(0));
    let check = async |code: &str, after, order: &str, asked: u64| {
        world.later(Duration::from_mins(after));
        if !code.is_empty() {
            world.send(&verify, code).await;
        }
        let told = world.send(&World::debit(order, 0), "poor").await;
        assert_eq!(world.first.asked(), asked, "{order}: {told}");
    };
    check("phone", 0, "1", 0).await;
    check("", 119, "2", 0).await;
    check("", 1, "3", 1).await;
    check("ok", 0, "4", 1).await;
    check("", 59, "5", 1).await;
    check("", 1, "6", 2).await;
}
