//! A `LianLian` ACCP gateway: JSON both ways, signed in headers; agreements in two steps, payments by card and by agreement, withdrawals.
//!
//! `ret_code` 0000 and 8888 and the statuses are public; every other code and all words here are made up, since no public list was found.
//! The name and the ID number that a bind is checked with are those that the user gave when the account was opened, not those in
//! `risk_item`; the opening itself is not modelled. Nor are passwords (any password is right). It notifies of payments, and of no withdrawal.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use openssl::{error::ErrorStack, hash::MessageDigest};
use serde_json::{Map, Value};

use crate::sim::{
    channel::{Answer, Ends, Finding, Gateway, Hub, Request, ask_bank},
    core::lianlian::LianLianCore,
    keys::{Key, dice},
    record::{Channel, Part, Verdict, lock},
    statement::{Ended, State},
    world::{Card, CardState, Element, Tuple},
};

mod notice;

/// The channel's name.
pub(super) const NAME: Channel = "lianlian";

/// Both ends, with fresh keys.
pub(super) fn open(hub: &Arc<Hub>) -> Result<Ends, ErrorStack> {
    let (own, core) = (Arc::new(Key::new(2048)?), Arc::new(Key::new(2048)?));
    Ok(Ends {
        key_files: vec![
            ("lianlian-core.pem", core.public_pem()?),
            ("lianlian-core.key.pem", core.private_pem()?),
            ("lianlian-channel.pem", own.public_pem()?),
        ],
        payer: Arc::new(LianLianCore { own: Arc::clone(&core), channel: Arc::clone(&own) }),
        gateway: Box::new(LianLian {
            hub: Arc::clone(hub),
            own,
            core,
            forger: Key::new(1024)?,
            books: Mutex::default(),
        }),
    })
}

/// The first step of a bind.
pub(super) const BIND: &str = "/v1/acctmgr/individual-bindcard-apply";
/// Its second step.
pub(super) const BIND_VERIFY: &str = "/v1/acctmgr/individual-bindcard-verify";
/// Withholding by contract.
pub(super) const PAPAY: &str = "/v1/txn/payment-papay";
/// Payment by card, or by agreement.
pub(super) const BANKCARD: &str = "/v1/txn/payment-bankcard";
/// A withdrawal to a bound card.
pub(super) const WITHDRAWAL: &str = "/v1/txn/withdrawal";
/// The second step of what answered 8888.
pub(super) const VALIDATION: &str = "/v1/txn/validation-sms";
/// How a payment ended.
pub(super) const QUERY_PAYMENT: &str = "/v1/txn/query-payment";
/// How a withdrawal ended.
pub(super) const QUERY_WITHDRAWAL: &str = "/v1/txn/query-withdrawal";

/// What users are called: this and the place of their card in the world.
pub(super) const USER: &str = "LLUSER";
const DONE: &str = "0000";
const NEEDS_SMS: &str = "8888";
/// Made up, like all codes but 0000 and 8888.
const REFUSED: &str = "1999";
const UNSIGNED: &str = "1998";
/// From this amount on a payment needs an SMS code.
const SMS_FROM_FEN: u64 = 100_000;

/// The gateway.
struct LianLian {
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
    /// Binds that wait for their SMS code, by token.
    waiting: HashMap<String, Tuple>,
    /// Living agreements.
    bound: HashMap<String, Tuple>,
    /// Orders that wait for their SMS code, by token.
    unconfirmed: HashMap<String, String>,
    /// How orders ended.
    ended: HashMap<String, End>,
    binds: u64,
}

/// How an order ended: in words where it failed.
#[derive(Clone, Default)]
struct End {
    words: Option<&'static str>,
    said: Vec<Element>,
    wrong: Vec<Element>,
    asked: u32,
    /// Whether it was told that the money came back.
    returned: bool,
    kind: String,
    amount: u64,
    pan: String,
}

/// `Signature-Data`: MD5 with RSA over the hex MD5 of the body, base64.
pub(super) fn signature(key: &Key, body: &[u8]) -> Option<String> {
    key.sign_by(MessageDigest::md5(), md5_hex(body)?.as_bytes()).ok()
}

/// Whether `signature` is the key's over exactly these bytes.
pub(super) fn is_signed(key: &Key, body: &[u8], signature: &str) -> bool {
    md5_hex(body).is_some_and(|hex| key.verify_by(MessageDigest::md5(), hex.as_bytes(), signature))
}

fn md5_hex(body: &[u8]) -> Option<String> {
    openssl::hash::hash(MessageDigest::md5(), body).ok().map(hex::encode)
}

