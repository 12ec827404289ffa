//! What is held, for how long, and what sets it free.

use crate::{World, answer, batch, person, world, world_over, world_with, world_within};
use hefu::domain::answer::Answer;
use hefu::policy::Effect;
use hefu::service::agreements::Told;
use hefu::service::settle::Reported;
use hefu::service::{Binding, Channel, Settings};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::sqlite::{self, Sqlite};
use std::sync::Arc;
use std::time::Duration;

/// The channel says no while a provider is being asked: the provider's word is the older one, however late it comes.
#[tokio::test]
async fn a_late_answer_does_not_undo_the_channels_word() {
    for verified in [true, false] {
        let world = Arc::new(world());
        // Either the evidence of the first debit is too old by now, or there never was any.
        let binding = if verified { Binding::Enforce(100) } else { Binding::Observe };
        let channel = Arc::new(Channel { binding, profile: world.channel.profile.clone() });
        let earlier = world.judge(&channel, &World::debit("1", 0)).await.unwrap();
        let before = world.first.asked();
        world.later(Duration::from_hours(90 * 24));
        let all = world.first.gate.acquire_many(1000).await.unwrap();
        let waiting = world.clone();
        let waiting = tokio::spawn(async move { waiting.send(&World::debit("2", 0), "ok").await });
        while world.first.asked() == before {
            tokio::task::yield_now().await;
        }
        world.later(Duration::from_secs(1));
        world.settle(earlier, "phone").await;
        world.later(Duration::from_secs(1));
        drop(all);
        assert_eq!(waiting.await.unwrap(), "403 held []");
        assert_eq!(world.held(), 1);
        // Nor is it evidence at this channel: a bind asks again, and that answer is the newer word.
        let bind = World::debit("3", 0).replace("debit", "bind");
        assert!(world.send(&bind, "ok").await.starts_with("decision: permit"));
        assert_eq!((world.first.asked(), world.held()), (before + 2, 0));
    }
}

/// Nor the word of a channel that another process heard.
#[tokio::test]
async fn a_late_answer_does_not_undo_what_another_process_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = || {
        let file = sqlite::open(&dir.path().join("hefu.db")).unwrap();
        MemoryStore::open(Limits::default(), file, |_| ()).unwrap()
    };
    let here = Arc::new(world_over(store(), Binding::Enforce(100), Settings::default()));
    let there = world_over(store(), Binding::Observe, Settings::default());
    let earlier = there.judge(&there.channel, &World::debit("1", 0)).await.unwrap();
    let all = here.first.gate.acquire_many(1000).await.unwrap();
    let waiting = here.clone();
    let waiting = tokio::spawn(async move { waiting.send(&World::debit("2", 0), "ok").await });
    while here.first.asked() == 0 {
        tokio::task::yield_now().await;
    }
    there.later(Duration::from_secs(1));
    there.settle(earlier, "phone").await;
    here.later(Duration::from_secs(2));
    drop(all);
    assert_eq!(waiting.await.unwrap(), "403 held []");
    assert_eq!(here.held(), 1);
    let bind = World::debit("3", 0).replace("debit", "bind");
    assert!(here.send(&bind, "ok").await.starts_with("decision: permit"));
    assert_eq!(here.first.asked(), 2);
}

