//! Bytes to payments, and bytes to outcomes: what a channel's profile says of its messages. Pure.
//!
//! Nothing here changes a byte or keeps one: extraction reads, and forwarding passes on what was read.

pub mod charset;
pub mod codes;
pub mod path;
pub mod profile;
