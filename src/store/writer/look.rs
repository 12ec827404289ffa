//! Looking rows up where they are kept, within a commit.

use super::{Backend, By};
use crate::store::row::{Aggregate, Row, RowKey};
use crate::store::shelf::Range;

/// How many people may be forgotten within the days in which that is told on.
const FORGOTTEN_MAX: usize = 100_000;

/// Which rows are looked up.
#[derive(Clone, Debug)]
pub enum Look {
    /// Those with these keys; a damaged one refuses all of them.
    At(Vec<RowKey>),
    /// Those with these keys that are as they were written; a damaged one is said and stepped over.
    Intact(Vec<RowKey>),
    /// Those of a range; whether what is stepped over is marked among them.
    Within(Range, bool),
    /// Whatever is kept of these people.
    Of(Vec<String>),
    /// Who was forgotten; only where another process may have been told, unless it is the `first` time.
    Forgotten {
        /// Whether one that crashed may have been told.
        first: bool,
    },
    /// What was counted at every place, of the last so many; only where another process may have counted.
    Concordance(usize),
}

/// The rows; `damaged` takes what was stepped over.
pub(super) fn look_up<B: Backend>(
    backend: &mut B,
    look: &Look,
    damaged: &mut Vec<String>,
) -> Result<Vec<Row>, B::Error> {
    let mut rows = Vec::new();
    match look {
        Look::At(keys) => rows = backend.read(&keys.iter().collect::<Vec<_>>())?,
        Look::Intact(keys) => {
            intact(backend, &keys.iter().collect::<Vec<_>>(), &mut rows, damaged)?;
        }
        Look::Within(range, marked) => within(backend, (range, *marked), &mut rows, damaged)?,
        Look::Of(people) => {
            for of in Aggregate::PERSONAL {
                rows.append(&mut backend.find(of, By::Person, people)?);
            }
        }
        Look::Concordance(_) if backend.alone() => (),
        Look::Concordance(most) => {
            within(backend, (&all(Aggregate::Concordance, *most), false), &mut rows, damaged)?;
        }
        Look::Forgotten { first } if backend.alone() && !first => (),
        Look::Forgotten { .. } => {
            within(
                backend,
                (&all(Aggregate::Forgotten, FORGOTTEN_MAX), false),
                &mut rows,
                damaged,
            )?;
        }
    }
    Ok(rows)
}

/// The last `most` rows of `of`.
fn all(of: Aggregate, most: usize) -> Range {
    let (from, before) = (String::new(), char::MAX.to_string());
    Range { of, from, before, most, last: true, whole: false }
}

fn within<B: Backend>(
    backend: &mut B,
    (range, marked): (&Range, bool),
    rows: &mut Vec<Row>,
    damaged: &mut Vec<String>,
) -> Result<(), B::Error> {
    let found = backend.range(range)?;
    damaged.extend(found.damaged.iter().map(ToString::to_string));
    rows.extend(if marked { found.marked(range) } else { found.rows });
    Ok(())
}

/// Reads in ever smaller parts, down to the rows that are damaged.
fn intact<B: Backend>(
    backend: &mut B,
    keys: &[&RowKey],
    rows: &mut Vec<Row>,
    damaged: &mut Vec<String>,
) -> Result<(), B::Error> {
    match backend.read(keys) {
        Ok(found) => rows.extend(found),
        Err(error) if !B::is_damage(&error) => return Err(error),
        Err(error) if keys.len() <= 1 => damaged.push(error.to_string()),
        Err(_) => {
            let (first, rest) = keys.split_at(keys.len() / 2);
            intact(backend, first, rows, damaged)?;
            intact(backend, rest, rows, damaged)?;
        }
    }
    Ok(())
}
