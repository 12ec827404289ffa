//! How far an upgrade is, told to whoever lost its answer: while it runs, when a client hangs up, when it is said twice at once, and after
//! `kill -9` in the middle.

use crate::assessed::with_provider;
use crate::managed::{call, operators, token};
use crate::peers::{Channel, Peer, channel, ok, soon};
use crate::process::{Hefu, Place};
use crate::verification::waiting;
use crate::verification_ends::{answered, come, often};
use hefu::domain::account::AccountId;
use hefu::domain::clock::Timestamp;
use hefu::store::account::{Upgrade, upgrade_key};
use hefu::store::journal::Journal as _;
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::row::Row;
use hefu::store::shelf::{Range, ShelfStore as _};
use hefu::store::sqlite;
use serde_json::{Value, json};
use tokio::net::TcpStream;

const ID: &str = "11010519491231002X";
const PATH: &str = "/v1/accounts/A-1/upgrade";

/// With one provider, that tells of credit cards of three banks.
async fn place(trial: &Channel) -> Place {
    let bank = channel(|_| ok("{}")).await;
    let place = Place::to(&bank);
    with_provider(&place, trial);
    often(&place);
    place.replace("hefu.toml", "[secrets]", "[store]\nfile = \"hefu.db\"\n[secrets]");
    place.replace("hefu.toml", "[channels.acme]", &format!("{}[channels.acme]", operators()));
    let classes = concat!(env!("CARGO_MANIFEST_DIR"), "/config/classes.toml");
    std::fs::copy(classes, place.path().join("classes.toml")).unwrap();
    let banks = [("ICBC", 0), ("ABC", 1), ("CCB", 2)];
    let banks =
        banks.map(|(name, nth)| format!("[[bank]]\nname = \"{name}\"\nbins = [\"62000{nth}\"]\n"));
    std::fs::create_dir(place.path().join("rules")).unwrap();
    place.write("rules/banks.toml", banks.concat());
    place
}

/// To class II, by three cards of one person.
fn wanted() -> Value {
    let cards = ["6200000000000005", "6200010000000004", "6200020000000003"];
    let cards = cards.map(|pan| json!({ "pan": pan, "account_kind": "credit" }));
    json!({ "target": "II", "name": "张三", "id_number": ID, "phone": "13800000000", "cards": cards })
}

