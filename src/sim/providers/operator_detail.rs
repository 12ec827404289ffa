//! Operator three elements with detail: the answer says which element is wrong. Behind an APPCODE.

use encoding_rs::UTF_8;
use serde_json::json;

use crate::sim::{
    form,
    providers::{Protocol, Register, Reply, Request, Said},
    world::{Element, Tuple},
};

/// The code that buyers send.
pub(in crate::sim) struct OperatorDetail {
    pub(in crate::sim) appcode: String,
}

impl Protocol for OperatorDetail {
    const NAME: &'static str = "operator-detail";

    fn register(&self, _: &Request) -> Register {
        Register::Operator
    }

    fn read(&self, request: &Request) -> Result<Tuple, Reply> {
        if request.header("authorization") != format!("APPCODE {}", self.appcode) {
            let body = "Unauthorized".into();
            return Err(Reply { status: 403, body, code: "http_403".into(), billable: false });
        }
        let mut fields = form::parse(&request.body, UTF_8).unwrap_or_default();
        let mut some = |key| fields.remove(key).filter(|value| !value.is_empty());
        let tuple = Tuple {
            name: some("name"),
            id_number: some("idcard"),
            phone: some("mobile"),
            pan: None,
        };
        if tuple.name.is_none() || tuple.id_number.is_none() || tuple.phone.is_none() {
            return Err(refusal("10002"));
        }
        Ok(tuple)
    }

    fn write(&self, _: &Request, said: &Said) -> Reply {
        let state = match said {
            Said::Match => "1",
            Said::NoMatch(wrong) => match wrong.as_slice() {
                [Element::Name] => "3",
                [Element::IdNumber] => "4",
                _ => "2",
            },
            Said::Unsupported | Said::State(_) => "5",
            Said::Strange => "9",
            Said::NoRecord => return refusal("10001"),
            Said::Invalid => return refusal("10002"),
            Said::Limited => return refusal("10003"),
            Said::Busy => return refusal("10004"),
        };
        let data = json!({
            "state": state, "isTrans": "1", "operator": "cmcc", "operator_real": "ctcc",
        });
        let body = json!({"code": "10000", "message": "成功", "data": data}).to_string();
        let billable = matches!(state, "1" | "2" | "3" | "4");
        Reply { status: 200, body, code: state.into(), billable }
    }
}

fn refusal(code: &str) -> Reply {
    let body = json!({"code": code, "message": "失败"}).to_string();
    Reply { status: 200, body, code: code.into(), billable: false }
}
