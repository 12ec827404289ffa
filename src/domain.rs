//! The values that every layer speaks in: plain data, no serialization, no clock, no I/O.

pub mod account;
pub mod answer;
pub mod business;
pub mod chance;
pub mod client;
pub mod clock;
pub mod element;
pub mod id;
pub mod identity;
pub mod image;
pub mod keep;
pub mod kind;
pub mod mismatch;
pub mod money;
pub mod outcome;
pub mod pan;
pub mod payment;
pub mod person;
pub mod role;
pub(crate) mod text;
pub mod trace;
