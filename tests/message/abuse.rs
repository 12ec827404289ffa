//! What was once read otherwise than a channel reads it: one test a defect, on profiles of its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hefu::config;
use hefu::message::extract::{self, Payments, Request};
use hefu::message::outcome;
use hefu::message::profile::Profile;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The profile of a channel with `text` in its file.
fn profile(text: &str) -> Profile {
    let place = tempfile::TempDir::new().unwrap();
    let file = place.path().join("acme.toml");
    let head = "name = 'acme'\nroute = [{ path = '/' }]\nanswer.format = 'json'";
    fs::write(&file, format!("{head}\n{text}")).unwrap();
    config::profile(&file, &BTreeMap::new()).map_err(|problems| problems.to_string()).unwrap()
}

/// The scenario, or of a batch how many rows; or why there is none.
fn show(profile: &Profile, request: &Request<'_>) -> String {
    match extract::extract(profile, request) {
        Ok(extracted) => match &extracted.payments {
            Payments::One(part) => {
                let (order, sealed) = (part.payment.order.as_ref(), part.sealed);
                let order = order.map_or("-", |order| &order.0);
                format!("{} {order} [{sealed}]", part.payment.scenario.as_str())
            }
            Payments::Rows(rows) => {
                let batch = extracted.order.as_ref().map_or("-", |order| &order.0);
                format!("{batch}: {} rows", rows.len())
            }
        },
        Err(error) => error.to_string(),
    }
}

fn check(profile: &Profile, body: &str, expected: &str) {
    assert_eq!(show(profile, &Request::post("/", "", body.as_bytes())), expected, "{body}");
}

