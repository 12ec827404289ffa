//! A `YeePay` gateway on YOP v3: agreements by bind and by entrustment, payments by both, withdrawals; signed as [`yop`] says.
//!
//! `UA00000` and the statuses of withdrawals are public, `OPR00000` is in public samples; `NOP00000`, `CAS00000`, the refusals' code, most
//! field names of answers and all words are unconfirmed or made up. It notifies of payments and withdrawals by RSA: sealed to the core, so that
//! nobody between them reads it. Not modelled: SM2, and the older TZT family, whose payload is sealed to the gateway.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use openssl::error::ErrorStack;
use serde_json::{Map, Value, json};

use crate::sim::{
    channel::{Answer, Ends, Finding, Gateway, Hub, Request, ask_bank},
    core::yeepay::YeePayCore,
    form::{Fields, field},
    keys::{Key, dice},
    record::{Channel, Part, Verdict, lock},
    statement::{Ended, State},
    world::{CardState, Element, Tuple},
    yop::{self, Content},
};

mod notice;

/// The channel's name.
pub(super) const NAME: Channel = "yeepay";
/// The name under which its messages in JSON go, and come to a gateway of their own.
pub(super) const JSON: Channel = "yeepay-json";

/// Both ends, with fresh keys.
pub(super) fn open(hub: &Arc<Hub>) -> Result<Ends, ErrorStack> {
    ends(hub, NAME, ["yeepay-core.pem", "yeepay-core.key.pem", "yeepay-channel.pem"])
}

/// The same for the messages in JSON.
pub(super) fn open_json(hub: &Arc<Hub>) -> Result<Ends, ErrorStack> {
    let files = ["yeepay-json-core.pem", "yeepay-json-core.key.pem", "yeepay-json-channel.pem"];
    ends(hub, JSON, files)
}

