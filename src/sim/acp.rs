//! Signing and wrapping as `UnionPay` ACP 5.1.0 does.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use encoding_rs::Encoding;

use crate::sim::{
    form::{Fields, decode, encode, field},
    keys::{Key, sha256_hex},
    world::Tuple,
};

/// What is signed: the hex SHA-256 of the decoded pairs, sorted, `signature` left out, in the message's charset.
fn digest(fields: &Fields, charset: &'static Encoding) -> Option<String> {
    let pairs = fields
        .iter()
        .filter(|(key, _)| *key != "signature")
        .map(|(key, value)| format!("{key}={value}"));
    Some(sha256_hex(&encode(&pairs.collect::<Vec<_>>().join("&"), charset)?))
}

/// Adds `signature`; nothing when the charset cannot carry a value.
pub(super) fn sign(fields: &mut Fields, charset: &'static Encoding, key: &Key) -> Option<()> {
    let signature = key.sign(digest(fields, charset)?.as_bytes()).ok()?;
    fields.insert("signature".into(), signature);
    Some(())
}

/// Whether `signature` is the key's over the other pairs.
pub(super) fn verify(fields: &Fields, charset: &'static Encoding, key: &Key) -> bool {
    digest(fields, charset)
        .is_some_and(|digest| key.verify(digest.as_bytes(), field(fields, "signature")))
}

/// `customerInfo`: base64 of `{k=v&k=v}`.
pub(super) fn wrap_customer(
    told: &Tuple,
    sms_code: Option<&str>,
    charset: &'static Encoding,
) -> Option<String> {
    let mut pairs = vec![];
    if let Some(id_number) = &told.id_number {
        pairs.push(format!("certifTp=01&certifId={id_number}"));
    }
    for (key, value) in [("customerNm", &told.name), ("phoneNo", &told.phone)] {
        pairs.extend(value.as_ref().map(|value| format!("{key}={value}")));
    }
    pairs.extend(sms_code.map(|code| format!("smsCode={code}")));
    Some(STANDARD.encode(encode(&format!("{{{}}}", pairs.join("&")), charset)?))
}

/// The elements of a message, from `accNo` and `customerInfo`.
pub(super) fn elements(fields: &Fields, charset: &'static Encoding) -> Option<Tuple> {
    let mut tuple = Tuple { pan: fields.get("accNo").cloned(), ..Tuple::default() };
    if let Some(wrapped) = fields.get("customerInfo") {
        let text = decode(&STANDARD.decode(wrapped).ok()?, charset)?;
        let inner = text.strip_prefix('{')?.strip_suffix('}')?;
        let value = |key: &str| {
            inner
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(k, _)| *k == key)
                .map(|(_, v)| v.to_owned())
        };
        tuple.name = value("customerNm");
        tuple.id_number = value("certifId");
        tuple.phone = value("phoneNo");
    }
    Some(tuple)
}
