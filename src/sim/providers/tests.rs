//! Each provider asked as its buyer asks, and with something forged.

use encoding_rs::UTF_8;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::sim::{
    Settings, Simulation, acp,
    form::{self, Fields, field},
    keys::{hmac, sha256_hex},
    world::{CardState, Element, Tuple},
};

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

async fn text(request: RequestBuilder) -> String {
    request.send().await.unwrap().text().await.unwrap()
}

/// A simulation without faults, and what an honest customer tells.
async fn start(dir: &tempfile::TempDir) -> (Simulation, Tuple) {
    let settings =
        Settings { provider_faults: 0, people: 100, ..Settings::new(7, dir.path().into()) };
    let simulation = Simulation::start(settings).await.unwrap();
    let honest = simulation.hub.world.cards.iter().find(|card| {
        let told = card.told();
        let right = |facts: &crate::sim::world::Facts| facts.differing(&told).is_empty();
        told.phone.is_some()
            && told.pan.as_deref() == Some(card.pan.as_str())
            && right(card.at_bank())
            && right(card.at_copy(90))
            && card.operator_phone() == told.phone.as_deref().unwrap()
            && card.state == CardState::Normal
    });
    let told = honest.unwrap().told();
    (simulation, told)
}

fn value(told: &Tuple, element: Element) -> &str {
    told.get(element).unwrap()
}

