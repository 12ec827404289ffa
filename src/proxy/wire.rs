//! One connection, either side's: its stream, and what was read but not used yet.

use super::chunked::Chunked;
use super::head::{self, Framing, Length};
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use pingora_core::protocols::Stream;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

/// How much is read at once.
const READ_BYTES: usize = 8 * 1024;
/// How much of a long body, once as much has come.
const PIECE_BYTES: usize = 64 * 1024;
/// How much room makes a read into it worth its while.
const ROOM_BYTES: usize = 2 * 1024;

/// A stream and the bytes that were read ahead of need.
#[derive(Debug)]
pub(super) struct Wire<S = Stream> {
    pub(super) stream: S,
    pub(super) ahead: BytesMut,
    /// Whether what is still to come belongs to a body that nobody reads any more: no request begins there.
    pub(super) is_amid: bool,
}

/// Why no whole message came.
#[derive(Debug)]
pub(super) enum Broken {
    /// The peer closed, or the connection broke.
    Gone,
    /// What came is no message.
    Malformed(Framing),
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, ahead: BytesMut::new(), is_amid: false }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Whether the peer closed its side, as far as this side knows without waiting. Asked once for each request, it reads less
    /// than a request has, so that whoever sends many ahead takes no more memory with each.
    pub(super) fn is_gone(&mut self) -> bool {
        let mut byte = [0];
        match tokio::task::unconstrained(self.stream.read(&mut byte)).now_or_never() {
            None => false,
            Some(Ok(1..)) => {
                self.ahead.extend_from_slice(&byte);
                false
            }
            Some(Ok(_) | Err(_)) => true,
        }
    }

    /// Reads once; 0 at the end of the stream.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        if self.ahead.capacity() - self.ahead.len() >= ROOM_BYTES {
            return self.stream.read_buf(&mut self.ahead).await;
        }
        poll_fn(|context| self.poll_fill(context)).await
    }

    /// Reads into a place that is near, as whatever was called last, and keeps no more than came: who waits has no buffer.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut near = [MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut near);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
        self.ahead.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    async fn more(&mut self) -> Result<(), Broken> {
        match self.fill().await {
            Ok(0) | Err(_) => Err(Broken::Gone),
            Ok(_) => Ok(()),
        }
    }

    /// Reads up to the empty line that ends a head, of at most `max` bytes. Dropping the future loses nothing.
    pub(super) async fn read_head(&mut self, max: usize) -> Result<Bytes, Broken> {
        let mut searched = 0;
        loop {
            let new = self.ahead.get(searched..).unwrap_or_default();
            if let Some(end) = ends(new) {
                let end = searched + end;
                if end > max {
                    return Err(Broken::Malformed(Framing::TooLarge));
                }
                return Ok(self.ahead.split_to(end).freeze());
            }
            // A sender that never sends CRLF would otherwise hold the connection until the deadline.
            // What was searched was checked before, so that a line feed at its edge has its carriage return.
            let unchecked = if searched > 0 { new.strip_prefix(b"\n").unwrap_or(new) } else { new };
            head::check_bytes(unchecked).map_err(Broken::Malformed)?;
            if self.ahead.len() > max {
                return Err(Broken::Malformed(Framing::TooLarge));
            }
            searched = self.ahead.len().saturating_sub(3);
            self.more().await?;
        }
    }
}

/// Where a head ends, with its empty line. Only at line endings every byte is looked at.
fn ends(bytes: &[u8]) -> Option<usize> {
    let mut last = 3;
    loop {
        last += match bytes.get(last)? {
            b'\n' if bytes.get(last - 3..=last) == Some(b"\r\n\r\n") => return Some(last + 1),
            b'\r' | b'\n' => 1,
            _ => 4,
        };
    }
}

/// Reads one body piece by piece, however its end is marked.
#[derive(Debug)]
pub(super) enum Body {
    /// So many bytes are left.
    Fixed(u64),
    /// By chunks.
    Chunked(Chunked),
    /// Until the peer closes.
    UntilClose,
}

impl From<Length> for Body {
    fn from(length: Length) -> Self {
        match length {
            Length::Fixed(left) => Self::Fixed(left),
            Length::Chunked => Self::Chunked(Chunked::new()),
        }
    }
}

impl Body {
    /// Whether nothing of it is left to come, as far as that is known without reading.
    pub(super) const fn is_done(&self) -> bool {
        match self {
            Self::Fixed(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_done(),
            Self::UntilClose => false,
        }
    }

    /// Appends what comes next, and says whether the body is complete.
    pub(super) async fn read<S: AsyncRead + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        out: &mut BytesMut,
    ) -> Result<bool, Broken> {
        let before = out.len();
        loop {
            let done = self.take(&mut wire.ahead, out)?;
            if done || out.len() > before {
                return Ok(done);
            }
            if self.ends_with(wire).await? {
                return Ok(true);
            }
        }
    }

