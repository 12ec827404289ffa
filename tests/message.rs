//! What the shipped profiles make of messages: fixtures as files, a document's worked example, and properties. All people are made up.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "message/abuse.rs"]
mod abuse;
#[path = "message/document.rs"]
mod document;
#[path = "message/fixtures.rs"]
mod fixtures;
#[path = "message/notified.rs"]
mod notified;
#[path = "message/properties.rs"]
mod properties;
