//! The machine: its clock, its limits, its disk.

use super::Finding;
use crate::config::Config;
use rustix::process::{Resource, getrlimit};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

/// Free space below which a store will not do for long.
const FREE_MIN: u64 = 2 << 30;
/// A commit waits for one of these.
const SYNC_GOOD: Duration = Duration::from_millis(5);
const SYNC_BAD: Duration = Duration::from_millis(50);
/// How many are measured.
const SYNCS: usize = 31;
/// What a process has open beside connections, and what a kept connection to an upstream may need.
const FILES_BESIDE: u64 = 1024;

/// Whether a time service keeps the clock.
pub(super) fn clock() -> Finding {
    const WHAT: &str = "clock";
    let remedy = "run chrony or systemd-timesyncd: evidence, holds and signatures with a time rest on the clock";
    let asked = Command::new("timedatectl").args(["show", "--property=NTPSynchronized"]).output();
    let told = asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    match told.as_deref() {
        Ok("NTPSynchronized=yes") => Finding::good(WHAT, "kept by a time service"),
        Ok("NTPSynchronized=no") => Finding::bad(WHAT, "no time service keeps it", remedy),
        Ok(_) | Err(_) => {
            Finding::doubtful(WHAT, "whether a time service keeps it cannot be told here", remedy)
        }
    }
}

/// Whether the process may have as many files open as it may need: two sockets a connection, those kept, and the rest.
pub(super) fn files(config: &Config) -> Finding {
    const WHAT: &str = "open files";
    let connections = u64::try_from(config.limits.connections).unwrap_or(u64::MAX);
    let listeners = if config.listen.notify.is_some() { 2 } else { 1 };
    let needed = connections.saturating_mul(2 * listeners).saturating_add(FILES_BESIDE);
    match getrlimit(Resource::Nofile).current {
        Some(allowed) if allowed < needed => Finding::bad(
            WHAT,
            format!("{allowed} are allowed, and `limits.connections` may need {needed}"),
            format!(
                "set `LimitNOFILE={needed}` in the unit or `ulimit -n {needed}`, or lower `limits.connections`"
            ),
        ),
        Some(allowed) => {
            Finding::good(WHAT, format!("{allowed} are allowed, {needed} may be needed"))
        }
        None => Finding::good(WHAT, "not limited"),
    }
}

/// The disk under a store in a file: whether it can be written, how much is free, how long a sync takes.
pub(super) fn store(path: &Path) -> Vec<Finding> {
    const WHAT: &str = "store";
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let place = path.display();
    let here = match fs::metadata(path) {
        Ok(metadata) if is_database(path) => {
            Finding::good(WHAT, format!("{place}: {} MiB", metadata.len() >> 20))
        }
        Ok(_) => Finding::bad(
            WHAT,
            format!("{place} is no database"),
            "name another file in `[store]`, or restore a backup",
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Finding::good(WHAT, format!("{place} is not there yet and will be made"))
        }
        Err(error) => Finding::bad(
            WHAT,
            format!("{place}: {error}"),
            "let the user that Hefu runs as read and write it and its directory",
        ),
    };
    vec![here, free(dir), syncs(dir)]
}

fn is_database(path: &Path) -> bool {
    let begin = |mut file: File| {
        let mut begin = [0; 16];
        io::Read::read_exact(&mut file, &mut begin).map(|()| begin)
    };
    File::open(path).and_then(begin).is_ok_and(|begin| begin == *b"SQLite format 3\0")
}

fn free(dir: &Path) -> Finding {
    const WHAT: &str = "disk";
    let place = dir.display();
    match rustix::fs::statvfs(dir) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let seen = format!("{place}: {} MiB free", free >> 20);
            if free < FREE_MIN {
                let remedy = "a message takes some 2 kB as long as `[store.keep]` says: give it room, or keep less; docs/capacity.md counts";
                Finding::bad(WHAT, seen, remedy)
            } else {
                Finding::good(WHAT, seen)
            }
        }
        Err(error) => {
            let remedy = "make the directory of `[store] file`, for the user that Hefu runs as";
            Finding::bad(WHAT, format!("{place}: {error}"), remedy)
        }
    }
}

/// How long it takes until a page is on the disk, as every commit waits for it.
fn syncs(dir: &Path) -> Finding {
    const WHAT: &str = "disk sync";
    match measure(dir) {
        Ok((median, worst)) => {
            let seen = format!("{median:.2?} (the slowest of {SYNCS}: {worst:.2?})");
            let remedy = "put the store on a local SSD: every payment waits for a commit, and a commit for a sync";
            if median > SYNC_BAD {
                Finding::bad(WHAT, seen, remedy)
            } else if median > SYNC_GOOD {
                Finding::doubtful(WHAT, seen, remedy)
            } else {
                Finding::good(WHAT, seen)
            }
        }
        Err(error) => Finding::bad(
            WHAT,
            format!("{} cannot be written: {error}", dir.display()),
            "let the user that Hefu runs as write there",
        ),
    }
}

fn measure(dir: &Path) -> io::Result<(Duration, Duration)> {
    let path = dir.join(format!(".hefu-doctor-{}", std::process::id()));
    let measured = File::create_new(&path).and_then(|mut file| {
        let mut took = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            let begun = Instant::now();
            file.write_all(&[0; 4096])?;
            file.sync_data()?;
            took.push(begun.elapsed());
        }
        took.sort_unstable();
        let median = took.get(SYNCS / 2).copied().unwrap_or_default();
        Ok((median, took.last().copied().unwrap_or_default()))
    });
    // It is empty of meaning; where it cannot be removed it could not be made either.
    let _ = fs::remove_file(&path);
    measured
}
