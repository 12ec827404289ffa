//! The core's journeys over Baofoo.

use std::sync::Arc;

use async_trait::async_trait;
use encoding_rs::UTF_8;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use crate::sim::{
    baofoo::{NAME, PAYMENT, PAYOUT, PAYOUT_QUERY, text},
    core::{Got, Journey, Message, Payer, now, number},
    form,
    keys::Key,
    statement::Ended,
    world::Tuple,
};

const MEMBER: &str = "100000749";
const TERMINAL: &str = "100000933";

/// The core's side: its own key, and the gateway's to open answers with.
pub(in crate::sim) struct BaofooCore {
    pub(in crate::sim) own: Arc<Key>,
    pub(in crate::sim) channel: Arc<Key>,
}

/// Payment message types: a name, `txn_sub_type` and our scenario.
const PAYMENTS: [(&str, &str, &str); 8] = [
    ("bind_direct", "01", "bind"),
    ("bind", "11", "bind"),
    ("bind_confirm", "12", "bind"),
    ("unbind", "02", "unbind"),
    ("query_bind", "03", "query"),
    ("pay_sms", "15", "sms"),
    ("debit", "16", "debit"),
    ("query", "31", "query"),
];

#[async_trait]
impl Payer for BaofooCore {
    async fn journey(&self, journey: &mut Journey<'_>, rng: &mut ChaCha8Rng) -> Option<()> {
        Way { core: self, journey }.go(rng).await
    }

    fn kinds(&self) -> Vec<&'static str> {
        PAYMENTS.iter().map(|(name, _, _)| *name).chain(["payout", "payout_query"]).collect()
    }

    fn sample(&self, kind: &str, people: &[Tuple], rng: &mut ChaCha8Rng) -> Option<Message> {
        let told = people.first()?;
        let (order, serial) = (number(rng, "S"), number(rng, "R"));
        match kind {
            "payout" => {
                let row = payout_row(&order, told, rng);
                return self.seal_payout(PAYOUT, "payout", &order, row);
            }
            "payout_query" => {
                let row = json!({"trans_no": order, "trans_batchid": "1"});
                return self.seal_payout(PAYOUT_QUERY, "query", &order, row);
            }
            _ => {}
        }
        let (_, sub_type, scenario) = PAYMENTS.iter().find(|(name, _, _)| *name == kind)?;
        let bind_id = format!("{:018}", rng.random_range(0..1_000_000_000_000_000_000_u64));
        let mut inner = match *sub_type {
            "01" | "11" => bind_fields(&order, told),
            "02" => json!({"trans_id": order, "bind_id": bind_id}),
            "03" => json!({"trans_id": order, "acc_no": told.pan}),
            "12" => json!({"trans_id": order, "sms_code": "111111"}),
            "31" => json!({"trans_id": order, "orig_trans_id": order}),
            _ => {
                let amount = rng.random_range(1..100_000_000_u64).to_string();
                json!({"trans_id": order, "bind_id": bind_id, "txn_amt": amount, "sms_code": "111111"})
            }
        };
        if let Some(inner) = inner.as_object_mut() {
            for (key, value) in [
                ("valid_date", json!("2912")),
                ("valid_no", json!("123")),
                ("client_ip", json!("127.0.0.1")),
                ("extra", json!("a+b %2B &c=\"d\"\\ 𠮷")),
                ("risk_item", json!({"user": {"since": 20_260_101, "good": true, "note": null}})),
            ] {
                if rng.random_bool(0.3) {
                    inner.insert(key.into(), value);
                }
            }
        }
        self.seal_payment((sub_type, scenario), &serial, inner)
    }

    fn ask(&self, ended: &Ended, rng: &mut ChaCha8Rng) -> Option<Message> {
        let (_, order) = ended.order.split_once('|')?;
        if ended.kind == "BF0040001" {
            let row = json!({"trans_no": order, "trans_batchid": "1"});
            return self.seal_payout(PAYOUT_QUERY, "query", order, row);
        }
        let inner = json!({"trans_id": order, "orig_trans_id": order});
        self.seal_payment(("31", "query"), &number(rng, "R"), inner)
    }
}

