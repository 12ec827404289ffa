//! One line per abuse case of HTTP framing.

use super::{Framing, Head, Length, check_head, is_reserved, overrides};

const OK: &str = "ok";

fn read(line: &str, fields: &str) -> Result<Head, Framing> {
    check_head(format!("{line}\r\n{fields}\r\n").as_bytes())
}

fn check(line: &str, fields: &str, expected: &str) {
    let said = read(line, fields).map_or_else(|framing| format!("{framing:?}"), |_| OK.to_owned());
    assert_eq!(said, expected, "{line} {fields:?}");
}

fn fields(fields: &str, expected: &str) {
    check("POST /a HTTP/1.1", &format!("Host: bank\r\n{fields}"), expected);
}

#[test]
fn a_body_has_one_length() {
    fields("Content-Length: 10\r\n", OK);
    fields("content-length:0\r\n", OK);
    fields("Transfer-Encoding: chunked\r\n", OK);
    fields("Transfer-Encoding: Chunked\r\n", OK);
    fields("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "Length");
    fields("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "Length");
    fields("Transfer-Encoding: gzip\r\nContent-Length: 3\r\n", "Length");
    fields("Transfer-Encoding: ,chunked\r\n", "Length");
    fields("Transfer-Encoding: gzip, chunked\r\n", "Length");
    fields("Transfer-Encoding: chunked, chunked\r\n", "Length");
    fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Length");
    fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "Length");
    fields("Transfer-Encoding: xchunked\r\n", "NotImplemented");
    fields("Transfer-Encoding: identity\r\n", "NotImplemented");
    fields("Transfer-Encoding: \"chunked\"\r\n", "Length");
    fields("Transfer-Encoding:\r\n", "NotImplemented");
    for value in [
        "010",
        "+10",
        "-1",
        "0x10",
        "1 0",
        "10,10",
        "10, 10",
        "",
        "1e3",
        "9999999999999999999",
        "１０",
    ] {
        fields(&format!("Content-Length: {value}\r\n"), "Length");
    }
    fields("Content-Length: 10\r\nContent-Length: 10\r\n", "Length");
    fields("Content-Length: 10\r\nContent-Length: 11\r\n", "Length");
    check("POST /a HTTP/1.0", "Host: bank\r\nTransfer-Encoding: chunked\r\n", "Length");
}

#[test]
fn a_head_has_one_reading() {
    fields("X-A: b\tc\r\n", OK);
    fields("Content-Type: a/b\r\nContent-Encoding: gzip\r\n", OK);
    fields("Content-Type: a/b\r\ncontent-type: a/b\r\n", "Repeated");
    fields("Content-Encoding: identity\r\nContent-Encoding: gzip\r\n", "Repeated");
    fields("X-Gbk: \u{4e2d}\r\n", OK);
    fields("X-A: b\nX-B: c\r\n", "Bytes");
    fields("X-A: b\rX-B: c\r\n", "Bytes");
    fields("X-A: b\r\r\n", "Bytes");
    fields("X-A: b\0\r\n", "Bytes");
    fields("X-A: b\x07\r\n", "Bytes");
    fields("X-A: b\x7f\r\n", "Bytes");
    fields("X-A: b\r\n c\r\n", "Syntax");
    fields("X-A : b\r\n", "Syntax");
    fields(" X-A: b\r\n", "Syntax");
    fields("X A: b\r\n", "Syntax");
    fields(": b\r\n", "Syntax");
    fields("X-A\r\n", "Syntax");
    fields("X-(A): b\r\n", "Syntax");
    fields(&"X-A: b\r\n".repeat(99), OK);
    fields(&"X-A: b\r\n".repeat(100), "TooLarge");
    for line in [
        "POST  /a HTTP/1.1",
        "POST /a  HTTP/1.1",
        "POST /a",
        "POST /a b HTTP/1.1",
        " POST /a HTTP/1.1",
        "\r\nGET /a HTTP/1.1",
    ] {
        check(line, "Host: bank\r\n", "Syntax");
    }
    check("POST\t/a HTTP/1.1", "Host: bank\r\n", "Syntax");
}

#[test]
fn other_protocols_are_not_implemented() {
    check("GET /a HTTP/1.0", "Host: bank\r\n", OK);
    for line in [
        "GET /a HTTP/2.0",
        "GET /a HTTP/1.2",
        "GET /a HTTP/0.9",
        "GET /a HTTP/11",
        "PRI * HTTP/2.0",
    ] {
        check(line, "Host: bank\r\n", "NotImplemented");
    }
    check("GET /a http/1.1", "Host: bank\r\n", "Syntax");
    check("CONNECT bank:443 HTTP/1.1", "Host: bank\r\n", "NotImplemented");
    check("TRACE /a HTTP/1.1", "Host: bank\r\n", "NotImplemented");
    fields("Upgrade: websocket\r\nConnection: Upgrade\r\n", "NotImplemented");
    fields("Upgrade: h2c\r\n", "NotImplemented");
    fields("Connection: close, Upgrade\r\n", "NotImplemented");
    fields("HTTP2-Settings: AAMAAABkAAQAAP__\r\n", "NotImplemented");
}

#[test]
fn a_request_names_one_host() {
    let host = |fields: &str, expected: &str| check("GET /a HTTP/1.1", fields, expected);
    host("Host: bank.example:8443\r\n", OK);
    host("Host: [::1]:80\r\n", OK);
    host("", "Host");
    check("GET /a HTTP/1.0", "", "Host");
    for value in [
        "",
        "bank, evil",
        "user@bank",
        "bank/x",
        "bank.",
        ".bank",
        "bank:",
        "bank:x",
        "bank:+1",
        "bank:99999",
        "ba nk",
        "中",
    ] {
        host(&format!("Host: {value}\r\n"), "Host");
    }
    host("Host: bank\r\nHost: bank\r\n", "Host");
    host("Host: bank\r\nhost: evil\r\n", "Host");
    check("GET http://bank/a HTTP/1.1", "Host: bank\r\n", OK);
    check("GET http://BANK/a HTTP/1.1", "Host: bank\r\n", OK);
    check("GET http://evil/a HTTP/1.1", "Host: bank\r\n", "Host");
    check("GET http://user@bank/a HTTP/1.1", "Host: bank\r\n", "Host");
    check("GET http://bank:80/a HTTP/1.1", "Host: bank\r\n", "Host");
    check("GET http://bank HTTP/1.1", "Host: bank\r\n", "Path");
    check("GET https://bank/a HTTP/1.1", "Host: bank\r\n", "Path");
    check("OPTIONS * HTTP/1.1", "Host: bank\r\n", "Path");
    check("GET bank:80 HTTP/1.1", "Host: bank\r\n", "Path");
}

#[test]
fn an_ambiguous_path_is_refused() {
    for path in [
        "/a//b",
        "/a/../b",
        "/%2e%2e/b",
        "/a;b",
        "/a%2fb",
        "/a%5cb",
        "/a\\b",
        "/a#b",
        "/a?b#c",
        "/%c0%ae",
    ] {
        check(&format!("GET {path} HTTP/1.1"), "Host: bank\r\n", "Path");
    }
    check("GET /a?b=../c//d;e%2f HTTP/1.1", "Host: bank\r\n", OK);
}

#[test]
fn expectations_and_connection_names_are_known() {
    fields("Expect: 100-continue\r\n", OK);
    fields("Expect: 200-ok\r\n", "Expectation");
    fields("Expect: 100-continue\r\nExpect: 100-continue\r\n", "Expectation");
    fields("Connection: close, X-A\r\n", OK);
    fields("Connection: Host\r\n", "Connection");
    fields("Connection: keep-alive, Content-Length\r\n", "Connection");
}

#[test]
fn what_was_read_is_told() {
    let raw = b"POST http://Bank:80/A%41?x=1&Y=2 HTTP/1.1\r\nHost: bank:80\r\nTransfer-Encoding: chunked\r\nExpect: 100-Continue\r\n\r\n";
    let head = check_head(raw).unwrap();
    assert_eq!(&raw[head.target.clone()], b"/A%41?x=1&Y=2");
    assert_eq!(
        (head.path.as_str(), head.query.as_deref(), head.host.as_str()),
        ("/aa", Some("x=1&Y=2"), "bank")
    );
    assert_eq!(
        (head.length, head.expects_continue, head.keep_alive),
        (Length::Chunked, true, true)
    );
}

#[test]
fn a_connection_lives_as_both_agree() {
    let keep_alive =
        |line, fields: &str| read(line, &format!("Host: b\r\n{fields}")).unwrap().keep_alive;
    assert!(keep_alive("GET / HTTP/1.1", ""));
    assert!(!keep_alive("GET / HTTP/1.1", "Connection: foo, Close\r\n"));
    assert!(!keep_alive("GET / HTTP/1.0", ""));
    assert!(keep_alive("GET / HTTP/1.0", "Connection: Keep-Alive\r\n"));
}

#[test]
fn overrides_are_found() {
    let found = |target: &str, fields: &str| {
        overrides(
            &read(&format!("POST {target} HTTP/1.1"), &format!("Host: b\r\n{fields}")).unwrap(),
        )
    };
    assert!(!found("/a?method=GET&x_method=1", "X-Method: GET\r\n"));
    for name in [
        "X-HTTP-Method-Override",
        "x-http-method",
        "X-Method-Override",
        "X-Original-URL",
        "X-Rewrite-Url",
        "X_HTTP_Method_Override",
        "X-Original_URL",
    ] {
        assert!(found("/a", &format!("{name}: x\r\n")), "{name}");
    }
    for query in ["_method=DELETE", "a=b&_METHOD=x", "%5fmethod=x", "a;_method"] {
        assert!(found(&format!("/a?{query}"), ""), "{query}");
    }
}

/// `Hefu_Elements` is `Hefu-Elements` to CGI, PHP and WSGI, and passed in both directions.
#[test]
fn our_fields_are_known_however_they_are_written() {
    for name in ["hefu-outcome", "Hefu_Outcome", "HEFU.x", "hefu-"] {
        assert!(is_reserved(name), "{name}");
    }
    for name in ["hefu", "hefux", "x-hefu-a", "hefux-a", "he-fu-a"] {
        assert!(!is_reserved(name), "{name}");
    }
}
