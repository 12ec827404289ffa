//! A closed loop of keep-alive connections that checks every answer.

use super::foreign::spent;
use crate::world;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How often is looked whether all connections had an answer.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The next order.
static ORDERS: AtomicU64 = AtomicU64::new(0);

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
    /// What the proxy's processes spent meanwhile, for itself and in the system.
    pub(crate) cpu: Option<(Duration, Duration)>,
}

impl Sent {
    /// Counts another turn in.
    pub(crate) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.seconds += other.seconds;
        let sum =
            |((user, system), (more_user, more_system))| (user + more_user, system + more_system);
        self.cpu = self.cpu.zip(other.cpu).map(sum);
    }
}

impl Load {
    /// A POST of `body` to `path`.
    pub(crate) fn new(path: &str, body: &[u8], expects: &'static str) -> Self {
        let request = [&*world::head(path, body.len()), body].concat();
        let order = world::order_in(&request);
        Self(Arc::new(Message { request, order, body: world::answer(), expects }))
    }

    /// Sends it once.
    pub(crate) async fn once(&self, address: SocketAddr) -> io::Result<()> {
        let (mut request, mut answer) = (self.0.request.clone(), Vec::new());
        self.0.exchange(&mut connect(address).await?, &mut request, &mut answer).await
    }

    /// A connection by which one request is sent after the other.
    pub(crate) fn connect_blocking(&self, address: SocketAddr) -> io::Result<Blocking> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let (message, request) = (self.0.clone(), self.0.request.clone());
        Ok(Blocking { message, stream, request, answer: Vec::with_capacity(4096) })
    }

    /// Sends it over and over by so many connections, and counts from the end of the warm-up on.
    pub(crate) async fn run(
        &self,
        address: SocketAddr,
        connections: usize,
        processes: &[u32],
        (warm_up, measured): (Duration, Duration),
    ) -> io::Result<Sent> {
        let (count, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let mut streams = Vec::new();
        for _ in 0..connections {
            streams.push(connect(address).await?);
        }
        let mut loops = JoinSet::new();
        for mut stream in streams {
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
        let snapshot = || (count.load(Ordering::Relaxed), Instant::now(), spent_by(processes));
        tokio::time::sleep(warm_up).await;
        // A connection's first request takes longer, and with thousands of them so does the warm-up. One that fails is told of below.
        let each = u32::try_from(connections).unwrap_or(u32::MAX);
        while count.load(Ordering::Relaxed) < each && loops.len() == connections {
            tokio::time::sleep(LOOK_EVERY).await;
            while let Some(ended) = loops.try_join_next() {
                ended.map_err(io::Error::other)??;
            }
        }
        let (before, began, cpu_before) = snapshot();
        tokio::time::sleep(measured).await;
        let (after, ended, cpu_after) = snapshot();
        stop.store(true, Ordering::Relaxed);
        while let Some(ended) = loops.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        let meanwhile =
            |((user, system), (user_after, system_after)): (_, (Duration, Duration))| {
                (user_after.saturating_sub(user), system_after.saturating_sub(system))
            };
        Ok(Sent {
            requests: f64::from(after - before),
            seconds: (ended - began).as_secs_f64(),
            cpu: cpu_before.zip(cpu_after).map(meanwhile),
        })
    }
}

/// What all of them have spent, where there are any.
fn spent_by(processes: &[u32]) -> Option<(Duration, Duration)> {
    let all = processes.iter().map(|process| spent(*process));
    let sum = |(user, system), (more_user, more_system)| (user + more_user, system + more_system);
    all.collect::<Option<Vec<_>>>()?.into_iter().reduce(sum)
}

/// A connection without a runtime.
#[derive(Debug)]
pub(crate) struct Blocking {
    message: Arc<Message>,
    stream: std::net::TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Blocking {
    /// Sends the next order, and checks the answer.
    pub(crate) fn exchange(&mut self) -> io::Result<()> {
        self.message.number(&mut self.request);
        self.stream.write_all(&self.request)?;
        self.answer.clear();
        let mut piece = [0; 4096];
        loop {
            let read = self.stream.read(&mut piece)?;
            self.answer.extend_from_slice(piece.get(..read).unwrap_or_default());
            if self.message.is_whole(&self.answer, read)? {
                return Ok(());
            }
        }
    }
}

impl Message {
    async fn exchange(
        &self,
        stream: &mut TcpStream,
        request: &mut [u8],
        answer: &mut Vec<u8>,
    ) -> io::Result<()> {
        self.number(request);
        stream.write_all(request).await?;
        answer.clear();
        loop {
            let read = stream.read_buf(answer).await?;
            if self.is_whole(answer, read)? {
                return Ok(());
            }
        }
    }

    /// Gives a request the next order.
    fn number(&self, request: &mut [u8]) {
        let order = ORDERS.fetch_add(1, Ordering::Relaxed);
        let digits = format!("{order:0width$}", width = self.order.len());
        request.get_mut(self.order.clone()).unwrap().copy_from_slice(digits.as_bytes());
    }

    /// Whether an answer has come whole, after a read of so many bytes.
    fn is_whole(&self, answer: &[u8], read: usize) -> io::Result<bool> {
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(head) = head_end(answer) else { return Ok(false) };
        if answer.len() < head + self.body.len() {
            return Ok(false);
        }
        if answer.split_at_checked(head).is_some_and(|it| self.is_right(it)) {
            Ok(true)
        } else {
            Err(io::Error::other(format!("{:?}", String::from_utf8_lossy(answer))))
        }
    }

    fn is_right(&self, (head, body): (&[u8], &[u8])) -> bool {
        let expects = self.expects.as_bytes();
        head.starts_with(b"HTTP/1.1 200")
            && body == self.body
            && (expects.is_empty()
                || head.windows(expects.len()).any(|line| line.eq_ignore_ascii_case(expects)))
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