/// A field `@msgtp` of the body was read as the header of that name, where the header was absent.
#[test]
fn a_field_of_the_body_is_no_header() {
    let check = |body: &str, header: Option<&str>, expected: &str| {
        let profile = profile(
            "request.format = 'json'\n[[message]]\nscenario = 'query'\nwhen = { '@msg-tp' = 'Q' }",
        );
        let headers: Vec<_> =
            header.map(|value| ("msg-tp", value.as_bytes())).into_iter().collect();
        let request = Request { headers: &headers, ..Request::post("/", "", body.as_bytes()) };
        assert_eq!(show(&profile, &request), expected, "{body}");
    };
    let faked = "a field that would be a header at `body`";
    check("{}", Some("Q"), "query - []");
    check("{}", None, "the profile lists no such message");
    check(r#"{"x":{"@msg-tp":"Q"}}"#, Some("Q"), "query - []");
    check(r#"{"@msg-tp":"Q"}"#, None, faked);
    check(r#"{"@other":"Q"}"#, Some("Q"), faked);
    check(r#"{" @msg-tp":"Q"}"#, Some("Q"), faked);
    let plain = profile("request.format = 'json'\n[[message]]\nscenario = 'query'\nwhen.a = '1'");
    self::check(&plain, r#"{"a":1,"@b":2}"#, "query - []");
}

/// `msg_tp` beside `msg-tp` is one variable to CGI, PHP and WSGI, and only `msg-tp` was read.
#[test]
fn a_header_that_cgi_takes_for_another_is_ambiguous() {
    let profile = profile(
        "request.format = 'json'\n[[message]]\nscenario = 'query'\nwhen = { '@msg-tp' = 'Q' }",
    );
    let check = |names: &[&str], expected: &str| {
        let headers: Vec<_> = names.iter().map(|name| (*name, b"Q".as_slice())).collect();
        let request = Request { headers: &headers, ..Request::post("/", "", b"{}") };
        assert_eq!(show(&profile, &request), expected, "{names:?}");
    };
    check(&["msg-tp"], "query - []");
    check(&["msg-tp", "msg-tp"], "a repeated key at `@msg-tp`");
    check(&["msg-tp", "msg_tp"], "a repeated key at `@msg-tp`");
    check(&["msg_tp"], "a header that some readers take for another at `@msg-tp`");
    check(&["msg.tp"], "a header that some readers take for another at `@msg-tp`");
    check(&["msgtp"], "the profile lists no such message");
}

/// `{a={&certifId=1}}` hid a pair within braces from us, and not from a reader that splits at every `&`.
#[test]
fn braces_within_braces_hide_nothing() {
    let profile = profile(
        "request = { format = 'pairs', unwrap = [{ at = 'info', steps = ['brace_form'] }] }\n\
         [[message]]\nscenario = 'query'\nwhen.a = '1'\norder = ['info/x']",
    );
    check(&profile, "a=1&info={x=1&y=2}", "query 1 []");
    check(&profile, "a=1&b={x=1&y=2}", "query - []");
    let forms = self::profile(
        "request = { format = 'form', unwrap = [{ at = 'info', steps = ['brace_form'] }] }\n\
         [[message]]\nscenario = 'query'\nwhen.a = '1'\norder = ['info/x']",
    );
    let hidden = "a brace within braces at `info`";
    check(&forms, "a=1&info={x=1%26y=2}", "query 1 []");
    for inner in ["y={%26x=2}", "y={z}%26x=2", "y=1}%26x=2", "y=z{", "{y=1"] {
        check(&forms, &format!("a=1&info={{{inner}}}"), hidden);
    }
}

/// 60,000 attributes of one tag were compared each with all before it, and namespaces at every depth with all inherited.
#[test]
fn attributes_are_bounded_before_they_are_compared() {
    let profile = profile(
        "request = { format = 'xml', root = 'm' }\n[[message]]\nscenario = 'query'\nwhen.a = '1'",
    );
    let attribute = |at: usize| format!(" a{at}='=>'");
    let attributes = |count: usize| (0..count).map(attribute).collect::<String>();
    let check = |body: &str, expected: &str| {
        assert_eq!(show(&profile, &Request::post("/", "", body.as_bytes())), expected);
    };
    let many = "too many attributes at `xml`";
    check(&format!("<m{}><a>1</a></m>", attributes(256)), "query - []");
    check(&format!("<m{}><a>1</a></m>", attributes(257)), many);
    check(&format!("<m><a>1</a><b{}/></m>", attributes(257)), many);
    check(&format!("<m><a>1</a><b>{}</b></m>", "=".repeat(1000)), "query - []");
    check(&format!("<m><a>1</a><b><![CDATA[{}]]></b></m>", "=".repeat(1000)), "query - []");
    check(&format!("<m><a>1</a><b c='{}'/></m>", "=".repeat(1000)), "query - []");
    let nested = |count: usize| {
        let open = |at: usize| format!("<b xmlns:p{at}='q'>");
        let open = (0..count).map(open).collect::<String>();
        format!("<m><a>1</a><c>{open}{}</c></m>", "</b>".repeat(count))
    };
    check(&nested(10), "query - []");
    check(&nested(257), many);
}

/// A channel that reads the sealed copy of a field was judged by the one outside.
#[test]
fn two_copies_of_a_field_are_the_same() {
    let text = "same = [['kind', 'inner/kind']]\nrequest = { format = 'json', unwrap = UNWRAP }\n\
         [[message]]\nscenario = 'query'\nwhen.kind = '31'";
    let open = profile(&text.replace("UNWRAP", "[{ at = 'inner', steps = ['json'] }]"));
    let inner = |text: &str| format!(r#"{{"kind":"31","inner":{}}}"#, serde_json::json!(text));
    check(&open, &inner(r#"{"kind":"31"}"#), "query - []");
    check(&open, &inner("{}"), "query - []");
    check(&open, r#"{"kind":"31"}"#, "query - []");
    let differs = "a copy that differs at `inner/kind`";
    check(&open, &inner(r#"{"kind":"16"}"#), differs);
    check(&open, &inner(r#"{"kind":""}"#), differs);
    check(&open, &inner(r#"{"kind":"31 "}"#), differs);
    check(&open, r#"{"inner":"{\"kind\":\"31\"}"}"#, differs);
    let twin = "a key that some readers take for another at `inner/kind`";
    check(&open, &inner(r#"{"KIND":"16"}"#), twin);
    let sealed =
        profile(&text.replace("UNWRAP", "[{ at = 'inner', steps = [{ open_blocks = 'k' }] }]"));
    check(&sealed, &inner("00"), "query - []");
}

/// A batch whose rows we have no key to was unreadable, and its queries too.
#[test]
fn a_sealed_batch_is_one_payment_and_its_query_passes() {
    let profile = profile(
        "request = { format = 'json', unwrap = [{ at = 'inner', steps = [{ open_blocks = 'k' }] }] }\n\
         [[message]]\nscenario = 'payout'\nwhen.kind = '1'\nrows = 'inner/rows'\nrow = ['./no']\norder = ['batch']\n\
         amount = { field = './money', unit = 'fen' }\nelements = { pan = './card', name = './name' }\n\
         [[message]]\nscenario = 'payout'\nwhen.kind = '2'\nrows = 'inner/rows'\nrow = ['./no']\norder = ['member']\n\
         merchant = 'member'\namount = { field = './money', unit = 'fen' }\n\
         [[message]]\nscenario = 'query'\nwhen.kind = '3'\nrows = 'inner/rows'\nrow = ['./no']",
    );
    check(&profile, r#"{"kind":1,"batch":"B1","inner":"00"}"#, "payout B1 [name pan]");
    check(&profile, r#"{"kind":2,"member":"M","inner":"00"}"#, "payout - []");
    check(&profile, r#"{"kind":3,"inner":"00"}"#, "query - []");
    check(&profile, r#"{"kind":3}"#, "no rows at `inner/rows`");
}

/// Every batch of a merchant was claimed by the merchant's own name, where the channel gives a batch none: the second was refused.
#[test]
fn a_merchant_names_no_batch() {
    let profile = profile(
        "request.format = 'json'\n[[message]]\nscenario = 'payout'\nwhen.kind = '1'\nrows = 'rows'\nrow = ['./no']\n\
         order = ['member']\nmerchant = 'member'\namount = { field = './money', unit = 'fen' }",
    );
    let body = r#"{"kind":1,"member":"M","rows":[{"no":1,"money":1},{"no":2,"money":1}]}"#;
    check(&profile, body, "-: 2 rows");
}

/// With `at = "*"` the error named the message's own key, which `detail` told the core and the log.
#[test]
fn an_error_names_no_key_of_the_message() {
    let profile = profile(
        "request = { format = 'form', unwrap = [{ at = '*', steps = ['base64'] }] }\n[[message]]\nscenario = 'query'\nwhen.a = '1'",
    );
    check(&profile, "a=1&13800000000=!", "not base64 at `*`");
}

/// A request that was logged for debugging would have shown its body and what the core told beside it.
#[test]
fn a_request_does_not_show_its_elements() {
    let headers = [("x-name", b"6200000000000005".as_slice())];
    let (query, told) = (Some("pan=6200000000000005"), Some("6200000000000005"));
    let body = b"6200000000000005";
    let request = Request { query, told, headers: &headers, ..Request::post("/pay", "", body) };
    assert_eq!(format!("{request:?}"), "Request { method: \"POST\", path: \"/pay\", .. }");
}

/// PHP and Rails frameworks take the method from a field `_method` of a `POST`.
#[test]
fn a_field_that_overrides_the_method_is_ambiguous() {
    let text = "request.format = 'FORMAT'\n[[message]]\nscenario = 'query'\nwhen.a = '1'\n[[message]]\nscenario = 'bind'\nmethod = 'PUT'\nwhen.a = '1'";
    let overrides = "a field that overrides the method at `body`";
    let form = profile(&text.replace("FORMAT", "form"));
    check(&form, "a=1&method=PUT", "query - []");
    for field in ["_method=PUT", "_METHOD=put", "%5Fmethod=PUT", "_method[]=PUT", ".method=PUT"] {
        check(&form, &format!("a=1&{field}"), overrides);
    }
    let json = profile(&text.replace("FORMAT", "json"));
    check(&json, r#"{"a":1,"_method":"PUT"}"#, overrides);
    check(&json, r#"{"a":1,"b":{"_method":"PUT"}}"#, "query - []");
    let put = Request { method: "PUT", ..Request::post("/", "", b"a=1&_method=x") };
    assert_eq!(show(&form, &put), "bind - []");
}

/// `138 0000 0000` was measured by its parts, put together, and kept.
#[test]
fn a_code_is_no_number_of_an_element_whatever_parts_its_digits() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/channels/lianlian.toml");
    let profile = config::profile(&file, &BTreeMap::new());
    let profile = profile.map_err(|problems| problems.to_string()).unwrap();
    let message = profile.messages.first().unwrap();
    let check = |code: &str, expected: &str| {
        let body = serde_json::json!({ "ret_code": code }).to_string();
        let read = outcome::read(&profile, message, None, body.as_bytes()).whole();
        assert_eq!(read.code.as_deref(), Some(expected), "{code}");
    };
    check("PR000000", "PR000000");
    check("1234567890", "1234567890");
    check("1 2\u{3000}3", "123");
    let phones =
        ["13800000000", "138 0000 0000", "138\u{3000}00000000", "138-0000-0000", "tel138x00000000"];
    for code in phones {
        check(code, "too-many-digits");
    }
}

/// A batch of 2,000 rows looked up its order and merchant once for each, among all the fields around it.
#[test]
fn what_rows_share_is_read_once_and_is_of_each() {
    let text = "request.format = 'json'\n[[message]]\nscenario = 'payout'\nwhen.kind = '1'\nrows = 'rows'\nrow = ['./no']\n\
         order = ['member', 'batch']\nmerchant = MERCHANT\namount = { field = './money', unit = 'fen' }";
    let check = |merchant: &str, body: &str, expected: &str| {
        let profile = profile(&text.replace("MERCHANT", merchant));
        let extracted = extract::extract(&profile, &Request::post("/", "", body.as_bytes()));
        let shown = match extracted.as_ref().map(|extracted| &extracted.payments) {
            Ok(Payments::Rows(rows)) => rows
                .iter()
                .map(|row| {
                    let order = row.payment.order.as_ref().map_or("-", |order| &order.0);
                    let merchant = row.payment.merchant.as_ref().map_or("-", |it| &it.0);
                    format!("{order} {merchant}")
                })
                .collect::<Vec<_>>()
                .join(", "),
            Ok(Payments::One(_)) => "one".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{body}");
    };
    let rows = r#""rows":[{"no":1,"money":1,"own":"X"},{"no":2,"money":1}]"#;
    let whole = format!(r#"{{"kind":1,"member":"M","batch":"B",{rows}}}"#);
    check("'member'", &whole, "M|B|1 M, M|B|2 M");
    check("'./own'", &whole, "M|B|1 X, M|B|2 -");
    check("'member'", &whole.replace(r#""batch":"B","#, ""), "no order at `batch`");
    check(
        "'member'",
        &whole.replace("batch", "BATCH"),
        "a key that some readers take for another at `batch`",
    );
    check("'MEMBER'", &whole, "a key that some readers take for another at `MEMBER`");
}

/// JSON was decoded by a label that it does not have: a channel that reads UTF-8 read another name.
#[test]
fn a_label_changes_nothing_of_json() {
    let message = "[[message]]\nscenario = 'query'\nwhen.a = '1'\norder = ['x']";
    let check = |request: &str, kind: &str, body: &[u8], expected: &str| {
        let profile = profile(&format!("request = {{ format = 'json'{request} }}\n{message}"));
        assert_eq!(show(&profile, &Request::post("/", kind, body)), expected, "{request} {kind}");
    };
    let (utf8, gbk) =
        ("{\"a\":1,\"x\":\"张三\"}".as_bytes(), b"{\"a\":1,\"x\":\"\xD5\xC5\xC8\xFD\"}");
    let contradictory = "contradictory charsets at `charset`";
    check("", "application/json", utf8, "query 张三 []");
    check("", "application/json;charset=utf-8", utf8, "query 张三 []");
    check("", "application/json;charset=GBK", utf8, contradictory);
    check("", "application/json;charset=GBK", gbk, contradictory);
    check(
        ", charset = { default = 'GBK' }",
        "application/json;charset=gb2312",
        gbk,
        "query 张三 []",
    );
    check(", charset = { default = 'GBK' }", "application/json", gbk, "query 张三 []");
    // Nor does that of what is around it.
    let inner = |charset: &str, kind: &str, json: &[u8], expected: &str| {
        let profile = profile(&format!(
            "request = {{ format = 'form', unwrap = [{{ at = 'i', steps = ['base64', 'json'] }}] {charset} }}\n{}",
            message.replace("'x'", "'i/x'"),
        ));
        let body = format!("a=1&i={}", STANDARD.encode(json).replace('+', "%2B"));
        let shown = show(&profile, &Request::post("/", kind, body.as_bytes()));
        assert_eq!(shown, expected, "{charset} {kind}");
    };
    inner("", "x/y;charset=GBK", utf8, "query 张三 []");
    inner("", "x/y", utf8, "query 张三 []");
    inner(", charset = { default = 'GBK' }", "x/y;charset=UTF-8", gbk, "query 张三 []");
}