impl LianLian {
    fn judge(
        &self,
        path: &str,
        answer: &mut Answer,
        message: &Value,
        reply: &mut Map<String, Value>,
    ) -> Verdict {
        match path {
            BIND => self.apply(answer, message, reply),
            BIND_VERIFY => self.bind(answer, message, reply),
            PAPAY => self.withhold(answer, message, reply),
            BANKCARD => {
                let agreement = some(message, "/bankCardInfo/linked_agrtno");
                if agreement.is_some() {
                    answer.part = Part::ByAgreement;
                }
                let card = Tuple {
                    name: some(message, "/bankCardInfo/linked_acctname"),
                    id_number: some(message, "/bankCardInfo/id_no"),
                    pan: some(message, "/bankCardInfo/linked_acctno"),
                    phone: some(message, "/bankCardInfo/linked_phone"),
                };
                self.take(answer, (agreement, card, fen(message, "/total_amount")), reply)
            }
            WITHDRAWAL => {
                let agreement = some(message, "/linked_agrtno");
                self.take(answer, (agreement, Tuple::default(), 0), reply)
            }
            VALIDATION => {
                let token = text(message, "/token");
                let known = lock(&self.books).unconfirmed.remove(&token);
                if known.as_deref() != Some(&answer.order) {
                    return refused(REFUSED, "短信验证码已失效", reply);
                }
                let end = lock(&self.books).ended.get(&answer.order).cloned();
                self.hub.desk.put(|| self.notice(&answer.order, &end?));
                Verdict { pending: true, ..done(reply) }
            }
            QUERY_PAYMENT => self.query(answer, reply, false),
            QUERY_WITHDRAWAL => self.query(answer, reply, true),
            _ => refused(REFUSED, "接口不存在", reply),
        }
    }

    /// What the user gave when the account was opened.
    fn opened(&self, user: &str) -> Option<Tuple> {
        let place: usize = user.strip_prefix(USER)?.parse().ok()?;
        self.hub.world.cards.get(place).map(Card::told)
    }

    fn apply(
        &self,
        answer: &mut Answer,
        message: &Value,
        reply: &mut Map<String, Value>,
    ) -> Verdict {
        let risk: Value = serde_json::from_str(&text(message, "/risk_item")).unwrap_or_default();
        answer.tuple = Tuple {
            name: some(&risk, "/user_info_full_name"),
            id_number: some(&risk, "/user_info_id_no"),
            pan: some(message, "/linked_acctno"),
            phone: some(message, "/linked_phone"),
        };
        let Some(opened) = self.opened(&user(message)) else {
            return refused(REFUSED, "用户不存在", reply);
        };
        let asked = Tuple {
            name: opened.name,
            id_number: opened.id_number,
            pan: answer.tuple.pan.clone(),
            phone: answer.tuple.phone.clone(),
        };
        let end = self.check(&asked, 0);
        if let Some(words) = end.words {
            return Verdict { said: end.said, wrong: end.wrong, ..refused(REFUSED, words, reply) };
        }
        let token = self.token(&answer.order);
        reply.insert("token".into(), token.clone().into());
        lock(&self.books).waiting.insert(token, answer.tuple.clone());
        done(reply)
    }

    fn bind(
        &self,
        answer: &mut Answer,
        message: &Value,
        reply: &mut Map<String, Value>,
    ) -> Verdict {
        let mut books = lock(&self.books);
        let Some(tuple) = books.waiting.remove(&text(message, "/token")) else {
            return refused(REFUSED, "短信验证码已失效", reply);
        };
        books.binds += 1;
        let number = dice(self.hub.seed, &["linked_agrtno", &books.binds.to_string()]);
        let agreement = format!("{:016}", number % 10_000_000_000_000_000);
        books.bound.insert(agreement.clone(), tuple.clone());
        drop(books);
        reply.insert("linked_agrtno".into(), agreement.clone().into());
        if let Some(card) = tuple.pan.as_deref().and_then(|pan| self.hub.world.card(pan)) {
            card.move_on();
        }
        (answer.tuple, answer.agreement) = (tuple, Some(agreement));
        // The name and the ID number that were compared are not the message's own.
        Verdict { proved: true, proves: vec![Element::Pan, Element::Phone], ..done(reply) }
    }

