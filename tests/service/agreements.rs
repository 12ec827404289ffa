//! Whose an agreement is, and what may change it.

use crate::{World, person, world};
use hefu::service::agreements::Told;
use hefu::service::settle::Reported;

/// Another merchant who quotes an agreement learns nothing of it, and can do nothing to it.
#[tokio::test]
async fn an_agreement_is_its_merchants() {
    let world = world();
    let quote = |kind: &str, order: &str, merchant: &str| {
        format!(
            r#""type":"{kind}","order":"{order}","merchant":"{merchant}","amount":"100","agreement":"A-ok""#
        )
    };
    let bind = format!(r#""type":"bind","order":"b","merchant":"m",{}"#, person(0));
    world.send(&bind, "ok").await;
    for (order, code) in [("1", "ok"), ("2", "phone"), ("3", "gone")] {
        let told = world.send(&quote("by_agreement", order, "foreign"), code).await;
        assert!(told.starts_with("decision: annotate;reason=agreement_unknown"), "{code}: {told}");
        assert!(!told.contains("verification"), "{code}: {told}");
    }
    world.send(&quote("unbind", "4", "foreign"), "ok").await;
    assert_eq!(world.held(), 0);
    let told = world.send(&quote("by_agreement", "5", "m"), "ok").await;
    assert!(told.starts_with("decision: permit"), "{told}");
    // Where one of the two is not known, it may be theirs.
    let unnamed = quote("by_agreement", "6", "m").replace(r#""merchant":"m","#, "");
    assert!(world.send(&unnamed, "ok").await.starts_with("decision: permit"));
}

#[tokio::test]
async fn importing_again_reopens_nothing() {
    let world = world();
    let import = async || {
        let told = Told { agreement: "old".into(), ..Told::default() };
        world.import(&told).await.unwrap();
    };
    let quote = |kind: &str, order: &str| {
        format!(r#""type":"{kind}","order":"{order}","amount":"100","agreement":"old""#)
    };
    import().await;
    world.send(&quote("unbind", "1"), "ok").await;
    import().await;
    let told = world.send(&quote("by_agreement", "2"), "ok").await;
    assert_eq!(told, "403 agreement_closed []");
    // Nor does it forget what was verified at a bind since.
    let bind = format!(r#""type":"bind","order":"b",{}"#, person(0));
    world.send(&bind, "ok").await;
    let told = Told { agreement: "A-ok".into(), ..Told::default() };
    world.import(&told).await.unwrap();
    let told = world.send(&quote("by_agreement", "3").replace("old", "A-ok"), "ok").await;
    assert!(told.contains("verification: match"), "{told}");
}

/// A name of any length was kept as the channel told it: a database that takes no such key would have refused all that waits.
#[tokio::test]
async fn what_a_channel_calls_an_agreement_is_kept_only_where_it_is_a_name() {
    let check = async |name: &str, outcome: &str| {
        let world = world();
        let answer = format!(r#"{{"code":"ok","agreement":"{name}"}}"#);
        let body = answer.as_bytes();
        let answer = Reported::Answer { status: 200, content_type: None, body };
        let bind = World::debit("1", 0).replace("debit", "bind");
        let told = world.send_answered(&bind, answer).await;
        assert!(told.contains(&format!("outcome: {outcome}")), "{told}");
        world.service.agreement_standing(world.channel.name(), name).is_some()
    };
    assert!(check("A1", "succeeded").await);
    assert!(!check(&"x".repeat(3_000), "succeeded").await);
    assert!(!check("A\\u0000", "unknown").await);
}
