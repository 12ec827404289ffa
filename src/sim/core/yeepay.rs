//! The core's journeys over `YeePay`, and what each message carries.

use std::sync::Arc;

use async_trait::async_trait;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use serde_json::Value;

use crate::sim::{
    core::{Got, Journey, Message, Payer, number},
    form::Fields,
    keys::Key,
    record::Channel,
    world::Tuple,
    yeepay::{JSON, order_key},
    yop::{Call, Content, is_answer_signed, sign},
};

/// The core's merchant, and the platform that it belongs to.
const MERCHANT: &str = "10080000001";
const PARENT: &str = "10080000000";

/// The core's side: its own key, and the gateway's to check answers with.
pub(in crate::sim) struct YeePayCore {
    /// Messages in JSON go by a name of their own.
    pub(in crate::sim) name: Channel,
    pub(in crate::sim) own: Arc<Key>,
    pub(in crate::sim) channel: Arc<Key>,
}

/// Every message type: its name, its path, and the scenario that it is.
const KINDS: &[(&str, &str, &str)] = &[
    ("bindcard-request", "/rest/v1.0/frontcashier/bindcard/request", "bind"),
    ("bindcard-confirm", "/rest/v1.0/frontcashier/bindcard/confirm", "bind"),
    ("bindcard-resendsms", "/rest/v1.0/frontcashier/bindcard/resendsms", "sms"),
    ("bindcard-request-v2", "/rest/v2.0/frontcashier/bindcard/request", "bind"),
    ("bindcard-confirm-v2", "/rest/v2.0/frontcashier/bindcard/confirm", "bind"),
    ("bindcard-resendsms-v2", "/rest/v2.0/frontcashier/bindcard/resendsms", "sms"),
    ("bindcard-payerrequest", "/rest/v1.0/frontcashier/bindcard/payerrequest", "bind"),
    ("bindcard-queryorder", "/rest/v1.0/frontcashier/bindcard/queryorder", "query"),
    ("bindcard-queryorderinfo", "/rest/v1.0/frontcashier/bindcard/queryorderinfo", "query"),
    ("bindcard-bindcardlist", "/rest/v1.0/frontcashier/bindcard/bindcardlist", "query"),
    ("trade-order", "/rest/v1.0/trade/order", "other"),
    ("trade-order-query", "/rest/v1.0/trade/order/query", "query"),
    ("bindpay-request", "/rest/v1.0/frontcashier/bindpay/request", "debit"),
    ("bindpay-sendsms", "/rest/v1.0/frontcashier/bindpay/sendsms", "sms"),
    ("bindpay-confirm", "/rest/v1.0/frontcashier/bindpay/confirm", "sms"),
    ("entrust-request", "/rest/v1.0/frontcashier/entrust/request", "bind"),
    ("entrust-confirm", "/rest/v1.0/frontcashier/entrust/confirm", "bind"),
    ("entrust-pay", "/rest/v1.0/frontcashier/entrust/pay", "debit"),
    ("entrust-query", "/rest/v1.0/frontcashier/entrust/query", "query"),
    ("withdraw-order", "/rest/v1.0/account/withdraw/order", "withdraw"),
    ("withdraw-system-query", "/rest/v1.0/account/withdraw/system/query", "query"),
];

/// The one message in JSON.
const PAYER: &str = "bindcard-payerrequest";

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

/// What a message carries. Optional fields follow from `rng`.
fn compose(kind: &str, plan: &Plan, rng: &mut ChaCha8Rng) -> Option<Content> {
    let mut fields: Fields =
        own(kind, plan)?.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    for (key, value) in optional(kind) {
        if rng.random_bool(0.5) {
            fields.insert((*key).to_owned(), (*value).to_owned());
        }
    }
    Some(match kind {
        "bindcard-payerrequest" => {
            let entries = fields.into_iter().map(|(key, value)| (key, Value::from(value)));
            Content::Json(Value::Object(entries.collect()).to_string())
        }
        "bindcard-queryorderinfo"
        | "bindcard-bindcardlist"
        | "trade-order-query"
        | "entrust-query"
        | "withdraw-system-query" => Content::Query(fields),
        _ => Content::Form(fields),
    })
}

