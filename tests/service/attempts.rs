//! Attempts and spend: who may be asked how often, for how much, and what is said when nobody may.

use crate::{World, person, world, world_over};
use hefu::domain::answer::Answer;
use hefu::domain::element::{Element, ElementSet};
use hefu::domain::money::Fen;
use hefu::provider::Trouble;
use hefu::route::attempts::Limits;
use hefu::service::Service;
use hefu::service::attempts::Purse;
use hefu::service::{Binding, Settings};
use hefu::store::memory::{self, MemoryStore};
use hefu::store::sqlite::{self, Sqlite};
use rusqlite::Connection;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PHONE: Answer = Answer::NoMatch(ElementSet::EMPTY.with(Element::Phone));

fn world_where(change: impl FnOnce(&mut Service)) -> World {
    let mut world = world();
    let service = Arc::get_mut(&mut world.service).unwrap();
    service.attempts = Limits::default();
    change(service);
    world
}

/// A debit of `merchant`, of the card that the phone tells apart.
fn debit(merchant: &str, order: &str, phone: u8) -> String {
    format!(
        r#""type":"debit","merchant":"{merchant}","order":"{order}","amount":"100",{}"#,
        person(phone)
    )
}

impl World {
    fn denied(&self, reason: &str) -> u64 {
        self.service.metrics.total("hefu_attempts_denied_total", &[("reason", reason)])
    }

    /// The refusal of a message: its status and first reason, and how many attempts are left.
    async fn refused(&self, message: &str) -> (u16, &'static str, Option<u32>) {
        let refusal = self.judge(&self.channel, message).await.unwrap_err();
        (refusal.status, refusal.first_reason().as_str(), refusal.attempts_left)
    }
}

/// Two wrong phones are what one merchant may try of the three that the card has; another still has its own.
#[tokio::test]
async fn a_refusal_says_how_many_attempts_are_left() {
    let world = world_where(|_| ());
    world.first.will(&[PHONE, PHONE, PHONE]);
    assert_eq!(world.refused(&debit("A", "1", 0)).await, (403, "no_match", Some(1)));
    // What is known takes no attempt.
    assert_eq!(world.refused(&debit("A", "1", 0)).await, (403, "no_match", Some(1)));
    assert_eq!(world.refused(&debit("A", "2", 1)).await, (403, "no_match", Some(0)));
    world.second.will(&[PHONE, PHONE]);
    assert_eq!(world.first.asked(), 2);
    assert_eq!(world.denied("card_merchant"), 0);
}

/// One source, whoever asks there; and whatever another merchant did, each has a try.
#[tokio::test]
async fn a_stranger_does_not_lock_a_card() {
    let world = world_where(|service| {
        let [first, second] = service.providers.as_mut_slice() else { panic!("two") };
        second.candidate.source = first.candidate.source.clone();
    });
    world.first.will(&[PHONE, PHONE]);
    for phone in 0..6 {
        world.refused(&debit("stranger", &phone.to_string(), phone)).await;
    }
    assert_eq!((world.first.asked(), world.second.asked()), (2, 0));
    assert_eq!(world.refused(&debit("stranger", "9", 9)).await, (403, "attempts_spent", Some(0)));
    assert!(world.denied("card_merchant") > 0);
    world.later(Duration::from_secs(1));
    // The holder's own merchant has one left, which is right, and ends the count.
    assert!(world.send(&debit("own", "1", 6), "ok").await.starts_with("decision: permit"));
    world.first.will(&[PHONE]);
    assert_eq!(world.refused(&debit("stranger", "7", 7)).await, (403, "no_match", Some(1)));
}

