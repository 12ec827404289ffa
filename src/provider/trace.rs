//! The trace within which providers are asked. It goes with the task that asks, so that no question has to carry it.

use crate::domain::trace::TraceParent;
use http::HeaderValue;
use std::future::Future;

tokio::task_local! {
    static CURRENT: TraceParent;
}

/// Asks within `trace`, where there is one.
pub async fn within<F: Future>(trace: Option<TraceParent>, asking: F) -> F::Output {
    match trace {
        Some(trace) => CURRENT.scope(trace, asking).await,
        None => asking.await,
    }
}

/// Asks within the trace of whoever calls this, also on a task of its own.
pub fn carried<F: Future>(asking: F) -> impl Future<Output = F::Output> {
    within(CURRENT.try_get().ok(), asking)
}

/// What a provider is told.
pub(super) fn header() -> Option<HeaderValue> {
    CURRENT.try_with(|trace| HeaderValue::try_from(trace.header()).ok()).ok().flatten()
}