    /// Reads the whole body, or what of it was read when it was found to be over `max`.
    pub(super) async fn collect<S: AsyncRead + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        max: usize,
    ) -> Result<Collected, Broken> {
        if let Self::Fixed(length) = self {
            // The usual case copies nothing: the body is cut out of what was read.
            let Some(length) = usize::try_from(*length).ok().filter(|length| *length <= max) else {
                return Ok(Collected { body: Bytes::new(), is_whole: false });
            };
            while let Some(missing @ 1..) = length.checked_sub(wire.ahead.len()) {
                // Whoever tells of much and sends little takes no room with it.
                let room = missing.min(wire.ahead.len()).min(PIECE_BYTES);
                if room > READ_BYTES {
                    wire.ahead.reserve(room);
                }
                wire.more().await?;
            }
            return Ok(Collected { body: wire.ahead.split_to(length).freeze(), is_whole: true });
        }
        let mut body = BytesMut::new();
        loop {
            let done = self.take(&mut wire.ahead, &mut body)?;
            // A chunk's size tells that it is too large before its first byte came.
            let declared = if let Self::Chunked(chunked) = self { chunked.declared() } else { 0 };
            if body.len() + declared > max {
                return Ok(Collected { body: body.freeze(), is_whole: false });
            }
            if done || self.ends_with(wire).await? {
                return Ok(Collected { body: body.freeze(), is_whole: true });
            }
        }
    }

    /// Moves what was read ahead, and says whether the body is complete.
    pub(super) fn take(
        &mut self,
        ahead: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<bool, Broken> {
        match self {
            Self::Fixed(left) => {
                let now = usize::try_from(*left).unwrap_or(usize::MAX).min(ahead.len());
                out.extend_from_slice(&ahead.split_to(now));
                *left -= u64::try_from(now).unwrap_or(*left);
                Ok(*left == 0)
            }
            Self::Chunked(chunked) => chunked.read(ahead, out).map_err(Broken::Malformed),
            Self::UntilClose => {
                out.extend_from_slice(&ahead.split());
                Ok(false)
            }
        }
    }

    /// Reads on; whether that ended the body.
    async fn ends_with<S: AsyncRead + Unpin>(&self, wire: &mut Wire<S>) -> Result<bool, Broken> {
        match (wire.fill().await, self) {
            (Ok(0), Self::UntilClose) => Ok(true),
            (Ok(0) | Err(_), _) => Err(Broken::Gone),
            (Ok(_), _) => Ok(false),
        }
    }
}

/// A body, or its beginning.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) body: Bytes,
    pub(super) is_whole: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Each connection had 8 kB of its own while it waited, and a long body was read in as many pieces.
    #[tokio::test]
    async fn no_more_memory_is_taken_than_came() {
        const LONG: usize = 200_000;
        let (mut peer, stream) = tokio::io::duplex(LONG);
        let mut wire = Wire { stream, ahead: BytesMut::new(), is_amid: false };
        peer.write_all(b"abc").await.unwrap();
        assert_eq!(wire.fill().await.unwrap(), 3);
        assert_eq!((&*wire.ahead, wire.ahead.capacity() < 64), (&b"abc"[..], true));
        let length = u64::try_from(LONG).unwrap();
        assert!(Body::Fixed(length).collect(&mut wire, LONG).now_or_never().is_none());
        assert!(wire.ahead.capacity() < 64);
        peer.write_all(&vec![b'd'; LONG - 3]).await.unwrap();
        let collected = Body::Fixed(length).collect(&mut wire, LONG).await.unwrap();
        assert!(collected.is_whole && collected.body.starts_with(b"abcd"));
        assert_eq!((collected.body.len(), wire.ahead.len()), (LONG, 0));
        assert!(wire.ahead.capacity() <= LONG);
    }

    /// Each request of a core that sends many ahead took 8 kB more, and freed less than it took.
    #[tokio::test]
    async fn asking_whether_a_peer_is_gone_takes_no_more_than_a_request_frees() {
        let (mut peer, stream) = tokio::io::duplex(60_000);
        let mut wire = Wire { stream, ahead: BytesMut::new(), is_amid: false };
        assert!(!wire.is_gone());
        peer.write_all(&vec![b'a'; 60_000]).await.unwrap();
        for _ in 0..100 {
            assert!(!wire.is_gone());
        }
        assert!(wire.ahead.starts_with(b"aa") && wire.ahead.len() <= 100, "{}", wire.ahead.len());
        while wire.ahead.len() < 60_000 {
            wire.fill().await.unwrap();
        }
        assert!(!wire.is_gone());
        drop(peer);
        assert!(wire.is_gone());
    }

    proptest! {
        #[test]
        fn a_head_ends_with_its_first_empty_line(bytes in "[\r\na]{0,24}") {
            let bytes = bytes.as_bytes();
            let plain = bytes.windows(4).position(|window| window == b"\r\n\r\n");
            prop_assert_eq!(ends(bytes), plain.map(|at| at + 4));
        }
    }
}
