//! The real `hefu serve`: signals, reload, and a successor on the same sockets, under load.

use crate::peers::{Channel, Message, PATIENCE, Peer, channel, ok, soon};
use crate::tls;
use command_fds::{CommandFdExt as _, FdMapping};
use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpStream, UnixDatagram};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

pub(crate) const TOKEN: &str = "a token of more than 22 bytes";

/// What a process wrote, and those after it: they share its standard error.
#[derive(Default)]
pub(crate) struct Log {
    lines: Mutex<Vec<String>>,
    more: Notify,
}

impl Log {
    /// The `nth` line, from 0, that has all of `words`; waits for it.
    pub(crate) async fn line(&self, nth: usize, words: &[&str]) -> String {
        let waiting = async {
            loop {
                let more = self.more.notified();
                let found = {
                    let lines = self.lines.lock().unwrap();
                    let has_all = |line: &&String| words.iter().all(|word| line.contains(word));
                    lines.iter().filter(has_all).nth(nth).cloned()
                };
                match found {
                    Some(line) => return line,
                    None => more.await,
                }
            }
        };
        let line = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(line.is_ok(), "no {words:?} in {:#?}", self.lines.lock().unwrap());
        line.unwrap()
    }
}

impl Log {
    /// All that was written so far.
    pub(crate) fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Whether `word` was written anywhere.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.lines.lock().unwrap().iter().any(|line| line.contains(word))
    }
}

/// The value of `name=` in a line.
fn field(line: &str, name: &str) -> String {
    let mut words = line.split_whitespace();
    words.find_map(|word| word.strip_prefix(&format!("{name}="))).unwrap().to_owned()
}

/// A configuration in a directory of its own: one made-up channel, observed.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new(core: &str, channel: &str) -> Self {
        let place = Self(TempDir::new().unwrap());
        let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/config");
        for folder in ["channels", "codes"] {
            fs::create_dir(place.0.path().join(folder)).unwrap();
            let file = format!("{folder}/acme.toml");
            fs::copy(shared.join(&file), place.0.path().join(&file)).unwrap();
        }
        place.write("fingerprint.key", "0123456789abcdef".repeat(4));
        place.write("admin.token", TOKEN);
        place.observe();
        place.write(
            "hefu.toml",
            format!(
                "[listen]\ncore = \"{core}\"\nadmin = \"127.0.0.1:0\"\nadmin_token_file = \"admin.token\"\n\
                 [secrets]\nfingerprint_key_file = \"fingerprint.key\"\nfingerprint_key_id = 1\n\
                 [channels.acme]\n{channel}\n"
            ),
        );
        place
    }

    /// A directory for somebody else to fill.
    pub(crate) fn empty() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// Another directory with all that is in it now.
    pub(crate) fn copy(&self) -> Self {
        let place = Self::empty();
        let from = self.path().join(".");
        let copied =
            std::process::Command::new("cp").arg("-r").arg(from).arg(place.path()).status();
        assert!(copied.unwrap().success());
        let [here, there] = [self.path(), place.path()].map(|path| path.to_str().unwrap());
        place.replace("hefu.toml", here, there);
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn to(bank: &Channel) -> Self {
        Self::new("127.0.0.1:0", &format!("upstreams = [\"http://{}\"]", bank.address))
    }

    pub(crate) fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(file), text).unwrap();
    }

    pub(crate) fn replace(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.0.path().join(file)).unwrap();
        assert!(text.contains(from));
        self.write(file, text.replace(from, to));
    }

    fn observe(&self) {
        self.write("policy.toml", "[mode]\nacme = \"observe\"\n");
    }

    pub(crate) fn enforce(&self) {
        self.write("policy.toml", "[mode]\nacme = { enforce = 100 }\n");
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
        command.args(["serve", "--config"]).arg(self.0.path());
        command
    }
}

/// A process, and where its sockets are.
pub(crate) struct Hefu {
    child: Child,
    pub(crate) log: Arc<Log>,
    pub(crate) core: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) notify: Option<SocketAddr>,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) verification: Option<SocketAddr>,
    /// The processes, in their order.
    pids: Vec<String>,
}

impl Drop for Hefu {
    /// Nothing is left running, whatever a test finds.
    fn drop(&mut self) {
        for pid in &self.pids {
            let _ = kill("KILL", pid);
        }
    }
}

