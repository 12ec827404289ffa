//! Stores: one contract for all of them, what survives, what is admitted, and what a lost database does.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "store/audit.rs"]
mod audit;
#[path = "store/backup.rs"]
mod backup;
#[path = "store/clients.rs"]
mod clients;
#[path = "store/cluster.rs"]
mod cluster;
#[path = "store/concordance.rs"]
mod concordance;
#[path = "store/contract.rs"]
mod contract;
#[path = "store/damaged.rs"]
mod damaged;
#[path = "store/forged.rs"]
mod forged;
#[path = "store/forget.rs"]
mod forget;
#[path = "store/hung.rs"]
mod hung;
#[path = "store/keys.rs"]
mod keys;
#[path = "store/loading.rs"]
mod loading;
#[path = "store/lost.rs"]
mod lost;
#[path = "store/mangled.rs"]
mod mangled;
#[path = "store/place.rs"]
mod place;
#[path = "store/power.rs"]
mod power;
#[path = "store/promoted.rs"]
mod promoted;
#[path = "store/reserve.rs"]
mod reserve;
#[path = "deploy/skipped.rs"]
mod skipped;
#[path = "store/values.rs"]
mod values;
