//! Hefu: the sidecar that brings the two halves of a payment together, verification and outcome.
//!
//! `ARCHITECTURE.md` has the bird's-eye view, the life of a payment and the promises.

pub mod admin;
pub mod api;
pub mod app;
pub mod billing;
pub mod cli;
pub mod clients;
pub mod config;
pub mod crypto;
pub mod domain;
pub mod message;
pub mod metrics;
pub mod policy;
pub mod provider;
pub mod proxy;
pub mod reconcile;
pub mod route;
pub mod service;
pub mod sim;
pub mod store;
pub mod telemetry;
pub mod tier;
