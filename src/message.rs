//! Bytes to payments, and bytes to outcomes: what a channel's profile says of its messages. Pure.
//!
//! Nothing here changes a byte or keeps one: extraction reads, and forwarding passes on what was read.

pub mod charset;
pub mod codes;
pub mod coding;
pub mod extract;
pub mod form;
pub mod json;
pub mod key;
pub mod marked;
pub mod node;
pub mod notification;
pub mod outcome;
pub mod path;
pub mod profile;
pub mod statement;
pub mod told;
pub mod unwrap;
pub mod xml;
