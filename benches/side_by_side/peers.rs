//! The channel and the proxies, each a process of its own.

use crate::load::head_end;
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
    /// Starts this program again in another role, on the core of its kind.
    pub(crate) fn start(role: &str, channel: Option<SocketAddr>, pinned: bool) -> Self {
        let program = std::env::current_exe().unwrap();
        let core = if channel.is_some() { PROXIES } else { OTHERS };
        let mut command = pin(core, &program, pinned);
        command.arg(role).args(channel.map(|channel| channel.to_string()));
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
                    let head = head_end(&request);
                    if head.is_some_and(|head| request.len() >= head + world::REQUEST_BYTES) {
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

/// Hefu as `hefu serve` composes it, with one worker thread as well; `durable` with a store in a file.
pub(crate) fn hefu(channel: &str, durable: bool) {
    let dir = tempfile::tempdir().unwrap();
    let store = if durable { "[store]\nfile = \"hefu.db\"\n" } else { "" };
    let deployment = format!(
        "{store}[channels.unionpay]\nupstreams = [\"http://{channel}\"]\n\
         [[passthrough]]\npath = \"/plain/\"\nupstream = \"http://{channel}\"\n"
    );
    let config = world::configure(dir.path(), &deployment);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let running = runtime.block_on(app::start(config)).unwrap();
    serve_until_orphaned(running.core);
}
