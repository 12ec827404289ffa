//! The contract that every shipped provider map passes, what requests look like, and what `check` reports.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "provider/check.rs"]
mod check;
#[path = "provider/codes.rs"]
mod codes;
#[path = "provider/common.rs"]
mod common;
#[path = "provider/contract.rs"]
mod contract;
#[path = "provider/kinds.rs"]
mod kinds;
#[path = "provider/requests.rs"]
mod requests;
#[path = "provider/tls.rs"]
mod tls;