    /// Withholding: `txn_status` alone says how it ended, and `fail_reason` why. Some failures are told by `ret_code` and `ret_msg`.
    fn withhold(
        &self,
        answer: &mut Answer,
        message: &Value,
        reply: &mut Map<String, Value>,
    ) -> Verdict {
        let quoted = text(message, "/payerInfo/contract_id");
        let contract = self.own.reveal(&quoted).unwrap_or(quoted);
        let Some(tuple) = lock(&self.books).bound.get(&contract).cloned() else {
            return refused(REFUSED, "协议不存在或已解约", reply);
        };
        answer.agreement = Some(contract);
        let amount = fen(message, "/orderInfo/total_amount");
        let end = End { amount, ..self.check(&tuple, amount) };
        answer.tuple = tuple;
        let Some(end) = self.book(answer, end) else {
            return refused(REFUSED, "交易流水号重复", reply);
        };
        let roll = dice(self.hub.seed, &["lianlian late", &answer.order]) % 1000;
        if roll < if end.said.is_empty() { 150 } else { self.hub.late_mismatches } {
            self.hub.desk.put(|| self.notice(&answer.order, &end));
            reply.insert("txn_status".into(), "TRADE_WAIT_PAY".into());
            return Verdict { wrong: end.wrong, pending: true, ..done(reply) };
        }
        let verdict = match end.words {
            None => {
                self.hub.desk.put(|| self.notice(&answer.order, &end));
                reply.insert("txn_status".into(), "TRADE_SUCCESS".into());
                reply.insert("accounting_date".into(), "20260101".into());
                done(reply)
            }
            Some(words) if roll.is_multiple_of(2) => {
                self.hub.desk.put(|| self.notice(&answer.order, &end));
                reply.insert("txn_status".into(), "TRADE_CLOSE".into());
                reply.insert("fail_reason".into(), words.into());
                done(reply)
            }
            Some(words) => refused(REFUSED, words, reply),
        };
        Verdict { said: end.said, wrong: end.wrong, ..verdict }
    }

    /// A payment or a withdrawal, by agreement or with elements: taken at once, or after an SMS code; its end is told by a query.
    fn take(
        &self,
        answer: &mut Answer,
        (agreement, card, amount): (Option<String>, Tuple, u64),
        reply: &mut Map<String, Value>,
    ) -> Verdict {
        answer.tuple = match &agreement {
            None => card,
            Some(agreement) => match lock(&self.books).bound.get(agreement).cloned() {
                Some(tuple) => tuple,
                None => return refused(REFUSED, "协议不存在或已解约", reply),
            },
        };
        answer.agreement = agreement;
        let end = End { amount, ..self.check(&answer.tuple, amount) };
        let Some(end) = self.book(answer, end) else {
            return refused(REFUSED, "交易流水号重复", reply);
        };
        if let Some(words) = end.words {
            return Verdict { said: end.said, wrong: end.wrong, ..refused(REFUSED, words, reply) };
        }
        let small = dice(self.hub.seed, &["lianlian sms", &answer.order]).is_multiple_of(3);
        if amount < SMS_FROM_FEN && (amount > 0 || small) {
            self.hub.desk.put(|| self.notice(&answer.order, &end));
            return Verdict { pending: true, ..done(reply) };
        }
        let token = self.token(&answer.order);
        lock(&self.books).unconfirmed.insert(token.clone(), answer.order.clone());
        reply.insert("token".into(), token.into());
        Verdict { pending: true, ..refused(NEEDS_SMS, "需要短信验证码", reply) }
    }

    /// How an order ended. One withdrawal in thirty comes back after its success: so its second query says.
    fn query(&self, answer: &Answer, reply: &mut Map<String, Value>, withdrawal: bool) -> Verdict {
        let mut books = lock(&self.books);
        let Some(end) = books.ended.get_mut(&answer.order) else {
            return refused(REFUSED, "订单不存在", reply);
        };
        end.asked += 1;
        let returned = withdrawal
            && end.asked > 1
            && dice(self.hub.seed, &["lianlian returned", &answer.order]).is_multiple_of(30);
        let (status, words) = match end.words {
            None if returned => ("TRADE_CANCEL", Some("收款账户已销户，退汇")),
            None => ("TRADE_SUCCESS", None),
            Some(words) if withdrawal => ("TRADE_FAILURE", Some(words)),
            Some(words) => ("TRADE_CLOSE", Some(words)),
        };
        reply.insert("txn_status".into(), status.into());
        if let Some(words) = words {
            let key = if withdrawal { "failure_reason" } else { "fail_reason" };
            reply.insert(key.into(), words.into());
        }
        end.returned = returned;
        let tells = withdrawal.then_some(if returned {
            State::Returned
        } else {
            State::of(end.words.is_none())
        });
        Verdict { said: end.said.clone(), wrong: end.wrong.clone(), tells, ..done(reply) }
    }

    /// Keeps the end of an order, and yields it; nothing when there is one already.
    fn book(&self, answer: &Answer, end: End) -> Option<End> {
        let mut books = lock(&self.books);
        if books.ended.contains_key(&answer.order) {
            return None;
        }
        let pan = answer.tuple.pan.clone().unwrap_or_default();
        let end = End { kind: answer.txn.clone(), pan, ..end };
        books.ended.insert(answer.order.clone(), end.clone());
        Some(end)
    }

    fn token(&self, order: &str) -> String {
        format!("{:020X}", dice(self.hub.seed, &["lianlian token", order]))
    }

