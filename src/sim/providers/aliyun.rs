//! Bank card meta verification as Aliyun offers it (`BankMetaVerify`), signed with ACS3-HMAC-SHA256.

use encoding_rs::UTF_8;
use serde_json::json;

use crate::sim::{
    form,
    keys::{hmac, sha256_hex},
    providers::{Protocol, Register, Reply, Request, Said},
    world::{CardState, Tuple},
};

/// The provider's own key pair.
pub(in crate::sim) struct Aliyun {
    pub(in crate::sim) key_id: String,
    pub(in crate::sim) key_secret: String,
}

impl Aliyun {
    fn is_authentic(&self, request: &Request) -> Option<bool> {
        let parts = request.authorization("ACS3-HMAC-SHA256 ")?;
        let signed = *parts.get("SignedHeaders")?;
        let text = format!(
            "ACS3-HMAC-SHA256\n{}",
            sha256_hex(request.canonical(signed, false).as_bytes())
        );
        let date: jiff::Timestamp = request.header("x-acs-date").parse().ok()?;
        let fresh = jiff::Timestamp::now().as_second().abs_diff(date.as_second()) <= 900;
        let names: Vec<_> = signed.split(';').collect();
        let covered = [
            "host",
            "x-acs-action",
            "x-acs-content-sha256",
            "x-acs-date",
            "x-acs-signature-nonce",
            "x-acs-version",
        ]
        .iter()
        .all(|name| names.contains(name) && !request.header(name).is_empty());
        Some(
            fresh
                && covered
                && request.header("x-acs-content-sha256") == sha256_hex(&request.body)
                && *parts.get("Credential")? == self.key_id
                && *parts.get("Signature")? == hex::encode(hmac(self.key_secret.as_bytes(), &text)),
        )
    }
}

impl Protocol for Aliyun {
    const NAME: &'static str = "aliyun";

    fn register(&self, _: &Request) -> Register {
        Register::Bank { lag_days: 45, mixed: false }
    }

    fn read(&self, request: &Request) -> Result<Tuple, Reply> {
        let refuse = |code: &str| {
            let body = json!({"Code": code, "Message": code, "RequestId": "0"}).to_string();
            Err(Reply { status: 400, body, code: code.into(), billable: false })
        };
        if self.is_authentic(request) != Some(true) {
            return refuse("SignatureDoesNotMatch");
        }
        if request.header("x-acs-action") != "BankMetaVerify"
            || request.header("x-acs-version") != "2019-03-07"
        {
            return refuse("InvalidAction.NotFound");
        }
        let Some(mut fields) = form::parse(&request.body, UTF_8) else { return refuse("400") };
        fields.extend(form::parse(request.query.as_bytes(), UTF_8).unwrap_or_default());
        let mut some = |key| fields.remove(key).filter(|value| !value.is_empty());
        let tuple = Tuple {
            name: some("UserName"),
            id_number: some("IdentifyNum"),
            pan: some("BankCard"),
            phone: some("Mobile"),
        };
        let full = tuple.name.is_some() && tuple.id_number.is_some() && tuple.pan.is_some();
        if some("ParamType").as_deref() != Some("normal")
            || some("VerifyMode").as_deref() != Some("VERIFY_BANK_CARD")
        {
            return refuse("401");
        }
        match some("ProductType").as_deref() {
            Some("BANK_CARD_4_META") if full && tuple.phone.is_some() => Ok(tuple),
            Some("BANK_CARD_3_META") if full => Ok(Tuple { phone: None, ..tuple }),
            Some("BANK_CARD_2_META") if tuple.name.is_some() && tuple.pan.is_some() => {
                Ok(Tuple { phone: None, id_number: None, ..tuple })
            }
            _ => refuse("401"),
        }
    }

    fn inquiry(&self, request: &Request) -> Option<String> {
        Some(request.header("x-acs-signature-nonce").to_owned())
    }

    fn write(&self, _: &Request, said: &Said) -> Reply {
        let (business, sub, billable) = match said {
            Said::Match => ("1", "101", true),
            Said::NoMatch(_) => ("2", "201", true),
            Said::State(CardState::Lost) => ("2", "204", true),
            Said::State(_) => ("2", "205", true),
            Said::NoRecord => ("3", "304", false),
            Said::Unsupported => ("3", "301", false),
            Said::Strange => ("2", "299", true),
            Said::Limited => return envelope("Throttling.User"),
            Said::Invalid => return envelope("401"),
            Said::Busy => return envelope("500"),
        };
        let result = json!({"BizCode": business, "SubCode": sub});
        let body =
            json!({"Code": "200", "Message": "success", "RequestId": "0", "ResultObject": result})
                .to_string();
        Reply { status: 200, body, code: format!("{business}/{sub}"), billable }
    }
}

/// An answer without a result.
fn envelope(code: &str) -> Reply {
    let body = json!({"Code": code, "Message": code, "RequestId": "0"}).to_string();
    Reply { status: 200, body, code: code.into(), billable: false }
}
