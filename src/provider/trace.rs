//! The trace within which providers are asked and the journal is written. It goes with the task that asks, so that no question
//! has to carry it.

use crate::domain::trace::{Role, Said, Span, Spans, Trace};
use futures::future::Either;
use http::HeaderValue;
use std::sync::Arc;
use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Current;
}

/// What a span says.
pub type Attributes = Vec<(&'static str, Said)>;

/// The work that is being done, and who takes its spans, where anybody does.
#[derive(Clone, Debug)]
pub struct Current {
    /// Where it stands.
    pub at: Trace,
    /// Who takes spans.
    pub spans: Option<Arc<dyn Spans>>,
}

/// Works within a trace, where there is one. Where there is none the work is no larger for it.
pub fn within<F: Future>(
    current: Option<Current>,
    work: F,
) -> impl Future<Output = F::Output> + use<F> {
    match current {
        Some(current) => Either::Right(Box::pin(CURRENT.scope(current, work))),
        None => Either::Left(work),
    }
}

/// Works within the trace of whoever calls this, also on a task of its own.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    within(CURRENT.try_get().ok(), work)
}

/// Works as a part of the work that is being done where this is called; where its spans are taken, so is that of this part, which says
/// what `said` makes of its result.
pub fn part<F: Future, S: FnOnce(&F::Output) -> Attributes>(
    name: &'static str,
    work: F,
    said: S,
) -> impl Future<Output = F::Output> + use<F, S> {
    match begin() {
        Some((current, spans)) => Either::Right(Box::pin(async move {
            let (at, begun) = (current.at, Instant::now());
            let done = CURRENT.scope(current, work).await;
            let said = said(&done);
            record(&*spans, at, (Role::Internal, name.to_owned(), false), begun, said);
            done
        })),
        None => Either::Left(work),
    }
}

/// A part of the current work, where its spans are taken.
fn begin() -> Option<(Current, Arc<dyn Spans>)> {
    let current = CURRENT.try_get().ok()?;
    let spans = current.spans.clone()?;
    Some((Current { at: current.at.within(rand::random()), ..current }, spans))
}

fn record(
    spans: &dyn Spans,
    at: Trace,
    (role, name, failed): (Role, String, bool),
    begun: Instant,
    said: Attributes,
) {
    let (begun, ended) = (begun.into_std(), Instant::now().into_std());
    spans.record(Span { at, role, name, begun, ended, said, failed });
}

/// A question on its way to a provider.
pub(super) struct Asking {
    current: Option<(Current, Arc<dyn Spans>)>,
    begun: Instant,
}

impl Asking {
    /// It begins.
    pub(super) fn begin() -> Self {
        Self { current: begin(), begun: Instant::now() }
    }

    /// What the provider is told of the trace.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let told = match &self.current {
            Some((current, _)) => current.at.told(),
            None => CURRENT.try_with(|current| current.at.told()).ok()?,
        };
        HeaderValue::try_from(told.header()).ok()
    }

    /// It is over; `failed` where it came to nothing.
    pub(super) fn end(self, name: &str, failed: bool, said: impl FnOnce() -> Attributes) {
        if let Some((current, spans)) = self.current {
            let what = (Role::Client, name.to_owned(), failed);
            record(&*spans, current.at, what, self.begun, said());
        }
    }
}
