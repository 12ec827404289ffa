//! What could not be tested on this machine: said by the test, and once more at the end of `make test`, where everybody sees it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

/// Notes that `what` is not tested here, and why.
#[expect(clippy::print_stdout, reason = "what is skipped is said loudly")]
pub(crate) fn skipped(what: &str) {
    println!("NOT TESTED: {what}");
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/not-tested");
    let file = OpenOptions::new().append(true).create(true).open(place);
    // In one write: tests run beside each other.
    file.and_then(|mut file| file.write_all(format!("{what}\n").as_bytes())).unwrap();
}
