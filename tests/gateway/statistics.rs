//! Statistics of several kinds and providers, beside what the providers wrote down; `hefu report` and the API count alike.

use crate::assessed::{provider, with_provider};
use crate::kinds::{face, live, says, simulation, with_faces};
use crate::peers::{Channel, channel, ok, soon};
use crate::process::{Hefu, Place};
use crate::verification::{LENDER, PHONE, ask, four, place, read};
use hefu::sim::{Said, picture};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::process::Command;

const ID: &str = "11010519491231002X";

async fn report(place: &Place, more: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
    command.arg("report").arg("--config").arg(place.path()).args(["--format", "json"]);
    let done = soon(command.args(more).kill_on_drop(true).output()).await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

/// The API's answer: its status, and what it says.
async fn told(hefu: &Hefu, query: &str) -> (u16, Value) {
    let message = soon(hefu.admin(&format!("GET /v1/statistics{query}"), "")).await;
    (message.status(), serde_json::from_str(message.text()).unwrap())
}

fn group<'v>(told: &'v Value, of: [&str; 3]) -> &'v Value {
    let is = |row: &&Value| {
        ["kind", "provider", "bank"]
            .iter()
            .zip(of)
            .all(|(key, is)| row[*key].as_str().unwrap_or("-") == is)
    };
    told["groups"].as_array().unwrap().iter().find(is).unwrap()
}

/// What is asked: faces and pictures of every fate, and elements.
async fn traffic(to: SocketAddr, simulation: &hefu::sim::Simulation) {
    let face_of = async |key: &str, of: &str| {
        assert_eq!(ask(to, LENDER, key, &face(&picture(of, 0))).await.status(), 201);
    };
    face_of("a", ID).await;
    face_of("b", ID).await;
    face_of("c", "somebody else").await;
    says(simulation, "face", Said::NoRecord);
    face_of("d", ID).await;
    says(simulation, "face", Said::Busy);
    face_of("e", ID).await;
    for (key, of) in [("f", ID), ("g", "a screen")] {
        assert_eq!(ask(to, LENDER, key, &live(&picture(of, 0))).await.status(), 201);
    }
    // The second is known by the first.
    for key in ["h", "i"] {
        assert_eq!(read(&ask(to, LENDER, key, &four(PHONE)).await)["answer"], "match");
    }
    assert_eq!(ask(to, LENDER, "j", &four("13800000001")).await.status(), 201);
}

