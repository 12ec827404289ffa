//! Reading of identity cards, from a market, behind an APPCODE: it says what a made-up picture says in plain words.

use encoding_rs::UTF_8;
use serde_json::json;

use crate::sim::{
    form,
    providers::{Protocol, Register, Reply, Request, Said, face::shown},
    world::Tuple,
};

/// Whose card any other picture is: the example of GB 11643 itself.
const ANYBODY: (&str, &str) = ("测试", "11010519491231002X");

/// The code that buyers send.
pub(in crate::sim) struct IdCard {
    pub(in crate::sim) appcode: String,
}

impl Protocol for IdCard {
    const NAME: &'static str = "id-card";

    fn register(&self, _: &Request) -> Register {
        Register::Nobody
    }

    fn read(&self, request: &Request) -> Result<Tuple, Reply> {
        if request.header("authorization") != format!("APPCODE {}", self.appcode) {
            let body = "Unauthorized".into();
            return Err(Reply { status: 403, body, code: "http_403".into(), billable: false });
        }
        let fields = form::parse(&request.body, UTF_8).unwrap_or_default();
        let is_front = fields.get("side").is_some_and(|side| side == "front");
        if is_front && fields.get("image").is_some_and(|image| !image.is_empty()) {
            Ok(Tuple::default())
        } else {
            Err(refusal("1003", false))
        }
    }

    fn write(&self, request: &Request, said: &Said) -> Reply {
        match said {
            Said::Match => (),
            // It reads a picture, and says nothing about whose it is.
            Said::NoMatch(_) | Said::NoRecord => return refusal("1001", true),
            Said::State(_) | Said::Unsupported => return refusal("1002", false),
            Said::Invalid => return refusal("1003", false),
            Said::Limited => return refusal("1004", false),
            Said::Busy => return refusal("9999", false),
            Said::Strange => return refusal("7777", true),
        }
        let fields = form::parse(&request.body, UTF_8).unwrap_or_default();
        let shown = fields.get("image").and_then(|image| shown(image)).unwrap_or_default();
        let card = shown.strip_prefix("card ").and_then(|card| card.split_once(','));
        let (name, number) = card.unwrap_or(ANYBODY);
        let result = json!({ "name": name, "idNo": number, "nation": "汉", "side": "front" });
        let body = json!({ "code": "0", "msg": "ok", "result": result }).to_string();
        Reply { status: 200, body, code: "0".into(), billable: true }
    }
}

fn refusal(code: &str, billable: bool) -> Reply {
    let body = json!({ "code": code, "msg": "failed" }).to_string();
    Reply { status: 200, body, code: code.into(), billable }
}