/// Somebody who asks for it, and has not been answered.
async fn asking(hefu: &Hefu) -> Peer<TcpStream> {
    let (mut peer, body) = (Peer::connect(hefu.admin).await, wanted().to_string());
    let (token, length) = (token("core"), body.len());
    peer.send(format!(
        "POST {PATH} HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
    .await;
    peer
}

/// How far it is: `running 60/30: match asking | bank:CCB`, where 60 fen were spent and 30 of them perhaps not, and one is to be asked after those.
async fn shown(hefu: &Hefu) -> String {
    let (status, told) = call(hefu, "viewer", &format!("GET {PATH}"), Value::Null).await;
    assert_eq!(status, 200, "{told}");
    assert!(!told.to_string().contains(ID), "{told}");
    let is_running = told["progress"] == "running";
    assert_eq!(told["running_until_ms"].is_u64(), is_running, "{told}");
    let of = |list: &str, field: &str| -> String {
        let all = told[list].as_array().unwrap().iter();
        all.flat_map(|one| [" ", one[field].as_str().unwrap()]).collect()
    };
    let text = |field: &str| told[field].to_string();
    format!(
        "{} {}/{}:{} |{}",
        told["progress"].as_str().unwrap(),
        text("cost_fen"),
        text("uncertain_fen"),
        of("steps", "answer"),
        of("planned", "source"),
    )
}

/// With what is kept of it otherwise.
async fn kept(place: &Place, otherwise: impl FnOnce(&mut Upgrade)) {
    let backend = sqlite::open(&place.path().join("hefu.db")).unwrap();
    let store = MemoryStore::open(Limits::default(), backend, |_| ()).unwrap();
    let key = upgrade_key(&AccountId::parse("A-1").unwrap());
    let rows = store.range(Range::one(&key)).await.unwrap();
    let mut upgrade: Upgrade = serde_json::from_str(&rows[0].value).unwrap();
    otherwise(&mut upgrade);
    store.shelve(Row::new(key, None, &upgrade).unwrap());
    store.flush().await.unwrap();
}

#[tokio::test]
async fn whoever_lost_the_answer_of_an_upgrade_learns_how_far_it_is() {
    let (told, trial) = waiting().await;
    let place = place(&trial).await;
    let hefu = Hefu::start(place.command()).await;
    let person = json!({ "id_number": ID });
    assert_eq!(call(&hefu, "core", "POST /v1/accounts/A-1", person).await.0, 201);
    assert_eq!(call(&hefu, "viewer", &format!("GET {PATH}"), Value::Null).await.0, 404);
    let begun = asking(&hefu).await;
    come(&trial, 1).await;
    assert_eq!(shown(&hefu).await, "running 30/30: asking | bank:ABC bank:CCB");
    // Said again meanwhile, it is not run twice.
    let (status, problem) = call(&hefu, "core", &format!("POST {PATH}"), wanted()).await;
    assert_eq!(status, 409, "{problem}");
    assert!(problem.to_string().contains("under way"), "{problem}");
    // Whoever hangs up is in nobody's way.
    drop(begun);
    while trial.messages().len() < 2 {
        told.notify_waiters();
        tokio::task::yield_now().await;
    }
    assert_eq!(shown(&hefu).await, "running 60/30: match asking | bank:CCB");
    // Killed with the second question under way. For a while another process might run it.
    drop(hefu);
    let hefu = Hefu::start(place.command()).await;
    assert_eq!(shown(&hefu).await, "running 60/30: match asking | bank:CCB");
    assert_eq!(call(&hefu, "core", &format!("POST {PATH}"), wanted()).await.0, 409);
    drop(hefu);
    // As if the time were over for which whoever ran it had it to itself.
    kept(&place, |upgrade| {
        assert!(upgrade.lease > upgrade.at);
        upgrade.lease = Timestamp::from_millis(0);
    })
    .await;
    let hefu = Hefu::start(place.command()).await;
    assert_eq!(shown(&hefu).await, "interrupted 60/30: match uncertain | bank:CCB");
    assert_eq!(trial.messages().len(), 2, "nobody was asked by that");
    drop(hefu);
    // As while another process has gone on with it, and has not asked again what is in doubt.
    kept(&place, |upgrade| {
        (upgrade.lease, upgrade.asking) = (Timestamp::from_millis(u64::MAX >> 12), false);
    })
    .await;
    let hefu = Hefu::start(place.command()).await;
    assert_eq!(shown(&hefu).await, "running 60/30: match uncertain | bank:CCB");
    drop(hefu);
    kept(&place, |upgrade| upgrade.lease = Timestamp::from_millis(0)).await;
    let hefu = Hefu::start(place.command()).await;
    // The elements are told again: what was found is not asked again, what is in doubt is.
    let mut again = asking(&hefu).await;
    let answer = soon(answered(&told, again.answer())).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert!(answer.text().contains("reached"), "{}", answer.text());
    assert_eq!(shown(&hefu).await, "reached 120/30: match uncertain match match |");
    assert_eq!(trial.messages().len(), 4);
    // And said once more it asks nobody.
    let (status, done) = call(&hefu, "core", &format!("POST {PATH}"), wanted()).await;
    assert_eq!((status, &done["cost_fen"]), (200, &json!(120)), "{done}");
    assert_eq!(trial.messages().len(), 4);
}

/// Two at once, before either has begun: one runs, and each question is put once.
#[tokio::test]
async fn an_upgrade_that_is_asked_for_twice_at_once_runs_once() {
    let (told, trial) = waiting().await;
    let place = place(&trial).await;
    let hefu = Hefu::start(place.command()).await;
    let person = json!({ "id_number": ID });
    assert_eq!(call(&hefu, "core", "POST /v1/accounts/A-1", person).await.0, 201);
    let (mut one, mut two) = (asking(&hefu).await, asking(&hefu).await);
    let both = async { tokio::join!(one.answer(), two.answer()) };
    let (one, two) = soon(answered(&told, both)).await;
    let mut came = [one.status(), two.status()];
    came.sort_unstable();
    // Where the first is through before the second is looked at, that is told the same.
    assert!(came == [200, 409] || came == [200, 200], "{one:?} {two:?}");
    assert_eq!(shown(&hefu).await, "reached 90/0: match match match |");
    assert_eq!(trial.messages().len(), 3);
}
