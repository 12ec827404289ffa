//! A seventh channel by files alone: its profile and code map are written into a directory, Hefu starts there, and messages pass.
#![expect(clippy::too_many_lines, reason = "a table of cases")]
#![expect(clippy::needless_raw_string_hashes, reason = "so the snapshots are written")]

use crate::peers::{Channel, Peer, Reply, channel, soon};
use expect_test::{Expect, expect};
use hefu::app::{self, Running};
use hefu::cli::extract::report;
use hefu::config;
use hefu::message::profile::Profile;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const NAMESPACE: &str = "http://www.99bill.com/mas_cnp_merchant_interface";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What Hefu may say; where it is absent the field is not shown.
const SAID: [&str; 4] = ["hefu-decision", "hefu-verification", "hefu-outcome", "hefu-mismatch"];

struct World {
    running: Running,
    profile: Profile,
    bank: Channel,
    answers: Arc<Mutex<VecDeque<Vec<u8>>>>,
    _place: TempDir,
}

impl World {
    async fn new(mode: &str) -> Self {
        let answers = Arc::new(Mutex::new(VecDeque::<Vec<u8>>::new()));
        let script = Arc::clone(&answers);
        let bank =
            channel(move |_| Reply::Answer(script.lock().unwrap().pop_front().unwrap())).await;
        let place = TempDir::new().unwrap();
        let write = |file: &str, text: &str| {
            let file = place.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("channels/99bill.toml", include_str!("seventh/channel.toml"));
        write("codes/99bill.toml", include_str!("seventh/codes.toml"));
        write("policy.toml", &format!("[mode]\n99bill = {mode}\n"));
        write("secrets/key", TOKEN);
        write(
            "hefu.toml",
            &format!(
                "[listen]\ncore = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nadmin_token_file = \"secrets/key\"\n\
                 [secrets]\nfingerprint_key_file = \"secrets/key\"\nfingerprint_key_id = 1\n\
                 [channels.99bill]\nupstreams = [\"http://{}\"]\n",
                bank.address
            ),
        );
        let config = config::load(place.path()).map_err(|problems| problems.to_string()).unwrap();
        let profile = config.profile("99bill").unwrap().clone();
        let running = app::start(config).await.unwrap();
        Self { running, profile, bank, answers, _place: place }
    }

    /// What the channel answers next.
    fn script(&self, fields: &str, body: &[u8]) {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n{fields}\r\n",
            body.len()
        );
        self.answers.lock().unwrap().push_back([head.as_bytes(), body].concat());
    }

    /// Sends a message that the channel answers so, and shows what the core is told beside the channel's own words.
    async fn check(&self, (path, body): (&str, &str), answer: &str, expected: Expect) {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<MasMessage xmlns=\"{NAMESPACE}\">\r\n  <version>1.0</version>{body}</MasMessage>\r\n"
        );
        let answer = format!(
            "<MasMessage xmlns=\"{NAMESPACE}\"><version>1.0</version>{answer}</MasMessage>\n"
        );
        self.script("", answer.as_bytes());
        let before = self.bank.messages().len();
        let request = format!(
            "POST /cnp/{path} HTTP/1.1\r\nHost: mas.example\r\nAuthorization: Basic bm90aGluZzp4\r\n\
             Content-Type: text/xml; charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let told = ask(self.running.core, &request).await;
        let arrived = self.bank.messages();
        let mut shown = format!("{}\n", told.status());
        for name in SAID {
            if let Some(value) = told.field(name) {
                // A payment's id is another one each time.
                let value = value.split(";payment=").next().unwrap_or_default();
                writeln!(shown, "{name}: {value}").unwrap();
            }
        }
        if let Some(message) = arrived.get(before) {
            assert_eq!(String::from_utf8_lossy(&message.body), body, "{path}: not a byte changes");
            assert_eq!(message.field("authorization"), Some("Basic bm90aGluZzp4"));
            assert!(!message.head.to_lowercase().contains("hefu-"), "{}", message.head);
            assert_eq!(told.text(), answer, "{path}: not a byte changes");
        } else {
            self.answers.lock().unwrap().clear();
            let refusal: serde_json::Value = serde_json::from_str(told.text()).unwrap();
            writeln!(shown, "forwarded: {}, reasons: {}", refusal["forwarded"], refusal["reasons"])
                .unwrap();
        }
        expected.assert_eq(&shown);
    }
}

async fn ask(address: SocketAddr, request: &str) -> crate::peers::Message {
    let mut peer = Peer::connect(address).await;
    soon(peer.send(request)).await;
    peer.answer().await
}

fn verify(reference: &str, name: &str) -> (&'static str, String) {
    let body = format!(
        "<indAuthContent><merchantId>M1</merchantId><terminalId>T1</terminalId><customerId>C1</customerId>\
         <externalRefNumber>{reference}</externalRefNumber><pan>6200000000000005</pan><cardHolderName>{name}</cardHolderName>\
         <idType>0</idType><cardHolderId>11010519491231002X</cardHolderId><cvv2/><expiredDate/><phoneNO>13800000000</phoneNO></indAuthContent>"
    );
    ("ind_auth", body)
}

