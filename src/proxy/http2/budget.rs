//! What one HTTP/2 connection may ask of us beside useful work: frames that cost their sender nothing are counted.
//!
//! Bounds for rapid reset, CONTINUATION and header floods are the library's; SETTINGS and PING are answered without end, and
//! empty frames are taken without end, unless somebody counts.

use crate::proxy::wire::Wire;
use bytes::{Buf, BytesMut};
use pingora_core::protocols::Stream;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// Frames that a connection may send before it did anything useful.
const BURST: i64 = 1_000;
/// What one answered request earns.
const EARNED: i64 = 10;
/// Each this many bytes of content, either way, earn one: they are acknowledged by window updates.
const BYTES_PER_FRAME: usize = 4 * 1024;

/// The allowance of one connection.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicI64,
    overdrawn: Notify,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: AtomicI64::new(BURST), overdrawn: Notify::new() }
    }
}

impl Budget {
    /// A request was answered.
    pub(super) fn served(&self) {
        self.earn(EARNED);
    }

    /// The whole allowance once more.
    pub(super) fn renew(&self) {
        self.earn(i64::MAX);
    }

    fn earn(&self, frames: i64) {
        let more = |left: i64| Some(left.saturating_add(frames).min(BURST));
        // The closure always yields a value.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn spend(&self, frames: i64) {
        if frames > 0 && self.left.fetch_sub(frames, Ordering::Relaxed) < frames {
            self.overdrawn.notify_one();
        }
    }

    /// Returns when the allowance is used up.
    pub(super) async fn overdrawn(&self) {
        self.overdrawn.notified().await;
    }

    fn is_overdrawn(&self) -> bool {
        self.left.load(Ordering::Relaxed) < 0
    }
}

/// Follows the frames of one direction (RFC 9113 section 4.1), however their bytes are cut.
#[derive(Debug, Default)]
struct Frames {
    /// What has come of the next frame's head.
    head: [u8; 9],
    begun: usize,
    /// What is still to come of the present frame's payload, or of the preface.
    payload: usize,
}

impl Frames {
    /// At the beginning of a client's connection: its preface is no frame.
    const fn after_preface() -> Self {
        Self { head: [0; 9], begun: 0, payload: super::PREFACE.len() }
    }

    /// How many frames of no use begin in `bytes`.
    fn read(&mut self, mut bytes: &[u8]) -> i64 {
        let mut idle = 0_i64;
        while !bytes.is_empty() {
            let skipped = self.payload.min(bytes.len());
            bytes.advance(skipped);
            self.payload -= skipped;
            if self.payload > 0 {
                break;
            }
            let (Some(slot), Some(byte)) = (self.head.get_mut(self.begun), bytes.first()) else {
                break;
            };
            *slot = *byte;
            bytes.advance(1);
            self.begun += 1;
            if self.begun == self.head.len() {
                self.begun = 0;
                let [high, middle, low, kind, ..] = self.head;
                self.payload =
                    usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                idle += i64::from(is_idle(kind, self.payload));
            }
        }
        idle
    }
}

/// Whether a frame does nothing by itself: all but HEADERS, and DATA with content. A reset undoes the HEADERS before it.
const fn is_idle(kind: u8, payload: usize) -> bool {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    match kind {
        DATA => payload == 0,
        HEADERS => false,
        _ => true,
    }
}

/// A connection whose incoming frames are counted. Once the budget is overdrawn nothing more is read of it.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Stream,
    ahead: BytesMut,
    frames: Frames,
    budget: Arc<Budget>,
    moved: usize,
}

impl Watched {
    /// A core's connection, at its preface.
    pub(super) fn of_core(Wire { stream, ahead, .. }: Wire, budget: Arc<Budget>) -> Self {
        Self { stream, ahead, frames: Frames::after_preface(), budget, moved: 0 }
    }

    /// A channel's connection: what it sends begins with a frame.
    pub(super) fn of_channel(stream: Stream, budget: Arc<Budget>) -> Self {
        let frames = Frames::default();
        Self { stream, ahead: BytesMut::new(), frames, budget, moved: 0 }
    }

    fn moved(&mut self, bytes: usize) {
        self.moved += bytes;
        let frames = self.moved / BYTES_PER_FRAME;
        if frames > 0 {
            self.moved %= BYTES_PER_FRAME;
            self.budget.earn(i64::try_from(frames).unwrap_or(BURST));
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.budget.is_overdrawn() {
            // Whoever serves the connection was told, and ends it.
            return Poll::Pending;
        }
        let before = out.filled().len();
        if this.ahead.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(context, out))?;
        } else {
            let now = this.ahead.len().min(out.remaining());
            out.put_slice(&this.ahead.split_to(now));
        }
        let read = out.filled().get(before..).unwrap_or_default();
        let (count, idle) = (read.len(), this.frames.read(read));
        // Frames of no use are small: their bytes earn next to nothing.
        this.moved(count);
        this.budget.spend(idle);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.moved(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let head = [length[1], length[2], length[3], kind, 0, 0, 0, 0, 0];
        head.into_iter().chain(std::iter::repeat_n(7, payload)).collect()
    }

    #[test]
    fn frames_of_no_use_are_counted() {
        let check = |frames: &[(u8, usize)], expected| {
            let bytes: Vec<u8> =
                frames.iter().flat_map(|(kind, payload)| frame(*kind, *payload)).collect();
            assert_eq!(Frames::default().read(&bytes), expected, "{frames:?}");
        };
        check(&[], 0);
        check(&[(1, 20), (0, 100), (0, 70_000)], 0);
        check(&[(0, 0), (2, 5), (3, 4), (4, 0), (4, 36), (6, 8), (8, 4), (9, 0), (99, 3)], 9);
    }

    #[test]
    fn an_allowance_is_used_up_and_earned() {
        let budget = Budget::default();
        budget.spend(BURST);
        assert!(!budget.is_overdrawn());
        budget.served();
        budget.spend(EARNED);
        assert!(!budget.is_overdrawn());
        budget.spend(1);
        assert!(budget.is_overdrawn());
        budget.renew();
        budget.spend(BURST);
        assert!(!budget.is_overdrawn(), "nobody saves more than a burst");
    }

    proptest! {
        #[test]
        fn however_bytes_are_cut_they_count_the_same(
            frames in prop::collection::vec((0_u8..12, 0_usize..40), 0..20),
            cuts in prop::collection::vec(1_usize..30, 1..40),
        ) {
            let mut bytes = super::super::PREFACE.to_vec();
            bytes.extend(frames.iter().flat_map(|(kind, payload)| frame(*kind, *payload)));
            let whole = Frames::after_preface().read(&bytes);
            let (mut cut, mut rest, mut reader) = (0, bytes.as_slice(), Frames::after_preface());
            for length in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*length).min(rest.len()));
                cut += reader.read(now);
                rest = later;
                if rest.is_empty() { break }
            }
            prop_assert_eq!(cut, whole);
            prop_assert_eq!(whole, i64::try_from(frames.iter().filter(|(kind, payload)| is_idle(*kind, *payload)).count()).unwrap());
        }
    }
}
