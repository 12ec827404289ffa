//! Classes that lapse: told before, and when it is so, once each, on whichever of two replicas.

use crate::accounts::{Desk, open, person};
use crate::cluster::Cluster;
use crate::{World, world_over};
use hefu::domain::account::Class;
use hefu::service::{Binding, Settings};
use hefu::store::account::LAPSES;
use hefu::store::hook::{Hook, Shelf};
use hefu::store::row::Aggregate;
use hefu::store::shelf::Range;
use serde_json::Value;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

/// What operations is to be told, in its order.
async fn told(world: &World) -> Vec<String> {
    world.service.store.flush().await.unwrap();
    let hooks: Vec<Hook> = world.service.hooks(Shelf::Waiting, None, 500).await.unwrap();
    let told = hooks.iter().map(|hook| {
        let body: Value = serde_json::from_str(&hook.body).unwrap();
        let text = |name: &str| body[name].as_str().unwrap_or("-").to_owned();
        assert!(body["payment"].is_null() && body["channel"].is_null(), "{body}");
        let [event, account, class, before] =
            ["event", "account", "class", "class_before"].map(text);
        format!("{event} {account} {before} {class} {}", body["lapses_ms"].is_u64())
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_that_lapses_is_told_before_and_then_once_each() {
    let cluster = Cluster::start();
    let replica = || {
        let settings = Settings { tells: true, ..Settings::default() };
        Desk::over(world_over(open(&cluster), Binding::Enforce(100), settings))
    };
    let desks = [replica(), replica()];
    let [one, two] = &desks;
    let someone = person(&[]);
    one.open("a", &someone).await.unwrap();
    one.upgrade("a", Class::I, &someone).await;
    let later = |by: Duration| {
        for desk in &desks {
            desk.world.later(by);
        }
    };
    let sweep = async || {
        one.service().store.flush().await.unwrap();
        let (first, second) =
            tokio::join!(one.service().sweep_classes(), two.service().sweep_classes());
        let mut found = first.unwrap() + second.unwrap();
        // What was put off is looked at the next time.
        for desk in &desks {
            desk.world.service.store.flush().await.unwrap();
            found += desk.service().sweep_classes().await.unwrap();
        }
        found
    };
    // An operator's word holds for 730 days; notice is thirty.
    for _ in 0..23 {
        later(DAY * 30);
        assert_eq!(sweep().await, 0);
    }
    assert_eq!(told(&one.world).await, [""; 0]);
    later(DAY * 11);
    assert_eq!(sweep().await, 1);
    let notice = "class_lapses a - I true";
    assert_eq!(told(&one.world).await, [notice]);
    assert_eq!((one.class("a").await, sweep().await), (Some(Class::I), 0));
    later(DAY * 30);
    assert_eq!(sweep().await, 1);
    let lapsed = "class_lapsed a I - false";
    assert_eq!(told(&two.world).await, [notice, lapsed]);
    assert_eq!((one.class("a").await, two.class("a").await), (None, None));
    later(DAY * 60);
    assert_eq!(sweep().await, 0);
    // Verified again, it is told again when that ends.
    one.upgrade("a", Class::I, &someone).await;
    assert_eq!(two.class("a").await, Some(Class::I));
    for _ in 0..24 {
        later(DAY * 30);
        sweep().await;
    }
    assert_eq!(told(&two.world).await, [notice, lapsed, notice]);
}

/// Two replicas whose clocks differ by a little come to one row by which an account is looked at next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_the_row_by_which_an_account_is_looked_at_next() {
    let cluster = Cluster::start();
    let replica =
        || Desk::over(world_over(open(&cluster), Binding::Enforce(100), Settings::default()));
    let desks = [replica(), replica()];
    let someone = person(&[]);
    desks[0].open("a", &someone).await.unwrap();
    desks[0].upgrade("a", Class::I, &someone).await;
    desks[1].world.later(Duration::from_secs(7));
    for month in 0..6 {
        for desk in &desks {
            desk.world.later(DAY * 31);
        }
        // Both find it due, and neither knows yet that the other looks.
        let (first, second) =
            tokio::join!(desks[0].service().sweep_classes(), desks[1].service().sweep_classes());
        assert_eq!((first, second), (Ok(0), Ok(0)));
        for desk in &desks {
            desk.service().store.flush().await.unwrap();
        }
        let (of, from, before) = (Aggregate::Accounts, LAPSES.to_owned(), format!("{LAPSES}~"));
        let range = Range { of, from, before, most: 9, last: false, whole: true };
        let rows = desks[0].service().store.range(range).await.unwrap();
        let names: Vec<_> = rows.iter().map(|row| &row.key.name).collect();
        assert_eq!(names.len(), 1, "after {month} months: {names:?}");
    }
}
