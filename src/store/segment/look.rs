//! What is looked up: what is in the log lies over what is in the database.

use super::Failed;
use super::log::Log;
use super::taking::Taker;
use crate::store::row::{Aggregate, Damaged, Row, RowKey};
use crate::store::shelf::{Found, Range};
use crate::store::writer::{Backend, By};
use std::collections::{BTreeMap, HashMap};

pub(super) fn read<B: Backend>(
    log: &Log,
    taker: &mut Taker<B>,
    keys: &[&RowKey],
) -> Result<Vec<Row>, Failed<B>> {
    let (mut rows, mut below) = (Vec::new(), Vec::new());
    for key in keys {
        match log.latest(key) {
            Some(latest) => rows.extend(latest.row(key)),
            None => below.push(*key),
        }
    }
    if !below.is_empty() {
        rows.extend(taker.look(|database| database.read(&below))?);
    }
    Ok(rows)
}

pub(super) fn range<B: Backend>(
    log: &Log,
    taker: &mut Taker<B>,
    range: &Range,
) -> Result<Found, Failed<B>> {
    // Nobody looks through all that is in the log for one row.
    if let Some(key) = range.only() {
        return match log.latest(&key) {
            Some(latest) => {
                let rows = range.cut(latest.row(&key).into_iter().collect());
                Ok(Found { rows, damaged: Vec::new() })
            }
            None => taker.look(|database| database.range(range)),
        };
    }
    // What lies over the database's rows may take as many of them away.
    let over: BTreeMap<RowKey, Option<Row>> = log.rows(range.of, |key| range.takes(key)).collect();
    let wider = Range { most: range.most.saturating_add(over.len()), ..range.clone() };
    let below = taker.look(|database| database.range(&wider))?;
    let Found { rows: below, mut damaged } = below;
    damaged.retain(|Damaged(key)| !over.contains_key(key));
    let mut rows: BTreeMap<RowKey, Row> =
        below.into_iter().map(|row| (row.key.clone(), row)).collect();
    for (key, row) in over {
        match row {
            Some(row) => drop(rows.insert(key, row)),
            None => drop(rows.remove(&key)),
        }
    }
    Ok(Found { rows: range.cut(rows.into_values().collect()), damaged })
}

pub(super) fn find<B: Backend>(
    log: &Log,
    taker: &mut Taker<B>,
    (of, by): (Aggregate, By),
    whose: &[String],
) -> Result<Vec<Row>, Failed<B>> {
    let over: HashMap<RowKey, Option<Row>> = log.rows(of, |_| true).collect();
    let mut rows = taker.look(|database| database.find(of, by, whose))?;
    rows.retain(|row| !over.contains_key(&row.key));
    rows.extend(over.into_values().flatten().filter(|row| by.finds(row, whose)));
    Ok(rows)
}
