//! A `UnionPay` ACP 5.1.0 gateway: it reads the form strictly, checks the signature for real, asks the bank, and signs its answer.
//!
//! It notifies of every fund transaction that it took. Not modelled: the front (browser) transactions, files, and elements encrypted to the gateway's own certificate.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use encoding_rs::{Encoding, GBK, UTF_8};
use openssl::error::ErrorStack;

use crate::sim::{
    acp,
    channel::{Answer, Ends, Finding, Gateway, Hub, Request, ask_bank},
    core::unionpay::{FORGOTTEN, UnionPayCore},
    form::{self, Fields, field},
    keys::{Key, dice},
    notices::{Letter, Notice},
    record::{Channel, Part, Verdict, lock},
    statement::{Ended, State},
    world::{CardState, Element, Tuple},
};

/// The channel's name.
pub(super) const NAME: Channel = "unionpay";

/// Both ends, with fresh keys.
pub(super) fn open(hub: &Arc<Hub>) -> Result<Ends, ErrorStack> {
    let (own, core) = (Arc::new(Key::new(2048)?), Arc::new(Key::new(2048)?));
    Ok(Ends {
        key_files: vec![
            ("unionpay-core.pem", core.public_pem()?),
            ("unionpay-core.key.pem", core.private_pem()?),
            ("unionpay-channel.pem", own.public_pem()?),
        ],
        payer: Arc::new(UnionPayCore { own: Arc::clone(&core), channel: Arc::clone(&own) }),
        gateway: Box::new(UnionPay::new(Arc::clone(hub), own, core)?),
    })
}

/// The gateway.
struct UnionPay {
    hub: Arc<Hub>,
    own: Arc<Key>,
    core: Arc<Key>,
    /// Somebody who signs in the gateway's name.
    forger: Key,
    certificate: String,
    orders: Mutex<HashMap<String, Order>>,
}

/// A fund transaction that was taken or turned down.
#[derive(Clone)]
struct Order {
    verdict: Verdict,
    query_id: String,
    ended: Ended,
}

impl UnionPay {
    fn new(hub: Arc<Hub>, own: Arc<Key>, core: Arc<Key>) -> Result<Self, ErrorStack> {
        let certificate = own.certificate("unionpay.simulated")?;
        let forger = Key::new(1024)?;
        Ok(Self { hub, own, core, forger, certificate, orders: Mutex::default() })
    }

    /// Judges a message whose signature holds. `txn` is `txnType/txnSubType`.
    fn judge(&self, answer: &mut Answer, fields: &Fields, reply: &mut Fields) -> Verdict {
        let amount = field(fields, "txnAmt").parse().unwrap_or_default();
        match answer.txn.as_str() {
            "00/00" => return self.query(&answer.order, reply),
            // Nobody checks a bind of 72/02, so that its success proves nothing.
            "77/01" | "77/02" | "74/04" | "72/02" => return code("00"),
            "04/00" | "31/00" => {
                let original = field(fields, "origQryId");
                let known = lock(&self.orders).values().any(|order| order.query_id == original);
                return self.book(answer, fields, code(if known { "00" } else { "35" }), reply);
            }
            "72/11" | "72/01" | "72/10" | "72/12" | "11/02" | "01/01" | "12/00" => {}
            _ => return code("10"),
        }
        let debits = matches!(answer.txn.as_str(), "11/02" | "01/01");
        // Money that goes out needs no phone.
        let phone = answer.tuple.phone.clone().filter(|_| answer.txn != "12/00");
        let checked = Tuple { phone, ..answer.tuple.clone() };
        let (finding, wrong, card) = ask_bank(&self.hub, &checked, if debits { amount } else { 0 });
        let said = match finding {
            Finding::Mismatch if wrong.contains(&Element::Pan) => vec![Element::Pan],
            // 66 does not tell which of these it was.
            Finding::Mismatch => vec![Element::Name, Element::IdNumber, Element::Phone],
            _ => vec![],
        };
        let code = match finding {
            Finding::Right => "00",
            Finding::Mismatch if card.is_none() => "61",
            Finding::Mismatch => "66",
            Finding::State(CardState::Expired) => "73",
            Finding::State(_) => "63",
            Finding::NoBalance => "64",
        };
        let verdict = Verdict {
            code: code.into(),
            said,
            wrong,
            proved: finding == Finding::Right,
            ..Verdict::default()
        };
        if answer.txn.starts_with("72/") {
            if let Some(card) = card.filter(|_| verdict.proved) {
                card.move_on();
            }
            return verdict;
        }
        self.book(answer, fields, verdict, reply)
    }

