//! The core's journeys over Baofoo.

use encoding_rs::UTF_8;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use crate::sim::{
    baofoo::{PAYMENT, PAYOUT, PAYOUT_QUERY, text},
    core::{Journey, Message, now},
    form,
    record::Channel,
};

const MEMBER: &str = "100000749";
const TERMINAL: &str = "100000933";

impl Journey<'_> {
    /// One journey: a bind, then debits by the agreement, or a payout.
    pub(super) async fn baofoo(&mut self, rng: &mut ChaCha8Rng) -> Option<()> {
        if rng.random_bool(0.1) {
            return self.payout_row(rng).await;
        }
        let mut bind_id = self.bind(rng).await?;
        for debit in 0..rng.random_range(1..=3) {
            let amount = rng.random_range(100..300_000_u64).to_string();
            let order = self.order("B");
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
            let (order, told) = (self.order("B"), self.card.told());
            self.speak("03", "query", json!({"trans_id": order, "acc_no": told.pan})).await?;
        }
        if rng.random_bool(0.1) {
            let order = self.order("B");
            self.speak("02", "unbind", json!({"trans_id": order, "bind_id": bind_id})).await?;
        }
        Some(())
    }

    /// Binds in two steps, or (one in ten) directly; yields the agreement.
    async fn bind(&mut self, rng: &mut ChaCha8Rng) -> Option<String> {
        let (order, told) = (self.order("B"), self.card.told());
        let mut fields = json!({
            "trans_id": order, "acc_no": told.pan, "id_card_type": "01", "id_card": told.id_number, "id_holder": told.name,
            "pay_code": "ICBC", "valid_date": "", "valid_no": "",
        });
        if let (Some(phone), Some(fields)) = (told.phone, fields.as_object_mut()) {
            fields.insert("mobile".into(), phone.into());
        }
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
        mut inner: Value,
    ) -> Option<Value> {
        let serial = self.order("S");
        let order = text(&inner, "trans_id");
        let common = json!({
            "member_id": MEMBER, "terminal_id": TERMINAL, "trans_serial_no": serial, "trade_date": now(), "biz_type": "0000",
            "additional_info": "附加 a+b", "req_reserved": "100%&x=y",
        });
        if let (Some(inner), Value::Object(common)) = (inner.as_object_mut(), common) {
            inner.extend(common);
        }
        let outer = [("txn_type", "0431"), ("txn_sub_type", sub_type), ("version", "4.0.0.0")];
        let answer = self.send(PAYMENT, scenario, (&order, &outer, inner)).await?;
        match text(&answer, "resp_code").as_str() {
            "0000" | "BF00115" => Some(answer),
            "BF00101" | "BF00343" | "BF00344" | "BF00345" | "BF00346" => {
                self.card.learn();
                None
            }
            _ => None,
        }
    }

    /// A payout of one row, and its query.
    async fn payout_row(&mut self, rng: &mut ChaCha8Rng) -> Option<()> {
        let (number, told) = (self.order("P"), self.card.told());
        let cents = rng.random_range(100..300_000_u64);
        let mut row: Map<String, Value> = Map::from_iter([
            ("trans_no".to_owned(), number.clone().into()),
            ("trans_money".into(), format!("{}.{:02}", cents / 100, cents % 100).into()),
            ("to_acc_name".into(), told.name.into()),
            ("to_acc_no".into(), told.pan.into()),
            ("to_bank_name".into(), "模拟银行".into()),
            ("trans_card_id".into(), told.id_number.into()),
            ("trans_summary".into(), "提现 a+b".into()),
        ]);
        if let Some(phone) = told.phone {
            row.insert("trans_mobile".into(), phone.into());
        }
        let outer = [("version", "4.0.0")];
        let batch =
            |row: Value| json!({"trans_content": {"trans_reqDatas": [{"trans_reqData": [row]}]}});
        let create = batch(Value::Object(row));
        self.send(PAYOUT, "payout", (&number, &outer, create)).await?;
        let query = batch(json!({"trans_no": number, "trans_batchid": "1"}));
        self.send(PAYOUT_QUERY, "query", (&number, &outer, query)).await.map(|_| ())
    }

    /// Seals, sends and opens: `what` is the order number, the outer fields and the inner message.
    async fn send(
        &mut self,
        path: &'static str,
        scenario: &'static str,
        what: (&str, &[(&str, &str)], Value),
    ) -> Option<Value> {
        self.turn().await?;
        let (order, outer, inner) = what;
        let sealed = self.core.keys.baofoo_own.seal(&inner.to_string()).ok()?;
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
        let message = Message {
            channel: Channel::Baofoo,
            path,
            order: format!("{MEMBER}|{order}"),
            scenario,
            content_type: "application/x-www-form-urlencoded;charset=UTF-8",
            body: form::write(pairs.iter().map(|(key, value)| (key, value)), UTF_8, true)?,
        };
        let key = &self.core.keys.baofoo_channel;
        let open =
            |body: &[u8]| serde_json::from_str(&key.open(std::str::from_utf8(body).ok()?)?).ok();
        let answer = self.core.exchange(message, open).await;
        self.take(answer)
    }
}
