//! Bank card, operator and identity verification as Tencent Cloud API 3.0 offers them, signed with TC3-HMAC-SHA256.

use serde_json::{Value, json};

use crate::sim::{
    baofoo::text,
    keys::{hmac, sha256_hex},
    providers::{Protocol, Register, Reply, Request, Said},
    world::{CardState, Element, Tuple},
};

/// The provider's own secret pair.
pub(in crate::sim) struct Tencent {
    pub(in crate::sim) secret_id: String,
    pub(in crate::sim) secret_key: String,
}

impl Tencent {
    pub(super) fn is_authentic(&self, request: &Request) -> Option<bool> {
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

/// One API: what it asks, whom, and its own numbers.
struct Action {
    name: &'static str,
    /// As what it is billed.
    product: &'static str,
    needs: &'static [Element],
    register: Register,
    /// Match, no match, no record, lost, expired, restricted, not supported, too often, invalid, busy.
    codes: [i32; 10],
    billed: fn(i32) -> bool,
}

const BANK: Register = Register::Bank { lag_days: 90, mixed: true };

const ACTIONS: &[Action] = &[
    Action {
        name: "BankCard4EVerification",
        product: Tencent::NAME,
        needs: &[Element::Name, Element::IdNumber, Element::Pan, Element::Phone],
        register: BANK,
        codes: [0, -6, -9, -13, -14, -15, -17, -19, -3, -18],
        billed: |code| matches!(code, -1 | 0 | -17..=-6),
    },
    Action {
        name: "BankCardVerification",
        product: Tencent::NAME,
        needs: &[Element::Name, Element::IdNumber, Element::Pan],
        register: BANK,
        codes: [0, -5, -8, -12, -13, -14, -16, -18, -4, -17],
        billed: |code| matches!(code, -1 | 0 | -16..=-5),
    },
    Action {
        name: "BankCard2EVerification",
        product: Tencent::NAME,
        needs: &[Element::Name, Element::Pan],
        register: BANK,
        codes: [0, -4, -7, -11, -12, -13, -15, -17, -3, -16],
        billed: |code| matches!(code, -1 | 0 | -15..=-4 | -18),
    },
    Action {
        name: "PhoneVerification",
        product: Tencent::NAME,
        needs: &[Element::Name, Element::IdNumber, Element::Phone],
        register: Register::Operator,
        codes: [0, -4, -9, -9, -9, -9, -9, -12, -6, -11],
        billed: |code| matches!(code, 0 | -4),
    },
    Action {
        name: "IdCardVerification",
        product: "tencent-identity",
        needs: &[Element::Name, Element::IdNumber],
        register: Register::Police,
        codes: [0, -1, -5, -5, -5, -5, -5, -7, -2, -4],
        billed: |code| matches!(code, 0 | -1),
    },
];

impl Action {
    fn of(request: &Request) -> Option<&'static Self> {
        ACTIONS.iter().find(|action| action.name == request.header("x-tc-action"))
    }

    fn code(&self, said: &Said) -> i32 {
        let [right, wrong, none, lost, expired, restricted, unsupported, often, invalid, busy] =
            self.codes;
        match said {
            Said::Match => right,
            Said::NoMatch(_) => wrong,
            Said::NoRecord => none,
            Said::State(CardState::Lost) => lost,
            Said::State(CardState::Expired) => expired,
            Said::State(_) => restricted,
            Said::Unsupported => unsupported,
            Said::Limited => often,
            Said::Invalid => invalid,
            Said::Busy => busy,
            Said::Strange => -99,
        }
    }
}

impl Protocol for Tencent {
    const NAME: &'static str = "tencent";

    fn register(&self, request: &Request) -> Register {
        Action::of(request).map_or(BANK, |action| action.register)
    }

    fn product(&self, request: &Request) -> &'static str {
        Action::of(request).map_or(Self::NAME, |action| action.product)
    }

    fn read(&self, request: &Request) -> Result<Tuple, Reply> {
        if self.is_authentic(request) != Some(true) {
            return Err(error("AuthFailure.SignatureFailure"));
        }
        let action = Action::of(request).filter(|_| request.header("x-tc-version") == "2018-03-01");
        let action = action.ok_or_else(|| error("InvalidAction"))?;
        let body: Value =
            serde_json::from_slice(&request.body).map_err(|_| error("InvalidParameter"))?;
        let some = |element, key| {
            let value = Some(text(&body, key)).filter(|value| !value.is_empty());
            value.filter(|_| action.needs.contains(&element))
        };
        let tuple = Tuple {
            name: some(Element::Name, "Name"),
            id_number: some(Element::IdNumber, "IdCard"),
            pan: some(Element::Pan, "BankCard"),
            phone: some(Element::Phone, "Phone"),
        };
        if action.needs.iter().any(|element| tuple.get(*element).is_none()) {
            return Err(error("MissingParameter"));
        }
        Ok(tuple)
    }

    fn write(&self, request: &Request, said: &Said) -> Reply {
        let Some(action) = Action::of(request) else { return error("InvalidAction") };
        let result = action.code(said);
        let operator = matches!(action.register, Register::Operator);
        let isp = if operator { "移动" } else { "" };
        let body = json!({"Response": {
            "Result": result.to_string(), "Description": "结果", "Isp": isp,
            "RequestId": "00000000-0000-4000-8000-000000000000",
        }});
        let billable = (action.billed)(result);
        Reply { status: 200, body: body.to_string(), code: result.to_string(), billable }
    }
}

fn error(code: &str) -> Reply {
    let body = json!({"Response": {"Error": {"Code": code, "Message": code}, "RequestId": "00000000-0000-4000-8000-000000000000"}});
    Reply { status: 200, body: body.to_string(), code: code.into(), billable: false }
}
