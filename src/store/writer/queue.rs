//! What waits to be committed, and when the writer is woken for it.

use super::{TOGETHER_MAX, WAITING_MAX, Waiting};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

impl Waiting {
    /// Whether it is worth a commit of its own.
    const fn is_urgent(&self) -> bool {
        match self {
            Self::Put(_)
            | Self::Remove(_)
            | Self::PutWith(..)
            | Self::Amend(_)
            | Self::Count(_) => false,
            Self::Purge(..)
            | Self::Admit(..)
            | Self::Reserve(..)
            | Self::Read(..)
            | Self::Swap(..)
            | Self::Note(..)
            | Self::Flush(_) => true,
        }
    }
}

/// For what the writer is to be woken. Waking is a call of the system, whether anybody sleeps or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sleep {
    /// Nothing: it is at work, or woken already.
    #[default]
    Awake,
    /// What is urgent, or much.
    Lightly,
    /// Anything.
    Soundly,
}

/// Whether the writer was called for what is urgent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Called {
    #[default]
    Not,
    /// Somebody is about to.
    Soon,
    Now,
}

/// The duty to call the writer, of the first who has something urgent for a commit; done when it is dropped.
pub(super) struct Call<'s>(pub(super) &'s Shared);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        if queue.called == Called::Soon {
            queue.called = Called::Now;
            self.0.wake(&mut queue, true);
        }
    }
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) waiting: Vec<Waiting>,
    /// How many of it are urgent.
    pub(super) urgent: usize,
    pub(super) called: Called,
    sleep: Sleep,
    /// Whether somebody waited in vain for the commit that is under way.
    pub(super) hangs: bool,
    pub(super) closed: bool,
}

#[derive(Default)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    pub(super) more: Condvar,
}

impl Queue {
    /// Whether the writer has something to do now.
    fn is_due(&self) -> bool {
        let called = self.urgent > 0 && self.called == Called::Now;
        called || self.closed || self.waiting.len() >= TOGETHER_MAX
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What nobody waits for, and is not urgent; beyond the limit it is given up, which the next commit that succeeds makes up for only where
    /// the row changes again.
    pub(super) fn push(&self, queue: &mut Queue, waiting: Waiting) {
        if queue.waiting.len() < WAITING_MAX {
            let _ = self.add(queue, waiting);
        } else {
            tracing::error!("the store is lost for too long: a change is not kept");
        }
    }

    /// Adds what is to be committed. Says whether the writer is to be called for it, and nobody else is about to.
    pub(super) fn add(&self, queue: &mut Queue, waiting: Waiting) -> bool {
        let urgent = waiting.is_urgent();
        queue.waiting.push(waiting);
        queue.urgent = queue.urgent.saturating_add(usize::from(urgent));
        let calls = urgent && queue.called == Called::Not;
        if calls {
            queue.called = Called::Soon;
        }
        self.wake(queue, urgent);
        calls
    }

    /// Wakes the writer where it sleeps and that is due; for what is urgent it is called.
    fn wake(&self, queue: &mut Queue, urgent: bool) {
        let wakes = match queue.sleep {
            Sleep::Awake => false,
            Sleep::Lightly => queue.is_due(),
            Sleep::Soundly => !urgent || queue.is_due(),
        };
        if wakes {
            queue.sleep = Sleep::Awake;
            self.more.notify_one();
        }
    }

    /// Sleeps while that is so, and no longer than that.
    fn sleep<'q>(
        &self,
        mut queue: MutexGuard<'q, Queue>,
        (sleep, most): (Sleep, Duration),
        sleeps: impl Fn(&Queue) -> bool,
    ) -> MutexGuard<'q, Queue> {
        queue.sleep = sleep;
        let slept = self.more.wait_timeout_while(queue, most, |queue| sleeps(queue));
        let (mut queue, _) = slept.unwrap_or_else(PoisonError::into_inner);
        queue.sleep = Sleep::Awake;
        queue
    }
}

