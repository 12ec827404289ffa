//! Operator three elements (name, ID number, phone) as marketplaces sell them, behind an APPCODE.

use encoding_rs::UTF_8;
use serde_json::json;

use crate::sim::{
    form,
    providers::{Protocol, Register, Reply, Request, Said},
    world::Tuple,
};

/// The code that buyers send.
pub(in crate::sim) struct Operator3 {
    pub(in crate::sim) appcode: String,
}

impl Protocol for Operator3 {
    const NAME: &'static str = "operator3";

    fn register(&self, _: &Request) -> Register {
        Register::Operator
    }

    fn read(&self, request: &Request) -> Result<Tuple, Reply> {
        if request.header("authorization") != format!("APPCODE {}", self.appcode) {
            return Err(Reply {
                status: 403,
                body: "Unauthorized".into(),
                code: "http_403".into(),
                billable: false,
            });
        }
        let mut fields = form::parse(&request.body, UTF_8).unwrap_or_default();
        let mut some = |key| fields.remove(key).filter(|value| !value.is_empty());
        let tuple = Tuple {
            name: some("name"),
            id_number: some("idCard"),
            phone: some("mobile"),
            pan: None,
        };
        if tuple.name.is_none() || tuple.id_number.is_none() || tuple.phone.is_none() {
            return Err(reply("400", "参数错误", None));
        }
        Ok(tuple)
    }

    fn write(&self, _: &Request, said: &Said) -> Reply {
        match said {
            Said::Match => reply("200", "成功", Some("1")),
            Said::NoMatch(_) => reply("200", "成功", Some("2")),
            Said::NoRecord | Said::State(_) | Said::Unsupported => reply("200", "成功", Some("3")),
            Said::Invalid => reply("400", "参数错误", None),
            // The marketplace itself limits, and knows nothing of people.
            Said::Limited => Reply {
                status: 429,
                body: "Throttled".into(),
                code: "http_429".into(),
                billable: false,
            },
            Said::Busy => reply("999", "系统繁忙", None),
            Said::Strange => reply("200", "成功", Some("9")),
        }
    }
}

/// A match and a mismatch cost money, and the answer says so.
fn reply(code: &str, msg: &str, result: Option<&str>) -> Reply {
    let billable = matches!(result, Some("1" | "2"));
    let body = json!({
        "code": code, "msg": msg, "isFee": i32::from(billable), "seqNo": "0",
        "data": result.map(|result| json!({"result": result, "mobileChannel": "cmcc"})),
    });
    Reply { status: 200, body: body.to_string(), code: result.unwrap_or(code).into(), billable }
}
