//! A log in front of a database, against a book: two processes that come, go and crash in any step, and a database that fails, and that
//! takes over at once or on a thread of its own, whose steps no seed repeats. What was committed is there, what was not is not, and
//! nobody sees anything else.

mod behind;

use super::{Segmented, State};
use crate::domain::clock::Timestamp;
use crate::store::row::{Aggregate, Damaged, Removal, Row, RowKey};
use crate::store::writer::{Backend, By};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use tempfile::TempDir;

const STEPS: usize = 2_000;
const KEYS: u32 = 40;

pub(super) type Rows = BTreeMap<RowKey, Row>;

/// A database in memory that fails, at each step so often of a hundred.
#[derive(Debug)]
pub(super) struct Disk {
    rows: Rows,
    rng: ChaCha8Rng,
    faults: u32,
    /// Whether it can be looked up while it is written.
    is_read_meanwhile: bool,
    /// How many steps go well before all fail, where that is so.
    until_faults: Option<u32>,
    /// Who has this keeps it from committing anything.
    gate: Arc<Mutex<()>>,
}

#[derive(Debug)]
pub(super) struct Database {
    disk: Arc<Mutex<Disk>>,
    open: Option<Rows>,
}

#[derive(Debug, thiserror::Error)]
#[error("injected")]
pub(super) struct Fault;

impl Disk {
    fn new(rng: ChaCha8Rng, faults: u32, is_read_meanwhile: bool) -> Self {
        let (rows, gate) = (Rows::new(), Arc::default());
        Self { rows, rng, faults, is_read_meanwhile, until_faults: None, gate }
    }
}

impl Database {
    /// One that never fails, and what outlasts it.
    pub(super) fn faultless() -> (Self, Arc<Mutex<Disk>>) {
        let rng = ChaCha8Rng::seed_from_u64(0);
        let disk = Arc::new(Mutex::new(Disk::new(rng, 0, false)));
        (Self::on(&disk), disk)
    }

    pub(super) fn on(disk: &Arc<Mutex<Disk>>) -> Self {
        Self { disk: disk.clone(), open: None }
    }

    fn rows(&mut self) -> Result<&mut Rows, Fault> {
        let mut disk = self.disk.lock().unwrap();
        let faults = match &mut disk.until_faults {
            Some(0) => 100,
            Some(left) => {
                *left -= 1;
                0
            }
            None => disk.faults,
        };
        if disk.rng.random_ratio(faults, 100) {
            Err(Fault)
        } else {
            self.open.as_mut().ok_or(Fault)
        }
    }
}

fn found(rows: &Rows, of: Aggregate, by: By, whose: &[String]) -> Vec<Row> {
    rows.values().filter(|row| row.key.of == of && by.finds(row, whose)).cloned().collect()
}

impl Backend for Database {
    type Error = Fault;

    fn reader(&self) -> Option<Self> {
        self.disk.lock().unwrap().is_read_meanwhile.then(|| Self::on(&self.disk))
    }