#[tokio::test]
async fn tencent_knows_its_buyers_signature() {
    let dir = tempfile::tempdir().unwrap();
    let (simulation, told) = start(&dir).await;
    let ask = async |secret: &str, name: &str| {
        let body = json!({
            "Name": name, "IdCard": told.id_number, "BankCard": told.pan, "Phone": told.phone, "CertType": 0,
        });
        let (body, now) = (body.to_string(), jiff::Timestamp::now());
        let (stamp, date) = (now.as_second().to_string(), now.strftime("%Y-%m-%d").to_string());
        let base = &simulation.endpoints()["tencent"];
        let host = base.strip_prefix("http://").unwrap();
        let headers = format!("content-type:application/json\nhost:{host}\n");
        let canonical =
            format!("POST\n/\n\n{headers}\ncontent-type;host\n{}", sha256_hex(body.as_bytes()));
        let scope = format!("{date}/faceid/tc3_request");
        let to_sign =
            format!("TC3-HMAC-SHA256\n{stamp}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
        let key =
            hmac(&hmac(&hmac(format!("TC3{secret}").as_bytes(), &date), "faceid"), "tc3_request");
        let (id, signature) =
            (&simulation.credentials()["tencent-id"], hex::encode(hmac(&key, &to_sign)));
        let credential = format!(
            "Credential={id}/{scope}, SignedHeaders=content-type;host, Signature={signature}"
        );
        let request = client()
            .post(base)
            .header("content-type", "application/json")
            .header("x-tc-action", "BankCard4EVerification")
            .header("x-tc-version", "2018-03-01")
            .header("x-tc-timestamp", stamp)
            .header("authorization", format!("TC3-HMAC-SHA256 {credential}"));
        let answer: Value = serde_json::from_str(&text(request.body(body)).await).unwrap();
        let code =
            answer.pointer("/Response/Result").or(answer.pointer("/Response/Error/Code")).unwrap();
        code.as_str().unwrap().to_owned()
    };
    let secret = &simulation.credentials()["tencent-secret"];
    assert_eq!(ask(secret, value(&told, Element::Name)).await, "0");
    assert_eq!(ask(secret, "某某某").await, "-6");
    assert_eq!(ask("forged", value(&told, Element::Name)).await, "AuthFailure.SignatureFailure");
    assert_eq!(simulation.audit().inquiries_turned_away, 1);
}

#[tokio::test]
async fn aliyun_knows_its_buyers_signature() {
    let dir = tempfile::tempdir().unwrap();
    let (simulation, told) = start(&dir).await;
    let ask = async |secret: &str, product: &str| {
        let fields: Fields = [
            ("ProductType", product),
            ("ParamType", "normal"),
            ("VerifyMode", "VERIFY_BANK_CARD"),
            ("UserName", value(&told, Element::Name)),
            ("IdentifyNum", value(&told, Element::IdNumber)),
            ("BankCard", value(&told, Element::Pan)),
            ("Mobile", value(&told, Element::Phone)),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let body = form::write(&fields, UTF_8, false).unwrap();
        let base = &simulation.endpoints()["aliyun"];
        let headers = [
            ("host", base.strip_prefix("http://").unwrap().to_owned()),
            ("x-acs-action", "BankMetaVerify".into()),
            ("x-acs-content-sha256", sha256_hex(&body)),
            ("x-acs-date", jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            ("x-acs-signature-nonce", "1".into()),
            ("x-acs-version", "2019-03-07".into()),
        ];
        let lines: String =
            headers.iter().flat_map(|(name, value)| [*name, ":", value.as_str(), "\n"]).collect();
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", sha256_hex(&body));
        let to_sign = format!("ACS3-HMAC-SHA256\n{}", sha256_hex(canonical.as_bytes()));
        let (id, signature) = (
            &simulation.credentials()["aliyun-id"],
            hex::encode(hmac(secret.as_bytes(), &to_sign)),
        );
        let credential =
            format!("ACS3-HMAC-SHA256 Credential={id},SignedHeaders={names},Signature={signature}");
        let mut request = client().post(base).header("authorization", credential).body(body);
        for (name, value) in headers.into_iter().skip(1) {
            request = request.header(name, value);
        }
        let answer: Value = serde_json::from_str(&text(request).await).unwrap();
        let result = answer.pointer("/ResultObject/BizCode").or(answer.pointer("/Code")).unwrap();
        result.as_str().unwrap().to_owned()
    };
    let secret = &simulation.credentials()["aliyun-secret"];
    assert_eq!(ask(secret, "BANK_CARD_4_META").await, "1");
    assert_eq!(ask(secret, "BANK_CARD_3_META").await, "1");
    assert_eq!(ask("forged", "BANK_CARD_4_META").await, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn the_operator_knows_its_code_and_answers_by_holder() {
    let dir = tempfile::tempdir().unwrap();
    let (simulation, told) = start(&dir).await;
    let ask = async |code: &str, name: &str, phone: &str| {
        let fields: Fields =
            [("name", name), ("idCard", value(&told, Element::IdNumber)), ("mobile", phone)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
        let request = client().post(&simulation.endpoints()["operator3"]);
        let request = request.header("authorization", format!("APPCODE {code}"));
        text(request.body(form::write(&fields, UTF_8, true).unwrap())).await
    };
    let code = &simulation.credentials()["operator3-appcode"];
    let (name, phone) = (value(&told, Element::Name), value(&told, Element::Phone));
    assert!(ask(code, name, phone).await.contains(r#""result":"1""#));
    assert!(ask(code, "某某某", phone).await.contains(r#""result":"2""#));
    assert!(ask(code, name, "10000000000").await.contains(r#""result":"3""#));
    assert_eq!(ask("forged", name, phone).await, "Unauthorized");
}

#[tokio::test]
async fn unionpay_data_is_asked_and_answered_by_signed_forms() {
    let dir = tempfile::tempdir().unwrap();
    let (simulation, told) = start(&dir).await;
    let ask = async |product: &str, told: &Tuple, forged: bool| {
        let mut fields: Fields = [
            ("version", "5.1.0"),
            ("encoding", "UTF-8"),
            ("signMethod", "01"),
            ("txnType", "72"),
            ("txnSubType", "12"),
            ("bizType", "000803"),
            ("merId", "1"),
            ("orderId", "O1000000"),
            ("txnTime", "20260101000000"),
            ("productId", product),
            ("accNo", value(told, Element::Pan)),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        fields.insert("customerInfo".into(), acp::wrap_customer(told, None, UTF_8).unwrap());
        acp::sign(&mut fields, UTF_8, &simulation.unionpay72_buyer).unwrap();
        if forged {
            fields.insert("merId".into(), "2".into());
        }
        let request = client().post(&simulation.endpoints()["unionpay72"]);
        let answer = text(request.body(form::write(&fields, UTF_8, true).unwrap())).await;
        let answer = form::parse(answer.as_bytes(), UTF_8).unwrap();
        assert!(acp::verify(&answer, UTF_8, &simulation.unionpay72_provider));
        field(&answer, "respCode").to_owned()
    };
    let wrong = Tuple { phone: Some("10000000000".into()), ..told.clone() };
    assert_eq!(ask("B156", &told, false).await, "00");
    assert_eq!(ask("B156", &wrong, false).await, "66");
    assert_eq!(ask("B152", &wrong, false).await, "00");
    assert_eq!(ask("B999", &told, false).await, "10");
    assert_eq!(ask("B156", &Tuple { phone: None, ..told.clone() }, false).await, "13");
    assert_eq!(ask("B156", &told, true).await, "11");
}

#[tokio::test]
async fn registers_of_people_know_who_holds_a_number() {
    let dir = tempfile::tempdir().unwrap();
    let (simulation, told) = start(&dir).await;
    let detail = async |name: &str, id_number: &str, phone: &str| {
        let fields: Fields = [("name", name), ("idcard", id_number), ("mobile", phone)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let code = &simulation.credentials()["operator-detail-appcode"];
        let request = client().post(&simulation.endpoints()["operator-detail"]);
        let request = request.header("authorization", format!("APPCODE {code}"));
        let answer = text(request.body(form::write(&fields, UTF_8, true).unwrap())).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let code = answer.pointer("/data/state").or(answer.pointer("/code")).unwrap();
        code.as_str().unwrap().to_owned()
    };
    let [name, id_number, phone] =
        [Element::Name, Element::IdNumber, Element::Phone].map(|element| value(&told, element));
    assert_eq!(detail(name, id_number, phone).await, "1");
    assert_eq!(detail("某某某", "1", phone).await, "2");
    assert_eq!(detail("某某某", id_number, phone).await, "3");
    assert_eq!(detail(name, "1", phone).await, "4");
    assert_eq!(detail(name, id_number, "10000000000").await, "10001");

    let police = |name: &str, id_number: &str| {
        let asked = Tuple { name: Some(name.to_owned()), ..told.clone() };
        super::held_by(simulation.hub.world.id_holder(id_number), &asked)
    };
    assert_eq!(police(name, id_number), super::Said::Match);
    assert_eq!(police("某某某", id_number), super::Said::NoMatch(vec![Element::Name]));
    assert_eq!(police(name, "1"), super::Said::NoRecord);
}
