//! Bank card four elements as Tencent Cloud API 3.0 offers them (`BankCard4EVerification`), signed with TC3-HMAC-SHA256.

use serde_json::{Value, json};

use crate::sim::{
    baofoo::text,
    keys::{hmac, sha256_hex},
    providers::{Protocol, Reply, Request, Said},
    world::{CardState, Tuple},
};

/// The provider's own secret pair.
pub(in crate::sim) struct Tencent {
    pub(in crate::sim) secret_id: String,
    pub(in crate::sim) secret_key: String,
}

impl Tencent {
    fn is_authentic(&self, request: &Request) -> Option<bool> {
        let stamp = request.header("x-tc-timestamp");
        let seconds: i64 = stamp.parse().ok()?;
        let parts = request.authorization("TC3-HMAC-SHA256 ")?;
        let date = jiff::Timestamp::from_second(seconds).ok()?.strftime("%Y-%m-%d").to_string();
        let scope = format!("{date}/faceid/tc3_request");
        let signed = *parts.get("SignedHeaders")?;
        let text = format!(
            "TC3-HMAC-SHA256\n{stamp}\n{scope}\n{}",
            sha256_hex(request.canonical(signed, true).as_bytes())
        );
        let key = [date.as_str(), "faceid", "tc3_request"]
            .iter()
            .fold(format!("TC3{}", self.secret_key).into_bytes(), |key, part| hmac(&key, part));
        let fresh = jiff::Timestamp::now().as_second().abs_diff(seconds) <= 300;
        let names: Vec<_> = signed.split(';').collect();
        Some(
            fresh
                && names.contains(&"content-type")
                && names.contains(&"host")
                && *parts.get("Credential")? == format!("{}/{scope}", self.secret_id)
                && *parts.get("Signature")? == hex::encode(hmac(&key, &text)),
        )
    }
}

impl Protocol for Tencent {
    const NAME: &'static str = "tencent";
    const LAG_DAYS: Option<u32> = Some(90);
    const MIXED: bool = true;

    fn read(&self, request: &Request) -> Result<Tuple, Reply> {
        if self.is_authentic(request) != Some(true) {
            return Err(error("AuthFailure.SignatureFailure"));
        }
        if request.header("x-tc-action") != "BankCard4EVerification"
            || request.header("x-tc-version") != "2018-03-01"
        {
            return Err(error("InvalidAction"));
        }
        let body: Value =
            serde_json::from_slice(&request.body).map_err(|_| error("InvalidParameter"))?;
        let some = |key| Some(text(&body, key)).filter(|value| !value.is_empty());
        let tuple = Tuple {
            name: some("Name"),
            id_number: some("IdCard"),
            pan: some("BankCard"),
            phone: some("Phone"),
        };
        if tuple.name.is_none()
            || tuple.id_number.is_none()
            || tuple.pan.is_none()
            || tuple.phone.is_none()
        {
            return Err(error("MissingParameter"));
        }
        Ok(tuple)
    }

    fn write(&self, _: &Request, said: Said) -> Reply {
        let (result, description, billable) = match said {
            Said::Match => ("0", "认证通过", true),
            Said::NoMatch => ("-6", "持卡人信息有误", true),
            Said::NoRecord => ("-9", "无效卡号", true),
            Said::State(CardState::Lost) => ("-13", "该卡已挂失", true),
            Said::State(CardState::Expired) => ("-14", "卡已过期", true),
            Said::State(_) => ("-15", "受限制的卡", true),
            Said::Busy => ("-18", "系统繁忙", false),
        };
        let body = json!({"Response": {"Result": result, "Description": description, "RequestId": "00000000-0000-4000-8000-000000000000"}});
        Reply { status: 200, body: body.to_string(), code: result.into(), billable }
    }
}

fn error(code: &str) -> Reply {
    let body = json!({"Response": {"Error": {"Code": code, "Message": code}, "RequestId": "00000000-0000-4000-8000-000000000000"}});
    Reply { status: 200, body: body.to_string(), code: code.into(), billable: false }
}