/// Every row was said to be held, and the batch was refused where policy lets such a row leave annotated.
#[tokio::test]
async fn of_a_batch_the_row_that_is_held_is_held_and_no_other() {
    // Whether the process knows of the hold, or admission finds it.
    for known in [true, false] {
        for refused_rows in [Effect::Refuse, Effect::Annotate] {
            let dir = tempfile::tempdir().unwrap();
            let open = || {
                let file = sqlite::open(&dir.path().join("hefu.db")).unwrap();
                let store = MemoryStore::open(Limits::default(), file, |_| ()).unwrap();
                world_over(store, Binding::Enforce(100), Settings::default())
            };
            let (there, early) = (open(), open());
            there.send(&World::debit("1", 0), "phone").await;
            there.service.store.flush().await.unwrap();
            let mut here = if known { open() } else { early };
            assert_eq!(here.held(), usize::from(known));
            Arc::get_mut(&mut here.service).unwrap().policy.refused_rows = refused_rows;
            if refused_rows == Effect::Annotate {
                let told =
                    r#"{"code":"ok","rows":[{"no":"0","code":"ok"},{"no":"1","code":"ok"}]}"#;
                let told = here.send_answered(&batch("B", &[1, 0]), answer(told)).await;
                assert!(told.starts_with("decision: annotate;"), "{known}: {told}");
                assert!(told.contains("rows: 2;decision=annotate;reason=held"), "{known}: {told}");
                continue;
            }
            let refusal = here.judge(&here.channel, &batch("B", &[1, 0])).await.unwrap_err();
            let rows: Vec<_> = refusal.rows.iter().map(|row| row.number).collect();
            assert_eq!(rows, [2], "{known}");
            let rows = here.service.store.rows(refusal.payment);
            let reasons: Vec<_> = rows.iter().map(|row| row.reasons[0].as_str()).collect();
            assert_eq!(reasons, ["batch_refused", "held"], "{known}");
        }
    }
}