#[tokio::test]
async fn kinds_and_banks_are_told_apart_and_the_command_counts_as_the_api_does() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = simulation(&dir).await;
    let trial = provider(&["0000", "02"]).await;
    let place = place(&trial, "").await;
    with_faces(&place, &simulation);
    std::fs::create_dir_all(place.path().join("rules")).unwrap();
    place.write("rules/banks.toml", "[[bank]]\nname = \"HARBOUR\"\nbins = [\"620000\"]\n");
    let hefu = Hefu::start(place.command()).await;
    traffic(hefu.verification.unwrap(), &simulation).await;
    let by = "kind,provider,bank";
    let mut all = report(&place, &["--by", by, "--since", "1h"]).await;
    let (since, until) = (all["since_ms"].clone(), all["until_ms"].clone());
    let (status, same) = told(&hefu, &format!("?by={by}&since_ms={since}&until_ms={until}")).await;
    let all = all.as_object_mut().unwrap();
    assert_eq!((all.remove("inquiries_saved"), status), (Some(json!(0)), 200));
    assert!(all.remove("refusals").is_some());
    assert_eq!(all.remove("refusals_unreadable"), Some(json!(0)));
    assert_eq!(json!(all), same);
    let counts = |row: &Value| {
        let counts =
            ["asked", "billed", "uncertain", "cost_fen"].map(|it| row[it].as_u64().unwrap());
        let answers =
            ["match", "no_match", "no_record"].map(|it| row["answers"][it].as_u64().unwrap());
        (counts, answers, row["match_permille"].clone())
    };
    // As they wrote it down themselves.
    for (name, ours, price) in [("face", "tencent-face", 80), ("liveness", "liveness-market", 10)] {
        let theirs = simulation.inquiries(name);
        let billed = theirs.iter().filter(|it| it.billable).count();
        let [asked, billed] = [theirs.len(), billed].map(|it| u64::try_from(it).unwrap());
        let row = group(&same, [name, ours, "-"]);
        let ([our_asked, our_billed, uncertain, cost], ..) = counts(row);
        assert_eq!((our_asked, uncertain), (asked, 0), "{row}");
        assert_eq!((our_billed, cost), (billed, billed * price), "{row}");
        assert_eq!(row["latency"]["known"], asked, "{row}");
        assert!(row["latency"]["p50_ms"].as_u64() <= row["latency"]["p99_ms"].as_u64(), "{row}");
    }
    let row = group(&same, ["face", "tencent-face", "-"]);
    assert_eq!((counts(row).1, &row["match_permille"]), ([2, 1, 1], &json!(400)), "{row}");
    let row = group(&same, ["liveness", "liveness-market", "-"]);
    assert_eq!((counts(row).1, &row["match_permille"]), ([1, 1, 0], &json!(500)), "{row}");
    let row = group(&same, ["elements", "trial", "HARBOUR"]);
    assert_eq!(counts(row), ([2, 2, 0, 60], [1, 1, 0], json!(500)), "{row}");
    assert_eq!(row["reasons"], json!({ "no_match: phone": 1 }), "{row}");
    assert_eq!(trial.messages().len(), 2);
    assert_eq!(same["groups"].as_array().unwrap().len(), 3, "{same}");
    // A month is what its statement says.
    let month = crate::statement::month();
    let whole = report(&place, &["--by", "provider", "--month", &month]).await;
    let groups = whole["groups"].as_array().unwrap().iter();
    let fen: u64 = groups.map(|row| row["cost_fen"].as_u64().unwrap()).sum();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
    command.args(["statement", "--month", &month, "--format", "json", "--config"]);
    let done = soon(command.arg(place.path()).kill_on_drop(true).output()).await.unwrap();
    let statement: Value = serde_json::from_slice(&done.stdout).unwrap();
    let lines = statement["lines"].as_array().unwrap().iter();
    assert_eq!(fen, lines.map(|line| line["cost_fen"].as_u64().unwrap()).sum::<u64>());
    // Nothing was asked before, and what is no word is named.
    let (status, none) = told(&hefu, &format!("?until_ms={since}")).await;
    assert_eq!((status, &none["groups"]), (200, &json!([])), "{none}");
    let (status, wrong) = told(&hefu, "?by=banks").await;
    assert!(
        status == 400 && wrong["detail"].as_str().unwrap().contains("scenario,kind"),
        "{wrong}"
    );
}

/// A Hefu over a file with `charges` of an older version in it.
async fn full(bank: &Channel, charges: usize) -> (Place, Hefu) {
    let place = Place::to(bank);
    with_provider(&place, bank);
    place.replace("hefu.toml", "[secrets]", "[store]\nfile = \"hefu.db\"\n[secrets]");
    place.replace("hefu.toml", "[listen]", "[listen]\nadmin_per_second = 10000");
    let mut hefu = Hefu::start(place.command()).await;
    hefu.signal("TERM");
    assert!(hefu.exit().await.success());
    let at = jiff::Timestamp::now().as_millisecond();
    let mut file = rusqlite::Connection::open(place.path().join("hefu.db")).unwrap();
    let all = file.transaction().unwrap();
    for number in 0..charges {
        let id = hefu::domain::id::PaymentId::new(
            hefu::domain::clock::Timestamp::from_millis(u64::try_from(at).unwrap()),
            u128::try_from(number).unwrap(),
        );
        let inquiry =
            json!({ "id": id.to_string(), "provider": "trial", "set": "name pan", "at": at });
        let row = json!({ "inquiry": inquiry, "answer": "match", "code": null, "billable": "yes" });
        let sql = "INSERT INTO charges (key, until, value, checksum) VALUES (?1, NULL, ?2, NULL)";
        all.execute(sql, (id.to_string(), row.to_string())).unwrap();
    }
    all.commit().unwrap();
    let hefu = Hefu::start(place.command()).await;
    (place, hefu)
}

