//! Logs: `tracing`, with the host framework's `log` records bridged in. No message ever holds an element.

pub mod access;
pub mod spans;

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// What is logged where nothing else is asked for. The host framework is quiet: its errors quote request heads.
const DEFAULT: &str = "info,pingora_core=off";

/// Starts logging to standard error; a second call does nothing.
pub fn init(json: bool) {
    let filter = EnvFilter::try_from_env("HEFU_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails where a subscriber is set already, which then stays.
    let _ = if json {
        builder.json().try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).try_init()
    };
}
