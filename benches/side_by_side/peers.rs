//! The channel and the proxies, each a process of its own.

use super::load::head_end;
use super::more;
use crate::pure::{self, Pure};
use crate::world;
use async_trait::async_trait;
use hefu::app;
use hefu::crypto::fingerprint::Fingerprinter;
use hefu::domain::id::KeyId;
use hefu::message::extract::{Request, extract};
use pingora_core::Result;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Where the messages go, as Hefu reads it.
const PATH: &str = "/gateway/api/backtransreq.do";

/// The proxies' core; everything else is on the other.
const PROXIES: &str = "0";
const OTHERS: &str = "1";

/// How many connections Hefu takes: beyond it they would wait in the system's backlog, and those before them be idle for too long.
const CONNECTIONS_MAX: usize = 16_384;

/// Another process, ended with this one.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Peer {
    /// Starts Hefu in this program.
    pub(crate) fn hefu(shape: Shape, channel: SocketAddr, pinned: bool) -> Self {
        Self::start_with("hefu", Some(channel), &shape.arguments(), pinned)
    }

    /// Starts this program again in another role, on the core of its kind.
    pub(crate) fn start(role: &str, channel: Option<SocketAddr>, pinned: bool) -> Self {
        Self::start_with(role, channel, &[], pinned)
    }

    fn start_with(role: &str, channel: Option<SocketAddr>, more: &[String], pinned: bool) -> Self {
        let program = std::env::current_exe().unwrap();
        let core = if channel.is_some() { PROXIES } else { OTHERS };
        let mut command = pin(core, &program, pinned);
        command.args(["peer", role]).args(channel.map(|channel| channel.to_string())).args(more);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().unwrap() }
    }

    /// Another program, which listens at `address`.
    pub(crate) const fn of(child: Child, address: SocketAddr) -> Self {
        Self { child, address }
    }

    /// The process: `taskset` becomes what it starts.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program on the proxies' core.
pub(crate) fn pin_to_proxies(program: &Path, pinned: bool) -> Command {
    pin(PROXIES, program, pinned)
}

fn pin(core: &str, program: &Path, pinned: bool) -> Command {
    if !pinned {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
}

/// Moves this process off the proxies' core; whether that can be done here.
pub(crate) fn pin_self() -> bool {
    let process = std::process::id().to_string();
    let pin = |core| Command::new("taskset").args(["-a", "-c", "-p", core, &process]).output();
    let can = |core| pin(core).is_ok_and(|output| output.status.success());
    can(PROXIES) && can(OTHERS)
}

/// Tells the address, then waits for the end of the parent.
fn serve_until_orphaned(address: SocketAddr) {
    println!("{address}");
    let _ = std::io::stdin().read(&mut [0]);
}

/// What a bench has started this program again for.
pub(crate) fn be(role: &[&str]) {
    match role {
        ["channel"] => channel(),
        ["collector"] => answer_all("", Vec::new(), |_| true),
        ["judge", _channel] => judge(),
        ["bare_pingora", channel] => bare_pingora(channel.parse().unwrap()),
        ["hefu", channel, shape @ ..] => hefu(channel, Shape::read(shape).unwrap()),
        _ => println!("no such peer: {role:?}"),
    }
}

/// A channel with one answer.
fn channel() {
    let fields = "Server: gateway\r\nDate: Mon, 23 Nov 2026 00:00:00 GMT\r\n\
        Content-Type: text/html;charset=UTF-8\r\n";
    answer_all(fields, world::answer(), |request| {
        request.starts_with(b"POST /") && request.ends_with(b"AAAA")
    });
}

/// Whom Envoy asks: what Hefu looks at before a message leaves (extraction, keyed fingerprint, evidence), and nothing of the answer.
fn judge() {
    let dir = tempfile::tempdir().unwrap();
    let pure = Arc::new(Pure::new(dir.path()));
    let fingerprinter = Fingerprinter::new(KeyId(1), &[7; 32]).unwrap();
    let tuple = move |pure: &Pure, body: &[u8]| {
        let request = Request::post(PATH, world::FORM, body);
        let extracted = extract(&pure.channel.profile, &request).unwrap();
        let elements = &extracted.payments.first().unwrap().payment.elements;
        fingerprinter.tuple(elements, elements.set()).unwrap()
    };
    let (_, mut evidence) = more::evidence(0);
    evidence.until = pure::NOW.plus(Duration::from_hours(1));
    pure.service.store.put_evidence(tuple(&pure, &pure.body), None, evidence);
    answer_all("Hefu-Decision: permit;mode=enforce\r\n", Vec::new(), move |request| {
        let (_, body) = request.split_at(head_end(request).unwrap());
        let (channel, road) = (pure.channel.name(), pure.channel.profile.road.as_ref());
        pure.service.store.evidence(&tuple(&pure, body), channel, road, pure::NOW).is_some()
    });
}

/// Answers whole requests, which must be right, and nothing else.
fn answer_all(
    fields: &str,
    body: Vec<u8>,
    is_right: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
) {
    let is_right = Arc::new(is_right);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    let answer: Arc<[u8]> = [head.into_bytes(), body].concat().into();
    runtime.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let (answer, is_right) = (answer.clone(), is_right.clone());
            tokio::spawn(async move {
                let mut request = Vec::with_capacity(4096);
                while stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
                    let whole = head_end(&request)
                        .is_some_and(|head| request.len() >= head + content_length(&request));
                    if whole {
                        assert!(is_right(&request));
                        request.clear();
                        if stream.write_all(&answer).await.is_err() {
                            break;
                        }
                    }
                }
            });
        }
    });
    serve_until_orphaned(address);
}