/// The fields that a message always has.
fn own(kind: &str, plan: &Plan) -> Option<Vec<(&'static str, String)>> {
    let parent = || vec![("parentMerchantNo", PARENT.to_owned())];
    let merchant = || vec![("merchantNo", MERCHANT.to_owned())];
    let flow = || vec![("merchantFlowId", plan.order.clone())];
    let user = || vec![("userNo", plan.user.clone()), ("userType", "USER_ID".into())];
    let token = || vec![("token", plan.token.clone()), ("version", "1.0".into())];
    let order = || vec![("orderId", plan.order.clone())];
    let request = || vec![("requestNo", plan.order.clone())];
    let sms = |key| vec![(key, "111111".to_owned())];
    let amount = || format!("{}.{:02}", plan.cents / 100, plan.cents % 100);
    let elements = || {
        let told = [
            ("bankCardNo", &plan.told.pan),
            ("userName", &plan.told.name),
            ("idCardNo", &plan.told.id_number),
            ("phone", &plan.told.phone),
        ];
        let told = told.into_iter().filter_map(|(key, value)| Some((key, value.clone()?)));
        told.chain([("idCardType", "ID".to_owned())]).collect::<Vec<_>>()
    };
    let parts = match kind {
        "bindcard-request" | "bindcard-request-v2" | "bindcard-payerrequest" => {
            let fixed = vec![("cardType", "DEBIT".into()), ("authType", "COMMON_FOUR".into())];
            vec![parent(), merchant(), flow(), user(), elements(), fixed]
        }
        "bindcard-confirm" | "bindcard-confirm-v2" => {
            vec![parent(), merchant(), flow(), sms("smsCode")]
        }
        "bindcard-resendsms" | "bindcard-resendsms-v2" => vec![parent(), merchant(), flow()],
        "bindcard-queryorder" | "bindcard-queryorderinfo" => vec![merchant(), flow()],
        "bindcard-bindcardlist" => vec![merchant(), user()],
        "trade-order" => {
            let goods = "西瓜 a+b c/d=1&e;100% \"大\" ~*".to_owned();
            let bought = vec![("orderAmount", amount()), ("goodsName", goods)];
            vec![parent(), merchant(), order(), bought]
        }
        "trade-order-query" => vec![parent(), merchant(), order()],
        "bindpay-request" => vec![user(), token(), vec![("bindId", plan.agreement.clone())]],
        "bindpay-sendsms" => vec![token()],
        "bindpay-confirm" => vec![token(), sms("verifyCode")],
        "entrust-request" => {
            vec![parent(), flow(), user(), elements(), vec![("signType", "API".into())]]
        }
        "entrust-confirm" => vec![merchant(), flow(), sms("smsCode")],
        "entrust-pay" => vec![user(), token(), vec![("entrustProtocolId", plan.agreement.clone())]],
        "entrust-query" => vec![vec![("entrustProtocolId", plan.agreement.clone())]],
        "withdraw-order" => {
            let card = vec![("bankCardId", plan.agreement.clone()), ("orderAmount", amount())];
            vec![parent(), merchant(), request(), card]
        }
        "withdraw-system-query" => vec![parent(), merchant(), request()],
        _ => return None,
    };
    Some(parts.concat())
}

