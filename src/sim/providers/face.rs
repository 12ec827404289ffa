//! Faces: a comparison with the population register's picture, signed with TC3-HMAC-SHA256, and liveness of one picture, behind an APPCODE.
//!
//! Nobody's face is here: a made-up picture says in plain words whom it shows and how well. Any other picture is of whoever it is said to be.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use encoding_rs::UTF_8;
use serde_json::{Value, json};

use crate::sim::{
    baofoo::text,
    form,
    providers::{Protocol, Register, Reply, Request, Said, tencent::Tencent},
    world::Tuple,
};

/// How a JPEG begins.
const JPEG: [u8; 4] = [0xFF, 0xD8, 0xFF, 0xE0];
/// What a made-up picture says before it says whom it shows.
const SHOWS: &str = "made-up picture of ";

/// A made-up picture as the base64 of a JPEG: of an identity number; of `blurred` and one; of `a screen`; of `card NAME,NUMBER`. `bytes` long, at least.
pub fn picture(of: &str, bytes: usize) -> String {
    let mut picture = JPEG.to_vec();
    picture.extend(format!("{SHOWS}{of}\n").as_bytes());
    picture.resize(picture.len().max(bytes), b'.');
    STANDARD.encode(picture)
}

/// Whom a made-up picture shows.
pub(super) fn shown(base64: &str) -> Option<String> {
    let picture = String::from_utf8_lossy(&STANDARD.decode(base64).ok()?).into_owned();
    let (_, of) = picture.split_once(SHOWS)?;
    Some(of.split('\n').next().unwrap_or_default().to_owned())
}

/// The comparison, for whoever has the other APIs of the house.
pub(in crate::sim) struct Face {
    pub(in crate::sim) house: Tencent,
}

impl Protocol for Face {
    const NAME: &'static str = "face";

    fn register(&self, _: &Request) -> Register {
        Register::Police
    }

    fn read(&self, request: &Request) -> Result<Tuple, Reply> {
        if self.house.is_authentic(request) != Some(true) {
            return Err(error("AuthFailure.SignatureFailure", false));
        }
        let known = request.header("x-tc-action") == "ImageRecognition"
            && request.header("x-tc-version") == "2018-03-01";
        if !known {
            return Err(error("InvalidAction", false));
        }
        let body: Value =
            serde_json::from_slice(&request.body).map_err(|_| error("InvalidParameter", false))?;
        let some = |key| Some(text(&body, key)).filter(|value| !value.is_empty());
        let tuple = Tuple { name: some("Name"), id_number: some("IdCard"), ..Tuple::default() };
        let whole = tuple.name.is_some() && tuple.id_number.is_some();
        if whole && some("ImageBase64").is_some() {
            Ok(tuple)
        } else {
            Err(error("MissingParameter", false))
        }
    }

    fn write(&self, request: &Request, said: &Said) -> Reply {
        match said {
            Said::Match => (),
            Said::NoMatch(_) => return error("FailedOperation.IdNameMisMatch", true),
            Said::NoRecord => return error("FailedOperation.IdNoExistSystem", false),
            Said::State(_) | Said::Unsupported => {
                return error("FailedOperation.IdPhotoNoExist", false);
            }
            Said::Limited => return error("RequestLimitExceeded", false),
            Said::Invalid => return error("FailedOperation.ImageNoFace", false),
            Said::Busy => return error("FailedOperation.CompareFail", false),
            Said::Strange => return error("FailedOperation.Strange", true),
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (id, shown) = (text(&body, "IdCard"), shown(&text(&body, "ImageBase64")));
        let likeness = match shown.as_deref() {
            None => 95.5,
            Some(of) if of == id => 95.5,
            Some(of) if of.strip_prefix("blurred ") == Some(&id) => 74.0,
            Some(_) => 31.25,
        };
        let body = json!({"Response": {
            "Result": "Success", "Description": "成功", "Sim": likeness,
            "RequestId": "00000000-0000-4000-8000-000000000000",
        }});
        Reply { status: 200, body: body.to_string(), code: "Success".into(), billable: true }
    }
}

fn error(code: &str, billable: bool) -> Reply {
    let body = json!({"Response": {"Error": {"Code": code, "Message": code}, "RequestId": "00000000-0000-4000-8000-000000000000"}});
    Reply { status: 200, body: body.to_string(), code: code.into(), billable }
}

/// Liveness of one picture, from a market.
pub(in crate::sim) struct Liveness {
    pub(in crate::sim) appcode: String,
}

impl Protocol for Liveness {
    const NAME: &'static str = "liveness";

    fn register(&self, _: &Request) -> Register {
        Register::Nobody
    }

    fn read(&self, request: &Request) -> Result<Tuple, Reply> {
        if request.header("authorization") != format!("APPCODE {}", self.appcode) {
            let body = "Unauthorized".into();
            return Err(Reply { status: 403, body, code: "http_403".into(), billable: false });
        }
        match form::parse(&request.body, UTF_8) {
            Some(fields) if fields.get("image").is_some_and(|image| !image.is_empty()) => {
                Ok(Tuple::default())
            }
            _ => Err(refusal("1003")),
        }
    }

    fn write(&self, request: &Request, said: &Said) -> Reply {
        let live = match said {
            Said::Match => true,
            Said::NoMatch(_) => false,
            Said::NoRecord => return refusal("1001"),
            Said::State(_) | Said::Unsupported => return refusal("1002"),
            Said::Invalid => return refusal("1003"),
            Said::Limited => return refusal("1004"),
            Said::Busy => return refusal("9999"),
            Said::Strange => return refusal("7777"),
        };
        let fields = form::parse(&request.body, UTF_8).unwrap_or_default();
        let shown = fields.get("image").and_then(|image| shown(image));
        let score = if live && shown.as_deref() != Some("a screen") { 0.93 } else { 0.12 };
        let (code, data) = (if live { "0" } else { "1" }, json!({ "score": score }));
        let body = json!({ "code": code, "msg": "ok", "data": data }).to_string();
        Reply { status: 200, body, code: code.into(), billable: true }
    }
}

fn refusal(code: &str) -> Reply {
    let body = json!({ "code": code, "msg": "failed" }).to_string();
    Reply { status: 200, body, code: code.into(), billable: false }
}