/// One customer's way over this channel.
struct Way<'a, 'j> {
    core: &'a BaofooCore,
    journey: &'a mut Journey<'j>,
}

impl Way<'_, '_> {
    /// A bind, then debits by the agreement, or a payout.
    async fn go(&mut self, rng: &mut ChaCha8Rng) -> Option<()> {
        if rng.random_bool(0.1) {
            return self.payout(rng).await;
        }
        let mut bind_id = self.bind(rng).await?;
        for debit in 0..rng.random_range(1..=3) {
            let amount = rng.random_range(100..300_000_u64).to_string();
            let order = self.journey.order("B");
            let pay = |extra: &str| json!({"trans_id": order, "bind_id": bind_id, "txn_amt": amount, "extra": extra});
            self.speak("15", "sms", pay("a+b c")).await?;
            let mut last = pay("%2B");
            if let Some(fields) = last.as_object_mut() {
                fields.insert("sms_code".into(), "111111".into());
            }
            let Some(paid) = self.speak("16", "debit", last).await else {
                // The customer gives the phone that his bank knows by now, and binds again.
                if debit > 0 || rng.random_bool(0.5) {
                    return None;
                }
                bind_id = self.bind(rng).await?;
                continue;
            };
            if text(&paid, "resp_code") == "BF00115" || rng.random_bool(0.2) {
                let original = text(&paid, "trans_id");
                self.speak("31", "query", json!({"trans_id": original, "orig_trans_id": original}))
                    .await?;
            }
        }
        if rng.random_bool(0.1) {
            let (order, told) = (self.journey.order("B"), self.journey.card.told());
            self.speak("03", "query", json!({"trans_id": order, "acc_no": told.pan})).await?;
        }
        if rng.random_bool(0.1) {
            let order = self.journey.order("B");
            self.speak("02", "unbind", json!({"trans_id": order, "bind_id": bind_id})).await?;
        }
        Some(())
    }

    /// Binds in two steps, or (one in ten) directly; yields the agreement.
    async fn bind(&mut self, rng: &mut ChaCha8Rng) -> Option<String> {
        let order = self.journey.order("B");
        let fields = bind_fields(&order, &self.journey.card.told());
        let answer = if rng.random_bool(0.1) {
            self.speak("01", "bind", fields).await?
        } else {
            self.speak("11", "bind", fields).await?;
            self.speak("12", "bind", json!({"trans_id": order, "sms_code": "111111"})).await?
        };
        Some(text(&answer, "bind_id")).filter(|id| !id.is_empty())
    }

    /// Sends one payment message; its answer when the money may move on. An element mismatch is learned from.
    async fn speak(
        &mut self,
        sub_type: &'static str,
        scenario: &'static str,
        inner: Value,
    ) -> Option<Value> {
        let serial = self.journey.order("S");
        self.journey.turn().await?;
        let message = self.core.seal_payment((sub_type, scenario), &serial, inner)?;
        let answer = self.send(message).await?;
        match text(&answer, "resp_code").as_str() {
            "0000" | "BF00115" => Some(answer),
            "BF00101" | "BF00343" | "BF00344" | "BF00345" | "BF00346" => {
                self.journey.card.learn();
                None
            }
            _ => None,
        }
    }

    /// A payout of one row, and its query.
    async fn payout(&mut self, rng: &mut ChaCha8Rng) -> Option<()> {
        let number = self.journey.order("P");
        let row = payout_row(&number, &self.journey.card.told(), rng);
        self.journey.turn().await?;
        self.send(self.core.seal_payout(PAYOUT, "payout", &number, row)?).await?;
        self.journey.turn().await?;
        let row = json!({"trans_no": number, "trans_batchid": "1"});
        self.send(self.core.seal_payout(PAYOUT_QUERY, "query", &number, row)?).await.map(|_| ())
    }