fn kill(signal: &str, pid: &str) -> std::io::Result<ExitStatus> {
    std::process::Command::new("kill").args(["-s", signal, pid]).stderr(Stdio::null()).status()
}

impl Hefu {
    pub(crate) async fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let writing = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                writing.lines.lock().unwrap().push(line);
                writing.more.notify_waiters();
            }
        });
        let pids = vec![child.id().unwrap().to_string()];
        let line = log.line(0, &["serving"]).await;
        let address = |name| field(&line, name).parse().unwrap();
        let notify = line.contains(" notify=").then(|| address("notify"));
        let metrics = line.contains(" metrics=").then(|| address("metrics"));
        let verification = line.contains(" verification=").then(|| address("verification"));
        let (core, admin) = (address("core"), address("admin"));
        Self { child, log, core, admin, notify, metrics, verification, pids }
    }

    /// The first process.
    pub(crate) fn pid(&self) -> u32 {
        self.pids[0].parse().unwrap()
    }

    pub(crate) fn signal(&self, signal: &str) {
        assert!(kill(signal, self.pids.last().unwrap()).unwrap().success());
    }

    /// The next successor serves; its process becomes the one that is signalled.
    pub(crate) async fn succeeded(&mut self) {
        let line = self.log.line(self.pids.len() - 1, &["the successor serves"]).await;
        self.pids.push(field(&line, "pid"));
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        soon(self.child.wait()).await.unwrap()
    }

    pub(crate) async fn admin(&self, request: &str, body: &str) -> Message {
        let mut peer = Peer::connect(self.admin).await;
        let length = body.len();
        peer.send(format!(
            "{request} HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {length}\r\n\
             Content-Type: application/json\r\nConnection: close\r\n\r\n{body}"
        ))
        .await;
        peer.answer().await
    }

    /// Whether the last reload succeeded, by the metrics.
    async fn reloaded(&self) -> String {
        let metrics = self.admin("GET /metrics", "").await;
        let mut lines = metrics.text().lines();
        let name = "hefu_config_last_reload_successful ";
        lines.find_map(|line| line.strip_prefix(name)).unwrap().to_owned()
    }
}

