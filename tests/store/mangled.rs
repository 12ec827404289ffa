//! Bytes of the files that change by themselves: turned, cut off, zeroed, doubled, overwritten. What is read then is what was
//! written, or it is said to be damaged, or the end is missing; it is never something else.

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
/// In the first segment, of which the database takes over a part; and in the second.
const COMMITS: [usize; 2] = [60, 3];
const ROWS_A_COMMIT: usize = 30;
/// How often something happens to each file.
const SAMPLES: usize = 100;

type Rows = BTreeMap<RowKey, Row>;

fn row(key: usize, commit: usize) -> Row {
    let of = [Aggregate::Orders, Aggregate::Holds, Aggregate::Charges][key % 3];
    let key = RowKey { of, name: format!("{key:04}") };
    Row {
        key,
        until: None,
        value: format!("{{\"commit\":{commit},\"text\":\"{}\"}}", "x".repeat(40)),
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

/// A store as a crash leaves it, and what was kept after each commit.
fn written() -> (TempDir, Vec<Rows>) {
    let live = dir();
    let mut store = sqlite::open(&live.path().join("hefu.db")).unwrap();
    let (mut states, mut rng) = (vec![Rows::new()], ChaCha8Rng::seed_from_u64(1));
    for (commits, ends) in COMMITS.into_iter().zip([true, false]) {
        for _ in 0..commits {
            let mut state = states.last().unwrap().clone();
            let number = states.len();
            let keys: Vec<usize> = (0..ROWS_A_COMMIT).map(|_| rng.random_range(0..KEYS)).collect();
            let rows: Rows = keys
                .iter()
                .map(|key| row(*key, number))
                .map(|row| (row.key.clone(), row))
                .collect();
            store.begin().unwrap();
            store.put(&rows.values().collect::<Vec<_>>()).unwrap();
            store.commit().unwrap();
            state.extend(rows);
            states.push(state);
        }
        if ends {
            assert!(store.idle(), "the database has not taken over all of it");
        }
    }
    let crashed = dir();
    copy(live.path(), crashed.path());
    (crashed, states)
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
    torn: usize,
}

/// Mangles a file again and again; `check` is told what is served then.
#[expect(clippy::print_stdout, reason = "the seed is shown where it fails")]
fn each(file: &str, seen: &mut Seen, crashed: &Path, states: &[Rows]) {
    let whole = fs::read(crashed.join(file)).unwrap();
    let place = dir();
    let seeds = [1, rand::random()];
    for seed in seeds {
        println!("{file}: seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..SAMPLES / seeds.len() {
            let mut bytes = whole.clone();
            let (what, _) = mangle(&mut rng, &mut bytes);
            for entry in fs::read_dir(place.path()).unwrap().map(Result::unwrap) {
                fs::remove_file(entry.path()).unwrap();
            }
            copy(crashed, place.path());
            fs::write(place.path().join(file), &bytes).unwrap();
            match served(place.path()) {
                Err(_) => seen.said += 1,
                Ok(rows) if Some(&rows) == states.last() => seen.as_written += 1,
                Ok(rows) => {
                    let is_torn = states.contains(&rows);
                    assert!(is_torn, "{file}, {what}: what was never kept so is served");
                    seen.torn += 1;
                }
            }
        }
    }
}

/// Which segment is the later one is told by its number, after the eight bytes that tell its use.
fn later_first(crashed: &Path) -> [&'static str; 2] {
    let number = |file: &str| {
        let bytes = fs::read(crashed.join(file)).unwrap();
        u32::from_le_bytes(bytes[8..12].try_into().unwrap())
    };
    let [even, odd] = ["hefu.db-log0", "hefu.db-log1"];
    if number(even) > number(odd) { [even, odd] } else { [odd, even] }
}

#[test]
fn a_log_that_changed_anywhere_is_read_as_written_or_not_at_all() {
    let (crashed, states) = written();
    let place = dir();
    copy(crashed.path(), place.path());
    assert_eq!(served(place.path()).as_ref(), Ok(states.last().unwrap()));
    let [later, earlier] = later_first(crashed.path());
    let mut seen = Seen::default();
    each(earlier, &mut seen, crashed.path(), &states);
    // The end of a segment is not missed while there is one after it.
    assert_eq!(seen.torn, 0);
    assert!(seen.said > SAMPLES / 2 && seen.said + seen.as_written == SAMPLES, "{}", seen.said);
    let mut seen = Seen::default();
    // All that is in the segment before is there.
    each(later, &mut seen, crashed.path(), &states[COMMITS[0]..]);
    assert!(seen.said > 0 && seen.torn > 0, "{} {}", seen.said, seen.torn);
}

/// The database itself, as a crash leaves it before a log, and as it is left by who stops.
#[test]
fn a_database_that_changed_anywhere_is_read_as_written_or_not_at_all() {
    let (crashed, states) = written();
    let stopped = dir();
    copy(crashed.path(), stopped.path());
    drop(sqlite::open(&stopped.path().join("hefu.db")).unwrap());
    for (place, files) in
        [(&stopped, ["hefu.db"].as_slice()), (&crashed, ["hefu.db", "hefu.db-wal"].as_slice())]
    {
        for file in files {
            let mut seen = Seen::default();
            each(file, &mut seen, place.path(), &states[states.len() - 1..]);
            assert_eq!(seen.torn, 0);
            assert!(seen.as_written > 0, "{file}: nothing is read any more");
        }
    }
}
