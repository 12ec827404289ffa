//! Payments funded by balance, through real sockets: the mark stays here, the limit binds, and what is in doubt counts after a crash.

use crate::managed::{call, operators};
use crate::peers::{Message, Peer, Reply, channel, ok};
use crate::process::{Hefu, Place};
use serde_json::{Value, json};

const ID: &str = "11010519491231002X";

/// Sends a debit over so many fen with these lines in its head.
async fn debit(hefu: &Hefu, order: usize, fen: u64, marks: &str) -> Message {
    let body = format!(
        r#"{{"type":"by_agreement","order":"{order}","amount":"{fen}","agreement":"A1","merchant":"M1"}}"#
    );
    let mut core = Peer::connect(hefu.core).await;
    core.send(format!(
        "POST /acme/pay HTTP/1.1\r\nHost: bank\r\n{marks}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    core.answer().await
}

/// What may still be consumed, in fen.
async fn left(hefu: &Hefu) -> u64 {
    let (status, told) = call(hefu, "core", "GET /v1/accounts/A-1", Value::Null).await;
    assert_eq!(status, 200, "{told}");
    let like = |it: &&Value| it["purpose"] == "consumption" && it["strength"] == "weak";
    told["left"].as_array().unwrap().iter().find(like).unwrap()["left_fen"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_balance_funds_is_bound_by_its_limit_and_counted_over_a_crash() {
    let bank = channel(|number| match number {
        1 => ok(r#"{"code":"poor"}"#),
        2 => Reply::Close,
        _ => ok(r#"{"code":"ok"}"#),
    })
    .await;
    let place = Place::to(&bank);
    place.replace("hefu.toml", "[secrets]", "[store]\nfile = \"hefu.db\"\n[secrets]");
    place.replace("hefu.toml", "[channels.acme]", &format!("{}[channels.acme]", operators()));
    place.enforce();
    let classes = concat!(env!("CARGO_MANIFEST_DIR"), "/config/classes.toml");
    std::fs::copy(classes, place.path().join("classes.toml")).unwrap();
    // The risk team marks whatever takes more than half of what the day leaves.
    std::fs::create_dir(place.path().join("rules")).unwrap();
    let when = r#"has(account.limit) && account.limit == "daily_limit" && has(account.class) && account.class == "II" && has(account.left) && has(payment.amount) && payment.amount * 2 > account.left"#;
    let head = "id = 'most-of-it'\naction = 'annotate'\nstate = 'live'\nowner = 'risk'\nreason = 'most_of_it'";
    place.write("rules/risk.toml", format!("[[rule]]\n{head}\nwhen = '''{when}'''\n"));
    let hefu = Hefu::start(place.command()).await;
    let person = json!({ "id_number": ID });
    assert_eq!(call(&hefu, "core", "POST /v1/accounts/A-1", person).await.0, 201);
    let upgrade = json!({ "target": "II", "name": "张三", "id_number": ID, "face_to_face": true });
    let (status, told) = call(&hefu, "core", "POST /v1/accounts/A-1/upgrade", upgrade).await;
    assert_eq!((status, &told["progress"]), (200, &json!("reached")), "{told}");

    let mark = "Hefu-Account: A-1\r\n";
    let paid = debit(&hefu, 1, 60_000, mark).await;
    let expected = r#""A-1";class=II;left=40000;limit=daily_limit"#;
    assert_eq!((paid.status(), paid.field("hefu-account")), (200, Some(expected)), "{}", paid.head);
    let said = paid.field("hefu-decision").unwrap();
    assert!(said.contains("rule=\"most-of-it\""), "{said}");
    let refused = debit(&hefu, 2, 50_000, mark).await;
    let expected = r#""A-1";class=II;left=40000;limit=daily_limit;over=daily_limit"#;
    assert_eq!((refused.status(), refused.field("hefu-account")), (403, Some(expected)));
    let problem: Value = serde_json::from_str(refused.text()).unwrap();
    assert_eq!(problem["reasons"], json!(["account_limit"]), "{problem:#}");
    assert_eq!(problem["ways_out"], json!(["upgrade", "lower_amount"]), "{problem:#}");
    for wrong in ["Hefu-Account: A 1\r\n", "Hefu-Account: A-1;as=x\r\n", &mark.repeat(2)] {
        assert_eq!(debit(&hefu, 3, 1, wrong).await.status(), 422, "{wrong}");
    }
    assert_eq!((left(&hefu).await, bank.messages().len()), (40_000, 1));
    // It certainly failed; unmarked, it is not of the account.
    let failed = debit(&hefu, 4, 30_000, mark).await;
    assert!(failed.field("hefu-account").unwrap().contains("left=10000"), "{}", failed.head);
    assert_eq!(left(&hefu).await, 40_000);
    // The channel says nothing: that may have been paid.
    let mut core = Peer::connect(hefu.core).await;
    let body =
        r#"{"type":"by_agreement","order":"5","amount":"30000","agreement":"A1","merchant":"M1"}"#;
    core.send(format!(
        "POST /acme/pay HTTP/1.1\r\nHost: bank\r\n{mark}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    // It closes, as the channel did.
    assert!(core.message(true).await.is_none());
    assert_eq!(left(&hefu).await, 10_000);
    // Unmarked it is no account's, and the rule says nothing.
    let unmarked = debit(&hefu, 6, 90_000, "").await;
    assert_eq!(unmarked.status(), 200);
    let said = unmarked.field("hefu-decision").unwrap();
    assert!(!said.contains("most-of-it"), "{said}");
    for message in bank.messages() {
        assert!(!message.head.to_ascii_lowercase().contains("hefu"), "{}", message.head);
    }
    drop(hefu);
    let hefu = Hefu::start(place.command()).await;
    assert_eq!(left(&hefu).await, 10_000, "what is in doubt counts");
    assert_eq!(debit(&hefu, 7, 10_001, mark).await.status(), 403);
    assert_eq!(debit(&hefu, 8, 10_000, mark).await.status(), 200);
    assert_eq!(left(&hefu).await, 0);
}
