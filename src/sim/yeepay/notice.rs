//! What `YeePay` tells by itself: of payments and withdrawals, sealed to the core.

use encoding_rs::UTF_8;
use serde_json::json;

use super::{End, YeePay};
use crate::sim::{
    form::{self, Fields},
    keys::{Key, dice},
    notices::{Letter, Notice},
    statement::State,
    yop,
};

impl YeePay {
    /// What it tells of how something ended, signed and sealed to the core. The key is all that anybody needs to seal, so that others
    /// do, too; or they write their words in the clear.
    pub(super) fn notice(&self, order: &str, end: &End) -> Option<Notice> {
        let told = |succeeded: bool| {
            json!({"merchantNo": "10080000001", "orderId": order, "orderAmount": end.amount, "note": "西瓜",
                "status": if succeeded { "SUCCESS" } else { "FAIL" }})
            .to_string()
        };
        let letter = |succeeded: bool, response: String| {
            let fields =
                [("customerIdentification", "app_10080000000".to_owned()), ("response", response)];
            let fields: Fields =
                fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            let body = form::write(&fields, UTF_8, false)?;
            Some(Letter { told: State::of(succeeded), body, ..Letter::default() })
        };
        let key = format!("{:016x}", dice(self.hub.seed, &["envelope", order]));
        let (truth, other) = (end.words.is_none(), end.words.is_some());
        let sealed = |by: &Key, succeeded| yop::enclose(by, &self.core, &key, &told(succeeded));
        Some(Notice {
            channel: self.name,
            path: "/notify/yeepay",
            content_type: "application/x-www-form-urlencoded;charset=UTF-8",
            order: order.to_owned(),
            is_payment: true,
            is_readable: false,
            truth: State::of(truth),
            named: vec![],
            genuine: Some(letter(truth, sealed(&self.own, truth)?)?),
            forged: vec![letter(other, sealed(&self.forger, other)?)?, letter(other, told(other))?],
        })
    }
}
