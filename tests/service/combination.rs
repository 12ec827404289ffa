//! Combination (组合认证): off by default, opted into by merchant and scenario, and only where the channel does not check the phone.

use crate::{FOUR, World, person, world};
use hefu::domain::answer::Answer;
use hefu::domain::element::{Element, ElementSet};
use hefu::domain::id::MerchantId;
use hefu::domain::payment::Scenario;
use hefu::policy::Combination;
use std::sync::Arc;

const WHO: ElementSet = ElementSet::EMPTY.with(Element::Name).with(Element::IdNumber);
const PHONE: Answer = Answer::NoMatch(ElementSet::EMPTY.with(Element::Phone));

/// A bank side and an operator; merchant `A` opted in for debits.
fn combining() -> World {
    let mut world = world();
    let service = Arc::get_mut(&mut world.service).unwrap();
    let [bank, operator] = service.providers.as_mut_slice() else { return world };
    bank.candidate.source = "bank".into();
    bank.candidate.sets = vec![FOUR, WHO.with(Element::Pan)];
    operator.candidate.source = "operator".into();
    operator.candidate.sets = vec![WHO.with(Element::Phone)];
    service.policy.combination = vec![Combination {
        merchants: vec![MerchantId("A".into())],
        scenarios: vec![Scenario::Debit],
    }];
    world
}

fn debit(kind: &str, merchant: &str, order: &str) -> String {
    format!(
        r#""type":"{kind}","merchant":"{merchant}","order":"{order}","amount":"100",{}"#,
        person(0)
    )
}

impl World {
    fn combined(&self, result: &str) -> u64 {
        self.service.metrics.total("hefu_combinations_total", &[("result", result)])
    }
}

#[tokio::test]
async fn a_phone_that_the_channel_does_not_check_is_settled_by_the_operator() {
    let world = combining();
    world.first.will(&[PHONE, Answer::Match]);
    let told = world.send(&debit("debit_of_three", "A", "1"), "ok").await;
    let expected = concat!(
        "decision: permit;reason=combined;mode=enforce\n",
        r#"verification: match;provider="first";road="road";elements="name id_number pan";age=0, "#,
        r#"match;provider="second";road="road";elements="name id_number phone";age=0"#,
        "\noutcome: succeeded;code=\"ok\";arrival=sync"
    );
    assert_eq!(told, expected);
    assert_eq!((world.first.asked(), world.second.asked(), world.combined("settled")), (2, 1, 1));
    // Each part is evidence for itself: the next asks nobody.
    let told = world.send(&debit("debit_of_three", "A", "2"), "ok").await;
    assert!(told.starts_with("decision: permit;reason=combined"), "{told}");
    assert_eq!((world.first.asked(), world.second.asked()), (2, 1));
    // And none on all four: a channel that checks the phone is not sent what it would refuse.
    world
        .check(&debit("debit", "A", "3"), "ok", expect_test::expect!["403 no_match [phone]"])
        .await;
}

#[tokio::test]
async fn nothing_is_combined_unless_all_of_it_holds() {
    let check = async |kind: &str, merchant: &str, bank: &[Answer], operator: Answer, settled| {
        let world = combining();
        world.first.will(bank);
        world.second.will(&[operator]);
        let told = world.send(&debit(kind, merchant, "1"), "ok").await;
        let is = told.starts_with("decision: permit;reason=combined");
        assert_eq!(is, settled, "{kind} {merchant} {bank:?} {operator:?}: {told}");
        assert!(is || told.starts_with("403 no_match"), "{told}");
    };
    let (four, whole) = (PHONE, Answer::NoMatch(ElementSet::EMPTY));
    let three = "debit_of_three";
    check(three, "A", &[four, Answer::Match], Answer::Match, true).await;
    check(three, "A", &[whole, Answer::Match], Answer::Match, true).await;
    check("debit", "A", &[four, Answer::Match], Answer::Match, false).await;
    check(three, "B", &[four, Answer::Match], Answer::Match, false).await;
    check(three, "A", &[four, whole], Answer::Match, false).await;
    check(three, "A", &[four, Answer::CloseMatch], Answer::Match, false).await;
    check(three, "A", &[four, Answer::Match], whole, false).await;
    check(three, "A", &[four, Answer::Match], Answer::NoRecord, false).await;
    let name = Answer::NoMatch(ElementSet::EMPTY.with(Element::Name));
    check(three, "A", &[name, Answer::Match], Answer::Match, false).await;
}

/// What it lets through and the channel then contradicts is counted apart.
#[tokio::test]
async fn the_mismatches_that_it_causes_are_counted_apart() {
    let world = combining();
    world.first.will(&[PHONE, Answer::Match]);
    world.send(&debit("debit_of_three", "A", "1"), "name").await;
    let metrics = &world.service.metrics;
    let kind = [("kind", "match_then_no_match")];
    assert_eq!(metrics.total("hefu_combination_mismatches_total", &kind), 1);
    assert_eq!(metrics.total("hefu_mismatches_total", &kind), 1);
    assert_eq!(world.held(), 1);
    // The next does not leave for it.
    let told = world.send(&debit("debit_of_three", "A", "2"), "ok").await;
    assert!(told.starts_with("403 held"), "{told}");
}
