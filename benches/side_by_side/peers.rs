//! The channel and the proxies, each a process of its own.

use crate::load::head_end;
use crate::more;
use crate::world;
use async_trait::async_trait;
use hefu::app;
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
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The proxies' core; everything else is on the other.
const PROXIES: &str = "0";
const OTHERS: &str = "1";

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
        command.arg(role).args(channel.map(|channel| channel.to_string())).args(more);
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

/// A channel with one answer, which it gives to whole requests only.
pub(crate) fn channel() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let body = world::answer();
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: gateway\r\nDate: Mon, 23 Nov 2026 00:00:00 GMT\r\n\
         Content-Type: text/html;charset=UTF-8\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer: Arc<[u8]> = [head.into_bytes(), body].concat().into();
    runtime.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = Vec::with_capacity(4096);
                while stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
                    let whole = head_end(&request)
                        .is_some_and(|head| request.len() >= head + content_length(&request));
                    if whole {
                        assert!(request.starts_with(b"POST /") && request.ends_with(b"AAAA"));
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
}

impl Shape {
    /// What is compared with others: fifty rules, one channel.
    pub(crate) const USUAL: Self = Self { durable: false, rules: 50, evidence: 0, profiles: 1 };

    fn arguments(self) -> [String; 4] {
        let Self { durable, rules, evidence, profiles } = self;
        [durable.to_string(), rules.to_string(), evidence.to_string(), profiles.to_string()]
    }

    /// As [`Self::arguments`] wrote it.
    pub(crate) fn read(arguments: &[&str]) -> Option<Self> {
        let [durable, rules, evidence, profiles] = arguments else { return None };
        Some(Self {
            durable: durable.parse().ok()?,
            rules: rules.parse().ok()?,
            evidence: evidence.parse().ok()?,
            profiles: profiles.parse().ok()?,
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
pub(crate) fn bare_pingora(channel: SocketAddr) {
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
pub(crate) fn hefu(channel: &str, shape: Shape) {
    let dir = tempfile::tempdir().unwrap();
    let store = if shape.durable { "file = \"hefu.db\"\n" } else { "" };
    let in_memory = shape.evidence.max(1_000_000) + 1;
    let mut deployment = format!(
        "[store]\n{store}evidence_in_memory = {in_memory}\n[channels.unionpay]\nupstreams = [\"http://{channel}\"]\n\
         [[passthrough]]\npath = \"/plain/\"\nupstream = \"http://{channel}\"\n"
    );
    for number in 1..shape.profiles {
        deployment += &more::another_channel(dir.path(), number, channel);
    }
    more::rules(dir.path(), shape.rules);
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