/// What waits, at most [`TOGETHER_MAX`], and nothing where nothing comes within `wait`; empty only when the writer is closed. What is
/// not urgent lingers first.
pub(super) fn take(
    shared: &Shared,
    wait: Duration,
    linger: Duration,
) -> Option<(Vec<Waiting>, bool)> {
    let lingers = |queue: &Queue| !queue.is_due();
    let idles = |queue: &Queue| queue.waiting.is_empty() && !queue.closed;
    let mut queue = shared.sleep(shared.lock(), (Sleep::Lightly, linger), lingers);
    if idles(&queue) {
        queue = shared.sleep(queue, (Sleep::Soundly, wait), idles);
        if idles(&queue) {
            return None;
        }
        queue = shared.sleep(queue, (Sleep::Lightly, linger), lingers);
    }
    let count = queue.waiting.len().min(TOGETHER_MAX);
    let batch = queue.waiting.drain(..count).collect();
    queue.urgent = queue.waiting.len();
    queue.called = if queue.urgent > 0 { Called::Now } else { Called::Not };
    Some((batch, queue.closed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::row::{Aggregate, Removal, RowKey};
    use crate::store::writer::{PASSES_MAX, Writer};
    use futures::FutureExt as _;
    use std::pin::pin;
    use std::thread;
    use tokio::sync::oneshot;

    const LONG: Duration = Duration::from_mins(1);

    fn change(name: usize) -> Waiting {
        let key = RowKey { of: Aggregate::Payments, name: name.to_string() };
        Waiting::Remove(Removal { key, only: None })
    }

    /// Adds something once the writer sleeps so.
    fn add_at(shared: &Shared, sleep: Sleep, waiting: Waiting) -> Option<Call<'_>> {
        loop {
            let mut queue = shared.lock();
            if queue.sleep == sleep {
                return shared.add(&mut queue, waiting).then(|| Call(shared));
            }
            drop(queue);
            thread::yield_now();
        }
    }

    fn flush() -> Waiting {
        Waiting::Flush(oneshot::channel().0)
    }

    /// Every change that nobody waited for took a commit, and its sync, for itself.
    #[test]
    fn what_nobody_waits_for_is_committed_with_what_somebody_does() {
        let check = |linger: Duration, changes: usize, urgent: bool, expected: usize| {
            let shared = Shared::default();
            thread::scope(|scope| {
                let taking = scope.spawn(|| take(&shared, LONG, linger).unwrap().0.len());
                for name in 0..changes {
                    let sleep = if linger.is_zero() { Sleep::Soundly } else { Sleep::Lightly };
                    assert!(add_at(&shared, sleep, change(name)).is_none());
                }
                if urgent {
                    drop(add_at(&shared, Sleep::Lightly, flush()));
                }
                assert_eq!(taking.join().unwrap(), expected);
            });
        };
        check(LONG, 5, true, 6);
        check(LONG, TOGETHER_MAX, false, TOGETHER_MAX);
        check(Duration::ZERO, 1, false, 1);
    }

    /// Who came while the first let others go had to wait for the next commit, and its sync.
    #[tokio::test]
    async fn who_comes_while_others_go_first_is_in_the_commit() {
        let check = |later: usize, passes: usize| {
            let writer = Writer::by_hand();
            let called = || writer.shared.lock().called == Called::Now;
            let mut first = pin!(writer.flush());
            for pass in 0..passes {
                assert!(first.as_mut().now_or_never().is_none() && !called(), "{pass} of {later}");
                if pass < later {
                    let _ = writer.shared.add(&mut writer.shared.lock(), flush());
                }
            }
            assert!(first.as_mut().now_or_never().is_none() && called(), "{later}");
        };
        check(0, 1);
        check(1, 2);
        check(2, 3);
        // Nobody is waited for without an end.
        check(100, PASSES_MAX);
    }

    /// Each admission woke the writer, and had a commit with its sync for itself while others were about to come.
    #[test]
    fn who_comes_before_the_writer_is_called_is_in_the_commit() {
        for sleep in [Sleep::Lightly, Sleep::Soundly] {
            let shared = Shared::default();
            let linger = if sleep == Sleep::Soundly { Duration::ZERO } else { LONG };
            thread::scope(|scope| {
                let taking = scope.spawn(|| take(&shared, LONG, linger).unwrap().0.len());
                let call = add_at(&shared, sleep, flush());
                // Only the first calls; and the writer sleeps on.
                assert!(call.is_some() && add_at(&shared, sleep, flush()).is_none());
                assert!(add_at(&shared, sleep, flush()).is_none());
                drop(call);
                assert_eq!(taking.join().unwrap(), 3);
                // Who comes then is the next to call.
                assert!(shared.add(&mut shared.lock(), flush()));
            });
        }
    }
}