fn pay(reference: &str, name: &str) -> (&'static str, String) {
    let body = format!(
        "<TxnMsgContent><txnType>PUR</txnType><interactiveStatus>TR1</interactiveStatus><merchantId>M1</merchantId>\
         <externalRefNumber>{reference}</externalRefNumber><amount>88.88</amount><cardNo>6200000000000005</cardNo>\
         <cardHolderName>{name}</cardHolderName><idType>0</idType><cardHolderId>11010519491231002X</cardHolderId>\
         <phone>13800000000</phone></TxnMsgContent>"
    );
    ("purchase", body)
}

fn query(reference: &str) -> (&'static str, String) {
    let body = format!(
        "<QryTxnMsgContent><merchantId>M1</merchantId><externalRefNumber>{reference}</externalRefNumber></QryTxnMsgContent>"
    );
    ("query_txn", body)
}

fn verified(code: &str) -> String {
    format!(
        "<indAuthContent><responseCode>{code}</responseCode><responseTextMessage>x</responseTextMessage></indAuthContent>"
    )
}

fn paid(code: &str) -> String {
    format!("<TxnMsgContent><responseCode>{code}</responseCode></TxnMsgContent>")
}

fn status(status: &str) -> String {
    format!("<TxnMsgContent><txnStatus>{status}</txnStatus></TxnMsgContent>")
}

