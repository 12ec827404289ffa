//! A Baofoo gateway: authenticated payment V4 (agreements) and payout V4.1, whole payloads sealed both ways.
//!
//! The inner field names of payment follow wire-formats 1.5; those of payout V4.1 are unconfirmed and follow the shape in common use.
//! It notifies of payments that it did not answer with an end, by `GET` or by `POST`: what such a notification looks like is unconfirmed.
//! The key size is unconfirmed too: 1024 bits are chosen because every 32 bytes cost one private-key operation and the demo has two cores.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use encoding_rs::UTF_8;
use openssl::error::ErrorStack;
use serde_json::{Map, Value, json};

use crate::sim::{
    channel::{Answer, Ends, Finding, Gateway, Hub, Request, ask_bank},
    core::baofoo::BaofooCore,
    form::{self, Fields, field},
    keys::{Key, dice},
    notices::{Letter, Notice},
    record::{Channel, Part, Verdict, lock},
    statement::{Ended, State},
    world::{CardState, Element, Tuple},
};

/// The channel's name.
pub(super) const NAME: Channel = "baofoo";

/// Both ends, with fresh keys.
pub(super) fn open(hub: &Arc<Hub>) -> Result<Ends, ErrorStack> {
    let (own, core) = (Arc::new(Key::new(1024)?), Arc::new(Key::new(1024)?));
    Ok(Ends {
        key_files: vec![
            ("baofoo-core.pem", core.public_pem()?),
            ("baofoo-core.key.pem", core.private_pem()?),
            ("baofoo-channel.pem", own.public_pem()?),
        ],
        payer: Arc::new(BaofooCore { own: Arc::clone(&core), channel: Arc::clone(&own) }),
        gateway: Box::new(Baofoo {
            hub: Arc::clone(hub),
            own,
            core,
            forger: Key::new(1024)?,
            books: Mutex::default(),
        }),
    })
}

/// The path of payment messages.
pub(super) const PAYMENT: &str = "/cutpayment/api/backTransRequest";
/// The path that creates a payout.
pub(super) const PAYOUT: &str = "/baofoo-fopay/pay/BF0040001.do";
/// The path that queries a payout.
pub(super) const PAYOUT_QUERY: &str = "/baofoo-fopay/pay/BF0040002.do";

/// The gateway.
struct Baofoo {
    hub: Arc<Hub>,
    own: Arc<Key>,
    core: Arc<Key>,
    /// Somebody who seals in the gateway's name.
    forger: Key,
    books: Mutex<Books>,
}

/// What the gateway remembers.
#[derive(Default)]
struct Books {
    /// Pre-binds that wait for their SMS code, by `trans_id`.
    waiting: HashMap<String, Tuple>,
    /// Living agreements.
    bound: HashMap<String, Tuple>,
    /// The one living agreement of a card.
    by_pan: HashMap<String, String>,
    /// How payments and payouts ended, by their own number.
    ended: HashMap<String, (Ended, Verdict)>,
    binds: u64,
}

impl Baofoo {
    /// Judges a payment message and adds what its answer carries.
    fn judge(&self, answer: &mut Answer, inner: &Value, reply: &mut Map<String, Value>) -> Verdict {
        let order = text(inner, "trans_id");
        match answer.txn.as_str() {
            "11" | "01" => {
                answer.tuple = elements(inner);
                let verdict = self.check(&answer.tuple, 0);
                if verdict.code == "0000" && answer.txn == "11" {
                    lock(&self.books).waiting.insert(order, answer.tuple.clone());
                    return Verdict { proved: false, ..verdict };
                }
                if verdict.code == "0000" {
                    return self.bind(answer, reply);
                }
                verdict
            }
            "12" => {
                let Some(tuple) = lock(&self.books).waiting.remove(&order) else {
                    return code("BF00134");
                };
                answer.tuple = tuple;
                self.bind(answer, reply)
            }
            "02" => {
                let mut books = lock(&self.books);
                let quoted = answer.agreement.clone().unwrap_or_default();
                let Some(tuple) = books.bound.remove(&quoted) else { return code("BF00134") };
                books.by_pan.remove(tuple.pan.as_deref().unwrap_or_default());
                code("0000")
            }
            "03" => {
                let pan = text(inner, "acc_no");
                let Some(found) = lock(&self.books).by_pan.get(&pan).cloned() else {
                    return code("BF00134");
                };
                reply.insert("bind_id".into(), found.clone().into());
                answer.agreement = Some(found);
                code("0000")
            }
            "15" => {
                let bound = lock(&self.books)
                    .bound
                    .contains_key(answer.agreement.as_deref().unwrap_or_default());
                reply.insert("business_no".into(), format!("BN{order}").into());
                code(if bound { "0000" } else { "BF00134" })
            }
            "16" => self.pay(answer, inner, reply),
            "31" => self.query(&text(inner, "orig_trans_id"), reply),
            _ => code("BF00101"),
        }
    }

