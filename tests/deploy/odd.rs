//! A Hefu among those who misbehave: what alerts look for, and a sound book has not. The made-up channel answers as an order's name
//! says; another one, and the core, are not there.

use crate::live::Ending;
use crate::tools::{file, text};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

/// What the channel answers to an order whose name begins so. `closes` is not answered at all, and owed for ever.
const ANSWERS: [(&str, &str, &str); 5] = [
    ("unmapped", "", r#"{"code":"never heard of"}"#),
    ("coded", "Content-Encoding: zstd\r\n", "?"),
    ("differs", "", r#"{"code":"phone"}"#),
    // The core asks about it once more, and hears otherwise.
    ("flips", "", r#"{"code":"ok"}"#),
    ("asked", "", r#"{"code":"ok","state":"poor"}"#),
];

/// A rule that holds for all of them.
const RULE: &str = "[[rule]]\nid = \"any-amount\"\naction = \"annotate\"\nstate = \"live\"\nowner = \"risk\"\nwhen = \"has(payment.amount)\"\n";

pub(crate) struct Odd {
    /// Where its metrics are.
    pub(crate) metrics: String,
    core: SocketAddr,
    notify: SocketAddr,
    _process: Ending,
    _place: tempfile::TempDir,
}

impl Odd {
    pub(crate) fn start() -> Self {
        let place = configured(channel());
        let mut process = Command::new(env!("CARGO_BIN_EXE_hefu"))
            .args(["serve", "--config", place.path().to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let serving = lines.by_ref().map_while(Result::ok).find(|line| line.contains("serving"));
        // It would stop where nobody reads.
        std::thread::spawn(move || lines.for_each(drop));
        let serving = serving.unwrap();
        let fields: HashMap<&str, &str> =
            serving.split_whitespace().filter_map(|word| word.split_once('=')).collect();
        let at = |name: &str| fields[name].parse().unwrap();
        Self {
            metrics: fields["metrics"].to_owned(),
            core: at("core"),
            notify: at("notify"),
            _process: Ending(process),
            _place: place,
        }
    }

    /// Every second something of everything.
    pub(crate) fn go_on(&self, second: u32) {
        for kind in ["unmapped", "coded", "closes", "flips"] {
            send(self.core, "/acme/", &debit(&format!("{kind}{second}"), second));
        }
        // An issuer's bad night: other people every time.
        for person in 0..3 {
            let order = format!("differs{second}-{person}");
            send(self.core, "/acme/", &debit(&order, second * 3 + person));
        }
        let asked = format!(r#"{{"type":"query","order":"flips{second}","asked":1}}"#);
        send(self.core, "/acme/", &asked);
        send(self.core, "/acme/", r#"{"type":"never listed"}"#);
        send(self.core, "/gone/", &debit(&format!("gone{second}"), second));
        send(self.notify, "/told/acme", r#"{"of":"refund"}"#);
    }
}

/// The made-up channel of the tests, twice: the second is not there. Neither is the core for notifications, and the one provider costs more
/// than may be spent.
fn configured(bank: SocketAddr) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let to = place.path().join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, text).unwrap();
    };
    let profile = text("tests/service/config/channels/acme.toml");
    write("channels/acme.toml", &profile);
    let gone = profile.replace("name = \"acme\"", "name = \"gone\"").replace("/acme", "/gone");
    write("channels/gone.toml", &gone);
    fs::create_dir(place.path().join("codes")).unwrap();
    let codes = "codes/acme.toml";
    fs::copy(file("tests/service/config").join(codes), place.path().join(codes)).unwrap();
    write("rules/any.toml", RULE);
    write("providers/dear.toml", &text("config/providers/reseller-bankcard.toml"));
    write("secret", "1");
    write("fingerprint.key", &"0123456789abcdef".repeat(4));
    write(
        "policy.toml",
        "[mode]\nacme = \"observe\"\ngone = \"observe\"\n[holds]\nper_hour = 1\n[observe]\nsample_percent = 100\nfen_per_day = 100000\n",
    );
    let any = "\"127.0.0.1:0\"";
    write(
        "hefu.toml",
        &format!(
            "[listen]\ncore = {any}\nnotify = {any}\nmetrics = {any}\n\
             [secrets]\nfingerprint_key_file = \"fingerprint.key\"\nfingerprint_key_id = 1\n\
             [store]\nfile = \"hefu.db\"\n\
             [channels.acme]\nupstreams = [\"http://{bank}\"]\nnotify_core = \"http://127.0.0.1:1\"\n\
             [channels.acme.due]\ndebit = \"1m\"\n\
             [channels.gone]\nupstreams = [\"http://127.0.0.1:1\"]\n\
             [providers.dear]\nurl = \"http://127.0.0.1:1\"\nvars = {{ account = \"1\" }}\ncredentials = {{ sign_secret = \"secret\" }}\n\
             price_fen = 100\nfen_per_day = 50\n"
        ),
    );
    place
}

fn debit(order: &str, person: u32) -> String {
    let phone = 13_800_000_000_u64 + u64::from(person);
    format!(
        r#"{{"type":"debit","order":"{order}","amount":"100","name":"张三","id":"11010519491231002X","card":"6200000000000005","phone":"{phone}"}}"#
    )
}

/// Whatever comes of it.
fn send(to: SocketAddr, path: &str, body: &str) {
    let mut stream = TcpStream::connect(to).unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: odd\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    // It may close without a word.
    let _ = stream.read_to_end(&mut Vec::new());
}

/// One request a connection, until the test is over.
fn channel() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            answer(stream);
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let (mut got, mut piece) = (Vec::new(), [0; 4096]);
    let asked = loop {
        let read = stream.read(&mut piece).unwrap_or_default();
        got.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&got);
        if read == 0 || text.ends_with('}') {
            break text.into_owned();
        }
    };
    let order = asked.split("\"order\":\"").nth(1).unwrap_or_default();
    let order = if asked.contains("\"asked\"") { "asked" } else { order };
    if order.starts_with("closes") {
        return;
    }
    let known = ANSWERS.iter().find(|(kind, _, _)| order.starts_with(kind));
    let (_, fields, body) = known.copied().unwrap_or(("", "", r#"{"code":"ok"}"#));
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    );
    // Whoever asked may be gone.
    let _ = stream.write_all(answer.as_bytes());
}
