//! Keyed fingerprints and sealed payloads, named by mechanism. Pure: keys are handed in as bytes.

pub mod fingerprint;
pub mod keys;
pub mod record;
pub mod seal;
pub mod signature;
pub mod tag;
