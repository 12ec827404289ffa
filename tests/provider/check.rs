//! What `check` reports of a definition and its deployment.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

use crate::common::{OPERATOR3, RESELLER, TENCENT, UNIONPAY, XML, deployment};
use crate::kinds::FACE;
use expect_test::{Expect, expect};
use hefu::provider::{Definition, Deployment, Place, Secret};

/// Every problem of a file and a deployment, with line and column in the file.
fn problems(file: &str, deployment: Deployment) -> String {
    let problems = match Definition::parse(file) {
        Err(problem) => vec![problem],
        Ok(definition) => definition.compile(deployment).err().unwrap_or_default(),
    };
    let line = |problem: hefu::provider::Problem| {
        let place = match &problem.place {
            Place::Deployment(key) => format!("deployment.{key}"),
            Place::File(span) => {
                let before = &file.as_bytes()[..span.start];
                let line = before.split(|byte| *byte == b'\n').count();
                let column = before.rsplit(|byte| *byte == b'\n').next().unwrap().len() + 1;
                format!("{line}:{column}")
            }
        };
        let hint = problem.hint.map(|hint| format!("\n    {hint}")).unwrap_or_default();
        format!("{place} {}{hint}\n", problem.message)
    };
    problems.into_iter().map(line).collect()
}

/// The problems of a shipped map after one change each.
fn check_file(changes: &[(&str, &str)], expected: Expect) {
    let mut found = String::new();
    for (from, to) in changes {
        let file = [TENCENT, UNIONPAY, XML, RESELLER, OPERATOR3]
            .into_iter()
            .find(|file| file.contains(from))
            .unwrap();
        let problems = problems(&file.replace(from, to), deployment("https://host.example"));
        found.extend(["# ", &to.replace('\n', " "), "\n", &problems]);
    }
    expected.assert_eq(&found);
}