    /// A new agreement for the tuple; binding a card again kills the old one.
    fn bind(&self, answer: &mut Answer, reply: &mut Map<String, Value>) -> Verdict {
        let pan = answer.tuple.pan.clone().unwrap_or_default();
        let mut books = lock(&self.books);
        books.binds += 1;
        let bind_id =
            format!("{:018}", dice(self.hub.seed, &["bind", &books.binds.to_string()]) / 100);
        if let Some(old) = books.by_pan.insert(pan.clone(), bind_id.clone()) {
            books.bound.remove(&old);
        }
        books.bound.insert(bind_id.clone(), answer.tuple.clone());
        drop(books);
        reply.insert("bind_id".into(), bind_id.clone().into());
        answer.agreement = Some(bind_id);
        if let Some(card) = self.hub.world.card(&pan) {
            card.move_on();
        }
        Verdict { proved: true, ..code("0000") }
    }

    /// A debit by agreement: the bank looks at what the agreement says against what it knows today.
    fn pay(&self, answer: &mut Answer, inner: &Value, reply: &mut Map<String, Value>) -> Verdict {
        let bound =
            lock(&self.books).bound.get(answer.agreement.as_deref().unwrap_or_default()).cloned();
        let Some(tuple) = bound else { return code("BF00134") };
        let order = text(inner, "trans_id");
        let amount = text(inner, "txn_amt").parse().unwrap_or_default();
        // The success of a debit by agreement proves no element.
        let end = Verdict { proved: false, ..self.check(&tuple, amount) };
        answer.tuple = tuple;
        let roll = dice(self.hub.seed, &["baofoo late", &order]) % 1000;
        let late = roll < if end.said.is_empty() { 150 } else { self.hub.late_mismatches };
        self.book(answer, (&order, amount), &end);
        if late {
            self.hub.desk.put(|| self.notice(answer, inner, (amount, &end)));
            return Verdict { wrong: end.wrong, pending: true, ..code("BF00115") };
        }
        if end.code == "0000" {
            reply.insert("succ_amt".into(), amount.to_string().into());
        }
        end
    }

    fn book(&self, answer: &Answer, (number, amount): (&str, u64), end: &Verdict) {
        let ended = Ended {
            order: answer.order.clone(),
            kind: answer.txn.clone(),
            amount: amount.to_string(),
            pan: answer.tuple.pan.clone().unwrap_or_default(),
            state: State::of(end.code == "0000"),
        };
        lock(&self.books).ended.insert(number.to_owned(), (ended, end.clone()));
    }