/// The fields that it may have.
fn optional(kind: &str) -> &'static [(&'static str, &'static str)] {
    match kind {
        "bindcard-request" | "bindcard-request-v2" | "bindcard-payerrequest" => &[
            ("orderValidate", "15"),
            ("riskParamExt", r#"{"ip":"127.0.0.1","note":"a+b c=d&e;100%"}"#),
            ("authScene", "ONE_KEY_PAY"),
            ("isSendSms", "true"),
            ("bindCallBackUrl", "https://core.example/bind?x=1&y=%2B"),
            ("pageNotifyUrl", ""),
            ("cvv2", ""),
            ("validthru", ""),
        ],
        "bindcard-confirm" | "bindcard-confirm-v2" => &[("empower", "true")],
        "bindcard-queryorder" | "bindcard-queryorderinfo" => &[("nopOrderId", "NOP1234567890")],
        "trade-order" => &[("memo", "备注 %2B"), ("fundProcessType", "")],
        "bindpay-request" => &[("userIp", "127.0.0.1"), ("extParamMap", r#"{"a":"b+c d"}"#)],
        "bindpay-confirm" => &[("cvv2", ""), ("bankPWD", "")],
        "entrust-request" => &[
            ("collectAmount", "5000.00"),
            ("cycleFrequency", "1"),
            ("cycleStepUnit", "MONTH"),
            ("signSuccessNotifyUrl", "https://core.example/sign?x=1"),
        ],
        "entrust-pay" => &[("userIp", "127.0.0.1"), ("attendActivity", "true")],
        "withdraw-order" => &[
            ("receiveType", "REAL_TIME"),
            ("remark", "提现 a+b & 100%"),
            ("notifyUrl", "https://core.example/w?x=1"),
        ],
        _ => &[],
    }
}

/// Whether the words say that elements do not belong together.
fn is_mismatch(answer: &Value) -> bool {
    let words = text(answer, "message");
    words.contains("错误") || words.contains("信息有误")
}

fn text(answer: &Value, key: &str) -> String {
    answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[async_trait]
impl Payer for YeePayCore {
    async fn journey(&self, journey: &mut Journey<'_>, rng: &mut ChaCha8Rng) -> Option<()> {
        Way { core: self, journey }.go(rng).await
    }

    fn kinds(&self) -> Vec<&'static str> {
        let json = self.name == JSON;
        KINDS.iter().map(|(kind, _, _)| *kind).filter(|kind| (*kind == PAYER) == json).collect()
    }

    fn sample(&self, kind: &str, people: &[Tuple], rng: &mut ChaCha8Rng) -> Option<Message> {
        let plan = Plan {
            user: number(rng, "user-"),
            order: number(rng, "Y"),
            told: people.first()?.clone(),
            agreement: number(rng, "2026"),
            token: number(rng, "T"),
            cents: rng.random_range(1..100_000_000),
        };
        self.message(kind, &plan, rng)
    }
}

impl YeePayCore {
    /// One message, signed now.
    fn message(&self, kind: &str, plan: &Plan, rng: &mut ChaCha8Rng) -> Option<Message> {
        let (_, path, scenario) = KINDS.iter().find(|(name, _, _)| *name == kind)?;
        let content = compose(kind, plan, rng)?;
        let request_id = format!("{:032x}", rng.random::<u128>());
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let call = Call { app_key: "app_10080000000", request_id: &request_id, time: &time, path };
        let signed = sign(&self.own, &call, &content)?;
        let get = matches!(content, Content::Query(_));
        Some(Message {
            channel: self.name,
            method: if get { Method::GET } else { Method::POST },
            path: signed.path,
            order: order_key(path, &content),
            scenario,
            content_type: signed.content_type,
            headers: signed.headers,
            body: signed.body,
            ..Message::default()
        })
    }
}

/// One customer's way over this channel.
struct Way<'a, 'j> {
    core: &'a YeePayCore,
    journey: &'a mut Journey<'j>,
}

impl Way<'_, '_> {
    /// An agreement, then payments by it; or a withdrawal.
    async fn go(&mut self, rng: &mut ChaCha8Rng) -> Option<()> {
        if self.core.name == JSON {
            let plan = self.plan();
            return self.say(rng, PAYER, &plan).await.map(|_| ());
        }
        if rng.random_bool(0.12) {
            return self.withdraw(rng).await;
        }
        let entrusted = rng.random_bool(0.4);
        let mut agreement = self.bind(rng, entrusted).await?;
        for payment in 0..rng.random_range(1..=3) {
            if self.pay(rng, entrusted, &agreement).await.is_none() {
                if payment > 0 || rng.random_bool(0.5) {
                    return None;
                }
                agreement = self.bind(rng, entrusted).await?;
            }
        }
        Some(())
    }

    async fn bind(&mut self, rng: &mut ChaCha8Rng, entrusted: bool) -> Option<String> {
        let plan = self.plan();
        let newer = rng.random_bool(0.3);
        let kind = |old, new| if newer { new } else { old };
        if entrusted {
            self.say(rng, "entrust-request", &plan).await?;
            let bound = self.say(rng, "entrust-confirm", &plan).await?;
            return Some(text(&bound, "entrustProtocolId"));
        }
        self.say(rng, kind("bindcard-request", "bindcard-request-v2"), &plan).await?;
        if rng.random_bool(0.1) {
            let again = kind("bindcard-resendsms", "bindcard-resendsms-v2");
            self.say(rng, again, &plan).await?;
        }
        let bound = self.say(rng, kind("bindcard-confirm", "bindcard-confirm-v2"), &plan).await?;
        if rng.random_bool(0.1) {
            self.say(rng, "bindcard-queryorder", &plan).await?;
            self.say(rng, "bindcard-queryorderinfo", &plan).await?;
            self.say(rng, "bindcard-bindcardlist", &plan).await?;
        }
        Some(text(&bound, "bindId"))
    }

    /// An order, its payment by agreement, and its query.
    async fn pay(&mut self, rng: &mut ChaCha8Rng, entrusted: bool, agreement: &str) -> Option<()> {
        let mut plan = self.plan();
        agreement.clone_into(&mut plan.agreement);
        plan.cents = rng.random_range(100..300_000);
        let ordered = self.say(rng, "trade-order", &plan).await?;
        plan.token = text(&ordered, "token");
        if entrusted {
            self.say(rng, "entrust-pay", &plan).await?;
            if rng.random_bool(0.2) {
                self.say(rng, "entrust-query", &plan).await?;
            }
        } else {
            self.say(rng, "bindpay-request", &plan).await?;
            if rng.random_bool(0.5) {
                self.say(rng, "bindpay-sendsms", &plan).await?;
            }
            self.say(rng, "bindpay-confirm", &plan).await?;
        }
        if rng.random_bool(0.3) {
            self.say(rng, "trade-order-query", &plan).await?;
        }
        Some(())
    }

    async fn withdraw(&mut self, rng: &mut ChaCha8Rng) -> Option<()> {
        let mut plan = self.plan();
        plan.agreement = rng.random_range(1_000_000..1_000_064).to_string();
        plan.cents = rng.random_range(100..300_000);
        self.say(rng, "withdraw-order", &plan).await?;
        for _ in 0..rng.random_range(1..=2) {
            self.say(rng, "withdraw-system-query", &plan).await?;
        }
        Some(())
    }

    fn plan(&mut self) -> Plan {
        let order = self.journey.order("Y");
        Plan { user: format!("Y{order}"), order, told: self.journey.card.told(), ..Plan::default() }
    }

    /// Sends one message; what its answer says where the channel went on. An element mismatch is learned from.
    async fn say(
        &mut self,
        rng: &mut ChaCha8Rng,
        kind: &'static str,
        plan: &Plan,
    ) -> Option<Value> {
        self.journey.turn().await?;
        let message = self.core.message(kind, plan, rng)?;
        let open = |got: &Got<'_>| {
            let signed = is_answer_signed(&self.core.channel, got.body, got.header("x-yop-sign"));
            signed.then(|| serde_json::from_slice(got.body).ok())?
        };
        let answer: Value = self.journey.send(message, open).await?;
        let result = answer.get("result")?;
        if is_mismatch(result) {
            self.journey.card.learn();
            return None;
        }
        let code = text(result, "code") + &text(result, "returnCode");
        code.ends_with("00000").then(|| result.clone())
    }
}
