//! Spans for a collector, by OTLP over HTTP: a bounded queue that nobody waits for, and a task that sends what is in it.

use crate::domain::trace::{Role, Said, Span, Spans};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{mpsc, oneshot};

/// Spans that may wait: some seconds of a busy core that traces everything.
pub const QUEUE_MAX: usize = 8192;
/// The most in one message to the collector.
const BATCH_MAX: usize = 512;
/// How long a span waits for others.
const GATHERED_FOR: Duration = Duration::from_secs(1);
/// Under which names what follows is told.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

/// What becomes of spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// The collector took them.
    Taken,
    /// It did not, or not in time. They are not sent again.
    Failed,
    /// There was no room for them.
    Dropped,
}

/// Hears of so many spans what became of them.
pub type Heard = Arc<dyn Fn(Became, u64) + Send + Sync>;

/// Where spans go.
#[derive(Clone, Debug)]
pub struct Collector<'a> {
    /// Where it takes OTLP.
    pub url: &'a str,
    /// How long it may take.
    pub timeout: Duration,
    /// What the system's clock says, since 1970.
    pub wall: fn() -> Duration,
}

/// There can be no exporter.
#[derive(Debug, thiserror::Error)]
#[error("spans cannot be sent: {0}")]
pub struct Unusable(String);

/// The queue; its task ends with the last handle of it.
pub struct Queue {
    jobs: mpsc::Sender<Job>,
    heard: Heard,
}

enum Job {
    Span(Box<Span>),
    Flush(oneshot::Sender<()>),
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

impl Queue {
    /// Sends to `collector` from now on.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn new(collector: &Collector<'_>, heard: Heard) -> Result<Self, Unusable> {
        let Collector { url, timeout, wall } = collector;
        let unusable = |error: &dyn fmt::Display| Unusable(error.to_string());
        // Whoever takes spans is who is configured.
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(*timeout)
            .build()
            .map_err(|error| unusable(&error))?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(*url)
            .with_timeout(*timeout)
            .build()
            .map_err(|error| unusable(&error))?;
        exporter.set_resource(&resource());
        let (jobs, waiting) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(send(exporter, waiting, (*wall, heard.clone())));
        Ok(Self { jobs, heard })
    }

    /// Waits until what was recorded was sent.
    pub async fn flush(&self) {
        let (sent, heard) = oneshot::channel();
        if self.jobs.send(Job::Flush(sent)).await.is_ok() {
            // An error means that the task is gone, and with it what waited.
            let _ = heard.await;
        }
    }
}

impl Spans for Queue {
    fn record(&self, span: Span) {
        if self.jobs.try_send(Job::Span(Box::new(span))).is_err() {
            (self.heard)(Became::Dropped, 1);
        }
    }
}

fn resource() -> Resource {
    Resource::builder_empty()
        .with_schema_url([KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))], SCHEMA)
        .with_service_name("hefu")
        .build()
}

/// Sends what comes, a batch at a time.
async fn send(
    exporter: SpanExporter,
    mut waiting: mpsc::Receiver<Job>,
    (wall, heard): (fn() -> Duration, Heard),
) {
    let (mut batch, mut flushed) = (Vec::new(), Vec::new());
    let mut is_failing = false;
    while let Some(first) = waiting.recv().await {
        sort(first, &mut batch, &mut flushed);
        let due = tokio::time::Instant::now() + GATHERED_FOR;
        while batch.len() < BATCH_MAX && flushed.is_empty() {
            match tokio::time::timeout_at(due, waiting.recv()).await {
                Ok(Some(job)) => sort(job, &mut batch, &mut flushed),
                Ok(None) | Err(_) => break,
            }
        }
        if !batch.is_empty() {
            let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            let now = (wall(), tokio::time::Instant::now().into_std());
            let data = batch.drain(..).map(|span| exported(span, now)).collect();
            match exporter.export(data).await {
                Ok(()) => {
                    is_failing = false;
                    heard(Became::Taken, spans);
                }
                Err(error) => {
                    heard(Became::Failed, spans);
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "the collector does not take spans");
                    }
                }
            }
        }
        for flushed in flushed.drain(..) {
            // Whoever waited may have given up.
            let _ = flushed.send(());
        }
    }
}

