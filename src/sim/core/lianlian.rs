//! The core's journeys over `LianLian`, and how it writes each message.

use std::{fmt::Write as _, sync::Arc};

use async_trait::async_trait;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use crate::sim::{
    core::{Got, Journey, Message, Payer, now, number},
    keys::Key,
    lianlian::{
        BANKCARD, BIND, BIND_VERIFY, NAME, PAPAY, QUERY_PAYMENT, QUERY_WITHDRAWAL, USER,
        VALIDATION, WITHDRAWAL, is_signed, signature, text,
    },
    statement::Ended,
    world::Tuple,
};

/// The core's number at the channel.
const PARTNER: &str = "201405210000130202";

/// The core's side: its own key, and the gateway's to check answers with and to conceal passwords to.
pub(in crate::sim) struct LianLianCore {
    pub(in crate::sim) own: Arc<Key>,
    pub(in crate::sim) channel: Arc<Key>,
}

/// Every message type: its name, its path, and the scenario that it is.
const KINDS: &[(&str, &str, &str)] = &[
    ("individual-bindcard-apply", BIND, "bind"),
    ("individual-bindcard-verify", BIND_VERIFY, "bind"),
    ("payment-papay", PAPAY, "debit"),
    ("payment-papay-sealed", PAPAY, "debit"),
    ("payment-bankcard", BANKCARD, "pay"),
    ("payment-bankcard-agreement", BANKCARD, "pay"),
    ("withdrawal", WITHDRAWAL, "withdraw"),
    ("validation-sms", VALIDATION, "sms"),
    ("query-payment", QUERY_PAYMENT, "query"),
    ("query-withdrawal", QUERY_WITHDRAWAL, "query"),
];

/// What a message is about.
#[derive(Default)]
struct Plan {
    user: String,
    order: String,
    told: Tuple,
    agreement: String,
    token: String,
    cents: u32,
}

/// One message's text. Optional fields, and how amounts and JSON are written, follow from `rng`; secrets are concealed to `channel`.
fn compose(kind: &str, plan: &Plan, channel: &Key, rng: &mut ChaCha8Rng) -> Option<String> {
    let secret = |text: &str| channel.conceal(text).ok();
    let order_info = |rng: &mut ChaCha8Rng| {
        json!({"txn_seqno": plan.order, "txn_time": now(), "total_amount": amount(rng, plan.cents),
            "goods_name": "西瓜 a+b c/d=1&e;100% \"大\" \\ %2B"})
    };
    let mut message = match kind {
        "individual-bindcard-apply" => json!({
            "user_id": plan.user, "txn_seqno": plan.order, "txn_time": now(), "risk_item": risk(plan),
            "notify_url": "https://core.example/notify?channel=lianlian&x=1", "linked_acctno": plan.told.pan,
            "linked_phone": plan.told.phone, "password": secret("qwerty")?, "random_key": "f8c1-27+/=",
        }),
        "individual-bindcard-verify" => json!({
            "user_id": plan.user, "txn_seqno": plan.order, "token": plan.token, "verify_code": "111111",
        }),
        "payment-papay" | "payment-papay-sealed" => json!({
            "txn_type": "GENERAL_CONSUME", "user_id": plan.user, "risk_item": risk(plan), "orderInfo": order_info(rng),
            "payerInfo": {
                "payer_type": "USER", "payer_id": plan.user,
                "contract_id": if kind == "payment-papay" { plan.agreement.clone() } else { secret(&plan.agreement)? },
            },
            "payMethods": {"method": "AGRT_DEBIT_CARD", "amount": amount(rng, plan.cents)},
            "payeeInfo": {"payee_id": PARTNER, "payee_type": "MERCHANT", "payee_amount": amount(rng, plan.cents)},
        }),
        "payment-bankcard" | "payment-bankcard-agreement" => json!({
            "txn_seqno": plan.order, "total_amount": amount(rng, plan.cents), "risk_item": risk(plan),
            "payerInfo": {"user_id": plan.user, "password": secret("qwerty")?, "random_key": ""},
            "bankCardInfo": if kind == "payment-bankcard" {
                json!({"linked_acctno": plan.told.pan, "linked_phone": plan.told.phone,
                    "linked_acctname": plan.told.name, "id_type": "ID_CARD", "id_no": plan.told.id_number})
            } else {
                json!({"linked_agrtno": plan.agreement})
            },
            "payMethods": [{"method": "AGRT_DEBIT_CARD", "amount": amount(rng, plan.cents)}],
        }),
        "withdrawal" => json!({
            "linked_agrtno": plan.agreement, "orderInfo": order_info(rng), "risk_item": risk(plan),
            "payerInfo": {"payer_type": "USER", "payer_id": plan.user, "password": secret("qwerty")?},
        }),
        "validation-sms" => json!({
            "payer_type": "USER", "payer_id": plan.user, "txn_seqno": plan.order, "token": plan.token,
            "total_amount": amount(rng, plan.cents), "verify_code": "111111",
        }),
        "query-payment" | "query-withdrawal" => json!({"txn_seqno": plan.order}),
        _ => return None,
    };
    let fields = message.as_object_mut()?;
    fields.insert("timestamp".into(), now().into());
    fields.insert("oid_partner".into(), PARTNER.into());
    for (key, value) in
        [("client_ip", "127.0.0.1"), ("extend", ""), ("remark", "备注：a+b \"c\"\t\u{2028}d")]
    {
        if rng.random_bool(0.3) {
            fields.insert(key.into(), value.into());
        }
    }
    without_nulls(fields);
    Some(write(&message, rng))
}

