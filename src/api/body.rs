//! Bodies, read whole before anything is made of them.

use crate::api::Problem;
use axum::body::Body;
use axum::http::StatusCode;
use futures::StreamExt as _;
use std::time::Duration;
use tokio::time::timeout;

/// A body of so many bytes at most, which comes in time.
///
/// # Errors
/// What whoever sent it is told.
pub async fn whole(body: Body, most: usize, within: Duration) -> Result<Vec<u8>, Problem> {
    let slow = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long");
    timeout(within, read(body, most)).await.map_err(slow)?
}

async fn read(body: Body, most: usize) -> Result<Vec<u8>, Problem> {
    const BROKEN: Problem =
        Problem::new(StatusCode::BAD_REQUEST, "the body broke off, or is not coded as HTTP says");
    let (mut stream, mut whole) = (body.into_data_stream(), Vec::new());
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| BROKEN)?;
        if chunk.len() > most.saturating_sub(whole.len()) {
            let detail = format!("the body has more than {most} bytes");
            return Err(Problem::said(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}