/// What was put and not answered may have been a wrong try; what was not put was none; and a technical failure is nobody's try.
#[tokio::test]
async fn what_nobody_knows_counts_as_wrong() {
    let check = async |answer, trouble: Option<Trouble>, asked: u64| {
        let world = world_where(|service| drop(service.providers.pop()));
        for phone in 0..5 {
            match trouble {
                Some(trouble) => world.first.will_not(answer, trouble),
                None => world.first.will(&[answer]),
            }
            world.send(&debit("A", &phone.to_string(), phone), "ok").await;
        }
        assert_eq!(world.first.asked(), asked, "{answer:?} {trouble:?}");
    };
    check(Answer::Unavailable, Some(Trouble::Silence), 2).await;
    check(Answer::Unavailable, Some(Trouble::Signature), 2).await;
    check(Answer::Unavailable, Some(Trouble::Unmapped), 2).await;
    check(Answer::Unavailable, Some(Trouble::Connect), 5).await;
    check(Answer::Unavailable, Some(Trouble::Rate), 5).await;
    check(Answer::NotPossible, None, 5).await;
    check(Answer::Match, None, 5).await;
    check(PHONE, None, 2).await;
    // Who says that it was too often is left alone.
    check(Answer::Limited, None, 1).await;
}

#[tokio::test]
async fn attempts_come_back_after_a_day() {
    let world = world_where(|service| drop(service.providers.pop()));
    world.first.will(&[PHONE, PHONE]);
    for phone in 0..3 {
        world.refused(&debit("A", &phone.to_string(), phone)).await;
    }
    assert_eq!((world.first.asked(), world.denied("card_merchant")), (2, 1));
    world.later(Duration::from_hours(24));
    assert!(world.send(&debit("A", "4", 4), "ok").await.starts_with("decision: permit"));
}

/// A crash forgets no attempt: nobody knows what came of the one that was on its way.
#[tokio::test]
async fn attempts_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hefu.db");
    let open = || {
        let backend = Sqlite::open(&path).unwrap();
        let store = MemoryStore::open(memory::Limits::default(), backend, |_| ()).unwrap();
        let mut world = world_over(store, Binding::Enforce(100), Settings::default());
        let service = Arc::get_mut(&mut world.service).unwrap();
        service.attempts = Limits::default();
        service.providers.pop();
        world
    };
    let world = open();
    world.first.will(&[PHONE, PHONE]);
    assert_eq!(world.refused(&debit("A", "1", 0)).await, (403, "no_match", Some(1)));
    assert_eq!(world.refused(&debit("A", "2", 1)).await, (403, "no_match", Some(0)));
    world.service.store.flush().await.unwrap();
    drop(world);
    let file = Connection::open(&path).unwrap();
    let kept: String = file
        .query_row("SELECT group_concat(key || value) FROM attempts", (), |row| row.get(0))
        .unwrap();
    assert!(
        kept.contains(r#""wrong":[1700000000000,1700000000000]"#)
            && kept.contains("card\n")
            && kept.contains("person\n"),
        "{kept}"
    );
    assert!(!kept.contains("620000") && !kept.contains("110105"), "{kept}");
    let world = open();
    assert_eq!(world.refused(&debit("A", "3", 2)).await, (403, "attempts_spent", Some(0)));
    assert_eq!(world.first.asked(), 0);
}