    /// The bank's word on a tuple, in the words that the channel passes on.
    fn check(&self, tuple: &Tuple, debit_fen: u64) -> End {
        let (finding, wrong, _) = ask_bank(&self.hub, tuple, debit_fen);
        let (words, said): (_, &[Element]) = match finding {
            Finding::Right => (None, &[]),
            Finding::State(CardState::Expired) => (Some("银行卡已过有效期"), &[]),
            Finding::State(_) => (Some("银行卡状态异常"), &[]),
            Finding::NoBalance => (Some("银行卡可用余额不足"), &[]),
            Finding::Mismatch => match wrong.as_slice() {
                [Element::Pan, ..] => (Some("银行卡号有误，请核对后重试"), &[Element::Pan]),
                [Element::Phone] => (Some("手机号与银行预留不符"), &[Element::Phone]),
                [Element::Name] => (Some("户名不符[渠道返回]"), &[Element::Name]),
                [Element::IdNumber] => (Some("证件号码不符"), &[Element::IdNumber]),
                _ => (
                    Some("持卡人身份信息或手机号输入不正确，验证失败"),
                    &[Element::Name, Element::IdNumber, Element::Phone],
                ),
            },
        };
        End { words, said: said.to_vec(), wrong, ..End::default() }
    }
}

impl Gateway for LianLian {
    /// Reads, judges and answers one request.
    fn answer(&self, request: &Request<'_>) -> Answer {
        let (path, body) = (request.path, request.body);
        let mut answer =
            Answer { content_type: "application/json;charset=UTF-8", ..Answer::default() };
        answer.signed = request.header("signature-type") == "RSA"
            && is_signed(&self.core, body, request.header("signature-data"));
        path.rsplit('/').next().unwrap_or_default().clone_into(&mut answer.txn);
        answer.part = match path {
            PAPAY | WITHDRAWAL => Part::ByAgreement,
            QUERY_PAYMENT | QUERY_WITHDRAWAL => Part::Query,
            _ => Part::Own,
        };
        let message = serde_json::from_slice(body).unwrap_or(Value::Null);
        let order = ["/txn_seqno", "/orderInfo/txn_seqno"].map(|at| text(&message, at)).concat();
        answer.order = format!("{}|{order}", text(&message, "/oid_partner"));
        let mut reply = Map::new();
        answer.verdict = if !answer.signed {
            refused(UNSIGNED, "签名验证失败", &mut reply)
        } else if order.is_empty() {
            refused(REFUSED, "参数校验错误", &mut reply)
        } else {
            self.judge(path, &mut answer, &message, &mut reply)
        };
        let accp = dice(self.hub.seed, &["accp", &answer.order]);
        for (key, value) in [
            ("oid_partner", text(&message, "/oid_partner")),
            ("user_id", user(&message)),
            ("txn_seqno", order),
            ("accp_txno", format!("{:016}", accp % 10_000_000_000_000_000)),
        ] {
            reply.insert(key.into(), value.into());
        }
        answer.body = Value::from(reply).to_string().into_bytes();
        answer.headers = vec![
            ("signature-type", "RSA".to_owned()),
            ("signature-data", signature(&self.own, &answer.body).unwrap_or_default()),
        ];
        answer
    }

    fn ended(&self) -> Vec<Ended> {
        let books = lock(&self.books);
        let ended = |(order, end): (&String, &End)| Ended {
            order: order.clone(),
            kind: end.kind.clone(),
            amount: end.amount.to_string(),
            pan: end.pan.clone(),
            state: if end.returned { State::Returned } else { State::of(end.words.is_none()) },
        };
        books.ended.iter().map(ended).collect()
    }
}

/// The user, wherever a message names him.
fn user(message: &Value) -> String {
    let places = ["/user_id", "/payerInfo/user_id", "/payerInfo/payer_id", "/payer_id"];
    places.into_iter().find_map(|at| some(message, at)).unwrap_or_default()
}

fn done(reply: &mut Map<String, Value>) -> Verdict {
    refused(DONE, "交易成功", reply)
}

/// Answers with this code.
fn refused(code: &str, words: &str, reply: &mut Map<String, Value>) -> Verdict {
    reply.insert("ret_code".into(), code.into());
    reply.insert("ret_msg".into(), words.into());
    Verdict { code: code.into(), ..Verdict::default() }
}

/// Yuan, as a number or a text with at most two decimals, in fen.
fn fen(message: &Value, at: &str) -> u64 {
    let written = match message.pointer(at) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return 0,
    };
    let (yuan, cents) = written.split_once('.').unwrap_or((&written, ""));
    format!("{yuan}{cents:0<2}").parse().unwrap_or_default()
}

fn some(message: &Value, at: &str) -> Option<String> {
    message.pointer(at)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// One text of a message, or an empty text.
pub(super) fn text(message: &Value, at: &str) -> String {
    some(message, at).unwrap_or_default()
}
