//! Elements that are sealed to the channel, and that the core tells beside the message: shown, and no proof of anything.

use crate::{World, person, world};
use expect_test::expect;
use hefu::domain::answer::Answer;

/// A message that seals `person(0)`, who is told beside it.
fn sealed(kind: &str, order: &str, merchant: &str) -> String {
    format!(
        r#""type":"{kind}","order":"{order}","merchant":"{merchant}","amount":"100","envelope":"k""#
    )
}

fn by_agreement(order: &str) -> String {
    format!(
        r#""type":"by_agreement","order":"{order}","merchant":"m","amount":"100","agreement":"A-ok""#
    )
}

#[tokio::test]
async fn what_the_channel_says_of_sealed_elements_is_no_evidence_on_those_that_were_told() {
    let world = world();
    world.send(&sealed("verify", "v", "m"), "ok").await;
    let told = world.send(&World::debit("1", 0), "ok").await;
    assert!(told.contains(r#"match;provider="first""#), "{told}");
    // Nor does a bind prove them where no provider could, whether all of them are sealed or some.
    let all = sealed("bind", "b", "m");
    let half = person(0).replace("6200000000000005", "c2VhbGVk").replace("13800000000", "c2VhbGVk");
    let some = format!("{},{half}", all.replace("envelope", "window_envelope"));
    for bind in [all, some] {
        let world = crate::world();
        world.first.will(&[Answer::NotPossible]);
        world.second.will(&[Answer::NotPossible]);
        let told = world.send(&bind, "ok").await;
        assert!(told.starts_with("decision: annotate;reason=not_possible"), "{told}");
        let told = world.send(&by_agreement("2"), "ok").await;
        assert!(told.starts_with("decision: annotate;reason=agreement_unknown"), "{told}");
    }
}

#[tokio::test]
async fn what_was_told_holds_nobody_else_and_blames_nobody() {
    let world = world();
    world
        .check(&sealed("debit", "1", "m"), "phone", expect![[r#"
            decision: annotate;reason=asserted;mode=enforce
            verification: match;provider="first";road="road";elements="name id_number pan phone";age=0;asserted
            outcome: no_match;suspects="phone";code="phone";arrival=sync
            mismatch: match_then_no_match;suspects="phone""#]])
        .await;
    let name = world.channel.name().as_str();
    assert_eq!(world.service.metrics.total("hefu_mismatches_total", &[("channel", name)]), 1);
    assert_eq!(world.service.metrics.total("hefu_mismatches_total", &[("provider", "first")]), 0);
    // The same merchant's next debit with what was told waits; whoever writes the elements, or tells them elsewhere, does not.
    world.check(&sealed("debit", "2", "m"), "ok", expect!["403 held asserted []"]).await;
    assert!(world.send(&sealed("debit", "3", "n"), "ok").await.starts_with("decision: annotate"));
    assert!(world.send(&World::debit("4", 0), "ok").await.starts_with("decision: permit"));
    // Each merchant has evidence of its own, and so has whoever names none.
    assert_eq!(world.first.asked(), 3);
    // A bind that checks all of them is the way out.
    world.send(&sealed("bind", "5", "m"), "ok").await;
    assert!(world.send(&sealed("debit", "6", "m"), "ok").await.starts_with("decision: annotate"));
    // A hold on the elements themselves holds those who tell them too.
    let written = World::debit("7", 0).replace("\"order\"", "\"merchant\":\"m\",\"order\"");
    world.send(&written, "phone").await;
    let told = world.send(&sealed("debit", "8", "m"), "ok").await;
    assert!(told.starts_with("403 held"), "{told}");
}

#[tokio::test]
async fn an_agreement_remembers_that_its_elements_were_told() {
    // In two steps, so that what waits between them remembers it too.
    let world = world();
    world.send(&sealed("bind1", "b", "m"), "taken").await;
    let told = world.send(r#""type":"bind2","order":"b","merchant":"m""#, "ok").await;
    assert!(told.starts_with("decision: annotate;reason=asserted"), "{told}");
    world
        .check(&by_agreement("1"), "phone", expect![[r#"
            decision: annotate;reason=asserted;mode=enforce
            verification: match;provider="first";road="road";elements="name id_number pan phone";age=0;asserted
            outcome: no_match;suspects="phone";code="phone";arrival=sync
            mismatch: match_then_no_match;suspects="phone""#]])
        .await;
    assert!(world.send(&by_agreement("2"), "ok").await.starts_with("403 held"));
    // What a provider said of the elements is its own word, and stands.
    let written = World::debit("3", 0).replace("\"order\"", "\"merchant\":\"m\",\"order\"");
    assert!(world.send(&written, "ok").await.starts_with("decision: permit"));
    assert_eq!(world.first.asked(), 1);
}