    /// Keeps the end of a fund transaction. Some ends are told by a query only: then the message is just accepted.
    fn book(&self, answer: &Answer, fields: &Fields, end: Verdict, reply: &mut Fields) -> Verdict {
        let roll = dice(self.hub.seed, &["unionpay late", &answer.order]) % 1000;
        let query_id = format!("{:020}", dice(self.hub.seed, &["queryId", &answer.order]));
        let mut orders = lock(&self.orders);
        if orders.contains_key(&answer.order) {
            return code("12");
        }
        reply.insert("queryId".into(), query_id.clone());
        self.hub.desk.put(|| self.notice(answer, fields, &end, &query_id));
        let ended = Ended {
            order: answer.order.clone(),
            kind: field(fields, "txnType").into(),
            amount: field(fields, "txnAmt").into(),
            pan: answer.tuple.pan.clone().unwrap_or_default(),
            state: State::of(end.code == "00"),
        };
        orders.insert(answer.order.clone(), Order { verdict: end.clone(), query_id, ended });
        let late = roll < if end.said.is_empty() { 250 } else { self.hub.late_mismatches };
        if late && end.code != "35" {
            return Verdict { pending: true, wrong: end.wrong, ..code("00") };
        }
        Verdict { pending: end.code == "00", ..end }
    }

    /// What it tells of how a transaction ended; and what others might: another end under another key, another amount under its own.
    fn notice(
        &self,
        answer: &Answer,
        fields: &Fields,
        end: &Verdict,
        query_id: &str,
    ) -> Option<Notice> {
        let charset = if field(fields, "encoding") == "GBK" { GBK } else { UTF_8 };
        let (end, named) = (end.code.as_str(), &end.said);
        let told = |code: &str, key: &Key, amount: Option<&str>| {
            let mut told = echoed(fields);
            for (name, value) in [
                ("queryId", query_id),
                ("respCode", code),
                ("respMsg", &text(code)),
                ("settleCurrencyCode", "156"),
                ("settleDate", "1123"),
                ("signPubKeyCert", &self.certificate),
            ] {
                told.insert(name.into(), value.into());
            }
            acp::sign(&mut told, charset, key)?;
            told.extend(amount.map(|amount| ("txnAmt".to_owned(), amount.to_owned())));
            let body = form::write(&told, charset, true)?;
            Some(Letter { told: State::of(code == "00"), body, ..Letter::default() })
        };
        let other = if end == "00" { "66" } else { "00" };
        Some(Notice {
            channel: NAME,
            path: "/notify/unionpay",
            content_type: "application/x-www-form-urlencoded",
            order: answer.order.clone(),
            is_payment: matches!(answer.txn.as_str(), "11/02" | "01/01" | "12/00"),
            is_readable: true,
            truth: State::of(end == "00"),
            named: named.clone(),
            genuine: if field(fields, "orderId").starts_with(FORGOTTEN) {
                None
            } else {
                Some(told(end, &self.own, None)?)
            },
            forged: vec![told(other, &self.forger, None)?, told(end, &self.own, Some("1"))?],
        })
    }

    fn query(&self, order: &str, reply: &mut Fields) -> Verdict {
        let Some(found) = lock(&self.orders).get(order).cloned() else { return code("34") };
        reply.insert("queryId".into(), found.query_id);
        reply.insert("txnAmt".into(), found.ended.amount);
        reply.insert("origRespMsg".into(), text(&found.verdict.code));
        reply.insert("origRespCode".into(), found.verdict.code.clone());
        Verdict { code: "00".into(), ..found.verdict }
    }