/// The way out that every refusal names, at a channel whose bind yields no agreement and for which no provider can answer.
#[tokio::test]
async fn a_bind_that_checks_everything_frees_whether_it_yields_or_not() {
    let bind = |kind: &str| World::debit("b", 0).replace("debit", kind);
    for (kind, code, held) in
        [("bind_only", "ok", 0), ("bind", "ok", 0), ("bind", "taken", 1), ("bind_only", "poor", 1)]
    {
        let world = world();
        world.send(&World::debit("1", 0), "phone").await;
        world.later(Duration::from_secs(1));
        world.first.will(&[Answer::NotPossible]);
        world.second.will(&[Answer::NotPossible]);
        world.send(&bind(kind), code).await;
        assert_eq!(world.held(), held, "{kind} {code}");
    }
    // A bind that yields the agreement that was contradicted sets that free as well.
    let world = world();
    let debit = |order: &str| {
        format!(r#""type":"by_agreement","order":"{order}","amount":"100","agreement":"A-ok""#)
    };
    world.send(&bind("bind"), "ok").await;
    world.send(&debit("1"), "phone").await;
    assert!(world.send(&debit("2"), "ok").await.starts_with("403 held"));
    world.later(Duration::from_secs(1));
    world.send(&bind("bind"), "ok").await;
    assert!(world.send(&debit("3"), "ok").await.starts_with("decision: permit"));
}

/// The refusal names it as a way out, and it was none.
#[tokio::test]
async fn a_match_of_what_an_agreement_was_bound_with_sets_it_free() {
    let check = async |bound: &str, suspects: &str, verify: (&str, &str), free: bool| {
        let world = world();
        world.send(&format!(r#""type":"bind","order":"b",{bound}"#), "ok").await;
        let debit = |order: &str| {
            format!(r#""type":"by_agreement","order":"{order}","amount":"100","agreement":"A-ok""#)
        };
        // What matched before says nothing.
        world.send(&format!(r#""type":"verify","order":"v",{}"#, person(0)), "ok").await;
        world.later(Duration::from_secs(1));
        world.send(&debit("1"), suspects).await;
        let refused = world.send(&debit("2"), "ok").await;
        assert!(refused.starts_with("403 held"), "{refused}");
        world.later(Duration::from_secs(1));
        let (kind, code) = verify;
        world.send(&format!(r#""type":"{kind}","order":"w",{}"#, person(0)), code).await;
        let told = world.send(&debit("3"), "ok").await;
        assert_eq!(told.starts_with("decision: permit"), free, "{suspects} {verify:?}: {told}");
        assert_eq!(told == refused, !free, "{told}");
    };
    check(&person(0), "phone", ("verify", "ok"), true).await;
    check(&person(0), "some", ("verify", "ok"), true).await;
    check(&person(0), "phone", ("verify", "phone"), false).await;
    // Of other elements, or of what the channel need not have read.
    check(&person(0), "phone", ("verify_three", "ok"), false).await;
    check(r#""envelope":"sealed""#, "phone", ("verify", "ok"), false).await;
}

/// An expiry that was mistyped says nothing of the elements that a later debit is verified by.
#[tokio::test]
async fn a_no_match_on_other_elements_holds_and_contradicts_nothing() {
    let world = world();
    world.send(&World::debit("1", 0), "secret").await;
    assert_eq!(world.held(), 0);
    assert!(world.send(&World::debit("2", 0), "ok").await.starts_with("decision: permit"));
    assert_eq!(world.first.asked(), 1);
    let debit = r#""type":"by_agreement","order":"3","amount":"100","agreement":"never seen""#;
    world.send(debit, "secret").await;
    assert_eq!(world.held(), 0);
    world.send(&debit.replace('3', "4"), "phone").await;
    assert_eq!(world.held(), 1);
    // The file of an import need not tell all that an agreement was bound with.
    let told = Told {
        agreement: "imported".into(),
        name: Some("张三".into()),
        pan: Some("6200000000000005".into()),
        ..Told::default()
    };
    world.import(&told).await.unwrap();
    world.send(&debit.replace('3', "5").replace("never seen", "imported"), "phone").await;
    assert_eq!(world.held(), 2);
}

#[tokio::test]
async fn holds_that_are_over_make_room() {
    let limits = Limits { holds: 1, ..Limits::default() };
    let world = world_within(Binding::Enforce(100), Settings::default(), limits);
    world.send(&World::debit("1", 0), "phone").await;
    world.send(&World::debit("2", 1), "phone").await;
    assert_eq!(world.service.metrics.total("hefu_holds_paused", &[]), 1, "there is no room");
    world.later(Duration::from_hours(7 * 24));
    world.send(&World::debit("3", 2), "phone").await;
    assert_eq!((world.held(), world.service.metrics.total("hefu_holds_paused", &[])), (1, 1));
    assert!(world.send(&World::debit("4", 2), "ok").await.starts_with("403 held"));
}

/// What was never verified may be anybody's rubbish: it must not use up what the verified need.
#[tokio::test]
async fn the_brake_of_what_was_verified_counts_nothing_else() {
    let settings = Settings { holds_per_hour: 2, ..Settings::default() };
    let world = world_with(Binding::Enforce(100), settings);
    let observed = Binding::Observe;
    let observed = Arc::new(Channel { binding: observed, profile: world.channel.profile.clone() });
    for phone in 0..3 {
        let debit = World::debit(&phone.to_string(), phone);
        let judged = world.judge(&observed, &debit).await.unwrap();
        world.settle(judged, "phone").await;
    }
    assert_eq!(world.held(), 2, "theirs has a limit too");
    world.send(&World::debit("3", 3), "phone").await;
    world.send(&World::debit("4", 4), "phone").await;
    world.send(&World::debit("5", 5), "phone").await;
    assert_eq!(world.held(), 4);
}

/// The process that sees the re-bind did not see what made the hold.
#[tokio::test]
async fn a_rebind_ends_a_hold_that_another_process_made() {
    let dir = tempfile::tempdir().unwrap();
    let process = |binding| {
        let file = Sqlite::open(&dir.path().join("hefu.db")).unwrap();
        let store = MemoryStore::open(Limits::default(), file, |_| ()).unwrap();
        world_over(store, binding, Settings::default())
    };
    // Nobody is asked by the other one, whose match would end it too.
    let (one, other) = (process(Binding::Enforce(100)), process(Binding::Observe));
    other.later(Duration::from_secs(1));
    let bind = |order: &str| format!(r#""type":"bind","order":"{order}",{}"#, person(0));
    one.send(&World::debit("1", 0), "phone").await;
    one.service.store.flush().await.unwrap();
    assert_eq!((one.held(), other.held()), (1, 0));
    let told = other.send(&bind("2"), "ok").await;
    assert!(told.contains("outcome: succeeded"), "{told}");
    other.service.store.flush().await.unwrap();
    assert_eq!(process(Binding::Observe).held(), 0);
}

fn debit_of(merchant: &str, order: &str, kind: &str) -> String {
    let person = person(0);
    format!(r#""type":"{kind}","merchant":"{merchant}","order":"{order}","amount":"100",{person}"#)
}

/// What a channel says of a tuple is true whoever sends it: the hold binds every merchant, though each has evidence of its own.
#[tokio::test]
async fn a_contradicted_tuple_is_held_for_every_merchant() {
    for known in [false, true] {
        let world = world();
        if known {
            // The other merchant's own evidence is older than what the channel says.
            world.send(&debit_of("B", "0", "debit"), "ok").await;
        }
        world.later(Duration::from_secs(1));
        let told = world.send(&debit_of("A", "1", "debit"), "phone").await;
        assert!(told.contains("mismatch: match_then_no_match"), "{told}");
        world.later(Duration::from_secs(1));
        let asked = world.first.asked();
        let told = world.send(&debit_of("B", "2", "debit"), "ok").await;
        assert!(told.starts_with("403 held"), "{known}: {told}");
        assert_eq!((world.first.asked(), world.held()), (asked, 1));
        // Its bind is asked about anew, and a match settles it for everybody.
        let told = world.send(&debit_of("B", "3", "bind"), "taken").await;
        assert!(told.starts_with("decision: permit"), "{told}");
        assert_eq!((world.first.asked(), world.held()), (asked + 1, 0));
        for (merchant, order) in [("A", "4"), ("B", "5")] {
            let told = world.send(&debit_of(merchant, order, "debit"), "ok").await;
            assert!(told.starts_with("decision: permit"), "{merchant}: {told}");
        }
    }
}

/// The channel takes back what made such a hold: it holds nobody any more.
#[tokio::test]
async fn what_a_channel_takes_back_holds_no_merchant() {
    let world = world();
    let judged = world.judge(&world.channel, &debit_of("A", "1", "debit")).await.unwrap();
    world.later(Duration::from_secs(1));
    let body = br#"{"code":"phone"}"#;
    world.service.settle(judged, Reported::Answer { status: 200, content_type: None, body }).await;
    let told = world.send(&debit_of("B", "2", "debit"), "ok").await;
    assert!(told.starts_with("403 held"), "{told}");
    world.query("1", "ok", "ok").await;
    assert_eq!(world.held(), 0);
}

/// A debit by what was bound with such a tuple waits as well.
#[tokio::test]
async fn an_agreement_on_a_contradicted_tuple_is_held_for_every_merchant() {
    let world = world();
    world.send(&debit_of("B", "0", "bind"), "ok").await;
    let debit =
        r#""type":"by_agreement","merchant":"B","order":"1","amount":"100","agreement":"A-ok""#;
    assert!(world.send(debit, "ok").await.starts_with("decision: permit"));
    world.later(Duration::from_secs(1));
    world.send(&debit_of("A", "2", "debit"), "phone").await;
    let told = world.send(&debit.replace("\"1\"", "\"3\""), "ok").await;
    assert!(told.starts_with("403 held"), "{told}");
    // What sets it free: a debit by its elements cannot leave, a bind can, and proves all of them.
    world.later(Duration::from_secs(1));
    world.send(&debit_of("B", "4", "bind"), "ok").await;
    let told = world.send(&debit.replace("\"1\"", "\"5\""), "ok").await;
    assert!(told.starts_with("decision: permit"), "{told}");
}
