//! Payment accounts through the admin API: who may, what is told, what is wrong, and that they outlive the process.

use crate::managed::{call, operators};
use crate::peers::{channel, ok};
use crate::process::{Hefu, Place};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

const ID: &str = "11010519491231002X";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_opened_paid_from_and_kept() {
    let bank = channel(|_| ok(r#"{"code":"ok"}"#)).await;
    let place = Place::to(&bank);
    place.replace("hefu.toml", "[secrets]", "[store]\nfile = \"hefu.db\"\n[secrets]");
    place.replace("hefu.toml", "[channels.acme]", &format!("{}[channels.acme]", operators()));
    let classes = concat!(env!("CARGO_MANIFEST_DIR"), "/config/classes.toml");
    std::fs::copy(classes, place.path().join("classes.toml")).unwrap();
    let key = openssl::pkey::PKey::generate_ed25519().unwrap();
    std::fs::write(place.path().join("record.pem"), key.private_key_to_pem_pkcs8().unwrap())
        .unwrap();
    let hefu = Hefu::start(place.command()).await;
    let check = async |who: &str, request: &str, body: Value, expected: (u16, &str)| {
        let (status, told) = call(&hefu, who, request, body).await;
        let text = told.to_string();
        assert!(status == expected.0 && text.contains(expected.1), "{request}: {status} {text}");
        assert!(!text.contains(ID) && !text.contains("13800000000"), "{text}");
    };
    let person = json!({ "id_number": ID, "phone": "13800000000" });
    check("viewer", "POST /v1/accounts/A-1", person.clone(), (403, "")).await;
    check("core", "POST /v1/accounts/A-1", person.clone(), (201, r#""class":null"#)).await;
    check("core", "POST /v1/accounts/A-1", person.clone(), (201, "")).await;
    check("core", "POST /v1/accounts/A-2", person, (403, "as many accounts as one may")).await;
    check("core", "POST /v1/accounts/13800000000", json!({}), (400, "")).await;
    check("core", "POST /v1/accounts/A-3", json!({ "id_number": "1" }), (400, "identity document"))
        .await;
    check("core", "POST /v1/accounts/A-3", json!({ "id": ID }), (400, "not a JSON object")).await;
    check("viewer", "GET /v1/accounts/A-1", Value::Null, (200, "PBOC Announcement 2015 No. 43"))
        .await;
    check("viewer", "GET /v1/accounts/A-1?at_ms=0", Value::Null, (409, "no edition")).await;
    check("viewer", "GET /v1/accounts/A-9", Value::Null, (404, "no such account")).await;
    check("viewer", "GET /v1/accounts/A-1/record", Value::Null, (409, "record_key_file")).await;
    let usage = "POST /v1/accounts/A-1/usage";
    let reserve = json!({ "usage": "u", "act": "reserve", "amount_fen": 1, "purpose": "transfer", "strength": "weak" });
    check("core", usage, reserve, (403, "no_class")).await;
    check("core", usage, json!({ "usage": "u", "act": "reserve" }), (400, "a reservation has"))
        .await;
    check("core", usage, json!({ "usage": "u", "act": "commit" }), (409, "nothing is reserved"))
        .await;
    // Nobody is configured who could tell.
    let upgrade =
        json!({ "target": "II", "name": "张三", "id_number": ID, "phone": "13800000000" });
    check("core", "POST /v1/accounts/A-1/upgrade", upgrade.clone(), (200, r#""missing":3"#)).await;
    check("viewer", "GET /v1/accounts/A-1/upgrade", Value::Null, (200, "out_of_reach")).await;
    let other = json!({ "target": "I", "name": "张三", "id_number": "440524188001010014" });
    check("core", "POST /v1/accounts/A-1/upgrade", other, (409, "another person")).await;
    drop(hefu);
    place.replace("hefu.toml", "[secrets]", "[secrets]\nrecord_key_file = \"record.pem\"");
    let hefu = Hefu::start(place.command()).await;
    let (status, told) = call(&hefu, "core", "GET /v1/accounts/A-1", Value::Null).await;
    assert_eq!((status, &told["class"]), (200, &Value::Null));
    let (status, record) = call(&hefu, "auditor", "GET /v1/accounts/A-1/record", Value::Null).await;
    assert_eq!(status, 200);
    let record = record.as_str().unwrap();
    let (signed, signature) = record.rsplit_once('.').unwrap();
    let decode = |text| URL_SAFE_NO_PAD.decode(text).unwrap();
    let mut verifier = openssl::sign::Verifier::new_without_digest(&key).unwrap();
    assert!(verifier.verify_oneshot(&decode(signature), signed.as_bytes()).unwrap());
    let told: Value = serde_json::from_slice(&decode(signed.split_once('.').unwrap().1)).unwrap();
    assert_eq!((&told["account"], &told["class"]), (&json!("A-1"), &Value::Null));
    let (status, _) = call(&hefu, "core", "POST /v1/accounts/A-1/close", Value::Null).await;
    assert_eq!(status, 204);
    let (status, _) = call(&hefu, "core", "POST /v1/accounts/A-1/upgrade", upgrade).await;
    assert_eq!(status, 409, "it is closed");
}
