//! A collector of spans that keeps what it is sent, for the leak scan.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The most bytes that are kept.
const KEPT_MAX: usize = 64 * 1024 * 1024;

/// Takes OTLP by HTTP until it is dropped.
#[derive(Debug)]
pub(super) struct Collector {
    /// Where.
    pub(super) address: SocketAddr,
    kept: Arc<Mutex<Vec<u8>>>,
    _serving: JoinSet<()>,
}

impl Collector {
    /// Serves on a free port.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let kept = Arc::<Mutex<Vec<u8>>>::default();
        let routes = Router::new().route("/v1/traces", post(take)).with_state(kept.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // It ends with the demo.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self { address, kept, _serving: serving })
    }

    /// All that came.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn take(State(kept): State<Arc<Mutex<Vec<u8>>>>, body: Bytes) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() < KEPT_MAX {
        kept.extend_from_slice(&body);
    }
}
