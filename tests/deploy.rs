//! What runs Hefu for real: units, image, manifests, rules, dashboards and documents, held to what reads them elsewhere.
//!
//! `scripts/setup` gets the readers into `target/deploy-tools` and lists there what could not be had; a test says so and skips
//! that, and `make test` says it once more at its end.
//! `cargo nextest run --test deploy`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

#[path = "deploy/container.rs"]
mod container;
#[path = "deploy/dashboards.rs"]
mod dashboards;
#[path = "deploy/deployed.rs"]
mod deployed;
#[path = "deploy/documents.rs"]
mod documents;
#[path = "deploy/kubernetes.rs"]
mod kubernetes;
#[path = "deploy/live.rs"]
mod live;
#[path = "deploy/odd.rs"]
mod odd;
#[path = "deploy/perform.rs"]
mod perform;
#[path = "deploy/rules.rs"]
mod rules;
#[path = "deploy/sentences.rs"]
mod sentences;
#[path = "deploy/skipped.rs"]
mod skipped;
#[path = "deploy/tools.rs"]
mod tools;
#[path = "deploy/units.rs"]
mod units;