pub(crate) fn query() -> String {
    let body = r#"{"type":"query","order":"1"}"#;
    format!(
        "POST /acme/pay HTTP/1.1\r\nHost: bank\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Under which mode a kept connection is served now.
async fn mode(core: &mut Peer<TcpStream>) -> String {
    core.send(query()).await;
    let answer = core.answer().await;
    let decision = answer.field("hefu-decision").unwrap();
    decision.split_once("mode=").unwrap().1.to_owned()
}

#[tokio::test]
async fn a_reload_is_whole_or_not_at_all() {
    let bank = channel(|_| ok("{}")).await;
    let place = Place::to(&bank);
    let mut hefu = Hefu::start(place.command()).await;
    let mut core = Peer::connect(hefu.core).await;
    assert_eq!(mode(&mut core).await, "observe");
    let agreement = r#"{"agreement":"A1","merchant":"M1"}"#;
    let imported = hefu.admin("POST /v1/agreements/import?channel=acme", agreement).await;
    assert!(imported.text().contains("\"imported\":1"), "{}", imported.text());
    // A good one is in force on connections that were there before.
    place.enforce();
    hefu.signal("HUP");
    hefu.log.line(0, &["the configuration was loaded again"]).await;
    assert_eq!((mode(&mut core).await.as_str(), hefu.reloaded().await.as_str()), ("enforce", "1"));
    // A bad one changes nothing, also where its other files are good, and every problem is said.
    place.observe();
    place.replace("channels/acme.toml", "road = \"acme\"", "rode = \"acme\"");
    place.replace("hefu.toml", "fingerprint_key_id = 1", "fingerprint_key_id = 1\nextra = 1");
    hefu.signal("HUP");
    hefu.log.line(0, &["the old configuration stays", "problems=2"]).await;
    hefu.log.line(0, &["ERROR", "file=\"hefu.toml\"", "extra"]).await;
    hefu.log.line(0, &["ERROR", "file=\"channels/acme.toml\"", "rode"]).await;
    assert_eq!((mode(&mut core).await.as_str(), hefu.reloaded().await.as_str()), ("enforce", "0"));
    // What cannot change is named, and the rest does not change either.
    place.replace("channels/acme.toml", "rode", "road");
    place.replace("hefu.toml", "\nextra = 1", "\n[limits]\nconnections = 7");
    place.write("fingerprint.key", "fedcba9876543210".repeat(4));
    let refused = hefu.admin("POST /v1/reload", "").await;
    assert_eq!(refused.status(), 422);
    for key in ["`limits.connections`", "`secrets`", "SIGUSR2"] {
        assert!(refused.text().contains(key), "{}", refused.text());
    }
    assert_eq!((mode(&mut core).await.as_str(), hefu.reloaded().await.as_str()), ("enforce", "0"));
    // And a good one again.
    place.replace("hefu.toml", "connections = 7", "connections = 1024");
    place.write("fingerprint.key", "0123456789abcdef".repeat(4));
    assert_eq!(hefu.admin("POST /v1/reload", "").await.status(), 204);
    assert_eq!((mode(&mut core).await.as_str(), hefu.reloaded().await.as_str()), ("observe", "1"));
    // What was learned is still known.
    assert_eq!(hefu.admin("GET /v1/agreements/acme/A1", "").await.status(), 200);
    let metrics = hefu.admin("GET /metrics", "").await;
    let queries = "hefu_payments_total{channel=\"acme\",decision=\"permit\",mode=\"enforce\",scenario=\"query\"} 3";
    assert!(metrics.text().contains(queries), "{}", metrics.text());
    drop(core);
    hefu.signal("TERM");
    assert!(hefu.exit().await.success());
    hefu.log.line(0, &["drained"]).await;
}

#[tokio::test]
async fn certificates_are_read_again() {
    let (authority, other) = (tls::identity("authority", None), tls::identity("other", None));
    let ours = tls::identity("ours", Some(&authority));
    let stranger = tls::identity("stranger", Some(&other));
    let bank = tls::channel(&tls::identity("bank.example", Some(&authority)), &authority).await;
    let files =
        "ca_file = \"ca.pem\", client_cert_file = \"ours.pem\", client_key_file = \"ours.key\"";
    let settings = format!(
        "upstreams = [\"https://{}\"]\nin_doubt = \"problem\"\ntls = {{ server_name = \"bank.example\", {files} }}",
        bank.address
    );
    let place = Place::new("127.0.0.1:0", &settings);
    let write = |authority: &tls::Identity, ours: &tls::Identity| {
        place.write("ca.pem", authority.certificate.to_pem().unwrap());
        place.write("ours.pem", ours.certificate.to_pem().unwrap());
        place.write("ours.key", ours.key.private_key_to_pem_pkcs8().unwrap());
    };
    write(&authority, &ours);
    let hefu = Hefu::start(place.command()).await;
    let mut core = Peer::connect(hefu.core).await;
    // A connection that was made under one authority and certificate is not lent under another.
    for (what, ca, client, served) in [
        ("as it began", &authority, &ours, true),
        ("another authority", &other, &ours, false),
        ("the first again", &authority, &ours, true),
        ("a stranger's certificate", &authority, &stranger, false),
        ("ours again", &authority, &ours, true),
    ] {
        write(ca, client);
        assert_eq!(hefu.admin("POST /v1/reload", "").await.status(), 204, "{what}");
        core.send(query()).await;
        let status = core.answer().await.status();
        assert!(
            if served { status == 200 } else { matches!(status, 503 | 504) },
            "{what}: {status}"
        );
    }
    assert_eq!(bank.messages().len(), 3);
}

/// What a load saw.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) answered: AtomicUsize,
    told_to_close: AtomicUsize,
    pub(crate) failed: AtomicUsize,
    pub(crate) is_over: AtomicBool,
    pub(crate) changed: Notify,
}

impl Tally {
    /// Waits until so many more are answered.
    pub(crate) async fn more(&self, count: usize) {
        let enough = self.answered.load(Ordering::Relaxed) + count;
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if self.answered.load(Ordering::Relaxed) >= enough {
                    break;
                }
                changed.await;
            }
        };
        soon(waiting).await;
    }
}

