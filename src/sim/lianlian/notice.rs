//! What `LianLian` tells by itself: of payments, signed as its answers are.

use serde_json::json;

use super::{End, LianLian, NAME, signature};
use crate::sim::{
    notices::{Letter, Notice},
    statement::State,
};

impl LianLian {
    /// What it tells of how a payment ended; others sign with a key of their own, or put its signature beside other words.
    pub(super) fn notice(&self, order: &str, end: &End) -> Option<Notice> {
        if end.kind == "withdrawal" {
            return None;
        }
        let (partner, number) = order.split_once('|')?;
        let body = |words: Option<&str>| {
            let (yuan, cents) = (end.amount / 100, end.amount % 100);
            let status = if words.is_none() { "TRADE_SUCCESS" } else { "TRADE_CLOSE" };
            let mut told = json!({
                "oid_partner": partner, "txn_type": "GENERAL_CONSUME", "txn_status": status, "accounting_date": "20260101",
                "orderInfo": {"txn_seqno": number, "total_amount": format!("{yuan}.{cents:02}"), "order_info": "西瓜 \"大\""},
            });
            if let (Some(words), Some(told)) = (words, told.as_object_mut()) {
                told.insert("fail_reason".into(), words.into());
            }
            told.to_string().into_bytes()
        };
        let letter = |words: Option<&str>, signature: String| Letter {
            told: State::of(words.is_none()),
            headers: vec![("signature-type", "RSA".into()), ("signature-data", signature)],
            body: body(words),
            ..Letter::default()
        };
        let own = signature(&self.own, &body(end.words))?;
        let other = if end.words.is_none() { Some("手机号与银行预留不符") } else { None };
        Some(Notice {
            channel: NAME,
            path: "/notify/lianlian",
            content_type: "application/json;charset=UTF-8",
            order: order.to_owned(),
            is_payment: true,
            is_readable: true,
            truth: State::of(end.words.is_none()),
            named: end.said.clone(),
            forged: vec![
                letter(other, signature(&self.forger, &body(other))?),
                letter(other, own.clone()),
            ],
            genuine: Some(letter(end.words, own)),
        })
    }
}
