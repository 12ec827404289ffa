//! What outcomes say of what providers said, and what rests on it: who is asked first, what is let through, what is advised.

use crate::{FOUR, World, world};
use expect_test::expect;
use hefu::domain::answer::Answer;
use hefu::domain::chance::Share;
use hefu::domain::element::{Element, ElementSet};
use hefu::domain::id::{PaymentId, ProviderName};
use hefu::reconcile::concordance::Said;
use hefu::route::concordance::{Costs, Strategy};
use hefu::service::Service;
use hefu::service::routing::Routing;
use hefu::store::Record;
use std::sync::Arc;
use std::time::Duration;

/// A world whose service is otherwise.
fn world_where(change: impl FnOnce(&mut Service)) -> World {
    let mut world = world();
    change(Arc::get_mut(&mut world.service).unwrap());
    world
}

const PHONE: ElementSet = ElementSet::EMPTY.with(Element::Phone);

impl World {
    /// How often the channel bore out what the first provider said, and did not.
    fn borne_out(&self, said: Said) -> (f64, f64) {
        let (name, at) = (ProviderName::new("first"), (Some(self.channel.name()), None));
        let count = self.service.concordance(&name, FOUR, at, (said, None)).count;
        (count.agreed, count.differed)
    }

    /// The record of the payment that was told of.
    pub(crate) async fn recorded(&self, message: &str, code: &str) -> Record {
        let body = format!(r#"{{"code":"{code}"}}"#);
        let (content_type, body) = (None, body.as_bytes());
        let judged = self.judge(&self.channel, message).await.unwrap();
        let answer = hefu::service::settle::Reported::Answer { status: 200, content_type, body };
        let told = self.service.settle(judged, answer).await;
        let (_, id) = told.iter().find(|(name, _)| *name == "hefu-payment").unwrap();
        self.service.store.record(PaymentId::parse(id.trim_matches('"')).unwrap()).unwrap()
    }
}

#[tokio::test]
async fn the_first_outcome_that_says_anything_counts() {
    let world = world();
    for (order, code) in [("1", "taken"), ("2", "gone"), ("3", "never heard of")] {
        world.send(&World::debit(order, 0), code).await;
    }
    assert_eq!(world.borne_out(Said::Match), (0.0, 0.0), "neither says anything of the elements");
    world.send(&World::debit("4", 0), "poor").await;
    assert_eq!(world.borne_out(Said::Match), (1.0, 0.0), "they were checked first");
    world.send(&World::debit("5", 0), "ok").await;
    assert_eq!(world.borne_out(Said::Match), (1.0, 0.0), "the same evidence");
    world.send(&World::debit("6", 1), "phone").await;
    assert_eq!(world.borne_out(Said::Match), (1.0, 1.0));
    // Asked about again it is other evidence.
    world.later(Duration::from_hours(91 * 24));
    world.send(&World::debit("7", 0), "ok").await;
    let (agreed, _) = world.borne_out(Said::Match);
    assert!(agreed > 1.0 && agreed < 2.0, "what is older weighs less: {agreed}");
}

#[tokio::test]
async fn elements_that_were_told_blame_nobody() {
    let world = world();
    world.send(r#""type":"debit","order":"1","amount":"100","envelope":"sealed""#, "phone").await;
    assert_eq!(world.borne_out(Said::Match), (0.0, 0.0));
}

#[tokio::test]
async fn whoever_is_wrong_too_often_is_asked_last() {
    let world = world_where(|service| {
        service.settings.routing =
            Routing { lower_below: Some(Share::percent(90)), ..Routing::default() };
        service.settings.holds_per_hour = 1_000;
    });
    let debit = |number: u32| {
        World::debit(&number.to_string(), 0).replace("13800000000", &format!("138{number:08}"))
    };
    let mut asked_last_from = None;
    for number in 0..200 {
        let record =
            world.recorded(&debit(number), if number % 3 == 0 { "phone" } else { "ok" }).await;
        if let Some(routed) = record.routed {
            assert_eq!(routed.lowered, [ProviderName::new("first")]);
            assert_eq!(record.verified.unwrap().witness.as_str(), "second");
            asked_last_from = Some(number);
            break;
        }
        assert_eq!(record.verified.unwrap().witness.as_str(), "first");
    }
    // From thirty on its interval may say so.
    assert!(asked_last_from.is_some_and(|number| number >= 30), "{asked_last_from:?}");
}

#[tokio::test]
async fn by_concordance_the_better_one_is_asked_and_chance_is_told() {
    let costs = Costs { explore: Share::percent(20), ..Costs::default() };
    let world = world_where(|service| {
        service.settings.routing.strategy = Strategy::Concordance(costs);
        service.settings.holds_per_hour = 1_000;
    });
    let (mut seconds, mut explored) = (0, 0);
    for number in 0..400_u32 {
        let debit =
            World::debit(&number.to_string(), 0).replace("13800000000", &format!("138{number:08}"));
        let before = world.first.asked();
        // The first is wrong each third time, the second never.
        let judged = world.judge(&world.channel, &debit).await.unwrap();
        let first = world.first.asked() > before;
        world.settle(judged, if first && number % 3 == 0 { "phone" } else { "ok" }).await;
        seconds += u32::from(!first);
        let rows = world.service.store.by_order(world.channel.name(), &order(number));
        let record = world.service.store.record(rows[0]).unwrap();
        let routed = record.routed.unwrap();
        assert_eq!(routed.expected.len(), 2);
        explored += u32::from(routed.explored);
        // One of five is anybody's, and while it is in doubt who is best, three of ten of the others.
        let sure = Share::percent(if first { 10 } else { 90 });
        assert!(number < 150 || routed.propensity == sure, "{number} {routed:?}");
    }
    // The second is asked first but for what chance decides.
    assert!(seconds > 250, "{seconds}");
    assert!((40..=200).contains(&explored), "{explored}");
}

fn order(number: u32) -> hefu::domain::id::OrderId {
    hefu::domain::id::OrderId(number.to_string().into())
}

#[tokio::test]
async fn a_holdout_shows_refusals_that_were_wrong() {
    let world = world_where(|service| service.policy.holdout = Share::ALL);
    world.first.will(&[Answer::NoMatch(PHONE), Answer::NoMatch(PHONE)]);
    world
        .check(&World::debit("1", 0), "ok", expect![[r#"
            decision: annotate;reason=holdout;mode=enforce
            verification: no_match;provider="first";road="road";elements="name id_number pan phone";age=0
            outcome: succeeded;code="ok";arrival=sync
            mismatch: no_match_then_success;provider="first";suspects="phone""#]])
        .await;
    assert_eq!(world.borne_out(Said::NoMatch), (0.0, 1.0));
    let record = world.recorded(&World::debit("2", 1), "phone").await;
    assert_eq!(record.held_out, Some(Share::ALL));
    assert_eq!(world.borne_out(Said::NoMatch), (1.0, 1.0));
    // The hold that this made is none of a holdout's.
    world.check(&World::debit("3", 1), "ok", expect!["403 held not_asked []"]).await;
}

/// Whether it leaves is drawn once for a piece of evidence.
#[tokio::test]
async fn nobody_gets_through_a_holdout_by_trying_again() {
    let world = world_where(|service| service.policy.holdout = Share::percent(30));
    let mut left = 0;
    for person in 0..100_u32 {
        world.first.will(&[Answer::NoMatch(PHONE)]);
        let debit = |order: u32| {
            let order = format!("{person}-{order}");
            World::debit(&order, 0).replace("13800000000", &format!("138{person:08}"))
        };
        let leaves = world.judge(&world.channel, &debit(0)).await.is_ok();
        for again in 1..5 {
            assert_eq!(world.judge(&world.channel, &debit(again)).await.is_ok(), leaves);
        }
        left += u32::from(leaves);
    }
    assert!((15..=45).contains(&left), "{left} of a hundred");
}

#[tokio::test]
async fn a_provider_on_trial_is_asked_beside_and_never_instead() {
    let world = world_where(|service| {
        for entry in service.providers.iter_mut().skip(1) {
            entry.shadow = Share::ALL;
        }
    });
    world.first.will(&[Answer::NoMatch(PHONE)]);
    world.check(&World::debit("1", 0), "ok", expect!["403 no_match [phone]"]).await;
    let shadowed = || {
        let labels = [("provider", "second"), ("answer", "match"), ("in_earnest", "no_match")];
        world.service.metrics.total("hefu_shadow_answers_total", &labels)
    };
    while shadowed() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((world.first.asked(), world.second.asked()), (1, 1));
    let labels = [("provider", "second"), ("elements", "name id_number pan phone")];
    assert_eq!(world.service.metrics.total("hefu_verifications_total", &labels), 1);
    // What it said is no evidence, and where nobody else can answer it is not asked.
    world.check(&World::debit("2", 0), "ok", expect!["403 no_match [phone]"]).await;
    world.first.will(&[Answer::Unavailable]);
    world.check(&World::debit("3", 1), "ok", expect!["503 unavailable []"]).await;
    assert_eq!((world.first.asked(), world.second.asked()), (2, 1));
}
