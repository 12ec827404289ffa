//! The power is cut: a file system in an image of its own goes down at once, with all that was not synced. What the disk itself
//! caches is beyond this test.

use crate::skipped::skipped;
use crate::values::{admission, channel, leaving};
use hefu::store::PaymentStore as _;
use hefu::store::journal::{Admitted, Journal as _};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::sqlite::{self, Sqlite};
use rand::Rng as _;
use std::env;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// Where the store of a child is, and whether a log stands before its database.
const PLACE: &str = "HEFU_TEST_POWER";

/// How many payments are under way at once.
const LANES: u128 = 16;

/// Has ext4 go down as it is, its journal not written either (`EXT4_IOC_SHUTDOWN`, `NOLOGFLUSH`).
const CUT: &str = r#"sysopen(my $dir, $ARGV[0], 0) or die "open: $!"; my $how = pack("L", 2);
    ioctl($dir, 0x8004587D, $how) or die "ioctl: $!""#;

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let out = Command::new(program).args(args).output().map_err(|e| format!("{program}: {e}"))?;
    let said = String::from_utf8_lossy(&out.stderr).trim().to_owned();
    out.status.success().then_some(()).ok_or_else(|| format!("{program}: {said}"))
}

/// A file system in a file.
struct Disk(TempDir);

impl Disk {
    /// # Errors
    /// Why this machine does not let us.
    fn new() -> Result<Self, String> {
        let disk = Self(TempDir::new().unwrap());
        File::create(disk.at("image")).unwrap().set_len(32 << 20).unwrap();
        std::fs::create_dir(disk.at("mounted")).unwrap();
        run("mkfs.ext4", &["-q", "-F", &disk.text("image")])?;
        disk.mount()?;
        // Once in vain, to see whether it can be done at all.
        disk.cut()?;
        disk.unmount()?;
        disk.mount().map(|()| disk)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", "loop", &self.text("image"), &self.text("mounted")])
    }

    fn unmount(&self) -> Result<(), String> {
        run("umount", &[&self.text("mounted")])
    }

    fn cut(&self) -> Result<(), String> {
        run("perl", &["-e", CUT, &self.text("mounted")])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.at("mounted")).output();
    }
}

fn open(path: &Path, log: bool) -> MemoryStore {
    if log {
        MemoryStore::open(Limits::default(), sqlite::open(path).unwrap(), |_| ()).unwrap()
    } else {
        MemoryStore::open(Limits::default(), Sqlite::open(path).unwrap(), |_| ()).unwrap()
    }
}

/// The child: admits orders until the store is lost, and says which were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "a parent says where")]
#[expect(clippy::print_stdout, reason = "the parent reads it")]
async fn child() {
    let Ok(place) = env::var(PLACE) else { return };
    let (log, rest) = place.split_once(' ').unwrap();
    let (first, path) = rest.split_once(' ').unwrap();
    let (first, log): (u128, bool) = (first.parse().unwrap(), log.parse().unwrap());
    let store = Arc::new(open(Path::new(path), log));
    let lanes = (0..LANES).map(|lane| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut order = first + lane;
            let admit = async |order: u128| {
                store.admit(admission(vec![leaving(order, &order.to_string())])).await
            };
            while admit(order).await == Ok(Admitted::Yes) {
                println!("\nadmitted {order}");
                order += LANES;
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
}

/// Admits orders from `first` on until the power is cut; the `count` that were said to be admitted before. What is said after is
/// nobody's to hear when the power is gone, and need not be true: an `fsync` that waits for the journal's commit when the file
/// system is shut down finds no commit left to wait for, and succeeds (`jbd2_complete_transaction`).
fn until_cut(disk: &Disk, log: bool, first: u128, count: usize) -> Vec<u128> {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "power::child", "--nocapture"]);
    let place = format!("{log} {first} {}", disk.at("mounted").join("hefu.db").display());
    let mut child = child.env(PLACE, place).stdout(Stdio::piped()).spawn().unwrap();
    let mut admitted = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(order) = line.unwrap().strip_prefix("admitted ") {
            admitted.push(order.parse().unwrap());
            if admitted.len() == count {
                disk.cut().unwrap();
                child.kill().unwrap();
                break;
            }
        }
    }
    child.wait().unwrap();
    assert_eq!(admitted.len(), count, "it ended before the power was cut");
    disk.unmount().unwrap();
    disk.mount().unwrap();
    admitted
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "what was found is said")]
async fn what_was_admitted_is_there_after_a_power_cut() {
    for log in [true, false] {
        let disk = match Disk::new() {
            Ok(disk) => disk,
            Err(why) => return skipped(&format!("a power cut: {why}")),
        };
        let mut admitted = Vec::new();
        for cut in 0..3 {
            let count = rand::rng().random_range(50..500);
            admitted.extend(until_cut(&disk, log, cut * 1_000_000, count));
            let store = open(&disk.at("mounted").join("hefu.db"), log);
            let owed = store.expectations(&channel());
            let mut lost = Vec::new();
            for order in &admitted {
                let again = admission(vec![leaving(order + 500_000, &order.to_string())]);
                if store.admit(again).await != Ok(Admitted::AlreadySent) {
                    lost.push(*order);
                }
            }
            let all = admitted.len();
            println!("log {log}, cut {cut} after {count}: {all} admitted, {owed} owed");
            assert!(lost.is_empty(), "{} of {all} orders may leave twice: {lost:?}", lost.len());
            assert!(owed >= all, "{owed} of {all} are owed");
        }
    }
}