fn sort(job: Job, batch: &mut Vec<Span>, flushed: &mut Vec<oneshot::Sender<()>>) {
    match job {
        Job::Span(span) => batch.push(*span),
        Job::Flush(sent) => flushed.push(sent),
    }
}

/// A span as it is sent; `now` is one instant by either clock.
fn exported(span: Span, now: (Duration, Instant)) -> SpanData {
    let Span { at, role, name, begun, ended, said, failed } = span;
    let wall = |instant: Instant| {
        SystemTime::UNIX_EPOCH + now.0.saturating_sub(now.1.saturating_duration_since(instant))
    };
    let (parent, is_remote) = at.parent().unwrap_or_default();
    SpanData {
        span_context: SpanContext::new(
            TraceId::from(at.id()),
            SpanId::from(at.span()),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: SpanId::from(parent),
        parent_span_is_remote: is_remote,
        span_kind: match role {
            Role::Server => SpanKind::Server,
            Role::Client => SpanKind::Client,
            Role::Internal => SpanKind::Internal,
        },
        name: name.into(),
        start_time: wall(begun),
        end_time: wall(ended),
        attributes: said.into_iter().map(|(key, said)| KeyValue::new(key, value(said))).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if failed { Status::error("") } else { Status::Unset },
        instrumentation_scope: InstrumentationScope::builder("hefu").build(),
    }
}

fn value(said: Said) -> Value {
    match said {
        Said::Word(word) => word.into(),
        Said::Name(name) => String::from(name).into(),
        Said::Number(number) => i64::try_from(number).unwrap_or(i64::MAX).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{BATCH_MAX, Became, Collector, Heard, QUEUE_MAX, Queue};
    use crate::domain::trace::{Role, Span, Spans as _, Trace};
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;
    use tokio::net::TcpListener;
    use tokio::sync::Notify;

    type Counted = Arc<Mutex<BTreeMap<&'static str, u64>>>;

    fn span(number: usize) -> Span {
        let at = Trace::begun(1, u64::try_from(number).unwrap());
        let now = tokio::time::Instant::now().into_std();
        let (role, name, said) = (Role::Internal, "work".to_owned(), Vec::new());
        Span { at, role, name, begun: now, ended: now, said, failed: false }
    }

    fn counting() -> (Counted, Heard) {
        let counted = Counted::default();
        let count = counted.clone();
        let heard = move |became: Became, spans| {
            let word = match became {
                Became::Taken => "taken",
                Became::Failed => "failed",
                Became::Dropped => "dropped",
            };
            *count.lock().unwrap().entry(word).or_default() += spans;
        };
        (counted, Arc::new(heard))
    }

    fn queue(url: &str, heard: Heard) -> Queue {
        let wall = || Duration::from_hours(500_000);
        Queue::new(&Collector { url, timeout: Duration::from_secs(5), wall }, heard).unwrap()
    }

    /// Nobody waits for a collector that is slow, and what there is no room for is counted.
    #[tokio::test]
    async fn a_slow_collector_costs_spans_and_no_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let asked = Arc::new(Notify::new());
        let asking = asked.clone();
        let silent = tokio::spawn(async move {
            let connection = listener.accept().await.unwrap();
            asking.notify_one();
            std::future::pending::<()>().await;
            drop(connection);
        });
        let (counted, heard) = counting();
        let queue = queue(&url, heard);
        (0..BATCH_MAX).for_each(|number| queue.record(span(number)));
        asked.notified().await;
        // One batch is on its way; as many as there is room for wait.
        (0..QUEUE_MAX + 7).for_each(|number| queue.record(span(number)));
        assert_eq!(*counted.lock().unwrap(), BTreeMap::from([("dropped", 7)]));
        silent.abort();
    }

    #[tokio::test]
    async fn a_collector_that_is_gone_is_counted_and_not_asked_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        drop(listener);
        let (counted, heard) = counting();
        let queue = queue(&url, heard);
        (0..3).for_each(|number| queue.record(span(number)));
        queue.flush().await;
        assert_eq!(*counted.lock().unwrap(), BTreeMap::from([("failed", 3)]));
    }
}
