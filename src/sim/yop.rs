//! Signing as `YeePay`'s open platform does: `yop-auth-v3` with `YOP-RSA2048-SHA256`, form values percent-encoded twice on the wire.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use encoding_rs::UTF_8;
use openssl::symm::{Cipher, encrypt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::sim::{
    channel::Request,
    form::{self, Fields},
    keys::{Key, sha256_hex},
};

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const ALGORITHM: &str = "YOP-RSA2048-SHA256";
const APP_KEY: &str = "x-yop-appkey";
const CONTENT: &str = "x-yop-content-sha256";
const REQUEST_ID: &str = "x-yop-request-id";

/// What a request carries, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// `GET`: the pairs are the query.
    Query(Fields),
    /// `POST` of a form.
    Form(Fields),
    /// `POST` of a JSON text.
    Json(String),
}

/// Who asks for what, and when (`2026-01-01T00:00:00Z`).
pub(super) struct Call<'a> {
    pub(super) app_key: &'a str,
    pub(super) request_id: &'a str,
    pub(super) time: &'a str,
    pub(super) path: &'a str,
}

/// A signed request, as it goes over the wire.
pub(super) struct Signed {
    /// The path, and the query where there is one.
    pub(super) path: String,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// `k=v&k=v`, sorted, encoded once: what is signed.
fn once(fields: &Fields) -> String {
    let pairs = fields.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// The same encoded twice: what is sent.
fn twice(fields: &Fields) -> String {
    let pairs =
        fields.iter().map(|(key, value)| format!("{}={}", encode(key), encode(&encode(value))));
    pairs.collect::<Vec<_>>().join("&")
}

/// Reads pairs that were encoded twice. Whatever `once` would have written otherwise is an error.
fn read_twice(raw: &[u8]) -> Option<Fields> {
    let mut fields = Fields::new();
    for (key, value) in form::parse(raw, UTF_8)? {
        let plain = percent_decode_str(&value).decode_utf8().ok()?.into_owned();
        if encode(&plain) != value {
            return None;
        }
        fields.insert(key, plain);
    }
    Some(fields)
}

/// `$` and the digest's name end every signature; base64 is URL-safe and unpadded.
fn signature(key: &Key, text: &str) -> Option<String> {
    let plain = key.sign(text.as_bytes()).ok()?;
    Some(format!("{}$SHA256", plain.replace('+', "-").replace('/', "_").trim_end_matches('=')))
}

fn is_signed(key: &Key, text: &str, signature: &str) -> bool {
    let Some(safe) = signature.strip_suffix("$SHA256") else { return false };
    if safe.contains(['+', '/', '=']) {
        return false;
    }
    let mut plain = safe.replace('-', "+").replace('_', "/");
    while !plain.len().is_multiple_of(4) {
        plain.push('=');
    }
    key.verify(text.as_bytes(), &plain)
}

fn canonical(auth: &str, (method, path, query): (&str, &str, &str), headers: &str) -> String {
    format!("{auth}\n{method}\n{path}\n{query}\n{headers}")
}

/// Signs a request and writes it as it is sent.
pub(super) fn sign(key: &Key, call: &Call<'_>, content: &Content) -> Option<Signed> {
    let (method, query, hashed) = match content {
        Content::Query(fields) => ("GET", once(fields), String::new()),
        Content::Form(fields) => ("POST", String::new(), once(fields)),
        Content::Json(text) => ("POST", String::new(), text.clone()),
    };
    let hash = sha256_hex(hashed.as_bytes());
    let signed = [(APP_KEY, call.app_key), (CONTENT, hash.as_str()), (REQUEST_ID, call.request_id)];
    let lines = signed.map(|(name, value)| format!("{}:{}", encode(name), encode(value)));
    let names = signed.map(|(name, _)| name).join(";");
    let auth = format!("yop-auth-v3/{}/{}/1800", call.app_key, call.time);
    let text = canonical(&auth, (method, call.path, &query), &lines.join("\n"));
    let mut headers: Vec<_> =
        signed.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    headers
        .push(("authorization", format!("{ALGORITHM} {auth}/{names}/{}", signature(key, &text)?)));
    let form = "application/x-www-form-urlencoded;charset=UTF-8";
    let path = call.path.to_owned();
    Some(match content {
        Content::Query(fields) => {
            let path = format!("{path}?{}", twice(fields));
            Signed { path, content_type: form, headers, body: vec![] }
        }
        Content::Form(fields) => {
            Signed { path, content_type: form, headers, body: twice(fields).into_bytes() }
        }
        Content::Json(text) => Signed {
            path,
            content_type: "application/json",
            headers,
            body: text.clone().into_bytes(),
        },
    })
}

/// Verifies a request and yields what it carries, or the platform's own sub-code for what is wrong.
pub(super) fn open(key: &Key, request: &Request<'_>) -> Result<Content, &'static str> {
    const FORMAT: &str = "isv.check.request-param.format";
    const DIGEST: &str = "isv.authentication.digest.integrity-checking-failure";
    const SIGNATURE: &str = "isv.authentication.digest.verify-failure";
    let header = |name: &str| {
        let mut values = request.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
    };
    let is_json = header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    let content = match (request.method, request.query) {
        ("GET", query) => Content::Query(read_twice(query.as_bytes()).ok_or(FORMAT)?),
        ("POST", "") if is_json => {
            Content::Json(String::from_utf8(request.body.to_vec()).map_err(|_| FORMAT)?)
        }
        ("POST", "") => Content::Form(read_twice(request.body).ok_or(FORMAT)?),
        _ => return Err("sys.limit.http-method"),
    };
    let (query, hashed) = match &content {
        Content::Query(fields) => (once(fields), String::new()),
        Content::Form(fields) => (String::new(), once(fields)),
        Content::Json(text) => (String::new(), text.clone()),
    };
    if header(CONTENT) != Some(sha256_hex(hashed.as_bytes()).as_str()) {
        return Err(DIGEST);
    }
    let given = header("authorization").and_then(|value| value.strip_prefix(ALGORITHM));
    let parts: Vec<_> = given.unwrap_or_default().trim_start().split('/').collect();
    let ["yop-auth-v3", app_key, time, expiry, names, signature] = parts.as_slice() else {
        return Err(SIGNATURE);
    };
    let listed: Vec<_> = names.split(';').collect();
    let lines = listed
        .iter()
        .map(|name| Some(format!("{}:{}", encode(name), encode(header(name)?.trim()))));
    let lines = lines.collect::<Option<Vec<_>>>().ok_or(SIGNATURE)?;
    let complete = [APP_KEY, CONTENT, REQUEST_ID].iter().all(|name| listed.contains(name));
    let auth = format!("yop-auth-v3/{app_key}/{time}/{expiry}");
    let text = canonical(&auth, (request.method, request.path, &query), &lines.join("\n"));
    let signed = complete && header(APP_KEY) == Some(*app_key) && is_signed(key, &text, signature);
    if signed { Ok(content) } else { Err(SIGNATURE) }
}

fn bare(body: &str) -> String {
    body.replace([' ', '\t', '\n'], "")
}

/// `x-yop-sign`: over the body without spaces, tabs and line feeds.
pub(super) fn sign_answer(key: &Key, body: &str) -> Option<String> {
    signature(key, &bare(body))
}

/// Whether `signature` is the platform's over this body.
pub(super) fn is_answer_signed(key: &Key, body: &[u8], signature: &str) -> bool {
    std::str::from_utf8(body).is_ok_and(|body| is_signed(key, &bare(body), signature))
}

/// The envelope of a notification: a fresh AES key for the `receiver` alone, and under it the text and whose it is.
pub(super) fn enclose(by: &Key, receiver: &Key, key: &str, text: &str) -> Option<String> {
    let safe = |base64: String| {
        base64.replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned()
    };
    let content = format!("{text}${}", safe(by.sign(text.as_bytes()).ok()?));
    let sealed = encrypt(Cipher::aes_128_ecb(), key.as_bytes(), None, content.as_bytes()).ok()?;
    Some(format!(
        "{}${}$AES$SHA256",
        safe(receiver.conceal(key).ok()?),
        safe(STANDARD.encode(sealed))
    ))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn call() -> Call<'static> {
        Call {
            app_key: "app_10086032562",
            request_id: "00000000-0000-4000-8000-000000000001",
            time: "2026-01-01T00:00:00Z",
            path: "/rest/v1.0/trade/refund",
        }
    }

    #[test]
    fn what_is_written_is_what_the_platform_publishes_as_vectors() {
        let key = Key::new(2048).unwrap();
        let check = |content: Content, hash: &str, body: &str| {
            let signed = sign(&key, &call(), &content).unwrap();
            let sent = signed.headers.iter().find(|(name, _)| *name == CONTENT).unwrap();
            assert_eq!(sent.1, hash);
            assert_eq!(String::from_utf8(signed.body).unwrap(), body);
        };
        let refund = [
            ("merchantNo", "10086032562"),
            ("orderId", "TEST_ORDER_20260101_001"),
            ("refundRequestId", "REFUND_20260101_001"),
            ("refundAmount", "0.01"),
            ("description", "测试退款"),
        ];
        check(
            Content::Form(fields(&refund)),
            "a95bf5b62724cdd27e199e50ee2af246d9268f8752d02f0288ad16fc97fef710",
            "description=%25E6%25B5%258B%25E8%25AF%2595%25E9%2580%2580%25E6%25AC%25BE&merchantNo=10086032562\
             &orderId=TEST_ORDER_20260101_001&refundAmount=0.01&refundRequestId=REFUND_20260101_001",
        );
        let json = r#"{"merchantNo":"10086032562","orderId":"TEST_ORDER_20260101_001","orderAmount":"0.01","goodsName":"测试商品"}"#;
        check(
            Content::Json(json.into()),
            "3529747095a7e29bcacbbdfa9314f6785f880279cedd629608f9d65a17d3e001",
            json,
        );
        check(
            Content::Query(fields(&[("orderId", "TEST ORDER")])),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "",
        );
        assert_eq!(once(&fields(&[("orderId", "TEST ORDER_1")])), "orderId=TEST%20ORDER_1");
    }

    #[test]
    fn what_is_signed_verifies_and_what_is_changed_does_not() {
        let key = Key::new(2048).unwrap();
        let traps =
            fields(&[("a", "x+y %2B&=\"·𠮷"), ("empty", ""), ("url", "https://a.example/?b=c~*")]);
        let json = r#"{"name":"阿·丽","note":"a+b c"}"#.to_owned();
        for content in [Content::Query(traps.clone()), Content::Form(traps), Content::Json(json)] {
            let signed = sign(&key, &call(), &content).unwrap();
            let headers = |edit: Option<(&str, &str)>| {
                let mut map = HeaderMap::new();
                for (name, value) in signed
                    .headers
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .chain([("content-type", signed.content_type)])
                {
                    let value =
                        edit.filter(|(edited, _)| *edited == name).map_or(value, |(_, new)| new);
                    map.insert(
                        axum::http::HeaderName::try_from(name).unwrap(),
                        value.parse().unwrap(),
                    );
                }
                map
            };
            let method = if matches!(content, Content::Query(_)) { "GET" } else { "POST" };
            let open_as = |path: &str, query: &str, headers: &HeaderMap, body: &[u8]| {
                open(&key, &Request { method, path, query, headers, body })
            };
            let (path, query) = signed.path.split_once('?').unwrap_or((&signed.path, ""));
            let body = signed.body.as_slice();
            assert_eq!(open_as(path, query, &headers(None), body), Ok(content.clone()));
            assert!(open_as("/rest/v1.0/trade/order", query, &headers(None), body).is_err());
            for edit in
                [(APP_KEY, "app_2"), (REQUEST_ID, "2"), (CONTENT, "00"), ("authorization", "none")]
            {
                assert!(open_as(path, query, &headers(Some(edit)), body).is_err(), "{edit:?}");
            }
            for at in 0..body.len() {
                let mut changed = body.to_vec();
                changed[at] ^= 1;
                assert!(open_as(path, query, &headers(None), &changed).is_err(), "byte {at}");
            }
            for at in 0..query.len() {
                let mut changed = query.as_bytes().to_vec();
                changed[at] ^= 1;
                let changed = String::from_utf8(changed).unwrap();
                assert!(open_as(path, &changed, &headers(None), body).is_err(), "query {at}");
            }
        }
    }

    #[test]
    fn an_answer_is_signed_without_its_white_space() {
        let key = Key::new(2048).unwrap();
        let signature = sign_answer(&key, "{\"result\": {\n\t\"code\": \"UA00000\"}}").unwrap();
        assert!(is_answer_signed(&key, br#"{"result":{"code":"UA00000"}}"#, &signature));
        assert!(!is_answer_signed(&key, br#"{"result":{"code":"UA00001"}}"#, &signature));
    }
}