#[test]
fn a_problem_in_the_request_says_where_and_what_to_do() {
    let changes = [
        ("road = ", "raod = "),
        ("path = \"/\"", "path = \"?a\""),
        ("{{ name }}", "{{ nmae }}"),
        ("{{ name }}", "{{ name"),
        ("{{ name }}", "{{ cvv2 }}"),
        ("{{ time.unix }}", "{{ time.unxi }}"),
        ("{{ var.secret_id }}", "{{ var.secretid }}"),
        ("X-TC-Action", "Host"),
        ("[\"content-type\", \"host\"]", "[\"x-nonce\"]"),
        ("[request.form]", "[request.json]"),
        ("product_id = \"B136\"", "mer_id = \"B136\""),
        ("[\"id_number\", \"pan\"]", "[\"name\", \"pan\"]"),
        ("[\"id_number\", \"pan\"]", "[\"face_image\"]"),
        ("account_kinds = [\"debit\"", "account_kinds = [\"debti\""),
    ];
    check_file(
        &changes,
        expect![[r##"
            # raod = 
            11:1 unknown field `raod`, expected one of `road`, `source`, `kind`, `account_kinds`, `id_types`, `charset`, `sets`, `request`, `auth`, `client_certificate`, `response`
            # path = "?a"
            20:8 `?a` is no plain path
                write it from its first `/`, without query or escapes
            # {{ nmae }}
            28:8 `nmae` is no variable
                did you mean `name`?
            # {{ name
            28:8 the template does not parse: unexpected end of input, expected end of variable block
            # {{ cvv2 }}
            28:8 the template fails for {name id_number pan phone}: undefined value
                an element that is not in every set needs `{% if … is defined %}`
            # {{ time.unxi }}
            25:18 `time.unxi` is no variable
                did you mean `unix`?
            45:13 `time.unxi` is no variable
                did you mean `unix`?
            # {{ var.secretid }}
            37:10 `var.secretid` is set neither by an element set nor by the deployment
                add `secretid = "…"` to `vars` of the provider in the main configuration
            # Host
            23:1 `host` is not for a definition
                leave it out; the connection sets it
            # ["x-nonce"]
            39:19 `x-nonce` is signed and never sent
                add it to `request.headers`
            # [request.json]
            58:2 this signature covers form fields, and the request has none
                give the request a `form`
            # mer_id = "B136"
            18:10 the deployment sets `var.mer_id` too
                name one of them otherwise
            53:13 the template fails for {name pan}: undefined value
                an element that is not in every set needs `{% if … is defined %}`
            # ["name", "pan"]
            21:12 {name pan} is there twice
            # ["face_image"]
            21:12 {face_image} cannot be asked
                a set has one or more of: name id_number pan phone cvv2 expiry account_level
            55:9 the template fails for {face_image}: undefined value
                an element that is not in every set needs `{% if … is defined %}`
            # account_kinds = ["debti"
            13:18 `debti` is not known here
                did you mean `debit`?
        "##]],
    );
}

#[test]
fn a_problem_in_the_response_says_where_and_what_to_do() {
    let changes = [
        ("code = [\"/Response/Result\"]", "code = [\"Result\"]\nabsent = \"next\""),
        ("match = [\"0\"]", "match = [\"0\", \"-7\"]"),
        ("match = [\"0\"]", "mtach = [\"0\"]"),
        ("\"-9\" = [\"pan\"]", "\"-9\" = [\"pna\"]"),
        ("\"-9\" = [\"pan\"]", "\"-9\" = [\"cvv2\"]"),
        ("billable = [\"0\"", "billable = [\"77\""),
        ("uncertain = [\"01\"", "uncertain = [\"00\""),
    ];
    check_file(
        &changes,
        expect![[r##"
            # code = ["Result"] absent = "next"
            84:8 the last layer has no next one
                leave out `next` and `absent`, or add the layer that they mean
            84:9 `Result` is no place in such an answer
                write the keys from the outside in, each after a `/`: `/data/result`
            # match = ["0", "-7"]
            90:5 `-7` means two answers
                keep one of the two
            # mtach = ["0"]
            88:1 unknown field `mtach`, expected one of `match`, `close_match`, `no_match`, `no_record`, `not_possible`, `limited`, `invalid`, `unavailable`
            # "-9" = ["pna"]
            108:9 `pna` is not known here
                did you mean `pan`?
            # "-9" = ["cvv2"]
            108:9 `cvv2` is no element of any set here
                name only what is asked
            # billable = ["77"
            85:13 `77` has a price and no meaning
                say what it means under `answers`
            # uncertain = ["00"
            68:13 `00` is billed, and perhaps not
                keep one of the two
        "##]],
    );
}

#[test]
fn a_problem_with_xml_signatures_or_sources_says_where_and_what_to_do() {
    let changes = [
        ("</indAuthContent>\n</MasMessage>\"\"\"", "</MasMessage>\"\"\""),
        ("{% if cvv2 is defined %}", ""),
        ("format = \"xml\"", "format = \"json\""),
        ("xml = { root = \"MasMessage\", namespace", "xmlns = { root = \"MasMessage\", namespace"),
        (
            "xml = { root = \"MasMessage\", namespace = \"http://www.99bill.com/mas_cnp_merchant_interface\" }",
            "",
        ),
        ("[request]\npath = \"/cnp/ind_auth\"", "[request]\nform = {}\npath = \"/cnp/ind_auth\""),
        ("code = [\"/ErrorMsgContent/errorCode\"]", "code = [\"/ErrorMsgContent//errorCode\"]"),
        ("suffix = \"&secret={secret}\"", "suffix = \"&secret=\""),
        ("at = \"/data/mobileChannel\"", "at = \"data/mobileChannel\""),
        ("cmcc = \"operator:cmcc\"", "cmcc = \" \""),
    ];
    check_file(
        &changes,
        expect![[r##"
            # </MasMessage>"""
            43:7 the template writes no XML document: expected 'indAuthContent' tag, not 'MasMessage' at 15:1
            # 
            43:7 the template does not parse: unknown statement endif
            # format = "json"
            67:7 the answer is no XML
                leave it out, or set `format`
            # xmlns = { root = "MasMessage", namespace
            67:1 unknown field `xmlns`, expected one of `format`, `xml`, `statuses`, `http`, `layers`, `fee`, `source`, `score`, `read`
            # 
            66:10 an XML answer has a root
                add `xml = { root = "…" }`, with its `namespace` if it has one
            # [request] form = {} path = "/cnp/ind_auth"
            44:7 a request has one body
                keep `form`, `json` or `xml`
            # code = ["/ErrorMsgContent//errorCode"]
            74:9 `/ErrorMsgContent//errorCode` is no place in such an answer
                write the keys from the outside in, each after a `/`: `/data/result`
            # suffix = "&secret="
            43:10 the suffix has no place for the secret
                write `{secret}` where the secret goes
            # at = "data/mobileChannel"
            34:6 `data/mobileChannel` is no place in such an answer
                write the keys from the outside in, each after a `/`: `/data/result`
            # cmcc = " "
            35:18 a source has a name
        "##]],
    );
}

#[test]
fn elements_go_over_tls_or_loopback() {
    let check = |urls: &[&str], expected: Expect| {
        let problems = |url: &&str| format!("# {url}\n{}", problems(TENCENT, deployment(url)));
        expected.assert_eq(&urls.iter().map(problems).collect::<String>());
    };
    let urls = [
        "https://host.example:8443",
        "http://localhost:8080",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "http://host.example",
        "http://localhost.host.example",
        "https://host.example/path",
        "https://user:pw@host.example",
        "file:///etc/passwd",
        "host.example",
    ];
    check(
        &urls,
        expect![[r#"
        # https://host.example:8443
        # http://localhost:8080
        # http://127.0.0.1:8080
        # http://[::1]:8080
        # http://host.example
        deployment.url elements go over TLS, or over loopback
            use `https://`
        # http://localhost.host.example
        deployment.url elements go over TLS, or over loopback
            use `https://`
        # https://host.example/path
        deployment.url the URL has more than scheme, host and port
            the definition has the path; credentials go into files
        # https://user:pw@host.example
        deployment.url the URL has more than scheme, host and port
            the definition has the path; credentials go into files
        # file:///etc/passwd
        deployment.url the URL has more than scheme, host and port
            the definition has the path; credentials go into files
        # host.example
        deployment.url the URL cannot be read
            write scheme, host and port: `https://host.example:443`
    "#]],
    );
}

/// The problems of a shipped map with a changed deployment.
fn check_deployment(change: fn(&mut Deployment), file: &str, expected: Expect) {
    let mut deployment = deployment("https://host.example");
    change(&mut deployment);
    expected.assert_eq(&problems(file, deployment));
}

#[test]
fn a_certificate_of_ours_is_asked_for_over_tls() {
    let check = check_deployment;
    check(
        |it| {
            it.client = None;
        },
        XML,
        expect![[r#"
            deployment.tls it asks for a certificate of ours
                set `tls.client_cert_file` and `tls.client_key_file`
        "#]],
    );
    check(
        |it| {
            if let Some(client) = &mut it.client {
                client.key = Secret::new(b"no key".to_vec());
            }
        },
        XML,
        expect![[r#"
            deployment.tls the client certificate and its key cannot be read
                both are PEM, the key PKCS #8
        "#]],
    );
}

#[test]
fn what_a_deployment_lacks_is_named() {
    let check = check_deployment;
    let garbage = |it: &mut Deployment| {
        for secret in it.secrets.values_mut() {
            *secret = Secret::new(vec![0xFF, 0]);
        }
        it.ca = Some(b"no certificate".to_vec());
    };
    check(
        |it| it.secrets.clear(),
        TENCENT,
        expect![[r#"
        deployment.secrets the secret `secret_key` is missing
            add `secret_key = "/path/to/file"` to the provider's `credentials`
    "#]],
    );
    check(
        |it| it.vars.clear(),
        UNIONPAY,
        expect![[r#"
        44:10 `var.cert_id` is set neither by an element set nor by the deployment
            add `cert_id = "…"` to `vars` of the provider in the main configuration
        50:9 `var.mer_id` is set neither by an element set nor by the deployment
            add `mer_id = "…"` to `vars` of the provider in the main configuration
    "#]],
    );
    check(
        garbage,
        UNIONPAY,
        expect![[r#"
        deployment.secrets the secret `sign_key` is no RSA private key
            convert a PFX with `openssl pkcs12 -nodes -nocerts`
        deployment.secrets `verify_key` is no RSA public key or certificate
            it must be PEM
        deployment.ca no certificate can be read
            the file holds PEM
    "#]],
    );
    check(
        garbage,
        OPERATOR3,
        expect![[r#"
        deployment.secrets the secret `appcode` is empty or no text
            the file holds the secret and nothing else
        deployment.ca no certificate can be read
            the file holds PEM
    "#]],
    );
}

#[test]
fn a_problem_with_what_is_asked_says_what_it_needs() {
    let mut found = String::new();
    for (from, to) in [
        ("kind = \"face\"", ""),
        ("kind = \"face\"", "kind = \"faec\""),
        (", \"face_image\"]", "]"),
        ("\"face_image\"]", "\"face_image\", \"cvv2\"]"),
        ("match_from = 70.0", "match_from = 80.5"),
        ("match_from = 70.0", "match_from = nan"),
        ("at = \"/Response/Sim\"", "at = \"Sim\""),
    ] {
        assert!(FACE.contains(from), "{from}");
        let problems = problems(&FACE.replace(from, to), deployment("https://host.example"));
        found.extend(["# ", to, "\n", &problems]);
    }
    expect![[r##"
        # 
        16:12 {name id_number face_image} cannot be asked
            a set has one or more of: name id_number pan phone cvv2 expiry account_level
        48:1 no answer of the kind `elements` has a score
            leave it out, or say the `kind`
        # kind = "faec"
        12:8 `faec` is not known here
            did you mean `face`?
        16:12 {name id_number face_image} cannot be asked
            a set has one or more of: name id_number pan phone cvv2 expiry account_level
        48:1 no answer of the kind `elements` has a score
            leave it out, or say the `kind`
        # ]
        16:12 {name id_number} is no question of the kind `face`
            such a question has: face_image
        104:43 `face_image` is no element of any set here
            name only what is asked
        29:15 the template fails for {name id_number}: undefined value
            an element that is not in every set needs `{% if … is defined %}`
        # "face_image", "cvv2"]
        16:12 {name id_number cvv2 face_image} cannot be asked
            a set has one or more of: name id_number pan phone account_level face_image
        # match_from = 80.5
        48:1 `match_from` is above `high_from`
            what is more than enough is enough
        # match_from = nan
        48:1 `match_from` is above `high_from`
            what is more than enough is enough
        # at = "Sim"
        49:6 `Sim` is no place in such an answer
            write the keys from the outside in, each after a `/`: `/data/result`
    "##]]
    .assert_eq(&found);
}

#[test]
fn every_shipped_map_compiles_and_the_schema_knows_every_kind() {
    for file in std::fs::read_dir("config/providers").unwrap() {
        let path = file.unwrap().path();
        let file = std::fs::read_to_string(&path).unwrap();
        assert_eq!(problems(&file, deployment("https://host.example")), "", "{}", path.display());
        assert!(file.starts_with("# "));
    }
    let schema = serde_json::to_string(&schemars::schema_for!(Definition)).unwrap();
    let kinds = [
        "static_header",
        "canonical_request_hmac",
        "sorted_form_rsa_sha256",
        "sorted_form_md5",
        "basic",
    ];
    for kind in kinds {
        assert!(schema.contains(kind), "{schema}");
    }
}
