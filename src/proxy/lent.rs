//! A connection while Pingora has it: it shows one request, and keeps for us what follows.
//!
//! Pingora reads past the end of a request, and what it read there could not be had back: the next request would be
//! lost, or worse, read by nobody but Pingora.

use super::chunked::Chunked;
use super::head::{Framing, Length};
use super::wire::Wire;
use async_trait::async_trait;
use bytes::BytesMut;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType, raw_connect::ProxyDigest,
};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much of the next request is read while this one is served.
const NEXT_BYTES_MAX: usize = 16 * 1024;

/// Where this request's body stands.
#[derive(Debug)]
enum Own {
    /// So many bytes are left.
    Fixed(u64),
    /// A reader follows the chunks; what it has not taken yet waits with it.
    Chunked(Chunked, BytesMut),
}

/// The lent connection.
#[derive(Debug)]
pub(super) struct Lent {
    stream: Stream,
    own: Own,
    next: BytesMut,
}

impl Lent {
    /// At the beginning of a body.
    pub(super) fn new(stream: Stream, length: Length) -> Self {
        let own = match length {
            Length::Fixed(left) => Own::Fixed(left),
            Length::Chunked => Own::Chunked(Chunked::new(), BytesMut::new()),
        };
        Self { stream, own, next: BytesMut::new() }
    }

    /// The part of these bytes that belongs to this request; the rest is kept.
    ///
    /// # Errors
    /// [`Framing::Chunk`] where the body is malformed.
    pub(super) fn take_own(&mut self, mut read: BytesMut) -> Result<BytesMut, Framing> {
        let length = self.measure(&read)?;
        self.next.unsplit(read.split_off(length));
        Ok(read)
    }

    /// The connection again, with what follows the request.
    pub(super) fn into_wire(self) -> Wire {
        Wire { stream: self.stream, ahead: self.next }
    }

    /// How many of the bytes that came next belong to this request.
    fn measure(&mut self, read: &[u8]) -> Result<usize, Framing> {
        match &mut self.own {
            Own::Fixed(left) => {
                let own = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                *left -= u64::try_from(own).unwrap_or(*left);
                Ok(own)
            }
            Own::Chunked(chunked, untaken) => {
                untaken.extend_from_slice(read);
                let done = chunked.read(untaken, &mut BytesMut::new())?;
                Ok(if done { read.len() - std::mem::take(untaken).len() } else { read.len() })
            }
        }
    }

    const fn is_whole(&self) -> bool {
        match &self.own {
            Own::Fixed(left) => *left == 0,
            Own::Chunked(chunked, _) => chunked.is_done(),
        }
    }
}

impl AsyncRead for Lent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.is_whole() {
            let before = out.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, out))?;
            let read = out.filled().get(before..).unwrap_or_default();
            let own = this
                .measure(read)
                .map_err(|framing| io::Error::new(io::ErrorKind::InvalidData, framing))?;
            this.next.extend_from_slice(read.get(own..).unwrap_or_default());
            out.set_filled(before + own);
            return Poll::Ready(Ok(()));
        }
        // The request is over: only the end of the connection is told, since Pingora watches for a core that is gone.
        while this.next.len() < NEXT_BYTES_MAX {
            let mut bytes = [0; 1024];
            let mut next = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut next))?;
            if next.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.next.extend_from_slice(next.filled());
        }
        Poll::Pending
    }
}

impl AsyncWrite for Lent {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Lent {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.stream).await;
    }
}

impl UniqueID for Lent {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Lent {}

impl Peek for Lent {}

impl GetTimingDigest for Lent {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl GetProxyDigest for Lent {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.stream.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for Lent {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.stream.set_socket_digest(digest);
    }
}
