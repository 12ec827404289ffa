//! Every write and every sync of the log fails once, in every way: what was said to be durable is there after a power cut, and what was
//! refused can be taken back and admitted to another.

use super::door::Door;
use super::file::Segments;
use super::simulation::Database;
use super::{Segmented, State};
use crate::store::disk::Disk;
use crate::store::floor::Floor;
use crate::store::row::{Aggregate, Removal, Row, RowKey};
use crate::store::writer::Backend;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing happens. What a sync should have made durable never will be, as where a system takes it for written.
    Fails,
    /// Some of it happens.
    Tears,
    /// It happens, and is said not to have.
    Lies,
    /// The power is cut: neither it nor anything later happens.
    Dark,
}

/// What is counted, and which call fails.
#[derive(Debug, Default)]
struct Fault {
    calls: u32,
    at: Option<(u32, Kind)>,
}

/// One file.
#[derive(Debug, Default)]
struct Medium {
    seen: Vec<u8>,
    durable: Vec<u8>,
    dirty: Vec<(usize, Vec<u8>)>,
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    bytes.resize(bytes.len().max(at + new.len()), 0);
    bytes[at..at + new.len()].copy_from_slice(new);
}

impl Medium {
    fn settle(&mut self) {
        for (at, new) in self.dirty.drain(..) {
            put(&mut self.durable, at, &new);
        }
    }

    /// The power is cut: what was not synced may be there.
    fn cut(&mut self, is_written: bool) {
        if is_written {
            self.settle();
        }
        self.dirty.clear();
        self.seen = self.durable.clone();
    }
}

#[derive(Clone, Debug)]
struct Modelled {
    medium: Arc<Mutex<Medium>>,
    fault: Arc<Mutex<Fault>>,
}

impl Modelled {
    fn call(&self) -> Option<Kind> {
        let mut fault = self.fault.lock().unwrap();
        fault.calls += 1;
        let now = |(at, kind): &(u32, Kind)| {
            *at == fault.calls || (*kind == Kind::Dark && *at < fault.calls)
        };
        fault.at.filter(now).map(|(_, kind)| kind)
    }
}

fn injected() -> io::Error {
    io::Error::other("injected")
}

impl Disk for Modelled {
    fn bytes(&self) -> io::Result<Vec<u8>> {
        Ok(self.medium.lock().unwrap().seen.clone())
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let fault = self.call();
        let at = usize::try_from(at).unwrap();
        let some = match fault {
            None | Some(Kind::Lies) => bytes.len(),
            Some(Kind::Fails | Kind::Dark) => 0,
            Some(Kind::Tears) => ((at + bytes.len() / 2) / SECTOR * SECTOR).saturating_sub(at),
        };
        let mut medium = self.medium.lock().unwrap();
        put(&mut medium.seen, at, &bytes[..some]);
        medium.dirty.push((at, bytes[..some].to_vec()));
        if fault.is_some() { Err(injected()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let fault = self.call();
        let mut medium = self.medium.lock().unwrap();
        match fault {
            None | Some(Kind::Lies) => medium.settle(),
            Some(Kind::Fails | Kind::Tears) => medium.dirty.clear(),
            Some(Kind::Dark) => (),
        }
        if fault.is_some() { Err(injected()) } else { Ok(()) }
    }
}

/// What came of an order: who holds it for sure, or who may.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Came {
    Held(String),
    Unknown(String),
    Free,
}

struct World {
    /// Of the log, and of what is noted of its end.
    disks: [Modelled; 3],
    fault: Arc<Mutex<Fault>>,
    dir: TempDir,
}

impl World {
    fn new(at: Option<(u32, Kind)>) -> Self {
        let fault = Arc::new(Mutex::new(Fault { calls: 0, at }));
        let disk = || Modelled { medium: Arc::default(), fault: fault.clone() };
        Self {
            disks: [disk(), disk(), disk()],
            fault,
            dir: TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap(),
        }
    }

