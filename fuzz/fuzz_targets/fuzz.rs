//! Coverage-guided: the first byte of the input picks the target, or `HEFU_FUZZ` names it.
#![no_main]

#[path = "../targets.rs"]
mod targets;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static NAMED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("HEFU_FUZZ").ok());

fuzz_target!(|bytes: &[u8]| {
    let target = match NAMED.as_deref() {
        Some(name) => targets::TARGETS.iter().find(|(other, _)| *other == name),
        None => bytes.first().and_then(|at| targets::TARGETS.get(usize::from(*at))),
    };
    if let Some((_, run)) = target {
        let skipped = usize::from(NAMED.is_none());
        run(bytes.get(skipped..).unwrap_or_default());
    }
});