#[tokio::test]
async fn a_seventh_channel_is_files_alone() {
    let world = World::new("\"observe\"").await;
    let check = async |(path, body): (&str, String), answer: String, expected: Expect| {
        world.check((path, &body), &answer, expected).await;
    };
    check(
        verify("V1", "张三"),
        verified("HX"),
        expect![[r#"
        200
        hefu-decision: permit;mode=observe
        hefu-outcome: no_match;suspects="name";code="HX";arrival=sync
    "#]],
    )
    .await;
    check(
        verify("V2", "张三"),
        verified("W0"),
        expect![[r#"
        200
        hefu-decision: permit;mode=observe
        hefu-outcome: no_match;suspects="phone";code="W0";arrival=sync
    "#]],
    )
    .await;
    check(
        verify("V3", "张三"),
        verified("00"),
        expect![[r#"
        200
        hefu-decision: permit;mode=observe
        hefu-outcome: succeeded;code="00";arrival=sync
    "#]],
    )
    .await;
    check(pay("P1", "张三"), paid("00"), expect![[r#"
        200
        hefu-decision: permit;mode=observe
        hefu-verification: match;provider="99bill";road="99bill";elements="name id_number pan phone";age=0
        hefu-outcome: succeeded;code="00";arrival=sync
    "#]]).await;
    check(pay("P2", "张三"), paid("51"), expect![[r#"
        200
        hefu-decision: permit;mode=observe
        hefu-verification: match;provider="99bill";road="99bill";elements="name id_number pan phone";age=0
        hefu-outcome: declined;reason=insufficient_funds;code="51";arrival=sync
    "#]]).await;
    check(pay("P3", "张三"), paid("Y1"), expect![[r#"
        200
        hefu-decision: permit;mode=observe
        hefu-verification: match;provider="99bill";road="99bill";elements="name id_number pan phone";age=0
        hefu-outcome: no_match;suspects="name id_number phone";code="Y1";arrival=sync
        hefu-mismatch: match_then_no_match;provider="99bill";suspects="name id_number phone"
    "#]]).await;
    check(
        pay("P4", "李四"),
        paid("I1"),
        expect![[r#"
        200
        hefu-decision: annotate;reason=not_asked;mode=observe
        hefu-outcome: no_match;suspects="name";code="I1";arrival=sync
        hefu-mismatch: unverified_then_no_match;suspects="name"
    "#]],
    )
    .await;
    check(
        pay("P5", "李四"),
        paid("W4"),
        expect![[r#"
        200
        hefu-decision: annotate;reason=held;mode=observe
        hefu-outcome: no_match;suspects="name";code="W4";arrival=sync
        hefu-mismatch: unverified_then_no_match;suspects="name"
    "#]],
    )
    .await;
    check(
        pay("P6", "李四"),
        paid("ZZ"),
        expect![[r#"
        200
        hefu-decision: annotate;reason=held;mode=observe
        hefu-outcome: unmapped;code="ZZ";arrival=sync
    "#]],
    )
    .await;
    check(
        query("P6"),
        status("S"),
        expect![[r#"
        200
        hefu-decision: permit;mode=observe
        hefu-outcome: succeeded;code="S";arrival=query
    "#]],
    )
    .await;
    check(
        query("P5"),
        "<ErrorMsgContent><errorCode>B.1</errorCode></ErrorMsgContent>".to_owned(),
        expect![[r#"
            200
            hefu-decision: permit;mode=observe
            hefu-outcome: unknown;arrival=query
        "#]],
    )
    .await;
    let (path, body) = query("P6");
    let captured = format!(
        "POST /cnp/{path}\nContent-Type: text/xml\n\n<MasMessage xmlns=\"{NAMESPACE}\">{body}</MasMessage>\n"
    );
    let answer = format!("<MasMessage xmlns=\"{NAMESPACE}\">{}</MasMessage>", status("S"));
    let report =
        report(&world.profile, captured.as_bytes(), &[("answer".to_owned(), answer.into_bytes())]);
    expect![[r#"
        scenario   query
        order      M1|P6
        merchant   M1
        elements   -
        checks     -

        answer     answer
        outcome    succeeded, code S
    "#]]
    .assert_eq(&report.unwrap().text);
    let request = format!(
        "GET /v1/unmapped-codes HTTP/1.1\r\nHost: hefu\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    let told = ask(world.running.admin.unwrap(), &request).await;
    let told: serde_json::Value = serde_json::from_str(told.text()).unwrap();
    assert_eq!(told.as_array().map(Vec::len), Some(1), "{told}");
    for (key, value) in [("channel", "99bill"), ("map", "final"), ("code", "ZZ")] {
        assert_eq!(told[0][key], value, "{told}");
    }
    assert_eq!(told[0]["count"], 1);
}

#[tokio::test]
async fn its_own_verification_is_the_evidence_that_enforce_asks_for() {
    let world = World::new("{ enforce = 100 }").await;
    let check = async |(path, body): (&str, String), answer: String, expected: Expect| {
        world.check((path, &body), &answer, expected).await;
    };
    check(
        pay("P1", "张三"),
        paid("00"),
        expect![[r#"
        200
        hefu-decision: annotate;reason=nobody_can;mode=enforce
        hefu-outcome: succeeded;code="00";arrival=sync
    "#]],
    )
    .await;
    check(
        verify("V1", "张三"),
        verified("00"),
        expect![[r#"
        200
        hefu-decision: permit;mode=enforce
        hefu-outcome: succeeded;code="00";arrival=sync
    "#]],
    )
    .await;
    check(pay("P2", "张三"), paid("51"), expect![[r#"
        200
        hefu-decision: permit;mode=enforce
        hefu-verification: match;provider="99bill";road="99bill";elements="name id_number pan phone";age=0
        hefu-outcome: declined;reason=insufficient_funds;code="51";arrival=sync
    "#]]).await;
    let (path, twice) = pay("P3", "张三");
    let twice = twice.replace("<amount>", "<amount>1</amount><amount>");
    check(
        (path, twice),
        paid("00"),
        expect![[r#"
        422
        hefu-decision: refuse;reason=ambiguous;mode=enforce
        forwarded: false, reasons: ["ambiguous"]
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_compressed_answer_is_read_and_one_that_cannot_be_counts() {
    let world = World::new("\"observe\"").await;
    let gzip = |body: &str| {
        let mut out = Vec::new();
        flate2::read::GzEncoder::new(body.as_bytes(), flate2::Compression::fast())
            .read_to_end(&mut out)
            .unwrap();
        out
    };
    let unread = |reason| {
        let labels = [("channel", "99bill"), ("reason", reason)];
        world.running.service.metrics.total("hefu_answers_unread_total", &labels)
    };
    let check = async |coding: &str, body: &[u8], expected: (&str, [u64; 3])| {
        let (path, inner) = pay(&format!("Z{}", world.bank.messages().len()), "张三");
        let message =
            format!("<MasMessage xmlns=\"{NAMESPACE}\"><version>1.0</version>{inner}</MasMessage>");
        world.script(&format!("Content-Encoding: {coding}\r\n"), body);
        let request = format!(
            "POST /cnp/{path} HTTP/1.1\r\nHost: mas.example\r\nContent-Type: text/xml; charset=UTF-8\r\nAccept-Encoding: gzip\r\nContent-Length: {}\r\n\r\n{message}",
            message.len()
        );
        let told = ask(world.running.core, &request).await;
        assert_eq!((told.body.as_slice(), told.field("content-encoding")), (body, Some(coding)));
        let counted = ["coding", "garbled", "too_large"].map(unread);
        assert_eq!((told.field("hefu-outcome").unwrap(), counted), expected, "{coding}");
    };
    let answer = format!(
        "<MasMessage xmlns=\"{NAMESPACE}\"><version>1.0</version>{}</MasMessage>",
        paid("51")
    );
    let read = "declined;reason=insufficient_funds;code=\"51\";arrival=sync";
    let unknown = "unknown;arrival=sync";
    check("gzip", &gzip(&answer), (read, [0, 0, 0])).await;
    check("br", &gzip(&answer), (unknown, [1, 0, 0])).await;
    check("gzip", answer.as_bytes(), (unknown, [1, 1, 0])).await;
    check("gzip", &gzip(&" ".repeat(5 << 20)), (unknown, [1, 1, 1])).await;
    check("identity", answer.as_bytes(), (read, [1, 1, 1])).await;
}
