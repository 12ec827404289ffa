//! Bringing the halves together: what was verified against what the channel reports, and what a difference sets in motion. Pure.
#![deny(clippy::wildcard_enum_match_arm)]

pub mod arrival;
pub mod assess;
pub mod compare;
pub mod concordance;
pub mod due;
pub mod hold;

pub use compare::{Expected, Finding, Verified, compare};