    fn load(&mut self, _: Aggregate, _: usize, _: &mut dyn FnMut(Row)) -> Result<(), Fault> {
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Fault> {
        assert!(self.open.is_none(), "a transaction in a transaction");
        self.open = Some(self.disk.lock().unwrap().rows.clone());
        self.rows().map(drop)
    }

    fn read(&mut self, keys: &[&RowKey]) -> Result<Vec<Row>, Fault> {
        let disk = self.disk.lock().unwrap();
        let rows = self.open.as_ref().unwrap_or(&disk.rows);
        Ok(keys.iter().filter_map(|key| rows.get(key).cloned()).collect())
    }

    fn find(&mut self, of: Aggregate, by: By, whose: &[String]) -> Result<Vec<Row>, Fault> {
        let disk = self.disk.lock().unwrap();
        Ok(found(self.open.as_ref().unwrap_or(&disk.rows), of, by, whose))
    }

    fn put(&mut self, rows: &[&Row]) -> Result<(), Fault> {
        let put = rows.iter().map(|row| (row.key.clone(), (*row).clone()));
        self.rows()?.extend(put);
        Ok(())
    }

    fn claim(&mut self, rows: &[&Row]) -> Result<Vec<bool>, Fault> {
        let open = self.rows()?;
        let free = |row: &&Row| open.insert(row.key.clone(), (*row).clone());
        let before: Vec<Option<Row>> = rows.iter().map(free).collect();
        open.extend(before.iter().flatten().map(|row| (row.key.clone(), row.clone())));
        Ok(before.iter().map(Option::is_none).collect())
    }

    fn remove(&mut self, rows: &[&Removal]) -> Result<(), Fault> {
        let open = self.rows()?;
        for Removal { key, only } in rows {
            if only.is_none() || open.get(key).map(|row| &row.value) == only.as_ref() {
                open.remove(key);
            }
        }
        Ok(())
    }

    fn purge(&mut self, of: Aggregate, now: Timestamp, _: usize) -> Result<Option<Damaged>, Fault> {
        let kept =
            |key: &RowKey, row: &mut Row| key.of != of || row.until.is_none_or(|until| now < until);
        self.rows()?.retain(kept);
        Ok(None)
    }

    fn commit(&mut self) -> Result<(), Fault> {
        self.rows()?;
        let gate = self.disk.lock().unwrap().gate.clone();
        let _open = gate.lock().unwrap();
        self.disk.lock().unwrap().rows = self.open.take().ok_or(Fault)?;
        Ok(())
    }

    fn roll_back(&mut self) {
        self.open = None;
    }
}

struct World {
    rng: ChaCha8Rng,
    dir: TempDir,
    disk: Arc<Mutex<Disk>>,
    processes: [Option<Segmented<Database>>; 2],
    book: Rows,
    /// How many keys were made that nobody used before.
    first: u32,
    /// How often each state was met.
    alone: usize,
    shared: usize,
    /// How often something decayed after a crash, and that was said.
    decayed: usize,
    said: usize,
}

impl World {
    fn new(seed: u64, is_read_meanwhile: bool) -> Self {
        // In memory where that is possible, since nothing here cuts the power.
        let dir = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        let rng = ChaCha8Rng::seed_from_u64(!seed);
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            dir,
            disk: Arc::new(Mutex::new(Disk::new(rng, 3, is_read_meanwhile))),
            processes: [None, None],
            book: Rows::new(),
            first: 0,
            alone: 0,
            shared: 0,
            decayed: 0,
            said: 0,
        }
    }

    /// One process, alone with a database that does not fail.
    fn alone(seed: u64, is_read_meanwhile: bool) -> (Self, Segmented<Database>) {
        let mut world = Self::new(seed, is_read_meanwhile);
        world.disk.lock().unwrap().faults = 0;
        world.come(0);
        let store = world.processes[0].take().unwrap();
        (world, store)
    }

    /// What a crash left, with something done to the end of the log: all of it is there, or it is said that it is not.
    fn decay(&mut self, end: u64) {
        let number = |file: &PathBuf| {
            let bytes = fs::read(file).unwrap();
            bytes.get(8..12).map(|number| u32::from_le_bytes(number.try_into().unwrap()))
        };
        let copy = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        for entry in fs::read_dir(self.dir.path()).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        let logs = ["db-log0", "db-log1"].map(|name| copy.path().join(name));
        let log = logs.into_iter().max_by_key(number).unwrap();
        let mut bytes = fs::read(&log).unwrap();
        let end = usize::try_from(end).unwrap();
        let at = self.rng.random_range(end.saturating_sub(300)..end);
        let what = self.rng.random_range(0..4);
        match what {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << self.rng.random_range(0..8),
            2 => bytes[at..].fill(0),
            // Nothing decays; a frame was under way, of which some was written.
            _ => {
                let begun = [&bytes[..8], &[9; 40]].concat();
                bytes.splice(end.., begun[..self.rng.random_range(0..begun.len())].iter().copied());
            }
        }
        fs::write(&log, bytes).unwrap();
        let rows = self.disk.lock().unwrap().rows.clone();
        let (database, disk) = Database::faultless();
        disk.lock().unwrap().rows = rows;
        let opened = Segmented::open(&copy.path().join("db"), |_| {
            Ok::<_, super::Failed<Database>>(database)
        });
        self.decayed += usize::from(what < 3);
        match opened {
            Err(error) => {
                assert!(what < 3, "a torn end is none: {error}");
                assert!(error.to_string().contains("damaged"), "{error}");
                self.said += 1;
            }
            Ok(store) => {
                drop(store);
                assert_eq!(disk.lock().unwrap().rows, self.book, "{what} at {at} of {end}");
            }
        }
    }

