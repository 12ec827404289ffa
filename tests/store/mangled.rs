//! Bytes of the files that change by themselves: turned, cut off, zeroed, doubled, overwritten. What is read then is what was
//! written, or it is said to be damaged; it is never something else, and never less.

use hefu::store::row::{Aggregate, Row, RowKey};
use hefu::store::sqlite;
use hefu::store::writer::Backend;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use tempfile::TempDir;

const KEYS: usize = 400;
/// In each segment, less than the database takes over by itself; after each it takes over all that it has not, and when rows are long
/// copies what is in its log, which it begins again.
const COMMITS: [usize; 6] = [20, 20, 20, 20, 44, 44];
const COMMITS_SINCE: usize = 44;
const ROWS_A_COMMIT: usize = 30;
/// How often something happens to each file.
const SAMPLES: usize = 100;

type Rows = BTreeMap<RowKey, Row>;

fn row(key: usize, commit: usize, long: usize) -> Row {
    let of = [Aggregate::Orders, Aggregate::Holds, Aggregate::Charges][key % 3];
    let key = RowKey { of, name: format!("{key:04}") };
    Row {
        key,
        until: None,
        value: format!("{{\"commit\":{commit},\"text\":\"{}\"}}", "x".repeat(long)),
    }
}

/// In memory where that is possible, since nothing here cuts the power.
fn dir() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        // What is shared between processes is gone with them.
        if !entry.file_name().to_str().unwrap().ends_with("-shm") {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Commits some rows, and adds what is kept then.
fn commit(store: &mut impl Backend, rng: &mut ChaCha8Rng, long: usize, states: &mut Vec<Rows>) {
    let mut state = states.last().unwrap().clone();
    let number = states.len();
    let keys: Vec<usize> = (0..ROWS_A_COMMIT).map(|_| rng.random_range(0..KEYS)).collect();
    let rows = keys.iter().map(|key| row(*key, number, long));
    let rows: Rows = rows.map(|row| (row.key.clone(), row)).collect();
    store.begin().unwrap();
    store.put(&rows.values().collect::<Vec<_>>()).unwrap();
    store.commit().unwrap();
    state.extend(rows);
    states.push(state);
}

/// What a crash would leave of what is there.
fn crashed(live: &Path) -> TempDir {
    let crashed = dir();
    copy(live, crashed.path());
    crashed
}

/// Has nothing else to do until the database has all of that.
fn idle(store: &mut impl Backend, dir: &Path, kept: &Rows) {
    let database = rusqlite::Connection::open(dir.join("hefu.db")).unwrap();
    let has = |row: &Row| {
        let sql = format!("SELECT value FROM {} WHERE key = ?1", row.key.of.as_str());
        let found = database.query_row(&sql, [&row.key.name], |found| found.get(0));
        found.ok().as_ref() == Some(&row.value)
    };
    while !kept.values().all(has) || is_taking_over() {
        store.idle();
        std::thread::yield_now();
    }
}

/// Whether a thread of this process is at it, or has yet to note it.
fn is_taking_over() -> bool {
    let threads = fs::read_dir("/proc/self/task").unwrap().map(Result::unwrap);
    let mut names =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
    names.any(|name| name.trim() == "takeover")
}

/// A store as a crash leaves it, and what was kept after each commit. Where rows are long, the database was checkpointed.
fn written(long: usize) -> (TempDir, Vec<Rows>) {
    let live = dir();
    let mut store = sqlite::open(&live.path().join("hefu.db")).unwrap();
    let (mut states, mut rng) = (vec![Rows::new()], ChaCha8Rng::seed_from_u64(1));
    for commits in COMMITS {
        for _ in 0..commits {
            commit(&mut store, &mut rng, long, &mut states);
        }
        idle(&mut store, live.path(), states.last().unwrap());
    }
    for _ in 0..COMMITS_SINCE {
        commit(&mut store, &mut rng, long, &mut states);
    }
    (crashed(live.path()), states)
}

/// As [`written`], by two processes that share it.
fn shared() -> (TempDir, Vec<Rows>) {
    let live = dir();
    let open = || sqlite::open(&live.path().join("hefu.db")).unwrap();
    let mut first = open();
    let (mut states, mut rng) = (vec![Rows::new()], ChaCha8Rng::seed_from_u64(2));
    for _ in 0..3 {
        commit(&mut first, &mut rng, 40, &mut states);
    }
    let mut second = std::thread::scope(|scope| {
        let coming = scope.spawn(open);
        while !coming.is_finished() {
            first.idle();
            std::thread::yield_now();
        }
        coming.join().unwrap()
    });
    for _ in 0..10 {
        commit(&mut first, &mut rng, 40, &mut states);
        commit(&mut second, &mut rng, 40, &mut states);
    }
    (crashed(live.path()), states)
}

/// What happens to bytes, and where.
fn mangle(rng: &mut ChaCha8Rng, bytes: &mut Vec<u8>) -> (String, Range<usize>) {
    let at = rng.random_range(0..bytes.len());
    let end = (at + [1, 8, 100, 4_096][rng.random_range(0..4)]).min(bytes.len());
    let (what, touched) = match rng.random_range(0..6) {
        0 | 1 => {
            bytes[at] ^= 1 << rng.random_range(0..8);
            ("turned", at..at + 1)
        }
        2 => {
            bytes.truncate(at);
            ("cut", at..usize::MAX)
        }
        3 => {
            bytes[at..end].fill(0);
            ("zeroed", at..end)
        }
        4 => {
            let twice = bytes[at..end].to_vec();
            bytes.splice(end..end, twice);
            ("doubled", end..usize::MAX)
        }
        _ => {
            let from = rng.random_range(0..=bytes.len() - (end - at));
            bytes.copy_within(from..from + (end - at), at);
            ("overwritten", at..end)
        }
    };
    (format!("{what} at {at} to {end}"), touched)
}

/// What is kept, as it is served; an error says that something is damaged.
fn served(dir: &Path) -> Result<Rows, String> {
    let mut store = sqlite::open(&dir.join("hefu.db")).map_err(|error| error.to_string())?;
    let mut rows = Rows::new();
    for of in [Aggregate::Orders, Aggregate::Holds, Aggregate::Charges] {
        let loaded = store.load(of, usize::MAX, &mut |row| drop(rows.insert(row.key.clone(), row)));
        loaded.map_err(|error| error.to_string())?;
    }
    Ok(rows)
}

#[derive(Default)]
struct Seen {
    as_written: usize,
    said: usize,
}

/// Mangles a file again and again, and has what is served then be what was `kept`.
#[expect(clippy::print_stdout, reason = "the seed is shown where it fails")]
fn each(file: &str, samples: usize, crashed: &Path, kept: &Rows) -> Seen {
    let whole = fs::read(crashed.join(file)).unwrap();
    let (place, mut seen) = (dir(), Seen::default());
    let seeds = [1, rand::random()];
    for seed in seeds {
        println!("{file}: seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..samples / seeds.len() {
            let mut bytes = whole.clone();
            let (what, _) = mangle(&mut rng, &mut bytes);
            for entry in fs::read_dir(place.path()).unwrap().map(Result::unwrap) {
                fs::remove_file(entry.path()).unwrap();
            }
            copy(crashed, place.path());
            fs::write(place.path().join(file), &bytes).unwrap();
            match served(place.path()) {
                Err(_) => seen.said += 1,
                Ok(rows) => {
                    assert!(rows == *kept, "{file}, {what}: what was kept is not what is served");
                    seen.as_written += 1;
                }
            }
        }
    }
    seen
}

#[test]
fn a_log_that_changed_anywhere_is_read_as_written_or_not_at_all() {
    let (crashed, states) = written(40);
    let place = dir();
    copy(crashed.path(), place.path());
    let kept = states.last().unwrap();
    assert_eq!(served(place.path()).as_ref(), Ok(kept));
    for file in ["hefu.db-log0", "hefu.db-log1"] {
        let seen = each(file, SAMPLES, crashed.path(), kept);
        assert!(seen.said > SAMPLES / 2, "{file}: {}", seen.said);
    }
    // What only tells of the log is not needed.
    for file in ["hefu.db-log-end", "hefu.db-wal-end"] {
        assert_eq!(each(file, SAMPLES, crashed.path(), kept).as_written, SAMPLES, "{file}");
        let place = dir();
        copy(crashed.path(), place.path());
        fs::remove_file(place.path().join(file)).unwrap();
        assert_eq!(served(place.path()).as_ref(), Ok(kept), "{file}");
    }
}

/// The database itself, as a crash leaves it before a log, and as it is left by who stops.
#[test]
fn a_database_that_changed_anywhere_is_read_as_written_or_not_at_all() {
    let (crashed, states) = written(40);
    let stopped = dir();
    copy(crashed.path(), stopped.path());
    drop(sqlite::open(&stopped.path().join("hefu.db")).unwrap());
    for (place, files) in
        [(&stopped, ["hefu.db"].as_slice()), (&crashed, ["hefu.db", "hefu.db-wal"].as_slice())]
    {
        for file in files {
            let seen = each(file, SAMPLES, place.path(), states.last().unwrap());
            assert!(seen.as_written + seen.said == SAMPLES, "{file}");
            let some = if *file == "hefu.db-wal" { seen.said } else { seen.as_written };
            assert!(some > 0, "{file}: {} said", seen.said);
        }
    }
}

/// `SQLite` takes for the end of its log what it cannot read there. What two processes wrote is nowhere else, and where it was
/// checkpointed the database would be of two times.
#[test]
fn what_decays_in_the_log_of_the_database_is_said() {
    for (what, (crashed, states)) in [("shared", shared()), ("checkpointed", written(3_000))] {
        let kept = states.last().unwrap();
        let place = dir();
        copy(crashed.path(), place.path());
        assert_eq!(served(place.path()).as_ref(), Ok(kept), "{what}");
        let seen = each("hefu.db-wal", SAMPLES / 2, crashed.path(), kept);
        assert!(seen.said > SAMPLES / 10, "{what}: {}", seen.said);
    }
}
