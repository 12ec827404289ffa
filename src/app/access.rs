//! The access log: what came of each request, in a line that holds no element. `docs/access-log.md` explains its fields.

use crate::config::AccessLog;
use crate::domain::clock::Timestamp;
use crate::metrics::Metrics;
use crate::proxy::finished::{Ending, Finished};
use crate::proxy::gate::Side;
use crate::telemetry::access::Queue;
use arc_swap::ArcSwapOption;
use serde::{Serialize, Serializer};
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long the last lines may take.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// The access log of one process; cheap to clone.
#[derive(Clone)]
pub(super) struct Access {
    open: Arc<ArcSwapOption<Open>>,
    metrics: Arc<Metrics>,
}

struct Open {
    place: AccessLog,
    queue: Queue<Line>,
}

/// The access log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the access log to {place}: {source}")]
pub struct Unwritable {
    place: AccessLog,
    source: io::Error,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.open.load();
        f.debug_tuple("Access").field(&open.as_ref().map(|open| &open.place)).finish()
    }
}

impl Access {
    /// None is written yet.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { open: Arc::default(), metrics }
    }

    /// Writes to `place` from now on; what waits for the place before it still goes there.
    pub(super) fn direct(&self, place: Option<&AccessLog>) -> Result<(), Unwritable> {
        if self.open.load().as_ref().map(|open| &open.place) == place {
            return Ok(());
        }
        let open = place.map(|place| self.open(place)).transpose()?;
        self.open.store(open.map(Arc::new));
        Ok(())
    }

    /// Opens the file anew, which somebody may have moved. Where it cannot be opened the moved one is written on.
    pub(super) fn reopen(&self) {
        let place = self.open.load().as_ref().map(|open| open.place.clone());
        let Some(place @ AccessLog::File(_)) = place else { return };
        match self.open(&place) {
            Ok(open) => self.open.store(Some(Arc::new(open))),
            Err(error) => tracing::error!(%error, "the file before it is written on"),
        }
    }

    fn open(&self, place: &AccessLog) -> Result<Open, Unwritable> {
        let metrics = self.metrics.clone();
        let lost = move |lines| metrics.on_access_lines_lost(lines);
        let queue = match place {
            AccessLog::Stdout => Queue::new(io::stdout(), lost),
            AccessLog::File(path) => {
                let file = File::options().append(true).create(true).open(path);
                file.and_then(|file| Queue::new(file, lost))
            }
        };
        let queue = queue.map_err(|source| Unwritable { place: place.clone(), source })?;
        Ok(Open { place: place.clone(), queue })
    }

    /// Adds a line, if there is a log and room in its queue; nobody waits.
    pub(super) fn push(&self, at: Timestamp, finished: Finished, kept: bool) {
        if let Some(open) = &*self.open.load()
            && !open.queue.push(Line { at, finished, kept })
        {
            self.metrics.on_access_lines_lost(1);
        }
    }

    /// Waits for what was added to be written.
    pub(super) async fn flush(&self) {
        if let Some(open) = self.open.load_full() {
            let flushing = tokio::task::spawn_blocking(move || open.queue.flush());
            if tokio::time::timeout(FLUSH_WITHIN, flushing).await.is_err() {
                tracing::error!("the last lines of the access log are not written");
            }
        }
    }
}

/// A line before it is written: put into words by the thread that writes.
struct Line {
    at: Timestamp,
    finished: Finished,
    /// Whether its spans are kept.
    kept: bool,
}

/// The fields, as they are documented.
#[derive(Serialize)]
struct Fields<'a> {
    ts: String,
    listener: &'static str,
    channel: Option<&'a str>,
    method: Option<&'a str>,
    status: Option<u16>,
    flags: String,
    payment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mismatch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queried: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<&'a str>,
    bytes_in: usize,
    bytes_out: usize,
    total_us: u64,
    judge_us: u64,
    channel_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span: Option<String>,
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { at, finished, .. } = self;
        let said = |name: &str| {
            let said = finished.said.iter().find(|(field, _)| field == name);
            said.and_then(|(_, value)| value.to_str().ok())
        };
        let fields = Fields {
            ts: written(*at),
            listener: listener(finished.side),
            channel: finished.upstream.as_deref(),
            method: finished.method.as_ref().map(http::Method::as_str),
            status: finished.status,
            flags: flags(finished.ending, said("hefu-decision"), said("hefu-mismatch")),
            payment: said("hefu-payment").map(|payment| payment.trim_matches('"')),
            decision: said("hefu-decision"),
            verification: said("hefu-verification"),
            outcome: said("hefu-outcome"),
            mismatch: said("hefu-mismatch"),
            queried: said("hefu-queried"),
            rows: said("hefu-rows"),
            bytes_in: finished.received,
            bytes_out: finished.sent,
            total_us: micros(finished.total),
            judge_us: micros(finished.judged),
            channel_us: micros(finished.exchanged),
            trace: finished.trace.as_ref().map(|traced| traced.at.told().trace_id()),
            span: self
                .kept
                .then(|| finished.trace.as_ref().map(|it| format!("{:016x}", it.at.span())))
                .flatten(),
        };
        fields.serialize(serializer)
    }
}

/// Which listener, as metrics and log have it.
pub(super) const fn listener(side: Side) -> &'static str {
    match side {
        Side::Core => "core",
        Side::Notify => "notify",
    }
}

/// How it ended, and what is remarkable about what went through: `-` where nothing is.
fn flags(ending: Ending, decision: Option<&str>, mismatch: Option<&str>) -> String {
    let annotated = decision.is_some_and(|decision| decision.starts_with("annotate"));
    let flags = [ending.flag(), annotated.then_some("AN"), mismatch.map(|_| "MM")];
    let flags: Vec<&str> = flags.into_iter().flatten().collect();
    if flags.is_empty() { "-".to_owned() } else { flags.join(",") }
}

fn written(at: Timestamp) -> String {
    let at = i64::try_from(at.as_millis()).ok();
    at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok())
        .map_or_else(String::new, |at| format!("{at:.3}"))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