fn ends(
    hub: &Arc<Hub>,
    name: Channel,
    [public, private, channel]: [&'static str; 3],
) -> Result<Ends, ErrorStack> {
    let (own, core) = (Arc::new(Key::new(2048)?), Arc::new(Key::new(2048)?));
    Ok(Ends {
        key_files: vec![
            (public, core.public_pem()?),
            (private, core.private_pem()?),
            (channel, own.public_pem()?),
        ],
        payer: Arc::new(YeePayCore { name, own: Arc::clone(&core), channel: Arc::clone(&own) }),
        gateway: Box::new(YeePay {
            name,
            hub: Arc::clone(hub),
            own,
            core,
            forger: Key::new(1024)?,
            books: Mutex::default(),
        }),
    })
}

/// The answer's code where a bind, a payment, or an order was refused; made up.
const REFUSED: &str = "NOP10001";
const BOUND: &str = "NOP00000";
const PAID: &str = "CAS00000";
const ORDERED: &str = "OPR00000";
const WITHDRAWN: &str = "UA00000";

/// The gateway.
struct YeePay {
    name: Channel,
    hub: Arc<Hub>,
    own: Arc<Key>,
    core: Arc<Key>,
    /// Somebody who signs in the gateway's name.
    forger: Key,
    books: Mutex<Books>,
}

/// What the gateway remembers.
#[derive(Default)]
struct Books {
    /// Binds and entrustments that wait for their SMS code, by order.
    waiting: HashMap<String, Tuple>,
    /// Living agreements.
    bound: HashMap<String, Tuple>,
    /// The agreement that a bind yielded, by order.
    yielded: HashMap<String, String>,
    /// Orders by token: their amount, and by which agreement they are paid.
    ordered: HashMap<String, (u64, Option<String>)>,
    /// Tokens by `merchantNo|orderId`.
    tokens: HashMap<String, String>,
    /// How payments and withdrawals ended.
    ended: HashMap<String, End>,
}

/// How something ended: in words where it failed.
#[derive(Clone, Default)]
struct End {
    words: Option<&'static str>,
    said: Vec<Element>,
    wrong: Vec<Element>,
    asked: u32,
    /// Whether it was told that the money came back.
    returned: bool,
    is_withdrawal: bool,
    amount: u64,
    pan: String,
}

impl End {
    fn state(&self) -> State {
        if self.returned { State::Returned } else { State::of(self.words.is_none()) }
    }
}

impl YeePay {
    fn judge(
        &self,
        answer: &mut Answer,
        fields: &Fields,
        reply: &mut Map<String, Value>,
    ) -> Verdict {
        match answer.txn.as_str() {
            "bindcard/request" | "entrust/request" => self.check_bind(answer, fields, reply),
            "bindcard/payerrequest" => {
                let verdict = self.check_bind(answer, fields, reply);
                if verdict.code == BOUND { self.bind(answer, "bindId", reply) } else { verdict }
            }
            "bindcard/resendsms" => {
                let waits = lock(&self.books).waiting.contains_key(&answer.order);
                if waits { code(BOUND, reply) } else { refuse("签约订单不存在", reply) }
            }
            "bindcard/confirm" => self.bind(answer, "bindId", reply),
            "entrust/confirm" => self.bind(answer, "entrustProtocolId", reply),
            "bindcard/queryorder" | "bindcard/queryorderinfo" | "bindcard/bindcardlist" => {
                self.query_bind(&answer.order, reply)
            }
            "entrust/query" => {
                let id = field(fields, "entrustProtocolId");
                let living = lock(&self.books).bound.contains_key(id);
                reply.insert("status".into(), if living { "SUCCESS" } else { "FAIL" }.into());
                code(BOUND, reply)
            }
            "trade/order" => self.order(answer, fields, reply),
            "trade/order/query" => self.query_order(answer, reply),
            "bindpay/request" => {
                self.pay(answer, (field(fields, "token"), field(fields, "bindId")), reply)
            }
            "bindpay/sendsms" | "bindpay/confirm" => {
                let Some(end) = lock(&self.books).ended.get(&answer.order).cloned() else {
                    return refuse("支付请求不存在", reply);
                };
                reply.insert("recordId".into(), answer.order.clone().into());
                let pending = answer.txn == "bindpay/confirm";
                if pending {
                    self.hub.desk.put(|| self.notice(&answer.order, &end));
                }
                Verdict { pending, ..code(PAID, reply) }
            }
            "entrust/pay" => {
                let agreement = field(fields, "entrustProtocolId");
                self.pay(answer, (field(fields, "token"), agreement), reply)
            }
            "withdraw/order" => self.withdraw(answer, fields, reply),
            "withdraw/system/query" => self.query_withdrawal(answer, reply),
            _ => refuse("接口不存在", reply),
        }
    }

    fn check_bind(
        &self,
        answer: &mut Answer,
        fields: &Fields,
        reply: &mut Map<String, Value>,
    ) -> Verdict {
        let some = |key: &str| fields.get(key).filter(|value| !value.is_empty()).cloned();
        answer.tuple = Tuple {
            name: some("userName"),
            id_number: some("idCardNo"),
            pan: some("bankCardNo"),
            phone: some("phone"),
        };
        let end = self.check(&answer.tuple, 0);
        let nop = format!("NOP{:016X}", dice(self.hub.seed, &["nopOrderId", &answer.order]));
        reply.insert("nopOrderId".into(), nop.into());
        let verdict = match end.words {
            None => {
                lock(&self.books).waiting.insert(answer.order.clone(), answer.tuple.clone());
                code(BOUND, reply)
            }
            Some(words) => refuse(words, reply),
        };
        Verdict { said: end.said, wrong: end.wrong, ..verdict }
    }

    /// A new agreement for what waits under this order.
    fn bind(&self, answer: &mut Answer, name: &str, reply: &mut Map<String, Value>) -> Verdict {
        let mut books = lock(&self.books);
        let Some(tuple) = books.waiting.remove(&answer.order) else {
            return refuse("签约订单不存在", reply);
        };
        let agreement = (dice(self.hub.seed, &[name, &answer.order]) / 10).to_string();
        books.bound.insert(agreement.clone(), tuple.clone());
        books.yielded.insert(answer.order.clone(), agreement.clone());
        drop(books);
        reply.insert(name.into(), agreement.clone().into());
        if let Some(card) = tuple.pan.as_deref().and_then(|pan| self.hub.world.card(pan)) {
            card.move_on();
        }
        (answer.tuple, answer.agreement) = (tuple, Some(agreement));
        Verdict { proved: true, ..code(BOUND, reply) }
    }

    fn query_bind(&self, order: &str, reply: &mut Map<String, Value>) -> Verdict {
        let books = lock(&self.books);
        let status = match books.yielded.get(order) {
            Some(agreement) => {
                reply.insert("bindId".into(), agreement.clone().into());
                "SUCCESS"
            }
            None if books.waiting.contains_key(order) => "PROCESSING",
            None => "FAIL",
        };
        reply.insert("status".into(), status.into());
        code(BOUND, reply)
    }

    /// An order yields the token that payments quote instead of an amount.
    fn order(&self, answer: &Answer, fields: &Fields, reply: &mut Map<String, Value>) -> Verdict {
        let token = format!("{:016X}", dice(self.hub.seed, &["yeepay token", &answer.order]));
        let mut books = lock(&self.books);
        books.ordered.insert(token.clone(), (fen(field(fields, "orderAmount")), None));
        books.tokens.insert(answer.order.clone(), token.clone());
        reply.insert("uniqueOrderNo".into(), format!("10{token}").into());
        reply.insert("token".into(), token.into());
        code(ORDERED, reply)
    }

    fn query_order(&self, answer: &mut Answer, reply: &mut Map<String, Value>) -> Verdict {
        let books = lock(&self.books);
        let token = books.tokens.get(&answer.order).cloned().unwrap_or_default();
        let ended = books.ended.get(&token);
        answer.part = Part::Query;
        reply.insert("token".into(), token.clone().into());
        if ended.is_some() {
            answer.order = token;
        }
        let status = match ended {
            None => "PROCESSING",
            Some(End { words: None, .. }) => "SUCCESS",
            Some(_) => "FAIL",
        };
        reply.insert("status".into(), status.into());
        code(ORDERED, reply)
    }

    /// A payment by agreement: the bank looks at what the agreement says against what it knows today. Its end is told by a query.
    fn pay(
        &self,
        answer: &mut Answer,
        (token, agreement): (&str, &str),
        reply: &mut Map<String, Value>,
    ) -> Verdict {
        let mut books = lock(&self.books);
        let Some(tuple) = books.bound.get(agreement).cloned() else {
            return refuse("绑卡关系不存在", reply);
        };
        let Some((amount, paid_by)) = books.ordered.get_mut(token) else {
            return refuse("订单不存在", reply);
        };
        if paid_by.replace(agreement.to_owned()).is_some() {
            return refuse("订单重复支付", reply);
        }
        let pan = tuple.pan.clone().unwrap_or_default();
        let end = End { amount: *amount, pan, ..self.check(&tuple, *amount) };
        books.ended.insert(answer.order.clone(), end.clone());
        drop(books);
        if answer.txn == "entrust/pay" && end.words.is_none() {
            self.hub.desk.put(|| self.notice(&answer.order, &end));
        }
        (answer.tuple, answer.agreement) = (tuple, Some(agreement.to_owned()));
        reply.insert("recordId".into(), answer.order.clone().into());
        let verdict = match end.words {
            None => Verdict { pending: true, ..code(PAID, reply) },
            Some(words) => refuse(words, reply),
        };
        Verdict { said: end.said, wrong: end.wrong, ..verdict }
    }

    /// A withdrawal to a card that the merchant's own account is bound to; the channel received it, no more.
    fn withdraw(
        &self,
        answer: &Answer,
        fields: &Fields,
        reply: &mut Map<String, Value>,
    ) -> Verdict {
        let named =
            !field(fields, "bankCardId").is_empty() || !field(fields, "bankAccountNo").is_empty();
        let mut books = lock(&self.books);
        if !named || books.ended.contains_key(&answer.order) {
            return returned("UA00001", reply);
        }
        let failed = dice(self.hub.seed, &["withdraw", &answer.order]).is_multiple_of(20);
        let words = failed.then_some("收款账户状态异常");
        let amount = fen(field(fields, "orderAmount"));
        let end = End { words, amount, is_withdrawal: true, ..End::default() };
        books.ended.insert(answer.order.clone(), end.clone());
        drop(books);
        self.hub.desk.put(|| self.notice(&answer.order, &end));
        reply.insert("status".into(), "REQUEST_RECEIVE".into());
        Verdict { pending: true, ..returned(WITHDRAWN, reply) }
    }

    /// One withdrawal in twenty comes back after its success: so every query after the first says.
    fn query_withdrawal(&self, answer: &Answer, reply: &mut Map<String, Value>) -> Verdict {
        let mut books = lock(&self.books);
        let Some(end) = books.ended.get_mut(&answer.order) else {
            return returned("UA00002", reply);
        };
        end.asked += 1;
        let roll = dice(self.hub.seed, &["reversed", &answer.order]);
        let status = match end.words {
            Some(words) => {
                reply.insert("failReason".into(), words.into());
                "FAIL"
            }
            None if end.asked == 1 && roll.is_multiple_of(4) => "REMITING",
            None => "SUCCESS",
        };
        let reversed = status == "SUCCESS" && end.asked > 1 && roll.is_multiple_of(20);
        end.returned = reversed;
        reply.insert("status".into(), status.into());
        reply.insert("isReversed".into(), reversed.into());
        let pending = status == "REMITING";
        Verdict { pending, tells: (!pending).then(|| end.state()), ..returned(WITHDRAWN, reply) }
    }

    /// The bank's word on a tuple, in the words that the channel passes on.
    fn check(&self, tuple: &Tuple, debit_fen: u64) -> End {
        let (finding, wrong, _) = ask_bank(&self.hub, tuple, debit_fen);
        let (words, said): (_, &[Element]) = match finding {
            Finding::Right => (None, &[]),
            Finding::State(CardState::Expired) => (Some("银行卡已过期"), &[]),
            Finding::State(_) => (Some("卡状态异常，请联系发卡行"), &[]),
            Finding::NoBalance => (Some("可用余额不足"), &[]),
            Finding::Mismatch => match wrong.as_slice() {
                [Element::Pan, ..] => (Some("银行卡号错误"), &[Element::Pan]),
                [Element::Phone] => (Some("银行预留手机号错误"), &[Element::Phone]),
                [Element::Name] => (Some("持卡人姓名错误"), &[Element::Name]),
                [Element::IdNumber] => (Some("身份证号错误"), &[Element::IdNumber]),
                _ => (
                    Some("持卡人信息有误，请核对后重试"),
                    &[Element::Name, Element::IdNumber, Element::Phone],
                ),
            },
        };
        End { words, said: said.to_vec(), wrong, ..End::default() }
    }
}

impl Gateway for YeePay {
    /// Reads, judges and answers one request.
    fn answer(&self, request: &Request<'_>) -> Answer {
        let mut answer =
            Answer { content_type: "application/json;charset=UTF-8", ..Answer::default() };
        answer.txn = txn(request.path);
        answer.part = match answer.txn.as_str() {
            "bindpay/request" | "entrust/pay" => Part::ByAgreement,
            txn if txn.contains("query") || txn.ends_with("list") => Part::Query,
            _ => Part::Own,
        };
        let opened = yop::open(&self.core, request);
        answer.signed = opened.is_ok();
        let body = match opened.map(fields) {
            Err(sub_code) => {
                json!({"requestId": "", "code": "40047", "message": "鉴权认证失败", "subCode": sub_code})
            }
            Ok(None) => json!({"requestId": "", "code": "40042", "message": "非法的参数"}),
            Ok(Some(fields)) => {
                answer.order = order(&answer.txn, &fields);
                let mut reply = Map::new();
                answer.verdict = self.judge(&mut answer, &fields, &mut reply);
                for key in ["merchantNo", "merchantFlowId", "requestNo", "token", "orderId"] {
                    if let Some(value) = fields.get(key) {
                        reply.insert(key.into(), value.clone().into());
                    }
                }
                json!({"result": reply})
            }
        };
        // Real answers are printed with line feeds and spaces; the signature leaves them out.
        let text = serde_json::to_string_pretty(&body).unwrap_or_default();
        let signature = yop::sign_answer(&self.own, &text).unwrap_or_default();
        answer.body = text.into_bytes();
        answer.headers = vec![("x-yop-sign", signature)];
        answer
    }

    fn ended(&self) -> Vec<Ended> {
        let books = lock(&self.books);
        let ended = |(order, end): (&String, &End)| Ended {
            order: order.clone(),
            kind: if end.is_withdrawal { "WITHDRAW" } else { "PAY" }.into(),
            amount: end.amount.to_string(),
            pan: end.pan.clone(),
            state: end.state(),
        };
        books.ended.iter().map(ended).collect()
    }
}

/// The pairs of a request: a JSON object's texts and numbers where it is JSON.
fn fields(content: Content) -> Option<Fields> {
    match content {
        Content::Query(fields) | Content::Form(fields) => Some(fields),
        Content::Json(text) => {
            let Ok(Value::Object(entries)) = serde_json::from_str(&text) else { return None };
            let text =
                |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Some(entries.into_iter().map(|(key, value)| (key, text(value))).collect())
        }
    }
}

/// What the path asks for: `bindcard/request`, `withdraw/order`…
fn txn(path: &str) -> String {
    let version = path.strip_prefix("/rest/v").and_then(|rest| rest.split_once('/'));
    let rest = version.map_or("", |(_, rest)| rest);
    let rest = rest.strip_prefix("frontcashier/").or(rest.strip_prefix("account/")).unwrap_or(rest);
    rest.to_owned()
}

/// What names the order of a message on this path.
pub(super) fn order_key(path: &str, content: &Content) -> String {
    fields(content.clone()).map_or_else(String::new, |fields| order(&txn(path), &fields))
}

/// What names the order of a message.
fn order(txn: &str, fields: &Fields) -> String {
    let keys: &[&str] = match txn {
        "entrust/request" | "entrust/confirm" => &["merchantFlowId"],
        "entrust/query" => &["entrustProtocolId"],
        "bindpay/request" | "bindpay/sendsms" | "bindpay/confirm" | "entrust/pay" => &["token"],
        "trade/order" | "trade/order/query" => &["merchantNo", "orderId"],
        "withdraw/order" | "withdraw/system/query" => &["merchantNo", "requestNo"],
        _ => &["merchantNo", "merchantFlowId"],
    };
    keys.iter().map(|key| field(fields, key)).collect::<Vec<_>>().join("|")
}

fn code(code: &str, reply: &mut Map<String, Value>) -> Verdict {
    reply.insert("code".into(), code.into());
    reply.insert("message".into(), "成功".into());
    Verdict { code: code.into(), ..Verdict::default() }
}

fn refuse(words: &str, reply: &mut Map<String, Value>) -> Verdict {
    let verdict = code(REFUSED, reply);
    reply.insert("message".into(), words.into());
    verdict
}

/// Accounts answer with other names.
fn returned(code: &str, reply: &mut Map<String, Value>) -> Verdict {
    reply.insert("returnCode".into(), code.into());
    reply.insert("returnMsg".into(), if code == WITHDRAWN { "成功" } else { "失败" }.into());
    Verdict { code: code.into(), ..Verdict::default() }
}

/// Yuan with at most two decimals, in fen.
fn fen(written: &str) -> u64 {
    let (yuan, cents) = written.split_once('.').unwrap_or((written, ""));
    format!("{yuan}{cents:0<2}").parse().unwrap_or_default()
}
