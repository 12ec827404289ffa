//! A person asks to be forgotten.

use crate::{World, person, world_over};
use expect_test::expect;
use hefu::service::forget::{ForgetError, Told};
use hefu::service::{Binding, Settings};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::person::Forgotten;
use hefu::store::sqlite::Sqlite;
use rusqlite::Connection;

fn told(id_number: &str) -> Told {
    let reference = "T-1".to_owned();
    Told { id_number: Some(id_number.to_owned()), reference, ..Told::default() }
}

/// Whatever was learned of them is gone, from every table but the one that says so; their payments stay, under keyed fingerprints.
#[tokio::test]
async fn who_is_forgotten_is_as_one_never_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hefu.db");
    let store = MemoryStore::open(Limits::default(), Sqlite::open(&path).unwrap(), |_| ()).unwrap();
    let world = world_over(store, Binding::Enforce(100), Settings::default());
    // A bind, evidence that a channel contradicts, and with it a hold.
    let bind = format!(r#""type":"bind","order":"b",{}"#, person(1));
    world.send(&bind, "ok").await;
    world.send(&World::debit("1", 0), "phone").await;
    let step = format!(r#""type":"bind1","order":"s","serial":"7",{}"#, person(2));
    world.send(&step, "ok").await;
    assert_eq!(world.held(), 1);
    let asked = world.first.asked();
    // Another person with another card stays.
    let other = World::debit("2", 0)
        .replace("11010519491231002X", "110105199003070025")
        .replace("6200000000000005", "6200000000000013");
    world.send(&other, "ok").await;
    let forgotten = world.service.forget(&told("11010519491231002x")).await.unwrap();
    assert_eq!(forgotten.evidence, usize::try_from(asked).unwrap(), "{forgotten:?}");
    assert_eq!((forgotten.agreements, forgotten.holds, world.held()), (1, 1, 0));
    let asked = world.first.asked();
    world
        .check(
            r#""type":"by_agreement","order":"3","amount":"100","agreement":"A-ok""#,
            "ok",
            expect![[r#"
                decision: annotate;reason=agreement_unknown;mode=enforce
                outcome: succeeded;code="ok";arrival=sync"#]],
        )
        .await;
    world.send(&other.replace("\"2\"", "\"4\""), "ok").await;
    assert_eq!(world.first.asked(), asked, "the other one's evidence is reused");
    // Nothing in the file is theirs: what is left is the other one's.
    let file = Connection::open(path).unwrap();
    let count = |sql: &str| file.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap();
    let tables = ["evidence", "agreements", "waiting_binds", "holds"];
    let left = tables.map(|table| count(&format!("SELECT count(*) FROM {table}")));
    assert_eq!(left, [1, 0, 0, 0]);
    world.send(&World::debit("5", 0), "ok").await;
    assert_eq!(world.first.asked(), asked + 1, "asked as never before");
}

#[tokio::test]
async fn what_names_nobody_or_too_much_is_refused() {
    let world = crate::world();
    let check = async |told: Told, expected| {
        assert_eq!(world.service.forget(&told).await.err(), expected, "{:?}", told.id_type);
    };
    let me = told("11010519491231002X");
    check(me.clone(), None).await;
    check(Told { reference: "张三".into(), ..me.clone() }, Some(ForgetError::Reference)).await;
    check(Told { id_type: Some("visa".into()), ..me.clone() }, Some(ForgetError::Document)).await;
    check(Told { id_number: None, ..me.clone() }, Some(ForgetError::Nobody)).await;
    let pans = vec!["6200000000000005".to_owned(); 101];
    check(Told { pans, ..me.clone() }, Some(ForgetError::Cards)).await;
    let invalid = world.service.forget(&told("110105194912310021")).await;
    assert!(matches!(invalid, Err(ForgetError::Element(_))));
}

/// What carries no identity number is found by the card.
#[tokio::test]
async fn a_card_finds_what_names_no_document() {
    let world = crate::world();
    let bind = format!(r#""type":"bind","order":"b",{}"#, person(1))
        .replace(r#""id":"11010519491231002X","#, "");
    world.send(&bind, "ok").await;
    let import = hefu::service::agreements::Told {
        agreement: "old".into(),
        pan: Some("6200000000000005".into()),
        ..hefu::service::agreements::Told::default()
    };
    world.import(&import).await.unwrap();
    let me = told("11010519491231002X");
    assert_eq!(world.service.forget(&me).await, Ok(Forgotten::default()));
    let with_card = Told { pans: vec!["6200 0000 0000 0005".into()], ..me };
    let forgotten = world.service.forget(&with_card).await.unwrap();
    assert!(forgotten.agreements >= 1, "{forgotten:?}");
    assert!(world.service.agreement_standing(world.channel.name(), "old").is_none());
}