    /// What it tells of how a payment ended. Others seal under a key of their own, or put the channel's words beside another merchant.
    fn notice(
        &self,
        answer: &Answer,
        inner: &Value,
        (amount, end): (u64, &Verdict),
    ) -> Option<Notice> {
        let (member, terminal) = (text(inner, "member_id"), text(inner, "terminal_id"));
        let letter = |key: &Key, code: &str, beside: &str, gets: bool| {
            let succeeded = code == "0000";
            let told = json!({
                "member_id": member, "terminal_id": terminal, "trans_id": text(inner, "trans_id"),
                "trans_no": format!("{:016}", dice(self.hub.seed, &["trans_no", &answer.order]) / 10_000),
                "resp_code": code, "resp_msg": words(code), "result": u8::from(succeeded).to_string(),
                "succ_amt": if succeeded { amount } else { 0 }.to_string(), "additional_info": "附加 a+b",
            });
            let sealed = key.seal(&told.to_string()).ok()?;
            let outer = [
                ("member_id", beside),
                ("terminal_id", terminal.as_str()),
                ("data_type", "json"),
                ("data_content", sealed.as_str()),
            ];
            let outer: Vec<_> =
                outer.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let body = form::write(outer.iter().map(|(key, value)| (key, value)), UTF_8, true)?;
            Some(Letter { told: State::of(succeeded), gets, body, ..Letter::default() })
        };
        let gets = dice(self.hub.seed, &["baofoo gets", &answer.order]).is_multiple_of(2);
        let other = if end.code == "0000" { "BF00343" } else { "0000" };
        Some(Notice {
            channel: NAME,
            path: "/notify/baofoo",
            content_type: "application/x-www-form-urlencoded",
            order: answer.order.clone(),
            is_payment: true,
            is_readable: true,
            truth: State::of(end.code == "0000"),
            named: end.said.clone(),
            genuine: Some(letter(&self.own, &end.code, &member, gets)?),
            forged: vec![
                letter(&self.forger, other, &member, !gets)?,
                letter(&self.own, &end.code, "100000001", gets)?,
            ],
        })
    }

    fn query(&self, order: &str, reply: &mut Map<String, Value>) -> Verdict {
        let found = lock(&self.books).ended.get(order).map(|(_, end)| end.clone());
        let state = match &found {
            None => "FF",
            Some(end) if end.code == "0000" => "S",
            Some(_) => "F",
        };
        reply.insert("order_stat".into(), state.into());
        found.unwrap_or_else(|| code("BF00100"))
    }

    /// The bank's word on a tuple, as a code.
    fn check(&self, tuple: &Tuple, debit_fen: u64) -> Verdict {
        let (finding, wrong, _) = ask_bank(&self.hub, tuple, debit_fen);
        let (code, said): (_, &[Element]) = match finding {
            Finding::Right => ("0000", &[]),
            Finding::State(CardState::Expired) => ("BF00102", &[]),
            Finding::State(CardState::Lost) => ("BF00141", &[]),
            Finding::State(_) => ("BF00327", &[]),
            Finding::NoBalance
                if dice(self.hub.seed, &[tuple.pan.as_deref().unwrap_or_default()])
                    .is_multiple_of(2) =>
            {
                ("BF00103", &[])
            }
            Finding::NoBalance => ("BF00342", &[]),
            Finding::Mismatch => match wrong.as_slice() {
                [Element::Pan, ..] => ("BF00344", &[Element::Pan]),
                [Element::Phone] => ("BF00343", &[Element::Phone]),
                [Element::Name] => ("BF00345", &[Element::Name]),
                [Element::IdNumber] => ("BF00346", &[Element::IdNumber]),
                _ => ("BF00101", &[Element::Name, Element::IdNumber]),
            },
        };
        Verdict {
            code: code.into(),
            said: said.to_vec(),
            wrong,
            proved: finding == Finding::Right,
            ..Verdict::default()
        }
    }

    fn payment(&self, answer: &mut Answer, inner: &Value) -> Value {
        answer.order = format!("{}|{}", text(inner, "member_id"), text(inner, "trans_id"));
        answer.agreement = inner.get("bind_id").and_then(Value::as_str).map(str::to_owned);
        let mut reply = Map::new();
        for key in [
            "member_id",
            "terminal_id",
            "trans_id",
            "trans_serial_no",
            "trade_date",
            "biz_type",
            "additional_info",
        ] {
            if let Some(value) = inner.get(key) {
                reply.insert(key.into(), value.clone());
            }
        }
        answer.verdict = self.judge(answer, inner, &mut reply);
        reply.insert("resp_code".into(), answer.verdict.code.clone().into());
        reply.insert("resp_msg".into(), words(&answer.verdict.code).into());
        reply.into()
    }

