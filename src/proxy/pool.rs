//! Connections to upstreams that wait for the next message.
//!
//! Nobody watches each of them: with a task apiece, as in Pingora's pool, every message wakes two tasks and sets a timer. One that its
//! upstream closed is found when it is taken, as far as this side knows then, and within a second by one task for all.

use futures::FutureExt as _;
use pingora_core::protocols::Stream;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

/// How often is looked for those that are closed, or have waited for too long.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Which connections may stand for each other: to one address, and made in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Where to.
    pub(super) address: SocketAddr,
    /// A hash of how.
    pub(super) how: u64,
}

/// Connections of all upstreams.
pub(super) struct Pool {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    idle: HashMap<Key, Vec<Idle>>,
    count: usize,
    is_swept: bool,
}

struct Idle {
    stream: Stream,
    until: Instant,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("count", &self.lock().count).finish_non_exhaustive()
    }
}

impl Pool {
    /// Keeps at most so many.
    pub(super) fn new(most: usize) -> Self {
        Self { most, kept: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last, of those that are still good.
    pub(super) fn take(&self, key: Key) -> Option<Stream> {
        loop {
            let mut idle = self.lock().pop(key)?;
            if idle.is_good(Instant::now()) {
                return Some(idle.stream);
            }
        }
    }

    /// Keeps a connection for so long; closes it where there is no room, or where it says something that nobody asked for.
    pub(super) fn keep(self: &Arc<Self>, key: Key, stream: Stream, how_long: Duration) {
        let now = Instant::now();
        let mut idle = Idle { stream, until: now + how_long };
        if !idle.is_good(now) {
            return;
        }
        let mut kept = self.lock();
        if kept.count >= self.most {
            return;
        }
        kept.count += 1;
        kept.idle.entry(key).or_default().push(idle);
        if !std::mem::replace(&mut kept.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes those that are no good any more; says whether any are left.
    fn sweep(&self) -> bool {
        let now = Instant::now();
        let mut kept = self.lock();
        let all = kept.idle.values_mut();
        let gone: Vec<Idle> =
            all.flat_map(|idle| idle.extract_if(.., |idle| !idle.is_good(now))).collect();
        kept.idle.retain(|_, idle| !idle.is_empty());
        kept.count = kept.count.saturating_sub(gone.len());
        kept.is_swept = kept.count > 0;
        let left = kept.is_swept;
        // Closing them is no reason to keep others waiting.
        drop(kept);
        drop(gone);
        left
    }
}

impl Kept {
    fn pop(&mut self, key: Key) -> Option<Idle> {
        let idle = self.idle.get_mut(&key)?.pop()?;
        self.count = self.count.saturating_sub(1);
        Some(idle)
    }
}

impl Idle {
    /// Whether it may be used: it is not too old, and its peer neither closed it nor said anything.
    fn is_good(&mut self, now: Instant) -> bool {
        let mut byte = [0];
        let heard = tokio::task::unconstrained(self.stream.read(&mut byte)).now_or_never();
        now < self.until && heard.is_none()
    }
}

/// Sweeps until nothing is left.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        if !pool.upgrade().is_some_and(|pool| pool.sweep()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pingora_core::protocols::l4::stream::Stream as Plain;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    const LONG: Duration = Duration::from_mins(1);

    fn key(how: u64) -> Key {
        Key { address: SocketAddr::from(([127, 0, 0, 1], 1)), how }
    }

    /// A connection, and its other end.
    async fn pair(listener: &TcpListener) -> (Stream, TcpStream) {
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(connecting, listener.accept());
        (Box::new(Plain::from(ours.unwrap())), theirs.unwrap().0)
    }

    /// Waits until this side knows what its peer did.
    async fn until(told: impl Fn() -> bool) {
        while !told() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_connection_is_lent_while_it_is_good() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = Arc::new(Pool::new(2));
        let left = |how| pool.lock().idle.get(&key(how)).map_or(0, Vec::len);
        let (good, _its_peer) = pair(&listener).await;
        pool.keep(key(1), good, LONG);
        assert!(pool.take(key(2)).is_none());
        let good = pool.take(key(1)).unwrap();
        assert!(pool.take(key(1)).is_none());
        // Too old.
        pool.keep(key(1), good, Duration::ZERO);
        assert_eq!(left(1), 0);
        let (old, _its_peer) = pair(&listener).await;
        pool.keep(key(1), old, Duration::from_millis(1));
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(pool.take(key(1)).is_none());
        // Closed by its peer, and one that speaks unasked: each is closed once that is known.
        for speaks in [false, true] {
            let (stream, mut peer) = pair(&listener).await;
            pool.keep(key(1), stream, LONG);
            if speaks {
                peer.write_all(b"x").await.unwrap();
            } else {
                drop(peer);
            }
            until(|| !pool.sweep()).await;
            assert!(pool.take(key(1)).is_none());
        }
        // No room.
        let mut peers = Vec::new();
        for _ in 0..3 {
            let (stream, peer) = pair(&listener).await;
            pool.keep(key(1), stream, LONG);
            peers.push(peer);
        }
        assert_eq!((left(1), pool.lock().count), (2, 2));
        assert!(pool.sweep() && pool.take(key(1)).is_some() && pool.take(key(1)).is_some());
        assert_eq!(pool.lock().count, 0);
    }
}