/// What the core says of its user, as a JSON text within the JSON.
fn risk(plan: &Plan) -> String {
    let mut risk = json!({
        "frms_ware_category": "4007", "goods_name": "测试\"商品\"", "user_info_mercht_userno": plan.user,
        "user_info_dt_register": "20200101120000", "user_info_bind_phone": plan.told.phone,
        "user_info_full_name": plan.told.name, "user_info_id_no": plan.told.id_number, "user_info_id_type": "0",
        "user_info_identify_state": "1", "user_info_identify_type": "4", "frms_client_chnl": "16",
    });
    if let Some(fields) = risk.as_object_mut() {
        without_nulls(fields);
    }
    risk.to_string()
}

fn without_nulls(fields: &mut Map<String, Value>) {
    fields.retain(|_, value| !value.is_null());
    for value in fields.values_mut() {
        if let Some(inner) = value.as_object_mut() {
            without_nulls(inner);
        }
    }
}

/// Yuan, as a number or as a text with two decimals: both are seen.
fn amount(rng: &mut ChaCha8Rng, cents: u32) -> Value {
    if rng.random_bool(0.5) {
        return json!(f64::from(cents) / 100.0);
    }
    format!("{}.{:02}", cents / 100, cents % 100).into()
}

/// The JSON as different libraries write it: compact, with line feeds, or with everything beyond ASCII (and `/`) escaped.
fn write(message: &Value, rng: &mut ChaCha8Rng) -> String {
    let compact = message.to_string();
    match rng.random_range(0..3) {
        0 => compact,
        1 => serde_json::to_string_pretty(message).unwrap_or(compact),
        _ => {
            let mut escaped = String::with_capacity(compact.len() * 2);
            for char in compact.chars() {
                match char {
                    '/' => escaped.push_str("\\/"),
                    ' '..='~' => escaped.push(char),
                    other => {
                        for unit in other.encode_utf16(&mut [0; 2]) {
                            let _ = write!(escaped, "\\u{unit:04x}");
                        }
                    }
                }
            }
            escaped
        }
    }
}

/// Whether the words say that elements do not belong together.
fn is_mismatch(answer: &Value) -> bool {
    let words = ["/ret_msg", "/fail_reason"].map(|at| text(answer, at)).concat();
    ["不符", "号有误", "不正确"].iter().any(|part| words.contains(part))
}

#[async_trait]
impl Payer for LianLianCore {
    async fn journey(&self, journey: &mut Journey<'_>, rng: &mut ChaCha8Rng) -> Option<()> {
        Way { core: self, journey }.go(rng).await
    }

    fn kinds(&self) -> Vec<&'static str> {
        KINDS.iter().map(|(name, _, _)| *name).collect()
    }

    fn sample(&self, kind: &str, people: &[Tuple], rng: &mut ChaCha8Rng) -> Option<Message> {
        let plan = Plan {
            user: number(rng, "user-"),
            order: number(rng, "L"),
            told: people.first()?.clone(),
            agreement: number(rng, "2026"),
            token: number(rng, "T"),
            cents: rng.random_range(1..100_000_000),
        };
        self.message(kind, &plan, rng)
    }

    fn ask(&self, ended: &Ended, rng: &mut ChaCha8Rng) -> Option<Message> {
        let (_, order) = ended.order.split_once('|')?;
        let withdrawn = ended.kind == "withdrawal";
        let kind = if withdrawn { "query-withdrawal" } else { "query-payment" };
        self.message(kind, &Plan { order: order.into(), ..Plan::default() }, rng)
    }
}