    fn open(&self, database: Database) -> Option<Segmented<Database>> {
        let path = |name: &str| self.dir.path().join(name);
        let door = Door::new(path("lock"), path("knock")).unwrap();
        let [even, odd, floor] = self.disks.clone();
        let floor = Floor::on(path("end"), Box::new(floor));
        let segments =
            Segments::on([(path("0"), Box::new(even)), (path("1"), Box::new(odd))], floor);
        Segmented::over(door, segments, database).ok()
    }
}

fn order(number: u32) -> RowKey {
    RowKey { of: Aggregate::Orders, name: number.to_string() }
}

fn claim(number: u32, payment: u32) -> Row {
    // Longer than a sector.
    let value = format!("[{payment},\"{}\"]", "x".repeat(700));
    Row { key: order(number), until: None, value }
}

/// Claims orders one after the other, as the writer does: what is refused is taken back with the next commit, and comes again,
/// unless it is dark.
fn script(store: &mut Segmented<Database>, came: &mut BTreeMap<u32, Came>, dark: bool) {
    let mut payment = 0;
    let mut refused: Option<(u32, Row)> = None;
    for number in 0..14 {
        for _ in 0..3 {
            payment += 1;
            let row = claim(number, payment);
            let mut commit = || {
                store.begin()?;
                if let Some((_, refused)) = &refused {
                    store.remove(&[&Removal::from(refused)])?;
                }
                let free = store.claim(&[&row])?;
                store.commit().map(|()| free)
            };
            let Ok(free) = commit() else {
                store.roll_back();
                came.insert(number, Came::Unknown(row.value.clone()));
                if dark {
                    return;
                }
                // Of two that are refused one after the other the earlier is not taken back: at the most one call fails.
                assert!(refused.is_none(), "one fault refuses one");
                refused = Some((number, row));
                continue;
            };
            if let Some((earlier, _)) = refused.take() {
                came.insert(earlier, Came::Free);
            }
            assert_eq!(free, [true], "what was taken back is free");
            came.insert(number, Came::Held(row.value));
            break;
        }
        match number {
            3 | 4 | 9 => store.idle(),
            7 => drop(store.load(Aggregate::Holds, 1, &mut |_| ())),
            _ => (),
        }
    }
}

#[test]
fn what_was_durable_is_there_whichever_write_failed() {
    let calls = {
        let world = World::new(None);
        let mut came = BTreeMap::new();
        let mut store = world.open(Database::faultless().0).unwrap();
        script(&mut store, &mut came, false);
        assert_eq!(came.values().filter(|came| matches!(came, Came::Held(_))).count(), 14);
        drop(store);
        world.fault.lock().unwrap().calls
    };
    assert!(calls > 20, "{calls} calls are no script");
    let kinds = [Kind::Fails, Kind::Tears, Kind::Lies, Kind::Dark];
    for (call, kind) in (1..=calls).flat_map(|call| kinds.map(|kind| (call, kind))) {
        // Of what was not synced, any of the files may have been written by the system.
        for written in 0..8_u8 {
            let what = format!("call {call} {kind:?}, {written:03b}");
            let world = World::new(Some((call, kind)));
            let (database, kept) = Database::faultless();
            let mut came = BTreeMap::new();
            if let Some(mut store) = world.open(database) {
                script(&mut store, &mut came, kind == Kind::Dark);
                // It ends without a word.
                store.state = State::Out;
            }
            world.fault.lock().unwrap().at = None;
            for (bit, disk) in world.disks.iter().enumerate() {
                disk.medium.lock().unwrap().cut(written & (1 << bit) != 0);
            }
            let store = world.open(Database::on(&kept));
            let Some(mut store) = store else { panic!("{what}: it cannot be opened") };
            for (number, came) in came {
                let found = store.read(&[&order(number)]).unwrap().pop().map(|row| row.value);
                match came {
                    Came::Held(value) => assert_eq!(found, Some(value), "{what}: order {number}"),
                    Came::Unknown(value) => {
                        assert!(found.is_none_or(|it| it == value), "{what}: order {number}");
                    }
                    Came::Free => assert_eq!(found, None, "{what}: order {number}"),
                }
            }
        }
    }
}