    /// One payout row. Its creation is only ever received; its end is told by the query.
    fn payout(&self, answer: &mut Answer, inner: &Value, member: &str) -> Value {
        let row = inner
            .pointer("/trans_content/trans_reqDatas/0/trans_reqData/0")
            .unwrap_or(&Value::Null);
        let number = text(row, "trans_no");
        answer.order = format!("{member}|{number}");
        let head = json!({"return_code": "0000", "return_msg": "代付请求交易成功"});
        let mut back = json!({"trans_no": number, "trans_orderid": format!("P{number}"), "trans_batchid": "1"});
        if answer.txn == "BF0040001" {
            answer.tuple = Tuple {
                name: some(row, "to_acc_name"),
                id_number: some(row, "trans_card_id"),
                pan: some(row, "to_acc_no"),
                phone: some(row, "trans_mobile"),
            };
            let end = self.check(&answer.tuple, 0);
            answer.verdict = Verdict { pending: true, wrong: end.wrong.clone(), ..code("0000") };
            self.book(answer, (&number, 0), &end);
        } else {
            let end = lock(&self.books).ended.get(&number).map(|(_, end)| end.clone());
            let state = end.as_ref().map_or("0", |end| if end.code == "0000" { "1" } else { "-1" });
            if let Some(back) = back.as_object_mut() {
                back.insert("state".into(), state.into());
                back.insert(
                    "trans_remark".into(),
                    end.as_ref().map_or("", |end| words(&end.code)).into(),
                );
            }
            // The query says that the money did not arrive, and no code says why: it names no element.
            answer.verdict = code("0000");
        }
        json!({"trans_content": {"trans_head": head, "trans_reqDatas": [{"trans_reqData": [back]}]}})
    }
}

impl Gateway for Baofoo {
    fn answer(&self, request: &Request<'_>) -> Answer {
        let mut answer = Answer { content_type: "text/plain;charset=UTF-8", ..Answer::default() };
        let outer: Fields = form::parse(request.body, UTF_8).unwrap_or_default();
        let opened = self.core.open(field(&outer, "data_content"));
        let inner = opened.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        answer.txn = match request.path {
            PAYOUT => "BF0040001".into(),
            PAYOUT_QUERY => "BF0040002".into(),
            _ => field(&outer, "txn_sub_type").into(),
        };
        answer.part = match answer.txn.as_str() {
            "16" => Part::ByAgreement,
            "31" | "03" | "BF0040002" => Part::Query,
            _ => Part::Own,
        };
        answer.signed = inner.is_some();
        let reply = match (&inner, request.path) {
            (Some(inner), PAYMENT) if field(&outer, "txn_type") == "0431" => {
                self.payment(&mut answer, inner)
            }
            (Some(inner), PAYOUT | PAYOUT_QUERY) => {
                self.payout(&mut answer, inner, field(&outer, "member_id"))
            }
            _ => {
                answer.verdict = code("BF00100");
                json!({"resp_code": "BF00100", "resp_msg": words("BF00100")})
            }
        };
        answer.body = self.own.seal(&reply.to_string()).unwrap_or_default().into_bytes();
        answer
    }

    fn ended(&self) -> Vec<Ended> {
        lock(&self.books).ended.values().map(|(ended, _)| ended.clone()).collect()
    }
}

fn elements(inner: &Value) -> Tuple {
    Tuple {
        name: some(inner, "id_holder"),
        id_number: some(inner, "id_card"),
        pan: some(inner, "acc_no"),
        phone: some(inner, "mobile"),
    }
}

fn some(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// One text of a JSON object, or an empty text.
pub(super) fn text(value: &Value, key: &str) -> String {
    some(value, key).unwrap_or_default()
}

fn code(code: &str) -> Verdict {
    Verdict { code: code.into(), ..Verdict::default() }
}

fn words(code: &str) -> &'static str {
    match code {
        "0000" => "交易成功",
        "BF00101" => "持卡人信息有误",
        "BF00102" => "银行卡已过有效期",
        "BF00103" | "BF00342" => "账户余额不足",
        "BF00115" => "交易处理中",
        "BF00134" => "绑定关系不存在",
        "BF00141" => "该卡已挂失",
        "BF00327" => "卡状态异常",
        "BF00343" => "银行预留手机号有误",
        "BF00344" => "卡号有误",
        "BF00345" => "姓名有误",
        "BF00346" => "身份证号有误",
        _ => "系统异常",
    }
}
