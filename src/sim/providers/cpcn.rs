//! Four elements and the account's level (message 2132), as JSON behind a token.

use serde_json::{Value, json};

use crate::sim::{
    baofoo::text,
    providers::{Protocol, Register, Reply, Request, Said},
    world::Tuple,
};

/// What buyers are known by.
pub(in crate::sim) struct Cpcn {
    pub(in crate::sim) institution: String,
    pub(in crate::sim) token: String,
}

impl Protocol for Cpcn {
    const NAME: &'static str = "cpcn";

    fn register(&self, _: &Request) -> Register {
        Register::Bank { lag_days: 10, mixed: false }
    }

    fn product(&self, request: &Request) -> &'static str {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if text(&body, "AccountLevel") == "1" { Self::NAME } else { "cpcn-other-level" }
    }

    fn leaves_open(&self, code: &str) -> bool {
        code == "10"
    }

    fn read(&self, request: &Request) -> Result<Tuple, Reply> {
        if request.header("authorization") != format!("Bearer {}", self.token) {
            let body = "Unauthorized".into();
            return Err(Reply { status: 401, body, code: "http_401".into(), billable: false });
        }
        let invalid = || reply("2801", "", "");
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| invalid())?;
        let some = |key| Some(text(&body, key)).filter(|value| !value.is_empty());
        let known = text(&body, "InstitutionID") == self.institution
            && text(&body, "TxCode") == "2132"
            && text(&body, "IdentificationType") == "0"
            && matches!(text(&body, "AccountLevel").as_str(), "1" | "2" | "3");
        let tuple = Tuple {
            name: some("Name"),
            id_number: some("IdentificationNumber"),
            pan: some("AccountNumber"),
            phone: some("PhoneNumber"),
        };
        let full = tuple.name.is_some()
            && tuple.id_number.is_some()
            && tuple.pan.is_some()
            && tuple.phone.is_some();
        if known && full { Ok(tuple) } else { Err(invalid()) }
    }

    fn write(&self, request: &Request, said: &Said) -> Reply {
        match said {
            Said::Match if has_level(request) => reply("2000", "0000", "20"),
            Said::Match | Said::NoMatch(_) => reply("2000", "0000", "30"),
            Said::NoRecord | Said::State(_) => reply("2000", "0000", "10"),
            Said::Unsupported => reply("2000", "0302", ""),
            Said::Limited => reply("2000", "0301", ""),
            Said::Invalid => reply("2801", "", ""),
            Said::Busy => reply("2000", "9999", ""),
            Said::Strange => reply("2000", "0000", "40"),
        }
    }
}

/// Whether the account has the level that is asked: here those are class II whose number ends with 7, all others class I.
fn has_level(request: &Request) -> bool {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let level = if text(&body, "AccountNumber").ends_with('7') { "2" } else { "1" };
    text(&body, "AccountLevel") == level
}

fn reply(code: &str, response: &str, verification: &str) -> Reply {
    let body = json!({
        "Code": code, "Message": "", "ResponseCode": response, "Verification": verification,
    });
    let words = [verification, response, code];
    let last = words.into_iter().find(|word| !word.is_empty()).unwrap_or_default();
    let billable = matches!(verification, "20" | "30");
    Reply { status: 200, body: body.to_string(), code: last.into(), billable }
}