    fn key(&mut self) -> RowKey {
        let of = if self.rng.random() { Aggregate::Orders } else { Aggregate::Holds };
        let latest = self.first.saturating_sub(10)..self.first;
        let name = match self.rng.random_range(0..4) {
            0 if !latest.is_empty() => format!("first {}", self.rng.random_range(latest)),
            _ => self.rng.random_range(0..KEYS).to_string(),
        };
        RowKey { of, name }
    }

    fn row(&mut self) -> Row {
        let until = self.rng.random_ratio(1, 3);
        let until = until.then(|| Timestamp::from_millis(self.rng.random_range(0..1_000)));
        Row {
            key: self.key(),
            until,
            value: format!(r#"{{"person":"{}"}}"#, self.rng.random_range(0..4)),
        }
    }

    /// A process comes; another that is alone lets it in.
    fn come(&mut self, at: usize) {
        let (disk, dir) = (self.disk.clone(), self.dir.path());
        let other = &mut self.processes[1 - at];
        let come = |dir: &Path| {
            let database = Database { disk, open: None };
            Segmented::open(&dir.join("db"), |_| Ok::<_, super::Failed<Database>>(database))
        };
        let come = thread::scope(|scope| {
            let coming = scope.spawn(|| come(dir));
            while !coming.is_finished() {
                // It may fail to take over what it has; then it tries again.
                other.iter_mut().for_each(Backend::idle);
                thread::yield_now();
            }
            coming.join().unwrap()
        });
        self.processes[at] = come.ok();
    }

    /// One transaction of some changes, which happens as a whole or not at all.
    fn transact(&mut self, at: usize) {
        let Some(mut store) = self.processes[at].take() else { return };
        let mut after = self.book.clone();
        let done = self.changes(&mut store, &mut after);
        match &store.state {
            State::Alone(_) => self.alone += 1,
            State::Shared { .. } => self.shared += 1,
            State::Out => (),
        }
        if done.is_ok() {
            self.book = after;
        } else {
            store.roll_back();
        }
        self.processes[at] = Some(store);
    }

    fn changes(
        &mut self,
        store: &mut Segmented<Database>,
        after: &mut Rows,
    ) -> Result<(), super::Failed<Database>> {
        store.begin()?;
        for _ in 0..self.rng.random_range(0..6) {
            let row = self.row();
            match self.rng.random_range(0..50) {
                // Somebody looks through everything in the middle of it.
                0 => store.load(row.key.of, 1, &mut |_| ())?,
                1..17 => {
                    store.put(&[&row])?;
                    after.insert(row.key.clone(), row);
                }
                17..29 => {
                    let free = store.claim(&[&row])?;
                    assert_eq!(free, [!after.contains_key(&row.key)], "{:?}", row.key);
                    after.entry(row.key.clone()).or_insert(row);
                }
                29..33 => {
                    store.remove(&[&Removal::from(&row)])?;
                    if after.get(&row.key).is_some_and(|kept| kept.value == row.value) {
                        after.remove(&row.key);
                    }
                }
                33..38 => {
                    store.remove(&[&Removal { key: row.key.clone(), only: None }])?;
                    after.remove(&row.key);
                }
                38..46 => {
                    let name = format!("first {}", self.first);
                    self.first += 1;
                    let row = Row { key: RowKey { name, ..row.key }, ..row };
                    store.put_first(&[&row])?;
                    after.insert(row.key.clone(), row);
                }
                46 => {
                    let whose = ["1".to_owned(), "3".to_owned()];
                    let mut rows = store.find(Aggregate::Holds, By::Person, &whose)?;
                    rows.sort_by(|one, other| one.key.cmp(&other.key));
                    assert_eq!(rows, found(after, Aggregate::Holds, By::Person, &whose));
                }
                _ => assert_eq!(store.read(&[&row.key])?.first(), after.get(&row.key)),
            }
        }
        store.commit()
    }

    fn step(&mut self) {
        let at = self.rng.random_range(0..2);
        match self.rng.random_range(0..1_000) {
            // It stops, or crashes: then it settles nothing.
            0..20 => self.processes[at] = None,
            20..40 => {
                if let Some(mut store) = self.processes[at].take() {
                    let alone = matches!(store.state, State::Alone(_));
                    let end = store.segments.len();
                    // Its thread ends with it, somewhere.
                    let _ = store.taker.wait();
                    store.state = State::Out;
                    drop(store);
                    if alone {
                        self.decay(end);
                    }
                }
            }
            // A commit fails at the disk, and nobody knows whether it happened; here it did not.
            40..50 => {
                if let Some(Segmented { state: State::Alone(log), .. }) = &mut self.processes[at] {
                    log.failed = true;
                }
            }
            50..200 => self.processes[at].iter_mut().for_each(Backend::idle),
            200..280 if self.processes[at].is_none() => self.come(at),
            _ if self.processes[at].is_none() => (),
            _ => self.transact(at),
        }
    }

    /// Everybody stops: the database has everything.
    fn end(mut self) -> [usize; 4] {
        self.disk.lock().unwrap().faults = 0;
        self.processes = [None, None];
        self.come(0);
        self.processes = [None, None];
        assert_eq!(self.disk.lock().unwrap().rows, self.book);
        [self.alone, self.shared, self.decayed, self.said]
    }
}

/// Who was alone and crashed may have left something, while somebody else is on his way in.
#[test]
fn nobody_shares_what_nobody_took_over() {
    let (mut world, mut store) = World::alone(7, false);
    let row = world.row();
    store.begin().unwrap();
    store.put(&[&row]).unwrap();
    store.commit().unwrap();
    store.state = State::Out;
    drop(store);
    let on_his_way = std::fs::File::open(world.dir.path().join("db-lock")).unwrap();
    on_his_way.lock_shared().unwrap();
    world.come(1);
    assert!(world.processes[1].is_none() && world.disk.lock().unwrap().rows.is_empty());
    drop(on_his_way);
    world.come(1);
    assert_eq!(world.disk.lock().unwrap().rows.get(&row.key), Some(&row));
}

#[test]
#[expect(clippy::print_stdout, reason = "the seed is shown where it fails")]
fn what_was_committed_is_there_and_nothing_else() {
    let random = rand::random();
    let mut met = [0; 4];
    for (seed, number) in (1..=20).chain([random]).zip(0..) {
        println!("seed {seed}");
        let mut world = World::new(seed, number % 2 == 1);
        for _ in 0..STEPS {
            world.step();
        }
        for (met, more) in met.iter_mut().zip(world.end()) {
            *met += more;
        }
    }
    let [alone, shared, decayed, said] = met;
    // It is no simulation of nothing.
    assert!(alone > 1_000 && shared > 1_000, "{alone} {shared}");
    assert!(decayed > 100 && said > decayed / 2, "{decayed} {said}");
}
