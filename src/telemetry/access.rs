//! A log that nobody waits for: a bounded queue, and a thread that writes what is in it as lines of JSON.

use serde::Serialize;
use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Lines that may wait: a second of a busy core.
const LINES_MAX: usize = 8192;
/// How much is gathered before it is written.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// The queue of one sink. Its thread writes what waits and ends when the queue is dropped.
#[derive(Debug)]
pub struct Queue<L> {
    jobs: SyncSender<Job<L>>,
}

enum Job<L> {
    Line(L),
    Flush(SyncSender<()>),
}

impl<L: Serialize + Send + 'static> Queue<L> {
    /// Writes to `sink`; `lost` hears of how many lines could not be.
    ///
    /// # Errors
    /// Where the system has no thread left.
    pub fn new(
        sink: impl Write + Send + 'static,
        lost: impl Fn(u64) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel(LINES_MAX);
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_what_comes(&waiting, sink, lost))?;
        Ok(Self { jobs })
    }

    /// Adds a line without waiting; whether there was room for it.
    pub fn push(&self, line: L) -> bool {
        self.jobs.try_send(Job::Line(line)).is_ok()
    }

    /// Waits until all that was added is written. Blocks.
    pub fn flush(&self) {
        let (written, heard) = sync_channel(1);
        if self.jobs.send(Job::Flush(written)).is_ok() {
            // An error means that the thread is gone, and with it what waited.
            let _ = heard.recv();
        }
    }
}

fn write_what_comes<L: Serialize>(
    jobs: &Receiver<Job<L>>,
    mut sink: impl Write,
    lost: impl Fn(u64),
) {
    let mut gathered = Vec::with_capacity(GATHERED_BYTES_MAX);
    let mut is_failing = false;
    while let Ok(first) = jobs.recv() {
        let (mut next, mut lines, mut waiting) = (Some(first), 0_u64, Vec::new());
        while let Some(job) = next {
            match job {
                Job::Line(line) => {
                    gather(&mut gathered, &line);
                    lines = lines.saturating_add(1);
                }
                Job::Flush(written) => waiting.push(written),
            }
            let has_room = gathered.len() < GATHERED_BYTES_MAX;
            next = if has_room { jobs.try_recv().ok() } else { None };
        }
        // In one write, so that two processes of an upgrade do not write into each other's lines.
        match sink.write_all(&gathered).and_then(|()| sink.flush()) {
            Ok(()) => is_failing = false,
            Err(error) => {
                lost(lines);
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::error!(%error, "the access log cannot be written");
                }
            }
        }
        gathered.clear();
        for written in waiting {
            // Whoever waited may have given up.
            let _ = written.try_send(());
        }
    }
}

fn gather<L: Serialize>(gathered: &mut Vec<u8>, line: &L) {
    let before = gathered.len();
    match serde_json::to_writer(&mut *gathered, line) {
        Ok(()) => gathered.push(b'\n'),
        Err(_) => gathered.truncate(before),
    }
}

#[cfg(test)]
mod tests {
    use super::{LINES_MAX, Queue};
    use std::io::{self, Write};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::sync::{Arc, Mutex};

    /// Keeps what is written; writes once it is told to.
    struct Sink {
        kept: Arc<Mutex<Vec<u8>>>,
        told: Option<Receiver<()>>,
        begun: Option<SyncSender<()>>,
        fails: bool,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(begun) = self.begun.take() {
                begun.send(()).unwrap();
            }
            if let Some(told) = self.told.take() {
                told.recv().unwrap();
            }
            if self.fails {
                return Err(io::Error::other("the disk is full"));
            }
            self.kept.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_in_order() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let sink = Sink { kept: kept.clone(), told: None, begun: None, fails: false };
        let queue = Queue::new(sink, |lines| assert_eq!(lines, 0)).unwrap();
        for number in 0..3 {
            assert!(queue.push(serde_json::json!({ "number": number })));
        }
        queue.flush();
        let text = String::from_utf8(kept.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "{\"number\":0}\n{\"number\":1}\n{\"number\":2}\n");
    }

    #[test]
    fn a_slow_disk_costs_lines_and_no_time() {
        let (go_on, told) = sync_channel(1);
        let (begin, started) = sync_channel(1);
        let kept = Arc::new(Mutex::new(Vec::new()));
        let sink = Sink { kept: kept.clone(), told: Some(told), begun: Some(begin), fails: false };
        let queue = Queue::new(sink, |lines| assert_eq!(lines, 0)).unwrap();
        assert!(queue.push(0));
        started.recv().unwrap();
        let taken = (0..LINES_MAX + 7).filter(|line| queue.push(*line)).count();
        assert_eq!(taken, LINES_MAX);
        go_on.send(()).unwrap();
        queue.flush();
        let text = String::from_utf8(kept.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), LINES_MAX + 1);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let lost = Arc::new(AtomicU64::new(0));
        let count = lost.clone();
        let sink = Sink { kept: Arc::default(), told: None, begun: None, fails: true };
        let queue = Queue::new(sink, move |lines| {
            count.fetch_add(lines, Ordering::Relaxed);
        })
        .unwrap();
        for line in 0..5 {
            assert!(queue.push(line));
        }
        queue.flush();
        assert_eq!(lost.load(Ordering::Relaxed), 5);
    }
}