    /// Sends, and opens the answer.
    async fn send(&self, message: Message) -> Option<Value> {
        let key = &self.core.channel;
        let open = |got: &Got<'_>| {
            serde_json::from_str(&key.open(std::str::from_utf8(got.body).ok()?)?).ok()
        };
        self.journey.send(message, open).await
    }
}

impl BaofooCore {
    /// A payment message: the common fields are added to `inner`.
    fn seal_payment(
        &self,
        (sub_type, scenario): (&'static str, &'static str),
        serial: &str,
        mut inner: Value,
    ) -> Option<Message> {
        let order = text(&inner, "trans_id");
        let common = json!({
            "member_id": MEMBER, "terminal_id": TERMINAL, "trans_serial_no": serial, "trade_date": now(), "biz_type": "0000",
            "txn_type": "0431", "txn_sub_type": sub_type,
            "additional_info": "附加 a+b", "req_reserved": "100%&x=y",
        });
        if let (Some(inner), Value::Object(common)) = (inner.as_object_mut(), common) {
            inner.extend(common);
        }
        let outer = [("txn_type", "0431"), ("txn_sub_type", sub_type), ("version", "4.0.0.0")];
        self.seal(PAYMENT, scenario, (&order, &outer, inner))
    }

    fn seal_payout(
        &self,
        path: &'static str,
        scenario: &'static str,
        number: &str,
        row: Value,
    ) -> Option<Message> {
        let batch = json!({"trans_content": {"trans_reqDatas": [{"trans_reqData": [row]}]}});
        self.seal(path, scenario, (number, &[("version", "4.0.0")], batch))
    }

    /// Seals and writes: `what` is the order number, the outer fields and the inner message.
    fn seal(
        &self,
        path: &'static str,
        scenario: &'static str,
        what: (&str, &[(&str, &str)], Value),
    ) -> Option<Message> {
        let (order, outer, inner) = what;
        let sealed = self.own.seal(&inner.to_string()).ok()?;
        let common = [
            ("member_id", MEMBER),
            ("terminal_id", TERMINAL),
            ("data_type", "json"),
            ("data_content", sealed.as_str()),
        ];
        let pairs: Vec<_> = outer
            .iter()
            .chain(&common)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Some(Message {
            channel: NAME,
            path: path.into(),
            order: format!("{MEMBER}|{order}"),
            scenario,
            body: form::write(pairs.iter().map(|(key, value)| (key, value)), UTF_8, true)?,
            ..Message::default()
        })
    }
}

fn bind_fields(order: &str, told: &Tuple) -> Value {
    let mut fields = json!({
        "trans_id": order, "acc_no": told.pan, "id_card_type": "01", "id_card": told.id_number, "id_holder": told.name,
        "pay_code": "ICBC", "valid_date": "", "valid_no": "",
    });
    if let (Some(phone), Some(fields)) = (&told.phone, fields.as_object_mut()) {
        fields.insert("mobile".into(), phone.clone().into());
    }
    fields
}

fn payout_row(number: &str, told: &Tuple, rng: &mut ChaCha8Rng) -> Value {
    let cents = rng.random_range(100..300_000_u64);
    let mut row: Map<String, Value> = Map::from_iter([
        ("trans_no".to_owned(), number.into()),
        ("trans_money".into(), format!("{}.{:02}", cents / 100, cents % 100).into()),
        ("to_acc_name".into(), told.name.clone().into()),
        ("to_acc_no".into(), told.pan.clone().into()),
        ("to_bank_name".into(), "模拟银行".into()),
        ("trans_card_id".into(), told.id_number.clone().into()),
        ("trans_summary".into(), "提现 a+b".into()),
    ]);
    if let Some(phone) = &told.phone {
        row.insert("trans_mobile".into(), phone.clone().into());
    }
    Value::Object(row)
}