/// What a head says of the body's length.
fn content_length(request: &[u8]) -> usize {
    let name = b"content-length: ";
    let at = request.windows(name.len()).position(|at| at.eq_ignore_ascii_case(name)).unwrap();
    let digits = request.iter().skip(at + name.len()).take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
}

/// How Hefu is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// With a store in a file.
    pub(crate) durable: bool,
    /// How many rules judge.
    pub(crate) rules: usize,
    /// How many other tuples there is evidence about.
    pub(crate) evidence: u64,
    /// How many channels there are.
    pub(crate) profiles: usize,
    /// Where the spans of every request go.
    pub(crate) traced: Option<SocketAddr>,
}

impl Shape {
    /// What is compared with others: fifty rules, one channel.
    pub(crate) const USUAL: Self =
        Self { durable: false, rules: 50, evidence: 0, profiles: 1, traced: None };

    fn arguments(self) -> [String; 5] {
        let Self { durable, rules, evidence, profiles, traced } = self;
        let traced = traced.map_or_else(|| "no".to_owned(), |collector| collector.to_string());
        let [rules, profiles] = [rules, profiles].map(|count| count.to_string());
        [durable.to_string(), rules, evidence.to_string(), profiles, traced]
    }

    /// As [`Self::arguments`] wrote it.
    fn read(arguments: &[&str]) -> Option<Self> {
        let [durable, rules, evidence, profiles, traced] = arguments else { return None };
        Some(Self {
            durable: durable.parse().ok()?,
            rules: rules.parse().ok()?,
            evidence: evidence.parse().ok()?,
            profiles: profiles.parse().ok()?,
            traced: traced.parse().ok(),
        })
    }
}

/// The least that Pingora proxies with.
struct Bare(SocketAddr);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

/// A bare Pingora proxy with one worker thread.
fn bare_pingora(channel: SocketAddr) {
    // Pingora binds by itself: the port is free a moment before.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut server =
        Server::new_with_opt_and_conf(None, ServerConf { threads: 1, ..ServerConf::default() });
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare(channel));
    service.add_tcp(&address.to_string());
    server.add_service(service);
    std::thread::spawn(move || {
        while std::net::TcpStream::connect(address).is_err() {
            std::thread::yield_now();
        }
        serve_until_orphaned(address);
        std::process::exit(0);
    });
    server.run_forever();
}

/// Hefu as `hefu serve` composes it, with one worker thread as well.
fn hefu(channel: &str, shape: Shape) {
    let dir = tempfile::tempdir().unwrap();
    let store = if shape.durable { "file = \"hefu.db\"\n" } else { "" };
    let in_memory = shape.evidence.max(1_000_000) + 1;
    let mut deployment = format!(
        "[limits]\nconnections = {CONNECTIONS_MAX}\n[store]\n{store}evidence_in_memory = {in_memory}\n[channels.unionpay]\nupstreams = [\"http://{channel}\"]\n\
         [[passthrough]]\npath = \"/plain/\"\nupstream = \"http://{channel}\"\n"
    );
    if let Some(collector) = shape.traced {
        let trace = format!("[trace]\notlp = \"http://{collector}/v1/traces\"\nshare = 1.0\n");
        deployment += &trace;
    }
    for number in 1..shape.profiles {
        deployment += &more::another_channel(dir.path(), number, channel);
    }
    world::rules(dir.path(), shape.rules);
    let config = world::configure(dir.path(), &deployment);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let running = runtime.block_on(app::start(config)).unwrap();
    for number in 0..shape.evidence {
        let (tuple, evidence) = more::evidence(number);
        running.service.store.put_evidence(tuple, None, evidence);
    }
    serve_until_orphaned(running.core);
}
