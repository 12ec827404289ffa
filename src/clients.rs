//! The verification service's edge: what clients outside send and are told. Nobody learns here of others, nor what others had verified.

pub mod access;
mod batches;
mod body;
mod onboardings;
mod pictures;
mod places;
mod routes;
pub mod signed;
mod statements;
mod verifications;

use crate::api::Problem;
use crate::api::description::{Api, describe};
use crate::api::throttle::Throttle;
use crate::domain::client::Scope;
use crate::domain::id::ClientName;
use crate::service::Service;
use crate::service::clients::room::Room;
use access::Client;
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use openssl::ssl::SslAcceptor;
use places::{Place, Places};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

const API: Api = Api {
    title: "Hefu's verification service",
    about: "On `[listen] verification`. Each operation needs the scope `x-right`. Elements are kept by nobody: no answer shows one. Times are milliseconds since 1970; docs/verification.md explains the rest.",
    server: "https://verification.example",
};

/// How many long looks there may be at once: each is some hundred rows again and again, for which payments wait.
const LOOKS: usize = 4;
/// How many of them one client may have.
const LOOKS_EACH: usize = 2;

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
    /// How many batches there may be at once.
    pub batches: usize,
    /// How many pictures there may be at once.
    pub pictures: usize,
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
    at_once: Room,
    /// And for each batch; and while it is read, since only then is known who sent it.
    batches: Places,
    reading: Places,
    /// And for each verification of a picture, from before it is in memory.
    pictures: Places,
    /// And for each long look: whoever asks is in no looker's way.
    looks: Places,
}

impl Live {
    /// Serves `current`, so many verifications, so many batches and so many pictures at once; twice as many batches may be read at once.
    pub fn new(current: Arc<Clients>, [at_once, batches, pictures]: [usize; 3]) -> Self {
        Self(Arc::new(Inner {
            current: ArcSwap::new(current),
            throttle: Throttle::default(),
            at_once: Room::new(at_once),
            batches: Places::new(batches),
            reading: Places::new(batches.saturating_mul(2)),
            pictures: Places::new(pictures),
            looks: Places::new(LOOKS),
        }))
    }

    /// A place for a verification, where one is free.
    fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.0.at_once.place().ok_or_else(full)
    }

    /// A place of a client that looks at much.
    fn look(&self, client: &ClientName) -> Result<Place, Problem> {
        self.0.looks.place(client, LOOKS_EACH).ok_or_else(full)
    }

    /// From now on no further line of a batch is begun.
    pub fn stop(&self) {
        self.0.at_once.stop();
    }

    /// Waits until nothing is asked any more, and what it came to is kept.
    pub async fn rest(&self) {
        self.0.at_once.rest().await;
        self.0.batches.rest().await;
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

impl Clients {
    /// How many places for batches one client may have: half of them, where others may want the rest.
    fn share(&self) -> usize {
        let posting = self.clients.iter().filter(|client| client.may.contains(&Scope::Batch));
        if posting.count() > 1 { self.batches.div_ceil(2) } else { self.batches }
    }

    /// And how many places for pictures.
    fn picture_share(&self) -> usize {
        let sending = self.clients.iter().filter(|client| client.terms.sends_pictures());
        if sending.count() > 1 { self.pictures.div_ceil(2) } else { self.pictures }
    }
}

/// What is told where no place is free.
fn full() -> Problem {
    const FULL: Problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too much is being asked now: nothing was asked, try again",
    );
    FULL.after(Duration::from_secs(1))
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