/// Over its cap a provider is left out, and the next is asked; over all caps nobody is, and that is said.
#[tokio::test]
async fn a_cap_is_never_passed() {
    let world = world_where(|service| {
        service.attempts = crate::ANY;
        service.providers[0].cap = Some(Fen::new(65));
        service.providers[1].cap = Some(Fen::new(30));
    });
    for phone in 0..3 {
        world.send(&World::debit(&phone.to_string(), phone), "ok").await;
    }
    assert_eq!((world.first.asked(), world.second.asked()), (2, 1));
    assert_eq!(world.refused(&World::debit("4", 4)).await, (503, "spend_capped", None));
    world.service.refresh_gauges(&[]);
    let shown = world.service.metrics.render().unwrap();
    let shown = String::from_utf8_lossy(shown.as_ref()).into_owned();
    assert!(shown.contains(r#"hefu_spend_cap_ratio{provider="first"} 0.92"#), "{shown}");
    // China's day, and not that of Greenwich.
    world.later(Duration::from_hours(24));
    assert!(world.send(&World::debit("5", 5), "ok").await.starts_with("decision: permit"));
}

/// What was logged on this thread.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Of a provider's cap and of a merchant's, each once a day, when four fifths are spent.
#[tokio::test]
async fn operations_is_told_once_that_a_cap_is_near() {
    let world = world_where(|service| {
        service.attempts = crate::ANY;
        service.purse = Purse::new(Some(Fen::new(150)));
        service.providers[0].cap = Some(Fen::new(225));
        drop(service.providers.pop());
    });
    let logged = Logged::default();
    let theirs = logged.clone();
    let subscriber =
        tracing_subscriber::fmt().with_writer(move || theirs.clone()).with_ansi(false).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let told = || {
        let text = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
        let of = |what: &str| {
            let lines = text.lines().filter(|line| line.contains("four fifths"));
            lines.filter(|line| line.contains(what)).count()
        };
        (of("provider first"), of("merchant A"), of("merchant B"))
    };
    let phones = std::cell::Cell::new(0);
    let send = async |merchant: &str| {
        phones.set(phones.get() + 1);
        let phone = phones.get();
        let debit = debit(merchant, &phone.to_string(), 0);
        let debit = debit.replace("13800000000", &format!("138000000{phone:02}"));
        assert!(world.send(&debit, "ok").await.starts_with("decision: permit"));
    };
    for _ in 0..3 {
        send("A").await;
    }
    assert_eq!(told(), (0, 0, 0), "90 of 225, and of 150");
    send("A").await;
    assert_eq!(told(), (0, 1, 0), "120 of 150");
    send("B").await;
    assert_eq!(told(), (0, 1, 0), "150 of 225");
    send("B").await;
    assert_eq!(told(), (1, 1, 0), "180 of 225");
    send("A").await;
    assert_eq!(told(), (1, 1, 0), "it was told");
    world.later(Duration::from_hours(24));
    for _ in 0..4 {
        send("B").await;
    }
    assert_eq!(told(), (1, 1, 1), "the next day begins with nothing");
}

/// Nor by another process, before or beside: what is spent is known where it is kept, and so is how near the cap it is.
#[tokio::test]
async fn a_cap_is_all_processes_together() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let backend = sqlite::open(&dir.path().join("hefu.db")).unwrap();
        let store = MemoryStore::open(memory::Limits::default(), backend, |_| ()).unwrap();
        let mut world = world_over(store, Binding::Enforce(100), Settings::default());
        let service = Arc::get_mut(&mut world.service).unwrap();
        service.providers.pop();
        service.providers[0].cap = Some(Fen::new(65));
        world
    };
    let ratio = async |world: &World| {
        world.service.learn_spent().await;
        world.service.refresh_gauges(&[]);
        let shown = world.service.metrics.render().unwrap();
        let shown = String::from_utf8_lossy(shown.as_ref()).into_owned();
        let line = shown.lines().find(|line| line.starts_with("hefu_spend_cap_ratio")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let (one, other) = (open(), open());
    assert!(ratio(&other).await.abs() < 1e-9);
    one.send(&World::debit("1", 0), "ok").await;
    other.send(&World::debit("2", 1), "ok").await;
    for world in [&one, &other] {
        assert!((ratio(world).await - 60.0 / 65.0).abs() < 1e-9);
        assert_eq!(world.refused(&World::debit("3", 2)).await, (503, "spend_capped", None));
    }
    drop((one, other));
    let world = open();
    assert!((ratio(&world).await - 60.0 / 65.0).abs() < 1e-9);
    assert_eq!(world.refused(&World::debit("4", 3)).await, (503, "spend_capped", None));
    assert_eq!(world.first.asked(), 0);
}

#[tokio::test]
async fn each_merchant_has_a_cap_of_its_own() {
    let world = world_where(|service| {
        service.attempts = crate::ANY;
        service.purse = Purse::new(Some(Fen::new(59)));
        drop(service.providers.pop());
    });
    let (own, others) = (|phone: u8| debit("A", &phone.to_string(), phone), debit("B", "1", 9));
    assert!(world.send(&own(0), "ok").await.starts_with("decision: permit"));
    assert_eq!(world.refused(&own(1)).await, (503, "spend_capped", None));
    assert!(world.send(&others, "ok").await.starts_with("decision: permit"));
}
