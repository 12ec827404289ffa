//! A database as simulations have it: any step may fail, a commit that failed may have happened, and the process may die in any
//! step of it.

use super::{Backend, By};
use crate::domain::clock::Timestamp;
use crate::store::row::{Aggregate, Damaged, Removal, Row, RowKey};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

pub(in crate::store) type Rows = BTreeMap<RowKey, Row>;

/// What is durable, and how often a step fails, of a hundred.
pub(in crate::store) struct Disk {
    pub(in crate::store) rows: Rows,
    pub(in crate::store) rng: ChaCha8Rng,
    pub(in crate::store) faults: u32,
}

impl Disk {
    pub(in crate::store) fn new(seed: u64) -> Self {
        Self { rows: Rows::new(), rng: ChaCha8Rng::seed_from_u64(seed), faults: 4 }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("injected")]
pub(in crate::store) struct Fault;

/// One process's way to the disk.
pub(in crate::store) struct Database {
    disk: Arc<Mutex<Disk>>,
    open: Option<Rows>,
    /// After how many more steps the process dies.
    pub(in crate::store) fuse: Option<u32>,
}

impl Database {
    pub(in crate::store) fn on(disk: &Arc<Mutex<Disk>>) -> Self {
        Self { disk: disk.clone(), open: None, fuse: None }
    }

    /// Whether the process is dead from this step on.
    fn dies(&mut self) -> bool {
        let dead = self.fuse == Some(0);
        self.fuse = self.fuse.map(|steps| steps.saturating_sub(1));
        dead
    }

    /// The open transaction, unless this step fails.
    fn step(&mut self) -> Result<&mut Rows, Fault> {
        let dies = self.dies();
        let mut disk = self.disk.lock().unwrap();
        let faults = disk.faults;
        if disk.rng.random_ratio(faults, 100) || dies {
            Err(Fault)
        } else {
            self.open.as_mut().ok_or(Fault)
        }
    }
}

impl Backend for Database {
    type Error = Fault;

    fn load(&mut self, of: Aggregate, _: usize, each: &mut dyn FnMut(Row)) -> Result<(), Fault> {
        let disk = self.disk.lock().unwrap();
        disk.rows.values().filter(|row| row.key.of == of).cloned().for_each(each);
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.open = Some(self.disk.lock().unwrap().rows.clone());
        self.step().map(drop)
    }

    fn read(&mut self, keys: &[&RowKey]) -> Result<Vec<Row>, Fault> {
        let rows = self.step()?;
        Ok(keys.iter().filter_map(|key| rows.get(key).cloned()).collect())
    }

    fn find(&mut self, _: Aggregate, _: By, _: &[String]) -> Result<Vec<Row>, Fault> {
        Ok(Vec::new())
    }

    fn put(&mut self, rows: &[&Row]) -> Result<(), Fault> {
        let open = self.step()?;
        open.extend(rows.iter().map(|row| (row.key.clone(), (*row).clone())));
        Ok(())
    }

    fn claim(&mut self, rows: &[&Row]) -> Result<Vec<bool>, Fault> {
        assert!(rows.iter().map(|row| &row.key).collect::<BTreeSet<_>>().len() == rows.len());
        let open = self.step()?;
        let claim = |row: &&Row| {
            let free = !open.contains_key(&row.key);
            open.entry(row.key.clone()).or_insert_with(|| (*row).clone());
            free
        };
        Ok(rows.iter().map(claim).collect())
    }

    fn remove(&mut self, rows: &[&Removal]) -> Result<(), Fault> {
        let open = self.step()?;
        for Removal { key, only } in rows {
            if open.get(key).is_some_and(|row| only.as_ref().is_none_or(|only| *only == row.value))
            {
                open.remove(key);
            }
        }
        Ok(())
    }

    fn purge(&mut self, of: Aggregate, now: Timestamp, _: usize) -> Result<Option<Damaged>, Fault> {
        self.step()?.retain(|key, row| key.of != of || row.until.is_none_or(|until| now < until));
        Ok(None)
    }

    fn commit(&mut self) -> Result<(), Fault> {
        self.step()?;
        let lies = {
            let mut disk = self.disk.lock().unwrap();
            disk.rows = self.open.take().ok_or(Fault)?;
            let faults = disk.faults;
            disk.rng.random_ratio(faults, 100)
        };
        if self.dies() || lies { Err(Fault) } else { Ok(()) }
    }

    fn roll_back(&mut self) {
        self.open = None;
    }
}
