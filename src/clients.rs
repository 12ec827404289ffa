//! The verification service's edge: what clients outside send and are told. Nobody learns here of others, nor what others had verified.

pub mod access;
mod batches;
mod body;
mod onboardings;
mod pictures;
mod routes;
pub mod signed;
mod statements;
mod verifications;

use crate::api::Problem;
use crate::api::description::{Api, describe};
use crate::api::throttle::Throttle;
use crate::service::Service;
use access::Client;
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use openssl::ssl::SslAcceptor;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const API: Api = Api {
    title: "Hefu's verification service",
    about: "On `[listen] verification`. Each operation needs the scope `x-right`. Elements are kept by nobody: no answer shows one. Times are milliseconds since 1970; docs/verification.md explains the rest.",
    server: "https://verification.example",
};

/// What the service is, of one configuration.
pub struct Clients {
    /// The use cases.
    pub service: Arc<Service>,
    /// Who may call, in any order; no two have one name.
    pub clients: Vec<Client>,
    /// The longest body, in bytes.
    pub body_max: usize,
    /// That of a batch.
    pub batch_max: usize,
    /// The longest picture, in characters of base64; it may be so much more than the longest body.
    pub picture_max: usize,
    /// How long a body may take.
    pub body_within: Duration,
    /// TLS on the listener.
    pub door: Option<Arc<SslAcceptor>>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("clients", &self.clients).finish_non_exhaustive()
    }
}

/// What is served now, and how much of it at once.
#[derive(Clone, Debug)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    current: ArcSwap<Clients>,
    throttle: Throttle,
    /// A place for each verification that may go on at once.
    at_once: Arc<Semaphore>,
    /// And for each batch.
    batches: Arc<Semaphore>,
    /// And for each verification of a picture, from before it is in memory.
    pictures: Arc<Semaphore>,
}

impl Live {
    /// Serves `current`, so many verifications, so many batches and so many pictures at once.
    pub fn new(current: Arc<Clients>, places: [usize; 3]) -> Self {
        let places = places.map(|most| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))));
        let ([at_once, batches, pictures], throttle) = (places, Throttle::default());
        let current = ArcSwap::new(current);
        Self(Arc::new(Inner { current, throttle, at_once, batches, pictures }))
    }

    /// The places of verifications.
    fn room(&self) -> Arc<Semaphore> {
        self.0.at_once.clone()
    }

    /// A place, where one is free.
    fn place_in(room: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
        const FULL: Problem = Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too much is being asked now: nothing was asked, try again",
        );
        room.clone().try_acquire_owned().map_err(|_| FULL.after(Duration::from_secs(1)))
    }

    /// Serves `current` from now on.
    pub fn replace(&self, current: Arc<Clients>) {
        self.0.current.store(current);
    }

    /// What is served now.
    pub fn current(&self) -> Arc<Clients> {
        self.0.current.load_full()
    }
}

/// The routes.
pub fn router(live: Live) -> Router {
    routes::router(&live)
        // Each body was read within its limits before.
        .layer(DefaultBodyLimit::disable())
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "there is no such resource") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this resource has no such method")
        })
        .with_state(live)
}

/// The description of every route.
pub fn openapi() -> serde_json::Value {
    describe(API, &routes::all())
}
