//! A closed loop of keep-alive connections that checks every answer.

use crate::world;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const CONNECTIONS: usize = 64;
/// As many as the message has.
const ORDER_DIGITS: usize = 14;
/// The next order.
static ORDERS: AtomicU64 = AtomicU64::new(0);
/// What `/proc/…/stat` counts in: `USER_HZ`, which is 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// One request, and what its answer must be.
#[derive(Clone, Debug)]
pub(crate) struct Load(Arc<Message>);

#[derive(Debug)]
struct Message {
    request: Vec<u8>,
    /// Where the number of the order is in it: each leaves once.
    order: Range<usize>,
    body: Vec<u8>,
    /// A line that the answer's head must hold, or nothing.
    expects: &'static str,
}

/// What was sent while it was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// How many requests were answered.
    pub(crate) requests: f64,
    /// In how many seconds.
    pub(crate) seconds: f64,
    /// What the proxy's process spent meanwhile.
    pub(crate) cpu: Option<Duration>,
}

impl Sent {
    /// Counts another turn in.
    pub(crate) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.seconds += other.seconds;
        self.cpu = self.cpu.zip(other.cpu).map(|(sum, cpu)| sum + cpu);
    }
}

impl Load {
    /// A POST of `body` to `path`.
    pub(crate) fn new(path: &str, body: &[u8], expects: &'static str) -> Self {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: gateway.example\r\nUser-Agent: core/1.0\r\nAccept: */*\r\n\
             Content-Type: application/x-www-form-urlencoded;charset=UTF-8\r\nContent-Length: {length}\r\n\r\n"
        );
        let request = [head.as_bytes(), body].concat();
        let name = b"&orderId=";
        let order = request.windows(name.len()).position(|at| at == name).unwrap() + name.len();
        let order = order..order + ORDER_DIGITS;
        Self(Arc::new(Message { request, order, body: world::answer(), expects }))
    }

    /// Sends it once.
    pub(crate) async fn once(&self, address: SocketAddr) -> io::Result<()> {
        let (mut request, mut answer) = (self.0.request.clone(), Vec::new());
        self.0.exchange(&mut connect(address).await?, &mut request, &mut answer).await
    }

    /// Sends it over and over, and counts from the end of the warm-up on.
    pub(crate) async fn run(
        &self,
        address: SocketAddr,
        process: Option<u32>,
        (warm_up, measured): (Duration, Duration),
    ) -> io::Result<Sent> {
        let (count, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let mut loops = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let mut stream = connect(address).await?;
            let (message, count, stop) = (self.0.clone(), count.clone(), stop.clone());
            loops.spawn(async move {
                let (mut request, mut answer) = (message.request.clone(), Vec::with_capacity(4096));
                while !stop.load(Ordering::Relaxed) {
                    message.exchange(&mut stream, &mut request, &mut answer).await?;
                    count.fetch_add(1, Ordering::Relaxed);
                }
                io::Result::Ok(())
            });
        }
        let snapshot =
            || (count.load(Ordering::Relaxed), Instant::now(), process.and_then(cpu_time));
        tokio::time::sleep(warm_up).await;
        let (before, began, cpu_before) = snapshot();
        tokio::time::sleep(measured).await;
        let (after, ended, cpu_after) = snapshot();
        stop.store(true, Ordering::Relaxed);
        while let Some(ended) = loops.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        Ok(Sent {
            requests: f64::from(after - before),
            seconds: (ended - began).as_secs_f64(),
            cpu: cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before)),
        })
    }
}

impl Message {
    async fn exchange(
        &self,
        stream: &mut TcpStream,
        request: &mut [u8],
        answer: &mut Vec<u8>,
    ) -> io::Result<()> {
        let order = ORDERS.fetch_add(1, Ordering::Relaxed);
        let digits = format!("{order:0ORDER_DIGITS$}");
        request.get_mut(self.order.clone()).unwrap().copy_from_slice(digits.as_bytes());
        stream.write_all(request).await?;
        answer.clear();
        loop {
            if stream.read_buf(answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some(head) = head_end(answer) else { continue };
            if answer.len() >= head + self.body.len() {
                return if answer.split_at_checked(head).is_some_and(|it| self.is_right(it)) {
                    Ok(())
                } else {
                    Err(io::Error::other(format!("{:?}", String::from_utf8_lossy(answer))))
                };
            }
        }
    }

    fn is_right(&self, (head, body): (&[u8], &[u8])) -> bool {
        let expects = self.expects.as_bytes();
        head.starts_with(b"HTTP/1.1 200")
            && body == self.body
            && (expects.is_empty() || head.windows(expects.len()).any(|line| line == expects))
    }
}

/// Where a head ends, once it is whole.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What a process has spent, user and system.
fn cpu_time(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the name in brackets, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    Some(TICK * ticks.sum::<Result<u32, _>>().ok()?)
}
