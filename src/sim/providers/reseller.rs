//! Bank card elements through a reseller: a form with an MD5 signature, and a flag that says whether the answer is billed.

use encoding_rs::UTF_8;
use openssl::hash::{MessageDigest, hash};
use serde_json::json;

use crate::sim::{
    form::{self, Fields, field},
    providers::{Protocol, Register, Reply, Request, Said},
    world::{Element, Tuple},
};

/// What buyers are known by.
pub(in crate::sim) struct Reseller {
    pub(in crate::sim) account: String,
    pub(in crate::sim) secret: String,
}

impl Reseller {
    fn is_authentic(&self, fields: &Fields) -> bool {
        let pairs: Vec<String> = fields
            .iter()
            .filter(|(key, value)| *key != "sign" && !value.is_empty())
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let text = format!("{}&secret={}", pairs.join("&"), self.secret);
        let digest = hash(MessageDigest::md5(), text.as_bytes());
        digest.is_ok_and(|digest| hex::encode(digest) == field(fields, "sign"))
            && field(fields, "account") == self.account
    }
}

impl Protocol for Reseller {
    const NAME: &'static str = "reseller";

    fn register(&self, _: &Request) -> Register {
        Register::Bank { lag_days: 30, mixed: false }
    }

    fn read(&self, request: &Request) -> Result<Tuple, Reply> {
        let mut fields = form::parse(&request.body, UTF_8).unwrap_or_default();
        if !self.is_authentic(&fields) {
            return Err(reply("4002", None, false));
        }
        let mut some = |key| fields.remove(key).filter(|value: &String| !value.is_empty());
        let tuple = Tuple {
            name: some("name"),
            id_number: some("cert_no"),
            pan: some("account_no"),
            phone: some("mobile"),
        };
        let has = [&tuple.name, &tuple.pan, &tuple.id_number, &tuple.phone];
        let asked = match some("auth_type").as_deref() {
            Some("2") => [true, true, false, false],
            Some("3") => [true, true, true, false],
            Some("4") => [true; 4],
            _ => return Err(reply("4001", None, false)),
        };
        if has.map(Option::is_some) == asked { Ok(tuple) } else { Err(reply("4001", None, false)) }
    }

    fn write(&self, _: &Request, said: &Said) -> Reply {
        match said {
            Said::Match => reply("0000", None, true),
            Said::NoMatch(wrong) if *wrong == [Element::Phone] => reply("5001", Some("02"), true),
            Said::NoMatch(_) => reply("5001", Some("01"), true),
            Said::NoRecord => reply("5001", Some("03"), false),
            Said::State(_) => reply("5001", Some("04"), true),
            Said::Unsupported => reply("5001", Some("05"), false),
            Said::Limited => reply("4003", None, true),
            Said::Invalid => reply("4001", None, false),
            Said::Busy => reply("9999", None, false),
            Said::Strange => reply("5001", Some("77"), true),
        }
    }
}

fn reply(code: &str, detail: Option<&str>, billable: bool) -> Reply {
    let body = json!({
        "status": "1", "code": code, "detailRespCode": detail.unwrap_or_default(),
        "auth_count": 1, "is_cost": i32::from(billable),
    });
    let code = detail.unwrap_or(code).to_owned();
    Reply { status: 200, body: body.to_string(), code, billable }
}