#[tokio::test]
async fn so_many_count_at_once_and_whoever_comes_besides_is_told_so() {
    let bank = channel(|_| ok("{}")).await;
    let (_place, hefu) = full(&bank, 20_000).await;
    let (status, all) = told(&hefu, "?by=kind,bank").await;
    let row = &all["groups"][0];
    assert_eq!((status, &row["asked"], &row["cost_fen"]), (200, &json!(20_000), &json!(600_000)));
    // Of what an older version kept the rest is not known.
    assert_eq!((&row["kind"], &row["bank"]), (&Value::Null, &Value::Null), "{row}");
    assert_eq!(
        row["latency"],
        json!({ "known": 0, "p50_ms": null, "p90_ms": null, "p99_ms": null })
    );
    let one = async || while told(&hefu, "").await.0 == 200 {};
    let refused = soon(async {
        tokio::select! { () = one() => (), () = one() => (), () = one() => () }
    });
    refused.await;
    let mut seen = (503, Value::Null);
    while seen.0 == 503 {
        seen = told(&hefu, "").await;
    }
    assert_eq!(seen.0, 200);
}

/// What the command says, where it does not end well.
async fn failed(place: &Place) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
    command.arg("report").arg("--config").arg(place.path()).kill_on_drop(true);
    let done = soon(command.output()).await.unwrap();
    assert!(!done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    String::from_utf8(done.stderr).unwrap()
}

#[tokio::test]
async fn payments_that_cannot_be_read_are_told_and_a_charge_is_named() {
    let bank = channel(|_| ok("{}")).await;
    let (place, hefu) = full(&bank, 1).await;
    let file = rusqlite::Connection::open(place.path().join("hefu.db")).unwrap();
    let at = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap() - 1_000;
    let put = |table: &str, number: u128, value: &str, checksum: Option<i64>| {
        let at = hefu::domain::clock::Timestamp::from_millis(at);
        let id = hefu::domain::id::PaymentId::new(at, number).to_string();
        let sql =
            format!("INSERT INTO {table} (key, until, value, checksum) VALUES (?1, NULL, ?2, ?3)");
        file.execute(&sql, (&id, value, checksum)).unwrap();
        id
    };
    // Another version's, of which enough is known, one of which nothing is, and one that is not as it was written.
    let newer = json!({ "at": at, "scenario": "preorder", "reasons": ["tired", "nobody_can"], "verified": null, "asked_now": false });
    put("payments", 1, &newer.to_string(), None);
    put("payments", 2, "{}", None);
    put("payments", 3, &newer.to_string(), Some(1));
    let (status, all) = told(&hefu, "?by=scenario").await;
    assert_eq!((status, &all["unreadable"]), (200, &json!(2)), "{all}");
    let groups = all["groups"].as_array().unwrap();
    assert_eq!((groups.len(), &groups[0]["untold"]), (1, &json!({ "nobody_can": 1 })), "{all}");
    let mut same = report(&place, &["--by", "scenario", "--since", "1h"]).await;
    assert_eq!((&same["unreadable"], &same["refusals_unreadable"]), (&json!(2), &json!(3)));
    assert_eq!(same["groups"].take(), all["groups"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
    command.arg("report").arg("--config").arg(place.path()).kill_on_drop(true);
    let table = soon(command.output()).await.unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    let line = "3 payments cannot be read: they are not in the first table, and 2 of them in none";
    assert!(table.lines().any(|it| it == line), "{table}");
    // What may be money is not left out.
    for (value, checksum) in [(r#"{"answer":"secret"}"#, None), ("secret", Some(1))] {
        let id = put("charges", 4, value, checksum);
        let named = format!("the row \"{id}\" of `charges` cannot be read");
        let (status, why) = told(&hefu, "").await;
        let detail = why["detail"].as_str().unwrap();
        assert!(status == 500 && detail.contains(&named) && !detail.contains("secret"), "{why}");
        let why = failed(&place).await;
        assert!(why.contains(&named) && !why.contains("secret"), "{why}");
        file.execute("DELETE FROM charges WHERE key = ?1", [id]).unwrap();
    }
    assert_eq!(told(&hefu, "").await.0, 200);
    for (query, word) in [("?since_ms=2&until_ms=1", "after"), ("?since_ms=0", "100 days")] {
        let (status, why) = told(&hefu, query).await;
        assert!(status == 400 && why["detail"].as_str().unwrap().contains(word), "{why}");
    }
}

#[tokio::test]
async fn what_is_kept_nowhere_is_not_counted() {
    let bank = channel(|_| ok("{}")).await;
    let place = Place::to(&bank);
    let hefu = Hefu::start(place.command()).await;
    let (status, why) = told(&hefu, "").await;
    assert_eq!(
        (status, &why["detail"]),
        (409, &json!("there is no `[store]`: what was asked is not known"))
    );
}
