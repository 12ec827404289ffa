//! Registers of businesses, of graduates and of railway passengers through one house: a form with an MD5 signature.

use encoding_rs::UTF_8;
use openssl::hash::{MessageDigest, hash};
use serde_json::json;

use crate::sim::{
    form::{self, Fields, field},
    providers::{Protocol, Register, Reply, Request, Said},
    world::{Element, Tuple},
};

/// What buyers are known by.
pub(in crate::sim) struct Registry {
    pub(in crate::sim) account: String,
    pub(in crate::sim) secret: String,
}

impl Registry {
    fn is_authentic(&self, fields: &Fields) -> bool {
        let pairs: Vec<String> = fields
            .iter()
            .filter(|(key, value)| *key != "sign" && !value.is_empty())
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let text = format!("{}&key={}", pairs.join("&"), self.secret);
        let digest = hash(MessageDigest::md5(), text.as_bytes());
        digest.is_ok_and(|digest| hex::encode_upper(digest) == field(fields, "sign"))
            && field(fields, "account") == self.account
    }
}

impl Protocol for Registry {
    const NAME: &'static str = "registry";

    fn register(&self, request: &Request) -> Register {
        match request.path.as_str() {
            "/business/verify" => Register::Nobody,
            _ => Register::Police,
        }
    }

    fn read(&self, request: &Request) -> Result<Tuple, Reply> {
        let mut fields = form::parse(&request.body, UTF_8).unwrap_or_default();
        if !self.is_authentic(&fields) {
            return Err(reply("4002", false));
        }
        let needs: &[&str] = match request.path.as_str() {
            "/business/verify" => &["company", "code"],
            "/education/verify" | "/railway/verify" => &["name", "cert_no"],
            _ => return Err(reply("4001", false)),
        };
        if needs.iter().any(|need| field(&fields, need).is_empty()) {
            return Err(reply("4001", false));
        }
        let mut some = |key| fields.remove(key).filter(|value: &String| !value.is_empty());
        let (name, legal) = (some("name"), some("legal_person"));
        Ok(Tuple { name: name.or(legal), id_number: some("cert_no"), ..Tuple::default() })
    }

    fn write(&self, _: &Request, said: &Said) -> Reply {
        match said {
            Said::Match => reply("0000", true),
            Said::NoMatch(wrong) if *wrong == [Element::Name] => reply("1001", true),
            Said::NoMatch(_) => reply("1000", true),
            Said::NoRecord => reply("2000", false),
            Said::State(_) | Said::Unsupported => reply("3000", false),
            Said::Limited => reply("4003", false),
            Said::Invalid => reply("4001", false),
            Said::Busy => reply("9999", false),
            Said::Strange => reply("7777", true),
        }
    }
}

fn reply(code: &str, billable: bool) -> Reply {
    let body = json!({ "code": code, "msg": "made up" }).to_string();
    Reply { status: 200, body, code: code.to_owned(), billable }
}