impl LianLianCore {
    /// One message, signed.
    fn message(&self, kind: &str, plan: &Plan, rng: &mut ChaCha8Rng) -> Option<Message> {
        let (_, path, scenario) = KINDS.iter().find(|(name, _, _)| *name == kind)?;
        let body = compose(kind, plan, &self.channel, rng)?;
        let signature = signature(&self.own, body.as_bytes())?;
        Some(Message {
            channel: NAME,
            path: (*path).into(),
            order: format!("{PARTNER}|{}", plan.order),
            scenario,
            content_type: "application/json;charset=utf-8",
            headers: vec![("signature-type", "RSA".into()), ("signature-data", signature)],
            body: body.into_bytes(),
            ..Message::default()
        })
    }
}

/// One customer's way over this channel.
struct Way<'a, 'j> {
    core: &'a LianLianCore,
    journey: &'a mut Journey<'j>,
}

impl Way<'_, '_> {
    /// A bind, then payments by agreement and perhaps a withdrawal; or a payment by card.
    async fn go(&mut self, rng: &mut ChaCha8Rng) -> Option<()> {
        if self.journey.card.phone_untold || rng.random_bool(0.12) {
            return self.pay(rng, "payment-bankcard", "").await;
        }
        let mut agreement = self.bind(rng).await?;
        for payment in 0..rng.random_range(1..=3) {
            let kind =
                if rng.random_bool(0.7) { "payment-papay" } else { "payment-bankcard-agreement" };
            if self.pay(rng, kind, &agreement).await.is_none() {
                // The customer gives the phone that his bank knows by now, and binds again.
                if payment > 0 || rng.random_bool(0.5) {
                    return None;
                }
                agreement = self.bind(rng).await?;
            }
        }
        if rng.random_bool(0.3) {
            self.pay(rng, "withdrawal", &agreement).await?;
        }
        Some(())
    }

    /// Binds in two steps; yields the agreement.
    async fn bind(&mut self, rng: &mut ChaCha8Rng) -> Option<String> {
        let mut plan = self.plan();
        let applied = self.say(rng, "individual-bindcard-apply", &plan).await?;
        plan.token = text(&applied, "/token");
        let bound = self.say(rng, "individual-bindcard-verify", &plan).await?;
        Some(text(&bound, "/linked_agrtno")).filter(|agreement| !agreement.is_empty())
    }

    /// A payment or a withdrawal, its SMS code where one is asked for, and its query where it did not end.
    async fn pay(
        &mut self,
        rng: &mut ChaCha8Rng,
        kind: &'static str,
        agreement: &str,
    ) -> Option<()> {
        let mut plan = self.plan();
        agreement.clone_into(&mut plan.agreement);
        plan.cents = rng.random_range(100..300_000);
        let paid = self.say(rng, kind, &plan).await?;
        if text(&paid, "/ret_code") == "8888" {
            plan.token = text(&paid, "/token");
            self.say(rng, "validation-sms", &plan).await?;
        }
        if kind == "withdrawal" {
            self.say(rng, "query-withdrawal", &plan).await?;
            self.say(rng, "query-withdrawal", &plan).await?;
        } else if text(&paid, "/txn_status") != "TRADE_SUCCESS" || rng.random_bool(0.1) {
            self.say(rng, "query-payment", &plan).await?;
        }
        Some(())
    }

    fn plan(&mut self) -> Plan {
        let world = &self.journey.core.hub.world;
        let place = world.cards.iter().position(|card| std::ptr::eq(card, self.journey.card));
        Plan {
            user: format!("{USER}{}", place.unwrap_or_default()),
            order: self.journey.order("L"),
            told: self.journey.card.told(),
            ..Plan::default()
        }
    }

    /// Sends one message; its answer where the channel went on. An element mismatch is learned from.
    async fn say(
        &mut self,
        rng: &mut ChaCha8Rng,
        kind: &'static str,
        plan: &Plan,
    ) -> Option<Value> {
        self.journey.turn().await?;
        let message = self.core.message(kind, plan, rng)?;
        let open = |got: &Got<'_>| {
            let signed = is_signed(&self.core.channel, got.body, got.header("signature-data"));
            signed.then(|| serde_json::from_slice(got.body).ok())?
        };
        let answer: Value = self.journey.send(message, open).await?;
        if is_mismatch(&answer) {
            self.journey.card.learn();
            return None;
        }
        ["0000", "8888"].contains(&text(&answer, "/ret_code").as_str()).then_some(answer)
    }
}