/// A core that honours `Connection: close`: it asks on one connection until it is told to close.
pub(crate) async fn load(core: SocketAddr, tally: Arc<Tally>, keeps: bool) {
    let request =
        if keeps { query() } else { query().replacen("\r\n", "\r\nConnection: close\r\n", 1) };
    while !tally.is_over.load(Ordering::Relaxed) {
        let Ok(stream) = TcpStream::connect(core).await else {
            tally.failed.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let mut peer = Peer { stream, ahead: Vec::new() };
        loop {
            peer.send(&request).await;
            let Some(answer) =
                soon(peer.message(false)).await.filter(|answer| answer.status() == 200)
            else {
                tally.failed.fetch_add(1, Ordering::Relaxed);
                break;
            };
            tally.answered.fetch_add(1, Ordering::Relaxed);
            tally.changed.notify_waiters();
            if answer.field("connection") == Some("close") {
                tally.told_to_close.fetch_add(usize::from(keeps), Ordering::Relaxed);
                break;
            }
            if tally.is_over.load(Ordering::Relaxed) {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_fails_no_request() {
    let bank = channel(|_| ok("{}")).await;
    let place = Place::to(&bank);
    let mut hefu = Hefu::start(place.command()).await;
    let tally = Arc::new(Tally::default());
    let cores: Vec<_> = (0..24)
        .map(|number| tokio::spawn(load(hefu.core, Arc::clone(&tally), number % 4 != 0)))
        .collect();
    tally.more(1000).await;
    // What cannot start changes nothing.
    place.replace("hefu.toml", "[secrets]", "[secrets]\nextra = 1");
    hefu.signal("USR2");
    hefu.log.line(0, &["there is no successor"]).await;
    place.replace("hefu.toml", "\nextra = 1", "");
    tally.more(500).await;
    for upgrades in 1..=2 {
        // A listener may be anywhere else in the next configuration: only the policy is another here.
        place.enforce();
        hefu.signal("USR2");
        hefu.succeeded().await;
        tally.more(1000).await;
        hefu.log.line(upgrades - 1, &["drained"]).await;
        tally.more(1000).await;
    }
    assert!(hefu.exit().await.success());
    tally.is_over.store(true, Ordering::Relaxed);
    for core in cores {
        soon(core).await.unwrap();
    }
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    assert_eq!(count(&tally.failed), 0, "{:#?}", hefu.log.lines.lock().unwrap());
    assert_eq!(bank.messages().len(), count(&tally.answered));
    // Each keep-alive core was told once by each of the two that left.
    assert!(count(&tally.told_to_close) >= 18, "{}", count(&tally.told_to_close));
    // The admin API is the last one's.
    let dump = hefu.admin("GET /config_dump", "").await;
    assert!(dump.text().contains("\"enforce\":100"), "{}", dump.text());
    hefu.signal("TERM");
    hefu.log.line(2, &["drained"]).await;
}

#[tokio::test]
async fn a_service_manager_may_bind_and_is_told() {
    let bank = channel(|_| ok("{}")).await;
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let place =
        Place::new(&address.to_string(), &format!("upstreams = [\"http://{}\"]", bank.address));
    let manager = UnixDatagram::bind(place.0.path().join("manager")).unwrap();
    // A core may come before there is anybody.
    let mut core = Peer::connect(address).await;
    core.send(query()).await;
    let mut command = place.command();
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "hefu.socket");
    command.env("NOTIFY_SOCKET", place.0.path().join("manager"));
    let parent_fd = OwnedFd::from(socket);
    command.fd_mappings(vec![FdMapping { parent_fd, child_fd: 3 }]).unwrap();
    let mut hefu = Hefu::start(command).await;
    assert_eq!(hefu.core, address);
    assert_eq!(core.answer().await.status(), 200);
    let heard = async || {
        let mut bytes = [0; 200];
        let length = soon(manager.recv(&mut bytes)).await.unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    assert_eq!(heard().await.trim_end(), format!("READY=1\nMAINPID={}", hefu.pids[0]));
    // Two ends at once, though a connection is kept.
    hefu.signal("TERM");
    assert_eq!(heard().await.trim_end(), "STOPPING=1");
    hefu.signal("QUIT");
    assert!(hefu.exit().await.success());
    hefu.log.line(0, &["told twice"]).await;
    drop(core);
}