    /// The signed answer, in the request's charset, values percent-encoded.
    fn reply(
        &self,
        fields: &Fields,
        mut reply: Fields,
        respond: &str,
        charset: &'static Encoding,
    ) -> Vec<u8> {
        reply.extend(echoed(fields));
        reply.insert("respCode".into(), respond.into());
        reply.insert("respMsg".into(), text(respond));
        reply.insert("signPubKeyCert".into(), self.certificate.clone());
        let signed = acp::sign(&mut reply, charset, &self.own)
            .and_then(|()| form::write(&reply, charset, true));
        signed.unwrap_or_default()
    }
}

impl Gateway for UnionPay {
    fn answer(&self, request: &Request<'_>) -> Answer {
        let body = request.body;
        let charset = form::charset(body);
        let mut answer =
            Answer { content_type: "application/x-www-form-urlencoded", ..Answer::default() };
        let fields = form::parse(body, charset).unwrap_or_default();
        answer.signed = acp::verify(&fields, charset, &self.core);
        answer.txn = format!("{}/{}", field(&fields, "txnType"), field(&fields, "txnSubType"));
        answer.order = order_key(&fields);
        answer.part = match answer.txn.as_str() {
            "00/00" => Part::Query,
            "72/01" | "72/10" | "72/12" => Part::Verification,
            _ => Part::Own,
        };
        let tuple = acp::elements(&fields, charset);
        let form = request.header("content-type").starts_with("application/x-www-form-urlencoded");
        let plain = form && request.method == "POST" && request.query.is_empty();
        let right_path = request.path
            == if answer.txn == "00/00" {
                "/gateway/api/queryTrans.do"
            } else {
                "/gateway/api/backTransReq.do"
            };
        let mut reply = Fields::new();
        answer.verdict = if !answer.signed {
            code("11")
        } else if tuple.is_none() || !plain || !right_path || field(&fields, "orderId").is_empty() {
            code("10")
        } else {
            answer.tuple = tuple.unwrap_or_default();
            self.judge(&mut answer, &fields, &mut reply)
        };
        answer.body = self.reply(&fields, reply, &answer.verdict.code, charset);
        answer
    }

    /// Of payments; what the core undid itself is its own.
    fn ended(&self) -> Vec<Ended> {
        let orders = lock(&self.orders);
        let ended = orders.values().map(|order| order.ended.clone());
        ended.filter(|it| matches!(it.kind.as_str(), "11" | "01" | "12")).collect()
    }
}

/// What every answer repeats of its request.
fn echoed(fields: &Fields) -> Fields {
    const ECHOED: &[&str] = &[
        "version",
        "encoding",
        "signMethod",
        "txnType",
        "txnSubType",
        "bizType",
        "accessType",
        "merId",
        "orderId",
        "txnTime",
        "txnAmt",
        "reqReserved",
    ];
    let known = |key: &&str| Some(((*key).to_owned(), fields.get(*key)?.clone()));
    ECHOED.iter().filter_map(known).collect()
}

/// `merId|orderId|txnTime`.
pub(super) fn order_key(fields: &Fields) -> String {
    ["merId", "orderId", "txnTime"].map(|key| field(fields, key)).join("|")
}

fn code(code: &str) -> Verdict {
    Verdict { code: code.into(), ..Verdict::default() }
}

/// The words for a code; the inner code in brackets is made up but for zero.
fn text(code: &str) -> String {
    match code {
        "00" => "成功[0000000]",
        "10" => "报文格式错误[6100010]",
        "11" => "验证签名失败[9100004]",
        "12" => "重复交易[6100012]",
        "34" => "查无此交易[2600000]",
        "61" => "输入的卡号无效，请确认后输入[1000005]",
        "63" => "卡状态不正确[1000063]",
        "64" => "卡上的余额不足[1000051]",
        "66" => "持卡人身份信息或手机号输入不正确，验证失败[1000066]",
        "73" => "支付卡已超过有效期[1000054]",
        _ => "失败[5100030]",
    }
    .into()
}
