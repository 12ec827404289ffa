//! The `hefu` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    hefu::cli::main()
}
